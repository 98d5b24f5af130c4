//! om's clients and Python's worker.

use crate::stack::{PY, stack, until};
use serde_json::{Value, json};

/// `om runtime model NAME …` on Python's worker.
fn model<'a>(args: &[&'a str]) -> Vec<&'a str> {
    [&["runtime", "model"], args, &["--require", "py"]].concat()
}

/// Values near whole numbers, as them.
fn whole(rows: &Value) -> Vec<i64> {
    let rows = rows.as_array().unwrap().iter();
    rows.map(|row| {
        let row = row.as_object().unwrap();
        assert_eq!(row.len(), 1, "{row:?}");
        let value = row.values().next().and_then(Value::as_f64).unwrap();
        assert!((value - value.round()).abs() < 1e-6, "{value}");
        value.round() as i64
    })
    .collect()
}

#[test]
fn a_python_worker_answers_a_ping() {
    let answer = stack().json(&["runtime", "ping", "--require", "py"]);
    assert_eq!(answer["worker"], PY);
    assert_eq!(answer["message"], "ping return message");
}

#[test]
fn a_model_of_scikit_learn_is_fitted_and_asked() {
    let stack = stack();
    stack.python("om.models.put(LinearRegression(), 'sk')\nNone");
    let line = stack.ok(&model(&["sk", "fit", "line[x]", "line[y]"]));
    let expected = "Metadata(name=sk,bucket=omegaml,prefix=models/,kind=sklearn.joblib,";
    assert!(line.starts_with(expected), "{line}");
    let named = stack.json(&model(&["sk", "predict", "line[x]", "-o", "json"]));
    assert_eq!(whole(&named), (1..=12).map(|x| x * 2).collect::<Vec<_>>());
    let inline = stack.json(&model(&["sk", "predict", "[[20.0], [30]]"]));
    assert_eq!(whole(&inline), [40, 60]);
    let score: f64 = stack
        .ok(&model(&["sk", "score", "line[x]", "line[y]"]))
        .parse()
        .unwrap();
    assert!((score - 1.0).abs() < 1e-9, "{score}");
    let line = stack.ok(&model(&[
        "sk",
        "predict",
        "line[x]",
        "--result",
        "sk-result",
    ]));
    assert!(
        line.starts_with("Metadata(name=sk-result,bucket=omegaml,prefix=data/,"),
        "{line}"
    );
    let stored =
        stack.python("np.array(om.datasets.get('sk-result')).ravel().round(6).astype(int)[:3]");
    assert_eq!(stored, json!([2, 4, 6]));
    // What it was trained on.
    let again = stack.ok(&model(&["sk", "score", "*", "*"]));
    assert_eq!(again.parse::<f64>().unwrap(), score);
}

#[test]
fn a_search_runs_on_python() {
    let stack = stack();
    stack.python("om.models.put(Ridge(), 'sk-searched')\nNone");
    let line = stack.ok(&model(&[
        "sk-searched",
        "gridsearch",
        "line[x]",
        "line[y]",
        "--param",
        "alpha=[0.1, 10.0]",
    ]));
    assert!(line.starts_with("Metadata(name=sk-searched,"), "{line}");
    let found = stack.python(
        "search = om.models.get(om.models.metadata('sk-searched').attributes['gridsearch'][-1]['gsModel'])\n\
         [type(search).__name__, search.best_params_]",
    );
    assert_eq!(found, json!(["GridSearchCV", {"alpha": 0.1}]));
}

#[test]
fn results_are_read_later_by_other_processes_and_more_than_once() {
    let stack = stack();
    stack.python("om.models.put(LinearRegression().fit(line[['x']], line[['y']]), 'later')\nNone");
    let id = stack.ok(&model(&["later", "predict", "[[5], [6]]", "--async"]));
    for _ in 0..2 {
        assert_eq!(whole(&stack.json(&["runtime", "result", &id])), [10, 12]);
    }
    let shown = stack.json(&["runtime", "tasks", "show", &id]);
    assert_eq!(
        [&shown["state"], &shown["task"], &shown["label"]],
        ["SUCCESS", "omegaml.tasks.omega_predict", "py"]
    );
    let listed = stack.json(&[
        "runtime", "tasks", "list", "--state", "success", "--limit", "1000",
    ]);
    let listed = listed.as_array().unwrap();
    assert!(listed.iter().any(|task| task["id"] == *id), "{listed:?}");
}

#[test]
fn failures_have_pythons_class_and_message() {
    let stack = stack();
    let predict = ["py-ridge", "predict", "nowhere[x]"];
    stack.fails(
        &model(&predict),
        6,
        ": AttributeError: 'NoneType' object has no attribute ",
    );
    stack.fails(
        &model(&["py-ridge", "predict", "line[x]"]),
        6,
        ": NotFittedError: This Ridge instance is not fitted yet",
    );
    let id = stack.ok(&model(&[&predict[..], &["--async"]].concat()));
    for _ in 0..2 {
        stack.fails(
            &["runtime", "result", &id],
            6,
            ": AttributeError: 'NoneType'",
        );
    }
    let shown = stack.json(&["runtime", "tasks", "show", &id]);
    assert_eq!(shown["error"]["type"], "builtins.AttributeError");
    let traceback = shown["error"]["traceback"].as_str().unwrap();
    assert!(
        traceback.starts_with("Traceback (most recent call last)"),
        "{traceback}"
    );
    stack.fails(
        &model(&["nomodel", "predict", "line[x]"]),
        3,
        "models/nomodel does not exist",
    );
}

#[test]
fn a_task_that_waits_is_called_off() {
    let stack = stack();
    let id = stack.ok(&model(&[
        "py-line",
        "predict",
        "line[x]",
        "--async",
        "--countdown",
        "1h",
    ]));
    stack.fails(&["runtime", "result", &id, "--no-wait"], 5, "not done yet");
    // Until then Python's worker holds it.
    until(|| {
        stack.json(&["runtime", "inspect", "scheduled"])[PY]
            .to_string()
            .contains(&id)
            .then_some(())
    });
    stack.ok(&["runtime", "tasks", "cancel", &id]);
    stack.fails(&["runtime", "result", &id], 6, "cancelled");
    stack.fails(&["runtime", "tasks", "cancel", &id], 5, "finished already");
    assert_eq!(
        stack.json(&["runtime", "tasks", "show", &id])["state"],
        "REVOKED"
    );
    until(|| {
        stack.json(&["runtime", "inspect", "revoked"])[PY]
            .to_string()
            .contains(&id)
            .then_some(())
    });
}
