//! The dashboard: every page says what there is, forms do what they say, nothing comes from
//! outside, and nothing that is stored can make a page do something.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod om;
mod web;

use om::Om;
use serde_json::json;
use std::time::{Duration, Instant};
use web::{Answer, Web};

const EVIL: &str = "<script>alert(1)</script>";

fn filled() -> Om {
    let om = Om::here();
    om.ok(&["datasets", "put", &om::data("iris.csv"), "iris"]);
    om.ok(&[
        "datasets",
        "put",
        &om.file("evil.csv", format!("{EVIL}\n{EVIL}\n")),
        "evil",
    ]);
    om.ok(&[
        "datasets",
        "put",
        &om.file("a.txt", EVIL),
        "note.txt",
        "--as",
        "file",
    ]);
    om.ok(&[
        "models",
        "put",
        "standard-scaler|logistic-regression",
        "iris-clf",
    ]);
    om.ok(&[
        "runtime",
        "model",
        "iris-clf",
        "fit",
        "iris[^species]",
        "iris[species]",
    ]);
    om.ok(&["runtime", "model", "iris-clf", "score", "*", "*"]);
    let notebook = json!({"cells": [
        {"cell_type": "markdown", "source": format!("# Report\n{EVIL}"), "metadata": {}},
        {"cell_type": "code", "source": "print(1)", "metadata": {}, "execution_count": 1, "outputs": [
            {"output_type": "display_data", "metadata": {}, "data": {"text/html": EVIL, "text/plain": EVIL}}]},
    ], "metadata": {}, "nbformat": 4, "nbformat_minor": 5});
    om.ok(&[
        "jobs",
        "put",
        &om.file("report.ipynb", notebook.to_string()),
        "report",
    ]);
    om
}

#[track_caller]
fn page(web: &Web, target: &str) -> Answer {
    let answer = web.get(target);
    assert_eq!(answer.status, 200, "{target}: {}", answer.body);
    assert!(!answer.body.contains("<script"), "{target}");
    for outside in ["src=\"http", "href=\"http", "url(", "@import"] {
        assert!(!answer.body.contains(outside), "{target}: {outside}");
    }
    let policy = answer.header("content-security-policy").unwrap();
    assert!(policy.starts_with("default-src 'none'"), "{policy}");
    answer
}

fn form(web: &Web, target: &str, body: &str) -> Answer {
    let headers = [("Content-Type", "application/x-www-form-urlencoded")];
    web.send("POST", target, &headers, body.as_bytes())
}

#[test]
fn every_page_says_what_there_is() {
    let om = filled();
    let web = Web::start(&om, &[]);
    assert_eq!(web.get("/").header("location"), Some("/index"));
    for (target, texts) in [
        ("/index", &["Overview", "datasets/iris", "Changed last"][..]),
        (
            "/datasets",
            &["iris", "pandas.dfrows", "150", "python.file"],
        ),
        ("/datasets?q=IRI", &["iris"]),
        (
            "/datasets/iris",
            &[
                "First rows",
                "sepal_length",
                "5.1",
                "Values in ten bins",
                "setosa (50)",
            ],
        ),
        ("/datasets/evil", &["&lt;script&gt;"]),
        ("/datasets/note.txt", &["Download", "&lt;script&gt;"]),
        ("/models", &["iris-clf", "linfa.model"]),
        (
            "/models/iris-clf",
            &["Ask it", "petal_width", "Trained on", "accuracy", "0.97"],
        ),
        ("/jobs", &["report.ipynb"]),
        (
            "/jobs/report.ipynb",
            &[
                "<h1>Report</h1>",
                "Run it now",
                "print(1)",
                "&lt;script&gt;",
            ],
        ),
        ("/scripts", &["There are none."]),
        ("/streams", &["There are none."]),
        ("/runtime", &["Workers", "Tasks"]),
        ("/runtime/log", &["Log"]),
    ] {
        let body = page(&web, target).body;
        for text in texts {
            assert!(body.contains(text), "{target}: no {text} in {body}");
        }
    }
    for target in [
        "/datasets/nope",
        "/models/nope",
        "/runtime/task/nope",
        "/raw/datasets/nope",
    ] {
        assert_eq!(web.get(target).status, 404, "{target}");
    }
    let raw = web.get("/raw/datasets/note.txt");
    assert_eq!(raw.body, EVIL);
    assert_eq!(raw.header("content-type"), Some("application/octet-stream"));
    assert!(
        raw.header("content-disposition")
            .unwrap()
            .starts_with("attachment")
    );
    assert_eq!(raw.header("x-content-type-options"), Some("nosniff"));
    let none = Web::start(&om, &["--no-ui"]);
    assert_eq!(none.get("/index").status, 404);
}

