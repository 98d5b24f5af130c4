//! `om store check`.

use crate::cli::Session;
use crate::error::{Error, Result};
use clap::Args;
use serde_json::{Value, json};

/// Read and verify everything stored.
#[derive(Debug, Args)]
#[command(after_help = "\
Objects that cannot be read as they were written are named, and the exit code is 1.

Leftovers are content that no object refers to: of writers that died, and in an omega|ml
database also the files of models and notebooks that omega|ml has replaced. There, what is
younger than an hour is left alone, since somebody may be writing it.

Examples:
  om store check
  om store check --repair -o json
  om store check --profile prod")]
pub struct Check {
    /// Remove leftovers
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
            if report.leftovers > 0 && !report.repaired {
                session
                    .output
                    .note("remove leftovers with: om store check --repair");
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
