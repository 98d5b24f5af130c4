//! `om runtime tasks`: the book of tasks.

use crate::cli::Session;
use crate::cli::output::{Cell, Column, Table};
use crate::error::{Error, Result};
use crate::runtime::{TaskRecord, TaskSelection, TaskState};
use clap::{Args, Subcommand};
use serde_json::Value;

/// Tasks that were sent to workers: which there are, and what became of them.
#[derive(Debug, Args)]
pub struct Tasks {
    #[command(subcommand)]
    command: Option<Verb>,
    #[command(flatten)]
    list: List,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// List tasks, newest first
    List(List),
    /// Everything that is known of a task
    Show(Show),
    /// Call tasks off; those that run are stopped
    Cancel(Cancel),
}

/// Which tasks to list.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  om runtime tasks list --state failed -o json
  om runtime tasks list --state pending,started --limit 20")]
struct List {
    /// In these states: pending, started, retry, success, failure, revoked
    #[arg(long, value_name = "STATE", value_delimiter = ',')]
    state: Vec<String>,
    /// Tasks at the most
    #[arg(long, value_name = "NUMBER", default_value_t = 100)]
    limit: u64,
}

/// Which task to show.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  om runtime tasks show 6f0c… -o yaml
  om runtime tasks show 6f0c… -o json | jq .error")]
struct Show {
    /// The task's id
    id: String,
}

/// Which tasks to call off.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  om runtime tasks cancel 6f0c…
  om runtime tasks list --state pending -o name | xargs om runtime tasks cancel")]
struct Cancel {
    /// The tasks' ids
    #[arg(required = true)]
    ids: Vec<String>,
}

impl Tasks {
    /// Runs the command.
    pub fn run(self, session: &Session) -> Result<()> {
        match self.command {
            None => list(&self.list, session),
            Some(Verb::List(which)) => list(&which, session),
            Some(Verb::Show(which)) => {
                let om = session.omega()?;
                let record = session.workers(&om)?.task(&which.id)?;
                session
                    .output
                    .value(&serde_json::to_value(record).unwrap_or_default())
            }
            Some(Verb::Cancel(which)) => cancel(&which, session),
        }
    }
}

fn list(which: &List, session: &Session) -> Result<()> {
    let states = which
        .state
        .iter()
        .map(|state| TaskState::parse(state))
        .collect::<Result<Vec<_>>>()?;
    let om = session.omega()?;
    let found = session.workers(&om)?.tasks(&TaskSelection {
        states,
        limit: Some(which.limit),
    })?;
    let mut table = Table::new([
        Column::new("ID").whole(),
        Column::new("TASK"),
        Column::new("STATE"),
        Column::new("LABEL"),
        Column::new("SUBMITTED"),
        Column::new("SECONDS").right(),
        Column::new("ATTEMPTS").right().wide(),
        Column::new("WORKER").wide(),
        Column::new("ERROR").wide(),
        Column::new("ARGS").wide(),
        Column::new("BUCKET").for_programs(),
        Column::new("STARTED").for_programs(),
        Column::new("ENDED").for_programs(),
    ])
    .named_by("ID")
    .listing()
    .when_empty("no tasks yet");
    for task in &found {
        let text =
            |text: &Option<String>| text.as_deref().map_or(Cell::from(Value::Null), Cell::from);
        table.push([
            Cell::from(task.id.as_str()),
            Cell::shown(task.task.as_str(), short(&task.task)),
            Cell::from(task.state.word()),
            Cell::from(task.label.as_str()),
            moment(&task.submitted),
            seconds(task),
            Cell::from(task.attempts),
            text(&task.worker),
            text(&task.error.as_ref().map(ToString::to_string)),
            Cell::from(task.args.as_str()),
            Cell::from(match task.bucket.as_str() {
                "" => "default",
                bucket => bucket,
            }),
            text(&task.started),
            text(&task.ended),
        ]);
    }
    session.output.rows(&table)
}

/// The last part of a task's name: `omega_predict` → `predict`.
fn short(task: &str) -> String {
    let last = task.rsplit('.').next().unwrap_or(task);
    last.strip_prefix("omega_").unwrap_or(last).to_owned()
}

/// Seconds and this machine's clock are enough for people.
fn moment(time: &str) -> Cell {
    let shown = chrono::DateTime::parse_from_rfc3339(time).map_or_else(
        |_| time.to_owned(),
        |time| {
            let time = time.with_timezone(&chrono::Local);
            time.format("%Y-%m-%d %H:%M:%S").to_string()
        },
    );
    Cell::shown(time, shown)
}

/// How long it has run.
fn seconds(task: &TaskRecord) -> Cell {
    let read = |time: &Option<String>| {
        let time = time.as_deref()?;
        chrono::DateTime::parse_from_rfc3339(time).ok()
    };
    match (read(&task.started), read(&task.ended)) {
        (Some(started), Some(ended)) => {
            let seconds = (ended - started).num_milliseconds() as f64 / 1000.0;
            Cell::shown(seconds, format!("{seconds:.3}"))
        }
        _ => Cell::from(Value::Null),
    }
}

fn cancel(which: &Cancel, session: &Session) -> Result<()> {
    let om = session.omega()?;
    let runtime = session.workers(&om)?;
    let mut finished = Vec::new();
    for id in &which.ids {
        match runtime.revoke(id)? {
            true => session.output.note(format!("{id} is cancelled")),
            false => finished.push(id.as_str()),
        }
    }
    match finished.is_empty() {
        true => Ok(()),
        false => Err(Error::conflict(format!(
            "finished already: {}",
            finished.join(", ")
        ))),
    }
}
