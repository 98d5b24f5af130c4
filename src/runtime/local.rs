//! The local runtime: tasks run in this process, while the caller waits.

use super::{Objects, Outcome, Runtime, SubmitOptions, TaskCall, TaskRecord, Tasks};
use crate::error::{Error, Result};
use std::time::{Duration, Instant};

/// How often a task that another process runs is looked at.
const LOOK: Duration = Duration::from_millis(50);

/// Runs tasks in this process.
pub struct LocalRuntime {
    objects: Objects,
    tasks: Tasks,
}

impl LocalRuntime {
    /// A runtime over `objects`, which knows of tasks that others run.
    pub fn new(objects: Objects, tasks: Tasks) -> Self {
        LocalRuntime { objects, tasks }
    }
}

impl Runtime for LocalRuntime {
    fn run(&self, call: &TaskCall, options: &SubmitOptions) -> Result<Outcome> {
        if *options != SubmitOptions::default() {
            return Err(Error::usage(
                "time limits, retries, priorities and expiry are for tasks of workers",
            )
            .hint("name the workers: --require LABEL"));
        }
        match call {
            TaskCall::Model(call) => call.run(&self.objects),
            _ => Err(Error::usage("only models run in this process")
                .hint("start a worker, and leave --local-runtime out")),
        }
    }

    fn submit(&self, _call: &TaskCall, _options: &SubmitOptions) -> Result<String> {
        Err(Error::usage("a task of this process cannot outlive it")
            .hint("leave --local-runtime or --async out"))
    }

    fn task(&self, id: &str) -> Result<TaskRecord> {
        self.tasks.get(id)
    }

    fn wait(&self, id: &str, limit: Duration) -> Result<TaskRecord> {
        let started = Instant::now();
        loop {
            let record = self.tasks.get(id)?;
            let left = limit.saturating_sub(started.elapsed());
            if record.state.is_final() || left.is_zero() {
                return Ok(record);
            }
            self.objects.progress.check()?;
            std::thread::sleep(left.min(LOOK));
        }
    }

    fn revoke(&self, id: &str) -> Result<bool> {
        let revoked = self.tasks.revoke(id)?;
        if !revoked {
            self.tasks.get(id)?;
        }
        Ok(revoked)
    }
}
