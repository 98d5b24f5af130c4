//! Running tasks. A [`TaskCall`] says what to do on which objects, a [`TaskRecord`] what
//! became of it; where it runs is the runtime's business.

mod batching;
pub mod celery;
mod classic;
pub mod control;
mod data_kind;
mod external;
mod input;
mod job;
mod local;
mod logs;
mod model;
mod objects;
mod other;
mod queue;
mod record;
mod remote;
mod script;
mod tasks;
pub mod tracking;
mod worker;

pub use celery::calls::{JobCall, TaskCall};
pub use data_kind::DataKinds;
pub use external::model as foreign_model;
pub use input::Input;
pub use local::LocalRuntime;
pub use logs::{Level, LogEntry, LogWriter, Logs, LogsOf, script_logger};
pub use model::{Action, ModelCall};
pub use objects::{Models, Objects, OpenModels};
pub use queue::{QueueRuntime, outcome};
pub use record::{TaskError, TaskRecord, TaskState};
pub use remote::{RemoteRuntime, options_of};
pub use tasks::{Claim, Ending, LEASE, RETENTION, TaskSelection, Tasks};
pub use worker::{ObjectsOf, WorkerOptions, WorkerReport, WorkerResources, work};

use crate::error::Result;
use polars::prelude::DataFrame;
use serde_json::Value;
use std::time::Duration;

/// What a task answers.
#[derive(Debug)]
pub enum Outcome {
    /// A table: predictions, transformed data, search results.
    Table(DataFrame),
    /// A number: a score.
    Number(f64),
    /// The metadata of the object that was written.
    Metadata(Box<crate::storage::Metadata>),
    /// Anything else.
    Value(Value),
}

impl Outcome {
    /// The answer as JSON: an array of rows, a number, metadata, or what it is.
    pub fn to_json(&self) -> Result<Value> {
        match self {
            Outcome::Table(frame) => crate::frame::json::rows(frame).map(Value::Array),
            Outcome::Number(number) => {
                Ok(serde_json::Number::from_f64(*number).map_or(Value::Null, Value::Number))
            }
            Outcome::Metadata(metadata) => Ok(metadata.to_json()),
            Outcome::Value(value) => Ok(value.clone()),
        }
    }
}

/// How a task is submitted.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct SubmitOptions {
    /// The label of the workers that may run it; none for the default one.
    pub label: Option<String>,
    /// How often it may be tried again when it fails for a passing reason.
    pub retries: u32,
    /// Higher ones are run first, where the broker has priorities.
    pub priority: u8,
    /// It is not run before this time has passed.
    pub countdown: Option<Duration>,
    /// It is not run after this time has passed.
    pub expires: Option<Duration>,
    /// How long it may run.
    pub time_limit: Option<Duration>,
    /// The experiment that it is tracked in; none for the one that its model is linked with.
    pub experiment: Option<String>,
    /// How long to wait for its answer.
    pub patience: Option<Duration>,
}

/// Submits tasks and tells what became of them.
pub trait Runtime {
    /// Runs a task and waits for its answer.
    ///
    /// # Errors
    /// What the task itself fails with.
    fn run(&self, call: &TaskCall, options: &SubmitOptions) -> Result<Outcome>;

    /// Submits a task that nobody waits for; answers its id.
    fn submit(&self, call: &TaskCall, options: &SubmitOptions) -> Result<String>;

    /// Submits a task under an id of the caller's. Submitted again it is the same task, which
    /// is run once.
    fn submit_as(&self, id: &str, call: &TaskCall, options: &SubmitOptions) -> Result<()>;

    /// Tasks, newest first.
    fn tasks(&self, selection: &TaskSelection) -> Result<Vec<TaskRecord>>;

    /// What became of a task.
    ///
    /// # Errors
    /// [`crate::ErrorKind::NotFound`].
    fn task(&self, id: &str) -> Result<TaskRecord>;

    /// Waits for a task to be finished, at most for `limit`.
    ///
    /// # Errors
    /// [`crate::ErrorKind::NotFound`].
    fn wait(&self, id: &str, limit: Duration) -> Result<TaskRecord>;

    /// Calls a task off; whether it was not finished.
    ///
    /// # Errors
    /// [`crate::ErrorKind::NotFound`].
    fn revoke(&self, id: &str) -> Result<bool>;
}

/// Now, as records of tasks have it: RFC 3339 in UTC, to the millisecond.
fn timestamp() -> String {
    chrono::Utc::now().to_rfc3339_opts(chrono::SecondsFormat::Millis, true)
}

/// The name of this machine.
pub fn host() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname")
        .or_else(|_| std::fs::read_to_string("/etc/hostname"))
        .unwrap_or_default();
    match name.trim() {
        "" => "localhost".to_owned(),
        name => name.to_owned(),
    }
}

/// The name of the user that this process runs as.
pub fn user() -> String {
    let mut names = ["LOGNAME", "USER"].into_iter();
    let named = names.find_map(crate::config::variables::platform);
    named.or_else(listed_user).unwrap_or_default()
}

/// The name of this process's user in the list of users.
fn listed_user() -> Option<String> {
    use std::os::unix::fs::MetadataExt;
    let id = std::fs::metadata("/proc/self").ok()?.uid().to_string();
    let users = std::fs::read_to_string("/etc/passwd").ok()?;
    let user = users
        .lines()
        .find(|line| line.split(':').nth(2) == Some(&id))?;
    user.split(':').next().map(str::to_owned)
}

/// A version 4 UUID.
pub fn task_id() -> String {
    uuid(rand::random(), 4)
}

/// A UUID of these bits, some of which are replaced by its version and variant (RFC 9562).
pub(crate) fn uuid(bits: u128, version: u8) -> String {
    let bits = bits & !(0xf << 76) | (u128::from(version) << 76);
    let bits = bits & !(0b11 << 62) | (0b10 << 62);
    let hex = format!("{bits:032x}");
    let part = |from, to| hex.get(from..to).unwrap_or_default();
    [
        part(0, 8),
        part(8, 12),
        part(12, 16),
        part(16, 20),
        part(20, 32),
    ]
    .join("-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn task_ids_are_version_4_uuids() {
        let id = task_id();
        let parts: Vec<&str> = id.split('-').collect();
        assert_eq!(
            parts.iter().map(|part| part.len()).collect::<Vec<_>>(),
            [8, 4, 4, 4, 12]
        );
        assert!(id.get(14..15) == Some("4"), "{id}");
        assert!(
            matches!(id.get(19..20), Some("8" | "9" | "a" | "b")),
            "{id}"
        );
    }
}
