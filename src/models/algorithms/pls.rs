//! Partial least squares: directions of the table that explain the target, for
//! regression, canonical analysis and canonical correlation (Wegelin 2000).
//!
//! Own code: linfa's canonical correlation takes rounding errors of what is left for
//! directions, and its iterations end at a tolerance. Here each pair of directions is
//! the first singular pair of the cross products, exactly.

use super::linear::{Eigen, eigen};
use super::pca::Components;
use super::{input, param};
use crate::error::{Error, Result};
use crate::models::estimator::{Estimator, Role, Target};
use crate::models::registry::{Entry, Param};
use crate::models::{Params, matrix, state};
use ndarray::{Array1, Array2, Axis};
use polars::prelude::DataFrame;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

#[derive(Debug, Serialize, Deserialize)]
struct Pls {
    kind: Kind,
    n_components: usize,
    scale: bool,
    state: Option<State>,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
enum Kind {
    Regression,
    Canonical,
    Cca,
}

#[derive(Debug, Serialize, Deserialize)]
struct State {
    mean: Array1<f64>,
    deviation: Array1<f64>,
    target_mean: Array1<f64>,
    /// Columns × components.
    rotations: Array2<f64>,
    /// Columns × outputs, for scaled columns.
    coefficients: Array2<f64>,
}

/// A table around its mean, the mean, and the deviations that it is scaled by.
struct Scaled {
    table: Array2<f64>,
    mean: Array1<f64>,
    deviation: Array1<f64>,
}

impl Scaled {
    fn new(table: &Array2<f64>, scale: bool) -> Self {
        let mean = table.mean_axis(Axis(0)).unwrap_or_default();
        let deviation = if scale {
            let deviation = table.std_axis(Axis(0), 1.0);
            deviation.mapv(|v| if v == 0.0 { 1.0 } else { v })
        } else {
            Array1::ones(table.ncols())
        };
        Scaled {
            table: (table - &mean) / &deviation,
            mean,
            deviation,
        }
    }
}

/// The matrix that makes a table's columns uncorrelated with length 1, leaving out
/// directions with squares below `least`.
fn decorrelating(table: &Array2<f64>, least: f64) -> Result<Array2<f64>> {
    let Eigen { values, vectors } = eigen(table.t().dot(table))?;
    let roots = values.mapv(|v| if v > least { 1.0 / v.sqrt() } else { 0.0 });
    Ok((&vectors.t() * &roots).dot(&vectors))
}

/// Directions of `x` and `y` whose scores go together most.
struct Pair {
    x: Array1<f64>,
    y: Array1<f64>,
}

impl Pair {
    /// By covariance, or by correlation if `least` squares of each are given.
    fn new(x: &Array2<f64>, y: &Array2<f64>, least: Option<(f64, f64)>) -> Result<Option<Self>> {
        let mut cross = x.t().dot(y);
        let mut undo = None;
        if let Some((least_x, least_y)) = least {
            let (left, right) = (decorrelating(x, least_x)?, decorrelating(y, least_y)?);
            cross = left.dot(&cross).dot(&right);
            undo = Some((left, right));
        }
        let first = eigen(cross.t().dot(&cross))?;
        let mut y = first.vectors.row(0).to_owned();
        let mut x = cross.dot(&y);
        if let Some((left, right)) = undo {
            x = left.dot(&x);
            y = right.dot(&y);
        }
        let (length_x, length_y) = (x.dot(&x).sqrt(), y.dot(&y).sqrt());
        if length_x <= 1e-300 || length_y <= 1e-300 {
            return Ok(None);
        }
        // The largest weight is positive, as in scikit-learn.
        let largest = x
            .iter()
            .fold(0.0_f64, |m, v| if v.abs() > m.abs() { *v } else { m });
        let sign = largest.signum();
        Ok(Some(Pair {
            x: x * (sign / length_x),
            y: y * (sign / length_y),
        }))
    }
}

/// Takes out of a table what lies along `scores`; the loadings.
fn deflate(table: &mut Array2<f64>, scores: &Array1<f64>) -> Array1<f64> {
    let loadings = scores.dot(table) / scores.dot(scores);
    for (mut row, score) in table.rows_mut().into_iter().zip(scores) {
        row.scaled_add(-score, &loadings);
    }
    loadings
}

/// Solves `a`·z = `b` by elimination with row exchanges; none if `a` is singular.
fn solve(mut a: Array2<f64>, mut b: Array2<f64>) -> Option<Array2<f64>> {
    let n = a.nrows();
    for k in 0..n {
        let pivot = (k..n).max_by(|i, j| a[[*i, k]].abs().total_cmp(&a[[*j, k]].abs()))?;
        if a[[pivot, k]] == 0.0 {
            return None;
        }
        for matrix in [&mut a, &mut b] {
            for column in 0..matrix.ncols() {
                matrix.swap([k, column], [pivot, column]);
            }
        }
        for i in (0..n).filter(|i| *i != k) {
            let factor = a[[i, k]] / a[[k, k]];
            for matrix in [&mut a, &mut b] {
                for column in 0..matrix.ncols() {
                    let above = matrix[[k, column]];
                    matrix[[i, column]] -= factor * above;
                }
            }
        }
    }
    for k in 0..n {
        let pivot = a[[k, k]];
        b.row_mut(k).mapv_inplace(|v| v / pivot);
    }
    Some(b)
}

impl Pls {
    fn sound(&self) -> bool {
        self.state.as_ref().is_none_or(|state| {
            let width = state.mean.len();
            state.deviation.len() == width
                && state.rotations.nrows() == width
                && state.coefficients.dim() == (width, state.target_mean.len())
        })
    }

