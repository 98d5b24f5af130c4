//! Sequential minimal optimisation with second-order selection (Fan, Chen, Lin 2005) of
//!
//! ½ αᵀQα + pᵀα  with  yᵀα constant  and  0 ≤ α ≤ C,  Q = y·yᵀ ∘ K,
//!
//! and its ν form (Chang and Lin 2001), which keeps the sum of α on each side of y too.
//! Kernel rows are computed when needed and kept while there is room.

use super::kernel::Rows;
use crate::error::{Error, Result};

/// Room for kernel rows.
const CACHE_BYTES: usize = 256 << 20;
/// Stands for a curvature that is not positive.
const FLAT: f64 = 1e-12;

/// A problem. Variables may be twice as many as rows: the second half then stands for
/// the same rows again.
pub(super) struct Problem {
    pub alpha: Vec<f64>,
    pub p: Vec<f64>,
    /// +1 or -1.
    pub y: Vec<f64>,
    pub c: f64,
    pub nu: bool,
    pub tol: f64,
    pub max_iter: Option<usize>,
}

pub(super) struct Solution {
    /// y·α by row, the halves added up: weights of the kernel values.
    pub weights: Vec<f64>,
    pub rho: f64,
    /// The ν form's scale.
    pub r: f64,
    pub converged: bool,
}

/// Kernel rows in memory, the oldest dropped first.
struct Cache<'a, 'b> {
    rows: &'a Rows<'b>,
    slots: Vec<(usize, Vec<f64>)>,
    place: Vec<Option<usize>>,
    capacity: usize,
    oldest: usize,
}

impl<'a, 'b> Cache<'a, 'b> {
    fn new(rows: &'a Rows<'b>) -> Self {
        Cache {
            slots: Vec::new(),
            place: vec![None; rows.len()],
            capacity: (CACHE_BYTES / 8 / rows.len().max(1)).max(2),
            oldest: 0,
            rows,
        }
    }

    /// The slot of a row's kernel values; the slot `keep` is not reused.
    fn slot(&mut self, row: usize, keep: Option<usize>) -> usize {
        if let Some(slot) = self.place[row] {
            return slot;
        }
        let slot = if self.slots.len() < self.capacity {
            self.slots.push((row, Vec::new()));
            self.slots.len() - 1
        } else {
            if Some(self.oldest) == keep {
                self.oldest = (self.oldest + 1) % self.capacity;
            }
            let slot = self.oldest;
            self.oldest = (self.oldest + 1) % self.capacity;
            self.place[self.slots[slot].0] = None;
            self.slots[slot].0 = row;
            slot
        };
        self.place[row] = Some(slot);
        let mut values = std::mem::take(&mut self.slots[slot].1);
        self.rows.with_all(row, &mut values);
        self.slots[slot].1 = values;
        slot
    }

    fn get(&self, slot: usize) -> &[f64] {
        &self.slots[slot].1
    }
}

/// The state of a run; `f` is y times the gradient.
struct Solver<'a, 'b> {
    problem: Problem,
    cache: Cache<'a, 'b>,
    own: Vec<f64>,
    f: Vec<f64>,
    rows: usize,
}

impl Solver<'_, '_> {
    /// The row of a variable.
    #[inline]
    fn row(&self, t: usize) -> usize {
        if t < self.rows { t } else { t - self.rows }
    }

    /// Whether y·α may grow.
    fn up(&self, t: usize) -> bool {
        if self.problem.y[t] > 0.0 {
            self.problem.alpha[t] < self.problem.c
        } else {
            self.problem.alpha[t] > 0.0
        }
    }

    /// Whether y·α may shrink.
    fn down(&self, t: usize) -> bool {
        if self.problem.y[t] > 0.0 {
            self.problem.alpha[t] > 0.0
        } else {
            self.problem.alpha[t] < self.problem.c
        }
    }

    /// The variable of a side that most wants to grow.
    fn first(&self, side: Option<f64>) -> Option<usize> {
        let mut best: Option<usize> = None;
        for t in 0..self.f.len() {
            if side.is_none_or(|side| side == self.problem.y[t])
                && self.up(t)
                && best.is_none_or(|best| self.f[t] <= self.f[best])
            {
                best = Some(t);
            }
        }
        best
    }

    /// The partner that gains most, its gain, and by how much optimality is violated.
    fn second(&mut self, i: usize, side: Option<f64>) -> (Option<(usize, f64)>, f64) {
        let row = self.row(i);
        let slot = self.cache.slot(row, None);
        let kernel = self.cache.get(slot);
        let own = self.own[row];
        let mut best: Option<(usize, f64)> = None;
        let mut violation = f64::NEG_INFINITY;
        for t in 0..self.f.len() {
            if side.is_some_and(|side| side != self.problem.y[t]) || !self.down(t) {
                continue;
            }
            let difference = self.f[t] - self.f[i];
            violation = violation.max(difference);
            if difference > 0.0 {
                let row = self.row(t);
                let curvature = (own + self.own[row] - 2.0 * kernel[row]).max(FLAT);
                let gain = difference * difference / curvature;
                if best.is_none_or(|best| gain >= best.1) {
                    best = Some((t, gain));
                }
            }
        }
        (best, violation)
    }

