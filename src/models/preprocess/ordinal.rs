//! A number for each category of a text column, in sorted order; number columns pass through.

use super::ACTIONS;
use super::category::{keys, shown};
use crate::error::{Context, Error, Result};
use crate::models::matrix;
use crate::models::registry::{Entry, Param};
use crate::models::state::{self, fitted};
use crate::models::{Estimator, Params, Role, Target};
use polars::prelude::{Column, DataFrame};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use std::collections::HashMap;

pub const ENTRIES: &[Entry] = &[Entry {
    name: "ordinal",
    aliases: &["OrdinalEncoder", "ordinal-encoder"],
    role: Role::Transformer,
    summary: "numbers 0, 1, … for the categories of the text columns; numbers pass through",
    params: &[
        Param {
            name: "columns",
            default: "the text columns",
            doc: "the columns to encode, a list of names",
        },
        Param {
            name: "handle_unknown",
            default: "error",
            doc: "categories not seen in training: error, or use_encoded_value",
        },
        Param {
            name: "unknown_value",
            default: "-1",
            doc: "the number for such categories",
        },
    ],
    actions: ACTIONS,
    new: |params| Ok(Box::new(Ordinal::new(params)?)),
    load: |bytes| Ok(Box::new(state::load::<Ordinal>(bytes)?)),
}];

#[derive(Debug, Serialize, Deserialize)]
struct Ordinal {
    columns: Option<Vec<String>>,
    unknown: Option<f64>,
    /// Column → its categories in order.
    learned: Option<Vec<(String, Vec<String>)>>,
}

impl Ordinal {
    fn new(params: &Params) -> Result<Self> {
        let choices = ["error", "use_encoded_value"];
        let handling = params.one_of("handle_unknown", "error", &choices)?;
        let value = params.f64("unknown_value", -1.0)?;
        Ok(Ordinal {
            columns: params.texts("columns")?,
            unknown: (handling != "error").then_some(value),
            learned: None,
        })
    }

    /// Nulls stay nulls.
    fn encode(&self, column: &Column, categories: &[String]) -> Result<Column> {
        let places: HashMap<&str, f64> = categories
            .iter()
            .enumerate()
            .map(|(place, key)| (key.as_str(), place as f64))
            .collect();
        let keys = keys(column)?;
        let place = |key: Option<&str>| match key {
            None => Ok(None),
            Some(key) => match places.get(key).copied().or(self.unknown) {
                Some(place) => Ok(Some(place)),
                None => Err(Error::invalid(format!(
                    "column {} has the category {:?}, which training did not have",
                    column.name(),
                    shown(Some(key))
                ))
                .hint("train with ordinal(handle_unknown=use_encoded_value) to number it -1")),
            },
        };
        let values = keys
            .iter()
            .map(place)
            .collect::<Result<Vec<Option<f64>>>>()?;
        Ok(Column::new(column.name().clone(), values))
    }
}

impl Estimator for Ordinal {
    fn fit(&mut self, x: &DataFrame, _y: &Target) -> Result<()> {
        let mut learned = Vec::new();
        if let Some(columns) = &self.columns {
            for name in columns {
                x.column(name)
                    .context(|| "ordinal cannot find its column")?;
            }
        }
        for column in x.columns() {
            let name = column.name().as_str();
            let encoded = match &self.columns {
                Some(columns) => columns.iter().any(|wanted| wanted == name),
                None => matrix::is_text(column.dtype()),
            };
            if encoded {
                let counts = keys(column)?.counts();
                let categories = counts.into_iter().filter_map(|(key, _)| key).collect();
                learned.push((name.to_string(), categories));
            }
        }
        self.learned = Some(learned);
        Ok(())
    }

    fn transform(&self, x: &DataFrame) -> Result<DataFrame> {
        let learned = fitted(&self.learned)?;
        let columns = x
            .columns()
            .iter()
            .map(|column| {
                match learned
                    .iter()
                    .find(|(name, _)| name == column.name().as_str())
                {
                    Some((_, categories)) => self.encode(column, categories),
                    None => Ok(column.clone()),
                }
            })
            .collect::<Result<Vec<Column>>>()?;
        DataFrame::new(x.height(), columns).context(|| "cannot make a table of the encoded columns")
    }

    fn takes_raw(&self) -> bool {
        true
    }

    fn save(&self) -> Result<Vec<u8>> {
        state::save(self)
    }

    fn learned(&self) -> Value {
        let learned = self.learned.iter().flatten();
        learned
            .map(|(name, categories)| (name.clone(), json!(categories)))
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
    fn categories_become_numbers_in_sorted_order() {
        let x = df!("c" => [Some("b"), None, Some("a")], "n" => [7, 8, 9]).unwrap();
        let mut step = find("ordinal").unwrap().make(&Params::new()).unwrap();
        let out = step.fit_transform(&x, &Target::None).unwrap();
        assert_eq!(
            out,
            df!("c" => [Some(1.0), None, Some(0.0)], "n" => [7, 8, 9]).unwrap_or_default()
        );
        let error = step.transform(&df!("c" => ["z"], "n" => [1]).unwrap());
        assert!(error.unwrap_err().message().contains("\"z\""));
    }
}
