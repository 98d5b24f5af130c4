//! Runs a script and makes the envelope of its answer (spec/runtime.md §8).

use super::{FILE, PACKAGE, SOURCE, Scripts};
use crate::error::{Context, Error, ErrorKind, Result};
use crate::progress::Progress;
use crate::store::Stored;
use serde_json::{Map, Value, json};
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::{Duration, Instant};

/// What runs a package: imports it and calls `run`.
const RUNNER: &str = concat!(include_str!("client.py"), include_str!("runner.py"));

/// How often is looked whether it has ended or anybody wants to stop.
const TICK: Duration = Duration::from_millis(20);

/// How long is listened to what others say after its end.
const REST: Duration = Duration::from_secs(1);

/// The largest answer.
const MOST: u64 = 64 << 20;

/// What a script is called with.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ScriptCall {
    /// Its name.
    pub name: String,
    /// Arguments.
    pub args: Vec<Value>,
    /// Keyword arguments.
    pub kwargs: Map<String, Value>,
    /// How long it may take.
    pub limit: Option<Duration>,
}

/// How it went.
#[derive(Debug, Clone, PartialEq)]
pub struct ScriptRun {
    /// What omega|ml answers: script, args, kwargs, result, runtimes, started, ended.
    pub envelope: Value,
    /// Whether it raised an exception, whose text is the envelope's result.
    pub failed: bool,
}

impl Scripts {
    /// Runs the script. That it raises an exception is no error.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`]; [`ErrorKind::Failed`] when it cannot be installed or started.
    pub fn run(&self, call: &ScriptCall, progress: &dyn Progress) -> Result<ScriptRun> {
        let metadata = self.metadata(&call.name)?;
        let object = metadata.key.to_string();
        let started = chrono::Local::now().naive_local();
        let began = Instant::now();
        let done = match metadata.kind.as_str() {
            PACKAGE | SOURCE => self.package(call, &metadata, progress),
            FILE => self.executable(call, progress),
            kind => Err(Error::invalid(format!(
                "{object} is a {kind}, which this version cannot run"
            ))),
        };
        let (result, failed) = done.map_err(|error| error.on(object))?;
        let time = |time: chrono::NaiveDateTime| time.format("%Y-%m-%dT%H:%M:%S%.6f").to_string();
        Ok(ScriptRun {
            envelope: json!({
                "script": call.name, "args": call.args, "kwargs": call.kwargs, "result": result,
                "runtimes": (began.elapsed().as_secs_f64() * 1e6).round() / 1e6,
                "started": time(started), "ended": time(chrono::Local::now().naive_local()),
            }),
            failed,
        })
    }

    fn content(&self, name: &str) -> Result<Vec<u8>> {
        let Stored::File(mut blob) = self.get(name)? else {
            return Err(Error::corrupt("the script has no content"));
        };
        let mut bytes = Vec::new();
        blob.read_to_end(&mut bytes)
            .context(|| "cannot read the script")?;
        Ok(bytes)
    }

    /// A package of Python's: installed, imported, called.
    fn package(
        &self,
        call: &ScriptCall,
        metadata: &crate::storage::Metadata,
        progress: &dyn Progress,
    ) -> Result<(Value, bool)> {
        let module = metadata
            .name()
            .rsplit('/')
            .next()
            .unwrap_or_default()
            .to_owned();
        let place = match metadata.kind.as_str() {
            SOURCE => {
                let source = metadata.kind_meta.get_str("pip_source").unwrap_or_default();
                let requirement = source.strip_prefix("pypi://").unwrap_or(source);
                self.installed(requirement, source.as_bytes(), progress)?
            }
            _ => {
                let content = self.content(metadata.name())?;
                if metadata.name() == super::ENVIRONMENT
                    && let Some(place) = self.own_packages(&content)?
                {
                    return self.called(call, &module, &place, progress);
                }
                super::package::check(&content)?;
                let folder =
                    tempfile::tempdir().context(|| "cannot make a directory for the package")?;
                let file = folder.path().join(format!("{module}.tar.gz"));
                std::fs::write(&file, &content).context(|| "cannot write the package")?;
                self.installed(&file.display().to_string(), &content, progress)?
            }
        };
        self.called(call, &module, &place, progress)
    }

    /// A module below `place`: imported, called.
    fn called(
        &self,
        call: &ScriptCall,
        module: &str,
        place: &std::path::Path,
        progress: &dyn Progress,
    ) -> Result<(Value, bool)> {
        let input = json!({
            "module": module, "path": place.display().to_string(), "args": call.args, "kwargs": call.kwargs,
        });
        let command = self.python_with(RUNNER);
        let output = self.answer(command, &input.to_string(), call.limit, progress)?;
        let answer: Value = serde_json::from_slice(&output.stdout).map_err(|_| {
            let said = output
                .last
                .map(|line| format!(": {line}"))
                .unwrap_or_default();
            Error::failed(format!(
                "the script ended without an answer ({}){said}",
                output.status
            ))
        })?;
        let failed = answer.get("error").is_some();
        let result = answer.get("error").or_else(|| answer.get("result"));
        Ok((result.cloned().unwrap_or_default(), failed))
    }

