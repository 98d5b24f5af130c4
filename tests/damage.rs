//! Stored bytes that change by themselves: every read notices before it hands out what
//! it has read, says which object it is, and `check` finds it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use bson::doc;
use omega::frame::{Columns, Query};
use omega::progress::Silent;
use omega::storage::embedded::{EmbeddedStorage, Options};
use omega::storage::{Key, Metadata, Mode, Selection, Storage};
use omega::{Error, ErrorKind, Result};
use polars::prelude::*;
use std::fs::{self, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

fn key(name: &str) -> Key {
    Key::new("omegaml", "data/", name)
}

fn open(home: &Path) -> EmbeddedStorage {
    EmbeddedStorage::open(home, Options::default()).unwrap()
}

fn put_rows(storage: &dyn Storage, name: &str, mode: Mode, frame: DataFrame) {
    let mut writer = storage.write(&key(name), mode).unwrap();
    writer.rows(frame).unwrap();
    writer
        .commit(Metadata::new(key(name), "pandas.dfrows"))
        .unwrap();
}

fn put_blob(storage: &dyn Storage, name: &str, bytes: &[u8]) {
    let mut writer = storage.write(&key(name), Mode::Replace).unwrap();
    writer.bytes(bytes).unwrap();
    writer
        .commit(Metadata::new(key(name), "python.file"))
        .unwrap();
}

fn put_documents(storage: &dyn Storage, name: &str) {
    let mut writer = storage.write(&key(name), Mode::Replace).unwrap();
    (0..50).for_each(|n| {
        writer
            .document(doc! { "_id": n, "text": "some text" })
            .unwrap()
    });
    writer
        .commit(Metadata::new(key(name), "python.data"))
        .unwrap();
}

fn found(storage: &dyn Storage, name: &str) -> Result<Metadata> {
    storage
        .find(&key(name))?
        .ok_or_else(|| Error::not_found("it cannot be found"))
}

fn read_rows(storage: &dyn Storage, name: &str, query: &Query) -> Result<DataFrame> {
    let metadata = found(storage, name)?;
    let scan = storage.scan(&metadata, query)?;
    Ok(scan.frame.collect().unwrap())
}

fn read_blob(storage: &dyn Storage, name: &str) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let metadata = found(storage, name)?;
    let read = storage.blob(&metadata)?.read_to_end(&mut bytes);
    omega::error::Context::context(read, || "cannot read").map(|_| bytes)
}

fn content_file(home: &Path, extension: &str) -> PathBuf {
    let mut files: Vec<PathBuf> = fs::read_dir(home.join("content"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|found| found == extension))
        .collect();
    assert_eq!(files.len(), 1, "{files:?}");
    files.remove(0)
}

fn flip(path: &Path, position: u64) {
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .open(path)
        .unwrap();
    let mut byte = [0];
    file.seek(SeekFrom::Start(position)).unwrap();
    file.read_exact(&mut byte).unwrap();
    file.seek(SeekFrom::Start(position)).unwrap();
    file.write_all(&[byte[0] ^ 0x10]).unwrap();
}

fn is_corrupt(error: &Error, parts: &[&str]) {
    assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
    let text = error.to_string();
    assert!(
        parts.iter().all(|part| text.contains(part)),
        "{text} lacks one of {parts:?}"
    );
    assert!(error.hint_text().is_some(), "{text} has no hint");
}

/// Numbers that do not compress.
fn noise(rows: usize) -> Vec<u64> {
    let mut state = 1u64;
    let mut next = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        state ^ (state >> 29)
    };
    (0..rows).map(|_| next()).collect()
}

#[test]
fn every_byte_of_rows_is_proved() {
    let home = tempfile::tempdir().unwrap();
    let storage = open(home.path());
    let frame = df!("n" => [1i64, 2, 3], "text" => ["a", "b", "c"]).unwrap();
    put_rows(&storage, "a", Mode::Create, frame.clone());
    let file = content_file(home.path(), "parquet");
    let name = file.file_name().unwrap().to_str().unwrap();
    for position in (0..fs::metadata(&file).unwrap().len()).step_by(7) {
        flip(&file, position);
        let error = read_rows(&storage, "a", &Query::default()).unwrap_err();
        is_corrupt(&error, &["data/a", name]);
        flip(&file, position);
    }
    assert_eq!(read_rows(&storage, "a", &Query::default()).unwrap(), frame);
}

