//! k nearest neighbours: the class or the number that the nearest training rows have.

use super::neighbours::{Index, METRICS, Metric};
use super::{input, param};
use crate::error::{Error, Result};
use crate::models::estimator::{Estimator, Role, Target};
use crate::models::registry::{Entry, Param};
use crate::models::{Params, state};
use ndarray::{Array2, Axis};
use polars::prelude::DataFrame;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::sync::OnceLock;

#[derive(Debug, Serialize, Deserialize)]
struct Neighbours {
    classes: bool,
    k: usize,
    metric: Metric,
    /// Nearer rows count more: by the inverse of their distance.
    by_distance: bool,
    state: Option<State>,
}

#[derive(Debug, Serialize, Deserialize)]
struct State {
    points: Array2<f64>,
    /// Rows × outputs; one output holding the class index for classes.
    values: Array2<f64>,
    /// 0 for numbers.
    classes: usize,
    #[serde(skip)]
    index: OnceLock<Index>,
}

impl Neighbours {
    /// Shares of the classes or means of the outputs, for each row.
    fn answer(&self, x: &DataFrame) -> Result<Array2<f64>> {
        let state = input::fitted(&self.state)?;
        let x = input::table_of(x, state.points.ncols())?;
        let index = state
            .index
            .get_or_init(|| Index::new(&state.points, self.metric));
        let width = if self.classes {
            state.classes
        } else {
            state.values.ncols()
        };
        let mut answers = Array2::zeros((x.nrows(), width));
        answers
            .axis_iter_mut(Axis(0))
            .into_par_iter()
            .zip(x.axis_iter(Axis(0)).into_par_iter())
            .for_each(|(mut answer, row)| {
                let near = index.nearest(row.as_slice().unwrap_or(&[]), self.k);
                let same = near.iter().any(|(_, distance)| *distance == 0.0);
                let mut total = 0.0;
                for (row, distance) in near {
                    let weight = match (self.by_distance, same) {
                        (false, _) => 1.0,
                        // Rows that are the same as the query decide alone.
                        (true, true) => f64::from(u8::from(distance == 0.0)),
                        (true, false) => 1.0 / distance,
                    };
                    total += weight;
                    let values = state.values.row(row);
                    if self.classes {
                        let class = values.first().copied().unwrap_or(0.0) as usize;
                        if let Some(share) = answer.get_mut(class) {
                            *share += weight;
                        }
                    } else {
                        answer.scaled_add(weight, &values);
                    }
                }
                answer /= total;
            });
        Ok(answers)
    }

    fn sound(&self) -> bool {
        self.state.as_ref().is_none_or(|state| {
            state.points.nrows() == state.values.nrows()
                && state.points.nrows() >= self.k
                && state.points.is_standard_layout()
                && state.points.ncols() > 0
        })
    }
}

impl Estimator for Neighbours {
    fn fit(&mut self, x: &DataFrame, y: &Target) -> Result<()> {
        let points = input::table(x)?;
        input::at_most(points.nrows(), u32::MAX as usize - 1)?;
        let (values, classes) = if self.classes {
            let (index, classes) = input::classes(y, points.nrows())?;
            let values = index.iter().map(|class| *class as f64).collect();
            (input::column(values), classes)
        } else {
            (input::values(y, points.nrows())?.to_owned(), 0)
        };
        if self.k > points.nrows() {
            return Err(Error::invalid(format!(
                "n_neighbors is {}, but the table has {} rows only",
                self.k,
                points.nrows()
            )));
        }
        self.state = Some(State {
            points,
            values,
            classes,
            index: OnceLock::new(),
        });
        Ok(())
    }

    fn predict(&self, x: &DataFrame) -> Result<Array2<f64>> {
        let answers = self.answer(x)?;
        if self.classes {
            return Ok(input::strongest(&answers));
        }
        Ok(answers)
    }

    fn predict_proba(&self, x: &DataFrame) -> Result<Array2<f64>> {
        if !self.classes {
            return Err(Error::usage("a regressor has no predict_proba"));
        }
        self.answer(x)
    }

    fn save(&self) -> Result<Vec<u8>> {
        state::save(self)
    }

    fn learned(&self) -> Value {
        match &self.state {
            Some(state) => json!({ "rows": state.points.nrows() }),
            None => Value::Null,
        }
    }
}

fn make(params: &Params, classes: bool) -> Result<Box<dyn Estimator>> {
    Ok(Box::new(Neighbours {
        classes,
        k: params.count("n_neighbors", 5)?,
        metric: Metric::named(params.one_of("metric", "euclidean", METRICS)?),
        by_distance: params.one_of("weights", "uniform", &["uniform", "distance"])? == "distance",
        state: None,
    }))
}

const PARAMS: &[Param] = &[
    param("n_neighbors", "5", "how many of the nearest rows decide"),
    param(
        "weights",
        "uniform",
        "uniform, or distance: nearer rows count more",
    ),
    param("metric", "euclidean", "euclidean, manhattan or chebyshev"),
];

/// The estimators of this module.
pub(super) const ENTRIES: &[Entry] = &[
    Entry {
        name: "k-neighbors",
        aliases: &["KNeighborsClassifier", "knn", "k-neighbors-classifier"],
        role: Role::Classifier,
        summary: "the class of the nearest training rows",
        params: PARAMS,
        actions: &["predict", "predict_proba", "score"],
        new: |params| make(params, true),
        load: |bytes| input::load(bytes, Neighbours::sound),
    },
    Entry {
        name: "k-neighbors-regressor",
        aliases: &["KNeighborsRegressor", "knn-regressor"],
        role: Role::Regressor,
        summary: "the mean of the nearest training rows",
        params: PARAMS,
        actions: &["predict", "score"],
        new: |params| make(params, false),
        load: |bytes| input::load(bytes, Neighbours::sound),
    },
];