    /// The pair to work on; none if optimality is violated by less than the tolerance.
    fn pair(&mut self) -> Option<(usize, usize)> {
        let sides: &[Option<f64>] = if self.problem.nu {
            &[Some(1.0), Some(-1.0)]
        } else {
            &[None]
        };
        let mut best: Option<(usize, usize, f64)> = None;
        let mut violation = f64::NEG_INFINITY;
        for side in sides {
            let Some(i) = self.first(*side) else {
                continue;
            };
            let (partner, violated) = self.second(i, *side);
            violation = violation.max(violated);
            if let Some((j, gain)) = partner
                && best.is_none_or(|best| gain >= best.2)
            {
                best = Some((i, j, gain));
            }
        }
        if violation < self.problem.tol {
            return None;
        }
        best.map(|(i, j, _)| (i, j))
    }

    /// Moves y·α from `j` to `i` as far as it helps and is allowed; whether it moved.
    fn step(&mut self, i: usize, j: usize) -> bool {
        let (row_i, row_j) = (self.row(i), self.row(j));
        let slot_i = self.cache.slot(row_i, None);
        let slot_j = self.cache.slot(row_j, Some(slot_i));
        let (kernel_i, kernel_j) = (self.cache.get(slot_i), self.cache.get(slot_j));
        let curvature = (self.own[row_i] + self.own[row_j] - 2.0 * kernel_i[row_j]).max(FLAT);
        let Problem { alpha, y, c, .. } = &mut self.problem;
        let room = |up: bool, alpha: f64| if up { *c - alpha } else { alpha };
        let room_i = room(y[i] > 0.0, alpha[i]);
        let room_j = room(y[j] < 0.0, alpha[j]);
        let step = ((self.f[j] - self.f[i]) / curvature)
            .min(room_i)
            .min(room_j);
        let before = (alpha[i], alpha[j]);
        // At a bound exactly, so that it is known as one.
        alpha[i] = match (step >= room_i, y[i] > 0.0) {
            (true, true) => *c,
            (true, false) => 0.0,
            (false, _) => alpha[i] + y[i] * step,
        };
        alpha[j] = match (step >= room_j, y[j] > 0.0) {
            (true, true) => 0.0,
            (true, false) => *c,
            (false, _) => alpha[j] - y[j] * step,
        };
        if (alpha[i], alpha[j]) == before {
            return false;
        }
        for half in self.f.chunks_mut(self.rows) {
            for ((f, a), b) in half.iter_mut().zip(kernel_i).zip(kernel_j) {
                *f += step * (a - b);
            }
        }
        true
    }

    /// The threshold that the free variables of a side agree on, or the middle of what
    /// the bounded ones allow.
    fn level(&self, side: Option<f64>) -> f64 {
        let (mut sum, mut free) = (0.0, 0.0_f64);
        let (mut low, mut high) = (f64::NEG_INFINITY, f64::INFINITY);
        for t in 0..self.f.len() {
            if side.is_some_and(|side| side != self.problem.y[t]) {
                continue;
            }
            match (self.up(t), self.down(t)) {
                (true, true) => {
                    sum += self.f[t];
                    free += 1.0;
                }
                (true, false) => high = high.min(self.f[t]),
                _ => low = low.max(self.f[t]),
            }
        }
        if free > 0.0 {
            sum / free
        } else {
            let middle = (low + high) / 2.0;
            if middle.is_finite() {
                middle
            } else if low.is_finite() {
                low
            } else if high.is_finite() {
                high
            } else {
                0.0
            }
        }
    }
}

/// Solves a problem on rows under a kernel.
pub(super) fn solve(rows: &Rows<'_>, problem: Problem) -> Result<Solution> {
    let count = rows.len();
    let variables = problem.alpha.len();
    let limit = problem
        .max_iter
        .unwrap_or_else(|| (100 * variables).max(1_000_000));
    let mut solver = Solver {
        own: (0..count).map(|row| rows.own(row)).collect(),
        f: problem
            .p
            .iter()
            .zip(&problem.y)
            .map(|(p, y)| p * y)
            .collect(),
        cache: Cache::new(rows),
        rows: count,
        problem,
    };
    for t in 0..variables {
        let weight = solver.problem.alpha[t] * solver.problem.y[t];
        if weight != 0.0 {
            let slot = solver.cache.slot(t % count, None);
            for half in solver.f.chunks_mut(count) {
                for (f, kernel) in half.iter_mut().zip(solver.cache.get(slot)) {
                    *f += weight * kernel;
                }
            }
        }
    }
    let mut converged = false;
    for _ in 0..limit {
        let Some((i, j)) = solver.pair() else {
            converged = true;
            break;
        };
        if !solver.step(i, j) {
            // Rounding leaves nothing to gain.
            break;
        }
    }
    let (rho, r) = if solver.problem.nu {
        // `f` is the gradient on the side of +1 and its negative on the other.
        let (plus, minus) = (solver.level(Some(1.0)), -solver.level(Some(-1.0)));
        ((plus - minus) / 2.0, (plus + minus) / 2.0)
    } else {
        (solver.level(None), 1.0)
    };
    let mut weights = vec![0.0; count];
    for (t, (alpha, y)) in solver
        .problem
        .alpha
        .iter()
        .zip(&solver.problem.y)
        .enumerate()
    {
        weights[t % count] += alpha * y;
    }
    if !rho.is_finite() || weights.iter().any(|w| !w.is_finite()) {
        return Err(
            Error::failed("the machine's weights grew beyond all bounds")
                .hint("scale the columns, for instance put standard-scaler| in front"),
        );
    }
    Ok(Solution {
        weights,
        rho,
        r,
        converged,
    })
}
