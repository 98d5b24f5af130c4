//! Least squares with an optional quadratic penalty:
//! min |Y - X W|² + alpha |W|², of least norm where the columns depend on each other.
//!
//! The normal equations are tried first: one pass over the data. Where their smallest
//! pivot says that digits would be lost, an orthogonal reduction of the data follows,
//! which loses none and finds the rank.

use super::cholesky::Cholesky;
use super::design::Design;
use super::gram::{Gram, gram};
use super::qr::{dot, pivoted_triangle, triangle};
use ndarray::{Array2, ArrayView1, Axis, Slice};

/// Below this pivot of the scaled normal equations the reduction takes over.
const SAFE_PIVOT: f64 = 1e-7;

/// Below this pivot one step of refinement follows.
const EXACT_PIVOT: f64 = 1e-2;

/// The coefficients, outputs × columns; `y` is outputs × rows and centred as the design is.
pub fn least_squares(design: &Design<'_>, y: &Array2<f64>, alpha: f64) -> Array2<f64> {
    if alpha > 0.0 || design.width() < design.rows() {
        let Gram { mut xx, xy } = gram(design, y);
        // A constant column is all zero once centred; any pivot gives it the coefficient 0.
        let penalised = |v: f64| if v + alpha > 0.0 { v + alpha } else { 1.0 };
        xx.diag_mut().mapv_inplace(penalised);
        if let Some(factor) = Cholesky::new(&xx, SAFE_PIVOT) {
            let mut w = xy.t().as_standard_layout().into_owned();
            w.rows_mut().into_iter().for_each(|row| factor.solve(row));
            if factor.least_pivot < EXACT_PIVOT {
                refine(design, y, alpha, &factor, &mut w);
            }
            return w;
        }
        let scale = xx.diag().iter().map(|v| v.sqrt()).collect();
        return reduced(design, y, alpha, scale);
    }
    let squares = design.sum(
        || vec![0.0; design.width()],
        |sum, block, _| {
            for (sum, row) in sum.iter_mut().zip(block.rows()) {
                *sum += row.dot(&row);
            }
        },
        |sum, part| {
            sum.iter_mut()
                .zip(part)
                .for_each(|(sum, part)| *sum += part)
        },
    );
    reduced(
        design,
        y,
        alpha,
        squares.into_iter().map(f64::sqrt).collect(),
    )
}

/// Adds the solution for what `w` leaves over.
fn refine(
    design: &Design<'_>,
    y: &Array2<f64>,
    alpha: f64,
    factor: &Cholesky,
    w: &mut Array2<f64>,
) {
    let width = design.width();
    let mut left = design.sum(
        || Array2::<f64>::zeros(w.dim()),
        |sum, block, rows| {
            let x = block.slice_axis(Axis(0), Slice::from(..width));
            let residual = &y.slice_axis(Axis(1), Slice::from(rows)) - &w.dot(&x);
            *sum += &residual.dot(&x.t());
        },
        |sum, part| *sum += &part,
    );
    left.scaled_add(-alpha, w);
    left.rows_mut()
        .into_iter()
        .for_each(|row| factor.solve(row));
    *w += &left;
}

/// The solution by orthogonal reduction; `scale` holds the lengths of the columns.
fn reduced(design: &Design<'_>, y: &Array2<f64>, alpha: f64, scale: Vec<f64>) -> Array2<f64> {
    let (width, outputs) = (design.width(), y.nrows());
    let scale: Vec<f64> = scale
        .into_iter()
        .map(|s| if s > 0.0 { s } else { 1.0 })
        .collect();
    let mut columns = triangle_of(design, y, &scale);
    if alpha > 0.0 {
        for (j, column) in columns.iter_mut().enumerate() {
            let top = column.len();
            column.resize(top + width, 0.0);
            if let (Some(cell), Some(scale)) = (column.get_mut(top + j), scale.get(j))
                && j < width
            {
                *cell = alpha.sqrt() / scale;
            }
        }
        triangle(&mut columns, width);
    }
    let tolerance = f64::EPSILON * design.rows().max(width).max(1000) as f64;
    let (order, rank) = pivoted_triangle(&mut columns, width, tolerance);
    let (left, right) = columns.split_at(width);
    // The rows of the triangle in the order and scale of the table, as columns.
    let mut rows = vec![vec![0.0; width]; rank];
    for (column, place) in left.iter().zip(&order) {
        let scale = scale.get(*place).copied().unwrap_or(1.0);
        for (row, value) in rows.iter_mut().zip(column) {
            if let Some(cell) = row.get_mut(*place) {
                *cell = value * scale;
            }
        }
    }
    let reflections = triangle(&mut rows, rank);
    let mut w = Array2::zeros((outputs, width));
    for (mut w, y) in w.rows_mut().into_iter().zip(right) {
        let mut solution = forward(&rows, y);
        solution.resize(width, 0.0);
        for reflection in reflections.iter().rev() {
            reflection.apply(&mut solution);
        }
        w.assign(&ArrayView1::from(solution.as_slice()));
    }
    w
}

