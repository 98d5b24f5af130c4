//! Whitening: columns become uncorrelated with variance 1, by linfa's whitener.

use super::pca::Components;
use super::{input, param};
use crate::error::{Error, Result};
use crate::models::estimator::{Estimator, Role, Target};
use crate::models::registry::Entry;
use crate::models::{Params, matrix, state};
use linfa::dataset::DatasetBase;
use linfa::traits::{Fit, Transformer};
use linfa_preprocessing::whitening::{FittedWhitener, Whitener};
use ndarray::Array1;
use polars::prelude::DataFrame;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

#[derive(Debug, Serialize, Deserialize)]
struct Whitening {
    method: String,
    state: Option<State>,
}

#[derive(Debug, Serialize, Deserialize)]
struct State {
    columns: Vec<String>,
    model: FittedWhitener<f64>,
}

impl Whitening {
    fn sound(&self) -> bool {
        self.state.as_ref().is_none_or(|state| {
            let width = state.columns.len();
            state.model.mean().len() == width
                && state.model.transformation_matrix().dim() == (width, width)
        })
    }
}

impl Estimator for Whitening {
    fn fit(&mut self, x: &DataFrame, _y: &Target) -> Result<()> {
        let table = input::table(x)?;
        let (rows, width) = table.dim();
        input::at_least(rows, 2, "a variance")?;
        // linfa divides by every singular value, and panics or answers NaN at zero.
        let rank = Components::new(&table, width.min(rows), true)?.rank();
        if rank < width {
            return Err(Error::invalid(format!(
                "{width} columns vary in {rank} directions only and cannot be whitened"
            ))
            .hint("drop constant and dependent columns, or use pca with whiten=true"));
        }
        let whitener = match self.method.as_str() {
            "pca" => Whitener::pca(),
            "cholesky" => Whitener::cholesky(),
            _ => Whitener::zca(),
        };
        let data = DatasetBase::new(table, Array1::<()>::default(rows));
        let model = whitener
            .fit(&data)
            .map_err(|error| Error::invalid("cannot whiten the table").because(error))?;
        if model.transformation_matrix().iter().any(|v| !v.is_finite()) {
            return Err(Error::invalid(
                "cannot whiten the table: a column hardly varies",
            ));
        }
        self.state = Some(State {
            columns: matrix::names(x),
            model,
        });
        Ok(())
    }

    fn transform(&self, x: &DataFrame) -> Result<DataFrame> {
        let state = input::fitted(&self.state)?;
        let table = input::table_of(x, state.columns.len())?;
        let white = state.model.transform(table);
        if self.method == "pca" {
            return matrix::frame(white, &input::numbered("white", state.columns.len()));
        }
        matrix::frame(white, &state.columns)
    }

    fn save(&self) -> Result<Vec<u8>> {
        state::save(self)
    }

    fn learned(&self) -> Value {
        match &self.state {
            Some(state) => json!({
                "mean": state.model.mean().to_vec(),
                "matrix": input::lists(&state.model.transformation_matrix().to_owned()),
            }),
            None => Value::Null,
        }
    }
}

fn make(params: &Params) -> Result<Box<dyn Estimator>> {
    Ok(Box::new(Whitening {
        method: params
            .one_of("method", "zca", &["zca", "pca", "cholesky"])?
            .to_string(),
        state: None,
    }))
}

/// The estimators of this module.
pub(super) const ENTRIES: &[Entry] = &[Entry {
    name: "whitening",
    aliases: &["whitener"],
    role: Role::Transformer,
    summary: "uncorrelated columns of variance 1",
    params: &[param(
        "method",
        "zca",
        "zca (nearest to the columns), pca or cholesky",
    )],
    actions: &["transform", "fit_transform"],
    new: make,
    load: |bytes| input::load(bytes, Whitening::sound),
}];
