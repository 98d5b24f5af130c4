//! t-SNE (van der Maaten and Hinton 2008), exact, on all cores: a map of the training
//! rows in which near rows stay near.
//!
//! Own code: linfa-tsne's search tree draws from the thread's own generator, so that no
//! two runs agree, and its exact form is single-threaded.

use super::{SEED, input, param};
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
use serde_json::{Value, json};

/// Every round looks at every pair.
const MOST_ROWS: usize = 10_000;
/// Rounds with exaggerated similarities, in which groups form.
const EARLY: usize = 250;

#[derive(Debug, Serialize, Deserialize)]
struct Tsne {
    n_components: usize,
    perplexity: f64,
    learning_rate: Option<f64>,
    early_exaggeration: f64,
    max_iter: usize,
    seed: u64,
    state: Option<State>,
}

#[derive(Debug, Serialize, Deserialize)]
struct State {
    map: Array2<f64>,
    /// Kullback-Leibler divergence of the map's similarities.
    divergence: f64,
}

/// Squared distances of all pairs.
fn distances(table: &Array2<f64>) -> Array2<f64> {
    let rows = table.nrows();
    let mut distances = Array2::zeros((rows, rows));
    distances
        .axis_iter_mut(Axis(0))
        .into_par_iter()
        .zip(table.axis_iter(Axis(0)).into_par_iter())
        .for_each(|(mut line, here)| {
            for (value, there) in line.iter_mut().zip(table.rows()) {
                *value = here.iter().zip(there).map(|(a, b)| (a - b) * (a - b)).sum();
            }
        });
    distances
}

/// Similarities of a row to the others, from distances: a normal density as wide as
/// gives the perplexity.
fn similarities(line: &mut [f64], own: usize, perplexity: f64) {
    let goal = perplexity.ln();
    let near = line
        .iter()
        .enumerate()
        .filter(|(other, _)| *other != own)
        .map(|(_, d)| *d)
        .fold(f64::INFINITY, f64::min);
    let (mut low, mut high, mut beta) = (0.0_f64, f64::INFINITY, 1.0_f64);
    let weight = |d: f64, beta: f64| (-beta * (d - near)).exp();
    for _ in 0..200 {
        let (mut sum, mut moment) = (0.0, 0.0);
        for (_, d) in line.iter().enumerate().filter(|(other, _)| *other != own) {
            let w = weight(*d, beta);
            sum += w;
            moment += w * (d - near);
        }
        let entropy = f64::ln(sum) + beta * moment / sum;
        if (entropy - goal).abs() < 1e-5 {
            break;
        }
        if entropy > goal {
            low = beta;
            beta = if high.is_finite() {
                (low + high) / 2.0
            } else {
                beta * 2.0
            };
        } else {
            high = beta;
            beta = (low + high) / 2.0;
        }
    }
    let mut sum = 0.0;
    for (other, value) in line.iter_mut().enumerate() {
        *value = if other == own {
            0.0
        } else {
            weight(*value, beta)
        };
        sum += *value;
    }
    line.iter_mut().for_each(|value| *value /= sum);
}

/// Similarities of all pairs, which sum to 1.
fn joint(table: &Array2<f64>, perplexity: f64) -> Array2<f64> {
    let mut p = distances(table);
    // Distances near 1 keep the search for widths short.
    let mean = p.mean().unwrap_or(0.0);
    if mean > 0.0 {
        p /= mean;
    }
    p.axis_iter_mut(Axis(0))
        .into_par_iter()
        .enumerate()
        .for_each(|(own, mut line)| {
            if let Some(line) = line.as_slice_mut() {
                similarities(line, own, perplexity);
            }
        });
    let scale = 2.0 * p.nrows() as f64;
    (&p + &p.t()) / scale
}

/// The gradient of the divergence, times a quarter; with similarities as `1 / (1 + d²)`.
fn gradient(p: &Array2<f64>, map: &Array2<f64>, exaggeration: f64) -> Array2<f64> {
    let kernel = |a: ndarray::ArrayView1<'_, f64>, b: ndarray::ArrayView1<'_, f64>| {
        let d: f64 = a.iter().zip(&b).map(|(a, b)| (a - b) * (a - b)).sum();
        1.0 / (1.0 + d)
    };
    let sums: Vec<f64> = map
        .axis_iter(Axis(0))
        .into_par_iter()
        .map(|here| {
            map.rows()
                .into_iter()
                .map(|there| kernel(here, there))
                .sum()
        })
        .collect();
    // Each row is as near as can be to itself, which does not count.
    let total = sums.iter().sum::<f64>() - map.nrows() as f64;
    let mut gradient = Array2::zeros(map.dim());
    gradient
        .axis_iter_mut(Axis(0))
        .into_par_iter()
        .zip(map.axis_iter(Axis(0)).into_par_iter())
        .zip(p.axis_iter(Axis(0)).into_par_iter())
        .for_each(|((mut pull, here), p)| {
            for (there, p) in map.rows().into_iter().zip(p) {
                let q = kernel(here, there);
                let force = (exaggeration * p - q / total) * q;
                for ((pull, a), b) in pull.iter_mut().zip(here).zip(there) {
                    *pull += force * (a - b);
                }
            }
        });
    gradient
}

