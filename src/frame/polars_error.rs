//! Polars' errors in one line. Its messages may go on with query plans and advice on
//! Python functions, which are of no use to our users.

use crate::error::{Error, ErrorKind, carried};
use polars::error::PolarsError;

/// The error with the kind it amounts to and the first line of its cause.
pub(crate) fn explained(error: &PolarsError) -> Error {
    match root(error) {
        PolarsError::IO { error, .. } => {
            if let Some(ours) = carried(error) {
                return ours.again();
            }
            let kind = match error.kind() {
                std::io::ErrorKind::BrokenPipe => ErrorKind::BrokenPipe,
                std::io::ErrorKind::NotFound => ErrorKind::NotFound,
                _ => ErrorKind::Failed,
            };
            Error::new(kind, first_line(&error.to_string()))
        }
        PolarsError::ColumnNotFound(text) | PolarsError::SchemaFieldNotFound(text) => {
            let text = first_line(text);
            match quoted(&text) {
                Some(name) => Error::not_found(format!("there is no column `{name}`")),
                None => Error::not_found(text),
            }
        }
        PolarsError::SQLInterface(text) | PolarsError::SQLSyntax(text) => {
            Error::usage(first_line(text))
        }
        other => Error::invalid(first_line(&message(other))),
    }
}

/// The name that an unknown-column error is about.
pub(crate) fn missing_column(error: &PolarsError) -> Option<String> {
    match root(error) {
        PolarsError::ColumnNotFound(text) | PolarsError::SchemaFieldNotFound(text) => {
            quoted(&first_line(text))
        }
        // The SQL reader has errors of its own for this.
        PolarsError::SQLInterface(text) if text.contains("column") && text.contains("no") => {
            quoted(&first_line(text))
        }
        _ => None,
    }
}

fn root(error: &PolarsError) -> &PolarsError {
    match error {
        PolarsError::Context { error, .. } | PolarsError::ExprContext { error, .. } => root(error),
        error => error,
    }
}

/// The text without the variant's name, which Polars' own display puts before it.
fn message(error: &PolarsError) -> String {
    match error {
        PolarsError::AssertionError(text)
        | PolarsError::ComputeError(text)
        | PolarsError::Duplicate(text)
        | PolarsError::InvalidOperation(text)
        | PolarsError::NoData(text)
        | PolarsError::OutOfBounds(text)
        | PolarsError::SchemaMismatch(text)
        | PolarsError::ShapeMismatch(text)
        | PolarsError::StringCacheMismatch(text)
        | PolarsError::StructFieldNotFound(text) => text.to_string(),
        other => other.to_string(),
    }
}

fn first_line(text: &str) -> String {
    text.lines()
        .map(str::trim)
        .find(|line| !line.is_empty())
        .unwrap_or("failed")
        .to_owned()
}

/// What stands in the first pair of quotes, or the whole if it is one word.
fn quoted(text: &str) -> Option<String> {
    for quote in ['"', '\'', '`'] {
        let mut parts = text.split(quote);
        if let (Some(_), Some(name), Some(_)) = (parts.next(), parts.next(), parts.next()) {
            return Some(name.to_owned());
        }
    }
    (!text.contains(char::is_whitespace)).then(|| text.to_owned())
}
/// An error of ours on its way through Polars.
pub fn through_polars(error: Error) -> PolarsError {
    PolarsError::IO {
        error: std::sync::Arc::new(std::io::Error::other(error)),
        msg: None,
    }
}
