//! A stored file on its way into a file: what has arrived of it stays beside the target
//! until all is there, so that a get that was cut short can be run again and goes on.

use super::target::{folder, refuse_folder};
use crate::cli::Session;
use crate::error::{Context, Error, ErrorKind, Result};
use crate::progress::{Progress, Unit};
use crate::storage::Blob;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// How partial files end.
const SUFFIX: &str = ".om-part";

/// How much is read and written at a time.
const STEP: usize = 1 << 20;

/// How many of the last bytes of a partial file are compared before it is gone on with.
const TAIL: u64 = 256 << 10;

/// A partial file that is this process' alone.
struct Partial {
    file: File,
    path: PathBuf,
}

/// Copies a blob into the file at `path`, which appears when it is complete. None where
/// another process is doing the same.
pub fn get(
    session: &Session,
    blob: &mut dyn Blob,
    identity: &str,
    path: &Path,
) -> Result<Option<()>> {
    refuse_folder(path)?;
    let Some(mut partial) = Partial::open(path, identity)? else {
        return Ok(None);
    };
    match partial.fill(session, blob) {
        Ok(()) => partial.appear(path).map(Some),
        Err(error) => Err(partial.failed(error)),
    }
}

/// `.<name>.`, as the names of all partial files of a target begin.
fn prefix(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default();
    format!(".{}.", name.to_string_lossy())
}

impl Partial {
    /// Opens what there is for this content, or begins; what is left of other contents of
    /// the same target goes.
    fn open(target: &Path, identity: &str) -> Result<Option<Self>> {
        let cannot = || format!("cannot write {}", target.display());
        let prefix = prefix(target);
        let path = folder(target).join(format!("{prefix}{identity}{SUFFIX}"));
        for entry in folder(target).read_dir().context(cannot)?.flatten() {
            let name = entry.file_name();
            let name = name.to_string_lossy();
            let content = name
                .strip_prefix(&prefix)
                .and_then(|rest| rest.strip_suffix(SUFFIX));
            let other = content.is_some_and(|content| content != identity);
            // What another process writes is locked.
            if other && locked(&entry.path()).is_ok_and(|file| file.is_some()) {
                let _ = std::fs::remove_file(entry.path());
            }
        }
        let Some(file) = locked(&path).context(cannot)? else {
            return Ok(None);
        };
        Ok(Some(Partial { file, path }))
    }

    /// Adds what is missing.
    fn fill(&mut self, session: &Session, blob: &mut dyn Blob) -> Result<()> {
        let cannot = || "cannot write the object";
        let start = self.verified(blob)?;
        self.file.set_len(start).context(cannot)?;
        self.file.seek(SeekFrom::Start(start)).context(cannot)?;
        seek(blob, start)?;
        if start > 0 {
            let percent = start.saturating_mul(100) / blob.length().max(1);
            let told = format!("going on with a get that was cut short: {percent} % are there");
            session.progress.note(&told);
        }
        let meter = session
            .progress
            .meter("getting", Some(blob.length()), Unit::Bytes);
        meter.advance(start);
        let mut buffer = vec![0; STEP];
        loop {
            session.progress.check()?;
            let read = read(blob, &mut buffer)?;
            if read == 0 {
                return Ok(());
            }
            let bytes = buffer.get(..read).unwrap_or_default();
            self.file.write_all(bytes).context(cannot)?;
            meter.advance(read as u64);
        }
    }

    /// How many bytes are there and end as the blob's do there.
    fn verified(&mut self, blob: &mut dyn Blob) -> Result<u64> {
        let cannot = || "cannot read what an earlier get has left";
        let length = self.file.metadata().context(cannot)?.len();
        if length == 0 || length > blob.length() {
            return Ok(0);
        }
        let from = length.saturating_sub(TAIL);
        let mut ours = Vec::new();
        self.file.seek(SeekFrom::Start(from)).context(cannot)?;
        self.file.read_to_end(&mut ours).context(cannot)?;
        seek(blob, from)?;
        let mut theirs = Vec::new();
        while theirs.len() < ours.len() {
            let mut buffer = vec![0; ours.len() - theirs.len()];
            match read(blob, &mut buffer)? {
                0 => return Ok(0),
                read => theirs.extend_from_slice(buffer.get(..read).unwrap_or_default()),
            }
        }
        Ok(if ours == theirs { length } else { 0 })
    }

    /// Gives the complete file its name.
    fn appear(self, target: &Path) -> Result<()> {
        std::fs::rename(&self.path, target).context(|| format!("cannot write {}", target.display()))
    }

    /// What is there stays, if another try may go on with it.
    fn failed(self, error: Error) -> Error {
        let passing = matches!(
            error.kind(),
            ErrorKind::Interrupted | ErrorKind::Unreachable | ErrorKind::TimedOut
        );
        let something = self.file.metadata().is_ok_and(|there| there.len() > 0);
        if passing && something {
            return error.hint("get it again: it goes on where it has stopped");
        }
        let _ = std::fs::remove_file(&self.path);
        error
    }
}

/// Opens a file that this process alone writes; none when another one does.
fn locked(path: &Path) -> std::io::Result<Option<File>> {
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(path)?;
    match file.try_lock() {
        // It may just have become somebody's target.
        Ok(()) => Ok((path.metadata()?.ino() == file.metadata()?.ino()).then_some(file)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

fn seek(blob: &mut dyn Blob, to: u64) -> Result<()> {
    blob.seek(SeekFrom::Start(to))
        .context(|| "cannot read the object")?;
    Ok(())
}

fn read(blob: &mut dyn Blob, buffer: &mut [u8]) -> Result<usize> {
    loop {
        match blob.read(buffer) {
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            done => return done.context(|| "cannot copy the object"),
        }
    }
}
