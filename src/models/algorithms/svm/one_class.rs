//! Outliers by support vectors: the smallest region that holds most rows (Schölkopf et
//! al. 2001). Ordinary rows are 1, others -1.

use super::kernel::{Rows, Support, Wanted};
use super::smo::{Problem, solve};
use super::{COEF0, DEGREE, GAMMA, KERNEL, MAX_ITER, TOL};
use crate::error::Result;
use crate::models::algorithms::{input, param};
use crate::models::estimator::{Estimator, Role, Target};
use crate::models::registry::Entry;
use crate::models::{Params, state};
use ndarray::Array2;
use polars::prelude::DataFrame;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

#[derive(Debug, Serialize, Deserialize)]
struct OneClass {
    kernel: Wanted,
    nu: f64,
    tol: f64,
    max_iter: Option<usize>,
    state: Option<State>,
}

#[derive(Debug, Serialize, Deserialize)]
struct State {
    support: Support,
    converged: bool,
}

impl Estimator for OneClass {
    fn fit(&mut self, x: &DataFrame, _y: &Target) -> Result<()> {
        let table = input::table(x)?;
        let count = table.nrows();
        let kernel = self.kernel.for_table(&table);
        let rows = Rows::new(table.view(), &kernel)?;
        let mut left = self.nu * count as f64;
        let alpha = (0..count)
            .map(|_| {
                let alpha = left.clamp(0.0, 1.0);
                left -= alpha;
                alpha
            })
            .collect();
        let solution = solve(
            &rows,
            Problem {
                alpha,
                p: vec![0.0; count],
                y: vec![1.0; count],
                c: 1.0,
                nu: false,
                tol: self.tol,
                max_iter: self.max_iter,
            },
        )?;
        drop(rows);
        let machine = vec![(solution.weights, solution.rho)];
        self.state = Some(State {
            support: Support::new(&table, kernel, machine),
            converged: solution.converged,
        });
        Ok(())
    }

    fn predict(&self, x: &DataFrame) -> Result<Array2<f64>> {
        let sums = self.decision_function(x)?;
        Ok(sums.mapv(|sum| if sum > 0.0 { 1.0 } else { -1.0 }))
    }

    fn decision_function(&self, x: &DataFrame) -> Result<Array2<f64>> {
        let state = input::fitted(&self.state)?;
        let table = input::table_of(x, state.support.width())?;
        Ok(state.support.decide(&table))
    }

    fn save(&self) -> Result<Vec<u8>> {
        state::save(self)
    }

    fn learned(&self) -> Value {
        match &self.state {
            Some(state) => json!({
                "support_vectors": state.support.count(),
                "gamma": state.support.gamma(),
                "converged": state.converged,
            }),
            None => Value::Null,
        }
    }
}

fn make(params: &Params) -> Result<Box<dyn Estimator>> {
    Ok(Box::new(OneClass {
        kernel: Wanted::read(params)?,
        nu: params.between("nu", 0.5, f64::MIN_POSITIVE, 1.0)?,
        tol: params.positive("tol", 1e-3)?,
        max_iter: params.opt_usize("max_iter")?,
        state: None,
    }))
}

/// The estimators of this module.
pub(in crate::models::algorithms) const ENTRIES: &[Entry] = &[Entry {
    name: "one-class-svm",
    aliases: &["OneClassSVM"],
    role: Role::Detector,
    summary: "the smallest region that holds most rows; others are outliers (-1)",
    params: &[
        param("nu", "0.5", "most share of outliers in training"),
        KERNEL,
        DEGREE,
        GAMMA,
        COEF0,
        TOL,
        MAX_ITER,
    ],
    actions: &["predict", "decision_function"],
    new: make,
    load: |bytes| {
        input::load(bytes, |model: &OneClass| {
            let state = model.state.as_ref();
            state.is_none_or(|state| state.support.sound(1))
        })
    },
}];
