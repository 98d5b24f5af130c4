//! What the machine refuses: a full disk, a read-only directory, missing permissions, too
//! many open files. Each is an error with its cause, and the store stays intact.
//!
//! The test binary runs itself in a namespace or with limits of its own; a case says so
//! and passes where the system does not allow that.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use bson::doc;
use omega::frame::Query;
use omega::progress::Silent;
use omega::storage::embedded::{EmbeddedStorage, Options};
use omega::storage::{Key, Metadata, Mode, Selection, Storage, Update};
use omega::{ErrorKind, Result};
use polars::prelude::*;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::Command;

const STORE: &str = "OM_TEST_STORE";
const TASK: &str = "OM_TEST_TASK";

fn key(name: &str) -> Key {
    Key::new("omegaml", "data/", name)
}

fn open(path: &Path) -> EmbeddedStorage {
    EmbeddedStorage::open(path, Options::default()).unwrap()
}

fn put_rows(storage: &dyn Storage, name: &str, mode: Mode, rows: u64) -> Result<Metadata> {
    let mut writer = storage.write(&key(name), mode)?;
    // Numbers that do not compress, in more than one row group if there are many.
    let noise = |n: u64| n.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ (n << 40);
    for start in (0..rows).step_by(50_000) {
        let n: Vec<u64> = (start..rows.min(start + 50_000)).map(noise).collect();
        writer.rows(df!("n" => n).unwrap())?;
    }
    writer.commit(Metadata::new(key(name), "pandas.dfrows"))
}

fn put_blob(storage: &dyn Storage, name: &str, length: usize) -> Result<Metadata> {
    let mut writer = storage.write(&key(name), Mode::Replace)?;
    for _ in 0..length.div_ceil(100_000) {
        writer.bytes(&[7; 100_000])?;
    }
    writer.commit(Metadata::new(key(name), "python.file"))
}

fn put_documents(storage: &dyn Storage, name: &str, count: i32) -> Result<Metadata> {
    let mut writer = storage.write(&key(name), Mode::Replace)?;
    let text = "x".repeat(1000);
    for n in 0..count {
        writer.document(doc! { "_id": n, "text": &text })?;
    }
    writer.commit(Metadata::new(key(name), "python.data"))
}

fn prepare(storage: &dyn Storage) {
    put_rows(storage, "rows", Mode::Create, 100).unwrap();
    put_blob(storage, "blob", 100_000).unwrap();
    put_documents(storage, "docs", 10).unwrap();
}

/// All three objects can be read.
fn is_intact(storage: &dyn Storage) {
    let find = |name: &str| storage.find(&key(name)).unwrap().unwrap();
    let scan = storage.scan(&find("rows"), &Query::default()).unwrap();
    assert_eq!(scan.frame.collect().unwrap().height(), 100);
    let mut bytes = Vec::new();
    storage
        .blob(&find("blob"))
        .unwrap()
        .read_to_end(&mut bytes)
        .unwrap();
    assert_eq!(bytes, [7; 100_000]);
    assert_eq!(
        storage
            .documents(&find("docs"))
            .unwrap()
            .map(Result::unwrap)
            .count(),
        10
    );
    assert_eq!(
        storage
            .list(&Selection::new("omegaml", "data/"))
            .unwrap()
            .len(),
        3
    );
    let report = storage.check(false, &Silent).unwrap();
    assert!(
        report.damaged.is_empty() && report.leftovers == 0,
        "{report:?}"
    );
}

/// A failure that says why and where.
fn refused<T>(result: Result<T>, cause: &str, place: &str) {
    let error = result.err().expect("a refusal");
    assert_eq!(error.kind(), ErrorKind::Failed, "{error}");
    let text = error.to_string();
    assert!(
        text.to_lowercase().contains(cause),
        "{text} does not say {cause}"
    );
    assert!(text.contains(place), "{text} does not say where");
    assert!(error.hint_text().is_some(), "{text} has no hint");
}

fn update(storage: &dyn Storage, text: &str) -> Result<Metadata> {
    let set = vec![("attributes.text".to_owned(), text.into())];
    storage.update(
        &key("blob"),
        &Update {
            set,
            ..Update::default()
        },
    )
}

