//! Columns that grow by raw values.

use super::nested;
use super::plain;
use super::walker::{Value, malformed, tag};
use crate::error::{Error, Result};
use crate::frame::dtype::pandas_name;
use crate::frame::polars_error::explained;
use polars::prelude::*;

/// A column in the making, by the type of its values.
pub(super) enum Builder {
    Null(usize),
    Bool(BooleanChunkedBuilder),
    I8(PrimitiveChunkedBuilder<Int8Type>),
    I16(PrimitiveChunkedBuilder<Int16Type>),
    I32(PrimitiveChunkedBuilder<Int32Type>),
    I64(PrimitiveChunkedBuilder<Int64Type>),
    U8(PrimitiveChunkedBuilder<UInt8Type>),
    U16(PrimitiveChunkedBuilder<UInt16Type>),
    U32(PrimitiveChunkedBuilder<UInt32Type>),
    U64(PrimitiveChunkedBuilder<UInt64Type>),
    F32(PrimitiveChunkedBuilder<Float32Type>),
    F64(PrimitiveChunkedBuilder<Float64Type>),
    Text(StringChunkedBuilder),
    Bytes(BinaryChunkedBuilder),
    /// Days since 1970.
    Date(PrimitiveChunkedBuilder<Int32Type>),
    /// In the unit of the column; so many of it are a millisecond.
    Datetime(PrimitiveChunkedBuilder<Int64Type>, i64),
    /// Durations and times, in the unit of the column.
    Ticks(PrimitiveChunkedBuilder<Int64Type>),
    /// Lists and structs.
    Nested(Vec<AnyValue<'static>>),
}

const DAY: i64 = 86_400_000;

impl Builder {
    /// A column of `dtype` with room for `rows`.
    pub fn new(name: &str, dtype: &DataType, rows: usize) -> Self {
        use DataType as D;
        let name: PlSmallStr = name.into();
        match dtype {
            D::Null => Builder::Null(0),
            D::Boolean => Builder::Bool(BooleanChunkedBuilder::new(name, rows)),
            D::Int8 => Builder::I8(PrimitiveChunkedBuilder::new(name, rows)),
            D::Int16 => Builder::I16(PrimitiveChunkedBuilder::new(name, rows)),
            D::Int32 => Builder::I32(PrimitiveChunkedBuilder::new(name, rows)),
            D::Int64 => Builder::I64(PrimitiveChunkedBuilder::new(name, rows)),
            D::UInt8 => Builder::U8(PrimitiveChunkedBuilder::new(name, rows)),
            D::UInt16 => Builder::U16(PrimitiveChunkedBuilder::new(name, rows)),
            D::UInt32 => Builder::U32(PrimitiveChunkedBuilder::new(name, rows)),
            D::UInt64 => Builder::U64(PrimitiveChunkedBuilder::new(name, rows)),
            D::Float32 => Builder::F32(PrimitiveChunkedBuilder::new(name, rows)),
            D::Float64 => Builder::F64(PrimitiveChunkedBuilder::new(name, rows)),
            D::Binary => Builder::Bytes(BinaryChunkedBuilder::new(name, rows)),
            D::Date => Builder::Date(PrimitiveChunkedBuilder::new(name, rows)),
            D::Datetime(unit, _) => {
                Builder::Datetime(PrimitiveChunkedBuilder::new(name, rows), per_milli(*unit))
            }
            D::Duration(_) | D::Time => Builder::Ticks(PrimitiveChunkedBuilder::new(name, rows)),
            D::List(_) | D::Struct(_) => Builder::Nested(Vec::with_capacity(rows)),
            _ => Builder::Text(StringChunkedBuilder::new(name, rows)),
        }
    }

