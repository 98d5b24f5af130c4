//! Builds one column of a frame out of fields.

use super::classify::instant;
use super::dialect::Dialect;
use super::number::{Whole, float, whole};
use crate::frame::format::kind::Kind;
use crate::frame::instant::{Instant, time_of_day};
use crate::frame::zone::{LocalToUtc, local_to_utc};
use polars::prelude::*;

/// A column under construction.
pub(crate) struct Builder {
    values: Values,
    /// The type of the finished column.
    dtype: DataType,
}

enum Values {
    Null(PlSmallStr, usize),
    Bool(BooleanChunkedBuilder),
    Int(
        PrimitiveChunkedBuilder<Int64Type>,
        std::ops::RangeInclusive<i64>,
    ),
    UInt(PrimitiveChunkedBuilder<UInt64Type>),
    Float(PrimitiveChunkedBuilder<Float64Type>),
    Digits(StringChunkedBuilder),
    Text(StringChunkedBuilder),
    Date(PrimitiveChunkedBuilder<Int32Type>),
    Stamp(PrimitiveChunkedBuilder<Int64Type>, Stamp),
    Time(PrimitiveChunkedBuilder<Int64Type>),
}

struct Stamp {
    unit: TimeUnit,
    zone: Zone,
}

/// What timestamps must have, and what they mean without.
enum Zone {
    /// Inferred: no zone.
    Never,
    /// Inferred: a zone.
    Always,
    /// Given: either; the zone that values without one are in.
    Given(Option<LocalToUtc>),
}

/// The field does not fit the column's type.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Misfit;

impl Builder {
    /// A column of an inferred kind.
    pub fn inferred(name: &str, kind: Kind, capacity: usize) -> Builder {
        let name = PlSmallStr::from_str(name);
        let dtype = kind.dtype();
        let unit = |nanos| {
            if nanos {
                TimeUnit::Nanoseconds
            } else {
                TimeUnit::Microseconds
            }
        };
        let stamp = |name, nanos, zone| {
            let stamp = Stamp {
                unit: unit(nanos),
                zone,
            };
            Values::Stamp(PrimitiveChunkedBuilder::new(name, capacity), stamp)
        };
        let values = match kind {
            Kind::Null => Values::Null(name, 0),
            Kind::Bool => Values::Bool(BooleanChunkedBuilder::new(name, capacity)),
            Kind::Int => Values::Int(
                PrimitiveChunkedBuilder::new(name, capacity),
                i64::MIN..=i64::MAX,
            ),
            Kind::Digits => Values::Digits(StringChunkedBuilder::new(name, capacity)),
            Kind::Float => Values::Float(PrimitiveChunkedBuilder::new(name, capacity)),
            Kind::Date => Values::Date(PrimitiveChunkedBuilder::new(name, capacity)),
            Kind::Local { nanos } => stamp(name, nanos, Zone::Never),
            Kind::Zoned { nanos } => stamp(name, nanos, Zone::Always),
            Kind::Text => Values::Text(StringChunkedBuilder::new(name, capacity)),
        };
        Builder { values, dtype }
    }

    /// A column of a given type. None where no text can be read as it.
    pub fn given(name: &str, dtype: &DataType, capacity: usize) -> Option<Builder> {
        let name = PlSmallStr::from_str(name);
        let int = |name, range| {
            Some(Values::Int(
                PrimitiveChunkedBuilder::new(name, capacity),
                range,
            ))
        };
        let values = match dtype {
            DataType::Boolean => Values::Bool(BooleanChunkedBuilder::new(name, capacity)),
            DataType::Int8 => int(name, i64::from(i8::MIN)..=i64::from(i8::MAX))?,
            DataType::Int16 => int(name, i64::from(i16::MIN)..=i64::from(i16::MAX))?,
            DataType::Int32 => int(name, i64::from(i32::MIN)..=i64::from(i32::MAX))?,
            DataType::Int64 => int(name, i64::MIN..=i64::MAX)?,
            DataType::UInt8 => int(name, 0..=i64::from(u8::MAX))?,
            DataType::UInt16 => int(name, 0..=i64::from(u16::MAX))?,
            DataType::UInt32 => int(name, 0..=i64::from(u32::MAX))?,
            DataType::UInt64 => Values::UInt(PrimitiveChunkedBuilder::new(name, capacity)),
            DataType::Float32 | DataType::Float64 => {
                Values::Float(PrimitiveChunkedBuilder::new(name, capacity))
            }
            DataType::String | DataType::Categorical(..) => {
                Values::Text(StringChunkedBuilder::new(name, capacity))
            }
            DataType::Date => Values::Date(PrimitiveChunkedBuilder::new(name, capacity)),
            DataType::Datetime(unit, zone) => {
                let zone = match zone {
                    Some(zone) => Some(local_to_utc(zone)?),
                    None => None,
                };
                let stamp = Stamp {
                    unit: *unit,
                    zone: Zone::Given(zone),
                };
                Values::Stamp(PrimitiveChunkedBuilder::new(name, capacity), stamp)
            }
            DataType::Time => Values::Time(PrimitiveChunkedBuilder::new(name, capacity)),
            _ => return None,
        };
        Some(Builder {
            values,
            dtype: dtype.clone(),
        })
    }

