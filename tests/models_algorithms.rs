//! The algorithms against scikit-learn: values recorded by
//! `tests/reference/sklearn_algorithms.py`, each within its own tolerance.
#![allow(clippy::unwrap_used, clippy::panic, clippy::expect_used)]

mod tables;

use ndarray::{Array2, Axis};
use omega::models::{Estimator, Params, Role, Target, find, matrix};
use polars::prelude::{DataFrame, df};
use serde_json::Value;

struct Reference {
    all: Value,
}

impl Reference {
    fn read() -> Self {
        let path = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/tests/reference/sklearn_algorithms.json"
        );
        let text = std::fs::read_to_string(path).unwrap();
        Reference {
            all: serde_json::from_str(&text).unwrap(),
        }
    }
}

/// Values as a matrix.
fn values(value: &Value) -> Array2<f64> {
    let rows: Vec<Vec<f64>> = serde_json::from_value(value.clone()).unwrap();
    let width = rows.first().map_or(0, Vec::len);
    Array2::from_shape_vec((rows.len(), width), rows.concat()).unwrap()
}

fn params(case: &Value) -> Params {
    let given = case["params"].as_object().unwrap();
    given.iter().map(|(k, v)| (k.clone(), v.clone())).collect()
}

/// The table of a data set, its column names and its target.
fn data(name: &str, role: Role) -> (Array2<f64>, Vec<String>, Target) {
    let file = match name {
        "petals" => "iris",
        _ => name.trim_end_matches("-scaled"),
    };
    let (names, mut table, last) = tables::read(file);
    if name.ends_with("-scaled") {
        let mean = table.mean_axis(Axis(0)).unwrap();
        let deviation = table.std_axis(Axis(0), 0.0);
        table = (table - mean) / deviation;
    }
    if name == "petals" {
        let target = table.select(Axis(1), &[2, 3]);
        return (
            table.select(Axis(1), &[0, 1]),
            names[..2].to_vec(),
            Target::Values(target),
        );
    }
    let target = match role {
        Role::Classifier => tables::classes(&last),
        Role::Regressor => tables::numbers(&last),
        _ => Target::None,
    };
    (table, names, target)
}

fn select(target: &Target, rows: &[usize]) -> Target {
    match target {
        Target::None => Target::None,
        Target::Values(values) => Target::Values(values.select(Axis(0), rows)),
        Target::Classes { index, count } => Target::Classes {
            index: rows.iter().map(|row| index[*row]).collect(),
            count: *count,
        },
    }
}

/// Accuracy or R².
fn score(target: &Target, found: &Array2<f64>) -> f64 {
    match target {
        Target::Classes { index, .. } => {
            let right = index.iter().zip(found).filter(|(a, b)| **a as f64 == **b);
            right.count() as f64 / index.len() as f64
        }
        Target::Values(values) => {
            let mean = values.mean().unwrap();
            let rest: f64 = values.iter().zip(found).map(|(a, b)| (a - b).powi(2)).sum();
            1.0 - rest / values.iter().map(|v| (v - mean).powi(2)).sum::<f64>()
        }
        Target::None => panic!("no score without a target"),
    }
}

/// The largest difference, relative to the largest expected value above 1.
fn difference(found: &Array2<f64>, expected: &Array2<f64>) -> f64 {
    assert_eq!(found.dim(), expected.dim(), "shape");
    let scale = expected.iter().fold(1.0_f64, |m, v| m.max(v.abs()));
    let differences = found.iter().zip(expected).map(|(a, b)| (a - b).abs());
    differences.fold(0.0, f64::max) / scale
}

/// Columns turned and, if `permuted`, put in the order that fits the expected ones best.
fn turned(found: &Array2<f64>, expected: &Array2<f64>, permuted: bool) -> Array2<f64> {
    let mut result = Array2::zeros(expected.dim());
    for (at, wanted) in expected.columns().into_iter().enumerate() {
        let best = (0..found.ncols())
            .filter(|column| permuted || *column == at)
            .max_by(|a, b| {
                let along = |c: &usize| found.column(*c).dot(&wanted).abs();
                along(a).total_cmp(&along(b))
            })
            .unwrap();
        let column = found.column(best);
        let sign = column.dot(&wanted).signum();
        result.column_mut(at).assign(&(&column * sign));
    }
    result
}

/// Whether two labellings are the same up to the groups' names; noise stays noise.
fn same_groups(found: &[i64], expected: &[i64]) -> bool {
    let mut there = std::collections::BTreeMap::new();
    let mut back = std::collections::BTreeMap::new();
    found.len() == expected.len()
        && found.iter().zip(expected).all(|(a, b)| {
            (*a < 0) == (*b < 0)
                && *there.entry(*a).or_insert(*b) == *b
                && *back.entry(*b).or_insert(*a) == *a
        })
}

fn every(matrix: &Array2<f64>, step: usize) -> Array2<f64> {
    let rows: Vec<usize> = (0..matrix.nrows()).step_by(step).collect();
    matrix.select(Axis(0), &rows)
}