#[test]
fn a_prediction_is_made_through_the_form() {
    let om = filled();
    let web = Web::start(&om, &[]);
    let answer = form(&web, "/models/iris-clf", "x0=5.1&x1=3.5&x2=1.4&x3=0.2");
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert!(
        answer.body.contains("<strong>setosa</strong>"),
        "{}",
        answer.body
    );
    assert!(
        answer.body.contains("value=\"5.1\""),
        "the form keeps what was given"
    );
    let wrong = form(&web, "/models/iris-clf", "x0=long&x1=3.5&x2=1.4&x3=0.2");
    assert_eq!(wrong.status, 400);
    assert!(
        wrong.body.contains("sepal_length: `long` is not a number"),
        "{}",
        wrong.body
    );
    let headers = [
        ("Content-Type", "application/x-www-form-urlencoded"),
        ("Origin", "http://evil.example"),
    ];
    let foreign = web.send("POST", "/jobs/report.ipynb", &headers, b"");
    assert_eq!(foreign.status, 403);
}

#[test]
fn a_job_is_started_and_watched() {
    let om = filled();
    let script = om.file("hello.sh", "echo hello\n");
    om.ok(&["jobs", "put", &script, "hello"]);
    let web = Web::start(&om, &[]);
    let started = form(&web, "/jobs/hello.ipynb", "");
    assert_eq!(started.status, 303, "{}", started.body);
    let task = started.header("location").unwrap().to_owned();
    let end = Instant::now() + Duration::from_secs(60);
    loop {
        let body = page(&web, &task).body;
        if body.contains("SUCCESS") {
            assert!(!body.contains("http-equiv=\"refresh\""), "{body}");
            break;
        }
        assert!(!body.contains("FAILURE"), "{body}");
        assert!(
            body.contains("http-equiv=\"refresh\""),
            "it is looked at again"
        );
        assert!(Instant::now() < end, "{body}");
        std::thread::sleep(Duration::from_millis(100));
    }
    let job = page(&web, "/jobs/hello.ipynb").body;
    assert!(job.contains(">OK<"), "{job}");
    let result = job.split("href=\"/jobs/results/").nth(1).unwrap();
    let result = format!("/jobs/results/{}", result.split('"').next().unwrap());
    assert!(page(&web, &result).body.contains("hello"));
    assert!(page(&web, "/runtime").body.contains("run_omegaml_job"));
}

#[test]
fn browsers_are_asked_who_they_are() {
    let om = filled();
    om.ok(&[
        "server",
        "users",
        "add",
        "eva",
        "--grant",
        "read:omegaml/datasets",
    ]);
    let key = om.ok(&["server", "keys", "create", "eva", "-q"]);
    let web = Web::start(&om, &[]);
    let asked = web.get("/datasets");
    assert_eq!(asked.status, 401);
    assert!(
        asked
            .header("www-authenticate")
            .unwrap()
            .starts_with("Basic ")
    );
    use base64::Engine;
    let token = base64::prelude::BASE64_STANDARD.encode(format!("eva:{}", key.trim()));
    let header = format!("Basic {token}");
    let get = |target: &str| web.send("GET", target, &[("Authorization", &header)], b"");
    assert_eq!(get("/datasets/iris").status, 200);
    assert!(get("/models").body.contains("There are none."));
    assert_eq!(get("/models/iris-clf").status, 403);
}
