//! Celery's tools and om's workers; om's tools and Python's worker.

use crate::stack::{PY, RUST, stack, until};
use serde_json::{Value, json};

/// What Celery's commands have printed; all of them must succeed.
#[track_caller]
fn celery(commands: &[&[&str]]) -> Vec<String> {
    let text = stack().script("commands.py", &[&json!(commands).to_string()]);
    let answers: Vec<(i32, String)> = serde_json::from_str(&text).unwrap();
    let done = answers.into_iter().zip(commands);
    done.map(|((code, output), command)| {
        assert_eq!(code, 0, "celery {command:?}: {output}");
        output
    })
    .collect()
}

/// The answers to `celery inspect … --json`.
#[track_caller]
fn inspect(question: &str) -> Value {
    let answers = celery(&[&["inspect", question, "--json", "--timeout", "5"]]);
    serde_json::from_str(&answers[0]).unwrap()
}

#[test]
fn celery_sees_both_kinds_of_workers() {
    // The real program, once.
    let status = stack().celery(&["status", "--timeout", "5"]);
    for worker in [RUST, PY] {
        assert!(status.contains(&format!("{worker}: OK")), "{status}");
    }
    let questions = ["ping", "active", "stats", "registered", "active_queues"];
    let commands: Vec<[&str; 5]> = questions
        .iter()
        .map(|question| ["inspect", question, "--json", "--timeout", "5"])
        .collect();
    let commands: Vec<&[&str]> = commands.iter().map(|command| &command[..]).collect();
    let answers: Vec<Value> = celery(&commands)
        .iter()
        .map(|text| serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}")))
        .collect();
    let [ping, active, stats, registered, queues] = &answers[..] else {
        panic!("{answers:?}");
    };
    for worker in [RUST, PY] {
        assert_eq!(ping[worker], json!({"ok": "pong"}));
        assert!(active[worker].is_array(), "{active}");
        assert_eq!(stats[worker]["pool"]["max-concurrency"], 2, "{stats}");
        assert!(stats[worker]["total"].is_object(), "{stats}");
        let tasks = registered[worker].as_array().unwrap();
        assert!(
            tasks.contains(&json!("omegaml.tasks.omega_predict")),
            "{registered}"
        );
    }
    let names = |worker: &str| -> Vec<Value> {
        let queues = queues[worker].as_array().unwrap().iter();
        queues.map(|queue| queue["name"].clone()).collect()
    };
    assert_eq!(names(RUST)[..2], ["rust", "both"]);
    assert_eq!(names(PY)[..2], ["py", "both"]);
    // omega|ml asks in the same way, and waits for a heartbeat.
    let seen = stack().python(
        "[om.runtime.labels(), sorted(om.runtime.status()), sorted(om.runtime.stats()), sorted(om.runtime.workers())]",
    );
    assert_eq!(seen[0][RUST].as_array().unwrap()[..2], ["rust", "both"]);
    for names in &seen.as_array().unwrap()[1..] {
        let names = names.as_array().unwrap();
        assert!(
            names.contains(&json!(RUST)) && names.contains(&json!(PY)),
            "{seen}"
        );
    }
}

#[test]
fn celery_steers_an_om_worker() {
    const WORKER: &str = "steered@om";
    let stack = stack();
    let process = stack.om_worker(WORKER, &["--queues", "steered"]);
    stack.ok(&["runtime", "ping", "--require", "steered", "--timeout", "90"]);
    let told = celery(&[
        &[
            "control",
            "--destination",
            WORKER,
            "add_consumer",
            "steered-too",
        ],
        &["control", "--destination", WORKER, "pool_grow", "3"],
        &[
            "control",
            "--destination",
            WORKER,
            "cancel_consumer",
            "steered",
        ],
        &["control", "--destination", WORKER, "enable_events"],
    ]);
    for answer in &told {
        assert!(answer.contains(&format!("{WORKER}: OK")), "{answer}");
        assert!(!answer.contains(RUST), "another worker was told: {answer}");
    }
    let answer = stack.json(&["runtime", "ping", "--require", "steered-too"]);
    assert_eq!(answer["worker"], WORKER);
    let labels = stack.json(&["runtime", "status", "labels"]);
    let labels = labels
        .as_array()
        .unwrap()
        .iter()
        .find(|one| one["worker"] == WORKER);
    assert_eq!(labels.unwrap()["labels"], json!(["steered-too"]));
    assert_eq!(inspect("stats")[WORKER]["pool"]["max-concurrency"], 5);
    a_running_task_is_seen_and_stopped(WORKER, "steered-too");
    let told = celery(&[&["control", "--destination", WORKER, "shutdown"]]);
    assert!(told[0].contains("OK"), "{told:?}");
    let alive = std::path::PathBuf::from(format!("/proc/{process}"));
    until(|| (!alive.exists()).then_some(()));
    let there = stack.json(&["runtime", "inspect", "ping"]);
    assert_eq!(
        [&there[WORKER], &there[RUST]],
        [&Value::Null, &json!({"ok": "pong"})]
    );
}

