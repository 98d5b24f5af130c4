//! `om store`: the place where objects live.

mod check;

use crate::cli::Session;
use crate::error::Result;
use clap::Subcommand;

/// Look after the store.
#[derive(Debug, Subcommand)]
pub enum StoreCommand {
    /// Verify everything stored; remove leftovers
    Check(check::Check),
}

/// Runs a command of `om store`.
pub fn run(command: StoreCommand, session: &Session) -> Result<()> {
    match command {
        StoreCommand::Check(command) => command.run(session),
    }
}
