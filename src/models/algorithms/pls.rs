//! Partial least squares by linfa: directions of the table that explain the target, for
//! regression, canonical analysis and canonical correlation.

use super::pca::Components;
use super::{input, param};
use crate::error::{Error, Result};
use crate::models::estimator::{Estimator, Role, Target};
use crate::models::registry::{Entry, Param};
use crate::models::{Params, matrix, state};
use linfa::ParamGuard;
use linfa::dataset::DatasetBase;
use linfa::traits::Fit;
use linfa_pls::{PlsCanonical, PlsCca, PlsError, PlsRegression};
use ndarray::{Array1, Array2, Axis};
use polars::prelude::DataFrame;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

#[derive(Debug, Serialize, Deserialize)]
struct Pls {
    kind: Kind,
    n_components: usize,
    scale: bool,
    max_iter: usize,
    tol: f64,
    state: Option<State>,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
enum Kind {
    Regression,
    Canonical,
    Cca,
}

/// What linfa found, in arrays of our own: its CCA has not been seen to store exactly.
#[derive(Debug, Serialize, Deserialize)]
struct State {
    mean: Array1<f64>,
    deviation: Array1<f64>,
    target_mean: Array1<f64>,
    /// Columns × components.
    rotations: Array2<f64>,
    /// Columns × outputs, for scaled columns.
    coefficients: Array2<f64>,
}

/// Runs one of linfa's three, which share no trait.
macro_rules! run {
    ($kind:ident, $pls:expr, $data:expr) => {
        $kind::params($pls.n_components)
            .scale($pls.scale)
            .max_iterations($pls.max_iter)
            .tolerance($pls.tol)
            .check()
            .and_then(|params| params.fit($data))
            .map(|model| (model.rotations().0.clone(), model.coefficients().clone()))
            .map_err(explain)
    };
}

fn explain(error: PlsError) -> Error {
    let hint = match &error {
        PlsError::PowerMethodNotConvergedError(_) => "raise max_iter or tol",
        _ => "lower n_components: what is left of the table or the target is constant",
    };
    Error::failed("partial least squares failed")
        .hint(hint)
        .because(error)
}

impl Pls {
    fn sound(&self) -> bool {
        self.state.as_ref().is_none_or(|state| {
            let width = state.mean.len();
            state.deviation.len() == width
                && state.rotations.nrows() == width
                && state.coefficients.dim() == (width, state.target_mean.len())
        })
    }

    /// Refuses what linfa would divide by zero for.
    fn check(&self, table: &Array2<f64>, target: &Array2<f64>) -> Result<()> {
        let (rows, width) = table.dim();
        input::at_least(rows, 2, "a variance")?;
        let constant = |values: &Array2<f64>| {
            let mut columns = values.columns().into_iter();
            columns.any(|column| column.iter().all(|v| Some(v) == column.first()))
        };
        if constant(target) {
            return Err(Error::invalid("a target column is constant"));
        }
        let deviation = deviation(table);
        let scaled = if self.scale {
            table / &deviation
        } else {
            table.clone()
        };
        let rank = Components::new(&scaled, rows.min(width), true)?.rank();
        let most = match self.kind {
            Kind::Regression => rank,
            Kind::Canonical | Kind::Cca => rank.min(target.ncols()),
        };
        if self.n_components > most {
            return Err(Error::invalid(format!(
                "n_components is {}, but the table and the target allow {most}",
                self.n_components
            )));
        }
        if self.kind == Kind::Cca {
            let rank = Components::new(target, rows.min(target.ncols()), true)?.rank();
            if rank < target.ncols() {
                return Err(Error::invalid("the target's columns depend on each other"));
            }
        }
        Ok(())
    }
}

/// Sample standard deviations, 1 for constant columns.
fn deviation(table: &Array2<f64>) -> Array1<f64> {
    let deviation = table.std_axis(Axis(0), 1.0);
    deviation.mapv(|v| if v == 0.0 { 1.0 } else { v })
}

impl Estimator for Pls {
    fn fit(&mut self, x: &DataFrame, y: &Target) -> Result<()> {
        let table = input::table(x)?;
        let target = input::values(y, table.nrows())?.to_owned();
        self.check(&table, &target)?;
        let mean = table.mean_axis(Axis(0)).unwrap_or_default();
        let target_mean = target.mean_axis(Axis(0)).unwrap_or_default();
        let deviation = if self.scale {
            deviation(&table)
        } else {
            Array1::ones(table.ncols())
        };
        let data = DatasetBase::new(table, target);
        let (rotations, coefficients) = match self.kind {
            Kind::Regression => run!(PlsRegression, self, &data),
            Kind::Canonical => run!(PlsCanonical, self, &data),
            Kind::Cca => run!(PlsCca, self, &data),
        }?;
        if coefficients
            .iter()
            .chain(&rotations)
            .any(|v| !v.is_finite())
        {
            return Err(
                Error::failed("partial least squares found no finite coefficients")
                    .hint("lower n_components"),
            );
        }
        self.state = Some(State {
            mean,
            deviation,
            target_mean,
            rotations,
            coefficients,
        });
        Ok(())
    }

