//! The book of tasks, on every storage: who runs a task, and what became of it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use omega::ErrorKind;
use omega::runtime::{Claim, Ending, TaskError, TaskRecord, TaskSelection, TaskState, Tasks};
use serde_json::json;
use std::time::Duration;

mod server;
mod stores;

const LEASE: Duration = Duration::from_secs(30);
const DAY: Duration = Duration::from_secs(86_400);

fn on_every_storage(case: fn(&Tasks)) {
    for kind in ["embedded", "mongo"] {
        let home = tempfile::tempdir().unwrap();
        let storage = stores::open(&stores::places(kind, &home.path().join("store")));
        case(&Tasks::new(storage.as_ref(), DAY));
    }
}

fn sent(id: &str) -> TaskRecord {
    TaskRecord {
        label: "default".to_owned(),
        args: "('a', 1)".to_owned(),
        ..TaskRecord::new(id, "omegaml.tasks.omega_ping")
    }
}

fn finish(tasks: &Tasks, id: &str, worker: &str, ending: &Ending) -> omega::Result<bool> {
    Ok(tasks.finish(&[(id, ending)], worker)? == [id])
}

fn taken(claim: &Claim) -> &TaskRecord {
    match claim {
        Claim::Taken(task) => task,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_task_goes_its_way() {
    on_every_storage(|tasks| {
        let task = sent("a");
        tasks.submit(&task).unwrap();
        assert_eq!(tasks.submit(&task).unwrap_err().kind(), ErrorKind::Conflict);
        assert_eq!(tasks.get("a").unwrap(), task);
        let pending = tasks.get("a").unwrap().outcome().unwrap_err();
        assert_eq!(pending.kind(), ErrorKind::Conflict);
        let claims = tasks.claim(&[task], "w1", LEASE).unwrap();
        let started = taken(&claims[0]);
        assert_eq!((started.state, started.attempts), (TaskState::Started, 1));
        assert_eq!(started.worker.as_deref(), Some("w1"));
        let answer = json!({"message": "ping", "list": [1, 2.5, null]});
        assert!(!finish(tasks, "a", "w2", &Ending::Revoked).unwrap());
        assert!(finish(tasks, "a", "w1", &Ending::Success(answer.clone())).unwrap());
        assert!(!finish(tasks, "a", "w1", &Ending::Revoked).unwrap());
        assert!(!tasks.revoke("a").unwrap());
        let done = tasks.get("a").unwrap();
        assert!(done.ended.is_some());
        assert_eq!(done.outcome().unwrap(), answer);
        assert_eq!(tasks.get("b").unwrap_err().kind(), ErrorKind::NotFound);
    });
}

#[test]
fn of_many_claims_one_is_taken() {
    on_every_storage(|tasks| {
        tasks.submit(&sent("known")).unwrap();
        let both = [sent("known"), sent("unknown")];
        let first = tasks.claim(&both, "w1", LEASE).unwrap();
        assert!(first.iter().all(|claim| matches!(claim, Claim::Taken(_))));
        let second = tasks.claim(&both, "w2", LEASE).unwrap();
        assert!(
            second.iter().all(|claim| matches!(claim, Claim::Held(_))),
            "{second:?}"
        );
        // Not even the worker itself runs it twice at a time.
        let again = tasks.claim(&both, "w1", LEASE).unwrap();
        assert!(again.iter().all(|claim| matches!(claim, Claim::Held(_))));
        finish(tasks, "known", "w1", &Ending::Success(json!(1))).unwrap();
        let third = tasks.claim(&both, "w2", LEASE).unwrap();
        assert!(matches!(&third[0], Claim::Finished(task) if task.result == json!(1)));
    });
}

#[test]
fn a_lease_that_runs_out_is_anothers() {
    on_every_storage(|tasks| {
        let short = Duration::from_millis(30);
        tasks.claim(&[sent("a"), sent("b")], "dead", short).unwrap();
        assert_eq!(tasks.renew(&["a"], "dead", LEASE).unwrap(), ["a"]);
        std::thread::sleep(short * 3);
        let claims = tasks
            .claim(&[sent("a"), sent("b")], "alive", LEASE)
            .unwrap();
        assert!(matches!(claims[0], Claim::Held(_)));
        assert_eq!(taken(&claims[1]).attempts, 2);
        assert!(tasks.renew(&["b"], "dead", LEASE).unwrap().is_empty());
        assert!(!finish(tasks, "b", "dead", &Ending::Success(json!("late"))).unwrap());
        tasks.release("a", "dead", TaskState::Retry).unwrap();
        let claims = tasks.claim(&[sent("a")], "alive", LEASE).unwrap();
        assert_eq!(taken(&claims[0]).attempts, 2);
    });
}

#[test]
fn a_task_that_is_handed_back_was_not_started() {
    on_every_storage(|tasks| {
        for worker in ["w1", "w2", "w3", "w4"] {
            let claims = tasks.claim(&[sent("a")], worker, LEASE).unwrap();
            assert_eq!(taken(&claims[0]).attempts, 1, "{worker}");
            tasks.release("a", worker, TaskState::Pending).unwrap();
            assert_eq!(tasks.get("a").unwrap().state, TaskState::Pending);
        }
    });
}

#[test]
fn failures_and_cancellations_are_told() {
    on_every_storage(|tasks| {
        let error = TaskError {
            class: "builtins.ValueError".to_owned(),
            message: "no such column".to_owned(),
            traceback: Some("Traceback …".to_owned()),
        };
        tasks.claim(&[sent("a")], "w", LEASE).unwrap();
        finish(tasks, "a", "w", &Ending::Failure(error.clone())).unwrap();
        let failed = tasks.get("a").unwrap();
        assert_eq!(failed.error, Some(error));
        let said = failed.outcome().unwrap_err();
        assert_eq!(said.kind(), ErrorKind::TaskFailed);
        assert!(
            said.to_string().contains("ValueError: no such column"),
            "{said}"
        );
        tasks.submit(&sent("b")).unwrap();
        assert!(tasks.revoke("b").unwrap());
        let claims = tasks.claim(&[sent("b")], "w", LEASE).unwrap();
        assert!(matches!(&claims[0], Claim::Finished(task) if task.state == TaskState::Revoked));
        tasks.submit(&sent("c")).unwrap();
        let learned = tasks.learn("c", &Ending::Success(json!([[1.0]]))).unwrap();
        assert_eq!(learned, tasks.get("c").unwrap());
        assert_eq!(tasks.learn("c", &Ending::Revoked).unwrap(), learned);
        let states = |states: &[TaskState]| {
            let selection = TaskSelection {
                states: states.to_vec(),
                limit: None,
            };
            let mut ids: Vec<String> = tasks
                .list(&selection)
                .unwrap()
                .into_iter()
                .map(|task| task.id)
                .collect();
            ids.sort();
            ids
        };
        assert_eq!(states(&[]), ["a", "b", "c"]);
        assert_eq!(
            states(&[TaskState::Failure, TaskState::Revoked]),
            ["a", "b"]
        );
        let huge = Ending::Success(json!("x".repeat(9 << 20)));
        tasks.claim(&[sent("d")], "w", LEASE).unwrap();
        assert_eq!(
            finish(tasks, "d", "w", &huge).unwrap_err().kind(),
            ErrorKind::Invalid
        );
    });
}

#[test]
fn old_tasks_are_forgotten() {
    for kind in ["embedded", "mongo"] {
        let home = tempfile::tempdir().unwrap();
        let storage = stores::open(&stores::places(kind, &home.path().join("store")));
        let tasks = Tasks::new(storage.as_ref(), Duration::ZERO);
        tasks.claim(&[sent("a")], "w", LEASE).unwrap();
        finish(&tasks, "a", "w", &Ending::Success(json!(1))).unwrap();
        tasks.sweep().unwrap();
        assert_eq!(tasks.get("a").unwrap_err().kind(), ErrorKind::NotFound);
    }
}
