//! A monotone step curve through one column, by pooling adjacent violators.

use super::ACTIONS;
use crate::error::{Error, Result};
use crate::models::matrix;
use crate::models::registry::{Entry, Param};
use crate::models::state::{self, fitted};
use crate::models::{Estimator, Params, Role, Target};
use ndarray::Array2;
use polars::prelude::DataFrame;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::borrow::Cow;

pub const ENTRIES: &[Entry] = &[Entry {
    name: "isotonic-regression",
    aliases: &["IsotonicRegression"],
    role: Role::Regressor,
    summary: "a monotone curve through one column, linear between the points learned",
    params: &[
        Param {
            name: "increasing",
            default: "true",
            doc: "true, false, or auto: the direction of the rank correlation",
        },
        Param {
            name: "y_min",
            default: "none",
            doc: "the least value predicted",
        },
        Param {
            name: "y_max",
            default: "none",
            doc: "the largest value predicted",
        },
        Param {
            name: "out_of_bounds",
            default: "nan",
            doc: "beyond the values of training: nan, clip (the nearest value), or raise",
        },
    ],
    actions: ACTIONS,
    new: |params| Ok(Box::new(Isotonic::new(params)?)),
    load: |bytes| Ok(Box::new(state::load::<Isotonic>(bytes)?)),
}];

#[derive(Debug, Serialize, Deserialize)]
struct Isotonic {
    /// None for auto.
    increasing: Option<bool>,
    y_min: Option<f64>,
    y_max: Option<f64>,
    out_of_bounds: String,
    curve: Option<Curve>,
}

/// The corners of the curve, by rising x.
#[derive(Debug, Serialize, Deserialize)]
struct Curve {
    x: Vec<f64>,
    y: Vec<f64>,
}

impl Isotonic {
    fn new(params: &Params) -> Result<Self> {
        let increasing = match params.get("increasing") {
            Some(Value::String(text)) if text == "auto" => None,
            _ => Some(params.bool("increasing", true)?),
        };
        let choices = ["nan", "clip", "raise"];
        let (y_min, y_max) = (params.opt_f64("y_min")?, params.opt_f64("y_max")?);
        if let (Some(min), Some(max)) = (y_min, y_max)
            && min > max
        {
            return Err(Error::usage("parameter y_min must not be above y_max"));
        }
        Ok(Isotonic {
            increasing,
            y_min,
            y_max,
            out_of_bounds: params.one_of("out_of_bounds", "nan", &choices)?.to_string(),
            curve: None,
        })
    }
}

/// The values of the only column.
fn only(x: &DataFrame) -> Result<Cow<'_, [f64]>> {
    match x.columns() {
        [column] => matrix::values(column),
        columns => Err(Error::invalid(format!(
            "isotonic-regression learns from one column, not {}",
            columns.len()
        ))
        .hint("choose it with a projection: data[column]")),
    }
}

/// Means of `y` for each distinct x, with their number of rows, by rising x.
fn distinct(mut points: Vec<(f64, f64)>) -> Vec<(f64, f64, f64)> {
    points.sort_by(|a, b| a.0.total_cmp(&b.0));
    points
        .chunk_by(|a, b| a.0 == b.0)
        .map(|run| {
            let count = run.len() as f64;
            let sum: f64 = run.iter().map(|point| point.1).sum();
            (run.first().map_or(0.0, |point| point.0), sum / count, count)
        })
        .collect()
}

/// The rising values nearest to `y` under `weights` (Barlow et al. 1972).
fn pool(y: impl Iterator<Item = (f64, f64)>) -> Vec<f64> {
    // Mean, weight and number of points of each pool.
    let mut pools: Vec<(f64, f64, usize)> = Vec::new();
    for (y, weight) in y {
        let mut last = (y, weight, 1);
        while let Some(before) = pools.pop() {
            if before.0 < last.0 {
                pools.push(before);
                break;
            }
            let weight = before.1 + last.1;
            let mean = (before.0 * before.1 + last.0 * last.1) / weight;
            last = (mean, weight, before.2 + last.2);
        }
        pools.push(last);
    }
    pools
        .into_iter()
        .flat_map(|(mean, _, count)| std::iter::repeat_n(mean, count))
        .collect()
}

/// Whether y rises with x: the sign of Spearman's rank correlation.
fn rises(points: &[(f64, f64)]) -> bool {
    let x = ranks(points.iter().map(|point| point.0).collect());
    let y = ranks(points.iter().map(|point| point.1).collect());
    let middle = (points.len() as f64 - 1.0) / 2.0;
    let products = x.iter().zip(&y).map(|(x, y)| (x - middle) * (y - middle));
    products.sum::<f64>() >= 0.0
}

