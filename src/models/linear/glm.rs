//! Generalised linear models of the Tweedie family:
//! min Σ deviance / 2n + alpha |w|² / 2.

use super::ACTIONS;
use super::design::Design;
use super::gram::targets;
use super::hyperplane::Hyperplane;
use super::least_squares::least_squares;
use super::logistic::plane;
use super::loss::Tweedie;
use super::newton::{Limits, minimise};
use crate::error::{Error, Result};
use crate::models::registry::{Entry, Param};
use crate::models::state::{self, fitted};
use crate::models::{Estimator, Params, Role, Target};
use ndarray::{Array2, Axis};
use polars::prelude::DataFrame;
use serde::{Deserialize, Serialize};
use serde_json::Value;

const ALPHA: Param = Param {
    name: "alpha",
    default: "1.0",
    doc: "weight of the quadratic penalty, 0 or more",
};
const FIT_INTERCEPT: Param = Param {
    name: "fit_intercept",
    default: "true",
    doc: "learn an intercept, which is not penalised",
};
const MAX_ITER: Param = Param {
    name: "max_iter",
    default: "100",
    doc: "most steps of Newton's method",
};
const TOL: Param = Param {
    name: "tol",
    default: "1e-7",
    doc: "stop when a step promises less than the square of this share of the loss",
};

pub const ENTRIES: &[Entry] = &[
    Entry {
        name: "poisson-regression",
        aliases: &["PoissonRegressor"],
        role: Role::Regressor,
        summary: "counts: a log-linear model with Poisson deviance",
        params: &[ALPHA, FIT_INTERCEPT, MAX_ITER, TOL],
        actions: ACTIONS,
        new: |params| Ok(Box::new(Glm::new(params, 1.0)?)),
        load: |bytes| Ok(Box::new(state::load::<Glm>(bytes)?)),
    },
    Entry {
        name: "gamma-regression",
        aliases: &["GammaRegressor"],
        role: Role::Regressor,
        summary: "positive amounts: a log-linear model with gamma deviance",
        params: &[ALPHA, FIT_INTERCEPT, MAX_ITER, TOL],
        actions: ACTIONS,
        new: |params| Ok(Box::new(Glm::new(params, 2.0)?)),
        load: |bytes| Ok(Box::new(state::load::<Glm>(bytes)?)),
    },
    Entry {
        name: "tweedie-regression",
        aliases: &["TweedieRegressor"],
        role: Role::Regressor,
        summary: "a generalised linear model whose variance grows with a power of the mean",
        params: &[
            Param {
                name: "power",
                default: "0.0",
                doc: "0 normal, 1 Poisson, between 1 and 2 with a mass at zero, 2 gamma, 3 inverse Gaussian",
            },
            Param {
                name: "link",
                default: "auto",
                doc: "log, identity (power 0 only), or auto: identity for power 0, else log",
            },
            ALPHA,
            FIT_INTERCEPT,
            MAX_ITER,
            TOL,
        ],
        actions: ACTIONS,
        new: |params| {
            let power = params.f64("power", 0.0)?;
            Ok(Box::new(Glm::new(params, power)?))
        },
        load: |bytes| Ok(Box::new(state::load::<Glm>(bytes)?)),
    },
];

#[derive(Debug, Serialize, Deserialize)]
struct Glm {
    power: f64,
    log_link: bool,
    alpha: f64,
    fit_intercept: bool,
    max_iter: usize,
    tol: f64,
    plane: Option<Hyperplane>,
    steps: usize,
    converged: bool,
}

impl Glm {
    fn new(params: &Params, power: f64) -> Result<Self> {
        if power < 0.0 || (power > 0.0 && power < 1.0) {
            return Err(Error::usage(format!(
                "parameter power must be 0 or at least 1, not {power}"
            )));
        }
        let log_link = match params.one_of("link", "auto", &["auto", "log", "identity"])? {
            "log" => true,
            "identity" if power != 0.0 => {
                return Err(Error::usage(
                    "link identity goes with power 0 only; the mean of the others is positive",
                ));
            }
            "identity" => false,
            _ => power != 0.0,
        };
        Ok(Glm {
            power,
            log_link,
            alpha: params.non_negative("alpha", 1.0)?,
            fit_intercept: params.bool("fit_intercept", true)?,
            max_iter: params.count("max_iter", 100)?,
            tol: params.positive("tol", 1e-7)?,
            plane: None,
            steps: 0,
            converged: true,
        })
    }

    /// Refuses targets that the distribution cannot have.
    fn check(&self, y: &[f64]) -> Result<()> {
        let least = y.iter().fold(f64::INFINITY, |min, y| min.min(*y));
        let sum: f64 = y.iter().sum();
        if self.power >= 2.0 && least <= 0.0 {
            return Err(Error::invalid(format!(
                "a target of power {} must be above 0; the least is {least}",
                self.power
            )));
        }
        if self.power >= 1.0 && least < 0.0 {
            return Err(Error::invalid(format!(
                "a target of power {} must not be negative; the least is {least}",
                self.power
            )));
        }
        if self.log_link && sum <= 0.0 {
            return Err(Error::invalid(
                "the mean of the target must be above 0 for the log link",
            ));
        }
        Ok(())
    }
}

impl Estimator for Glm {
    fn fit(&mut self, x: &DataFrame, y: &Target) -> Result<()> {
        y.fits(x)?;
        let y = y.column()?;
        let rows = y.len() as f64;
        let design = Design::new(x, self.fit_intercept)?;
        if !self.log_link {
            let (y, means) = targets(&design, y.insert_axis(Axis(1)));
            let w = least_squares(&design, &y, self.alpha * rows);
            self.plane = Some(Hyperplane::centred(&design, w, &means));
            return Ok(());
        }
        let y = y.to_vec();
        self.check(&y)?;
        let mut start = Array2::zeros((1, design.block_width()));
        if design.intercept()
            && let Some(intercept) = start.last_mut()
        {
            *intercept = (y.iter().sum::<f64>() / rows).ln();
        }
        let loss = Tweedie {
            y: &y,
            power: self.power,
        };
        let limits = Limits {
            max_iter: self.max_iter,
            tol: self.tol,
        };
        let found = minimise(&design, &loss, self.alpha * rows, start, limits);
        self.steps = found.steps;
        self.converged = found.converged;
        self.plane = Some(plane(&design, &found.coefficients));
        Ok(())
    }

    fn predict(&self, x: &DataFrame) -> Result<Array2<f64>> {
        let mut values = fitted(&self.plane)?.apply(x)?;
        if self.log_link {
            values.mapv_inplace(f64::exp);
        }
        Ok(values)
    }

    fn save(&self) -> Result<Vec<u8>> {
        state::save(self)
    }

    fn learned(&self) -> Value {
        let mut learned = self.plane.as_ref().map_or(Value::Null, Hyperplane::learned);
        if let Value::Object(map) = &mut learned {
            map.insert("steps".into(), self.steps.into());
            map.insert("converged".into(), self.converged.into());
        }
        learned
    }
}
