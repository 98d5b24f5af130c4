//! A message as brokers carry it: AMQP's basic properties, headers and an opaque body.
//! What headers and body mean is for others to know (spec/runtime.md §3, §4).

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::fmt;

/// A message.
#[derive(Clone, Default, PartialEq)]
pub struct Message {
    /// What brokers look at.
    pub properties: Properties,
    /// What the receiver looks at before the body.
    pub headers: Map<String, Value>,
    /// The content, in the encoding that the properties name.
    pub body: Vec<u8>,
}

/// AMQP's basic properties, as far as Celery uses them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Properties {
    /// The MIME type of the body.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content_type: Option<String>,
    /// The encoding of the body, such as `utf-8` or `binary`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content_encoding: Option<String>,
    /// What a reply belongs to: the task's id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub correlation_id: Option<String>,
    /// The queue that replies go to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reply_to: Option<String>,
    /// How long the message is of use, in milliseconds as text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expiration: Option<String>,
    /// An id of the message itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message_id: Option<String>,
    /// When it was made, in seconds since 1970 as text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timestamp: Option<String>,
    /// 2: survives a restart of the broker; 1: need not.
    pub delivery_mode: u8,
    /// Higher ones come first, where the queue has priorities.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub priority: Option<u8>,
}

/// A message that survives a restart of the broker.
impl Default for Properties {
    fn default() -> Self {
        Properties {
            content_type: None,
            content_encoding: None,
            correlation_id: None,
            reply_to: None,
            expiration: None,
            message_id: None,
            timestamp: None,
            delivery_mode: 2,
            priority: None,
        }
    }
}

/// Arguments and results may be anybody's secret: names and sizes only.
impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Message")
            .field("properties", &self.properties)
            .field("headers", &self.headers.keys().collect::<Vec<_>>())
            .field("body", &format_args!("{} bytes", self.body.len()))
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contents_do_not_show() {
        let mut message = Message {
            body: b"CANARY".to_vec(),
            ..Message::default()
        };
        message.headers.insert("argsrepr".into(), "CANARY".into());
        let shown = format!("{message:?}");
        assert!(
            !shown.contains("CANARY") && shown.contains("6 bytes"),
            "{shown}"
        );
    }
}
