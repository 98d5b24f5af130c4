//! Data inside a message: omega|ml's `PassthroughDataset`, a `str` with the data as an
//! attribute (spec/runtime.md §5, "Inline data").

use super::json;
use super::pickle::{Dict, Global, Made, Object, Value};
use crate::error::Result;
use std::sync::Arc;

const MODULE: &str = "omegaml.mixins.store.passthrough";
const CLASS: &str = "PassthroughDataset";
const DATA: &str = "_passthrough_data";

/// Data for a model, under a name of its own. Rows of a list of lists or of objects go as
/// they are; a flat list is a column, a number a row of one column, an object a row.
pub fn wrap(data: &serde_json::Value) -> Value {
    use serde_json::Value as Json;
    let rows = match data {
        Json::Array(items)
            if items
                .iter()
                .all(|item| !item.is_array() && !item.is_object()) =>
        {
            let row = |item| Value::list([json::to_value(item)]);
            Value::list(items.iter().map(row))
        }
        Json::Array(items) => Value::list(items.iter().map(json::to_value)),
        Json::Object(_) => Value::list([json::to_value(data)]),
        single => Value::list([Value::list([json::to_value(single)])]),
    };
    let name = format!("./system/passthrough/{:032x}", rand::random::<u128>());
    object(&name, rows)
}

fn object(name: &str, data: Value) -> Value {
    let pair = (DATA.into(), data);
    Object {
        class: Arc::new(Global::new(MODULE, CLASS)),
        made: Made::New,
        args: [name.into()].into(),
        state: Some(Value::Dict(Arc::new(Dict::new(vec![pair])))),
        items: Vec::new(),
        pairs: Vec::new(),
    }
    .into()
}

/// The data, if the value carries some.
///
/// # Errors
/// [`crate::ErrorKind::Invalid`] for data that is not plain.
pub fn data(value: &Value) -> Result<Option<serde_json::Value>> {
    let data = value.as_object().filter(|object| name(object).is_some());
    match data.and_then(|object| object.state.as_ref()?.as_dict()?.get(DATA)) {
        Some(data) => json::plain(data).map(Some),
        None => Ok(None),
    }
}

/// The name under which the data travels, if it is some.
pub(super) fn name(object: &Object) -> Option<&str> {
    match &*object.args {
        [Value::Str(name)] if object.class.is(MODULE, CLASS) => Some(name),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use serde_json::json;

    #[test]
    fn data_becomes_rows() {
        for (given, sent) in [
            (
                json!([[1.0, 2.0], [3.0, 4.0]]),
                json!([[1.0, 2.0], [3.0, 4.0]]),
            ),
            (json!([1.0, 2.0]), json!([[1.0], [2.0]])),
            (json!(7), json!([[7]])),
            (json!({"a": 1, "b": "x"}), json!([{"a": 1, "b": "x"}])),
            (json!([{"a": 1}]), json!([{"a": 1}])),
        ] {
            assert_eq!(data(&wrap(&given)).unwrap(), Some(sent));
        }
        assert_eq!(data(&"name".into()).unwrap(), None);
    }
}
