//! Dense linear algebra that several algorithms need: Cholesky factors and eigenvectors
//! of symmetric matrices. linfa-linalg is no dependency of ours, and linfa's own use of
//! it (LOBPCG with a loose tolerance, unsorted values, panics) does not reach 1e-6.

use super::input;
use crate::error::{Error, Result};
use ndarray::{Array1, Array2, ArrayView1, ArrayView2, Axis};
use rand_xoshiro::Xoshiro256PlusPlus as Random;
use rand_xoshiro::rand_core::SeedableRng;

/// Matrices up to this size are decomposed whole.
const WHOLE: usize = 600;

/// The lower triangle L with L·Lᵀ = `a`; none if `a` is not positive definite.
pub(super) fn cholesky(a: ArrayView2<'_, f64>) -> Option<Array2<f64>> {
    let n = a.nrows();
    let mut l = Array2::<f64>::zeros((n, n));
    for i in 0..n {
        for j in 0..=i {
            let known: f64 = (0..j).map(|k| l[[i, k]] * l[[j, k]]).sum();
            let rest = a[[i, j]] - known;
            if i == j {
                if !(rest > 0.0 && rest.is_finite()) {
                    return None;
                }
                l[[i, i]] = rest.sqrt();
            } else {
                l[[i, j]] = rest / l[[j, j]];
            }
        }
    }
    Some(l)
}

/// The inverse of a lower triangle without zeros on its diagonal.
pub(super) fn inverse_of_lower(l: &Array2<f64>) -> Array2<f64> {
    let n = l.nrows();
    let mut inverse = Array2::<f64>::zeros((n, n));
    for column in 0..n {
        for i in column..n {
            let known: f64 = (column..i).map(|k| l[[i, k]] * inverse[[k, column]]).sum();
            let one = if i == column { 1.0 } else { 0.0 };
            inverse[[i, column]] = (one - known) / l[[i, i]];
        }
    }
    inverse
}

/// Eigenvalues in descending order and their eigenvectors, one a row, of length 1, the
/// largest coordinate positive.
#[derive(Debug)]
pub(super) struct Eigen {
    pub values: Array1<f64>,
    pub vectors: Array2<f64>,
}

impl Eigen {
    /// The first `k`.
    fn first(self, k: usize) -> Self {
        let keep: Vec<usize> = (0..k.min(self.values.len())).collect();
        Eigen {
            values: self.values.select(Axis(0), &keep),
            vectors: self.vectors.select(Axis(0), &keep),
        }
    }

    /// How many values differ from zero, given rounding in a matrix of that size.
    pub(super) fn rank(&self) -> usize {
        let largest = self.values.iter().fold(0.0_f64, |m, v| m.max(v.abs()));
        let zero = largest * f64::EPSILON * self.values.len().max(10) as f64 * 4.0;
        self.values.iter().filter(|v| **v > zero).count()
    }
}

/// Turns rows so that their largest coordinate is positive, as scikit-learn does.
pub(super) fn settle_signs(vectors: &mut Array2<f64>) {
    for mut row in vectors.rows_mut() {
        let mut largest = 0.0_f64;
        for value in &row {
            if value.abs() > largest.abs() {
                largest = *value;
            }
        }
        if largest < 0.0 {
            row.mapv_inplace(|v| -v);
        }
    }
}

