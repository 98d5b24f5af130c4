#![allow(clippy::unwrap_used, clippy::expect_used)]

use crate::error::{Error, ErrorKind, Result};
use crate::frame::format::{Format, FrameReader, ReadOptions, Source, Step, open};
use crate::progress::{Meter, Progress, Silent, Unit};
use polars::prelude::*;
use proptest::prelude::*;
use std::fmt::Write as _;
use std::io::{Cursor, Write as _};
use std::sync::{Arc, Mutex};

fn options(settings: &[(&str, &str)]) -> ReadOptions {
    let mut options = ReadOptions::default();
    for (key, value) in settings {
        options.set(key, value).unwrap();
    }
    options
}

fn stream(
    text: impl Into<Vec<u8>>,
    format: Format,
    options: &ReadOptions,
) -> Result<Box<dyn FrameReader>> {
    open(
        Source::Stream(Box::new(Cursor::new(text.into()))),
        format,
        options,
        Arc::new(Silent),
    )
}

/// The whole frame and the number of restarts.
fn drain(mut reader: Box<dyn FrameReader>) -> Result<(DataFrame, usize)> {
    let (mut frames, mut restarts): (Vec<DataFrame>, usize) = (Vec::new(), 0);
    loop {
        match reader.next()? {
            Step::Frame(frame) => frames.push(frame),
            Step::Restart => {
                frames.clear();
                restarts += 1;
            }
            Step::Done => break,
        }
    }
    assert!(matches!(reader.next()?, Step::Done));
    let mut frames = frames.into_iter();
    let mut all = frames.next().unwrap();
    for frame in frames {
        assert_eq!(frame.schema(), all.schema());
        all.vstack_mut_owned(frame).unwrap();
    }
    Ok((all, restarts))
}

fn read_with(text: impl Into<Vec<u8>>, settings: &[(&str, &str)]) -> Result<DataFrame> {
    drain(stream(text, Format::Csv, &options(settings))?).map(|(frame, _)| frame)
}

fn read(text: impl Into<Vec<u8>>) -> DataFrame {
    read_with(text, &[]).unwrap()
}

fn refused(text: impl Into<Vec<u8>>, settings: &[(&str, &str)]) -> Error {
    read_with(text, settings).err().unwrap()
}

fn dtypes(frame: &DataFrame) -> Vec<String> {
    frame
        .dtypes()
        .iter()
        .map(crate::frame::dtype::pandas_name)
        .collect()
}

fn names(frame: &DataFrame) -> Vec<String> {
    frame
        .get_column_names()
        .iter()
        .map(|name| name.to_string())
        .collect()
}

#[test]
fn types_are_inferred() {
    let frame = read(
        "i,f,b,s,d,l,z,n,big,mixed,q\n\
         1,1.5,true,x,2024-01-31,2024-01-31 10:00:00,2024-01-31T10:00:00Z,,12345678901234567890,1,\"5\"\n\
         ,2,FALSE,NA,2024-02-01,2024-01-31T10:00:00.25,2024-01-31 11:00:00+01:00,,1,2.5,\"6\"\n",
    );
    assert_eq!(
        dtypes(&frame),
        [
            "int64",
            "float64",
            "bool",
            "object",
            "date",
            "datetime64[us]",
            "datetime64[us, UTC]",
            "object",
            "object",
            "float64",
            "int64"
        ]
    );
    assert_eq!(frame.column("i").unwrap().null_count(), 1);
    assert_eq!(frame.column("s").unwrap().null_count(), 1);
    assert_eq!(frame.column("n").unwrap().null_count(), 2);
    let zoned = frame.column("z").unwrap().cast(&DataType::Int64).unwrap();
    assert_eq!(
        zoned.get(0).unwrap(),
        AnyValue::Int64(1_706_695_200_000_000)
    );
    assert_eq!(zoned.get(0).unwrap(), zoned.get(1).unwrap());
    assert_eq!(
        frame.column("big").unwrap().get(0).unwrap(),
        AnyValue::String("12345678901234567890")
    );
}

