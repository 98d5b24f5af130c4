//! Copies through the library: what a storage does to the content is found out, and an
//! interruption at any step leaves nothing half-done.

#![allow(clippy::unwrap_used, clippy::panic)]

use bson::{Document, doc};
use omega::config::DEFAULT_BUCKET;
use omega::frame::Query;
use omega::progress::{Meter, Progress, Silent, Unit};
use omega::storage::embedded::{EmbeddedStorage, Options};
use omega::storage::log::Log;
use omega::storage::records::Records;
use omega::storage::{
    Blob, CheckReport, Key, Metadata, Mode, Scan, Selection, Stats, Storage, Update, Writer,
};
use omega::store::{CopyOptions, CopyStep, Object, PutOptions, Store};
use omega::{ErrorKind, Result};
use polars::prelude::*;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};

/// Interrupts after so many checks, and keeps what is said.
#[derive(Default)]
struct Watch {
    left: AtomicI64,
    notes: Mutex<Vec<String>>,
}

impl Watch {
    fn until(checks: i64) -> Arc<Self> {
        let watch = Watch::default();
        watch.left.store(checks, Ordering::SeqCst);
        Arc::new(watch)
    }
}

impl Progress for Watch {
    fn meter(&self, _: &str, _: Option<u64>, _: Unit) -> Box<dyn Meter> {
        Box::new(Silent)
    }

    fn note(&self, message: &str) {
        self.notes.lock().unwrap().push(message.to_owned());
    }

    fn interrupted(&self) -> bool {
        self.left.fetch_sub(1, Ordering::SeqCst) <= 0
    }
}

type Change<T> = fn(T) -> T;

/// A storage that keeps something else than what it is given.
#[derive(Debug)]
struct Careless {
    inner: EmbeddedStorage,
    rows: Change<DataFrame>,
    document: Change<Document>,
    bytes: Change<Vec<u8>>,
}

struct CarelessWriter<'a>(&'a Careless, Box<dyn Writer + 'a>);

impl Writer for CarelessWriter<'_> {
    fn current(&self) -> Option<&Metadata> {
        self.1.current()
    }

    fn rows(&mut self, frame: DataFrame) -> Result<()> {
        self.1.rows((self.0.rows)(frame))
    }

    fn document(&mut self, document: Document) -> Result<()> {
        self.1.document((self.0.document)(document))
    }

    fn bytes(&mut self, bytes: &[u8]) -> Result<()> {
        self.1.bytes(&(self.0.bytes)(bytes.to_vec()))
    }

    fn commit(self: Box<Self>, metadata: Metadata) -> Result<Metadata> {
        self.1.commit(metadata)
    }
}

#[rustfmt::skip]
impl Storage for Careless {
    fn location(&self) -> String { self.inner.location() }
    fn find(&self, key: &Key) -> Result<Option<Metadata>> { self.inner.find(key) }
    fn list(&self, selection: &Selection) -> Result<Vec<Metadata>> { self.inner.list(selection) }
    fn buckets(&self) -> Result<Vec<String>> { self.inner.buckets() }
    fn write<'a>(&'a self, key: &Key, mode: Mode) -> Result<Box<dyn Writer + 'a>> {
        Ok(Box::new(CarelessWriter(self, self.inner.write(key, mode)?)))
    }
    fn update(&self, key: &Key, update: &Update) -> Result<Metadata> { self.inner.update(key, update) }
    fn delete(&self, key: &Key) -> Result<bool> { self.inner.delete(key) }
    fn rename(&self, from: &Key, to: &Key) -> Result<Metadata> { self.inner.rename(from, to) }
    fn scan(&self, metadata: &Metadata, query: &Query) -> Result<Scan> { self.inner.scan(metadata, query) }
    fn documents<'a>(&'a self, metadata: &Metadata) -> Result<Box<dyn Iterator<Item = Result<Document>> + 'a>> {
        self.inner.documents(metadata)
    }
    fn blob(&self, metadata: &Metadata) -> Result<Box<dyn Blob>> { self.inner.blob(metadata) }
    fn stats(&self, metadata: &Metadata) -> Result<Stats> { self.inner.stats(metadata) }
    fn records(&self, space: &str) -> Box<dyn Records> { self.inner.records(space) }
    fn log(&self, metadata: Metadata) -> Box<dyn Log> { self.inner.log(metadata) }
    fn check(&self, repair: bool, progress: &dyn Progress) -> Result<CheckReport> { self.inner.check(repair, progress) }
}

