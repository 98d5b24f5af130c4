//! Each column mapped to a range.

use super::ACTIONS;
use super::scale::{Scale, nonzero};
use crate::error::{Context, Error, Result};
use crate::models::matrix;
use crate::models::registry::{Entry, Param};
use crate::models::state::{self, fitted};
use crate::models::{Estimator, Params, Role, Target};
use polars::prelude::{Column, DataFrame};
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub const ENTRIES: &[Entry] = &[Entry {
    name: "min-max-scaler",
    aliases: &["MinMaxScaler"],
    role: Role::Transformer,
    summary: "map the range of each column to 0..1 or another range",
    params: &[
        Param {
            name: "feature_range",
            default: "[0, 1]",
            doc: "the range to map to",
        },
        Param {
            name: "clip",
            default: "false",
            doc: "clip values of new tables to the range",
        },
    ],
    actions: ACTIONS,
    new: |params| Ok(Box::new(MinMaxScaler::new(params)?)),
    load: |bytes| Ok(Box::new(state::load::<MinMaxScaler>(bytes)?)),
}];

#[derive(Debug, Serialize, Deserialize)]
struct MinMaxScaler {
    low: f64,
    high: f64,
    clip: bool,
    scale: Option<Scale>,
}

impl MinMaxScaler {
    fn new(params: &Params) -> Result<Self> {
        let range = params.f64s("feature_range", &[0.0, 1.0])?;
        let &[low, high] = range.as_slice() else {
            return Err(Error::usage("parameter feature_range must be [low, high]"));
        };
        if low >= high {
            return Err(Error::usage(
                "parameter feature_range must have its lower end first",
            ));
        }
        Ok(MinMaxScaler {
            low,
            high,
            clip: params.bool("clip", false)?,
            scale: None,
        })
    }
}

impl Estimator for MinMaxScaler {
    fn fit(&mut self, x: &DataFrame, _y: &Target) -> Result<()> {
        let width = self.high - self.low;
        let mut scale = Scale::learn(x, |values| {
            let min = values
                .iter()
                .fold(f64::INFINITY, |min, value| min.min(*value));
            let max = values
                .iter()
                .fold(f64::NEG_INFINITY, |max, value| max.max(*value));
            (min, nonzero(max - min) / width)
        })?;
        scale.add = self.low;
        self.scale = Some(scale);
        Ok(())
    }

    fn transform(&self, x: &DataFrame) -> Result<DataFrame> {
        let mapped = fitted(&self.scale)?.apply(x)?;
        if !self.clip {
            return Ok(mapped);
        }
        let columns = mapped
            .columns()
            .iter()
            .map(|column| {
                let values = matrix::values(column)?;
                let clipped: Vec<f64> = values
                    .iter()
                    .map(|value| value.clamp(self.low, self.high))
                    .collect();
                Ok(Column::new(column.name().clone(), clipped))
            })
            .collect::<Result<Vec<Column>>>()?;
        DataFrame::new(x.height(), columns).context(|| "cannot make a table of the result")
    }

    fn save(&self) -> Result<Vec<u8>> {
        state::save(self)
    }

    fn learned(&self) -> Value {
        self.scale
            .as_ref()
            .map_or(Value::Null, |scale| scale.learned("min", "width"))
    }
}
