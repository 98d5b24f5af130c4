//! `om jobs` on the real binary with a real ipykernel: notebooks that work, fail, never end,
//! print without end, die, and are none.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "home/mod.rs"]
mod home;
mod server;

use home::{Home, Run, Runs};
use serde_json::{Value, json};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// How long anything may take on a busy machine.
const LONG: Duration = Duration::from_secs(120);

struct Jobs(Home);

impl Runs for Jobs {
    fn command(&self, args: &[&str]) -> Command {
        let mut command = self.0.om(&[&["--timeout", "100s"], args].concat());
        command.env("OMEGA_PYTHON", server::program("om-venv/bin/python"));
        command
    }
}

impl Jobs {
    fn new() -> Self {
        Jobs(Home::new())
    }

    /// A file with a notebook of these code cells.
    fn file(&self, name: &str, cells: &[&str]) -> String {
        let cells: Vec<Value> = cells
            .iter()
            .enumerate()
            .map(|(number, source)| {
                json!({
                    "cell_type": "code", "id": format!("c{number}"), "metadata": {}, "outputs": [],
                    "execution_count": null, "source": source,
                })
            })
            .collect();
        let notebook = json!({
            "cells": cells, "nbformat": 4, "nbformat_minor": 5,
            "metadata": {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}},
        });
        let path = self
            .0
            .write(&format!("work/{name}.ipynb"), &notebook.to_string());
        path.display().to_string()
    }

    fn put(&self, name: &str, cells: &[&str]) {
        self.ok(&["jobs", "put", &self.file(name, cells), name]);
    }

    /// The notebook that the last run has left.
    fn last(&self, name: &str) -> Value {
        self.json(&["jobs", "show", "--last", name])
    }

    fn runs(&self, name: &str) -> Vec<Value> {
        self.json(&["jobs", "status", name])["runs"]
            .as_array()
            .unwrap()
            .clone()
    }
}

/// All text that a cell has shown.
fn text(notebook: &Value, cell: usize) -> String {
    let outputs = notebook["cells"][cell]["outputs"].as_array().unwrap();
    let lines = |value: &Value| match value {
        Value::Array(lines) => lines.iter().filter_map(Value::as_str).collect::<String>(),
        other => other.as_str().unwrap_or_default().to_owned(),
    };
    let shown = |output: &Value| {
        lines(&output["text"])
            + &lines(&output["data"]["text/plain"])
            + output["ename"].as_str().unwrap_or_default()
    };
    outputs.iter().map(shown).collect()
}

#[test]
fn notebooks_come_back_to_the_byte() {
    let jobs = Jobs::new();
    let golden = format!(
        "{}/tests/golden/store/job.gridfs.0.bin",
        env!("CARGO_MANIFEST_DIR")
    );
    let bytes = std::fs::read(&golden).unwrap_or_else(|error| panic!("{golden}: {error}"));
    let file = jobs.0.path("work/nb.ipynb");
    std::fs::write(&file, &bytes).unwrap();
    let put = jobs.ok(&["jobs", "put", file.to_str().unwrap(), "nb"]);
    assert!(
        put.starts_with(
            "Metadata(name=nb.ipynb,bucket=omegaml,prefix=jobs/,kind=script.ipynb,created="
        ),
        "{put}"
    );
    let out = jobs.0.path("work/out.ipynb");
    jobs.ok(&["jobs", "get", "nb", out.to_str().unwrap()]);
    assert_eq!(std::fs::read(&out).unwrap(), bytes);
    let shown = jobs.ok(&["jobs", "show", "nb"]);
    assert_eq!(shown, "# job\n\nIn [ ]: print('hello')\n\nIn [ ]: 1+1\n");
    assert_eq!(
        jobs.ok(&["jobs", "get", "nb", "--to", "script"]),
        "# # job\n\nprint('hello')\n\n1+1\n"
    );
    assert!(
        jobs.ok(&["jobs", "get", "nb", "--to", "md"])
            .contains("```python\n1+1\n```")
    );
    // Python finds only names with their end.
    jobs.ok(&["jobs", "copy", "nb", "team/copy"]);
    jobs.ok(&["jobs", "rename", "team/copy", "nb2"]);
    assert_eq!(
        jobs.ok(&["jobs", "list", "-o", "name"]),
        "nb.ipynb\nnb2.ipynb\n"
    );
    jobs.ok(&["jobs", "drop", "nb2"]);
    jobs.ok(&["jobs", "rename", "nb", "other.ipynb"]);
    assert_eq!(jobs.ok(&["jobs", "list"]), "other.ipynb\n");
    jobs.ok(&["jobs", "drop", "other", "-q"]);
    let missing = jobs.run(&["jobs", "show", "other"]);
    assert_eq!(
        (missing.code, missing.stdout.as_str()),
        (3, ""),
        "{}",
        missing.stderr
    );
}

