//! Every estimator of the registry: fitted, stored, read back, and asked again. The
//! answers must be the same to the last bit.
#![allow(clippy::unwrap_used, clippy::panic)]

mod tables;

use ndarray::{Array2, Axis};
use omega::error::ErrorKind;
use omega::models::{Entry, Estimator, Params, Role, Target, entries};
use polars::prelude::{DataFrame, df};
use serde_json::{Value, json};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// What an estimator may be fitted on, by its role; the first that it accepts is used.
fn inputs(role: Role) -> Vec<(DataFrame, Target)> {
    let (iris_names, iris, species) = tables::read("iris");
    let (names, table, progression) = tables::read("diabetes");
    let iris_frame = tables::frame(&iris, &iris_names);
    let two: Vec<usize> = (50..150).collect();
    let two_species: Vec<String> = two.iter().map(|row| species[*row].clone()).collect();
    let text = df!("text" => [
        "the quick brown fox", "a lazy dog", "the dog and the fox", "quick, quick", "no fox here",
    ]);
    let mixed = df!(
        "size" => [1.5, 2.5, 3.5, 0.5, 4.5], "kind" => ["a", "b", "a", "c", "b"],
    );
    match role {
        Role::Classifier => vec![
            (iris_frame, tables::classes(&species)),
            (
                tables::frame(&iris.select(Axis(0), &two), &iris_names),
                tables::classes(&two_species),
            ),
        ],
        Role::Regressor => vec![
            (tables::frame(&table, &names), tables::numbers(&progression)),
            (
                tables::frame(&iris.select(Axis(1), &[0, 1]), &iris_names[..2]),
                Target::Values(iris.select(Axis(1), &[2, 3])),
            ),
            (
                tables::frame(&table.select(Axis(1), &[2]), &names[2..3]),
                tables::numbers(&progression),
            ),
        ],
        _ => vec![
            (iris_frame.clone(), Target::None),
            (iris_frame, tables::classes(&species)),
            (text.unwrap(), Target::None),
            (mixed.unwrap(), Target::None),
        ],
    }
}

/// Parameters without which an estimator cannot be fitted on these tables, or would
/// take long.
fn params(entry: &Entry) -> Params {
    let given = match entry.name {
        "random-projection" => json!({ "n_components": 2 }),
        "svc" | "nu-svc" => json!({ "probability": true, "nu": 0.3 }),
        "t-sne" => json!({ "max_iter": 50 }),
        "k-means" => json!({ "n_clusters": 3 }),
        "gaussian-mixture" => json!({ "n_components": 3 }),
        _ => json!({}),
    };
    let known = |name: &str| entry.params.iter().any(|param| param.name == name);
    let pairs = given.as_object().unwrap().clone().into_iter();
    pairs.filter(|(name, _)| known(name)).collect()
}

fn fitted(entry: &Entry) -> (Box<dyn Estimator>, DataFrame, Target) {
    let mut errors = Vec::new();
    for (x, y) in inputs(entry.role) {
        let mut model = entry.make(&params(entry)).unwrap();
        match model.fit(&x, &y) {
            Ok(()) => return (model, x, y),
            Err(error) => errors.push(error.to_string()),
        }
    }
    panic!("{} fits nothing: {errors:?}", entry.name);
}

/// The answer to an action, as text that shows every bit.
fn answer(model: &dyn Estimator, action: &str, x: &DataFrame) -> Option<String> {
    let bits = |m: Array2<f64>| {
        let bits: Vec<u64> = m.iter().map(|v| v.to_bits()).collect();
        format!("{:?} {bits:?}", m.dim())
    };
    match action {
        "predict" => model.predict(x).ok().map(bits),
        "predict_proba" => model.predict_proba(x).ok().map(bits),
        "decision_function" => model.decision_function(x).ok().map(bits),
        "transform" => {
            let mut frame = model.transform(x).ok()?;
            let mut text = String::new();
            for column in frame.columns() {
                text += &format!("{} {} ", column.name(), column.dtype());
            }
            frame.rechunk_mut();
            for row in 0..frame.height() {
                for value in frame.get(row).unwrap() {
                    match value {
                        polars::prelude::AnyValue::Float64(v) => {
                            text += &format!("{} ", v.to_bits())
                        }
                        other => text += &format!("{other} "),
                    }
                }
            }
            Some(text)
        }
        other => panic!("no action {other}"),
    }
}

