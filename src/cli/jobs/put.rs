//! `om jobs put`.

use crate::cli::Session;
use crate::cli::objects::metadata_line;
use crate::error::{Error, Result};
use crate::jobs::{Jobs, Notebook};
use crate::store::{PutMode, PutOptions};
use clap::{Args, ValueHint};
use std::io::Read;
use std::path::PathBuf;

/// Store a notebook or a script as a job.
///
/// A `.py` or `.sh` file becomes a job of one cell that its interpreter runs. A cell that
/// starts with `# omega-ml:` configures the job; with `schedule:` in it, it is scheduled.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  om jobs put report.ipynb report
  om jobs put nightly.py nightly
  om jobs put clean.sh ops/clean --replace")]
pub struct Put {
    /// Notebook (.ipynb) or script (.py, .sh), or - for a notebook on standard input
    #[arg(value_hint = ValueHint::FilePath)]
    path: PathBuf,
    /// Name of the job
    name: String,
    /// Replace a job of this name, with its configuration, schedule and runs
    #[arg(long)]
    replace: bool,
}

impl Put {
    /// Runs the command.
    pub fn run(self, session: &Session) -> Result<()> {
        let notebook = match self.path.as_os_str() == "-" {
            true => {
                let mut bytes = Vec::new();
                std::io::stdin()
                    .read_to_end(&mut bytes)
                    .map_err(|error| Error::failed("cannot read standard input").because(error))?;
                Notebook::parse(&bytes)?
            }
            false => Jobs::read(&self.path)?,
        };
        let options = PutOptions {
            mode: if self.replace {
                PutMode::Replace
            } else {
                PutMode::Auto
            },
            ..PutOptions::default()
        };
        let (metadata, note) = session
            .omega()?
            .jobs
            .put_notebook(&self.name, &notebook, &options)?;
        if let Some(note) = note {
            session.output.note(&note);
        }
        metadata_line(session, &metadata)
    }
}
