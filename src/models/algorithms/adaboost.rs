//! AdaBoost for classes (SAMME; Zhu et al. 2009): small trees, each learning more from
//! the rows that those before it got wrong.
//!
//! Own code on the tree engine: linfa-ensemble redraws rows instead of weighing them,
//! breaks ties by hash order and cannot be stored.

use super::cart::{Criterion, Growth, Outcome, Tree, grow};
use super::{SEED, forest, input, param};
use crate::error::{Error, Result};
use crate::models::estimator::{Estimator, Role, Target};
use crate::models::registry::Entry;
use crate::models::{Params, matrix, state};
use ndarray::{Array2, Axis};
use polars::prelude::DataFrame;
use rand_xoshiro::Xoshiro256PlusPlus as Random;
use rand_xoshiro::rand_core::SeedableRng;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

#[derive(Debug, Serialize, Deserialize)]
struct AdaBoost {
    trees: usize,
    learning_rate: f64,
    max_depth: usize,
    seed: u64,
    state: Option<State>,
}

#[derive(Debug, Serialize, Deserialize)]
struct State {
    columns: Vec<String>,
    classes: usize,
    /// Classes that occurred in training; the others are never voted for.
    present: Vec<bool>,
    trees: Vec<Tree>,
    weights: Vec<f64>,
    importances: Vec<f64>,
}

impl State {
    fn present(&self) -> f64 {
        self.present.iter().filter(|present| **present).count() as f64
    }

    /// Weighted votes, rows × classes: 1 for the class voted for, -1/(K-1) for others.
    fn votes(&self, x: &Array2<f64>) -> Array2<f64> {
        let total: f64 = self.weights.iter().sum();
        let against = -1.0 / (self.present() - 1.0).max(1.0);
        let mut votes = Array2::zeros((x.nrows(), self.classes));
        votes
            .axis_iter_mut(Axis(0))
            .into_par_iter()
            .zip(x.axis_iter(Axis(0)).into_par_iter())
            .for_each(|(mut votes, row)| {
                let row = row.as_slice().unwrap_or(&[]);
                for (tree, weight) in self.trees.iter().zip(&self.weights) {
                    let class = input::argmax(tree.value(tree.leaf(row)));
                    for (k, vote) in votes.iter_mut().enumerate() {
                        *vote += weight / total * if k == class { 1.0 } else { against };
                    }
                }
            });
        votes
    }
}

impl AdaBoost {
    fn sound(&self) -> bool {
        self.state.as_ref().is_none_or(|state| {
            let width = state.columns.len();
            state.present.len() == state.classes
                && state.weights.len() == state.trees.len()
                && state.importances.len() == width
                && state
                    .trees
                    .iter()
                    .all(|tree| tree.fits(width, state.classes))
        })
    }
}

impl Estimator for AdaBoost {
    fn fit(&mut self, x: &DataFrame, y: &Target) -> Result<()> {
        let table = forest::features(x)?;
        let (index, classes) = input::classes(y, table.rows())?;
        let index: Vec<u32> = index.iter().map(|class| *class as u32).collect();
        let mut present = vec![false; classes];
        for class in &index {
            present[*class as usize] = true;
        }
        let k = present.iter().filter(|present| **present).count() as f64;
        let outcome = Outcome::Classes {
            index: &index,
            count: classes,
        };
        let growth = Growth {
            criterion: Criterion::Gini,
            max_depth: Some(self.max_depth),
            min_samples_split: 2,
            min_samples_leaf: 1,
            min_impurity_decrease: 0.0,
            max_features: table.width(),
            random_thresholds: false,
        };
        let mut random = Random::seed_from_u64(self.seed);
        let mut state = State {
            columns: matrix::names(x),
            classes,
            present,
            trees: Vec::new(),
            weights: Vec::new(),
            importances: vec![0.0; table.width()],
        };
        let mut weights = vec![1.0 / table.rows() as f64; table.rows()];
        for _ in 0..self.trees {
            let grown = grow(&table, &outcome, &weights, &growth, &mut random);
            let leaves = grown.tree.leaves();
            let says: Vec<usize> = (0..leaves)
                .map(|leaf| input::argmax(grown.tree.value(leaf)))
                .collect();
            let wrong = |row: usize| says[grown.leaves[row] as usize] != index[row] as usize;
            let total: f64 = weights.iter().sum();
            let error: f64 = (0..weights.len())
                .filter(|row| wrong(*row))
                .map(|row| weights[row])
                .sum::<f64>()
                / total;
            let weight = if error <= 0.0 {
                1.0
            } else {
                self.learning_rate * (((1.0 - error) / error).ln() + (k - 1.0).ln())
            };
            if error >= 1.0 - 1.0 / k && !state.trees.is_empty() {
                break;
            }
            if error >= 1.0 - 1.0 / k {
                return Err(Error::failed("the first tree is no better than guessing")
                    .hint("the columns say nothing about the target, or max_depth is too small"));
            }
            for (row, row_weight) in weights.iter_mut().enumerate() {
                if wrong(row) {
                    *row_weight *= weight.exp();
                }
            }
            let total: f64 = weights.iter().sum();
            weights.iter_mut().for_each(|weight| *weight /= total);
            for (sum, gain) in state.importances.iter_mut().zip(&grown.importances) {
                *sum += weight * gain;
            }
            state.trees.push(grown.tree);
            state.weights.push(weight);
            if error <= 0.0 || !total.is_finite() {
                break;
            }
        }
        self.state = Some(state);
        Ok(())
    }