#[test]
fn kinds_that_do_not_mix_are_text() {
    let frame = read("a,b,c,d\n1,true,2024-01-01,2024-01-01T00:00\nx,1,5,2024-01-01T00:00Z\n");
    assert_eq!(dtypes(&frame), ["object"; 4]);
    let frame = read("a\n2024-01-01\n2024-01-01 10:00\n");
    assert_eq!(dtypes(&frame), ["datetime64[us]"]);
    let frame = read("a\n2024-01-01 10:00\n2024-01-01 10:00:00.123456789\n");
    assert_eq!(dtypes(&frame), ["datetime64[ns]"]);
}

/// Rows of `first` until the file is far beyond the first block, then `last`.
fn long(header: &str, first: &str, last: &str) -> String {
    let mut text = format!("{header}\n");
    while text.len() < 400_000 {
        text.push_str(first);
    }
    text + last
}

#[test]
fn later_rows_widen_the_types() {
    let text = long(
        "a,b,c,d\n",
        "1,,2024-01-01,x\n",
        "2.5,7,n/a,y\n3,8,2024-01-02 10:00,z\n",
    );
    let rows = text.lines().count() - 2;
    let (frame, restarts) =
        drain(stream(text, Format::Csv, &ReadOptions::default()).unwrap()).unwrap();
    assert_eq!(restarts, 1);
    assert_eq!(
        dtypes(&frame),
        ["float64", "int64", "datetime64[us]", "object"]
    );
    assert_eq!(frame.height(), rows);
    assert_eq!(frame.column("b").unwrap().null_count(), rows - 2);
    assert_eq!(
        frame.column("a").unwrap().get(rows - 2).unwrap(),
        AnyValue::Float64(2.5)
    );
}

#[test]
fn given_types_need_no_second_look() {
    let text = long("a\n", "1\n", "2.5\n");
    let options = options(&[("dtype", "a=float")]);
    let (frame, restarts) = drain(stream(text, Format::Csv, &options).unwrap()).unwrap();
    assert_eq!((restarts, dtypes(&frame)), (0, vec!["float64".to_owned()]));
}

#[test]
fn given_types() {
    let frame = read_with(
        "a,b,c,d,e,f,g\n1,2,x,2024-07-01 12:00,10:30,01,18446744073709551615\nNA,3,y,2024-07-01T10:00Z,,02,1\n",
        &[("dtype", "a=i8,b=f32,c=category,d=datetime64[ms, Europe/Zurich],e=time,f=str,g=u64")],
    )
    .unwrap();
    assert_eq!(
        dtypes(&frame),
        [
            "int8",
            "float32",
            "category",
            "datetime64[ms, Europe/Zurich]",
            "object",
            "object",
            "uint64"
        ]
    );
    let stamps = frame.column("d").unwrap().cast(&DataType::Int64).unwrap();
    assert_eq!(stamps.get(0).unwrap(), stamps.get(1).unwrap());
    assert_eq!(
        frame.column("f").unwrap().get(0).unwrap(),
        AnyValue::String("01")
    );
    let error = refused("a,b\n1,2\n3,300\n", &[("dtype", "b=i8")]);
    assert_eq!(
        error.to_string(),
        "input: column `b`, line 3: `300` is not int8"
    );
    assert_eq!(
        refused("a\n1\n", &[("dtype", "A=int")]).kind(),
        ErrorKind::NotFound
    );
    assert_eq!(
        refused("a\n1\n", &[("dtype", "a=timedelta")]).kind(),
        ErrorKind::Usage
    );
}

#[test]
fn ragged_rows_are_told_with_their_line() {
    for (text, message) in [
        ("a,b\n1,2\n3\n", "input: line 3 has 1 field, 2 are expected"),
        (
            "a,b\n\"x\ny\",2\n\n1,2,3\n",
            "input: line 5 has 3 fields, 2 are expected",
        ),
        ("a\n1,2\n", "input: line 2 has 2 fields, 1 is expected"),
        (
            "a,b\n1,\"x\n",
            "input: a quote in the record that starts in line 2 is not closed",
        ),
    ] {
        let error = refused(text, &[]);
        assert_eq!(
            (error.kind(), error.to_string().as_str()),
            (ErrorKind::Invalid, message)
        );
    }
    let far = long("a,b\n", "1,2\n", "1\n");
    let lines = far.lines().count();
    assert_eq!(
        refused(far, &[]).to_string(),
        format!("input: line {lines} has 1 field, 2 are expected")
    );
}

