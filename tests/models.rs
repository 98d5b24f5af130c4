//! What models do beyond the numbers: specs, checks of tables, labels, stored form.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use omega::ErrorKind;
use omega::models::{
    Model, SearchOptions, entries, estimators, find, grid_search, matrix, metrics,
};
use omega::progress::{Meter, Progress, Silent, Unit};
use polars::prelude::*;
use proptest::prelude::*;
use serde_json::{Value, json};
use std::sync::LazyLock;

fn flowers() -> (DataFrame, DataFrame) {
    let noise = |i: i32, k: i32| f64::from((i * 37 + k * 61) % 17) / 17.0;
    let species: Vec<&str> = (0..60)
        .map(|i| ["rose", "tulip", "daisy"][i as usize % 3])
        .collect();
    let size = |i: i32| f64::from(i % 3) + noise(i, 1);
    let x = df!(
        "size" => (0..60).map(size).collect::<Vec<_>>(),
        "weight" => (0..60).map(|i| noise(i, 2)).collect::<Vec<_>>(),
        "colour" => (0..60).map(|i| if i % 2 == 0 { "red" } else { "white" }).collect::<Vec<_>>(),
    )
    .unwrap();
    (x, df!("species" => species).unwrap())
}

fn params(value: Value) -> Vec<(String, Value)> {
    let params = value.as_object().unwrap().iter();
    params.map(|(k, v)| (k.clone(), v.clone())).collect()
}

fn trained(spec: &str, value: Value) -> Model {
    let (x, y) = flowers();
    let mut model = Model::new(spec, &params(value)).unwrap();
    model.fit(&x, Some(&y)).unwrap();
    model
}

#[test]
fn labels_come_back_as_they_were_given() {
    let (x, y) = flowers();
    let model = trained("logistic-regression", json!({}));
    let predicted = model.predict(&x).unwrap();
    assert_eq!(matrix::names(&predicted), ["species"]);
    assert_eq!(predicted.dtypes(), [DataType::String]);
    assert!(model.score(&x, Some(&y), None).unwrap() > 0.9);
    let proba = model.predict_proba(&x).unwrap();
    assert_eq!(matrix::names(&proba), ["daisy", "rose", "tulip"]);

    let numbers = df!("class" => (0..60).map(|i| 5 - i % 3).collect::<Vec<i32>>()).unwrap();
    let mut model = Model::new("logistic-regression", &[]).unwrap();
    model.fit(&x, Some(&numbers)).unwrap();
    let predicted = model.predict(&x).unwrap();
    assert_eq!(predicted.dtypes(), [DataType::Int64]);
    assert_eq!(
        matrix::names(&model.predict_proba(&x).unwrap()),
        ["3", "4", "5"]
    );
}

#[test]
fn text_and_nulls_are_prepared_unless_told_not_to() {
    let (x, y) = flowers();
    let model = trained("logistic-regression", json!({}));
    let summary = model.summary();
    assert_eq!(summary["steps"][0]["estimator"], "one-hot");
    assert_eq!(summary["steps"][0]["inserted"], true);
    assert_eq!(summary["columns"]["colour"], "str");
    assert_eq!(summary["classes"], json!(["daisy", "rose", "tulip"]));

    let mut plain = Model::new("logistic-regression", &params(json!({"auto": false}))).unwrap();
    let error = plain.fit(&x, Some(&y)).unwrap_err();
    assert!(error.hint_text().unwrap().contains("one-hot|"));
    assert!(!plain.is_trained());

    // Training anew on a table without text takes the step out again.
    let mut model = model;
    model.fit(&x.drop("colour").unwrap(), Some(&y)).unwrap();
    assert_eq!(model.summary()["steps"].as_array().unwrap().len(), 1);

    // A category that training did not have counts as none.
    let model = trained("logistic-regression", json!({}));
    let new = df!("size" => [1.0], "weight" => [0.5], "colour" => ["blue"]).unwrap();
    assert_eq!(model.predict(&new).unwrap().height(), 1);
}

