//! `om scripts get`.

use crate::cli::Session;
use crate::cli::datasets::Target;
use crate::error::{Error, Result};
use crate::store::Stored;
use clap::{Args, ValueHint};
use std::path::PathBuf;

/// Write what is stored to a file: a package's source archive, or the program.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  om scripts get helloworld helloworld.tar.gz
  om scripts get convert - | head")]
pub struct Get {
    /// Name of the script
    #[arg(add = crate::cli::stored::objects())]
    name: String,
    /// File to write, or - for standard output
    #[arg(default_value = "-", value_hint = ValueHint::FilePath)]
    path: String,
}

impl Get {
    /// Runs the command.
    pub fn run(self, session: &Session) -> Result<()> {
        let scripts = session.omega()?.scripts;
        let metadata = scripts.metadata(&self.name)?;
        if let Ok(source) = metadata.kind_meta.get_str("pip_source") {
            return session.output.line(source);
        }
        let Stored::File(mut blob) = scripts.get(&self.name)? else {
            return Err(Error::invalid("the script has no file").on(metadata.key.to_string()));
        };
        let path = (self.path != "-").then(|| PathBuf::from(&self.path));
        Target::open(session, path.as_deref(), true)?.copy(&mut blob)
    }
}
