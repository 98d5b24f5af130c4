//! Models (spec/rest.md §4.1).

use super::app::{Call, no_attribute};
use super::json::Json;
use super::reply::{Failure, Reply};
use crate::error::ErrorKind;
use crate::models::Kind;
use crate::runtime::celery::repr;
use crate::runtime::{Action, Input, ModelCall, Outcome, TaskCall};
use crate::storage::{Metadata, wall_clock_text};
use serde_json::{Map, Value, json};

/// Actions that omega|ml serves; others are no attribute of its resource.
const SERVED: &[&str] = &[
    "predict",
    "predict_proba",
    "fit",
    "partial_fit",
    "score",
    "transform",
    "decision_function",
];

/// A time without a zone, in ISO 8601.
pub fn iso(date: bson::DateTime) -> String {
    wall_clock_text(date).replacen(' ', "T", 1)
}

/// What is served of a model's metadata; all null for a model that there is not.
pub fn metadata(call: &Call<'_>, name: &str) -> Result<Reply, Failure> {
    call.permit("model", name, "metadata")?;
    let found = match call.om.models.metadata(name) {
        Ok(metadata) => Some(metadata),
        Err(error) if error.kind() == ErrorKind::NotFound => None,
        Err(error) => return Err(error.into()),
    };
    let facts = |metadata: &Metadata| {
        Json::object([
            ("name", metadata.name().into()),
            ("kind", metadata.kind.as_str().into()),
            ("created", iso(metadata.created).into()),
            ("modified", iso(metadata.modified).into()),
            ("bucket", metadata.key.bucket.as_str().into()),
        ])
    };
    Ok(Reply::json(&Json::object([
        ("model", found.as_ref().map(Metadata::name).into()),
        ("result", found.as_ref().map_or(Json::Null, facts)),
        ("resource_uri", Json::Null),
    ])))
}

/// Runs an action of a model, or submits it.
pub fn action(call: &Call<'_>, name: &str, action: &str) -> Result<Reply, Failure> {
    call.permit("model", name, action)?;
    if action == "metadata" {
        return metadata(call, name);
    }
    if matches!(action, "complete" | "embed") {
        return super::ai::action(call, name, action);
    }
    if !SERVED.contains(&action) {
        return Err(no_attribute("GenericModelResource", action));
    }
    let task = TaskCall::Model(wanted(call, name, action)?);
    if call.request.is_async() {
        let id = call.submit(&task)?;
        let body = Json::object([
            ("model", name.into()),
            ("result", "pending".into()),
            (
                "resource_uri",
                format!("/api/v1/model/{name}/{action}").into(),
            ),
        ]);
        return Ok(call.accepted(&id, &body));
    }
    let outcome = call.run(&task)?;
    Ok(Reply::json(&answered(name, Some(outcome))))
}

/// What the body and the query ask of the model.
fn wanted(call: &Call<'_>, name: &str, action: &str) -> Result<ModelCall, Failure> {
    let request = call.request;
    let mut body = request.fields()?;
    let inline = body.remove("data").filter(|data| !data.is_null());
    let mut model = ModelCall::new(name, Action::parse(action)?);
    let named = |key: &str| {
        let text = body
            .get(key)
            .and_then(Value::as_str)
            .or_else(|| request.param(key));
        let text = text.filter(|text| !text.is_empty());
        text.map(|text| Input::Name(text.to_owned()))
    };
    model.x = match inline {
        Some(data) => Some(Input::Inline(rows(call, name, data, &body)?)),
        None => named("datax"),
    };
    if model.x.is_none() {
        return Err(Failure::raised(
            "ValueError",
            "require either \"data\" key in body, or ?datax=dataset",
        ));
    }
    model.y = named("datay");
    Ok(model)
}

