//! A column's values as bytes that depend on the values alone: not on the batches in which
//! they come, nor on how wide a type a storage keeps them in. Every value starts with a
//! tag; whole numbers of any width are one kind of value, floating point another, dates
//! and timestamps of any unit and zone a third.
//!
//! Times are written twice where they are finer than a millisecond: as they are, and cut
//! to the millisecond, which is what MongoDB can hold.

use crate::error::{Context, Error, Result};
use polars::prelude::{AnyValue, Column, DataType, Series, TimeUnit};

/// What a value starts with.
mod tag {
    pub const NULL: u8 = 0;
    pub const FALSE: u8 = 1;
    pub const TRUE: u8 = 2;
    pub const WHOLE: u8 = 3;
    /// Whole numbers above `i64::MAX`.
    pub const LARGE: u8 = 4;
    pub const FLOAT: u8 = 5;
    pub const TEXT: u8 = 6;
    pub const BYTES: u8 = 7;
    pub const INSTANT: u8 = 8;
    pub const DURATION: u8 = 9;
    pub const CLOCK: u8 = 10;
    pub const LIST: u8 = 11;
    pub const FIELDS: u8 = 12;
    pub const END: u8 = 13;
}

const DAY_IN_MILLIS: i64 = 86_400_000;

/// Encoded values.
#[derive(Debug, Default)]
pub(super) struct Bytes {
    /// The values as they are.
    pub exact: Vec<u8>,
    /// The same with times cut to the millisecond, from the first time on that is finer.
    pub coarse: Option<Vec<u8>>,
}

impl Bytes {
    fn push(&mut self, bytes: &[u8]) {
        self.exact.extend_from_slice(bytes);
        if let Some(coarse) = &mut self.coarse {
            coarse.extend_from_slice(bytes);
        }
    }

    fn tagged(&mut self, tag: u8, bytes: &[u8]) {
        self.push(&[tag]);
        self.push(bytes);
    }

    fn sized(&mut self, tag: u8, bytes: &[u8]) {
        self.tagged(tag, &(bytes.len() as u64).to_le_bytes());
        self.push(bytes);
    }

    fn flag(&mut self, flag: bool) {
        self.push(&[if flag { tag::TRUE } else { tag::FALSE }]);
    }

    fn whole(&mut self, number: i64) {
        self.tagged(tag::WHOLE, &number.to_le_bytes());
    }

    fn natural(&mut self, number: u64) {
        match i64::try_from(number) {
            Ok(number) => self.whole(number),
            Err(_) => self.tagged(tag::LARGE, &number.to_le_bytes()),
        }
    }

    /// All NaNs are one.
    fn float(&mut self, number: f64) {
        let number = if number.is_nan() { f64::NAN } else { number };
        self.tagged(tag::FLOAT, &number.to_bits().to_le_bytes());
    }

    /// Milliseconds since 1970 and the nanoseconds beyond.
    fn instant(&mut self, millis: i64, nanos: i64) {
        self.tagged(tag::INSTANT, &millis.to_le_bytes());
        if nanos != 0 && self.coarse.is_none() {
            self.coarse = Some(self.exact.clone());
        }
        self.exact.extend_from_slice(&nanos.to_le_bytes());
        if let Some(coarse) = &mut self.coarse {
            coarse.extend_from_slice(&[0; 8]);
        }
    }

    fn ticks(&mut self, ticks: i64, unit: TimeUnit) {
        match unit {
            TimeUnit::Milliseconds => self.instant(ticks, 0),
            TimeUnit::Microseconds => {
                self.instant(ticks.div_euclid(1_000), ticks.rem_euclid(1_000) * 1_000);
            }
            TimeUnit::Nanoseconds => {
                self.instant(ticks.div_euclid(1_000_000), ticks.rem_euclid(1_000_000));
            }
        }
    }
}

/// Appends the values of a column.
pub(super) fn encode(column: &Column, bytes: &mut Bytes) -> Result<()> {
    series(column.as_materialized_series(), bytes)
}

