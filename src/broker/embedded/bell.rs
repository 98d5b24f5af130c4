//! Wakes up waiting consumers, of this process or another: a datagram socket a consumer,
//! in the store's directory. A ring says that something may be there, no more; one that
//! gets lost is made up for by looking from time to time.

use std::io;
use std::path::{Path, PathBuf};
#[cfg(any(not(unix), test))]
use std::time::Duration;

/// The folder of bells and locks in the store's directory.
const FOLDER: &str = "queue";

/// How often a consumer looks that cannot be rung.
#[cfg(any(not(unix), test))]
const DEAF: Duration = Duration::from_millis(20);

/// The files of consumers.
#[derive(Debug, Clone)]
pub(super) struct Folder {
    path: PathBuf,
}

impl Folder {
    pub fn new(root: &Path) -> Self {
        Folder {
            path: root.join(FOLDER),
        }
    }

    pub fn create(&self) -> io::Result<()> {
        std::fs::create_dir_all(&self.path)
    }

    /// The file that is locked for as long as the consumer lives.
    pub fn lock(&self, name: &str) -> PathBuf {
        self.path.join(format!("{name}.lock"))
    }

    /// The socket at which the consumer is rung.
    pub fn bell(&self, name: &str) -> PathBuf {
        self.path.join(format!("{name}.bell"))
    }

    /// The same file before it is locked.
    pub fn unlocked(&self, name: &str) -> PathBuf {
        self.path.join(format!("{name}.new"))
    }

    /// The consumers that have such a file, and whether it was locked once.
    pub fn names(&self) -> Vec<(String, bool)> {
        let entries = std::fs::read_dir(&self.path)
            .into_iter()
            .flatten()
            .flatten();
        entries
            .filter_map(|entry| {
                let name = entry.file_name().into_string().ok()?;
                let (name, named) = match name.strip_suffix(".lock") {
                    Some(name) => (name, true),
                    None => (name.strip_suffix(".new")?, false),
                };
                Some((name.to_owned(), named))
            })
            .collect()
    }

    /// Removes the files of a consumer that has gone.
    pub fn remove(&self, name: &str) {
        for path in [self.bell(name), self.lock(name), self.unlocked(name)] {
            if let Err(error) = std::fs::remove_file(&path)
                && error.kind() != io::ErrorKind::NotFound
            {
                tracing::debug!("{} stays: {error}", path.display());
            }
        }
    }
}

#[cfg(unix)]
mod sockets {
    use super::Folder;
    use std::fs::File;
    use std::io;
    use std::os::fd::AsRawFd;
    use std::os::unix::net::UnixDatagram;
    use std::path::{Path, PathBuf};
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::time::Duration;

    /// What names of sockets may be long, on every system.
    const LONGEST: usize = 100;

    /// How often a consumer looks that nobody else can ring.
    const DEAF: Duration = Duration::from_millis(20);

    /// A consumer's bell.
    pub struct Bell {
        socket: UnixDatagram,
        own: UnixDatagram,
        asleep: AtomicBool,
        deaf: bool,
    }

    impl Bell {
        /// Hangs up the bell of the consumer `name`. Where that cannot be done, the consumer
        /// can be rung from within this process only, and looks often.
        pub fn new(folder: &Folder, name: &str) -> io::Result<Self> {
            let path = folder.bell(name);
            let bound = short(&path).and_then(|(path, _folder)| {
                let socket = UnixDatagram::bind(&path)?;
                let own = UnixDatagram::unbound()?;
                own.connect(&path)?;
                Ok((socket, own))
            });
            let deaf = bound.is_err();
            let (socket, own) = bound.or_else(|error| {
                tracing::debug!("no bell at {}: {error}", path.display());
                UnixDatagram::pair()
            })?;
            own.set_nonblocking(true)?;
            let asleep = AtomicBool::new(false);
            Ok(Bell {
                socket,
                own,
                asleep,
                deaf,
            })
        }

        /// Waits for a ring; `idle` is asked once more before.
        pub fn wait(&self, timeout: Duration, idle: impl FnOnce() -> bool) -> io::Result<()> {
            self.asleep.store(true, Ordering::SeqCst);
            if idle() {
                let longest = if self.deaf { DEAF } else { timeout };
                let timeout = timeout.min(longest).max(Duration::from_millis(1));
                self.socket.set_read_timeout(Some(timeout))?;
                let mut rings = [0; 1];
                if self.socket.recv(&mut rings).is_ok() {
                    self.socket.set_nonblocking(true)?;
                    while self.socket.recv(&mut rings).is_ok() {}
                    self.socket.set_nonblocking(false)?;
                }
            }
            self.asleep.store(false, Ordering::SeqCst);
            Ok(())
        }

