//! A Jupyter kernel as a process of its own: started, asked to run cells, interrupted, ended.

mod message;
pub(super) mod outputs;
mod spec;
mod zmtp;

use super::cells::{CellEnd, CellRun, Raised, Runner};
use crate::config::interpreter::Python;
use crate::error::{Context, Error, ErrorKind, Result};
use crate::progress::Progress;
use message::{Message, Signer};
use outputs::Outputs;
use rustix::process::{Pid, Signal, kill_process_group};
use serde_json::{Value, json};
use std::io::Read;
use std::net::TcpListener;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::{Duration, Instant};
use tempfile::TempDir;
use zmtp::{Address, Role, Socket};

/// How long a kernel may take to be ready.
const PATIENCE: Duration = Duration::from_secs(60);

/// How long an interrupted kernel may take to come back.
const AFTER_INTERRUPT: Duration = Duration::from_secs(5);

/// How long after a cell's reply the last of its output may come.
const LAST_OUTPUT: Duration = Duration::from_secs(4);

/// How often is looked whether it lives, and whether anybody wants to stop.
const TICK: Duration = Duration::from_millis(50);

/// How often a kernel is started anew when another has taken its ports.
const STARTS: usize = 3;

/// Messages that wait to be looked at.
const WAITING: usize = 64;

/// The end of what a kernel says on stderr, to tell why it does not start.
const LAST_WORDS: usize = 2000;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Channel {
    Shell,
    Published,
    Control,
}

/// A running kernel.
pub(super) struct Kernel {
    child: Child,
    shell: Socket,
    control: Socket,
    /// Dropped with the kernel: it ends the thread that reads.
    _published: Socket,
    received: Receiver<(Channel, Message)>,
    signer: Signer,
    by_message: bool,
    language_info: Value,
    requests: u64,
    folder: TempDir,
}

impl Kernel {
    /// Starts the kernel called `name` in the directory `home`.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] when there is no such kernel; [`ErrorKind::Failed`] with its
    /// last words when it does not start.
    pub fn start(
        name: &str,
        language: &str,
        python: &Python,
        home: &Path,
        env: &[(String, String)],
        progress: &dyn Progress,
    ) -> Result<Self> {
        let spec = spec::find(name, language, python)?;
        let mut start = 0;
        loop {
            start += 1;
            match Self::launch(name, &spec, home, env, progress) {
                Err(error)
                    if start < STARTS && error.to_string().contains("ddress already in use") => {}
                done => return done,
            }
        }
    }

