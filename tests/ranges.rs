//! Many rows of a database are read by ranges of their row ids, whatever order they lie in
//! and whichever indexes there are.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use bson::doc;
use omega::frame::{self, Query};
use omega::storage::{Key, Metadata, Mode, Storage};
use polars::prelude::*;
use std::ops::Range;

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

/// What `om` notes of the end of its rows is where it looks first, not what it believes.
#[test]
fn rows_end_where_they_end_whoever_wrote_last() {
    let url = server::mongo().database();
    let storage = stores::open(&url);
    let storage = storage.as_ref();
    let raw = server::raw(&url);
    let key = Key::new("omegaml", "data/", "ends");
    let append = |rows: Range<i64>| {
        let mut writer = storage.write(&key, Mode::Append).unwrap();
        let n: Vec<i64> = rows.collect();
        writer.rows(df!("n" => &n).unwrap()).unwrap();
        let metadata = Metadata::new(key.clone(), "pandas.dfrows");
        writer.commit(metadata).unwrap()
    };
    let noted = || {
        let found = raw.find("metadata", doc! { "name": "ends" });
        found[0].get_document("om").unwrap().get_i64("end").unwrap()
    };
    let all = |end: i64| (0..end).collect::<Vec<_>>();
    append(0..1_000);
    assert_eq!(noted(), 1_000);
    let metadata = append(1_000..1_500);
    assert_eq!(noted(), 1_500);
    assert!(numbers(storage, &metadata) == all(1_500));

    let collection = metadata.collection.clone().unwrap();
    raw.delete(&collection, doc! { "_om#rowid": { "$gte": 1_200 } });
    assert!(
        numbers(storage, &metadata) == all(1_200),
        "others took some"
    );
    let more = (1_200..1_700_i64).map(|row| doc! { "_om#rowid": row, "_idx#0_0": row, "n": row });
    raw.insert(&collection, more.collect());
    assert!(
        numbers(storage, &metadata) == all(1_700),
        "others added some"
    );
    let metadata = append(1_700..1_800);
    assert_eq!(noted(), 1_800);
    assert!(numbers(storage, &metadata) == all(1_800));
}
