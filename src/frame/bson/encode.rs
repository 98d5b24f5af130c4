//! Columns into raw documents, with the value encoding of spec/storage.md §9.1.

use super::Field;
use super::builder::per_milli;
use super::ids::ObjectIds;
use super::walker::tag;
use crate::error::{Error, Result};
use crate::frame::polars_error::explained;
use polars::prelude::*;
use std::ops::Range;

/// The default index and the row id, which the encoder makes up.
const INDEX: &str = "_idx#0_0";
const ROW_ID: &str = "_om#rowid";

/// The longest document that a server takes, with room for its wrapping.
const LONGEST: usize = (16 << 20) - (16 << 10);

/// How deep values may be nested.
const DEPTH: usize = 100;

const DAY: i64 = 86_400_000;

/// Makes documents of rows: `_id`, the default index if there is no other, the columns in
/// their order, the row id.
pub struct Encoder {
    fields: Vec<Field>,
    index: bool,
}

/// Documents, one after the other.
pub struct Encoded {
    /// Their bytes.
    pub bytes: Vec<u8>,
    /// Where each ends.
    pub ends: Vec<usize>,
}

impl Encoder {
    /// Documents with these fields; with `index` the row's position is its index.
    pub fn new(fields: &[Field], index: bool) -> Self {
        Encoder {
            fields: fields.to_vec(),
            index,
        }
    }

    /// The rows `range` of a frame; the first gets the row id `first_row`.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Invalid`] when a row is too long for a document.
    pub fn encode(
        &self,
        frame: &DataFrame,
        range: Range<usize>,
        first_row: i64,
        ids: &mut ObjectIds,
    ) -> Result<Encoded> {
        let count = range.len();
        let rows = frame.slice(i64::try_from(range.start).unwrap_or(i64::MAX), count);
        let columns = self
            .fields
            .iter()
            .map(|field| {
                let column = rows
                    .column(&field.column)
                    .map_err(|error| explained(&error))?;
                Writer::new(&field.name, column)
            })
            .collect::<Result<Vec<_>>>()?;
        let guess = columns.len() * 24 + 64;
        let mut encoded = Encoded {
            bytes: Vec::with_capacity(count * guess),
            ends: Vec::with_capacity(count),
        };
        let out = &mut encoded.bytes;
        for (row, id) in (0..count).zip(first_row..) {
            let start = out.len();
            out.extend([0; 4]);
            out.push(tag::OBJECT_ID);
            out.extend(b"_id\0");
            out.extend(ids.next());
            if self.index {
                int(out, INDEX.as_bytes(), id);
            }
            for column in &columns {
                column.write(out, row)?;
            }
            int(out, ROW_ID.as_bytes(), id);
            out.push(0);
            let length = out.len() - start;
            if length > LONGEST {
                return Err(Error::invalid(format!(
                    "row {id} has {length} bytes; the database takes {LONGEST} at the most"
                ))
                .hint("store the table as a file: om datasets put FILE NAME --kind python.file"));
            }
            set_length(out, start, length);
            encoded.ends.push(out.len());
        }
        Ok(encoded)
    }
}

fn set_length(out: &mut [u8], start: usize, length: usize) {
    let length = i32::try_from(length).unwrap_or(i32::MAX).to_le_bytes();
    if let Some(slot) = out.get_mut(start..start + 4) {
        slot.copy_from_slice(&length);
    }
}

#[inline]
fn head(out: &mut Vec<u8>, tag: u8, name: &[u8]) {
    out.push(tag);
    out.extend_from_slice(name);
    out.push(0);
}

/// A whole number, in 32 bits if it fits.
#[inline]
fn int(out: &mut Vec<u8>, name: &[u8], number: i64) {
    match i32::try_from(number) {
        Ok(number) => {
            head(out, tag::INT32, name);
            out.extend(number.to_le_bytes());
        }
        Err(_) => long(out, name, number),
    }
}

