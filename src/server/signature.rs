//! Signatures of services (spec/storage.md §15, spec/rest.md §6): what an object takes and
//! answers, as marshmallow has it, by which calls are checked and described.
//!
//! Unlike omega|ml's server this one also sees to it that required fields are there.

use super::json::Json;
use super::reply::Failure;
use crate::runtime::celery::pickle::{Dict, Value as Py};
use crate::runtime::celery::repr;
use crate::storage::Metadata;
use crate::store::bson_to_value;
use chrono::{DateTime, NaiveDate, NaiveDateTime, NaiveTime};
use serde_json::{Map, Value, json};
use std::sync::Arc;

/// How deep data may be nested.
const DEPTH: usize = 32;

/// What an object says of its data.
pub struct Signature {
    name: String,
    about: Map<String, Value>,
    docs: Option<String>,
}

impl Signature {
    /// The object's signature, if somebody has linked one.
    pub fn of(name: &str, metadata: &Metadata) -> Option<Self> {
        let signature = metadata.attributes.get_document("signature").ok()?;
        match bson_to_value(&signature.clone().into()) {
            Value::Object(about) => Some(Signature {
                name: name.to_owned(),
                about,
                docs: metadata.attributes.get_str("docs").ok().map(str::to_owned),
            }),
            _ => None,
        }
    }

    fn part(&self, part: &str) -> Option<&Map<String, Value>> {
        self.about.get(part)?.as_object()
    }

    /// Checks data against one of `X`, `Y` and `result`, where there is one.
    ///
    /// # Errors
    /// 400, with every field that is wrong.
    pub fn check(&self, part: &str, data: &Value) -> Result<(), Failure> {
        let Some(about) = self.part(part) else {
            return Ok(());
        };
        let schema = about.get("schema").unwrap_or(&Value::Null);
        let many = about.get("many").and_then(Value::as_bool) == Some(true);
        let unfit = || {
            let text = format!("invalid input for schema {}_{part}", self.name);
            one("_schema", said(&text))
        };
        let wrong = match (many, data) {
            (false, Value::Object(fields)) => object(schema, fields, 0),
            (true, Value::Array(items)) if !items.is_empty() => each(items, |item| match item {
                Value::Object(fields) => object(schema, fields, 0),
                _ => Some(one("_schema", said("Invalid input type."))),
            }),
            _ => Some(unfit()),
        };
        match wrong {
            None => Ok(()),
            Some(wrong) => Err(Failure::exception("ValidationError", &repr::repr(&wrong))),
        }
    }

    /// The description of the service: a document in Swagger's format, version 2.
    pub fn description(&self) -> Json {
        let name = &self.name;
        let mut definitions = Map::new();
        for part in ["X", "Y", "result"] {
            if let Some(about) = self.part(part) {
                let schema = about.get("schema").cloned().unwrap_or_else(|| json!({}));
                definitions.insert(format!("{name}_{part}"), schema);
            }
        }
        let described = self.docs.as_deref().unwrap_or("no description");
        let reference = |part: &str| json!({ "$ref": format!("#/definitions/{name}_{part}") });
        let answer = |schema: Value| json!({ "description": described, "schema": schema });
        let mut responses = Map::new();
        let answers = ["result", "Y"].into_iter().find_map(|part| {
            let many = self.part(part)?.get("many").and_then(Value::as_bool) == Some(true);
            Some(match many {
                true => json!({ "type": "array", "items": reference(part) }),
                false => reference(part),
            })
        });
        let answers = answers.unwrap_or_else(|| json!({ "type": "object" }));
        responses.insert("200".to_owned(), answer(answers));
        let errors = self.part("errors");
        for (status, about) in errors.into_iter().flatten() {
            if let Some(schema) = about.get("schema").filter(|schema| schema.is_object()) {
                definitions.insert(format!("{name}_{status}"), schema.clone());
                responses.insert(status.clone(), answer(reference(status)));
            }
        }
        if !responses.contains_key("400") {
            let message = json!({
                "type": "object", "properties": { "message": { "type": "string" } },
                "additionalProperties": false,
            });
            definitions.insert(format!("{name}_400"), message);
            responses.insert("400".to_owned(), answer(reference("400")));
        }
        let mut operations = Map::new();
        for (action, methods) in self.part("actions").into_iter().flatten() {
            for method in methods.as_array().into_iter().flatten() {
                let method = method.as_str().unwrap_or("post").to_lowercase();
                let mut operation = json!({
                    "summary": "summary", "description": described,
                    "operationId": format!("{name}#{action}#{method}"),
                    "consumes": ["application/json"], "produces": ["application/json"],
                });
                if let Some(operation) = operation.as_object_mut() {
                    if self.part("X").is_some() {
                        let body = json!([{
                            "in": "body", "name": "body", "description": described,
                            "schema": reference("X"),
                        }]);
                        operation.insert("parameters".to_owned(), body);
                    }
                    operation.insert("responses".to_owned(), responses.clone().into());
                }
                operations.insert(method, operation);
            }
        }
        let mut paths = Map::new();
        paths.insert(format!("/api/service/{name}"), operations.into());
        json!({
            "definitions": definitions, "swagger": "2.0",
            "info": { "title": "omega-ml service", "version": "1.0.0" }, "paths": paths,
        })
        .into()
    }
}

