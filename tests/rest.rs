//! The server: the recorded requests to omega|ml's give the recorded answers, nobody gets at
//! what is not granted, and no client can keep it from others.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod om;
mod server;
mod web;

use om::Om;
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::path::Path;
use std::time::{Duration, Instant};
use web::{Answer, Web};

/// The store that the recordings were made on.
fn recorded() -> Om {
    filled(Om::here())
}

fn filled(om: Om) -> Om {
    let x: String = (0..20).map(|x| format!("{x}.0\n")).collect();
    let y: String = (0..20).map(|x| format!("{}.0\n", 3 * x + 1)).collect();
    om.ok(&["datasets", "put", &om.file("x.csv", format!("x\n{x}")), "X"]);
    om.ok(&["datasets", "put", &om.file("y.csv", format!("y\n{y}")), "Y"]);
    om.ok(&["models", "put", "linear-regression", "rt"]);
    om.ok(&["runtime", "model", "rt", "fit", "X", "Y"]);
    om
}

struct Recording {
    method: String,
    target: String,
    headers: Vec<(String, String)>,
    body: String,
    answer: Answer,
}

/// A file of golden/rest: curl's command line, then the whole response.
fn recording(name: &str) -> Recording {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden/rest")
        .join(format!("{name}.txt"));
    let text = std::fs::read_to_string(path).unwrap();
    let (command, response) = text.split_once('\n').unwrap();
    let (options, target) = command.rsplit_once(" http://127.0.0.1:5000").unwrap();
    let method = match options.split_once("-X ") {
        Some((_, rest)) => rest.split(' ').next().unwrap(),
        None => "GET",
    };
    let mut headers = Vec::new();
    for header in ["content-type: application/json", "async: true"] {
        if options.contains(header) {
            let (name, value) = header.split_once(": ").unwrap();
            headers.push((name.to_owned(), value.to_owned()));
        }
    }
    let body = options.split_once("-d ").map_or("", |(_, body)| body);
    Recording {
        method: method.to_owned(),
        target: target.to_owned(),
        headers,
        body: body.to_owned(),
        answer: Answer::parse(response.as_bytes()),
    }
}

impl Recording {
    fn replay(&self, web: &Web) -> Answer {
        let headers: Vec<(&str, &str)> = self
            .headers
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        web.send(&self.method, &self.target, &headers, self.body.as_bytes())
    }
}

