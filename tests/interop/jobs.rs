//! Jobs: what one stores, schedules and runs, the other reads and runs (spec/runtime.md §9).

use super::{Both, python, stores};
use omega::config::interpreter::Python as Interpreter;
use omega::jobs::schedule::{Schedule, Zone};
use omega::jobs::{Jobs, Notebook, RunOptions, Trigger};
use omega::progress::Silent;
use omega::store::{PutOptions, Store};
use serde_json::json;
use std::sync::Arc;

/// om's jobs, with the Python that has ipykernel.
fn jobs(both: &Both) -> Jobs {
    let storage = Arc::from(stores::open(&both.url));
    let store = Store::new(storage, Arc::new(Silent), "omegaml", "jobs/");
    let python = python::program("python");
    Jobs::new(store, Interpreter::new(python.to_str()), Vec::new().into())
}

#[test]
fn notebooks_of_one_run_with_the_other() {
    let mut both = Both::new();
    let jobs = jobs(&both);
    both.python.run(
        "
import nbformat, nbformat.v4 as v4
spec = {'kernelspec': {'name': 'python3', 'display_name': 'Python 3', 'language': 'python'}}
def texts(name):
    nb = om.jobs.get(name)
    nbformat.validate(nb)
    return [[o.get('text') or o.get('data', {}).get('text/plain') or o.get('ename') for o in c.get('outputs', [])] for c in nb.cells]
om.jobs.put(v4.new_notebook(cells=[v4.new_markdown_cell('# job'), v4.new_code_cell(\"print('hello')\"), v4.new_code_cell('6 * 7')], metadata=spec), 'theirs')
om.jobs.put(v4.new_notebook(cells=[v4.new_code_cell('1'), v4.new_code_cell('1 / 0')], metadata=spec), 'failing')
",
    );
    // Python's, run by om.
    let ran = jobs.run("theirs", &RunOptions::default(), &Silent).unwrap();
    assert_eq!(ran.failure, None);
    let read = both.python.eval(&format!("texts({:?})", ran.result.name()));
    assert_eq!(read, json!([[], ["hello\n"], ["42"]]));
    let failed = jobs
        .run("failing", &RunOptions::default(), &Silent)
        .unwrap();
    assert_eq!(
        failed.failure.as_deref(),
        Some("cell 2: ZeroDivisionError: division by zero")
    );
    let read = both
        .python
        .eval(&format!("texts({:?})", failed.result.name()));
    assert_eq!(read, json!([["1"], ["ZeroDivisionError"]]));
    let told = both.python.eval(
        "[[r['status'], r['results'] in om.jobs.list('results/*')] for n in ('theirs', 'failing') for r in om.jobs.metadata(n).attributes['job_runs']]",
    );
    assert_eq!(told, json!([["OK", true], ["ERROR", true]]));
    // om's, run by Python.
    let notebook = Notebook::of_source("print('from om')\n5", Some(("python3", "python")));
    jobs.put_notebook("ours", &notebook, &PutOptions::default())
        .unwrap();
    both.python.run("made = om.jobs.run('ours').name");
    let made = both.python.eval("made");
    let made = made.as_str().unwrap();
    assert_eq!(both.python.eval("texts(made)"), json!([["from om\n", "5"]]));
    assert!(
        jobs.notebook(made)
            .unwrap()
            .cells()
            .next()
            .unwrap()
            .outputs()
            .len()
            == 2
    );
    assert_eq!(jobs.last_run("ours").unwrap(), None);
    // Bytes are those that Python writes.
    let ours = super::bytes(jobs.get("ours.ipynb").unwrap());
    let theirs = both
        .python
        .eval("nbformat.writes(om.jobs.get('ours')) + chr(10)");
    assert_eq!(String::from_utf8(ours).unwrap(), theirs.as_str().unwrap());
    both.python
        .run("om.jobs.drop('ours'); om.jobs.drop('theirs')");
    assert!(!jobs.exists("ours").unwrap());
}

#[test]
fn schedules_of_one_are_those_of_the_other() {
    let mut both = Both::new();
    let jobs = jobs(&both);
    for name in ["a", "b"] {
        let notebook = Notebook::of_source("1", Some(("python3", "python")));
        jobs.put_notebook(name, &notebook, &PutOptions::default())
            .unwrap();
    }
    // Python's, read by om.
    both.python
        .run("om.jobs.schedule('a', run_at='weekdays, at 06:00')");
    let metadata = jobs.metadata("a").unwrap();
    let schedule = Jobs::schedule_of(&metadata).unwrap().unwrap();
    assert_eq!(schedule.text(), "00 06 * * mon-fri");
    let triggers = Trigger::all(&metadata);
    assert!(triggers.len() == 1 && triggers[0].is_pending() && triggers[0].due.is_some());
    // om's, read by Python.
    let (schedule, _) = Schedule::parse("every 5 minutes", Zone::Local).unwrap();
    jobs.schedule("b", &schedule, chrono::Utc::now()).unwrap();
    let read = both.python.eval(
        "[om.jobs.metadata('b').attributes['config']['run-at'], [t['status'] for t in om.jobs.metadata('b').attributes['triggers']], \
          str(om.jobs.get_schedule('b', only_pending=True)[1][-1]['status'])]",
    );
    assert_eq!(read, json!(["*/5 * * * *", ["PENDING"], "PENDING"]));
    jobs.unschedule("a").unwrap();
    let read = both
        .python
        .eval("[t['status'] for t in om.jobs.metadata('a').attributes['triggers']]");
    assert_eq!(read, json!(["CANCELLED"]));
    // What Python's beat runs: a trigger of om's, whose time has come.
    let earlier = chrono::Utc::now() - chrono::TimeDelta::minutes(7);
    jobs.schedule("b", &schedule, earlier).unwrap();
    both.python.run(
        "


om.jobs.run('b', event=om.jobs.metadata('b').attributes['triggers'][-1]['event'])",
    );
    let triggers = Trigger::all(&jobs.metadata("b").unwrap());
    assert_eq!(triggers.last().unwrap().status, "OK", "{triggers:?}");
}
