//! `om runtime`: running things.

mod env;
mod inspect;
mod job;
mod log;
mod model;
mod ping;
mod result;
mod scheduler;
mod script;
mod status;
mod submit;
mod task;
mod tasks;
mod worker;

pub(super) use worker::configured;

pub use log::LogReading;

use crate::cli::Session;
use crate::cli::server::Start;
use crate::error::Result;
use clap::Subcommand;

/// Run models, and look after the workers that do.
#[derive(Debug, Subcommand)]
pub enum Runtime {
    /// Train a model, predict with it, score it
    Model(Box<model::RunModel>),
    /// Run a job
    Job(Box<job::RunJob>),
    /// Run a script
    Script(Box<script::RunScript>),
    /// Run any other task
    Task(Box<task::RunTask>),
    /// The result of an asynchronous task
    Result(result::TaskResult),
    /// List, show and cancel tasks
    Tasks(tasks::Tasks),
    /// Ask for a sign of life of a worker
    Ping(ping::Ping),
    /// Take tasks and run them
    Worker(Box<worker::RunWorker>),
    /// Serve the REST API, as om server does
    Serve(Box<Start>),
    /// Submit jobs when they are due
    Scheduler(scheduler::RunScheduler),
    /// List, install and remove packages of the Python that workers run
    Env(env::Env),
    /// Which workers there are, on which labels, and what they have done
    #[command(visible_alias = "workers")]
    Status(status::Status),
    /// What workers have done and what went wrong
    Log(log::Log),
    /// Ask workers what they are doing
    Inspect(inspect::Inspect),
    /// Tell workers what to do
    Control(inspect::Control),
}

/// Runs a command of `om runtime`.
pub fn run(command: Runtime, session: &Session) -> Result<()> {
    match command {
        Runtime::Model(command) => command.run(session),
        Runtime::Job(command) => command.run(session),
        Runtime::Script(command) => command.run(session),
        Runtime::Task(command) => command.run(session),
        Runtime::Result(command) => command.run(session),
        Runtime::Tasks(command) => command.run(session),
        Runtime::Ping(command) => command.run(session),
        Runtime::Worker(command) => command.run(session),
        Runtime::Serve(command) => command.run(session),
        Runtime::Scheduler(command) => command.run(session),
        Runtime::Env(command) => command.run(session),
        Runtime::Status(command) => command.run(session),
        Runtime::Log(command) => command.run(session),
        Runtime::Inspect(command) => command.run(session),
        Runtime::Control(command) => command.run(session),
    }
}