/// Times, ids, addresses and what only sklearn's model has, as one word.
fn comparable(text: &str, address: &str) -> String {
    let mut text = text.trim_end().replace(address, "127.0.0.1:5000");
    for (pattern, word) in [
        (
            r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}",
            "ID",
        ),
        (r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?", "TIME"),
        (r#""runtimes": [0-9.e-]+"#, "RUNTIMES"),
        (r#""datasets": \d+"#, "DATASETS"),
        (r"sklearn\.joblib|linfa\.model", "KIND"),
    ] {
        text = regex::Regex::new(pattern)
            .unwrap()
            .replace_all(&text, word)
            .into_owned();
    }
    // Linear regressions differ in the last digits.
    let number = regex::Regex::new(r"-?\d+\.\d{6,}").unwrap();
    let rounded = number.replace_all(&text, |found: &regex::Captures<'_>| {
        let number: f64 = found[0].parse().unwrap();
        format!("{:.1}", number)
    });
    rounded.into_owned()
}

#[track_caller]
fn same(name: &str, web: &Web) -> Answer {
    let recording = recording(name);
    let answer = recording.replay(web);
    let expected = &recording.answer;
    assert_eq!(answer.status, expected.status, "{name}: {}", answer.body);
    assert_eq!(
        answer.header("content-type"),
        expected.header("content-type"),
        "{name}"
    );
    let location = |answer: &Answer| {
        let location = answer.header("location");
        location.map(|text| comparable(text, &web.address))
    };
    assert_eq!(location(&answer), location(expected), "{name}");
    assert_eq!(
        comparable(&answer.body, &web.address),
        comparable(&expected.body, &web.address),
        "{name}"
    );
    answer
}

#[test]
fn recorded_requests_give_the_recorded_answers() {
    let om = recorded();
    let web = Web::start(&om, &["--no-ui"]);
    for name in ASYNCHRONOUS.iter().chain(WAITED_FOR) {
        same(name, &web);
    }
    assert_eq!(web.get("/api/doc").status, 200);
    let swagger = web.get("/swagger.json").value();
    assert_eq!(swagger["swagger"], "2.0");
}

/// Without a broker, nobody runs what is not waited for, which is said.
#[test]
fn a_database_gives_the_same_answers() {
    let om = filled(Om::on(&server::mongo().database()));
    let web = Web::start(&om, &["--no-ui"]);
    for name in WAITED_FOR {
        same(name, &web);
    }
    let refused = recording("model_async").replay(&web);
    assert_eq!(refused.status, 503);
    assert!(refused.body.contains("OMEGA_BROKER"), "{}", refused.body);
}

const ASYNCHRONOUS: &[&str] = &[
    "model_async",
    "task_status",
    "task_result",
    "task_status_nobody",
];

/// In an order in which each finds what it needs.
const WAITED_FOR: &[&str] = &[
    "ping",
    "root",
    "openapi_specs",
    "model_metadata",
    "model_metadata_missing",
    "model_predict_rows",
    "model_predict_lists",
    "model_predict_dict",
    "model_predict_shape",
    "model_predict_dataset",
    "model_fit",
    "model_score",
    "model_predict_bad_value",
    "model_predict_no_json",
    "model_bad_action",
    "model_missing_predict",
    "dataset_get",
    "dataset_get_records",
    "dataset_get_filter",
    "dataset_get_missing",
    "dataset_put",
    "dataset_put_records",
    "dataset_put_append",
    "dataset_put_nodtypes",
    "dataset_get_restds",
    "dataset_delete",
    "dataset_delete_missing",
    "job_list",
    "service_missing",
    "openai_models",
    "openai_chat_missing",
];

#[test]
fn indexes_of_every_type_are_served() {
    let om = Om::here();
    om.ok(&["store", "check"]);
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/rest");
    assert!(directory.join("dataset_get_types.txt").exists());
    let text = "_idx#0_0,c,n,o\na,a,1.5,x\nb,b,,\n";
    om.ok(&["datasets", "put", &om.file("t.csv", text), "t/types"]);
    let web = Web::start(&om, &[]);
    assert_eq!(
        web.get("/api/v1/dataset/t/types?orient=records").body,
        "{\"data\": [{\"c\": \"a\", \"n\": 1.5, \"o\": \"x\"}, {\"c\": \"b\", \"n\": NaN, \"o\": null}], \
         \"index\": {\"values\": [\"a\", \"b\"], \"type\": \"Index\"}}\n"
    );
    let projected = web
        .get("/api/v1/dataset/t/types%5Bc%5D?orient=list")
        .value();
    assert_eq!(projected["data"], json!({"c": ["a", "b"]}));
    assert_eq!(web.get("/api/v1/dataset/t/types?orient=odd").status, 400);
}

#[test]
fn jobs_and_scripts_run() {
    let om = recorded();
    om.ok(&["jobs", "put", &om.file("nb.sh", "echo hello\n"), "nb"]);
    std::fs::create_dir_all(om.path("helloworld/helloworld")).unwrap();
    om.file(
        "helloworld/setup.py",
        "from setuptools import setup\n\
         setup(name='helloworld', version='1.0', packages=['helloworld'])\n",
    );
    om.file(
        "helloworld/helloworld/__init__.py",
        "def run(om, *args, **kwargs):\n    \
             if kwargs.get('fail'): raise ValueError('asked to')\n    \
             return {'hello': 'world', 'args': args, 'kwargs': kwargs, 'datasets': 24}\n",
    );
    let python = server::program("om-venv/bin/python");
    let mut put = om.command(&["scripts", "put", "./helloworld", "helloworld"]);
    let put = put.env("OMEGA_PYTHON", &python).output().unwrap();
    assert!(
        put.status.success(),
        "{}",
        String::from_utf8_lossy(&put.stderr)
    );
    let config = format!("OMEGA_PYTHON: {}\n", python.display());
    om.file("config.yml", config);
    let web = Web::start(&om, &[]);
    let info = web.get("/api/v1/job/nb/");
    assert_eq!(info.status, 200, "{}", info.body);
    assert_eq!(info.value()["job_results"], json!({}));
    let ran = web.send("POST", "/api/v1/job/nb/run", &[], b"");
    assert_eq!(ran.status, 200, "{}", ran.body);
    same("job_get", &web);
    same("job_run", &web);
    same("script_run", &web);
    same("script_async", &web);
    let failed = web.json("POST", "/api/v1/script/helloworld/run?fail=1", &json!({}));
    assert_eq!(failed.status, 400);
    assert!(
        failed.body.contains("RuntimeError(") && failed.body.contains("asked to"),
        "{}",
        failed.body
    );
    assert_eq!(web.get("/api/v1/job/nb").status, 308);
    assert_eq!(web.get("/api/v1/job/nope/").status, 400);
    assert_eq!(web.get("/api/v1/job/nb/run").status, 405);
    let missing = web.json("POST", "/api/v1/script/nope/run", &json!({}));
    assert_eq!(missing.status, 400);
}

#[test]
fn asynchronous_calls_complete() {
    let om = recorded();
    let web = Web::start(&om, &[]);
    let accepted = recording("model_async").replay(&web);
    let location = accepted.header("location").unwrap().to_owned();
    let uri = accepted.value()["resource_uri"].clone();
    let end = Instant::now() + Duration::from_secs(60);
    let result = loop {
        let result = web.json("GET", &location, &json!({"resource_uri": uri}));
        if result.value()["status"] != "PENDING" && result.value()["status"] != "STARTED" {
            break result;
        }
        assert!(Instant::now() < end, "{}", result.body);
        std::thread::sleep(Duration::from_millis(20));
    };
    assert_eq!(result.status, 200, "{}", result.body);
    let response = &result.value()["response"];
    assert_eq!(response["model"], "rt");
    assert_eq!(response["result"].as_array().unwrap().len(), 2);
    let status = web.get(&location.replace("/result", "/status")).value();
    assert_eq!(status["status"], "SUCCESS");
    // Without the resource, omega|ml does not tell the result.
    assert_eq!(web.get(&location).status, 400);
}

#[test]
fn services_answer_with_the_bare_result() {
    let om = recorded();
    let web = Web::start(&om, &[]);
    let answer = web.json("POST", "/api/service/rt/", &json!([{"x": 1}, {"x": 2}]));
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert_eq!(answer.value().as_array().unwrap().len(), 2);
    let denied = Web::start(&om, &["model/rt/predict"]);
    let answer = denied.json("POST", "/api/service/rt/", &json!([{"x": 1}]));
    assert_eq!(
        answer.value()["message"],
        "service/rt/predict/ is not available"
    );
    let allowed = recording("model_predict_rows").replay(&denied);
    assert_eq!(allowed.status, 200, "{}", allowed.body);
    assert_eq!(denied.get("/api/v1/model/rt/").status, 400);
}

/// What omega|ml's own server says of the same calls is in src/server/signature.rs.
#[test]
fn services_keep_to_their_signatures() {
    let om = recorded();
    let script = "#!/bin/sh\ncase \"$1\" in *100*) echo '{\"y\": \"bad\"}';; *) echo '{\"y\": 2.0}';; esac\n";
    let file = om.file("double.sh", script);
    std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    om.ok(&["scripts", "put", &file, "double"]);
    let schema = |field: &str| {
        json!({"datatype": "m.S", "many": false, "schema": {
            "type": "object", "properties": {field: {"type": "number"}}, "additionalProperties": false,
        }})
    };
    let signature = json!({
        "X": schema("x"), "Y": null, "result": schema("y"), "errors": {}, "actions": {"run": ["post"]},
    });
    om.ok(&[
        "scripts",
        "metadata",
        "double",
        "--set",
        &format!("signature={signature}"),
    ]);
    let web = Web::start(&om, &[]);
    let ask = |body: Value| web.json("POST", "/api/service/double/", &body);
    let answer = ask(json!({"x": 1.0}));
    assert_eq!(
        (answer.status, answer.value()),
        (200, json!({"y": 2.0})),
        "{}",
        answer.body
    );
    for (body, wrong) in [
        (
            json!({"y": 1}),
            "ValidationError({'y': ['Unknown field.']})",
        ),
        (
            json!({"x": "a"}),
            "ValidationError({'x': ['Not a valid number.']})",
        ),
        (
            json!({"x": 100}),
            "ValidationError({'y': ['Not a valid number.']})",
        ),
    ] {
        let answer = ask(body);
        assert_eq!(answer.status, 400, "{}", answer.body);
        let message = answer.value()["message"].as_str().unwrap().to_owned();
        assert!(message.starts_with(wrong), "{message}");
    }
    let described = web.get("/api/service/double/doc").value();
    let operation = &described["paths"]["/api/service/double"]["post"];
    assert_eq!(operation["operationId"], "double#run#post", "{described}");
    let answer = web.get("/api/service/rt/doc");
    assert_eq!(answer.status, 400);
    let message = answer.value()["message"].as_str().unwrap().to_owned();
    assert!(
        message.starts_with("ValueError('Missing signature specification for object models/rt')"),
        "{message}"
    );
    let answer = web.json("POST", "/api/service/rt/score", &json!([{"x": 1}]));
    let message = answer.value()["message"].as_str().unwrap().to_owned();
    assert!(
        message.contains("'GenericServiceResource' object has no attribute 'score'"),
        "{message}"
    );
}

#[test]
fn rows_are_had_in_every_format() {
    let om = recorded();
    let web = Web::start(&om, &[]);
    let rows = |format: &str| {
        let answer = web.get(&format!(
            "/api/v1/store/datasets/X/rows?where=x%3E17&format={format}"
        ));
        assert_eq!(answer.status, 200, "{format}: {}", answer.body);
        answer.body
    };
    assert_eq!(rows("csv"), "x\n18.0\n19.0\n");
    assert_eq!(rows("tsv"), "x\n18.0\n19.0\n");
    assert_eq!(rows("ndjson"), "{\"x\":18.0}\n{\"x\":19.0}\n");
    assert_eq!(
        serde_json::from_str::<Value>(&rows("json")).unwrap(),
        json!([{"x": 18.0}, {"x": 19.0}])
    );
    for (format, magic) in [("parquet", "PAR1"), ("arrow", "ARROW1")] {
        let body = rows(format);
        // At both ends of the file; the rest is no text.
        assert!(body.matches(magic).count() >= 2, "{format}: {body}");
    }
}

/// What schemathesis makes of the description: nothing that it calls fails, and all answers
/// are what the description says.
#[test]
fn generated_calls_find_no_fault() {
    let schemathesis = server::program("schemathesis-venv/bin/schemathesis");
    let om = recorded();
    let web = Web::start(&om, &[]);
    let url = format!("http://{}/swagger.json", web.address);
    let run = std::process::Command::new(schemathesis)
        .args([
            "run",
            &url,
            "--seed",
            "7",
            "--max-examples",
            "6",
            "--no-color",
        ])
        .args(["--phases", "examples,coverage,fuzzing"])
        .args([
            "--checks",
            "not_a_server_error,response_schema_conformance,content_type_conformance",
        ])
        .args(["--suppress-health-check", "all", "--warnings", "off"])
        // Writes that nobody ends are refused when there are too many of them.
        .args(["--exclude-path-regex", "upload$"])
        .current_dir(om.path(""))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&run.stdout);
    assert!(
        run.status.success(),
        "{said}{}",
        String::from_utf8_lossy(&run.stderr)
    );
    assert_eq!(web.get("/healthz").status, 200);
}