struct Homes {
    folder: tempfile::TempDir,
}

impl Homes {
    fn new() -> Self {
        Homes {
            folder: tempfile::tempdir().unwrap(),
        }
    }

    fn storage(&self, name: &str) -> EmbeddedStorage {
        EmbeddedStorage::open(&self.folder.path().join(name), Options::default()).unwrap()
    }

    fn store(&self, name: &str) -> Store {
        store(Arc::new(self.storage(name)), Arc::new(Silent))
    }

    /// The store `there`, whose storage changes what it is given.
    fn careless(&self, change: impl FnOnce(&mut Careless)) -> Store {
        let mut storage = Careless {
            inner: self.storage("there"),
            rows: |frame| frame,
            document: |document| document,
            bytes: |bytes| bytes,
        };
        change(&mut storage);
        store(Arc::new(storage), Arc::new(Silent))
    }
}

fn store(storage: Arc<dyn Storage>, progress: Arc<dyn Progress>) -> Store {
    Store::new(storage, progress, DEFAULT_BUCKET, "data/")
}

const SKIP: CopyOptions = CopyOptions {
    replace: false,
    skip_same: true,
};

fn times() -> DataFrame {
    let at = Series::new("at".into(), [1_500i64, -1, 3_000])
        .cast(&DataType::Datetime(TimeUnit::Microseconds, None))
        .unwrap();
    df!("n" => [1i64, 2, 3], "at" => at).unwrap()
}

fn filled(homes: &Homes) -> Store {
    let here = homes.store("here");
    here.put_frame("rows", times()).unwrap();
    let values = vec![doc! { "a": 1 }.into(), doc! { "b": [1.5] }.into()];
    here.put("documents", Object::Values(values), &PutOptions::default())
        .unwrap();
    let bytes = std::io::Cursor::new(vec![5u8; 3 << 20]);
    here.put(
        "file",
        Object::File(Box::new(bytes)),
        &PutOptions::default(),
    )
    .unwrap();
    here
}

#[test]
fn times_cut_to_milliseconds_are_noted_and_count_as_the_same() {
    let homes = Homes::new();
    filled(&homes);
    let there = homes.careless(|storage| {
        storage.rows = |mut frame| {
            let cut = DataType::Datetime(TimeUnit::Milliseconds, None);
            let at = frame.column("at").unwrap();
            // As a cast, but downwards before 1970 too.
            let ticks = at.cast(&DataType::Int64).unwrap();
            let ticks: Vec<i64> = ticks
                .i64()
                .unwrap()
                .iter()
                .map(|t| t.unwrap().div_euclid(1000))
                .collect();
            let at = Series::new("at".into(), ticks).cast(&cut).unwrap();
            frame.with_column(at.into_column()).unwrap();
            frame
        };
    });
    let watch = Watch::until(i64::MAX);
    let here = store(Arc::new(homes.storage("here")), watch.clone());
    let copied = here.copy_with("rows", &there, "rows", SKIP).unwrap();
    assert_eq!((copied.step, copied.stats.count), (CopyStep::Make, Some(3)));
    let notes = std::mem::take(&mut *watch.notes.lock().unwrap());
    assert_eq!(
        notes,
        ["data/rows: times in `at` are kept to the millisecond only"]
    );
    let again = here.copy_with("rows", &there, "rows", SKIP).unwrap();
    assert_eq!(again.step, CopyStep::Skip);
    // The other way round, what is there is finer than what would be copied.
    let (step, _) = there.plan_copy("rows", &here, "rows", SKIP).unwrap();
    assert_eq!(step, CopyStep::Refuse);
}

