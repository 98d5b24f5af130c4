//! `om runtime script`: a script as a task.

use super::submit::{Submitting, task_arguments};
use crate::cli::Session;
use crate::error::Result;
use crate::runtime::TaskCall;
use clap::Args;

/// Run a script, on a worker where there are some.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  om runtime script helloworld run foo=bar
  om runtime script etl run 2026-11 --async --require etl")]
pub struct RunScript {
    /// Name of the script
    #[arg(add = crate::cli::stored::scripts())]
    name: String,
    /// `run`, then arguments, and keyword arguments as NAME=VALUE; after -- they may begin with -
    #[arg(value_name = "ARGUMENT", allow_negative_numbers = true)]
    arguments: Vec<String>,
    #[command(flatten)]
    submitting: Submitting,
}

impl RunScript {
    /// Runs the command.
    pub fn run(self, session: &Session) -> Result<()> {
        let om = session.omega()?;
        om.scripts.metadata(&self.name)?;
        let rest = match self.arguments.split_first() {
            Some((action, rest)) if action == "run" => rest,
            _ => self.arguments.as_slice(),
        };
        let (args, kwargs) = task_arguments(rest);
        let call = TaskCall::RunScript {
            name: self.name,
            args,
            kwargs,
        };
        self.submitting.run(&call, &om, session)
    }
}
