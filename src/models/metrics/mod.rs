//! Scores of predictions. Names are scikit-learn's; a `neg_` in front turns the sign.

mod classification;
mod clustering;
mod regression;

use crate::error::{Error, Result, nearest};
use ndarray::{Array2, ArrayView2};

pub use classification::Confusion;

/// One way to score predictions.
pub struct Metric {
    /// The name.
    pub name: &'static str,
    /// Other names, scikit-learn's first.
    pub aliases: &'static [&'static str],
    /// Whether larger is better.
    pub greater_is_better: bool,
    /// One line for people.
    pub summary: &'static str,
    /// What it compares, and how.
    pub score: Score,
}

/// What a metric is computed from.
pub enum Score {
    /// True and predicted numbers.
    Values(fn(&[f64], &[f64]) -> f64),
    /// True and predicted classes.
    Labels(fn(&Confusion) -> Result<f64>),
    /// True classes and the probability of each class (rows × classes).
    Probabilities(fn(&[usize], ArrayView2<'_, f64>) -> Result<f64>),
    /// True classes of two, and how sure the model is of the second.
    Ranking(fn(&[usize], &[f64]) -> Result<f64>),
    /// The table (rows × columns) and the group of each row.
    Groups(fn(ArrayView2<'_, f64>, &[i64]) -> Result<f64>),
    /// True and predicted groups, whatever they are called.
    Partition(fn(&Confusion) -> f64),
}

/// The tables, one line a module.
const TABLES: &[&[Metric]] = &[
    regression::METRICS,
    classification::METRICS,
    clustering::METRICS,
];

/// All metrics.
pub fn metrics() -> impl Iterator<Item = &'static Metric> {
    TABLES.iter().copied().flatten()
}

/// A metric and the sign it is asked for with.
#[derive(Clone, Copy)]
pub struct Signed {
    /// The metric.
    pub metric: &'static Metric,
    /// Whether the sign is turned.
    pub negated: bool,
}

impl Signed {
    /// Whether larger is better.
    pub fn greater_is_better(self) -> bool {
        self.metric.greater_is_better != self.negated
    }

    /// The score with the sign asked for.
    pub fn signed(self, score: f64) -> f64 {
        if self.negated { -score } else { score }
    }
}

/// The metric called `name`.
pub fn find_metric(name: &str) -> Result<Signed> {
    let wanted = name.to_ascii_lowercase().replace('-', "_");
    let (plain, negated) = match wanted.strip_prefix("neg_") {
        Some(plain) => (plain, true),
        None => (wanted.as_str(), false),
    };
    let found = metrics().find(|metric| metric.name == plain || metric.aliases.contains(&plain));
    if let Some(metric) = found {
        return Ok(Signed { metric, negated });
    }
    let error = Error::usage(format!("no metric is called {name}"));
    let known = metrics()
        .flat_map(|metric| std::iter::once(metric.name).chain(metric.aliases.iter().copied()));
    Err(match nearest(plain, known) {
        Some(near) => error.hint(format!("did you mean `{near}`?")),
        None => {
            let names: Vec<&str> = metrics().map(|metric| metric.name).collect();
            error.hint(format!("the metrics: {}", names.join(", ")))
        }
    })
}

/// The mean over outputs of a metric of numbers; both are rows × outputs.
pub fn of_outputs(
    score: fn(&[f64], &[f64]) -> f64,
    truth: ArrayView2<'_, f64>,
    predicted: &Array2<f64>,
) -> Result<f64> {
    if truth.dim() != predicted.dim() {
        return Err(Error::invalid(format!(
            "the target has {} rows and {} columns, the prediction {} and {}",
            truth.nrows(),
            truth.ncols(),
            predicted.nrows(),
            predicted.ncols()
        )));
    }
    let pairs = truth.columns().into_iter().zip(predicted.columns());
    let scores = pairs.map(|(truth, predicted)| score(&truth.to_vec(), &predicted.to_vec()));
    Ok(scores.sum::<f64>() / truth.ncols().max(1) as f64)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn metrics_are_found_by_every_name() {
        assert_eq!(find_metric("R2").unwrap().metric.name, "r2");
        let metric = find_metric("neg_mean_squared_error").unwrap();
        assert_eq!(metric.metric.name, "mse");
        assert!(metric.greater_is_better());
        let error = find_metric("acuracy").err().unwrap();
        assert_eq!(error.hint_text(), Some("did you mean `accuracy`?"));
    }
}
