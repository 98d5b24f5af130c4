//! What linear models learn: a coefficient for each column and an intercept.

use super::design::Design;
use crate::error::{Context, Result};
use crate::models::matrix;
use ndarray::{Array1, Array2, Axis};
use polars::prelude::DataFrame;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

/// Rows that one task maps.
const ROWS: usize = 8192;

/// `outputs = coefficients · columns + intercepts`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Hyperplane {
    /// Column names in training order.
    pub names: Vec<String>,
    /// outputs × columns.
    pub coefficients: Array2<f64>,
    /// One for each output.
    pub intercepts: Vec<f64>,
}

impl Hyperplane {
    /// From coefficients of the centred columns and the outputs' values at their means.
    pub fn centred(design: &Design<'_>, coefficients: Array2<f64>, at_mean: &[f64]) -> Self {
        let means = Array1::from(design.means().to_vec());
        let shifts = coefficients.dot(&means);
        Hyperplane {
            names: design.names().to_vec(),
            intercepts: at_mean.iter().zip(shifts).map(|(y, s)| y - s).collect(),
            coefficients,
        }
    }

    /// rows × outputs.
    pub fn apply(&self, x: &DataFrame) -> Result<Array2<f64>> {
        let columns = self
            .names
            .iter()
            .map(|name| {
                let column = x
                    .column(name)
                    .context(|| "the table lacks a column of training")?;
                matrix::values(column)
            })
            .collect::<Result<Vec<_>>>()?;
        let mut result = Array2::zeros((x.height(), self.intercepts.len()));
        result
            .axis_chunks_iter_mut(Axis(0), ROWS)
            .into_par_iter()
            .enumerate()
            .for_each(|(chunk, mut part)| {
                let start = chunk * ROWS;
                let rows = start..start + part.nrows();
                let mut sum = Array1::zeros(rows.len());
                let outputs = part.columns_mut().into_iter();
                for ((mut output, weights), intercept) in
                    outputs.zip(self.coefficients.rows()).zip(&self.intercepts)
                {
                    sum.fill(*intercept);
                    for (column, weight) in columns.iter().zip(weights) {
                        let values = column.get(rows.clone()).unwrap_or_default();
                        for (sum, value) in sum.iter_mut().zip(values) {
                            *sum += weight * value;
                        }
                    }
                    output.assign(&sum);
                }
            });
        Ok(result)
    }

    /// The coefficients by column name; a list of such where there are several outputs.
    pub fn learned(&self) -> Value {
        let mut parts: Vec<Value> = self
            .coefficients
            .rows()
            .into_iter()
            .zip(&self.intercepts)
            .map(|(row, intercept)| {
                let named = self.names.iter().zip(row);
                let named: Map<String, Value> = named
                    .map(|(name, value)| (name.clone(), json!(value)))
                    .collect();
                json!({"intercept": intercept, "coefficients": named})
            })
            .collect();
        match parts.len() {
            1 => parts.remove(0),
            _ => Value::Array(parts),
        }
    }
}
