//! BSON values as plain JSON, the way people read them.

use super::walker::{Value, is_deeper, malformed};
use crate::error::{Error, Result};
use bson::{Bson, Document};
use serde_json::{Map, Value as Json};

/// How deep values may be nested; MongoDB itself takes 100 levels.
pub(super) const DEPTH: usize = 128;

/// A BSON value as plain JSON: dates as ISO text, object ids as hex, NaN and infinities
/// as null; types JSON lacks in MongoDB's extended form.
pub fn bson_to_value(value: &Bson) -> Json {
    match value {
        Bson::Null | Bson::Undefined => Json::Null,
        Bson::Boolean(flag) => Json::Bool(*flag),
        Bson::String(text) | Bson::Symbol(text) => Json::String(text.clone()),
        Bson::Int32(number) => Json::from(*number),
        Bson::Int64(number) => Json::from(*number),
        Bson::Double(number) => Json::from(*number),
        Bson::Array(items) => Json::Array(items.iter().map(bson_to_value).collect()),
        Bson::Document(document) => Json::Object(
            document
                .iter()
                .map(|(name, value)| (name.clone(), bson_to_value(value)))
                .collect::<Map<_, _>>(),
        ),
        Bson::ObjectId(id) => Json::String(id.to_hex()),
        Bson::DateTime(date) => date
            .try_to_rfc3339_string()
            .map_or(Json::Null, Json::String),
        other => other.clone().into_relaxed_extjson(),
    }
}

/// A raw value as the bson crate has it.
pub(super) fn value(raw: Value<'_>) -> Result<Bson> {
    if is_deeper(raw, DEPTH)? {
        return Err(Error::corrupt("a document is nested too deeply"));
    }
    let mut bytes = Vec::with_capacity(raw.bytes.len() + 8);
    let length = i32::try_from(raw.bytes.len() + 8).map_err(|_| malformed())?;
    bytes.extend(length.to_le_bytes());
    bytes.extend([raw.tag, b'v', 0]);
    bytes.extend(raw.bytes);
    bytes.push(0);
    let mut document = Document::from_reader(bytes.as_slice()).map_err(|_| malformed())?;
    document.remove("v").ok_or_else(malformed)
}

/// A raw value as the text that a text column holds for it.
pub(super) fn text(raw: Value<'_>) -> Result<String> {
    Ok(match bson_to_value(&value(raw)?) {
        Json::String(text) => text,
        other => other.to_string(),
    })
}
