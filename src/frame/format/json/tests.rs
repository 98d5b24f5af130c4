#![allow(clippy::unwrap_used, clippy::expect_used)]

use crate::error::{Error, ErrorKind, Result};
use crate::frame::format::{Format, ReadOptions, Source, Step, open};
use crate::frame::json::rows;
use crate::progress::Silent;
use polars::prelude::*;
use proptest::prelude::*;
use serde_json::{Value, json};
use std::io::Cursor;
use std::sync::Arc;

/// The frame and the number of restarts.
fn drain(
    text: impl Into<Vec<u8>>,
    format: Format,
    settings: &[(&str, &str)],
) -> Result<(DataFrame, usize)> {
    let mut options = ReadOptions::default();
    for (key, value) in settings {
        options.set(key, value)?;
    }
    let mut reader = open(
        Source::Stream(Box::new(Cursor::new(text.into()))),
        format,
        &options,
        Arc::new(Silent),
    )?;
    let (mut all, mut restarts): (Option<DataFrame>, usize) = (None, 0);
    loop {
        match reader.next()? {
            Step::Frame(frame) => match &mut all {
                Some(all) => all.vstack_mut_owned(frame).map(|_| ()).unwrap(),
                None => all = Some(frame),
            },
            Step::Restart => {
                all = None;
                restarts += 1;
            }
            Step::Done => return Ok((all.unwrap(), restarts)),
        }
    }
}

fn read(text: &str) -> DataFrame {
    drain(text, Format::Json, &[]).unwrap().0
}

fn refused(text: &str) -> Error {
    drain(text, Format::Json, &[]).expect_err(text)
}

fn dtypes(frame: &DataFrame) -> Vec<String> {
    frame
        .dtypes()
        .iter()
        .map(crate::frame::dtype::pandas_name)
        .collect()
}

#[test]
fn all_forms_of_a_table_are_the_same() {
    let want = read("[{\"a\": 1, \"b\": \"x\"}, {\"a\": null, \"b\": \"y\"}]");
    assert_eq!(
        want,
        df!("a" => [Some(1i64), None], "b" => ["x", "y"]).unwrap()
    );
    for text in [
        "{\"a\":1,\"b\":\"x\"}\n{\"b\":\"y\"}\n",
        "\u{feff} {\"a\": [1, null], \"b\": [\"x\", \"y\"]}",
        "{\"a\": {\"0\": 1, \"1\": null}, \"b\": {\"1\": \"y\", \"0\": \"x\"}}",
        "{\"columns\": [\"a\", \"b\"], \"index\": [0, 1], \"data\": [[1, \"x\"], [null, \"y\"]]}",
    ] {
        assert!(read(text).equals_missing(&want), "{text}");
    }
    let (lines, _) = drain(
        "{\"a\":1,\"b\":\"x\"}\n\n{\"b\":\"y\"}",
        Format::Ndjson,
        &[],
    )
    .unwrap();
    assert!(lines.equals_missing(&want));
    assert_eq!(read("{\"a\": 1, \"b\": [2]}").height(), 1);
    assert_eq!(
        read("[[1, \"x\"], [2, \"y\"]]"),
        df!("column_0" => [1i64, 2], "column_1" => ["x", "y"]).unwrap()
    );
}

