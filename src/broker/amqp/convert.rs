//! Messages as AMQP has them, and back.

use crate::broker::{Message, Properties};
use crate::error::{Error, Result};
use lapin::BasicProperties;
use lapin::types::{AMQPValue, FieldArray, FieldTable, LongString, ShortString};
use serde_json::{Map, Value};

/// What AMQP has room for in a property or a name.
const SHORT: usize = 255;

/// Headers by which RabbitMQ notes how a message was delayed; of no use to receivers.
const NOTES: [&str; 7] = [
    "x-death",
    "x-first-death-exchange",
    "x-first-death-queue",
    "x-first-death-reason",
    // Since RabbitMQ 4.
    "x-last-death-exchange",
    "x-last-death-queue",
    "x-last-death-reason",
];

/// A name or property.
///
/// # Errors
/// [`crate::ErrorKind::Invalid`] when it is longer than AMQP allows.
pub(super) fn short(text: &str, what: &str) -> Result<ShortString> {
    match text.len() {
        0..=SHORT => Ok(text.into()),
        length => {
            Err(Error::invalid(format!("{what} has {length} bytes, AMQP allows {SHORT}")).on(what))
        }
    }
}

/// The properties and headers of a message.
///
/// # Errors
/// [`crate::ErrorKind::Invalid`] for what AMQP cannot carry.
pub(super) fn properties(message: &Message) -> Result<BasicProperties> {
    let Properties {
        content_type,
        content_encoding,
        correlation_id,
        reply_to,
        expiration,
        message_id,
        timestamp,
        delivery_mode,
        priority,
    } = &message.properties;
    let mut properties = BasicProperties::default().with_delivery_mode(*delivery_mode);
    if !message.headers.is_empty() {
        properties = properties.with_headers(table(&message.headers)?);
    }
    if let Some(value) = content_type {
        properties = properties.with_content_type(short(value, "content_type")?);
    }
    if let Some(value) = content_encoding {
        properties = properties.with_content_encoding(short(value, "content_encoding")?);
    }
    if let Some(value) = correlation_id {
        properties = properties.with_correlation_id(short(value, "correlation_id")?);
    }
    if let Some(value) = reply_to {
        properties = properties.with_reply_to(short(value, "reply_to")?);
    }
    if let Some(value) = expiration {
        if value.parse::<u32>().is_err() {
            return Err(
                Error::invalid(format!("\"{value}\" is no number of milliseconds"))
                    .on("expiration"),
            );
        }
        properties = properties.with_expiration(short(value, "expiration")?);
    }
    if let Some(value) = message_id {
        properties = properties.with_message_id(short(value, "message_id")?);
    }
    if let Some(value) = timestamp {
        let seconds = value.parse().map_err(|_| {
            Error::invalid(format!("\"{value}\" is no number of seconds")).on("timestamp")
        })?;
        properties = properties.with_timestamp(seconds);
    }
    if let Some(value) = priority {
        properties = properties.with_priority(*value);
    }
    Ok(properties)
}

/// The message that was received.
pub(super) fn message(properties: &BasicProperties, body: Vec<u8>) -> Message {
    let text = |value: &Option<ShortString>| value.as_ref().map(|text| text.as_str().to_owned());
    let mut headers = Map::new();
    if let Some(table) = properties.headers() {
        for (name, value) in table.inner() {
            if !NOTES.contains(&name.as_str()) {
                headers.insert(name.as_str().to_owned(), json(value));
            }
        }
    }
    Message {
        properties: Properties {
            content_type: text(properties.content_type()),
            content_encoding: text(properties.content_encoding()),
            correlation_id: text(properties.correlation_id()),
            reply_to: text(properties.reply_to()),
            expiration: text(properties.expiration()),
            message_id: text(properties.message_id()),
            timestamp: properties.timestamp().map(|seconds| seconds.to_string()),
            delivery_mode: properties.delivery_mode().unwrap_or(1),
            priority: *properties.priority(),
        },
        headers,
        body,
    }
}

