//! Several processes on one store at once: readers never wait and never see a mixture,
//! writers take turns, and nothing is lost.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use bson::doc;
use omega::ErrorKind;
use omega::frame::Query;
use omega::progress::{Meter, Progress, Silent, Unit};
use omega::storage::embedded::{EmbeddedStorage, Options};
use omega::storage::{Key, Metadata, Mode, Selection, Storage, Update};
use polars::prelude::*;
use std::collections::BTreeSet;
use std::io::Read;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

mod server;
mod stores;

use stores::{open, places};

const STORE: &str = "OM_TEST_STORE";
const TASK: &str = "OM_TEST_TASK";
const NUMBER: &str = "OM_TEST_NUMBER";

const PROCESSES: i64 = 8;
const APPENDS: i64 = 25;

/// How often each process puts an object.
fn puts(store: &str) -> i64 {
    match store.starts_with("mongodb://") {
        true => 40,
        false => 200,
    }
}

fn key(name: &str) -> Key {
    Key::new("omegaml", "data/", name)
}

fn start(store: &str, task: &str, number: i64) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "child", "--nocapture"])
        .envs([(STORE, store), (TASK, task), (NUMBER, &number.to_string())])
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Waits for processes and shows what those that fail have to say.
fn all_succeed(processes: Vec<Child>) {
    for process in processes {
        let output = process.wait_with_output().unwrap();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
}

/// Not a test: what the processes do that the tests start.
#[test]
fn child() {
    let (Ok(store), Ok(task)) = (std::env::var(STORE), std::env::var(TASK)) else {
        return;
    };
    let storage = open(&store);
    let storage = storage.as_ref();
    let puts = puts(&store);
    let number: i64 = std::env::var(NUMBER).unwrap().parse().unwrap();
    match task.as_str() {
        "same name" => (0..puts).for_each(|put| put_on_shared_name(storage, number * puts + put)),
        "own names" => (0..puts).for_each(|put| {
            put_blob(
                storage,
                &format!("own {number}/{put}"),
                &own_content(number, put),
            );
        }),
        "append" => (0..APPENDS).for_each(|append| {
            let mut writer = storage.write(&key("appended"), Mode::Append).unwrap();
            writer.rows(appended(number, append)).unwrap();
            writer
                .commit(Metadata::new(key("appended"), "pandas.dfrows"))
                .unwrap();
        }),
        "read" => read_until_stopped(storage),
        other => panic!("no such task: {other}"),
    }
}

/// Rows for the reader to recognise: all say who has written them.
fn put_on_shared_name(storage: &dyn Storage, mark: i64) {
    let mut writer = storage.write(&key("shared"), Mode::Replace).unwrap();
    writer.rows(df!("n" => vec![mark; 50]).unwrap()).unwrap();
    let mut metadata = Metadata::new(key("shared"), "pandas.dfrows");
    metadata.attributes = doc! { "mark": mark };
    writer.commit(metadata).unwrap();
    let push = vec![("attributes.log".to_owned(), mark.into())];
    storage
        .update(
            &key("log"),
            &Update {
                push,
                ..Update::default()
            },
        )
        .unwrap();
}

fn own_content(number: i64, put: i64) -> Vec<u8> {
    format!("{number} {put} ").repeat(50).into_bytes()
}

fn put_blob(storage: &dyn Storage, name: &str, bytes: &[u8]) {
    let mut writer = storage.write(&key(name), Mode::Create).unwrap();
    writer.bytes(bytes).unwrap();
    writer
        .commit(Metadata::new(key(name), "python.file"))
        .unwrap();
}

fn appended(number: i64, append: i64) -> DataFrame {
    df!("n" => (0..10).map(|row| (number * APPENDS + append) * 10 + row).collect::<Vec<i64>>())
        .unwrap()
}

fn numbers(storage: &dyn Storage, metadata: &Metadata) -> Vec<i64> {
    read_numbers(storage, metadata).unwrap()
}

fn read_numbers(storage: &dyn Storage, metadata: &Metadata) -> omega::Result<Vec<i64>> {
    let frame = storage.scan(metadata, &Query::default())?.frame;
    let rows = omega::frame::collect(frame)?;
    let n = rows.column("n").unwrap().i64().unwrap();
    Ok(n.into_no_null_iter().collect())
}

/// Reads whatever there is, checks that it is whole, until an object called `stop` comes.
fn read_until_stopped(storage: &dyn Storage) {
    let mut reads = 0;
    while storage.find(&key("stop")).unwrap().is_none() {
        if let Some(shared) = storage.find(&key("shared")).unwrap() {
            match read_numbers(storage, &shared) {
                Ok(rows) => {
                    assert!(
                        rows.len() == 50 && rows.iter().all(|n| *n == rows[0]),
                        "{rows:?}"
                    );
                    reads += 1;
                }
                // A server replaces it faster than it is read: the contract allows for it.
                Err(error) => assert_eq!(error.kind(), ErrorKind::Conflict, "{error}"),
            }
        }
        if let Some(grown) = storage.find(&key("appended")).unwrap() {
            let rows = numbers(storage, &grown);
            for part in rows.chunks(10) {
                assert!(
                    part.len() == 10 && part.windows(2).all(|two| two[0] + 1 == two[1]),
                    "{part:?}"
                );
            }
        }
        let selection = Selection::new("omegaml", "data/");
        if let Some(last) = storage
            .list(&selection)
            .unwrap()
            .into_iter()
            .rfind(|m| m.kind == "python.file")
        {
            let mut bytes = Vec::new();
            storage
                .blob(&last)
                .unwrap()
                .read_to_end(&mut bytes)
                .unwrap();
            assert!(bytes.len() % 50 == 0, "{}", last.name());
        }
    }
    assert!(reads > 10, "the reader has waited: {reads}");
}

#[test]
fn eight_processes_lose_nothing() {
    lose_nothing("embedded");
}

#[test]
fn eight_clients_of_a_database_lose_nothing() {
    lose_nothing("mongo");
}

fn lose_nothing(kind: &str) {
    let started = Instant::now();
    let home = tempfile::tempdir().unwrap();
    let store = places(kind, &home.path().join("store"));
    let puts = puts(&store);
    let storage = open(&store);
    let storage = storage.as_ref();
    let writer = storage.write(&key("log"), Mode::Create).unwrap();
    writer
        .commit(Metadata::new(key("log"), "python.data"))
        .unwrap();
    let readers: Vec<Child> = (0..2).map(|number| start(&store, "read", number)).collect();
    for task in ["same name", "own names", "append"] {
        all_succeed(
            (0..PROCESSES)
                .map(|number| start(&store, task, number))
                .collect(),
        );
        println!("{task}: {:?}", started.elapsed());
    }
    put_blob(storage, "stop", b"");
    all_succeed(readers);

    // Every put on the shared name has happened once, and the last of them is there.
    let log = storage.find(&key("log")).unwrap().unwrap();
    let marks: Vec<i64> = log
        .attributes
        .get_array("log")
        .unwrap()
        .iter()
        .map(|mark| mark.as_i64().unwrap())
        .collect();
    assert_eq!(marks.len() as i64, PROCESSES * puts);
    assert_eq!(
        marks.iter().copied().collect::<BTreeSet<_>>(),
        (0..PROCESSES * puts).collect()
    );
    let shared = storage.find(&key("shared")).unwrap().unwrap();
    let mark = shared.attributes.get_i64("mark").unwrap();
    assert_eq!(numbers(storage, &shared), vec![mark; 50]);

    for number in 0..PROCESSES {
        for put in 0..puts {
            let found = storage
                .find(&key(&format!("own {number}/{put}")))
                .unwrap()
                .unwrap();
            let mut bytes = Vec::new();
            storage
                .blob(&found)
                .unwrap()
                .read_to_end(&mut bytes)
                .unwrap();
            assert_eq!(bytes, own_content(number, put));
        }
    }

    let grown = storage.find(&key("appended")).unwrap().unwrap();
    let rows = numbers(storage, &grown);
    assert_eq!(rows.len() as i64, PROCESSES * APPENDS * 10);
    assert_eq!(
        rows.iter().copied().collect::<BTreeSet<_>>(),
        (0..PROCESSES * APPENDS * 10).collect()
    );
    for number in 0..PROCESSES {
        // Each process's own appends are in its order.
        let own = |n: &&i64| **n / (APPENDS * 10) == number;
        assert!(rows.iter().filter(own).is_sorted(), "process {number}");
    }

    let report = storage.check(true, &Silent).unwrap();
    assert!(report.damaged.is_empty(), "{report:?}");
    assert_eq!(report.leftovers, 0, "{report:?}");
    stores::no_leftovers(&store, kind);
    println!("{:?}", started.elapsed());
}

/// Keeps what it is told.
#[derive(Default)]
struct Notes(Mutex<Vec<String>>);

impl Progress for Notes {
    fn meter(&self, label: &str, total: Option<u64>, unit: Unit) -> Box<dyn Meter> {
        Silent.meter(label, total, unit)
    }

    fn note(&self, message: &str) {
        self.0.lock().unwrap().push(message.to_owned());
    }
}

#[test]
fn a_writer_waits_with_a_word_and_a_limit() {
    let home = tempfile::tempdir().unwrap();
    let embedded = open(home.path().to_str().unwrap());
    put_blob(embedded.as_ref(), "a", b"x");
    let notes = Arc::new(Notes::default());
    let options = Options {
        lock_timeout: Duration::from_millis(1200),
        progress: notes.clone(),
        ..Options::default()
    };
    let storage = EmbeddedStorage::open(home.path(), options).unwrap();
    let other = rusqlite::Connection::open(home.path().join("om.db")).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let started = Instant::now();
    let error = storage.delete(&key("a")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TimedOut, "{error}");
    assert!(
        error.hint_text().unwrap().contains("another process"),
        "{error:?}"
    );
    assert!(started.elapsed() >= Duration::from_millis(1200));
    assert!(started.elapsed() < Duration::from_secs(5));
    let said = notes.0.lock().unwrap().clone();
    assert_eq!(said.len(), 1, "{said:?}");
    assert!(said[0].contains("waiting for another process"), "{said:?}");
    // Readers do not wait.
    let started = Instant::now();
    assert!(storage.find(&key("a")).unwrap().is_some());
    assert!(started.elapsed() < Duration::from_millis(500));
    // And the writer's turn comes.
    let waiting = std::thread::spawn(move || storage.delete(&key("a")).map(|gone| (gone, storage)));
    std::thread::sleep(Duration::from_millis(200));
    other.execute_batch("COMMIT").unwrap();
    let (gone, storage) = waiting.join().unwrap().unwrap();
    assert!(gone && storage.find(&key("a")).unwrap().is_none());
}
