//! Median and quantile range instead of mean and deviation: outliers weigh little.

use super::ACTIONS;
use super::scale::{Scale, nonzero};
use crate::error::{Error, Result};
use crate::models::registry::{Entry, Param};
use crate::models::state::{self, fitted};
use crate::models::{Estimator, Params, Role, Target};
use polars::prelude::DataFrame;
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub const ENTRIES: &[Entry] = &[Entry {
    name: "robust-scaler",
    aliases: &["RobustScaler"],
    role: Role::Transformer,
    summary: "subtract the median and divide by the range between two quantiles",
    params: &[
        Param {
            name: "with_centering",
            default: "true",
            doc: "subtract the median",
        },
        Param {
            name: "with_scaling",
            default: "true",
            doc: "divide by the quantile range",
        },
        Param {
            name: "quantile_range",
            default: "[25, 75]",
            doc: "the two quantiles in per cent",
        },
    ],
    actions: ACTIONS,
    new: |params| Ok(Box::new(RobustScaler::new(params)?)),
    load: |bytes| Ok(Box::new(state::load::<RobustScaler>(bytes)?)),
}];

#[derive(Debug, Serialize, Deserialize)]
struct RobustScaler {
    with_centering: bool,
    with_scaling: bool,
    low: f64,
    high: f64,
    scale: Option<Scale>,
}

impl RobustScaler {
    fn new(params: &Params) -> Result<Self> {
        let range = params.f64s("quantile_range", &[25.0, 75.0])?;
        match range.as_slice() {
            &[low, high] if 0.0 <= low && low < high && high <= 100.0 => Ok(RobustScaler {
                with_centering: params.bool("with_centering", true)?,
                with_scaling: params.bool("with_scaling", true)?,
                low: low / 100.0,
                high: high / 100.0,
                scale: None,
            }),
            _ => Err(Error::usage(
                "parameter quantile_range must be [low, high] between 0 and 100",
            )),
        }
    }
}

impl Estimator for RobustScaler {
    fn fit(&mut self, x: &DataFrame, _y: &Target) -> Result<()> {
        self.scale = Some(Scale::learn(x, |values| {
            let mut sorted = values.to_vec();
            sorted.sort_unstable_by(f64::total_cmp);
            let shift = if self.with_centering {
                quantile(&sorted, 0.5)
            } else {
                0.0
            };
            let divide = if self.with_scaling {
                nonzero(quantile(&sorted, self.high) - quantile(&sorted, self.low))
            } else {
                1.0
            };
            (shift, divide)
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
            .map_or(Value::Null, |scale| scale.learned("center", "scale"))
    }
}

/// The quantile of sorted values, interpolated linearly between neighbours.
pub fn quantile(sorted: &[f64], q: f64) -> f64 {
    let place = q * sorted.len().saturating_sub(1) as f64;
    let below = sorted
        .get(place.floor() as usize)
        .copied()
        .unwrap_or(f64::NAN);
    let above = sorted.get(place.ceil() as usize).copied().unwrap_or(below);
    below + (above - below) * place.fract()
}
