//! `om … metadata`.

use super::store;
use crate::cli::Session;
use crate::error::Result;
use clap::Args;

/// Print an object's metadata document as JSON, in omega|ml's form.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  om datasets metadata sales
  om datasets metadata sales | jq .kind_meta.dtypes")]
pub struct ShowMetadata {
    /// Name of the object
    #[arg(add = crate::cli::stored::objects())]
    name: String,
}

impl ShowMetadata {
    /// Runs the command on the store called `noun`.
    pub fn run(self, noun: &str, session: &Session) -> Result<()> {
        let om = session.omega()?;
        let metadata = store(&om, noun)?.metadata(&self.name)?;
        session.output.value(&metadata.to_json())
    }
}
