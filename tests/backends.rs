//! Backends: the example, ones that misbehave, and Python's with real scikit-learn; by the
//! real binary.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "home/mod.rs"]
mod home;
mod server;

use home::{Home, Run, Runs};
use serde_json::{Value, json};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

struct Machine(Home);

impl Runs for Machine {
    /// Backends of this machine come first on the search path.
    fn command(&self, args: &[&str]) -> Command {
        let mut command = self.0.om(&[&["--timeout", "100s"], args].concat());
        let python = server::program("om-venv/bin/python");
        let venv = python.parent().unwrap();
        let path = std::env::var("PATH").unwrap();
        let path = format!("{}:{}:{path}", self.0.path("bin").display(), venv.display());
        command.env("PATH", path).env("OMEGA_PYTHON", &python);
        command
    }
}

/// The same with another Python.
struct With<'a>(&'a Machine, &'a Path);

impl Runs for With<'_> {
    fn command(&self, args: &[&str]) -> Command {
        let mut command = self.0.command(args);
        command.env("OMEGA_PYTHON", self.1);
        command
    }
}

impl Machine {
    fn new() -> Self {
        let machine = Machine(Home::new());
        machine.0.write(
            "work/line.csv",
            "x,z,y\n1,0,2\n2,1,4\n3,0,6\n4,1,8\n5,0,10\n6,1,12\n",
        );
        machine.ok(&["datasets", "put", "line.csv", "line"]);
        machine
    }

    #[track_caller]
    fn fails(&self, args: &[&str], what: &str) {
        let run = self.run(args);
        assert!(
            run.code != 0 && run.stderr.contains(what),
            "om {args:?}: {} {}",
            run.code,
            run.stderr
        );
    }

    fn install(&self, name: &str, source: &str) {
        let path = self.0.write(&format!("bin/{name}"), source);
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
    }
}

/// The start of a backend in Python of the kind `test.bad`, which then does something else.
fn bad(action: &str) -> String {
    format!(
        "#!/usr/bin/env python3\n\
         import json, os, struct, sys, time\n\
         def read(count):\n    data = sys.stdin.buffer.read(count)\n    if len(data) < count: sys.exit()\n    return data\n\
         def reply(header, *parts):\n    text = json.dumps({{**header, 'parts': [len(p) for p in parts]}}).encode()\n    \
         sys.stdout.buffer.write(struct.pack('>I', len(text)) + text + b''.join(parts)); sys.stdout.buffer.flush()\n\
         while True:\n    header = json.loads(read(struct.unpack('>I', read(4))[0]))\n    parts = [read(n) for n in header.get('parts', [])]\n    \
         if header['call'] == 'hello': reply({{'protocol': 1, 'name': 'bad', 'kinds': [{{'kind': 'test.bad', 'actions': ['predict']}}]}})\n    \
         elif header['call'] == 'make': reply({{'model': 0, 'kind': 'test.bad', 'kind_meta': {{}}}}, b'm')\n    \
         else:\n        {action}\n"
    )
}

#[test]
fn the_example_runs_a_kind_of_its_own() {
    let machine = Machine::new();
    let source = include_str!("../examples/om-backend-mean");
    assert!(source.lines().count() < 60);
    machine.install("om-backend-mean", source);
    let listed = machine.json(&["backends"]);
    let kinds: Vec<&str> = listed
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| entry["kind"].as_str().unwrap())
        .collect();
    assert_eq!(
        kinds,
        [
            "example.mean",
            "keras.h5",
            "mlflow.model",
            "python.model",
            "sklearn.joblib",
            "tfkeras.h5"
        ]
    );
    machine.ok(&["models", "put", "--kind", "example.mean", "-", "mean"]);
    let fit = machine.run(&["runtime", "model", "mean", "fit", "line[x,z]", "line[y]"]);
    assert_eq!(fit.code, 0, "{}", fit.stderr);
    assert!(
        fit.stderr.contains("the mean of 6 values"),
        "{}",
        fit.stderr
    );
    let predicted = machine.json(&["runtime", "model", "mean", "predict", "[[1], [2]]"]);
    assert_eq!(predicted, json!([{"mean": 7.0}, {"mean": 7.0}]));
    machine.fails(
        &["runtime", "model", "mean", "score", "*", "*"],
        "NotImplementedError: no score",
    );
    assert_eq!(
        machine.json(&["models", "metadata", "mean"])["kind"],
        "example.mean"
    );
}

