//! OPTICS (Ankerst et al. 1999): orders rows by how they can be reached at growing
//! density and reads groups off the valleys of that order (`xi`) or off a cut (`eps`).
//! Groups are those of the training rows; new rows cannot be placed.
//!
//! Own code: linfa's gives the first row of each group a reachability that it must not
//! have, extracts no groups and uses linfa-nn's k-d tree, see `neighbours`.

use super::neighbours::{Index, METRICS, Metric};
use super::{input, param};
use crate::error::{Error, Result};
use crate::models::estimator::{Estimator, Role, Target};
use crate::models::registry::Entry;
use crate::models::{Params, matrix, state};
use ndarray::{Array2, Axis};
use polars::prelude::DataFrame;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// Every row is compared with every other.
const MOST_ROWS: usize = 50_000;

#[derive(Debug, Serialize, Deserialize)]
struct Optics {
    min_samples: usize,
    max_eps: f64,
    metric: Metric,
    xi: f64,
    /// Cut at this reachability instead of `xi`.
    eps: Option<f64>,
    min_cluster_size: usize,
    state: Option<State>,
}

/// By row, except `order`.
#[derive(Debug, Serialize, Deserialize)]
struct State {
    labels: Vec<i32>,
    order: Vec<u32>,
    reachability: Vec<f64>,
    core_distances: Vec<f64>,
}

impl Optics {
    /// Row numbers in order of reachability, reachability, core distances and the rows
    /// that each was reached from.
    fn order(&self, table: &Array2<f64>) -> (State, Vec<u32>) {
        let rows = table.nrows();
        let index = Index::new(table, self.metric);
        let core_distances: Vec<f64> = table
            .axis_iter(Axis(0))
            .into_par_iter()
            .map(|row| {
                let near = index.nearest(row.as_slice().unwrap_or(&[]), self.min_samples);
                let last = near.last().map_or(f64::INFINITY, |near| rounded(near.1));
                if last <= self.max_eps {
                    last
                } else {
                    f64::INFINITY
                }
            })
            .collect();
        let mut reachability = vec![f64::INFINITY; rows];
        let mut from = vec![u32::MAX; rows];
        let mut order = Vec::with_capacity(rows);
        let mut left: Vec<usize> = (0..rows).collect();
        while !left.is_empty() {
            let place = left
                .iter()
                .enumerate()
                .min_by(|a, b| reachability[*a.1].total_cmp(&reachability[*b.1]))
                .map_or(0, |(place, _)| place);
            let row = left.remove(place);
            order.push(row as u32);
            let core = core_distances[row];
            if !core.is_finite() {
                continue;
            }
            let here = table.row(row);
            let here = here.as_slice().unwrap_or(&[]);
            for other in &left {
                let there = table.row(*other);
                let there = there.as_slice().unwrap_or(&[]);
                let distance = rounded(self.metric.between(here, there));
                let reach = distance.max(core);
                if distance <= self.max_eps && reach < reachability[*other] {
                    reachability[*other] = reach;
                    from[*other] = row as u32;
                }
            }
        }
        let state = State {
            labels: vec![-1; rows],
            order,
            reachability,
            core_distances,
        };
        (state, from)
    }

    /// Groups that a density of `eps` would give.
    fn cut(state: &mut State, eps: f64) {
        let mut group = -1;
        for row in &state.order {
            let row = *row as usize;
            let far = state.reachability[row] > eps;
            let dense = state.core_distances[row] <= eps;
            group += i32::from(far && dense);
            state.labels[row] = if far && !dense { -1 } else { group };
        }
    }
}

/// Distances that differ in the last digit only must count as equal, as in scikit-learn.
fn rounded(distance: f64) -> f64 {
    (distance * 1e15).round() / 1e15
}

/// The reachability plot and what finding valleys in it needs.
struct Plot<'a> {
    /// In order, with an infinite end.
    heights: Vec<f64>,
    order: &'a [u32],
    /// In order: the row that each was reached from.
    from: Vec<u32>,
    xi: f64,
    min_samples: usize,
    min_size: usize,
}

/// A steep way down, and the highest height since.
struct Down {
    start: usize,
    end: usize,
    since: f64,
}

