//! Follow the regularised leader, proximal (McMahan et al. 2013): logistic regression
//! learned row by row with a step size a column, which leaves weights of useless columns
//! at zero. For two classes; the updates are linfa's.

use super::{SEED, input, param};
use crate::error::{Error, Result};
use crate::models::estimator::{Estimator, Role, Target};
use crate::models::registry::Entry;
use crate::models::{Params, state};
use linfa::ParamGuard;
use linfa::dataset::{DatasetBase, Pr};
use linfa_ftrl::Ftrl as Leader;
use ndarray::{Array1, Array2, ArrayView1, Axis, concatenate};
use polars::prelude::DataFrame;
use rand_xoshiro::Xoshiro256PlusPlus as Random;
use rand_xoshiro::rand_core::SeedableRng;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

#[derive(Debug, Serialize, Deserialize)]
struct Ftrl {
    alpha: f64,
    beta: f64,
    l1_ratio: f64,
    l2_ratio: f64,
    epochs: usize,
    seed: u64,
    state: Option<State>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct State {
    model: Leader<f64>,
    /// One a column, then the intercept.
    weights: Array1<f64>,
}

fn logistic(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

impl Ftrl {
    fn learn(&mut self, x: &DataFrame, y: &Target, epochs: usize) -> Result<()> {
        let table = match &self.state {
            Some(state) => input::table_of(x, state.weights.len().saturating_sub(1))?,
            None => input::table(x)?,
        };
        let (index, classes) = input::some_classes(y, table.nrows())?;
        if classes > 2 {
            return Err(
                Error::invalid(format!("ftrl tells two classes apart, not {classes}"))
                    .hint("use multinomial-logistic or another classifier"),
            );
        }
        let ones = Array2::ones((table.nrows(), 1));
        let table = concatenate(Axis(1), &[table.view(), ones.view()])
            .map_err(|error| Error::failed("cannot add the intercept").because(error))?;
        let mut random = Random::seed_from_u64(self.seed);
        let params = Leader::params_with_rng(random.clone())
            .alpha(self.alpha)
            .beta(self.beta)
            .l1_ratio(self.l1_ratio)
            .l2_ratio(self.l2_ratio)
            .check()
            .map_err(|error| Error::usage("ftrl cannot run").because(error))?;
        let mut model = match self.state.take() {
            Some(state) => state.model,
            None => Leader::new(params, table.ncols()),
        };
        let mut order: Vec<usize> = (0..table.nrows()).collect();
        for _ in 0..epochs {
            for at in (1..order.len()).rev() {
                order.swap(at, input::below(&mut random, at + 1));
            }
            for row in &order {
                let rows = table.row(*row).insert_axis(Axis(0));
                let truth = [index[*row] == 1];
                let expected = logistic(rows.row(0).dot(&model.get_weights())) as f32;
                let expected = [Pr::new_unchecked(expected)];
                let data = DatasetBase::new(rows, ArrayView1::from(&truth));
                model.update(&data, ArrayView1::from(&expected));
            }
        }
        let weights = model.get_weights();
        if weights.iter().any(|w| !w.is_finite()) {
            return Err(Error::failed("the weights grew beyond all bounds")
                .hint("scale the columns, for instance put standard-scaler| in front"));
        }
        self.state = Some(State { model, weights });
        Ok(())
    }

    fn sound(&self) -> bool {
        self.state.as_ref().is_none_or(|state| {
            let width = state.weights.len();
            width > 1 && state.model.z().len() == width && state.model.n().len() == width
        })
    }
}

impl Estimator for Ftrl {
    fn fit(&mut self, x: &DataFrame, y: &Target) -> Result<()> {
        input::classes(y, x.height())?;
        let before = self.state.take();
        let fitted = self.learn(x, y, self.epochs);
        if fitted.is_err() {
            self.state = before;
        }
        fitted
    }

    fn partial_fit(&mut self, x: &DataFrame, y: &Target) -> Result<()> {
        let before = self.state.clone();
        let fitted = self.learn(x, y, 1);
        if fitted.is_err() {
            self.state = before;
        }
        fitted
    }

    fn predict(&self, x: &DataFrame) -> Result<Array2<f64>> {
        let scores = self.decision_function(x)?;
        Ok(scores.mapv(|score| f64::from(u8::from(score > 0.0))))
    }

    fn predict_proba(&self, x: &DataFrame) -> Result<Array2<f64>> {
        let ones = self.decision_function(x)?.mapv(logistic);
        let zeros = ones.mapv(|p| 1.0 - p);
        concatenate(Axis(1), &[zeros.view(), ones.view()])
            .map_err(|error| Error::failed("cannot join the columns").because(error))
    }

    fn decision_function(&self, x: &DataFrame) -> Result<Array2<f64>> {
        let state = input::fitted(&self.state)?;
        let width = state.weights.len().saturating_sub(1);
        let table = input::table_of(x, width)?;
        let (weights, intercept) = state.weights.view().split_at(Axis(0), width);
        let scores = table.dot(&weights) + intercept.sum();
        Ok(scores.insert_axis(Axis(1)))
    }

    fn save(&self) -> Result<Vec<u8>> {
        state::save(self)
    }

    fn learned(&self) -> Value {
        let Some(state) = &self.state else {
            return Value::Null;
        };
        let width = state.weights.len().saturating_sub(1);
        let (weights, intercept) = state.weights.view().split_at(Axis(0), width);
        json!({ "coef": weights.to_vec(), "intercept": intercept.sum() })
    }
}

fn make(params: &Params) -> Result<Box<dyn Estimator>> {
    Ok(Box::new(Ftrl {
        alpha: params.positive("alpha", 0.1)?,
        beta: params.non_negative("beta", 1.0)?,
        l1_ratio: params.between("l1_ratio", 0.0, 0.0, 1.0)?,
        l2_ratio: params.between("l2_ratio", 0.0, 0.0, 1.0)?,
        epochs: params.count("max_iter", 20)?,
        seed: params.seed()?,
        state: None,
    }))
}

/// The estimators of this module.
pub(super) const ENTRIES: &[Entry] = &[Entry {
    name: "ftrl",
    aliases: &["FTRL", "ftrl-proximal"],
    role: Role::Classifier,
    summary: "logistic regression learned row by row, for streams of two classes",
    params: &[
        param("alpha", "0.1", "step size"),
        param("beta", "1.0", "slows the first steps"),
        param(
            "l1_ratio",
            "0.0",
            "sparsity: pulls weights to zero (0 to 1)",
        ),
        param("l2_ratio", "0.0", "keeps weights small (0 to 1)"),
        param(
            "max_iter",
            "20",
            "passes over the rows in fit; partial_fit makes one",
        ),
        SEED,
    ],
    actions: &[
        "partial_fit",
        "predict",
        "predict_proba",
        "decision_function",
        "score",
    ],
    new: make,
    load: |bytes| input::load(bytes, Ftrl::sound),
}];
