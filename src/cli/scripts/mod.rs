//! `om scripts`: packages and programs that run.

mod get;
mod logs;
mod put;
mod run;

pub use run::arguments;

use crate::cli::Session;
use crate::cli::objects::{self, Objects};
use crate::error::Result;
use clap::Subcommand;

/// Work with scripts.
#[derive(Debug, Subcommand)]
pub enum Scripts {
    /// Store a package or a program
    Put(put::Put),
    /// Write what is stored to a file
    Get(get::Get),
    /// Run a script in this process
    Run(run::Run),
    /// What a script's runs have said
    Logs(logs::Logs),
    /// What every store can do.
    #[command(flatten)]
    Objects(Objects),
}

/// Runs a command of `om scripts`.
pub fn run(command: Scripts, session: &Session) -> Result<()> {
    match command {
        Scripts::Put(command) => command.run(session),
        Scripts::Get(command) => command.run(session),
        Scripts::Run(command) => command.run(session),
        Scripts::Logs(command) => command.run(session),
        Scripts::Objects(command) => objects::run(command, "scripts", session),
    }
}
