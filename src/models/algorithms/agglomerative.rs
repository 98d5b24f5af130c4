//! Hierarchical clustering: joins the two nearest groups until enough are left, by the
//! nearest-neighbour chain (Müllner 2011). Groups are those of the training rows.
//!
//! Own code: linfa-hierarchical works on the logarithm of a similarity, which takes all
//! far distances for the same, and numbers groups by hash order.

use super::neighbours::Metric;
use super::{input, param};
use crate::error::Result;
use crate::models::estimator::{Estimator, Role, Target};
use crate::models::registry::Entry;
use crate::models::{Params, matrix, state};
use ndarray::Array2;
use polars::prelude::DataFrame;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// The distances of all pairs are held: 1.6 GB.
const MOST_ROWS: usize = 20_000;

#[derive(Debug, Serialize, Deserialize)]
struct Agglomerative {
    n_clusters: usize,
    distance_threshold: Option<f64>,
    linkage: Linkage,
    state: Option<State>,
}

#[derive(Debug, Serialize, Deserialize)]
struct State {
    labels: Vec<u32>,
    /// The distance of each join, ascending.
    distances: Vec<f64>,
}

/// How far apart groups are.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
enum Linkage {
    Ward,
    Complete,
    Average,
    Single,
}

impl Linkage {
    /// The distance from group `k` to the join of `a` and `b` (Lance and Williams 1967),
    /// given the distances k-a, k-b, a-b and the sizes.
    fn joined(self, ka: f64, kb: f64, ab: f64, a: f64, b: f64, k: f64) -> f64 {
        match self {
            Linkage::Ward => {
                let sum = (k + a) * ka * ka + (k + b) * kb * kb - k * ab * ab;
                (sum / (k + a + b)).max(0.0).sqrt()
            }
            Linkage::Complete => ka.max(kb),
            Linkage::Average => (a * ka + b * kb) / (a + b),
            Linkage::Single => ka.min(kb),
        }
    }
}

/// Distances of all pairs, the upper triangle row by row.
struct Pairs {
    count: usize,
    distances: Vec<f64>,
}

impl Pairs {
    fn new(table: &Array2<f64>) -> Self {
        let count = table.nrows();
        let rows: Vec<Vec<f64>> = (0..count)
            .into_par_iter()
            .map(|i| {
                let here = table.row(i);
                let here = here.as_slice().unwrap_or(&[]);
                let rest = table.rows().into_iter().skip(i + 1);
                rest.map(|there| Metric::Euclidean.between(here, there.as_slice().unwrap_or(&[])))
                    .collect()
            })
            .collect();
        Pairs {
            count,
            distances: rows.concat(),
        }
    }

    fn place(&self, a: usize, b: usize) -> usize {
        let (a, b) = (a.min(b), a.max(b));
        a * (2 * self.count - a - 1) / 2 + b - a - 1
    }

    fn get(&self, a: usize, b: usize) -> f64 {
        self.distances[self.place(a, b)]
    }
}

/// Two rows, one of each group joined, and how far apart the groups were; ascending.
fn joins(table: &Array2<f64>, linkage: Linkage) -> Vec<(usize, usize, f64)> {
    let count = table.nrows();
    let mut pairs = Pairs::new(table);
    let mut sizes = vec![1.0_f64; count];
    let mut joins = Vec::with_capacity(count.saturating_sub(1));
    let mut chain: Vec<usize> = Vec::with_capacity(count);
    for _ in 1..count {
        if chain.is_empty() {
            chain.extend(sizes.iter().position(|size| *size > 0.0));
        }
        let (a, b, distance) = loop {
            let Some(last) = chain.last().copied() else {
                return joins;
            };
            // The one before wins ties, so that the chain ends.
            let before = chain
                .len()
                .checked_sub(2)
                .and_then(|at| chain.get(at))
                .copied();
            let mut nearest = before.map(|row| (row, pairs.get(last, row)));
            for row in (0..count).filter(|row| *row != last && sizes[*row] > 0.0) {
                let distance = pairs.get(last, row);
                if nearest.is_none_or(|nearest| distance < nearest.1) {
                    nearest = Some((row, distance));
                }
            }
            let Some((row, distance)) = nearest else {
                return joins;
            };
            if Some(row) == before {
                break (last.min(row), last.max(row), distance);
            }
            chain.push(row);
        };
        chain.truncate(chain.len() - 2);
        for k in (0..count).filter(|k| *k != a && *k != b) {
            if sizes[k] > 0.0 {
                let (ka, kb) = (pairs.get(k, a), pairs.get(k, b));
                let new = linkage.joined(ka, kb, distance, sizes[a], sizes[b], sizes[k]);
                let place = pairs.place(k, b);
                pairs.distances[place] = new;
            }
        }
        sizes[b] += sizes[a];
        sizes[a] = 0.0;
        joins.push((a, b, distance));
    }
    joins.sort_by(|a, b| a.2.total_cmp(&b.2));
    joins
}

