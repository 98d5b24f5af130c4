//! `om models`: making, listing and looking at models. Training is `om runtime model`.

mod estimators;
mod get;
mod put;
mod show;

pub use put::params;

use crate::cli::Session;
use crate::cli::objects::{self, Objects};
use crate::error::Result;
use clap::Subcommand;

/// Work with models.
#[derive(Debug, Subcommand)]
pub enum Models {
    /// Make a model from a specification
    Put(put::Put),
    /// Write a stored model to a file
    Get(get::Get),
    /// What a model is, was trained on and has learned
    Show(show::Show),
    /// All specifications and their parameters
    Estimators(estimators::Estimators),
    /// What every store can do.
    #[command(flatten)]
    Objects(Objects),
}

/// Runs a command of `om models`.
pub fn run(command: Models, session: &Session) -> Result<()> {
    match command {
        Models::Put(command) => command.run(session),
        Models::Get(command) => command.run(session),
        Models::Show(command) => command.run(session),
        Models::Estimators(command) => command.run(session),
        Models::Objects(command) => objects::run(command, "models", session),
    }
}
