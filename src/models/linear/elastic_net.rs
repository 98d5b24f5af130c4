//! Lasso and elastic net by coordinate descent (Friedman, Hastie, Tibshirani 2010):
//! min |y - Xw|² / 2n + alpha l1_ratio |w|₁ + alpha (1 - l1_ratio) |w|² / 2.

use super::ACTIONS;
use super::design::Design;
use super::gram::{gram, targets};
use super::hyperplane::Hyperplane;
use super::qr::dot;
use crate::error::Result;
use crate::models::registry::{Entry, Param};
use crate::models::state::{self, fitted};
use crate::models::{Estimator, Params, Role, Target};
use ndarray::{Array1, Array2, Axis};
use polars::prelude::DataFrame;
use serde::{Deserialize, Serialize};
use serde_json::Value;

const ALPHA: Param = Param {
    name: "alpha",
    default: "1.0",
    doc: "weight of the penalty, 0 or more",
};
const FIT_INTERCEPT: Param = Param {
    name: "fit_intercept",
    default: "true",
    doc: "learn an intercept, which is not penalised",
};
const MAX_ITER: Param = Param {
    name: "max_iter",
    default: "10000",
    doc: "most sweeps over the columns",
};
const TOL: Param = Param {
    name: "tol",
    default: "1e-10",
    doc: "stop when no coefficient moves the fit by more than this share of the target's deviation",
};

pub const ENTRIES: &[Entry] = &[
    Entry {
        name: "lasso",
        aliases: &["Lasso"],
        role: Role::Regressor,
        summary: "least squares with a penalty on absolute values, which makes coefficients zero",
        params: &[ALPHA, FIT_INTERCEPT, MAX_ITER, TOL],
        actions: ACTIONS,
        new: |params| Ok(Box::new(ElasticNet::new(params, 1.0)?)),
        load: |bytes| Ok(Box::new(state::load::<ElasticNet>(bytes)?)),
    },
    Entry {
        name: "elastic-net",
        aliases: &["ElasticNet"],
        role: Role::Regressor,
        summary: "least squares with a mix of the lasso's and the ridge's penalty",
        params: &[
            ALPHA,
            Param {
                name: "l1_ratio",
                default: "0.5",
                doc: "share of the lasso's penalty, 0 to 1",
            },
            FIT_INTERCEPT,
            MAX_ITER,
            TOL,
        ],
        actions: ACTIONS,
        new: |params| {
            let share = params.between("l1_ratio", 0.5, 0.0, 1.0)?;
            Ok(Box::new(ElasticNet::new(params, share)?))
        },
        load: |bytes| Ok(Box::new(state::load::<ElasticNet>(bytes)?)),
    },
];

/// Wider tables are not turned into products of all pairs of columns.
const GRAM_WIDTH: usize = 2000;

#[derive(Debug, Serialize, Deserialize)]
struct ElasticNet {
    alpha: f64,
    l1_ratio: f64,
    fit_intercept: bool,
    max_iter: usize,
    tol: f64,
    plane: Option<Hyperplane>,
    sweeps: usize,
}

impl ElasticNet {
    fn new(params: &Params, l1_ratio: f64) -> Result<Self> {
        Ok(ElasticNet {
            alpha: params.non_negative("alpha", 1.0)?,
            l1_ratio,
            fit_intercept: params.bool("fit_intercept", true)?,
            max_iter: params.count("max_iter", 10_000)?,
            tol: params.positive("tol", 1e-10)?,
            plane: None,
            sweeps: 0,
        })
    }

    /// Sweeps over the columns until no coefficient moves; `step(j, w_j)` gives the new
    /// coefficient of column `j` and how far the fit moved.
    fn sweep(
        &mut self,
        width: usize,
        deviation: f64,
        mut step: impl FnMut(usize, &mut f64) -> f64,
    ) -> Vec<f64> {
        let mut w = vec![0.0; width];
        for sweep in 1..=self.max_iter {
            let moves = w.iter_mut().enumerate().map(|(j, w)| step(j, w));
            let furthest = moves.fold(0.0, f64::max);
            self.sweeps = sweep;
            if furthest <= self.tol * deviation {
                return w;
            }
        }
        tracing::warn!(
            sweeps = self.max_iter,
            "the fit stopped before it converged; raise max_iter"
        );
        w
    }
}

/// Towards zero by `by`, not beyond.
fn shrink(value: f64, by: f64) -> f64 {
    value.signum() * (value.abs() - by).max(0.0)
}