/// Larger tables are written while they are sent, in every layout.
#[test]
fn large_tables_are_answered_whole() {
    let om = recorded();
    let rows: String = (0..20_000).map(|row| format!("{row},é{row}\n")).collect();
    let file = om.file("large.csv", format!("x,y\n{rows}"));
    om.ok(&["datasets", "put", &file, "large"]);
    let web = Web::start(&om, &[]);
    for (orient, last) in [
        ("dict", "/data/y/19999"),
        ("list", "/data/y/19999"),
        ("records", "/data/19999/y"),
        ("index", "/data/19999/y"),
        ("split", "/data/data/19999/1"),
    ] {
        let answer = web.get(&format!("/api/v1/dataset/large?orient={orient}"));
        assert_eq!(answer.status, 200);
        let answer: Value = serde_json::from_str(&answer.body).unwrap();
        assert_eq!(answer.pointer(last), Some(&json!("é19999")), "{orient}");
        assert_eq!(answer.pointer("/index/values/19999"), Some(&json!(19999)));
    }
}

#[test]
fn models_are_opened_ahead() {
    let om = recorded();
    let web = Web::start(&om, &["--warm", "r*"]);
    assert_eq!(recording("model_predict_rows").replay(&web).status, 200);
    om.fails(
        &["server", "--port", "0", "--warm", "none"],
        3,
        "models/none does not exist",
    );
}

