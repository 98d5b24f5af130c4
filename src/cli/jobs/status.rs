//! `om jobs status`.

use crate::cli::Session;
use crate::error::Result;
use crate::jobs::Trigger;
use bson::Bson;
use clap::Args;
use serde_json::{Value, json};

/// Past and coming runs of a job.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  om jobs status report
  om jobs status report -o json | jq '.runs[-1].status'")]
pub struct Status {
    /// Name of the job
    #[arg(add = crate::cli::stored::objects())]
    name: String,
}

impl Status {
    /// Runs the command.
    pub fn run(self, session: &Session) -> Result<()> {
        let metadata = session.omega()?.jobs.metadata(&self.name)?;
        let runs = metadata.attributes.get_array("job_runs").ok();
        let runs: Vec<Value> = runs
            .into_iter()
            .flatten()
            .filter_map(Bson::as_document)
            .map(|run| {
                let text = |field: &str| run.get_str(field).unwrap_or_default();
                json!({
                    "ts": run.get_datetime("ts").ok().map(|date| wall(*date)), "status": text("status"),
                    "message": text("message"), "results": text("results"),
                })
            })
            .collect();
        let triggers = Trigger::all(&metadata);
        if session.output.is_structured() {
            let triggers: Vec<Value> = triggers
                .iter()
                .map(|trigger| {
                    json!({
                        "status": trigger.status, "kind": trigger.kind, "event": trigger.event,
                        "due": trigger.due.map(|due| due.to_rfc3339()), "ts": trigger.ran.map(|ran| ran.to_string()),
                    })
                })
                .collect();
            return session
                .output
                .value(&json!({"name": metadata.name(), "runs": runs, "triggers": triggers}));
        }
        session.output.line("Runs:")?;
        for run in &runs {
            let text = |field: &str| run.get(field).and_then(Value::as_str).unwrap_or_default();
            session
                .output
                .line(format!("  {} {} ", text("ts"), text("status")))?;
        }
        session.output.line("Next scheduled runs:")?;
        for trigger in &triggers {
            let ran = trigger.ran.map(|ran| ran.to_string()).unwrap_or_default();
            session.output.line(format!(
                "  {ran} {} {} {}",
                trigger.status, trigger.kind, trigger.event
            ))?;
        }
        Ok(())
    }
}

/// Local wall-clock time, as Python prints it.
fn wall(date: bson::DateTime) -> String {
    let millis = date.timestamp_millis();
    let found = chrono::DateTime::from_timestamp_millis(millis).map(|date| date.naive_utc());
    let format = if millis % 1000 == 0 {
        "%Y-%m-%d %H:%M:%S"
    } else {
        "%Y-%m-%d %H:%M:%S%.6f"
    };
    found
        .map(|wall| wall.format(format).to_string())
        .unwrap_or_default()
}