fn divergence(p: &Array2<f64>, map: &Array2<f64>) -> f64 {
    let q = distances(map).mapv(|d| 1.0 / (1.0 + d));
    let total = q.sum() - map.nrows() as f64;
    let term = |(p, q): (&f64, &f64)| {
        if *p > 0.0 {
            p * (p * total / q).ln()
        } else {
            0.0
        }
    };
    p.iter().zip(&q).map(term).sum()
}

impl Estimator for Tsne {
    fn fit(&mut self, x: &DataFrame, _y: &Target) -> Result<()> {
        let table = input::table(x)?;
        let rows = table.nrows();
        input::at_most(rows, MOST_ROWS)?;
        if self.perplexity >= rows as f64 - 1.0 {
            return Err(Error::invalid(format!(
                "perplexity is {}, but the table has {rows} rows only",
                self.perplexity
            ))
            .hint("perplexity is about the number of near rows, less than all others"));
        }
        let p = joint(&table, self.perplexity);
        let mut random = Random::seed_from_u64(self.seed);
        let mut map = Array2::from_shape_simple_fn((rows, self.n_components), || {
            1e-4 * input::normal(&mut random)
        });
        let rate = self
            .learning_rate
            .unwrap_or_else(|| (rows as f64 / self.early_exaggeration / 4.0).max(50.0));
        let mut speed = Array2::<f64>::zeros(map.dim());
        let mut gains = Array2::<f64>::ones(map.dim());
        for round in 0..self.max_iter {
            let early = round < EARLY;
            let exaggeration = if early { self.early_exaggeration } else { 1.0 };
            let momentum = if early { 0.5 } else { 0.8 };
            let gradient = gradient(&p, &map, exaggeration) * 4.0;
            ndarray::Zip::from(&mut speed)
                .and(&mut gains)
                .and(&gradient)
                .for_each(|speed, gain, slope| {
                    *gain = if *speed * slope < 0.0 {
                        *gain + 0.2
                    } else {
                        (*gain * 0.8).max(0.01)
                    };
                    *speed = momentum * *speed - rate * *gain * slope;
                });
            map += &speed;
            let mean = map.mean_axis(Axis(0)).unwrap_or_default();
            map -= &mean;
        }
        if map.iter().any(|v| !v.is_finite()) {
            return Err(Error::failed("the map flew apart").hint("lower learning_rate"));
        }
        self.state = Some(State {
            divergence: divergence(&p, &map),
            map,
        });
        Ok(())
    }

    fn fit_transform(&mut self, x: &DataFrame, y: &Target) -> Result<DataFrame> {
        self.fit(x, y)?;
        let state = input::fitted(&self.state)?;
        matrix::frame(
            state.map.clone(),
            &input::numbered("tsne", self.n_components),
        )
    }

    fn save(&self) -> Result<Vec<u8>> {
        state::save(self)
    }

    fn learned(&self) -> Value {
        match &self.state {
            Some(state) => json!({ "kl_divergence": state.divergence }),
            None => Value::Null,
        }
    }
}

fn make(params: &Params) -> Result<Box<dyn Estimator>> {
    let given = params.get("learning_rate");
    Ok(Box::new(Tsne {
        n_components: params.count("n_components", 2)?,
        perplexity: params.positive("perplexity", 30.0)?.max(1.0),
        learning_rate: match given.and_then(Value::as_str) {
            Some("auto") => None,
            _ if given.is_none() => None,
            _ => Some(params.positive("learning_rate", 200.0)?),
        },
        early_exaggeration: params.positive("early_exaggeration", 12.0)?.max(1.0),
        max_iter: params.count("max_iter", 1000)?,
        seed: params.seed()?,
        state: None,
    }))
}

/// The estimators of this module.
pub(super) const ENTRIES: &[Entry] = &[Entry {
    name: "t-sne",
    aliases: &["TSNE", "tsne"],
    role: Role::Transformer,
    summary: "a map of the training rows in which near rows stay near",
    params: &[
        param("n_components", "2", "columns of the map"),
        param("perplexity", "30", "about how many rows are near each row"),
        param("learning_rate", "auto", "step size; auto: by the rows"),
        param(
            "early_exaggeration",
            "12",
            "how much nearer near rows are drawn in the first 250 rounds",
        ),
        param("max_iter", "1000", "rounds"),
        SEED,
    ],
    actions: &["fit_transform"],
    new: make,
    load: |bytes| input::load::<Tsne>(bytes, |_| true),
}];
