//! Numbers by support vectors: ε-SVR and ν-SVR, one machine an output.

use super::kernel::{Rows, Support, Wanted};
use super::smo::{Problem, solve};
use super::{C, COEF0, DEGREE, GAMMA, KERNEL, MAX_ITER, TOL};
use crate::error::Result;
use crate::models::algorithms::{input, param};
use crate::models::estimator::{Estimator, Role, Target};
use crate::models::registry::Entry;
use crate::models::{Params, state};
use ndarray::{Array2, ArrayView1};
use polars::prelude::DataFrame;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

#[derive(Debug, Serialize, Deserialize)]
struct Regressor {
    kernel: Wanted,
    c: f64,
    tube: Tube,
    tol: f64,
    max_iter: Option<usize>,
    state: Option<State>,
}

/// How far off a prediction may be at no cost.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
enum Tube {
    Epsilon(f64),
    /// As far as leaves this share of rows outside.
    Nu(f64),
}

#[derive(Debug, Serialize, Deserialize)]
struct State {
    support: Support,
    outputs: usize,
    converged: bool,
}

impl Regressor {
    /// Each row has two variables: for being above the target and below it.
    fn problem(&self, target: ArrayView1<'_, f64>) -> Problem {
        let rows = target.len();
        let signed = |epsilon: f64| {
            let above = target.iter().map(move |y| epsilon - y);
            above
                .chain(target.iter().map(move |y| epsilon + y))
                .collect()
        };
        let mut y = vec![1.0; rows];
        y.resize(2 * rows, -1.0);
        let (alpha, p, nu) = match self.tube {
            Tube::Epsilon(epsilon) => (vec![0.0; 2 * rows], signed(epsilon), false),
            Tube::Nu(nu) => {
                let mut left = self.c * nu * rows as f64 / 2.0;
                let mut alpha: Vec<f64> = (0..rows)
                    .map(|_| {
                        let alpha = left.clamp(0.0, self.c);
                        left -= alpha;
                        alpha
                    })
                    .collect();
                alpha.extend_from_within(..);
                (alpha, signed(0.0), true)
            }
        };
        Problem {
            alpha,
            p,
            y,
            c: self.c,
            nu,
            tol: self.tol,
            max_iter: self.max_iter,
        }
    }

    fn sound(&self) -> bool {
        self.state
            .as_ref()
            .is_none_or(|state| state.outputs > 0 && state.support.sound(state.outputs))
    }
}

impl Estimator for Regressor {
    fn fit(&mut self, x: &DataFrame, y: &Target) -> Result<()> {
        let table = input::table(x)?;
        let target = input::values(y, table.nrows())?;
        let kernel = self.kernel.for_table(&table);
        let rows = Rows::new(table.view(), &kernel)?;
        let mut converged = true;
        let mut machines = Vec::new();
        for column in target.columns() {
            let solution = solve(&rows, self.problem(column))?;
            converged &= solution.converged;
            machines.push((solution.weights, solution.rho));
        }
        drop(rows);
        self.state = Some(State {
            outputs: machines.len(),
            support: Support::new(&table, kernel, machines),
            converged,
        });
        Ok(())
    }

    fn predict(&self, x: &DataFrame) -> Result<Array2<f64>> {
        let state = input::fitted(&self.state)?;
        let table = input::table_of(x, state.support.width())?;
        Ok(state.support.decide(&table))
    }

    fn save(&self) -> Result<Vec<u8>> {
        state::save(self)
    }

    fn learned(&self) -> Value {
        match &self.state {
            Some(state) => json!({
                "support_vectors": state.support.count(),
                "gamma": state.support.gamma(),
                "coef": state.support.column_weights().map(|w| input::lists(&w)),
                "converged": state.converged,
            }),
            None => Value::Null,
        }
    }
}

fn make(params: &Params, nu: bool) -> Result<Box<dyn Estimator>> {
    let tube = if nu {
        Tube::Nu(params.between("nu", 0.5, f64::MIN_POSITIVE, 1.0)?)
    } else {
        Tube::Epsilon(params.non_negative("epsilon", 0.1)?)
    };
    Ok(Box::new(Regressor {
        kernel: Wanted::read(params)?,
        c: params.positive("C", 1.0)?,
        tube,
        tol: params.positive("tol", 1e-3)?,
        max_iter: params.opt_usize("max_iter")?,
        state: None,
    }))
}

/// The estimators of this module.
pub(in crate::models::algorithms) const ENTRIES: &[Entry] = &[
    Entry {
        name: "svr",
        aliases: &["SVR", "svm-regressor"],
        role: Role::Regressor,
        summary: "support vector regression: errors up to epsilon are free",
        params: &[
            C,
            param("epsilon", "0.1", "errors up to this cost nothing"),
            KERNEL,
            DEGREE,
            GAMMA,
            COEF0,
            TOL,
            MAX_ITER,
        ],
        actions: &["predict", "score"],
        new: |params| make(params, false),
        load: |bytes| input::load(bytes, Regressor::sound),
    },
    Entry {
        name: "nu-svr",
        aliases: &["NuSVR"],
        role: Role::Regressor,
        summary: "support vector regression told which share of rows may err",
        params: &[
            C,
            param(
                "nu",
                "0.5",
                "most share of errors, least share of support vectors",
            ),
            KERNEL,
            DEGREE,
            GAMMA,
            COEF0,
            TOL,
            MAX_ITER,
        ],
        actions: &["predict", "score"],
        new: |params| make(params, true),
        load: |bytes| input::load(bytes, Regressor::sound),
    },
];