#[test]
fn parameters_find_their_step() {
    let wrong = |spec: &str, value: Value| Model::new(spec, &params(value)).unwrap_err();
    let spec = "imputer|standard-scaler|logistic-regression(C=0.5)";
    let model = Model::new(
        spec,
        &params(json!({"C": 2.0, "imputer__strategy": "median"})),
    )
    .unwrap();
    let summary = model.summary();
    assert_eq!(summary["steps"][2]["params"]["C"], 2.0);
    assert_eq!(summary["steps"][0]["params"]["strategy"], "median");
    let model = Model::new(spec, &params(json!({"logistic_regression__C": 3}))).unwrap();
    assert_eq!(model.summary()["steps"][2]["params"]["C"], 3);

    let error = wrong("min-max-scaler|min-max-scaler|ridge", json!({"clip": true}));
    assert_eq!(error.kind(), ErrorKind::Usage);
    assert_eq!(error.hint_text(), Some("write min_max_scaler__clip"));
    Model::new(
        "min-max-scaler|min-max-scaler|ridge",
        &params(json!({"min_max_scaler_2__clip": true})),
    )
    .unwrap();
    let error = wrong("ridge", json!({"alhpa": 1}));
    assert_eq!(error.hint_text(), Some("did you mean `alpha`?"));
    let error = wrong("ridge", json!({"rigde__alpha": 1}));
    assert_eq!(error.hint_text(), Some("did you mean `ridge`?"));
    let error = wrong("ridge", json!({"alpha": "much"}));
    assert!(error.message().contains("must be a number"), "{error}");
    let error = wrong("rigde", json!({}));
    assert_eq!(error.hint_text(), Some("did you mean `ridge`?"));
    let error = wrong("ridge|standard-scaler", json!({}));
    assert!(error.message().contains("only be the last step"), "{error}");
    Model::new(
        "sklearn.linear_model.LogisticRegression(C=0.1, penalty='l2')",
        &[],
    )
    .unwrap();
}

#[test]
fn tables_are_checked_against_training() {
    let (x, _) = flowers();
    let model = trained("logistic-regression", json!({}));
    let turned = x.select(["colour", "weight", "size"]).unwrap();
    assert!(
        model
            .predict(&turned)
            .unwrap()
            .equals(&model.predict(&x).unwrap())
    );
    let literal = df!("column_0" => [1.0], "column_1" => [0.2], "column_2" => ["red"]).unwrap();
    assert_eq!(model.predict(&literal).unwrap().height(), 1);
    let error = model.predict(&x.drop("size").unwrap()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert!(error.message().contains("lacks size"), "{error}");
    let mut more = x.clone();
    more.with_column(Column::new("extra".into(), vec![1; 60]))
        .unwrap();
    assert!(
        model
            .predict(&more)
            .unwrap_err()
            .message()
            .contains("extra")
    );
    let text = df!("size" => ["1"], "weight" => [0.2], "colour" => ["red"]).unwrap();
    assert!(
        model
            .predict(&text)
            .unwrap_err()
            .message()
            .contains("column size is str")
    );
    let hole = df!("size" => [None::<f64>], "weight" => [0.2], "colour" => ["red"]).unwrap();
    assert!(
        model
            .predict(&hole)
            .unwrap_err()
            .message()
            .contains("column size has nulls")
    );
    let error = model.transform(&x).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Usage);
    assert!(error.message().contains("has no transform"), "{error}");
    let error = Model::new("ridge", &[]).unwrap().predict(&x).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
}

#[test]
fn wrong_targets_are_refused() {
    let (x, y) = flowers();
    let fit = |spec: &str, y: Option<&DataFrame>| {
        let mut model = Model::new(spec, &[]).unwrap();
        model.fit(&x, y).unwrap_err()
    };
    assert!(
        fit("ridge", Some(&y))
            .hint_text()
            .unwrap()
            .contains("classifier")
    );
    assert!(fit("ridge", None).message().contains("target"));
    let half = df!("y" => (0..60).map(|i| f64::from(i) + 0.5).collect::<Vec<_>>()).unwrap();
    assert!(
        fit("logistic-regression", Some(&half))
            .hint_text()
            .unwrap()
            .contains("regressor")
    );
    assert!(
        fit("ridge", Some(&half.head(Some(3))))
            .message()
            .contains("3")
    );
    let one = df!("y" => vec!["same"; 60]).unwrap();
    assert!(
        fit("logistic-regression", Some(&one))
            .message()
            .contains("one class")
    );
    let holes: Vec<Option<f64>> = (0..60).map(|i| (i > 0).then_some(f64::from(i))).collect();
    let holes = df!("y" => holes).unwrap();
    assert!(fit("ridge", Some(&holes)).message().contains("1 nulls"));
}