#[test]
fn backends_that_misbehave_are_told() {
    let machine = Machine::new();
    for (action, what) in [
        ("os._exit(7)", "the backend died (exit status: 7)"),
        (
            "print('oh no', file=sys.stderr, flush=True); os.kill(os.getpid(), 9)",
            "oh no",
        ),
        (
            "print('hello'); sys.stdout.flush(); time.sleep(60)",
            "does not keep to its protocol",
        ),
        ("reply({'table': 0}, b'no arrow')", "Arrow"),
        ("reply({})", "neither a table"),
        (
            "sys.stdout.buffer.write(b'\\x00\\x00\\x00\\x02{}'); sys.stdout.buffer.flush()",
            "neither a table",
        ),
        (
            "sys.stdout.buffer.write(struct.pack('>I', 40) + b'{\"parts\": [99999999999999999], \"table\": 0}   '); sys.stdout.buffer.flush()",
            "protocol",
        ),
        (
            "reply({'error': {'type': 'ValueError', 'message': 'no such thing', 'hint': 'try another'}})",
            "ValueError: no such thing",
        ),
    ] {
        machine.install("om-backend-bad", &bad(action));
        machine.ok(&[
            "models",
            "put",
            "--kind",
            "test.bad",
            "-",
            "bad",
            "--replace",
        ]);
        machine.fails(&["runtime", "model", "bad", "predict", "line[x]"], what);
    }
    // One that is no backend at all is left out.
    machine.install("om-backend-bad", "#!/bin/sh\necho I am something else\n");
    let run = machine.run(&["backends"]);
    assert!(
        run.code == 0 && run.stderr.contains("is no backend"),
        "{}",
        run.stderr
    );
    machine.fails(
        &["runtime", "model", "bad", "predict", "line[x]"],
        "no backend runs models of the kind test.bad",
    );
}

#[test]
fn a_backend_that_never_ends_is_ended() {
    let machine = Machine::new();
    machine.install("om-backend-bad", &bad("time.sleep(1000)"));
    machine.ok(&["models", "put", "--kind", "test.bad", "-", "bad"]);
    let began = Instant::now();
    let run = Run::of(
        machine
            .0
            .om(&[
                "--timeout",
                "3s",
                "runtime",
                "model",
                "bad",
                "predict",
                "line[x]",
            ])
            .env(
                "PATH",
                format!(
                    "{}:{}",
                    machine.0.path("bin").display(),
                    std::env::var("PATH").unwrap()
                ),
            )
            .output()
            .unwrap(),
    );
    assert_eq!(run.code, 124, "{}", run.stderr);
    assert!(began.elapsed() < Duration::from_secs(60));
    // The settings have a limit for each call.
    let mut command = machine.command(&["runtime", "model", "bad", "predict", "line[x]"]);
    let run = Run::of(command.env("OMEGA_BACKEND_TIME", "2").output().unwrap());
    assert_eq!(run.code, 124, "{}", run.stderr);
    // What takes too much memory fails.
    machine.install(
        "om-backend-bad",
        &bad("x = bytearray(1 << 30); reply({'value': len(x)})"),
    );
    let mut command = machine.command(&["runtime", "model", "bad", "predict", "line[x]"]);
    let run = Run::of(
        command
            .env("OMEGA_BACKEND_MEMORY", "300000000")
            .output()
            .unwrap(),
    );
    assert!(
        run.code == 1 && run.stderr.contains("MemoryError"),
        "{} {}",
        run.code,
        run.stderr
    );
}

