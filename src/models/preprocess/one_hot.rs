//! One column of 0 and 1 for each category of a text column; number columns pass through.

use super::ACTIONS;
use super::category::{Keys, keys, shown};
use crate::error::{Context, Error, Result};
use crate::models::matrix;
use crate::models::registry::{Entry, Param};
use crate::models::state::{self, fitted};
use crate::models::{Estimator, Params, Role, Target};
use polars::prelude::{Column, DataFrame};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use std::collections::{HashMap, HashSet};

pub const ENTRIES: &[Entry] = &[Entry {
    name: "one-hot",
    aliases: &["OneHotEncoder", "one-hot-encoder"],
    role: Role::Transformer,
    summary: "a column of 0 and 1 for each category of the text columns; numbers pass through",
    params: &[
        Param {
            name: "columns",
            default: "the text columns",
            doc: "the columns to encode, a list of names",
        },
        Param {
            name: "drop",
            default: "none",
            doc: "leave out one category of each column: none, first, or if_binary",
        },
        Param {
            name: "handle_unknown",
            default: "error",
            doc: "categories not seen in training: error, or ignore (all zeros)",
        },
        Param {
            name: "max_categories",
            default: "no limit",
            doc: "gather the rarest categories of a column in one so that no more columns arise",
        },
    ],
    actions: ACTIONS,
    new: |params| Ok(Box::new(OneHot::new(params)?)),
    load: |bytes| Ok(Box::new(state::load::<OneHot>(bytes)?)),
}];

#[derive(Debug, Serialize, Deserialize)]
struct OneHot {
    columns: Option<Vec<String>>,
    drop: String,
    ignore_unknown: bool,
    max_categories: Option<usize>,
    learned: Option<Vec<Part>>,
}

/// What becomes of one column.
#[derive(Debug, Serialize, Deserialize)]
enum Part {
    /// Handed on.
    Pass(String),
    /// Replaced by the columns named in `outputs`.
    Encode {
        column: String,
        /// Each category and its place in `outputs`; none is left out.
        categories: Vec<(Option<String>, Option<usize>)>,
        outputs: Vec<String>,
    },
}

impl OneHot {
    fn new(params: &Params) -> Result<Self> {
        let choices = ["none", "first", "if_binary"];
        let unknown = params.one_of("handle_unknown", "error", &["error", "ignore"])?;
        let max_categories = params.opt_usize("max_categories")?;
        if max_categories == Some(0) {
            return Err(Error::usage("parameter max_categories must be 1 or more"));
        }
        Ok(OneHot {
            columns: params.texts("columns")?,
            drop: params.one_of("drop", "none", &choices)?.to_string(),
            ignore_unknown: unknown == "ignore",
            max_categories,
            learned: None,
        })
    }

    fn learn(&self, column: &Column) -> Result<Part> {
        let name = column.name();
        let counts = keys(column)?.counts();
        let rare = self.rare(&counts);
        let mut outputs = Vec::new();
        let mut categories = Vec::with_capacity(counts.len());
        let kept = counts.len() - rare.len() + usize::from(!rare.is_empty());
        let mut left_out = match self.drop.as_str() {
            "first" => 1,
            "if_binary" if kept == 2 => 1,
            _ => 0,
        };
        let mut gathered = Vec::new();
        for (i, (key, _)) in counts.into_iter().enumerate() {
            if rare.contains(&i) {
                gathered.push(key);
            } else if left_out > 0 {
                left_out -= 1;
                categories.push((key, None));
            } else {
                categories.push((key.clone(), Some(outputs.len())));
                outputs.push(format!("{name}_{}", shown(key.as_deref())));
            }
        }
        if !gathered.is_empty() {
            let place = (left_out == 0).then_some(outputs.len());
            categories.extend(gathered.into_iter().map(|key| (key, place)));
            if place.is_some() {
                outputs.push(format!("{name}_infrequent"));
            }
        }
        Ok(Part::Encode {
            column: name.to_string(),
            categories,
            outputs,
        })
    }

    /// Places of the rarest categories, those that do not fit in `max_categories` columns.
    fn rare(&self, counts: &[(Option<String>, usize)]) -> HashSet<usize> {
        match self.max_categories {
            Some(max) if counts.len() > max => {
                let mut order: Vec<usize> = (0..counts.len()).collect();
                order.sort_by_key(|i| std::cmp::Reverse(counts.get(*i).map(|c| c.1)));
                order.into_iter().skip(max - 1).collect()
            }
            _ => HashSet::new(),
        }
    }
}

