//! Zero mean and unit variance for each column.

use super::scale::Scale;
use crate::error::Result;
use crate::models::matrix;
use crate::models::registry::{Entry, Param};
use crate::models::state::{self, fitted};
use crate::models::{Estimator, Role, Target};
use polars::prelude::DataFrame;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub const ENTRIES: &[Entry] = &[Entry {
    name: "standard-scaler",
    aliases: &["StandardScaler"],
    role: Role::Transformer,
    summary: "subtract the mean and divide by the standard deviation of each column",
    params: &[
        Param {
            name: "with_mean",
            default: "true",
            doc: "subtract the mean",
        },
        Param {
            name: "with_std",
            default: "true",
            doc: "divide by the standard deviation",
        },
    ],
    actions: &["partial_fit", "transform", "fit_transform"],
    new: |params| {
        Ok(Box::new(StandardScaler {
            with_mean: params.bool("with_mean", true)?,
            with_std: params.bool("with_std", true)?,
            moments: Vec::new(),
            scale: None,
        }))
    },
    load: |bytes| Ok(Box::new(state::load::<StandardScaler>(bytes)?)),
}];

#[derive(Debug, Serialize, Deserialize)]
struct StandardScaler {
    with_mean: bool,
    with_std: bool,
    moments: Vec<Moments>,
    scale: Option<Scale>,
}

/// Count, mean and sum of squared deviations, which merge exactly.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
struct Moments {
    count: f64,
    mean: f64,
    squares: f64,
}

impl Moments {
    fn of(values: &[f64]) -> Self {
        let count = values.len() as f64;
        let mean = values.iter().sum::<f64>() / count;
        // The second sum takes back the rounding of the mean.
        let (mut squares, mut rest) = (0.0, 0.0);
        for value in values {
            let deviation = value - mean;
            squares += deviation * deviation;
            rest += deviation;
        }
        Moments {
            count,
            mean,
            squares: squares - rest * rest / count,
        }
    }

    /// Chan, Golub and LeVeque (1983), formula 2.1.
    fn merge(self, other: Self) -> Self {
        if self.count == 0.0 {
            return other;
        }
        let count = self.count + other.count;
        let delta = other.mean - self.mean;
        Moments {
            count,
            mean: self.mean + delta * other.count / count,
            squares: self.squares
                + other.squares
                + delta * delta * self.count * other.count / count,
        }
    }

    /// The standard deviation; 1 for a column that is constant within rounding.
    fn deviation(self) -> f64 {
        let variance = self.squares / self.count;
        let rounding =
            self.count * f64::EPSILON * variance + (self.count * self.mean * f64::EPSILON).powi(2);
        if variance <= rounding {
            1.0
        } else {
            variance.sqrt()
        }
    }
}

impl StandardScaler {
    fn learn(&mut self, x: &DataFrame, before: &[Moments]) -> Result<()> {
        let columns = matrix::columns(x)?;
        self.moments = columns
            .par_iter()
            .enumerate()
            .map(|(i, values)| {
                let known = before.get(i).copied().unwrap_or_default();
                known.merge(Moments::of(values))
            })
            .collect();
        let moments = self.moments.iter();
        self.scale = Some(Scale {
            names: matrix::names(x),
            shift: moments
                .clone()
                .map(|m| if self.with_mean { m.mean } else { 0.0 })
                .collect(),
            divide: moments
                .map(|m| if self.with_std { m.deviation() } else { 1.0 })
                .collect(),
            add: 0.0,
        });
        Ok(())
    }
}

impl Estimator for StandardScaler {
    fn fit(&mut self, x: &DataFrame, _y: &Target) -> Result<()> {
        self.learn(x, &[])
    }

    fn partial_fit(&mut self, x: &DataFrame, _y: &Target) -> Result<()> {
        let before = std::mem::take(&mut self.moments);
        self.learn(x, &before)
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
            .map_or(Value::Null, |scale| scale.learned("mean", "scale"))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::models::{Params, find};
    use polars::prelude::df;

    #[test]
    fn batches_give_what_the_whole_gives() {
        let whole = df!("a" => [1.0, 2.0, 4.0, 9.0], "b" => [5.0; 4]).unwrap();
        let make = || {
            find("standard-scaler")
                .unwrap()
                .make(&Params::new())
                .unwrap()
        };
        let mut once = make();
        once.fit(&whole, &Target::None).unwrap();
        let mut twice = make();
        twice
            .partial_fit(&whole.head(Some(1)), &Target::None)
            .unwrap();
        twice
            .partial_fit(&whole.tail(Some(3)), &Target::None)
            .unwrap();
        let (a, b) = (
            once.transform(&whole).unwrap(),
            twice.transform(&whole).unwrap(),
        );
        let (a, b) = (matrix::dense(&a).unwrap(), matrix::dense(&b).unwrap());
        assert!((&a - &b).iter().all(|d| d.abs() < 1e-15));
        assert_eq!(a.column(1).sum(), 0.0);
        let mean: f64 = a.column(0).iter().map(|v| v * v).sum::<f64>() / 4.0;
        assert!((mean - 1.0).abs() < 1e-12);
    }
}
