//! The one error model: what failed, on which object, why, and what to do.
//!
//! Rules. A function that can fail returns [`Result`]. The place that knows the
//! object names it; the place that knows the remedy gives the hint; foreign errors
//! are kept as the source, never re-worded into it. The kind decides the exit code,
//! in one match, here.

use std::error::Error as StdError;
use std::fmt;

/// The result of everything in this library that can fail.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What sort of failure it is; decides the exit code and what a caller may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// The operation failed for a reason that no other kind covers.
    Failed,
    /// Input data or a stored value is not what it must be.
    Invalid,
    /// Stored bytes are not those that were written.
    Corrupt,
    /// The call itself is wrong: arguments, flags, names.
    Usage,
    /// The object, column or task does not exist.
    NotFound,
    /// Not authenticated, or not allowed.
    Unauthorized,
    /// It exists already, has changed meanwhile, or a precondition does not hold.
    Conflict,
    /// A task was run and failed.
    TaskFailed,
    /// A server could not be reached; trying again may help.
    Unreachable,
    /// A time limit has passed; trying again may help.
    TimedOut,
    /// Interrupted by the user.
    Interrupted,
    /// The reader of our output has gone; not worth a word.
    BrokenPipe,
}

impl ErrorKind {
    /// The exit code of the process.
    pub fn exit_code(self) -> u8 {
        match self {
            ErrorKind::BrokenPipe => 0,
            ErrorKind::Failed | ErrorKind::Invalid | ErrorKind::Corrupt => 1,
            ErrorKind::Usage => 2,
            ErrorKind::NotFound => 3,
            ErrorKind::Unauthorized => 4,
            ErrorKind::Conflict => 5,
            ErrorKind::TaskFailed => 6,
            ErrorKind::Unreachable => 7,
            ErrorKind::TimedOut => 124,
            ErrorKind::Interrupted => 130,
        }
    }

    /// The kind as it stands in JSON errors.
    pub fn name(self) -> &'static str {
        match self {
            ErrorKind::Failed => "failed",
            ErrorKind::Invalid => "invalid",
            ErrorKind::Corrupt => "corrupt",
            ErrorKind::Usage => "usage",
            ErrorKind::NotFound => "not_found",
            ErrorKind::Unauthorized => "unauthorized",
            ErrorKind::Conflict => "conflict",
            ErrorKind::TaskFailed => "task_failed",
            ErrorKind::Unreachable => "unreachable",
            ErrorKind::TimedOut => "timed_out",
            ErrorKind::Interrupted => "interrupted",
            ErrorKind::BrokenPipe => "broken_pipe",
        }
    }

    /// The kind of a name.
    pub fn of_name(name: &str) -> Option<Self> {
        use ErrorKind::*;
        [
            Failed,
            Invalid,
            Corrupt,
            Usage,
            NotFound,
            Unauthorized,
            Conflict,
            TaskFailed,
            Unreachable,
            TimedOut,
            Interrupted,
            BrokenPipe,
        ]
        .into_iter()
        .find(|kind| kind.name() == name)
    }

    /// Whether the same call may succeed later.
    pub fn retryable(self) -> bool {
        matches!(self, ErrorKind::Unreachable | ErrorKind::TimedOut)
    }
}

/// An error: kind, message, and optionally the object, a hint and the cause.
pub struct Error(Box<Inner>);

struct Inner {
    kind: ErrorKind,
    message: String,
    object: Option<String>,
    hint: Option<String>,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

impl Error {
    /// An error of `kind`; `message` says what failed in one line without a full stop.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Error(Box::new(Inner {
            kind,
            message: message.into(),
            object: None,
            hint: None,
            source: None,
        }))
    }

    /// [`ErrorKind::Failed`].
    pub fn failed(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Failed, message)
    }

    /// [`ErrorKind::Invalid`].
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Invalid, message)
    }

    /// [`ErrorKind::Corrupt`].
    pub fn corrupt(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Corrupt, message)
    }

    /// [`ErrorKind::Usage`].
    pub fn usage(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Usage, message)
    }

    /// [`ErrorKind::NotFound`].
    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::NotFound, message)
    }

    /// [`ErrorKind::Conflict`].
    pub fn conflict(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Conflict, message)
    }

    /// Names the object (`data/sales`, a path, a column) that the operation was on.
    pub fn on(mut self, object: impl Into<String>) -> Self {
        self.0.object.get_or_insert_with(|| object.into());
        self
    }

    /// Says what to do about it. The first hint given stays.
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.0.hint.get_or_insert_with(|| hint.into());
        self
    }

    /// Keeps the cause.
    pub fn because(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.0.source = Some(source.into());
        self
    }

    /// The kind.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// The message, without object and cause.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// The object it happened on.
    pub fn object(&self) -> Option<&str> {
        self.0.object.as_deref()
    }

    /// What to do.
    pub fn hint_text(&self) -> Option<&str> {
        let carried = || carried(self.0.source.as_ref()?.downcast_ref()?)?.hint_text();
        self.0.hint.as_deref().or_else(carried)
    }
}