#[test]
fn a_new_version_of_a_model_is_used_at_once() {
    let om = recorded();
    let web = Web::start(&om, &[]);
    let predict = || {
        let answer = recording("model_predict_rows").replay(&web);
        answer.value()["result"][0].as_f64().unwrap()
    };
    assert!((predict() - 4.0).abs() < 1e-6);
    om.ok(&["runtime", "model", "rt", "fit", "X", "X"]);
    assert!((predict() - 1.0).abs() < 1e-6);
    om.ok(&["models", "drop", "rt", "--yes"]);
    assert_eq!(recording("model_predict_rows").replay(&web).status, 400);
}

fn bearer(key: &str) -> String {
    format!("Bearer {key}")
}

#[test]
fn nobody_gets_at_what_was_not_granted() {
    let om = recorded();
    om.fails(&["server", "--ip", "0.0.0.0", "--port", "0"], 2, "no users");
    om.ok(&[
        "server",
        "users",
        "add",
        "eva",
        "--grant",
        "run:omegaml/models",
        "--grant",
        "read:omegaml/datasets",
    ]);
    om.ok(&["server", "users", "add", "root", "--grant", "admin"]);
    om.fails(
        &["server", "users", "add", "x", "--grant", "fly"],
        2,
        "no role",
    );
    om.fails(&["server", "keys", "create", "adam"], 3, "no user");
    let key = |user: &str| {
        om.ok(&["server", "keys", "create", user, "-q"])
            .trim()
            .to_owned()
    };
    let (eva, root) = (key("eva"), key("root"));
    let web = Web::start(&om, &[]);
    let with = |method: &str, target: &str, header: &str, body: &Value| {
        let headers = [
            ("Authorization", header),
            ("Content-Type", "application/json"),
        ];
        web.send(method, target, &headers, body.to_string().as_bytes())
    };
    let inline = json!({"columns": ["x"], "data": [{"x": 1}]});
    let model = "/api/v1/model/rt/predict";
    assert_eq!(web.get("/healthz").status, 200);
    let nobody = web.get("/api/v1/dataset/X");
    assert_eq!(nobody.status, 401);
    assert!(nobody.header("www-authenticate").is_some());
    for good in [bearer(&eva), format!("ApiKey eva:{eva}")] {
        assert_eq!(with("PUT", model, &good, &inline).status, 200);
        assert_eq!(with("GET", "/metrics", &good, &json!({})).status, 200);
    }
    assert_eq!(web.get("/metrics").status, 401);
    let put = json!({"data": {"a": [1]}});
    for (method, target, header, status) in [
        ("GET", "/api/v1/dataset/X", bearer(&eva), 200),
        ("PUT", "/api/v1/dataset/new", bearer(&eva), 403),
        ("DELETE", "/api/v1/dataset/X", bearer(&eva), 403),
        (
            "PUT",
            "/api/v1/model/rt/fit?datax=X&datay=Y",
            bearer(&eva),
            403,
        ),
        ("GET", "/api/v1/job/nb/", bearer(&eva), 403),
        ("PUT", "/api/v1/dataset/new", bearer(&root), 200),
        (
            "GET",
            "/api/v1/dataset/X",
            format!("ApiKey root:{eva}"),
            401,
        ),
        (
            "GET",
            "/api/v1/dataset/X",
            format!("ApiKey eva:{root}"),
            401,
        ),
        ("GET", "/api/v1/dataset/X", bearer("om_0_0"), 401),
        ("GET", "/api/v1/dataset/X", bearer("a.b.c"), 401),
        ("GET", "/api/v1/dataset/X", "Basic ZXZhOng=".to_owned(), 401),
        ("GET", "/api/v1/dataset/X", eva.clone(), 401),
    ] {
        let none = json!({});
        let body = if target.contains("/fit") { &none } else { &put };
        let answer = with(method, target, &header, body);
        assert_eq!(answer.status, status, "{method} {target}: {}", answer.body);
        assert!(!answer.body.contains(&eva) && !answer.body.contains(&root));
    }
    // Another bucket is another place.
    let headers = [
        ("Authorization", bearer(&eva)),
        ("Bucket", "lab".to_owned()),
    ];
    let headers: Vec<(&str, &str)> = headers.iter().map(|(n, v)| (*n, v.as_str())).collect();
    assert_eq!(
        web.send("GET", "/api/v1/dataset/X", &headers, b"").status,
        403
    );
    let id = &om.json(&["server", "keys", "list"])[0]["id"];
    om.ok(&["server", "keys", "revoke", id.as_str().unwrap()]);
    assert_eq!(
        with("GET", "/api/v1/dataset/X", &bearer(&root), &put).status,
        401
    );
    assert_eq!(
        with("GET", "/api/v1/dataset/X", &bearer(&eva), &json!({})).status,
        200
    );
    // Whoever guesses is stopped.
    let guess = || with("GET", "/api/v1/dataset/X", &bearer("om_0_1"), &json!({}));
    (0..20).for_each(|_| drop(guess()));
    let last = guess();
    assert_eq!(last.status, 429);
    assert!(last.header("retry-after").is_some());
}