    fn predict(&self, x: &DataFrame) -> Result<Array2<f64>> {
        let state = input::fitted(&self.state)?;
        let table = input::table_of(x, state.mean.len())?;
        let scaled = (table - &state.mean) / &state.deviation;
        Ok(scaled.dot(&state.coefficients) + &state.target_mean)
    }

    fn transform(&self, x: &DataFrame) -> Result<DataFrame> {
        let state = input::fitted(&self.state)?;
        let table = input::table_of(x, state.mean.len())?;
        let scaled = (table - &state.mean) / &state.deviation;
        let names = input::numbered("pls", state.rotations.ncols());
        matrix::frame(scaled.dot(&state.rotations), &names)
    }

    fn save(&self) -> Result<Vec<u8>> {
        state::save(self)
    }

    fn learned(&self) -> Value {
        let Some(state) = &self.state else {
            return Value::Null;
        };
        let raw = &state.coefficients / &state.deviation.view().insert_axis(Axis(1));
        json!({
            "coef": input::lists(&raw.t().to_owned()),
            "intercept": (&state.target_mean - &state.mean.dot(&raw)).to_vec(),
            "x_rotations": input::lists(&state.rotations),
        })
    }
}

fn make(params: &Params, kind: Kind) -> Result<Box<dyn Estimator>> {
    Ok(Box::new(Pls {
        kind,
        n_components: params.count("n_components", 2)?,
        scale: params.bool("scale", true)?,
        max_iter: params.count("max_iter", 500)?.max(2),
        tol: params.positive("tol", 1e-6)?,
        state: None,
    }))
}

const PARAMS: &[Param] = &[
    param("n_components", "2", "number of directions"),
    param("scale", "true", "scale columns and targets to variance 1"),
    param("max_iter", "500", "most iterations for a direction"),
    param("tol", "1e-6", "stop when a direction turns less"),
];
const ACTIONS: &[&str] = &["predict", "transform", "fit_transform", "score"];

fn load(bytes: &[u8]) -> Result<Box<dyn Estimator>> {
    input::load(bytes, Pls::sound)
}

/// The estimators of this module.
pub(super) const ENTRIES: &[Entry] = &[
    Entry {
        name: "pls-regression",
        aliases: &["PLSRegression", "pls"],
        role: Role::Regressor,
        summary: "regression on directions that explain the target",
        params: PARAMS,
        actions: ACTIONS,
        new: |params| make(params, Kind::Regression),
        load,
    },
    Entry {
        name: "pls-canonical",
        aliases: &["PLSCanonical"],
        role: Role::Regressor,
        summary: "directions of table and target that go together",
        params: PARAMS,
        actions: ACTIONS,
        new: |params| make(params, Kind::Canonical),
        load,
    },
    Entry {
        name: "cca",
        aliases: &["CCA", "pls-cca"],
        role: Role::Regressor,
        summary: "directions of table and target that correlate most",
        params: PARAMS,
        actions: ACTIONS,
        new: |params| make(params, Kind::Cca),
        load,
    },
];
