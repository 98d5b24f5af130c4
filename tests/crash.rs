//! All or nothing: whatever instant a writing process dies at, the next one finds every
//! object as it was before or as it should become, and can sweep up what is left.
//!
//! The test binary runs itself as the process that dies: at each of the failure points
//! that `OM_CRASH_AT` counts, and by SIGKILL at random times.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use bson::doc;
use omega::frame::Query;
use omega::progress::Silent;
use omega::storage::{Key, Metadata, Mode, Selection, Storage, Update, crash};
use polars::prelude::*;
use sha2::{Digest, Sha256};
use std::io::Read;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

mod server;
mod stores;

use stores::{open, places};

const STORE: &str = "OM_TEST_STORE";
const STEP: &str = "OM_TEST_STEP";

/// A change of a store: what is there before, and what the process that dies does.
struct Step {
    name: &'static str,
    prepare: fn(&dyn Storage),
    run: fn(&dyn Storage),
}

const STEPS: [Step; 15] = [
    Step {
        name: "first put into nothing",
        prepare: |_| {},
        run: |s| put(s, Mode::Create, 1),
    },
    Step {
        name: "put another",
        prepare: |s| blob(s, "other", 3),
        run: |s| put(s, Mode::Create, 1),
    },
    Step {
        name: "replace rows",
        prepare: |s| put(s, Mode::Create, 1),
        run: |s| put(s, Mode::Replace, 2),
    },
    Step {
        name: "append rows",
        prepare: |s| put(s, Mode::Create, 1),
        run: |s| put(s, Mode::Append, 2),
    },
    Step {
        name: "append and compact",
        prepare: |s| (0..31).for_each(|n| put(s, Mode::Append, n)),
        run: |s| put(s, Mode::Append, 31),
    },
    Step {
        name: "replace rows by a file",
        prepare: |s| put(s, Mode::Create, 1),
        run: |s| blob(s, "object", 5),
    },
    Step {
        name: "many row groups",
        prepare: |s| put(s, Mode::Create, 1),
        run: large,
    },
    Step {
        name: "rows that cannot wait in memory",
        prepare: |s| put(s, Mode::Create, 1),
        run: wide,
    },
    Step {
        name: "put a file",
        prepare: |s| put(s, Mode::Create, 1),
        run: |s| blob(s, "file", 600_000),
    },
    Step {
        name: "replace a file",
        prepare: |s| blob(s, "file", 10),
        run: |s| blob(s, "file", 20),
    },
    Step {
        name: "replace documents",
        prepare: |s| documents(s, Mode::Create, 10),
        run: |s| documents(s, Mode::Replace, 20),
    },
    Step {
        name: "append many documents",
        prepare: |s| documents(s, Mode::Create, 10),
        run: |s| documents(s, Mode::Append, 9_000),
    },
    Step {
        name: "drop",
        prepare: |s| put(s, Mode::Create, 1),
        run: |s| assert!(s.delete(&key("object")).unwrap()),
    },
    Step {
        name: "rename",
        prepare: |s| put(s, Mode::Create, 1),
        run: |s| drop(s.rename(&key("object"), &key("renamed")).unwrap()),
    },
    Step {
        name: "update",
        prepare: |s| put(s, Mode::Create, 1),
        run: update,
    },
];

fn key(name: &str) -> Key {
    Key::new("omegaml", "data/", name)
}

fn numbers(number: i64, rows: i64) -> DataFrame {
    let n: Vec<i64> = (0..rows).map(|row| number * 1000 + row).collect();
    df!("n" => n).unwrap()
}

fn put(storage: &dyn Storage, mode: Mode, number: i64) {
    let mut writer = storage.write(&key("object"), mode).unwrap();
    writer.rows(numbers(number, 100)).unwrap();
    let mut metadata = Metadata::new(key("object"), "pandas.dfrows");
    metadata.attributes = doc! { "number": number };
    writer.commit(metadata).unwrap();
}

fn large(storage: &dyn Storage) {
    let mut writer = storage.write(&key("object"), Mode::Replace).unwrap();
    (0..3).for_each(|number| writer.rows(numbers(number, 100_000)).unwrap());
    writer
        .commit(Metadata::new(key("object"), "pandas.dfrows"))
        .unwrap();
}

fn wide(storage: &dyn Storage) {
    let mut writer = storage.write(&key("object"), Mode::Replace).unwrap();
    let text = vec!["x".repeat(1 << 20); 14];
    (0..3).for_each(|number| {
        let mut frame = numbers(number, 14);
        frame
            .with_column(Column::new("text".into(), &text))
            .unwrap();
        writer.rows(frame).unwrap();
    });
    writer
        .commit(Metadata::new(key("object"), "pandas.dfrows"))
        .unwrap();
}

fn blob(storage: &dyn Storage, name: &str, length: usize) {
    let mut writer = storage.write(&key(name), Mode::Replace).unwrap();
    writer.bytes(&vec![length as u8; length]).unwrap();
    writer
        .commit(Metadata::new(key(name), "python.file"))
        .unwrap();
}