#[test]
fn pages_of_other_sites_do_nothing() {
    let om = recorded();
    let web = Web::start(&om, &[]);
    let status = |method: &str, headers: &[(&str, &str)]| {
        web.send(method, "/api/v1/dataset/X", headers, b"").status
    };
    let own = format!("http://{}", web.address);
    assert_eq!(status("DELETE", &[("Origin", "http://evil.example")]), 403);
    assert_eq!(status("DELETE", &[("Origin", "null")]), 403);
    // Even GET runs models: a picture's address on another page must not.
    assert_eq!(status("GET", &[("Origin", "http://evil.example")]), 403);
    assert_eq!(status("GET", &[("Sec-Fetch-Site", "cross-site")]), 403);
    assert_eq!(status("GET", &[("Sec-Fetch-Site", "same-site")]), 403);
    assert_eq!(status("GET", &[("Sec-Fetch-Site", "same-origin")]), 200);
    let link = web.send("GET", "/datasets", &[("Sec-Fetch-Site", "cross-site")], b"");
    assert_eq!(link.status, 200, "links lead to pages from everywhere");
    let answer = web
        .raw("GET /api/v1/dataset/X HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n");
    assert_eq!(answer.status, 403);
    assert_eq!(status("DELETE", &[("Origin", &own)]), 200);
}

