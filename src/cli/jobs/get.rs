//! `om jobs get`.

use crate::cli::Session;
use crate::cli::datasets::Target;
use crate::error::Result;
use crate::jobs::{Form, export};
use clap::{Args, ValueEnum, ValueHint};
use std::path::PathBuf;

/// Write a notebook to a file.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  om jobs get report report.ipynb
  om jobs get report report.md --to md
  om jobs get 'results/report_2026-11-23 14:02:32.114610.ipynb' report.html --to html")]
pub struct Get {
    /// Name of the job
    #[arg(add = crate::cli::stored::objects())]
    name: String,
    /// File to write, or - for standard output
    #[arg(default_value = "-", value_hint = ValueHint::FilePath)]
    path: String,
    /// In another form: html (by nbconvert), script or md
    #[arg(long, value_name = "FORM", value_enum)]
    to: Option<To>,
}

/// Another form.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum To {
    Ipynb,
    Html,
    Script,
    #[value(alias = "markdown")]
    Md,
}

impl Get {
    /// Runs the command.
    pub fn run(self, session: &Session) -> Result<()> {
        let om = session.omega()?;
        let path = (self.path != "-").then(|| PathBuf::from(&self.path));
        let form = match self.to {
            // As it is stored, to the last byte.
            None => {
                let crate::store::Stored::File(mut blob) =
                    om.jobs.get(om.jobs.metadata(&self.name)?.name())?
                else {
                    return om.jobs.notebook(&self.name).map(drop);
                };
                return Target::open(session, path.as_deref(), true)?.copy(&mut blob);
            }
            Some(To::Ipynb) => Form::Notebook,
            Some(To::Html) => Form::Html,
            Some(To::Script) => Form::Script,
            Some(To::Md) => Form::Markdown,
        };
        let bytes = export(&om.jobs.notebook(&self.name)?, form, &om.jobs)?;
        Target::open(session, path.as_deref(), false)?.copy(&mut bytes.as_slice())
    }
}
