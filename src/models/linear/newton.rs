//! Newton's method for convex losses of linear predictors with a quadratic penalty:
//! min Σ loss(W x + b) + alpha |W|² / 2. The intercepts are not penalised.
//!
//! Few coefficients: the second derivatives are gathered and factored. Many: products with
//! directions suffice (conjugate gradients), guided by the factors that a sample of the
//! rows gives.

use super::cholesky::Cholesky;
use super::design::Design;
use super::gram::{add_products, mirror};
use super::loss::Loss;
use ndarray::linalg::general_mat_mul;
use ndarray::{Array1, Array2, Axis};
use rayon::prelude::*;
use std::ops::Range;

/// More coefficients than this are not factored.
const MAX_FACTORED: usize = 128;

/// Rows of the sample for each coefficient of an output.
const SAMPLE: usize = 40;

/// When to stop.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Most steps.
    pub max_iter: usize,
    /// Stops when a step promises less than `tol²` of the loss.
    pub tol: f64,
}

/// What was found.
pub struct Minimum {
    /// outputs × columns, the intercept last if there is one.
    pub coefficients: Array2<f64>,
    /// Steps taken.
    pub steps: usize,
    /// Whether the limits were met.
    pub converged: bool,
}

struct Problem<'a, L> {
    design: &'a Design<'a>,
    loss: &'a L,
    alpha: f64,
    tol: f64,
    blocks: Vec<Range<usize>>,
}

/// The loss at a point, what it was computed from, and its derivatives.
struct Point {
    at: Array2<f64>,
    value: f64,
    slope: Array2<f64>,
    states: Vec<Array2<f64>>,
}

/// The minimum, starting at `start` (outputs × columns with the intercept last).
pub fn minimise<L: Loss>(
    design: &Design<'_>,
    loss: &L,
    alpha: f64,
    start: Array2<f64>,
    limits: Limits,
) -> Minimum {
    let problem = Problem {
        design,
        loss,
        alpha,
        tol: limits.tol,
        blocks: design.blocks(),
    };
    let mut point = problem.at(start);
    for step in 1..=limits.max_iter {
        let direction = problem.direction(&point);
        // Twice what the quadratic model promises.
        let promise = -(&direction * &point.slope).sum();
        let enough = limits.tol * limits.tol * point.value.abs().max(f64::MIN_POSITIVE);
        let next = problem.descend(&point, &direction, promise);
        let done = promise <= enough;
        match next {
            Some(next) => point = next,
            // No step lowers the loss any more: as near as the digits allow.
            None => return point.found(step - 1, true),
        }
        if done {
            return point.found(step, true);
        }
    }
    tracing::warn!(
        steps = limits.max_iter,
        "the fit stopped before it converged; raise max_iter or the penalty"
    );
    point.found(limits.max_iter, false)
}

impl Point {
    fn found(self, steps: usize, converged: bool) -> Minimum {
        Minimum {
            coefficients: self.at,
            steps,
            converged,
        }
    }
}

