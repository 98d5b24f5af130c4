//! Signatures: tasks to be sent later, as callbacks, links of a chain or the body of a
//! chord (spec/runtime.md §10).

use super::pickle::{Dict, Value};
use super::serial::Serializer;
use crate::error::{Error, Result};
use std::fmt;
use std::sync::Arc;

/// Keyword arguments in order.
#[derive(Clone, Default, PartialEq)]
pub struct Kwargs(pub Vec<(String, Value)>);

/// A task that is still to be sent.
#[derive(Clone, PartialEq)]
pub struct Signature {
    /// The task's name; `celery.group` and the like for compound ones.
    pub task: String,
    /// Positional arguments.
    pub args: Vec<Value>,
    /// Keyword arguments.
    pub kwargs: Kwargs,
    /// How to send it: `task_id`, `reply_to`, `queue` and others.
    pub options: Kwargs,
    /// `group`, `chain`, `chord` and the like for compound ones.
    pub subtask_type: Option<String>,
    /// Whether results of tasks before are kept out of the arguments.
    pub immutable: bool,
    /// What else Celery keeps with it, such as `chord_size`.
    pub others: Kwargs,
}

impl Kwargs {
    /// The argument called `name`.
    pub fn get(&self, name: &str) -> Option<&Value> {
        let found = self.0.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value)
    }

    /// Takes the argument called `name` out.
    pub fn take(&mut self, name: &str) -> Option<Value> {
        let place = self.0.iter().position(|(known, _)| known == name)?;
        Some(self.0.remove(place).1)
    }

    /// Adds an argument at the end.
    pub fn push(&mut self, name: &str, value: impl Into<Value>) {
        self.0.push((name.to_owned(), value.into()));
    }

    /// The arguments of a dict.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Invalid`] when it is no dict with text keys.
    pub fn read(value: &Value) -> Result<Self> {
        let dict = value
            .as_dict()
            .ok_or_else(|| Error::invalid("keyword arguments of a task are no dict"))?;
        let pairs = dict.iter().map(|(key, value)| match key {
            Value::Str(name) => Ok((name.to_string(), value.clone())),
            _ => Err(Error::invalid(
                "the name of a keyword argument of a task is no text",
            )),
        });
        pairs.collect::<Result<_>>().map(Kwargs)
    }

    /// The arguments as a dict.
    pub fn to_value(&self) -> Value {
        let pairs = self
            .0
            .iter()
            .map(|(name, value)| (name.as_str().into(), value.clone()));
        Value::Dict(Arc::new(Dict::new(pairs.collect())))
    }
}

/// Arguments may be anybody's secret: names only.
impl fmt::Debug for Kwargs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list()
            .entries(self.0.iter().map(|(name, _)| name))
            .finish()
    }
}

/// As [`Kwargs`]: no values.
impl fmt::Debug for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signature")
            .field("task", &self.task)
            .field("args", &self.args.len())
            .field("kwargs", &self.kwargs)
            .finish_non_exhaustive()
    }
}

impl Signature {
    /// `task` with nothing but its arguments.
    pub fn new(task: &str, args: Vec<Value>, kwargs: Kwargs) -> Self {
        Signature {
            task: task.to_owned(),
            args,
            kwargs,
            options: Kwargs::default(),
            subtask_type: None,
            immutable: false,
            others: Kwargs::default(),
        }
    }

    /// Reads a signature, pickled or as a dict.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Invalid`] when it is none.
    pub fn read(value: &Value) -> Result<Self> {
        let dict = match value {
            Value::Object(object) if object.class.module == "celery.canvas" => {
                object.args.first().unwrap_or(&Value::None)
            }
            other => other,
        };
        let no_signature = || Error::invalid("a signature in the message is malformed");
        let mut parts = Kwargs::read(dict).map_err(|_| no_signature())?;
        let task = parts.take("task").ok_or_else(no_signature)?;
        let args = parts.take("args").unwrap_or(Value::None);
        let dict = |value: Option<Value>| match value {
            None | Some(Value::None) => Ok(Kwargs::default()),
            Some(value) => Kwargs::read(&value),
        };
        Ok(Signature {
            task: task.as_str().ok_or_else(no_signature)?.to_owned(),
            args: match &args {
                Value::None => Vec::new(),
                other => other.as_items().ok_or_else(no_signature)?.to_vec(),
            },
            kwargs: dict(parts.take("kwargs"))?,
            options: dict(parts.take("options"))?,
            subtask_type: parts
                .take("subtask_type")
                .and_then(|kind| kind.as_str().map(str::to_owned)),
            immutable: parts
                .take("immutable")
                .is_some_and(|value| value == Value::Bool(true)),
            others: parts,
        })
    }

    /// The signature in a message of this kind.
    pub fn to_value(&self, by: Serializer) -> Value {
        let mut parts = Kwargs::default();
        parts.push("task", self.task.as_str());
        parts.push("args", Value::tuple(self.args.iter().cloned()));
        parts.push("kwargs", self.kwargs.to_value());
        parts.push("options", self.options.to_value());
        parts.push("subtask_type", self.subtask_type.as_deref());
        parts.push("immutable", self.immutable);
        parts.0.extend(self.others.0.iter().cloned());
        let dict = parts.to_value();
        match by {
            Serializer::Pickle => Value::call("celery.canvas", "signature", [dict]),
            Serializer::Json => dict,
        }
    }

    /// The id under which the task is to be sent.
    pub fn task_id(&self) -> Option<&str> {
        self.options.get("task_id")?.as_str()
    }

    /// The queue that its replies go to.
    pub fn reply_to(&self) -> Option<&str> {
        self.options.get("reply_to")?.as_str()
    }

    /// The arguments when `results` of tasks before come first, unless it is immutable.
    pub fn args_after(&self, results: impl IntoIterator<Item = Value>) -> Vec<Value> {
        if self.immutable {
            return self.args.clone();
        }
        results
            .into_iter()
            .chain(self.args.iter().cloned())
            .collect()
    }
}
