//! `om runtime`: running things.

mod model;
mod result;

use crate::cli::Session;
use crate::error::Result;
use clap::Subcommand;

/// Run models.
#[derive(Debug, Subcommand)]
pub enum Runtime {
    /// Train a model, predict with it, score it
    Model(Box<model::RunModel>),
    /// The result of an asynchronous task
    Result(result::TaskResult),
    /// Run a submitted task; started by --async
    #[command(hide = true)]
    Execute(result::Execute),
}

/// Runs a command of `om runtime`.
pub fn run(command: Runtime, session: &Session) -> Result<()> {
    match command {
        Runtime::Model(command) => command.run(session),
        Runtime::Result(command) => command.run(session),
        Runtime::Execute(command) => command.run(session),
    }
}
