//! What is known of a task: its state, times, worker, and what became of it.

use crate::error::{Error, ErrorKind, Result};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::fmt;

/// The state of a task, in Celery's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum TaskState {
    /// Submitted.
    Pending,
    /// Running.
    Started,
    /// To be run again.
    Retry,
    /// Done.
    Success,
    /// Failed.
    Failure,
    /// Called off before it was done.
    Revoked,
}

impl TaskState {
    /// All states.
    pub const ALL: [TaskState; 6] = [
        TaskState::Pending,
        TaskState::Started,
        TaskState::Retry,
        TaskState::Success,
        TaskState::Failure,
        TaskState::Revoked,
    ];

    /// Celery's word.
    pub fn word(self) -> &'static str {
        match self {
            TaskState::Pending => "PENDING",
            TaskState::Started => "STARTED",
            TaskState::Retry => "RETRY",
            TaskState::Success => "SUCCESS",
            TaskState::Failure => "FAILURE",
            TaskState::Revoked => "REVOKED",
        }
    }

    /// The state of a word, in any case; `done`, `failed`, `running` and `cancelled` too.
    ///
    /// # Errors
    /// [`ErrorKind::Usage`].
    pub fn parse(text: &str) -> Result<Self> {
        let word = match text.to_ascii_uppercase().as_str() {
            "DONE" | "SUCCEEDED" => "SUCCESS".to_owned(),
            "FAILED" => "FAILURE".to_owned(),
            "RUNNING" => "STARTED".to_owned(),
            "CANCELLED" | "CANCELED" => "REVOKED".to_owned(),
            "WAITING" | "QUEUED" => "PENDING".to_owned(),
            other => other.to_owned(),
        };
        TaskState::ALL
            .into_iter()
            .find(|state| state.word() == word)
            .ok_or_else(|| {
                Error::usage(format!("`{text}` is no state of a task"))
                    .hint("states: pending, started, retry, success, failure, revoked")
            })
    }

    /// Whether nothing more is going to happen.
    pub fn is_final(self) -> bool {
        matches!(
            self,
            TaskState::Success | TaskState::Failure | TaskState::Revoked
        )
    }
}

impl fmt::Display for TaskState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// Why a task failed.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct TaskError {
    /// The class of the exception as Python knows it, e.g. `builtins.ValueError`.
    #[serde(rename = "type")]
    pub class: String,
    /// What went wrong.
    pub message: String,
    /// Where, if the worker told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traceback: Option<String>,
}

impl fmt::Display for TaskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let class = self.class.rsplit('.').next().unwrap_or_default();
        match (class, self.message.as_str()) {
            ("", message) => f.write_str(message),
            (class, "") => f.write_str(class),
            (class, message) => write!(f, "{class}: {message}"),
        }
    }
}

/// What is known of a task. Times are RFC 3339 in UTC, to the millisecond.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TaskRecord {
    /// The task's id, a version 4 UUID.
    pub id: String,
    /// What kind of task, e.g. `omegaml.tasks.omega_predict`.
    pub task: String,
    /// Its arguments, shortened, for people.
    #[serde(default)]
    pub args: String,
    /// The label (queue) it was sent to.
    #[serde(default)]
    pub label: String,
    /// The bucket it works in.
    #[serde(default)]
    pub bucket: String,
    /// Its state.
    pub state: TaskState,
    /// Submitted; the time of arrival where another program has submitted it.
    pub submitted: String,
    /// Last started.
    #[serde(default)]
    pub started: Option<String>,
    /// Ended, well or not.
    #[serde(default)]
    pub ended: Option<String>,
    /// The worker that runs it or has run it.
    #[serde(default)]
    pub worker: Option<String>,
    /// How often it was started.
    #[serde(default)]
    pub attempts: i64,
    /// The answer.
    #[serde(default)]
    pub result: Value,
    /// Why it failed.
    #[serde(default)]
    pub error: Option<TaskError>,
    /// The queue that its worker answers to, where that is another program.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reply_to: Option<String>,
}

impl TaskRecord {
    /// The record of a task that is submitted now.
    pub fn new(id: &str, task: &str) -> Self {
        TaskRecord {
            id: id.to_owned(),
            task: task.to_owned(),
            args: String::new(),
            label: String::new(),
            bucket: String::new(),
            state: TaskState::Pending,
            submitted: super::timestamp(),
            started: None,
            ended: None,
            worker: None,
            attempts: 0,
            result: Value::Null,
            error: None,
            reply_to: None,
        }
    }

    /// The result, or the error of a task that failed.
    ///
    /// # Errors
    /// [`ErrorKind::TaskFailed`]; [`ErrorKind::Conflict`] while it is not done.
    pub fn outcome(self) -> Result<Value> {
        match self.state {
            TaskState::Success => Ok(self.result),
            TaskState::Failure => {
                let text = self.error.map(|error| error.to_string());
                Err(Error::new(
                    ErrorKind::TaskFailed,
                    text.unwrap_or_else(|| "the task failed".to_owned()),
                )
                .on(self.id))
            }
            TaskState::Revoked => {
                Err(Error::new(ErrorKind::TaskFailed, "the task was cancelled").on(self.id))
            }
            TaskState::Pending | TaskState::Started | TaskState::Retry => {
                Err(Error::conflict(format!("task {} is not done yet", self.id))
                    .hint("wait for it: om runtime result ID --wait"))
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn states_have_words() {
        for state in TaskState::ALL {
            assert_eq!(TaskState::parse(state.word()).unwrap(), state);
            assert_eq!(
                serde_json::to_value(state).unwrap(),
                Value::from(state.word())
            );
        }
        assert_eq!(TaskState::parse("failed").unwrap(), TaskState::Failure);
        assert_eq!(TaskState::parse("x").unwrap_err().kind(), ErrorKind::Usage);
    }

    #[test]
    fn errors_read_like_pythons() {
        let error = |class: &str, message: &str| {
            TaskError {
                class: class.to_owned(),
                message: message.to_owned(),
                traceback: None,
            }
            .to_string()
        };
        assert_eq!(error("builtins.ValueError", "no"), "ValueError: no");
        assert_eq!(error("", "no"), "no");
        assert_eq!(error("builtins.KeyError", ""), "KeyError");
    }
}
