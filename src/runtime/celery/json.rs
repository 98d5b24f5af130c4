//! Values and JSON: messages of clients without pickle, and results for people and
//! programs that know no Python.

use super::numpy::Array;
use super::pickle::{Object, Value};
use super::{exception, pandas, passthrough, repr, times};
use crate::error::{Error, Result};
use serde_json::{Map, Value as Json};

/// The value of a JSON document; arrays are lists.
pub fn to_value(json: &Json) -> Value {
    match json {
        Json::Null => Value::None,
        Json::Bool(value) => Value::Bool(*value),
        Json::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(number), _) => Value::Int(number),
            _ if number.is_u64() => integer(&number.to_string()).unwrap_or(Value::None),
            (None, Some(number)) => Value::Float(number),
            (None, None) => Value::None,
        },
        Json::String(text) => text.as_str().into(),
        Json::Array(items) => Value::list(items.iter().map(to_value)),
        Json::Object(map) => typed(map).unwrap_or_else(|| {
            Value::dict(map.iter().map(|(key, item)| (key.as_str(), to_value(item))))
        }),
    }
}

/// Celery writes what JSON lacks as `{"__type__": "datetime", "__value__": "…"}`.
fn typed(map: &Map<String, Json>) -> Option<Value> {
    let (kind, value) = (map.get("__type__")?.as_str()?, map.get("__value__")?);
    if map.len() != 2 {
        return None;
    }
    match (kind, value) {
        ("datetime" | "date" | "time" | "decimal", Json::String(text)) => {
            Some(text.as_str().into())
        }
        ("bytes", Json::String(text)) => Some(Value::Bytes(text.as_bytes().into())),
        ("uuid", Json::Object(parts)) => Some(parts.get("hex")?.as_str()?.into()),
        _ => None,
    }
}

/// A decimal integer of any size, up to the bounds of messages.
pub(super) fn integer(text: &str) -> Option<Value> {
    let pickle = format!("I{text}\n.");
    super::pickle::decode(pickle.as_bytes()).ok()
}

/// The value as JSON, where it means the same to Python: tuples as arrays, nothing that a
/// reader would have to guess.
///
/// # Errors
/// [`crate::ErrorKind::Invalid`] for what JSON has no form for.
pub fn plain(value: &Value) -> Result<Json> {
    convert(value, Manner::Exact)
}

/// The value as JSON for people: arrays as nested lists, times as text, what is left as
/// Python prints it.
///
/// # Errors
/// [`crate::ErrorKind::Invalid`] for arrays of a type that is not known.
pub fn shown(value: &Value) -> Result<Json> {
    convert(value, Manner::Shown)
}

#[derive(Clone, Copy, PartialEq)]
enum Manner {
    Exact,
    Shown,
}

fn convert(value: &Value, manner: Manner) -> Result<Json> {
    let shown = manner == Manner::Shown;
    let no_form = || {
        let name = value.type_name();
        Error::invalid(format!("a {name} cannot be written as JSON"))
    };
    let list = |items: &[Value]| -> Result<Json> {
        let items = items.iter().map(|item| convert(item, manner));
        items.collect::<Result<_>>().map(Json::Array)
    };
    Ok(match value {
        Value::None => Json::Null,
        Value::Bool(value) => Json::Bool(*value),
        Value::Int(number) => Json::from(*number),
        Value::Big(number) => match number.to_string().parse::<u64>() {
            Ok(number) => Json::from(number),
            Err(_) if shown => Json::String(number.to_string()),
            Err(_) => return Err(no_form()),
        },
        Value::Float(number) => match serde_json::Number::from_f64(*number) {
            Some(number) => Json::Number(number),
            None if shown => Json::Null,
            None => return Err(Error::invalid("NaN and infinity cannot be written as JSON")),
        },
        Value::Str(text) => Json::String(text.to_string()),
        Value::List(items) => list(items)?,
        Value::Tuple(items) => list(items)?,
        Value::Dict(dict) => object(dict.iter(), manner)?,
        Value::Set(items) | Value::FrozenSet(items) if shown => list(items)?,
        Value::Object(object) if shown => show(object)?,
        _ if shown => Json::String(repr::repr(value)),
        _ => return Err(no_form()),
    })
}

