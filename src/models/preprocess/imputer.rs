//! Fills nulls and NaN with a value learned from each column.

use super::ACTIONS;
use super::category::keys;
use super::robust_scaler::quantile;
use crate::error::{Context, Error, Result};
use crate::models::matrix;
use crate::models::registry::{Entry, Param};
use crate::models::state::{self, fitted};
use crate::models::{Estimator, Params, Role, Target};
use polars::prelude::{Column, DataFrame, DataType};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

pub const ENTRIES: &[Entry] = &[Entry {
    name: "imputer",
    aliases: &["SimpleImputer", "simple-imputer"],
    role: Role::Transformer,
    summary: "fill nulls and NaN with each column's mean, median, most frequent or a given value",
    params: &[
        Param {
            name: "strategy",
            default: "mean",
            doc: "mean, median, most_frequent or constant; text columns get the most frequent for mean and median",
        },
        Param {
            name: "fill_value",
            default: "0, or missing_value for text",
            doc: "the value of strategy constant",
        },
    ],
    actions: ACTIONS,
    new: |params| Ok(Box::new(Imputer::new(params)?)),
    load: |bytes| Ok(Box::new(state::load::<Imputer>(bytes)?)),
}];

#[derive(Debug, Serialize, Deserialize)]
struct Imputer {
    strategy: String,
    fill_value: Option<Fill>,
    fills: Option<Vec<(String, Fill)>>,
}

/// What nulls of a column are replaced by.
#[derive(Debug, Clone, Serialize, Deserialize)]
enum Fill {
    Number(f64),
    Text(String),
    /// A column of dates and the like, handed on.
    Nothing,
}

impl Imputer {
    fn new(params: &Params) -> Result<Self> {
        let choices = ["mean", "median", "most_frequent", "constant"];
        let fill_value = match params.get("fill_value") {
            None => None,
            Some(Value::String(text)) => Some(Fill::Text(text.clone())),
            Some(_) => Some(Fill::Number(params.f64("fill_value", 0.0)?)),
        };
        Ok(Imputer {
            strategy: params.one_of("strategy", "mean", &choices)?.to_string(),
            fill_value,
            fills: None,
        })
    }

    fn learn(&self, column: &Column) -> Result<Fill> {
        if matrix::is_text(column.dtype()) {
            return Ok(Fill::Text(self.learn_text(column)?));
        }
        if !matrix::is_numeric(column.dtype()) {
            return Ok(Fill::Nothing);
        }
        if self.strategy == "constant" {
            return match &self.fill_value {
                Some(Fill::Text(text)) => Err(Error::usage(format!(
                    "parameter fill_value is the text {text:?} but column {} holds numbers",
                    column.name()
                ))),
                Some(fill) => Ok(fill.clone()),
                None => Ok(Fill::Number(0.0)),
            };
        }
        let cells = matrix::nullable(column)?;
        let mut values: Vec<f64> = cells.iter().copied().filter(|v| !v.is_nan()).collect();
        let fill = if values.is_empty() {
            0.0
        } else if self.strategy == "mean" {
            values.iter().sum::<f64>() / values.len() as f64
        } else {
            values.sort_unstable_by(f64::total_cmp);
            if self.strategy == "median" {
                quantile(&values, 0.5)
            } else {
                most_frequent(&values)
            }
        };
        Ok(Fill::Number(fill))
    }

    fn learn_text(&self, column: &Column) -> Result<String> {
        if self.strategy == "constant" {
            return Ok(match &self.fill_value {
                None | Some(Fill::Nothing) => "missing_value".to_string(),
                Some(Fill::Text(text)) => text.clone(),
                Some(Fill::Number(number)) => number.to_string(),
            });
        }
        let counts = keys(column)?.counts();
        // The first in sorted order among the most frequent, as scikit-learn has it.
        let best = counts
            .into_iter()
            .filter_map(|(key, count)| key.map(|key| (key, count)))
            .reduce(|best, next| if next.1 > best.1 { next } else { best });
        Ok(best.map_or_else(|| "missing_value".to_string(), |(key, _)| key))
    }
}

