//! `om server`: the REST API, and who may use it.

mod access;
mod start;

pub use start::Start;

use super::Session;
use crate::error::Result;
use clap::{Args, Subcommand};

/// Serve the REST API and the dashboard.
///
/// It takes connections of this machine only, unless --ip says otherwise. With users it wants
/// their keys; without, it is open to whoever reaches it.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
#[command(after_help = start::EXAMPLES)]
pub struct ServerArgs {
    #[command(subcommand)]
    command: Option<ServerCommand>,
    #[command(flatten)]
    start: Start,
}

#[derive(Debug, Subcommand)]
enum ServerCommand {
    /// Who may use the server
    #[command(subcommand)]
    Users(access::Users),
    /// The keys of users
    #[command(subcommand)]
    Keys(access::Keys),
}

/// Runs a command of `om server`.
pub fn run(args: ServerArgs, session: &Session) -> Result<()> {
    match args.command {
        None => args.start.run(session),
        Some(ServerCommand::Users(command)) => command.run(session),
        Some(ServerCommand::Keys(command)) => command.run(session),
    }
}
