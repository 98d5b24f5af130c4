//! Logistic regression of two classes, softmax regression of more.

use super::design::Design;
use super::hyperplane::Hyperplane;
use super::loss::{Logistic, Softmax, softmax};
use super::newton::{Limits, Minimum, minimise};
use crate::error::{Error, Result};
use crate::models::registry::{Entry, Param};
use crate::models::state::{self, fitted};
use crate::models::{Estimator, Params, Role, Target};
use ndarray::{Array2, Axis, Slice};
use polars::prelude::DataFrame;
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub const ENTRIES: &[Entry] = &[Entry {
    name: "logistic-regression",
    aliases: &[
        "LogisticRegression",
        "multinomial-logistic-regression",
        "logistic",
    ],
    role: Role::Classifier,
    summary: "logistic regression; several classes by softmax (multinomial)",
    params: &[
        Param {
            name: "C",
            default: "1.0",
            doc: "inverse weight of the penalty, above 0",
        },
        Param {
            name: "penalty",
            default: "l2",
            doc: "l2 or none",
        },
        Param {
            name: "fit_intercept",
            default: "true",
            doc: "learn an intercept, which is not penalised",
        },
        Param {
            name: "class_weight",
            default: "none",
            doc: "balanced: rare classes weigh as much as frequent ones",
        },
        Param {
            name: "max_iter",
            default: "100",
            doc: "most steps of Newton's method",
        },
        Param {
            name: "tol",
            default: "1e-7",
            doc: "stop when a step promises less than the square of this share of the loss",
        },
    ],
    actions: &["predict", "predict_proba", "decision_function", "score"],
    new: |params| Ok(Box::new(LogisticRegression::new(params)?)),
    load: |bytes| Ok(Box::new(state::load::<LogisticRegression>(bytes)?)),
}];

#[derive(Debug, Serialize, Deserialize)]
struct LogisticRegression {
    alpha: f64,
    fit_intercept: bool,
    balanced: bool,
    max_iter: usize,
    tol: f64,
    plane: Option<Hyperplane>,
    steps: usize,
    converged: bool,
}

impl LogisticRegression {
    fn new(params: &Params) -> Result<Self> {
        let strength = params.positive("C", 1.0)?;
        let penalty = params.one_of("penalty", "l2", &["l2", "none"])?;
        let weights = params.one_of("class_weight", "none", &["none", "balanced"])?;
        Ok(LogisticRegression {
            alpha: if penalty == "l2" { 1.0 / strength } else { 0.0 },
            fit_intercept: params.bool("fit_intercept", true)?,
            balanced: weights == "balanced",
            max_iter: params.count("max_iter", 100)?,
            tol: params.positive("tol", 1e-7)?,
            plane: None,
            steps: 0,
            converged: true,
        })
    }
}

impl Estimator for LogisticRegression {
    fn fit(&mut self, x: &DataFrame, y: &Target) -> Result<()> {
        y.fits(x)?;
        let (class, count) = y.classes()?;
        let one_only = class.iter().all(|one| Some(one) == class.first());
        if count < 2 || one_only {
            return Err(Error::invalid(
                "the target has one class only; a classifier needs two or more",
            ));
        }
        let design = Design::new(x, self.fit_intercept)?;
        let mut rows = vec![0.0_f64; count];
        for class in class {
            if let Some(rows) = rows.get_mut(*class) {
                *rows += 1.0;
            }
        }
        let weights: Vec<f64> = rows
            .iter()
            .map(|rows| {
                if self.balanced {
                    class.len() as f64 / (count as f64 * rows.max(1.0))
                } else {
                    1.0
                }
            })
            .collect();
        let limits = Limits {
            max_iter: self.max_iter,
            tol: self.tol,
        };
        let outputs = if count == 2 { 1 } else { count };
        let start = Array2::zeros((outputs, design.block_width()));
        let weights = weights.as_slice();
        let found: Minimum = if count == 2 {
            minimise(
                &design,
                &Logistic { class, weights },
                self.alpha,
                start,
                limits,
            )
        } else {
            minimise(
                &design,
                &Softmax { class, weights },
                self.alpha,
                start,
                limits,
            )
        };
        self.steps = found.steps;
        self.converged = found.converged;
        self.plane = Some(plane(&design, &found.coefficients));
        Ok(())
    }

