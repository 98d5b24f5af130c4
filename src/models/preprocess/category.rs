//! Cells as categories: text as it is, numbers in their shortest form, so that 1 and
//! 1.0 are one category whichever type a table was read with.

use crate::error::{Context, Error, Result};
use crate::models::matrix;
use polars::prelude::{Column, DataType};
use std::borrow::Cow;
use std::collections::HashMap;

/// The key of each cell; none for null and NaN.
pub enum Keys {
    /// A column of text, kept as Polars has it.
    Text(Column),
    /// Numbers written out.
    Numbers(Vec<Option<String>>),
}

/// The keys of a column of text, numbers or booleans.
pub fn keys(column: &Column) -> Result<Keys> {
    let dtype = column.dtype();
    if matrix::is_text(dtype) {
        let text = column
            .cast(&DataType::String)
            .context(|| format!("cannot read column {} as text", column.name()))?;
        return Ok(Keys::Text(text));
    }
    if let DataType::Boolean = dtype {
        let flags = column
            .bool()
            .context(|| format!("cannot read column {}", column.name()))?;
        let written = flags.iter().map(|flag| flag.map(|flag| flag.to_string()));
        return Ok(Keys::Numbers(written.collect()));
    }
    if !matrix::is_numeric(dtype) {
        let name = column.name();
        return Err(Error::invalid(format!(
            "column {name} is {dtype} and cannot hold categories"
        ))
        .hint(format!("leave it out with the projection [^{name}]")));
    }
    let values = matrix::nullable(column)?;
    let written = values
        .iter()
        .map(|value| (!value.is_nan()).then(|| value.to_string()));
    Ok(Keys::Numbers(written.collect()))
}

impl Keys {
    /// The keys in row order.
    pub fn iter(&self) -> Box<dyn Iterator<Item = Option<&str>> + '_> {
        match self {
            Keys::Text(column) => match column.str() {
                Ok(text) => Box::new(text.iter()),
                Err(_) => Box::new(std::iter::empty()),
            },
            Keys::Numbers(written) => Box::new(written.iter().map(Option::as_deref)),
        }
    }

    /// Each key with the number of its rows, in sorted order: text by code point, numbers by value.
    pub fn counts(&self) -> Vec<(Option<String>, usize)> {
        let mut counts: HashMap<Option<&str>, usize> = HashMap::new();
        for key in self.iter() {
            *counts.entry(key).or_default() += 1;
        }
        let mut counts: Vec<(Option<String>, usize)> = counts
            .into_iter()
            .map(|(key, count)| (key.map(str::to_string), count))
            .collect();
        let numeric = matches!(self, Keys::Numbers(_));
        counts.sort_by(|(a, _), (b, _)| match (a, b) {
            (Some(a), Some(b)) if numeric => number(a).total_cmp(&number(b)).then_with(|| a.cmp(b)),
            // Nulls last, as scikit-learn has them.
            (None, Some(_)) => std::cmp::Ordering::Greater,
            (Some(_), None) => std::cmp::Ordering::Less,
            (a, b) => a.cmp(b),
        });
        counts
    }
}

fn number(key: &str) -> f64 {
    key.parse().unwrap_or(f64::INFINITY)
}

/// The key as it stands in column names and messages.
pub fn shown(key: Option<&str>) -> Cow<'_, str> {
    Cow::Borrowed(key.unwrap_or("null"))
}
