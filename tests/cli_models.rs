//! `om models` and `om runtime model` on the embedded store: the main job.

#![allow(clippy::unwrap_used, clippy::panic)]

mod om;

use om::{Om, data};
use serde_json::json;

fn iris() -> Om {
    let om = Om::new();
    om.ok(&["datasets", "put", &data("iris.csv"), "iris"]);
    om
}

#[test]
fn train_score_and_predict() {
    let om = iris();
    let line = om.ok(&[
        "models",
        "put",
        "standard-scaler|logistic-regression",
        "clf",
    ]);
    assert!(
        line.starts_with("Metadata(name=clf,bucket=omegaml,prefix=models/,"),
        "{line}"
    );
    om.fails(
        &["runtime", "model", "clf", "predict", "iris[^species]"],
        5,
        "fit",
    );
    let line = om.ok(&[
        "runtime",
        "model",
        "clf",
        "fit",
        "iris[^species]",
        "iris[species]",
    ]);
    assert!(line.starts_with("Metadata(name=clf,"), "{line}");
    let score: f64 = om
        .ok(&[
            "runtime",
            "model",
            "clf",
            "score",
            "iris[^species]",
            "iris[species]",
        ])
        .trim()
        .parse()
        .unwrap();
    assert!(score > 0.95, "{score}");
    assert_eq!(
        om.json(&[
            "runtime",
            "model",
            "clf",
            "predict",
            "[[5.1, 3.5, 1.4, 0.2], [6.7, 3.0, 5.2, 2.3]]"
        ]),
        json!([{"species": "setosa"}, {"species": "virginica"}])
    );
    let proba = om.json(&[
        "runtime",
        "model",
        "clf",
        "predict_proba",
        "[[5.1, 3.5, 1.4, 0.2]]",
    ]);
    assert!(proba[0]["setosa"].as_f64().unwrap() > 0.9, "{proba}");
    om.ok(&[
        "runtime",
        "model",
        "clf",
        "predict",
        "iris[^species]",
        "--result",
        "predicted",
    ]);
    let groups = om.json(&["datasets", "query", "predicted", "--by", "species"]);
    assert_eq!(groups.as_array().unwrap().len(), 3);
}

#[test]
fn a_model_remembers_what_it_was_trained_on() {
    let om = iris();
    om.ok(&["models", "put", "logistic-regression", "clf"]);
    om.ok(&[
        "runtime",
        "model",
        "clf",
        "fit",
        "iris[^species]",
        "iris[species]",
    ]);
    let dataset = om.json(&["models", "metadata", "clf"])["attributes"]["dataset"].clone();
    assert_eq!(dataset["Xname"], "iris[^species]");
    assert_eq!(dataset["labels"], json!(["species"]));
    let score: f64 = om
        .ok(&["runtime", "model", "clf", "score", "*", "*"])
        .trim()
        .parse()
        .unwrap();
    assert!(score > 0.95);
    let shown = om.json(&["models", "show", "clf"]);
    assert_eq!(shown["name"], "clf");
    assert_eq!(shown["data"]["x"], "iris[^species]");
    assert!(shown["scores"]["accuracy"]["value"].as_f64().unwrap() > 0.95);
}

#[test]
fn columns_are_checked_against_the_training() {
    let om = iris();
    om.ok(&["models", "put", "logistic-regression", "clf"]);
    om.ok(&[
        "runtime",
        "model",
        "clf",
        "fit",
        "iris[^species]",
        "iris[species]",
    ]);
    om.fails(
        &[
            "runtime",
            "model",
            "clf",
            "predict",
            "iris[^species,petal_width]",
        ],
        1,
        "petal_width",
    );
    om.fails(&["runtime", "model", "clf", "predict", "[[1, 2]]"], 1, "4");
    let turned = "iris[petal_width,petal_length,sepal_width,sepal_length]";
    assert_eq!(
        om.json(&["runtime", "model", "clf", "predict", turned]),
        om.json(&["runtime", "model", "clf", "predict", "iris[^species]"])
    );
}

#[test]
fn strings_and_nulls_train_in_one_command() {
    let om = Om::new();
    om.ok(&["datasets", "put", &data("flights.csv.gz"), "flights"]);
    om.ok(&["models", "put", "linear-regression", "delay"]);
    om.ok(&[
        "datasets",
        "get",
        "flights",
        "known.parquet",
        "-w",
        "arr_delay is not null",
    ]);
    om.ok(&["datasets", "put", "known.parquet", "known"]);
    om.ok(&[
        "runtime",
        "model",
        "delay",
        "fit",
        "known[dep_delay,carrier,origin,distance]",
        "known[arr_delay]",
    ]);
    let score: f64 = om
        .ok(&[
            "runtime",
            "model",
            "delay",
            "score",
            "known[dep_delay,carrier,origin,distance]",
            "known[arr_delay]",
        ])
        .trim()
        .parse()
        .unwrap();
    assert!(score > 0.7, "{score}");
}

