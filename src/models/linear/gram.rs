//! Sums of squares and products of a centred table and its targets.

use super::design::{Design, mean};
use ndarray::linalg::general_mat_mul;
use ndarray::{Array2, ArrayView2, Axis, Slice};

/// Rows that a symmetric product is computed in.
const PANEL: usize = 64;

/// `XᵀX` and `XᵀY` of the centred columns.
pub struct Gram {
    /// columns × columns.
    pub xx: Array2<f64>,
    /// columns × outputs.
    pub xy: Array2<f64>,
}

/// Targets as outputs × rows, centred if the design is, and their means.
pub fn targets(design: &Design<'_>, y: ArrayView2<'_, f64>) -> (Array2<f64>, Vec<f64>) {
    let mut y = y.t().as_standard_layout().into_owned();
    let means = y
        .rows_mut()
        .into_iter()
        .map(|mut row| {
            if !design.intercept() {
                return 0.0;
            }
            let mean = row.as_slice().map_or(0.0, mean);
            row -= mean;
            mean
        })
        .collect();
    (y, means)
}

/// The sums; `y` is outputs × rows.
pub fn gram(design: &Design<'_>, y: &Array2<f64>) -> Gram {
    let (width, outputs) = (design.width(), y.nrows());
    let mut gram = design.sum(
        || Gram {
            xx: Array2::zeros((width, width)),
            xy: Array2::zeros((width, outputs)),
        },
        |sum, block, rows| {
            let x = block.slice_axis(Axis(0), Slice::from(..width));
            add_products(&x, &x, &mut sum.xx);
            let y = y.slice_axis(Axis(1), Slice::from(rows));
            general_mat_mul(1.0, &x, &y.t(), 1.0, &mut sum.xy);
        },
        |sum, part| {
            sum.xx += &part.xx;
            sum.xy += &part.xy;
        },
    );
    mirror(&mut gram.xx);
    gram
}

/// Adds `a bᵀ`, which is symmetric, to `sum`: the lower triangle in panels of rows, and
/// what of the upper the panels happen to cover.
pub fn add_products(a: &ArrayView2<'_, f64>, b: &ArrayView2<'_, f64>, sum: &mut Array2<f64>) {
    let width = sum.nrows();
    for start in (0..width).step_by(PANEL) {
        let end = (start + PANEL).min(width);
        let a = a.slice_axis(Axis(0), Slice::from(start..end));
        let b = b.slice_axis(Axis(0), Slice::from(..end));
        let mut part = sum.slice_axis_mut(Axis(0), Slice::from(start..end));
        part.slice_axis_inplace(Axis(1), Slice::from(..end));
        general_mat_mul(1.0, &a, &b.t(), 1.0, &mut part);
    }
}

/// Copies the lower triangle to the upper.
pub fn mirror(sum: &mut Array2<f64>) {
    for i in 0..sum.nrows() {
        for j in 0..i {
            sum[[j, i]] = sum[[i, j]];
        }
    }
}
