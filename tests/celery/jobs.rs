//! Jobs as tasks, between Python's clients and workers and om's.

use crate::stack::stack;
use serde_json::json;

/// Stores a notebook from Python.
fn notebook(name: &str, source: &str) {
    stack().python(&format!(
        "import nbformat.v4 as v4\n\
         spec = {{'kernelspec': {{'name': 'python3', 'display_name': 'Python 3', 'language': 'python'}}}}\n\
         om.jobs.put(v4.new_notebook(cells=[v4.new_code_cell({source:?})], metadata=spec), '{name}')\n\
         None"
    ));
}

#[test]
fn workers_of_both_run_jobs_of_clients_of_both() {
    let stack = stack();
    notebook("shared-job", "print(6 * 7)");
    // Python's client and om's worker.
    let told = stack.python("get(on('rust').job('shared-job').run())");
    assert!(
        told.as_str()
            .unwrap()
            .starts_with("<Metadata: Metadata(name=results/shared-job"),
        "{told}"
    );
    // om's client and workers of both.
    for label in ["rust", "py"] {
        let told = stack.ok(&["runtime", "job", "shared-job", "--require", label]);
        assert!(
            told.starts_with("Metadata(name=results/shared-job"),
            "{told}"
        );
    }
    let runs = stack
        .python("[r['status'] for r in om.jobs.metadata('shared-job').attributes['job_runs']]");
    assert_eq!(runs, json!(["OK", "OK", "OK"]));
    let shown = stack.ok(&["jobs", "show", "--last", "shared-job"]);
    assert!(shown.ends_with("\n42"), "{shown}");
    let state = stack.python("dict(om.jobs.metadata('shared-job').attributes)['state']");
    assert_eq!(state, "SUCCESS");
    // That a notebook fails is no failure of its task for Celery; for om's command it is.
    notebook("failing-job", "1 / 0");
    stack.python("get(on('rust').job('failing-job').run())");
    let run = stack.om(&["runtime", "job", "failing-job", "--require", "rust"]);
    assert_eq!(run.code, 6, "{}", run.stderr);
    assert!(run.stderr.contains("ZeroDivisionError"), "{}", run.stderr);
}

#[test]
fn python_schedules_and_om_runs_it() {
    let stack = stack();
    notebook("scheduled-job", "print('due')");
    stack.python("get(on('rust').job('scheduled-job').schedule(run_at='every 5 minutes'))");
    let read = stack.python("om.jobs.metadata('scheduled-job').attributes['config']['run-at']");
    assert_eq!(read, "*/5 * * * *");
    // A time far from now, so that no other comes due while this runs.
    stack.python(
        "import datetime\n\
         far = datetime.date.today() + datetime.timedelta(days=180)\n\
         get(on('rust').job('scheduled-job').schedule(run_at=f'0 0 1 {far.month} *'))",
    );
    // As if it was due: both, Python's beat through om's worker, and om's scheduler.
    stack.python(
        "meta = om.jobs.metadata('scheduled-job')\n\
         due = datetime.datetime.now().replace(microsecond=0) - datetime.timedelta(seconds=20)\n\
         meta.attributes['triggers'] = [{'event-kind': 'scheduled', 'event': due.isoformat(), 'run-at': due, 'status': 'PENDING'}]\n\
         meta.save()\n\
         beat = om.runtime.celeryapp.send_task('omegaml.notebook.tasks.execute_scripts', queue='rust')\n\
         None",
    );
    stack.ok(&[
        "runtime",
        "scheduler",
        "--require",
        "rust",
        "--until-idle",
        "8s",
    ]);
    stack.python(
        "end = time.time() + PATIENCE\n\
         def runs(): return [r['status'] for r in om.jobs.metadata('scheduled-job').attributes.get('job_runs', [])]\n\
         while not runs() and time.time() < end: time.sleep(0.2)\n\
         time.sleep(3)",
    );
    assert_eq!(stack.python("runs()"), json!(["OK"]));
    let states = stack
        .python("[t['status'] for t in om.jobs.metadata('scheduled-job').attributes['triggers']]");
    assert_eq!(states, json!(["OK", "PENDING"]));
    stack.ok(&["-q", "jobs", "schedule", "scheduled-job", "delete"]);
}

