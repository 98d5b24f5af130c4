//! Columns as CSV and JSON files have them: dates and times as ISO text (those with a
//! zone in UTC), durations in seconds, bytes in hex, and for CSV nested values as JSON.

use crate::frame::instant::{date_text, per_second, time_text, timestamp_text};
use crate::frame::json;
use polars::prelude::*;

/// The frame with columns that the text formats cannot hold turned into such as they can.
pub(super) fn textual(frame: &DataFrame, nested: bool) -> PolarsResult<DataFrame> {
    let columns = frame
        .columns()
        .iter()
        .map(|column| column_text(column, nested))
        .collect::<PolarsResult<Vec<Column>>>()?;
    DataFrame::new(frame.height(), columns)
}

fn column_text(column: &Column, nested: bool) -> PolarsResult<Column> {
    let name = column.name().clone();
    let texts = |column: &Column, text: &dyn Fn(i64) -> String| -> PolarsResult<Column> {
        let values = column.to_physical_repr().cast(&DataType::Int64)?;
        let mut builder = StringChunkedBuilder::new(name.clone(), values.len());
        for value in values.i64()?.iter() {
            builder.append_option(value.map(text));
        }
        Ok(builder.finish().into_column())
    };
    match column.dtype() {
        DataType::Date => texts(column, &date_text),
        DataType::Time => texts(column, &time_text),
        DataType::Datetime(unit, zone) => {
            let suffix = if zone.is_some() { "Z" } else { "" };
            texts(column, &|value| timestamp_text(value, *unit) + suffix)
        }
        DataType::Duration(unit) => {
            let seconds = column.to_physical_repr().cast(&DataType::Float64)?;
            let scale = per_second(*unit) as f64;
            let seconds: Float64Chunked = seconds.f64()?.apply_values(|value| value / scale);
            Ok(seconds.with_name(name).into_column())
        }
        DataType::Categorical(..) | DataType::Enum(..) => column.cast(&DataType::String),
        DataType::Binary => values(column, |value| match json::value(value) {
            serde_json::Value::String(hex) => hex,
            other => other.to_string(),
        }),
        dtype if nested && dtype.is_nested() => {
            values(column, |value| json::value(value).to_string())
        }
        _ => Ok(column.clone()),
    }
}

fn values(column: &Column, text: impl Fn(&AnyValue) -> String) -> PolarsResult<Column> {
    let mut builder = StringChunkedBuilder::new(column.name().clone(), column.len());
    for row in 0..column.len() {
        match column.get(row)? {
            AnyValue::Null => builder.append_null(),
            value => builder.append_value(text(&value)),
        }
    }
    Ok(builder.finish().into_column())
}