fn a_running_task_is_seen_and_stopped(worker: &str, label: &str) {
    let stack = stack();
    stack.ok(&["models", "put", "ridge", "slow"]);
    let started = stack.python(&format!(
        "alpha, seen, x = np.arange(1., 1e5).tolist(), [], np.arange(5e3)\n\
         om.datasets.put(pd.DataFrame(dict(x=x, y=x)), 'long-line', append=False)\n\
         slow = on('{label}').model('slow').gridsearch('long-line[x]', 'long-line[y]', parameters=dict(alpha=alpha))\n\
         end = time.time() + PATIENCE\n\
         while not seen and time.time() < end:\n\
         \x20   try: slow.get(timeout=0.5, on_message=lambda reply: seen.append(reply['status']))\n\
         \x20   except TimeoutError: pass\n\
         [slow.id, seen]"
    ));
    assert_eq!(started[1], json!(["STARTED"]));
    let id = &started[0];
    let active = inspect("active");
    assert_eq!(&active[worker][0]["id"], id);
    assert_eq!(active[worker][0]["name"], "omegaml.tasks.omega_gridsearch");
    let status = stack.json(&["runtime", "status", "--patience", "3s"]);
    let status = status
        .as_array()
        .unwrap()
        .iter()
        .find(|one| one["worker"] == worker);
    assert_eq!(status.unwrap()["running"], 1);
    let (class, _) = stack.raises("slow.revoke(terminate=True)\nget(slow)");
    assert_eq!(class, "celery.exceptions.TaskRevokedError");
    assert_eq!(stack.python("slow.state"), "REVOKED");
}

#[test]
fn om_sees_and_steers_a_python_worker() {
    let stack = stack();
    let rows = stack.json(&["runtime", "status"]);
    for worker in [RUST, PY] {
        let row = rows
            .as_array()
            .unwrap()
            .iter()
            .find(|one| one["worker"] == worker);
        assert_eq!(row.unwrap_or_else(|| panic!("{rows}"))["size"], 2);
    }
    for question in [
        "ping",
        "active",
        "reserved",
        "registered",
        "active-queues",
        "stats",
        "conf",
        "report",
        "clock",
    ] {
        let answers = stack.json(&["runtime", "inspect", question]);
        for worker in [RUST, PY] {
            assert!(!answers[worker].is_null(), "{question}: {answers}");
        }
    }
    let there = stack.json(&["runtime", "inspect", "ping", "--worker", PY]);
    assert_eq!(there, json!({PY: {"ok": "pong"}}));
    let control = |order: &[&str]| {
        let answer = stack.json(&[&["runtime", "control"], order, &["--worker", PY]].concat());
        assert!(answer[PY]["ok"].is_string(), "{order:?}: {answer}");
    };
    control(&["add-consumer", "py-too"]);
    let answer = stack.json(&["runtime", "ping", "--require", "py-too", "--timeout", "90"]);
    assert_eq!(answer["worker"], PY);
    control(&["cancel-consumer", "py-too"]);
    let queues = stack.json(&["runtime", "inspect", "active-queues", "--worker", PY]);
    assert!(!queues.to_string().contains("py-too"), "{queues}");
    control(&["rate-limit", "omegaml.tasks.omega_settings", "10/m"]);
    stack.fails(
        &["runtime", "inspect", "ping", "--worker", "nobody@om"],
        7,
        "no worker has answered",
    );
}

#[test]
fn celery_reads_the_events_of_an_om_worker() {
    let stack = stack();
    let wanted = [
        "worker-heartbeat",
        "task-received",
        "task-started",
        "task-succeeded",
        "task-failed",
    ];
    let receiver =
        std::thread::spawn(move || stack.script("receiver.py", &[&[RUST], &wanted[..]].concat()));
    while !receiver.is_finished() {
        stack.python(
            "get(on('rust').ping(wait=False))\n\
             on('rust').ping(wait=False, exception=True).get(propagate=False, timeout=PATIENCE)",
        );
        std::thread::sleep(std::time::Duration::from_millis(300));
    }
    let told: Value = serde_json::from_str(&receiver.join().unwrap()).unwrap();
    let event = |kind: &str, field: &str| {
        let value = told["events"][kind][field].clone();
        assert!(!value.is_null(), "{kind} has no {field}: {told}");
        value
    };
    assert_eq!(event("worker-heartbeat", "freq"), json!(2.0));
    assert_eq!(
        event("worker-heartbeat", "loadavg")
            .as_array()
            .unwrap()
            .len(),
        3
    );
    assert_eq!(event("worker-heartbeat", "sw_ident"), "om");
    assert_eq!(
        event("worker-heartbeat", "pid"),
        event("task-received", "pid")
    );
    assert!(event("task-received", "name").is_string());
    assert!(event("task-started", "uuid").is_string());
    assert!(event("task-succeeded", "runtime").is_f64());
    let failed = event("task-failed", "exception");
    assert!(
        failed.as_str().unwrap().starts_with("RuntimeError("),
        "{failed}"
    );
    // Celery's monitors keep the workers by their heartbeats.
    assert_eq!(told["alive"][RUST], true, "{told}");
}