#[test]
fn workers_of_both_run_scripts_of_clients_of_both() {
    let stack = stack();
    let folder = stack.path("shared_script");
    std::fs::create_dir_all(folder.join("shared_script")).unwrap();
    std::fs::write(
        folder.join("setup.py"),
        "from setuptools import setup\nsetup(name='shared_script', version='1.0', packages=['shared_script'])\n",
    )
    .unwrap();
    std::fs::write(
        folder.join("shared_script/__init__.py"),
        "def run(om, *args, **kwargs):\n    if kwargs.get('fail'): raise ValueError('asked to')\n    \
         return {'args': list(args), 'lines': om.datasets.get('line').shape[0]}\n",
    )
    .unwrap();
    let put = stack.ok(&["scripts", "put", folder.to_str().unwrap(), "shared_script"]);
    assert!(put.contains("kind=python.package"), "{put}");
    for label in ["py", "rust"] {
        let told = stack.python(&format!(
            "json.loads(get(on('{label}').script('shared_script').run('a', n=1)))"
        ));
        assert_eq!(
            told["result"],
            json!({"args": ["a"], "lines": 12}),
            "{label}"
        );
        assert_eq!(told["script"], "shared_script");
        let told = stack.json(&[
            "runtime",
            "script",
            "shared_script",
            "run",
            "b",
            "--require",
            label,
        ]);
        let told = match told {
            serde_json::Value::String(text) => serde_json::from_str(&text).unwrap(),
            told => told,
        };
        assert_eq!(
            told["result"],
            json!({"args": ["b"], "lines": 12}),
            "{label}"
        );
    }
    let (raised, message) = stack.raises("get(on('rust').script('shared_script').run(fail=True))");
    assert_eq!(raised, "builtins.RuntimeError");
    assert!(
        message.contains("ValueError('asked to')") && message.contains("\"script\""),
        "{message}"
    );
}

#[test]
fn jobs_for_many_parameters_run_on_workers_of_both() {
    let stack = stack();
    notebook("many-jobs", "print('param', _jobdata['param'])");
    for label in ["py", "rust"] {
        let done = stack.json(&[
            "runtime",
            "job",
            "many-jobs",
            "map",
            "1",
            "n=2",
            "--require",
            label,
        ]);
        let done = done.as_array().unwrap();
        assert_eq!(done.len(), 2, "{done:?}");
        for (copy, said) in done.iter().zip(["param 1", "param {'n': 2}"]) {
            assert_eq!(copy["status"], "OK", "{label}: {copy}");
            let shown = stack.ok(&["jobs", "show", copy["result"].as_str().unwrap()]);
            assert!(shown.ends_with(said), "{label}: {shown}");
        }
    }
    // Python's copies, which mark themselves, and om's worker.
    let states = stack.python(
        "copies = on('rust').job('many-jobs').map([1, 2], require='rust')\n\
         names = [c.name for c in copies]\n\
         end = time.time() + PATIENCE\n\
         def done(): return [om.jobs.metadata(n).attributes['job']['status'] for n in names]\n\
         while done() != ['finished', 'finished'] and time.time() < end: time.sleep(0.2)\n\
         done()",
    );
    assert_eq!(states, json!(["finished", "finished"]));
}

#[test]
fn packages_are_listed_on_workers_of_both() {
    let stack = stack();
    for place in [&["--require", "py,rust"][..], &["--every"]] {
        let listed = stack.json(&[&["runtime", "env", "list"], place].concat());
        let listed = listed.as_array().unwrap();
        let places: std::collections::BTreeSet<&str> = listed
            .iter()
            .filter(|package| package["package"] == "omegaml")
            .filter_map(|package| package["workers"].as_str())
            .collect();
        let expected = if place.len() == 2 { 2 } else { 1 };
        assert_eq!(places.len(), expected, "{place:?}: {places:?}");
    }
    // A client of Python's uses the same script.
    let told = stack.python(
        "get(on('rust').script('.system/envinstall').run(action='freeze', __format='python'))['result']",
    );
    assert!(told.as_str().unwrap().contains("omegaml"), "{told}");
    let told = stack.json(&[
        "runtime",
        "task",
        "omegaml.tasks.omega_ping",
        "--require",
        "py",
    ]);
    assert_eq!(told["message"], "ping return message", "{told}");
}
