//! Names of column types: pandas' dtype names, as metadata and REST use them
//! (spec/storage.md §9.1), and the names people type in `--dtypes col=type`.

use crate::error::{Error, Result, nearest};
use polars::prelude::{Categories, DataType, TimeUnit, TimeZone};

/// The names that [`parse`] takes, for help and suggestions.
pub const NAMES: [&str; 31] = [
    "int",
    "int8",
    "int16",
    "int32",
    "int64",
    "i8",
    "i16",
    "i32",
    "i64",
    "uint8",
    "uint16",
    "uint32",
    "uint64",
    "u8",
    "u16",
    "u32",
    "u64",
    "float",
    "float32",
    "float64",
    "f32",
    "f64",
    "str",
    "text",
    "object",
    "bool",
    "date",
    "datetime",
    "time",
    "category",
    "timedelta",
];

/// pandas' name of a Polars type; `object` where pandas has no type of its own. A date
/// is `date`, which pandas lacks: the name keeps it apart from `datetime64`.
pub fn pandas_name(dtype: &DataType) -> String {
    match dtype {
        DataType::Boolean => "bool".to_owned(),
        DataType::Int8 => "int8".to_owned(),
        DataType::Int16 => "int16".to_owned(),
        DataType::Int32 => "int32".to_owned(),
        DataType::Int64 => "int64".to_owned(),
        DataType::UInt8 => "uint8".to_owned(),
        DataType::UInt16 => "uint16".to_owned(),
        DataType::UInt32 => "uint32".to_owned(),
        DataType::UInt64 => "uint64".to_owned(),
        DataType::Float32 => "float32".to_owned(),
        DataType::Float64 => "float64".to_owned(),
        DataType::Date => "date".to_owned(),
        DataType::Datetime(unit, None) => format!("datetime64[{}]", unit_name(*unit)),
        DataType::Datetime(unit, Some(zone)) => format!("datetime64[{}, {zone}]", unit_name(*unit)),
        DataType::Duration(unit) => format!("timedelta64[{}]", unit_name(*unit)),
        DataType::Categorical(..) | DataType::Enum(..) => "category".to_owned(),
        _ => "object".to_owned(),
    }
}

/// The type of a pandas dtype name or a friendly name: `int`, `float`, `str`, `bool`,
/// `date`, `datetime`, `datetime64[ns, UTC]`, `category`, `i32` …
///
/// # Errors
/// [`crate::ErrorKind::Usage`] for names that are no type.
pub fn parse(name: &str) -> Result<DataType> {
    let name = name.trim();
    let lower = name.to_lowercase();
    Ok(match lower.as_str() {
        "int" | "integer" | "int64" | "i64" | "long" | "bigint" => DataType::Int64,
        "int8" | "i8" => DataType::Int8,
        "int16" | "i16" => DataType::Int16,
        "int32" | "i32" => DataType::Int32,
        "uint" | "uint64" | "u64" => DataType::UInt64,
        "uint8" | "u8" => DataType::UInt8,
        "uint16" | "u16" => DataType::UInt16,
        "uint32" | "u32" => DataType::UInt32,
        "float" | "float64" | "f64" | "double" | "number" => DataType::Float64,
        "float32" | "f32" => DataType::Float32,
        "str" | "string" | "text" | "object" | "varchar" => DataType::String,
        "bool" | "boolean" => DataType::Boolean,
        "date" => DataType::Date,
        "time" => DataType::Time,
        "datetime" | "timestamp" | "datetime64" => DataType::Datetime(TimeUnit::Microseconds, None),
        "timedelta" | "timedelta64" | "duration" => DataType::Duration(TimeUnit::Microseconds),
        "category" | "categorical" => DataType::from_categories(Categories::global()),
        _ => return bracketed(name).ok_or_else(|| unknown(name)),
    })
}

/// `datetime64[ns, Europe/Zurich]`, `datetime[us]`, `timedelta64[ms]`.
fn bracketed(name: &str) -> Option<DataType> {
    let (head, rest) = name.split_once('[')?;
    let mut parts = rest.strip_suffix(']')?.split(',').map(str::trim);
    let unit = match parts.next()? {
        "ns" => TimeUnit::Nanoseconds,
        "us" => TimeUnit::Microseconds,
        // pandas' seconds have no type in Polars; milliseconds hold them exactly.
        "ms" | "s" => TimeUnit::Milliseconds,
        _ => return None,
    };
    let zone = parts.next();
    if parts.next().is_some() {
        return None;
    }
    match (head.to_lowercase().as_str(), zone) {
        ("datetime64" | "datetime", None) => Some(DataType::Datetime(unit, None)),
        ("datetime64" | "datetime", Some(zone)) => Some(DataType::Datetime(
            unit,
            TimeZone::opt_try_new(Some(zone)).ok()?,
        )),
        ("timedelta64" | "timedelta" | "duration", None) => Some(DataType::Duration(unit)),
        _ => None,
    }
}

fn unknown(name: &str) -> Error {
    let error = Error::usage(format!("`{name}` is not a type"));
    let all = "types: int, float, str, bool, date, datetime, datetime64[us, UTC], time, category, \
               int8 … int64, uint8 … uint64, float32, float64";
    match nearest(name, NAMES) {
        Some(near) => error.hint(format!("did you mean `{near}`? {all}")),
        None => error.hint(all),
    }
}

fn unit_name(unit: TimeUnit) -> &'static str {
    match unit {
        TimeUnit::Nanoseconds => "ns",
        TimeUnit::Microseconds => "us",
        TimeUnit::Milliseconds => "ms",
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn pandas_names_read_back() {
        for name in [
            "int8",
            "int64",
            "uint16",
            "float32",
            "float64",
            "bool",
            "object",
            "date",
            "category",
            "datetime64[ns]",
            "datetime64[us]",
            "datetime64[ms, Europe/Zurich]",
            "timedelta64[ns]",
        ] {
            assert_eq!(pandas_name(&parse(name).unwrap()), name);
        }
        assert_eq!(
            parse("datetime64[s]").unwrap(),
            DataType::Datetime(TimeUnit::Milliseconds, None)
        );
        assert_eq!(parse("Int64").unwrap(), DataType::Int64);
    }

    #[test]
    fn friendly_names_and_suggestions() {
        for name in NAMES {
            assert!(parse(name).is_ok(), "{name}");
        }
        let error = parse("flaot").unwrap_err();
        assert!(error.hint_text().unwrap().contains("`float`"), "{error}");
        assert!(parse("datetime64[ns, Mars/Olympus]").is_err());
    }
}
