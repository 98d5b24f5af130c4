//! Classes by one machine for each pair of classes (C-SVC and ν-SVC): the class that
//! wins most pairs. Probabilities, if asked for, by Platt's sigmoid over five folds.

use super::kernel::{Kernel, Rows, Support, Wanted};
use super::platt::{Sigmoid, couple};
use super::smo::{Problem, Solution, solve};
use super::{C, COEF0, DEGREE, GAMMA, KERNEL, MAX_ITER, TOL};
use crate::error::{Error, Result};
use crate::models::algorithms::{SEED, input, param};
use crate::models::estimator::{Estimator, Role, Target};
use crate::models::registry::{Entry, Param};
use crate::models::{Params, state};
use ndarray::{Array2, Axis};
use polars::prelude::DataFrame;
use rand_xoshiro::Xoshiro256PlusPlus as Random;
use rand_xoshiro::rand_core::SeedableRng;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

const FOLDS: usize = 5;

#[derive(Debug, Serialize, Deserialize)]
struct Classifier {
    kernel: Wanted,
    price: Price,
    probability: bool,
    tol: f64,
    max_iter: Option<usize>,
    seed: u64,
    state: Option<State>,
}

/// What errors cost.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
enum Price {
    C(f64),
    /// Share of rows that may err, and least share that are support vectors.
    Nu(f64),
}

#[derive(Debug, Serialize, Deserialize)]
struct State {
    classes: usize,
    /// The pair of each machine; its sum is positive for the first.
    pairs: Vec<(usize, usize)>,
    support: Support,
    sigmoids: Option<Vec<Sigmoid>>,
    converged: bool,
}

impl State {
    /// Votes of the machines, rows × classes; with the sums' sizes to break ties, which
    /// never outweigh a vote.
    fn votes(&self, sums: &Array2<f64>, break_ties: bool) -> Array2<f64> {
        let mut votes = Array2::<f64>::zeros((sums.nrows(), self.classes));
        let mut surplus = Array2::<f64>::zeros(votes.dim());
        for ((mut votes, mut surplus), sums) in votes
            .rows_mut()
            .into_iter()
            .zip(surplus.rows_mut())
            .zip(sums.rows())
        {
            for ((first, second), sum) in self.pairs.iter().zip(sums) {
                votes[if *sum > 0.0 { *first } else { *second }] += 1.0;
                surplus[*first] += sum;
                surplus[*second] -= sum;
            }
        }
        if break_ties {
            votes += &surplus.mapv(|s| s / (3.0 * (s.abs() + 1.0)));
        }
        votes
    }
}

impl Classifier {
    fn solve(&self, table: &Array2<f64>, kernel: &Kernel, first: &[bool]) -> Result<Solution> {
        let rows = Rows::new(table.view(), kernel)?;
        let y: Vec<f64> = first.iter().map(|f| if *f { 1.0 } else { -1.0 }).collect();
        let count = y.len();
        let problem = |alpha, p, c, nu| Problem {
            alpha,
            p: vec![p; count],
            y: y.clone(),
            c,
            nu,
            tol: self.tol,
            max_iter: self.max_iter,
        };
        match self.price {
            Price::C(c) => solve(&rows, problem(vec![0.0; count], -1.0, c, false)),
            Price::Nu(nu) => {
                // A fold may be less balanced than all rows, for which `nu` was checked.
                let firsts = first.iter().filter(|f| **f).count();
                let most = firsts.min(count - firsts) as f64;
                let half = (nu * count as f64 / 2.0).min(most);
                let mut left = [half, half];
                let alpha = first
                    .iter()
                    .map(|f| {
                        let left = &mut left[usize::from(*f)];
                        let alpha = left.clamp(0.0, 1.0);
                        *left -= alpha;
                        alpha
                    })
                    .collect();
                let mut solution = solve(&rows, problem(alpha, 0.0, 1.0, true))?;
                let scale = solution.r;
                if scale > 0.0 {
                    solution.weights.iter_mut().for_each(|w| *w /= scale);
                    solution.rho /= scale;
                }
                Ok(solution)
            }
        }
    }

    /// Refuses a share of errors that a pair of classes of these sizes cannot have.
    fn check(&self, first: usize, second: usize) -> Result<()> {
        match self.price {
            Price::Nu(nu) if nu * (first + second) as f64 / 2.0 > first.min(second) as f64 => Err(
                Error::invalid(format!("nu {nu} is too large for the classes' sizes"))
                    .hint("nu may be at most twice the smaller class's share of a pair"),
            ),
            _ => Ok(()),
        }
    }

