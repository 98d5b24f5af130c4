//! Filters in omega|ml's keyword form, `qty__gte=5` (spec/storage.md §12.1). Operators
//! that are broken in the original (`nin`, `exists`, `not`, `match`, `isstring`,
//! `isarray`, `isint`, `isnull`) do what their name says.

use super::{Filter, Op, Test, Value, ValueType};
use crate::error::{Error, Result};
use serde_json::Value as Json;

impl Filter {
    /// The condition that omega|ml's `key=value` stands for; `key` is a column, or
    /// columns and an operator joined by `__`.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Usage`] for operators that are not supported and values that
    /// do not suit the operator.
    pub fn from_keyword(key: &str, value: Json) -> Result<Filter> {
        if key.is_empty() {
            return Err(Error::usage("a filter needs a column name"));
        }
        if key.contains('$') && key.split("__").any(|part| part.trim().starts_with('$')) {
            return Err(refused(key, "database operators"));
        }
        let Some((field, operator)) = key.rsplit_once("__").filter(|(field, operator)| {
            !key.starts_with("__") && !field.is_empty() && !operator.is_empty()
        }) else {
            return equality(key.to_owned(), value, key);
        };
        let column = field.replace("__", ".");
        match operator.to_lowercase().as_str() {
            "eq" => equality(column, value, key),
            "ne" | "not" => Ok(equality(column, value, key)?.negated()),
            "lt" => Ok(test(column, Op::Lt(ordered(value, key)?))),
            "lte" | "le" => Ok(test(column, Op::Le(ordered(value, key)?))),
            "gt" => Ok(test(column, Op::Gt(ordered(value, key)?))),
            "gte" | "ge" => Ok(test(column, Op::Ge(ordered(value, key)?))),
            "between" => match list(value, key)?.as_slice() {
                [low, high] if *low != Value::Null && *high != Value::Null => {
                    Ok(test(column, Op::Between(low.clone(), high.clone())))
                }
                _ => Err(Error::usage(format!(
                    "{key} needs two values: {key}=[1, 10]"
                ))),
            },
            "in" => Ok(membership(column, list(value, key)?)),
            "nin" => Ok(membership(column, list(value, key)?).negated()),
            "all" => Ok(test(column, Op::All(list(value, key)?))),
            "contains" => Ok(test(column, Op::Contains(text(value, key)?))),
            "startswith" => Ok(test(column, Op::StartsWith(text(value, key)?))),
            "endswith" => Ok(test(column, Op::EndsWith(text(value, key)?))),
            "regex" | "match" => Ok(test(column, Op::Regex(text(value, key)?))),
            "isnull" => Ok(switched(test(column, Op::IsNull), yes(value, key)?)),
            "exists" => Ok(switched(test(column, Op::IsNull), !yes(value, key)?)),
            "type" => {
                let name = text(value, key)?;
                ValueType::of_name(&name)
                    .map(|of| test(column, Op::IsType(of)))
                    .ok_or_else(|| Error::usage(format!("{key}: `{name}` is not a type")))
            }
            "near" | "geowithin" | "elemwithin" | "ninexists" => {
                Err(refused(key, "geographic operators"))
            }
            "where" => Err(refused(key, "scripts")),
            other => match other.strip_prefix("is").and_then(ValueType::of_name) {
                Some(of) => Ok(switched(test(column, Op::IsType(of)), yes(value, key)?)),
                None => equality(key.replace("__", "."), value, key),
            },
        }
    }
}

impl ValueType {
    /// The type of a name as in `is<name>` or MongoDB's type names.
    pub fn of_name(name: &str) -> Option<ValueType> {
        Some(match name.to_lowercase().as_str() {
            "double" | "float" => ValueType::Double,
            "int" | "long" => ValueType::Int,
            "string" | "str" | "text" => ValueType::String,
            "bool" | "boolean" => ValueType::Bool,
            "date" | "datetime" => ValueType::Date,
            "array" | "list" => ValueType::Array,
            "object" | "dict" => ValueType::Object,
            _ => return None,
        })
    }

    /// The name, as the expression language writes it after `is`.
    pub fn name(self) -> &'static str {
        match self {
            ValueType::Double => "double",
            ValueType::Int => "int",
            ValueType::String => "string",
            ValueType::Bool => "bool",
            ValueType::Date => "date",
            ValueType::Array => "array",
            ValueType::Object => "object",
        }
    }
}

/// Reads the right side of `key=value`: a number, true, false, null, a list or quoted
/// text where it looks like one, else the text as it is.
pub(super) fn literal(text: &str) -> Json {
    let text = text.trim();
    if let Ok(value) = serde_json::from_str::<Json>(text) {
        return value;
    }
    if let Some(inner) = text
        .strip_prefix('[')
        .and_then(|text| text.strip_suffix(']'))
    {
        return Json::Array(items(inner));
    }
    Json::String(unquoted(text))
}

