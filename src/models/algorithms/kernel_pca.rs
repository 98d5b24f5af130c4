//! Principal components in a kernel's space (Schölkopf, Smola, Müller 1998).

use super::svm::kernel::{Kernel, Rows, Wanted};
use super::svm::{COEF0, DEGREE, GAMMA};
use super::{input, linear, param};
use crate::error::{Error, Result};
use crate::models::estimator::{Estimator, Role, Target};
use crate::models::registry::Entry;
use crate::models::{Params, matrix, state};
use ndarray::{Array1, Array2, Axis};
use polars::prelude::DataFrame;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// The kernel of all pairs is held: 800 MB.
const MOST_ROWS: usize = 10_000;

#[derive(Debug, Serialize, Deserialize)]
struct KernelPca {
    kernel: Wanted,
    n_components: usize,
    state: Option<State>,
}

#[derive(Debug, Serialize, Deserialize)]
struct State {
    kernel: Kernel,
    points: Array2<f64>,
    /// Means of the kernel's columns, and of all.
    means: Array1<f64>,
    mean: f64,
    values: Array1<f64>,
    /// Components × rows, scaled so that a row's kernel values give its coordinate.
    directions: Array2<f64>,
}

impl KernelPca {
    fn sound(&self) -> bool {
        self.state.as_ref().is_none_or(|state| {
            let rows = state.points.nrows();
            state.points.ncols() > 0
                && state.means.len() == rows
                && state.directions.ncols() == rows
                && state.directions.nrows() > 0
        })
    }
}

impl Estimator for KernelPca {
    fn fit(&mut self, x: &DataFrame, _y: &Target) -> Result<()> {
        let table = input::table(x)?;
        let count = table.nrows();
        input::at_most(count, MOST_ROWS)?;
        input::at_least(count, self.n_components, "n_components")?;
        let kernel = self.kernel.for_table(&table);
        let rows = Rows::new(table.view(), &kernel)?;
        let mut gram = Array2::zeros((count, count));
        let mut values = Vec::new();
        for (row, mut line) in gram.rows_mut().into_iter().enumerate() {
            rows.with_all(row, &mut values);
            line.assign(&ndarray::ArrayView1::from(&values));
        }
        drop(rows);
        let means = gram.mean_axis(Axis(0)).unwrap_or_default();
        let mean = means.mean().unwrap_or(0.0);
        gram -= &means;
        gram -= &means.view().insert_axis(Axis(1));
        gram += mean;
        // Products differ in the last digits with the order of their factors.
        let gram = (&gram + &gram.t()) / 2.0;
        let found = linear::largest(&gram, self.n_components)?;
        let rank = found.rank();
        if rank < self.n_components {
            return Err(Error::invalid(format!(
                "n_components is {}, but the rows span {rank} directions only",
                self.n_components
            )));
        }
        let scales = found.values.mapv(|v| 1.0 / v.sqrt());
        self.state = Some(State {
            kernel,
            points: table,
            means,
            mean,
            directions: found.vectors * scales.insert_axis(Axis(1)),
            values: found.values,
        });
        Ok(())
    }

    fn transform(&self, x: &DataFrame) -> Result<DataFrame> {
        let state = input::fitted(&self.state)?;
        let table = input::table_of(x, state.points.ncols())?;
        let mut values = state.kernel.between(&table, &state.points);
        let own = values.mean_axis(Axis(1)).unwrap_or_default();
        values -= &state.means;
        values -= &own.insert_axis(Axis(1));
        values += state.mean;
        let names = input::numbered("kernelpca", state.directions.nrows());
        matrix::frame(values.dot(&state.directions.t()), &names)
    }

    fn save(&self) -> Result<Vec<u8>> {
        state::save(self)
    }

    fn learned(&self) -> Value {
        match &self.state {
            Some(state) => json!({
                "eigenvalues": state.values.to_vec(),
                "gamma": state.kernel.gamma,
            }),
            None => Value::Null,
        }
    }
}

fn make(params: &Params) -> Result<Box<dyn Estimator>> {
    Ok(Box::new(KernelPca {
        kernel: Wanted::read(params)?,
        n_components: params.count("n_components", 2)?,
        state: None,
    }))
}

/// The estimators of this module.
pub(super) const ENTRIES: &[Entry] = &[Entry {
    name: "kernel-pca",
    aliases: &["KernelPCA"],
    role: Role::Transformer,
    summary: "directions of greatest variance in a kernel's space",
    params: &[
        param("n_components", "2", "how many"),
        param("kernel", "rbf", "linear, poly or rbf"),
        DEGREE,
        GAMMA,
        COEF0,
    ],
    actions: &["transform", "fit_transform"],
    new: make,
    load: |bytes| input::load(bytes, KernelPca::sound),
}];
