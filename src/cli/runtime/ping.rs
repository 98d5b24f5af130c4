//! `om runtime ping`: whether a worker answers.

use super::submit::Submitting;
use crate::cli::Session;
use crate::error::{Error, ErrorKind, Result};
use crate::runtime::TaskCall;
use crate::runtime::celery::signature::Kwargs;
use clap::Args;
use std::time::Duration;

/// How long a worker has to answer, unless told otherwise.
const PATIENCE: Duration = Duration::from_secs(10);

/// Ask for a sign of life: a task that a worker answers at once.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  om runtime ping
  om runtime ping --require gpu --timeout 5s -o json")]
pub struct Ping {
    #[command(flatten)]
    submitting: Submitting,
}

impl Ping {
    /// Runs the command.
    pub fn run(mut self, session: &Session) -> Result<()> {
        let om = session.omega()?;
        let call = TaskCall::Ping {
            args: Vec::new(),
            kwargs: Kwargs::default(),
        };
        self.submitting.on_workers(session, PATIENCE)?;
        self.submitting
            .run(&call, &om, session)
            .map_err(|error| match error.kind() {
                ErrorKind::TimedOut => Error::new(ErrorKind::TimedOut, "no worker has answered")
                    .hint("start one: om runtime worker"),
                _ => error,
            })
    }
}
