//! Probabilities from decision values: Platt's sigmoid by Newton's method (Lin, Lin,
//! Weng 2007) and the coupling of pairs of classes (Wu, Lin, Weng 2004, second method).
//! Own code: linfa's stops with an error where the line search has nothing left to gain.

use ndarray::Array2;
use serde::{Deserialize, Serialize};

/// 1 / (1 + exp(a·value + b)).
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub(super) struct Sigmoid {
    a: f64,
    b: f64,
}

impl Sigmoid {
    /// The most likely sigmoid for values and whether they were of the first class.
    pub(super) fn fit(values: &[f64], first: &[bool]) -> Self {
        let count = first.iter().filter(|f| **f).count() as f64;
        let others = first.len() as f64 - count;
        let goal = |is_first: bool| {
            if is_first {
                (count + 1.0) / (count + 2.0)
            } else {
                1.0 / (others + 2.0)
            }
        };
        let loss = |s: Sigmoid| -> f64 {
            let one = |(value, is_first): (&f64, &bool)| {
                let (z, t) = (s.a * value + s.b, goal(*is_first));
                if z >= 0.0 {
                    t * z + (-z).exp().ln_1p()
                } else {
                    (t - 1.0) * z + z.exp().ln_1p()
                }
            };
            values.iter().zip(first).map(one).sum()
        };
        let mut now = Sigmoid {
            a: 0.0,
            b: ((others + 1.0) / (count + 1.0)).ln(),
        };
        let mut now_loss = loss(now);
        for _ in 0..100 {
            let (mut h11, mut h22, mut h21) = (1e-12, 1e-12, 0.0);
            let (mut g1, mut g2) = (0.0, 0.0);
            for (value, is_first) in values.iter().zip(first) {
                let p = now.at(*value);
                let curve = p * (1.0 - p);
                let slope = goal(*is_first) - p;
                h11 += value * value * curve;
                h22 += curve;
                h21 += value * curve;
                g1 += value * slope;
                g2 += slope;
            }
            if g1.abs() < 1e-5 && g2.abs() < 1e-5 {
                break;
            }
            let det = h11 * h22 - h21 * h21;
            let (da, db) = (-(h22 * g1 - h21 * g2) / det, -(h11 * g2 - h21 * g1) / det);
            let gain = g1 * da + g2 * db;
            let mut step = 1.0;
            let better = loop {
                let next = Sigmoid {
                    a: now.a + step * da,
                    b: now.b + step * db,
                };
                let next_loss = loss(next);
                if next_loss < now_loss + 1e-4 * step * gain {
                    break Some((next, next_loss));
                }
                step /= 2.0;
                if step < 1e-10 {
                    break None;
                }
            };
            let Some(better) = better else {
                break;
            };
            (now, now_loss) = better;
        }
        now
    }

    /// The probability of the first class, kept off 0 and 1 as libsvm does.
    pub(super) fn at(self, value: f64) -> f64 {
        let z = self.a * value + self.b;
        let p = if z >= 0.0 {
            (-z).exp() / (1.0 + (-z).exp())
        } else {
            1.0 / (1.0 + z.exp())
        };
        p.clamp(1e-7, 1.0 - 1e-7)
    }
}

/// Probabilities of the classes from those of pairs: `pairs[[i, j]]` is the probability
/// of `i` among `i` and `j`.
pub(super) fn couple(pairs: &Array2<f64>) -> Vec<f64> {
    let k = pairs.nrows();
    let mut q = Array2::<f64>::zeros((k, k));
    for t in 0..k {
        for j in (0..k).filter(|j| *j != t) {
            q[[t, t]] += pairs[[j, t]] * pairs[[j, t]];
            q[[t, j]] = -pairs[[j, t]] * pairs[[t, j]];
        }
    }
    let mut p = vec![1.0 / k as f64; k];
    for _ in 0..100.max(k) {
        let product =
            |p: &[f64], t: usize| -> f64 { p.iter().enumerate().map(|(j, p)| q[[t, j]] * p).sum() };
        let mut whole: f64 = (0..k).map(|t| p[t] * product(&p, t)).sum();
        let worst = (0..k).map(|t| (product(&p, t) - whole).abs());
        if worst.fold(0.0, f64::max) < 0.005 / k as f64 {
            break;
        }
        for t in 0..k {
            let change = (whole - product(&p, t)) / q[[t, t]];
            p[t] += change;
            let scale = 1.0 + change;
            p.iter_mut().for_each(|p| *p /= scale);
            whole = (0..k).map(|t| p[t] * product(&p, t)).sum();
        }
    }
    let sum: f64 = p.iter().sum();
    p.iter().map(|p| p / sum).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sigmoid_falls_with_the_value_and_meets_the_shares() {
        let values: Vec<f64> = (0..100).map(|i| f64::from(i) / 10.0 - 5.0).collect();
        let first: Vec<bool> = values.iter().map(|v| v.sin() + v > 0.0).collect();
        let sigmoid = Sigmoid::fit(&values, &first);
        assert!(sigmoid.at(-4.0) < 0.05 && sigmoid.at(4.0) > 0.95);
        let sum: f64 = values.iter().map(|v| sigmoid.at(*v)).sum();
        let count = first.iter().filter(|f| **f).count() as f64;
        assert!((sum - count).abs() < 1.5);
    }

    #[test]
    fn consistent_pairs_are_coupled_to_what_they_came_from() {
        let p = [0.5, 0.3, 0.2];
        let pairs = Array2::from_shape_fn((3, 3), |(i, j)| p[i] / (p[i] + p[j]));
        for (found, expected) in couple(&pairs).iter().zip(p) {
            assert!((found - expected).abs() < 2e-3);
        }
    }
}