    fn predict(&self, x: &DataFrame) -> Result<Array2<f64>> {
        let state = input::fitted(&self.state)?;
        let x = input::table_of(x, state.columns.len())?;
        Ok(input::strongest(&state.votes(&x)))
    }

    fn predict_proba(&self, x: &DataFrame) -> Result<Array2<f64>> {
        let state = input::fitted(&self.state)?;
        let x = input::table_of(x, state.columns.len())?;
        let k = state.present();
        let mut logs = state.votes(&x) / (k - 1.0).max(1.0);
        for (mut column, present) in logs.columns_mut().into_iter().zip(&state.present) {
            if !present {
                column.fill(f64::NEG_INFINITY);
            }
        }
        input::normalise_logs(&mut logs);
        Ok(logs)
    }

    fn decision_function(&self, x: &DataFrame) -> Result<Array2<f64>> {
        let state = input::fitted(&self.state)?;
        let x = input::table_of(x, state.columns.len())?;
        let votes = state.votes(&x);
        if state.classes == 2 {
            let difference = &votes.column(1) - &votes.column(0);
            return Ok((difference / 2.0).insert_axis(Axis(1)));
        }
        Ok(votes)
    }

    fn save(&self) -> Result<Vec<u8>> {
        state::save(self)
    }

    fn learned(&self) -> Value {
        let Some(state) = &self.state else {
            return Value::Null;
        };
        let sum: f64 = state.importances.iter().sum::<f64>().max(f64::MIN_POSITIVE);
        let importances: Map<String, Value> = state
            .columns
            .iter()
            .zip(&state.importances)
            .map(|(column, importance)| (column.clone(), json!(importance / sum)))
            .collect();
        json!({
            "feature_importances": importances,
            "estimator_weights": state.weights,
        })
    }
}

fn make(params: &Params) -> Result<Box<dyn Estimator>> {
    Ok(Box::new(AdaBoost {
        trees: params.count("n_estimators", 50)?,
        learning_rate: params.positive("learning_rate", 1.0)?,
        max_depth: params.count("max_depth", 1)?,
        seed: params.seed()?,
        state: None,
    }))
}

/// The estimators of this module.
pub(super) const ENTRIES: &[Entry] = &[Entry {
    name: "adaboost",
    aliases: &["AdaBoostClassifier"],
    role: Role::Classifier,
    summary: "small trees, each learning from the mistakes of those before (SAMME)",
    params: &[
        param("n_estimators", "50", "most trees"),
        param("learning_rate", "1.0", "weight of each tree's vote"),
        param("max_depth", "1", "depth of each tree"),
        SEED,
    ],
    actions: &["predict", "predict_proba", "decision_function", "score"],
    new: make,
    load: |bytes| input::load(bytes, AdaBoost::sound),
}];
