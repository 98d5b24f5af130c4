//! What every algorithm here asks of its table and target before it computes, and the
//! few shapes it answers in. Knows no algorithm.

use crate::error::{Error, Result};
use crate::models::estimator::{Estimator, Target};
pub(crate) use crate::models::state::fitted;
use crate::models::{matrix, state};
use ndarray::{Array2, ArrayView2, Axis};
use polars::prelude::DataFrame;
use rand_xoshiro::rand_core::RngCore;
use serde::de::DeserializeOwned;

/// Largest magnitude accepted: sums of squares over a billion rows stay finite.
const LARGEST: f64 = 1e140;

/// The numbers of `x`, rows × columns, neither dimension zero.
pub(crate) fn table(x: &DataFrame) -> Result<Array2<f64>> {
    if x.width() == 0 {
        return Err(Error::invalid("the table has no columns"));
    }
    if x.height() == 0 {
        return Err(Error::invalid("the table has no rows"));
    }
    let table = matrix::dense(x)?;
    if let Some((column, _)) = table
        .axis_iter(Axis(1))
        .zip(x.columns())
        .map(|(values, column)| (column, values.iter().any(|v| v.abs() > LARGEST)))
        .find(|(_, large)| *large)
    {
        let name = column.name();
        return Err(
            Error::invalid(format!("column {name} has values beyond {LARGEST:e}"))
                .hint("scale the column, for instance put standard-scaler| in front of the model"),
        );
    }
    Ok(table)
}

/// The numbers of `x` for a model that was trained on `width` columns.
pub(crate) fn table_of(x: &DataFrame, width: usize) -> Result<Array2<f64>> {
    let table = table(x)?;
    if table.ncols() != width {
        return Err(Error::invalid(format!(
            "the model was trained on {width} columns, the table has {}",
            table.ncols()
        )));
    }
    Ok(table)
}

/// The class of each of `rows` rows and the number of classes; at least two must occur.
pub(crate) fn classes(y: &Target, rows: usize) -> Result<(&[usize], usize)> {
    let (index, count) = some_classes(y, rows)?;
    let first = index.first();
    if index.iter().all(|class| Some(class) == first) {
        return Err(Error::invalid("the target has one class only")
            .hint("a classifier needs rows of at least two classes"));
    }
    Ok((index, count))
}

/// The class of each of `rows` rows and the number of classes, for one batch of many.
pub(crate) fn some_classes(y: &Target, rows: usize) -> Result<(&[usize], usize)> {
    let (index, count) = y.classes()?;
    same_rows(index.len(), rows)?;
    if index.iter().any(|class| *class >= count) {
        return Err(Error::failed(
            "a class index is beyond the number of classes",
        ));
    }
    Ok((index, count))
}

/// The target's numbers, `rows` × outputs.
pub(crate) fn values(y: &Target, rows: usize) -> Result<ArrayView2<'_, f64>> {
    let values = y.values()?;
    same_rows(values.nrows(), rows)?;
    if values.ncols() == 0 {
        return Err(Error::invalid("the target has no columns"));
    }
    if values.iter().any(|v| !v.is_finite() || v.abs() > LARGEST) {
        return Err(Error::invalid(
            "the target has values that are not finite numbers",
        ));
    }
    Ok(values)
}

fn same_rows(target: usize, rows: usize) -> Result<()> {
    if target == rows {
        return Ok(());
    }
    Err(Error::invalid(format!(
        "the table has {rows} rows, the target {target}"
    )))
}

/// Refuses fewer than `needed` rows.
pub(crate) fn at_least(rows: usize, needed: usize, why: &str) -> Result<()> {
    if rows >= needed {
        return Ok(());
    }
    Err(Error::invalid(format!(
        "the table has {rows} rows; {why} needs at least {needed}"
    )))
}

/// Refuses more than `most` rows.
pub(crate) fn at_most(rows: usize, most: usize) -> Result<()> {
    if rows <= most {
        return Ok(());
    }
    let message = format!("the table has {rows} rows; this model takes {most} at most");
    Err(Error::invalid(message).hint("fit it on a sample of the rows"))
}

/// Reads back what [`state::save`] wrote; `sound` tells whether the parts fit together.
pub(crate) fn load<T>(bytes: &[u8], sound: fn(&T) -> bool) -> Result<Box<dyn Estimator>>
where
    T: Estimator + DeserializeOwned + 'static,
{
    let model: T = state::load(bytes)?;
    if !sound(&model) {
        return Err(Error::corrupt("the stored model contradicts itself"));
    }
    Ok(Box::new(model))
}

/// A result of one column.
pub(crate) fn column(values: Vec<f64>) -> Array2<f64> {
    ndarray::Array1::from_vec(values).insert_axis(Axis(1))
}

/// The rows of a matrix, for JSON.
pub(crate) fn lists(matrix: &Array2<f64>) -> Vec<Vec<f64>> {
    matrix.rows().into_iter().map(|row| row.to_vec()).collect()
}

/// `stem0`, `stem1`, …
pub(crate) fn numbered(stem: &str, count: usize) -> Vec<String> {
    (0..count).map(|i| format!("{stem}{i}")).collect()
}

/// Index of the largest value, the first of equals; NaN is never the largest.
pub(crate) fn argmax<'a>(values: impl IntoIterator<Item = &'a f64>) -> usize {
    let mut best = (0, f64::NEG_INFINITY);
    for (i, value) in values.into_iter().enumerate() {
        if *value > best.1 {
            best = (i, *value);
        }
    }
    best.0
}

/// The class of each row with the largest score.
pub(crate) fn strongest(scores: &Array2<f64>) -> Array2<f64> {
    column(
        scores
            .rows()
            .into_iter()
            .map(|row| argmax(row) as f64)
            .collect(),
    )
}

/// Turns logarithms of likelihoods into shares that sum to 1 in each row, and returns the
/// logarithm of each row's sum. A row without any likely class becomes even shares.
pub(crate) fn normalise_logs(scores: &mut Array2<f64>) -> Vec<f64> {
    let even = 1.0 / scores.ncols().max(1) as f64;
    scores
        .rows_mut()
        .into_iter()
        .map(|mut row| {
            let largest = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            if !largest.is_finite() {
                row.fill(even);
                return f64::NEG_INFINITY;
            }
            row.mapv_inplace(|v| if v.is_nan() { 0.0 } else { (v - largest).exp() });
            let sum = row.sum();
            row.mapv_inplace(|v| v / sum);
            largest + sum.ln()
        })
        .collect()
}

/// A number from 0 (included) to 1 (not included).
pub(crate) fn uniform(rng: &mut impl RngCore) -> f64 {
    (rng.next_u64() >> 11) as f64 / (1_u64 << 53) as f64
}

/// A number below `bound`, which is not 0; Lemire's multiply-shift, biased by less than
/// `bound` / 2⁶⁴.
pub(crate) fn below(rng: &mut impl RngCore, bound: usize) -> usize {
    ((u128::from(rng.next_u64()) * bound as u128) >> 64) as usize
}

/// A number of the standard normal distribution (Box and Muller 1958).
pub(crate) fn normal(rng: &mut impl RngCore) -> f64 {
    let radius = (-2.0 * (1.0 - uniform(rng)).ln()).sqrt();
    radius * (std::f64::consts::TAU * uniform(rng)).cos()
}
