//! k-means: Lloyd's iterations from greedy k-means++ centres (Arthur and Vassilvitskii
//! 2007). `partial_fit` moves the centres by a batch (Sculley 2010).
//!
//! Own code: linfa's keeps a part of the previous centres in every step, so that it ends
//! beside the optimum, leaves empty groups empty and has plain k-means++ only.

use super::{SEED, input, param};
use crate::error::{Error, Result};
use crate::models::estimator::{Estimator, Role, Target};
use crate::models::registry::Entry;
use crate::models::{Params, matrix, state};
use ndarray::{Array1, Array2, ArrayView2, Axis, Zip};
use polars::prelude::DataFrame;
use rand_xoshiro::Xoshiro256PlusPlus as Random;
use rand_xoshiro::rand_core::SeedableRng;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// Rows worked on at once: sums are added block by block, the same on any number of cores.
const BLOCK: usize = 512;

#[derive(Debug, Serialize, Deserialize)]
struct KMeans {
    n_clusters: usize,
    init: Init,
    /// Unless given: 1, or 10 for random centres.
    n_init: Option<usize>,
    max_iter: usize,
    tol: f64,
    seed: u64,
    state: Option<State>,
}

/// Where the centres start.
#[derive(Debug, Clone, Serialize, Deserialize)]
enum Init {
    PlusPlus,
    Random,
    Given(Vec<Vec<f64>>),
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct State {
    centres: Array2<f64>,
    /// Rows that each centre has learned from.
    counts: Vec<f64>,
    /// Sum of squared distances to the nearest centre, of the rows last learned from.
    inertia: f64,
    iterations: usize,
}

/// The nearest of `centres` to each row, and the squared distance. The rows should be
/// near the origin: distances come from the squares of both.
fn nearest(table: ArrayView2<'_, f64>, centres: &Array2<f64>) -> Vec<(u32, f64)> {
    let squares = centres.map_axis(Axis(1), |centre| centre.dot(&centre));
    let blocks: Vec<Vec<(u32, f64)>> = table
        .axis_chunks_iter(Axis(0), BLOCK)
        .into_par_iter()
        .map(|rows| {
            let dots = rows.dot(&centres.t());
            rows.rows()
                .into_iter()
                .zip(dots.rows())
                .map(|(row, dots)| {
                    let mut best = (0, f64::INFINITY);
                    for (k, (dot, square)) in dots.iter().zip(&squares).enumerate() {
                        let score = square - 2.0 * dot;
                        if score < best.1 {
                            best = (k as u32, score);
                        }
                    }
                    (best.0, (row.dot(&row) + best.1).max(0.0))
                })
                .collect()
        })
        .collect();
    blocks.concat()
}

/// Sums and counts of the rows of each group.
fn gather(table: ArrayView2<'_, f64>, near: &[(u32, f64)], k: usize) -> (Array2<f64>, Vec<f64>) {
    let parts: Vec<(Array2<f64>, Vec<f64>)> = table
        .axis_chunks_iter(Axis(0), BLOCK)
        .into_par_iter()
        .zip(near.par_chunks(BLOCK))
        .map(|(rows, near)| {
            let mut sums = Array2::zeros((k, rows.ncols()));
            let mut counts = vec![0.0; k];
            for (row, (label, _)) in rows.rows().into_iter().zip(near) {
                let mut sum = sums.row_mut(*label as usize);
                sum += &row;
                counts[*label as usize] += 1.0;
            }
            (sums, counts)
        })
        .collect();
    let mut sums = Array2::zeros((k, table.ncols()));
    let mut counts = vec![0.0; k];
    for (part, part_counts) in parts {
        sums += &part;
        for (count, part) in counts.iter_mut().zip(part_counts) {
            *count += part;
        }
    }
    (sums, counts)
}

/// Lloyd's iterations: groups of the nearest centre, then centres in the groups' means.
pub(super) fn lloyd(
    table: &Array2<f64>,
    mut centres: Array2<f64>,
    max_iter: usize,
    tolerance: f64,
) -> (Array2<f64>, Vec<(u32, f64)>, usize) {
    let k = centres.nrows();
    let mut near = nearest(table.view(), &centres);
    for iteration in 1..=max_iter {
        let (mut means, counts) = gather(table.view(), &near, k);
        let mut farthest: Vec<usize> = Vec::new();
        if counts.contains(&0.0) {
            farthest = (0..near.len()).collect();
            farthest.sort_by(|a, b| near[*a].1.total_cmp(&near[*b].1));
        }
        for (mut mean, count) in means.rows_mut().into_iter().zip(&counts) {
            if *count > 0.0 {
                mean /= *count;
            } else if let Some(row) = farthest.pop() {
                // An empty group starts again at the row that is worst off.
                mean.assign(&table.row(row));
            }
        }
        let shift: f64 = Zip::from(&means)
            .and(&centres)
            .fold(0.0, |sum, a, b| sum + (a - b) * (a - b));
        centres = means;
        let now = nearest(table.view(), &centres);
        let same = now.iter().zip(&near).all(|(a, b)| a.0 == b.0);
        near = now;
        if same || shift <= tolerance {
            return (centres, near, iteration);
        }
    }
    (centres, near, max_iter)
}

/// k-means++ centres: each drawn by its squared distance to those before, the best of a
/// few draws.
pub(super) fn plus_plus(table: &Array2<f64>, k: usize, random: &mut Random) -> Array2<f64> {
    let rows = table.nrows();
    let trials = 2 + (k as f64).ln() as usize;
    let first = input::below(random, rows);
    let mut chosen = vec![first];
    let mut squares = lowered(table, first, &vec![f64::INFINITY; rows]);
    let mut sum: f64 = squares.iter().sum();
    while chosen.len() < k {
        let mut best: Option<(usize, f64, Vec<f64>)> = None;
        for _ in 0..trials {
            let mut goal = input::uniform(random) * sum;
            let drawn = squares.iter().position(|square| {
                goal -= square;
                goal < 0.0
            });
            // Rounding, or fewer distinct rows than centres.
            let drawn = drawn.unwrap_or_else(|| input::below(random, rows));
            let lowered = lowered(table, drawn, &squares);
            let after = lowered.iter().sum();
            if best.as_ref().is_none_or(|best| after < best.1) {
                best = Some((drawn, after, lowered));
            }
        }
        if let Some((row, after, lowered)) = best {
            chosen.push(row);
            (sum, squares) = (after, lowered);
        }
    }
    table.select(Axis(0), &chosen)
}

/// Each row's squared distance to the nearest centre when one more row becomes a centre.
fn lowered(table: &Array2<f64>, centre: usize, squares: &[f64]) -> Vec<f64> {
    let centre = table.row(centre);
    let centre = centre.as_slice().unwrap_or(&[]);
    table
        .axis_iter(Axis(0))
        .into_par_iter()
        .with_min_len(2 * BLOCK)
        .zip(squares)
        .map(|(row, square)| {
            let row = row.as_slice().unwrap_or(&[]);
            let terms = row.iter().zip(centre).map(|(a, b)| (a - b) * (a - b));
            square.min(terms.sum())
        })
        .collect()
}

fn random_rows(table: &Array2<f64>, k: usize, random: &mut Random) -> Array2<f64> {
    let mut rows: Vec<usize> = (0..table.nrows()).collect();
    for at in 0..k {
        let other = at + input::below(random, rows.len() - at);
        rows.swap(at, other);
    }
    rows.truncate(k);
    table.select(Axis(0), &rows)
}

impl KMeans {
    fn start(&self, table: &Array2<f64>, random: &mut Random) -> Result<Array2<f64>> {
        let (k, width) = (self.n_clusters, table.ncols());
        match &self.init {
            Init::PlusPlus => Ok(plus_plus(table, k, random)),
            Init::Random => Ok(random_rows(table, k, random)),
            Init::Given(centres) => Array2::from_shape_vec((k, width), centres.concat())
                .ok()
                .filter(|_| centres.iter().all(|centre| centre.len() == width))
                .ok_or_else(|| {
                    Error::invalid(format!("init must hold {k} centres of {width} numbers"))
                }),
        }
    }

