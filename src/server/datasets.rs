//! Data sets (spec/rest.md §4.2).

use super::app::Call;
use super::orient::{Cells, Orient, Table};
use super::reply::{Failure, Reply};
use super::request::is_true;
use crate::error::{Error, ErrorKind};
use crate::frame::filter::Filter;
use crate::frame::{Columns, Query, dtype};
use crate::runtime::celery::{json, repr};
use crate::storage::Metadata;
use crate::store::{Name, Object, PutMode, PutOptions, Stored};
use polars::prelude::DataFrame;
use serde_json::{Map, Value};

/// What of a query is no filter.
const OPTIONS: &[&str] = &["orient", "limit", "skip", "page", "async"];

/// The rows, as pandas' `to_dict` lays them out.
pub fn get(call: &Call<'_>, name: &str) -> Result<Reply, Failure> {
    let metadata = found(call, name)?;
    let orient = Orient::parse(call.request.param("orient").unwrap_or("dict"))?;
    let datasets = &call.om.datasets;
    let levels = datasets.index(&metadata);
    if levels.is_empty() {
        return documents(call, name, orient);
    }
    let data = datasets.columns(&metadata);
    let names: Vec<String> = match Name::parse(name).map_err(untraced)?.columns {
        Columns::All => data.iter().map(|(name, _)| name.clone()).collect(),
        chosen => chosen.resolve(
            &data
                .iter()
                .map(|(name, _)| name.clone())
                .collect::<Vec<_>>(),
        ),
    };
    let query = Query {
        filter: filter(call, &data)?,
        columns: Columns::Only(levels.iter().chain(&names).cloned().collect()),
        ..Query::default()
    };
    let mut frame = datasets
        .collect(metadata.name(), &query)
        .map_err(untraced)?;
    // Cells are looked up by their row.
    frame.rechunk_mut();
    let height = frame.height();
    let mut index = frame.into_columns();
    let cells = index.split_off(levels.len().min(index.len()));
    let table = Table {
        orient,
        height,
        cells: Cells::Columns(cells),
        index,
    };
    Ok(table.reply())
}

/// The metadata; what omega|ml raises where there is none.
fn found(call: &Call<'_>, name: &str) -> Result<Metadata, Failure> {
    call.om
        .datasets
        .metadata(name)
        .map_err(|error| match error.kind() {
            ErrorKind::NotFound => Failure::raised(
                "AttributeError",
                "'NoneType' object has no attribute 'kind_meta'",
            )
            .untraced(),
            _ => untraced(error),
        })
}

fn untraced(error: Error) -> Failure {
    Failure::from(error).untraced()
}

/// The filters of the query: values are of the type of their column, else text.
fn filter(call: &Call<'_>, columns: &[(String, String)]) -> Result<Option<Filter>, Failure> {
    let mut all = Vec::new();
    let filters = call.request.query.iter();
    for (key, text) in filters.filter(|(key, _)| !OPTIONS.contains(&key.as_str())) {
        let column = key
            .rsplit_once("__")
            .map_or(key.as_str(), |(column, _)| column);
        let known = columns
            .iter()
            .find(|(name, _)| name == column || name == key);
        let value = match known {
            Some((_, dtype)) => cast(text, dtype)?,
            None => Value::from(text.as_str()),
        };
        all.push(Filter::from_keyword(key, value).map_err(untraced)?);
    }
    Ok(match all.len() {
        0 => None,
        1 => all.pop(),
        _ => Some(Filter::And(all)),
    })
}

fn cast(text: &str, dtype: &str) -> Result<Value, Failure> {
    let bad = |what: &str| {
        let message = format!("{what}: {}", repr::quoted(text));
        Failure::raised("ValueError", &message).untraced()
    };
    if dtype.to_lowercase().contains("int") {
        let number: Option<i64> = text.trim().parse().ok();
        return number
            .map(Value::from)
            .ok_or_else(|| bad("invalid literal for int() with base 10"));
    }
    if dtype.to_lowercase().starts_with("float") {
        let number: Option<f64> = text.trim().parse().ok();
        return number
            .map(Value::from)
            .ok_or_else(|| bad("could not convert string to float"));
    }
    Ok(match dtype {
        "bool" | "boolean" => Value::from(is_true(text)),
        _ => Value::from(text),
    })
}

/// Documents as rows.
fn documents(call: &Call<'_>, name: &str, orient: Orient) -> Result<Reply, Failure> {
    let stored = call.om.datasets.get(name).map_err(untraced)?;
    let Stored::Values(values) = stored else {
        let message = format!("{name} is not a table");
        return Err(Failure::raised("ValueError", &message).untraced());
    };
    let rows: Vec<Value> = values.iter().map(crate::store::bson_to_value).collect();
    let mut rows: Vec<Map<String, Value>> = rows
        .into_iter()
        .filter_map(|row| match row {
            Value::Object(fields) => Some(fields),
            _ => None,
        })
        .collect();
    rows.iter_mut().for_each(|row| {
        row.shift_remove("_id");
    });
    let mut names: Vec<String> = Vec::new();
    for name in rows.iter().flat_map(Map::keys) {
        if !names.contains(name) {
            names.push(name.clone());
        }
    }
    let table = Table {
        orient,
        height: rows.len(),
        cells: Cells::Documents(names, rows),
        index: Vec::new(),
    };
    Ok(table.reply())
}