#[test]
fn models_of_scikit_learn() {
    let machine = Machine::new();
    machine.ok(&[
        "models",
        "put",
        "sklearn.linear_model.LinearRegression",
        "reg",
    ]);
    machine.ok(&["runtime", "model", "reg", "fit", "line[x,z]", "line[y]"]);
    let score: f64 = machine
        .ok(&["runtime", "model", "reg", "score", "*", "*"])
        .trim()
        .parse()
        .unwrap();
    assert!((score - 1.0).abs() < 1e-9, "{score}");
    let predicted = machine.json(&["runtime", "model", "reg", "predict", "[[10, 0]]"]);
    assert!(
        (predicted[0]["0"].as_f64().unwrap() - 20.0).abs() < 1e-6,
        "{predicted}"
    );
    machine.ok(&[
        "runtime",
        "model",
        "reg",
        "predict",
        "*",
        "--result",
        "predicted",
    ]);
    assert_eq!(
        machine
            .json(&["datasets", "get", "predicted", "-", "--format", "json"])
            .as_array()
            .unwrap()
            .len(),
        6
    );
    // Every state is a version; earlier ones are still there.
    let versions = &machine.json(&["models", "metadata", "reg"])["attributes"]["versions"];
    assert_eq!(versions["commits"].as_array().unwrap().len(), 2);
    machine.fails(
        &["runtime", "model", "reg^", "predict", "[[10, 0]]"],
        "NotFittedError",
    );
    // A file that Python has written.
    let python = server::program("om-venv/bin/python");
    let made = Command::new(&python)
        .args(["-c", "import joblib, sys; from sklearn.preprocessing import StandardScaler; joblib.dump(StandardScaler(), sys.argv[1])"])
        .arg(machine.0.path("work/scaler.joblib"))
        .status();
    assert!(made.unwrap().success());
    machine.ok(&["models", "put", "scaler.joblib", "scaler"]);
    machine.ok(&["runtime", "model", "scaler", "fit_transform", "line[x,z]"]);
    let scaled = machine.json(&["runtime", "model", "scaler", "transform", "line[x,z]"]);
    assert_eq!(scaled.as_array().unwrap().len(), 6);
    // What classifiers have beside it.
    machine.0.write("work/high.csv", "high\n0\n0\n0\n1\n1\n1\n");
    machine.ok(&["datasets", "put", "high.csv", "high"]);
    machine.ok(&[
        "models",
        "put",
        "sklearn.linear_model.LogisticRegression",
        "clf",
    ]);
    machine.ok(&["runtime", "model", "clf", "fit", "line[x]", "high[high]"]);
    let python = Command::new(&python)
        .args(["-c", "import json, pandas as pd; from sklearn.linear_model import LogisticRegression as L\n\
            x = pd.read_csv('line.csv')[['x']]; m = L().fit(x, [0, 0, 0, 1, 1, 1])\n\
            print(json.dumps([m.predict_proba(x).tolist(), m.decision_function(x).reshape(-1, 1).tolist()]))"])
        .current_dir(machine.0.path("work"))
        .output()
        .unwrap();
    let expected: Vec<Vec<Vec<f64>>> = serde_json::from_slice(&python.stdout).unwrap();
    for (action, expected) in ["predict_proba", "decision_function"].iter().zip(expected) {
        let rows = machine.json(&["runtime", "model", "clf", action, "line[x]"]);
        let rows: Vec<Vec<f64>> = rows
            .as_array()
            .unwrap()
            .iter()
            .map(|row| {
                let values = row.as_object().unwrap().values();
                values.map(|value| value.as_f64().unwrap()).collect()
            })
            .collect();
        assert_eq!(rows.len(), expected.len());
        for (row, expected) in rows.iter().flatten().zip(expected.iter().flatten()) {
            assert!((row - expected).abs() < 1e-9, "{action}: {row} {expected}");
        }
    }
    // Once more, batch by batch.
    machine.ok(&["models", "put", "sklearn.linear_model.SGDClassifier", "sgd"]);
    for _ in 0..2 {
        machine.ok(&[
            "runtime",
            "model",
            "sgd",
            "partial_fit",
            "line[x]",
            "high[high]",
        ]);
    }
    let predicted = machine.json(&["runtime", "model", "sgd", "predict", "line[x]"]);
    assert_eq!(predicted.as_array().unwrap().len(), 6);
    // A search, and its result as a model.
    machine.ok(&["models", "put", "sklearn.linear_model.Ridge", "ridge"]);
    let found = machine.json(&[
        "runtime",
        "model",
        "ridge",
        "gridsearch",
        "line[x,z]",
        "line[y]",
        "--param",
        "alpha=[0.1, 1.0]",
        "--folds",
        "2",
        "--result",
        "best",
    ]);
    assert_eq!(found.as_array().unwrap().len(), 2);
    machine.ok(&["runtime", "model", "best", "predict", "line[x,z]"]);
    machine.fails(
        &["runtime", "model", "reg", "transform", "line[x,z]"],
        "AttributeError",
    );
    machine.fails(
        &["models", "put", "nosuch.module.thing", "x"],
        "python -m pip install nosuch",
    );
    let run = Run::of(
        machine
            .0
            .om(&["runtime", "model", "reg", "predict", "[[1, 2]]"])
            .env("OMEGA_PYTHON", "/nonexistent")
            .output()
            .unwrap(),
    );
    assert!(
        run.code != 0 && run.stderr.contains("cannot start the backend"),
        "{}",
        run.stderr
    );
}

