//! Reading: projections, windows, derived columns, and what readers see of writers.

use super::given::*;
use bson::doc;
use omega::ErrorKind;
use omega::frame::filter::{Op, Test, Value};
use omega::frame::{Aggregate, AggregateFunction, Columns, Filter, Query, Sort};
use omega::progress::Silent;
use omega::storage::{Mode, Scan, Storage};
use polars::prelude::*;

fn only(names: &[&str]) -> Columns {
    Columns::Only(names.iter().map(|name| (*name).to_owned()).collect())
}

fn test(column: &str, op: Op) -> Option<Filter> {
    Some(Filter::Test(Test {
        column: column.to_owned(),
        op,
    }))
}

/// The columns that a scan gives for a query.
fn scanned(storage: &dyn Storage, query: &Query) -> Vec<String> {
    let mut frame = storage
        .scan(&found(storage, &key("a")), query)
        .unwrap()
        .frame;
    frame
        .collect_schema()
        .unwrap()
        .iter_names()
        .map(|name| name.to_string())
        .collect()
}

pub fn reads_the_columns_that_are_asked_for(storage: &dyn Storage) {
    put_rows(storage, &key("a"), Mode::Create, &numbers(0, 5)).unwrap();
    let all = Query::default();
    let cases = [
        Query {
            columns: only(&["text", "n"]),
            ..all.clone()
        },
        Query {
            columns: Columns::Except(vec!["n".into()]),
            ..all.clone()
        },
        Query {
            columns: Columns::Range(Some("text".into()), None),
            ..all.clone()
        },
        Query {
            columns: only(&["text"]),
            filter: test("half", Op::IsNull),
            ..all.clone()
        },
        Query {
            columns: only(&["text"]),
            sort: vec![Sort {
                column: "n".into(),
                descending: true,
            }],
            ..all.clone()
        },
        Query {
            group_by: vec!["text".into()],
            aggregates: vec![Aggregate {
                column: "half".into(),
                function: AggregateFunction::Sum,
            }],
            ..all.clone()
        },
        all.clone(),
    ];
    for query in cases {
        let Scan { frame, rest, .. } = storage.scan(&found(storage, &key("a")), &query).unwrap();
        let answer = omega::frame::collect(omega::frame::run(frame, &rest).unwrap()).unwrap();
        let whole = omega::frame::run(numbers(0, 5).lazy(), &query).unwrap();
        assert_eq!(answer, omega::frame::collect(whole).unwrap(), "{query:?}");
    }
    let wanted = Query {
        columns: only(&["half", "n"]),
        ..all
    };
    assert_eq!(
        query(storage, &key("a"), &wanted),
        numbers(0, 5).select(["half", "n"]).unwrap()
    );
}

pub fn skips_and_limits_across_appends(storage: &dyn Storage) {
    for part in 0..4 {
        put_rows(storage, &key("a"), Mode::Append, &numbers(part * 10, 10)).unwrap();
    }
    for (skip, limit) in [
        (0, Some(5)),
        (5, Some(10)),
        (19, Some(1)),
        (20, Some(20)),
        (35, None),
        (0, Some(0)),
        (39, Some(100)),
        (40, Some(1)),
        (1000, None),
        (9, Some(2)),
        (u64::MAX, Some(u64::MAX)),
        (3, Some(37)),
    ] {
        let query = Query {
            skip,
            limit,
            ..Query::default()
        };
        let expected =
            numbers(0, 40).slice(skip.min(40) as i64, limit.unwrap_or(40).min(40) as usize);
        assert_eq!(
            super::given::query(storage, &key("a"), &query),
            expected,
            "{skip} {limit:?}"
        );
    }
    let query = Query {
        skip: 15,
        limit: Some(10),
        columns: only(&["_om#rowid", "n"]),
        ..Query::default()
    };
    let expected =
        df!("_om#rowid" => (15..25i64).collect::<Vec<_>>(), "n" => (15..25i64).collect::<Vec<_>>());
    assert_eq!(
        super::given::query(storage, &key("a"), &query),
        expected.unwrap()
    );
}

