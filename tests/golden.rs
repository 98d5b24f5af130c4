//! Objects as Python omega|ml 0.18.0 has stored them, read by `om` (tests/golden/store). Each
//! fixture is loaded into a database of its own; every object in it must be listed, be
//! described as it is stored, and be read to what Python reads, or be handed out as the file
//! that only Python opens.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod server;
mod stores;

use bson::spec::BinarySubtype;
use bson::{Binary, Bson, Document, doc};
use omega::progress::Silent;
use omega::store::{Listing, Store, Stored};
use omega::{Omega, storage::Metadata};
use polars::prelude::{AnyValue, DataFrame, DataType};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Kinds without content of their own.
const WITHOUT: [&str; 3] = ["sqlalchemy.conx", "pipsrc.package", "stream.minibatch"];

/// Kinds that are tables here.
const TABLES: [&str; 4] = [
    "pandas.dfrows",
    "pandas.serows",
    "pandas.dfgroup",
    "pandas.rawdict",
];

struct Fixture {
    name: String,
    whole: Value,
    collections: BTreeMap<String, Vec<Document>>,
    /// Contents by the id of their file.
    files: BTreeMap<String, Vec<u8>>,
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/store")
}

fn fixtures() -> Vec<Fixture> {
    let mut paths: Vec<PathBuf> = std::fs::read_dir(folder())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "json")
        })
        .collect();
    paths.sort();
    paths.iter().map(|path| Fixture::read(path)).collect()
}

impl Fixture {
    fn read(path: &Path) -> Self {
        let whole: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
        let mut collections = BTreeMap::new();
        let mut files = BTreeMap::new();
        for (name, collection) in whole["collections"].as_object().unwrap() {
            let documents: Vec<Document> = collection["documents"]
                .as_array()
                .unwrap()
                .iter()
                .map(|document| match Bson::try_from(document.clone()).unwrap() {
                    Bson::Document(document) => document,
                    other => panic!("{other} is no document"),
                })
                .collect();
            let contents = collection["content_files"].as_array();
            for (document, file) in documents.iter().zip(contents.into_iter().flatten()) {
                let content = std::fs::read(folder().join(file.as_str().unwrap())).unwrap();
                files.insert(document.get_object_id("_id").unwrap().to_hex(), content);
            }
            collections.insert(name.clone(), documents);
        }
        Fixture {
            name: whole["fixture"].as_str().unwrap().to_owned(),
            whole,
            collections,
            files,
        }
    }

    /// Puts everything into a new database.
    fn load(&self) -> Omega {
        let url = server::mongo().database();
        let raw = server::raw(&url);
        for (name, documents) in &self.collections {
            raw.insert(name, documents.clone());
            let Some(bucket) = name.strip_suffix(".files") else {
                continue;
            };
            for document in documents {
                let id = document.get_object_id("_id").unwrap();
                let size = usize::try_from(document.get_i32("chunkSize").unwrap()).unwrap();
                let content = &self.files[&id.to_hex()];
                let chunks = content.chunks(size).enumerate().map(|(n, bytes)| {
                    let data = Binary {
                        subtype: BinarySubtype::Generic,
                        bytes: bytes.to_vec(),
                    };
                    doc! { "files_id": id, "n": i32::try_from(n).unwrap(), "data": data }
                });
                raw.insert(&format!("{bucket}.chunks"), chunks.collect());
            }
        }
        Omega::new(stores::open(&url).into(), Arc::new(Silent))
    }

    /// What Python's `get` gives back of a table: its lines, if it is the fixture's one.
    fn returned(&self) -> Option<&Value> {
        let returned = &self.whole["get_returns"];
        let tables = self.collections["metadata"].len() == 1;
        (tables && returned["type"] == "DataFrame").then_some(returned)
    }
}

/// The store of some metadata.
fn store(om: &Omega, document: &Document) -> Store {
    let om = om.bucket(document.get_str("bucket").unwrap());
    let noun = match document.get_str("prefix").unwrap() {
        "data/" => "datasets",
        prefix => prefix.trim_end_matches('/'),
    };
    om.store(noun).unwrap().clone()
}

