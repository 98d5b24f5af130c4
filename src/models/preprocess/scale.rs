//! A linear map of each column, which is all that the scalers learn.

use crate::error::{Context, Result};
use crate::models::matrix;
use polars::prelude::{Column, DataFrame};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use std::borrow::Cow;

/// `(value - shift) / divide + add` for each column.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Scale {
    /// Column names in training order.
    pub names: Vec<String>,
    /// Subtracted first, one a column.
    pub shift: Vec<f64>,
    /// Divided by then, one a column, never 0.
    pub divide: Vec<f64>,
    /// Added last, the same for all columns.
    pub add: f64,
}

impl Scale {
    /// Learns `(shift, divide)` of each column with `learn`.
    pub fn learn(x: &DataFrame, learn: impl Fn(&[f64]) -> (f64, f64) + Sync) -> Result<Self> {
        let columns = matrix::columns(x)?;
        let pairs: Vec<(f64, f64)> = columns.par_iter().map(|column| learn(column)).collect();
        let (shift, divide) = pairs.into_iter().unzip();
        Ok(Scale {
            names: matrix::names(x),
            shift,
            divide,
            add: 0.0,
        })
    }

    /// The table mapped; columns keep their names.
    pub fn apply(&self, x: &DataFrame) -> Result<DataFrame> {
        let columns = self
            .names
            .par_iter()
            .zip(&self.shift)
            .zip(&self.divide)
            .map(|((name, shift), divide)| {
                let column = x
                    .column(name)
                    .context(|| "the table lacks a column of training")?;
                let values: Cow<'_, [f64]> = matrix::values(column)?;
                let mapped: Vec<f64> = values
                    .iter()
                    .map(|value| (value - shift) / divide + self.add)
                    .collect();
                Ok(Column::new(name.as_str().into(), mapped))
            })
            .collect::<Result<Vec<Column>>>()?;
        DataFrame::new(x.height(), columns).context(|| "cannot make a table of the result")
    }

    /// Column → its two numbers under the names given.
    pub fn learned(&self, shift: &str, divide: &str) -> Value {
        let columns = self.names.iter().zip(&self.shift).zip(&self.divide);
        columns
            .map(|((name, s), d)| (name.clone(), json!({shift: s, divide: d})))
            .collect::<Map<String, Value>>()
            .into()
    }
}

/// 1 for a scale of 0: a constant column is shifted only.
pub fn nonzero(scale: f64) -> f64 {
    if scale.abs() < 10.0 * f64::EPSILON {
        1.0
    } else {
        scale
    }
}