/// Ranks from 0, ties at their mean.
fn ranks(values: Vec<f64>) -> Vec<f64> {
    let mut order: Vec<(usize, f64)> = values.into_iter().enumerate().collect();
    order.sort_by(|a, b| a.1.total_cmp(&b.1));
    let mut ranks = vec![0.0; order.len()];
    let mut start = 0;
    for run in order.chunk_by(|a, b| a.1 == b.1) {
        let rank = start as f64 + (run.len() as f64 - 1.0) / 2.0;
        for (place, _) in run {
            if let Some(cell) = ranks.get_mut(*place) {
                *cell = rank;
            }
        }
        start += run.len();
    }
    ranks
}

impl Estimator for Isotonic {
    fn fit(&mut self, x: &DataFrame, y: &Target) -> Result<()> {
        y.fits(x)?;
        let values = only(x)?;
        let points: Vec<(f64, f64)> = values
            .iter()
            .copied()
            .zip(y.column()?.iter().copied())
            .collect();
        let rising = self.increasing.unwrap_or_else(|| rises(&points));
        let points = distinct(points);
        let sign = if rising { 1.0 } else { -1.0 };
        let pooled = pool(points.iter().map(|(_, y, weight)| (sign * y, *weight)));
        let (low, high) = (
            self.y_min.unwrap_or(f64::NEG_INFINITY),
            self.y_max.unwrap_or(f64::INFINITY),
        );
        let levels: Vec<f64> = pooled.iter().map(|y| (sign * y).clamp(low, high)).collect();
        let mut curve = Curve {
            x: Vec::new(),
            y: Vec::new(),
        };
        for (i, ((x, _, _), y)) in points.iter().zip(&levels).enumerate() {
            // Points inside a flat stretch say nothing.
            let before = i.checked_sub(1).and_then(|i| levels.get(i));
            if before != Some(y) || levels.get(i + 1) != Some(y) {
                curve.x.push(*x);
                curve.y.push(*y);
            }
        }
        self.curve = Some(curve);
        Ok(())
    }

    fn predict(&self, x: &DataFrame) -> Result<Array2<f64>> {
        let curve = fitted(&self.curve)?;
        let values = only(x)?;
        let mut result = Array2::zeros((x.height(), 1));
        for (cell, value) in result.iter_mut().zip(values.iter()) {
            *cell = match curve.at(*value) {
                Some(y) => y,
                None if self.out_of_bounds == "nan" => f64::NAN,
                None if self.out_of_bounds == "clip" => curve.nearest(*value),
                None => {
                    return Err(Error::invalid(format!(
                        "the value {value} is beyond those of training"
                    ))
                    .hint("train with out_of_bounds=clip to get the nearest"));
                }
            };
        }
        Ok(result)
    }

    fn save(&self) -> Result<Vec<u8>> {
        state::save(self)
    }

    fn learned(&self) -> Value {
        self.curve
            .as_ref()
            .map_or(Value::Null, |curve| json!({"x": curve.x, "y": curve.y}))
    }
}

impl Curve {
    /// The curve at `x`; none beyond its ends.
    fn at(&self, x: f64) -> Option<f64> {
        let right = self.x.partition_point(|corner| *corner < x);
        let (x1, y1) = (self.x.get(right)?, self.y.get(right)?);
        if *x1 == x {
            return Some(*y1);
        }
        let left = right.checked_sub(1)?;
        let (x0, y0) = (self.x.get(left)?, self.y.get(left)?);
        Some(y0 + (y1 - y0) * (x - x0) / (x1 - x0))
    }

    fn nearest(&self, x: f64) -> f64 {
        let low = self.x.first().is_some_and(|first| x < *first);
        let end = if low { self.y.first() } else { self.y.last() };
        end.copied().unwrap_or(f64::NAN)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn violators_are_pooled() {
        let y = [1.0, 3.0, 2.0, 2.0, 5.0, 4.0];
        let pooled = pool(y.iter().map(|y| (*y, 1.0)));
        let third = 7.0 / 3.0;
        assert_eq!(pooled, [1.0, third, third, third, 4.5, 4.5]);
        assert!(!rises(&[(1.0, 3.0), (2.0, 2.0), (3.0, 2.5)]));
    }
}
