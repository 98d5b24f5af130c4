//! All or nothing: whatever instant a writing process dies at, the next one finds every
//! object as it was before or as it should become, and can sweep up what is left.
//!
//! The test binary runs itself as the process that dies: at each of the failure points
//! that `OM_CRASH_AT` counts, and by SIGKILL at random times.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use bson::doc;
use omega::frame::Query;
use omega::progress::Silent;
use omega::storage::embedded::{EmbeddedStorage, Options, crash};
use omega::storage::{Key, Metadata, Mode, Selection, Storage, Update};
use polars::prelude::*;
use sha2::{Digest, Sha256};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const STORE: &str = "OM_TEST_STORE";
const STEP: &str = "OM_TEST_STEP";

/// A change of a store: what is there before, and what the process that dies does.
struct Step {
    name: &'static str,
    prepare: fn(&dyn Storage),
    run: fn(&dyn Storage),
}

const STEPS: [Step; 14] = [
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

fn open(path: &Path) -> EmbeddedStorage {
    EmbeddedStorage::open(path, Options::default()).unwrap()
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
    (0..count).for_each(|n| writer.document(doc! { "_id": n, "text": &text }).unwrap());
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
                let frame = storage
                    .scan(metadata, &Query::default())
                    .unwrap()
                    .frame
                    .collect()
                    .unwrap();
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

fn copy(from: &Path, to: &Path) {
    if !from.exists() {
        return;
    }
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        match entry.file_type().unwrap().is_dir() {
            true => copy(&entry.path(), &target),
            false => drop(std::fs::copy(entry.path(), target).unwrap()),
        }
    }
}

/// Runs the `child` below as another process.
fn spawn(store: &Path, step: &str, crash_at: Option<u64>) -> Child {
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
    let storage = open(&PathBuf::from(store));
    match STEPS.iter().find(|step| step.name == name) {
        Some(step) => (step.run)(&storage),
        None => work_for_ever(&storage),
    }
}

/// Dies at each point of one step; the number of deaths.
fn die_everywhere(step: &Step) -> u64 {
    let home = tempfile::tempdir().unwrap();
    let template = home.path().join("template");
    (step.prepare)(&open(&template));
    let before = state(&open(&template));
    let finished = home.path().join("finished");
    copy(&template, &finished);
    (step.run)(&open(&finished));
    let after = state(&open(&finished));
    assert_ne!(before, after, "{}", step.name);

    for point in 1.. {
        let store = home.path().join(format!("store {point}"));
        copy(&template, &store);
        let survived = spawn(&store, step.name, Some(point))
            .wait()
            .unwrap()
            .success();
        let place = format!("{}, point {point}", step.name);
        let storage = open(&store);
        let found = state(&storage);
        assert!(found == before || found == after, "{place}: {found:?}");
        assert!(
            !survived || found == after,
            "{place}: survived without effect"
        );
        let report = storage.check(true, &Silent).unwrap();
        assert!(report.damaged.is_empty(), "{place}: {report:?}");
        assert!(report.leftovers <= 32, "{place}: {report:?}");
        assert_eq!(
            state(&storage),
            found,
            "{place}: the repair has changed something"
        );
        let report = storage.check(false, &Silent).unwrap();
        assert_eq!(report.leftovers, 0, "{place}: {report:?}");
        if found == before && point % 3 == 0 {
            // The store is as good as new.
            (step.run)(&storage);
            assert_eq!(state(&storage), after, "{place}: not after another try");
        }
        drop(storage);
        // The first points of the first put come before there is a directory.
        let _ = std::fs::remove_dir_all(&store);
        if survived {
            assert!(point > 2, "{place}: the step has no failure points");
            return point - 1;
        }
    }
    0
}

#[test]
fn a_process_may_die_at_every_step() {
    let started = Instant::now();
    let next = std::sync::atomic::AtomicUsize::new(0);
    let deaths = std::sync::atomic::AtomicU64::new(0);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while let Some(step) =
                    STEPS.get(next.fetch_add(1, std::sync::atomic::Ordering::Relaxed))
                {
                    let here = die_everywhere(step);
                    println!("{}: {here} deaths", step.name);
                    deaths.fetch_add(here, std::sync::atomic::Ordering::Relaxed);
                }
            });
        }
    });
    let deaths = deaths.into_inner();
    println!("{deaths} deaths in {:?}", started.elapsed());
    assert!(
        deaths >= 200,
        "only {deaths} failure points: has a write path lost its own?"
    );
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
        documents(storage, Mode::Replace, count as i32 % 3_000);
        update(storage);
    }
}

/// Whether each object is one that `work_for_ever` writes, whole.
fn is_whole(storage: &dyn Storage) {
    for metadata in storage.list(&Selection::new("omegaml", "data/")).unwrap() {
        let count = storage.stats(&metadata).unwrap().count;
        let numbers = || {
            let frame = storage
                .scan(&metadata, &Query::default())
                .unwrap()
                .frame
                .collect()
                .unwrap();
            frame
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

#[test]
fn a_process_may_be_killed_at_any_time() {
    let home = tempfile::tempdir().unwrap();
    let store = home.path().join("store");
    // A generator that is good enough to choose moments.
    let mut random = 0x9e37_79b9_7f4a_7c15_u64;
    for _ in 0..40 {
        let mut process = spawn(&store, "work for ever", None);
        random = random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        std::thread::sleep(Duration::from_millis(30 + (random >> 33) % 270));
        process.kill().unwrap();
        assert!(!process.wait().unwrap().success());
        is_whole(&open(&store));
    }
    let storage = open(&store);
    let report = storage.check(true, &Silent).unwrap();
    assert!(report.damaged.is_empty(), "{report:?}");
    assert!(report.leftovers <= 40 * 34, "{report:?}");
    assert!(report.objects >= 2, "{report:?}");
    is_whole(&storage);
    assert_eq!(storage.check(false, &Silent).unwrap().leftovers, 0);
}