pub fn derives_index_and_row_ids_when_named(storage: &dyn Storage) {
    put_rows(storage, &key("a"), Mode::Append, &numbers(5, 3)).unwrap();
    put_rows(storage, &key("a"), Mode::Append, &numbers(8, 2)).unwrap();
    assert_eq!(scanned(storage, &Query::default()), ["n", "text", "half"]);
    let named = Query {
        columns: only(&["_idx#0_0", "n", "_om#rowid"]),
        ..Query::default()
    };
    let positions: Vec<i64> = (0..5).collect();
    let expected =
        df!("_idx#0_0" => &positions, "n" => [5i64, 6, 7, 8, 9], "_om#rowid" => &positions)
            .unwrap();
    assert_eq!(query(storage, &key("a"), &named), expected);
    // A filter may name them; the result has the columns it would have without.
    let filtered = Query {
        filter: test("_om#rowid", Op::Ge(Value::Int(3))),
        ..Query::default()
    };
    let scan = storage.scan(&found(storage, &key("a")), &filtered).unwrap();
    let frame = omega::frame::run(scan.frame, &scan.rest).unwrap();
    assert_eq!(omega::frame::collect(frame).unwrap(), numbers(8, 2));
}

pub fn keeps_an_index_of_its_own(storage: &dyn Storage) {
    let frame =
        df!("_idx#0_region" => ["x", "y"], "_idx#1_1" => [1i64, 2], "q" => [5i64, 6]).unwrap();
    put_rows(storage, &key("a"), Mode::Create, &frame).unwrap();
    assert_eq!(rows(storage, &key("a")), frame);
    // There is no default index to derive.
    let named = Query {
        columns: only(&["_idx#0_0", "q"]),
        ..Query::default()
    };
    assert_eq!(scanned(storage, &named), ["q"]);
}

pub fn columns_that_are_not_there_are_left_to_the_query(storage: &dyn Storage) {
    put_rows(storage, &key("a"), Mode::Create, &numbers(0, 5)).unwrap();
    let query = Query {
        columns: only(&["nope"]),
        filter: test("nor.this", Op::IsNull),
        ..Query::default()
    };
    let scan = storage.scan(&found(storage, &key("a")), &query).unwrap();
    assert_eq!(scan.rest.columns, query.columns);
    assert_eq!(scan.rest.filter, query.filter);
    // The rows are there to be counted.
    assert_eq!(scan.frame.collect().unwrap().height(), 5);
}

pub fn nested_fields_are_read_with_their_column(storage: &dyn Storage) {
    let fields = [
        Series::new("x".into(), [1i64, 2]),
        Series::new("y".into(), ["a", "b"]),
    ];
    let nested = StructChunked::from_series("s".into(), 2, fields.iter())
        .unwrap()
        .into_series();
    let frame = DataFrame::new(2, vec![nested.into(), Column::new("o".into(), [1, 2])]).unwrap();
    put_rows(storage, &key("a"), Mode::Create, &frame).unwrap();
    let query = Query {
        columns: only(&["s.x"]),
        ..Query::default()
    };
    assert!(scanned(storage, &query).contains(&"s".to_owned()));
}

pub fn a_reader_keeps_the_state_it_has_seen(storage: &dyn Storage) {
    for part in 0..3 {
        put_rows(storage, &key("a"), Mode::Append, &numbers(part * 100, 100)).unwrap();
    }
    let scan = storage
        .scan(&found(storage, &key("a")), &Query::default())
        .unwrap();
    let again = scan.frame.clone();
    put_rows(storage, &key("a"), Mode::Append, &numbers(0, 1)).unwrap();
    put_rows(storage, &key("a"), Mode::Replace, &numbers(7, 7)).unwrap();
    // One state of the object, or the word that it cannot be had any more.
    let check = |frame: LazyFrame| match omega::frame::collect(frame) {
        Ok(rows) => assert!(rows == numbers(0, 300) || rows == numbers(7, 7), "{rows}"),
        Err(error) => assert!(
            matches!(error.kind(), ErrorKind::Conflict | ErrorKind::NotFound),
            "{error}"
        ),
    };
    check(scan.frame);
    storage.delete(&key("a")).unwrap();
    storage.check(true, &Silent).unwrap();
    check(again);
}

