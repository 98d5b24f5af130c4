//! Objects that the cases start from, and how they are read back.

use bson::Document;
use omega::Result;
use omega::frame::{Columns, Query};
use omega::storage::{Key, Metadata, Mode, Scan, Storage};
use polars::prelude::*;
use std::io::Read;

pub const FRAME: &str = "pandas.dfrows";
pub const FILE: &str = "python.file";
pub const DATA: &str = "python.data";

pub fn key(name: &str) -> Key {
    Key::new("omegaml", "data/", name)
}

pub fn numbers(from: i64, rows: i64) -> DataFrame {
    let n: Vec<i64> = (from..from + rows).collect();
    let text: Vec<String> = n.iter().map(|n| format!("row {n}")).collect();
    let half: Vec<f64> = n.iter().map(|n| *n as f64 / 2.0).collect();
    df!("n" => n, "text" => text, "half" => half).unwrap()
}

pub fn put_rows(
    storage: &dyn Storage,
    key: &Key,
    mode: Mode,
    frame: &DataFrame,
) -> Result<Metadata> {
    let mut writer = storage.write(key, mode)?;
    writer.rows(frame.clone())?;
    let metadata = writer
        .current()
        .cloned()
        .unwrap_or_else(|| Metadata::new(key.clone(), FRAME));
    writer.commit(metadata)
}

pub fn put_documents(
    storage: &dyn Storage,
    key: &Key,
    mode: Mode,
    documents: &[Document],
) -> Result<Metadata> {
    let mut writer = storage.write(key, mode)?;
    for document in documents {
        writer.document(document.clone())?;
    }
    writer.commit(Metadata::new(key.clone(), DATA))
}

pub fn put_blob(storage: &dyn Storage, key: &Key, bytes: &[u8]) -> Result<Metadata> {
    let mut writer = storage.write(key, Mode::Replace)?;
    writer.bytes(b"")?;
    for chunk in bytes.chunks(70_000) {
        writer.bytes(chunk)?;
    }
    writer.commit(Metadata::new(key.clone(), FILE))
}

pub fn found(storage: &dyn Storage, key: &Key) -> Metadata {
    storage
        .find(key)
        .unwrap()
        .unwrap_or_else(|| panic!("{key} does not exist"))
}

/// The rows of an object.
pub fn rows(storage: &dyn Storage, key: &Key) -> DataFrame {
    query(storage, key, &Query::default())
}

/// What a query without filter and aggregates gives.
pub fn query(storage: &dyn Storage, key: &Key, query: &Query) -> DataFrame {
    finish(storage.scan(&found(storage, key), query).unwrap())
}

/// Runs what a storage has left to do of such a query.
pub fn finish(scan: Scan) -> DataFrame {
    let Scan {
        mut frame, rest, ..
    } = scan;
    if rest.skip > 0 || rest.limit.is_some() {
        frame = frame.slice(
            rest.skip as i64,
            rest.limit.unwrap_or(u32::MAX.into()) as u32,
        );
    }
    if let Columns::Only(names) = &rest.columns {
        let columns: Vec<Expr> = names.iter().map(|name| col(name.as_str())).collect();
        frame = frame.select(columns);
    }
    omega::frame::collect(frame).unwrap()
}

pub fn documents(storage: &dyn Storage, key: &Key) -> Vec<Document> {
    storage
        .documents(&found(storage, key))
        .unwrap()
        .collect::<Result<_>>()
        .unwrap()
}

pub fn bytes(storage: &dyn Storage, key: &Key) -> Vec<u8> {
    let mut bytes = Vec::new();
    storage
        .blob(&found(storage, key))
        .unwrap()
        .read_to_end(&mut bytes)
        .unwrap();
    bytes
}

pub fn names(found: &[Metadata]) -> Vec<&str> {
    found.iter().map(Metadata::name).collect()
}
