//! `om scripts logs`.

use crate::cli::Session;
use crate::cli::runtime::LogReading;
use crate::error::Result;
use crate::runtime::script_logger;
use clap::Args;

/// What a script's runs on workers have said.
///
/// The lines that it writes on its standard error, or prints, and how its runs went. Of runs
/// on Python omega|ml's workers there is only what om runtime log shows.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  om scripts logs etl
  om scripts logs etl -f
  om scripts logs etl --since 1h --level error")]
pub struct Logs {
    /// Name of the script
    #[arg(add = crate::cli::stored::objects())]
    name: String,
    #[command(flatten)]
    reading: LogReading,
}

impl Logs {
    /// Runs the command.
    pub fn run(self, session: &Session) -> Result<()> {
        let scripts = session.omega()?.scripts;
        let metadata = scripts.metadata(&self.name)?;
        self.reading
            .show(&[script_logger(metadata.name())], session)
    }
}