#[test]
fn what_is_no_notebook_is_refused() {
    let jobs = Jobs::new();
    for (text, why) in [
        ("print(1)", "not JSON"),
        (r#"{"nbformat": 3}"#, "format is 3"),
        ("{}", "nbformat"),
    ] {
        let path = jobs.0.write("work/x.ipynb", text);
        let run = jobs.run(&["jobs", "put", path.to_str().unwrap(), "x"]);
        assert_eq!(run.code, 1, "{}", run.stderr);
        assert!(run.stderr.contains(why), "{}", run.stderr);
    }
    assert_eq!(jobs.ok(&["jobs", "list"]), "");
    let bad = jobs.file("bad", &["# omega-ml:\n#   schedule: whenever\n"]);
    let run = jobs.run(&["jobs", "put", &bad, "bad"]);
    assert_eq!(run.code, 2, "{}", run.stderr);
    assert_eq!(jobs.ok(&["jobs", "list"]), "");
}

#[test]
fn runs_are_kept_and_entered() {
    let jobs = Jobs::new();
    jobs.put("report", &["n = 2", "print('n is', n)\nn * 21"]);
    let told = jobs.ok(&["jobs", "run", "report"]);
    assert!(
        told.starts_with("Metadata(name=results/report_20"),
        "{told}"
    );
    let last = jobs.last("report");
    assert_eq!(text(&last, 1), "n is 2\n42");
    assert_eq!(last["cells"][1]["execution_count"], 2);
    assert_eq!(last["metadata"]["language_info"]["name"], "python");
    jobs.ok(&["jobs", "run", "report", "-p", "n=5", "-p", "name=it's"]);
    let last = jobs.last("report");
    // Without a cell of defaults they come first.
    assert_eq!(
        last["cells"][0]["metadata"]["tags"],
        json!(["injected-parameters"])
    );
    assert_eq!(text(&last, 2), "n is 2\n42");
    let runs = jobs.runs("report");
    assert_eq!(runs.len(), 2);
    for run in &runs {
        assert_eq!(
            (&run["status"], &run["message"]),
            (&json!("OK"), &json!("..."))
        );
        assert!(
            run["results"]
                .as_str()
                .unwrap()
                .starts_with("results/report_")
        );
    }
    let results = jobs.ok(&["jobs", "results", "report"]);
    assert_eq!(results.lines().count(), 2);
    let metadata = jobs.json(&["jobs", "metadata", results.lines().next().unwrap()]);
    assert_eq!(metadata["attributes"]["source_job"], "report");
    // As a task, in this process.
    jobs.ok(&["runtime", "job", "report"]);
    let metadata = jobs.json(&["jobs", "metadata", "report"]);
    assert_eq!(metadata["attributes"]["state"], "SUCCESS");
    assert_eq!(
        metadata["attributes"]["job_results"]
            .as_array()
            .unwrap()
            .len(),
        3
    );
}

#[test]
fn a_cell_that_fails_keeps_what_was_done() {
    let jobs = Jobs::new();
    jobs.put(
        "failing",
        &[
            "print('before')",
            "raise ValueError('boom')",
            "print('after')",
        ],
    );
    for command in [
        &["jobs", "run", "failing"][..],
        &["runtime", "job", "failing"],
    ] {
        let run = jobs.run(command);
        assert_eq!(run.code, 6, "{}", run.stderr);
        assert!(
            run.stderr.contains("cell 2: ValueError: boom"),
            "{}",
            run.stderr
        );
        let last = jobs.last("failing");
        assert_eq!(text(&last, 0), "before\n");
        assert_eq!(text(&last, 1), "ValueError");
        assert_eq!(text(&last, 2), "");
    }
    let runs = jobs.runs("failing");
    assert_eq!(runs[0]["status"], "ERROR");
    assert_eq!(
        runs[0]["message"],
        "cell 2: ValueError: boom...cell 2: ValueError: boom"
    );
    // Nothing is said under cron unless it fails.
    jobs.put("fine", &["1"]);
    let quiet = jobs.run(&["-q", "jobs", "run", "fine"]);
    assert_eq!((quiet.code, quiet.stderr.as_str()), (0, ""));
}

#[test]
fn a_notebook_that_never_ends_is_stopped() {
    let jobs = Jobs::new();
    jobs.put(
        "endless",
        &[
            "print('on', flush=True)",
            "import time\nwhile True: time.sleep(0.1)",
        ],
    );
    for (flag, why) in [
        ("--cell-limit", "cell 2 took longer"),
        ("--time-limit", "the run took longer"),
    ] {
        let began = Instant::now();
        let run = jobs.run(&["jobs", "run", "endless", flag, "3s"]);
        assert_eq!(run.code, 6, "{}", run.stderr);
        assert!(run.stderr.contains(why), "{}", run.stderr);
        assert!(began.elapsed() < LONG);
        assert_eq!(text(&jobs.last("endless"), 1), "KeyboardInterrupt");
    }
    // One that does not listen is ended.
    jobs.put("deaf", &["import signal, time\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\nwhile True: time.sleep(0.1)"]);
    let run = jobs.run(&["jobs", "run", "deaf", "--time-limit", "3s"]);
    assert_eq!(run.code, 6, "{}", run.stderr);
    // Ctrl-C, and what was done is kept.
    let begun = jobs.0.path("work/begun");
    let marks = format!(
        "import time\nopen({:?}, 'w').close()\nwhile True: time.sleep(0.1)",
        begun.display().to_string()
    );
    jobs.put("interrupted", &["print('on', flush=True)", &marks]);
    let mut running = jobs.command(&["jobs", "run", "interrupted"]);
    let mut running = running
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let started = Instant::now();
    while !begun.exists() && started.elapsed() < LONG {
        std::thread::sleep(Duration::from_millis(50));
    }
    assert!(begun.exists());
    let pid = running.id().to_string();
    assert!(
        Command::new("kill")
            .args(["-INT", &pid])
            .status()
            .unwrap()
            .success()
    );
    assert_eq!(running.wait().unwrap().code(), Some(130));
    assert_eq!(text(&jobs.last("interrupted"), 0), "on\n");
    assert_eq!(jobs.runs("interrupted").len(), 1);
}

#[test]
fn a_notebook_that_prints_a_gigabyte_is_cut() {
    let jobs = Jobs::new();
    jobs.put(
        "loud",
        &[
            "line = 'x' * 999_999\nfor _ in range(1000): print(line)",
            "print('done')",
        ],
    );
    let run = jobs.run(&["jobs", "run", "loud"]);
    assert_eq!(run.code, 0, "{}", run.stderr);
    let last = jobs.last("loud");
    let shown = text(&last, 0);
    assert!(shown.len() < 9 << 20, "{}", shown.len());
    assert!(shown.contains("the rest is left out"));
    assert_eq!(text(&last, 1), "done\n");
}

#[test]
fn a_kernel_that_dies_is_told() {
    let jobs = Jobs::new();
    jobs.put(
        "dying",
        &["print('here')", "import os\nos.kill(os.getpid(), 9)", "1"],
    );
    let run = jobs.run(&["jobs", "run", "dying"]);
    assert_eq!(run.code, 6, "{}", run.stderr);
    assert!(
        run.stderr.contains("the kernel died in cell 2"),
        "{}",
        run.stderr
    );
    assert_eq!(text(&jobs.last("dying"), 0), "here\n");
    let mut command = jobs.0.om(&["jobs", "run", "dying"]);
    let python = jobs.0.write(
        "work/python",
        "#!/bin/sh\necho 'No module named ipykernel' >&2\nexit 1\n",
    );
    Command::new("chmod")
        .args(["+x", python.to_str().unwrap()])
        .status()
        .unwrap();
    let run = Run::of(command.env("OMEGA_PYTHON", &python).output().unwrap());
    assert_eq!(run.code, 6, "{}", run.stderr);
    assert!(
        run.stderr
            .contains("does not start: No module named ipykernel"),
        "{}",
        run.stderr
    );
    assert_eq!(jobs.runs("dying").len(), 2);
}

#[test]
fn scripts_are_jobs() {
    let jobs = Jobs::new();
    let script = jobs
        .0
        .write("work/a.sh", "echo out; echo err >&2; test \"$1\" = ''");
    jobs.ok(&["jobs", "put", script.to_str().unwrap(), "ops/a"]);
    jobs.ok(&["jobs", "run", "ops/a"]);
    let shown = text(&jobs.last("ops/a"), 0);
    assert!(
        shown.contains("out\n") && shown.contains("err\n"),
        "{shown}"
    );
    let script = jobs.0.write(
        "work/b.py",
        "import sys\nprint('half')\nsys.exit('no luck')",
    );
    jobs.ok(&["jobs", "put", script.to_str().unwrap(), "b"]);
    let run = jobs.run(&["jobs", "run", "b"]);
    assert_eq!(run.code, 6);
    assert!(run.stderr.contains("no luck"), "{}", run.stderr);
    assert!(text(&jobs.last("b"), 0).contains("half"));
}

#[test]
fn many_notebooks_at_once() {
    let jobs = Jobs::new();
    let count = 50;
    jobs.put("many", &["import time\ntime.sleep(0.5)", "print(6 * 7)"]);
    std::thread::scope(|scope| {
        let running: Vec<_> = (0..count)
            .map(|_| scope.spawn(|| jobs.run(&["jobs", "run", "many"])))
            .collect();
        for run in running {
            let run = run.join().unwrap();
            assert_eq!(run.code, 0, "{}", run.stderr);
        }
    });
    let runs = jobs.runs("many");
    assert_eq!(runs.len(), count);
    assert!(runs.iter().all(|run| run["status"] == "OK"));
    let mut results: Vec<&str> = runs
        .iter()
        .map(|run| run["results"].as_str().unwrap())
        .collect();
    results.sort_unstable();
    results.dedup();
    assert_eq!(results.len(), count);
}

#[test]
fn runs_do_not_overlap_when_they_must_not() {
    let jobs = Jobs::new();
    let script = jobs.0.write("work/slow.sh", "sleep 5");
    jobs.ok(&["jobs", "put", script.to_str().unwrap(), "slow"]);
    let mut first = jobs
        .command(&["-q", "jobs", "run", "slow", "--no-overlap"])
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    std::thread::sleep(Duration::from_secs(2));
    let second = jobs.run(&["jobs", "run", "slow", "--no-overlap"]);
    assert_eq!(second.code, 5, "{}", second.stderr);
    assert!(second.stderr.contains("another run"), "{}", second.stderr);
    assert!(first.wait().unwrap().success());
    jobs.ok(&["jobs", "run", "slow", "--no-overlap"]);
    assert_eq!(jobs.runs("slow").len(), 2);
}

#[test]
fn schedules_are_shown_changed_and_ended() {
    let jobs = Jobs::new();
    jobs.put("nb", &["1"]);
    assert_eq!(
        jobs.ok(&["jobs", "schedule", "nb"]),
        "Currently nb is not scheduled\n"
    );
    // Nobody answers: it is not scheduled.
    let told = jobs.ok(&["-q", "jobs", "schedule", "nb", "daily,", "at", "06:00"]);
    assert_eq!(
        told,
        "Currently nb is not scheduled\nnb will be scheduled to run At 06:00 AM\n"
    );
    let shown = jobs.ok(&["jobs", "schedule", "nb", "show"]);
    let mut lines = shown.lines();
    assert_eq!(
        lines.next(),
        Some("Currently nb is scheduled at At 06:00 AM")
    );
    assert!(
        lines
            .next()
            .unwrap()
            .starts_with("nb is scheduled to run next at 20"),
        "{shown}"
    );
    let metadata = jobs.json(&["jobs", "metadata", "nb"]);
    assert_eq!(metadata["attributes"]["config"]["run-at"], "00 06 * * *");
    assert_eq!(metadata["attributes"]["triggers"][0]["status"], "PENDING");
    let line = jobs.ok(&["jobs", "crontab", "nb"]);
    assert!(
        line.starts_with("00 06 * * * /") && line.ends_with(" -q jobs run --no-overlap nb\n"),
        "{line}"
    );
    let told = jobs.run(&[
        "-y",
        "jobs",
        "schedule",
        "nb",
        "daily",
        "--zone",
        "Europe/Berlin",
    ]);
    assert!(
        told.stderr.contains("read as `0 0 * * *`"),
        "{}",
        told.stderr
    );
    assert!(
        jobs.ok(&["jobs", "crontab", "nb"])
            .starts_with("CRON_TZ=Europe/Berlin\n0 0 * * * ")
    );
    let next = jobs.json(&["jobs", "schedule", "nb", "--next", "3"]);
    assert_eq!(next["next"].as_array().unwrap().len(), 3);
    assert_eq!(next["zone"], "Europe/Berlin");
    for wrong in [
        &["whenever"][..],
        &["--cron", "61 * * * *"],
        &["--at", "six"],
        &["daily", "--zone", "Mars/X"],
    ] {
        let run = jobs.run(&[&["-q", "jobs", "schedule", "nb"], wrong].concat());
        assert_eq!(run.code, 2, "{wrong:?}: {}", run.stderr);
    }
    jobs.ok(&["-q", "jobs", "schedule", "nb", "delete"]);
    assert_eq!(
        jobs.ok(&["jobs", "schedule", "nb"]),
        "Currently nb is not scheduled\n"
    );
    let status = jobs.json(&["jobs", "status", "nb"]);
    let states: Vec<&str> = status["triggers"]
        .as_array()
        .unwrap()
        .iter()
        .map(|trigger| trigger["status"].as_str().unwrap())
        .collect();
    assert_eq!(states, ["CANCELLED"]);
    // A cell of the notebook schedules it.
    let cell = "# omega-ml:\n#   schedule: \"daily, at 06:00\"\n#   results-store: gridfs\n";
    jobs.put("celled", &[cell, "1"]);
    let config = &jobs.json(&["jobs", "metadata", "celled"])["attributes"]["config"];
    assert_eq!(
        *config,
        json!({"schedule": "daily, at 06:00", "results-store": "gridfs", "run-at": "00 06 * * *"})
    );
}

#[test]
fn schedulers_run_what_is_due_once() {
    let jobs = Jobs::new();
    for name in ["a", "b"] {
        let script = jobs.0.write(&format!("work/{name}.sh"), "echo ran");
        jobs.ok(&["jobs", "put", script.to_str().unwrap(), name]);
    }
    // Due a minute ago, and missed for an hour.
    let store = jobs.0.path(".local/share/omegaml/store");
    let om = omega::Omega::embedded(store).unwrap();
    for (name, cron, minutes) in [("a", "* * * * *", 1), ("b", "*/20 * * * *", 61)] {
        let schedule =
            omega::jobs::schedule::Schedule::crontab(cron, omega::jobs::schedule::Zone::Local)
                .unwrap();
        om.jobs
            .schedule(
                name,
                &schedule,
                chrono::Utc::now() - chrono::TimeDelta::minutes(minutes),
            )
            .unwrap();
    }
    let schedulers: Vec<_> = (0..3)
        .map(|_| {
            jobs.command(&["runtime", "scheduler", "--until-idle", "6s"])
                .stderr(Stdio::null())
                .spawn()
                .unwrap()
        })
        .collect();
    for mut scheduler in schedulers {
        assert!(scheduler.wait().unwrap().success());
    }
    let began = Instant::now();
    while jobs.runs("a").is_empty() || jobs.runs("b").is_empty() {
        assert!(began.elapsed() < LONG, "nothing has run");
        std::thread::sleep(Duration::from_millis(200));
    }
    std::thread::sleep(Duration::from_secs(2));
    // A minute may have begun meanwhile.
    for (name, most) in [("a", 2), ("b", 2)] {
        let status = jobs.json(&["jobs", "status", name]);
        let count = |wanted: &[&str]| {
            let triggers = status["triggers"].as_array().unwrap();
            triggers
                .iter()
                .filter(|trigger| wanted.contains(&trigger["status"].as_str().unwrap()))
                .count()
        };
        assert_eq!(count(&["PENDING"]), 1, "{status}");
        assert_eq!(count(&["OK"]), jobs.runs(name).len(), "{status}");
        assert!((1..=most).contains(&jobs.runs(name).len()), "{status}");
    }
    let status = jobs.json(&["jobs", "status", "b"]);
    let missed = status["triggers"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|trigger| trigger["status"] == "MISSED")
        .count();
    assert!((2..=3).contains(&missed), "{status}");
}

/// A run's parameters through a worker, and a job for each of many.
#[test]
fn a_job_is_run_for_many_parameters() {
    let jobs = Jobs::new();
    jobs.put(
        "report",
        &[
            "region = 'nowhere'",
            "assert region != 'BAD', 'no such region'\nprint(region, globals().get('_jobdata', {}).get('param'))",
        ],
    );
    // By a worker that is started for it, too.
    let id = jobs.ok(&["runtime", "job", "report", "-p", "region=EU", "--async"]);
    jobs.ok(&["runtime", "result", id.trim()]);
    // Before the cell of defaults, which is not tagged as such.
    assert_eq!(text(&jobs.last("report"), 2), "nowhere None\n");

    jobs.0
        .write("work/regions.csv", "region,year\nEU,2025\nUS,2026\n");
    let map = ["runtime", "job", "report", "map"];
    let done = jobs.json(&[&map[..], &["--from", "regions.csv", "5"]].concat());
    let done = done.as_array().unwrap();
    assert_eq!(done.len(), 3, "{done:?}");
    let mut said = Vec::new();
    for copy in done {
        assert_eq!(copy["status"], "OK", "{copy}");
        let name = copy["job"].as_str().unwrap();
        assert!(name.starts_with("tasks/report/"), "{name}");
        let about = jobs.json(&["jobs", "metadata", name]);
        let job = &about["attributes"]["job"];
        assert_eq!(
            (&job["status"], &job["task_id"]),
            (&json!("finished"), &copy["task"]),
            "{about}"
        );
        let result = jobs.json(&["jobs", "show", copy["result"].as_str().unwrap()]);
        let cells = result["cells"].as_array().unwrap().len();
        said.push(text(&result, cells - 1));
    }
    assert_eq!(
        said,
        [
            "nowhere 5\n",
            "nowhere {'region': 'EU', 'year': 2025}\n",
            "nowhere {'region': 'US', 'year': 2026}\n"
        ]
    );
    // Copies that have left a result are not run again.
    assert_eq!(
        jobs.json(&["runtime", "job", "report", "restart"]),
        json!([])
    );

    // In this process; where a cell fails the others go on.
    jobs.put("check", &["assert _jobdata['param']['n'] > 1, 'too small'"]);
    let run = jobs.run(&[
        "runtime",
        "job",
        "check",
        "map",
        "n=1",
        "n=2",
        "--require",
        "local",
        "-o",
        "json",
    ]);
    assert_eq!(run.code, 6, "{}", run.stderr);
    assert!(
        run.stderr.contains("1 of 2 notebooks failed"),
        "{}",
        run.stderr
    );
    let done: Value = serde_json::from_str(&run.stdout).unwrap();
    assert!(
        done[0]["error"].as_str().unwrap().contains("too small") && done[1]["status"] == "OK",
        "{done}"
    );
    for (args, what) in [
        (&["report", "map"][..], "map needs parameters"),
        (
            &["report", "run", "--from", "regions.csv"][..],
            "--from is for map",
        ),
        (&["report", "run", "x"][..], "--param"),
        (
            &["report", "map", r#"{"a b": 1}"#][..],
            "no name of a variable",
        ),
        (&["none", "map", "x=1"][..], "does not exist"),
    ] {
        let run = jobs.run(&[&["runtime", "job"], args].concat());
        assert!(
            run.code != 0 && run.stderr.contains(what),
            "{args:?}: {} {}",
            run.code,
            run.stderr
        );
    }
}

/// With nbconvert, which comes with Python omega|ml's client.
#[test]
fn notebooks_become_documents() {
    let jobs = Jobs::new();
    jobs.put("report", &["print('some output')"]);
    jobs.ok(&["jobs", "run", "report"]);
    let notebook = jobs.json(&["jobs", "results", "report"]);
    let name = notebook[0]["name"].as_str().unwrap_or_default().to_owned();
    for (form, what) in [
        ("html", "<html"),
        ("md", "some output"),
        ("script", "print('some output')"),
    ] {
        let out = jobs.ok(&["jobs", "get", &name, "-", "--to", form]);
        assert!(
            out.contains(what) && out.contains("some output"),
            "{form}: {out}"
        );
    }
}