const ANSWERS: [&str; 4] = ["predict", "predict_proba", "decision_function", "transform"];

#[test]
fn what_is_read_back_answers_the_same() {
    for entry in entries() {
        let name = entry.name;
        let (mut model, x, y) = fitted(entry);
        let bytes = model.save().unwrap();
        let mut back = (entry.load)(&bytes).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert_eq!(back.learned(), model.learned(), "{name}: learned");
        assert_eq!(back.save().unwrap(), bytes, "{name}: stored again");
        for action in ANSWERS {
            let (before, after) = (
                answer(model.as_ref(), action, &x),
                answer(back.as_ref(), action, &x),
            );
            assert_eq!(before.is_some(), entry.can(action), "{name}: {action}");
            assert!(before == after, "{name}: {action} differs");
        }
        if entry.can("partial_fit") {
            model.partial_fit(&x, &y).unwrap();
            back.partial_fit(&x, &y).unwrap();
            assert_eq!(
                model.save().unwrap(),
                back.save().unwrap(),
                "{name}: partial_fit"
            );
        }
    }
}

#[test]
fn the_same_fit_stores_the_same_bytes() {
    for entry in entries() {
        let (first, ..) = fitted(entry);
        let (second, ..) = fitted(entry);
        assert_eq!(
            first.save().unwrap(),
            second.save().unwrap(),
            "{}",
            entry.name
        );
    }
}

/// `fit_transform` is there if the table says so, has a row for every row, and is what
/// `transform` gives where both are.
#[test]
fn fit_transform_keeps_rows() {
    for entry in entries().filter(|entry| entry.can("fit_transform")) {
        let (model, x, y) = fitted(entry);
        let mut again = entry.make(&params(entry)).unwrap();
        let frame = again.fit_transform(&x, &y).unwrap();
        assert_eq!(frame.height(), x.height(), "{}", entry.name);
        if entry.can("transform") {
            let transformed = model.transform(&x).unwrap();
            assert!(frame.equals_missing(&transformed), "{}", entry.name);
        }
    }
}

/// Bytes that were cut or changed are refused or make a model that answers or refuses,
/// but never a panic.
#[test]
fn broken_bytes_never_panic() {
    for entry in entries() {
        let (model, x, _) = fitted(entry);
        let bytes = model.save().unwrap();
        let step = (bytes.len() / 40).max(1);
        for at in (0..bytes.len()).step_by(step) {
            let cut = (entry.load)(&bytes[..at]);
            assert_eq!(
                cut.err().map(|e| e.kind()),
                Some(ErrorKind::Corrupt),
                "{}",
                entry.name
            );
            for flip in [0x01, 0x80, 0xff] {
                let mut changed = bytes.clone();
                changed[at] ^= flip;
                let outcome = catch_unwind(AssertUnwindSafe(|| {
                    if let Ok(model) = (entry.load)(&changed) {
                        let _ = (model.predict(&x), model.transform(&x), model.learned());
                    }
                }));
                assert!(outcome.is_ok(), "{}: byte {at} ^ {flip:#x}", entry.name);
            }
        }
    }
}

#[test]
fn models_that_are_not_fitted_say_so() {
    for entry in entries() {
        let model = entry.make(&params(entry)).unwrap();
        let (x, _) = inputs(entry.role).swap_remove(0);
        // What has nothing to learn may answer at once.
        if fitted(entry).0.learned() == Value::Null {
            continue;
        }
        for action in ANSWERS.into_iter().filter(|action| entry.can(action)) {
            let error = match action {
                "predict" => model.predict(&x).err(),
                "predict_proba" => model.predict_proba(&x).err(),
                "decision_function" => model.decision_function(&x).err(),
                _ => model.transform(&x).err(),
            };
            let error = error.unwrap_or_else(|| panic!("{} {action} answered", entry.name));
            assert!(
                error.to_string().contains("not trained"),
                "{}: {error}",
                entry.name
            );
            let back = (entry.load)(&model.save().unwrap()).unwrap();
            assert!(answer(back.as_ref(), action, &x).is_none());
        }
    }
}
