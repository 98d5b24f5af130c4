//! Rows: what is written comes back, value for value and type for type.

use super::given::*;
use omega::ErrorKind;
use omega::storage::{Metadata, Mode, Storage};
use polars::prelude::*;

/// A column of each type that this build of Polars knows, with nulls and extremes; times
/// to the millisecond, which is what every storage keeps.
fn all_types() -> DataFrame {
    let time_zone = |zone: &str| TimeZone::opt_try_new(Some(zone)).unwrap();
    let long = |name: &str| {
        Series::new(
            name.into(),
            [Some(i64::MIN / 4), None, Some(1_700_000_000_123)],
        )
    };
    let cast = |name: &str, dtype: &DataType| long(name).cast(dtype).unwrap();
    let times = |name: &str, dtype: &DataType| {
        let millis = [Some(-9_000_000_000_000i64), None, Some(1_700_000_000_123)];
        Series::new(name.into(), millis)
            .cast(&DataType::Datetime(TimeUnit::Milliseconds, None))
            .and_then(|times| times.cast(dtype))
            .unwrap()
    };
    let text = Series::new("text".into(), [Some(""), None, Some("ünï 🦀\n\"'\0")]);
    let words = Series::new("words".into(), [Some("b"), None, Some("a")]);
    let categories = FrozenCategories::new(["a", "b", "c"]).unwrap();
    let list = Series::new(
        "list".into(),
        [
            Some(Series::new("".into(), [1i64, 2])),
            None,
            Some(Series::new_empty("".into(), &DataType::Int64)),
        ],
    );
    let fields = [
        Series::new("x".into(), [Some(1.5), None, Some(f64::MAX)]),
        Series::new("y.z".into(), ["a", "b", "c"]),
    ];
    let nested = StructChunked::from_series("nested".into(), 3, fields.iter())
        .unwrap()
        .into_series();
    let mut columns: Vec<Column> = vec![
        Series::new("bool".into(), [Some(true), None, Some(false)]).into(),
        Series::new("i8".into(), [Some(i8::MIN), None, Some(i8::MAX)]).into(),
        Series::new("i16".into(), [Some(i16::MIN), None, Some(i16::MAX)]).into(),
        Series::new("i32".into(), [Some(i32::MIN), None, Some(i32::MAX)]).into(),
        Series::new("i64".into(), [Some(i64::MIN), None, Some(i64::MAX)]).into(),
        Series::new("u8".into(), [Some(0u8), None, Some(u8::MAX)]).into(),
        Series::new("u16".into(), [Some(0u16), None, Some(u16::MAX)]).into(),
        Series::new("u32".into(), [Some(0u32), None, Some(u32::MAX)]).into(),
        Series::new("u64".into(), [Some(0u64), None, Some(u64::MAX)]).into(),
        Series::new(
            "f32".into(),
            [Some(f32::NAN), None, Some(f32::NEG_INFINITY)],
        )
        .into(),
        Series::new("f64".into(), [Some(f64::NAN), None, Some(-0.0)]).into(),
        Series::new("date".into(), [Some(-719_162i32), None, Some(20_000)])
            .cast(&DataType::Date)
            .unwrap()
            .into(),
        Series::new("time".into(), [Some(0i64), None, Some(86_399_999_999_999)])
            .cast(&DataType::Time)
            .unwrap()
            .into(),
        Series::new("null".into(), [None::<bool>; 3])
            .cast(&DataType::Null)
            .unwrap()
            .into(),
        text.cast(&DataType::Binary)
            .unwrap()
            .with_name("binary".into())
            .into(),
        words
            .cast(&DataType::from_categories(Categories::global()))
            .unwrap()
            .with_name("cat".into())
            .into(),
        words
            .cast(&DataType::from_frozen_categories(categories))
            .unwrap()
            .with_name("enum".into())
            .into(),
        text.into(),
        list.into(),
    ];
    for (name, unit) in [
        ("ms", TimeUnit::Milliseconds),
        ("us", TimeUnit::Microseconds),
        ("ns", TimeUnit::Nanoseconds),
    ] {
        columns.push(times(&format!("datetime {name}"), &DataType::Datetime(unit, None)).into());
        columns.push(
            times(
                &format!("zone {name}"),
                &DataType::Datetime(unit, time_zone("Europe/Zurich")),
            )
            .into(),
        );
        columns.push(cast(&format!("duration {name}"), &DataType::Duration(unit)).into());
    }
    let structs = [Some(nested.slice(0, 2)), None, Some(nested.slice(0, 0))];
    columns.push(Series::new("list of structs".into(), structs).into());
    columns.push(nested.into());
    DataFrame::new(3, columns).unwrap()
}

pub fn all_types_come_back(storage: &dyn Storage) {
    let frame = all_types();
    put_rows(storage, &key("a"), Mode::Create, &frame).unwrap();
    let back = rows(storage, &key("a"));
    assert_eq!(back.schema(), frame.schema());
    for (before, after) in frame.columns().iter().zip(back.columns()) {
        let (before, after) = (
            before.as_materialized_series(),
            after.as_materialized_series(),
        );
        assert!(before.equals_missing(after), "{before:?} {after:?}");
    }
    let scan = storage
        .scan(&found(storage, &key("a")), &omega::frame::Query::default())
        .unwrap();
    let streamed = omega::frame::collect(scan.frame).unwrap();
    assert!(streamed.equals_missing(&back));
    if let Some(batches) = scan.batches {
        let spooled = omega::frame::spool(batches().unwrap()).unwrap();
        assert!(
            omega::frame::collect(spooled)
                .unwrap()
                .equals_missing(&back)
        );
    }
    put_rows(storage, &key("a"), Mode::Append, &frame).unwrap();
    assert!(rows(storage, &key("a")).equals_missing(&frame.vstack(&frame).unwrap()));
}