#[test]
fn every_object_of_python_is_read_or_handed_out() {
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    let mut compared = 0;
    for fixture in fixtures() {
        let om = fixture.load();
        for document in &fixture.collections["metadata"] {
            let name = document.get_str("name").unwrap();
            let kind = document.get_str("kind").unwrap();
            let context = format!("{}: {name}, a {kind}", fixture.name);
            let store = store(&om, document);
            let metadata = described(&store, document, &context);
            *seen.entry(kind.to_owned()).or_default() += 1;
            if kind == "pandas.csv" {
                // The file is on another machine.
                let error = store.get(name).err().unwrap().to_string();
                assert!(error.contains("csv"), "{context}: {error}");
            } else if WITHOUT.contains(&kind) {
                let error = store.get(name).err().unwrap().to_string();
                assert!(error.contains(kind), "{context}: {error}");
            } else if TABLES.contains(&kind) {
                let Some(rows) = fixture
                    .collections
                    .get(&metadata.collection.clone().unwrap())
                else {
                    continue;
                };
                let frame = store.collect(name, &Default::default());
                let frame = frame.unwrap_or_else(|error| panic!("{context}: {error}"));
                table(&frame, rows, &metadata, &context);
                if let Some(returned) = fixture.returned() {
                    compared += as_python(&frame, rows, returned, &metadata, &context);
                }
            } else if kind == "python.data" {
                let Some(stored) = fixture
                    .collections
                    .get(&metadata.collection.clone().unwrap())
                else {
                    continue;
                };
                let Stored::Values(values) = store.get(name).unwrap() else {
                    panic!("{context} is no document");
                };
                let data: Vec<Bson> = stored
                    .iter()
                    .map(|document| document["data"].clone())
                    .collect();
                assert_eq!(values, data, "{context}");
            } else {
                // Which content a model's name means may be one of an earlier fixture.
                let Some(content) = fixture.files.get(&metadata.gridfile.unwrap().to_hex()) else {
                    continue;
                };
                let (Stored::File(mut blob) | Stored::Array(mut blob)) = store.get(name).unwrap()
                else {
                    panic!("{context} has no bytes");
                };
                let mut bytes = Vec::new();
                blob.read_to_end(&mut bytes).unwrap();
                assert!(bytes == *content, "{context}");
                if kind != "ndarray.bin" {
                    let error = store.collect(name, &Default::default()).unwrap_err();
                    assert!(
                        error.to_string().contains("not a table"),
                        "{context}: {error}"
                    );
                }
            }
        }
    }
    let kinds: BTreeSet<&str> = seen.keys().map(String::as_str).collect();
    for kind in TABLES.iter().chain(&WITHOUT).chain(&[
        "python.data",
        "ndarray.bin",
        "python.file",
        "python.package",
        "script.ipynb",
        "sklearn.joblib",
        "virtualobj.dill",
        "pandas.hdf",
        "pandas.csv",
        "experiment.tracker",
    ]) {
        assert!(kinds.contains(kind), "no fixture has a {kind}");
    }
    assert!(
        compared > 100,
        "{compared} values were compared with what Python gets"
    );
}

/// The object is listed, and its metadata is the document.
fn described(store: &Store, document: &Document, context: &str) -> Metadata {
    let name = document.get_str("name").unwrap();
    let everything = Listing {
        hidden: true,
        temporary: true,
        ..Listing::default()
    };
    let listed = store.list(&everything).unwrap();
    let metadata = listed.into_iter().find(|metadata| metadata.name() == name);
    let metadata = metadata.unwrap_or_else(|| panic!("{context} is not listed"));
    let shown = metadata.to_document();
    for (field, value) in document {
        assert_eq!(shown.get(field), Some(value), "{context}: {field}");
    }
    metadata
}

