//! Running tasks. A [`Call`] says what to do on which objects, a [`TaskRecord`] what
//! became of it; where it runs is the runtime's business.

pub mod celery;
mod input;
mod local;
mod model;
mod objects;

pub use input::Input;
pub use local::LocalRuntime;
pub use model::{Action, ModelCall};
pub use objects::{Models, Objects};

use crate::error::{Error, ErrorKind, Result};
use polars::prelude::DataFrame;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What a task does.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub enum Call {
    /// An action of a model.
    Model(ModelCall),
}

/// What a task answers.
#[derive(Debug)]
pub enum Outcome {
    /// A table: predictions, transformed data, search results.
    Table(DataFrame),
    /// A number: a score.
    Number(f64),
    /// The metadata of the object that was written.
    Metadata(Box<crate::storage::Metadata>),
}

impl Outcome {
    /// The answer as JSON: an array of rows, a number, or metadata.
    pub fn to_json(&self) -> Result<Value> {
        match self {
            Outcome::Table(frame) => crate::frame::json::rows(frame).map(Value::Array),
            Outcome::Number(number) => {
                Ok(serde_json::Number::from_f64(*number).map_or(Value::Null, Value::Number))
            }
            Outcome::Metadata(metadata) => Ok(metadata.to_json()),
        }
    }
}

/// The state of a task, in Celery's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum TaskState {
    /// Submitted.
    Pending,
    /// Running.
    Started,
    /// Done.
    Success,
    /// Failed.
    Failure,
}

/// What became of a task.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TaskRecord {
    /// The task's id, a version 4 UUID.
    pub id: String,
    /// What it does.
    pub call: Call,
    /// Its state.
    pub state: TaskState,
    /// Submitted, RFC 3339 in UTC.
    pub submitted: String,
    /// Started.
    #[serde(default)]
    pub started: Option<String>,
    /// Ended, well or not.
    #[serde(default)]
    pub ended: Option<String>,
    /// The process that runs it.
    #[serde(default)]
    pub pid: Option<u32>,
    /// The answer.
    #[serde(default)]
    pub result: Value,
    /// The error of a failed task.
    #[serde(default)]
    pub error: Option<String>,
}

impl TaskRecord {
    /// The result, or the error of a task that failed.
    ///
    /// # Errors
    /// [`ErrorKind::TaskFailed`]; [`ErrorKind::Conflict`] while it is not done.
    pub fn outcome(self) -> Result<Value> {
        match self.state {
            TaskState::Success => Ok(self.result),
            TaskState::Failure => Err(Error::new(
                ErrorKind::TaskFailed,
                self.error.unwrap_or_else(|| "the task failed".to_owned()),
            )
            .on(self.id)),
            TaskState::Pending | TaskState::Started => {
                Err(Error::conflict(format!("task {} is not done yet", self.id))
                    .hint("wait for it: om runtime result ID --wait"))
            }
        }
    }
}

/// Submits tasks and tells what became of them.
pub trait Runtime {
    /// Runs `call` and waits for its answer.
    ///
    /// # Errors
    /// What the call itself fails with.
    fn run(&self, call: &Call) -> Result<Outcome>;

    /// Records `call` as a task to be executed; answers its id.
    fn submit(&self, call: Call) -> Result<String>;

    /// What became of a task.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`].
    fn task(&self, id: &str) -> Result<TaskRecord>;
}
