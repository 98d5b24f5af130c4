//! Every estimator of the registry on tables that nobody wants: few rows, few columns,
//! constant and dependent columns, repeated rows, extreme values, one class, nothing at
//! all. A clear error or a finite answer, never a panic.
#![allow(clippy::unwrap_used, clippy::panic)]

use ndarray::Array2;
use omega::models::{Entry, Params, Role, Target, entries, matrix};
use polars::prelude::{Column, DataFrame};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestError, TestRunner};
use serde_json::json;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Small versions of what takes long.
fn params(entry: &Entry, k: usize) -> Params {
    let small = json!({
        "n_estimators": 4, "max_iter": 60, "n_components": k, "n_clusters": k, "n_neighbors": k,
        "min_samples": k + 1, "perplexity": 2.0, "probability": true,
    });
    let known = |name: &str| entry.params.iter().any(|param| param.name == name);
    let pairs = small.as_object().unwrap().clone().into_iter();
    pairs.filter(|(name, _)| known(name)).collect()
}

fn frame(rows: usize, columns: &[Vec<f64>]) -> DataFrame {
    let columns = columns.iter().enumerate().map(|(i, values)| {
        let values: Vec<f64> = values.iter().copied().take(rows).collect();
        Column::new(format!("c{i}").into(), values)
    });
    DataFrame::new(rows, columns.collect()).unwrap()
}

/// Whether a table's squares are numbers.
fn modest(x: &DataFrame) -> bool {
    matrix::dense(x).is_ok_and(|x| x.iter().all(|v| v.abs() <= 1e140))
}

/// Answers have a row for each row and are finite; of rows far from those learned from,
/// an exponential may be infinite.
fn finite(name: &str, action: &str, x: &DataFrame, answer: &Array2<f64>, learned: bool) {
    assert_eq!(answer.nrows(), x.height(), "{name} {action}: rows");
    // As scikit-learn: NaN beyond the values learned from.
    let beyond = name == "isotonic-regression";
    assert!(
        answer
            .iter()
            .all(|v| v.is_finite() || beyond || !(learned || v.is_nan())),
        "{name} {action} is not finite: {answer}"
    );
}

/// Fits and asks for everything; errors are fine.
fn run(entry: &Entry, k: usize, x: &DataFrame, y: &Target, new: &DataFrame) {
    let name = entry.name;
    let mut model = entry.make(&params(entry, k)).unwrap();
    if entry.can("fit_transform") {
        let mut other = entry.make(&params(entry, k)).unwrap();
        if let Ok(frame) = other.fit_transform(x, y) {
            assert_eq!(frame.height(), x.height(), "{name}: rows of fit_transform");
        }
    }
    if let Err(error) = model.fit(x, y) {
        let message = error.to_string();
        assert!(
            !message.is_empty() && message.len() < 300,
            "{name}: {message}"
        );
        assert!(
            model.predict(x).is_err() && model.transform(x).is_err(),
            "{name}"
        );
        return;
    }
    for (x, learned) in [(x, true), (new, false)] {
        if !modest(x) || !modest(new) {
            break;
        }
        if let Ok(answer) = model.predict(x) {
            finite(name, "predict", x, &answer, learned);
        }
        if let Ok(answer) = model.decision_function(x) {
            finite(name, "decision_function", x, &answer, learned);
        }
        if let Ok(answer) = model.predict_proba(x) {
            finite(name, "predict_proba", x, &answer, learned);
            for row in answer.rows() {
                assert!(
                    (row.sum() - 1.0).abs() < 1e-6,
                    "{name}: shares sum to {}",
                    row.sum()
                );
            }
        }
        if let Ok(frame) = model.transform(x)
            && let Ok(answer) = matrix::dense(&frame)
        {
            finite(name, "transform", x, &answer, learned);
        }
    }
    if entry.can("partial_fit") {
        let _ = model.partial_fit(new, y);
        let _ = model.predict(x);
    }
    let _ = model.learned();
    assert!(
        (entry.load)(&model.save().unwrap()).is_ok(),
        "{name}: stored and read back"
    );
}

fn target(
    role: Role,
    rows: usize,
    classes: &[usize],
    count: usize,
    columns: &[Vec<f64>],
) -> Target {
    match role {
        Role::Classifier => Target::Classes {
            index: classes.iter().take(rows).map(|c| c % count).collect(),
            count,
        },
        Role::Regressor => {
            let values = columns.iter().rev().take(count).flat_map(|c| &c[..rows]);
            let target =
                Array2::from_shape_vec((count.min(columns.len()), rows), values.copied().collect());
            Target::Values(
                target
                    .unwrap()
                    .reversed_axes()
                    .as_standard_layout()
                    .to_owned(),
            )
        }
        _ => Target::None,
    }
}

const ROWS: usize = 14;

/// Values that make ties, constants and dependence likely, and extremes.
fn value() -> impl Strategy<Value = f64> {
    prop_oneof![
        6 => (-2_i32..3).prop_map(f64::from),
        3 => -1.0..1.0,
        1 => prop_oneof![Just(1e9), Just(-1e9), Just(1e-12), Just(1e100), Just(-3e38), Just(1e300)],
    ]
}

