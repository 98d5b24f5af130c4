//! `om jobs`: notebooks and scripts that run.

mod crontab;
mod get;
mod put;
mod results;
mod run;
mod schedule;
mod show;
mod status;

use crate::cli::Session;
use crate::cli::objects::{self, Objects};
use crate::error::Result;
use clap::Subcommand;

/// Work with jobs.
#[derive(Debug, Subcommand)]
pub enum Jobs {
    /// Store a notebook or a script
    Put(put::Put),
    /// Write a notebook to a file, perhaps in another form
    Get(get::Get),
    /// Read a notebook here
    Show(show::Show),
    /// Run a job in this process
    Run(Box<run::Run>),
    /// Past and coming runs
    Status(status::Status),
    /// The notebooks that runs have left
    Results(results::Results),
    /// When a job runs, and to change that
    Schedule(schedule::ScheduleJob),
    /// The line for cron
    Crontab(crontab::Crontab),
    /// What every store can do.
    #[command(flatten)]
    Objects(Objects),
}

/// Runs a command of `om jobs`.
pub fn run(command: Jobs, session: &Session) -> Result<()> {
    match command {
        Jobs::Put(command) => command.run(session),
        Jobs::Get(command) => command.run(session),
        Jobs::Show(command) => command.run(session),
        Jobs::Run(command) => command.run(session),
        Jobs::Status(command) => command.run(session),
        Jobs::Results(command) => command.run(session),
        Jobs::Schedule(command) => command.run(session),
        Jobs::Crontab(command) => command.run(session),
        Jobs::Objects(command) => objects::run(command, "jobs", session),
    }
}