/// The group that `row` stands for, shortening the way for the next time.
fn root(parents: &mut [usize], mut row: usize) -> usize {
    while parents[row] != row {
        parents[row] = parents[parents[row]];
        row = parents[row];
    }
    row
}

impl Estimator for Agglomerative {
    fn fit(&mut self, x: &DataFrame, _y: &Target) -> Result<()> {
        let table = input::table(x)?;
        let rows = table.nrows();
        input::at_most(rows, MOST_ROWS)?;
        let joins = joins(&table, self.linkage);
        let wanted = match self.distance_threshold {
            Some(threshold) => joins.iter().filter(|join| join.2 < threshold).count(),
            None => {
                input::at_least(rows, self.n_clusters, "n_clusters")?;
                rows - self.n_clusters
            }
        };
        let mut parents: Vec<usize> = (0..rows).collect();
        for (a, b, _) in joins.iter().take(wanted) {
            let (a, b) = (root(&mut parents, *a), root(&mut parents, *b));
            parents[a] = b;
        }
        // Groups are numbered in the order of their first rows.
        let mut numbers = vec![None; rows];
        let mut next = 0_u32;
        let labels = (0..rows)
            .map(|row| {
                let root = root(&mut parents, row);
                *numbers[root].get_or_insert_with(|| {
                    next += 1;
                    next - 1
                })
            })
            .collect();
        self.state = Some(State {
            labels,
            distances: joins.iter().map(|join| join.2).collect(),
        });
        Ok(())
    }

    /// The training rows' groups.
    fn fit_transform(&mut self, x: &DataFrame, y: &Target) -> Result<DataFrame> {
        self.fit(x, y)?;
        let state = input::fitted(&self.state)?;
        let labels = state.labels.iter().map(|label| f64::from(*label)).collect();
        matrix::frame(input::column(labels), &["group"])
    }

    fn save(&self) -> Result<Vec<u8>> {
        state::save(self)
    }

    fn learned(&self) -> Value {
        match &self.state {
            Some(state) => json!({ "labels": state.labels, "distances": state.distances }),
            None => Value::Null,
        }
    }
}

fn make(params: &Params) -> Result<Box<dyn Estimator>> {
    let linkage = params.one_of(
        "linkage",
        "ward",
        &["ward", "complete", "average", "single"],
    )?;
    Ok(Box::new(Agglomerative {
        n_clusters: params.count("n_clusters", 2)?,
        distance_threshold: match params.opt_f64("distance_threshold")? {
            Some(_) => Some(params.non_negative("distance_threshold", 0.0)?),
            None => None,
        },
        linkage: match linkage {
            "complete" => Linkage::Complete,
            "average" => Linkage::Average,
            "single" => Linkage::Single,
            _ => Linkage::Ward,
        },
        state: None,
    }))
}

/// The estimators of this module.
pub(super) const ENTRIES: &[Entry] = &[Entry {
    name: "agglomerative",
    aliases: &["AgglomerativeClustering", "hierarchical"],
    role: Role::Clusterer,
    summary: "groups of training rows, joined pair by pair",
    params: &[
        param("n_clusters", "2", "groups to end with"),
        param(
            "distance_threshold",
            "none",
            "join groups nearer than this, whatever n_clusters",
        ),
        param("linkage", "ward", "ward, complete, average or single"),
    ],
    actions: &["fit_transform"],
    new: make,
    load: |bytes| input::load::<Agglomerative>(bytes, |_| true),
}];