fn series(series: &Series, bytes: &mut Bytes) -> Result<()> {
    match series.dtype() {
        DataType::String => {
            for text in series.str().context(cannot_read)?.iter() {
                match text {
                    Some(text) => bytes.sized(tag::TEXT, text.as_bytes()),
                    None => bytes.push(&[tag::NULL]),
                }
            }
            Ok(())
        }
        DataType::Float64 => {
            for number in series.f64().context(cannot_read)?.iter() {
                match number {
                    Some(number) => bytes.float(number),
                    None => bytes.push(&[tag::NULL]),
                }
            }
            Ok(())
        }
        DataType::Int64 => {
            for number in series.i64().context(cannot_read)?.iter() {
                match number {
                    Some(number) => bytes.whole(number),
                    None => bytes.push(&[tag::NULL]),
                }
            }
            Ok(())
        }
        DataType::Categorical(..) | DataType::Enum(..) => {
            let texts = series.cast(&DataType::String).context(cannot_read)?;
            self::series(&texts, bytes)
        }
        _ => {
            // A chunked series hands out its values one by one only when it is of one piece.
            let whole = series.rechunk();
            whole.iter().try_for_each(|any| value(&any, bytes))
        }
    }
}

fn value(any: &AnyValue, bytes: &mut Bytes) -> Result<()> {
    match any {
        AnyValue::Null => bytes.push(&[tag::NULL]),
        AnyValue::Boolean(flag) => bytes.flag(*flag),
        AnyValue::Int8(number) => bytes.whole(i64::from(*number)),
        AnyValue::Int16(number) => bytes.whole(i64::from(*number)),
        AnyValue::Int32(number) => bytes.whole(i64::from(*number)),
        AnyValue::Int64(number) => bytes.whole(*number),
        AnyValue::UInt8(number) => bytes.whole(i64::from(*number)),
        AnyValue::UInt16(number) => bytes.whole(i64::from(*number)),
        AnyValue::UInt32(number) => bytes.whole(i64::from(*number)),
        AnyValue::UInt64(number) => bytes.natural(*number),
        AnyValue::Float32(number) => bytes.float(f64::from(*number)),
        AnyValue::Float64(number) => bytes.float(*number),
        AnyValue::String(text) => bytes.sized(tag::TEXT, text.as_bytes()),
        AnyValue::StringOwned(text) => bytes.sized(tag::TEXT, text.as_bytes()),
        AnyValue::Binary(data) => bytes.sized(tag::BYTES, data),
        AnyValue::BinaryOwned(data) => bytes.sized(tag::BYTES, data),
        AnyValue::Date(days) => bytes.instant(i64::from(*days) * DAY_IN_MILLIS, 0),
        AnyValue::Datetime(ticks, unit, _) | AnyValue::DatetimeOwned(ticks, unit, _) => {
            bytes.ticks(*ticks, *unit);
        }
        AnyValue::Duration(ticks, unit) => {
            let scale: i128 = match unit {
                TimeUnit::Milliseconds => 1_000_000,
                TimeUnit::Microseconds => 1_000,
                TimeUnit::Nanoseconds => 1,
            };
            let nanos = i128::from(*ticks) * scale;
            bytes.tagged(tag::DURATION, &nanos.to_le_bytes());
        }
        AnyValue::Time(nanos) => bytes.tagged(tag::CLOCK, &nanos.to_le_bytes()),
        AnyValue::List(inner) => {
            bytes.tagged(tag::LIST, &(inner.len() as u64).to_le_bytes());
            series(inner, bytes)?;
        }
        AnyValue::Struct(..) | AnyValue::StructOwned(_) => {
            bytes.push(&[tag::FIELDS]);
            if let AnyValue::StructOwned(fields) = any.clone().into_static() {
                let (values, fields) = *fields;
                for (field, inner) in fields.iter().zip(&values) {
                    // A field without a value and no field are the same in a document.
                    if !matches!(inner, AnyValue::Null) {
                        bytes.sized(tag::TEXT, field.name().as_bytes());
                        value(inner, bytes)?;
                    }
                }
            }
            bytes.push(&[tag::END]);
        }
        AnyValue::Categorical(..)
        | AnyValue::CategoricalOwned(..)
        | AnyValue::Enum(..)
        | AnyValue::EnumOwned(..) => {
            bytes.sized(tag::TEXT, any.get_str().unwrap_or_default().as_bytes());
        }
        other => {
            return Err(Error::invalid(format!(
                "values of type {} cannot be compared",
                other.dtype()
            )));
        }
    }
    Ok(())
}

fn cannot_read() -> &'static str {
    "cannot read the column"
}
