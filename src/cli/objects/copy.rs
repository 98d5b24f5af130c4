//! `om … copy`.

use super::{metadata_line, store};
use crate::cli::Session;
use crate::error::Result;
use clap::Args;

/// Copy an object under another name, perhaps into another bucket.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  om datasets copy sales sales-2024
  om datasets copy sales sales --to-bucket archive --replace")]
pub struct Copy {
    /// Name of the object
    #[arg(add = crate::cli::stored::objects())]
    from: String,
    /// Name of the copy
    to: String,
    /// Bucket of the copy
    #[arg(long, value_name = "BUCKET")]
    to_bucket: Option<String>,
    /// Replace what is stored under the copy's name
    #[arg(long)]
    replace: bool,
}

impl Copy {
    /// Runs the command on the store called `noun`.
    pub fn run(self, noun: &str, session: &Session) -> Result<()> {
        let om = session.omega()?;
        let other = match &self.to_bucket {
            Some(bucket) => om.bucket(bucket),
            None => om.clone(),
        };
        let metadata =
            store(&om, noun)?.copy(&self.from, store(&other, noun)?, &self.to, self.replace)?;
        metadata_line(session, &metadata)
    }
}
