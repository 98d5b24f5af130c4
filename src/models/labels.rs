//! Class labels: what the rows of a target say, and the classes that algorithms count.

use super::matrix;
use crate::error::{Context, Error, Result};
use polars::prelude::{Column, DataType};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::HashMap;

/// The classes in sorted order; predictions come back in the type they were given in.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", content = "labels", rename_all = "lowercase")]
pub enum Labels {
    /// Text.
    Text(Vec<String>),
    /// Whole numbers.
    Int(Vec<i64>),
    /// Whole numbers that were read as floats.
    Float(Vec<f64>),
    /// True and false.
    Bool(Vec<bool>),
}

/// The class of each row.
#[derive(Debug, Clone, PartialEq)]
pub struct Classes {
    /// Index into the labels; those not among them count on from their number.
    pub index: Vec<usize>,
    /// Labels that were not known, in order of appearance.
    pub unknown: Vec<String>,
}

/// A label as a key: text, or the bits of a whole number.
#[derive(PartialEq, Eq, Hash, Clone, Copy)]
enum Key<'a> {
    Text(&'a str),
    Int(i64),
}

impl Key<'_> {
    fn shown(self) -> String {
        match self {
            Key::Text(text) => text.to_string(),
            Key::Int(number) => number.to_string(),
        }
    }
}

impl Labels {
    /// The distinct labels of a target.
    pub fn learn(column: &Column) -> Result<Self> {
        let column = plain(column)?;
        let mut labels = match column.dtype() {
            DataType::String => {
                let mut texts: Vec<String> = Vec::new();
                each(&column, |key| {
                    if let Key::Text(text) = key {
                        texts.push(text.to_string());
                    }
                })?;
                Labels::Text(texts)
            }
            dtype => {
                let mut numbers = Vec::new();
                each(&column, |key| {
                    if let Key::Int(number) = key {
                        numbers.push(number);
                    }
                })?;
                match dtype {
                    DataType::Boolean => Labels::Bool(numbers.iter().map(|n| *n != 0).collect()),
                    DataType::Float64 => Labels::Float(numbers.iter().map(|n| *n as f64).collect()),
                    _ => Labels::Int(numbers),
                }
            }
        };
        labels.sort();
        Ok(labels)
    }

    /// The labels of `values`, as a user lists them.
    pub fn listed(values: &[Value]) -> Result<Self> {
        let mut labels = if let Some(texts) = all(values, |v| v.as_str().map(str::to_string)) {
            Labels::Text(texts)
        } else if let Some(numbers) = all(values, Value::as_i64) {
            Labels::Int(numbers)
        } else if let Some(flags) = all(values, Value::as_bool) {
            Labels::Bool(flags)
        } else {
            return Err(Error::usage(
                "parameter classes must be a list of texts, of whole numbers, or of true and false",
            ));
        };
        labels.sort();
        Ok(labels)
    }

    fn sort(&mut self) {
        match self {
            Labels::Text(labels) => sorted(labels, String::cmp),
            Labels::Int(labels) => sorted(labels, i64::cmp),
            Labels::Float(labels) => sorted(labels, f64::total_cmp),
            Labels::Bool(labels) => sorted(labels, bool::cmp),
        }
    }

    /// Number of classes.
    pub fn count(&self) -> usize {
        match self {
            Labels::Text(labels) => labels.len(),
            Labels::Int(labels) => labels.len(),
            Labels::Float(labels) => labels.len(),
            Labels::Bool(labels) => labels.len(),
        }
    }

    /// The labels as column names.
    pub fn names(&self) -> Vec<String> {
        match self {
            Labels::Text(labels) => labels.clone(),
            Labels::Int(labels) => labels.iter().map(ToString::to_string).collect(),
            Labels::Float(labels) => labels.iter().map(ToString::to_string).collect(),
            Labels::Bool(labels) => labels.iter().map(ToString::to_string).collect(),
        }
    }

    /// The labels as a JSON list.
    pub fn json(&self) -> Value {
        match self {
            Labels::Text(labels) => json!(labels),
            Labels::Int(labels) => json!(labels),
            Labels::Float(labels) => json!(labels),
            Labels::Bool(labels) => json!(labels),
        }
    }

    /// The class of each row of a target.
    pub fn classes(&self, column: &Column) -> Result<Classes> {
        let column = plain(column)?;
        let texts = column.dtype() == &DataType::String;
        if texts != matches!(self, Labels::Text(_)) {
            return Err(Error::invalid(format!(
                "the target {} is {}, but the model was trained on {}",
                column.name(),
                if texts { "text" } else { "numbers" },
                if texts { "numbers" } else { "text" },
            )));
        }
        let known: HashMap<Key<'_>, usize> = match self {
            Labels::Text(labels) => places(labels.iter().map(|label| Key::Text(label))),
            Labels::Int(labels) => places(labels.iter().map(|label| Key::Int(*label))),
            Labels::Float(labels) => places(labels.iter().map(|label| Key::Int(*label as i64))),
            Labels::Bool(labels) => places(labels.iter().map(|label| Key::Int((*label).into()))),
        };
        let mut unknown = Vec::new();
        let mut index = Vec::with_capacity(column.len());
        let mut extra: HashMap<String, usize> = HashMap::new();
        let count = known.len();
        each(&column, |key| {
            let place = known.get(&key).copied().unwrap_or_else(|| {
                let label = key.shown();
                *extra.entry(label.clone()).or_insert_with(|| {
                    unknown.push(label);
                    count + unknown.len() - 1
                })
            });
            index.push(place);
        })?;
        Ok(Classes { index, unknown })
    }

    /// A column of the labels of `classes`.
    pub fn column(&self, name: &str, classes: impl Iterator<Item = usize>) -> Column {
        fn pick<T: Clone>(labels: &[T], classes: impl Iterator<Item = usize>) -> Vec<Option<T>> {
            classes.map(|class| labels.get(class).cloned()).collect()
        }
        let name = name.into();
        match self {
            Labels::Text(labels) => {
                let texts: Vec<Option<&str>> = classes
                    .map(|class| labels.get(class).map(String::as_str))
                    .collect();
                Column::new(name, texts)
            }
            Labels::Int(labels) => Column::new(name, pick(labels, classes)),
            Labels::Float(labels) => Column::new(name, pick(labels, classes)),
            Labels::Bool(labels) => Column::new(name, pick(labels, classes)),
        }
    }
}