#[test]
fn a_storage_that_changes_content_is_found_out() {
    type Set = fn(&mut Careless);
    let cases: [(&str, Set, &str); 4] = [
        (
            "rows",
            |s| s.rows = |frame| frame.head(Some(2)),
            "2 instead of 3",
        ),
        (
            "rows",
            |s| {
                s.rows = |mut frame| {
                    frame
                        .with_column(Column::new("n".into(), [1i64, 2, 4]))
                        .unwrap();
                    frame
                }
            },
            "column `n`",
        ),
        (
            "documents",
            |s| {
                s.document = |mut document| {
                    document.insert("extra", 1);
                    document
                }
            },
            "its content",
        ),
        (
            "file",
            |s| {
                s.bytes = |mut bytes| {
                    if let Some(byte) = bytes.last_mut() {
                        *byte = 6;
                    }
                    bytes
                }
            },
            "its content",
        ),
    ];
    for (name, set, what) in cases {
        let homes = Homes::new();
        let here = filled(&homes);
        let there = homes.careless(set);
        let error = here.copy(name, &there, name, false).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
        assert!(error.to_string().contains(what), "{error}");
        // It is not taken for a copy later on either.
        let (step, _) = here.plan_copy(name, &there, name, SKIP).unwrap();
        assert_eq!(step, CopyStep::Refuse);
    }
}

/// Interrupted at its first, second, … check, a copy has made the whole object or none,
/// and goes on when it is asked again.
#[test]
fn an_interruption_leaves_nothing_half_done() {
    for name in ["rows", "documents", "file"] {
        let homes = Homes::new();
        filled(&homes);
        let mut interruptions = 0;
        for checks in 0.. {
            let there = homes.store("there");
            let watch = Watch::until(checks);
            let here = store(Arc::new(homes.storage("here")), watch.clone());
            match here.copy_with(name, &there, name, SKIP) {
                Ok(_) => break,
                Err(error) => assert_eq!(error.kind(), ErrorKind::Interrupted, "{error}"),
            }
            interruptions += 1;
            if there.exists(name).unwrap() {
                let (step, _) = homes
                    .store("here")
                    .plan_copy(name, &there, name, SKIP)
                    .unwrap();
                assert_eq!(step, CopyStep::Skip, "{name} after {checks} checks");
            }
            let report = there.storage().check(false, &Silent).unwrap();
            assert!(
                report.damaged.is_empty() && report.leftovers == 0,
                "{report:?}"
            );
        }
        assert!(interruptions > 0, "{name}");
    }
}

#[test]
fn what_holds_nothing_is_copied_as_it_is() {
    let homes = Homes::new();
    let here = homes.store("here");
    let there = homes.store("there");
    let key = here.key("connection");
    let mut metadata = Metadata::new(key.clone(), "sqlalchemy.conx");
    metadata.kind_meta = doc! { "sqlalchemy_connection": "sqlite://" };
    let writer = here.storage().write(&key, Mode::Create).unwrap();
    writer.commit(metadata.clone()).unwrap();
    let copied = here
        .copy("connection", &there, "connection", false)
        .unwrap();
    assert_eq!(copied.kind_meta, metadata.kind_meta);
    let empty = Object::File(Box::new(std::io::empty()));
    here.put("empty", empty, &PutOptions::default()).unwrap();
    let copied = here.copy("empty", &there, "empty", false).unwrap();
    assert!(copied.gridfile.is_some());
    assert_eq!(there.storage().blob(&copied).unwrap().length(), 0);
    for name in ["connection", "empty"] {
        let (step, _) = here.plan_copy(name, &there, name, SKIP).unwrap();
        assert_eq!(step, CopyStep::Skip);
    }
}
