//! Losses of a row as functions of its linear predictors.

use ndarray::{Array2, ArrayViewMut2};
use std::ops::Range;

/// A convex loss, summed over rows. Blocks are outputs × rows.
pub trait Loss: Sync {
    /// The loss of a block; replaces the predictors by whatever the derivatives need.
    fn value(&self, rows: &Range<usize>, predictors: ArrayViewMut2<'_, f64>) -> f64;

    /// The derivative by each predictor.
    fn slope(&self, rows: &Range<usize>, state: &Array2<f64>) -> Array2<f64>;

    /// The second derivative, or a positive stand-in for it, times `u`, in place.
    fn bend(&self, rows: &Range<usize>, state: &Array2<f64>, u: &mut Array2<f64>);
}

/// The logistic loss of two classes; `class` is 0 or 1.
pub struct Logistic<'a> {
    /// The class of each row.
    pub class: &'a [usize],
    /// The weight of each class.
    pub weights: &'a [f64],
}

impl Logistic<'_> {
    fn rows<'s>(&'s self, rows: &Range<usize>) -> impl Iterator<Item = (f64, f64)> + 's {
        let classes = self.class.get(rows.clone()).unwrap_or_default();
        classes.iter().map(|class| {
            let weight = self.weights.get(*class).copied().unwrap_or(1.0);
            (*class as f64, weight)
        })
    }
}

impl Loss for Logistic<'_> {
    fn value(&self, rows: &Range<usize>, mut predictors: ArrayViewMut2<'_, f64>) -> f64 {
        let mut sum = 0.0;
        for (cell, (y, weight)) in predictors.iter_mut().zip(self.rows(rows)) {
            // One exponential gives both the loss and the probability without overflow.
            let small = (-cell.abs()).exp();
            sum += weight * (cell.max(0.0) - y * *cell + small.ln_1p());
            *cell = if *cell >= 0.0 {
                1.0 / (1.0 + small)
            } else {
                small / (1.0 + small)
            };
        }
        sum
    }

    fn slope(&self, rows: &Range<usize>, state: &Array2<f64>) -> Array2<f64> {
        let mut slope = state.clone();
        for (cell, (y, weight)) in slope.iter_mut().zip(self.rows(rows)) {
            *cell = weight * (*cell - y);
        }
        slope
    }

    fn bend(&self, rows: &Range<usize>, state: &Array2<f64>, u: &mut Array2<f64>) {
        for ((cell, p), (_, weight)) in u.iter_mut().zip(state).zip(self.rows(rows)) {
            *cell *= weight * p * (1.0 - p);
        }
    }
}

/// The cross entropy of several classes under softmax.
pub struct Softmax<'a> {
    /// The class of each row.
    pub class: &'a [usize],
    /// The weight of each class; as many as there are classes.
    pub weights: &'a [f64],
}

impl Softmax<'_> {
    fn classes(&self, rows: &Range<usize>) -> &[usize] {
        self.class.get(rows.clone()).unwrap_or_default()
    }

    fn weight(&self, class: usize) -> f64 {
        self.weights.get(class).copied().unwrap_or(1.0)
    }
}

impl Loss for Softmax<'_> {
    fn value(&self, rows: &Range<usize>, mut predictors: ArrayViewMut2<'_, f64>) -> f64 {
        let classes = self.classes(rows);
        let mut sum = 0.0;
        for (mut row, class) in predictors.columns_mut().into_iter().zip(classes) {
            let own = row.get(*class).copied().unwrap_or(0.0);
            sum += self.weight(*class) * (softmax(row.view_mut()) - own);
        }
        sum
    }

    fn slope(&self, rows: &Range<usize>, state: &Array2<f64>) -> Array2<f64> {
        let mut slope = state.clone();
        let classes = self.classes(rows);
        for (mut row, class) in slope.columns_mut().into_iter().zip(classes) {
            if let Some(own) = row.get_mut(*class) {
                *own -= 1.0;
            }
            row *= self.weight(*class);
        }
        slope
    }

    fn bend(&self, rows: &Range<usize>, state: &Array2<f64>, u: &mut Array2<f64>) {
        let classes = self.classes(rows);
        let columns = u.columns_mut().into_iter().zip(state.columns());
        for ((mut u, p), class) in columns.zip(classes) {
            let mean = p.dot(&u);
            let weight = self.weight(*class);
            u.zip_mut_with(&p, |u, p| *u = weight * p * (*u - mean));
        }
    }
}

/// Replaces predictors by probabilities; the logarithm of the sum of their exponentials.
pub fn softmax(mut row: ndarray::ArrayViewMut1<'_, f64>) -> f64 {
    let max = row.fold(f64::NEG_INFINITY, |max, value| max.max(*value));
    row.mapv_inplace(|value| (value - max).exp());
    let sum = row.sum();
    row /= sum;
    max + sum.ln()
}

/// Half the Tweedie deviance under the log link, up to a constant of the targets.
pub struct Tweedie<'a> {
    /// The target of each row.
    pub y: &'a [f64],
    /// The power of the mean that the variance grows with; not 1 or 2 exactly is the
    /// general case.
    pub power: f64,
}

impl Tweedie<'_> {
    fn y(&self, rows: &Range<usize>) -> &[f64] {
        self.y.get(rows.clone()).unwrap_or_default()
    }
}

impl Loss for Tweedie<'_> {
    fn value(&self, rows: &Range<usize>, mut predictors: ArrayViewMut2<'_, f64>) -> f64 {
        let mut sum = 0.0;
        for (cell, y) in predictors.iter_mut().zip(self.y(rows)) {
            let (eta, mean) = (*cell, cell.exp());
            sum += if self.power == 1.0 {
                mean - y * eta
            } else if self.power == 2.0 {
                eta + y / mean
            } else {
                let (p1, p2) = (1.0 - self.power, 2.0 - self.power);
                (p2 * eta).exp() / p2 - y * (p1 * eta).exp() / p1
            };
            *cell = mean;
        }
        sum
    }

    fn slope(&self, rows: &Range<usize>, state: &Array2<f64>) -> Array2<f64> {
        let mut slope = state.clone();
        for (cell, y) in slope.iter_mut().zip(self.y(rows)) {
            let mean = *cell;
            *cell = if self.power == 1.0 {
                mean - y
            } else if self.power == 2.0 {
                1.0 - y / mean
            } else {
                (mean - y) * mean.powf(1.0 - self.power)
            };
        }
        slope
    }

    fn bend(&self, rows: &Range<usize>, state: &Array2<f64>, u: &mut Array2<f64>) {
        for ((cell, mean), y) in u.iter_mut().zip(state).zip(self.y(rows)) {
            *cell *= if self.power == 1.0 {
                *mean
            } else if self.power == 2.0 {
                y / mean
            } else {
                // Its expectation, which is positive for every power.
                mean.powf(2.0 - self.power)
            };
        }
    }
}