impl Error {
    /// The same error, with its causes in the message: for errors that others hold.
    pub(crate) fn again(&self) -> Error {
        let mut error = Error::new(self.kind(), self.to_string());
        error.0.object = self.0.object.clone();
        error.0.hint = self.hint_text().map(str::to_owned);
        error
    }
}

/// One line: object, message and causes. A cause that repeats the line is left out.
impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut line = match &self.0.object {
            Some(object) if !self.0.message.contains(object.as_str()) => {
                format!("{object}: {}", self.0.message)
            }
            _ => self.0.message.clone(),
        };
        let mut cause = self.source();
        while let Some(error) = cause {
            let text = error.to_string();
            if !text.is_empty() && !line.contains(&text) {
                line.push_str(": ");
                line.push_str(&text);
            }
            cause = error.source();
        }
        f.write_str(&line)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Error")
            .field("kind", &self.0.kind)
            .field("message", &self.0.message)
            .field("object", &self.0.object)
            .field("hint", &self.0.hint)
            .field("source", &self.0.source)
            .finish()
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source.as_deref().map(|source| source as _)
    }
}

/// Turns a foreign error into ours at the place that knows what was being done.
pub trait Context<T> {
    /// `message` says what failed; the foreign error becomes the cause.
    fn context<M: Into<String>>(self, message: impl FnOnce() -> M) -> Result<T>;
}

impl<T, E: IntoError> Context<T> for std::result::Result<T, E> {
    fn context<M: Into<String>>(self, message: impl FnOnce() -> M) -> Result<T> {
        self.map_err(|error| Error::new(error.error_kind(), message()).because(error))
    }
}

/// A foreign error and the kind it amounts to.
pub trait IntoError: Into<Box<dyn StdError + Send + Sync>> {
    /// The kind; [`ErrorKind::Failed`] unless the type knows better.
    fn error_kind(&self) -> ErrorKind {
        ErrorKind::Failed
    }
}

impl IntoError for std::io::Error {
    fn error_kind(&self) -> ErrorKind {
        // A reader of ours that had to fail through `std::io::Read`.
        if let Some(error) = carried(self) {
            return error.kind();
        }
        match self.kind() {
            std::io::ErrorKind::NotFound => ErrorKind::NotFound,
            std::io::ErrorKind::BrokenPipe => ErrorKind::BrokenPipe,
            _ => ErrorKind::Failed,
        }
    }
}

/// The error of ours that had to pass through `std::io::Read` or `Write`, or Polars.
pub(crate) fn carried(error: &std::io::Error) -> Option<&Error> {
    error.get_ref()?.downcast_ref()
}

impl IntoError for rusqlite::Error {}
impl IntoError for serde_json::Error {
    fn error_kind(&self) -> ErrorKind {
        ErrorKind::Invalid
    }
}
impl IntoError for polars::error::PolarsError {
    fn error_kind(&self) -> ErrorKind {
        use polars::error::PolarsError as P;
        match self {
            P::ColumnNotFound(_) | P::SchemaFieldNotFound(_) => ErrorKind::NotFound,
            P::IO { error, .. } => error.error_kind(),
            _ => ErrorKind::Invalid,
        }
    }
}
impl IntoError for regex::Error {
    fn error_kind(&self) -> ErrorKind {
        ErrorKind::Usage
    }
}
impl IntoError for bson::error::Error {
    fn error_kind(&self) -> ErrorKind {
        ErrorKind::Invalid
    }
}

/// The candidates nearest to `name`, best first, for "did you mean".
pub fn nearest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    candidates
        .into_iter()
        .map(|candidate| (strsim::jaro_winkler(name, candidate), candidate))
        .filter(|(score, _)| *score > 0.8)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_names_object_message_and_cause_once() {
        let error = Error::failed("cannot read")
            .on("data/sales")
            .because(std::io::Error::other("disk on fire"));
        assert_eq!(error.to_string(), "data/sales: cannot read: disk on fire");
        let error = Error::not_found("data/sales does not exist").on("data/sales");
        assert_eq!(error.to_string(), "data/sales does not exist");
    }

    #[test]
    fn nearest_is_near() {
        assert_eq!(nearest("flihgts", ["planes", "flights"]), Some("flights"));
        assert_eq!(nearest("zzz", ["planes", "flights"]), None);
    }
}
