//! JSON as omega|ml's server writes it (spec/rest.md §2): `", "` and `": "` between items,
//! other than ASCII escaped, floats as Python prints them, `NaN` and `Infinity` bare.

use crate::frame::json;
use crate::runtime::celery::repr;
use polars::prelude::{AnyValue, Column, DataType};
use serde_json::Value;
use std::fmt::Write;

/// A JSON value that may hold what JSON itself has not: NaN and infinity.
#[derive(Debug, Clone, PartialEq)]
pub enum Json {
    /// Nothing.
    Null,
    /// A truth value.
    Bool(bool),
    /// A whole number.
    Int(i128),
    /// Any other number.
    Float(f64),
    /// Text.
    Text(String),
    /// Values in order.
    List(Vec<Json>),
    /// Fields in order.
    Object(Vec<(String, Json)>),
}

impl Json {
    /// An object of these fields.
    pub fn object<const N: usize>(fields: [(&str, Json); N]) -> Self {
        let fields = fields.map(|(name, value)| (name.to_owned(), value));
        Json::Object(fields.into())
    }

    /// The text of a whole answer, which ends with a line feed.
    pub fn to_body(&self) -> String {
        let mut out = String::new();
        self.write(&mut out);
        out.push('\n');
        out
    }

    /// Adds the text to `out`.
    pub fn write(&self, out: &mut String) {
        match self {
            Json::Null => out.push_str("null"),
            Json::Bool(true) => out.push_str("true"),
            Json::Bool(false) => out.push_str("false"),
            Json::Int(number) => {
                let _ = write!(out, "{number}");
            }
            Json::Float(number) if number.is_nan() => out.push_str("NaN"),
            Json::Float(number) if number.is_infinite() => {
                out.push_str(if *number > 0.0 {
                    "Infinity"
                } else {
                    "-Infinity"
                });
            }
            Json::Float(number) => out.push_str(&repr::float(*number)),
            Json::Text(text) => quoted(out, text),
            Json::List(items) => {
                out.push('[');
                for (at, item) in items.iter().enumerate() {
                    if at > 0 {
                        out.push_str(", ");
                    }
                    item.write(out);
                }
                out.push(']');
            }
            Json::Object(fields) => {
                out.push('{');
                for (at, (name, value)) in fields.iter().enumerate() {
                    if at > 0 {
                        out.push_str(", ");
                    }
                    quoted(out, name);
                    out.push_str(": ");
                    value.write(out);
                }
                out.push('}');
            }
        }
    }

    /// A cell of a column of type `dtype`: in a column of floats, what is missing is NaN.
    pub fn cell(cell: &AnyValue, dtype: &DataType) -> Self {
        match cell {
            AnyValue::Null if dtype.is_float() => Json::Float(f64::NAN),
            AnyValue::Float64(number) => Json::Float(*number),
            AnyValue::Float32(number) => Json::Float(f64::from(*number)),
            AnyValue::List(items) => {
                let dtype = items.dtype();
                Json::List(items.iter().map(|item| Json::cell(&item, dtype)).collect())
            }
            other => json::value(other).into(),
        }
    }

    /// The cells of a column.
    pub fn cells(column: &Column) -> Vec<Json> {
        let dtype = column.dtype();
        let series = column.as_materialized_series();
        series.iter().map(|cell| Json::cell(&cell, dtype)).collect()
    }
}

fn quoted(out: &mut String, text: &str) {
    out.push('"');
    for letter in text.chars() {
        match letter {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            ' '..='~' => out.push(letter),
            _ => {
                for unit in letter.encode_utf16(&mut [0; 2]) {
                    let _ = write!(out, "\\u{unit:04x}");
                }
            }
        }
    }
    out.push('"');
}

impl From<Value> for Json {
    fn from(value: Value) -> Self {
        match value {
            Value::Null => Json::Null,
            Value::Bool(flag) => Json::Bool(flag),
            Value::Number(number) => match (number.as_i64(), number.as_u64()) {
                (Some(number), _) => Json::Int(number.into()),
                (_, Some(number)) => Json::Int(number.into()),
                _ => Json::Float(number.as_f64().unwrap_or(f64::NAN)),
            },
            Value::String(text) => Json::Text(text),
            Value::Array(items) => Json::List(items.into_iter().map(Json::from).collect()),
            Value::Object(fields) => Json::Object(
                fields
                    .into_iter()
                    .map(|(name, value)| (name, value.into()))
                    .collect(),
            ),
        }
    }
}

impl From<&str> for Json {
    fn from(text: &str) -> Self {
        Json::Text(text.to_owned())
    }
}

impl From<String> for Json {
    fn from(text: String) -> Self {
        Json::Text(text)
    }
}

impl From<f64> for Json {
    fn from(number: f64) -> Self {
        Json::Float(number)
    }
}

impl<T: Into<Json>> From<Option<T>> for Json {
    fn from(value: Option<T>) -> Self {
        value.map_or(Json::Null, Into::into)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn it_is_written_as_python_does() {
        let value = Json::object([
            (
                "a",
                Json::List(vec![1.0.into(), f64::NAN.into(), 1e-7.into()]),
            ),
            ("b", "é\u{1f600}\"\u{1}".into()),
            ("c", Json::Null),
        ]);
        assert_eq!(
            value.to_body(),
            "{\"a\": [1.0, NaN, 1e-07], \"b\": \"\\u00e9\\ud83d\\ude00\\\"\\u0001\", \"c\": null}\n"
        );
    }

    proptest! {
        #[test]
        fn any_text_and_number_reads_back(text in ".*", number in any::<f64>().prop_filter("finite", |n| n.is_finite())) {
            let written = Json::List(vec![text.as_str().into(), number.into()]).to_body();
            let read: Value = serde_json::from_str(&written).unwrap();
            prop_assert_eq!(read, serde_json::json!([text, number]));
        }
    }
}