impl<L: Loss> Problem<'_, L> {
    /// Loss and slope at `at`.
    fn at(&self, at: Array2<f64>) -> Point {
        let parts: Vec<(f64, Array2<f64>, Vec<Array2<f64>>)> = self
            .parts()
            .map(|blocks| {
                let mut value = 0.0;
                let mut slope = Array2::zeros(at.dim());
                let mut states = Vec::with_capacity(blocks.len());
                self.each(blocks, |rows, block| {
                    let mut state = forward(&at, block);
                    value += self.loss.value(rows, state.view_mut());
                    let slopes = self.loss.slope(rows, &state);
                    backward(&slopes, block, &mut slope);
                    states.push(state);
                });
                (value, slope, states)
            })
            .collect();
        let (mut value, mut slope, mut states) = (0.0, self.penalised(&at), Vec::new());
        value += 0.5 * (&slope * &at).sum();
        for (part, slopes, part_states) in parts {
            value += part;
            slope += &slopes;
            states.extend(part_states);
        }
        Point {
            at,
            value,
            slope,
            states,
        }
    }

    /// The first of the steps 1, 1/2, 1/4 … of `direction` that lowers the loss enough.
    fn descend(&self, from: &Point, direction: &Array2<f64>, promise: f64) -> Option<Point> {
        let mut length = 1.0;
        for _ in 0..40 {
            let mut at = from.at.clone();
            at.scaled_add(length, direction);
            let next = self.at(at);
            if next.value <= from.value - 1e-4 * length * promise {
                return Some(next);
            }
            if promise * length <= 1e-14 * from.value.abs() {
                return (next.value < from.value).then_some(next);
            }
            length *= 0.5;
        }
        None
    }

    fn direction(&self, point: &Point) -> Array2<f64> {
        if point.at.len() <= MAX_FACTORED {
            self.factored(point)
        } else {
            self.conjugate(point)
        }
    }

    /// Newton's direction from the factored second derivatives.
    fn factored(&self, point: &Point) -> Array2<f64> {
        let (outputs, width) = point.at.dim();
        let pairs: Vec<(usize, usize)> = (0..outputs)
            .flat_map(|l| (l..outputs).map(move |k| (k, l)))
            .collect();
        let parts: Vec<Vec<Array2<f64>>> = self
            .parts_with(&point.states)
            .map(|(blocks, states)| {
                let mut sums = vec![Array2::zeros((width, width)); pairs.len()];
                let mut states = states.iter();
                let mut scaled = Array2::zeros((0, 0));
                self.each(blocks, |rows, block| {
                    let Some(state) = states.next() else {
                        return;
                    };
                    let mut sums = sums.iter_mut();
                    for l in 0..outputs {
                        let mut bend = Array2::zeros((outputs, rows.len()));
                        bend.row_mut(l).fill(1.0);
                        self.loss.bend(rows, state, &mut bend);
                        for (weights, sum) in bend.rows().into_iter().skip(l).zip(&mut sums) {
                            scaled.clone_from(block);
                            scaled *= &weights;
                            add_products(&scaled.view(), &block.view(), sum);
                        }
                    }
                });
                sums
            })
            .collect();
        let size = outputs * width;
        let parts = parts.into_iter().map(|mut sums| {
            sums.iter_mut().for_each(mirror);
            sums
        });
        let mut bend = Array2::<f64>::zeros((size, size));
        for part in parts {
            for ((k, l), sum) in pairs.iter().zip(part) {
                for ((i, j), value) in sum.indexed_iter() {
                    let (row, column) = (k * width + i, l * width + j);
                    bend[[row, column]] += value;
                    if k != l {
                        bend[[column, row]] += value;
                    }
                }
            }
        }
        let penalty = self.penalty(width);
        for (i, cell) in bend.diag_mut().iter_mut().enumerate() {
            *cell += penalty[i % width];
        }
        if outputs > 1 {
            tie(&mut bend, outputs, width);
        }
        let mut direction = Array1::from_iter(point.slope.iter().map(|slope| -slope));
        let factor = steady(bend);
        if let Some(factor) = factor {
            factor.solve(direction.view_mut());
        }
        direction
            .into_shape_with_order((outputs, width))
            .unwrap_or_else(|_| -&point.slope)
    }

    /// Newton's direction by conjugate gradients, the more exact the nearer the minimum.
    fn conjugate(&self, point: &Point) -> Array2<f64> {
        let guides = self.sampled(point);
        let guided = |residual: &Array2<f64>| {
            let mut guided = residual.clone();
            for (row, guide) in guided.rows_mut().into_iter().zip(&guides) {
                if let Some(guide) = guide {
                    guide.solve(row);
                }
            }
            // Shifting all classes alike changes nothing; such directions lead nowhere.
            if guided.nrows() > 1
                && let Some(mean) = guided.mean_axis(Axis(0))
            {
                guided -= &mean.insert_axis(Axis(0));
            }
            guided
        };
        let mut direction = Array2::<f64>::zeros(point.at.dim());
        let mut residual = -&point.slope;
        let mut along = guided(&residual);
        let mut size = (&residual * &along).sum();
        // As exact as a step from here can make use of, and as is asked for in the end.
        let near = (size / point.value.abs().max(f64::MIN_POSITIVE)).sqrt();
        let goal = size * (self.tol / near).max(near).min(0.2).powi(2);
        for _ in 0..(2 * point.at.len()).min(500) {
            let bent = self.bent(point, &along);
            let curvature = (&along * &bent).sum();
            if curvature.is_nan() || curvature <= 0.0 {
                break;
            }
            let length = size / curvature;
            direction.scaled_add(length, &along);
            residual.scaled_add(-length, &bent);
            let next_along = guided(&residual);
            let next = (&residual * &next_along).sum();
            if next <= goal {
                break;
            }
            along *= next / size;
            along += &next_along;
            size = next;
        }
        direction
    }

    /// The second derivatives times `v`.
    fn bent(&self, point: &Point, v: &Array2<f64>) -> Array2<f64> {
        let parts: Vec<Array2<f64>> = self
            .parts_with(&point.states)
            .map(|(blocks, states)| {
                let mut sum = Array2::zeros(v.dim());
                let mut states = states.iter();
                self.each(blocks, |rows, block| {
                    if let Some(state) = states.next() {
                        let mut u = forward(v, block);
                        self.loss.bend(rows, state, &mut u);
                        backward(&u, block, &mut sum);
                    }
                });
                sum
            })
            .collect();
        let start = self.penalised(v);
        parts.into_iter().fold(start, |sum, part| sum + part)
    }

    /// Factors of each output's own second derivatives, from a sample of the blocks.
    fn sampled(&self, point: &Point) -> Vec<Option<Cholesky>> {
        let (outputs, width) = point.at.dim();
        let wanted = (SAMPLE * width).max(4096);
        let step = (self.design.rows() / wanted).clamp(1, self.blocks.len());
        let sample: Vec<(&Range<usize>, &Array2<f64>)> = self
            .blocks
            .iter()
            .zip(&point.states)
            .step_by(step)
            .collect();
        let rows: usize = sample.iter().map(|(rows, _)| rows.len()).sum();
        let share = rows as f64 / self.design.rows() as f64;
        let penalty = self.penalty(width);
        (0..outputs)
            .into_par_iter()
            .map(|output| {
                let mut sum = Array2::zeros((width, width));
                let mut block = Array2::ones((0, 0));
                for (rows, state) in &sample {
                    self.design.fill(rows, &mut block);
                    let mut bend = Array2::zeros((outputs, rows.len()));
                    bend.row_mut(output).fill(1.0);
                    self.loss.bend(rows, state, &mut bend);
                    let scaled = &block * &bend.row(output);
                    add_products(&scaled.view(), &block.view(), &mut sum);
                }
                sum /= share;
                for (cell, penalty) in sum.diag_mut().iter_mut().zip(&penalty) {
                    *cell += penalty;
                }
                steady(sum)
            })
            .collect()
    }

    /// The penalty of each column: none for the intercept.
    fn penalty(&self, width: usize) -> Array1<f64> {
        let mut penalty = Array1::from_elem(width, self.alpha);
        if self.design.intercept()
            && let Some(last) = penalty.last_mut()
        {
            *last = 0.0;
        }
        penalty
    }

    fn penalised(&self, at: &Array2<f64>) -> Array2<f64> {
        at * &self.penalty(at.ncols()).insert_axis(Axis(0))
    }

    /// The blocks in a fixed number of parts, to be worked on all cores.
    fn parts(&self) -> impl IndexedParallelIterator<Item = &[Range<usize>]> {
        self.blocks.par_chunks(self.part())
    }

    fn parts_with<'s>(
        &'s self,
        states: &'s [Array2<f64>],
    ) -> impl IndexedParallelIterator<Item = (&'s [Range<usize>], &'s [Array2<f64>])> {
        self.parts().zip(states.par_chunks(self.part()))
    }

    fn part(&self) -> usize {
        self.blocks.len().div_ceil(16).max(1)
    }

    fn each(&self, blocks: &[Range<usize>], mut work: impl FnMut(&Range<usize>, &Array2<f64>)) {
        let mut block = Array2::ones((0, 0));
        for rows in blocks {
            self.design.fill(rows, &mut block);
            work(rows, &block);
        }
    }
}

