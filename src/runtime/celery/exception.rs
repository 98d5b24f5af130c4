//! Python's exceptions as data: what a task failed with (spec/runtime.md §4).

use super::pickle::{self, Made, Object, Value};
use super::repr;
use crate::error::{Error, ErrorKind};
use std::fmt;

/// An exception that was raised, or is to be raised where a result is read.
#[derive(Debug, Clone, PartialEq)]
pub struct Exception {
    /// `builtins`
    pub module: String,
    /// `ValueError`
    pub class: String,
    /// What it was raised with.
    pub args: Vec<Value>,
}

impl Exception {
    /// `module.class(message)`
    pub fn new(module: &str, class: &str, message: impl Into<Value>) -> Self {
        Exception {
            module: module.to_owned(),
            class: class.to_owned(),
            args: vec![message.into()],
        }
    }

    /// No worker knows a task of this name.
    pub fn not_registered(task: &str) -> Self {
        Self::new("celery.exceptions", "NotRegistered", task)
    }

    /// The worker died over the task.
    pub fn worker_lost(message: &str) -> Self {
        Self::new("billiard.exceptions", "WorkerLostError", message)
    }

    /// The task was revoked: `expired`, `revoked` or `terminated`.
    pub fn revoked(reason: &str) -> Self {
        Self::new("celery.exceptions", "TaskRevokedError", reason)
    }

    /// The task took longer than its soft limit.
    pub fn soft_time_limit() -> Self {
        Exception {
            args: Vec::new(),
            ..Self::new("billiard.exceptions", "SoftTimeLimitExceeded", Value::None)
        }
    }

    /// The task took longer than its hard limit, in seconds.
    pub fn time_limit(seconds: f64) -> Self {
        Self::new("billiard.exceptions", "TimeLimitExceeded", seconds)
    }

    /// The Python exception nearest to an error of ours, of a class that every client has.
    pub fn from_error(error: &Error) -> Self {
        let class = match error.kind() {
            ErrorKind::Invalid | ErrorKind::Corrupt | ErrorKind::Usage => "ValueError",
            ErrorKind::NotFound => "LookupError",
            ErrorKind::Unauthorized => "PermissionError",
            ErrorKind::Unreachable | ErrorKind::BrokenPipe => "ConnectionError",
            ErrorKind::TimedOut => "TimeoutError",
            ErrorKind::Failed
            | ErrorKind::Conflict
            | ErrorKind::TaskFailed
            | ErrorKind::Interrupted => "RuntimeError",
        };
        let text = match error.hint_text() {
            Some(hint) => format!("{error} ({hint})"),
            None => error.to_string(),
        };
        Self::new("builtins", class, text)
    }

    /// The error to report to whoever waits for task `id`.
    pub fn to_error(&self, id: &str) -> Error {
        Error::new(ErrorKind::TaskFailed, self.to_string()).on(id)
    }

    /// The exception that `object` stands for, if it is one.
    pub fn of(object: &Object) -> Option<Self> {
        is_exception(object).then(|| Self::named(object))
    }

    /// `object` taken for an exception because it stands where one belongs.
    pub(super) fn named(object: &Object) -> Self {
        match (object.class.name.as_str(), &*object.args) {
            ("UnpickleableExceptionWrapper", [Value::Str(module), Value::Str(class), args, ..]) => {
                Exception {
                    module: module.to_string(),
                    class: class.to_string(),
                    args: args.as_items().unwrap_or_default().to_vec(),
                }
            }
            (_, args) => Exception {
                module: object.class.module.clone(),
                class: object.class.name.clone(),
                args: args.to_vec(),
            },
        }
    }

    /// The exception of a JSON result: `{exc_type, exc_message, exc_module}`.
    pub(super) fn from_json(result: &Value) -> Option<Self> {
        let result = result.as_dict()?;
        let args = match result.get("exc_message")? {
            Value::List(args) => args.to_vec(),
            Value::Tuple(args) => args.to_vec(),
            single => vec![single.clone()],
        };
        Some(Exception {
            module: result
                .get("exc_module")
                .and_then(Value::as_str)
                .unwrap_or("builtins")
                .to_owned(),
            class: result.get("exc_type")?.as_str()?.to_owned(),
            args,
        })
    }

