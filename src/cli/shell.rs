//! `om shell`: Python on the same objects.

use super::Session;
use crate::error::{Error, Result};
use clap::Args;
use std::os::unix::process::CommandExt;

/// Python with om connected: IPython where it is installed.
///
/// The variable om is Python omega|ml's on its database, where that is installed, else a
/// small client with datasets, models, jobs and scripts. `jupyter` is Jupyter Lab with the
/// jobs as its files. Needs OMEGA_PYTHON or a python3.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  om shell
  om shell 'om.datasets.list()'
  om shell 'import sys; print(sys.argv[1:])' -- a b
  om shell jupyter
  om shell jupyter -- --port 8899 --no-browser")]
pub struct Shell {
    /// Code to run instead, or `jupyter` for Jupyter Lab
    #[arg(value_name = "CODE")]
    code: Option<String>,
    /// Arguments of the code (sys.argv), or Jupyter Lab's options
    #[arg(value_name = "ARG", last = true)]
    arguments: Vec<String>,
}

/// Becomes that Python: its exit code is that of the command.
pub fn run(command: &Shell, session: &Session) -> Result<()> {
    let scripts = session.omega()?.scripts;
    let mut program = match command.code.as_deref() {
        Some("jupyter") => scripts.jupyter(),
        code => scripts.shell(code),
    };
    program.args(&command.arguments);
    // Only returns when it cannot.
    let error = program.exec();
    let shown = program.get_program().to_string_lossy().into_owned();
    Err(Error::not_found(format!("cannot start {shown}"))
        .because(error)
        .hint("OMEGA_PYTHON names the Python to use"))
}
