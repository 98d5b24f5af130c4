//! Single trees and averages of many: decision trees, random forests, extra trees,
//! bagging, for classes and for numbers. They differ only in defaults.
//!
//! Each tree has its own generator seeded from `seed` and its number, so the result is
//! the same on one core and on many. Probabilities are averages of leaf shares, as in
//! scikit-learn. linfa-ensemble is not used: its vote breaks ties by hash order, it has
//! no probabilities and no regression.

mod entries;

pub(super) use entries::ENTRIES;

use super::cart::{Criterion, Growth, Outcome, Table, Tree, grow};
use super::input;
use crate::error::{Error, Result};
use crate::models::estimator::{Estimator, Target};
use crate::models::{Params, matrix, state};
use ndarray::{Array2, Axis};
use polars::prelude::DataFrame;
use rand_xoshiro::Xoshiro256PlusPlus as Random;
use rand_xoshiro::rand_core::{RngCore, SeedableRng};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

/// Rows that walk through one tree before the next tree is taken.
const BLOCK: usize = 512;

/// Trees and how to grow them.
#[derive(Debug, Serialize, Deserialize)]
struct Forest {
    classes: bool,
    trees: usize,
    growth: Growth,
    features: Features,
    bootstrap: bool,
    max_samples: Option<f64>,
    balanced: bool,
    seed: u64,
    state: Option<State>,
}

#[derive(Debug, Serialize, Deserialize)]
struct State {
    columns: Vec<String>,
    /// Numbers that a leaf says: classes, or 1.
    width: usize,
    /// One list of trees for classes; one list an output for numbers.
    outputs: Vec<Vec<Tree>>,
    importances: Vec<f64>,
}

/// How many columns a node looks at.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
enum Features {
    All,
    Sqrt,
    Log2,
    Count(usize),
    Share(f64),
}

impl Features {
    fn read(params: &Params, default: Features) -> Result<Self> {
        let wrong =
            || Error::usage("parameter max_features must be sqrt, log2, all, a count or a share");
        let Some(value) = params.get("max_features") else {
            return Ok(default);
        };
        match value.as_str() {
            Some("sqrt") => return Ok(Features::Sqrt),
            Some("log2") => return Ok(Features::Log2),
            Some("all" | "none" | "None") => return Ok(Features::All),
            _ => {}
        }
        let whole = match value {
            Value::String(text) => !text.contains('.'),
            Value::Number(number) => number.is_u64(),
            _ => return Err(wrong()),
        };
        let number = params.f64("max_features", 1.0).map_err(|_| wrong())?;
        match number {
            n if whole && n >= 1.0 && n.fract() == 0.0 => Ok(Features::Count(n as usize)),
            n if n > 0.0 && n <= 1.0 => Ok(Features::Share(n)),
            _ => Err(wrong()),
        }
    }

    fn of(self, width: usize) -> usize {
        let count = match self {
            Features::All => width,
            Features::Sqrt => (width as f64).sqrt() as usize,
            Features::Log2 => (width as f64).log2() as usize,
            Features::Count(count) => count,
            Features::Share(share) => (share * width as f64) as usize,
        };
        count.clamp(1, width.max(1))
    }
}

/// What sets the members of the family apart.
struct Kind {
    classes: bool,
    trees: Option<usize>,
    features: Features,
    bootstrap: Option<bool>,
    random_thresholds: bool,
}

fn make(params: &Params, kind: &Kind) -> Result<Box<dyn Estimator>> {
    let criterion = if kind.classes {
        match params.one_of("criterion", "gini", &["gini", "entropy", "log_loss"])? {
            "gini" => Criterion::Gini,
            _ => Criterion::Entropy,
        }
    } else {
        params.one_of("criterion", "squared_error", &["squared_error"])?;
        Criterion::Variance
    };
    let min_samples_split = params.usize("min_samples_split", 2)?;
    if min_samples_split < 2 {
        return Err(Error::usage(
            "parameter min_samples_split must be 2 or more",
        ));
    }
    let max_depth = params.opt_usize("max_depth")?;
    if max_depth == Some(0) {
        return Err(Error::usage("parameter max_depth must be 1 or more"));
    }
    let max_samples = match params.opt_f64("max_samples")? {
        Some(share) if share <= 0.0 => {
            return Err(Error::usage("parameter max_samples must be above 0"));
        }
        other => other,
    };
    Ok(Box::new(Forest {
        classes: kind.classes,
        trees: match kind.trees {
            Some(default) => params.count("n_estimators", default)?,
            None => 1,
        },
        growth: Growth {
            criterion,
            max_depth,
            min_samples_split,
            min_samples_leaf: params.count("min_samples_leaf", 1)?,
            min_impurity_decrease: params.non_negative("min_impurity_decrease", 0.0)?,
            max_features: 0,
            random_thresholds: kind.random_thresholds,
        },
        features: Features::read(params, kind.features)?,
        bootstrap: match kind.bootstrap {
            Some(default) => params.bool("bootstrap", default)?,
            None => false,
        },
        max_samples,
        balanced: params.one_of("class_weight", "none", &["none", "balanced"])? == "balanced",
        seed: params.seed()?,
        state: None,
    }))
}