/// How far a case is off, relative to what it may be off: at most 1 is right.
fn check(case: &Value) -> f64 {
    let name = case["estimator"].as_str().unwrap();
    let entry = find(name).unwrap();
    let (table, names, target) = data(case["data"].as_str().unwrap(), entry.role);
    let all: Vec<usize> = (0..table.nrows()).collect();
    let split = case["split"].as_bool().unwrap();
    let learned: Vec<usize> = all
        .iter()
        .filter(|r| !split || **r % 3 != 0)
        .copied()
        .collect();
    let asked: Vec<usize> = all
        .iter()
        .filter(|r| !split || **r % 3 == 0)
        .copied()
        .collect();
    let x = tables::frame(&table.select(Axis(0), &learned), &names);
    let new = tables::frame(&table.select(Axis(0), &asked), &names);
    let y = select(&target, &learned);
    let mut model = entry.make(&params(case)).unwrap();
    let tolerance = case["tolerance"].as_f64().unwrap();
    let step = case["step"].as_u64().unwrap() as usize;
    let action = case["action"].as_str().unwrap();
    let dense = |frame: DataFrame| every(&matrix::dense(&frame).unwrap(), step);
    if action == "fit_transform-signs" {
        let expected = values(&case["values"]);
        let found = dense(model.fit_transform(&x, &y).unwrap());
        return difference(&turned(&found, &expected, false), &expected) / tolerance;
    }
    model.fit(&x, &y).unwrap();
    match action {
        "groups" => {
            let expected: Vec<i64> = serde_json::from_value(case["values"].clone()).unwrap();
            let found: Vec<i64> =
                serde_json::from_value(model.learned()["labels"].clone()).unwrap();
            if same_groups(&found, &expected) {
                0.0
            } else {
                f64::INFINITY
            }
        }
        "score" => {
            let found = score(&select(&target, &asked), &model.predict(&new).unwrap());
            (case["value"].as_f64().unwrap() - found) / tolerance
        }
        "learned" => {
            let expected = case["value"].as_f64().unwrap();
            let learned = model.learned();
            let found = match case.get("path") {
                Some(path) => learned.pointer(path.as_str().unwrap()).unwrap(),
                None => panic!("a path is needed"),
            };
            let found = found.as_f64().unwrap();
            let above = (found - expected) / expected.abs();
            // Better than the reference is fine for what is to be small or large.
            let better = match name {
                "gaussian-mixture" => -above,
                _ => above,
            };
            better.max(if case.get("at_most").is_some() || tolerance > 1e-6 {
                0.0
            } else {
                above.abs()
            }) / tolerance
        }
        _ => {
            let expected = values(&case["values"]);
            let found = match action {
                "predict" => every(&model.predict(&new).unwrap(), step),
                "predict_proba" => every(&model.predict_proba(&new).unwrap(), step),
                "decision_function" => every(&model.decision_function(&new).unwrap(), step),
                _ => dense(model.transform(&new).unwrap()),
            };
            let found = if action == "transform-signs" {
                turned(&found, &expected, case.get("permuted").is_some())
            } else {
                found
            };
            let off = difference(&found, &expected);
            if off == 0.0 { 0.0 } else { off / tolerance }
        }
    }
}

#[test]
fn algorithms_agree_with_scikit_learn() {
    let reference = Reference::read();
    let cases = reference.all["cases"].as_array().unwrap();
    let show = std::env::var_os("OM_TEST_SHOW").is_some();
    let wrong: Vec<String> = cases
        .iter()
        .filter_map(|case| {
            let off = check(case);
            let line = format!(
                "{:28} {:12} {:20} {:70} {:9.2e} of {}",
                case["estimator"].as_str().unwrap(),
                case["data"].as_str().unwrap(),
                case["action"].as_str().unwrap(),
                case["params"]
                    .to_string()
                    .chars()
                    .take(70)
                    .collect::<String>(),
                off,
                case["tolerance"]
            );
            if show {
                println!("{line}");
            }
            (off.is_nan() || off > 1.0).then_some(line)
        })
        .collect();
    assert!(
        wrong.is_empty(),
        "{} of {}:\n{}",
        wrong.len(),
        cases.len(),
        wrong.join("\n")
    );
}

#[test]
fn vectorisers_agree_with_scikit_learn() {
    let reference = Reference::read();
    let documents: Vec<String> =
        serde_json::from_value(reference.all["documents"].clone()).unwrap();
    let x = df!("text" => documents).unwrap();
    for case in reference.all["texts"].as_array().unwrap() {
        let entry = find(case["estimator"].as_str().unwrap()).unwrap();
        let mut model = entry.make(&params(case)).unwrap();
        let found = model.fit_transform(&x, &Target::None).unwrap();
        let terms: Vec<String> = serde_json::from_value(case["terms"].clone()).unwrap();
        assert_eq!(matrix::names(&found), terms, "{}", case["params"]);
        let off = difference(&matrix::dense(&found).unwrap(), &values(&case["values"]));
        assert!(
            off < 1e-10,
            "{} {}: {off}",
            case["estimator"],
            case["params"]
        );
    }
}

