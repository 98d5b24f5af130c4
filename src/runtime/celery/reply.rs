//! Replies of workers: what state a task is in and what it answered (spec/runtime.md §4).

use super::exception::Exception;
use super::json;
use super::pickle::{self, Value};
use super::repr::repr;
use super::serial::Serializer;
use super::times;
use crate::broker::{Message, Properties};
use crate::error::{Error, Result};
use chrono::{DateTime, Utc};
use std::fmt;

/// The state that a reply tells of, in Celery's words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// A worker runs it.
    Started,
    /// Done.
    Success,
    /// Failed for good.
    Failure,
    /// Failed, and will be tried again.
    Retry,
    /// Called off.
    Revoked,
    /// One that the task made up, such as `PROGRESS`.
    Other(String),
}

impl State {
    /// As in the reply.
    pub fn name(&self) -> &str {
        match self {
            State::Started => "STARTED",
            State::Success => "SUCCESS",
            State::Failure => "FAILURE",
            State::Retry => "RETRY",
            State::Revoked => "REVOKED",
            State::Other(name) => name,
        }
    }

    /// The state of a word.
    pub fn parse(name: &str) -> Self {
        match name {
            "STARTED" => State::Started,
            "SUCCESS" => State::Success,
            "FAILURE" => State::Failure,
            "RETRY" => State::Retry,
            "REVOKED" => State::Revoked,
            other => State::Other(other.to_owned()),
        }
    }

    /// Whether nothing follows.
    pub fn is_final(&self) -> bool {
        matches!(self, State::Success | State::Failure | State::Revoked)
    }

    /// Whether the result is an exception.
    pub fn is_exceptional(&self) -> bool {
        matches!(self, State::Failure | State::Retry | State::Revoked)
    }
}

/// A reply to the client that sent the task.
#[derive(Clone, PartialEq)]
pub struct Reply {
    /// The task.
    pub task_id: String,
    /// Its state.
    pub state: State,
    /// The answer; an exception when it failed; `{pid, hostname}` when it started.
    pub result: Value,
    /// The traceback of a failure, as Python prints it.
    pub traceback: Option<String>,
    /// Tasks that it sent: `((id, parent), children)` each.
    pub children: Vec<Value>,
    /// When it was done: ISO text in UTC.
    pub date_done: Option<String>,
    /// The group that it is part of.
    pub group_id: Option<String>,
    /// The task that sent it.
    pub parent_id: Option<String>,
}

impl Reply {
    /// A task's state and result, and nothing else.
    pub fn of(task_id: &str, state: State, result: Value) -> Self {
        let date_done = (state != State::Started).then(|| now(Utc::now()));
        Reply {
            task_id: task_id.to_owned(),
            state,
            result,
            traceback: None,
            children: Vec::new(),
            date_done,
            group_id: None,
            parent_id: None,
        }
    }

    /// A worker has started it.
    pub fn started(task_id: &str, pid: u32, hostname: &str) -> Self {
        let result = Value::dict([
            ("pid", Value::Int(pid.into())),
            ("hostname", hostname.into()),
        ]);
        Self::of(task_id, State::Started, result)
    }

    /// It is done.
    pub fn success(task_id: &str, result: Value) -> Self {
        Self::of(task_id, State::Success, result)
    }

    /// It failed.
    pub fn failure(task_id: &str, exception: &Exception, traceback: &str) -> Self {
        let mut reply = Self::of(task_id, State::Failure, exception.to_value());
        reply.traceback = Some(traceback.to_owned());
        reply
    }

    /// It failed and will be tried again.
    pub fn retry(task_id: &str, exception: &Exception, traceback: &str) -> Self {
        let mut reply = Self::of(task_id, State::Retry, exception.to_value());
        reply.traceback = Some(traceback.to_owned());
        reply
    }

    /// It was called off: `expired`, `revoked` or `terminated`.
    pub fn revoked(task_id: &str, reason: &str) -> Self {
        Self::of(
            task_id,
            State::Revoked,
            Exception::revoked(reason).to_value(),
        )
    }

    /// Notes that the task sent another one.
    pub fn add_child(&mut self, task_id: &str) {
        let id = Value::tuple([task_id.into(), Value::None]);
        self.children.push(Value::tuple([id, Value::None]));
    }