#[test]
fn only_what_is_read_is_proved_and_named() {
    let home = tempfile::tempdir().unwrap();
    let storage = open(home.path());
    let rows = 300_000;
    let frame = df!("x" => noise(rows), "y" => noise(rows), "z" => noise(rows)).unwrap();
    put_rows(&storage, "a", Mode::Create, frame.clone());
    let file = content_file(home.path(), "parquet");
    let length = fs::metadata(&file).unwrap().len();
    let only = |name: &str| Query {
        columns: Columns::Only(vec![name.to_owned()]),
        ..Query::default()
    };
    let start = Query {
        skip: 5,
        limit: Some(10),
        ..Query::default()
    };

    // In the middle of the middle column of the first row group.
    let middle = length * 128 * 1024 / rows as u64 / 2;
    flip(&file, middle);
    assert_eq!(
        read_rows(&storage, "a", &only("x")).unwrap(),
        frame.select(["x"]).unwrap()
    );
    is_corrupt(
        &read_rows(&storage, "a", &only("y")).unwrap_err(),
        &["data/a", "column `y`"],
    );
    is_corrupt(
        &read_rows(&storage, "a", &Query::default()).unwrap_err(),
        &["data/a", "column `y`"],
    );
    is_corrupt(
        &read_rows(&storage, "a", &start).unwrap_err(),
        &["column `y`"],
    );
    flip(&file, middle);

    // In the last row group.
    let late = length - length / 20;
    flip(&file, late);
    assert_eq!(
        read_rows(&storage, "a", &start).unwrap(),
        frame.slice(5, 10)
    );
    is_corrupt(
        &read_rows(&storage, "a", &Query::default()).unwrap_err(),
        &["data/a"],
    );
    flip(&file, late);

    // The footer is needed by everybody.
    flip(&file, length - 20);
    is_corrupt(
        &read_rows(&storage, "a", &only("x")).unwrap_err(),
        &["footer"],
    );
    flip(&file, length - 20);
    assert_eq!(read_rows(&storage, "a", &Query::default()).unwrap(), frame);
}

#[test]
fn every_byte_of_a_blob_is_proved() {
    let home = tempfile::tempdir().unwrap();
    let storage = open(home.path());
    let bytes = vec![7; 300_000];
    put_blob(&storage, "a", &bytes);
    let file = content_file(home.path(), "blob");
    for position in [0, 1, 131_071, 131_072, 250_000, 299_999] {
        flip(&file, position);
        is_corrupt(&read_blob(&storage, "a").unwrap_err(), &["data/a", ".blob"]);
        flip(&file, position);
    }
    // Blocks that are whole can be read nevertheless.
    flip(&file, 299_999);
    let metadata = storage.find(&key("a")).unwrap().unwrap();
    let mut blob = storage.blob(&metadata).unwrap();
    blob.read_exact(&mut [0; 100_000]).unwrap();
    flip(&file, 299_999);

    let shorter = OpenOptions::new().write(true).open(&file).unwrap();
    shorter.set_len(299_999).unwrap();
    is_corrupt(
        &read_blob(&storage, "a").unwrap_err(),
        &["data/a", "length"],
    );
    fs::remove_file(&file).unwrap();
    is_corrupt(
        &read_blob(&storage, "a").unwrap_err(),
        &["data/a", "is missing"],
    );
}

#[test]
fn appends_do_not_build_on_damaged_rows() {
    let home = tempfile::tempdir().unwrap();
    let storage = open(home.path());
    put_rows(&storage, "a", Mode::Create, df!("n" => [1i64]).unwrap());
    let file = content_file(home.path(), "parquet");
    flip(&file, fs::metadata(&file).unwrap().len() - 5);
    let mut writer = storage.write(&key("a"), Mode::Append).unwrap();
    is_corrupt(
        &writer.rows(df!("n" => [2i64]).unwrap()).unwrap_err(),
        &["data/a"],
    );
    drop(writer);
    // It can be replaced and dropped.
    put_rows(&storage, "a", Mode::Replace, df!("n" => [2i64]).unwrap());
    assert!(storage.delete(&key("a")).unwrap());
    assert!(
        fs::read_dir(home.path().join("content"))
            .unwrap()
            .next()
            .is_none()
    );
}