#[test]
fn workers_keep_python_warm() {
    let machine = Machine::new();
    machine.ok(&[
        "models",
        "put",
        "sklearn.linear_model.LinearRegression",
        "reg",
    ]);
    let mut worker = machine
        .command(&["runtime", "worker", "--until-idle", "20s"])
        .spawn()
        .unwrap();
    let id = machine.ok(&[
        "runtime",
        "model",
        "reg",
        "fit",
        "line[x,z]",
        "line[y]",
        "--async",
    ]);
    machine.ok(&["runtime", "result", id.trim(), "--wait"]);
    for _ in 0..5 {
        let predicted = machine.json(&[
            "runtime",
            "model",
            "reg",
            "predict",
            "[[10, 0]]",
            "--require",
            "default",
        ]);
        assert!(
            (predicted[0]["0"].as_f64().unwrap() - 20.0).abs() < 1e-6,
            "{predicted}"
        );
    }
    let _ = worker.kill();
    let _ = worker.wait();
}

/// Directories in MLflow's format, by a Python that has it.
#[test]
fn models_of_mlflow() {
    let machine = Machine::new();
    let mlflow = server::program("mlflow-venv/bin/python");
    let made = Command::new(&mlflow)
        .args([
            "-c",
            "import mlflow, pandas as pd; from sklearn.linear_model import LinearRegression\n\
             d = pd.read_csv('line.csv')\n\
             mlflow.sklearn.save_model(LinearRegression().fit(d[['x']], d['y']), 'saved')",
        ])
        .current_dir(machine.0.path("work"))
        .env("HOME", machine.0.path("."))
        .output()
        .unwrap();
    assert!(
        made.status.success(),
        "{}",
        String::from_utf8_lossy(&made.stderr)
    );
    let with = With(&machine, &mlflow);
    for (spec, name) in [("./saved", "doubled"), ("mlflow://saved", "again")] {
        let put = with.ok(&["models", "put", spec, name]);
        assert!(put.contains("kind=mlflow.model"), "{put}");
        let rows = with.json(&["runtime", "model", name, "predict", "line[x]"]);
        assert!(
            (rows[5]["0"].as_f64().unwrap() - 12.0).abs() < 1e-9,
            "{rows:?}"
        );
    }
    let fit = with.run(&["runtime", "model", "doubled", "fit", "line[x]", "line[y]"]);
    assert!(
        fit.code != 0 && fit.stderr.contains("mlflow.model cannot fit"),
        "{}",
        fit.stderr
    );
    // Another Python is told what it lacks.
    machine.fails(
        &["runtime", "model", "doubled", "predict", "line[x]"],
        "needs the Python package mlflow",
    );
}