/// The features as single-precision columns.
pub(super) fn features(x: &DataFrame) -> Result<Table> {
    if x.width() == 0 {
        return Err(Error::invalid("the table has no columns"));
    }
    input::at_least(x.height(), 1, "a tree")?;
    input::at_most(x.height(), u32::MAX as usize - 1)?;
    let columns = matrix::columns(x)?;
    let narrow = |(column, source): (&std::borrow::Cow<'_, [f64]>, _)| {
        let narrow: Vec<f32> = column.iter().map(|v| *v as f32 + 0.0).collect();
        if narrow.iter().all(|v| v.is_finite()) {
            return Ok(narrow);
        }
        let source: &polars::prelude::Column = source;
        let name = source.name();
        let message = format!("column {name} has values beyond single precision");
        Err(Error::invalid(message).hint("trees compare values below 3.4e38: scale the column"))
    };
    let columns = columns
        .par_iter()
        .zip(x.columns().par_iter())
        .map(narrow)
        .collect::<Result<_>>()?;
    Ok(Table::new(columns))
}

impl Forest {
    /// One output's trees and the importances summed over them.
    fn grow(&self, table: &Table, outcome: &Outcome<'_>, output: u64) -> (Vec<Tree>, Vec<f64>) {
        let growth = Growth {
            max_features: self.features.of(table.width()),
            ..self.growth.clone()
        };
        let base = self.base_weights(table, outcome);
        let mut seeds = Random::seed_from_u64(self.seed.wrapping_add(output << 32));
        let seeds: Vec<u64> = (0..self.trees).map(|_| seeds.next_u64()).collect();
        let grown: Vec<_> = seeds
            .into_par_iter()
            .map(|seed| {
                let mut random = Random::seed_from_u64(seed);
                let weights = self.draw(&base, &mut random);
                let grown = grow(table, outcome, &weights, &growth, &mut random);
                let sum: f64 = grown.importances.iter().sum();
                let scale = if sum > 0.0 { 1.0 / sum } else { 0.0 };
                let importances = grown.importances.iter().map(|v| v * scale).collect();
                (grown.tree, importances)
            })
            .collect();
        let mut importances = vec![0.0; table.width()];
        let mut trees = Vec::with_capacity(grown.len());
        for (tree, shares) in grown {
            let shares: Vec<f64> = shares;
            for (sum, share) in importances.iter_mut().zip(&shares) {
                *sum += share;
            }
            trees.push(tree);
        }
        (trees, importances)
    }

    /// Weights before any drawing: 1, or such that every class weighs the same.
    fn base_weights(&self, table: &Table, outcome: &Outcome<'_>) -> Vec<f64> {
        let rows = table.rows();
        let Outcome::Classes { index, count } = outcome else {
            return vec![1.0; rows];
        };
        if !self.balanced {
            return vec![1.0; rows];
        }
        let mut counts = vec![0.0_f64; *count];
        for class in *index {
            counts[*class as usize] += 1.0;
        }
        let present = counts.iter().filter(|c| **c > 0.0).count() as f64;
        index
            .iter()
            .map(|class| rows as f64 / (present * counts[*class as usize]))
            .collect()
    }

    /// How often each row counts in a tree: drawn with replacement, or once.
    fn draw(&self, base: &[f64], random: &mut Random) -> Vec<f64> {
        if !self.bootstrap {
            return base.to_vec();
        }
        let rows = base.len();
        let draws = match self.max_samples {
            None => rows,
            Some(share) if share <= 1.0 => ((share * rows as f64).round() as usize).max(1),
            Some(count) => (count as usize).clamp(1, rows),
        };
        let mut counts = vec![0_u32; rows];
        for _ in 0..draws {
            counts[input::below(random, rows)] += 1;
        }
        counts
            .iter()
            .zip(base)
            .map(|(count, weight)| f64::from(*count) * weight)
            .collect()
    }