fn object<'a>(pairs: impl Iterator<Item = &'a (Value, Value)>, manner: Manner) -> Result<Json> {
    let mut map = Map::new();
    for (key, value) in pairs {
        let key = match key {
            Value::Str(text) => text.to_string(),
            Value::Int(number) => number.to_string(),
            other if manner == Manner::Shown => repr::repr(other),
            other => {
                let name = other.type_name();
                return Err(Error::invalid(format!("a {name} cannot be a key in JSON")));
            }
        };
        map.insert(key, convert(value, manner)?);
    }
    Ok(Json::Object(map))
}

fn show(of: &Object) -> Result<Json> {
    if let Some(array) = Array::of(of) {
        return shown(&array.to_value()?);
    }
    if let Some(columns) = pandas::columns(of) {
        return table(of, columns);
    }
    if let Some(time) = times::Time::of(of) {
        return Ok(Json::String(time.text()));
    }
    if let Some(data) = passthrough::data(&of.clone().into())? {
        return Ok(data);
    }
    if let Some(exception) = exception::Exception::of(of) {
        return Ok(Json::String(exception.to_string()));
    }
    let class = &*of.class;
    match (class.module.as_str(), class.name.as_str(), &*of.args) {
        ("collections", "Counter", [Value::Dict(dict)]) => object(dict.iter(), Manner::Shown),
        ("collections", "Counter", []) => Ok(Json::Object(Map::new())),
        ("collections", "OrderedDict" | "defaultdict", _) => object(of.pairs.iter(), Manner::Shown),
        ("collections", "deque", _) => {
            let items = of.items.iter().map(shown);
            items.collect::<Result<_>>().map(Json::Array)
        }
        ("decimal", "Decimal", [text]) => shown(text),
        ("celery.canvas", "signature", [dict]) => shown(dict),
        ("uuid", "UUID", _) => {
            let number = of
                .state
                .as_ref()
                .and_then(|state| state.as_dict()?.get("int"));
            Ok(number.and_then(uuid_text).map_or_else(
                || Json::String(repr::repr(&of.clone().into())),
                Json::String,
            ))
        }
        _ => Ok(Json::String(repr::repr(&of.clone().into()))),
    }
}

/// A data frame as rows with the names of its columns, a series as a list.
fn table(of: &Object, columns: Vec<(Value, Vec<Value>)>) -> Result<Json> {
    let mut named = Vec::with_capacity(columns.len());
    for (name, values) in columns {
        let name = match name {
            Value::Str(text) => text.to_string(),
            other => repr::repr(&other),
        };
        let values = values.iter().map(shown).collect::<Result<Vec<_>>>()?;
        named.push((name, values.into_iter()));
    }
    if pandas::is_series(of) {
        let values = named.pop().map(|(_, values)| values.collect());
        return Ok(Json::Array(values.unwrap_or_default()));
    }
    let rows = named
        .iter()
        .map(|(_, values)| values.len())
        .max()
        .unwrap_or(0);
    let rows = (0..rows).map(|_| {
        let cells = named.iter_mut();
        let cells = cells.map(|(name, values)| (name.clone(), values.next().unwrap_or(Json::Null)));
        Json::Object(cells.collect())
    });
    Ok(Json::Array(rows.collect()))
}

fn uuid_text(number: &Value) -> Option<String> {
    let number: u128 = match number {
        Value::Int(number) => u128::try_from(*number).ok()?,
        Value::Big(number) => number.to_string().parse().ok()?,
        _ => return None,
    };
    let hex = format!("{number:032x}");
    let part = |from, to| hex.get(from..to).unwrap_or_default();
    let parts = [
        part(0, 8),
        part(8, 12),
        part(12, 16),
        part(16, 20),
        part(20, 32),
    ];
    Some(parts.join("-"))
}
