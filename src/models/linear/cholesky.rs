//! Cholesky factors of symmetric positive definite matrices.

use super::qr::dot;
use ndarray::{Array2, ArrayViewMut1};

/// `L` with `D L Lᵀ D = A`, where `D` makes the diagonal of `A` one: that keeps columns of
/// different scale from spoiling each other.
pub struct Cholesky {
    /// The rows of `L` up to the diagonal.
    lower: Vec<Vec<f64>>,
    scale: Vec<f64>,
    /// The smallest pivot of the scaled matrix: 1 for independent columns, 0 for dependent.
    pub least_pivot: f64,
}

impl Cholesky {
    /// The factor; none if a pivot of the scaled matrix is below `floor`.
    pub fn new(a: &Array2<f64>, floor: f64) -> Option<Self> {
        let scale: Vec<f64> = a.diag().iter().map(|v| v.sqrt()).collect();
        if scale.iter().any(|s| !s.is_finite() || *s <= 0.0) {
            return None;
        }
        let mut lower: Vec<Vec<f64>> = Vec::with_capacity(scale.len());
        let mut least_pivot = f64::INFINITY;
        for (i, (values, by)) in a.rows().into_iter().zip(&scale).enumerate() {
            let mut row: Vec<f64> = Vec::with_capacity(i + 1);
            for ((above, value), scale) in lower.iter().zip(values).zip(&scale) {
                let (before, diagonal) = split(above);
                row.push((value / (by * scale) - dot(before, &row)) / diagonal);
            }
            let pivot = 1.0 - dot(&row, &row);
            if pivot.is_nan() || pivot < floor || pivot <= 0.0 {
                return None;
            }
            least_pivot = least_pivot.min(pivot);
            row.push(pivot.sqrt());
            lower.push(row);
        }
        Some(Cholesky {
            lower,
            scale,
            least_pivot,
        })
    }

    /// Solves `A z = b` in place.
    pub fn solve(&self, mut b: ArrayViewMut1<'_, f64>) {
        let mut z: Vec<f64> = Vec::with_capacity(self.scale.len());
        for ((row, scale), b) in self.lower.iter().zip(&self.scale).zip(&b) {
            let (before, diagonal) = split(row);
            z.push((b / scale - dot(before, &z)) / diagonal);
        }
        for (i, row) in self.lower.iter().enumerate().rev() {
            let (before, diagonal) = split(row);
            let (above, below) = z.split_at_mut(i);
            if let Some(own) = below.first_mut() {
                *own /= diagonal;
                for (value, factor) in above.iter_mut().zip(before) {
                    *value -= *own * factor;
                }
            }
        }
        for ((b, z), scale) in b.iter_mut().zip(z).zip(&self.scale) {
            *b = z / scale;
        }
    }
}

/// A row of `L` before its diagonal, and the diagonal.
fn split(row: &[f64]) -> (&[f64], f64) {
    row.split_last()
        .map_or((&[], 1.0), |(diagonal, before)| (before, *diagonal))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use ndarray::array;

    #[test]
    fn solves_and_refuses_dependent_columns() {
        let a = array![[4.0, 2.0, 0.4], [2.0, 3.0, 0.1], [0.4, 0.1, 9e6]];
        let z = array![1.0, -2.0, 3.0];
        let mut b = a.dot(&z);
        Cholesky::new(&a, 1e-8).unwrap().solve(b.view_mut());
        assert!((&b - &z).iter().all(|d| d.abs() < 1e-12));
        assert!(Cholesky::new(&array![[1.0, 2.0], [2.0, 4.0]], 1e-8).is_none());
    }
}