/// The rows of inline data as pandas would make them of `data` and then take `columns`.
///
/// # Errors
/// What pandas says: `KeyError` for columns that are not there.
fn rows(
    call: &Call<'_>,
    model: &str,
    data: Value,
    body: &Map<String, Value>,
) -> Result<Value, Failure> {
    let columns: Vec<String> = match body.get("columns") {
        Some(Value::Array(names)) => names.iter().map(text).collect(),
        Some(Value::String(name)) => vec![name.clone()],
        _ => return Err(Failure::exception("KeyError", "None")),
    };
    let mut table = table(data)?;
    let missing: Vec<&String> = columns
        .iter()
        .filter(|name| table.iter().all(|(column, _)| column != *name))
        .collect();
    if !missing.is_empty() {
        let list = |names: &[&String]| {
            let quoted: Vec<String> = names.iter().map(|name| repr::quoted(name)).collect();
            format!("[{}]", quoted.join(", "))
        };
        let message = match missing.len() == columns.len() {
            true => format!(
                "None of [Index({}, dtype='object')] are in the [columns]",
                list(&missing)
            ),
            false => format!("{} not in index", list(&missing)),
        };
        return Err(Failure::raised("KeyError", &message));
    }
    let mut chosen: Vec<Column> = Vec::with_capacity(columns.len());
    for (at, name) in columns.iter().enumerate() {
        let again = columns.iter().skip(at + 1).any(|other| other == name);
        let cells = table.iter_mut().find(|(column, _)| column == name);
        let cells = cells.map(|(_, cells)| match again {
            true => cells.clone(),
            false => std::mem::take(cells),
        });
        chosen.push((name.clone(), cells.unwrap_or_default()));
    }
    // Only text may have to become numbers.
    let texts = |(_, cells): &Column| cells.iter().any(Value::is_string);
    if chosen.iter().any(texts) {
        let numeric = numeric_fields(call, model)?;
        for (name, cells) in &mut chosen {
            if numeric.contains(name) {
                cells.iter_mut().try_for_each(number)?;
            }
        }
    }
    if let Some(shape) = body.get("shape") {
        return reshaped(shape, &chosen);
    }
    let height = chosen.first().map_or(0, |(_, cells)| cells.len());
    let mut chosen: Vec<_> = chosen
        .into_iter()
        .map(|(name, cells)| (name, cells.into_iter()))
        .collect();
    let mut row = || {
        let cells = chosen.iter_mut();
        let cells = cells.map(|(name, cells)| (name.clone(), cells.next().unwrap_or(Value::Null)));
        Value::Object(cells.collect())
    };
    Ok((0..height).map(|_| row()).collect())
}

/// Each value of the one column, flattened to a row of its own: models take two dimensions.
fn reshaped(shape: &Value, chosen: &[Column]) -> Result<Value, Failure> {
    let [(_, cells)] = chosen else {
        return Err(Failure::raised(
            "ValueError",
            "shape requires exactly one column",
        ));
    };
    let sizes = shape.as_array().map(Vec::as_slice).unwrap_or_default();
    let sizes: Option<Vec<u64>> = sizes.iter().map(Value::as_u64).collect();
    let wanted = sizes.and_then(|sizes| {
        sizes
            .into_iter()
            .try_fold(1_u64, |product, size| product.checked_mul(size))
    });
    let Some(wanted) = wanted else {
        return Err(Failure::raised(
            "ValueError",
            "shape is not a list of sizes",
        ));
    };
    let flat = |cell: &Value| {
        let mut out = Vec::new();
        flatten(cell, &mut out);
        match out.len() as u64 == wanted {
            true => Ok(Value::Array(out)),
            false => Err(Failure::raised(
                "ValueError",
                &format!(
                    "cannot reshape array of size {} into shape {}",
                    out.len(),
                    shape.to_string().replace('[', "(").replace(']', ")")
                ),
            )),
        }
    };
    cells.iter().map(flat).collect()
}

fn flatten(value: &Value, out: &mut Vec<Value>) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| flatten(item, out)),
        other => out.push(other.clone()),
    }
}

