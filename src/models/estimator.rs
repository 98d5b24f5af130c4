//! What a model can do. An estimator is one algorithm with its parameters and, once
//! fitted, its state; it serialises itself and knows nothing of stores or names.

use crate::error::{Error, Result};
use ndarray::{Array2, ArrayView1, ArrayView2};
use polars::prelude::DataFrame;
use std::fmt::Debug;

/// What sort of answer an estimator gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Predicts numbers.
    Regressor,
    /// Predicts one of the classes seen in training.
    Classifier,
    /// Assigns rows to groups; trained without a target.
    Clusterer,
    /// Tells ordinary rows (1) from others (-1); trained without a target.
    Detector,
    /// Turns a table into another.
    Transformer,
}

/// What is learned from.
#[derive(Debug, Clone)]
pub enum Target {
    /// Nothing: clusterers and most transformers.
    None,
    /// Numbers, rows × outputs.
    Values(Array2<f64>),
    /// The class of each row as an index into the sorted class labels.
    Classes {
        /// One index a row, `< count`.
        index: Vec<usize>,
        /// Number of classes.
        count: usize,
    },
}

impl Target {
    /// The numbers, rows × outputs; class indexes are refused.
    pub fn values(&self) -> Result<ArrayView2<'_, f64>> {
        match self {
            Target::Values(values) => Ok(values.view()),
            Target::Classes { .. } => Err(Error::failed("a numeric target is needed")),
            Target::None => Err(needs_target()),
        }
    }

    /// The numbers of a target with one column.
    pub fn column(&self) -> Result<ArrayView1<'_, f64>> {
        let values = self.values()?;
        if values.ncols() != 1 {
            return Err(Error::invalid(format!(
                "this model learns one target column, not {}",
                values.ncols()
            )));
        }
        match self {
            Target::Values(values) => Ok(values.column(0)),
            _ => Err(needs_target()),
        }
    }

    /// Fails unless the target has a value for each row of `x`.
    pub fn fits(&self, x: &DataFrame) -> Result<()> {
        let rows = match self {
            Target::None => return Ok(()),
            Target::Values(values) => values.nrows(),
            Target::Classes { index, .. } => index.len(),
        };
        if rows == x.height() {
            return Ok(());
        }
        Err(Error::invalid(format!(
            "the target has {rows} rows, the table {}",
            x.height()
        )))
    }

    /// Class index of each row, and the number of classes.
    pub fn classes(&self) -> Result<(&[usize], usize)> {
        match self {
            Target::Classes { index, count } => Ok((index, *count)),
            Target::Values(_) => Err(Error::failed("a target of classes is needed")),
            Target::None => Err(needs_target()),
        }
    }
}

fn needs_target() -> Error {
    Error::usage("this model learns from a target and none was given")
        .hint("name it after the table: om runtime model <name> fit <X> <Y>")
}

/// An algorithm. Tables come in as frames; numeric algorithms turn them into matrices
/// with [`super::matrix::dense`], which refuses text and nulls by column name.
pub trait Estimator: Debug + Send + Sync {
    /// Learns from `x` (and `y`), forgetting what was learned before.
    fn fit(&mut self, x: &DataFrame, y: &Target) -> Result<()>;

    /// Learns on top of what was learned before.
    fn partial_fit(&mut self, _x: &DataFrame, _y: &Target) -> Result<()> {
        Err(unsupported("partial_fit"))
    }

    /// Rows × 1 for classifiers (class index), clusterers (group, -1 for noise) and
    /// detectors (1 or -1); rows × outputs for regressors.
    fn predict(&self, _x: &DataFrame) -> Result<Array2<f64>> {
        Err(unsupported("predict"))
    }

    /// Rows × classes; each row sums to 1.
    fn predict_proba(&self, _x: &DataFrame) -> Result<Array2<f64>> {
        Err(unsupported("predict_proba"))
    }

    /// Rows × 1 (two classes, detectors) or rows × classes: the larger, the surer.
    fn decision_function(&self, _x: &DataFrame) -> Result<Array2<f64>> {
        Err(unsupported("decision_function"))
    }

    /// The table turned into another of as many rows.
    fn transform(&self, _x: &DataFrame) -> Result<DataFrame> {
        Err(unsupported("transform"))
    }

    /// Fits and transforms in one; algorithms without a transform of new rows
    /// (t-SNE, diffusion maps, hierarchical clustering) have only this.
    fn fit_transform(&mut self, x: &DataFrame, y: &Target) -> Result<DataFrame> {
        self.fit(x, y)?;
        self.transform(x)
    }

    /// Whether it takes text columns and nulls as they are; a pipeline puts an imputer
    /// and a one-hot encoder in front of those that do not.
    fn takes_raw(&self) -> bool {
        false
    }

    /// Parameters and state as MessagePack, read back by the registry's `load`.
    fn save(&self) -> Result<Vec<u8>>;

    /// What was learned, for people: coefficients, importances, centres; JSON.
    fn learned(&self) -> serde_json::Value {
        serde_json::Value::Null
    }
}

fn unsupported(action: &str) -> Error {
    Error::usage(format!("this model has no {action}"))
        .hint("see what each model can do: om models estimators")
}