    fn enough(&self, rows: usize) -> Result<()> {
        input::at_most(rows, u32::MAX as usize - 1)?;
        let k = self.n_clusters;
        if rows >= k {
            return Ok(());
        }
        let message = format!("n_clusters is {k}, but the table has {rows} rows only");
        Err(Error::invalid(message))
    }

    fn sound(&self) -> bool {
        self.state.as_ref().is_none_or(|state| {
            state.centres.nrows() == self.n_clusters
                && state.counts.len() == self.n_clusters
                && state.centres.ncols() > 0
        })
    }
}

impl Estimator for KMeans {
    fn fit(&mut self, x: &DataFrame, _y: &Target) -> Result<()> {
        let mut table = input::table(x)?;
        self.enough(table.nrows())?;
        let mean = table.mean_axis(Axis(0)).unwrap_or_default();
        table -= &mean;
        let variance = table.var_axis(Axis(0), 0.0).mean().unwrap_or(0.0);
        let mut random = Random::seed_from_u64(self.seed);
        let runs = match (&self.init, self.n_init) {
            (Init::Given(_), _) => 1,
            (_, Some(runs)) => runs,
            (Init::Random, None) => 10,
            (Init::PlusPlus, None) => 1,
        };
        let mut best: Option<State> = None;
        for _ in 0..runs {
            let mut start = self.start(&table, &mut random)?;
            if let Init::Given(_) = self.init {
                start -= &mean;
            }
            let (centres, near, iterations) =
                lloyd(&table, start, self.max_iter, self.tol * variance);
            let inertia = near.iter().map(|(_, square)| square).sum();
            if best.as_ref().is_none_or(|best| inertia < best.inertia) {
                let mut counts = vec![0.0; self.n_clusters];
                for (label, _) in &near {
                    counts[*label as usize] += 1.0;
                }
                best = Some(State {
                    centres: centres + &mean,
                    counts,
                    inertia,
                    iterations,
                });
            }
        }
        self.state = best;
        Ok(())
    }