#[inline]
fn long(out: &mut Vec<u8>, name: &[u8], number: i64) {
    head(out, tag::INT64, name);
    out.extend(number.to_le_bytes());
}

#[inline]
fn text(out: &mut Vec<u8>, name: &[u8], text: &str) {
    head(out, tag::STRING, name);
    let length = i32::try_from(text.len() + 1).unwrap_or(i32::MAX);
    out.extend(length.to_le_bytes());
    out.extend_from_slice(text.as_bytes());
    out.push(0);
}

fn binary(out: &mut Vec<u8>, name: &[u8], bytes: &[u8]) {
    head(out, tag::BINARY, name);
    let length = i32::try_from(bytes.len()).unwrap_or(i32::MAX);
    out.extend(length.to_le_bytes());
    out.push(0);
    out.extend_from_slice(bytes);
}

/// Above 64 bits with a sign: a decimal keeps it exactly.
fn unsigned(out: &mut Vec<u8>, name: &[u8], number: u64) {
    match i64::try_from(number) {
        Ok(number) => int(out, name, number),
        Err(_) => {
            head(out, tag::DECIMAL, name);
            // Decimal128 with the exponent 0, whose bias is 6176.
            out.extend(number.to_le_bytes());
            out.extend((6176u64 << 49).to_le_bytes());
        }
    }
}

fn date(out: &mut Vec<u8>, name: &[u8], millis: i64) {
    head(out, tag::DATE, name);
    out.extend(millis.to_le_bytes());
}

/// A column, ready to be written row by row.
struct Writer {
    name: Vec<u8>,
    values: Values,
}

enum Values {
    Null,
    Bool(BooleanChunked),
    Int(Int64Chunked),
    /// Always in 64 bits: counts of a unit of time.
    Long(Int64Chunked),
    Unsigned(UInt64Chunked),
    Float(Float64Chunked),
    Text(StringChunked),
    Bytes(BinaryChunked),
    Millis(Int64Chunked),
    Nested(Series),
}

impl Writer {
    fn new(name: &str, column: &Column) -> Result<Self> {
        use DataType as D;
        let series = column.as_materialized_series().rechunk();
        let cast = |dtype: &D| series.cast(dtype).map_err(|error| explained(&error));
        let int64 = || -> Result<Int64Chunked> {
            let physical = series.to_physical_repr().into_owned();
            let cast = physical
                .cast(&D::Int64)
                .map_err(|error| explained(&error))?;
            cast.i64().cloned().map_err(|error| explained(&error))
        };
        let values = match series.dtype() {
            D::Null => Values::Null,
            D::Boolean => Values::Bool(series.bool().map_err(|e| explained(&e))?.clone()),
            D::UInt64 => Values::Unsigned(series.u64().map_err(|e| explained(&e))?.clone()),
            dtype if dtype.is_integer() => Values::Int(int64()?),
            D::Float64 | D::Float32 => {
                Values::Float(cast(&D::Float64)?.f64().map_err(|e| explained(&e))?.clone())
            }
            D::Date => Values::Millis(int64()?.apply_values(|days| days * DAY)),
            D::Datetime(unit, _) => {
                let per_milli = per_milli(*unit);
                Values::Millis(int64()?.apply_values(|ticks| ticks.div_euclid(per_milli)))
            }
            D::Duration(_) | D::Time => Values::Long(int64()?),
            D::Binary => Values::Bytes(series.binary().map_err(|e| explained(&e))?.clone()),
            D::List(_) | D::Struct(_) | D::Array(..) => Values::Nested(series),
            _ => Values::Text(cast(&D::String)?.str().map_err(|e| explained(&e))?.clone()),
        };
        Ok(Writer {
            name: name.as_bytes().to_vec(),
            values,
        })
    }

