//! Powers and products of columns.

use super::ACTIONS;
use crate::error::{Context, Error, Result};
use crate::models::matrix;
use crate::models::registry::{Entry, Param};
use crate::models::state::{self, fitted};
use crate::models::{Estimator, Role, Target};
use polars::prelude::{Column, DataFrame};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

/// More columns than this are refused rather than running out of memory.
const MAX_COLUMNS: usize = 20_000;

pub const ENTRIES: &[Entry] = &[Entry {
    name: "polynomial-features",
    aliases: &["PolynomialFeatures"],
    role: Role::Transformer,
    summary: "all products of columns up to a degree",
    params: &[
        Param {
            name: "degree",
            default: "2",
            doc: "the highest degree",
        },
        Param {
            name: "interaction_only",
            default: "false",
            doc: "products of different columns only",
        },
        Param {
            name: "include_bias",
            default: "true",
            doc: "a column of ones first",
        },
    ],
    actions: ACTIONS,
    new: |params| {
        Ok(Box::new(Polynomial {
            degree: params.count("degree", 2)?,
            interaction_only: params.bool("interaction_only", false)?,
            include_bias: params.bool("include_bias", true)?,
            names: None,
        }))
    },
    load: |bytes| Ok(Box::new(state::load::<Polynomial>(bytes)?)),
}];

#[derive(Debug, Serialize, Deserialize)]
struct Polynomial {
    degree: usize,
    interaction_only: bool,
    include_bias: bool,
    names: Option<Vec<String>>,
}

impl Polynomial {
    /// The column numbers of each product, by degree and then by number, as scikit-learn has them.
    fn products(&self, width: usize) -> Result<Vec<Vec<usize>>> {
        let mut all = Vec::new();
        if self.include_bias {
            all.push(Vec::new());
        }
        let mut last: Vec<Vec<usize>> = vec![Vec::new()];
        for _ in 0..self.degree {
            let mut next = Vec::new();
            for product in &last {
                let from = match product.last() {
                    None => 0,
                    Some(i) if self.interaction_only => i + 1,
                    Some(i) => *i,
                };
                for i in from..width {
                    let mut longer = product.clone();
                    longer.push(i);
                    next.push(longer);
                }
                if all.len() + next.len() > MAX_COLUMNS {
                    return Err(Error::usage(format!(
                        "degree {} of {width} columns makes more than {MAX_COLUMNS} columns",
                        self.degree
                    )));
                }
            }
            all.extend(next.iter().cloned());
            last = next;
        }
        Ok(all)
    }
}

/// `1`, `a`, `a^2 b`.
fn name(product: &[usize], names: &[String]) -> String {
    if product.is_empty() {
        return "1".to_string();
    }
    let factors = product.chunk_by(|a, b| a == b).map(|run| {
        let name = run.first().and_then(|i| names.get(*i));
        let name = name.map(String::as_str).unwrap_or_default();
        match run.len() {
            1 => name.to_string(),
            power => format!("{name}^{power}"),
        }
    });
    factors.collect::<Vec<_>>().join(" ")
}

impl Estimator for Polynomial {
    fn fit(&mut self, x: &DataFrame, _y: &Target) -> Result<()> {
        matrix::columns(x)?;
        self.products(x.width())?;
        self.names = Some(matrix::names(x));
        Ok(())
    }

    fn transform(&self, x: &DataFrame) -> Result<DataFrame> {
        let names = fitted(&self.names)?;
        if x.width() != names.len() {
            return Err(Error::invalid(format!(
                "the table has {} columns, not {}",
                x.width(),
                names.len()
            )));
        }
        let inputs = matrix::columns(x)?;
        let columns = self
            .products(names.len())?
            .par_iter()
            .map(|product| {
                let mut values = vec![1.0; x.height()];
                for factor in product.iter().filter_map(|i| inputs.get(*i)) {
                    for (value, cell) in values.iter_mut().zip(factor.iter()) {
                        *value *= cell;
                    }
                }
                Column::new(name(product, names).into(), values)
            })
            .collect();
        DataFrame::new(x.height(), columns).context(|| "cannot make a table of the products")
    }

    fn save(&self) -> Result<Vec<u8>> {
        state::save(self)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::models::{Params, find};
    use polars::prelude::df;

    #[test]
    fn products_are_named_and_ordered() {
        let x = df!("a" => [2.0], "b" => [3.0]).unwrap();
        let mut step = find("PolynomialFeatures")
            .unwrap()
            .make(&Params::new())
            .unwrap();
        let out = step.fit_transform(&x, &Target::None).unwrap();
        assert_eq!(matrix::names(&out), ["1", "a", "b", "a^2", "a b", "b^2"]);
        let row = matrix::dense(&out).unwrap();
        assert_eq!(row.row(0).to_vec(), [1.0, 2.0, 3.0, 4.0, 6.0, 9.0]);
    }
}
