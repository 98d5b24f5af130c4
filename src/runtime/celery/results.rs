//! What tasks answer (spec/runtime.md §4, "Result per task"): outcomes as Python clients
//! expect them, and answers of Python workers as tables.

use super::json;
use super::numpy::Array;
use super::pandas;
use super::pickle::Value;
use crate::error::Result;
use crate::frame::npy;
use crate::runtime::Outcome;
use crate::storage::Metadata;
use polars::prelude::DataFrame;
use std::fmt;

/// The outcome of a task as a Python client expects it: a table as a nested list for
/// clients without numpy, else as an array; metadata as the text of its `repr`.
///
/// # Errors
/// [`crate::ErrorKind::Invalid`] for a table that is no matrix.
pub fn to_value(outcome: &Outcome, pure_python: bool) -> Result<Value> {
    match outcome {
        Outcome::Number(number) => Ok(Value::Float(*number)),
        Outcome::Value(value) => Ok(json::to_value(value)),
        Outcome::Metadata(metadata) => Ok(MetadataText::of(metadata).to_string().into()),
        Outcome::Table(frame) => {
            let file = npy::from_frame(frame)?;
            let (header, start) = npy::Header::parse(&file)?;
            let raw = file.get(start..).unwrap_or_default();
            // Of a single row or column numpy says that it is in C's order.
            let columns_first = header.fortran_order && !header.shape.contains(&1);
            let array = Array::new(&header.descr, &header.shape, columns_first, raw);
            if pure_python {
                array.to_value()
            } else {
                array.to_object()
            }
        }
    }
}

/// The answer as a table, if it is one: an array of one or two dimensions, a list of
/// rows, or a data frame or series of pandas.
///
/// # Errors
/// [`crate::ErrorKind::Invalid`] for arrays of types that columns don't have, and for rows
/// of different lengths.
pub fn to_frame(answer: &Value) -> Result<Option<DataFrame>> {
    let rows = match answer {
        Value::Object(object) => match Array::of(object) {
            Some(array) if !array.shape().is_empty() => match array.raw() {
                Some(raw) => {
                    let header = npy::Header {
                        descr: array.descr().to_owned(),
                        fortran_order: array.fortran_order(),
                        shape: array.shape().to_vec(),
                    };
                    let file = [header.to_bytes().as_slice(), raw].concat();
                    return npy::to_frame(&file).map(Some);
                }
                None => array.to_value()?,
            },
            _ if pandas::columns(object).is_some() => answer.clone(),
            _ => return Ok(None),
        },
        list @ Value::List(_) => list.clone(),
        _ => return Ok(None),
    };
    match json::shown(&rows)? {
        serde_json::Value::Array(rows) => {
            let nested = rows.iter().any(|row| row.is_array() || row.is_object());
            let rows = match nested {
                true => rows,
                false => rows
                    .into_iter()
                    .map(|item| serde_json::Value::Array(vec![item]))
                    .collect(),
            };
            crate::frame::json::from_rows(&rows).map(Some)
        }
        _ => Ok(None),
    }
}

/// What a worker tells of an object that it wrote: the `repr` of its metadata.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MetadataText {
    /// The object's name.
    pub name: String,
    /// Its bucket.
    pub bucket: String,
    /// Its store, such as `models/`.
    pub prefix: String,
    /// Its kind.
    pub kind: String,
    /// When it was made: `2026-11-23 14:05:40.465000`.
    pub created: String,
}

impl MetadataText {
    /// The text of `metadata`.
    pub fn of(metadata: &Metadata) -> Self {
        let millis = metadata.created.timestamp_millis();
        let created = chrono::DateTime::from_timestamp_millis(millis).unwrap_or_default();
        MetadataText {
            name: metadata.key.name.clone(),
            bucket: metadata.key.bucket.clone(),
            prefix: metadata.key.prefix.clone(),
            kind: metadata.kind.clone(),
            created: match created.timestamp_subsec_micros() {
                0 => created.format("%Y-%m-%d %H:%M:%S").to_string(),
                _ => created.format("%Y-%m-%d %H:%M:%S%.6f").to_string(),
            },
        }
    }

    /// Reads the text; none when it is another one. Names may hold anything, so the fields
    /// are found from the end.
    pub fn parse(text: &str) -> Option<Self> {
        let inner = text
            .strip_prefix("<Metadata: Metadata(name=")?
            .strip_suffix(")>")?;
        let (inner, created) = inner.rsplit_once(",created=")?;
        let (inner, kind) = inner.rsplit_once(",kind=")?;
        let (inner, prefix) = inner.rsplit_once(",prefix=")?;
        let (name, bucket) = inner.rsplit_once(",bucket=")?;
        Some(MetadataText {
            name: name.to_owned(),
            bucket: bucket.to_owned(),
            prefix: prefix.to_owned(),
            kind: kind.to_owned(),
            created: created.to_owned(),
        })
    }
}

impl fmt::Display for MetadataText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "<Metadata: Metadata(name={},bucket={},prefix={},kind={},created={})>",
            self.name, self.bucket, self.prefix, self.kind, self.created
        )
    }
}
