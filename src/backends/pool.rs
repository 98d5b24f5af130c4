//! Warm processes of one backend: one for each call that runs at the same time, kept for the
//! next. One that fails is ended; the next call starts another.

use super::Limits;
use super::process::Process;
use super::protocol::{Reply, Request};
use crate::error::Result;
use crate::progress::Progress;
use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

/// Processes at the same time.
const MOST: usize = 16;

/// Calls after which a process is ended: what leaks does not leak for ever.
const CALLS: u64 = 10_000;

/// A program that is a backend.
#[derive(Debug, Clone)]
pub(super) struct Program {
    pub path: PathBuf,
    pub args: Vec<OsString>,
    pub env: Vec<(String, String)>,
    /// What it is called, where its path says little.
    pub name: Option<String>,
}

impl Program {
    pub fn new(path: PathBuf) -> Self {
        Program {
            path,
            args: Vec::new(),
            env: Vec::new(),
            name: None,
        }
    }

    /// For people.
    pub fn shown(&self) -> String {
        match &self.name {
            Some(name) => name.clone(),
            None => self.path.display().to_string(),
        }
    }
}

/// The processes of a program.
pub(super) struct Pool {
    program: Program,
    limits: Limits,
    state: Mutex<State>,
    freed: Condvar,
}

#[derive(Default)]
struct State {
    idle: Vec<Process>,
    running: usize,
}

impl Pool {
    pub fn new(program: Program, limits: Limits) -> Self {
        Pool {
            program,
            limits,
            state: Mutex::default(),
            freed: Condvar::new(),
        }
    }

    pub fn program(&self) -> &Program {
        &self.program
    }

    /// Asks a process, started if none is idle.
    ///
    /// # Errors
    /// What the backend says; [`crate::ErrorKind::Failed`] when it dies or breaks the protocol.
    pub fn call(&self, request: Request, progress: &dyn Progress) -> Result<Reply> {
        let mut turn = self.turn(progress)?;
        let mut process = match turn.process.take() {
            Some(process) => process,
            None => Process::start(&self.program, self.limits)?,
        };
        let reply = process.call(&request, self.limits, progress)?;
        if process.used() < CALLS {
            turn.process = Some(process);
        }
        drop(turn);
        reply.checked()
    }

    fn turn(&self, progress: &dyn Progress) -> Result<Turn<'_>> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        while state.running >= self.limits.processes.unwrap_or(MOST).max(1) {
            progress.check()?;
            let waited = self.freed.wait_timeout(state, Duration::from_millis(100));
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        state.running += 1;
        Ok(Turn {
            process: state.idle.pop(),
            pool: self,
        })
    }
}

/// A place among those that run; gives it back, with the process if it is still good.
struct Turn<'a> {
    process: Option<Process>,
    pool: &'a Pool,
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let mut state = self
            .pool
            .state
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        state.running = state.running.saturating_sub(1);
        state.idle.extend(self.process.take());
        drop(state);
        self.pool.freed.notify_one();
    }
}
