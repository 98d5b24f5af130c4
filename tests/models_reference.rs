//! Results agree with scikit-learn on iris, wine and diabetes.
//! `tests/reference/sklearn_reference.py` makes the numbers.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use omega::models::{Model, SearchOptions, grid_search, matrix};
use omega::progress::Silent;
use polars::prelude::*;
use serde_json::{Map, Value};
use std::path::Path;

fn reference() -> Value {
    let text = include_str!("reference/sklearn.json");
    serde_json::from_str(text).unwrap()
}

/// The table and the target of a data set.
fn table(name: &str) -> (DataFrame, DataFrame) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/data/{name}.csv"));
    let frame = CsvReadOptions::default()
        .with_infer_schema_length(None)
        .try_into_reader_with_file_path(Some(path))
        .unwrap()
        .finish()
        .unwrap();
    let target = match name {
        "iris" => "species",
        "wine" => "class",
        _ => "progression",
    };
    let y = frame.select([target]).unwrap();
    (frame.drop(target).unwrap(), y)
}

fn params(value: &Value) -> Vec<(String, Value)> {
    let params = value.as_object().unwrap().iter();
    params
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}

/// Every seventh row of a frame as JSON, like the reference has it.
fn sampled(frame: &DataFrame) -> Vec<Vec<Value>> {
    (0..frame.height())
        .step_by(7)
        .map(|row| {
            frame
                .columns()
                .iter()
                .map(|column| match column.get(row).unwrap() {
                    AnyValue::String(text) => Value::from(text),
                    AnyValue::Int64(number) => Value::from(number),
                    value => Value::from(value.extract::<f64>().unwrap()),
                })
                .collect()
        })
        .collect()
}

/// The largest difference, relative to 1 or to the numbers where they are larger.
fn difference(ours: &[Vec<Value>], theirs: &Value) -> f64 {
    let one = std::slice::from_ref(theirs);
    let theirs = theirs.as_array().map_or(one, Vec::as_slice);
    assert_eq!(ours.len(), theirs.len(), "rows");
    let mut worst: f64 = 0.0;
    for (ours, theirs) in ours.iter().zip(theirs) {
        let one = std::slice::from_ref(theirs);
        let theirs = theirs.as_array().map_or(one, Vec::as_slice);
        assert_eq!(ours.len(), theirs.len(), "columns");
        for (a, b) in ours.iter().zip(theirs) {
            worst = worst.max(match (a, b) {
                (Value::String(a), Value::String(b)) => f64::from(u8::from(a != b)),
                _ => {
                    let number = |value: &Value| value.as_f64().unwrap_or(f64::INFINITY);
                    let (a, b) = (number(a), number(b));
                    (a - b).abs() / a.abs().max(b.abs()).max(1.0)
                }
            });
        }
    }
    worst
}

fn check(case: &Value) -> Vec<String> {
    let spec = case["spec"].as_str().unwrap();
    let name = case["data"].as_str().unwrap();
    let (mut x, mut y) = table(name);
    if let Some(columns) = case["columns"].as_array() {
        x = x
            .select(columns.iter().map(|c| c.as_str().unwrap()))
            .unwrap();
    }
    if case["binary"] == true {
        // Both data sets have their third class last.
        let rows = if name == "iris" { 100 } else { 130 };
        (x, y) = (x.head(Some(rows)), y.head(Some(rows)));
    }
    let mut model = Model::new(spec, &params(&case["params"])).unwrap();
    model.fit(&x, Some(&y)).unwrap();
    // What comes back from its stored form is the same model.
    let model = Model::from_bytes(&model.to_bytes().unwrap()).unwrap();
    let tolerance = case["tolerance"].as_f64().unwrap();
    let mut wrong = Vec::new();
    let mut compare = |what: &str, ours: Vec<Vec<Value>>| {
        let off = difference(&ours, &case[what]);
        if off.is_nan() || off > tolerance {
            wrong.push(format!(
                "{spec} {} on {name}: {what} is off by {off:e}",
                case["params"]
            ));
        }
    };
    for (what, answer) in [
        ("predict", Model::predict as fn(&Model, &DataFrame) -> _),
        ("predict_proba", Model::predict_proba),
        ("decision_function", Model::decision_function),
        ("transform", Model::transform),
    ] {
        if !case[what].is_null() {
            compare(what, sampled(&answer(&model, &x).unwrap()));
        }
    }
    if case["score"].is_number() {
        let score = model.score(&x, Some(&y), None).unwrap();
        compare("score", vec![vec![score.into()]]);
    }
    if case["coefficients"].is_array() {
        let learned = model.learned();
        let last = learned.as_object().unwrap().values().next_back().unwrap();
        let one = std::slice::from_ref(last);
        let planes = last.as_array().map_or(one, Vec::as_slice);
        let named = |plane: &Value| -> Vec<Value> {
            let weights = plane["coefficients"].as_object().unwrap();
            weights.values().cloned().collect()
        };
        compare("coefficients", planes.iter().map(named).collect());
        let intercepts = planes.iter().map(|plane| vec![plane["intercept"].clone()]);
        if case["intercepts"].as_array().unwrap().len() == planes.len() {
            compare("intercepts", intercepts.collect());
        }
    }
    wrong
}