    /// Refuses more components than the table and the target have.
    fn check(&self, x: &Array2<f64>, y: &Array2<f64>) -> Result<()> {
        let rank = |table: &Array2<f64>| {
            let (rows, width) = table.dim();
            Ok::<_, Error>(Components::new(table, rows.min(width), true)?.rank())
        };
        let of_target = rank(y)?;
        if of_target == 0 {
            return Err(Error::invalid("the target is constant"));
        }
        let most = match self.kind {
            Kind::Regression => rank(x)?,
            Kind::Canonical | Kind::Cca => rank(x)?.min(of_target),
        };
        if self.n_components > most {
            return Err(Error::invalid(format!(
                "n_components is {}, but the table and the target allow {most}",
                self.n_components
            )));
        }
        Ok(())
    }

    fn learn(&self, x: Scaled, y: Scaled) -> Result<State> {
        let (mut left_x, mut left_y) = (x.table, y.table);
        let squares = |table: &Array2<f64>| table.iter().map(|v| v * v).sum::<f64>();
        let (zero_x, zero_y) = (1e-13 * squares(&left_x), 1e-13 * squares(&left_y));
        let least = (self.kind == Kind::Cca).then_some((zero_x, zero_y));
        let (mut weights, mut loadings, mut target_loadings) = (vec![], vec![], vec![]);
        for component in 0..self.n_components {
            let pair = match squares(&left_y) > zero_y {
                true => Pair::new(&left_x, &left_y, least)?,
                false => None,
            };
            let Some(pair) = pair else {
                return Err(Error::invalid(format!(
                    "{component} components explain the target already"
                ))
                .hint("lower n_components"));
            };
            let scores = left_x.dot(&pair.x);
            let target_scores = left_y.dot(&pair.y);
            loadings.push(deflate(&mut left_x, &scores));
            target_loadings.push(match self.kind {
                Kind::Regression => deflate(&mut left_y, &scores),
                Kind::Canonical | Kind::Cca => deflate(&mut left_y, &target_scores),
            });
            weights.push(pair.x);
        }
        let columns = |vectors: &[Array1<f64>], length: usize| {
            Array2::from_shape_fn((length, vectors.len()), |(i, k)| vectors[k][i])
        };
        let weights = columns(&weights, x.mean.len());
        let loadings = columns(&loadings, x.mean.len());
        let target_loadings = columns(&target_loadings, y.mean.len());
        // Rotations give the scores of the table itself, not of what was left of it.
        let rotations = solve(
            loadings.t().dot(&weights).reversed_axes(),
            weights.t().to_owned(),
        );
        let rotations = rotations
            .filter(|rotations| rotations.iter().all(|v| v.is_finite()))
            .ok_or_else(|| {
                Error::failed("the directions depend on each other").hint("lower n_components")
            })?
            .reversed_axes()
            .as_standard_layout()
            .to_owned();
        let coefficients = rotations.dot(&target_loadings.t()) * &y.deviation;
        Ok(State {
            mean: x.mean,
            deviation: x.deviation,
            target_mean: y.mean,
            rotations,
            coefficients,
        })
    }
}

impl Estimator for Pls {
    fn fit(&mut self, x: &DataFrame, y: &Target) -> Result<()> {
        let table = input::table(x)?;
        let target = input::values(y, table.nrows())?.to_owned();
        input::at_least(table.nrows(), 2, "a variance")?;
        let (x, y) = (
            Scaled::new(&table, self.scale),
            Scaled::new(&target, self.scale),
        );
        self.check(&x.table, &y.table)?;
        self.state = Some(self.learn(x, y)?);
        Ok(())
    }