fn said(text: &str) -> Py {
    Py::list([text.into()])
}

fn one(field: &str, wrong: Py) -> Py {
    Py::dict([(field, wrong)])
}

/// The items that are wrong, by their numbers.
fn each(items: &[Value], wrong: impl Fn(&Value) -> Option<Py>) -> Option<Py> {
    let found: Vec<(Py, Py)> = items
        .iter()
        .zip(0i64..)
        .filter_map(|(item, number)| Some((Py::Int(number), wrong(item)?)))
        .collect();
    (!found.is_empty()).then(|| Py::Dict(Arc::new(Dict::new(found))))
}

/// The fields that are wrong.
fn object(schema: &Value, data: &Map<String, Value>, depth: usize) -> Option<Py> {
    let none = Map::new();
    let known = schema.get("properties").and_then(Value::as_object);
    let known = known.unwrap_or(&none);
    let required = schema.get("required").and_then(Value::as_array);
    let is_required = |field: &str| {
        let mut required = required.into_iter().flatten();
        required.any(|name| name == field)
    };
    let mut wrong: Vec<(Py, Py)> = known
        .iter()
        .filter_map(|(field, about)| {
            let wrong = match data.get(field) {
                Some(value) => value_of(about, value, depth)?,
                None if is_required(field) => said("Missing data for required field."),
                None => return None,
            };
            Some((field.as_str().into(), wrong))
        })
        .collect();
    if schema.get("additionalProperties") != Some(&Value::Bool(true)) {
        let unknown = data.keys().filter(|field| !known.contains_key(*field));
        wrong.extend(unknown.map(|field| (field.as_str().into(), said("Unknown field."))));
    }
    (!wrong.is_empty()).then(|| Py::Dict(Arc::new(Dict::new(wrong))))
}

/// What is wrong with a value.
fn value_of(about: &Value, value: &Value, depth: usize) -> Option<Py> {
    let text = |field: &str| about.get(field).and_then(Value::as_str);
    let may_be_null = ["x-nullable", "nullable"]
        .iter()
        .any(|field| about.get(*field) == Some(&Value::Bool(true)));
    let kind = match about.get("type") {
        Some(Value::Array(kinds)) => kinds.iter().find(|kind| *kind != "null"),
        kind => kind,
    };
    if value.is_null() {
        let listed = about.get("type").and_then(Value::as_array);
        let listed = listed.is_some_and(|kinds| kinds.iter().any(|kind| kind == "null"));
        return (!may_be_null && !listed).then(|| said("Field may not be null."));
    }
    if depth > DEPTH {
        return Some(said("Invalid input type."));
    }
    let unless = |fits: bool, noun: &str| (!fits).then(|| said(&format!("Not a valid {noun}.")));
    match kind.and_then(Value::as_str).unwrap_or_default() {
        "number" => unless(is_number(value), "number"),
        "integer" => unless(is_integer(value), "integer"),
        "boolean" => unless(is_boolean(value), "boolean"),
        "string" => match text("format") {
            Some("date-time") => unless(value.as_str().is_some_and(is_time), "datetime"),
            Some("date") => unless(
                value
                    .as_str()
                    .is_some_and(|text| text.parse::<NaiveDate>().is_ok()),
                "date",
            ),
            Some("time") => unless(
                value
                    .as_str()
                    .is_some_and(|text| text.parse::<NaiveTime>().is_ok()),
                "time",
            ),
            _ => unless(value.is_string(), "string"),
        },
        "array" => match value.as_array() {
            None => Some(said("Not a valid list.")),
            Some(items) => {
                let of = about.get("items").unwrap_or(&Value::Null);
                each(items, |item| value_of(of, item, depth + 1))
            }
        },
        "object" => match value.as_object() {
            None => Some(one("_schema", said("Invalid input type."))),
            // A mapping without fields of its own.
            Some(_) if about.get("properties").is_none() => None,
            Some(fields) => object(about, fields, depth + 1),
        },
        _ => None,
    }
}

fn is_number(value: &Value) -> bool {
    match value {
        Value::Number(_) => true,
        Value::String(text) => text.trim().parse::<f64>().is_ok_and(f64::is_finite),
        _ => false,
    }
}

fn is_integer(value: &Value) -> bool {
    match value {
        Value::Number(number) => number.as_f64().is_some_and(f64::is_finite),
        Value::String(text) => text.trim().parse::<i128>().is_ok(),
        _ => false,
    }
}

/// marshmallow's words for both.
fn is_boolean(value: &Value) -> bool {
    match value {
        Value::Bool(_) => true,
        Value::Number(number) => matches!(number.as_f64(), Some(0.0 | 1.0)),
        Value::String(text) => [
            "t", "true", "y", "yes", "on", "1", "f", "false", "n", "no", "off", "0",
        ]
        .contains(&text.to_lowercase().as_str()),
        _ => false,
    }
}

