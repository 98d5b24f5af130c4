//! Frames and matrices. Numbers and booleans become `f64`; text, dates, nulls, NaN and
//! infinities are refused by the column's name.

use crate::error::{Context, Error, Result};
use ndarray::{Array2, ArrayView1, ShapeBuilder};
use polars::prelude::{Column, DataFrame, DataType};
use rayon::prelude::*;
use std::borrow::Cow;

/// Columns with at least this many rows are converted on all cores.
const PARALLEL_ROWS: usize = 50_000;

/// The values of `x`, rows × columns, in row-major order.
pub fn dense(x: &DataFrame) -> Result<Array2<f64>> {
    let columns = columns(x)?;
    let (rows, width) = (x.height(), columns.len());
    if width == 1 {
        let values = columns.into_iter().next().unwrap_or_default().into_owned();
        return shaped(rows, width, values);
    }
    let mut values = vec![0.0; rows * width];
    // Blocks of rows: the rows being written stay in the cache while the columns stream by.
    const BLOCK: usize = 256;
    let fill = |(block, part): (usize, &mut [f64])| {
        for (j, column) in columns.iter().enumerate() {
            let source = column.iter().skip(block * BLOCK);
            for (cell, value) in part.iter_mut().skip(j).step_by(width).zip(source) {
                *cell = *value;
            }
        }
    };
    if width > 0 {
        let size = BLOCK * width;
        if rows >= PARALLEL_ROWS {
            values.par_chunks_mut(size).enumerate().for_each(fill);
        } else {
            values.chunks_mut(size).enumerate().for_each(fill);
        }
    }
    shaped(rows, width, values)
}

/// The values of `x`, rows × columns, in column-major order.
pub fn dense_by_column(x: &DataFrame) -> Result<Array2<f64>> {
    let columns = columns(x)?;
    let (rows, width) = (x.height(), columns.len());
    let mut values = Vec::with_capacity(rows * width);
    for column in &columns {
        values.extend_from_slice(column);
    }
    Array2::from_shape_vec((rows, width).f(), values).context(|| "cannot shape the table")
}

/// The values of each column; nothing is copied where a column is `f64` in one piece.
pub fn columns(x: &DataFrame) -> Result<Vec<Cow<'_, [f64]>>> {
    if x.height() >= PARALLEL_ROWS {
        x.columns().par_iter().map(values).collect()
    } else {
        x.columns().iter().map(values).collect()
    }
}

/// The values of one column.
pub fn values(column: &Column) -> Result<Cow<'_, [f64]>> {
    let values = nullable(column)?;
    if column.null_count() > 0 {
        return Err(hole(column, "has nulls"));
    }
    // A sum is finite only if all its terms are; the slow look is for the message.
    let mut sums = [0.0_f64; 8];
    let mut parts = values.chunks_exact(8);
    for part in &mut parts {
        for (sum, value) in sums.iter_mut().zip(part) {
            *sum += *value * 0.0;
        }
    }
    let rest: f64 = parts.remainder().iter().map(|value| value * 0.0).sum();
    if (sums.iter().sum::<f64>() + rest) != 0.0 {
        let what = if values.iter().any(|value| value.is_nan()) {
            "has values that are not a number (NaN)"
        } else {
            "has infinite values"
        };
        return Err(hole(column, what));
    }
    Ok(values)
}

/// The values of one column with NaN for nulls; only text, dates and the like are refused.
pub fn nullable(column: &Column) -> Result<Cow<'_, [f64]>> {
    let dtype = column.dtype();
    if !is_numeric(dtype) {
        return Err(not_numeric(column));
    }
    if let DataType::Float64 = dtype
        && column.null_count() == 0
        && let Some(series) = column.as_series()
        && let Ok(numbers) = series.f64()
        && let Ok(slice) = numbers.cont_slice()
    {
        return Ok(Cow::Borrowed(slice));
    }
    let cast = column
        .cast(&DataType::Float64)
        .context(|| format!("cannot read column {} as numbers", column.name()))?;
    let numbers = cast
        .f64()
        .context(|| format!("cannot read column {} as numbers", column.name()))?;
    let mut values = Vec::with_capacity(numbers.len());
    if numbers.null_count() == 0 {
        numbers
            .data_views()
            .for_each(|part| values.extend_from_slice(part));
    } else {
        values.extend(numbers.iter().map(|value| value.unwrap_or(f64::NAN)));
    }
    Ok(Cow::Owned(values))
}

