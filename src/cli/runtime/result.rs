//! `om runtime result`: what became of a task that was submitted with `--async`.

use super::submit::print;
use crate::cli::Session;
use crate::error::Result;
use crate::runtime::outcome;
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
        let runtime = session.workers(&om)?;
        let limit = match self.no_wait {
            true => Duration::ZERO,
            false => Duration::MAX,
        };
        let record = runtime.wait(&self.id, limit)?;
        print(session, outcome(record, &om.objects())?)
    }
}
