//! Each row scaled to unit length.

use super::ACTIONS;
use crate::error::Result;
use crate::models::matrix;
use crate::models::registry::{Entry, Param};
use crate::models::state;
use crate::models::{Estimator, Params, Role, Target};
use linfa::traits::Transformer;
use linfa_preprocessing::norm_scaling::NormScaler;
use polars::prelude::DataFrame;
use serde::{Deserialize, Serialize};

pub const ENTRIES: &[Entry] = &[Entry {
    name: "normalizer",
    aliases: &["Normalizer"],
    role: Role::Transformer,
    summary: "scale each row to unit length",
    params: &[Param {
        name: "norm",
        default: "l2",
        doc: "what length is: l1, l2 or max",
    }],
    actions: ACTIONS,
    new: |params| Ok(Box::new(Normalizer::new(params)?)),
    load: |bytes| Ok(Box::new(state::load::<Normalizer>(bytes)?)),
}];

#[derive(Debug, Serialize, Deserialize)]
struct Normalizer {
    scaler: NormScaler,
}

impl Normalizer {
    fn new(params: &Params) -> Result<Self> {
        let scaler = match params.one_of("norm", "l2", &["l1", "l2", "max"])? {
            "l1" => NormScaler::l1(),
            "max" => NormScaler::max(),
            _ => NormScaler::l2(),
        };
        Ok(Normalizer { scaler })
    }
}

impl Estimator for Normalizer {
    fn fit(&mut self, x: &DataFrame, _y: &Target) -> Result<()> {
        matrix::columns(x).map(drop)
    }

    fn transform(&self, x: &DataFrame) -> Result<DataFrame> {
        let mut scaled = self.scaler.transform(matrix::dense(x)?);
        // A row of zeros has no direction; it stays as it is.
        scaled.mapv_inplace(|value| if value.is_nan() { 0.0 } else { value });
        matrix::frame(scaled, &matrix::names(x))
    }

    fn save(&self) -> Result<Vec<u8>> {
        state::save(self)
    }
}
