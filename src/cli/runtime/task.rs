//! `om runtime task`: any other task.

use super::submit::Submitting;
use crate::cli::Session;
use crate::cli::scripts::arguments;
use crate::error::Result;
use crate::runtime::TaskCall;
use crate::runtime::celery::json::to_value;
use crate::runtime::celery::signature::Kwargs;
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
        let (args, named) = arguments(&self.arguments);
        let mut kwargs = Kwargs::default();
        for (name, value) in &named {
            kwargs.push(name, to_value(value));
        }
        let call = TaskCall::Other {
            task: self.name,
            args: args.iter().map(to_value).collect(),
            kwargs,
        };
        self.submitting.run(&call, &om, session)
    }
}
