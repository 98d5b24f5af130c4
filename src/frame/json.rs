//! Rows of a frame as JSON values and back: what `-o json`, REST and inline model input
//! speak. Files of JSON are `format`'s business.

use super::instant::{date_text, per_second, time_text, timestamp_text};
use crate::error::{Context, Error, Result};
use polars::prelude::{
    AnyValue, Column, DataFrame, Field, IntoColumn, NamedFrom, Series, TimeUnit,
};
use serde_json::{Map, Number, Value};

/// The rows as objects, columns in order.
///
/// # Errors
/// What Polars says of a column it cannot read.
pub fn rows(frame: &DataFrame) -> Result<Vec<Value>> {
    let mut rows = vec![Map::new(); frame.height()];
    for column in frame.columns() {
        for (number, row) in rows.iter_mut().enumerate() {
            let cell = column.get(number).context(|| "cannot read a row")?;
            row.insert(column.name().to_string(), value(&cell));
        }
    }
    Ok(rows.into_iter().map(Value::Object).collect())
}

/// A frame of rows that are lists of equal length (columns `column_0`, `column_1`, …) or
/// objects (columns in order of appearance, missing values null). A column of whole
/// numbers is `Int64`, of numbers `Float64`.
///
/// # Errors
/// [`crate::ErrorKind::Invalid`] when the rows are no table or a column mixes types.
pub fn from_rows(rows: &[Value]) -> Result<DataFrame> {
    let mut names: Vec<String> = Vec::new();
    let mut columns: Vec<Vec<&Value>> = Vec::new();
    for (number, row) in rows.iter().enumerate() {
        match row {
            Value::Array(cells) => {
                if number == 0 {
                    names = (0..cells.len()).map(|at| format!("column_{at}")).collect();
                    columns = vec![Vec::with_capacity(rows.len()); cells.len()];
                }
                if cells.len() != columns.len() {
                    return Err(Error::invalid(format!(
                        "row {} has {} values, the first has {}",
                        number + 1,
                        cells.len(),
                        columns.len()
                    )));
                }
                columns
                    .iter_mut()
                    .zip(cells)
                    .for_each(|(column, cell)| column.push(cell));
            }
            Value::Object(fields) => {
                for name in fields.keys() {
                    if !names.contains(name) {
                        names.push(name.clone());
                        columns.push(vec![&Value::Null; number]);
                    }
                }
                for (name, column) in names.iter().zip(&mut columns) {
                    column.push(fields.get(name).unwrap_or(&Value::Null));
                }
            }
            _ => {
                return Err(Error::invalid(format!(
                    "row {} is neither a list nor an object",
                    number + 1
                )));
            }
        }
        if row.is_array() != rows.first().is_some_and(Value::is_array) {
            return Err(Error::invalid("rows mix lists and objects"));
        }
    }
    if columns.is_empty() {
        return Err(Error::invalid("there are no values in the data"));
    }
    let columns = names
        .iter()
        .zip(&columns)
        .map(|(name, cells)| series(name, cells).map(IntoColumn::into_column))
        .collect::<Result<Vec<Column>>>()?;
    DataFrame::new(rows.len(), columns).context(|| "cannot make a table of the data")
}

fn series(name: &str, cells: &[&Value]) -> Result<Series> {
    let all = |test: fn(&Value) -> bool| cells.iter().all(|cell| cell.is_null() || test(cell));
    if all(Value::is_i64) {
        let numbers: Vec<Option<i64>> = cells.iter().map(|cell| cell.as_i64()).collect();
        return Ok(Series::new(name.into(), numbers));
    }
    if all(Value::is_number) {
        let numbers: Vec<Option<f64>> = cells.iter().map(|cell| cell.as_f64()).collect();
        return Ok(Series::new(name.into(), numbers));
    }
    if all(Value::is_boolean) {
        let flags: Vec<Option<bool>> = cells.iter().map(|cell| cell.as_bool()).collect();
        return Ok(Series::new(name.into(), flags));
    }
    if all(Value::is_string) {
        let texts: Vec<Option<&str>> = cells.iter().map(|cell| cell.as_str()).collect();
        return Ok(Series::new(name.into(), texts));
    }
    Err(Error::invalid(format!(
        "column {name} mixes types or holds nested values"
    )))
}

