//! One process of a backend: asked and answering in turns, watched, ended when it does not.

use super::Limits;
use super::pool::Program;
use super::protocol::{Reply, Request};
use super::said::Said;
use crate::error::{Context, Error, ErrorKind, Result};
use crate::progress::Progress;
use rustix::process::{Pid, Resource, Rlimit, Signal, kill_process_group, prlimit};
use std::collections::VecDeque;
use std::io::{self, BufReader, BufWriter};
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::time::{Duration, Instant};

/// How often is looked whether anybody wants to stop.
const TICK: Duration = Duration::from_millis(100);

/// Models whose content a process keeps.
const KEPT: usize = 8;

/// The same while it has much to say, which it must get rid of.
const SHORT: Duration = Duration::from_millis(5);

/// A running backend.
pub(super) struct Process {
    child: Child,
    input: Option<BufWriter<ChildStdin>>,
    replies: Receiver<io::Result<Reply>>,
    said: Said,
    /// What it said last, for when it dies.
    last: VecDeque<String>,
    known: VecDeque<String>,
    used: u64,
}

impl Process {
    /// Starts the program.
    pub fn start(program: &Program, limits: Limits) -> Result<Self> {
        let mut command = Command::new(&program.path);
        command
            .args(&program.args)
            .envs(program.env.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0);
        let mut child = command
            .spawn()
            .context(|| format!("cannot start the backend {}", program.shown()))?;
        if let (Some(bytes), Some(pid)) = (limits.memory, pid(&child)) {
            let limit = Rlimit {
                current: Some(bytes),
                maximum: Some(bytes),
            };
            if let Err(error) = prlimit(Some(pid), Resource::Data, limit) {
                tracing::warn!("the backend's memory cannot be limited: {error}");
            }
        }
        let (sender, replies) = sync_channel(1);
        if let Some(out) = child.stdout.take() {
            std::thread::spawn(move || {
                let mut out = BufReader::with_capacity(1 << 20, out);
                loop {
                    let (reply, goes_on) = match Reply::read(&mut out) {
                        Ok(Some(reply)) => (Ok(reply), true),
                        Ok(None) => break,
                        Err(error) => (Err(error), false),
                    };
                    if sender.send(reply).is_err() || !goes_on {
                        break;
                    }
                }
            });
        }
        let said = Said::new(child.stderr.take());
        Ok(Process {
            input: child
                .stdin
                .take()
                .map(|input| BufWriter::with_capacity(1 << 20, input)),
            child,
            replies,
            said,
            last: VecDeque::new(),
            known: VecDeque::new(),
            used: 0,
        })
    }

    /// How many calls it has answered.
    pub fn used(&self) -> u64 {
        self.used
    }

    /// Asks it. After an error it is of no more use, unless it is the backend's own.
    pub fn call(
        &mut self,
        request: &Request,
        limits: Limits,
        progress: &dyn Progress,
    ) -> Result<Reply> {
        let known = request
            .model_id()
            .is_some_and(|id| self.known.iter().any(|known| known == id));
        let mut reply = self.ask(request, !known, limits, progress)?;
        if reply.failure() == Some("unknown-model") && known {
            reply = self.ask(request, true, limits, progress)?;
        }
        if let Some(id) = request.model_id() {
            self.known.retain(|known| known != id);
            self.known.push_back(id.to_owned());
            if self.known.len() > KEPT {
                self.known.pop_front();
            }
        }
        self.used += 1;
        Ok(reply)
    }

    fn ask(
        &mut self,
        request: &Request,
        with_model: bool,
        limits: Limits,
        progress: &dyn Progress,
    ) -> Result<Reply> {
        let began = Instant::now();
        let limit = request.limit().or(limits.time);
        let input = self
            .input
            .take()
            .ok_or_else(|| Error::failed("the backend takes no requests"))?;
        // Writing waits for the backend to read: it is a thread's, so that it can be ended.
        let (sender, written) = sync_channel(1);
        let request = request.clone();
        std::thread::spawn(move || {
            let mut input = input;
            let done = request.write(&mut input, with_model);
            let _ = sender.send(done.map(|()| input));
        });
        let mut tick = SHORT;
        loop {
            let next = self.replies.recv_timeout(tick);
            tick = if self.listen(progress) { SHORT } else { TICK };
            match next {
                Ok(Ok(reply)) => {
                    match written.recv_timeout(Duration::from_secs(1)) {
                        Ok(Ok(input)) => self.input = Some(input),
                        _ => {
                            return Err(Error::failed(
                                "the backend replied before it had read the request",
                            ));
                        }
                    }
                    return Ok(reply);
                }
                Ok(Err(error)) => {
                    return Err(
                        Error::failed("the backend does not keep to its protocol").because(error)
                    );
                }
                Err(RecvTimeoutError::Disconnected) => return Err(self.death(progress)),
                Err(RecvTimeoutError::Timeout) => {}
            }
            progress.check()?;
            if let Some(limit) = limit.filter(|limit| began.elapsed() > *limit) {
                return Err(Error::new(
                    ErrorKind::TimedOut,
                    format!("the backend took longer than {limit:?}"),
                ));
            }
        }
    }

    /// Passes on what it says; whether it has said anything.
    fn listen(&mut self, progress: &dyn Progress) -> bool {
        let lines = self.said.lines();
        let any = !lines.is_empty();
        for line in lines {
            progress.note(&line);
            self.last.push_back(line);
            if self.last.len() > 5 {
                self.last.pop_front();
            }
        }
        any
    }

    fn death(&mut self, progress: &dyn Progress) -> Error {
        let began = Instant::now();
        let mut ended = None;
        while began.elapsed() < Duration::from_secs(1) && ended.is_none() {
            ended = self.child.try_wait().ok().flatten();
            std::thread::sleep(Duration::from_millis(10));
        }
        self.listen(progress);
        let how = ended.map_or_else(
            || "it closed its output".to_owned(),
            |status| status.to_string(),
        );
        let said = self
            .last
            .back()
            .map(|line| format!(": {line}"))
            .unwrap_or_default();
        Error::failed(format!("the backend died ({how}){said}"))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It ends with its input; one that does not, or has children, is made to.
        self.input = None;
        let began = Instant::now();
        while self.used > 0 && began.elapsed() < Duration::from_millis(300) {
            if !matches!(self.child.try_wait(), Ok(None)) {
                break;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        if let Some(pid) = pid(&self.child) {
            let _ = kill_process_group(pid, Signal::KILL);
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn pid(child: &Child) -> Option<Pid> {
    i32::try_from(child.id()).ok().and_then(Pid::from_raw)
}