/// All eigenvectors of a symmetric matrix: Householder's reduction to three diagonals,
/// then implicit QL (Wilkinson and Reinsch 1971).
pub(super) fn eigen(a: Array2<f64>) -> Result<Eigen> {
    let n = a.nrows();
    if a.iter().any(|v| !v.is_finite()) {
        let message = "the columns' products are beyond double precision";
        return Err(Error::invalid(message));
    }
    let mut rows: Vec<Vec<f64>> = a.rows().into_iter().map(|row| row.to_vec()).collect();
    let mut off = vec![0.0_f64; n];
    let mut turns: Vec<Vec<f64>> = Array2::<f64>::eye(n)
        .rows()
        .into_iter()
        .map(|row| row.to_vec())
        .collect();
    let mut across = vec![0.0; n];
    for k in 0..n.saturating_sub(2) {
        let mut v: Vec<f64> = rows[k + 1..].iter().map(|row| row[k]).collect();
        if v[1..].iter().all(|x| *x == 0.0) {
            off[k] = v[0];
            continue;
        }
        let alpha = -dot(&v, &v).sqrt().copysign(v[0]);
        v[0] -= alpha;
        let length = dot(&v, &v).sqrt();
        v.iter_mut().for_each(|x| *x /= length);
        off[k] = alpha;
        // The rest of the matrix between two reflections I - 2vvᵀ.
        let rest = &mut rows[k + 1..];
        let mut p: Vec<f64> = rest
            .iter()
            .map(|row| 2.0 * dot(&row[k + 1..], &v))
            .collect();
        let along = dot(&p, &v);
        p.iter_mut().zip(&v).for_each(|(p, v)| *p -= along * v);
        for ((row, v_i), p_i) in rest.iter_mut().zip(&v).zip(&p) {
            for ((x, v_j), p_j) in row[k + 1..].iter_mut().zip(&v).zip(&p) {
                *x -= v_i * p_j + p_i * v_j;
            }
        }
        across.fill(0.0);
        for (x, row) in v.iter().zip(&turns[k + 1..]) {
            add(&mut across, 2.0 * x, row);
        }
        for (x, row) in v.iter().zip(&mut turns[k + 1..]) {
            add(row, -x, &across);
        }
    }
    if n >= 2 {
        off[n - 2] = rows[n - 1][n - 2];
    }
    let mut values: Vec<f64> = rows.iter().enumerate().map(|(i, row)| row[i]).collect();
    implicit_ql(&mut values, &mut off, &mut turns)?;
    let mut order: Vec<usize> = (0..n).collect();
    order.sort_by(|i, j| values[*j].total_cmp(&values[*i]));
    let mut vectors = Array2::zeros((n, n));
    for (mut vector, i) in vectors.rows_mut().into_iter().zip(&order) {
        vector.assign(&ArrayView1::from(&turns[*i]));
    }
    settle_signs(&mut vectors);
    Ok(Eigen {
        values: order.iter().map(|i| values[*i]).collect(),
        vectors,
    })
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    ArrayView1::from(a).dot(&ArrayView1::from(b))
}

fn add(sum: &mut [f64], factor: f64, row: &[f64]) {
    for (sum, x) in sum.iter_mut().zip(row) {
        *sum += factor * x;
    }
}

/// Makes the matrix with diagonals `values` and `off` diagonal, turning the rows of
/// `turns` along.
fn implicit_ql(values: &mut [f64], off: &mut [f64], turns: &mut [Vec<f64>]) -> Result<()> {
    let n = values.len();
    for l in 0..n {
        for attempt in 0.. {
            let split = (l..n - 1).find(|m| {
                off[*m].abs() <= f64::EPSILON * (values[*m].abs() + values[*m + 1].abs())
            });
            let m = split.unwrap_or(n - 1);
            if m == l {
                break;
            }
            if attempt == 100 {
                return Err(Error::failed("eigenvalues were not found in 100 steps"));
            }
            let mut g = (values[l + 1] - values[l]) / (2.0 * off[l]);
            let r = g.hypot(1.0);
            g = values[m] - values[l] + off[l] / (g + r.copysign(g));
            let (mut sin, mut cos, mut p) = (1.0, 1.0, 0.0);
            let mut early = false;
            for i in (l..m).rev() {
                let f = sin * off[i];
                let b = cos * off[i];
                let r = f.hypot(g);
                off[i + 1] = r;
                if r == 0.0 {
                    values[i + 1] -= p;
                    off[m] = 0.0;
                    early = true;
                    break;
                }
                sin = f / r;
                cos = g / r;
                g = values[i + 1] - p;
                let t = (values[i] - g) * sin + 2.0 * cos * b;
                p = sin * t;
                values[i + 1] = g + p;
                g = cos * t - b;
                let (low, high) = turns.split_at_mut(i + 1);
                let (Some(low), Some(high)) = (low.last_mut(), high.first_mut()) else {
                    continue;
                };
                for (a, b) in low.iter_mut().zip(high.iter_mut()) {
                    let before = *b;
                    *b = sin * *a + cos * before;
                    *a = cos * *a - sin * before;
                }
            }
            if !early {
                values[l] -= p;
                off[l] = g;
                off[m] = 0.0;
            }
        }
    }
    Ok(())
}

/// The `k` largest eigenvalues of a symmetric matrix without large negative ones, and
/// their vectors; of a big matrix by subspace iteration (Rutishauser 1970).
pub(super) fn largest(a: &Array2<f64>, k: usize) -> Result<Eigen> {
    let n = a.nrows();
    if n <= WHOLE || 4 * k >= n {
        return Ok(eigen(a.clone())?.first(k));
    }
    iterate(a, k)
}