/// The encoded columns of one column.
fn encode(
    keys: &Keys,
    column: &str,
    categories: &[(Option<String>, Option<usize>)],
    outputs: &[String],
    rows: usize,
    ignore_unknown: bool,
) -> Result<Vec<Column>> {
    let places: HashMap<Option<&str>, Option<usize>> = categories
        .iter()
        .map(|(key, place)| (key.as_deref(), *place))
        .collect();
    let mut values = vec![vec![0.0_f64; rows]; outputs.len()];
    for (row, key) in keys.iter().enumerate() {
        match places.get(&key) {
            Some(None) => {}
            Some(Some(place)) => {
                let cell = values
                    .get_mut(*place)
                    .and_then(|column| column.get_mut(row));
                if let Some(cell) = cell {
                    *cell = 1.0;
                }
            }
            None if ignore_unknown => {}
            None => {
                return Err(Error::invalid(format!(
                    "column {column} has the category {:?}, which training did not have",
                    shown(key)
                ))
                .hint("train with one-hot(handle_unknown=ignore) to let it count as none"));
            }
        }
    }
    Ok(outputs
        .iter()
        .zip(values)
        .map(|(name, values)| Column::new(name.as_str().into(), values))
        .collect())
}

impl Estimator for OneHot {
    fn fit(&mut self, x: &DataFrame, _y: &Target) -> Result<()> {
        if let Some(columns) = &self.columns {
            for name in columns {
                x.column(name)
                    .context(|| "one-hot cannot find its column")?;
            }
        }
        let parts = x
            .columns()
            .iter()
            .map(|column| {
                let name = column.name().as_str();
                let encoded = match &self.columns {
                    Some(columns) => columns.iter().any(|wanted| wanted == name),
                    None => matrix::is_text(column.dtype()),
                };
                if encoded {
                    self.learn(column)
                } else {
                    Ok(Part::Pass(name.to_string()))
                }
            })
            .collect::<Result<Vec<Part>>>()?;
        self.learned = Some(parts);
        Ok(())
    }

    fn transform(&self, x: &DataFrame) -> Result<DataFrame> {
        let mut columns = Vec::new();
        let find = |name: &str| {
            x.column(name)
                .context(|| "the table lacks a column of training")
        };
        for part in fitted(&self.learned)? {
            match part {
                Part::Pass(name) => columns.push(find(name)?.clone()),
                Part::Encode {
                    column,
                    categories,
                    outputs,
                } => {
                    let keys = keys(find(column)?)?;
                    let ignore = self.ignore_unknown;
                    columns.extend(encode(
                        &keys,
                        column,
                        categories,
                        outputs,
                        x.height(),
                        ignore,
                    )?);
                }
            }
        }
        DataFrame::new(x.height(), columns).context(|| "cannot make a table of the encoded columns")
    }

    fn takes_raw(&self) -> bool {
        true
    }

    fn save(&self) -> Result<Vec<u8>> {
        state::save(self)
    }

    fn learned(&self) -> Value {
        let Some(parts) = &self.learned else {
            return Value::Null;
        };
        let encoded = parts.iter().filter_map(|part| match part {
            Part::Pass(_) => None,
            Part::Encode {
                column, outputs, ..
            } => Some((column.clone(), json!(outputs))),
        });
        encoded.collect::<Map<String, Value>>().into()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::models::find;
    use polars::prelude::df;

    fn encoded(params: Value, x: &DataFrame) -> DataFrame {
        let params: Params = serde_json::from_value(params).unwrap();
        let mut step = find("one-hot").unwrap().make(&params).unwrap();
        step.fit_transform(x, &Target::None).unwrap()
    }

    #[test]
    fn categories_become_named_columns() {
        let x = df!("n" => [1.0, 2.0, 3.0], "c" => [Some("b"), Some("a"), None]).unwrap();
        let out = encoded(json!({}), &x);
        assert_eq!(matrix::names(&out), ["n", "c_a", "c_b", "c_null"]);
        let out = encoded(json!({"drop": "first"}), &x);
        assert_eq!(matrix::names(&out), ["n", "c_b", "c_null"]);
        let out = encoded(json!({"columns": ["n"]}), &x);
        assert_eq!(matrix::names(&out), ["n_1", "n_2", "n_3", "c"]);
    }

    #[test]
    fn rare_categories_are_gathered() {
        let x = df!("c" => ["a", "b", "b", "c", "c", "d"]).unwrap();
        let out = encoded(json!({"max_categories": 3}), &x);
        assert_eq!(matrix::names(&out), ["c_b", "c_c", "c_infrequent"]);
        let rare = matrix::values(out.column("c_infrequent").unwrap()).unwrap();
        assert_eq!(&*rare, [1.0, 0.0, 0.0, 0.0, 0.0, 1.0]);
    }

    #[test]
    fn unknown_categories_are_refused_or_ignored() {
        let x = df!("c" => ["a", "b"]).unwrap();
        let new = df!("c" => ["a", "z"]).unwrap();
        for (handling, fine) in [("error", false), ("ignore", true)] {
            let mut params = Params::new();
            params.set("handle_unknown", json!(handling));
            let mut step = find("one-hot").unwrap().make(&params).unwrap();
            step.fit(&x, &Target::None).unwrap();
            assert_eq!(step.transform(&new).is_ok(), fine);
        }
    }
}
