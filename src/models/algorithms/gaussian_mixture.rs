//! Gaussian mixture: rows come from a few normal distributions, found by expectation
//! maximisation from k-means groups.
//!
//! Own code: linfa's panics on rows that no component explains (its logarithms run into
//! NaN), restarts from its own end and fails where it merely has not converged.

use super::{SEED, input, kmeans, linear, param};
use crate::error::{Error, Result};
use crate::models::estimator::{Estimator, Role, Target};
use crate::models::registry::Entry;
use crate::models::{Params, state};
use ndarray::{Array1, Array2, Axis};
use polars::prelude::DataFrame;
use rand_xoshiro::Xoshiro256PlusPlus as Random;
use rand_xoshiro::rand_core::SeedableRng;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

#[derive(Debug, Serialize, Deserialize)]
struct Mixture {
    n_components: usize,
    covariance: Covariance,
    tol: f64,
    reg_covar: f64,
    max_iter: usize,
    n_init: usize,
    seed: u64,
    state: Option<State>,
}

/// What the components' shapes may be.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
enum Covariance {
    Full,
    Tied,
    Diag,
    Spherical,
}

#[derive(Debug, Serialize, Deserialize)]
struct State {
    weights: Array1<f64>,
    means: Array2<f64>,
    covariances: Vec<Array2<f64>>,
    /// Inverses of the covariances' Cholesky factors.
    whiteners: Vec<Array2<f64>>,
    /// Mean logarithm of the likelihood of the training rows.
    bound: f64,
    converged: bool,
    iterations: usize,
}

impl State {
    /// Logarithm of each component's weighted density at each row.
    fn logs(&self, table: &Array2<f64>) -> Array2<f64> {
        let constant = table.ncols() as f64 * std::f64::consts::TAU.ln();
        let mut logs = Array2::zeros((table.nrows(), self.weights.len()));
        for (k, (mut log, whitener)) in logs
            .columns_mut()
            .into_iter()
            .zip(&self.whiteners)
            .enumerate()
        {
            let white = (table - &self.means.row(k)).dot(&whitener.t());
            let log_det: f64 = whitener.diag().iter().map(|v| v.ln()).sum();
            let level = self.weights[k].ln() + log_det - constant / 2.0;
            for (log, row) in log.iter_mut().zip(white.rows()) {
                *log = level - row.dot(&row) / 2.0;
            }
        }
        logs
    }
}

impl Mixture {
    /// The components that explain `shares`, rows × components, best.
    fn maximise(&self, table: &Array2<f64>, shares: &Array2<f64>) -> Result<State> {
        let (rows, width) = table.dim();
        let sizes = shares.sum_axis(Axis(0)) + 10.0 * f64::EPSILON;
        let means = shares.t().dot(table) / sizes.view().insert_axis(Axis(1));
        let mut covariances: Vec<Array2<f64>> = Vec::with_capacity(self.n_components);
        for (k, size) in sizes.iter().enumerate() {
            let centred = table - &means.row(k);
            let weighted = &centred * &shares.column(k).insert_axis(Axis(1));
            covariances.push(weighted.t().dot(&centred) / *size);
        }
        match self.covariance {
            Covariance::Full => {}
            Covariance::Tied => {
                let mut shared = Array2::<f64>::zeros((width, width));
                for (covariance, size) in covariances.iter().zip(&sizes) {
                    shared.scaled_add(*size / sizes.sum(), covariance);
                }
                covariances.iter_mut().for_each(|c| c.assign(&shared));
            }
            Covariance::Diag => {
                for covariance in &mut covariances {
                    *covariance = Array2::from_diag(&covariance.diag());
                }
            }
            Covariance::Spherical => {
                for covariance in &mut covariances {
                    let mean = covariance.diag().mean().unwrap_or(0.0);
                    *covariance = Array2::from_diag_elem(width, mean);
                }
            }
        }
        let mut whiteners = Vec::with_capacity(covariances.len());
        for covariance in &mut covariances {
            covariance.diag_mut().mapv_inplace(|v| v + self.reg_covar);
            let lower = linear::cholesky(covariance.view()).ok_or_else(|| {
                Error::failed("a component has shrunk to a point or a line")
                    .hint("lower n_components, raise reg_covar or scale the columns")
            })?;
            whiteners.push(linear::inverse_of_lower(&lower));
        }
        Ok(State {
            weights: sizes / rows as f64,
            means,
            covariances,
            whiteners,
            bound: f64::NEG_INFINITY,
            converged: false,
            iterations: 0,
        })
    }