#[test]
fn documents_and_metadata_are_proved() {
    let home = tempfile::tempdir().unwrap();
    let storage = open(home.path());
    put_documents(&storage, "docs");
    put_documents(&storage, "meta");
    let database = rusqlite::Connection::open(home.path().join("om.db")).unwrap();
    let replace = "UPDATE documents SET doc = replace(doc, CAST('some' AS BLOB), CAST('same' AS BLOB)) WHERE seq = 7";
    // `replace` makes text of blobs; store it as the blob it was.
    let replace = replace
        .replace("replace(doc", "CAST(replace(doc")
        .replace("BLOB))", "BLOB)) AS BLOB)");
    assert_eq!(database.execute(&replace, []).unwrap(), 1);
    database
        .execute(
            "UPDATE objects SET checksum = zeroblob(32) WHERE name = 'meta'",
            [],
        )
        .unwrap();

    let metadata = storage.find(&key("docs")).unwrap().unwrap();
    let read: Vec<Result<_>> = storage.documents(&metadata).unwrap().collect();
    assert_eq!(read.iter().filter(|document| document.is_ok()).count(), 49);
    is_corrupt(read[6].as_ref().unwrap_err(), &["data/docs"]);
    is_corrupt(&storage.find(&key("meta")).unwrap_err(), &["data/meta"]);
    is_corrupt(
        &storage
            .list(&Selection::new("omegaml", "data/"))
            .unwrap_err(),
        &["data/meta"],
    );

    let report = storage.check(true, &Silent).unwrap();
    let damaged: Vec<&str> = report.damaged.iter().map(|(key, _)| key.as_str()).collect();
    assert_eq!(damaged, ["data/docs", "data/meta"]);
    assert!(storage.delete(&key("meta")).unwrap());
    database
        .execute("DELETE FROM documents WHERE seq = 50", [])
        .unwrap();
    let last = storage.documents(&metadata).unwrap().last().unwrap();
    is_corrupt(
        &last.unwrap_err(),
        &["data/docs", "1 documents are missing"],
    );
}

#[test]
fn check_finds_all_damage_and_repair_only_sweeps() {
    let home = tempfile::tempdir().unwrap();
    let storage = open(home.path());
    put_blob(&storage, "blob", &[1; 200_000]);
    put_rows(
        &storage,
        "rows",
        Mode::Create,
        df!("n" => [1i64, 2]).unwrap(),
    );
    put_documents(&storage, "docs");
    let leftover = home.path().join("content/0123456789abcdef01234567.parquet");
    fs::write(&leftover, "what a dead writer has left").unwrap();
    let foreign = home.path().join("content/README");
    fs::write(&foreign, "not ours").unwrap();
    let report = storage.check(false, &Silent).unwrap();
    assert_eq!(
        (report.objects, report.leftovers, report.repaired),
        (3, 1, false)
    );
    assert!(leftover.exists());

    flip(&content_file(home.path(), "blob"), 150_000);
    let report = storage.check(true, &Silent).unwrap();
    assert_eq!(
        (report.objects, report.leftovers, report.repaired),
        (2, 1, true)
    );
    assert_eq!(report.damaged.len(), 1);
    let (name, what) = &report.damaged[0];
    assert!(
        name == "data/blob" && what.contains("131072"),
        "{name}: {what}"
    );
    assert!(!leftover.exists() && foreign.exists());
    assert!(
        storage.find(&key("blob")).unwrap().is_some(),
        "repair must not remove objects"
    );

    // A database entry that does not fit its file.
    let database = rusqlite::Connection::open(home.path().join("om.db")).unwrap();
    database
        .execute("UPDATE files SET rows = rows + 1 WHERE rows > 0", [])
        .unwrap();
    let report = storage.check(false, &Silent).unwrap();
    assert!(
        report
            .damaged
            .iter()
            .any(|(name, what)| name == "data/rows" && what.contains("rows"))
    );
    database
        .execute("UPDATE files SET digests = zeroblob(length(digests))", [])
        .unwrap();
    is_corrupt(
        &read_rows(&storage, "rows", &Query::default()).unwrap_err(),
        &["data/rows", "digests"],
    );
}

/// A store with a bit of everything; its database is closed and whole.
fn finished_store(home: &Path) {
    let storage = open(home);
    for n in 0..30 {
        put_blob(&storage, &format!("blob {n}"), &[1; 10]);
    }
    put_rows(
        &storage,
        "rows",
        Mode::Create,
        df!("n" => [1i64, 2]).unwrap(),
    );
    put_documents(&storage, "docs");
}

