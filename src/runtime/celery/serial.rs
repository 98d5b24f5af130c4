//! The two ways in which Celery writes a body: pickle and JSON.

use super::json;
use super::pickle::{self, Value};
use crate::broker::Properties;
use crate::error::{Context, Error, Result};

/// How a body is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Serializer {
    /// Pickle, protocol 4: all values.
    #[default]
    Pickle,
    /// JSON: what JSON can hold.
    Json,
}

impl Serializer {
    /// The one that the properties of a message name.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Invalid`] for others.
    pub fn of(properties: &Properties) -> Result<Self> {
        match properties.content_type.as_deref() {
            Some("application/x-python-serialize") => Ok(Serializer::Pickle),
            Some("application/json") => Ok(Serializer::Json),
            other => Err(Error::invalid(format!(
                "messages of type {} are not known",
                other.unwrap_or("(none)")
            ))
            .hint("send application/json or application/x-python-serialize")),
        }
    }

    /// Names it in the properties of a message.
    pub fn mark(self, properties: &mut Properties) {
        let (kind, encoding) = match self {
            Serializer::Pickle => ("application/x-python-serialize", "binary"),
            Serializer::Json => ("application/json", "utf-8"),
        };
        properties.content_type = Some(kind.to_owned());
        properties.content_encoding = Some(encoding.to_owned());
    }

    /// The body of `value`.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Invalid`] for what JSON cannot hold.
    pub fn write(self, value: &Value) -> Result<Vec<u8>> {
        match self {
            Serializer::Pickle => Ok(pickle::encode(value)),
            Serializer::Json => Ok(json::plain(value)?.to_string().into_bytes()),
        }
    }

    /// The value of a body.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Invalid`], as [`pickle::decode`].
    pub fn read(self, body: &[u8]) -> Result<Value> {
        match self {
            Serializer::Pickle => pickle::decode(body),
            Serializer::Json => {
                let limit = pickle::Limits::default().bytes;
                if body.len() > limit {
                    return Err(Error::invalid(format!(
                        "the message has {} bytes, more than the {limit} allowed",
                        body.len()
                    )));
                }
                let json = serde_json::from_slice(body)
                    .context(|| "the body of the message is not valid JSON")?;
                Ok(json::to_value(&json))
            }
        }
    }
}