/// A value as JSON: dates and times in ISO 8601 (those with a zone in UTC), durations in
/// seconds, what JSON lacks (NaN, infinity) as null, bytes in hex.
pub fn value(value: &AnyValue) -> Value {
    match value {
        AnyValue::Null => Value::Null,
        AnyValue::Boolean(value) => (*value).into(),
        AnyValue::String(text) => (*text).into(),
        AnyValue::StringOwned(text) => text.as_str().into(),
        AnyValue::Float32(number) => float(number.to_string(), f64::from(*number)),
        AnyValue::Float64(number) => float(number.to_string(), *number),
        AnyValue::Date(days) => date_text(i64::from(*days)).into(),
        AnyValue::Datetime(ticks, unit, zone) => datetime(*ticks, *unit, zone.is_some()),
        AnyValue::DatetimeOwned(ticks, unit, zone) => datetime(*ticks, *unit, zone.is_some()),
        AnyValue::Duration(ticks, unit) => (*ticks as f64 / per_second(*unit) as f64).into(),
        AnyValue::Time(nanoseconds) => time_text(*nanoseconds).into(),
        AnyValue::List(items) => items.iter().map(|item| self::value(&item)).collect(),
        AnyValue::Binary(bytes) => hex::encode(bytes).into(),
        AnyValue::BinaryOwned(bytes) => hex::encode(bytes).into(),
        AnyValue::Struct(..) | AnyValue::StructOwned(..) => structure(value),
        other => match other
            .extract::<i64>()
            .map(Number::from)
            .or_else(|| other.extract::<u64>().map(Number::from))
        {
            Some(number) if other.dtype().is_integer() => Value::Number(number),
            _ => match other.get_str() {
                Some(text) => text.into(),
                None => other.to_string().into(),
            },
        },
    }
}

/// The shortest digits that read back as the same value of its own width.
fn float(exact: String, number: f64) -> Value {
    let shortest = exact.parse().unwrap_or(number);
    Number::from_f64(shortest).map_or(Value::Null, Value::Number)
}

fn structure(value: &AnyValue) -> Value {
    let fields = |fields: &[Field], values: &[AnyValue]| {
        let names = fields.iter().map(|field| field.name().to_string());
        Value::Object(
            names
                .zip(values.iter().map(self::value))
                .collect::<Map<_, _>>(),
        )
    };
    match value {
        AnyValue::StructOwned(whole) => fields(&whole.1, &whole.0),
        AnyValue::Struct(_, _, names) => {
            let mut values = Vec::new();
            value._materialize_struct_av(&mut values);
            fields(names, &values)
        }
        _ => Value::Null,
    }
}

fn datetime(ticks: i64, unit: TimeUnit, utc: bool) -> Value {
    let zone = if utc { "Z" } else { "" };
    Value::String(timestamp_text(ticks, unit) + zone)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use polars::prelude::DataType;
    use proptest::prelude::*;
    use serde_json::json;

    #[test]
    fn lists_and_objects_become_columns() {
        let frame = from_rows(&[json!([1, 2.5, "a"]), json!([2, 3, null])]).unwrap();
        let types: Vec<DataType> = frame.dtypes();
        assert_eq!(
            types,
            [DataType::Int64, DataType::Float64, DataType::String]
        );
        let frame = from_rows(&[json!({"a": 1}), json!({"b": true})]).unwrap();
        assert_eq!(
            rows(&frame).unwrap(),
            [json!({"a": 1, "b": null}), json!({"a": null, "b": true})]
        );
    }

    #[test]
    fn what_is_no_table_is_refused() {
        for bad in [
            json!([[1], [1, 2]]),
            json!([1]),
            json!([[1], {"a": 1}]),
            json!([[]]),
            json!([[[1]]]),
            json!([[1], ["a"]]),
        ] {
            assert!(from_rows(bad.as_array().unwrap()).is_err(), "{bad}");
        }
        assert!(from_rows(&[]).is_err());
    }

    #[test]
    fn extreme_times_do_not_panic() {
        for ticks in [i64::MIN, i64::MAX, -1, 0] {
            for unit in [
                TimeUnit::Nanoseconds,
                TimeUnit::Microseconds,
                TimeUnit::Milliseconds,
            ] {
                datetime(ticks, unit, true);
            }
            value(&AnyValue::Time(ticks));
        }
        assert_eq!(value(&AnyValue::Date(i32::MAX)), "5881580-07-11");
        assert_eq!(
            datetime(-1, TimeUnit::Milliseconds, false),
            "1969-12-31T23:59:59.999"
        );
    }

    proptest! {
        #[test]
        fn numbers_and_texts_survive(values in prop::collection::vec((any::<i64>(), -1e300..1e300f64, ".{0,6}"), 1..20)) {
            let given: Vec<Value> = values.iter().map(|(a, b, c)| json!({"a": a, "b": b, "c": c})).collect();
            prop_assert_eq!(rows(&from_rows(&given).unwrap()).unwrap(), given);
        }
    }
}