    /// Adds a field.
    #[inline]
    pub fn push(&mut self, field: &str, dialect: &Dialect) -> Result<(), Misfit> {
        let bytes = field.as_bytes();
        if dialect.nulls.contains(bytes) {
            self.push_null();
            return Ok(());
        }
        match &mut self.values {
            Values::Text(builder) => builder.append_value(field),
            Values::Int(builder, range) => match whole(bytes, dialect) {
                Whole::Int(value) if range.contains(&value) => builder.append_value(value),
                _ => return Err(Misfit),
            },
            Values::Float(builder) => builder.append_value(float(bytes, dialect).ok_or(Misfit)?),
            Values::Date(builder) => match instant(bytes) {
                Some(Instant::Date(days)) => builder.append_value(days),
                _ => return Err(Misfit),
            },
            Values::Stamp(builder, stamp) => {
                let value = instant(bytes).and_then(|instant| stamp.value(instant));
                builder.append_value(value.ok_or(Misfit)?);
            }
            Values::Bool(builder) => match dialect.trues.contains(bytes) {
                true => builder.append_value(true),
                false if dialect.falses.contains(bytes) => builder.append_value(false),
                false => return Err(Misfit),
            },
            Values::Digits(builder) => match whole(bytes, dialect) {
                Whole::No => return Err(Misfit),
                _ => builder.append_value(field),
            },
            Values::UInt(builder) => {
                builder.append_value(field.trim().parse().map_err(|_| Misfit)?)
            }
            Values::Time(builder) => {
                builder.append_value(time_of_day(bytes.trim_ascii()).ok_or(Misfit)?);
            }
            Values::Null(..) => return Err(Misfit),
        }
        Ok(())
    }

    /// Adds a null.
    pub fn push_null(&mut self) {
        match &mut self.values {
            Values::Null(_, length) => *length += 1,
            Values::Bool(builder) => builder.append_null(),
            Values::Int(builder, _) | Values::Stamp(builder, _) | Values::Time(builder) => {
                builder.append_null()
            }
            Values::UInt(builder) => builder.append_null(),
            Values::Float(builder) => builder.append_null(),
            Values::Date(builder) => builder.append_null(),
            Values::Text(builder) | Values::Digits(builder) => builder.append_null(),
        }
    }

    /// The finished column.
    pub fn finish(self) -> PolarsResult<Column> {
        let series = match self.values {
            Values::Null(name, length) => Series::full_null(name, length, &self.dtype),
            Values::Bool(builder) => builder.finish().into_series(),
            Values::Int(builder, _) => builder.finish().into_series().cast(&self.dtype)?,
            Values::UInt(builder) => builder.finish().into_series(),
            Values::Float(builder) => builder.finish().into_series().cast(&self.dtype)?,
            Values::Text(builder) | Values::Digits(builder) => match &self.dtype {
                DataType::String => builder.finish().into_series(),
                dtype => builder.finish().into_series().cast(dtype)?,
            },
            Values::Date(builder) => builder.finish().into_date().into_series(),
            Values::Time(builder) => builder.finish().into_time().into_series(),
            Values::Stamp(builder, stamp) => {
                let zone = match &self.dtype {
                    DataType::Datetime(_, zone) => zone.clone(),
                    _ => None,
                };
                builder
                    .finish()
                    .into_datetime(stamp.unit, zone)
                    .into_series()
            }
        };
        Ok(series.into_column())
    }
}

impl Stamp {
    #[inline]
    fn value(&self, instant: Instant) -> Option<i64> {
        let (instant, given) = match (&self.zone, instant) {
            (Zone::Never, Instant::Zoned(..)) => return None,
            (Zone::Always, Instant::Date(_) | Instant::Local(..)) => return None,
            (Zone::Given(Some(to_utc)), local @ (Instant::Date(_) | Instant::Local(..))) => {
                let (seconds, nanos) = local.seconds();
                (Instant::Zoned(to_utc(seconds)?, nanos), true)
            }
            (Zone::Given(_), instant) => (instant, true),
            (_, instant) => (instant, false),
        };
        match self.unit {
            TimeUnit::Nanoseconds => instant.nanos(),
            // Where the type was given, what is finer is cut off.
            TimeUnit::Microseconds if !given && instant.needs_nanos() => None,
            TimeUnit::Microseconds => Some(instant.micros()),
            TimeUnit::Milliseconds => Some(instant.micros().div_euclid(1_000)),
        }
    }
}