/// Files of Keras, by a Python that has TensorFlow: fitted further, scored, and read back.
#[test]
fn models_of_keras() {
    let machine = Machine::new();
    let python = server::program("keras-venv/bin/python");
    let script = |code: &str| {
        let done = Command::new(&python)
            .args(["-c", code])
            .current_dir(machine.0.path("work"))
            .env("TF_CPP_MIN_LOG_LEVEL", "3")
            .output()
            .unwrap();
        let told = String::from_utf8_lossy(&done.stderr);
        assert!(done.status.success(), "{told}");
        String::from_utf8(done.stdout).unwrap()
    };
    script(
        "import tensorflow as tf\n\
         m = tf.keras.Sequential([tf.keras.layers.Dense(1, input_shape=(2,), kernel_initializer='zeros')])\n\
         m.compile(tf.keras.optimizers.SGD(0.01), 'mse'); m.save('net.h5')",
    );
    let with = With(&machine, &python);
    let om = |args: &[&str]| with.ok(args);
    for (name, kind) in [("net", "keras.h5"), ("tfnet", "tfkeras.h5")] {
        let put = om(&["models", "put", "net.h5", name, "--kind", kind]);
        assert!(put.contains(&format!("kind={kind}")), "{put}");
        let score = |name: &str| -> f64 {
            let score = om(&["runtime", "model", name, "score", "line[x,z]", "line[y]"]);
            score.trim().parse().unwrap()
        };
        let before = score(name);
        om(&[
            "runtime",
            "model",
            name,
            "fit",
            "line[x,z]",
            "line[y]",
            "--param",
            "epochs=20",
        ]);
        let after = score(name);
        assert!(after < before / 10.0, "{name}: {before} {after}");
        let predicted = om(&[
            "runtime", "model", name, "predict", "[[4, 1]]", "-o", "json",
        ]);
        let predicted: Value = serde_json::from_str(&predicted).unwrap();
        // The file is one that Keras reads, and predicts the same.
        om(&["models", "get", name, &format!("{name}-got.h5")]);
        let read = script(&format!(
            "import tensorflow as tf, numpy as np\n\
             m = tf.keras.models.load_model('{name}-got.h5')\n\
             print(float(m.predict(np.array([[4.0, 1.0]]), verbose=0)[0, 0]))"
        ));
        let read: f64 = read.trim().lines().last().unwrap().parse().unwrap();
        let predicted = predicted[0]["0"].as_f64().unwrap();
        assert!((predicted - read).abs() < 1e-4, "{predicted} {read}");
    }
}