/// Columns: free, constant, or the first one again.
fn columns() -> impl Strategy<Value = Vec<Vec<f64>>> {
    let column = (prop::collection::vec(value(), ROWS), 0_u8..6);
    prop::collection::vec(column, 1..5).prop_map(|columns| {
        let first = columns[0].0.clone();
        let shape = |(values, kind): (Vec<f64>, u8)| match kind {
            0 => vec![values[0]; ROWS],
            1 => first.iter().map(|v| v * 2.0).collect(),
            _ => values,
        };
        columns.into_iter().map(shape).collect()
    })
}

#[test]
fn no_table_makes_an_estimator_panic() {
    let cases = std::env::var("PROPTEST_CASES")
        .ok()
        .and_then(|c| c.parse().ok())
        .unwrap_or(48);
    let mut failures = Vec::new();
    for entry in entries() {
        let config = Config {
            cases,
            failure_persistence: None,
            ..Config::default()
        };
        let input = (
            columns(),
            1..=ROWS,
            1_usize..5,
            prop::collection::vec(0_usize..4, ROWS),
            1_usize..4,
            columns(),
        );
        let outcome = TestRunner::new_with_rng(
            config,
            prop::test_runner::TestRng::deterministic_rng(prop::test_runner::RngAlgorithm::ChaCha),
        )
        .run(&input, |(columns, rows, k, classes, count, others)| {
            let x = frame(rows, &columns);
            let y = target(entry.role, rows, &classes, count, &columns);
            let wide: Vec<Vec<f64>> = others.iter().cycle().take(columns.len()).cloned().collect();
            let new = frame(rows, &wide);
            catch_unwind(AssertUnwindSafe(|| run(entry, k, &x, &y, &new))).map_err(|panic| {
                let text = panic
                    .downcast_ref::<String>()
                    .map(String::as_str)
                    .or_else(|| panic.downcast_ref::<&str>().copied())
                    .unwrap_or("");
                TestCaseError::fail(text.to_string())
            })
        });
        match outcome {
            Ok(()) => {}
            Err(TestError::Fail(reason, input)) => {
                failures.push(format!("{}: {reason} on {input:?}", entry.name));
            }
            Err(TestError::Abort(reason)) => failures.push(format!("{}: {reason}", entry.name)),
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

/// What a table of nothing, holes or a wrong target must lead to.
#[test]
fn nothing_holes_and_wrong_targets_are_refused() {
    let rows = 6;
    let column = vec![1.0, 2.0, 3.0, 1.5, 2.5, 0.5];
    let empty_rows = frame(0, &[vec![], vec![]]);
    let empty_columns = DataFrame::empty_with_height(rows);
    let nan = frame(
        rows,
        &[column.clone(), vec![1.0, f64::NAN, 1.0, 2.0, 0.0, 3.0]],
    );
    let infinite = frame(
        rows,
        &[column.clone(), vec![1.0, f64::INFINITY, 1.0, 2.0, 0.0, 3.0]],
    );
    let good = frame(
        rows,
        &[column.clone(), column.iter().rev().copied().collect()],
    );
    let mut failures = Vec::new();
    for entry in entries() {
        let name = entry.name;
        let mut claim = |what: &str, holds: Option<bool>| {
            if holds != Some(true) {
                failures.push(format!("{name}: {what}: {holds:?}"));
            }
        };
        // Whether fitting is refused; none if it panics.
        let refused = |x: &DataFrame, y: &Target| {
            let mut model = entry.make(&params(entry, 1)).unwrap();
            catch_unwind(AssertUnwindSafe(|| model.fit(x, y).is_err())).ok()
        };
        let of = |rows| {
            target(
                entry.role,
                rows,
                &[0, 1, 0, 1, 1, 0],
                2,
                std::slice::from_ref(&column),
            )
        };
        let answers = [
            ("no rows", refused(&empty_rows, &of(0))),
            ("no columns", refused(&empty_columns, &of(rows))),
            ("NaN", refused(&nan, &of(rows))),
            ("infinity", refused(&infinite, &of(rows))),
        ];
        for (what, answer) in answers {
            // Preparing steps may pass on nothing and holes, or fill them.
            let may = matches!(entry.role, Role::Transformer);
            claim(what, answer.map(|refused| refused || may));
        }
        if matches!(entry.role, Role::Classifier | Role::Regressor) {
            claim("no target", refused(&good, &Target::None));
            claim("a short target", refused(&good, &of(rows - 1)));
        }
        if entry.role == Role::Classifier {
            let classes = |index: Vec<usize>| Target::Classes { index, count: 2 };
            claim("one class", refused(&good, &classes(vec![1; rows])));
            let beyond = refused(&good, &classes(vec![0, 1, 2, 3, 1, 0]));
            claim("classes beyond the count", beyond.map(|_| true));
        }
        let mut model = entry.make(&params(entry, 1)).unwrap();
        if model.fit(&good, &of(rows)).is_ok() && entry.role != Role::Transformer {
            let narrow = frame(rows, std::slice::from_ref(&column));
            let answer = catch_unwind(AssertUnwindSafe(|| model.predict(&narrow).is_err()));
            claim("fewer columns", answer.ok());
        }
    }
    assert!(
        failures.is_empty(),
        "not refused (false) or panicked (none):\n{}",
        failures.join("\n")
    );
}