fn documents(storage: &dyn Storage, mode: Mode, count: i32) {
    let mut writer = storage.write(&key("object"), mode).unwrap();
    let text = "x".repeat(500);
    let first = if mode == Mode::Append { 10 } else { 0 };
    (first..first + count).for_each(|n| writer.document(doc! { "_id": n, "text": &text }).unwrap());
    writer
        .commit(Metadata::new(key("object"), "python.data"))
        .unwrap();
}

fn update(storage: &dyn Storage) {
    let update = Update {
        set: vec![("attributes.new".into(), 1.into())],
        ..Update::default()
    };
    storage.update(&key("object"), &update).unwrap();
}

/// All that can be read of a store: each object's name, kind, attributes and content.
fn state(storage: &dyn Storage) -> Vec<String> {
    let objects = storage.list(&Selection::new("omegaml", "data/")).unwrap();
    let describe = |metadata: &Metadata| {
        let mut hash = Sha256::new();
        let count = storage.stats(metadata).unwrap().count;
        match metadata.kind.as_str() {
            "pandas.dfrows" => {
                let frame = storage.scan(metadata, &Query::default()).unwrap().frame;
                let frame = omega::frame::collect(frame).unwrap();
                let column = frame.column("n").unwrap().i64().unwrap().clone();
                column
                    .into_no_null_iter()
                    .for_each(|n| hash.update(n.to_le_bytes()));
            }
            "python.data" => storage
                .documents(metadata)
                .unwrap()
                .for_each(|document| hash.update(document.unwrap().to_vec().unwrap())),
            _ => {
                let mut bytes = Vec::new();
                storage
                    .blob(metadata)
                    .unwrap()
                    .read_to_end(&mut bytes)
                    .unwrap();
                hash.update(bytes);
            }
        }
        let (name, attributes) = (metadata.name(), &metadata.attributes);
        format!(
            "{name} {} {attributes} {count:?} {:?}",
            metadata.kind,
            hash.finalize()
        )
    };
    objects.iter().map(describe).collect()
}

/// Runs the `child` below as another process.
fn spawn(store: &str, step: &str, crash_at: Option<u64>) -> Child {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["--exact", "child", "--nocapture"])
        .env(STORE, store)
        .env(STEP, step)
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    if let Some(point) = crash_at {
        command.env(crash::VARIABLE, point.to_string());
    }
    command.spawn().unwrap()
}

/// Not a test: the process that the tests start and that dies.
#[test]
fn child() {
    let (Ok(store), Ok(name)) = (std::env::var(STORE), std::env::var(STEP)) else {
        return;
    };
    let storage = open(&store);
    match STEPS.iter().find(|step| step.name == name) {
        Some(step) => (step.run)(storage.as_ref()),
        None => work_for_ever(storage.as_ref()),
    }
}

/// Dies at each point of one step; the number of deaths.
fn die_everywhere(step: &Step, kind: &str) -> u64 {
    let home = tempfile::tempdir().unwrap();
    let prepared = |name: &str| {
        let place = places(kind, &home.path().join(name));
        (step.prepare)(open(&place).as_ref());
        place
    };
    let template = prepared("template");
    let before = state(open(&template).as_ref());
    (step.run)(open(&template).as_ref());
    let after = state(open(&template).as_ref());
    assert_ne!(before, after, "{}", step.name);

    for point in 1.. {
        let folder = format!("store {point}");
        let store = prepared(&folder);
        let survived = spawn(&store, step.name, Some(point))
            .wait()
            .unwrap()
            .success();
        let place = format!("{kind}: {}, point {point}", step.name);
        let storage = open(&store);
        let storage = storage.as_ref();
        let found = state(storage);
        assert!(found == before || found == after, "{place}: {found:?}");
        assert!(
            !survived || found == after,
            "{place}: survived without effect"
        );
        let report = storage.check(true, &Silent).unwrap();
        assert!(report.damaged.is_empty(), "{place}: {report:?}");
        assert!(report.leftovers <= 32, "{place}: {report:?}");
        assert_eq!(
            state(storage),
            found,
            "{place}: the repair has changed something"
        );
        let report = storage.check(false, &Silent).unwrap();
        assert_eq!(report.leftovers, 0, "{place}: {report:?}");
        stores::no_leftovers(&store, &place);
        if found == before && point % 3 == 0 {
            // The store is as good as new.
            (step.run)(storage);
            assert_eq!(state(storage), after, "{place}: not after another try");
        }
        // The first points of the first put come before there is a directory.
        let _ = std::fs::remove_dir_all(home.path().join(folder));
        if survived {
            assert!(point > 2, "{place}: the step has no failure points");
            return point - 1;
        }
    }
    0
}