    fn launch(
        name: &str,
        spec: &spec::KernelSpec,
        home: &Path,
        env: &[(String, String)],
        progress: &dyn Progress,
    ) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("om-kernel-").tempdir();
        let folder = folder.context(|| "cannot make a directory for the kernel's sockets")?;
        let key = format!("{:032x}", rand::random::<u128>());
        // Sockets in a directory of ours cannot be taken by others; kernels in other
        // languages may know of ports only.
        let (transport, host, ports) = match spec.language == "python" {
            true => (
                "ipc",
                folder.path().join("k").display().to_string(),
                [1, 2, 3, 4, 5],
            ),
            false => ("tcp", "127.0.0.1".to_owned(), free_ports()?),
        };
        let [shell, published, stdin, control, heartbeat] = ports;
        let connection = json!({
            "transport": transport, "ip": host, "key": key, "signature_scheme": "hmac-sha256",
            "shell_port": shell, "iopub_port": published, "stdin_port": stdin,
            "control_port": control, "hb_port": heartbeat, "kernel_name": name,
        });
        let file = folder.path().join("connection.json");
        let written = std::fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&file)
            .and_then(|mut out| {
                std::io::Write::write_all(&mut out, connection.to_string().as_bytes())
            });
        written.context(|| format!("cannot write {}", file.display()))?;
        let said = folder.path().join("stderr");
        let stderr =
            std::fs::File::create(&said).context(|| format!("cannot write {}", said.display()))?;
        let mut argv = spec.argv.iter();
        let program = argv
            .next()
            .ok_or_else(|| Error::invalid(format!("the kernel {name} has no program")))?;
        let place = file.display().to_string();
        let mut child = Command::new(program)
            .args(argv.map(|argument| argument.replace("{connection_file}", &place)))
            .envs(&spec.env)
            .envs(env.iter().map(|(name, value)| (name, value)))
            .current_dir(home)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(stderr)
            .process_group(0)
            .spawn()
            .context(|| format!("cannot start the kernel {name}: {program}"))?;
        let address = |port: u16| match transport {
            "ipc" => Address::Unix(format!("{host}-{port}").into()),
            _ => Address::Tcp(host.clone(), port),
        };
        let signer = Signer::new(&key, &format!("{:032x}", rand::random::<u128>()));
        let (sender, received) = sync_channel(WAITING);
        let began = Instant::now();
        let mut connect = |channel, role, port: u16| loop {
            let receive = receiver(channel, sender.clone(), signer.clone());
            match Socket::connect(&address(port), role, "om", receive) {
                Ok(socket) => return Ok(socket),
                Err(error) => {
                    let ended = child.try_wait().ok().flatten().is_some();
                    if ended || began.elapsed() > PATIENCE {
                        return Err(silent(name, &said, ended).because(error));
                    }
                    progress.check()?;
                    std::thread::sleep(Duration::from_millis(10));
                }
            }
        };
        let connected = (|| {
            Ok((
                connect(Channel::Published, Role::Subscriber, published)?,
                connect(Channel::Shell, Role::Dealer, shell)?,
                connect(Channel::Control, Role::Dealer, control)?,
            ))
        })();
        let (published, shell, control) = match connected {
            Ok(sockets) => sockets,
            Err(error) => {
                end(&mut child);
                return Err(error);
            }
        };
        let mut kernel = Kernel {
            child,
            shell,
            control,
            _published: published,
            received,
            signer,
            by_message: spec.interrupt_mode.as_deref() == Some("message"),
            language_info: Value::Null,
            requests: 0,
            folder,
        };
        kernel.greet(name, &said, began, progress)?;
        Ok(kernel)
    }

    /// Asks who it is until both the answer and what is published with it arrive: only then
    /// nothing of what is published is missed.
    fn greet(
        &mut self,
        name: &str,
        said: &Path,
        began: Instant,
        progress: &dyn Progress,
    ) -> Result<()> {
        let (mut answered, mut heard) = (false, false);
        while !(answered && heard) {
            let id = self.request(Channel::Shell, "kernel_info_request", &json!({}))?;
            let asked = Instant::now();
            while asked.elapsed() < Duration::from_secs(1) && !(answered && heard) {
                match self.next() {
                    Next::Message(Channel::Shell, message)
                        if message.kind == "kernel_info_reply" =>
                    {
                        answered = true;
                        self.language_info = message
                            .content
                            .get("language_info")
                            .cloned()
                            .unwrap_or_default();
                    }
                    Next::Message(Channel::Published, message) => heard |= message.parent == id,
                    Next::Dead => return Err(silent(name, said, true)),
                    _ => {}
                }
                progress.check()?;
            }
            if began.elapsed() > PATIENCE {
                return Err(silent(name, said, false));
            }
        }
        Ok(())
    }

    fn request(&mut self, channel: Channel, kind: &str, content: &Value) -> Result<String> {
        self.requests += 1;
        let id = format!("om-{}-{}", self.child.id(), self.requests);
        let parts = self.signer.request(kind, &id, content);
        let parts: Vec<&[u8]> = parts.iter().map(Vec::as_slice).collect();
        let socket = match channel {
            Channel::Control => &mut self.control,
            _ => &mut self.shell,
        };
        socket
            .send(&parts)
            .context(|| "the kernel does not take requests")?;
        Ok(id)
    }

    fn next(&mut self) -> Next {
        match self.received.recv_timeout(TICK) {
            Ok((channel, message)) => Next::Message(channel, message),
            Err(RecvTimeoutError::Disconnected) => Next::Dead,
            Err(RecvTimeoutError::Timeout) => match self.child.try_wait() {
                Ok(None) => Next::Nothing,
                _ => Next::Dead,
            },
        }
    }

    fn interrupt(&mut self) {
        let done = match self.by_message {
            true => self
                .request(Channel::Control, "interrupt_request", &json!({}))
                .map(drop),
            false => signal(&self.child, Signal::INT),
        };
        if let Err(error) = done {
            tracing::debug!("the kernel cannot be interrupted: {error}");
        }
    }
}

impl Runner for Kernel {
    fn language_info(&self) -> Option<Value> {
        self.language_info
            .is_object()
            .then(|| self.language_info.clone())
    }

