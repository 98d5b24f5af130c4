//! Servers in front of a cluster: om's, whose clients have tasks run by workers of both, and
//! Python omega|ml's own, which om can ask for what its API has.

use crate::home::Run;
use crate::stack::{Stack, stack, until};
use serde_json::Value;
use std::net::{TcpListener, TcpStream};

/// A port that nobody listens at.
fn port() -> u16 {
    let probe = TcpListener::bind("127.0.0.1:0").unwrap();
    probe.local_addr().unwrap().port()
}

/// Runs om as a client of the server at `port`.
fn remote(stack: &Stack, port: u16, args: &[&str]) -> Run {
    let url = format!("http://127.0.0.1:{port}");
    let env = [
        ("OMEGA_RESTAPI_URL", url.as_str()),
        ("OMEGA_USERID", "eva"),
        ("OMEGA_APIKEY", "none"),
        // What the other settings name is not to be used.
        ("OMEGA_MONGO_URL", ""),
    ];
    stack.om_with(args, &env)
}

#[test]
fn clients_of_a_server_use_workers_of_both() {
    let stack = stack();
    stack.trained("linear-regression", "served-line");
    let port = port();
    stack.keep_om(
        "served",
        &["server", "--port", &port.to_string()],
        &[("OMEGA_WORKER_LABEL", "both")],
    );
    until(|| TcpStream::connect(("127.0.0.1", port)).ok());
    let ok = |args: &[&str]| {
        let run = remote(stack, port, args);
        assert_eq!(
            run.code,
            0,
            "{args:?}: {}\n{}",
            run.stderr,
            stack.log("served")
        );
        run.stdout
    };
    let fit = ["runtime", "model", "py-ridge", "fit", "line[x]", "line[y]"];
    for label in ["py", "both"] {
        assert!(ok(&[&fit[..], &["--require", label]].concat()).contains("py-ridge"));
    }
    let told = ok(&[
        "runtime",
        "model",
        "served-line",
        "predict",
        "[[20]]",
        "-o",
        "json",
    ]);
    let told: Value = serde_json::from_str(&told).unwrap();
    assert!(
        (told[0]["y"].as_f64().unwrap() - 40.0).abs() < 1e-6,
        "{told}"
    );
    let id = ok(&[&fit[..], &["--require", "py", "--async"]].concat());
    assert!(ok(&["runtime", "result", id.trim()]).contains("py-ridge"));
    assert!(ok(&["runtime", "tasks", "-o", "json"]).contains(id.trim()));
    // Tables of Python's are those of everybody.
    let rows = ok(&[
        "datasets", "query", "line", "--where", "x > 11", "-o", "json",
    ]);
    assert_eq!(
        serde_json::from_str::<Value>(&rows)
            .unwrap()
            .as_array()
            .unwrap()
            .len(),
        1
    );
    let run = remote(
        stack,
        port,
        &["runtime", "model", "nope", "predict", "[[1]]"],
    );
    assert_eq!(run.code, 3, "{}", run.stderr);
}

#[test]
fn om_asks_pythons_own_server() {
    let stack = stack();
    stack.python("get(on('py').model('py-line').fit('line[x]', 'line[y]'))\nNone");
    let port = port();
    let env = [
        ("OMEGA_WEB_PORT", port.to_string()),
        ("OMEGA_WORKER_LABEL", "py".to_owned()),
    ];
    let env: Vec<(&str, &str)> = env
        .iter()
        .map(|(name, value)| (*name, value.as_str()))
        .collect();
    stack.keep_python("rest", &["-m", "omegaml.server.restapi"], &env);
    until(|| TcpStream::connect(("127.0.0.1", port)).ok());
    let ok = |args: &[&str]| {
        let run = remote(stack, port, &[args, &["-o", "json"]].concat());
        assert_eq!(
            run.code,
            0,
            "{args:?}: {}\n{}",
            run.stderr,
            stack.log("rest")
        );
        serde_json::from_str::<Value>(&run.stdout).unwrap()
    };
    let predicted = ok(&["runtime", "model", "py-line", "predict", "line[x]"]);
    assert_eq!(predicted.as_array().unwrap().len(), 12, "{predicted}");
    let score = ok(&["runtime", "model", "py-line", "score", "line[x]", "line[y]"]);
    assert!(score.as_f64().unwrap() > 0.999, "{score}");
    // Tables come, go and are dropped as JSON.
    let rows = ok(&[
        "datasets",
        "query",
        "line",
        "--where",
        "x >= 11",
        "--columns",
        "x,y",
    ]);
    assert_eq!(
        rows,
        serde_json::json!([{"x": 11.0, "y": 22.0}, {"x": 12.0, "y": 24.0}])
    );
    let file = stack.path("sent.csv");
    std::fs::write(&file, "n,f,t\n1,0.5,a\n2,,b\n").unwrap();
    let file = file.display().to_string();
    for (flag, count) in [("--replace", 2), ("--append", 4)] {
        let put = remote(stack, port, &["datasets", "put", &file, "sent-table", flag]);
        assert_eq!(put.code, 0, "{}", put.stderr);
        let known = stack.python(
            "[len(om.datasets.get('sent-table')), str(om.datasets.get('sent-table')['f'].dtype)]",
        );
        assert_eq!(known, serde_json::json!([count, "float64"]), "{flag}");
    }
    // Its JSON has the columns in the order of their names.
    let got = remote(stack, port, &["datasets", "get", "sent-table", "-"]);
    assert_eq!(
        got.stdout, "f,n,t\n0.5,1,a\n,2,b\n0.5,1,a\n,2,b\n",
        "{}",
        got.stderr
    );
    let dropped = remote(stack, port, &["-q", "datasets", "drop", "sent-table"]);
    assert_eq!(dropped.code, 0, "{}", dropped.stderr);
    assert_eq!(
        stack.python("om.datasets.exists('sent-table')"),
        serde_json::json!(false)
    );
    let gone = remote(stack, port, &["datasets", "get", "sent-table", "-"]);
    assert_eq!(gone.code, 3, "{}", gone.stderr);
    // What its API has not is said, and is no riddle.
    for (args, what) in [
        (vec!["datasets", "list"], "Python omega|ml's server"),
        (
            vec![
                "runtime", "model", "py-line", "predict", "line[x]", "--result", "r",
            ],
            "stored results",
        ),
        (vec!["runtime", "tasks"], "no server of om's"),
    ] {
        let run = remote(stack, port, &args);
        assert!(
            run.code == 1 || run.code == 2,
            "{args:?}: {} {}",
            run.code,
            run.stderr
        );
        assert!(run.stderr.contains(what), "{args:?}: {}", run.stderr);
    }
}
