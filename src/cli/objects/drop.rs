//! `om … drop`.

use super::store;
use crate::cli::Session;
use crate::error::{Error, ErrorKind, Result};
use crate::progress::Progress;
use clap::Args;

/// Delete objects.
///
/// A name is deleted at once, as omega|ml does; a pattern asks first.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  om datasets drop sales
  om datasets drop 'tmp/*' --dry-run
  om datasets drop 'tmp/*' --yes")]
pub struct Drop {
    /// Names, or patterns with `*`
    #[arg(required = true, value_name = "NAME", add = crate::cli::stored::objects())]
    names: Vec<String>,
    /// Do not fail when there is no such object
    #[arg(long)]
    force: bool,
    /// Say what would be deleted
    #[arg(long)]
    dry_run: bool,
}

impl Drop {
    /// Runs the command on the store called `noun`.
    pub fn run(self, noun: &str, session: &Session) -> Result<()> {
        let om = session.omega()?;
        let store = store(&om, noun)?;
        let mut names = Vec::new();
        for name in &self.names {
            match store.expand(name) {
                Ok(expanded) if expanded.is_empty() && !self.force => {
                    return Err(Error::not_found(format!("no {noun} match {name}")).on(name));
                }
                Ok(expanded) => names.extend(expanded),
                Err(error) if self.force && error.kind() == ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        names.dedup();
        if self.dry_run {
            return names
                .iter()
                .try_for_each(|name| session.output.line(format!("would drop {name}")));
        }
        let patterns = self.names.iter().any(|name| name.contains('*'));
        if patterns
            && !session
                .output
                .confirm(&format!("Drop {} {noun}?", names.len()))?
        {
            session.output.note("nothing dropped");
            return Ok(());
        }
        for name in &names {
            session.progress.check()?;
            match store.drop(name) {
                Err(error) if self.force && error.kind() == ErrorKind::NotFound => {}
                other => other?,
            }
        }
        if session.output.is_structured() {
            return session
                .output
                .value(&serde_json::json!({ "dropped": names }));
        }
        // What omega|ml prints.
        session.output.line("True")
    }
}
