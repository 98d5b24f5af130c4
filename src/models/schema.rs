//! The columns that a model was trained on, and the check of tables against them.

use super::labels::Labels;
use super::matrix;
use crate::error::{Context, Error, Result, nearest};
use polars::prelude::{Column, DataFrame, DataType};
use serde::{Deserialize, Serialize};

/// One column of a table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Field {
    /// Its name.
    pub name: String,
    /// Its type as Polars writes it: `i64`, `f64`, `str`, `bool`, …
    pub dtype: String,
    /// What values of other types are compatible.
    pub kind: Kind,
}

/// Kinds of types; types of one kind stand for each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Numbers and booleans.
    Number,
    /// Text and categories.
    Text,
    /// Nothing but nulls, which goes with everything.
    Null,
    /// Dates, lists and the like: the same type only.
    Other,
}

/// Columns in training order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Schema(pub Vec<Field>);

/// What a model learned to predict.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TargetSchema {
    /// The columns, one unless the model has several outputs.
    pub columns: Schema,
    /// The classes, for classifiers.
    pub labels: Option<Labels>,
}

impl Field {
    fn of(column: &Column) -> Self {
        Field {
            name: column.name().to_string(),
            dtype: column.dtype().to_string(),
            kind: kind(column.dtype()),
        }
    }
}

fn kind(dtype: &DataType) -> Kind {
    match dtype {
        DataType::Null => Kind::Null,
        _ if matrix::is_numeric(dtype) => Kind::Number,
        _ if matrix::is_text(dtype) => Kind::Text,
        _ => Kind::Other,
    }
}

/// Whether the columns have the names that literal tables get: `column_0`, `column_1`, ….
fn unnamed(x: &DataFrame) -> bool {
    let names = x.columns().iter().map(Column::name);
    names
        .enumerate()
        .all(|(i, name)| name.strip_prefix("column_") == Some(i.to_string().as_str()))
}

impl Schema {
    /// The columns of `x`.
    pub fn of(x: &DataFrame) -> Self {
        Schema(x.columns().iter().map(Field::of).collect())
    }

    /// Column names.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|field| field.name.as_str())
    }

    /// The columns of `x` in training order. A table without names goes by position;
    /// missing, additional and wrongly typed columns are refused.
    pub fn align(&self, x: &DataFrame) -> Result<DataFrame> {
        let named = self.names().all(|name| x.column(name).is_ok());
        let aligned = if named && x.width() == self.0.len() {
            x.select(self.names())
                .context(|| "cannot put the columns in training order")?
        } else if unnamed(x) && x.width() == self.0.len() {
            let columns = x.columns().iter().zip(self.names());
            let renamed = columns.map(|(column, name)| column.clone().with_name(name.into()));
            DataFrame::new(x.height(), renamed.collect())
                .context(|| "cannot name the columns of the table")?
        } else {
            return Err(self.mismatch(x));
        };
        for (field, column) in self.0.iter().zip(aligned.columns()) {
            field.check(column)?;
        }
        Ok(aligned)
    }

    fn mismatch(&self, x: &DataFrame) -> Error {
        if unnamed(x) {
            return Error::invalid(format!(
                "the table has {} columns without names, but the model was trained on {}: {}",
                x.width(),
                self.0.len(),
                list(self.names())
            ));
        }
        let given = matrix::names(x);
        let missing: Vec<&str> = self
            .names()
            .filter(|name| !given.iter().any(|given| given == name))
            .collect();
        let extra: Vec<&str> = given
            .iter()
            .map(String::as_str)
            .filter(|given| !self.names().any(|name| name == *given))
            .collect();
        let mut parts = Vec::new();
        if !missing.is_empty() {
            parts.push(format!("lacks {}", list(missing.iter().copied())));
        }
        if !extra.is_empty() {
            let extra = list(extra.iter().copied());
            parts.push(format!("has {extra}, which the model was not trained on"));
        }
        let error = Error::invalid(format!("the table {}", parts.join(" and ")));
        match (missing.as_slice(), extra.as_slice()) {
            ([missing, ..], extra) if !extra.is_empty() => {
                match nearest(missing, extra.iter().copied()) {
                    Some(near) => error.hint(format!("is {near} meant to be {missing}?")),
                    None => error.hint(self.projection()),
                }
            }
            ([], [only]) => error.hint(format!("leave it out with the projection [^{only}]")),
            _ => error.hint(self.projection()),
        }
    }

    fn projection(&self) -> String {
        if self.0.len() > 20 {
            "om models show tells the columns of training".to_string()
        } else {
            let names: Vec<&str> = self.names().collect();
            format!("the model takes [{}]", names.join(","))
        }
    }
}

impl Field {
    /// Refuses values of another kind.
    fn check(&self, column: &Column) -> Result<()> {
        let given = kind(column.dtype());
        let fits = match (self.kind, given) {
            (Kind::Null, _) | (_, Kind::Null) => true,
            (Kind::Other, Kind::Other) => self.dtype == column.dtype().to_string(),
            (wanted, given) => wanted == given,
        };
        if fits {
            return Ok(());
        }
        Err(Error::invalid(format!(
            "column {} is {}, but the model was trained on {}",
            self.name,
            column.dtype(),
            self.dtype
        ))
        .hint("give the column the same type when the data set is stored: --dtypes"))
    }
}

/// At most ten names.
fn list<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let names: Vec<&str> = names.collect();
    match names.get(..10) {
        Some(first) if names.len() > 10 => {
            format!("{} and {} more", first.join(", "), names.len() - 10)
        }
        _ => names.join(", "),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use polars::prelude::df;

    #[test]
    fn tables_are_put_in_training_order_or_refused() {
        let trained = df!("a" => [1.0], "b" => [2], "c" => ["x"]).unwrap();
        let schema = Schema::of(&trained);
        let turned = df!("c" => ["x"], "b" => [2.0], "a" => [1.0]).unwrap();
        let aligned = schema.align(&turned).unwrap();
        assert_eq!(matrix::names(&aligned), ["a", "b", "c"]);

        let unnamed = df!("column_0" => [1], "column_1" => [2], "column_2" => ["z"]).unwrap();
        assert_eq!(
            matrix::names(&schema.align(&unnamed).unwrap()),
            ["a", "b", "c"]
        );
        let error = schema.align(&unnamed.select(["column_0", "column_1"]).unwrap());
        assert!(
            error
                .unwrap_err()
                .message()
                .contains("2 columns without names")
        );

        let error = schema
            .align(&trained.select(["a", "c"]).unwrap())
            .unwrap_err();
        assert_eq!(error.message(), "the table lacks b");
        let more = df!("a" => [1], "b" => [1], "c" => ["x"], "d" => [0]).unwrap();
        let error = schema.align(&more).unwrap_err();
        assert!(error.message().contains("has d, which"), "{error}");
        assert_eq!(
            error.hint_text(),
            Some("leave it out with the projection [^d]")
        );
        let typo = df!("a" => [1], "b" => [1], "cc" => ["x"]).unwrap();
        let error = schema.align(&typo).unwrap_err();
        assert_eq!(error.hint_text(), Some("is cc meant to be c?"));

        let text = df!("a" => ["1"], "b" => [1], "c" => ["x"]).unwrap();
        let error = schema.align(&text).unwrap_err();
        assert!(
            error.message().starts_with("column a is str, but"),
            "{error}"
        );
    }
}