fn table(headers: &Map<String, Value>) -> Result<FieldTable> {
    let mut table = FieldTable::default();
    for (name, value) in headers {
        table.insert(short(name, "the name of a header")?, field(value)?);
    }
    Ok(table)
}

fn field(value: &Value) -> Result<AMQPValue> {
    Ok(match value {
        Value::Null => AMQPValue::Void,
        Value::Bool(value) => AMQPValue::Boolean(*value),
        // Integers as py-amqp writes them: the small ones in four bytes.
        Value::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(whole), _) => match i32::try_from(whole) {
                Ok(small) => AMQPValue::LongInt(small),
                Err(_) => AMQPValue::LongLongInt(whole),
            },
            (None, Some(number)) => AMQPValue::Double(number),
            (None, None) => return Err(Error::invalid(format!("{number} does not fit a header"))),
        },
        Value::String(text) => AMQPValue::LongString(LongString::from(text.as_str())),
        Value::Array(values) => {
            let values = values.iter().map(field).collect::<Result<Vec<_>>>()?;
            AMQPValue::FieldArray(FieldArray::from(values))
        }
        Value::Object(map) => AMQPValue::FieldTable(table(map)?),
    })
}

fn json(value: &AMQPValue) -> Value {
    match value {
        AMQPValue::Boolean(value) => Value::from(*value),
        AMQPValue::ShortShortInt(value) => Value::from(*value),
        AMQPValue::ShortShortUInt(value) => Value::from(*value),
        AMQPValue::ShortInt(value) => Value::from(*value),
        AMQPValue::ShortUInt(value) => Value::from(*value),
        AMQPValue::LongInt(value) => Value::from(*value),
        AMQPValue::LongUInt(value) => Value::from(*value),
        AMQPValue::LongLongInt(value) => Value::from(*value),
        AMQPValue::Timestamp(value) => Value::from(*value),
        AMQPValue::Float(value) => Value::from(f64::from(*value)),
        AMQPValue::Double(value) => Value::from(*value),
        AMQPValue::DecimalValue(value) => {
            Value::from(f64::from(value.value) / 10f64.powi(i32::from(value.scale)))
        }
        AMQPValue::ShortString(text) => Value::from(text.as_str()),
        AMQPValue::LongString(text) => Value::from(String::from_utf8_lossy(text.as_bytes())),
        AMQPValue::ByteArray(bytes) => Value::from(String::from_utf8_lossy(bytes.as_slice())),
        AMQPValue::FieldArray(values) => values.as_slice().iter().map(json).collect(),
        AMQPValue::FieldTable(table) => Value::Object(
            table
                .inner()
                .iter()
                .map(|(name, value)| (name.as_str().to_owned(), json(value)))
                .collect(),
        ),
        AMQPValue::Void => Value::Null,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use serde_json::json;

    #[test]
    fn messages_come_back() {
        let headers = json!({
            "big": 1_i64 << 40, "eta": null, "lang": "py", "nested": {"a": [1, "b", 1.5, true]},
            "timelimit": [1230, 1200],
        });
        let sent = Message {
            properties: Properties {
                content_type: Some("application/json".into()),
                content_encoding: Some("utf-8".into()),
                correlation_id: Some("1".into()),
                reply_to: Some("2".into()),
                expiration: Some("1000".into()),
                message_id: Some("3".into()),
                timestamp: Some("1700000000".into()),
                delivery_mode: 1,
                priority: Some(3),
            },
            headers: headers.as_object().unwrap().clone(),
            body: vec![0, 255],
        };
        let back = message(&properties(&sent).unwrap(), vec![0, 255]);
        assert_eq!(back, sent);
    }

    #[test]
    fn what_amqp_cannot_carry_is_refused() {
        let mut sent = Message::default();
        sent.properties.correlation_id = Some("x".repeat(256));
        assert!(properties(&sent).is_err());
        sent.properties.correlation_id = None;
        sent.headers.insert("x".repeat(256), Value::Null);
        assert!(properties(&sent).is_err());
        sent.headers.clear();
        sent.properties.expiration = Some("soon".into());
        assert!(properties(&sent).is_err());
    }
}