    /// The sigmoid of a pair: decision values of each fold from a machine on the others.
    fn sigmoid(&self, table: &Array2<f64>, kernel: &Kernel, first: &[bool]) -> Result<Sigmoid> {
        let mut order: Vec<usize> = (0..first.len()).collect();
        let mut random = Random::seed_from_u64(self.seed);
        for at in (1..order.len()).rev() {
            order.swap(at, input::below(&mut random, at + 1));
        }
        let mut values = vec![0.0; first.len()];
        for fold in 0..FOLDS {
            let held: Vec<usize> = order.iter().skip(fold).step_by(FOLDS).copied().collect();
            let mut is_held = vec![false; first.len()];
            held.iter().for_each(|row| is_held[*row] = true);
            let kept: Vec<usize> = (0..first.len()).filter(|row| !is_held[*row]).collect();
            let labels: Vec<bool> = kept.iter().map(|row| first[*row]).collect();
            let sums = match (labels.contains(&true), labels.contains(&false)) {
                (true, true) => {
                    let part = table.select(Axis(0), &kept);
                    let solution = self.solve(&part, kernel, &labels)?;
                    let machine = vec![(solution.weights, solution.rho)];
                    let support = Support::new(&part, kernel.clone(), machine);
                    support
                        .decide(&table.select(Axis(0), &held))
                        .column(0)
                        .to_vec()
                }
                (true, false) => vec![1.0; held.len()],
                (false, true) => vec![-1.0; held.len()],
                (false, false) => vec![0.0; held.len()],
            };
            for (row, sum) in held.iter().zip(sums) {
                values[*row] = sum;
            }
        }
        Ok(Sigmoid::fit(&values, first))
    }

    fn sums(&self, x: &DataFrame) -> Result<(&State, Array2<f64>)> {
        let state = input::fitted(&self.state)?;
        let table = input::table_of(x, state.support.width())?;
        Ok((state, state.support.decide(&table)))
    }

    fn sound(&self) -> bool {
        self.state.as_ref().is_none_or(|state| {
            let within = |(a, b): &(usize, usize)| *a < state.classes && *b < state.classes;
            let machines = state.pairs.len();
            let sigmoids = state.sigmoids.as_ref();
            machines > 0
                && state.support.sound(machines)
                && state.pairs.iter().all(within)
                && sigmoids.is_none_or(|sigmoids| sigmoids.len() == machines)
        })
    }
}

impl Estimator for Classifier {
    fn fit(&mut self, x: &DataFrame, y: &Target) -> Result<()> {
        let table = input::table(x)?;
        let (index, classes) = input::classes(y, table.nrows())?;
        let kernel = self.kernel.for_table(&table);
        let mut members: Vec<Vec<usize>> = vec![Vec::new(); classes];
        for (row, class) in index.iter().enumerate() {
            members[*class].push(row);
        }
        let mut pairs = Vec::new();
        for second in 0..classes {
            for first in 0..second {
                if !members[first].is_empty() && !members[second].is_empty() {
                    self.check(members[first].len(), members[second].len())?;
                    pairs.push((first, second));
                }
            }
        }
        pairs.sort_unstable();
        let machines = pairs
            .par_iter()
            .map(|(first, second)| {
                let rows: Vec<usize> = (0..table.nrows())
                    .filter(|row| index[*row] == *first || index[*row] == *second)
                    .collect();
                let part = table.select(Axis(0), &rows);
                let is_first: Vec<bool> = rows.iter().map(|row| index[*row] == *first).collect();
                let solution = self.solve(&part, &kernel, &is_first)?;
                let sigmoid = match self.probability {
                    true => Some(self.sigmoid(&part, &kernel, &is_first)?),
                    false => None,
                };
                let mut weights = vec![0.0; table.nrows()];
                for (row, weight) in rows.iter().zip(&solution.weights) {
                    weights[*row] = *weight;
                }
                Ok(((weights, solution.rho), sigmoid, solution.converged))
            })
            .collect::<Result<Vec<_>>>()?;
        let converged = machines.iter().all(|machine| machine.2);
        let sigmoids = machines.iter().map(|machine| machine.1).collect();
        let machines = machines.into_iter().map(|machine| machine.0).collect();
        self.state = Some(State {
            classes,
            pairs,
            support: Support::new(&table, kernel, machines),
            sigmoids,
            converged,
        });
        Ok(())
    }

