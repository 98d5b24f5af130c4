//! `om runtime result`: what became of a task that was submitted with `--async`.

use crate::cli::Session;
use crate::error::{Error, ErrorKind, Result};
use crate::progress::Progress;
use crate::runtime::{Runtime, TaskRecord, TaskState};
use clap::Args;
use std::time::Duration;

/// Wait for an asynchronous task and print its result.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  id=$(om runtime model clf fit X Y --async); om runtime result $id
  om runtime result 6f0c… --timeout 60
  om runtime result 6f0c… --no-wait")]
pub struct TaskResult {
    /// The task's id
    #[arg(value_name = "ID")]
    id: String,
    /// Wait until the task is done; the default
    #[arg(long)]
    wait: bool,
    /// Fail at once if the task is not done
    #[arg(long, conflicts_with = "wait")]
    no_wait: bool,
}

impl TaskResult {
    /// Runs the command.
    pub fn run(self, session: &Session) -> Result<()> {
        let om = session.omega()?;
        let runtime = session.runtime(&om)?;
        let mut pause = Duration::from_millis(5);
        loop {
            let record = runtime.task(&self.id)?;
            let running = matches!(record.state, TaskState::Pending | TaskState::Started);
            if !running || self.no_wait {
                return session.output.value(&record.outcome()?);
            }
            if lost(&record) {
                return Err(Error::new(
                    ErrorKind::TaskFailed,
                    "the process that ran the task has died",
                )
                .on(self.id));
            }
            session.progress.check()?;
            std::thread::sleep(pause);
            pause = (pause * 2).min(Duration::from_millis(200));
        }
    }
}

/// Whether the process that runs the task is gone, where that can be told.
fn lost(record: &TaskRecord) -> bool {
    let proc = std::path::Path::new("/proc");
    match record.pid {
        Some(pid) if proc.join("self").exists() => !proc.join(pid.to_string()).exists(),
        _ => false,
    }
}

/// Run a submitted task.
#[derive(Debug, Args)]
pub struct Execute {
    /// The task's id
    id: String,
}

impl Execute {
    /// Runs the command.
    pub fn run(self, session: &Session) -> Result<()> {
        let om = session.omega()?;
        session.runtime(&om)?.execute(&self.id)?.outcome().map(drop)
    }
}
