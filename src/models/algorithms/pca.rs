//! Principal components of the centred table, and the truncated singular value
//! decomposition, which is the same without centring.
//!
//! Own code on exact eigenvectors: linfa's uses an iteration with a loose tolerance and
//! gets the explained variance wrong.

use super::linear::{self, Eigen};
use super::{input, param};
use crate::error::{Error, Result};
use crate::models::estimator::{Estimator, Role, Target};
use crate::models::registry::Entry;
use crate::models::{Params, matrix, state};
use ndarray::{Array1, Array2, Axis};
use polars::prelude::DataFrame;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// Tables wider than this and than long are decomposed by rows instead of by columns.
const WIDE: usize = 500;

#[derive(Debug, Serialize, Deserialize)]
struct Pca {
    wanted: Wanted,
    centre: bool,
    whiten: bool,
    state: Option<Components>,
}

/// How many components.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
enum Wanted {
    All,
    Count(usize),
    /// As many as explain this share of the variance.
    Share(f64),
}

/// A fitted projection.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Components {
    pub mean: Array1<f64>,
    /// Components × columns, orthonormal rows.
    pub components: Array2<f64>,
    /// Variance along each.
    pub variances: Array1<f64>,
    /// Variance of the table.
    pub total: f64,
    pub singular_values: Array1<f64>,
    rows: usize,
}

impl Components {
    /// The `k` first components; fewer only if `k` is more than there can be.
    pub(super) fn new(table: &Array2<f64>, k: usize, centre: bool) -> Result<Self> {
        let (rows, width) = table.dim();
        let mean = if centre {
            table.mean_axis(Axis(0)).unwrap_or_default()
        } else {
            Array1::zeros(width)
        };
        let mut centred = table - &mean;
        for (mut column, mean) in centred.columns_mut().into_iter().zip(&mean) {
            // What a constant column differs from its mean by is rounding, not variance.
            let most = column.iter().fold(0.0_f64, |m, v| m.max(v.abs()));
            if most <= 1e-14 * mean.abs() {
                column.fill(0.0);
            }
        }
        let eigen = if width > WIDE && width > rows {
            by_rows(&centred, k)?
        } else {
            linear::largest(&centred.t().dot(&centred), k.min(width))?
        };
        let squares = eigen.values.mapv(|v| v.max(0.0));
        let scores = centred.dot(&eigen.vectors.t());
        let divisor = if centre { rows - 1 } else { rows }.max(1) as f64;
        let (variances, total) = if centre {
            let total = centred.iter().map(|v| v * v).sum::<f64>() / divisor;
            (&squares / divisor, total)
        } else {
            // Truncated SVD does not centre, but explains variance all the same.
            let total = table.var_axis(Axis(0), 0.0).sum();
            (scores.var_axis(Axis(0), 0.0), total)
        };
        Ok(Components {
            mean,
            components: eigen.vectors,
            variances,
            total,
            singular_values: squares.mapv(f64::sqrt),
            rows,
        })
    }

    /// The rows seen along the components.
    pub(super) fn scores(&self, table: &Array2<f64>) -> Array2<f64> {
        (table - &self.mean).dot(&self.components.t())
    }

    /// How many components have any variance.
    pub(super) fn rank(&self) -> usize {
        let largest = self.singular_values.first().copied().unwrap_or(0.0);
        let size = self.rows.max(self.mean.len()) as f64;
        // Values are roots of eigenvalues, known to half the digits.
        let zero = largest * (f64::EPSILON * size).sqrt();
        self.singular_values.iter().filter(|v| **v > zero).count()
    }

    pub(super) fn keep(&mut self, k: usize) {
        let keep: Vec<usize> = (0..k.min(self.variances.len())).collect();
        self.components = self.components.select(Axis(0), &keep);
        self.variances = self.variances.select(Axis(0), &keep);
        self.singular_values = self.singular_values.select(Axis(0), &keep);
    }

    fn sound(&self) -> bool {
        let (k, width) = self.components.dim();
        k > 0 && width > 0 && self.mean.len() == width && self.variances.len() == k
    }
}

/// Components of a table wider than long, from the products of its rows.
fn by_rows(centred: &Array2<f64>, k: usize) -> Result<Eigen> {
    let eigen = linear::largest(&centred.dot(&centred.t()), k.min(centred.nrows()))?;
    let rank = eigen.rank();
    let keep: Vec<usize> = (0..rank).collect();
    let values = eigen.values.select(Axis(0), &keep);
    let mut vectors = eigen.vectors.select(Axis(0), &keep).dot(centred);
    for (mut row, value) in vectors.rows_mut().into_iter().zip(&values) {
        row /= value.sqrt();
    }
    linear::settle_signs(&mut vectors);
    Ok(Eigen { values, vectors })
}