    /// Any other program: arguments as they are, keyword arguments as JSON on its input.
    fn executable(&self, call: &ScriptCall, progress: &dyn Progress) -> Result<(Value, bool)> {
        let content = self.content(&call.name)?;
        let folder = tempfile::tempdir().context(|| "cannot make a directory for the script")?;
        let file = folder.path().join("script");
        std::fs::write(&file, content).context(|| "cannot write the script")?;
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o700))
            .context(|| "cannot make the script executable")?;
        let mut command = Command::new(&file);
        command.args(call.args.iter().map(|value| match value {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        }));
        let input = Value::Object(call.kwargs.clone()).to_string();
        let output = self.answer(command, &input, call.limit, progress)?;
        if !output.status.success() {
            let said = output
                .last
                .map(|line| format!(": {line}"))
                .unwrap_or_default();
            return Ok((format!("{}{said}", output.status).into(), true));
        }
        let text = String::from_utf8_lossy(&output.stdout)
            .trim_end()
            .to_owned();
        Ok((
            serde_json::from_str(&text).unwrap_or(Value::String(text)),
            false,
        ))
    }

    /// Runs a program to its end; what it says on stderr is passed on.
    fn answer(
        &self,
        mut command: Command,
        input: &str,
        limit: Option<Duration>,
        progress: &dyn Progress,
    ) -> Result<Output> {
        let mut child = command
            .envs(self.env.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .spawn()
            .context(|| format!("cannot start {}", command.get_program().to_string_lossy()))?;
        if let Some(mut stdin) = child.stdin.take() {
            let input = input.to_owned();
            // A program need not read it.
            std::thread::spawn(move || stdin.write_all(input.as_bytes()));
        }
        let reading = child.stdout.take().map(|out| {
            std::thread::spawn(move || {
                let mut bytes = Vec::new();
                let mut out = out.take(MOST + 1);
                out.read_to_end(&mut bytes).map(|_| bytes)
            })
        });
        let (sender, said) = channel();
        if let Some(stderr) = child.stderr.take() {
            std::thread::spawn(move || {
                let mut lines = BufReader::new(stderr);
                let mut line = Vec::new();
                while let Ok(1..) = lines.read_until(b'\n', &mut line) {
                    let text: String = String::from_utf8_lossy(&line)
                        .trim_end()
                        .chars()
                        .take(2000)
                        .collect();
                    line.clear();
                    if sender.send(text).is_err() {
                        break;
                    }
                }
            });
        }
        let began = Instant::now();
        let mut last = None;
        let mut open = true;
        // Its end is not that of its stderr: it may close that, or leave it to a child.
        let status = loop {
            let line = match open {
                true => said.recv_timeout(TICK),
                false => {
                    std::thread::sleep(TICK);
                    Err(RecvTimeoutError::Timeout)
                }
            };
            let late = limit.is_some_and(|limit| began.elapsed() > limit);
            let stopped = late || progress.interrupted();
            match line {
                Ok(line) => {
                    said_last(line, &mut last, progress);
                    if !stopped {
                        continue;
                    }
                }
                Err(RecvTimeoutError::Disconnected) => open = false,
                Err(RecvTimeoutError::Timeout) => {}
            }
            let ended = child
                .try_wait()
                .context(|| "the script's process is lost")?;
            if let Some(status) = ended {
                break status;
            }
            if stopped {
                crate::jobs::end_process(&mut child);
                return Err(match late {
                    true => Error::new(
                        ErrorKind::TimedOut,
                        format!(
                            "the script took longer than {:?}",
                            limit.unwrap_or_default()
                        ),
                    ),
                    false => Error::new(ErrorKind::Interrupted, "interrupted"),
                });
            }
        };
        // What it has started ends with it: it would hold the answer open.
        crate::jobs::end_process(&mut child);
        let ended = Instant::now();
        while ended.elapsed() < REST
            && let Ok(line) = said.recv_timeout(TICK)
        {
            said_last(line, &mut last, progress);
        }
        let stdout = match reading.map(std::thread::JoinHandle::join) {
            Some(Ok(Ok(bytes))) => bytes,
            _ => Vec::new(),
        };
        if stdout.len() as u64 > MOST {
            return Err(Error::failed(format!(
                "the script answers more than {} MB",
                MOST >> 20
            )));
        }
        Ok(Output {
            status,
            stdout,
            last,
        })
    }
}

/// Passes a line on, and remembers it.
fn said_last(line: String, last: &mut Option<String>, progress: &dyn Progress) {
    if !line.is_empty() {
        progress.note(&line);
        *last = Some(line);
    }
}

struct Output {
    status: std::process::ExitStatus,
    stdout: Vec<u8>,
    /// The last line that it said on stderr.
    last: Option<String>,
}