/// Columns of numbers in the data that the model was trained on; none if that is unknown.
fn numeric_fields(call: &Call<'_>, model: &str) -> Result<Vec<String>, Failure> {
    let Some(model) = call.om.models.open(model)? else {
        return Ok(Vec::new());
    };
    let fields = model.training().map(|training| &training.schema.0);
    let numbers = |fields: &Vec<crate::models::Field>| {
        let numbers = fields.iter().filter(|field| field.kind == Kind::Number);
        numbers.map(|field| field.name.clone()).collect()
    };
    Ok(fields.map(numbers).unwrap_or_default())
}

/// A cell of a numeric column; text is read as numpy reads it.
fn number(cell: &mut Value) -> Result<(), Failure> {
    if let Value::String(text) = cell {
        *cell = match text.trim().parse::<f64>() {
            Ok(number) => json!(number),
            Err(_) => {
                return Err(Failure::raised(
                    "ValueError",
                    &format!("could not convert string to float: {}", repr::quoted(text)),
                ));
            }
        };
    }
    Ok(())
}

type Column = (String, Vec<Value>);

/// The columns that pandas' `DataFrame(data)` has.
fn table(data: Value) -> Result<Vec<Column>, Failure> {
    let mut columns: Vec<Column> = Vec::new();
    match data {
        Value::Object(fields) => {
            for (name, cells) in fields {
                let cells = match cells {
                    Value::Array(cells) => cells,
                    Value::Object(cells) => cells.into_iter().map(|(_, cell)| cell).collect(),
                    _ => {
                        return Err(Failure::raised(
                            "ValueError",
                            "If using all scalar values, you must pass an index",
                        ));
                    }
                };
                columns.push((name, cells));
            }
            let mut heights = columns.iter().map(|(_, cells)| cells.len());
            let first = heights.next();
            if heights.any(|height| Some(height) != first) {
                return Err(Failure::raised(
                    "ValueError",
                    "All arrays must be of the same length",
                ));
            }
        }
        Value::Array(rows) => {
            let named = rows.iter().any(Value::is_object);
            for (at, row) in rows.into_iter().enumerate() {
                let cells: Vec<(String, Value)> = match row {
                    Value::Object(fields) => fields.into_iter().collect(),
                    Value::Array(cells) => {
                        let cells = cells.into_iter().enumerate();
                        cells.map(|(at, cell)| (at.to_string(), cell)).collect()
                    }
                    cell => vec![("0".to_owned(), cell)],
                };
                for (name, cell) in cells {
                    let known = columns.iter().position(|(column, _)| *column == name);
                    let index = known.unwrap_or_else(|| {
                        columns.push((name, vec![Value::Null; at]));
                        columns.len() - 1
                    });
                    if let Some((_, column)) = columns.get_mut(index) {
                        column.push(cell);
                    }
                }
                for (_, column) in &mut columns {
                    column.resize(at + 1, Value::Null);
                }
            }
            // Lists have numbers for columns, which no name in JSON is equal to.
            if !named {
                columns.clear();
            }
        }
        _ => {
            return Err(Failure::raised(
                "ValueError",
                "DataFrame constructor not properly called!",
            ));
        }
    }
    Ok(columns)
}

fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// The answer of an action: arrays flat, metadata as Python prints it. Without an outcome,
/// that of a task which is not done.
pub fn answered(name: &str, outcome: Option<Outcome>) -> Json {
    let result = outcome.map_or(Json::Null, plain);
    Json::object([
        ("model", name.into()),
        ("result", result),
        ("resource_uri", name.into()),
    ])
}

/// An outcome as omega|ml serves it.
pub fn plain(outcome: Outcome) -> Json {
    match outcome {
        Outcome::Table(frame) => {
            let columns: Vec<Vec<Json>> = frame.columns().iter().map(Json::cells).collect();
            let row = |at: usize| {
                columns
                    .iter()
                    .filter_map(move |cells| cells.get(at))
                    .cloned()
            };
            Json::List((0..frame.height()).flat_map(row).collect())
        }
        Outcome::Number(number) => number.into(),
        Outcome::Metadata(metadata) => format!("<Metadata: {metadata}>").into(),
        Outcome::Value(value) => value.into(),
    }
}