    /// Adds a null.
    pub fn null(&mut self) {
        match self {
            Builder::Null(rows) => *rows += 1,
            Builder::Bool(b) => b.append_null(),
            Builder::I8(b) => b.append_null(),
            Builder::I16(b) => b.append_null(),
            Builder::I32(b) | Builder::Date(b) => b.append_null(),
            Builder::I64(b) | Builder::Datetime(b, _) | Builder::Ticks(b) => b.append_null(),
            Builder::U8(b) => b.append_null(),
            Builder::U16(b) => b.append_null(),
            Builder::U32(b) => b.append_null(),
            Builder::U64(b) => b.append_null(),
            Builder::F32(b) => b.append_null(),
            Builder::F64(b) => b.append_null(),
            Builder::Text(b) => b.append_null(),
            Builder::Bytes(b) => b.append_null(),
            Builder::Nested(values) => values.push(AnyValue::Null),
        }
    }

    /// Adds a value. Whether the column could hold it.
    #[inline]
    pub fn push(&mut self, value: Value<'_>, dtype: &DataType) -> Result<bool> {
        if value.is_null() {
            self.null();
            return Ok(true);
        }
        match self {
            Builder::F64(b) => match number(value)? {
                Some(Number::Double(number)) => b.append_value(number),
                Some(Number::Int(number)) => {
                    let float = number as f64;
                    if float as i128 != i128::from(number) {
                        return Ok(false);
                    }
                    b.append_value(float);
                }
                Some(Number::Unsigned(number)) => b.append_value(number as f64),
                None => return Ok(false),
            },
            Builder::F32(b) => match number(value)? {
                Some(Number::Double(number)) => b.append_value(number as f32),
                Some(Number::Int(number)) => b.append_value(number as f32),
                Some(Number::Unsigned(number)) => b.append_value(number as f32),
                None => return Ok(false),
            },
            Builder::I64(b) => return whole(value, |n| b.append_option(n)),
            Builder::I32(b) => return whole(value, |n| b.append_option(n)),
            Builder::I16(b) => return whole(value, |n| b.append_option(n)),
            Builder::I8(b) => return whole(value, |n| b.append_option(n)),
            Builder::U64(b) => return whole(value, |n| b.append_option(n)),
            Builder::U32(b) => return whole(value, |n| b.append_option(n)),
            Builder::U16(b) => return whole(value, |n| b.append_option(n)),
            Builder::U8(b) => return whole(value, |n| b.append_option(n)),
            Builder::Ticks(b) => return whole(value, |n| b.append_option(n)),
            Builder::Text(b) => match value.tag {
                tag::STRING | tag::SYMBOL => b.append_value(value.text()?),
                _ => b.append_value(plain::text(value)?),
            },
            Builder::Bool(b) => match (value.tag, value.bytes) {
                (tag::BOOLEAN, [flag @ (0 | 1)]) => b.append_value(*flag == 1),
                (tag::BOOLEAN, _) => return Err(malformed()),
                _ => return Ok(false),
            },
            Builder::Datetime(b, per_milli) => match millis(value)? {
                Some(Some(millis)) => {
                    let ticks = millis.checked_mul(*per_milli).ok_or_else(|| {
                        Error::invalid(format!(
                            "the time {millis} ms since 1970 is out of the range of {}",
                            pandas_name(dtype)
                        ))
                    })?;
                    b.append_value(ticks);
                }
                Some(None) => b.append_null(),
                None => return Ok(false),
            },
            Builder::Date(b) => match millis(value)? {
                Some(Some(millis)) => match i32::try_from(millis.div_euclid(DAY)) {
                    Ok(days) => b.append_value(days),
                    Err(_) => return Ok(false),
                },
                Some(None) => b.append_null(),
                None => return Ok(false),
            },
            Builder::Bytes(b) => match value.tag {
                tag::BINARY => b.append_value(value.binary()?),
                _ => return Ok(false),
            },
            Builder::Nested(values) => match nested::any_value(value, dtype)? {
                Some(value) => values.push(value),
                None => return Ok(false),
            },
            Builder::Null(_) => return Ok(false),
        }
        Ok(true)
    }