#[test]
fn ragged_rows_can_be_left_out() {
    let text = "a,b\n1,2\n3\n4,5,6\n7,8\n";
    let frame = read_with(text, &[("on_bad_lines", "skip")]).unwrap();
    assert_eq!(frame, df!("a" => [1i64, 7], "b" => [2i64, 8]).unwrap());

    #[derive(Default)]
    struct Notes(Mutex<Vec<String>>);
    impl Progress for Notes {
        fn meter(&self, _: &str, _: Option<u64>, _: Unit) -> Box<dyn Meter> {
            Box::new(Silent)
        }
        fn note(&self, message: &str) {
            self.0.lock().unwrap().push(message.to_owned());
        }
    }
    let notes = Arc::new(Notes::default());
    let source = Source::Stream(Box::new(Cursor::new(text)));
    let progress: Arc<dyn Progress> = notes.clone();
    drain(
        open(
            source,
            Format::Csv,
            &options(&[("on_bad_lines", "warn")]),
            progress,
        )
        .unwrap(),
    )
    .unwrap();
    assert_eq!(*notes.0.lock().unwrap(), ["input: left out 2 bad lines"]);
}

#[test]
fn encodings() {
    let error = refused(b"a,b\n1,2\ncaf\xe9,3\n".as_slice(), &[]);
    assert_eq!(error.to_string(), "input: line 3 is not valid UTF-8");
    assert!(error.hint_text().unwrap().contains("encoding=latin1"));
    let frame = read_with(b"\xe9,b\ncaf\xe9,3\n".as_slice(), &[("encoding", "latin1")]).unwrap();
    assert_eq!(names(&frame), ["é", "b"]);
    assert_eq!(
        frame.column("é").unwrap().get(0).unwrap(),
        AnyValue::String("café")
    );
    assert_eq!(
        names(&read(b"\xef\xbb\xbfa,b\n1,2\n".as_slice())),
        ["a", "b"]
    );
    assert_eq!(
        names(&read(b"\xef\xbb\xbf\"a\",b\n1,2\n".as_slice())),
        ["a", "b"]
    );
    assert!(
        refused(b"caf\xe9,b\n1,2\n".as_slice(), &[])
            .to_string()
            .contains("line 1")
    );
}

#[test]
fn edges() {
    for text in ["", "\n\n", "   \n", "\u{feff}"] {
        assert_eq!(
            refused(text, &[]).to_string(),
            "input: there are no columns, the file is empty",
            "{text:?}"
        );
    }
    let frame = read("a,b\n");
    assert_eq!(
        (frame.height(), dtypes(&frame)),
        (0, vec!["object".to_owned(); 2])
    );
    assert_eq!(read("a,b").height(), 0);
    let frame = read("\r\n\r\na,a,,a\r\n1,2,3,\r\n\r\n");
    assert_eq!(names(&frame), ["a", "a.1", "Unnamed: 2", "a.2"]);
    assert_eq!(frame.height(), 1);
    assert_eq!(dtypes(&frame), ["int64", "int64", "int64", "object"]);
    assert_eq!(read("a,b\r1,2\r3,4\r").height(), 2);
    assert_eq!(
        read("a,b\n1,\"line\nbreak, \"\"quoted\"\"\"\n")
            .get(0)
            .unwrap()[1],
        AnyValue::String("line\nbreak, \"quoted\"")
    );
    assert_eq!(
        read("a\ninf\n-1\n").get(0).unwrap()[0],
        AnyValue::Float64(f64::INFINITY)
    );
}

#[test]
fn ten_thousand_columns() {
    let row = |value: &str| vec![value; 10_000].join(",");
    let mut text = (0..10_000)
        .map(|number| format!("c{number}"))
        .collect::<Vec<_>>()
        .join(",");
    for value in ["1", "2.5", "", "3"] {
        write!(text, "\n{}", row(value)).unwrap();
    }
    let frame = read(text);
    assert_eq!((frame.height(), frame.width()), (4, 10_000));
    assert!(frame.dtypes().iter().all(DataType::is_float));
}

