//! `om runtime status`: the workers there are.

use crate::cli::Session;
use crate::cli::output::{Cell, Column, Table};
use crate::error::Result;
use crate::progress::Progress;
use crate::runtime::celery::json;
use crate::runtime::celery::pickle::Value;
use crate::runtime::celery::signature::Kwargs;
use crate::runtime::control::{PATIENCE, ask};
use clap::{Args, ValueEnum};
use serde_json::Value as Json;
use std::collections::BTreeMap;
use std::time::Duration;

/// Which workers there are, on which labels, and what they have done.
///
/// Workers of om and of Python omega|ml alike.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  om runtime status
  om runtime status labels
  om runtime status stats -o json
  om runtime status --watch")]
pub struct Status {
    /// What to tell of each worker
    #[arg(value_enum, default_value = "workers")]
    what: What,
    /// How long workers have to answer
    #[arg(long, value_name = "DURATION", value_parser = crate::cli::app::parse_duration)]
    patience: Option<Duration>,
    /// Show it again every two seconds
    #[arg(short, long)]
    watch: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum What {
    /// What they are doing
    Workers,
    /// The labels whose tasks they take
    Labels,
    /// What they have done
    Stats,
}

impl Status {
    /// Runs the command.
    pub fn run(self, session: &Session) -> Result<()> {
        if !self.watch {
            let table = self.table(session)?;
            return session.output.rows(&table);
        }
        loop {
            let table = self.table(session)?;
            if session.output.screen().terminal {
                // Home, and nothing below.
                session.output.text("\x1b[H\x1b[J")?;
            }
            session.output.rows(&table)?;
            for _ in 0..20 {
                session.progress.check()?;
                std::thread::sleep(Duration::from_millis(100));
            }
        }
    }

    fn table(&self, session: &Session) -> Result<Table> {
        let broker = session.broker()?;
        let patience = self.patience.unwrap_or(PATIENCE);
        let answers = |method: &str| -> Result<BTreeMap<String, Json>> {
            let found = ask(
                broker.as_ref(),
                method,
                Kwargs::default(),
                None,
                patience,
                &session.progress,
            )?;
            Ok(found.into_iter().map(plain).collect())
        };
        let none = "no worker answers; start one: om runtime worker";
        Ok(match self.what {
            What::Workers => {
                let active = answers("active")?;
                let stats = answers("stats")?;
                let mut table = Table::new([
                    Column::new("WORKER").whole(),
                    Column::new("RUNNING").right(),
                    Column::new("SIZE").right(),
                    Column::new("DONE").right(),
                    Column::new("UPTIME").right(),
                    Column::new("TASKS").wide(),
                ])
                .named_by("WORKER")
                .when_empty(none);
                for (worker, tasks) in active {
                    let stats = stats.get(&worker).cloned().unwrap_or(Json::Null);
                    let tasks = tasks.as_array().cloned().unwrap_or_default();
                    let ids: Vec<Json> = tasks
                        .iter()
                        .map(|task| task.get("id").cloned().unwrap_or(Json::Null))
                        .collect();
                    table.push([
                        Cell::from(worker.as_str()),
                        Cell::from(tasks.len() as u64),
                        Cell::from(size(&stats)),
                        Cell::from(done(&stats)),
                        Cell::from(stats.get("uptime").cloned().unwrap_or(Json::Null)),
                        Cell::from(Json::Array(ids)),
                    ]);
                }
                table
            }
            What::Labels => {
                let mut table = Table::new([Column::new("WORKER").whole(), Column::new("LABELS")])
                    .named_by("WORKER")
                    .when_empty(none);
                for (worker, queues) in answers("active_queues")? {
                    let queues = queues.as_array().cloned().unwrap_or_default();
                    let names: Vec<Json> = queues
                        .iter()
                        .filter_map(|queue| queue.get("name").cloned())
                        .collect();
                    let shown: Vec<&str> = names.iter().filter_map(Json::as_str).collect();
                    let shown = shown.join(",");
                    table.push([
                        Cell::from(worker.as_str()),
                        Cell::shown(Json::Array(names), shown),
                    ]);
                }
                table
            }
            What::Stats => {
                let mut table = Table::new([
                    Column::new("WORKER").whole(),
                    Column::new("SIZE").right(),
                    Column::new("DONE").right(),
                    Column::new("TASKS"),
                ])
                .named_by("WORKER")
                .when_empty(none);
                for (worker, stats) in answers("stats")? {
                    let total = stats.get("total").cloned().unwrap_or(Json::Null);
                    table.push([
                        Cell::from(worker.as_str()),
                        Cell::from(size(&stats)),
                        Cell::from(done(&stats)),
                        Cell::from(total),
                    ]);
                }
                table
            }
        })
    }
}

/// An answer as JSON; what JSON has not is shown as text.
pub(super) fn plain((worker, value): (String, Value)) -> (String, Json) {
    let json = json::shown(&value).unwrap_or_else(|error| Json::from(error.to_string()));
    (worker, json)
}

fn size(stats: &Json) -> Json {
    let size = stats.pointer("/pool/max-concurrency");
    size.cloned().unwrap_or(Json::Null)
}

fn done(stats: &Json) -> u64 {
    let total = stats.get("total").and_then(Json::as_object);
    total.map_or(0, |total| total.values().filter_map(Json::as_u64).sum())
}
