//! Diffusion map (Coifman and Lafon 2006): coordinates in which rows are near if a
//! random walk along near rows soon leads from one to the other. Of training rows only.
//!
//! Own code: linfa's panics where its iteration does not converge and on few rows.

use super::svm::kernel::{Rows, Wanted};
use super::{input, linear, param};
use crate::error::{Error, Result};
use crate::models::estimator::{Estimator, Role, Target};
use crate::models::registry::Entry;
use crate::models::{Params, matrix, state};
use ndarray::{Array2, Axis};
use polars::prelude::DataFrame;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// The kernel of all pairs is held: 800 MB.
const MOST_ROWS: usize = 10_000;

#[derive(Debug, Serialize, Deserialize)]
struct DiffusionMap {
    kernel: Wanted,
    n_components: usize,
    steps: usize,
    state: Option<State>,
}

#[derive(Debug, Serialize, Deserialize)]
struct State {
    /// Rows × components.
    coordinates: Array2<f64>,
    values: Vec<f64>,
}

impl Estimator for DiffusionMap {
    fn fit(&mut self, x: &DataFrame, _y: &Target) -> Result<()> {
        let table = input::table(x)?;
        let count = table.nrows();
        input::at_most(count, MOST_ROWS)?;
        input::at_least(count, self.n_components + 1, "n_components")?;
        let kernel = self.kernel.for_table(&table);
        let rows = Rows::new(table.view(), &kernel)?;
        let mut walk = Array2::zeros((count, count));
        let mut values = Vec::new();
        for (row, mut line) in walk.rows_mut().into_iter().enumerate() {
            rows.with_all(row, &mut values);
            line.assign(&ndarray::ArrayView1::from(&values));
        }
        // D^-½ K D^-½ has the values of the walk D⁻¹ K and is symmetric.
        let roots = walk.sum_axis(Axis(1)).mapv(|sum: f64| 1.0 / sum.sqrt());
        walk *= &roots;
        walk *= &roots.view().insert_axis(Axis(1));
        let walk = (&walk + &walk.t()) / 2.0;
        let found = linear::largest(&walk, self.n_components + 1)?;
        // The first says only where all rows are.
        let keep: Vec<usize> = (1..=self.n_components).collect();
        let values = found.values.select(Axis(0), &keep);
        let vectors = found.vectors.select(Axis(0), &keep);
        let powers = values.mapv(|v| v.powi(self.steps as i32));
        let mut coordinates = vectors * &powers.insert_axis(Axis(1));
        coordinates *= &roots;
        if coordinates.iter().any(|v| !v.is_finite()) {
            return Err(Error::failed("the walk has no coordinates").hint("lower gamma"));
        }
        self.state = Some(State {
            coordinates: coordinates.reversed_axes().as_standard_layout().to_owned(),
            values: values.to_vec(),
        });
        Ok(())
    }

    fn fit_transform(&mut self, x: &DataFrame, y: &Target) -> Result<DataFrame> {
        self.fit(x, y)?;
        let state = input::fitted(&self.state)?;
        let names = input::numbered("diffusion", state.coordinates.ncols());
        matrix::frame(state.coordinates.clone(), &names)
    }

    fn save(&self) -> Result<Vec<u8>> {
        state::save(self)
    }

    fn learned(&self) -> Value {
        match &self.state {
            Some(state) => json!({ "eigenvalues": state.values }),
            None => Value::Null,
        }
    }
}

fn make(params: &Params) -> Result<Box<dyn Estimator>> {
    Ok(Box::new(DiffusionMap {
        kernel: Wanted::rbf(params)?,
        n_components: params.count("n_components", 2)?,
        steps: params.count("steps", 1)?.min(10_000),
        state: None,
    }))
}

/// The estimators of this module.
pub(super) const ENTRIES: &[Entry] = &[Entry {
    name: "diffusion-map",
    aliases: &["DiffusionMap"],
    role: Role::Transformer,
    summary: "coordinates of training rows along a walk over near rows",
    params: &[
        param("n_components", "2", "number of coordinates"),
        param("steps", "1", "steps of the walk"),
        param(
            "gamma",
            "scale",
            "rows are near by exp(-gamma·distance²): scale, auto or a number",
        ),
    ],
    actions: &["fit_transform"],
    new: make,
    load: |bytes| input::load::<DiffusionMap>(bytes, |_| true),
}];
