//! Values of options as people type them.

use crate::error::{Error, Result, nearest};

pub(super) fn unknown(key: &str, keys: &[&str]) -> Error {
    let error = Error::usage(format!("there is no option `{key}`"));
    match nearest(key, keys.iter().copied()) {
        Some(near) => error.hint(format!(
            "did you mean `{near}`? options: {}",
            keys.join(", ")
        )),
        None => error.hint(format!("options: {}", keys.join(", "))),
    }
}

pub(super) fn unsuitable(key: &str, value: &str, wanted: &str) -> Error {
    Error::usage(format!("{key} takes {wanted}, not `{value}`"))
}

/// `\t`, `\n` and `\r` as the characters they stand for.
pub(super) fn unescaped(value: &str) -> String {
    value
        .replace("\\t", "\t")
        .replace("\\r", "\r")
        .replace("\\n", "\n")
}

pub(super) fn byte(key: &str, value: &str) -> Result<u8> {
    let text = match value {
        "tab" => "\t".to_owned(),
        "comma" => ",".to_owned(),
        "semicolon" => ";".to_owned(),
        "pipe" => "|".to_owned(),
        "space" => " ".to_owned(),
        value => unescaped(value),
    };
    match text.as_bytes() {
        [byte] if byte.is_ascii() => Ok(*byte),
        _ => Err(unsuitable(key, value, "one ASCII character")),
    }
}

pub(super) fn optional_byte(key: &str, value: &str) -> Result<Option<u8>> {
    match value.trim().to_lowercase().as_str() {
        "none" | "null" => Ok(None),
        "" if value.is_empty() => Ok(None),
        _ => byte(key, value).map(Some),
    }
}

pub(super) fn boolean(key: &str, value: &str) -> Result<bool> {
    match value.trim().to_lowercase().as_str() {
        "true" | "yes" | "1" => Ok(true),
        "false" | "no" | "0" => Ok(false),
        _ => Err(unsuitable(key, value, "true or false")),
    }
}

pub(super) fn number(key: &str, value: &str) -> Result<u64> {
    value
        .trim()
        .parse()
        .map_err(|_| unsuitable(key, value, "a number"))
}

pub(super) fn list(value: &str) -> Vec<String> {
    if let Ok(serde_json::Value::Array(values)) = serde_json::from_str(value) {
        return values
            .into_iter()
            .map(|value| match value {
                serde_json::Value::String(text) => text,
                other => other.to_string(),
            })
            .collect();
    }
    value
        .split(',')
        .map(|part| part.trim().to_owned())
        .collect()
}
