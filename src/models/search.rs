//! Search of the best parameters by cross-validation.

use super::Role;
use super::labels::Labels;
use super::model::Model;
use super::score::metric_for;
use super::split::{k_fold, rows_of, stratified_k_fold};
use super::target;
use crate::error::{Context, Error, Result};
use crate::progress::{Meter, Progress, Unit};
use polars::prelude::{Column, DataFrame};
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_xoshiro::Xoshiro256PlusPlus;
use serde_json::Value;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// Larger grids are refused.
const MAX_CANDIDATES: usize = 100_000;

/// How to search.
#[derive(Debug, Clone)]
pub struct SearchOptions {
    /// Number of folds, 2 or more.
    pub folds: usize,
    /// The metric that decides; the role's default if none.
    pub metric: Option<String>,
    /// Shuffles the rows before they are divided into folds; in order if none.
    pub seed: Option<u64>,
}

impl Default for SearchOptions {
    fn default() -> Self {
        SearchOptions {
            folds: 5,
            metric: None,
            seed: None,
        }
    }
}

/// What a search found.
#[derive(Debug)]
pub struct GridSearch {
    /// The model with the best parameters, trained on all rows.
    pub best: Model,
    /// These parameters.
    pub best_params: Vec<(String, Value)>,
    /// Their mean score over the folds.
    pub best_score: f64,
    /// One row for each candidate, in grid order: `param_…`, `mean_test_score`,
    /// `std_test_score`, `rank_test_score`, `split0_test_score`, ….
    pub results: DataFrame,
}

/// Scores every combination of the values in `grid` by cross-validation on all cores and
/// trains the best on all rows. Folds hold the classes in proportion for classifiers, as
/// scikit-learn's `GridSearchCV` has it; among equals the first wins.
pub fn grid_search(
    model: &Model,
    x: &DataFrame,
    y: Option<&DataFrame>,
    grid: &[(String, Vec<Value>)],
    options: &SearchOptions,
    progress: &dyn Progress,
) -> Result<GridSearch> {
    let candidates = candidates(grid)?;
    let metric = metric_for(model.role()?, options.metric.as_deref())?;
    // Wrong parameters show before the work begins.
    for candidate in &candidates {
        model.with_params(candidate)?;
    }
    let folds = Folds::new(model.role()?, x, y, options)?;
    let runs = candidates.len().saturating_mul(options.folds);
    let meter = progress.meter("grid search", Some(runs as u64), Unit::Items);
    let meter: &dyn Meter = &*meter;
    let scores = on_all_cores(runs, |run| {
        progress.check()?;
        let (candidate, fold) = (run / options.folds, run % options.folds);
        let params = candidates.get(candidate).map_or(&[][..], Vec::as_slice);
        let mut model = model.with_params(params)?;
        let (train_x, train_y) = folds.rows(fold, false)?;
        model.fit(&train_x, train_y.as_ref())?;
        let (test_x, test_y) = folds.rows(fold, true)?;
        let score = model.score(&test_x, test_y.as_ref(), options.metric.as_deref())?;
        meter.advance(1);
        Ok(score)
    })?;
    let scores: Vec<&[f64]> = scores.chunks(options.folds).collect();
    let means: Vec<f64> = scores.iter().map(|scores| mean(scores)).collect();
    let ranks = ranks(&means, metric.greater_is_better());
    let winner = ranks.iter().position(|rank| *rank == 1).unwrap_or(0);
    let best_params = candidates.get(winner).cloned().unwrap_or_default();
    let best_score = means.get(winner).copied().unwrap_or(f64::NAN);
    progress.check()?;
    let mut best = model.with_params(&best_params)?;
    best.fit(x, y)?;
    best.set_score(&format!("cv_{}", metric.metric.name), best_score);
    Ok(GridSearch {
        best,
        results: table(&candidates, &scores, &means, &ranks, options.folds)?,
        best_params,
        best_score,
    })
}

/// The results of `work` for 0 to `count`, in order, on all cores; the first error ends it.
///
/// Not on rayon's threads: Polars has a pool of its own, and a thread of one pool that waits
/// for the other takes up its next piece of work meanwhile, on the same stack, without end.
fn on_all_cores(count: usize, work: impl Fn(usize) -> Result<f64> + Sync) -> Result<Vec<f64>> {
    let (next, failed) = (AtomicUsize::new(0), AtomicBool::new(false));
    let some = || {
        let mut done = Vec::new();
        while !failed.load(Ordering::Relaxed) {
            let index = next.fetch_add(1, Ordering::Relaxed);
            if index >= count {
                break;
            }
            match work(index) {
                Ok(result) => done.push((index, result)),
                Err(error) => {
                    failed.store(true, Ordering::Relaxed);
                    return Err(error);
                }
            }
        }
        Ok(done)
    };
    let threads = rayon::current_num_threads().min(count);
    let done = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(some)).collect();
        let done = threads.into_iter().map(|thread| match thread.join() {
            Ok(done) => done,
            Err(panic) => std::panic::resume_unwind(panic),
        });
        done.collect::<Result<Vec<_>>>()
    })?;
    let mut results = vec![f64::NAN; count];
    for (index, result) in done.into_iter().flatten() {
        if let Some(cell) = results.get_mut(index) {
            *cell = result;
        }
    }
    Ok(results)
}

