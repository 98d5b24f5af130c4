//! Least squares with a quadratic penalty on the coefficients.

use super::ACTIONS;
use super::design::Design;
use super::gram::targets;
use super::hyperplane::Hyperplane;
use super::least_squares::least_squares;
use crate::error::Result;
use crate::models::registry::{Entry, Param};
use crate::models::state::{self, fitted};
use crate::models::{Estimator, Role, Target};
use ndarray::Array2;
use polars::prelude::DataFrame;
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub const ENTRIES: &[Entry] = &[Entry {
    name: "ridge",
    aliases: &["Ridge", "ridge-regression"],
    role: Role::Regressor,
    summary: "least squares with a quadratic penalty: min |y - Xw|² + alpha |w|²",
    params: &[
        Param {
            name: "alpha",
            default: "1.0",
            doc: "weight of the penalty, 0 or more",
        },
        Param {
            name: "fit_intercept",
            default: "true",
            doc: "learn an intercept, which is not penalised",
        },
    ],
    actions: ACTIONS,
    new: |params| {
        Ok(Box::new(Ridge {
            alpha: params.non_negative("alpha", 1.0)?,
            fit_intercept: params.bool("fit_intercept", true)?,
            plane: None,
        }))
    },
    load: |bytes| Ok(Box::new(state::load::<Ridge>(bytes)?)),
}];

#[derive(Debug, Serialize, Deserialize)]
struct Ridge {
    alpha: f64,
    fit_intercept: bool,
    plane: Option<Hyperplane>,
}

impl Estimator for Ridge {
    fn fit(&mut self, x: &DataFrame, y: &Target) -> Result<()> {
        y.fits(x)?;
        let design = Design::new(x, self.fit_intercept)?;
        let (y, means) = targets(&design, y.values()?);
        let w = least_squares(&design, &y, self.alpha);
        self.plane = Some(Hyperplane::centred(&design, w, &means));
        Ok(())
    }

    fn predict(&self, x: &DataFrame) -> Result<Array2<f64>> {
        fitted(&self.plane)?.apply(x)
    }

    fn save(&self) -> Result<Vec<u8>> {
        state::save(self)
    }

    fn learned(&self) -> Value {
        self.plane.as_ref().map_or(Value::Null, Hyperplane::learned)
    }
}
