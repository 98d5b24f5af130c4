//! `om … rename`.

use super::{metadata_line, store};
use crate::cli::Session;
use crate::error::Result;
use clap::Args;

/// Give an object another name; its content stays where it is.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  om datasets rename sales sales-2024
  om models rename clf iris/clf")]
pub struct Rename {
    /// Name of the object
    #[arg(add = crate::cli::stored::objects())]
    from: String,
    /// New name, which must be free
    to: String,
}

impl Rename {
    /// Runs the command on the store called `noun`.
    pub fn run(self, noun: &str, session: &Session) -> Result<()> {
        let om = session.omega()?;
        let metadata = store(&om, noun)?.rename(&self.from, &self.to)?;
        metadata_line(session, &metadata)
    }
}