#[test]
fn a_record_larger_than_a_block() {
    let field = "x".repeat(1_000_000);
    let frame = read(format!("a,b\n1,\"{field}\n\"\n2,y\n"));
    assert_eq!(frame.height(), 2);
    assert_eq!(
        frame
            .column("b")
            .unwrap()
            .str()
            .unwrap()
            .get(0)
            .unwrap()
            .len(),
        1_000_001
    );
}

#[test]
fn read_options() {
    let frame = read_with(
        "junk\nmore \"junk\na;b;c\n# note\n1.234,5; yes;x\n-; no;y # z\n7;yes;z\n",
        &[
            ("sep", ";"),
            ("decimal", ","),
            ("thousands", "."),
            ("skiprows", "2"),
            ("comment", "#"),
            ("true_values", "yes"),
            ("false_values", "no"),
            ("skipinitialspace", "true"),
            ("na_values", "-"),
            ("nrows", "2"),
            ("usecols", "b,a"),
        ],
    )
    .unwrap();
    assert_eq!(
        frame,
        df!("a" => [Some(1234.5), None], "b" => [true, false]).unwrap()
    );
    let frame = read_with("1,2\n3,4\n", &[("header", "none")]).unwrap();
    assert_eq!(
        (names(&frame), frame.height()),
        (vec!["0".to_owned(), "1".to_owned()], 2)
    );
    let frame = read_with("x,y\n3,4\n", &[("header", "0"), ("names", "a,b")]).unwrap();
    assert_eq!(frame, df!("a" => [3i64], "b" => [4i64]).unwrap());
    assert!(
        refused("1,2\n", &[("names", "a")])
            .to_string()
            .contains("2 columns")
    );
    let frame = read_with("t\nx\na,b\n1,2\n", &[("header", "2")]).unwrap();
    assert_eq!(names(&frame), ["a", "b"]);
    let frame = read_with("a,b\n\n1,2\n", &[("skip_blank_lines", "false")]).unwrap();
    assert_eq!(frame.column("a").unwrap().null_count(), 1);
    let frame = read_with("a,b\n\"x,1\n", &[("quoting", "3")]).unwrap();
    assert_eq!(
        frame.column("a").unwrap().get(0).unwrap(),
        AnyValue::String("\"x")
    );
    let frame = read_with("a,b\n2024-01-01,2024-01-01\n", &[("parse_dates", "b")]).unwrap();
    assert_eq!(dtypes(&frame), ["object", "date"]);
    let frame = read_with("a\nNA\n\"\"\nx\n", &[("keep_default_na", "false")]).unwrap();
    assert_eq!(frame.column("a").unwrap().null_count(), 0);
    let frame = read_with("a,b\n-999,-999.0\n1,2.5\n", &[("na_values", "-999,-999.0")]).unwrap();
    assert_eq!(
        (dtypes(&frame), frame.column("a").unwrap().null_count()),
        (vec!["int64".to_owned(), "float64".to_owned()], 1)
    );
    assert_eq!(
        read_with("a\n1\n2\n", &[("nrows", "0")]).unwrap().height(),
        0
    );
    assert_eq!(
        refused("a\n1\n", &[("usecols", "b")]).kind(),
        ErrorKind::NotFound
    );
    let (frame, _) =
        drain(stream("a\tb\n1\tx,y\n", Format::Tsv, &ReadOptions::default()).unwrap()).unwrap();
    assert_eq!(frame, df!("a" => [1i64], "b" => ["x,y"]).unwrap());
}

#[test]
fn compressed_files_and_streams() {
    let text = long("a,b", "1,x\n", "2.5,y\n");
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(text.as_bytes()).unwrap();
    let zstd = zstd::stream::encode_all(text.as_bytes(), 1).unwrap();
    let mut zip = ::zip::ZipWriter::new(Cursor::new(Vec::new()));
    zip.start_file("a.csv", ::zip::write::SimpleFileOptions::default())
        .unwrap();
    zip.write_all(text.as_bytes()).unwrap();
    let zip = zip.finish().unwrap().into_inner();
    let plain = read(text.clone());
    let folder = tempfile::tempdir().unwrap();
    for bytes in [gzip.finish().unwrap(), zstd, zip.clone(), text.into_bytes()] {
        let path = folder.path().join("data");
        std::fs::write(&path, &bytes).unwrap();
        let reader = open(
            Source::Path(path),
            Format::Csv,
            &ReadOptions::default(),
            Arc::new(Silent),
        )
        .unwrap();
        let (frame, restarts) = drain(reader).unwrap();
        assert!(frame.equals(&plain) && restarts == 1);
        assert!(read(bytes).equals(&plain));
    }
    let cut = zip[..zip.len() / 2].to_vec();
    assert_eq!(refused(cut, &[]).kind(), ErrorKind::Invalid);
    assert!(
        refused(b"BZh91AY".as_slice(), &[])
            .to_string()
            .contains("bzip2")
    );
}