#[test]
fn several_outputs_are_predicted_under_their_names() {
    let (x, _) = flowers();
    let x = x.drop("colour").unwrap();
    let y = df!(
        "double" => x.column("size").unwrap().f64().unwrap() * 2.0,
        "sum" => x.column("size").unwrap().f64().unwrap() + x.column("weight").unwrap().f64().unwrap(),
    )
    .unwrap();
    let mut model = Model::new("linear-regression", &[]).unwrap();
    model.fit(&x, Some(&y)).unwrap();
    let predicted = model.predict(&x).unwrap();
    assert_eq!(matrix::names(&predicted), ["double", "sum"]);
    assert!(model.score(&x, Some(&y), None).unwrap() > 1.0 - 1e-12);
}

#[test]
fn steps_learn_in_batches() {
    let x = df!("a" => [1.0, 2.0, 6.0, 7.0]).unwrap();
    let mut whole = Model::new("standard-scaler", &[]).unwrap();
    whole.fit(&x, None).unwrap();
    let mut parts = Model::new("standard-scaler", &[]).unwrap();
    parts.partial_fit(&x.head(Some(2)), None).unwrap();
    parts.partial_fit(&x.tail(Some(2)), None).unwrap();
    assert_eq!(parts.training().unwrap().rows, 4);
    let (a, b) = (whole.transform(&x).unwrap(), parts.transform(&x).unwrap());
    let (a, b) = (matrix::dense(&a).unwrap(), matrix::dense(&b).unwrap());
    assert!((&a - &b).iter().all(|d| d.abs() < 1e-12));
    let error = Model::new("ridge", &[])
        .unwrap()
        .partial_fit(&x, Some(&x))
        .unwrap_err();
    assert!(error.message().contains("no partial_fit"), "{error}");
}

#[test]
fn metrics_are_checked() {
    let (x, y) = flowers();
    let model = trained("logistic-regression", json!({}));
    let error = model.score(&x, Some(&y), Some("acuracy")).unwrap_err();
    assert_eq!(error.hint_text(), Some("did you mean `accuracy`?"));
    let error = model.score(&x, Some(&y), Some("r2")).unwrap_err();
    assert!(
        error.message().contains("does not score a classifier"),
        "{error}"
    );
    let error = model.score(&x, Some(&y), Some("f1")).unwrap_err();
    assert!(error.hint_text().unwrap().contains("_macro"));
    assert!(model.score(&x, Some(&y), Some("roc_auc")).is_err());
    assert!(
        model
            .score(&x, None, None)
            .unwrap_err()
            .message()
            .contains("true values")
    );
    // Labels that training did not have are wrong predictions, not an error.
    let other = df!("species" => vec!["oak"; 60]).unwrap();
    assert_eq!(model.score(&x, Some(&other), None).unwrap(), 0.0);
    assert!(metrics().count() > 25);
}

#[test]
fn a_search_can_be_stopped_and_refuses_wrong_grids() {
    struct Stopped;
    impl Progress for Stopped {
        fn meter(&self, _: &str, total: Option<u64>, _: Unit) -> Box<dyn Meter> {
            assert_eq!(total, Some(10));
            Box::new(Silent)
        }
        fn note(&self, _: &str) {}
        fn interrupted(&self) -> bool {
            true
        }
    }
    let (x, y) = flowers();
    let model = Model::new("logistic-regression", &[]).unwrap();
    let grid = |name: &str, values: Vec<Value>| vec![(name.to_string(), values)];
    let options = SearchOptions::default();
    let two = grid("C", vec![json!(0.1), json!(1)]);
    let error = grid_search(&model, &x, Some(&y), &two, &options, &Stopped).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Interrupted);
    let wrong = grid("D", vec![json!(1)]);
    let error = grid_search(&model, &x, Some(&y), &wrong, &options, &Silent).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Usage);
    let shuffled = SearchOptions {
        folds: 3,
        seed: Some(1),
        ..options
    };
    let found = grid_search(&model, &x, Some(&y), &two, &shuffled, &Silent).unwrap();
    assert_eq!(found.results.height(), 2);
    assert!(found.best.scores().contains_key("cv_accuracy"));
}

