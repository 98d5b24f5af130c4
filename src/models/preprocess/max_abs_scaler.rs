//! Each column divided by its largest absolute value.

use super::ACTIONS;
use super::scale::{Scale, nonzero};
use crate::error::Result;
use crate::models::registry::Entry;
use crate::models::state::{self, fitted};
use crate::models::{Estimator, Role, Target};
use polars::prelude::DataFrame;
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub const ENTRIES: &[Entry] = &[Entry {
    name: "max-abs-scaler",
    aliases: &["MaxAbsScaler"],
    role: Role::Transformer,
    summary: "divide each column by its largest absolute value",
    params: &[],
    actions: ACTIONS,
    new: |_| Ok(Box::new(MaxAbsScaler { scale: None })),
    load: |bytes| Ok(Box::new(state::load::<MaxAbsScaler>(bytes)?)),
}];

#[derive(Debug, Serialize, Deserialize)]
struct MaxAbsScaler {
    scale: Option<Scale>,
}

impl Estimator for MaxAbsScaler {
    fn fit(&mut self, x: &DataFrame, _y: &Target) -> Result<()> {
        self.scale = Some(Scale::learn(x, |values| {
            let largest = values
                .iter()
                .fold(0.0_f64, |max, value| max.max(value.abs()));
            (0.0, nonzero(largest))
        })?);
        Ok(())
    }

    fn transform(&self, x: &DataFrame) -> Result<DataFrame> {
        fitted(&self.scale)?.apply(x)
    }

    fn save(&self) -> Result<Vec<u8>> {
        state::save(self)
    }

    fn learned(&self) -> Value {
        self.scale
            .as_ref()
            .map_or(Value::Null, |scale| scale.learned("shift", "max_abs"))
    }
}