        /// Rings from within the process.
        pub fn ring(&self) {
            if self.asleep.load(Ordering::SeqCst) {
                let _ = self.own.send(b"!");
            }
        }
    }

    /// Rings other consumers.
    pub struct Ringer {
        socket: Option<UnixDatagram>,
    }

    impl Ringer {
        pub fn new() -> Self {
            let socket = UnixDatagram::unbound().and_then(|socket| {
                socket.set_nonblocking(true)?;
                Ok(socket)
            });
            Ringer {
                socket: socket.ok(),
            }
        }

        /// A full socket has been rung enough; one of a dead consumer is not our business.
        pub fn ring(&self, folder: &Folder, name: &str) {
            if let Some(socket) = &self.socket
                && let Ok((path, _folder)) = short(&folder.bell(name))
            {
                let _ = socket.send_to(b"!", path);
            }
        }
    }

    /// A path that fits into the address of a socket, and what keeps it valid.
    fn short(path: &Path) -> io::Result<(PathBuf, Option<File>)> {
        if path.as_os_str().len() <= LONGEST {
            return Ok((path.to_owned(), None));
        }
        let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else {
            return Err(io::ErrorKind::InvalidInput.into());
        };
        let folder = File::open(folder)?;
        let link = format!("/proc/self/fd/{}", folder.as_raw_fd());
        Ok((Path::new(&link).join(name), Some(folder)))
    }
}

#[cfg(not(unix))]
mod sockets {
    use super::{DEAF, Folder};
    use std::io;
    use std::sync::{Condvar, Mutex, PoisonError};
    use std::time::Duration;

    /// A consumer's bell, heard within its process only.
    pub struct Bell {
        rung: Mutex<bool>,
        changed: Condvar,
    }

    impl Bell {
        pub fn new(_folder: &Folder, _name: &str) -> io::Result<Self> {
            Ok(Bell {
                rung: Mutex::new(false),
                changed: Condvar::new(),
            })
        }

        pub fn wait(&self, timeout: Duration, idle: impl FnOnce() -> bool) -> io::Result<()> {
            let mut rung = self.rung.lock().unwrap_or_else(PoisonError::into_inner);
            if !*rung && idle() {
                rung = self
                    .changed
                    .wait_timeout(rung, timeout.min(DEAF))
                    .unwrap_or_else(PoisonError::into_inner)
                    .0;
            }
            *rung = false;
            Ok(())
        }

        pub fn ring(&self) {
            *self.rung.lock().unwrap_or_else(PoisonError::into_inner) = true;
            self.changed.notify_all();
        }
    }

    /// Rings nobody: consumers look often.
    pub struct Ringer;

    impl Ringer {
        pub fn new() -> Self {
            Ringer
        }

        pub fn ring(&self, _folder: &Folder, _name: &str) {}
    }
}

pub(super) use sockets::{Bell, Ringer};

#[cfg(all(test, unix))]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::time::Instant;

    #[test]
    fn a_ring_is_heard_however_long_the_path() {
        for depth in [1, 20] {
            let home = tempfile::tempdir().unwrap();
            let root = home
                .path()
                .join(format!("a-rather-long-name{}", "/deeper".repeat(depth)));
            let folder = Folder::new(&root);
            folder.create().unwrap();
            let bell = Bell::new(&folder, "a").unwrap();
            Ringer::new().ring(&folder, "a");
            let started = Instant::now();
            bell.wait(Duration::from_secs(60), || true).unwrap();
            assert!(started.elapsed() < Duration::from_secs(60));
            assert!(folder.bell("a").exists());
            folder.remove("a");
            assert!(!folder.bell("a").exists());
            // Nobody there is no error.
            Ringer::new().ring(&folder, "a");
        }
    }

    #[test]
    fn rings_within_the_process_are_heard() {
        let home = tempfile::tempdir().unwrap();
        let folder = Folder::new(home.path());
        // No folder, no socket.
        let bell = std::sync::Arc::new(Bell::new(&folder, "a").unwrap());
        let ringing = bell.clone();
        let thread = std::thread::spawn(move || {
            for _ in 0..200 {
                ringing.ring();
                std::thread::sleep(DEAF / 10);
            }
        });
        bell.wait(Duration::from_secs(60), || true).unwrap();
        thread.join().unwrap();
    }
}