/// Linear predictors of a block: outputs × rows.
fn forward(at: &Array2<f64>, block: &Array2<f64>) -> Array2<f64> {
    if at.nrows() > 1 {
        return at.dot(block);
    }
    // A product with one row is quicker by hand than packed for the general case.
    let mut sum = Array2::zeros((at.nrows(), block.ncols()));
    for (mut sum, weights) in sum.rows_mut().into_iter().zip(at.rows()) {
        for (values, weight) in block.rows().into_iter().zip(weights) {
            sum.scaled_add(*weight, &values);
        }
    }
    sum
}

/// Adds what the rows of a block say about each coefficient.
fn backward(u: &Array2<f64>, block: &Array2<f64>, sum: &mut Array2<f64>) {
    if u.nrows() > 1 {
        general_mat_mul(1.0, u, &block.t(), 1.0, sum);
        return;
    }
    for (mut sum, u) in sum.rows_mut().into_iter().zip(u.rows()) {
        sum += &block.dot(&u);
    }
}

/// Several classes can all be shifted alike without changing anything; a curvature along
/// that direction, in which the slope has no part, makes the matrix definite.
fn tie(bend: &mut Array2<f64>, outputs: usize, width: usize) {
    let by = bend.diag().mean().unwrap_or(1.0) / outputs as f64;
    for j in 0..width {
        for k in 0..outputs {
            for l in 0..outputs {
                bend[[k * width + j, l * width + j]] += by;
            }
        }
    }
}

/// The factor, with as little added to the diagonal as makes it definite.
fn steady(mut bend: Array2<f64>) -> Option<Cholesky> {
    for cell in bend.diag_mut() {
        if *cell <= 0.0 {
            *cell = 1.0;
        }
    }
    for more in [0.0, 1e-12, 1e-10, 1e-8, 1e-6, 1e-4, 1e-2] {
        let mut a = bend.clone();
        a.diag_mut().mapv_inplace(|v| v * (1.0 + more));
        if let Some(factor) = Cholesky::new(&a, 1e-14) {
            return Some(factor);
        }
    }
    None
}