fn iterate(a: &Array2<f64>, k: usize) -> Result<Eigen> {
    let n = a.nrows();
    let width = (k + k.max(8)).min(n);
    let mut random = Random::seed_from_u64(0);
    let mut basis = Array2::from_shape_simple_fn((width, n), || input::normal(&mut random));
    let mut before: Option<Array1<f64>> = None;
    for _ in 0..500 {
        orthonormalise(&mut basis);
        let image = basis.dot(a);
        let small = image.dot(&basis.t());
        let ritz = eigen((&small + &small.t()) / 2.0)?;
        let vectors = ritz.vectors.dot(&basis);
        let scale = ritz.values.first().copied().unwrap_or(0.0).abs();
        let settled = before.as_ref().is_some_and(|before| {
            let pairs = before.iter().zip(&ritz.values).take(k);
            pairs
                .into_iter()
                .all(|(a, b)| (a - b).abs() <= 1e-14 * scale)
        });
        if settled || scale == 0.0 {
            let mut found = Eigen {
                values: ritz.values,
                vectors,
            }
            .first(k);
            settle_signs(&mut found.vectors);
            return Ok(found);
        }
        before = Some(ritz.values);
        basis = ritz.vectors.dot(&image);
    }
    Err(
        Error::failed("the largest eigenvalues were not found in 500 steps")
            .hint("ask for fewer components or fewer rows"),
    )
}

/// Gram and Schmidt, twice against rounding; rows that vanish become zero.
fn orthonormalise(rows: &mut Array2<f64>) {
    for _ in 0..2 {
        for i in 0..rows.nrows() {
            let (done, mut rest) = rows.view_mut().split_at(Axis(0), i);
            let mut row = rest.row_mut(0);
            for other in done.rows() {
                let along = other.dot(&row);
                row.scaled_add(-along, &other);
            }
            let length = row.dot(&row).sqrt();
            if length > 1e-300 {
                row /= length;
            } else {
                row.fill(0.0);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    fn symmetric(n: usize, values: &[f64]) -> Array2<f64> {
        Array2::from_shape_fn((n, n), |(i, j)| values[i.max(j) * n + i.min(j)])
    }

    fn error(a: &Array2<f64>, eigen: &Eigen) -> f64 {
        let residual =
            eigen.vectors.dot(a) - &eigen.vectors * &eigen.values.view().insert_axis(Axis(1));
        let scale = a.iter().fold(1e-300_f64, |m, v| m.max(v.abs()));
        residual.iter().fold(0.0_f64, |m, v| m.max(v.abs())) / scale
    }

    proptest! {
        #[test]
        fn eigenvectors_are_kept_by_the_matrix_and_orthonormal(
            n in 1_usize..12,
            values in prop::collection::vec(prop_oneof![Just(0.0), -9.0..9.0], 144),
        ) {
            let a = symmetric(n, &values);
            let found = eigen(a.clone()).unwrap();
            prop_assert!(error(&a, &found) < 1e-12);
            let gram = found.vectors.dot(&found.vectors.t()) - Array2::<f64>::eye(n);
            prop_assert!(gram.iter().all(|v| v.abs() < 1e-12));
            prop_assert!(found.values.windows(2).into_iter().all(|w| w[0] >= w[1]));
        }

        #[test]
        fn cholesky_and_inverse(n in 1_usize..8, values in prop::collection::vec(-3.0..3.0, 64)) {
            let square = Array2::from_shape_vec((n, n), values[..n * n].to_vec()).unwrap();
            let a = square.dot(&square.t()) + Array2::<f64>::eye(n);
            let l = cholesky(a.view()).unwrap();
            prop_assert!((l.dot(&l.t()) - &a).iter().all(|v| v.abs() < 1e-10));
            let one = l.dot(&inverse_of_lower(&l)) - Array2::<f64>::eye(n);
            prop_assert!(one.iter().all(|v| v.abs() < 1e-10));
            prop_assert!(cholesky((-&a).view()).is_none());
        }
    }

    #[test]
    fn subspace_iteration_finds_what_the_whole_decomposition_finds() {
        let n = 120;
        let mut random = Random::seed_from_u64(1);
        let x = Array2::from_shape_simple_fn((n, 6), || input::normal(&mut random));
        let mut a = x.dot(&x.t());
        a.diag_mut().mapv_inplace(|v| v + 1.0);
        let found = iterate(&a, 3).unwrap();
        assert!(error(&a, &found) < 1e-8);
        // The same six values belong to the small product.
        let small = eigen(x.t().dot(&x)).unwrap();
        for (a, b) in found.values.iter().zip(&small.values) {
            assert!((a - b - 1.0).abs() < 1e-9 * a);
        }
    }
}
