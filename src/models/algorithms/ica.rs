//! Independent components: directions whose values are as little normal as can be, by
//! linfa's FastICA on principal components. The principal components come first because
//! linfa takes components in no order where fewer than all are asked for, and fails on
//! columns that depend on each other.

use super::pca::Components;
use super::{SEED, input, param};
use crate::error::{Error, Result};
use crate::models::estimator::{Estimator, Role, Target};
use crate::models::registry::Entry;
use crate::models::{Params, matrix, state};
use linfa::ParamGuard;
use linfa::dataset::DatasetBase;
use linfa::traits::{Fit, PredictInplace};
use linfa_ica::fast_ica::{FastIca, GFunc};
use ndarray::{Array1, Array2, Axis};
use polars::prelude::DataFrame;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

#[derive(Debug, Serialize, Deserialize)]
struct Ica {
    n_components: Option<usize>,
    fun: String,
    max_iter: usize,
    tol: f64,
    seed: u64,
    state: Option<State>,
}

#[derive(Debug, Serialize, Deserialize)]
struct State {
    mean: Array1<f64>,
    /// Components × columns; sources have variance 1.
    unmixing: Array2<f64>,
}

impl Ica {
    fn sound(&self) -> bool {
        self.state.as_ref().is_none_or(|state| {
            state.unmixing.ncols() == state.mean.len() && state.unmixing.nrows() > 0
        })
    }
}

impl Estimator for Ica {
    fn fit(&mut self, x: &DataFrame, _y: &Target) -> Result<()> {
        let table = input::table(x)?;
        let (rows, width) = table.dim();
        input::at_least(rows, 2, "a variance")?;
        let mut principal = Components::new(&table, rows.min(width), true)?;
        let rank = principal.rank();
        if rank == 0 {
            return Err(Error::invalid("all columns are constant"));
        }
        let k = self.n_components.unwrap_or(rank);
        if k > rank {
            return Err(Error::invalid(format!(
                "n_components is {k}, but the columns have {rank} independent directions only"
            )));
        }
        principal.keep(k);
        // White scores: linfa's own whitening then only turns them.
        let scales = principal.variances.mapv(|v| 1.0 / v.sqrt());
        let white = principal.scores(&table) * &scales;
        let fun = match self.fun.as_str() {
            "exp" => GFunc::Exp,
            "cube" => GFunc::Cube,
            _ => GFunc::Logcosh(1.0),
        };
        let data = DatasetBase::new(white, Array1::<()>::default(rows));
        let model = FastIca::params()
            .ncomponents(k)
            .gfunc(fun)
            .max_iter(self.max_iter)
            .tol(self.tol)
            .random_state(self.seed as usize)
            .check()
            .and_then(|params| params.fit(&data))
            .map_err(|error| {
                Error::failed("independent components were not found").because(error)
            })?;
        // What linfa does to unit vectors is its matrix, up to the (zero) mean.
        let mut turned = Array2::zeros((k, k));
        let mut origin = Array2::zeros((1, k));
        model.predict_inplace(&Array2::eye(k), &mut turned);
        model.predict_inplace(&Array2::zeros((1, k)), &mut origin);
        let turn = (turned - origin.row(0)).reversed_axes();
        let mut unmixing = (turn * &scales).dot(&principal.components);
        let sources = (&table - &principal.mean).dot(&unmixing.t());
        let deviations = sources.var_axis(Axis(0), 0.0).mapv(f64::sqrt);
        for (mut row, deviation) in unmixing.rows_mut().into_iter().zip(&deviations) {
            row /= *deviation;
        }
        if unmixing.iter().any(|v| !v.is_finite()) {
            return Err(Error::failed("independent components were not found")
                .hint("the rows are too few or too alike"));
        }
        self.state = Some(State {
            mean: principal.mean,
            unmixing,
        });
        Ok(())
    }

    fn transform(&self, x: &DataFrame) -> Result<DataFrame> {
        let state = input::fitted(&self.state)?;
        let table = input::table_of(x, state.mean.len())?;
        let sources = (table - &state.mean).dot(&state.unmixing.t());
        let names = input::numbered("fastica", state.unmixing.nrows());
        matrix::frame(sources, &names)
    }

    fn save(&self) -> Result<Vec<u8>> {
        state::save(self)
    }

    fn learned(&self) -> Value {
        match &self.state {
            Some(state) => json!({
                "components": input::lists(&state.unmixing),
                "mean": state.mean.to_vec(),
            }),
            None => Value::Null,
        }
    }
}

fn make(params: &Params) -> Result<Box<dyn Estimator>> {
    Ok(Box::new(Ica {
        n_components: match params.opt_usize("n_components")? {
            Some(_) => Some(params.count("n_components", 1)?),
            None => None,
        },
        fun: params
            .one_of("fun", "logcosh", &["logcosh", "exp", "cube"])?
            .to_string(),
        max_iter: params.count("max_iter", 200)?,
        tol: params.positive("tol", 1e-4)?,
        seed: params.seed()?,
        state: None,
    }))
}

/// The estimators of this module.
pub(super) const ENTRIES: &[Entry] = &[Entry {
    name: "ica",
    aliases: &["FastICA", "fast-ica"],
    role: Role::Transformer,
    summary: "independent sources that the columns are mixtures of",
    params: &[
        param("n_components", "all", "number of sources"),
        param("fun", "logcosh", "contrast: logcosh, exp or cube"),
        param("max_iter", "200", "most iterations"),
        param("tol", "1e-4", "stop when the directions turn less"),
        SEED,
    ],
    actions: &["transform", "fit_transform"],
    new: make,
    load: |bytes| input::load(bytes, Ica::sound),
}];