/// The frame has the values of the documents, under the names that users gave.
fn table(frame: &DataFrame, documents: &[Document], metadata: &Metadata, context: &str) {
    if metadata.kind == "pandas.dfgroup" {
        let rows: usize = documents
            .iter()
            .map(|group| group.get_array("_data").unwrap().len())
            .sum();
        assert_eq!(frame.height(), rows, "{context}");
        return;
    }
    let mut documents = documents.to_vec();
    documents.sort_by_key(|document| document.get_i32("_om#rowid").unwrap_or_default());
    assert_eq!(frame.height(), documents.len(), "{context}");
    for column in frame.columns() {
        let stored = stored_name(metadata, column.name());
        for (row, document) in documents.iter().enumerate() {
            let got = column.get(row).unwrap();
            let mut expected = Some(Bson::Document(document.clone()));
            let path = if metadata.kind == "pandas.rawdict" {
                stored.split('.').collect()
            } else {
                vec![stored.as_str()]
            };
            for part in path {
                expected = match expected {
                    Some(Bson::Document(inner)) => inner.get(part).cloned(),
                    _ => None,
                };
            }
            let expected = expected.unwrap_or(Bson::Null);
            assert!(
                is(&got, &expected),
                "{context}: `{stored}` in row {row} is {got}, not {expected}"
            );
        }
    }
}

/// The documents' field of a column.
fn stored_name(metadata: &Metadata, column: &str) -> String {
    let text = |value: &Bson| {
        value
            .as_str()
            .map_or_else(|| value.to_string(), str::to_owned)
    };
    let columns = metadata.kind_meta.get_array("columns");
    let names = metadata.kind_meta.get_document("idx_meta");
    let names = names
        .and_then(|names| names.get_array("names"))
        .cloned()
        .unwrap_or_default();
    let level = names.iter().position(|name| text(name) == column);
    let found = columns.into_iter().flatten().find_map(|pair| {
        let [original, stored] = pair.as_array().unwrap().as_slice() else {
            panic!("{pair} is no pair");
        };
        let stored = text(stored);
        let index = level.is_some_and(|level| stored.starts_with(&format!("_idx#{level}_")));
        (text(original) == column || index).then_some(stored)
    });
    found.unwrap_or_else(|| column.to_owned())
}

/// Whether a value of a frame is one of a document.
fn is(got: &AnyValue<'_>, expected: &Bson) -> bool {
    match (got, expected) {
        (AnyValue::Null, Bson::Null) => true,
        (AnyValue::Boolean(got), Bson::Boolean(expected)) => got == expected,
        (AnyValue::String(got), Bson::String(expected)) => got == expected,
        (got, Bson::String(expected))
            if matches!(
                got,
                AnyValue::Categorical(..) | AnyValue::CategoricalOwned(..)
            ) =>
        {
            got.get_str() == Some(expected.as_str())
        }
        (AnyValue::Float64(_) | AnyValue::Float32(_), Bson::Double(expected)) => {
            let got = got.extract::<f64>().unwrap();
            got == *expected || (got.is_nan() && expected.is_nan())
        }
        (AnyValue::Datetime(ticks, unit, _), Bson::DateTime(expected)) => {
            let per_milli = match unit {
                polars::prelude::TimeUnit::Nanoseconds => 1_000_000,
                polars::prelude::TimeUnit::Microseconds => 1_000,
                polars::prelude::TimeUnit::Milliseconds => 1,
            };
            *ticks == expected.timestamp_millis() * per_milli
        }
        (AnyValue::List(got), Bson::Array(expected)) => {
            got.len() == expected.len()
                && got
                    .iter()
                    .zip(expected)
                    .all(|(got, expected)| is(&got, expected))
        }
        (AnyValue::Struct(..) | AnyValue::StructOwned(_), Bson::Document(expected)) => {
            let AnyValue::StructOwned(inner) = got.clone().into_static() else {
                return false;
            };
            // Fields that other rows have are null.
            inner.1.iter().zip(&inner.0).all(|(field, got)| {
                is(
                    got,
                    expected.get(field.name().as_str()).unwrap_or(&Bson::Null),
                )
            }) && expected.len() <= inner.1.len()
        }
        (got, Bson::Int32(expected)) => number(got) == Some(f64::from(*expected)),
        (got, Bson::Int64(expected)) => got.try_extract::<i64>().ok() == Some(*expected),
        _ => false,
    }
}