#[test]
fn a_broken_database_is_an_error_that_says_so() {
    type Break = fn(&Path);
    let breaks: [(&str, Break); 5] = [
        ("garbage", |path| {
            fs::write(path, vec![b'x'; 10_000]).unwrap()
        }),
        ("half of it", |path| {
            let half = fs::metadata(path).unwrap().len() / 2;
            OpenOptions::new()
                .write(true)
                .open(path)
                .unwrap()
                .set_len(half)
                .unwrap();
        }),
        ("a few bytes", |path| {
            fs::write(path, "SQLite format 3").unwrap()
        }),
        ("nothing in it", |path| fs::write(path, "").unwrap()),
        ("no file", |path| fs::remove_file(path).unwrap()),
    ];
    for (name, spoil) in breaks {
        let home = tempfile::tempdir().unwrap();
        finished_store(home.path());
        spoil(&home.path().join("om.db"));
        let all = Selection::new("omegaml", "data/");
        let read = open(home.path()).list(&all).unwrap_err();
        assert_eq!(read.kind(), ErrorKind::Corrupt, "{name}: {read}");
        assert!(read.to_string().contains("om.db"), "{name}: {read}");
        let write = open(home.path())
            .write(&key("new"), Mode::Replace)
            .map(drop);
        let written = write.and_then(|()| open(home.path()).list(&all).map(drop));
        assert_eq!(written.unwrap_err().kind(), ErrorKind::Corrupt, "{name}");
        let report = open(home.path()).check(true, &Silent).unwrap();
        assert!(!report.damaged.is_empty(), "{name}");
        let files = fs::read_dir(home.path().join("content")).unwrap().count();
        assert_eq!(
            files, 31,
            "{name}: repair has removed content that it cannot know"
        );
    }
}

#[test]
fn flipped_bytes_in_the_database_never_go_unnoticed() {
    let home = tempfile::tempdir().unwrap();
    finished_store(home.path());
    let path = home.path().join("om.db");
    let whole = fs::read(&path).unwrap();
    let state = |storage: &EmbeddedStorage| -> Result<Vec<(Metadata, Vec<bson::Document>)>> {
        let objects = storage.list(&Selection::new("omegaml", "data/"))?;
        let with_content = |metadata: Metadata| {
            let documents = match metadata.kind.as_str() {
                "python.data" => storage.documents(&metadata)?.collect::<Result<_>>()?,
                "pandas.dfrows" => {
                    assert_eq!(read_rows(storage, "rows", &Query::default())?.height(), 2);
                    Vec::new()
                }
                _ => {
                    assert_eq!(read_blob(storage, metadata.name())?, [1; 10]);
                    Vec::new()
                }
            };
            Ok((metadata, documents))
        };
        objects.into_iter().map(with_content).collect()
    };
    let before = state(&open(home.path())).unwrap();
    let mut noticed = 0;
    for position in (0..whole.len()).step_by(whole.len() / 400) {
        let mut damaged = whole.clone();
        damaged[position] ^= 0x04;
        fs::write(&path, &damaged).unwrap();
        let storage = open(home.path());
        match state(&storage) {
            // What is read is what was written; objects may have become unfindable.
            Ok(found) => {
                assert!(
                    found.iter().all(|object| before.contains(object)),
                    "byte {position}"
                );
                let report = storage.check(true, &Silent);
                let sound = report.is_ok_and(|report| report.damaged.is_empty());
                assert!(!sound || found == before, "byte {position} goes unnoticed");
            }
            Err(error) => {
                assert_ne!(error.to_string(), "");
                noticed += 1;
            }
        }
    }
    assert!(noticed > 50, "{noticed}");
    fs::write(&path, &whole).unwrap();
    assert_eq!(state(&open(home.path())).unwrap(), before);
}

#[test]
fn other_databases_are_left_alone() {
    let home = tempfile::tempdir().unwrap();
    finished_store(home.path());
    let database = rusqlite::Connection::open(home.path().join("om.db")).unwrap();
    database.execute_batch("PRAGMA user_version = 99").unwrap();
    drop(database);
    for error in [
        open(home.path()).find(&key("rows")).unwrap_err(),
        open(home.path()).delete(&key("rows")).unwrap_err(),
        open(home.path())
            .write(&key("new"), Mode::Create)
            .err()
            .unwrap(),
    ] {
        assert_eq!(error.kind(), ErrorKind::Failed);
        assert!(error.to_string().contains("newer om"), "{error}");
        assert_eq!(error.hint_text(), Some("update om"));
    }

    let home = tempfile::tempdir().unwrap();
    let database = rusqlite::Connection::open(home.path().join("om.db")).unwrap();
    database.execute_batch("CREATE TABLE mine (x)").unwrap();
    let error = open(home.path())
        .write(&key("new"), Mode::Create)
        .err()
        .unwrap();
    assert!(error.to_string().contains("another program"), "{error}");
}
