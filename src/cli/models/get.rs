//! `om models get`.

use crate::cli::Session;
use crate::cli::datasets::Target;
use crate::error::{Error, Result};
use crate::store::Stored;
use clap::Args;
use std::path::PathBuf;

/// Write a stored model to a file, which `om models put` takes.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  om models get iris-clf iris-clf.model
  om models get iris-clf - | ssh other om models put /dev/stdin iris-clf")]
pub struct Get {
    /// Name of the model
    #[arg(add = crate::cli::stored::models())]
    name: String,
    /// File to write, or - for standard output
    #[arg(default_value = "-")]
    path: String,
}

impl Get {
    /// Runs the command.
    pub fn run(self, session: &Session) -> Result<()> {
        let om = session.omega()?;
        let Stored::File(mut blob) = om.models.get(&self.name)? else {
            return Err(Error::invalid(format!("models/{} has no file", self.name)));
        };
        let path = (self.path != "-").then(|| PathBuf::from(&self.path));
        Target::open(session, path.as_deref(), true)?.copy(&mut blob)
    }
}
