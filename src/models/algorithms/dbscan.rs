//! DBSCAN (Ester et al. 1996): groups are what can be reached by steps of `eps` from
//! rows in dense places; the rest is noise, -1. New rows join the group of the nearest
//! dense row if it is within `eps`, else they are noise; a training row at the edge of
//! two groups may so change sides.
//!
//! Own code on the k-d tree: linfa's takes linfa-nn's, see there.

use super::neighbours::{Index, METRICS, Metric};
use super::{input, param};
use crate::error::Result;
use crate::models::estimator::{Estimator, Role, Target};
use crate::models::registry::{Entry, Param};
use crate::models::{Params, matrix, state};
use ndarray::{Array2, Axis};
use polars::prelude::DataFrame;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::sync::OnceLock;

#[derive(Debug, Serialize, Deserialize)]
struct Dbscan {
    eps: f64,
    min_samples: usize,
    metric: Metric,
    state: Option<State>,
}

#[derive(Debug, Serialize, Deserialize)]
struct State {
    /// The dense rows and their groups.
    core: Array2<f64>,
    groups: Vec<u32>,
    /// The group of each training row.
    labels: Vec<i32>,
    #[serde(skip)]
    index: OnceLock<Index>,
}

impl Dbscan {
    fn sound(&self) -> bool {
        self.state
            .as_ref()
            .is_none_or(|state| state.core.nrows() == state.groups.len() && state.core.ncols() > 0)
    }
}

impl Estimator for Dbscan {
    fn fit(&mut self, x: &DataFrame, _y: &Target) -> Result<()> {
        let table = input::table(x)?;
        let rows = table.nrows();
        input::at_most(rows, i32::MAX as usize)?;
        let index = Index::new(&table, self.metric);
        let dense: Vec<bool> = table
            .axis_iter(Axis(0))
            .into_par_iter()
            .map_init(Vec::new, |found, row| {
                index.within(row.as_slice().unwrap_or(&[]), self.eps, found);
                found.len() >= self.min_samples
            })
            .collect();
        let mut labels = vec![-1_i32; rows];
        let mut group = 0;
        let mut found = Vec::new();
        for start in 0..rows {
            if !dense[start] || labels[start] >= 0 {
                continue;
            }
            labels[start] = group;
            let mut todo = vec![start];
            while let Some(row) = todo.pop() {
                let point = table.row(row);
                index.within(point.as_slice().unwrap_or(&[]), self.eps, &mut found);
                for near in &found {
                    if labels[*near] < 0 {
                        labels[*near] = group;
                        if dense[*near] {
                            todo.push(*near);
                        }
                    }
                }
            }
            group += 1;
        }
        let core: Vec<usize> = (0..rows).filter(|row| dense[*row]).collect();
        self.state = Some(State {
            core: table.select(Axis(0), &core),
            groups: core.iter().map(|row| labels[*row] as u32).collect(),
            labels,
            index: OnceLock::new(),
        });
        Ok(())
    }

    fn predict(&self, x: &DataFrame) -> Result<Array2<f64>> {
        let state = input::fitted(&self.state)?;
        let x = input::table_of(x, state.core.ncols())?;
        let index = state
            .index
            .get_or_init(|| Index::new(&state.core, self.metric));
        let labels = x
            .axis_iter(Axis(0))
            .into_par_iter()
            .map(|row| {
                let nearest = index.nearest(row.as_slice().unwrap_or(&[]), 1);
                nearest
                    .first()
                    .filter(|(_, distance)| *distance <= self.eps)
                    .and_then(|(row, _)| state.groups.get(*row))
                    .map_or(-1.0, |group| f64::from(*group))
            })
            .collect();
        Ok(input::column(labels))
    }

    /// The training rows' own groups.
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
        let Some(state) = &self.state else {
            return Value::Null;
        };
        json!({
            "labels": state.labels,
            "groups": state.groups.iter().max().map_or(0, |group| group + 1),
            "core_rows": state.core.nrows(),
            "noise_rows": state.labels.iter().filter(|label| **label < 0).count(),
        })
    }
}

fn make(params: &Params) -> Result<Box<dyn Estimator>> {
    Ok(Box::new(Dbscan {
        eps: params.positive("eps", 0.5)?,
        min_samples: params.count("min_samples", 5)?,
        metric: Metric::named(params.one_of("metric", "euclidean", METRICS)?),
        state: None,
    }))
}

const PARAMS: &[Param] = &[
    param("eps", "0.5", "longest step inside a group"),
    param(
        "min_samples",
        "5",
        "rows within eps, itself included, that make a row dense",
    ),
    param("metric", "euclidean", "euclidean, manhattan or chebyshev"),
];

/// The estimators of this module.
pub(super) const ENTRIES: &[Entry] = &[Entry {
    name: "dbscan",
    aliases: &["DBSCAN"],
    role: Role::Clusterer,
    summary: "groups of rows in dense places; the others are noise (-1)",
    params: PARAMS,
    actions: &["predict", "fit_transform"],
    new: make,
    load: |bytes| input::load(bytes, Dbscan::sound),
}];