#[test]
fn models_agree_with_scikit_learn() {
    let reference = reference();
    let cases = reference["cases"].as_array().unwrap();
    assert!(cases.len() > 70);
    let wrong: Vec<String> = cases.iter().flat_map(check).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_table_with_text_and_nulls_trains_in_one_step() {
    let mixed = &reference()["mixed"];
    let numbers = |name: &str| -> Vec<Option<f64>> {
        let values = mixed[name].as_array().unwrap().iter();
        values.map(Value::as_f64).collect()
    };
    let group: Vec<Option<&str>> = mixed["group"]
        .as_array()
        .unwrap()
        .iter()
        .map(Value::as_str)
        .collect();
    let x = df!("bmi" => numbers("bmi"), "group" => group, "s1" => numbers("s1")).unwrap();
    let y = df!("y" => numbers("y")).unwrap();
    let params = [("alpha".to_string(), 0.5.into())];
    let mut model = Model::new("ridge", &params).unwrap();
    model.fit(&x, Some(&y)).unwrap();
    let steps = model.summary()["steps"].clone();
    let ids: Vec<&str> = steps
        .as_array()
        .unwrap()
        .iter()
        .map(|step| step["step"].as_str().unwrap())
        .collect();
    assert_eq!(ids, ["imputer", "one-hot", "ridge"]);
    let predicted = matrix::dense(&model.predict(&x).unwrap()).unwrap();
    let theirs = mixed["predict"].as_array().unwrap();
    for (a, b) in predicted.iter().zip(theirs) {
        assert!((a - b.as_f64().unwrap()).abs() < 1e-6 * a.abs(), "{a} {b}");
    }
}

#[test]
fn metrics_agree_with_scikit_learn() {
    let scores = &reference()["scores"];
    let check = |model: &Model, x: &DataFrame, y: &DataFrame, expected: &Value| {
        for (metric, theirs) in expected.as_object().unwrap() {
            let ours = model.score(x, Some(y), Some(metric)).unwrap();
            let theirs = theirs.as_f64().unwrap();
            let off = (ours - theirs).abs() / theirs.abs().max(1.0);
            assert!(off < 1e-6, "{metric}: {ours} {theirs}");
        }
    };
    let fitted = |spec: &str, x: &DataFrame, y: Option<&DataFrame>| {
        let mut model = Model::new(spec, &[]).unwrap();
        model.fit(x, y).unwrap();
        model
    };
    let (x, y) = table("wine");
    let three = x.select(["alcohol", "hue", "ash"]).unwrap();
    check(
        &fitted("logistic-regression", &three, Some(&y)),
        &three,
        &y,
        &scores["multiclass"],
    );
    let (hue, two) = (
        x.select(["hue"]).unwrap().head(Some(130)),
        y.head(Some(130)),
    );
    check(
        &fitted("logistic-regression", &hue, Some(&two)),
        &hue,
        &two,
        &scores["binary"],
    );
    let (x, y) = table("diabetes");
    check(
        &fitted("linear-regression", &x, Some(&y)),
        &x,
        &y,
        &scores["regression"],
    );
}

#[test]
fn grid_search_agrees_with_scikit_learn() {
    for search in reference()["searches"].as_array().unwrap() {
        let (x, y) = table(search["data"].as_str().unwrap());
        let model = Model::new(search["spec"].as_str().unwrap(), &[]).unwrap();
        let grid: Vec<(String, Vec<Value>)> = search["grid"]
            .as_object()
            .unwrap()
            .iter()
            .map(|(name, values)| (name.clone(), values.as_array().unwrap().clone()))
            .collect();
        let options = SearchOptions {
            metric: search["metric"].as_str().map(str::to_string),
            ..SearchOptions::default()
        };
        let found = grid_search(&model, &x, Some(&y), &grid, &options, &Silent).unwrap();
        let best: Map<String, Value> = found.best_params.into_iter().collect();
        assert_eq!(&best, search["best_params"].as_object().unwrap());
        for column in ["mean_test_score", "std_test_score", "rank_test_score"] {
            let ours = matrix::values(found.results.column(column).unwrap())
                .unwrap()
                .into_owned();
            for (a, b) in ours.iter().zip(search[column].as_array().unwrap()) {
                let b = b.as_f64().unwrap();
                assert!((a - b).abs() < 1e-6 * b.abs().max(1.0), "{column}: {a} {b}");
            }
        }
        assert!(found.best.is_trained());
    }
}