    /// The column.
    pub fn finish(self, name: &str, dtype: &DataType) -> Result<Series> {
        let series = match self {
            Builder::Null(rows) => Series::full_null(name.into(), rows, &DataType::Null),
            Builder::Bool(b) => b.finish().into_series(),
            Builder::I8(b) => b.finish().into_series(),
            Builder::I16(b) => b.finish().into_series(),
            Builder::I32(b) => b.finish().into_series(),
            Builder::I64(b) => b.finish().into_series(),
            Builder::U8(b) => b.finish().into_series(),
            Builder::U16(b) => b.finish().into_series(),
            Builder::U32(b) => b.finish().into_series(),
            Builder::U64(b) => b.finish().into_series(),
            Builder::F32(b) => b.finish().into_series(),
            Builder::F64(b) => b.finish().into_series(),
            Builder::Bytes(b) => b.finish().into_series(),
            Builder::Date(b) => b.finish().into_date().into_series(),
            Builder::Datetime(b, _) => match dtype {
                DataType::Datetime(unit, zone) => {
                    b.finish().into_datetime(*unit, zone.clone()).into_series()
                }
                _ => b.finish().into_series(),
            },
            Builder::Ticks(b) => match dtype {
                DataType::Duration(unit) => b.finish().into_duration(*unit).into_series(),
                _ => b.finish().into_time().into_series(),
            },
            Builder::Text(b) => {
                let text = b.finish().into_series();
                match dtype {
                    DataType::String => text,
                    dtype => text.strict_cast(dtype).map_err(|error| explained(&error))?,
                }
            }
            Builder::Nested(values) => {
                Series::from_any_values_and_dtype(name.into(), &values, dtype, false)
                    .map_err(|error| explained(&error))?
            }
        };
        Ok(series)
    }
}

/// How many of a unit are a millisecond.
pub(super) fn per_milli(unit: TimeUnit) -> i64 {
    match unit {
        TimeUnit::Milliseconds => 1,
        TimeUnit::Microseconds => 1_000,
        TimeUnit::Nanoseconds => 1_000_000,
    }
}

/// A number as it is stored.
#[derive(Debug, Clone, Copy)]
pub(super) enum Number {
    Int(i64),
    Double(f64),
    /// Above the largest 64-bit integer; stored as a decimal.
    Unsigned(u64),
}

#[inline]
pub(super) fn number(value: Value<'_>) -> Result<Option<Number>> {
    Ok(match value.tag {
        tag::DOUBLE => value.double().map(Number::Double),
        tag::INT32 => value.int32().map(|n| Number::Int(i64::from(n))),
        tag::INT64 => value.int64().map(Number::Int),
        tag::DECIMAL => {
            let bson::Bson::Decimal128(decimal) = plain::value(value)? else {
                return Err(malformed());
            };
            let text = decimal.to_string();
            match text.parse::<u64>() {
                Ok(number) => Some(Number::Unsigned(number)),
                Err(_) => text.parse::<f64>().ok().map(Number::Double),
            }
        }
        _ => None,
    })
}

/// A whole number, or null for NaN: pandas has no other null for them.
#[inline]
fn whole<T: TryFrom<i64> + TryFrom<u64>>(
    value: Value<'_>,
    mut push: impl FnMut(Option<T>),
) -> Result<bool> {
    let whole: Option<T> = match number(value)? {
        Some(Number::Int(number)) => T::try_from(number).ok(),
        Some(Number::Unsigned(number)) => T::try_from(number).ok(),
        Some(Number::Double(number)) if number.is_nan() => {
            push(None);
            return Ok(true);
        }
        Some(Number::Double(number))
            if number.fract() == 0.0 && number.abs() < 9_007_199_254_740_992.0 =>
        {
            T::try_from(number as i64).ok()
        }
        _ => None,
    };
    let fits = whole.is_some();
    if fits {
        push(whole);
    }
    Ok(fits)
}

/// Milliseconds since 1970 of a date; null for the empty text that old writers leave.
fn millis(value: Value<'_>) -> Result<Option<Option<i64>>> {
    Ok(match value.tag {
        tag::DATE => Some(value.int64()),
        tag::STRING if value.text()?.is_empty() => Some(None),
        tag::DOUBLE if value.double().is_some_and(f64::is_nan) => Some(None),
        _ => None,
    })
}
