//! Naive Bayes: Gaussian, multinomial and Bernoulli, all learning in batches.
//!
//! Gaussian moments and likelihoods are linfa-bayes'. Multinomial and Bernoulli are own
//! code: linfa's multinomial fit prints debugging text to stderr and its Bernoulli model
//! cannot be stored.

use super::{input, param};
use crate::error::{Error, Result};
use crate::models::estimator::{Estimator, Role, Target};
use crate::models::registry::{Entry, Param};
use crate::models::{Params, state};
use linfa::ParamGuard;
use linfa::dataset::DatasetView;
use linfa::traits::FitWith;
use linfa_bayes::{GaussianNb, NaiveBayes};
use ndarray::{Array1, Array2, ArrayView1, Axis, Zip};
use polars::prelude::DataFrame;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// Normal distributions, one a class and column.
#[derive(Debug, Serialize, Deserialize)]
struct Gaussian {
    var_smoothing: f64,
    state: Option<GaussianState>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct GaussianState {
    model: GaussianNb<f64, usize>,
    width: usize,
    classes: usize,
}

impl Gaussian {
    fn learn(&mut self, x: &DataFrame, y: &Target, before: Option<GaussianState>) -> Result<()> {
        let table = match &before {
            Some(before) => input::table_of(x, before.width)?,
            None => input::table(x)?,
        };
        let (index, classes) = input::some_classes(y, table.nrows())?;
        let classes = before.as_ref().map_or(0, |b| b.classes).max(classes);
        let data = DatasetView::new(table.view(), ArrayView1::from(index));
        let model = GaussianNb::params()
            .var_smoothing(self.var_smoothing)
            .check()
            .and_then(|params| params.fit_with(before.map(|before| before.model), &data))
            .map_err(|error| Error::invalid("cannot fit naive Bayes").because(error))?;
        self.state = Some(GaussianState {
            model,
            width: table.ncols(),
            classes,
        });
        Ok(())
    }
}

impl Estimator for Gaussian {
    fn fit(&mut self, x: &DataFrame, y: &Target) -> Result<()> {
        input::classes(y, x.height())?;
        self.learn(x, y, None)
    }

    fn partial_fit(&mut self, x: &DataFrame, y: &Target) -> Result<()> {
        self.learn(x, y, self.state.clone())
    }

    fn predict(&self, x: &DataFrame) -> Result<Array2<f64>> {
        Ok(input::strongest(&self.predict_proba(x)?))
    }

    fn predict_proba(&self, x: &DataFrame) -> Result<Array2<f64>> {
        let state = input::fitted(&self.state)?;
        let table = input::table_of(x, state.width)?;
        let mut logs = Array2::from_elem((table.nrows(), state.classes), f64::NEG_INFINITY);
        for (class, log) in state.model.joint_log_likelihood(table.view()) {
            if *class < state.classes {
                logs.column_mut(*class).assign(&log);
            }
        }
        input::normalise_logs(&mut logs);
        Ok(logs)
    }

    fn save(&self) -> Result<Vec<u8>> {
        state::save(self)
    }

    fn learned(&self) -> Value {
        match &self.state {
            Some(state) => serde_json::to_value(&state.model)
                .ok()
                .and_then(|model| model.get("class_info").cloned())
                .unwrap_or_default(),
            None => Value::Null,
        }
    }
}

/// Counts of features a class: how often (multinomial) or in how many rows (Bernoulli).
#[derive(Debug, Serialize, Deserialize)]
struct Counting {
    bernoulli: bool,
    alpha: f64,
    fit_prior: bool,
    /// Bernoulli: values above this are 1, others 0.
    threshold: f64,
    state: Option<Counts>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Counts {
    /// Classes × columns.
    features: Array2<f64>,
    rows: Array1<f64>,
}

impl Counting {
    fn make(params: &Params, bernoulli: bool) -> Result<Box<dyn Estimator>> {
        Ok(Box::new(Counting {
            bernoulli,
            // Without any smoothing a word unseen in a class rules the class out.
            alpha: params.non_negative("alpha", 1.0)?.max(1e-10),
            fit_prior: params.bool("fit_prior", true)?,
            threshold: if bernoulli {
                params.f64("binarize", 0.0)?
            } else {
                0.0
            },
            state: None,
        }))
    }

    fn table(&self, x: &DataFrame, width: Option<usize>) -> Result<Array2<f64>> {
        let mut table = match width {
            Some(width) => input::table_of(x, width)?,
            None => input::table(x)?,
        };
        if self.bernoulli {
            table.mapv_inplace(|v| f64::from(u8::from(v > self.threshold)));
        } else if let Some((column, _)) = x
            .columns()
            .iter()
            .zip(table.columns())
            .find(|(_, values)| values.iter().any(|v| *v < 0.0))
        {
            let name = column.name();
            return Err(
                Error::invalid(format!("column {name} has negative values, not counts"))
                    .hint("use gaussian-nb for measurements"),
            );
        }
        Ok(table)
    }

