//! `om runtime job`: a job as a task.

use super::submit::Submitting;
use crate::cli::Session;
use crate::error::{Error, Result};
use crate::runtime::TaskCall;
use clap::Args;
use std::time::Duration;

/// Run a job, on a worker where there are some.
///
/// Prints the notebook that it has left. That a cell failed is exit code 6.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  om runtime job report
  om runtime job report --async
  om runtime job report --require gpu --run-limit 2h")]
pub struct RunJob {
    /// Name of the job
    #[arg(add = crate::cli::stored::jobs())]
    name: String,
    /// What to do with it: `run`
    #[arg(
        value_name = "ACTION",
        default_value = "run",
        hide_default_value = true
    )]
    action: String,
    /// Stop the notebook when it takes longer
    #[arg(long, value_name = "DURATION", value_parser = crate::cli::app::parse_duration)]
    run_limit: Option<Duration>,
    #[command(flatten)]
    submitting: Submitting,
}

impl RunJob {
    /// Runs the command.
    pub fn run(self, session: &Session) -> Result<()> {
        if self.action != "run" {
            return Err(
                Error::usage(format!("jobs have no action `{}`", self.action))
                    .hint("there is only `run`"),
            );
        }
        let om = session.omega()?;
        om.jobs.metadata(&self.name)?;
        let call = TaskCall::RunJob {
            name: self.name.clone(),
            event: None,
            timeout: self.run_limit.map(|limit| limit.as_secs_f64()),
        };
        let waited = !self.submitting.is_asynchronous();
        self.submitting.run(&call, &om, session)?;
        match waited
            .then(|| om.jobs.last_run(&self.name))
            .transpose()?
            .flatten()
        {
            Some(failure) => Err(Error::new(
                crate::ErrorKind::TaskFailed,
                format!("the job failed: {failure}"),
            )
            .hint(format!(
                "its notebook as far as it got: om jobs show --last {}",
                self.name
            ))),
            None => Ok(()),
        }
    }
}