#[test]
fn tokens_are_taken_while_they_last() {
    use jsonwebtoken::{EncodingKey, Header, encode};
    let om = recorded();
    let secret = "a secret of more than thirty-two characters";
    om.ok(&["server", "users", "add", "eva"]);
    let web = Web::start(&om, &["--token-key", &om.file("token.key", secret)]);
    let now = chrono::Utc::now().timestamp();
    let status = |claims: Value, secret: &str| {
        let key = EncodingKey::from_secret(secret.as_bytes());
        let token = bearer(&encode(&Header::default(), &claims, &key).unwrap());
        web.send(
            "GET",
            "/api/v1/dataset/X",
            &[("Authorization", &token)],
            b"",
        )
        .status
    };
    assert_eq!(status(json!({"sub": "eva", "exp": now + 60}), secret), 200);
    assert_eq!(status(json!({"sub": "eva", "exp": now - 600}), secret), 401);
    assert_eq!(status(json!({"sub": "eva"}), secret), 401);
    assert_eq!(status(json!({"sub": "adam", "exp": now + 60}), secret), 401);
    assert_eq!(
        status(
            json!({"sub": "eva", "exp": now + 60}),
            &secret.to_uppercase()
        ),
        401
    );
    let none = "Bearer eyJhbGciOiJub25lIn0.eyJzdWIiOiJldmEifQ.";
    let answer = web.send("GET", "/api/v1/dataset/X", &[("Authorization", none)], b"");
    assert_eq!(answer.status, 401);
}

