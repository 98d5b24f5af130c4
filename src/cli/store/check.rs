//! `om store check`.

use crate::cli::Session;
use crate::error::{Error, Result};
use clap::Args;
use serde_json::{Value, json};

/// Read and verify everything stored.
///
/// Damaged objects are named and the exit code is 1. Leftovers of processes that died
/// are counted; --repair removes them.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  om store check
  om store check --repair -o json")]
pub struct Check {
    /// Remove leftovers of processes that died
    #[arg(long)]
    repair: bool,
}

impl Check {
    /// Runs the command.
    pub fn run(self, session: &Session) -> Result<()> {
        let om = session.omega()?;
        let report = om.storage().check(self.repair, &session.progress)?;
        let damaged: Vec<Value> = report
            .damaged
            .iter()
            .map(|(object, what)| json!({ "object": object, "damage": what }))
            .collect();
        if session.output.is_structured() {
            session.output.value(&json!({
                "location": om.storage().location(),
                "objects": report.objects,
                "bytes": report.bytes,
                "damaged": damaged,
                "leftovers": report.leftovers,
                "repaired": report.repaired,
            }))?;
        } else {
            let size = crate::cli::output::Cell::bytes(report.bytes).text();
            session
                .output
                .line(format!("{} objects verified, {size}", report.objects))?;
            let removed = if report.repaired { "removed" } else { "found" };
            session
                .output
                .line(format!("{} leftovers {removed}", report.leftovers))?;
            for (object, what) in &report.damaged {
                session.output.line(format!("damaged: {object}: {what}"))?;
            }
        }
        if report.damaged.is_empty() {
            return Ok(());
        }
        Err(
            Error::corrupt(format!("{} damaged objects", report.damaged.len()))
                .hint("put them again, or drop them; nothing else is affected"),
        )
    }
}