    fn predict(&self, x: &DataFrame) -> Result<Array2<f64>> {
        let state = input::fitted(&self.state)?;
        let table = input::table_of(x, state.mean.len())?;
        let scaled = (table - &state.mean) / &state.deviation;
        Ok(scaled.dot(&state.coefficients) + &state.target_mean)
    }

    fn transform(&self, x: &DataFrame) -> Result<DataFrame> {
        let state = input::fitted(&self.state)?;
        let table = input::table_of(x, state.mean.len())?;
        let scaled = (table - &state.mean) / &state.deviation;
        let names = input::numbered("pls", state.rotations.ncols());
        matrix::frame(scaled.dot(&state.rotations), &names)
    }

    fn save(&self) -> Result<Vec<u8>> {
        state::save(self)
    }

    fn learned(&self) -> Value {
        let Some(state) = &self.state else {
            return Value::Null;
        };
        let raw = &state.coefficients / &state.deviation.view().insert_axis(Axis(1));
        json!({
            "coef": input::lists(&raw.t().to_owned()),
            "intercept": (&state.target_mean - &state.mean.dot(&raw)).to_vec(),
            "x_rotations": input::lists(&state.rotations),
        })
    }
}

fn make(params: &Params, kind: Kind) -> Result<Box<dyn Estimator>> {
    Ok(Box::new(Pls {
        kind,
        n_components: params.count("n_components", 2)?,
        scale: params.bool("scale", true)?,
        state: None,
    }))
}

const PARAMS: &[Param] = &[
    param("n_components", "2", "number of directions"),
    param("scale", "true", "scale columns and targets to variance 1"),
];
const ACTIONS: &[&str] = &["predict", "transform", "fit_transform", "score"];

fn load(bytes: &[u8]) -> Result<Box<dyn Estimator>> {
    input::load(bytes, Pls::sound)
}

/// The estimators of this module.
pub(super) const ENTRIES: &[Entry] = &[
    Entry {
        name: "pls-regression",
        aliases: &["PLSRegression", "pls"],
        role: Role::Regressor,
        summary: "regression on directions that explain the target",
        params: PARAMS,
        actions: ACTIONS,
        new: |params| make(params, Kind::Regression),
        load,
    },
    Entry {
        name: "pls-canonical",
        aliases: &["PLSCanonical"],
        role: Role::Regressor,
        summary: "directions of table and target that go together",
        params: PARAMS,
        actions: ACTIONS,
        new: |params| make(params, Kind::Canonical),
        load,
    },
    Entry {
        name: "cca",
        aliases: &["CCA", "pls-cca"],
        role: Role::Regressor,
        summary: "directions of table and target that correlate most",
        params: PARAMS,
        actions: ACTIONS,
        new: |params| make(params, Kind::Cca),
        load,
    },
];