/// The smallest of the most frequent values; `sorted` is not empty.
fn most_frequent(sorted: &[f64]) -> f64 {
    sorted
        .chunk_by(|a, b| a == b)
        .reduce(|best, next| if next.len() > best.len() { next } else { best })
        .and_then(|run| run.first().copied())
        .unwrap_or(0.0)
}

fn fill(column: &Column, fill: &Fill) -> Result<Column> {
    match fill {
        Fill::Number(number) => {
            let float = column.dtype().is_float();
            if column.null_count() == 0 && !float {
                return Ok(column.clone());
            }
            let cells = matrix::nullable(column)?;
            if float && !cells.iter().any(|value| value.is_nan()) {
                return Ok(column.clone());
            }
            let filled: Vec<f64> = cells
                .iter()
                .map(|value| if value.is_nan() { *number } else { *value })
                .collect();
            Ok(Column::new(column.name().clone(), filled))
        }
        Fill::Text(text) if column.null_count() > 0 => {
            let cast = column
                .cast(&DataType::String)
                .context(|| format!("cannot read column {} as text", column.name()))?;
            let cells = cast
                .str()
                .context(|| format!("cannot read column {} as text", column.name()))?;
            let filled: Vec<&str> = cells.iter().map(|cell| cell.unwrap_or(text)).collect();
            Ok(Column::new(column.name().clone(), filled))
        }
        Fill::Text(_) | Fill::Nothing => Ok(column.clone()),
    }
}

impl Estimator for Imputer {
    fn fit(&mut self, x: &DataFrame, _y: &Target) -> Result<()> {
        let fills = x
            .columns()
            .iter()
            .map(|column| Ok((column.name().to_string(), self.learn(column)?)))
            .collect::<Result<Vec<_>>>()?;
        self.fills = Some(fills);
        Ok(())
    }

    fn transform(&self, x: &DataFrame) -> Result<DataFrame> {
        let columns = fitted(&self.fills)?
            .iter()
            .map(|(name, value)| {
                let column = x
                    .column(name)
                    .context(|| "the table lacks a column of training")?;
                fill(column, value)
            })
            .collect::<Result<Vec<Column>>>()?;
        DataFrame::new(x.height(), columns).context(|| "cannot make a table of the result")
    }

    fn takes_raw(&self) -> bool {
        true
    }

    fn save(&self) -> Result<Vec<u8>> {
        state::save(self)
    }

    fn learned(&self) -> Value {
        let fills = self.fills.iter().flatten();
        fills
            .filter_map(|(name, fill)| match fill {
                Fill::Number(number) => Some((name.clone(), json!(number))),
                Fill::Text(text) => Some((name.clone(), json!(text))),
                Fill::Nothing => None,
            })
            .collect::<Map<String, Value>>()
            .into()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::models::find;
    use polars::prelude::df;

    #[test]
    fn every_strategy_fills_numbers_and_text() {
        let x = df!(
            "n" => [Some(1.0), Some(1.0), Some(2.0), Some(8.0), None],
            "i" => [Some(1), Some(2), None, Some(2), Some(1)],
            "t" => [Some("b"), Some("a"), Some("b"), None, Some("a")],
        )
        .unwrap();
        let cases = [
            ("mean", 3.0, 1.5, "a"),
            ("median", 1.5, 1.5, "a"),
            ("most_frequent", 1.0, 1.0, "a"),
            ("constant", 0.0, 0.0, "missing_value"),
        ];
        for (strategy, number, whole, text) in cases {
            let mut params = Params::new();
            params.set("strategy", json!(strategy));
            let mut step = find("imputer").unwrap().make(&params).unwrap();
            let out = step.fit_transform(&x, &Target::None).unwrap();
            let cell =
                |name: &str, row: usize| matrix::values(out.column(name).unwrap()).unwrap()[row];
            assert_eq!(cell("n", 4), number, "{strategy}");
            assert_eq!(cell("i", 2), whole, "{strategy}");
            assert_eq!(out.column("t").unwrap().str().unwrap().get(3), Some(text));
        }
    }
}
