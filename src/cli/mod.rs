//! The command line: reads arguments, calls the library, writes results. One file a noun;
//! what a command does belongs to the library.

pub mod app;
mod backends;
mod cloud;
pub mod completion;
mod config;
mod datasets;
mod doctor;
mod errors;
mod help;
mod interrupt;
mod jobs;
mod logging;
mod models;
mod objects;
pub mod output;
pub mod progress;
mod runtime;
mod scripts;
mod server;
mod session;
mod shell;
mod store;
mod stored;

pub use session::Session;

use crate::config::Environment;
use app::{Cli, Command};
use clap::FromArgMatches;
use std::ffi::OsString;
use std::io::Write;
use std::process::ExitCode;

/// Runs `om` with the process's arguments.
pub fn main() -> ExitCode {
    let args: Vec<OsString> = std::env::args_os().collect();
    // The answer to a version question is needed by scripts and costs nothing.
    if let [_, only] = args.as_slice()
        && (only == "--version" || only == "-V")
    {
        return written(writeln!(std::io::stdout(), "{}", version()));
    }
    let environment = Environment::capture();
    if environment.get(completion::VARIABLE).is_some() {
        return completion::answer(args);
    }
    // What can be known when the arguments turn out to be wrong.
    let early = app::early_wishes(&args);
    let parsed = app::command()
        .try_get_matches_from(args)
        .and_then(|matches| Cli::from_arg_matches(&matches));
    let cli = match parsed {
        Ok(cli) => cli,
        Err(error) => {
            let output = output::Output::new(early, &environment);
            return ExitCode::from(errors::report_usage(&output, &error));
        }
    };
    let session = match Session::new(cli.global, environment) {
        Ok(session) => session,
        Err((output, error)) => return ExitCode::from(errors::report(&output, &error)),
    };
    match run(cli.command, &session) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => ExitCode::from(errors::report(&session.output, &error)),
    }
}

/// `om` and its version.
pub fn version() -> String {
    format!("om {}", env!("CARGO_PKG_VERSION"))
}

/// The table of commands.
fn run(command: Command, session: &Session) -> crate::Result<()> {
    match command {
        Command::Doctor(command) => command.run(session),
        Command::Datasets(command) => datasets::run(command, session),
        Command::Models(command) => models::run(command, session),
        Command::Jobs(command) => jobs::run(command, session),
        Command::Scripts(command) => scripts::run(command, session),
        Command::Server(command) => server::run(*command, session),
        Command::Streams(command) => objects::run(command, "streams", session),
        Command::Runtime(command) => runtime::run(command, session),
        Command::Cloud(command) => cloud::run(command, session),
        Command::Shell(command) => shell::run(&command, session),
        Command::Backends(command) => backends::run(&command, session),
        Command::Store(command) => store::run(command, session),
        Command::Config(args) => config::run(&args, session),
        Command::Completion(args) => completion::run(&args, session),
        Command::Help(args) => help::run(&args, session),
        Command::Version if session.output.is_structured() => session
            .output
            .value(&serde_json::json!({"name": "om", "version": env!("CARGO_PKG_VERSION")})),
        Command::Version => session.output.line(version()),
    }
}

fn written(result: std::io::Result<()>) -> ExitCode {
    match result {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => ExitCode::FAILURE,
        _ => ExitCode::SUCCESS,
    }
}
