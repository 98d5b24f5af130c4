//! `om runtime task`: any other task.

use super::submit::{Submitting, task_arguments};
use crate::cli::Session;
use crate::error::Result;
use crate::runtime::TaskCall;
use clap::Args;

/// Run a task that a backend has, or a worker of Python omega|ml.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  om runtime task acme.resize photo width=100
  om runtime task mypackage.tasks.refresh --async --require etl")]
pub struct RunTask {
    /// Name of the task
    name: String,
    /// Arguments, and keyword arguments as NAME=VALUE; values are JSON or text, and after -- may begin with -
    #[arg(value_name = "ARGUMENT", allow_negative_numbers = true)]
    arguments: Vec<String>,
    #[command(flatten)]
    submitting: Submitting,
}

impl RunTask {
    /// Runs the command.
    pub fn run(self, session: &Session) -> Result<()> {
        let om = session.omega()?;
        let (args, kwargs) = task_arguments(&self.arguments);
        let call = TaskCall::Other {
            task: self.name,
            args,
            kwargs,
        };
        self.submitting.run(&call, &om, session)
    }
}