pub fn appended_columns_are_reordered_and_widened(storage: &dyn Storage) {
    let first = df!("a" => [1.5f64], "b" => [1i64], "c" => ["x"]).unwrap();
    put_rows(storage, &key("a"), Mode::Create, &first).unwrap();
    let more = df!("c" => ["y"], "a" => [2i64], "b" => [7i16]).unwrap();
    put_rows(storage, &key("a"), Mode::Append, &more).unwrap();
    let expected = df!("a" => [1.5f64, 2.0], "b" => [1i64, 7], "c" => ["x", "y"]).unwrap();
    assert_eq!(rows(storage, &key("a")), expected);
}

pub fn appended_columns_must_fit(storage: &dyn Storage) {
    put_rows(storage, &key("a"), Mode::Create, &numbers(0, 2)).unwrap();
    for (frame, column) in [
        (
            df!("n" => [1.5], "text" => ["x"], "half" => [0.5]).unwrap(),
            "`n`",
        ),
        (
            df!("n" => ["1"], "text" => ["x"], "half" => [0.5]).unwrap(),
            "`n`",
        ),
        (df!("n" => [1i64], "half" => [0.5]).unwrap(), "`text`"),
        (
            df!("n" => [1i64], "text" => ["x"], "half" => [0.5], "more" => [1]).unwrap(),
            "`more`",
        ),
    ] {
        let error = put_rows(storage, &key("a"), Mode::Append, &frame).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Conflict);
        let text = error.to_string();
        assert!(text.contains(column) && text.contains("data/a"), "{text}");
    }
    assert_eq!(rows(storage, &key("a")), numbers(0, 2));
}

pub fn frames_of_one_write_must_agree(storage: &dyn Storage) {
    let mut writer = storage.write(&key("a"), Mode::Create).unwrap();
    writer.rows(numbers(0, 2)).unwrap();
    let error = writer.rows(df!("n" => ["x"]).unwrap()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
}

pub fn an_empty_frame_keeps_its_columns(storage: &dyn Storage) {
    let empty = all_types().clear();
    let stored = put_rows(storage, &key("a"), Mode::Create, &empty).unwrap();
    let back = rows(storage, &key("a"));
    assert_eq!((back.height(), back.schema()), (0, empty.schema()));
    assert_eq!(storage.stats(&stored).unwrap().count, Some(0));
    put_rows(storage, &key("a"), Mode::Append, &all_types()).unwrap();
    put_rows(storage, &key("a"), Mode::Append, &empty).unwrap();
    assert_eq!(rows(storage, &key("a")).height(), 3);
}

pub fn no_columns_are_refused(storage: &dyn Storage) {
    let error = put_rows(storage, &key("a"), Mode::Create, &DataFrame::empty()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert_eq!(storage.find(&key("a")).unwrap(), None);
}

pub fn ten_thousand_columns(storage: &dyn Storage) {
    let columns: Vec<Column> = (0..10_000)
        .map(|n| Column::new(format!("c{n}").into(), [n as i64, 2, 3]))
        .collect();
    let frame = DataFrame::new(3, columns).unwrap();
    put_rows(storage, &key("a"), Mode::Create, &frame).unwrap();
    assert_eq!(rows(storage, &key("a")), frame);
    let wanted = ["c9999", "c0"];
    let query = omega::frame::Query {
        columns: omega::frame::Columns::Only(wanted.map(str::to_owned).to_vec()),
        ..omega::frame::Query::default()
    };
    assert_eq!(
        super::given::query(storage, &key("a"), &query),
        frame.select(wanted).unwrap()
    );
}

pub fn many_small_appends(storage: &dyn Storage) {
    for number in 0..100 {
        put_rows(storage, &key("a"), Mode::Append, &numbers(number, 1)).unwrap();
    }
    assert_eq!(rows(storage, &key("a")), numbers(0, 100));
    let stats = storage.stats(&found(storage, &key("a"))).unwrap();
    assert_eq!(stats.count, Some(100));
}

pub fn large_frames_keep_their_order(storage: &dyn Storage) {
    let mut writer = storage.write(&key("a"), Mode::Create).unwrap();
    let mut from = 0;
    for rows in [10, 100_000, 0, 400_000, 1] {
        writer.rows(numbers(from, rows)).unwrap();
        from += rows;
    }
    let stored = writer.commit(Metadata::new(key("a"), FRAME)).unwrap();
    assert_eq!(storage.stats(&stored).unwrap().count, Some(500_011));
    assert_eq!(rows(storage, &key("a")), numbers(0, 500_011));
}

pub fn odd_column_names(storage: &dyn Storage) {
    let names = [
        "",
        " ",
        "a.b",
        "a b",
        "$x",
        "_id",
        "🦀",
        "x\ny",
        "\"q\"",
        "`t`",
        "_idx#0_k",
        "*",
        "^a$",
        "open-file",
    ];
    let columns = names
        .map(|name| Column::new(name.into(), [1i64, 2]))
        .to_vec();
    let frame = DataFrame::new(2, columns).unwrap();
    put_rows(storage, &key("a"), Mode::Create, &frame).unwrap();
    assert_eq!(rows(storage, &key("a")), frame);
}