fn is_time(text: &str) -> bool {
    let plain = text.replacen(' ', "T", 1);
    DateTime::parse_from_rfc3339(&plain).is_ok()
        || plain.parse::<NaiveDateTime>().is_ok()
        || NaiveDateTime::parse_from_str(&plain, "%Y-%m-%dT%H:%M").is_ok()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn signature(many: bool) -> Signature {
        let about = json!({
            "X": {"datatype": "m.X", "many": many, "schema": {
                "type": "object", "required": ["x"], "additionalProperties": false,
                "properties": {
                    "x": {"type": "number"}, "n": {"type": "integer"}, "s": {"type": "string"},
                    "b": {"type": "boolean"}, "d": {"type": "string", "format": "date-time"},
                    "l": {"type": "array", "items": {"type": "integer"}},
                    "o": {"type": "object", "properties": {"k": {"type": "string"}}},
                },
            }},
            "Y": {"datatype": "m.Y", "many": many, "schema": {"type": "object", "properties": {"y": {"type": "number"}}}},
            "result": null, "errors": {}, "orient": null, "actions": {"predict": ["post", "put"]},
        });
        Signature {
            name: "reg".to_owned(),
            about: about.as_object().unwrap().clone(),
            docs: None,
        }
    }

    /// As omega|ml's server says it, but for the field that is missing.
    #[test]
    fn what_is_wrong_is_told() {
        for (many, data, expected) in [
            (false, json!({"x": 1.0}), None),
            (
                false,
                json!({"x": "1.5", "n": 1.5, "b": "yes", "d": "2026-01-02T03:04:05Z", "o": {"k": "v"}}),
                None,
            ),
            (
                false,
                json!({"x": [1.0]}),
                Some("{'x': ['Not a valid number.']}"),
            ),
            (
                false,
                json!({"x": 1, "bad": 1}),
                Some("{'bad': ['Unknown field.']}"),
            ),
            (
                false,
                json!({"x": true}),
                Some("{'x': ['Not a valid number.']}"),
            ),
            (
                false,
                json!({"x": null}),
                Some("{'x': ['Field may not be null.']}"),
            ),
            (
                false,
                json!({"x": 1, "n": "1.5"}),
                Some("{'n': ['Not a valid integer.']}"),
            ),
            (
                false,
                json!({"x": 1, "n": "7", "s": 5, "b": "maybe", "d": "yesterday", "l": [1, "x"]}),
                Some(
                    "{'s': ['Not a valid string.'], 'b': ['Not a valid boolean.'], \
                     'd': ['Not a valid datetime.'], 'l': {1: ['Not a valid integer.']}}",
                ),
            ),
            (
                false,
                json!({"x": 1, "o": {"k": 1}}),
                Some("{'o': {'k': ['Not a valid string.']}}"),
            ),
            (
                false,
                json!([{"x": 1.0}]),
                Some("{'_schema': ['invalid input for schema reg_X']}"),
            ),
            (
                false,
                json!({}),
                Some("{'x': ['Missing data for required field.']}"),
            ),
            (true, json!([{"x": 1.0}, {"x": 2}]), None),
            (
                true,
                json!({"x": 1.0}),
                Some("{'_schema': ['invalid input for schema reg_X']}"),
            ),
            (
                true,
                json!([]),
                Some("{'_schema': ['invalid input for schema reg_X']}"),
            ),
            (
                true,
                json!([{"x": 1.0}, {"x": "q", "bad": 1}]),
                Some("{1: {'x': ['Not a valid number.'], 'bad': ['Unknown field.']}}"),
            ),
        ] {
            let told = signature(many)
                .check("X", &data)
                .map_err(|wrong| wrong.message().to_owned());
            match expected {
                None => assert!(told.is_ok(), "{data}: {told:?}"),
                Some(wrong) => assert!(
                    told.as_ref()
                        .is_err_and(|told| told.contains(&format!("ValidationError({wrong})"))),
                    "{data}: {told:?}"
                ),
            }
        }
        assert!(signature(false).check("result", &json!(1)).is_ok());
    }

    #[test]
    fn a_description_has_all_operations() {
        let text = signature(true).description().to_body();
        let described: Value = serde_json::from_str(&text).unwrap();
        let operation = &described["paths"]["/api/service/reg"]["put"];
        assert_eq!(operation["operationId"], "reg#predict#put");
        assert_eq!(
            operation["parameters"][0]["schema"]["$ref"],
            "#/definitions/reg_X"
        );
        assert_eq!(
            operation["responses"]["200"]["schema"],
            json!({"type": "array", "items": {"$ref": "#/definitions/reg_Y"}})
        );
        assert!(described["definitions"]["reg_400"].is_object());
        assert!(described["paths"]["/api/service/reg"]["post"].is_object());
    }
}
