//! Names of column types as metadata keeps them: pandas' names where these say it all,
//! and names of our own for types that pandas lacks.

use crate::frame::dtype::{pandas_name, parse};
use polars::prelude::{Categories, DataType, Field, FrozenCategories};

/// How deep types may be nested.
const DEPTH: usize = 64;

/// The name of a type; [`parse_stored`] reads it back.
pub fn stored_name(dtype: &DataType) -> String {
    let quoted = |text: &str| serde_json::Value::from(text).to_string();
    match dtype {
        DataType::Time => "time".to_owned(),
        DataType::Binary => "binary".to_owned(),
        DataType::Null => "null".to_owned(),
        DataType::List(inner) => format!("list[{}]", stored_name(inner)),
        DataType::Struct(fields) => {
            let fields: Vec<String> = fields
                .iter()
                .map(|field| format!("{}: {}", quoted(field.name()), stored_name(field.dtype())))
                .collect();
            format!("struct{{{}}}", fields.join(", "))
        }
        DataType::Enum(categories, _) => {
            let names: Vec<String> = categories.categories().values_iter().map(quoted).collect();
            format!("enum[{}]", names.join(", "))
        }
        other => pandas_name(other),
    }
}

/// The type of a stored name; also of pandas' nullable types. None for names that say
/// nothing here.
pub fn parse_stored(name: &str) -> Option<DataType> {
    let mut rest = name.trim();
    let dtype = read(&mut rest, DEPTH)?;
    rest.trim().is_empty().then_some(dtype)
}

fn read(rest: &mut &str, depth: usize) -> Option<DataType> {
    let depth = depth.checked_sub(1)?;
    if take(rest, "list[") {
        let inner = read(rest, depth)?;
        return take(rest, "]").then(|| DataType::List(Box::new(inner)));
    }
    if take(rest, "struct{") {
        let mut fields = Vec::new();
        while !take(rest, "}") {
            if !fields.is_empty() && !take(rest, ", ") {
                return None;
            }
            let name = string(rest)?;
            if !take(rest, ": ") {
                return None;
            }
            fields.push(Field::new(name.into(), read(rest, depth)?));
        }
        return Some(DataType::Struct(fields));
    }
    if take(rest, "enum[") {
        let mut names = Vec::new();
        while !take(rest, "]") {
            if !names.is_empty() && !take(rest, ", ") {
                return None;
            }
            names.push(string(rest)?);
        }
        let categories = FrozenCategories::new(names.iter().map(String::as_str)).ok()?;
        return Some(DataType::from_frozen_categories(categories));
    }
    let length = plain_length(rest);
    let (name, tail) = rest.split_at(length);
    *rest = tail;
    plain(name)
}

/// How long a name without quotes is: up to what follows it inside another.
fn plain_length(text: &str) -> usize {
    let mut inside = false;
    for (position, c) in text.char_indices() {
        match c {
            '[' => inside = true,
            ']' if inside => return position + 1,
            ']' | '}' | ',' if !inside => return position,
            _ => {}
        }
    }
    text.len()
}

fn plain(name: &str) -> Option<DataType> {
    match name {
        "time" => Some(DataType::Time),
        "binary" => Some(DataType::Binary),
        "null" => Some(DataType::Null),
        "category" => Some(DataType::from_categories(Categories::global())),
        "" => None,
        name => parse(name).ok(),
    }
}

fn take(rest: &mut &str, start: &str) -> bool {
    match rest.strip_prefix(start) {
        Some(tail) => {
            *rest = tail;
            true
        }
        None => false,
    }
}

/// A JSON string.
fn string(rest: &mut &str) -> Option<String> {
    let mut values = serde_json::Deserializer::from_str(rest).into_iter::<String>();
    let text = values.next()?.ok()?;
    let length = values.byte_offset();
    *rest = rest.get(length..)?;
    Some(text)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use polars::prelude::{TimeUnit, TimeZone};
    use proptest::prelude::*;

    fn types() -> impl Strategy<Value = DataType> {
        let zone = |zone: &str| TimeZone::opt_try_new(Some(zone)).unwrap();
        let leaf = prop_oneof![
            Just(DataType::Int8),
            Just(DataType::UInt64),
            Just(DataType::Float32),
            Just(DataType::Boolean),
            Just(DataType::String),
            Just(DataType::Date),
            Just(DataType::Time),
            Just(DataType::Null),
            Just(DataType::Binary),
            Just(DataType::Duration(TimeUnit::Microseconds)),
            Just(DataType::Datetime(TimeUnit::Nanoseconds, None)),
            Just(DataType::Datetime(
                TimeUnit::Milliseconds,
                zone("Europe/Zurich")
            )),
            Just(DataType::from_categories(Categories::global())),
            prop::collection::btree_set("\\PC{0,4}", 1..4).prop_map(|names| {
                let categories = FrozenCategories::new(names.iter().map(String::as_str)).unwrap();
                DataType::from_frozen_categories(categories)
            }),
        ];
        leaf.prop_recursive(3, 12, 3, |inner| {
            prop_oneof![
                inner
                    .clone()
                    .prop_map(|inner| DataType::List(Box::new(inner))),
                prop::collection::btree_map("\\PC{0,5}", inner, 0..3).prop_map(|fields| {
                    let field = |(name, dtype): (String, DataType)| Field::new(name.into(), dtype);
                    DataType::Struct(fields.into_iter().map(field).collect())
                }),
            ]
        })
    }

    proptest! {
        #[test]
        fn names_read_back(dtype in types()) {
            prop_assert_eq!(parse_stored(&stored_name(&dtype)), Some(dtype));
        }

        #[test]
        fn any_text_is_answered(text in "\\PC{0,20}", nested in "(list\\[|struct\\{|\"a\": |enum\\[|int64|\\]|\\}|, ){0,12}") {
            let _ = (parse_stored(&text), parse_stored(&nested));
        }
    }

    #[test]
    fn names_of_pandas() {
        assert_eq!(parse_stored("Int64"), Some(DataType::Int64));
        assert_eq!(parse_stored("string"), Some(DataType::String));
        assert_eq!(parse_stored("boolean"), Some(DataType::Boolean));
        assert_eq!(parse_stored("Float64"), Some(DataType::Float64));
        assert_eq!(parse_stored("UInt8"), Some(DataType::UInt8));
        assert_eq!(stored_name(&DataType::String), "object");
        assert_eq!(parse_stored("interval[int64, right]"), None);
        assert_eq!(parse_stored(&"list[".repeat(10_000)), None);
    }
}
