//! Metrics of predicted numbers.

use super::{Metric, Score};

pub const METRICS: &[Metric] = &[
    Metric {
        name: "r2",
        aliases: &["r2_score"],
        greater_is_better: true,
        summary: "share of the variance that is explained; the default of regressors",
        score: Score::Values(r2),
    },
    Metric {
        name: "mse",
        aliases: &["mean_squared_error"],
        greater_is_better: false,
        summary: "mean squared error",
        score: Score::Values(mse),
    },
    Metric {
        name: "rmse",
        aliases: &["root_mean_squared_error"],
        greater_is_better: false,
        summary: "root of the mean squared error",
        score: Score::Values(|truth, predicted| mse(truth, predicted).sqrt()),
    },
    Metric {
        name: "mae",
        aliases: &["mean_absolute_error"],
        greater_is_better: false,
        summary: "mean absolute error",
        score: Score::Values(|truth, predicted| mean(errors(truth, predicted).map(f64::abs))),
    },
    Metric {
        name: "median_absolute_error",
        aliases: &["medae"],
        greater_is_better: false,
        summary: "median absolute error",
        score: Score::Values(median_absolute_error),
    },
    Metric {
        name: "mape",
        aliases: &["mean_absolute_percentage_error"],
        greater_is_better: false,
        summary: "mean of absolute errors relative to the true values, as a share",
        score: Score::Values(|truth, predicted| {
            let pairs = errors(truth, predicted).zip(truth);
            mean(pairs.map(|(error, truth)| error.abs() / truth.abs().max(f64::EPSILON)))
        }),
    },
    Metric {
        name: "max_error",
        aliases: &[],
        greater_is_better: false,
        summary: "largest absolute error",
        score: Score::Values(|truth, predicted| {
            errors(truth, predicted).fold(0.0, |max: f64, error| max.max(error.abs()))
        }),
    },
    Metric {
        name: "explained_variance",
        aliases: &["explained_variance_score"],
        greater_is_better: true,
        summary: "like r2, but a constant offset costs nothing",
        score: Score::Values(|truth, predicted| {
            let errors: Vec<f64> = errors(truth, predicted).collect();
            explained(variance(&errors), variance(truth))
        }),
    },
];

fn errors<'a>(truth: &'a [f64], predicted: &'a [f64]) -> impl Iterator<Item = f64> + 'a {
    truth.iter().zip(predicted).map(|(t, p)| t - p)
}

fn mean(values: impl Iterator<Item = f64>) -> f64 {
    let (sum, count) = values.fold((0.0, 0.0), |(sum, count), v| (sum + v, count + 1.0));
    sum / count
}

fn variance(values: &[f64]) -> f64 {
    let middle = mean(values.iter().copied());
    mean(values.iter().map(|v| (v - middle).powi(2)))
}

fn mse(truth: &[f64], predicted: &[f64]) -> f64 {
    mean(errors(truth, predicted).map(|error| error * error))
}

fn r2(truth: &[f64], predicted: &[f64]) -> f64 {
    explained(mse(truth, predicted), variance(truth))
}

/// A constant target is explained fully or not at all.
fn explained(left: f64, whole: f64) -> f64 {
    if whole > 0.0 {
        1.0 - left / whole
    } else if left == 0.0 {
        1.0
    } else {
        0.0
    }
}

fn median_absolute_error(truth: &[f64], predicted: &[f64]) -> f64 {
    let mut errors: Vec<f64> = errors(truth, predicted).map(f64::abs).collect();
    errors.sort_unstable_by(f64::total_cmp);
    let upper = errors.len() / 2;
    let lower = (errors.len().max(1) - 1) / 2;
    let at = |place: usize| errors.get(place).copied().unwrap_or(f64::NAN);
    (at(lower) + at(upper)) / 2.0
}