    fn partial_fit(&mut self, x: &DataFrame, _y: &Target) -> Result<()> {
        let (table, mut state) = match self.state.clone() {
            Some(state) => (input::table_of(x, state.centres.ncols())?, state),
            None => {
                let table = input::table(x)?;
                self.enough(table.nrows())?;
                let mut random = Random::seed_from_u64(self.seed);
                let state = State {
                    centres: self.start(&table, &mut random)?,
                    counts: vec![0.0; self.n_clusters],
                    inertia: 0.0,
                    iterations: 0,
                };
                (table, state)
            }
        };
        let near = state.near(&table);
        let (sums, counts) = gather(table.view(), &near, self.n_clusters);
        for (((mut centre, sum), seen), count) in state
            .centres
            .rows_mut()
            .into_iter()
            .zip(sums.rows())
            .zip(&mut state.counts)
            .zip(counts)
        {
            if count > 0.0 {
                // The mean of all rows that this centre has ever been nearest to.
                let total = *seen + count;
                let before = *seen;
                centre.zip_mut_with(&sum, |c, sum| *c = (*c * before + sum) / total);
                *seen = total;
            }
        }
        state.iterations += 1;
        let near = state.near(&table);
        state.inertia = near.iter().map(|(_, square)| square).sum();
        self.state = Some(state);
        Ok(())
    }

    fn predict(&self, x: &DataFrame) -> Result<Array2<f64>> {
        let state = input::fitted(&self.state)?;
        let table = input::table_of(x, state.centres.ncols())?;
        let near = state.near(&table).into_iter();
        Ok(input::column(
            near.map(|(label, _)| f64::from(label)).collect(),
        ))
    }

    /// Distances to the centres.
    fn transform(&self, x: &DataFrame) -> Result<DataFrame> {
        let state = input::fitted(&self.state)?;
        let centres = &state.centres;
        let x = input::table_of(x, centres.ncols())?;
        let mut distances = Array2::zeros((x.nrows(), centres.nrows()));
        Zip::from(distances.rows_mut())
            .and(x.rows())
            .par_for_each(|mut distances, row| {
                for (distance, centre) in distances.iter_mut().zip(centres.rows()) {
                    let terms = row.iter().zip(centre).map(|(a, b)| (a - b) * (a - b));
                    *distance = terms.sum::<f64>().sqrt();
                }
            });
        matrix::frame(distances, &input::numbered("kmeans", centres.nrows()))
    }

    fn save(&self) -> Result<Vec<u8>> {
        state::save(self)
    }

    fn learned(&self) -> Value {
        match &self.state {
            Some(state) => json!({
                "cluster_centers": input::lists(&state.centres),
                "inertia": state.inertia,
                "n_iter": state.iterations,
                "counts": state.counts,
            }),
            None => Value::Null,
        }
    }
}

impl State {
    /// The nearest centre to each row; distances are taken around the centres' mean.
    fn near(&self, table: &Array2<f64>) -> Vec<(u32, f64)> {
        let mean: Array1<f64> = self.centres.mean_axis(Axis(0)).unwrap_or_default();
        nearest((table - &mean).view(), &(&self.centres - &mean))
    }
}

fn make(params: &Params) -> Result<Box<dyn Estimator>> {
    let init = match params.get("init") {
        Some(Value::Array(centres)) => Init::Given(
            centres
                .iter()
                .map(|centre| serde_json::from_value(centre.clone()).ok())
                .collect::<Option<_>>()
                .ok_or_else(|| Error::usage("parameter init must be a list of lists of numbers"))?,
        ),
        _ => match params.one_of("init", "k-means++", &["k-means++", "random"])? {
            "random" => Init::Random,
            _ => Init::PlusPlus,
        },
    };
    Ok(Box::new(KMeans {
        n_clusters: params.count("n_clusters", 8)?,
        init,
        n_init: match params.get("n_init").and_then(Value::as_str) {
            Some("auto") => None,
            _ => match params.opt_usize("n_init")? {
                Some(_) => Some(params.count("n_init", 1)?),
                None => None,
            },
        },
        max_iter: params.count("max_iter", 300)?,
        tol: params.non_negative("tol", 1e-4)?,
        seed: params.seed()?,
        state: None,
    }))
}

/// The estimators of this module.
pub(super) const ENTRIES: &[Entry] = &[Entry {
    name: "k-means",
    aliases: &["KMeans", "kmeans", "MiniBatchKMeans"],
    role: Role::Clusterer,
    summary: "groups around centres; partial_fit learns in batches",
    params: &[
        param("n_clusters", "8", "number of groups"),
        param(
            "init",
            "k-means++",
            "k-means++, random, or a list of centres",
        ),
        param(
            "n_init",
            "auto",
            "starts, of which the best counts; auto: 1, or 10 for random",
        ),
        param("max_iter", "300", "most iterations of a start"),
        param(
            "tol",
            "1e-4",
            "stop when the centres move less, relative to the columns' variance",
        ),
        SEED,
    ],
    actions: &["partial_fit", "predict", "transform", "fit_transform"],
    new: make,
    load: |bytes| input::load(bytes, KMeans::sound),
}];