    #[inline]
    fn write(&self, out: &mut Vec<u8>, row: usize) -> Result<()> {
        let name = self.name.as_slice();
        let written = match &self.values {
            Values::Null => None,
            Values::Bool(values) => values.get(row).map(|flag| {
                head(out, tag::BOOLEAN, name);
                out.push(u8::from(flag));
            }),
            Values::Int(values) => values.get(row).map(|number| int(out, name, number)),
            Values::Long(values) => values.get(row).map(|number| long(out, name, number)),
            Values::Unsigned(values) => values.get(row).map(|number| unsigned(out, name, number)),
            Values::Float(values) => values.get(row).map(|number| {
                head(out, tag::DOUBLE, name);
                out.extend(number.to_le_bytes());
            }),
            Values::Text(values) => values.get(row).map(|value| text(out, name, value)),
            Values::Bytes(values) => values.get(row).map(|bytes| binary(out, name, bytes)),
            Values::Millis(values) => values.get(row).map(|millis| date(out, name, millis)),
            Values::Nested(values) => {
                let value = values.get(row).map_err(|error| explained(&error))?;
                nested(out, name, &value, DEPTH)?;
                Some(())
            }
        };
        if written.is_none() {
            head(out, tag::NULL, name);
        }
        Ok(())
    }
}

/// A value inside a list or struct.
fn nested(out: &mut Vec<u8>, name: &[u8], value: &AnyValue<'_>, depth: usize) -> Result<()> {
    let Some(depth) = depth.checked_sub(1) else {
        return Err(Error::invalid(
            "values are nested too deeply for the database",
        ));
    };
    match value {
        AnyValue::Null => head(out, tag::NULL, name),
        AnyValue::Boolean(flag) => {
            head(out, tag::BOOLEAN, name);
            out.push(u8::from(*flag));
        }
        AnyValue::UInt64(number) => unsigned(out, name, *number),
        AnyValue::Float32(number) => {
            head(out, tag::DOUBLE, name);
            out.extend(f64::from(*number).to_le_bytes());
        }
        AnyValue::Float64(number) => {
            head(out, tag::DOUBLE, name);
            out.extend(number.to_le_bytes());
        }
        AnyValue::String(value) => text(out, name, value),
        AnyValue::StringOwned(value) => text(out, name, value),
        AnyValue::Binary(bytes) => binary(out, name, bytes),
        AnyValue::BinaryOwned(bytes) => binary(out, name, bytes),
        AnyValue::Date(days) => date(out, name, i64::from(*days) * DAY),
        AnyValue::Datetime(ticks, unit, _) | AnyValue::DatetimeOwned(ticks, unit, _) => {
            date(out, name, ticks.div_euclid(per_milli(*unit)));
        }
        AnyValue::Duration(ticks, _) | AnyValue::Time(ticks) => long(out, name, *ticks),
        AnyValue::List(items) => {
            head(out, tag::ARRAY, name);
            let start = out.len();
            out.extend([0; 4]);
            for (position, item) in items.iter().enumerate() {
                nested(out, position.to_string().as_bytes(), &item, depth)?;
            }
            out.push(0);
            let length = out.len() - start;
            set_length(out, start, length);
        }
        AnyValue::Struct(..) | AnyValue::StructOwned(_) => {
            head(out, tag::DOCUMENT, name);
            let start = out.len();
            out.extend([0; 4]);
            let owned = value.clone().into_static();
            if let AnyValue::StructOwned(inner) = &owned {
                let (values, fields) = inner.as_ref();
                for (value, field) in values.iter().zip(fields) {
                    nested(out, field.name().as_bytes(), value, depth)?;
                }
            }
            out.push(0);
            let length = out.len() - start;
            set_length(out, start, length);
        }
        other => match other.try_extract::<i64>() {
            Ok(number) if other.dtype().is_integer() => int(out, name, number),
            _ => match other.get_str() {
                Some(value) => text(out, name, value),
                None => {
                    return Err(Error::invalid(format!(
                        "values of the type {} cannot be stored",
                        other.dtype()
                    )));
                }
            },
        },
    }
    Ok(())
}