fn number(value: &AnyValue<'_>) -> Option<f64> {
    match value.get_str() {
        Some(_) => None,
        None => value.try_extract::<f64>().ok(),
    }
}

/// Compares names, types and values with the text that Python prints of the table; how many
/// values were compared.
fn as_python(
    frame: &DataFrame,
    documents: &[Document],
    returned: &Value,
    metadata: &Metadata,
    context: &str,
) -> usize {
    let dtypes = returned["dtypes"].as_object().unwrap();
    let levels = returned["index"]["names"].as_array().unwrap().len();
    let data: Vec<_> = frame
        .columns()
        .iter()
        .filter(|column| !stored_name(metadata, column.name()).starts_with("_idx#"))
        .collect();
    let grouped = metadata.kind == "pandas.dfgroup";
    for column in &data {
        let stored = stored_name(metadata, column.name());
        let Some(dtype) = dtypes.get(&stored) else {
            // Python makes `created` of a log its index.
            assert_eq!(metadata.name(), ".omega/logs", "{context}: {stored}");
            continue;
        };
        let ours = column.dtype();
        let fits = match dtype.as_str().unwrap() {
            "int64" => ours.is_integer(),
            // Numbers with gaps, too.
            "float64" => ours.is_float() || ours.is_integer(),
            "bool" => *ours == DataType::Boolean,
            "datetime64[ns]" => matches!(ours, DataType::Datetime(_, None)),
            zoned if zoned.starts_with("datetime64[ns, ") => {
                let DataType::Datetime(_, Some(zone)) = ours else {
                    panic!("{context}: {stored} is {ours}");
                };
                zoned == format!("datetime64[ns, {zone}]")
            }
            _ => !ours.is_primitive_numeric() || column.null_count() > 0,
        };
        assert!(fits, "{context}: {stored} is {ours}, and {dtype} in Python");
    }
    let lines: Vec<&str> = returned["head"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(Value::as_str)
        .collect();
    let mut compared = 0;
    let first = match metadata.kind_meta.get_array("columns") {
        // A line of the names of the index.
        Ok(_)
            if metadata.name() != ".omega/logs"
                && lines.len() > 1
                && lines[1].split_whitespace().count() == levels =>
        {
            2
        }
        _ => 1,
    };
    // Of long tables not all rows are here, and not always the first.
    let mut ids: Vec<i32> = documents
        .iter()
        .filter_map(|document| document.get_i32("_om#rowid").ok())
        .collect();
    ids.sort_unstable();
    for row in 0..frame.height() {
        let id = ids.get(row).map_or(row, |id| usize::try_from(*id).unwrap());
        let Some(line) = lines.get(first + id) else {
            continue;
        };
        let words: Vec<&str> = line.split_whitespace().collect();
        // Words with spaces, cut lines, rows that lie in groups.
        if grouped || data.len() != dtypes.len() || words.len() != data.len() + levels {
            continue;
        }
        for (column, word) in data.iter().zip(&words[levels..]) {
            let value = column.get(row).unwrap();
            let same = match (&value, *word) {
                (AnyValue::Null, "None" | "NaN") => true,
                (AnyValue::Float64(float), "NaN") => float.is_nan(),
                (AnyValue::Boolean(flag), word) => (word == "True") == *flag,
                (value, word) => match (number(value), word.parse::<f64>()) {
                    (Some(ours), Ok(theirs)) => {
                        (ours - theirs).abs() <= 1e-6 * theirs.abs().max(1.0) || ours == theirs
                    }
                    _ => value.get_str() == Some(word),
                },
            };
            assert!(
                same,
                "{context}: `{}` in row {row} is {value}, and {word} in Python",
                column.name()
            );
            compared += 1;
        }
    }
    compared
}