#[test]
fn no_client_keeps_it_from_others() {
    let om = recorded();
    let web = Web::start(&om, &["--max-body", "1"]);
    // Heads and bodies that never end.
    let slow: Vec<_> = (0..300)
        .map(|at| {
            let mut stream = web.connect();
            let head = match at % 2 {
                0 => "GET /api/v1/ping HTTP/1.1\r\nHost: x\r\nX-Slow: ",
                _ => "PUT /api/v1/dataset/x HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n{",
            };
            stream.write_all(head.as_bytes()).unwrap();
            stream
        })
        .collect();
    assert_eq!(web.get("/api/v1/ping").status, 200);
    let large = vec![b' '; 2 << 20];
    let answer = web.send(
        "PUT",
        "/api/v1/dataset/x",
        &[("Content-Type", "application/json")],
        &large[..1 << 10],
    );
    assert_ne!(answer.status, 413);
    let mut stream = web.connect();
    let head = format!(
        "PUT /api/v1/dataset/x HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
        large.len()
    );
    stream.write_all(head.as_bytes()).unwrap();
    let _ = stream.write_all(&large);
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    if !answer.is_empty() {
        assert_eq!(Answer::parse(&answer).status, 413);
    }
    for target in [
        "/api/v1/dataset/../../../../etc/passwd",
        "/api/v1/dataset/%2e%2e%2f%2e%2e%2fetc%2fpasswd",
        "/api/v1/dataset/a%00b",
        "/api/v1/model/%0d%0aSet-Cookie:%20x=1",
        "/api/service/%0d%0aSet-Cookie:%20x=1",
        "/%ff",
        "/api/v1/dataset/X?x__regex=(",
        "/api/v1/dataset/X?x__gte=abc",
        "/api/v1/dataset/X?nope=1",
        "/api/v1/dataset/X?%24where=1",
    ] {
        let answer = web.get(target);
        assert!(
            (300..500).contains(&answer.status),
            "{target}: {} {}",
            answer.status,
            answer.body
        );
        assert_eq!(answer.header("set-cookie"), None, "{target}");
    }
    drop(slow);
    assert_eq!(web.get("/readyz").status, 200);
    let metrics = web.get("/metrics").body;
    assert!(
        metrics.contains("om_http_requests_total{resource=\"dataset\""),
        "{metrics}"
    );
    assert_eq!(web.stop(), 0);
}

/// A certificate for `localhost`, valid for `days`; the file and that of its key.
fn certificate(om: &Om, days: &str) {
    let made = std::process::Command::new("openssl")
        .args("req -x509 -newkey rsa:2048 -nodes -keyout key.pem -out cert.pem -subj /CN=localhost -days".split(' '))
        .arg(days)
        .current_dir(om.path(""))
        .output()
        .expect("openssl is missing: apt-get install -y openssl");
    assert!(made.status.success());
}

/// When the certificate ends that the server shows.
fn shown(web: &Web) -> String {
    let script = format!(
        "echo | openssl s_client -connect {} 2>/dev/null | openssl x509 -noout -enddate",
        web.address
    );
    let said = std::process::Command::new("sh")
        .args(["-c", &script])
        .output()
        .unwrap();
    String::from_utf8_lossy(&said.stdout).into_owned()
}

#[test]
fn a_new_certificate_is_shown_without_a_restart() {
    let om = Om::here();
    certificate(&om, "5");
    let files = ["--tls-cert", "cert.pem", "--tls-key", "key.pem"];
    om.fails(
        &[
            "server",
            "--port",
            "0",
            "--tls-cert",
            "key.pem",
            "--tls-key",
            "key.pem",
        ],
        1,
        "certificate",
    );
    let web = Web::start(&om, &files);
    let first = shown(&web);
    assert!(first.starts_with("notAfter="), "{first}");
    // Half of a certificate changes nothing.
    om.file("cert.pem", "-----BEGIN CERTIFICATE-----\n");
    std::thread::sleep(Duration::from_millis(1200));
    assert_eq!(shown(&web), first);
    certificate(&om, "50");
    std::thread::sleep(Duration::from_millis(1200));
    let second = shown(&web);
    assert!(
        second.starts_with("notAfter=") && second != first,
        "{second}"
    );
}