    fn predict(&self, x: &DataFrame) -> Result<Array2<f64>> {
        let (state, sums) = self.sums(x)?;
        Ok(input::strongest(&state.votes(&sums, false)))
    }

    fn predict_proba(&self, x: &DataFrame) -> Result<Array2<f64>> {
        let (state, sums) = self.sums(x)?;
        let sigmoids = state.sigmoids.as_ref().ok_or_else(|| {
            Error::usage("this machine was fitted without probabilities")
                .hint("make it with probability=true and fit it again")
        })?;
        let mut present: Vec<usize> = state.pairs.iter().flat_map(|p| [p.0, p.1]).collect();
        present.sort_unstable();
        present.dedup();
        let mut shares = Array2::zeros((sums.nrows(), state.classes));
        shares
            .axis_iter_mut(Axis(0))
            .into_par_iter()
            .zip(sums.axis_iter(Axis(0)).into_par_iter())
            .for_each(|(mut shares, sums)| {
                let mut of_pairs = Array2::from_elem((present.len(), present.len()), 0.5);
                for (((first, second), sum), sigmoid) in state.pairs.iter().zip(sums).zip(sigmoids)
                {
                    let place = |class| present.binary_search(class).unwrap_or(0);
                    let (i, j) = (place(first), place(second));
                    let p = sigmoid.at(*sum);
                    of_pairs[[i, j]] = p;
                    of_pairs[[j, i]] = 1.0 - p;
                }
                for (class, share) in present.iter().zip(couple(&of_pairs)) {
                    shares[*class] = share;
                }
            });
        Ok(shares)
    }

    /// Two classes: positive for the second. More: votes, ties broken by the sums.
    fn decision_function(&self, x: &DataFrame) -> Result<Array2<f64>> {
        let (state, sums) = self.sums(x)?;
        if state.classes == 2 {
            return Ok(-sums);
        }
        Ok(state.votes(&sums, true))
    }

    fn save(&self) -> Result<Vec<u8>> {
        state::save(self)
    }

    fn learned(&self) -> Value {
        match &self.state {
            Some(state) => json!({
                "support_vectors": state.support.count(),
                "gamma": state.support.gamma(),
                "pairs": state.pairs,
                "coef": state.support.column_weights().map(|w| input::lists(&w)),
                "converged": state.converged,
            }),
            None => Value::Null,
        }
    }
}

fn make(params: &Params, nu: bool) -> Result<Box<dyn Estimator>> {
    let price = if nu {
        Price::Nu(params.between("nu", 0.5, f64::MIN_POSITIVE, 1.0)?)
    } else {
        Price::C(params.positive("C", 1.0)?)
    };
    Ok(Box::new(Classifier {
        kernel: Wanted::read(params)?,
        price,
        probability: params.bool("probability", false)?,
        tol: params.positive("tol", 1e-3)?,
        max_iter: params.opt_usize("max_iter")?,
        seed: params.seed()?,
        state: None,
    }))
}

const PROBABILITY: Param = param(
    "probability",
    "false",
    "learn probabilities too; takes six times as long",
);
const ACTIONS: &[&str] = &["predict", "predict_proba", "decision_function", "score"];

/// The estimators of this module.
pub(in crate::models::algorithms) const ENTRIES: &[Entry] = &[
    Entry {
        name: "svc",
        aliases: &["SVC", "svm", "svm-classifier"],
        role: Role::Classifier,
        summary: "support vector machine: the widest gap between classes",
        params: &[
            C,
            KERNEL,
            DEGREE,
            GAMMA,
            COEF0,
            PROBABILITY,
            TOL,
            MAX_ITER,
            SEED,
        ],
        actions: ACTIONS,
        new: |params| make(params, false),
        load: |bytes| input::load(bytes, Classifier::sound),
    },
    Entry {
        name: "nu-svc",
        aliases: &["NuSVC"],
        role: Role::Classifier,
        summary: "support vector machine told which share of rows may err",
        params: &[
            param(
                "nu",
                "0.5",
                "most share of errors, least share of support vectors",
            ),
            KERNEL,
            DEGREE,
            GAMMA,
            COEF0,
            PROBABILITY,
            TOL,
            MAX_ITER,
            SEED,
        ],
        actions: ACTIONS,
        new: |params| make(params, true),
        load: |bytes| input::load(bytes, Classifier::sound),
    },
];