impl Plot<'_> {
    fn down(&self, at: usize) -> bool {
        self.heights[at] > self.heights[at + 1]
    }

    fn up(&self, at: usize) -> bool {
        self.heights[at] < self.heights[at + 1]
    }

    fn steep_down(&self, at: usize) -> bool {
        self.down(at) && self.heights[at] * (1.0 - self.xi) >= self.heights[at + 1]
    }

    fn steep_up(&self, at: usize) -> bool {
        self.up(at) && self.heights[at] <= self.heights[at + 1] * (1.0 - self.xi)
    }

    /// The last steep place of the steep area that begins at `start`: it may hold up to
    /// `min_samples` places in a row that are not steep, none the other way.
    fn extend(
        &self,
        start: usize,
        steep: fn(&Self, usize) -> bool,
        against: fn(&Self, usize) -> bool,
    ) -> usize {
        let mut end = start;
        let mut flat = 0;
        for at in start..self.order.len() {
            if steep(self, at) {
                flat = 0;
                end = at;
            } else if against(self, at) {
                break;
            } else {
                flat += 1;
                if flat > self.min_samples {
                    break;
                }
            }
        }
        end
    }

    /// Groups as first and last place, inner ones before those around them.
    fn valleys(&self) -> Vec<(usize, usize)> {
        let mut valleys = Vec::new();
        let mut downs: Vec<Down> = Vec::new();
        let (mut next, mut since) = (0, 0.0_f64);
        for steep in 0..self.order.len() {
            let (down, up) = (self.steep_down(steep), self.steep_up(steep));
            if steep < next || !(down || up) {
                continue;
            }
            since = self.heights[next..=steep]
                .iter()
                .copied()
                .fold(since, f64::max);
            if since.is_infinite() {
                downs.clear();
            }
            downs.retain(|down| since <= self.heights[down.start] * (1.0 - self.xi));
            for down in &mut downs {
                down.since = down.since.max(since);
            }
            if down {
                let end = self.extend(steep, Self::steep_down, Self::up);
                downs.push(Down {
                    start: steep,
                    end,
                    since: 0.0,
                });
                next = end + 1;
            } else {
                let end = self.extend(steep, Self::steep_up, Self::down);
                let found = downs
                    .iter()
                    .filter_map(|down| self.valley(down, steep, end));
                let mut found: Vec<_> = found.collect();
                found.reverse();
                valleys.extend(found);
                next = end + 1;
            }
            since = self.heights[next];
        }
        valleys
    }

    /// The group between a way down and the way up from `up_start` to `up_end`.
    fn valley(&self, down: &Down, up_start: usize, up_end: usize) -> Option<(usize, usize)> {
        let (mut start, mut end) = (down.start, up_end);
        let (high, beyond) = (self.heights[start], self.heights[end + 1]);
        let flat = 1.0 - self.xi;
        if beyond * flat < down.since {
            return None;
        }
        if high * flat >= beyond {
            while start < down.end && self.heights[start + 1] > beyond {
                start += 1;
            }
        } else if beyond * flat >= high {
            while end > up_start && self.heights[end - 1] > high {
                end -= 1;
            }
        }
        let (start, end) = self.reached_from_inside(start, end)?;
        let enough = end - start + 1 >= self.min_size;
        (enough && start <= down.end && end >= up_start).then_some((start, end))
    }

    /// Cuts rows off the end that were reached from outside the group (Schubert and
    /// Gertz 2018).
    fn reached_from_inside(&self, start: usize, mut end: usize) -> Option<(usize, usize)> {
        while start < end {
            let inside = self.order[start..end].contains(&self.from[end]);
            if self.heights[start] > self.heights[end] || inside {
                return Some((start, end));
            }
            end -= 1;
        }
        None
    }
}

impl Estimator for Optics {
    fn fit(&mut self, x: &DataFrame, _y: &Target) -> Result<()> {
        let table = input::table(x)?;
        input::at_most(table.nrows(), MOST_ROWS)?;
        input::at_least(table.nrows(), self.min_samples, "min_samples")?;
        let (mut state, from) = self.order(&table);
        if let Some(eps) = self.eps {
            Self::cut(&mut state, eps);
        } else {
            let reach = state
                .order
                .iter()
                .map(|row| state.reachability[*row as usize]);
            let plot = Plot {
                heights: reach.chain([f64::INFINITY]).collect(),
                order: &state.order,
                from: state.order.iter().map(|row| from[*row as usize]).collect(),
                xi: self.xi,
                min_samples: self.min_samples,
                min_size: self.min_cluster_size,
            };
            let mut group = 0;
            for (start, end) in plot.valleys() {
                let rows = &state.order[start..=end];
                if rows.iter().all(|row| state.labels[*row as usize] < 0) {
                    for row in rows {
                        state.labels[*row as usize] = group;
                    }
                    group += 1;
                }
            }
        }
        self.state = Some(state);
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
        let finite = |values: &[f64]| -> Vec<Option<f64>> {
            let finite = |v: &f64| v.is_finite().then_some(*v);
            values.iter().map(finite).collect()
        };
        match &self.state {
            Some(state) => json!({
                "labels": state.labels,
                "ordering": state.order,
                "reachability": finite(&state.reachability),
                "core_distances": finite(&state.core_distances),
            }),
            None => Value::Null,
        }
    }
}

fn make(params: &Params) -> Result<Box<dyn Estimator>> {
    let min_samples = params.count("min_samples", 5)?;
    if min_samples < 2 {
        return Err(Error::usage("parameter min_samples must be 2 or more"));
    }
    let eps = match params.opt_f64("eps")? {
        Some(_) => Some(params.positive("eps", 1.0)?),
        None => None,
    };
    let xi = params.between("xi", 0.05, 0.0, 1.0)?;
    if xi <= 0.0 || xi >= 1.0 {
        return Err(Error::usage("parameter xi must be between 0 and 1"));
    }
    let max_eps = match params.opt_f64("max_eps")? {
        Some(_) => params.positive("max_eps", 1.0)?,
        None => f64::INFINITY,
    };
    Ok(Box::new(Optics {
        min_samples,
        max_eps,
        metric: Metric::named(params.one_of("metric", "euclidean", METRICS)?),
        xi,
        eps,
        min_cluster_size: params.count("min_cluster_size", min_samples)?,
        state: None,
    }))
}

/// The estimators of this module.
pub(super) const ENTRIES: &[Entry] = &[Entry {
    name: "optics",
    aliases: &["OPTICS"],
    role: Role::Clusterer,
    summary: "groups of training rows at any density; the others are noise (-1)",
    params: &[
        param("min_samples", "5", "rows that make a place dense"),
        param("max_eps", "none", "longest step looked at"),
        param("metric", "euclidean", "euclidean, manhattan or chebyshev"),
        param("xi", "0.05", "least relative fall or rise around a group"),
        param(
            "eps",
            "none",
            "cut at this reachability, as dbscan would, instead of using xi",
        ),
        param("min_cluster_size", "min_samples", "fewest rows of a group"),
    ],
    actions: &["fit_transform"],
    new: make,
    load: |bytes| input::load::<Optics>(bytes, |_| true),
}];