#[test]
fn what_runs_is_finished_when_it_is_stopped() {
    let om = Om::here();
    om.ok(&[
        "jobs",
        "put",
        &om.file("slow.sh", "sleep 2\necho done\n"),
        "slow",
    ]);
    let web = Web::start(&om, &[]);
    let mut idle = web.connect();
    let mut running = web.connect();
    let head = format!(
        "POST /api/v1/job/slow/run HTTP/1.1\r\nHost: {}\r\nContent-Length: 0\r\n\r\n",
        web.address
    );
    running.write_all(head.as_bytes()).unwrap();
    std::thread::sleep(Duration::from_millis(700));
    web.terminate();
    let mut answer = Vec::new();
    running.read_to_end(&mut answer).unwrap();
    let answer = Answer::parse(&answer);
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert_eq!(answer.value()["job_runs"][0]["status"], "OK");
    // Connections that do nothing are ended, and no new one is taken.
    assert_eq!(idle.read(&mut [0]).unwrap_or(0), 0);
    assert_eq!(web.wait(), 0);
}

#[test]
fn a_role_is_enough_for_what_it_says_and_for_nothing_else() {
    let om = recorded();
    om.ok(&["jobs", "put", &om.file("nb.sh", "echo hello\n"), "nb"]);
    let key = |user: &str, grants: &[&str]| {
        let mut args = vec!["server", "users", "add", user];
        grants
            .iter()
            .for_each(|grant| args.extend(["--grant", grant]));
        om.ok(&args);
        bearer(om.ok(&["server", "keys", "create", user, "-q"]).trim())
    };
    let asks = key("asks", &["run:omegaml/models"]);
    let starts = key("starts", &["run:omegaml/jobs"]);
    let reads = key("reads", &["read"]);
    let web = Web::start(&om, &[]);
    let send = |method: &str, target: &str, who: &str, body: &Value| {
        let headers = [("Authorization", who), ("Content-Type", "application/json")];
        web.send(method, target, &headers, body.to_string().as_bytes())
    };
    let inline = json!({"columns": ["x"], "data": [{"x": 1}]});
    let none = json!({});
    for (method, target, who, body, status) in [
        ("PUT", "/api/v1/model/rt/predict", &asks, &inline, 200),
        ("PUT", "/api/v1/model/rt/predict?datax=X", &asks, &none, 403),
        ("PUT", "/api/v1/model/rt/predict?datax=*", &asks, &none, 403),
        ("POST", "/api/service/rt/", &asks, &json!([{"x": 1}]), 200),
        ("POST", "/api/v1/job/nb/run", &asks, &none, 403),
        ("POST", "/api/v1/job/nb/run", &starts, &none, 200),
        ("PUT", "/api/v1/model/rt/predict", &starts, &inline, 403),
        ("PUT", "/api/v1/model/rt/predict", &reads, &inline, 403),
        ("POST", "/api/v1/job/nb/run", &reads, &none, 403),
        ("GET", "/api/v1/job/nb/", &reads, &none, 200),
    ] {
        let answer = send(method, target, who, body);
        assert_eq!(answer.status, status, "{method} {target}: {}", answer.body);
    }
    // What became of a task is told to those only who could have run it.
    let headers = [
        ("Authorization", asks.as_str()),
        ("Content-Type", "application/json"),
        ("async", "true"),
    ];
    let body = inline.to_string();
    let accepted = web.send("PUT", "/api/v1/model/rt/predict", &headers, body.as_bytes());
    assert_eq!(accepted.status, 202, "{}", accepted.body);
    let result = accepted.header("location").unwrap().to_owned();
    let uri = json!({"resource_uri": "/api/v1/model/rt/predict"});
    let end = Instant::now() + Duration::from_secs(60);
    while send("GET", &result, &asks, &uri).value()["status"] != "SUCCESS" {
        assert!(Instant::now() < end);
        std::thread::sleep(Duration::from_millis(20));
    }
    for who in [&starts, &reads] {
        let hidden = send("GET", &result, who, &uri).value();
        assert_eq!(hidden["status"], "PENDING");
        assert_eq!(hidden["response"]["result"], Value::Null);
    }
}
