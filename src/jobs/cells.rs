//! What runs cells: a Jupyter kernel, or a plain interpreter for jobs that are scripts.

use crate::error::{Context, Result};
use crate::progress::Progress;
use serde_json::Value;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::time::{Duration, Instant};

/// Runs the cells of one notebook, one after the other.
pub(super) trait Runner {
    /// What is known of the language.
    fn language_info(&self) -> Option<Value> {
        None
    }

    /// Runs one cell.
    ///
    /// # Errors
    /// When it could not be run at all.
    fn run(
        &mut self,
        source: &str,
        limit: Option<Duration>,
        progress: &dyn Progress,
    ) -> Result<CellRun>;
}

/// What became of a cell.
#[derive(Debug)]
pub(super) struct CellRun {
    pub outputs: Vec<Value>,
    pub count: Option<i64>,
    pub end: CellEnd,
}

/// How a cell ended.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum CellEnd {
    Done,
    Raised(Raised),
    TooLong(Duration),
    Interrupted,
    Died,
}

/// An exception of the notebook's code.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Raised {
    pub name: String,
    pub value: String,
}

/// An interpreter that is given the source as a file: scripts.
pub(super) struct Interpreter {
    program: PathBuf,
    home: PathBuf,
    env: Vec<(String, String)>,
    cells: i64,
}

impl Interpreter {
    pub fn new(program: &Path, home: &Path, env: &[(String, String)]) -> Self {
        Interpreter {
            program: program.to_owned(),
            home: home.to_owned(),
            env: env.to_vec(),
            cells: 0,
        }
    }
}

impl Runner for Interpreter {
    fn run(
        &mut self,
        source: &str,
        limit: Option<Duration>,
        progress: &dyn Progress,
    ) -> Result<CellRun> {
        use std::os::unix::process::CommandExt;
        self.cells += 1;
        let file =
            tempfile::NamedTempFile::new().context(|| "cannot make a file for the script")?;
        std::fs::write(file.path(), source).context(|| "cannot write the script to a file")?;
        let mut child = Command::new(&self.program)
            .arg(file.path())
            .current_dir(&self.home)
            .envs(self.env.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .spawn()
            .context(|| format!("cannot start {}", self.program.display()))?;
        let (sender, said) = sync_channel::<(&str, Vec<u8>)>(16);
        let channels: [(&str, Option<Box<dyn Read + Send>>); 2] = [
            (
                "stdout",
                child
                    .stdout
                    .take()
                    .map(|out| Box::new(out) as Box<dyn Read + Send>),
            ),
            (
                "stderr",
                child
                    .stderr
                    .take()
                    .map(|out| Box::new(out) as Box<dyn Read + Send>),
            ),
        ];
        for (name, channel) in channels {
            let Some(mut channel) = channel else { continue };
            let sender = sender.clone();
            std::thread::spawn(move || {
                let mut buffer = vec![0; 64 << 10];
                while let Ok(read) = channel.read(&mut buffer) {
                    let part = buffer.get(..read).unwrap_or_default().to_vec();
                    if read == 0 || sender.send((name, part)).is_err() {
                        break;
                    }
                }
            });
        }
        drop(sender);
        let began = Instant::now();
        let mut texts = Texts::default();
        let mut stopped = None;
        loop {
            match said.recv_timeout(Duration::from_millis(50)) {
                Ok((name, part)) => texts.take(name, &part),
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => {}
            }
            let why = match limit {
                _ if progress.interrupted() => Some(CellEnd::Interrupted),
                Some(limit) if began.elapsed() > limit => Some(CellEnd::TooLong(limit)),
                _ => None,
            };
            if stopped.is_none() && why.is_some() {
                stopped = why;
                super::kernel::end(&mut child);
            }
        }
        let status = child.wait().context(|| "the script's process is lost")?;
        let end = stopped.unwrap_or(match status.success() {
            true => CellEnd::Done,
            false => CellEnd::Raised(Raised {
                name: "ScriptError".to_owned(),
                value: format!("{status}{}", texts.last_error()),
            }),
        });
        Ok(CellRun {
            outputs: texts.finish(),
            count: Some(self.cells),
            end,
        })
    }
}

/// What a process says, as streams; characters may be cut between two parts.
#[derive(Default)]
struct Texts {
    parts: Vec<(&'static str, Vec<u8>)>,
    size: usize,
    left_out: bool,
}

impl Texts {
    fn take(&mut self, name: &'static str, part: &[u8]) {
        if self.size + part.len() > super::kernel::outputs::MOST {
            self.left_out = true;
            return;
        }
        self.size += part.len();
        match self.parts.last_mut().filter(|last| last.0 == name) {
            Some((_, bytes)) => bytes.extend_from_slice(part),
            None => self.parts.push((name, part.to_vec())),
        }
    }

    /// The last line of stderr, which mostly says what is wrong.
    fn last_error(&self) -> String {
        let errors = self.parts.iter().rev().find(|(name, _)| *name == "stderr");
        let text = errors.map(|(_, bytes)| String::from_utf8_lossy(bytes).trim().to_owned());
        let last = text
            .as_deref()
            .and_then(|text| text.lines().last().map(str::to_owned));
        last.map_or_else(String::new, |line| format!(": {line}"))
    }

    fn finish(self) -> Vec<Value> {
        let stream = |name: &str, text: &str| serde_json::json!({"output_type": "stream", "name": name, "text": text});
        let mut outputs: Vec<Value> = self
            .parts
            .iter()
            .map(|(name, bytes)| stream(name, &String::from_utf8_lossy(bytes)))
            .collect();
        if self.left_out {
            let limit = super::kernel::outputs::MOST >> 20;
            outputs.push(stream(
                "stderr",
                &format!("[om: it shows more than {limit} MB; the rest is left out]\n"),
            ));
        }
        outputs
    }
}