#[test]
fn damaged_gzip_is_an_error() {
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(long("a,b", "1,x\n", "").as_bytes()).unwrap();
    let mut bytes = gzip.finish().unwrap();
    bytes.truncate(bytes.len() - 100);
    let error = refused(bytes, &[]);
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert!(error.to_string().contains("damaged or cut off"), "{error}");
}

#[test]
fn missing_files_and_folders() {
    let at = |path: &str| {
        open(
            Source::Path(path.into()),
            Format::Csv,
            &ReadOptions::default(),
            Arc::new(Silent),
        )
        .err()
        .unwrap()
    };
    assert_eq!(at("/nowhere/x.csv").kind(), ErrorKind::NotFound);
    assert_eq!(at("/").kind(), ErrorKind::Usage);
}

#[test]
fn interruption_stops() {
    struct Stopped;
    impl Progress for Stopped {
        fn meter(&self, _: &str, _: Option<u64>, _: Unit) -> Box<dyn Meter> {
            Box::new(Silent)
        }
        fn note(&self, _: &str) {}
        fn interrupted(&self) -> bool {
            true
        }
    }
    let source = Source::Stream(Box::new(Cursor::new("a\n1\n")));
    let mut reader = open(
        source,
        Format::Csv,
        &ReadOptions::default(),
        Arc::new(Stopped),
    )
    .unwrap();
    assert_eq!(reader.next().unwrap_err().kind(), ErrorKind::Interrupted);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
        let _ = read_with(bytes, &[]);
    }

    #[test]
    fn near_csv_is_read_or_refused(text in "[a1.,\"\n\r #\\-:TZ;é]{0,80}") {
        let _ = read_with(text.clone(), &[]);
        let _ = read_with(text, &[("comment", "#"), ("decimal", ","), ("sep", ";"), ("thousands", "."), ("on_bad_lines", "skip"), ("header", "none")]);
    }

    #[test]
    fn text_comes_back(rows in prop::collection::vec(("[a-z \",\n\r;é]{1,9}", "[A-Z\"]{2,5}"), 1..20)) {
        let mut writer = csv::WriterBuilder::new().quote_style(csv::QuoteStyle::Always).from_writer(Vec::new());
        writer.write_record(["first", "second"]).unwrap();
        for (first, second) in &rows {
            writer.write_record([first, second]).unwrap();
        }
        let frame = read_with(writer.into_inner().unwrap(), &[("na_filter", "false"), ("dtype", "first=str,second=str")]).unwrap();
        for (column, want) in [("first", rows.iter().map(|row| &row.0).collect::<Vec<_>>()), ("second", rows.iter().map(|row| &row.1).collect())] {
            let got: Vec<&str> = frame.column(column).unwrap().str().unwrap().iter().flatten().collect();
            prop_assert_eq!(got, want);
        }
    }

    #[test]
    fn numbers_come_back(rows in prop::collection::vec((any::<i64>(), any::<f64>().prop_filter("finite", |value| value.is_finite()), any::<bool>()), 1..30)) {
        let mut text = "i,f,b\n".to_owned();
        for (int, float, truth) in &rows {
            writeln!(text, "{int},{float:?},{truth}").unwrap();
        }
        let frame = read(text);
        let want = df!(
            "i" => rows.iter().map(|row| row.0).collect::<Vec<_>>(),
            "f" => rows.iter().map(|row| row.1).collect::<Vec<_>>(),
            "b" => rows.iter().map(|row| row.2).collect::<Vec<_>>(),
        ).unwrap();
        prop_assert_eq!(frame, want);
    }
}