    fn run(&self, table: &Array2<f64>, random: &mut Random) -> Result<State> {
        let mean = table.mean_axis(Axis(0)).unwrap_or_default();
        let centred = table - &mean;
        let variance = centred.var_axis(Axis(0), 0.0).mean().unwrap_or(0.0);
        let start = kmeans::plus_plus(&centred, self.n_components, random);
        let (_, near, _) = kmeans::lloyd(&centred, start, 300, 1e-4 * variance);
        let mut shares = Array2::zeros((table.nrows(), self.n_components));
        for (mut row, (label, _)) in shares.rows_mut().into_iter().zip(near) {
            row[label as usize] = 1.0;
        }
        let mut state = self.maximise(table, &shares)?;
        let mut bound = f64::NEG_INFINITY;
        for iteration in 1..=self.max_iter {
            let mut shares = state.logs(table);
            let logs = input::normalise_logs(&mut shares);
            let now = logs.iter().sum::<f64>() / logs.len() as f64;
            state = self.maximise(table, &shares)?;
            state.iterations = iteration;
            state.bound = now;
            if (now - bound).abs() < self.tol {
                state.converged = true;
                break;
            }
            bound = now;
        }
        Ok(state)
    }

    fn sound(&self) -> bool {
        self.state.as_ref().is_none_or(|state| {
            let (k, width) = state.means.dim();
            k > 0
                && state.weights.len() == k
                && state.whiteners.len() == k
                && state.whiteners.iter().all(|w| w.dim() == (width, width))
        })
    }
}

impl Estimator for Mixture {
    fn fit(&mut self, x: &DataFrame, _y: &Target) -> Result<()> {
        let table = input::table(x)?;
        input::at_least(table.nrows(), self.n_components.max(2), "n_components")?;
        let mut random = Random::seed_from_u64(self.seed);
        let mut best: Option<State> = None;
        for _ in 0..self.n_init {
            let state = self.run(&table, &mut random)?;
            if best.as_ref().is_none_or(|best| state.bound > best.bound) {
                best = Some(state);
            }
        }
        if !best.as_ref().is_some_and(|state| state.bound.is_finite()) {
            return Err(Error::failed("no mixture explains the table")
                .hint("scale the columns or lower n_components"));
        }
        self.state = best;
        Ok(())
    }

    fn predict(&self, x: &DataFrame) -> Result<Array2<f64>> {
        let state = input::fitted(&self.state)?;
        let table = input::table_of(x, state.means.ncols())?;
        Ok(input::strongest(&state.logs(&table)))
    }

    fn predict_proba(&self, x: &DataFrame) -> Result<Array2<f64>> {
        let state = input::fitted(&self.state)?;
        let table = input::table_of(x, state.means.ncols())?;
        let mut shares = state.logs(&table);
        input::normalise_logs(&mut shares);
        Ok(shares)
    }

    fn save(&self) -> Result<Vec<u8>> {
        state::save(self)
    }

    fn learned(&self) -> Value {
        let Some(state) = &self.state else {
            return Value::Null;
        };
        let covariances: Vec<_> = state.covariances.iter().map(input::lists).collect();
        json!({
            "weights": state.weights.to_vec(),
            "means": input::lists(&state.means),
            "covariances": covariances,
            "lower_bound": state.bound,
            "converged": state.converged,
            "n_iter": state.iterations,
        })
    }
}

fn make(params: &Params) -> Result<Box<dyn Estimator>> {
    let covariance = params.one_of(
        "covariance_type",
        "full",
        &["full", "tied", "diag", "spherical"],
    )?;
    Ok(Box::new(Mixture {
        n_components: params.count("n_components", 1)?,
        covariance: match covariance {
            "tied" => Covariance::Tied,
            "diag" => Covariance::Diag,
            "spherical" => Covariance::Spherical,
            _ => Covariance::Full,
        },
        tol: params.non_negative("tol", 1e-3)?,
        reg_covar: params.non_negative("reg_covar", 1e-6)?,
        max_iter: params.count("max_iter", 100)?,
        n_init: params.count("n_init", 1)?,
        seed: params.seed()?,
        state: None,
    }))
}

/// The estimators of this module.
pub(super) const ENTRIES: &[Entry] = &[Entry {
    name: "gaussian-mixture",
    aliases: &["GaussianMixture", "gmm"],
    role: Role::Clusterer,
    summary: "groups that are normal distributions, with shares of membership",
    params: &[
        param("n_components", "1", "number of distributions"),
        param("covariance_type", "full", "full, tied, diag or spherical"),
        param(
            "tol",
            "1e-3",
            "stop when the mean log-likelihood gains less",
        ),
        param("reg_covar", "1e-6", "added to every variance"),
        param("max_iter", "100", "most iterations of a start"),
        param("n_init", "1", "starts, of which the best counts"),
        SEED,
    ],
    actions: &["predict", "predict_proba"],
    new: make,
    load: |bytes| input::load(bytes, Mixture::sound),
}];