/// Whether a column of this type becomes numbers: numeric or boolean, or all null.
pub fn is_numeric(dtype: &DataType) -> bool {
    dtype.is_primitive_numeric() || matches!(dtype, DataType::Boolean | DataType::Null)
}

/// Whether a column of this type holds categories: text, categorical.
pub fn is_text(dtype: &DataType) -> bool {
    matches!(
        dtype,
        DataType::String | DataType::Categorical(..) | DataType::Enum(..)
    )
}

/// A frame of the columns of `matrix` under `names`.
pub fn frame<S: AsRef<str>>(matrix: Array2<f64>, names: &[S]) -> Result<DataFrame> {
    if matrix.ncols() != names.len() {
        return Err(Error::failed(format!(
            "{} columns but {} names",
            matrix.ncols(),
            names.len()
        )));
    }
    let columns = names
        .iter()
        .zip(matrix.columns())
        .map(|(name, column)| Column::new(name.as_ref().into(), to_vec(column)))
        .collect();
    DataFrame::new(matrix.nrows(), columns).context(|| "cannot make a table of the result")
}

/// The column names.
pub fn names(x: &DataFrame) -> Vec<String> {
    x.columns().iter().map(|c| c.name().to_string()).collect()
}

fn to_vec(column: ArrayView1<'_, f64>) -> Vec<f64> {
    column.iter().copied().collect()
}

fn shaped(rows: usize, width: usize, values: Vec<f64>) -> Result<Array2<f64>> {
    Array2::from_shape_vec((rows, width), values).context(|| "cannot shape the table")
}

impl crate::error::IntoError for ndarray::ShapeError {}

fn hole(column: &Column, what: &str) -> Error {
    Error::invalid(format!("column {} {what}", column.name()))
        .hint("put imputer| in front of the model, or drop these rows")
}

fn not_numeric(column: &Column) -> Error {
    let name = column.name();
    let dtype = column.dtype();
    if is_text(dtype) {
        Error::invalid(format!("column {name} is text, not numbers"))
            .hint("put one-hot| or ordinal| in front of the model")
    } else {
        Error::invalid(format!("column {name} is {dtype}, not numbers"))
            .hint(format!("leave it out with the projection [^{name}]"))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use ndarray::array;
    use polars::prelude::df;

    #[test]
    fn numbers_and_booleans_become_a_matrix() {
        let x = df!("a" => [1.5, 2.5], "b" => [1_i64, -2], "c" => [true, false]).unwrap();
        let expected = array![[1.5, 1.0, 1.0], [2.5, -2.0, 0.0]];
        assert_eq!(dense(&x).unwrap(), expected);
        assert_eq!(dense_by_column(&x).unwrap(), expected);
        assert_eq!(frame(expected, &["a", "b", "c"]).unwrap().width(), 3);
    }

    #[test]
    fn large_tables_keep_their_order() {
        let rows = PARALLEL_ROWS + 7;
        let a: Vec<f64> = (0..rows).map(|i| i as f64).collect();
        let b: Vec<f64> = a.iter().map(|v| -v).collect();
        let x = dense(&df!("a" => a, "b" => b).unwrap()).unwrap();
        assert!((0..rows).all(|i| x[[i, 0]] == i as f64 && x[[i, 1]] == -(i as f64)));
    }

    #[test]
    fn text_nulls_and_nan_are_refused_by_name() {
        let x = df!("ok" => [1.0, 2.0], "s" => ["a", "b"]).unwrap();
        let error = dense(&x).unwrap_err();
        assert_eq!(error.message(), "column s is text, not numbers");
        assert!(error.hint_text().unwrap().contains("one-hot|"));
        let x = df!("n" => [Some(1.0), None]).unwrap();
        assert_eq!(dense(&x).unwrap_err().message(), "column n has nulls");
        let x = df!("n" => [1.0, f64::NAN]).unwrap();
        assert!(dense(&x).unwrap_err().message().contains("NaN"));
        let x = df!("n" => [1_f64, f64::NEG_INFINITY]).unwrap();
        assert!(dense(&x).unwrap_err().message().contains("infinite"));
    }
}
