//! Random projection: fewer columns with nearly the same distances (Johnson and
//! Lindenstrauss 1984). The directions are linfa's, scaled so that lengths are kept:
//! linfa's lengths shrink with the number of columns.

use super::{SEED, input, param};
use crate::error::{Error, Result};
use crate::models::estimator::{Estimator, Role, Target};
use crate::models::registry::Entry;
use crate::models::{Params, matrix, state};
use linfa::ParamGuard;
use linfa::dataset::DatasetBase;
use linfa::traits::{Fit, Transformer};
use linfa_reduction::random_projection::GaussianRandomProjection;
use ndarray::{Array1, Array2, Axis};
use polars::prelude::DataFrame;
use rand_xoshiro::Xoshiro256Plus;
use rand_xoshiro::rand_core::SeedableRng;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// Unit vectors projected at once.
const BLOCK: usize = 256;

#[derive(Debug, Serialize, Deserialize)]
struct Projection {
    n_components: Option<usize>,
    eps: f64,
    seed: u64,
    /// Columns × components.
    state: Option<Array2<f64>>,
}

impl Estimator for Projection {
    fn fit(&mut self, x: &DataFrame, _y: &Target) -> Result<()> {
        let table = input::table(x)?;
        let (rows, width) = table.dim();
        let k = self.n_components.unwrap_or_else(|| {
            let error = self.eps * self.eps / 2.0 - self.eps.powi(3) / 3.0;
            ((4.0 * (rows as f64).ln() / error) as usize).max(1)
        });
        if k > width {
            return Err(
                Error::invalid(format!("a projection of {width} columns cannot have {k}"))
                    .hint("set n_components, or raise eps"),
            );
        }
        let data = DatasetBase::new(table, Array1::<()>::default(rows));
        let model = GaussianRandomProjection::<f64>::params_with_rng(
            Xoshiro256Plus::seed_from_u64(self.seed),
        )
        .target_dim(k)
        .check()
        .and_then(|params| params.fit(&data))
        .map_err(|error| Error::failed("cannot draw a projection").because(error))?;
        // linfa hides the matrix, but shows what it does to unit vectors.
        let mut directions = Array2::<f64>::zeros((width, k));
        let scale = (width as f64 / k as f64).sqrt();
        for (block, mut part) in directions.axis_chunks_iter_mut(Axis(0), BLOCK).enumerate() {
            let units = Array2::from_shape_fn((part.nrows(), width), |(i, j)| {
                f64::from(u8::from(block * BLOCK + i == j)) * scale
            });
            part.assign(&model.transform(&units));
        }
        self.state = Some(directions);
        Ok(())
    }

    fn transform(&self, x: &DataFrame) -> Result<DataFrame> {
        let directions = input::fitted(&self.state)?;
        let table = input::table_of(x, directions.nrows())?;
        let names = input::numbered("gaussianrandomprojection", directions.ncols());
        matrix::frame(table.dot(directions), &names)
    }

    fn save(&self) -> Result<Vec<u8>> {
        state::save(self)
    }

    fn learned(&self) -> Value {
        match &self.state {
            Some(directions) => json!({
                "components": input::lists(&directions.t().to_owned()),
            }),
            None => Value::Null,
        }
    }
}

fn make(params: &Params) -> Result<Box<dyn Estimator>> {
    let eps = params.between("eps", 0.1, 0.0, 1.0)?;
    if eps <= 0.0 || eps >= 1.0 {
        return Err(Error::usage("parameter eps must be between 0 and 1"));
    }
    Ok(Box::new(Projection {
        n_components: match params.opt_usize("n_components") {
            Ok(Some(_)) => Some(params.count("n_components", 1)?),
            Ok(None) => None,
            Err(_) if params.text("n_components", "auto")? == "auto" => None,
            Err(error) => return Err(error),
        },
        eps,
        seed: params.seed()?,
        state: None,
    }))
}

/// The estimators of this module.
pub(super) const ENTRIES: &[Entry] = &[Entry {
    name: "random-projection",
    aliases: &["GaussianRandomProjection"],
    role: Role::Transformer,
    summary: "fewer columns in random directions, distances nearly kept",
    params: &[
        param(
            "n_components",
            "auto",
            "columns to make; auto: as many as eps and the rows need",
        ),
        param("eps", "0.1", "distances may change by this share"),
        SEED,
    ],
    actions: &["transform", "fit_transform"],
    new: make,
    load: |bytes| input::load::<Projection>(bytes, |_| true),
}];
