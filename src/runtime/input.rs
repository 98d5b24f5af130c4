//! What a task works on: the name of a stored data set, or data given inline.

use crate::error::{Error, Result};
use crate::frame::json;
use crate::store::Store;
use polars::prelude::DataFrame;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Data for a task.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Input {
    /// A stored data set, perhaps with a projection: `iris[^species]`. `*` stands for
    /// the one that the model was trained on.
    Name(String),
    /// Rows, a single row, or a number.
    Inline(Value),
}

impl Input {
    /// Reads a command line argument: a number or a JSON list or object is data, anything
    /// else the name of a data set.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Usage`] for text that starts like JSON and is none.
    pub fn parse(text: &str) -> Result<Self> {
        let trimmed = text.trim();
        if trimmed.starts_with(['[', '{']) {
            return serde_json::from_str(trimmed)
                .map(Input::Inline)
                .map_err(|error| {
                    Error::usage(format!("`{text}` is not valid JSON"))
                        .because(error)
                        .hint("inline data looks like '[[5.1, 3.5], [4.9, 3.0]]'")
                });
        }
        match trimmed.parse::<f64>() {
            Ok(number)
                if trimmed.starts_with(|c: char| c.is_ascii_digit() || c == '-' || c == '.') =>
            {
                Ok(Input::Inline(Value::from(number)))
            }
            _ => Ok(Input::Name(text.to_owned())),
        }
    }

    /// The data as a table.
    pub fn table(&self, datasets: &Store) -> Result<DataFrame> {
        match self {
            Input::Name(name) => datasets.collect(name, &crate::frame::Query::default()),
            Input::Inline(value) => inline(value),
        }
    }

    /// The name, for data that is stored.
    pub fn name(&self) -> Option<&str> {
        match self {
            Input::Name(name) => Some(name),
            Input::Inline(_) => None,
        }
    }
}

/// A number is one row of one column, a flat list one column, a list of lists rows,
/// objects rows with named columns.
fn inline(value: &Value) -> Result<DataFrame> {
    let rows: Vec<Value> = match value {
        Value::Array(items)
            if items
                .iter()
                .all(|item| !item.is_array() && !item.is_object()) =>
        {
            items
                .iter()
                .map(|item| Value::Array(vec![item.clone()]))
                .collect()
        }
        Value::Array(items) => items.clone(),
        Value::Object(_) => vec![value.clone()],
        other => vec![Value::Array(vec![other.clone()])],
    };
    json::from_rows(&rows)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use serde_json::json;

    #[test]
    fn names_and_data_are_told_apart() {
        assert_eq!(
            Input::parse("iris[^species]").unwrap(),
            Input::Name("iris[^species]".into())
        );
        assert_eq!(Input::parse("5").unwrap(), Input::Inline(json!(5.0)));
        assert_eq!(
            Input::parse("[[1,2]]").unwrap(),
            Input::Inline(json!([[1, 2]]))
        );
        assert_eq!(Input::parse("nan").unwrap(), Input::Name("nan".into()));
        assert!(Input::parse("[1,").is_err());
    }

    #[test]
    fn inline_data_becomes_rows() {
        assert_eq!(inline(&json!([1, 2, 3])).unwrap().shape(), (3, 1));
        assert_eq!(inline(&json!([[1, 2, 3]])).unwrap().shape(), (1, 3));
        assert_eq!(inline(&json!({"a": 1, "b": "x"})).unwrap().shape(), (1, 2));
        assert_eq!(inline(&json!(7)).unwrap().shape(), (1, 1));
    }
}