/// Splits `EU, 'US', "a,b"` at the commas outside quotes.
fn items(text: &str) -> Vec<Json> {
    let mut parts = vec![String::new()];
    let mut quote = None;
    for letter in text.chars() {
        match quote {
            None if letter == ',' => {
                parts.push(String::new());
                continue;
            }
            None if matches!(letter, '"' | '\'') => quote = Some(letter),
            Some(open) if open == letter => quote = None,
            _ => {}
        }
        if let Some(part) = parts.last_mut() {
            part.push(letter);
        }
    }
    if parts.len() == 1 && text.trim().is_empty() {
        return Vec::new();
    }
    parts
        .iter()
        .map(|part| {
            let part = part.trim();
            match serde_json::from_str::<Json>(part) {
                Ok(value @ (Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_))) => {
                    value
                }
                _ => Json::String(unquoted(part)),
            }
        })
        .collect()
}

fn unquoted(text: &str) -> String {
    ['\'', '"']
        .iter()
        .find_map(|quote| text.strip_prefix(*quote)?.strip_suffix(*quote))
        .unwrap_or(text)
        .to_owned()
}

fn test(column: String, op: Op) -> Filter {
    Filter::Test(Test { column, op })
}

fn switched(filter: Filter, yes: bool) -> Filter {
    if yes { filter } else { filter.negated() }
}

fn equality(column: String, value: Json, key: &str) -> Result<Filter> {
    Ok(match scalar(value, key)? {
        Value::Null => test(column, Op::IsNull),
        value => test(column, Op::Eq(value)),
    })
}

fn membership(column: String, values: Vec<Value>) -> Filter {
    let (nulls, values): (Vec<Value>, Vec<Value>) =
        values.into_iter().partition(|value| *value == Value::Null);
    let among = test(column.clone(), Op::In(values));
    if nulls.is_empty() {
        return among;
    }
    Filter::Or(vec![test(column, Op::IsNull), among])
}

fn scalar(value: Json, key: &str) -> Result<Value> {
    Ok(match value {
        Json::Null => Value::Null,
        Json::Bool(value) => Value::Bool(value),
        Json::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(int), _) => Value::Int(int),
            (None, Some(float)) => Value::Float(float),
            (None, None) => return Err(Error::usage(format!("{key}: {number} is out of range"))),
        },
        Json::String(text) => Value::Text(text),
        Json::Array(_) => {
            return Err(Error::usage(format!("{key} takes one value, not a list"))
                .hint(format!("one of several values: {key}__in=[1, 2]")));
        }
        Json::Object(_) => return Err(refused(key, "nested conditions")),
    })
}

fn ordered(value: Json, key: &str) -> Result<Value> {
    match scalar(value, key)? {
        Value::Null => Err(Error::usage(format!("{key}: null has no order"))
            .hint("to test for null use __isnull=true")),
        value => Ok(value),
    }
}

fn list(value: Json, key: &str) -> Result<Vec<Value>> {
    match value {
        Json::Array(values) => values.into_iter().map(|value| scalar(value, key)).collect(),
        // The shell's `qty__in=1,2` and `region__in=EU,US`.
        Json::String(text) => items(&text)
            .into_iter()
            .map(|value| scalar(value, key))
            .collect(),
        single => Ok(vec![scalar(single, key)?]),
    }
}

fn text(value: Json, key: &str) -> Result<String> {
    match value {
        Json::String(text) => Ok(text),
        Json::Number(number) => Ok(number.to_string()),
        Json::Bool(value) => Ok(value.to_string()),
        _ => Err(Error::usage(format!("{key} needs text"))),
    }
}

fn yes(value: Json, key: &str) -> Result<bool> {
    match &value {
        Json::Bool(value) => Ok(*value),
        Json::Number(number) => Ok(number.as_f64() != Some(0.0)),
        Json::String(text) => match text.to_lowercase().as_str() {
            "true" | "yes" | "1" => Ok(true),
            "false" | "no" | "0" => Ok(false),
            _ => Err(Error::usage(format!(
                "{key} takes true or false, not `{text}`"
            ))),
        },
        _ => Err(Error::usage(format!("{key} takes true or false"))),
    }
}

fn refused(key: &str, what: &str) -> Error {
    Error::usage(format!("{key}: {what} are not allowed in filters")).hint(
        "operators: eq ne lt lte gt gte in nin all between contains startswith endswith regex isnull",
    )
}