    fn predict(&self, x: &DataFrame) -> Result<Array2<f64>> {
        let scores = fitted(&self.plane)?.apply(x)?;
        let best = scores.rows().into_iter().map(|row| match row.as_slice() {
            Some([score]) => f64::from(*score > 0.0),
            _ => largest(row.iter().copied()) as f64,
        });
        let best: Vec<f64> = best.collect();
        Ok(Array2::from_shape_fn((best.len(), 1), |(i, _)| {
            best.get(i).copied().unwrap_or(0.0)
        }))
    }

    fn predict_proba(&self, x: &DataFrame) -> Result<Array2<f64>> {
        let mut scores = fitted(&self.plane)?.apply(x)?;
        if scores.ncols() > 1 {
            scores.rows_mut().into_iter().for_each(|row| {
                softmax(row);
            });
            return Ok(scores);
        }
        Ok(Array2::from_shape_fn((scores.nrows(), 2), |(i, class)| {
            let score = if class == 0 {
                -scores[[i, 0]]
            } else {
                scores[[i, 0]]
            };
            1.0 / (1.0 + (-score).exp())
        }))
    }

    fn decision_function(&self, x: &DataFrame) -> Result<Array2<f64>> {
        fitted(&self.plane)?.apply(x)
    }

    fn save(&self) -> Result<Vec<u8>> {
        state::save(self)
    }

    fn learned(&self) -> Value {
        let mut learned = self.plane.as_ref().map_or(Value::Null, Hyperplane::learned);
        if let Value::Object(map) = &mut learned {
            map.insert("steps".into(), self.steps.into());
            map.insert("converged".into(), self.converged.into());
        }
        learned
    }
}

/// The plane of coefficients whose last column is the intercept, if there is one.
pub fn plane(design: &Design<'_>, coefficients: &Array2<f64>) -> Hyperplane {
    let width = design.width();
    let at_mean: Vec<f64> = if design.intercept() {
        coefficients.column(width).to_vec()
    } else {
        vec![0.0; coefficients.nrows()]
    };
    let weights = coefficients
        .slice_axis(Axis(1), Slice::from(..width))
        .to_owned();
    Hyperplane::centred(design, weights, &at_mean)
}

/// The place of the largest value, the first among equals.
fn largest(values: impl Iterator<Item = f64>) -> usize {
    let mut best = (0, f64::NEG_INFINITY);
    for (place, value) in values.enumerate() {
        if value > best.1 {
            best = (place, value);
        }
    }
    best.0
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::models::matrix;
    use polars::prelude::Column;

    /// At the minimum the slope is zero, with few coefficients (factored) and with many
    /// (conjugate gradients).
    #[test]
    fn narrow_and_wide_tables_reach_the_minimum() {
        for (width, count) in [(5, 2), (5, 3), (150, 2), (70, 3)] {
            let rows = 900;
            let mut seed = 1_u64;
            let mut noise = || {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                (seed >> 40) as f64 / f64::from(1 << 24)
            };
            let columns = (0..width).map(|j| {
                let values: Vec<f64> = (0..rows).map(|_| 10.0 * j as f64 + noise()).collect();
                Column::new(format!("c{j}").as_str().into(), values)
            });
            let x = DataFrame::new(rows, columns.collect()).unwrap();
            let dense = matrix::dense(&x).unwrap();
            let index: Vec<usize> = (0..rows)
                .map(|i| ((dense[[i, 0]] + 0.5 * noise()) * 0.6 * count as f64) as usize)
                .collect();
            let params = Params::from_iter([("C".to_string(), 5.into())]);
            let mut model = LogisticRegression::new(&params).unwrap();
            let y = Target::Classes {
                index: index.clone(),
                count,
            };
            model.fit(&x, &y).unwrap();
            let mut left = model.predict_proba(&x).unwrap();
            for (mut row, class) in left.rows_mut().into_iter().zip(&index) {
                row[*class] -= 1.0;
            }
            assert!(left.sum_axis(Axis(0)).iter().all(|sum| sum.abs() < 1e-6));
            let plane = model.plane.as_ref().unwrap();
            let slope = left.t().dot(&dense);
            let slope = slope.slice_axis(Axis(0), Slice::from(count - plane.intercepts.len()..));
            let slope = &slope + &(&plane.coefficients * 0.2);
            let steepest = slope.iter().fold(0.0_f64, |max, v| max.max(v.abs()));
            assert!(
                steepest < 1e-4,
                "{width} columns, {count} classes: {steepest}"
            );
            assert!(model.converged);
        }
    }
}