#[test]
fn types_are_inferred() {
    let frame = read(
        "[{\"i\": 1, \"f\": 1, \"d\": \"2024-01-31\", \"z\": \"2024-01-31T10:00:00Z\", \"big\": 18446744073709551616,
           \"mixed\": 1, \"list\": [1, 2.5], \"none\": null, \"s\": {\"x\": 1}, \"e\": {}},
          {\"i\": 2, \"f\": 2.5, \"d\": null, \"mixed\": \"a\", \"list\": [], \"s\": {\"y\": [\"q\"]}, \"e\": {}}]",
    );
    assert_eq!(
        dtypes(&frame)[..6],
        [
            "int64",
            "float64",
            "date",
            "datetime64[us, UTC]",
            "object",
            "object"
        ]
    );
    let got = rows(&frame).unwrap();
    assert_eq!(
        got,
        [
            json!({"i": 1, "f": 1.0, "d": "2024-01-31", "z": "2024-01-31T10:00:00Z", "big": "18446744073709551616",
                   "mixed": "1", "list": [1.0, 2.5], "none": null, "s": {"x": 1, "y": null}, "e": "{}"}),
            json!({"i": 2, "f": 2.5, "d": null, "z": null, "big": null, "mixed": "a", "list": [], "none": null,
                   "s": {"x": null, "y": ["q"]}, "e": "{}"}),
        ]
    );
}

#[test]
fn later_records_widen_the_types() {
    let mut lines = "{\"a\": 1, \"b\": null}\n".repeat(5_000);
    lines.push_str("{\"a\": 2.5, \"b\": {\"x\": 1}, \"c\": true}\n");
    let array = format!("[{}]", lines.trim_end().replace('\n', ",\n"));
    for (text, format) in [(lines, Format::Ndjson), (array, Format::Json)] {
        let (frame, restarts) = drain(text, format, &[]).unwrap();
        assert_eq!((restarts, frame.height()), (1, 5_001));
        assert_eq!(frame.column("a").unwrap().dtype(), &DataType::Float64);
        assert_eq!(frame.column("c").unwrap().null_count(), 5_000);
        assert_eq!(
            rows(&frame.tail(Some(1))).unwrap(),
            [json!({"a": 2.5, "b": {"x": 1}, "c": true})]
        );
    }
}

#[test]
fn options() {
    let text = "[{\"a\": 1, \"b\": \"2024-01-01\", \"c\": 5}, {\"a\": 2, \"b\": null, \"c\": 6}]";
    let (frame, _) = drain(
        text,
        Format::Json,
        &[
            ("usecols", "a,b"),
            ("dtype", "a=str"),
            ("parse_dates", "no"),
            ("nrows", "1"),
        ],
    )
    .unwrap();
    assert_eq!(frame, df!("a" => ["1"], "b" => ["2024-01-01"]).unwrap());
    let error = drain(text, Format::Json, &[("dtype", "b=int")]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "input: column `b`: `2024-01-01` is not int64"
    );
    assert_eq!(
        drain(text, Format::Json, &[("usecols", "x")])
            .unwrap_err()
            .kind(),
        ErrorKind::NotFound
    );
    let (frame, _) = drain(
        "{\"a\": [1, 2]}",
        Format::Json,
        &[("dtype", "a=i8"), ("nrows", "1")],
    )
    .unwrap();
    assert_eq!(
        (dtypes(&frame), frame.height()),
        (vec!["int8".to_owned()], 1)
    );
}

#[test]
fn what_is_no_table_is_refused() {
    for text in [
        "",
        "  ",
        "5",
        "[]",
        "[{}]",
        "{}",
        "[1, 2]",
        "[{\"a\": 1}",
        "[{\"a\": 1}] x",
        "{\"a\": [1], \"b\": []}",
        "{\"a\": 1",
    ] {
        assert_eq!(refused(text).kind(), ErrorKind::Invalid, "{text}");
    }
    let error = drain("{\"a\": 1}\n{\"a\": }\n", Format::Ndjson, &[]).unwrap_err();
    assert_eq!(error.to_string(), "input: line 2: expected a value");
    let error = refused("[{\"a\": 1},\n{\"a\" 1}]");
    assert!(error.to_string().starts_with("input: line 2: "), "{error}");
    let deep = format!("[{{\"a\": {}1{}}}]", "[".repeat(5_000), "]".repeat(5_000));
    assert!(refused(&deep).to_string().contains("nested too deeply"));
}

proptest! {
    #[test]
    fn any_text_is_read_or_refused(text in "[\\[\\]{}:,\"a1.\\-\n nult]{0,50}") {
        let _ = drain(text.clone(), Format::Json, &[]);
        let _ = drain(text, Format::Ndjson, &[]);
    }

    #[test]
    fn records_come_back(values in prop::collection::vec((any::<i64>(), -1e300..1e300f64, "[a-z\"\\\\\n]{0,6}", any::<Option<bool>>(), prop::collection::vec(0..9i64, 1..3)), 1..20)) {
        let given: Vec<Value> = values
            .iter()
            .map(|(a, b, c, d, e)| json!({"a": a, "b": b, "c": c, "d": d, "e": {"x": e}}))
            .collect();
        let array = serde_json::to_string_pretty(&given).unwrap();
        let mut want = given.clone();
        if values.iter().all(|value| value.3.is_none()) {
            want = given.iter().map(|row| { let mut row = row.clone(); row["d"] = Value::Null; row }).collect();
        }
        prop_assert_eq!(rows(&read(&array)).unwrap(), want);
    }
}