fn die_at_every_step(kind: &str, steps: &[&Step], at_least: u64) {
    let started = Instant::now();
    let next = std::sync::atomic::AtomicUsize::new(0);
    let deaths = std::sync::atomic::AtomicU64::new(0);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while let Some(step) =
                    steps.get(next.fetch_add(1, std::sync::atomic::Ordering::Relaxed))
                {
                    let here = die_everywhere(step, kind);
                    println!(
                        "{kind}: {}: {here} deaths, {:?}",
                        step.name,
                        started.elapsed()
                    );
                    deaths.fetch_add(here, std::sync::atomic::Ordering::Relaxed);
                }
            });
        }
    });
    let deaths = deaths.into_inner();
    println!("{kind}: {deaths} deaths in {:?}", started.elapsed());
    assert!(
        deaths >= at_least,
        "only {deaths} failure points: has a write path lost its own?"
    );
}

#[test]
fn a_process_may_die_at_every_step() {
    die_at_every_step("embedded", &STEPS.iter().collect::<Vec<_>>(), 200);
}

#[test]
fn a_client_of_a_database_may_die_at_every_step() {
    // A database has nothing to compact and no row groups.
    let others = ["append and compact", "many row groups"];
    let steps: Vec<&Step> = STEPS
        .iter()
        .filter(|step| !others.contains(&step.name))
        .collect();
    die_at_every_step("mongo", &steps, 135);
}

/// Writes objects whose content can be told from their length.
fn work_for_ever(storage: &dyn Storage) {
    let appended = key("appended");
    loop {
        let now = storage.find(&appended).unwrap();
        let count = now.map_or(0, |now| storage.stats(&now).unwrap().count.unwrap()) as i64;
        let mut writer = storage.write(&appended, Mode::Append).unwrap();
        writer
            .rows(df!("n" => (count..count + 10).collect::<Vec<_>>()).unwrap())
            .unwrap();
        writer
            .commit(Metadata::new(appended.clone(), "pandas.dfrows"))
            .unwrap();
        put(storage, Mode::Replace, count);
        blob(storage, "file", (count * 100) as usize % 400_000);
        let _ = storage.delete(&key("moved"));
        storage.rename(&key("file"), &key("moved")).unwrap();
        storage.delete(&key("object")).unwrap();
        documents(storage, Mode::Replace, 1 + count as i32 % 3_000);
        update(storage);
    }
}

/// Whether each object is one that `work_for_ever` writes, whole.
fn is_whole(storage: &dyn Storage) {
    for metadata in storage.list(&Selection::new("omegaml", "data/")).unwrap() {
        let count = storage.stats(&metadata).unwrap().count;
        let numbers = || {
            let frame = storage.scan(&metadata, &Query::default()).unwrap().frame;
            omega::frame::collect(frame)
                .unwrap()
                .column("n")
                .unwrap()
                .i64()
                .unwrap()
                .into_no_null_iter()
                .collect::<Vec<_>>()
        };
        match (metadata.name(), metadata.kind.as_str()) {
            ("appended", _) => {
                assert_eq!(numbers(), (0..count.unwrap() as i64).collect::<Vec<_>>());
                assert_eq!(count.unwrap() % 10, 0);
            }
            ("object", "pandas.dfrows") => {
                let number = metadata.attributes.get_i64("number").unwrap();
                assert_eq!(
                    numbers(),
                    (0..100).map(|row| number * 1000 + row).collect::<Vec<_>>()
                );
            }
            ("object", _) => {
                let mut all = storage.documents(&metadata).unwrap().enumerate();
                assert!(
                    all.all(|(n, document)| document.unwrap().get_i32("_id").unwrap() == n as i32)
                );
            }
            _ => {
                let mut bytes = Vec::new();
                storage
                    .blob(&metadata)
                    .unwrap()
                    .read_to_end(&mut bytes)
                    .unwrap();
                let length = bytes.len();
                assert!(bytes.into_iter().all(|byte| byte == length as u8));
            }
        }
    }
}

fn kill_at_any_time(kind: &str, kills: u64, longest: u64) {
    let home = tempfile::tempdir().unwrap();
    let store = places(kind, &home.path().join("store"));
    // A generator that is good enough to choose moments.
    let mut random = 0x9e37_79b9_7f4a_7c15_u64;
    for _ in 0..kills {
        let mut process = spawn(&store, "work for ever", None);
        random = random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        std::thread::sleep(Duration::from_millis(30 + (random >> 33) % longest));
        process.kill().unwrap();
        assert!(!process.wait().unwrap().success());
        is_whole(open(&store).as_ref());
    }
    let storage = open(&store);
    let storage = storage.as_ref();
    let report = storage.check(true, &Silent).unwrap();
    assert!(report.damaged.is_empty(), "{report:?}");
    assert!(report.leftovers <= kills * 34, "{report:?}");
    assert!(report.objects >= 2, "{report:?}");
    is_whole(storage);
    assert_eq!(storage.check(false, &Silent).unwrap().leftovers, 0);
    stores::no_leftovers(&store, kind);
}

#[test]
fn a_process_may_be_killed_at_any_time() {
    kill_at_any_time("embedded", 40, 270);
}

#[test]
fn a_client_of_a_database_may_be_killed_at_any_time() {
    kill_at_any_time("mongo", 20, 1_500);
}
