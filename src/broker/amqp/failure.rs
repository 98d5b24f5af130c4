//! What errors of the AMQP client amount to: kind, one line, what to do; no credentials.

use crate::config::{Url, mask_text};
use crate::error::{Error, ErrorKind};
use lapin::ErrorKind as Lapin;
use lapin::protocol::{AMQPErrorKind, AMQPHardError, AMQPSoftError};

/// The error as ours.
pub(super) fn explain(error: &lapin::Error, url: &Url) -> Error {
    match error.kind() {
        Lapin::ProtocolError(amqp) => {
            let text = mask_text(amqp.get_message().as_str());
            match amqp.kind() {
                AMQPErrorKind::Soft(AMQPSoftError::ACCESSREFUSED)
                | AMQPErrorKind::Hard(AMQPHardError::NOTALLOWED) => unauthorized(&text, url),
                AMQPErrorKind::Soft(AMQPSoftError::NOTFOUND) => {
                    Error::not_found(format!("the broker refused: {text}")).on(url.to_string())
                }
                AMQPErrorKind::Soft(
                    AMQPSoftError::RESOURCELOCKED | AMQPSoftError::PRECONDITIONFAILED,
                ) => Error::conflict(format!("the broker refused: {text}")).on(url.to_string()),
                AMQPErrorKind::Hard(AMQPHardError::CONNECTIONFORCED) => unreachable(&text, url),
                _ => Error::failed(format!("the broker refused: {text}")).on(url.to_string()),
            }
        }
        Lapin::IOError(error) => unreachable(&error.to_string(), url),
        Lapin::AuthProviderError(text) => unauthorized(text, url),
        Lapin::InvalidProtocolVersion(_) | Lapin::ParsingError(_) => {
            unreachable("what answers there does not speak AMQP 0-9-1", url)
        }
        _ => unreachable(&error.to_string(), url),
    }
}

/// The broker cannot be reached.
pub(super) fn unreachable(why: &str, url: &Url) -> Error {
    let why = mask_text(why);
    Error::new(
        ErrorKind::Unreachable,
        format!("the broker cannot be reached: {why}"),
    )
    .on(url.to_string())
    .hint("is RabbitMQ up, and OMEGA_BROKER right? see: om config show")
}

fn unauthorized(why: &str, url: &Url) -> Error {
    Error::new(
        ErrorKind::Unauthorized,
        format!("the broker refuses access: {why}"),
    )
    .on(url.to_string())
    .hint("check user, password and virtual host in OMEGA_BROKER")
}

/// Whether the same call may succeed on another connection or channel.
pub(super) fn passes(error: &lapin::Error) -> bool {
    match error.kind() {
        Lapin::ProtocolError(amqp) => !matches!(
            amqp.kind(),
            AMQPErrorKind::Soft(
                AMQPSoftError::ACCESSREFUSED
                    | AMQPSoftError::NOTFOUND
                    | AMQPSoftError::PRECONDITIONFAILED
                    | AMQPSoftError::RESOURCELOCKED
            )
        ),
        Lapin::SerialisationError(_) | Lapin::AuthProviderError(_) => false,
        _ => true,
    }
}

/// Whether the broker says that something is there already, but made otherwise.
pub(super) fn is_other(error: &lapin::Error) -> bool {
    soft(error) == Some(AMQPSoftError::PRECONDITIONFAILED)
}

/// Whether the broker says that there is no such queue.
pub(super) fn is_missing(error: &lapin::Error) -> bool {
    soft(error) == Some(AMQPSoftError::NOTFOUND)
}

fn soft(error: &lapin::Error) -> Option<AMQPSoftError> {
    match error.kind() {
        Lapin::ProtocolError(amqp) => match amqp.kind() {
            AMQPErrorKind::Soft(soft) => Some(soft.clone()),
            AMQPErrorKind::Hard(_) => None,
        },
        _ => None,
    }
}