fn all<T>(values: &[Value], read: impl Fn(&Value) -> Option<T>) -> Option<Vec<T>> {
    values.iter().map(read).collect()
}

fn sorted<T: PartialEq>(labels: &mut Vec<T>, order: impl Fn(&T, &T) -> std::cmp::Ordering) {
    labels.sort_by(order);
    labels.dedup();
}

fn places<'a>(keys: impl Iterator<Item = Key<'a>>) -> HashMap<Key<'a>, usize> {
    keys.enumerate().map(|(place, key)| (key, place)).collect()
}

/// The column as text, `i64`, `f64` or boolean, without nulls.
fn plain(column: &Column) -> Result<Column> {
    let name = column.name();
    let nulls = column.null_count();
    if nulls > 0 {
        return Err(
            Error::invalid(format!("the target {name} has {nulls} nulls"))
                .hint("leave these rows out of both tables"),
        );
    }
    let dtype = column.dtype();
    let wanted = match dtype {
        _ if matrix::is_text(dtype) => DataType::String,
        DataType::Boolean => DataType::Boolean,
        _ if dtype.is_integer() => DataType::Int64,
        _ if dtype.is_float() => DataType::Float64,
        _ => {
            return Err(Error::invalid(format!(
                "the target {name} is {dtype}, which cannot hold classes"
            )));
        }
    };
    column
        .strict_cast(&wanted)
        .context(|| format!("cannot read the target {name}"))
}

/// Calls `take` with each row's key.
fn each<'a>(column: &'a Column, mut take: impl FnMut(Key<'a>)) -> Result<()> {
    let name = column.name();
    let unreadable = || format!("cannot read the target {name}");
    match column.dtype() {
        DataType::String => column
            .str()
            .context(unreadable)?
            .iter()
            .for_each(|text| take(Key::Text(text.unwrap_or_default()))),
        DataType::Boolean => column
            .bool()
            .context(unreadable)?
            .iter()
            .for_each(|flag| take(Key::Int(flag.unwrap_or_default().into()))),
        DataType::Float64 => {
            for value in column.f64().context(unreadable)?.iter().flatten() {
                if value.fract() != 0.0 || value.abs() > 9e15 {
                    return Err(Error::invalid(format!(
                        "the target {name} holds {value}; a classifier needs classes"
                    ))
                    .hint("train a regressor on numbers, for example linear-regression"));
                }
                take(Key::Int(value as i64));
            }
        }
        _ => column
            .i64()
            .context(unreadable)?
            .iter()
            .for_each(|number| take(Key::Int(number.unwrap_or_default()))),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use polars::prelude::{NamedFrom, Series};

    fn column<T, P: ?Sized>(values: T) -> Column
    where
        Series: NamedFrom<T, P>,
    {
        Series::new("y".into(), values).into()
    }

    #[test]
    fn labels_keep_their_type_and_sort() {
        for (y, names) in [
            (column(["b", "a", "b"]), vec!["a", "b"]),
            (column([10, 9, 10]), vec!["9", "10"]),
            (column([2.0, 1.0, 2.0]), vec!["1", "2"]),
            (column([true, false, true]), vec!["false", "true"]),
        ] {
            let labels = Labels::learn(&y).unwrap();
            assert_eq!(labels.names(), names);
            let classes = labels.classes(&y).unwrap();
            assert_eq!(classes.index, [1, 0, 1]);
            let back = labels.column("y", classes.index.into_iter());
            let same = back.cast(y.dtype()).unwrap();
            assert!(same.equals(&y), "{back:?}");
        }
    }

    #[test]
    fn unknown_labels_count_on() {
        let labels = Labels::learn(&column(["a", "b"])).unwrap();
        let classes = labels.classes(&column(["z", "b", "y", "z"])).unwrap();
        assert_eq!(classes.index, [2, 1, 3, 2]);
        assert_eq!(classes.unknown, ["z", "y"]);
    }

    #[test]
    fn numbers_that_are_no_classes_and_nulls_are_refused() {
        let error = Labels::learn(&column([1.5, 2.0])).unwrap_err();
        assert!(error.hint_text().unwrap().contains("regressor"));
        assert!(Labels::learn(&column([Some(1), None])).is_err());
    }
}
