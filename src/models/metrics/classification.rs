//! Metrics of predicted classes and their probabilities.

use super::{Metric, Score};
use crate::error::{Error, Result};
use ndarray::{Array2, ArrayView2, Axis};

const fn labels(
    name: &'static str,
    aliases: &'static [&'static str],
    summary: &'static str,
    score: fn(&Confusion) -> Result<f64>,
) -> Metric {
    Metric {
        name,
        aliases,
        greater_is_better: true,
        summary,
        score: Score::Labels(score),
    }
}

pub const METRICS: &[Metric] = &[
    labels(
        "accuracy",
        &["accuracy_score"],
        "share of right predictions; the default of classifiers",
        |c| Ok(c.accuracy()),
    ),
    labels(
        "balanced_accuracy",
        &["balanced_accuracy_score"],
        "mean over classes of the share found",
        |c| Ok(c.balanced_accuracy()),
    ),
    labels(
        "precision",
        &["precision_score"],
        "two classes: share of right among predictions of the second",
        |c| c.second(Counts::precision),
    ),
    labels(
        "precision_macro",
        &[],
        "precision, mean over classes",
        |c| Ok(c.macro_mean(Counts::precision)),
    ),
    labels(
        "precision_weighted",
        &[],
        "precision, mean over classes by their size",
        |c| Ok(c.weighted_mean(Counts::precision)),
    ),
    labels(
        "precision_micro",
        &[],
        "precision over all classes together",
        |c| Ok(c.accuracy()),
    ),
    labels(
        "recall",
        &["recall_score"],
        "two classes: share of the second that is found",
        |c| c.second(Counts::recall),
    ),
    labels("recall_macro", &[], "recall, mean over classes", |c| {
        Ok(c.macro_mean(Counts::recall))
    }),
    labels(
        "recall_weighted",
        &[],
        "recall, mean over classes by their size",
        |c| Ok(c.weighted_mean(Counts::recall)),
    ),
    labels(
        "recall_micro",
        &[],
        "recall over all classes together",
        |c| Ok(c.accuracy()),
    ),
    labels(
        "f1",
        &["f1_score"],
        "two classes: harmonic mean of precision and recall of the second",
        |c| c.second(Counts::f1),
    ),
    labels("f1_macro", &[], "f1, mean over classes", |c| {
        Ok(c.macro_mean(Counts::f1))
    }),
    labels(
        "f1_weighted",
        &[],
        "f1, mean over classes by their size",
        |c| Ok(c.weighted_mean(Counts::f1)),
    ),
    labels("f1_micro", &[], "f1 over all classes together", |c| {
        Ok(c.accuracy())
    }),
    labels(
        "mcc",
        &["matthews_corrcoef"],
        "Matthews correlation of true and predicted classes",
        |c| Ok(c.matthews()),
    ),
    labels(
        "kappa",
        &["cohen_kappa", "cohen_kappa_score"],
        "Cohen's kappa: agreement beyond chance",
        |c| Ok(c.kappa()),
    ),
    Metric {
        name: "roc_auc",
        aliases: &["roc_auc_score"],
        greater_is_better: true,
        summary: "two classes: chance that a row of the second is ranked above one of the first",
        score: Score::Ranking(roc_auc),
    },
    Metric {
        name: "roc_auc_ovr",
        aliases: &[],
        greater_is_better: true,
        summary: "roc_auc of each class against the rest, mean over classes",
        score: Score::Probabilities(roc_auc_ovr),
    },
    Metric {
        name: "log_loss",
        aliases: &[],
        greater_is_better: false,
        summary: "mean negative logarithm of the probability given to the true class",
        score: Score::Probabilities(log_loss),
    },
    Metric {
        name: "brier",
        aliases: &["brier_score", "brier_score_loss"],
        greater_is_better: false,
        summary: "two classes: mean squared error of the probability of the second",
        score: Score::Probabilities(brier),
    },
];

/// How often each true class (row) was predicted as each class (column).
#[derive(Debug, Clone, PartialEq)]
pub struct Confusion(pub Array2<f64>);

/// What precision and recall of a class are made of.
struct Counts {
    right: f64,
    predicted: f64,
    actual: f64,
}

impl Counts {
    fn precision(&self) -> f64 {
        share(self.right, self.predicted)
    }

    fn recall(&self) -> f64 {
        share(self.right, self.actual)
    }

    fn f1(&self) -> f64 {
        share(2.0 * self.right, self.predicted + self.actual)
    }
}

/// 0 where there is nothing to take a share of, as scikit-learn has it.
fn share(part: f64, whole: f64) -> f64 {
    if whole > 0.0 { part / whole } else { 0.0 }
}

impl Confusion {
    /// Counts the pairs of classes below `count`.
    pub fn new(truth: &[usize], predicted: &[usize], count: usize) -> Self {
        let mut table = Array2::zeros((count, count));
        for (truth, predicted) in truth.iter().zip(predicted) {
            if let Some(cell) = table.get_mut((*truth, *predicted)) {
                *cell += 1.0;
            }
        }
        Confusion(table)
    }

    fn total(&self) -> f64 {
        self.0.sum()
    }

    fn right(&self) -> f64 {
        self.0.diag().sum()
    }

    /// Rows of each true class.
    fn actual(&self) -> Vec<f64> {
        self.0.sum_axis(Axis(1)).to_vec()
    }

    /// Rows predicted as each class.
    fn predicted(&self) -> Vec<f64> {
        self.0.sum_axis(Axis(0)).to_vec()
    }

