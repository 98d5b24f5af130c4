//! A literal of a filter as a Polars literal that compares with a column of a type.

use super::Value;
use crate::error::{Error, Result};
use crate::frame::instant::{Instant, time_of_day};
use crate::frame::zone::local_to_utc;
use polars::prelude::{AnyValue, DataType, Expr, Scalar, TimeUnit, TimeZone, lit};
use std::sync::Arc;

/// Both sides of a comparison; the column is cast where its own type could not tell the
/// literal from its neighbours.
pub(super) struct Comparable {
    pub column: Expr,
    pub literal: Expr,
}

/// Makes `value` comparable with `column`, named `name`, of type `dtype`.
pub(super) fn comparable(
    name: &str,
    column: Expr,
    dtype: &DataType,
    value: &Value,
) -> Result<Comparable> {
    let mismatch = || mismatch(name, dtype, value);
    let plain = |column, literal| Ok(Comparable { column, literal });
    match dtype {
        DataType::Boolean => match value {
            Value::Bool(value) => plain(column, lit(*value)),
            Value::Int(value @ (0 | 1)) => plain(column, lit(*value == 1)),
            Value::Text(text) if text.eq_ignore_ascii_case("true") => plain(column, lit(true)),
            Value::Text(text) if text.eq_ignore_ascii_case("false") => plain(column, lit(false)),
            _ => Err(mismatch()),
        },
        DataType::String => match value {
            Value::Text(text) => plain(column, lit(text.clone())),
            _ => Err(mismatch()),
        },
        DataType::Categorical(..) | DataType::Enum(..) => match value {
            Value::Text(text) => plain(column.cast(DataType::String), lit(text.clone())),
            _ => Err(mismatch()),
        },
        DataType::Date => match instant(value).ok_or_else(mismatch)? {
            Instant::Date(days) => plain(
                column,
                lit(Scalar::new(DataType::Date, AnyValue::Date(days))),
            ),
            stamp => plain(
                column.cast(DataType::Datetime(TimeUnit::Microseconds, None)),
                timestamp(stamp.micros(), TimeUnit::Microseconds, None),
            ),
        },
        DataType::Datetime(unit, zone) => datetime(
            column,
            *unit,
            zone.as_ref(),
            instant(value).ok_or_else(mismatch)?,
        ),
        DataType::Time => match value {
            Value::Text(text) => {
                let nanos = time_of_day(text.as_bytes()).ok_or_else(mismatch)?;
                plain(
                    column,
                    lit(Scalar::new(DataType::Time, AnyValue::Time(nanos))),
                )
            }
            _ => Err(mismatch()),
        },
        dtype if dtype.is_numeric() => plain(column, number(dtype, value).ok_or_else(mismatch)?),
        _ => Err(mismatch()),
    }
}

fn mismatch(name: &str, dtype: &DataType, value: &Value) -> Error {
    let type_name = crate::frame::dtype::pandas_name(dtype);
    let error = Error::usage(format!(
        "column `{name}` is {type_name} and does not compare with {value}"
    ));
    match (dtype, value) {
        (DataType::String | DataType::Categorical(..) | DataType::Enum(..), value) => error.hint(
            format!("the column holds text; put the value in quotes: {name} = \"{value}\""),
        ),
        (DataType::Date | DataType::Datetime(..), _) => error.hint(format!(
            "dates are text such as {name} >= \"2024-01-31\" or \"2024-01-31T10:00:00Z\""
        )),
        (DataType::Time, _) => error.hint(format!("times are text such as {name} >= \"10:30\"")),
        (DataType::Struct(_), _) => error.hint(format!("name a field of it: {name}.field")),
        _ => error,
    }
}

fn number(dtype: &DataType, value: &Value) -> Option<Expr> {
    let value = match value {
        Value::Text(text) => {
            let text = text.trim();
            match text.parse::<i64>() {
                Ok(int) => Value::Int(int),
                Err(_) => Value::Float(text.parse::<f64>().ok().filter(|value| value.is_finite())?),
            }
        }
        value => value.clone(),
    };
    Some(match (dtype, value) {
        (DataType::Float32, Value::Int(value)) => lit(value as f32),
        (DataType::Float32, Value::Float(value)) => lit(value as f32),
        (DataType::Float64, Value::Int(value)) => lit(value as f64),
        (DataType::UInt64, Value::Int(value)) => match u64::try_from(value) {
            Ok(value) => lit(value),
            Err(_) => lit(value as f64),
        },
        (_, Value::Int(value)) => lit(value),
        // 5.0 compares with integers exactly; beyond 2^53 a float would not.
        (dtype, Value::Float(value))
            if dtype.is_integer() && value.fract() == 0.0 && value.abs() < 9.0e18 =>
        {
            return number(dtype, &Value::Int(value as i64));
        }
        (_, Value::Float(value)) => lit(value),
        _ => return None,
    })
}

fn instant(value: &Value) -> Option<Instant> {
    match value {
        Value::Text(text) => Instant::parse(text.trim().as_bytes()),
        _ => None,
    }
}

/// Text without a zone is in the column's zone; text with one is the same instant.
fn datetime(
    column: Expr,
    unit: TimeUnit,
    zone: Option<&TimeZone>,
    instant: Instant,
) -> Result<Comparable> {
    let (seconds, nanos) = match (instant, zone) {
        (Instant::Zoned(seconds, nanos), _) => (seconds, nanos),
        (local, None) => local.seconds(),
        (local, Some(zone)) => in_zone(local, zone)?,
    };
    let wanted = match (unit, nanos) {
        (TimeUnit::Milliseconds, nanos) if nanos % 1_000_000 == 0 => TimeUnit::Milliseconds,
        (TimeUnit::Milliseconds | TimeUnit::Microseconds, nanos) if nanos % 1_000 == 0 => {
            TimeUnit::Microseconds
        }
        _ => TimeUnit::Nanoseconds,
    };
    let scaled = |per_second: i64| {
        seconds
            .checked_mul(per_second)?
            .checked_add(i64::from(nanos) / (1_000_000_000 / per_second))
    };
    let (value, wanted) = match wanted {
        TimeUnit::Milliseconds => (scaled(1_000), wanted),
        TimeUnit::Microseconds => (scaled(1_000_000), wanted),
        // Nanoseconds reach from 1677 to 2262 only.
        TimeUnit::Nanoseconds => match scaled(1_000_000_000) {
            None => (scaled(1_000_000), TimeUnit::Microseconds),
            value => (value, wanted),
        },
    };
    let value = value.ok_or_else(|| Error::usage("the date is out of range"))?;
    let column = if wanted == unit {
        column
    } else {
        column.cast(DataType::Datetime(wanted, zone.cloned()))
    };
    Ok(Comparable {
        column,
        literal: timestamp(value, wanted, zone),
    })
}

fn in_zone(local: Instant, zone: &TimeZone) -> Result<(i64, u32)> {
    let (seconds, nanos) = local.seconds();
    let seconds = local_to_utc(zone)
        .and_then(|to_utc| to_utc(seconds))
        .ok_or_else(|| {
            Error::usage(format!(
                "there is no such time in {zone}: the clocks went forward"
            ))
        })?;
    Ok((seconds, nanos))
}

fn timestamp(value: i64, unit: TimeUnit, zone: Option<&TimeZone>) -> Expr {
    lit(Scalar::new(
        DataType::Datetime(unit, zone.cloned()),
        AnyValue::DatetimeOwned(value, unit, zone.cloned().map(Arc::new)),
    ))
}