fn iris_of_two() -> (DataFrame, Target) {
    let (names, table, last) = tables::read("iris");
    let rows: Vec<usize> = (50..150).collect();
    let labels: Vec<String> = rows.iter().map(|row| last[*row].clone()).collect();
    let table = table.select(Axis(0), &rows);
    (tables::frame(&table, &names), tables::classes(&labels))
}

#[test]
fn ftrl_learns_in_one_go_and_in_batches() {
    let (x, y) = iris_of_two();
    let mut model = find("ftrl").unwrap().make(&Params::new()).unwrap();
    model.fit(&x, &y).unwrap();
    assert!(score(&y, &model.predict(&x).unwrap()) >= 0.93);
    let mut model = find("ftrl").unwrap().make(&Params::new()).unwrap();
    for _ in 0..20 {
        model.partial_fit(&x, &y).unwrap();
    }
    assert!(score(&y, &model.predict(&x).unwrap()) >= 0.93);
}

/// Batches must give what all rows at once give. Gaussian variances are smoothed by a share
/// of the last batch's largest one, in linfa as in scikit-learn, and so differ a little.
#[test]
fn naive_bayes_in_batches_is_naive_bayes() {
    let (names, table, last) = tables::read("wine");
    let y = tables::classes(&last);
    let x = tables::frame(&table, &names);
    for name in ["gaussian-nb", "multinomial-nb", "bernoulli-nb"] {
        let entry = find(name).unwrap();
        let mut whole = entry.make(&Params::new()).unwrap();
        whole.fit(&x, &y).unwrap();
        let mut parts = entry.make(&Params::new()).unwrap();
        for part in 0..4 {
            let rows: Vec<usize> = (0..last.len()).filter(|row| row % 4 == part).collect();
            let x = tables::frame(&table.select(Axis(0), &rows), &names);
            parts.partial_fit(&x, &select(&y, &rows)).unwrap();
        }
        let (a, b) = (
            whole.predict_proba(&x).unwrap(),
            parts.predict_proba(&x).unwrap(),
        );
        assert!(difference(&a, &b) < 1e-3, "{name}: {}", difference(&a, &b));
    }
}

#[test]
fn white_columns_are_uncorrelated_and_projections_keep_distances() {
    let (names, table, _) = tables::read("wine");
    let x = tables::frame(&table, &names);
    for method in ["zca", "pca", "cholesky"] {
        let params = [("method".to_string(), Value::from(method))]
            .into_iter()
            .collect();
        let mut model = find("whitening").unwrap().make(&params).unwrap();
        let white = matrix::dense(&model.fit_transform(&x, &Target::None).unwrap()).unwrap();
        let covariance = white.t().dot(&white) / (white.nrows() as f64 - 1.0);
        assert!(difference(&covariance, &Array2::eye(13)) < 1e-8, "{method}");
    }
    let wide = Array2::from_shape_fn((40, 400), |(i, j)| ((i * 37 + j * 101) % 97) as f64);
    let x = tables::frame(
        &wide,
        &(0..400).map(|i| format!("c{i}")).collect::<Vec<_>>(),
    );
    let params = [("n_components".to_string(), Value::from(200))]
        .into_iter()
        .collect();
    let mut model = find("random-projection").unwrap().make(&params).unwrap();
    let narrow = matrix::dense(&model.fit_transform(&x, &Target::None).unwrap()).unwrap();
    let length = |m: &Array2<f64>, i: usize, j: usize| {
        let d = &m.row(i) - &m.row(j);
        d.dot(&d).sqrt()
    };
    for (i, j) in [(0, 1), (3, 30), (20, 39)] {
        let ratio = length(&narrow, i, j) / length(&wide, i, j);
        assert!((0.75..1.25).contains(&ratio), "{ratio}");
    }
}

/// A second model with the same seed, on one thread, must be the same to the last bit.
#[test]
fn the_same_seed_gives_the_same_model_on_any_number_of_threads() {
    let (names, table, last) = tables::read("wine");
    let (x, y) = (tables::frame(&table, &names), tables::classes(&last));
    let one = rayon::ThreadPoolBuilder::new()
        .num_threads(1)
        .build()
        .unwrap();
    for name in [
        "random-forest",
        "extra-trees",
        "bagging",
        "gradient-boosting",
        "k-means",
        "svc",
    ] {
        let entry = find(name).unwrap();
        let fit = || -> Box<dyn Estimator> {
            let mut model = entry.make(&Params::new()).unwrap();
            model.fit(&x, &y).unwrap();
            model
        };
        let (many, single) = (fit(), one.install(fit));
        assert_eq!(many.save().unwrap(), single.save().unwrap(), "{name}");
    }
}