#[test]
fn grid_search_keeps_the_best_model() {
    let om = iris();
    om.ok(&["models", "put", "k-neighbors", "knn"]);
    let results = om.json(&[
        "runtime",
        "model",
        "knn",
        "gridsearch",
        "iris[^species]",
        "iris[species]",
        "--param",
        "n_neighbors=[1,5,15]",
        "--result",
        "best",
    ]);
    assert_eq!(results.as_array().unwrap().len(), 3, "{results}");
    assert_eq!(om.ok(&["models", "list"]), "best\nknn\n");
    let score: f64 = om
        .ok(&["runtime", "model", "best", "score", "*", "*"])
        .trim()
        .parse()
        .unwrap();
    assert!(score > 0.9);
    let search = om.json(&["models", "metadata", "knn"])["attributes"]["gridsearch"][0].clone();
    assert_eq!(search["gsModel"], "best");
}

#[test]
fn asynchronous_tasks_leave_a_result() {
    let om = iris();
    om.ok(&["models", "put", "logistic-regression", "clf"]);
    let id = om.ok(&[
        "runtime",
        "model",
        "clf",
        "fit",
        "iris[^species]",
        "iris[species]",
        "--async",
    ]);
    let result = om.json(&["runtime", "result", id.trim()]);
    assert_eq!(result["name"], "clf");
    let id = om.ok(&[
        "runtime",
        "model",
        "clf",
        "predict",
        "iris[species]",
        "--async",
    ]);
    om.fails(&["runtime", "result", id.trim()], 6, "sepal_length");
    om.fails(&["runtime", "result", "no-such-task"], 3, "no-such-task");
}

#[test]
fn mistakes_are_named() {
    let om = iris();
    om.fails(
        &["models", "put", "logistic-regresion", "m"],
        2,
        "logistic-regression",
    );
    om.fails(
        &[
            "models",
            "put",
            "logistic-regression",
            "m",
            "--param",
            "c=1",
        ],
        2,
        "C",
    );
    om.fails(
        &[
            "models",
            "put",
            "logistic-regression",
            "m",
            "--param",
            "C=high",
        ],
        2,
        "C",
    );
    om.ok(&["models", "put", "logistic-regression", "m"]);
    om.fails(&["runtime", "model", "m", "fitt", "iris"], 2, "fit");
    om.fails(
        &["runtime", "model", "nope", "fit", "iris"],
        3,
        "models/nope",
    );
    // What a worker says is wrong is said of its task.
    let missing = if om.is_remote() { 6 } else { 3 };
    om.fails(
        &["runtime", "model", "m", "fit", "nope", "iris[species]"],
        missing,
        "data/nope",
    );
    om.fails(
        &[
            "runtime",
            "model",
            "m",
            "fit",
            "iris[^species]",
            "iris[spezies]",
        ],
        missing,
        "species",
    );
    om.fails(&["runtime", "model", "m", "predict", "[[1,2"], 2, "JSON");
    let without = if om.is_remote() { 6 } else { 2 };
    om.fails(
        &["runtime", "model", "m", "fit", "iris[^species]"],
        without,
        "target",
    );
}

#[test]
fn a_model_goes_out_and_in() {
    let om = iris();
    om.ok(&["models", "put", "decision-tree", "tree"]);
    om.ok(&[
        "runtime",
        "model",
        "tree",
        "fit",
        "iris[^species]",
        "iris[species]",
    ]);
    om.ok(&["models", "get", "tree", "tree.model"]);
    om.ok(&["models", "put", "tree.model", "again"]);
    assert_eq!(
        om.ok(&["runtime", "model", "again", "predict", "iris[^species]"]),
        om.ok(&["runtime", "model", "tree", "predict", "iris[^species]"])
    );
    let mut bytes = std::fs::read(om.path("tree.model")).unwrap();
    let half = bytes.len() / 2;
    bytes.truncate(half);
    let broken = om.file("broken.model", bytes);
    om.fails(&["models", "put", &broken, "broken"], 1, "broken.model");
}

#[test]
fn every_estimator_is_documented() {
    let om = Om::new();
    let all = om.json(&["models", "estimators"]);
    assert!(all.as_array().unwrap().len() > 30);
    for entry in all.as_array().unwrap() {
        let one = om.json(&["models", "estimators", entry["name"].as_str().unwrap()]);
        assert_eq!(one["name"], entry["name"]);
        assert!(one["summary"].as_str().unwrap().len() > 10);
    }
    om.fails(
        &["models", "estimators", "random-forrest"],
        2,
        "random-forest",
    );
}

#[test]
fn training_keeps_the_identity_of_a_model() {
    let om = iris();
    om.ok(&["models", "put", "gaussian-nb", "nb"]);
    let before = om.json(&["models", "metadata", "nb"]);
    om.ok(&[
        "runtime",
        "model",
        "nb",
        "fit",
        "iris[^species]",
        "iris[species]",
    ]);
    let after = om.json(&["models", "metadata", "nb"]);
    assert_eq!(
        (&before["_id"], &before["created"]),
        (&after["_id"], &after["created"])
    );
    assert_eq!(after["kind_meta"]["trained"], true);
    om.ok(&["models", "put", "gaussian-nb", "nb", "--replace"]);
    assert_ne!(om.json(&["models", "metadata", "nb"])["_id"], before["_id"]);
}