impl Estimator for Pca {
    fn fit(&mut self, x: &DataFrame, _y: &Target) -> Result<()> {
        let table = input::table(x)?;
        let (rows, width) = table.dim();
        if self.centre {
            input::at_least(rows, 2, "a variance")?;
        }
        let most = rows.min(width);
        let count = match self.wanted {
            Wanted::Count(count) => count,
            Wanted::All | Wanted::Share(_) => most,
        };
        if count > most {
            return Err(Error::invalid(format!(
                "n_components is {count}, but a table of {rows} rows and {width} columns has {most}"
            )));
        }
        let mut found = Components::new(&table, count, self.centre)?;
        if found.total <= 0.0 && self.centre {
            return Err(Error::invalid("all columns are constant"));
        }
        if let Wanted::Share(share) = self.wanted {
            let mut sum = 0.0;
            let reached = found.variances.iter().position(|variance| {
                sum += variance / found.total;
                sum > share
            });
            found.keep(reached.map_or(most, |at| at + 1));
        } else if found.variances.len() < count && !matches!(self.wanted, Wanted::All) {
            let rank = found.variances.len();
            return Err(Error::invalid(format!(
                "n_components is {count}, but the rows span {rank} directions only"
            )));
        }
        self.state = Some(found);
        Ok(())
    }

    fn transform(&self, x: &DataFrame) -> Result<DataFrame> {
        let state = input::fitted(&self.state)?;
        let table = input::table_of(x, state.mean.len())?;
        let mut scores = state.scores(&table);
        if self.whiten {
            for (mut column, variance) in scores.columns_mut().into_iter().zip(&state.variances) {
                let deviation = variance.sqrt();
                // A direction without variance has nothing to be scaled.
                if deviation > f64::EPSILON {
                    column /= deviation;
                } else {
                    column.fill(0.0);
                }
            }
        }
        let stem = if self.centre { "pca" } else { "truncatedsvd" };
        matrix::frame(scores, &input::numbered(stem, state.variances.len()))
    }

    fn save(&self) -> Result<Vec<u8>> {
        state::save(self)
    }

    fn learned(&self) -> Value {
        let Some(state) = &self.state else {
            return Value::Null;
        };
        let ratio = state.variances.mapv(|v| v / state.total);
        json!({
            "components": input::lists(&state.components),
            "mean": state.mean.to_vec(),
            "explained_variance": state.variances.to_vec(),
            "explained_variance_ratio": ratio.to_vec(),
            "singular_values": state.singular_values.to_vec(),
        })
    }
}

fn make_pca(params: &Params) -> Result<Box<dyn Estimator>> {
    let wanted = match params.opt_f64("n_components")? {
        None => Wanted::All,
        Some(share) if share > 0.0 && share < 1.0 => Wanted::Share(share),
        Some(_) => Wanted::Count(params.count("n_components", 1)?),
    };
    Ok(Box::new(Pca {
        wanted,
        centre: true,
        whiten: params.bool("whiten", false)?,
        state: None,
    }))
}

fn load(bytes: &[u8]) -> Result<Box<dyn Estimator>> {
    input::load(bytes, |pca: &Pca| {
        pca.state.as_ref().is_none_or(Components::sound)
    })
}

/// The estimators of this module.
pub(super) const ENTRIES: &[Entry] = &[
    Entry {
        name: "pca",
        aliases: &["PCA"],
        role: Role::Transformer,
        summary: "directions of greatest variance",
        params: &[
            param(
                "n_components",
                "all",
                "how many, or the share of variance to explain (below 1)",
            ),
            param("whiten", "false", "scale components to variance 1"),
        ],
        actions: &["transform", "fit_transform"],
        new: make_pca,
        load,
    },
    Entry {
        name: "truncated-svd",
        aliases: &["TruncatedSVD"],
        role: Role::Transformer,
        summary: "directions of greatest length, without centring (for counts)",
        params: &[param("n_components", "2", "how many")],
        actions: &["transform", "fit_transform"],
        new: |params| {
            Ok(Box::new(Pca {
                wanted: Wanted::Count(params.count("n_components", 2)?),
                centre: false,
                whiten: false,
                state: None,
            }))
        },
        load,
    },
];
