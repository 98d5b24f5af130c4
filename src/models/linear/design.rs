//! The table that a linear model learns from: columns of numbers, centred when there is
//! an intercept, handed out in blocks of rows.
//!
//! Centring changes the intercept only and keeps sums of squares well conditioned.

use crate::error::{Error, Result};
use crate::models::matrix;
use ndarray::Array2;
use polars::prelude::DataFrame;
use rayon::prelude::*;
use std::borrow::Cow;
use std::ops::Range;

/// A block's size in numbers: half of a common L2 cache.
const BLOCK_NUMBERS: usize = 32 * 1024;

/// Sums are split in this many parts whatever the number of cores, so that the result
/// does not depend on it.
const PARTS: usize = 16;

/// Columns of equal length and the means that are taken off them.
pub struct Design<'a> {
    columns: Vec<Cow<'a, [f64]>>,
    means: Vec<f64>,
    names: Vec<String>,
    rows: usize,
    intercept: bool,
}

impl<'a> Design<'a> {
    /// The columns of `x`; centred if `intercept`.
    pub fn new(x: &'a DataFrame, intercept: bool) -> Result<Self> {
        let columns = matrix::columns(x)?;
        if columns.is_empty() || x.height() == 0 {
            return Err(Error::invalid("the table has no columns or no rows"));
        }
        let means = if intercept {
            columns.par_iter().map(|column| mean(column)).collect()
        } else {
            vec![0.0; columns.len()]
        };
        Ok(Design {
            columns,
            means,
            names: matrix::names(x),
            rows: x.height(),
            intercept,
        })
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Number of columns, the intercept not counted.
    pub fn width(&self) -> usize {
        self.columns.len()
    }

    /// Whether there is an intercept.
    pub fn intercept(&self) -> bool {
        self.intercept
    }

    /// Column names.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// What is taken off each column.
    pub fn means(&self) -> &[f64] {
        &self.means
    }

    /// The values of one column, not centred.
    pub fn column(&self, j: usize) -> &[f64] {
        self.columns.get(j).map_or(&[], |column| column)
    }

    /// Columns of a block: those of the table and one of ones if there is an intercept.
    pub fn block_width(&self) -> usize {
        self.width() + usize::from(self.intercept)
    }

    /// The rows of each block, in order.
    pub fn blocks(&self) -> Vec<Range<usize>> {
        let size = (BLOCK_NUMBERS / self.block_width()).clamp(64, 4096);
        (0..self.rows)
            .step_by(size)
            .map(|start| start..(start + size).min(self.rows))
            .collect()
    }

    /// Writes the centred block `rows` into `block`, one row of it for each column; the
    /// last row is ones if there is an intercept.
    pub fn fill(&self, rows: &Range<usize>, block: &mut Array2<f64>) {
        let shape = (self.block_width(), rows.len());
        if block.dim() != shape {
            *block = Array2::ones(shape);
        }
        let cells = block.rows_mut().into_iter();
        for ((mut cells, column), mean) in cells.zip(&self.columns).zip(&self.means) {
            let values = column.get(rows.clone()).unwrap_or_default();
            for (cell, value) in cells.iter_mut().zip(values) {
                *cell = value - mean;
            }
        }
    }

    /// Adds up over all blocks on all cores: `add` gets the sum so far, the block and its
    /// rows; the part sums are joined in order by `join`.
    pub fn sum<T: Send>(
        &self,
        zero: impl Fn() -> T + Sync,
        add: impl Fn(&mut T, &Array2<f64>, Range<usize>) + Sync,
        join: impl Fn(&mut T, T),
    ) -> T {
        let blocks = self.blocks();
        let part = blocks.len().div_ceil(PARTS).max(1);
        let parts: Vec<T> = blocks
            .par_chunks(part)
            .map(|blocks| {
                let mut sum = zero();
                let mut block = Array2::ones((0, 0));
                for rows in blocks {
                    self.fill(rows, &mut block);
                    add(&mut sum, &block, rows.clone());
                }
                sum
            })
            .collect();
        let mut parts = parts.into_iter();
        let mut sum = parts.next().unwrap_or_else(&zero);
        parts.for_each(|part| join(&mut sum, part));
        sum
    }
}

/// The mean; exact for a constant column, so that centring makes it zero.
pub fn mean(values: &[f64]) -> f64 {
    let first = values.first().copied().unwrap_or(0.0);
    if values.iter().all(|value| *value == first) {
        return first;
    }
    // Off the first value, so that a large offset costs no digits.
    let sum: f64 = values.iter().map(|value| value - first).sum();
    first + sum / values.len() as f64
}
