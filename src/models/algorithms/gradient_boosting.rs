//! Gradient boosting (Friedman 2001): a sum of small regression trees, each fitted to
//! what those before it left over; squared error for numbers, log-loss for classes.
//! linfa has none.

use super::cart::{Criterion, Growth, Outcome, Table, Tree, grow};
use super::{SEED, forest, input, param};
use crate::error::{Error, Result};
use crate::models::estimator::{Estimator, Role, Target};
use crate::models::registry::{Entry, Param};
use crate::models::{Params, matrix, state};
use ndarray::{Array2, Axis};
use polars::prelude::DataFrame;
use rand_xoshiro::Xoshiro256PlusPlus as Random;
use rand_xoshiro::rand_core::SeedableRng;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

/// Share given to classes that do not occur in training.
const RARE: f64 = 1e-10;

#[derive(Debug, Serialize, Deserialize)]
struct Boosting {
    classes: bool,
    rounds: usize,
    learning_rate: f64,
    subsample: f64,
    growth: Growth,
    seed: u64,
    state: Option<State>,
}

#[derive(Debug, Serialize, Deserialize)]
struct State {
    columns: Vec<String>,
    /// 0 for numbers.
    classes: usize,
    /// The sums' first terms; one for numbers and for two classes, else one a class.
    start: Vec<f64>,
    /// Trees of each sum.
    trees: Vec<Vec<Tree>>,
    learning_rate: f64,
    importances: Vec<f64>,
}

impl State {
    /// The sums, rows × sums.
    fn sums(&self, x: &Array2<f64>) -> Array2<f64> {
        let mut sums = Array2::zeros((x.nrows(), self.start.len()));
        sums.axis_iter_mut(Axis(0))
            .into_par_iter()
            .zip(x.axis_iter(Axis(0)).into_par_iter())
            .for_each(|(mut sums, row)| {
                let row = row.as_slice().unwrap_or(&[]);
                for ((sum, start), trees) in sums.iter_mut().zip(&self.start).zip(&self.trees) {
                    *sum = *start;
                    for tree in trees {
                        let said = tree.value(tree.leaf(row)).first();
                        *sum += self.learning_rate * said.copied().unwrap_or(0.0);
                    }
                }
            });
        sums
    }
}