    /// What it failed with.
    pub fn exception(&self) -> Option<Exception> {
        if !self.state.is_exceptional() {
            return None;
        }
        match &self.result {
            Value::Object(object) => Some(Exception::named(object)),
            other => Some(Exception::new("builtins", "RuntimeError", other.clone())),
        }
    }

    /// Reads a reply in pickle or JSON. An exception of a class that nobody here knows is
    /// read as data; any other strange class is refused by name.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Invalid`] when it is no reply.
    pub fn read(message: &Message) -> Result<Self> {
        let serializer = Serializer::of(&message.properties)?;
        match serializer.read(&message.body) {
            Ok(body) => Self::from_value(&body),
            Err(refused) if serializer == Serializer::Pickle => {
                let any = pickle::decode_any(&message.body, &pickle::Limits::default());
                any.and_then(|body| Self::from_value(&body))
                    .ok()
                    .and_then(Self::with_unknown_exception)
                    .ok_or(refused)
            }
            Err(error) => Err(error),
        }
    }

    /// The reply, if the only strange thing about it is its exception: wrapped as Celery
    /// does it, with text in place of what is not plain.
    fn with_unknown_exception(mut self) -> Option<Self> {
        let Value::Object(object) = &self.result else {
            return None;
        };
        let is_class = object
            .class
            .name
            .starts_with(|c: char| c.is_ascii_uppercase());
        let plain_children = self.children.iter().all(|child| json::plain(child).is_ok());
        if !self.state.is_exceptional() || !is_class || !plain_children {
            return None;
        }
        let mut exception = Exception::named(object);
        for arg in &mut exception.args {
            if json::plain(arg).is_err() {
                *arg = repr(arg).into();
            }
        }
        self.result = exception.to_value();
        Some(self)
    }

    fn from_value(body: &Value) -> Result<Self> {
        let malformed = |what: &str| Error::invalid(format!("a reply of a worker has no {what}"));
        let dict = body.as_dict().ok_or_else(|| malformed("fields"))?;
        let text = |field: &str| dict.get(field).and_then(Value::as_str).map(str::to_owned);
        let state = State::parse(&text("status").ok_or_else(|| malformed("status"))?);
        let result = dict.get("result").cloned().unwrap_or(Value::None);
        let result = match (&result, state.is_exceptional()) {
            (Value::Dict(_), true) => {
                Exception::from_json(&result).map_or(result, |exception| exception.to_value())
            }
            _ => result,
        };
        Ok(Reply {
            task_id: text("task_id").ok_or_else(|| malformed("task_id"))?,
            state,
            result,
            traceback: text("traceback"),
            children: dict
                .get("children")
                .and_then(Value::as_items)
                .unwrap_or_default()
                .to_vec(),
            date_done: text("date_done"),
            group_id: text("group_id"),
            parent_id: text("parent_id"),
        })
    }

    /// The message.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Invalid`] for a result that JSON cannot hold.
    pub fn write(&self, by: Serializer) -> Result<Message> {
        let result = match (by, self.exception()) {
            (Serializer::Json, Some(exception)) => exception.to_json(),
            _ => self.result.clone(),
        };
        let mut fields = vec![
            ("status", self.state.name().into()),
            ("result", result),
            ("traceback", self.traceback.as_deref().into()),
            ("children", Value::list(self.children.iter().cloned())),
            ("date_done", self.date_done.as_deref().into()),
        ];
        if let Some(group) = &self.group_id {
            fields.push(("group_id", group.as_str().into()));
        }
        if let Some(parent) = &self.parent_id {
            fields.push(("parent_id", parent.as_str().into()));
        }
        fields.push(("task_id", self.task_id.as_str().into()));
        let mut properties = Properties {
            correlation_id: Some(self.task_id.clone()),
            delivery_mode: 1,
            priority: Some(0),
            ..Properties::default()
        };
        by.mark(&mut properties);
        let body = by
            .write(&Value::dict(fields))
            .map_err(|error| error.on(self.task_id.as_str()))?;
        Ok(Message {
            properties,
            headers: serde_json::Map::new(),
            body,
        })
    }
}

/// Results may be anybody's secret.
impl fmt::Debug for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reply")
            .field("task_id", &self.task_id)
            .field("state", &self.state)
            .field("result", &self.result.type_name())
            .finish_non_exhaustive()
    }
}

fn now(at: DateTime<Utc>) -> String {
    times::iso_with_zone(&at.fixed_offset())
}