    fn run(
        &mut self,
        source: &str,
        limit: Option<Duration>,
        progress: &dyn Progress,
    ) -> Result<CellRun> {
        let content = json!({
            "code": source, "silent": false, "store_history": true, "user_expressions": {},
            "allow_stdin": false, "stop_on_error": true,
        });
        let id = self.request(Channel::Shell, "execute_request", &content)?;
        let began = Instant::now();
        let mut outputs = Outputs::default();
        let (mut reply, mut idle) = (None::<Message>, false);
        let mut heard = Instant::now();
        // Why it is being stopped, and since when.
        let mut stopping: Option<(CellEnd, Instant)> = None;
        let end = loop {
            // A kernel that publishes faster than is read leaves out what does not fit, which
            // may be that it has finished.
            if reply.is_some() && (idle || heard.elapsed() > LAST_OUTPUT) {
                break None;
            }
            let next = self.next();
            if matches!(next, Next::Message(..)) {
                heard = Instant::now();
            }
            match next {
                Next::Message(_, message) if message.is_too_large() => outputs.overflow(),
                Next::Message(_, message) if message.parent != id => {}
                Next::Message(Channel::Shell, message) if message.kind == "execute_reply" => {
                    reply = Some(message)
                }
                Next::Message(Channel::Published, message) => match message.kind.as_str() {
                    "status" => idle |= message.text("execution_state") == "idle",
                    _ => outputs.take(&message),
                },
                Next::Dead => break Some(CellEnd::Died),
                _ => {}
            }
            match &stopping {
                Some((_, since)) if since.elapsed() > AFTER_INTERRUPT => {
                    end(&mut self.child);
                    break None;
                }
                Some(_) => {}
                None => {
                    let why = match limit {
                        _ if progress.interrupted() => Some(CellEnd::Interrupted),
                        Some(limit) if began.elapsed() > limit => Some(CellEnd::TooLong(limit)),
                        _ => None,
                    };
                    if let Some(why) = why {
                        self.interrupt();
                        stopping = Some((why, Instant::now()));
                    }
                }
            }
        };
        let count = reply
            .as_ref()
            .and_then(|reply| reply.content.get("execution_count")?.as_i64());
        let raised = reply
            .filter(|reply| reply.text("status") != "ok")
            .map(|reply| {
                CellEnd::Raised(Raised {
                    name: reply.text("ename").to_owned(),
                    value: reply.text("evalue").to_owned(),
                })
            });
        let end = end
            .or(stopping.map(|(why, _)| why))
            .or(raised)
            .unwrap_or(CellEnd::Done);
        Ok(CellRun {
            outputs: outputs.finish(),
            count,
            end,
        })
    }
}

/// It is asked to end, and ended.
impl Drop for Kernel {
    fn drop(&mut self) {
        let _ = self.request(
            Channel::Control,
            "shutdown_request",
            &json!({"restart": false}),
        );
        let began = Instant::now();
        while began.elapsed() < Duration::from_secs(2) {
            if !matches!(self.child.try_wait(), Ok(None)) {
                break;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        end(&mut self.child);
        tracing::debug!(
            "a kernel has ended; its sockets were in {}",
            self.folder.path().display()
        );
    }
}

enum Next {
    Message(Channel, Message),
    Nothing,
    Dead,
}

fn receiver(
    channel: Channel,
    sender: SyncSender<(Channel, Message)>,
    signer: Signer,
) -> impl FnMut(Vec<Vec<u8>>) -> bool + Send + 'static {
    move |parts| match parts
        .is_empty()
        .then(Message::too_large)
        .or_else(|| signer.read(&parts))
    {
        Some(message) => sender.send((channel, message)).is_ok(),
        None => true,
    }
}

/// Ports of this machine that are free at the moment.
fn free_ports() -> Result<[u16; 5]> {
    let mut listeners = Vec::new();
    let mut ports = [0; 5];
    for port in &mut ports {
        let listener =
            TcpListener::bind("127.0.0.1:0").context(|| "there is no free port for a kernel")?;
        *port = listener
            .local_addr()
            .context(|| "a port has no number")?
            .port();
        listeners.push(listener);
    }
    Ok(ports)
}

/// A signal to the kernel and whatever it has started.
pub(super) fn signal(child: &Child, signal: Signal) -> Result<()> {
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    let pid = pid.ok_or_else(|| Error::failed("the process has no number"))?;
    kill_process_group(pid, signal).map_err(|error| {
        Error::failed("the process cannot be signalled").because(std::io::Error::from(error))
    })
}

/// Ends the process and whatever it has started.
pub(crate) fn end(child: &mut Child) {
    let _ = signal(child, Signal::KILL);
    let _ = child.kill();
    let _ = child.wait();
}

/// Why a kernel does not answer.
fn silent(name: &str, said: &Path, ended: bool) -> Error {
    let mut words = String::new();
    if let Ok(mut file) = std::fs::File::open(said) {
        let mut bytes = Vec::new();
        let _ = file.read_to_end(&mut bytes);
        let start = bytes.len().saturating_sub(LAST_WORDS);
        words = String::from_utf8_lossy(bytes.get(start..).unwrap_or_default())
            .trim()
            .to_owned();
    }
    let last = words.lines().last().unwrap_or_default().to_owned();
    let what = match ended {
        true => format!("the kernel {name} does not start: {last}"),
        false => format!("the kernel {name} does not answer"),
    };
    let kind = if ended {
        ErrorKind::Failed
    } else {
        ErrorKind::TimedOut
    };
    let error = Error::new(kind, what);
    match words.contains("No module named") {
        true => error.hint("install it where OMEGA_PYTHON is: python -m pip install ipykernel"),
        false => error,
    }
}