    /// As a pickled result holds it. A class that messages may not name is wrapped, as
    /// Celery does with exceptions that it cannot pickle.
    pub fn to_value(&self) -> Value {
        if pickle::is_allowed(&self.module, &self.class) {
            return Value::call(&self.module, &self.class, self.args.iter().cloned());
        }
        let args = Value::tuple(self.args.iter().cloned());
        let text = match self.args.as_slice() {
            [single] => format!("{}({})", self.class, repr::repr(single)),
            _ => format!("{}{}", self.class, repr::repr(&args)),
        };
        let parts = [
            self.module.as_str().into(),
            self.class.as_str().into(),
            args,
            text.into(),
        ];
        let module = "celery.utils.serialization";
        Value::call(module, "UnpickleableExceptionWrapper", parts)
    }

    /// As a JSON result holds it; arguments that JSON can't hold as Python prints them.
    pub(super) fn to_json(&self) -> Value {
        let args = self.args.iter().map(|arg| match super::json::plain(arg) {
            Ok(_) => arg.clone(),
            Err(_) => repr::repr(arg).into(),
        });
        Value::dict([
            ("exc_type", self.class.as_str().into()),
            ("exc_message", Value::list(args)),
            ("exc_module", self.module.as_str().into()),
        ])
    }

    /// What Python's `str` says.
    pub fn message(&self) -> String {
        let text = |value: &Value| match value {
            Value::Str(text) => text.to_string(),
            other => repr::repr(other),
        };
        match (self.class.as_str(), self.args.as_slice()) {
            ("NotRegistered", [task]) => format!(
                "Task of kind {} never registered, please make sure it's imported.",
                repr::repr(task)
            ),
            ("SoftTimeLimitExceeded" | "TimeLimitExceeded", args) => {
                format!("{}{}", self.class, repr::repr(&Value::tuple(args.to_vec())))
            }
            ("KeyError", [key]) => repr::repr(key),
            ("Retry", [Value::Str(message), ..]) => message.to_string(),
            (_, []) => String::new(),
            (_, [single]) => text(single),
            (_, [Value::Int(number), reason, rest @ ..])
                if self.module == "builtins" && self.class != "KeyError" && rest.len() < 4 =>
            {
                let file = match rest.first() {
                    Some(file) if !file.is_none() => format!(": {}", repr::repr(file)),
                    _ => String::new(),
                };
                format!("[Errno {number}] {}{file}", text(reason))
            }
            (_, args) => repr::repr(&Value::tuple(args.to_vec())),
        }
    }
}

/// `ValueError: what went wrong`, as the last line of a traceback.
impl fmt::Display for Exception {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let message = self.message();
        if message.is_empty() {
            return f.write_str(&self.class);
        }
        write!(f, "{}: {message}", self.class)
    }
}

/// Whether the class of `object` is one of exceptions: those of Python itself have a
/// capital letter, others live in modules that say so.
pub(super) fn is_exception(object: &Object) -> bool {
    let class = &*object.class;
    let capital = class.name.starts_with(|c: char| c.is_ascii_uppercase());
    let place = class.module.rsplit('.').next().unwrap_or_default();
    object.made == Made::Call
        && capital
        && (class.module == "builtins"
            || matches!(place, "exceptions" | "errors" | "decoder" | "linalg")
            || class.name == "UnpickleableExceptionWrapper")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exceptions_read_as_in_python() {
        let os_error = Exception {
            args: vec![Value::Int(2), "No such file".into(), "x".into()],
            ..Exception::new("builtins", "FileNotFoundError", Value::None)
        };
        for (exception, text) in [
            (
                Exception::new("builtins", "ValueError", "bad"),
                "ValueError: bad",
            ),
            (Exception::new("builtins", "KeyError", "a"), "KeyError: 'a'"),
            (
                Exception::not_registered("a.b"),
                "NotRegistered: Task of kind 'a.b' never registered, please make sure it's imported.",
            ),
            (
                Exception::soft_time_limit(),
                "SoftTimeLimitExceeded: SoftTimeLimitExceeded()",
            ),
            (
                Exception::time_limit(30.0),
                "TimeLimitExceeded: TimeLimitExceeded(30.0,)",
            ),
            (os_error, "FileNotFoundError: [Errno 2] No such file: 'x'"),
        ] {
            assert_eq!(exception.to_string(), text);
        }
    }

    #[test]
    fn our_errors_become_builtin_exceptions() {
        let error = Error::not_found("models/m does not exist").hint("see om models list");
        let exception = Exception::from_error(&error);
        assert_eq!(
            exception.to_string(),
            "LookupError: models/m does not exist (see om models list)"
        );
        assert_eq!(exception.to_error("id").kind(), ErrorKind::TaskFailed);
    }
}