fn logistic(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

impl Boosting {
    /// First terms of the sums and the targets, rows × sums.
    fn begin(&self, y: &Target, rows: usize) -> Result<(Vec<f64>, Array2<f64>, usize)> {
        if !self.classes {
            let values = input::values(y, rows)?;
            let column = y.column()?;
            let mean = column.sum() / rows as f64;
            return Ok((vec![mean], values.to_owned(), 0));
        }
        let (index, classes) = input::classes(y, rows)?;
        let share = |class: usize| {
            let count = index.iter().filter(|c| **c == class).count();
            (count as f64 / rows as f64).max(RARE)
        };
        if classes == 2 {
            let share = share(1).clamp(RARE, 1.0 - RARE);
            let ones = index.iter().map(|class| *class as f64).collect();
            return Ok((vec![(share / (1.0 - share)).ln()], input::column(ones), 2));
        }
        let start = (0..classes).map(|class| share(class).ln()).collect();
        let mut ones = Array2::zeros((rows, classes));
        for (mut row, class) in ones.rows_mut().into_iter().zip(index) {
            row[*class] = 1.0;
        }
        Ok((start, ones, classes))
    }

    /// What is left over: the negative gradient of the loss by each sum.
    fn left_over(&self, target: &Array2<f64>, sums: &Array2<f64>) -> Array2<f64> {
        if !self.classes {
            return target - sums;
        }
        let mut expected = sums.clone();
        if sums.ncols() == 1 {
            expected.mapv_inplace(logistic);
        } else {
            input::normalise_logs(&mut expected);
        }
        target - expected
    }

    /// What each leaf adds: the mean for numbers, one Newton step for classes.
    fn steps(
        &self,
        leaves: &[u32],
        weights: &[f64],
        left: &[f64],
        count: usize,
        k: f64,
    ) -> Vec<f64> {
        let mut above = vec![0.0; count];
        let mut below = vec![0.0; count];
        for ((leaf, weight), rest) in leaves.iter().zip(weights).zip(left) {
            let leaf = *leaf as usize;
            above[leaf] += weight * rest;
            below[leaf] += weight
                * if self.classes {
                    rest.abs() * (1.0 - rest.abs())
                } else {
                    1.0
                };
        }
        let scale = if k > 2.0 { (k - 1.0) / k } else { 1.0 };
        above
            .iter()
            .zip(below)
            .map(|(above, below)| {
                if below < 1e-150 {
                    0.0
                } else {
                    scale * above / below
                }
            })
            .collect()
    }

    /// 1 for the rows of a round, 0 for the others.
    fn draw(&self, rows: usize, random: &mut Random) -> Vec<f64> {
        if self.subsample >= 1.0 {
            return vec![1.0; rows];
        }
        let wanted = ((self.subsample * rows as f64) as usize).max(1);
        let mut weights = vec![0.0; rows];
        // Knuth's selection sampling: exactly `wanted` rows, each set as likely.
        let mut needed = wanted;
        for (row, weight) in weights.iter_mut().enumerate() {
            if input::below(random, rows - row) < needed {
                *weight = 1.0;
                needed -= 1;
            }
        }
        weights
    }

    fn round(
        &self,
        table: &Table,
        x: &Array2<f64>,
        left: &[f64],
        weights: &[f64],
        k: f64,
        random: &mut Random,
    ) -> (Tree, Vec<u32>, Vec<f64>) {
        let mut grown = grow(table, &Outcome::Values(left), weights, &self.growth, random);
        let count = grown.tree.leaves();
        let steps = self.steps(&grown.leaves, weights, left, count, k);
        grown.tree.set_values(steps);
        if self.subsample < 1.0 {
            for (leaf, row) in grown.leaves.iter_mut().zip(x.rows()) {
                *leaf = grown.tree.leaf(row.as_slice().unwrap_or(&[])) as u32;
            }
        }
        (grown.tree, grown.leaves, grown.importances)
    }

    fn sound(&self) -> bool {
        self.state.as_ref().is_none_or(|state| {
            let width = state.columns.len();
            let sums = match state.classes {
                0 | 2 => 1,
                classes => classes,
            };
            state.start.len() == sums
                && state.trees.len() == sums
                && state.importances.len() == width
                && (state.classes > 0) == self.classes
                && state.trees.iter().flatten().all(|tree| tree.fits(width, 1))
        })
    }
}

impl Estimator for Boosting {
    fn fit(&mut self, x: &DataFrame, y: &Target) -> Result<()> {
        let table = forest::features(x)?;
        let matrix = input::table(x)?;
        let (start, target, classes) = self.begin(y, table.rows())?;
        self.growth.max_features = table.width();
        let mut random = Random::seed_from_u64(self.seed);
        let mut sums = Array2::zeros(target.dim());
        for (mut column, start) in sums.columns_mut().into_iter().zip(&start) {
            column.fill(*start);
        }
        let mut trees: Vec<Vec<Tree>> = start.iter().map(|_| Vec::new()).collect();
        let mut importances = vec![0.0; table.width()];
        for _ in 0..self.rounds {
            let left = self.left_over(&target, &sums);
            let weights = self.draw(table.rows(), &mut random);
            for ((left, mut sums), trees) in left
                .columns()
                .into_iter()
                .zip(sums.columns_mut())
                .zip(&mut trees)
            {
                let left = left.to_vec();
                let (tree, leaves, gains) = self.round(
                    &table,
                    &matrix,
                    &left,
                    &weights,
                    classes as f64,
                    &mut random,
                );
                for (sum, leaf) in sums.iter_mut().zip(leaves) {
                    let said = tree.value(leaf as usize).first();
                    *sum += self.learning_rate * said.copied().unwrap_or(0.0);
                }
                for (sum, gain) in importances.iter_mut().zip(gains) {
                    *sum += gain;
                }
                trees.push(tree);
            }
        }
        self.state = Some(State {
            columns: matrix::names(x),
            classes,
            start,
            trees,
            learning_rate: self.learning_rate,
            importances,
        });
        Ok(())
    }

    fn predict(&self, x: &DataFrame) -> Result<Array2<f64>> {
        if self.classes {
            return Ok(input::strongest(&self.predict_proba(x)?));
        }
        let state = input::fitted(&self.state)?;
        Ok(state.sums(&input::table_of(x, state.columns.len())?))
    }

    fn predict_proba(&self, x: &DataFrame) -> Result<Array2<f64>> {
        let mut sums = self.decision_function(x)?;
        if sums.ncols() == 1 {
            let ones = sums.column(0).mapv(logistic);
            let mut both = Array2::zeros((ones.len(), 2));
            both.column_mut(0).assign(&ones.mapv(|p| 1.0 - p));
            both.column_mut(1).assign(&ones);
            return Ok(both);
        }
        input::normalise_logs(&mut sums);
        Ok(sums)
    }

    fn decision_function(&self, x: &DataFrame) -> Result<Array2<f64>> {
        if !self.classes {
            return Err(Error::usage("a regressor has no decision_function"));
        }
        let state = input::fitted(&self.state)?;
        Ok(state.sums(&input::table_of(x, state.columns.len())?))
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
        json!({ "feature_importances": importances, "start": state.start })
    }
}

fn make(params: &Params, classes: bool) -> Result<Box<dyn Estimator>> {
    Ok(Box::new(Boosting {
        classes,
        rounds: params.count("n_estimators", 100)?,
        learning_rate: params.positive("learning_rate", 0.1)?,
        subsample: params.between("subsample", 1.0, f64::MIN_POSITIVE, 1.0)?,
        growth: Growth {
            criterion: Criterion::Variance,
            max_depth: Some(params.count("max_depth", 3)?),
            min_samples_split: params.count("min_samples_split", 2)?.max(2),
            min_samples_leaf: params.count("min_samples_leaf", 1)?,
            min_impurity_decrease: 0.0,
            max_features: 0,
            random_thresholds: false,
        },
        seed: params.seed()?,
        state: None,
    }))
}

const PARAMS: &[Param] = &[
    param("n_estimators", "100", "rounds"),
    param("learning_rate", "0.1", "share of each tree that is added"),
    param("max_depth", "3", "depth of each tree"),
    param("subsample", "1.0", "share of the rows drawn for each round"),
    param(
        "min_samples_split",
        "2",
        "fewest rows of a node that is split",
    ),
    param("min_samples_leaf", "1", "fewest rows of a leaf"),
    SEED,
];

/// The estimators of this module.
pub(super) const ENTRIES: &[Entry] = &[
    Entry {
        name: "gradient-boosting",
        aliases: &["GradientBoostingClassifier", "gradient-boosting-classifier"],
        role: Role::Classifier,
        summary: "a sum of small trees, each fitted to what is left over",
        params: PARAMS,
        actions: &["predict", "predict_proba", "decision_function", "score"],
        new: |params| make(params, true),
        load: |bytes| input::load(bytes, Boosting::sound),
    },
    Entry {
        name: "gradient-boosting-regressor",
        aliases: &["GradientBoostingRegressor"],
        role: Role::Regressor,
        summary: "a sum of small trees, each fitted to what is left over",
        params: PARAMS,
        actions: &["predict", "score"],
        new: |params| make(params, false),
        load: |bytes| input::load(bytes, Boosting::sound),
    },
];