/// A backend that knows a kind of data and a task, named in the settings.
#[test]
fn a_backend_brings_data_and_tasks() {
    let machine = Machine::new();
    let source = "#!/usr/bin/env python3\n\
        import json, struct, sys\nimport pyarrow as pa, pyarrow.ipc\n\
        def read(count):\n    data = sys.stdin.buffer.read(count)\n    if len(data) < count: sys.exit()\n    return data\n\
        def reply(header, *parts):\n    text = json.dumps({**header, 'parts': [len(p) for p in parts]}).encode()\n    \
        sys.stdout.buffer.write(struct.pack('>I', len(text)) + text + b''.join(parts)); sys.stdout.buffer.flush()\n\
        def table(lines):\n    t = pa.table({'word': lines, 'length': [len(w) for w in lines]})\n    sink = pa.BufferOutputStream()\n    \
        with pa.ipc.new_stream(sink, t.schema) as w: w.write_table(t)\n    return sink.getvalue().to_pybytes()\n\
        while True:\n    h = json.loads(read(struct.unpack('>I', read(4))[0])); parts = [read(n) for n in h.get('parts', [])]\n    \
        if h['call'] == 'hello': reply({'protocol': 1, 'name': 'words', 'tasks': ['acme.join'],\n        \
        'kinds': [{'kind': 'acme.words', 'actions': ['read', 'write'], 'files': ['.words']}]})\n    \
        elif h['call'] == 'write':\n        if not parts[h['file']].strip(): reply({'error': {'type': 'ValueError', 'message': 'there are no words'}})\n        \
        else: reply({'content': 0, 'kind_meta': {'from': h['name']}}, parts[h['file']].strip().replace(b' ', b'\\n'))\n    \
        elif h['call'] == 'read':\n        assert h['kind_meta']['from']\n        reply({'table': 0}, table(parts[h['content']].decode().split('\\n')))\n    \
        elif h['call'] == 'task': reply({'value': {'joined': h['kwargs'].get('by', '-').join(map(str, h['args']))}})\n";
    let path = machine.0.write("elsewhere/words", source);
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    let om = |args: &[&str]| {
        let mut command = machine.command(args);
        command.env("OMEGA_BACKENDS", &path);
        Run::of(command.output().unwrap())
    };
    let json = |args: &[&str]| -> Value {
        let run = om(&[args, &["-o", "json"]].concat());
        assert_eq!(run.code, 0, "om {args:?}: {}", run.stderr);
        serde_json::from_str(&run.stdout).unwrap()
    };
    machine.0.write("work/a.words", "some words here\n");
    let put = om(&["datasets", "put", "a.words", "text"]);
    assert!(
        put.stdout.contains("kind=acme.words"),
        "{} {}",
        put.stdout,
        put.stderr
    );
    let put = om(&[
        "datasets",
        "put",
        "line.csv",
        "lines",
        "--kind",
        "acme.words",
    ]);
    assert!(
        put.stdout.contains("kind=acme.words"),
        "{} {}",
        put.stdout,
        put.stderr
    );
    assert_eq!(
        json(&["datasets", "query", "text", "--where", "length == 5"]),
        json!([{"word": "words", "length": 5}])
    );
    assert_eq!(
        json(&["datasets", "sql", "select sum(length) as n from text"]),
        json!([{"n": 13}])
    );
    let got = om(&["datasets", "get", "text", "-", "--columns", "length"]);
    assert_eq!(got.stdout, "length\n4\n5\n4\n");
    let got = om(&["datasets", "get", "text", "-", "--format", "binary"]);
    assert_eq!(got.stdout, "some\nwords\nhere");
    assert_eq!(
        json(&["datasets", "metadata", "text"])["kind_meta"],
        json!({"from": "a.words"})
    );
    machine.0.write("work/none.words", " \n");
    let run = om(&["datasets", "put", "none.words", "none"]);
    assert!(
        run.code == 1 && run.stderr.contains("there are no words"),
        "{} {}",
        run.code,
        run.stderr
    );
    // Where the backend is not there, it is a file.
    machine.ok(&["datasets", "get", "text", "copy.bin"]);
    machine.fails(
        &["datasets", "put", "a.words", "x", "--kind", "acme.words"],
        "no backend knows",
    );

    assert_eq!(
        json(&["runtime", "task", "acme.join", "a", "1", "by=+"]),
        json!({"joined": "a+1"})
    );
    let id = om(&["runtime", "task", "acme.join", "x", "y", "--async"]);
    let result = om(&["runtime", "result", id.stdout.trim(), "-o", "json"]);
    let result: Value = serde_json::from_str(&result.stdout).unwrap();
    assert_eq!(result, json!({"joined": "x-y"}));
    let run = om(&["runtime", "task", "acme.none"]);
    assert!(
        run.code == 3 && run.stderr.contains("no task `acme.none`"),
        "{} {}",
        run.code,
        run.stderr
    );
    let id = om(&["runtime", "task", "acme.none", "--async"]);
    let run = om(&["runtime", "result", id.stdout.trim()]);
    assert!(
        run.code == 6 && run.stderr.contains("NotRegistered"),
        "{} {}",
        run.code,
        run.stderr
    );
}