    /// The classes that occur in truth or prediction.
    fn counts(&self) -> Vec<Counts> {
        let classes = self.actual().into_iter().zip(self.predicted());
        let classes = classes.zip(self.0.diag());
        classes
            .map(|((actual, predicted), right)| Counts {
                right: *right,
                predicted,
                actual,
            })
            .filter(|counts| counts.actual + counts.predicted > 0.0)
            .collect()
    }

    fn accuracy(&self) -> f64 {
        share(self.right(), self.total())
    }

    fn balanced_accuracy(&self) -> f64 {
        let counts = self.counts();
        let recalls = counts.iter().filter(|c| c.actual > 0.0).map(Counts::recall);
        let (sum, count) = recalls.fold((0.0, 0.0), |(sum, count), r| (sum + r, count + 1.0));
        share(sum, count)
    }

    fn macro_mean(&self, score: fn(&Counts) -> f64) -> f64 {
        let counts = self.counts();
        share(counts.iter().map(score).sum(), counts.len() as f64)
    }

    fn weighted_mean(&self, score: fn(&Counts) -> f64) -> f64 {
        let counts = self.counts();
        let sum = counts
            .iter()
            .map(|counts| counts.actual * score(counts))
            .sum();
        share(sum, self.total())
    }

    fn second(&self, score: fn(&Counts) -> f64) -> Result<f64> {
        if self.0.nrows() > 2 {
            return Err(more_than_two("precision, recall and f1")
                .hint("add _macro, _weighted or _micro to the metric's name"));
        }
        let right = self.0.get((1, 1)).copied().unwrap_or(0.0);
        Ok(score(&Counts {
            right,
            predicted: self.predicted().get(1).copied().unwrap_or(0.0),
            actual: self.actual().get(1).copied().unwrap_or(0.0),
        }))
    }

    /// Gorodkin (2004), the form for several classes.
    fn matthews(&self) -> f64 {
        let (total, right) = (self.total(), self.right());
        let (actual, predicted) = (self.actual(), self.predicted());
        let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
        let over = right * total - dot(&actual, &predicted);
        let under = (total * total - dot(&actual, &actual)).sqrt()
            * (total * total - dot(&predicted, &predicted)).sqrt();
        share(over, under)
    }

    fn kappa(&self) -> f64 {
        let total = self.total();
        let pairs = self.actual().into_iter().zip(self.predicted());
        let chance = pairs.map(|(a, p)| a * p).sum::<f64>() / (total * total);
        if chance == 1.0 {
            return f64::NAN;
        }
        (self.accuracy() - chance) / (1.0 - chance)
    }
}

fn more_than_two(what: &str) -> Error {
    Error::usage(format!("{what} need two classes, and there are more"))
}

/// From the ranks of the scores (Mann and Whitney); ties count half.
fn roc_auc(truth: &[usize], scores: &[f64]) -> Result<f64> {
    if truth.iter().any(|class| *class > 1) {
        return Err(more_than_two("roc_auc").hint("use roc_auc_ovr"));
    }
    area(truth.iter().map(|class| *class == 1), scores)
        .ok_or_else(|| Error::invalid("roc_auc needs rows of both classes"))
}

/// None if all rows are of one class.
fn area(truth: impl Iterator<Item = bool>, scores: &[f64]) -> Option<f64> {
    let mut rows: Vec<(f64, bool)> = scores.iter().copied().zip(truth).collect();
    rows.sort_by(|a, b| a.0.total_cmp(&b.0));
    let (mut below, mut above, mut pairs) = (0.0, 0.0, 0.0);
    for run in rows.chunk_by(|a, b| a.0 == b.0) {
        let positive = run.iter().filter(|row| row.1).count() as f64;
        let negative = run.len() as f64 - positive;
        pairs += positive * (below + negative / 2.0);
        below += negative;
        above += positive;
    }
    (below > 0.0 && above > 0.0).then(|| pairs / (below * above))
}

fn roc_auc_ovr(truth: &[usize], probabilities: ArrayView2<'_, f64>) -> Result<f64> {
    let areas = probabilities.columns().into_iter().enumerate();
    let areas = areas.map(|(class, scores)| {
        area(truth.iter().map(|truth| *truth == class), &scores.to_vec())
            .ok_or_else(|| Error::invalid("roc_auc_ovr needs rows of every class"))
    });
    let areas = areas.collect::<Result<Vec<f64>>>()?;
    Ok(areas.iter().sum::<f64>() / areas.len().max(1) as f64)
}

fn log_loss(truth: &[usize], probabilities: ArrayView2<'_, f64>) -> Result<f64> {
    let mut sum = 0.0;
    for (class, row) in truth.iter().zip(probabilities.rows()) {
        let Some(own) = row.get(*class) else {
            return Err(Error::invalid(
                "log_loss: the target has a class that the model does not know",
            ));
        };
        sum -= own.clamp(f64::EPSILON, 1.0 - f64::EPSILON).ln();
    }
    Ok(sum / truth.len().max(1) as f64)
}

fn brier(truth: &[usize], probabilities: ArrayView2<'_, f64>) -> Result<f64> {
    if probabilities.ncols() != 2 {
        return Err(more_than_two("brier"));
    }
    let pairs = truth.iter().zip(probabilities.column(1));
    let squares = pairs.map(|(class, p)| (f64::from(*class == 1) - p).powi(2));
    Ok(squares.sum::<f64>() / truth.len().max(1) as f64)
}