/// Stores the rows of the body, added to those that are there unless `append` is false.
pub fn put(call: &Call<'_>, name: &str) -> Result<Reply, Failure> {
    let body = call
        .request
        .json()?
        .unwrap_or_else(|| Value::Object(Map::new()));
    let python = |value: &Value| repr::repr(&json::to_value(value));
    let Value::Object(body) = body else {
        let message = format!("{} is not of type 'object'", python(&body));
        return Err(Failure::validation(vec![(String::new(), message)]));
    };
    let mut errors = Vec::new();
    for (field, kind, valid) in [
        (
            "data",
            "object",
            body.get("data").is_none_or(Value::is_object),
        ),
        (
            "dtypes",
            "object",
            body.get("dtypes").is_none_or(Value::is_object),
        ),
        (
            "append",
            "boolean",
            body.get("append").is_none_or(Value::is_boolean),
        ),
    ] {
        if !valid {
            let value = body.get(field).unwrap_or(&Value::Null);
            let message = format!("{} is not of type '{kind}'", python(value));
            errors.push((field.to_owned(), message));
        }
    }
    if !errors.is_empty() {
        return Err(Failure::validation(errors));
    }
    let append = match body.get("append").and_then(Value::as_bool) {
        Some(append) => append,
        None => call.request.param("append").is_none_or(is_true),
    };
    let Some(Value::Object(data)) = body.get("data") else {
        return Err(Failure::exception("KeyError", "'data'").untraced());
    };
    let by_row = call.request.param("orient") == Some("index");
    let mut frame = frame(data, by_row)?;
    if let Some(Value::Object(dtypes)) = body.get("dtypes") {
        frame = typed(frame, dtypes)?;
    }
    let options = PutOptions {
        mode: match append {
            true => PutMode::Append,
            false => PutMode::Replace,
        },
        ..PutOptions::default()
    };
    let object = Object::frame(frame);
    call.om
        .datasets
        .put(name, object, &options)
        .map_err(untraced)?;
    Ok(Reply::json(&"".into()))
}

/// The table of `{column: values}`, or of `{index: {column: value}}`.
fn frame(data: &Map<String, Value>, by_row: bool) -> Result<DataFrame, Failure> {
    let rows: Vec<Value> = match by_row {
        true => data.values().cloned().collect(),
        false => {
            let mut columns: Vec<(&String, Vec<&Value>)> = Vec::new();
            for (name, cells) in data {
                let cells = match cells {
                    Value::Array(cells) => cells.iter().collect(),
                    Value::Object(cells) => cells.values().collect(),
                    _ => {
                        let message = "If using all scalar values, you must pass an index";
                        return Err(Failure::raised("ValueError", message).untraced());
                    }
                };
                columns.push((name, cells));
            }
            let height = columns.first().map_or(0, |(_, cells)| cells.len());
            if columns.iter().any(|(_, cells)| cells.len() != height) {
                let message = "All arrays must be of the same length";
                return Err(Failure::raised("ValueError", message).untraced());
            }
            let row = |at: usize| {
                let cells = columns.iter().filter_map(|(name, cells)| {
                    Some(((*name).clone(), (**cells.get(at)?).clone()))
                });
                Value::Object(cells.collect())
            };
            (0..height).map(row).collect()
        }
    };
    crate::frame::json::from_rows(&rows).map_err(untraced)
}

/// The frame with columns of these pandas types.
fn typed(frame: DataFrame, dtypes: &Map<String, Value>) -> Result<DataFrame, Failure> {
    let height = frame.height();
    let mut columns = frame.columns().to_vec();
    for (name, dtype) in dtypes {
        let Some(column) = columns.iter_mut().find(|column| column.name() == name) else {
            let message = format!("{} not found in columns", repr::quoted(name));
            return Err(Failure::raised("KeyError", &message).untraced());
        };
        let dtype = dtype.as_str().unwrap_or("object");
        // Objects stay what they are: numbers may be among them.
        if dtype == "object" {
            continue;
        }
        let dtype = dtype::parse(dtype).map_err(untraced)?;
        *column = column.strict_cast(&dtype).map_err(|error| {
            let message = format!("column {}: {error}", repr::quoted(name));
            Failure::raised("ValueError", &message).untraced()
        })?;
    }
    DataFrame::new(height, columns)
        .map_err(|error| Failure::raised("ValueError", &error.to_string()).untraced())
}

/// Drops a data set.
pub fn delete(call: &Call<'_>, name: &str) -> Result<Reply, Failure> {
    match call.om.datasets.drop(name) {
        Ok(()) => Ok(Reply::json(&"".into())),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            Ok(Reply::json(&"".into()).status(404))
        }
        Err(error) => Err(untraced(error)),
    }
}
