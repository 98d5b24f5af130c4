//! Many rows of a database are read by ranges of their row ids, whatever order they lie in
//! and whichever indexes there are.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use bson::doc;
use omega::frame::{self, Query};
use omega::storage::{Key, Metadata, Mode, Storage};
use polars::prelude::*;

mod server;
mod stores;

/// More than two ranges, the last one short.
const ROWS: i64 = 140_000;

fn numbers(storage: &dyn Storage, metadata: &Metadata) -> Vec<i64> {
    let scan = storage.scan(metadata, &Query::default()).unwrap();
    let lazy = frame::collect(scan.frame).unwrap();
    let mut found = Vec::new();
    for batch in scan.batches.unwrap()().unwrap() {
        let batch = batch.unwrap();
        found.extend(
            batch
                .column("n")
                .unwrap()
                .i64()
                .unwrap()
                .into_no_null_iter(),
        );
    }
    let all: Vec<i64> = lazy
        .column("n")
        .unwrap()
        .i64()
        .unwrap()
        .into_no_null_iter()
        .collect();
    assert!(all == found, "batches differ from the table");
    found
}

#[test]
fn rows_come_in_order_however_they_lie() {
    let url = server::mongo().database();
    let storage = stores::open(&url);
    let storage = storage.as_ref();
    let raw = server::raw(&url);
    let key = Key::new("omegaml", "data/", "many");
    let mut writer = storage.write(&key, Mode::Create).unwrap();
    let n: Vec<i64> = (0..ROWS).map(|row| row * 3).collect();
    writer.rows(df!("n" => &n, "m" => &n).unwrap()).unwrap();
    let metadata = writer.commit(Metadata::new(key, "pandas.dfrows")).unwrap();
    let collection = metadata.collection.clone().unwrap();
    assert!(numbers(storage, &metadata) == n);

    // Some of the second range come last.
    let some = doc! { "_om#rowid": { "$gte": 70_000, "$lt": 70_010 } };
    let mut moved = raw.find(&collection, some.clone());
    moved.iter_mut().for_each(|row| drop(row.remove("_id")));
    moved.reverse();
    raw.delete(&collection, some);
    raw.insert(&collection, moved);
    assert!(numbers(storage, &metadata) == n, "rows that lie elsewhere");

    // The ids have a gap and one of them twice, so that their number does not tell.
    let one = doc! { "_om#rowid": 100_000 };
    raw.update(&collection, one, doc! { "$set": { "_om#rowid": 99_999 } });
    assert!(numbers(storage, &metadata) == n, "a row id twice");

    let index = doc! { "dropIndexes": &collection, "index": "bd94345c7472b421e6ef8953eba37ee9" };
    raw.command(index);
    assert!(numbers(storage, &metadata) == n, "without an index");

    // As another program deletes.
    raw.delete(
        &collection,
        doc! { "_om#rowid": { "$gte": 69_000, "$lt": 139_000 } },
    );
    let left: Vec<i64> = (0..69_000)
        .chain(139_000..ROWS)
        .map(|row| row * 3)
        .collect();
    assert!(numbers(storage, &metadata) == left, "after a deletion");
}
