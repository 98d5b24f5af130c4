//! JSON values as BSON and back, the way `python.data` holds them (spec/storage.md §9.4).

use bson::Bson;
use serde_json::{Map, Value};

/// A JSON value as BSON; whole numbers as 32 bits where they fit.
pub fn value_to_bson(value: Value) -> Bson {
    match value {
        Value::Null => Bson::Null,
        Value::Bool(flag) => Bson::Boolean(flag),
        Value::String(text) => Bson::String(text),
        Value::Array(items) => Bson::Array(items.into_iter().map(value_to_bson).collect()),
        Value::Object(fields) => Bson::Document(
            fields
                .into_iter()
                .map(|(name, value)| (name, value_to_bson(value)))
                .collect(),
        ),
        Value::Number(number) => match number.as_i64() {
            Some(whole) => i32::try_from(whole).map_or(Bson::Int64(whole), Bson::Int32),
            None => Bson::Double(number.as_f64().unwrap_or(f64::NAN)),
        },
    }
}

/// A BSON value as plain JSON: dates as ISO text, object ids as hex, NaN and infinities
/// as null; types JSON lacks in MongoDB's extended form.
pub fn bson_to_value(value: &Bson) -> Value {
    match value {
        Bson::Null | Bson::Undefined => Value::Null,
        Bson::Boolean(flag) => Value::Bool(*flag),
        Bson::String(text) | Bson::Symbol(text) => Value::String(text.clone()),
        Bson::Int32(number) => Value::from(*number),
        Bson::Int64(number) => Value::from(*number),
        Bson::Double(number) => Value::from(*number),
        Bson::Array(items) => Value::Array(items.iter().map(bson_to_value).collect()),
        Bson::Document(document) => Value::Object(
            document
                .iter()
                .map(|(name, value)| (name.clone(), bson_to_value(value)))
                .collect::<Map<_, _>>(),
        ),
        Bson::ObjectId(id) => Value::String(id.to_hex()),
        Bson::DateTime(date) => date
            .try_to_rfc3339_string()
            .map_or(Value::Null, Value::String),
        other => other.clone().into_relaxed_extjson(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    #[test]
    fn whole_numbers_take_the_smallest_type() {
        assert_eq!(value_to_bson(json!(5)), Bson::Int32(5));
        assert_eq!(
            value_to_bson(json!(3_000_000_000i64)),
            Bson::Int64(3_000_000_000)
        );
        assert_eq!(value_to_bson(json!(1.0)), Bson::Double(1.0));
    }

    fn values() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            (-1e300..1e300).prop_map(Value::from),
            ".{0,12}".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 32, 6, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
                prop::collection::btree_map("[a-z.]{1,6}", inner, 0..6)
                    .prop_map(|fields| Value::Object(fields.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn json_survives(value in values()) {
            prop_assert_eq!(bson_to_value(&value_to_bson(value.clone())), value);
        }
    }
}