pub fn a_reader_does_not_see_what_is_added_later(storage: &dyn Storage) {
    put_rows(storage, &key("a"), Mode::Append, &numbers(0, 100)).unwrap();
    let scan = storage
        .scan(&found(storage, &key("a")), &Query::default())
        .unwrap();
    put_rows(storage, &key("a"), Mode::Append, &numbers(100, 50)).unwrap();
    assert_eq!(omega::frame::collect(scan.frame).unwrap(), numbers(0, 100));
    assert_eq!(rows(storage, &key("a")), numbers(0, 150));
}

pub fn a_reader_follows_a_replacement(storage: &dyn Storage) {
    let old = put_rows(storage, &key("a"), Mode::Create, &numbers(0, 5)).unwrap();
    put_rows(storage, &key("a"), Mode::Replace, &numbers(10, 5)).unwrap();
    // Of the same shape: what is read is what is there now.
    assert_eq!(
        finish(storage.scan(&old, &Query::default()).unwrap()),
        numbers(10, 5)
    );
    assert_eq!(storage.stats(&old).unwrap().count, Some(5));
    put_blob(storage, &key("a"), b"x").unwrap();
    let error = storage.scan(&old, &Query::default()).err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Conflict, "{error}");
}

pub fn a_reader_is_told_of_a_drop(storage: &dyn Storage) {
    let old = put_rows(storage, &key("a"), Mode::Create, &numbers(0, 5)).unwrap();
    storage.delete(&key("a")).unwrap();
    assert_eq!(
        storage.scan(&old, &Query::default()).err().unwrap().kind(),
        ErrorKind::NotFound
    );
    assert_eq!(storage.stats(&old).unwrap_err().kind(), ErrorKind::NotFound);
}

pub fn content_of_another_sort_is_refused(storage: &dyn Storage) {
    let rows = put_rows(storage, &key("rows"), Mode::Create, &numbers(0, 5)).unwrap();
    let blob = put_blob(storage, &key("blob"), b"x").unwrap();
    let docs = put_documents(storage, &key("docs"), Mode::Create, &[doc! { "x": 1 }]).unwrap();
    let kinds = [
        storage
            .scan(&blob, &Query::default())
            .err()
            .map(|error| error.kind()),
        storage
            .scan(&docs, &Query::default())
            .err()
            .map(|error| error.kind()),
        storage.blob(&rows).err().map(|error| error.kind()),
        storage.documents(&blob).err().map(|error| error.kind()),
    ];
    assert_eq!(kinds, [Some(ErrorKind::Invalid); 4]);
}

pub fn sizes_are_known_without_reading(storage: &dyn Storage) {
    let one = put_rows(storage, &key("a"), Mode::Create, &numbers(0, 1000)).unwrap();
    let before = storage.stats(&one).unwrap();
    assert_eq!(before.count, Some(1000));
    assert!(before.bytes > 1000);
    let two = put_rows(storage, &key("a"), Mode::Append, &numbers(0, 500)).unwrap();
    let after = storage.stats(&two).unwrap();
    assert_eq!(after.count, Some(1500));
    assert!(after.bytes > before.bytes);
}

pub fn check_finds_nothing_wrong(storage: &dyn Storage) {
    let report = storage.check(true, &Silent).unwrap();
    assert_eq!((report.objects, report.bytes, report.leftovers), (0, 0, 0));
    put_rows(storage, &key("rows"), Mode::Create, &numbers(0, 300_000)).unwrap();
    put_rows(storage, &key("rows"), Mode::Append, &numbers(0, 5)).unwrap();
    put_blob(storage, &key("blob"), &[7; 400_000]).unwrap();
    put_documents(storage, &key("docs"), Mode::Create, &[doc! { "x": 1 }]).unwrap();
    let report = storage.check(true, &Silent).unwrap();
    assert_eq!(report.objects, 3);
    assert!(report.bytes > 400_000 && report.repaired);
    assert!(report.damaged.is_empty(), "{report:?}");
}