impl Estimator for ElasticNet {
    fn fit(&mut self, x: &DataFrame, y: &Target) -> Result<()> {
        y.fits(x)?;
        let design = Design::new(x, self.fit_intercept)?;
        let (y, means) = targets(&design, y.column()?.insert_axis(Axis(1)));
        let (rows, width) = (design.rows() as f64, design.width());
        let deviation = (y.iter().map(|y| y * y).sum::<f64>() / rows).sqrt();
        let l1 = self.alpha * self.l1_ratio;
        let l2 = self.alpha * (1.0 - self.l1_ratio);
        let w = if width <= GRAM_WIDTH {
            let sums = gram(&design, &y);
            let xx = sums.xx / rows;
            // What the residual has in common with each column.
            let mut pull: Array1<f64> = sums.xy.column(0).to_owned() / rows;
            self.sweep(width, deviation, |j, w| {
                let square = xx[[j, j]];
                if square == 0.0 {
                    return 0.0;
                }
                let new = shrink(pull[j] + square * *w, l1) / (square + l2);
                let change = new - *w;
                if change != 0.0 {
                    pull.scaled_add(-change, &xx.row(j));
                    *w = new;
                }
                change.abs() * square.sqrt()
            })
        } else {
            let square = |(j, mean): (usize, &f64)| {
                let deviations = design.column(j).iter().map(|v| (v - mean).powi(2));
                deviations.sum::<f64>() / rows
            };
            let squares: Vec<f64> = design.means().iter().enumerate().map(square).collect();
            let mut residual = y.row(0).to_vec();
            self.sweep(width, deviation, |j, w| {
                let square = squares.get(j).copied().unwrap_or(0.0);
                if square == 0.0 {
                    return 0.0;
                }
                let column = design.column(j);
                let mean = design.means().get(j).copied().unwrap_or(0.0);
                let sum: f64 = residual.iter().sum();
                let pull = (dot(column, &residual) - mean * sum) / rows;
                let new = shrink(pull + square * *w, l1) / (square + l2);
                let change = new - *w;
                if change != 0.0 {
                    for (r, value) in residual.iter_mut().zip(column) {
                        *r -= change * (value - mean);
                    }
                    *w = new;
                }
                change.abs() * square.sqrt()
            })
        };
        let w = Array2::from_shape_fn((1, width), |(_, j)| w.get(j).copied().unwrap_or(0.0));
        self.plane = Some(Hyperplane::centred(&design, w, &means));
        Ok(())
    }

    fn predict(&self, x: &DataFrame) -> Result<Array2<f64>> {
        fitted(&self.plane)?.apply(x)
    }

    fn save(&self) -> Result<Vec<u8>> {
        state::save(self)
    }

    fn learned(&self) -> Value {
        let mut learned = self.plane.as_ref().map_or(Value::Null, Hyperplane::learned);
        if let Value::Object(map) = &mut learned {
            map.insert("sweeps".into(), self.sweeps.into());
        }
        learned
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::models::find;
    use ndarray::Array2;
    use polars::prelude::Column;
    use serde_json::json;

    /// At the minimum each column's pull equals its penalty (Karush, Kuhn, Tucker).
    #[test]
    fn wide_and_narrow_tables_reach_the_minimum() {
        for width in [4, GRAM_WIDTH + 1] {
            let rows = 12;
            let cell = |i: usize, j: usize| ((i * 31 + j * 17 + i * j * 7) % 23) as f64;
            let columns = (0..width)
                .map(|j| {
                    let values: Vec<f64> = (0..rows).map(|i| cell(i, j)).collect();
                    Column::new(format!("c{j}").as_str().into(), values)
                })
                .collect();
            let x = DataFrame::new(rows, columns).unwrap();
            let y = Array2::from_shape_fn((rows, 1), |(i, _)| cell(i, 3) + (i % 5) as f64);
            let mut params = Params::new();
            params.set("alpha", json!(0.8));
            let mut model = find("lasso").unwrap().make(&params).unwrap();
            model.fit(&x, &Target::Values(y.clone())).unwrap();
            let residual = &y - &model.predict(&x).unwrap();
            assert!(residual.sum().abs() < 1e-8);
            let weights = model.learned()["coefficients"].clone();
            for j in 0..width {
                let pull = (0..rows)
                    .map(|i| cell(i, j) * residual[[i, 0]])
                    .sum::<f64>()
                    / rows as f64;
                let weight = weights[format!("c{j}")].as_f64().unwrap();
                if weight == 0.0 {
                    assert!(pull.abs() <= 0.8 + 1e-6);
                } else {
                    assert!((pull - 0.8 * weight.signum()).abs() < 1e-6);
                }
            }
        }
    }
}