    fn learn(&mut self, x: &DataFrame, y: &Target, before: Option<Counts>) -> Result<()> {
        let table = self.table(x, before.as_ref().map(|before| before.features.ncols()))?;
        let (index, classes) = input::some_classes(y, table.nrows())?;
        let known = before.as_ref().map_or(0, |before| before.rows.len());
        let classes = classes.max(known);
        let mut counts = Counts {
            features: Array2::zeros((classes, table.ncols())),
            rows: Array1::zeros(classes),
        };
        if let Some(before) = before {
            for (mut now, then) in counts
                .features
                .rows_mut()
                .into_iter()
                .zip(before.features.rows())
            {
                now.assign(&then);
            }
            for (now, then) in counts.rows.iter_mut().zip(&before.rows) {
                *now = *then;
            }
        }
        for (row, class) in table.rows().into_iter().zip(index) {
            Zip::from(counts.features.row_mut(*class))
                .and(row)
                .for_each(|sum, v| *sum += v);
            counts.rows[*class] += 1.0;
        }
        self.state = Some(counts);
        Ok(())
    }

    /// Logarithm of how likely each column is in each class.
    fn log_shares(&self, counts: &Counts) -> Array2<f64> {
        let mut shares = &counts.features + self.alpha;
        for (mut row, rows) in shares.rows_mut().into_iter().zip(&counts.rows) {
            let total = if self.bernoulli {
                rows + 2.0 * self.alpha
            } else {
                row.sum()
            };
            row.mapv_inplace(|v| (v / total).ln());
        }
        shares
    }

    fn log_priors(&self, counts: &Counts) -> Array1<f64> {
        if self.fit_prior {
            let total = counts.rows.sum();
            counts.rows.mapv(|rows| (rows / total).ln())
        } else {
            let present = counts.rows.iter().filter(|rows| **rows > 0.0).count();
            let even = -(present as f64).ln();
            let prior = |rows: f64| if rows > 0.0 { even } else { f64::NEG_INFINITY };
            counts.rows.mapv(prior)
        }
    }

    fn sound(&self) -> bool {
        self.state
            .as_ref()
            .is_none_or(|counts| counts.features.nrows() == counts.rows.len())
    }
}

impl Estimator for Counting {
    fn fit(&mut self, x: &DataFrame, y: &Target) -> Result<()> {
        input::classes(y, x.height())?;
        self.learn(x, y, None)
    }

    fn partial_fit(&mut self, x: &DataFrame, y: &Target) -> Result<()> {
        self.learn(x, y, self.state.clone())
    }

    fn predict(&self, x: &DataFrame) -> Result<Array2<f64>> {
        Ok(input::strongest(&self.predict_proba(x)?))
    }

    fn predict_proba(&self, x: &DataFrame) -> Result<Array2<f64>> {
        let counts = input::fitted(&self.state)?;
        let table = self.table(x, Some(counts.features.ncols()))?;
        let present = self.log_shares(counts);
        let mut logs = if self.bernoulli {
            // Columns that are 0 count as well: by how unlikely 1 was.
            let absent = present.mapv(|log| (-log.exp()).ln_1p());
            let every = absent.sum_axis(Axis(1));
            table.dot(&(&present - &absent).t()) + &every
        } else {
            table.dot(&present.t())
        };
        logs += &self.log_priors(counts);
        input::normalise_logs(&mut logs);
        Ok(logs)
    }

    fn save(&self) -> Result<Vec<u8>> {
        state::save(self)
    }

    fn learned(&self) -> Value {
        match &self.state {
            Some(counts) => json!({
                "class_count": counts.rows,
                "feature_log_prob": input::lists(&self.log_shares(counts)),
            }),
            None => Value::Null,
        }
    }
}

const ACTIONS: &[&str] = &["partial_fit", "predict", "predict_proba", "score"];
const ALPHA: Param = param(
    "alpha",
    "1.0",
    "count added to every feature in every class",
);
const PRIOR: Param = param("fit_prior", "true", "learn how frequent classes are");

/// The estimators of this module.
pub(super) const ENTRIES: &[Entry] = &[
    Entry {
        name: "gaussian-nb",
        aliases: &["GaussianNB"],
        role: Role::Classifier,
        summary: "naive Bayes for measurements: a normal distribution a class and column",
        params: &[param(
            "var_smoothing",
            "1e-9",
            "share of the largest variance added to all variances",
        )],
        actions: ACTIONS,
        new: |params| {
            Ok(Box::new(Gaussian {
                var_smoothing: params.non_negative("var_smoothing", 1e-9)?,
                state: None,
            }))
        },
        load: |bytes| input::load::<Gaussian>(bytes, |_| true),
    },
    Entry {
        name: "multinomial-nb",
        aliases: &["MultinomialNB"],
        role: Role::Classifier,
        summary: "naive Bayes for counts, such as words in a text",
        params: &[ALPHA, PRIOR],
        actions: ACTIONS,
        new: |params| Counting::make(params, false),
        load: |bytes| input::load(bytes, Counting::sound),
    },
    Entry {
        name: "bernoulli-nb",
        aliases: &["BernoulliNB"],
        role: Role::Classifier,
        summary: "naive Bayes for features that are there or not",
        params: &[
            ALPHA,
            PRIOR,
            param("binarize", "0.0", "values above this are 1, others 0"),
        ],
        actions: ACTIONS,
        new: |params| Counting::make(params, true),
        load: |bytes| input::load(bytes, Counting::sound),
    },
];
