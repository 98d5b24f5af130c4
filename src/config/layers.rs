//! Layers of settings and how they are laid over each other: mappings are merged, other
//! values replace, empty ones leave what is below.

use crate::error::{Error, Result};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

/// Where a value comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// Built in.
    Default,
    /// A configuration file.
    File(PathBuf),
    /// A named profile and the file it stands in.
    Profile(String, PathBuf),
    /// An environment variable.
    Environment(String),
    /// An option of the command line.
    Flag(&'static str),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Default => f.write_str("default"),
            Origin::File(path) => write!(f, "{}", path.display()),
            Origin::Profile(name, path) => write!(f, "profile {name} in {}", path.display()),
            Origin::Environment(variable) => write!(f, "environment {variable}"),
            Origin::Flag(flag) => write!(f, "option {flag}"),
        }
    }
}

/// Settings of one origin each, all of the same strength.
#[derive(Clone, Default)]
pub(super) struct Layer {
    values: BTreeMap<String, (Value, Origin)>,
}

impl Layer {
    /// Settings that all come from `origin`.
    pub fn of(values: Map<String, Value>, origin: &Origin) -> Self {
        let mut layer = Layer::default();
        for (name, value) in values {
            layer.set(&name, value, origin.clone());
        }
        layer
    }

    /// Sets a value, unless it is null or empty text. Several mappings of one name are
    /// merged (`OMEGA_CELERY_<X>` variables).
    pub fn set(&mut self, name: &str, value: Value, origin: Origin) {
        if value.is_null() || value.as_str() == Some("") {
            return;
        }
        match (self.values.get_mut(name), value) {
            (Some((Value::Object(below), at)), Value::Object(above)) => {
                below.extend(above);
                *at = origin;
            }
            (_, value) => {
                self.values.insert(name.to_owned(), (value, origin));
            }
        }
    }

    /// A value of this layer.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.values.get(name).map(|(value, _)| value)
    }
}

impl fmt::Debug for Layer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.values.keys()).finish()
    }
}

impl config::Source for Layer {
    fn clone_into_box(&self) -> Box<dyn config::Source + Send + Sync> {
        Box::new(self.clone())
    }

    fn collect(
        &self,
    ) -> std::result::Result<config::Map<String, config::Value>, config::ConfigError> {
        let pairs = self.values.iter();
        Ok(pairs
            .map(|(name, (value, _))| (name.clone(), to_config(value)))
            .collect())
    }
}

/// A value as it counts, where it comes from and how strong its layer is.
#[derive(Clone)]
pub(super) struct Effective {
    pub value: Value,
    pub origin: Origin,
    pub rank: usize,
}

/// Lays the layers over each other, the weakest first.
pub(super) fn merge(layers: &[Layer]) -> Result<BTreeMap<String, Effective>> {
    let mut builder = config::Config::builder();
    for layer in layers {
        builder = builder.add_source(layer.clone());
    }
    let merged = builder
        .build()
        .and_then(|merged| config::Source::collect(&merged))
        .map_err(|error| Error::invalid("cannot merge the settings").because(error))?;
    let mut effective = BTreeMap::new();
    for (name, value) in merged {
        let strongest =
            layers.iter().enumerate().rev().find_map(|(rank, layer)| {
                layer.values.get(&name).map(|(_, origin)| (rank, origin))
            });
        if let Some((rank, origin)) = strongest {
            let value = from_config(value);
            effective.insert(
                name,
                Effective {
                    value,
                    origin: origin.clone(),
                    rank,
                },
            );
        }
    }
    Ok(effective)
}

fn to_config(value: &Value) -> config::Value {
    use config::ValueKind as Kind;
    let kind = match value {
        Value::Null => Kind::Nil,
        Value::Bool(value) => Kind::Boolean(*value),
        Value::Number(number) => match (number.as_i64(), number.as_u64(), number.as_f64()) {
            (Some(value), ..) => Kind::I64(value),
            (_, Some(value), _) => Kind::U64(value),
            (.., Some(value)) => Kind::Float(value),
            _ => Kind::String(number.to_string()),
        },
        Value::String(text) => Kind::String(text.clone()),
        Value::Array(items) => Kind::Array(items.iter().map(to_config).collect()),
        Value::Object(map) => Kind::Table(
            map.iter()
                .map(|(name, value)| (name.clone(), to_config(value)))
                .collect(),
        ),
    };
    config::Value::new(None, kind)
}

fn from_config(value: config::Value) -> Value {
    use config::ValueKind as Kind;
    match value.kind {
        Kind::Nil => Value::Null,
        Kind::Boolean(value) => value.into(),
        Kind::I64(value) => value.into(),
        Kind::U64(value) => value.into(),
        Kind::I128(value) => value.to_string().into(),
        Kind::U128(value) => value.to_string().into(),
        Kind::Float(value) => value.into(),
        Kind::String(value) => value.into(),
        Kind::Array(items) => items.into_iter().map(from_config).collect(),
        Kind::Table(map) => {
            let sorted: BTreeMap<_, _> = map.into_iter().collect();
            Value::Object(
                sorted
                    .into_iter()
                    .map(|(name, value)| (name, from_config(value)))
                    .collect(),
            )
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn layer(value: Value, flag: &'static str) -> Layer {
        Layer::of(value.as_object().unwrap().clone(), &Origin::Flag(flag))
    }

    #[test]
    fn mappings_merge_and_others_replace() {
        let layers = [
            layer(
                json!({"A": 1, "B": {"my.kind": "x", "list": [1, 2]}, "C": "below"}),
                "weak",
            ),
            layer(
                json!({"A": "two", "B": {"other": true, "list": [3]}, "C": ""}),
                "strong",
            ),
        ];
        let merged = merge(&layers).unwrap();
        assert_eq!(merged["A"].value, json!("two"));
        assert_eq!(merged["A"].origin, Origin::Flag("strong"));
        assert_eq!(
            merged["B"].value,
            json!({"my.kind": "x", "list": [3], "other": true})
        );
        assert_eq!(merged["C"].value, json!("below"));
        assert_eq!(
            (merged["C"].origin.clone(), merged["C"].rank),
            (Origin::Flag("weak"), 0)
        );
    }

    proptest! {
        #[test]
        fn one_layer_comes_back_as_it_is(
            values in proptest::collection::btree_map("OMEGA_[A-Z]{1,6}", "[a-z0-9.\\[\\]]{1,8}", 0..6)
        ) {
            let map: Map<String, Value> =
                values.iter().map(|(name, value)| (name.clone(), json!({value.clone(): value}))).collect();
            let merged = merge(&[Layer::of(map.clone(), &Origin::Default)]).unwrap();
            let back: Map<String, Value> =
                merged.into_iter().map(|(name, effective)| (name, effective.value)).collect();
            prop_assert_eq!(back, map);
        }
    }
}