/// Solves `Rᵀ z = y` for the triangle held in `columns`.
fn forward(columns: &[Vec<f64>], y: &[f64]) -> Vec<f64> {
    let mut z: Vec<f64> = Vec::with_capacity(columns.len());
    for (i, column) in columns.iter().enumerate() {
        let above = column.get(..i).unwrap_or_default();
        let value = y.get(i).copied().unwrap_or(0.0) - dot(above, &z);
        let pivot = column.get(i).copied().unwrap_or(1.0);
        z.push(if pivot == 0.0 { 0.0 } else { value / pivot });
    }
    z
}

/// The upper triangle of the scaled columns and what it turns the targets into, as columns.
fn triangle_of(design: &Design<'_>, y: &Array2<f64>, scale: &[f64]) -> Vec<Vec<f64>> {
    let (width, outputs) = (design.width(), y.nrows());
    // Several blocks are gathered, so that a reduction is not mostly the triangle before.
    let enough = 3 * width + 64;
    let fold = |columns: &mut Vec<Vec<f64>>| {
        triangle(columns, width);
        columns.iter_mut().for_each(|column| column.truncate(width));
    };
    let mut sum = design.sum(
        || vec![Vec::new(); width + outputs],
        |columns, block, rows| {
            for ((column, values), scale) in columns.iter_mut().zip(block.rows()).zip(scale) {
                column.extend(values.iter().map(|value| value / scale));
            }
            for (column, values) in columns.iter_mut().skip(width).zip(y.rows()) {
                column.extend(values.slice_axis(Axis(0), Slice::from(rows.clone())).iter());
            }
            if columns.first().map_or(0, Vec::len) >= enough {
                fold(columns);
            }
        },
        |columns, part| {
            for (column, part) in columns.iter_mut().zip(part) {
                column.extend(part);
            }
            fold(columns);
        },
    );
    fold(&mut sum);
    sum
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::gram::targets;
    use super::*;
    use ndarray::{Array1, array};
    use polars::prelude::df;

    #[test]
    fn dependent_columns_get_the_solution_of_least_norm() {
        let a: Vec<f64> = (0..50).map(|i| f64::from(i % 7)).collect();
        let b: Vec<f64> = a.iter().map(|v| 2.0 * v).collect();
        let y: Vec<f64> = a.iter().map(|v| 10.0 * v + 3.0).collect();
        let x = df!("a" => a, "b" => b, "c" => [4.0; 50]).unwrap();
        let design = Design::new(&x, true).unwrap();
        let y = Array1::from(y).insert_axis(ndarray::Axis(1));
        let (y, means) = targets(&design, y.view());
        let w = least_squares(&design, &y, 0.0);
        let expected = array![[2.0, 4.0, 0.0]];
        assert!((&w - &expected).iter().all(|d| d.abs() < 1e-12), "{w}");
        assert!(
            (means[0]
                - w.row(0)
                    .dot(&array![design.means()[0], design.means()[1], 4.0])
                - 3.0)
                .abs()
                < 1e-10
        );
    }

    #[test]
    fn both_ways_agree_on_nearly_dependent_columns() {
        let rows = 3000;
        let noise = |i: usize, k: usize| ((i * 7919 + k * 104_729) % 1009) as f64 / 1009.0;
        let a: Vec<f64> = (0..rows).map(|i| noise(i, 1)).collect();
        let b: Vec<f64> = (0..rows)
            .map(|i| noise(i, 1) + 1e-3 * noise(i, 2))
            .collect();
        let y: Vec<f64> = (0..rows).map(|i| noise(i, 1) - 2.0 * noise(i, 3)).collect();
        let x = df!("a" => a, "b" => b).unwrap();
        let design = Design::new(&x, true).unwrap();
        let y = Array1::from(y).insert_axis(ndarray::Axis(1));
        let (y, _) = targets(&design, y.view());
        for alpha in [0.0, 0.5] {
            let one = least_squares(&design, &y, alpha);
            let scale = gram(&design, &y)
                .xx
                .diag()
                .mapv(|v| (v + alpha).sqrt())
                .to_vec();
            let other = reduced(&design, &y, alpha, scale);
            assert!(
                (&one - &other).iter().all(|d| d.abs() < 1e-8),
                "{one} {other}"
            );
        }
    }

    #[test]
    fn wide_tables_are_fitted_exactly() {
        let x = df!("a" => [1.0, 2.0], "b" => [3.0, 1.0], "c" => [0.0, 5.0]).unwrap();
        let design = Design::new(&x, false).unwrap();
        let y = array![[1.0, 2.0]];
        let w = least_squares(&design, &y, 0.0);
        let fitted = [
            w[[0, 0]] + 3.0 * w[[0, 1]],
            2.0 * w[[0, 0]] + w[[0, 1]] + 5.0 * w[[0, 2]],
        ];
        assert!((fitted[0] - 1.0).abs() < 1e-12 && (fitted[1] - 2.0).abs() < 1e-12);
    }
}