    /// The mean of what the trees of one output say for each row.
    fn mean(trees: &[Tree], x: &Array2<f64>, width: usize) -> Array2<f64> {
        let mut means = Array2::zeros((x.nrows(), width));
        means
            .axis_chunks_iter_mut(Axis(0), BLOCK)
            .into_par_iter()
            .zip(x.axis_chunks_iter(Axis(0), BLOCK).into_par_iter())
            .for_each(|(mut means, rows)| {
                for tree in trees {
                    for (mut mean, row) in means.rows_mut().into_iter().zip(rows.rows()) {
                        let said = tree.value(tree.leaf(row.as_slice().unwrap_or(&[])));
                        for (sum, value) in mean.iter_mut().zip(said) {
                            *sum += value;
                        }
                    }
                }
                means /= trees.len().max(1) as f64;
            });
        means
    }

    fn sound(&self) -> bool {
        self.state.as_ref().is_none_or(|state| {
            let width = state.columns.len();
            state.importances.len() == width
                && !state.outputs.is_empty()
                && (!self.classes || state.outputs.len() == 1)
                && (self.classes || state.width == 1)
                && state
                    .outputs
                    .iter()
                    .flatten()
                    .all(|tree| tree.fits(width, state.width))
        })
    }
}

impl Estimator for Forest {
    fn fit(&mut self, x: &DataFrame, y: &Target) -> Result<()> {
        let table = features(x)?;
        let columns = matrix::names(x);
        let state = if self.classes {
            let (index, count) = input::classes(y, table.rows())?;
            let index: Vec<u32> = index.iter().map(|class| *class as u32).collect();
            let outcome = Outcome::Classes {
                index: &index,
                count,
            };
            let (trees, importances) = self.grow(&table, &outcome, 0);
            State {
                columns,
                width: count,
                outputs: vec![trees],
                importances,
            }
        } else {
            let values = input::values(y, table.rows())?;
            let mut outputs = Vec::new();
            let mut importances = vec![0.0; table.width()];
            for (output, target) in values.columns().into_iter().enumerate() {
                let target = target.to_vec();
                let (trees, shares) = self.grow(&table, &Outcome::Values(&target), output as u64);
                outputs.push(trees);
                for (sum, share) in importances.iter_mut().zip(shares) {
                    *sum += share;
                }
            }
            State {
                columns,
                width: 1,
                outputs,
                importances,
            }
        };
        self.state = Some(state);
        Ok(())
    }

    fn predict(&self, x: &DataFrame) -> Result<Array2<f64>> {
        if self.classes {
            return Ok(input::strongest(&self.predict_proba(x)?));
        }
        let state = input::fitted(&self.state)?;
        let x = input::table_of(x, state.columns.len())?;
        let mut values = Array2::zeros((x.nrows(), state.outputs.len()));
        for (trees, mut column) in state.outputs.iter().zip(values.columns_mut()) {
            column.assign(&Self::mean(trees, &x, 1).column(0));
        }
        Ok(values)
    }

    fn predict_proba(&self, x: &DataFrame) -> Result<Array2<f64>> {
        if !self.classes {
            return Err(Error::usage("a regressor has no predict_proba"));
        }
        let state = input::fitted(&self.state)?;
        let x = input::table_of(x, state.columns.len())?;
        let trees = state.outputs.first().map_or(&[][..], Vec::as_slice);
        Ok(Self::mean(trees, &x, state.width))
    }

    fn save(&self) -> Result<Vec<u8>> {
        state::save(self)
    }

    fn learned(&self) -> Value {
        let Some(state) = &self.state else {
            return Value::Null;
        };
        let sum: f64 = state.importances.iter().sum();
        let scale = if sum > 0.0 { 1.0 / sum } else { 0.0 };
        let importances: Map<String, Value> = state
            .columns
            .iter()
            .zip(&state.importances)
            .map(|(column, importance)| (column.clone(), json!(importance * scale)))
            .collect();
        let trees = || state.outputs.iter().flatten();
        json!({
            "feature_importances": importances,
            "trees": trees().count(),
            "leaves": trees().map(Tree::leaves).sum::<usize>(),
            "depth": trees().map(Tree::depth).max(),
        })
    }
}