#[test]
fn a_large_grid_needs_no_deep_stack() {
    // Pieces of work that start others while they wait pile up with their number.
    let x = df!("x" => (0..20).map(f64::from).collect::<Vec<_>>()).unwrap();
    let y = df!("y" => (0..20).map(|x| f64::from(x) * 2.0).collect::<Vec<_>>()).unwrap();
    let model = Model::new("ridge", &[]).unwrap();
    let values: Vec<Value> = (1..=500).rev().map(|alpha| json!(alpha)).collect();
    let grid = [("alpha".to_owned(), values)];
    let options = SearchOptions::default();
    let found = grid_search(&model, &x, Some(&y), &grid, &options, &Silent).unwrap();
    assert_eq!(found.best_params, [("alpha".to_owned(), json!(1))]);
    let ranks = found.results.column("rank_test_score").unwrap();
    let ranks: Vec<Option<u32>> = ranks.u32().unwrap().iter().collect();
    assert_eq!(ranks, (1..=500).rev().map(Some).collect::<Vec<_>>());
}

#[test]
fn every_estimator_is_documented_and_made_with_its_defaults() {
    let all = estimators();
    assert_eq!(all.len(), entries().count());
    let mut names: Vec<&str> = Vec::new();
    for entry in entries() {
        names.push(entry.name);
        names.extend(entry.aliases);
        assert!(!entry.summary.is_empty() && !entry.summary.ends_with('.'));
        assert!(
            entry
                .params
                .iter()
                .all(|p| !p.doc.is_empty() && !p.default.is_empty())
        );
        Model::new(entry.name, &[]).unwrap();
        assert_eq!(find(entry.name).unwrap().name, entry.name);
        // An untrained estimator is stored and read back too.
        let model = Model::new(entry.name, &[]).unwrap();
        let back = Model::from_bytes(&model.to_bytes().unwrap()).unwrap();
        assert_eq!(back.summary()["spec"], entry.name);
    }
    let count = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), count, "two estimators share a name");
}

static STORED: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let spec = "imputer|one-hot|standard-scaler|logistic-regression";
    let mut model = trained(spec, json!({"C": 0.3}));
    model.set_data("flowers[^species]", Some("flowers[species]"));
    model.set_score("accuracy", 0.5);
    model.to_bytes().unwrap()
});

#[test]
fn a_stored_model_is_the_same_model() {
    let (x, _) = flowers();
    let model = Model::from_bytes(&STORED).unwrap();
    assert_eq!(model.to_bytes().unwrap(), *STORED);
    assert_eq!(
        model.data(),
        Some(("flowers[^species]", Some("flowers[species]")))
    );
    assert_eq!(model.scores()["accuracy"], 0.5);
    let spec = "imputer|one-hot|standard-scaler|logistic-regression";
    let fresh = trained(spec, json!({"C": 0.3}));
    assert!(
        model
            .predict_proba(&x)
            .unwrap()
            .equals(&fresh.predict_proba(&x).unwrap())
    );
    assert_eq!(model.learned(), fresh.learned());
    // Further parameters make an untrained model of the same spec.
    let other = model.with_params(&params(json!({"C": 9}))).unwrap();
    assert!(!other.is_trained());
    assert_eq!(other.summary()["steps"][3]["params"]["C"], 9);
}

#[test]
fn cut_models_and_other_bytes_are_refused() {
    for cut in 0..STORED.len() {
        let error = Model::from_bytes(&STORED[..cut]).unwrap_err();
        assert!(matches!(
            error.kind(),
            ErrorKind::Corrupt | ErrorKind::Invalid
        ));
    }
    let mut newer = STORED.clone();
    newer[11] = 9;
    let error = Model::from_bytes(&newer).unwrap_err();
    assert!(error.message().contains("format 9"), "{error}");
    assert_eq!(
        Model::from_bytes(b"\x80\x04pickle").unwrap_err().kind(),
        ErrorKind::Invalid
    );
}

proptest! {
    #[test]
    fn changed_models_are_refused(place in any::<prop::sample::Index>(), bit in 0..8u8) {
        let mut bytes = STORED.clone();
        bytes[place.index(STORED.len())] ^= 1 << bit;
        let error = Model::from_bytes(&bytes).unwrap_err();
        prop_assert!(matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::Invalid));
    }

    /// States of estimators come from behind the digest, but must not break anything either.
    #[test]
    fn mangled_states_load_or_fail(place in any::<prop::sample::Index>(), byte: u8, which in any::<prop::sample::Index>()) {
        let all: Vec<_> = entries().collect();
        let entry = which.get(&all);
        let mut state = entry.make(&Default::default()).unwrap().save().unwrap();
        let place = place.index(state.len());
        state[place] = byte;
        let _ = (entry.load)(&state);
    }
}