/// All combinations, names sorted, the last one's values changing fastest.
fn candidates(grid: &[(String, Vec<Value>)]) -> Result<Vec<Vec<(String, Value)>>> {
    let mut grid: Vec<&(String, Vec<Value>)> = grid.iter().collect();
    grid.sort_by(|a, b| a.0.cmp(&b.0));
    let mut all: Vec<Vec<(String, Value)>> = vec![Vec::new()];
    for (name, values) in grid {
        if values.is_empty() {
            return Err(Error::usage(format!("the grid has no values for {name}")));
        }
        if all.len().saturating_mul(values.len()) > MAX_CANDIDATES {
            return Err(Error::usage(format!(
                "the grid has more than {MAX_CANDIDATES} combinations"
            )));
        }
        all = all
            .into_iter()
            .flat_map(|chosen| {
                values.iter().map(move |value| {
                    let mut chosen = chosen.clone();
                    chosen.push((name.clone(), value.clone()));
                    chosen
                })
            })
            .collect();
    }
    Ok(all)
}

/// The tables and the rows of each fold.
struct Folds<'a> {
    x: &'a DataFrame,
    y: Option<&'a DataFrame>,
    fold: Vec<usize>,
}

impl<'a> Folds<'a> {
    fn new(
        role: Role,
        x: &'a DataFrame,
        y: Option<&'a DataFrame>,
        options: &SearchOptions,
    ) -> Result<Self> {
        let mut order: Vec<usize> = (0..x.height()).collect();
        if let Some(seed) = options.seed {
            order.shuffle(&mut Xoshiro256PlusPlus::seed_from_u64(seed));
        }
        let in_order = match y {
            Some(y) if role == Role::Classifier => {
                let column = target::only(y)?;
                let labels = Labels::learn(column)?;
                let classes = labels.classes(column)?.index;
                let shuffled: Vec<usize> = order
                    .iter()
                    .map(|row| classes.get(*row).copied().unwrap_or(0))
                    .collect();
                stratified_k_fold(&shuffled, labels.count(), options.folds)?
            }
            _ => k_fold(x.height(), options.folds)?,
        };
        let mut fold = vec![0; order.len()];
        for (row, of_row) in order.into_iter().zip(in_order) {
            if let Some(cell) = fold.get_mut(row) {
                *cell = of_row;
            }
        }
        Ok(Folds { x, y, fold })
    }

    /// The rows to test on, or those to train on, of one fold.
    fn rows(&self, fold: usize, test: bool) -> Result<(DataFrame, Option<DataFrame>)> {
        let rows: Vec<usize> = (0..self.fold.len())
            .filter(|row| (self.fold.get(*row) == Some(&fold)) == test)
            .collect();
        let y = self.y.map(|y| rows_of(y, &rows)).transpose()?;
        Ok((rows_of(self.x, &rows)?, y))
    }
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// 1 for the best; equals share the better rank, NaN comes last.
fn ranks(scores: &[f64], greater_is_better: bool) -> Vec<u32> {
    let worth = |score: f64| match (score.is_nan(), greater_is_better) {
        (true, _) => f64::NEG_INFINITY,
        (_, true) => score,
        (_, false) => -score,
    };
    let worths: Vec<f64> = scores.iter().map(|score| worth(*score)).collect();
    let mut best_first = worths.clone();
    best_first.sort_by(|a, b| b.total_cmp(a));
    let rank = |worth: &f64| best_first.partition_point(|other| other > worth) as u32 + 1;
    worths.iter().map(rank).collect()
}

fn table(
    candidates: &[Vec<(String, Value)>],
    scores: &[&[f64]],
    means: &[f64],
    ranks: &[u32],
    folds: usize,
) -> Result<DataFrame> {
    let mut columns = Vec::new();
    let names = candidates.first().into_iter().flatten();
    for (i, (name, _)) in names.enumerate() {
        let values = candidates
            .iter()
            .map(|chosen| chosen.get(i).map(|(_, value)| value));
        columns.push(parameter(
            &format!("param_{name}"),
            &values.collect::<Vec<_>>(),
        ));
    }
    let spread = |scores: &&[f64]| {
        let middle = mean(scores);
        let squares = scores.iter().map(|score| (score - middle).powi(2));
        (squares.sum::<f64>() / scores.len() as f64).sqrt()
    };
    let spreads: Vec<f64> = scores.iter().map(spread).collect();
    columns.push(Column::new("mean_test_score".into(), means));
    columns.push(Column::new("std_test_score".into(), spreads));
    columns.push(Column::new("rank_test_score".into(), ranks));
    for fold in 0..folds {
        let of_fold = scores.iter().map(|scores| scores.get(fold).copied());
        let name = format!("split{fold}_test_score");
        columns.push(Column::new(
            name.as_str().into(),
            of_fold.collect::<Vec<_>>(),
        ));
    }
    DataFrame::new(candidates.len(), columns).context(|| "cannot make a table of the scores")
}

/// Numbers as numbers, everything else as text.
fn parameter(name: &str, values: &[Option<&Value>]) -> Column {
    let numbers: Option<Vec<f64>> = values.iter().map(|v| v.and_then(Value::as_f64)).collect();
    match numbers {
        Some(numbers) => Column::new(name.into(), numbers),
        None => {
            let texts = values.iter().map(|value| match value {
                Some(Value::String(text)) => Some(text.clone()),
                Some(value) => Some(value.to_string()),
                None => None,
            });
            Column::new(name.into(), texts.collect::<Vec<_>>())
        }
    }
}