/// Not a test: what runs where something is refused.
#[test]
fn child() {
    let (Ok(store), Ok(task)) = (std::env::var(STORE), std::env::var(TASK)) else {
        return;
    };
    let store = PathBuf::from(store);
    let place = store.to_str().unwrap();
    let storage = open(&store);
    match task.as_str() {
        "full disk" => {
            prepare(&storage);
            for round in 0..3 {
                refused(
                    put_rows(&storage, "rows", Mode::Replace, 2_000_000),
                    "no space",
                    "data/rows",
                );
                refused(
                    put_rows(&storage, "rows", Mode::Append, 2_000_000),
                    "no space",
                    "data/rows",
                );
                refused(
                    put_blob(&storage, "blob", 10_000_000),
                    "no space",
                    "data/blob",
                );
                refused(put_documents(&storage, "docs", 3_000), "full", "om.db");
                is_intact(&storage);
                assert!(round < 3);
            }
            // So full that not even metadata can be changed.
            let filler = store.join("filler");
            let _ = fs::write(&filler, vec![0; 10_000_000]);
            assert!(
                fs::metadata(&filler).unwrap().len() > 1_000_000,
                "space was not given back"
            );
            let long = "y".repeat(5_000_000);
            refused(update(&storage, &long), "full", "om.db");
            assert!(put_rows(&storage, "new", Mode::Create, 1000).is_err());
            is_intact(&storage);
            fs::remove_file(&filler).unwrap();
            update(&storage, "short").unwrap();
            put_rows(&storage, "rows", Mode::Append, 1000).unwrap();
        }
        "read-only" => {
            is_intact(&storage);
            refused(
                put_rows(&storage, "rows", Mode::Append, 10),
                "read-only",
                place,
            );
            refused(put_blob(&storage, "new", 10), "read-only", place);
            refused(storage.delete(&key("rows")), "read-only", place);
            refused(update(&storage, "x"), "read-only", place);
            is_intact(&storage);
        }
        "read-only and empty" => {
            assert!(
                storage
                    .list(&Selection::new("omegaml", "data/"))
                    .unwrap()
                    .is_empty()
            );
            refused(put_blob(&storage, "new", 10), "read-only", place);
        }
        "no permission" => {
            refused(storage.find(&key("rows")), "permission denied", place);
            refused(
                storage.list(&Selection::new("omegaml", "data/")),
                "permission denied",
                place,
            );
            refused(put_blob(&storage, "new", 10), "permission denied", place);
        }
        "too many files" => {
            let rows = storage.find(&key("parts")).unwrap().unwrap();
            refused(
                storage.scan(&rows, &Query::default()),
                "too many open files",
                place,
            );
            // Those that are open are closed again.
            is_intact_but_for_parts(&storage);
            let mut open_files = Vec::new();
            while let Ok(file) = fs::File::open("/dev/null") {
                open_files.push(file);
            }
            let error = put_blob(&storage, "new", 10).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Failed, "{error}");
            drop(open_files);
            put_blob(&storage, "new", 10).unwrap();
        }
        other => panic!("no such task: {other}"),
    }
    println!("the child is through");
}

fn is_intact_but_for_parts(storage: &dyn Storage) {
    let blob = storage.find(&key("blob")).unwrap().unwrap();
    let mut bytes = Vec::new();
    storage
        .blob(&blob)
        .unwrap()
        .read_to_end(&mut bytes)
        .unwrap();
    assert_eq!(bytes.len(), 100_000);
}

/// Runs a task of the child by these words; false where the system has no such means.
fn run(wrapper: &[&str], task: &str, store: &Path) -> bool {
    let possible = Command::new(wrapper[0])
        .args(&wrapper[1..])
        .args(["true"])
        .env(STORE, store)
        .output()
        .is_ok_and(|output| output.status.success());
    if !possible {
        eprintln!("skipped: `{}` does not work here", wrapper.join(" "));
        return false;
    }
    let output = Command::new(wrapper[0])
        .args(&wrapper[1..])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "child", "--nocapture"])
        .env(STORE, store)
        .env(TASK, task)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let complained = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success() && said.contains("is through"),
        "{said}{complained}"
    );
    true
}

/// The words that run a program in a mount namespace after a mount over the store.
fn mounted(mount: &str) -> [String; 7] {
    [
        "unshare",
        "--user",
        "--map-root-user",
        "--mount",
        "sh",
        "-c",
    ]
    .map(str::to_owned)
    .into_iter()
    .chain([format!("{mount} && exec \"$0\" \"$@\"")])
    .collect::<Vec<_>>()
    .try_into()
    .unwrap()
}

fn run_mounted(mount: &str, task: &str, store: &Path) -> bool {
    let words = mounted(mount);
    run(&words.each_ref().map(String::as_str), task, store)
}

#[test]
fn a_full_disk() {
    let home = tempfile::tempdir().unwrap();
    run_mounted(
        &format!("mount -t tmpfs -o size=3m none \"${STORE}\""),
        "full disk",
        home.path(),
    );
}

#[test]
fn a_read_only_directory() {
    let home = tempfile::tempdir().unwrap();
    let bind =
        format!("mount --bind \"${STORE}\" \"${STORE}\" && mount -o remount,bind,ro \"${STORE}\"");
    run_mounted(&bind, "read-only and empty", home.path());
    prepare(&open(home.path()));
    run_mounted(&bind, "read-only", home.path());
    is_intact(&open(home.path()));
}

#[test]
fn missing_permissions() {
    use std::os::unix::fs::PermissionsExt;
    let home = tempfile::tempdir().unwrap();
    let store = home.path().join("store");
    prepare(&open(&store));
    fs::set_permissions(home.path(), fs::Permissions::from_mode(0o755)).unwrap();
    fs::set_permissions(&store, fs::Permissions::from_mode(0o000)).unwrap();
    // Who may do everything has to give that up first.
    let wrapper: &[&str] = match fs::read_dir(&store) {
        Ok(_) => &[
            "setpriv",
            "--reuid",
            "65534",
            "--regid",
            "65534",
            "--clear-groups",
        ],
        Err(_) => &["env"],
    };
    run(wrapper, "no permission", &store);
    fs::set_permissions(&store, fs::Permissions::from_mode(0o700)).unwrap();
    is_intact(&open(&store));
}

#[test]
fn too_many_open_files() {
    let home = tempfile::tempdir().unwrap();
    let storage = open(home.path());
    put_blob(&storage, "blob", 100_000).unwrap();
    for _ in 0..30 {
        put_rows(&storage, "parts", Mode::Append, 10).unwrap();
    }
    drop(storage);
    run(
        &["sh", "-c", "ulimit -n 24 && exec \"$0\" \"$@\""],
        "too many files",
        home.path(),
    );
}
