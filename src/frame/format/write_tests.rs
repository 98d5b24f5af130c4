#![allow(clippy::unwrap_used)]

use super::{Compression, Format, ReadOptions, Source, Step, WriteOptions, open, write};
use crate::error::{ErrorKind, Result};
use crate::progress::{Meter, Progress, Silent, Unit};
use polars::prelude::*;
use std::io::{self, Cursor, Write};
use std::sync::{Arc, Mutex};

#[derive(Clone, Default)]
struct Shared(Arc<Mutex<Vec<u8>>>);

impl Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

struct Gone;

impl Write for Gone {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        Err(io::ErrorKind::BrokenPipe.into())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn frame() -> DataFrame {
    df!(
        "i" => [Some(1i64), None, Some(-3)],
        "f" => [0.1, 1e300, -2.0],
        "s" => [Some("a,\"b\"\nc"), Some("é"), None],
        "b" => [Some(true), Some(false), None],
        "d" => [Some("2024-01-31"), None, Some("1969-12-31")],
        "t" => [Some("2024-01-31T10:00:00.25"), None, Some("1969-12-31T23:59:59")],
    )
    .unwrap()
    .lazy()
    .with_columns([
        col("d").cast(DataType::Date),
        col("t").cast(DataType::Datetime(TimeUnit::Microseconds, None)),
        col("t")
            .cast(DataType::Datetime(TimeUnit::Microseconds, None))
            .dt()
            .replace_time_zone(Some(TimeZone::UTC), lit("raise"), NonExistent::Raise)
            .alias("z"),
    ])
    .collect()
    .unwrap()
}

fn written(frame: DataFrame, format: Format, options: &WriteOptions) -> Vec<u8> {
    let shared = Shared::default();
    let rows = frame.height() as u64;
    let count = write(
        frame.lazy(),
        format,
        options,
        Box::new(shared.clone()),
        &Silent,
    )
    .unwrap();
    assert_eq!(count, rows);
    Arc::into_inner(shared.0).unwrap().into_inner().unwrap()
}

fn text(frame: DataFrame, format: Format, settings: &[(&str, &str)]) -> String {
    let mut options = WriteOptions::default();
    for (key, value) in settings {
        options.set(key, value).unwrap();
    }
    String::from_utf8(written(frame, format, &options)).unwrap()
}

fn read(bytes: Vec<u8>, format: Format) -> Result<DataFrame> {
    read_with(bytes, format, &ReadOptions::default())
}

fn read_with(bytes: Vec<u8>, format: Format, options: &ReadOptions) -> Result<DataFrame> {
    let source = Source::Stream(Box::new(Cursor::new(bytes)));
    let mut reader = open(source, format, options, Arc::new(Silent))?;
    let mut all: Option<DataFrame> = None;
    loop {
        match reader.next()? {
            Step::Frame(frame) => match &mut all {
                Some(all) => all.vstack_mut_owned(frame).map(|_| ()).unwrap(),
                None => all = Some(frame),
            },
            Step::Restart => all = None,
            Step::Done => return Ok(all.unwrap()),
        }
    }
}

#[test]
fn what_is_written_reads_back() {
    for format in [
        Format::Csv,
        Format::Tsv,
        Format::Parquet,
        Format::Ipc,
        Format::Json,
        Format::Ndjson,
    ] {
        for compression in [
            None,
            Some(Compression::Gzip),
            Some(Compression::Zstd),
            Some(Compression::Zip),
        ] {
            let options = WriteOptions {
                compression,
                ..WriteOptions::default()
            };
            let got = read(written(frame(), format, &options), format).unwrap();
            assert!(
                got.equals_missing(&frame()),
                "{format:?} {compression:?}: {got:?}"
            );
        }
    }
}

#[test]
fn many_batches_read_back() {
    let rows: Vec<i64> = (0..700_000).collect();
    let many = df!("a" => &rows).unwrap();
    for format in [Format::Csv, Format::Parquet, Format::Ipc, Format::Ndjson] {
        let got = read(
            written(many.clone(), format, &WriteOptions::default()),
            format,
        )
        .unwrap();
        assert!(got.equals(&many), "{format:?}");
    }
}

#[test]
fn csv_as_text() {
    assert_eq!(
        text(frame(), Format::Csv, &[]),
        "i,f,s,b,d,t,z\n\
         1,0.1,\"a,\"\"b\"\"\nc\",true,2024-01-31,2024-01-31T10:00:00.25,2024-01-31T10:00:00.25Z\n\
         ,1e+300,é,false,,,\n\
         -3,-2.0,,,1969-12-31,1969-12-31T23:59:59,1969-12-31T23:59:59Z\n"
    );
    let small = df!("a" => [Some(1.5), None], "b" => ["x", "y"]).unwrap();
    assert_eq!(
        text(
            small.clone(),
            Format::Csv,
            &[
                ("sep", ";"),
                ("na_rep", "NA"),
                ("float_format", "%.3f"),
                ("decimal", ",")
            ]
        ),
        "a;b\n1,500;x\nNA;y\n"
    );
    assert_eq!(
        text(
            small,
            Format::Tsv,
            &[("header", "false"), ("quoting", "all")]
        ),
        "\"1.5\"\t\"x\"\n\"\"\t\"y\"\n"
    );
    let nested = df!("a" => [1i64, 2])
        .unwrap()
        .lazy()
        .select([
            as_struct(vec![col("a")]).alias("s"),
            concat_list([col("a")]).unwrap().alias("l"),
        ])
        .collect()
        .unwrap();
    assert_eq!(
        text(nested, Format::Csv, &[]),
        "s,l\n\"{\"\"a\"\":1}\",[1]\n\"{\"\"a\"\":2}\",[2]\n"
    );
}

#[test]
fn json_as_text() {
    let small =
        df!("a" => [Some(1.5), Some(f64::NAN), None], "b" => ["x", "\"y\"", "z\n"]).unwrap();
    assert_eq!(
        text(small.clone(), Format::Json, &[]),
        "[\n{\"a\":1.5,\"b\":\"x\"},\n{\"a\":null,\"b\":\"\\\"y\\\"\"},\n{\"a\":null,\"b\":\"z\\n\"}\n]\n"
    );
    assert_eq!(text(small.clone(), Format::Ndjson, &[]).lines().count(), 3);
    assert_eq!(text(small.clear(), Format::Json, &[]), "[]\n");
    assert_eq!(text(small.clear(), Format::Csv, &[]), "a,b\n");
}

#[test]
fn a_reader_that_has_gone_is_a_broken_pipe() {
    for format in Format::ALL {
        let numbers = df!("a" => (0..100_000i64).collect::<Vec<_>>()).unwrap();
        let error = write(
            numbers.lazy(),
            format,
            &WriteOptions::default(),
            Box::new(Gone),
            &Silent,
        )
        .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::BrokenPipe, "{format:?}: {error:?}");
    }
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
    for format in [Format::Csv, Format::Parquet, Format::Ipc, Format::Json] {
        let error = write(
            frame().lazy(),
            format,
            &WriteOptions::default(),
            Box::new(Vec::new()),
            &Stopped,
        )
        .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Interrupted);
    }
}

#[test]
fn columnar_files_are_read_as_the_options_want() {
    let table =
        df!("a" => [1i64, 2], "b" => ["2024-01-01", "2024-01-02"], "c" => [1.5, 2.5]).unwrap();
    let mut options = ReadOptions::default();
    for (key, value) in [("usecols", "b,a"), ("dtype", "a=i8,b=date"), ("nrows", "1")] {
        options.set(key, value).unwrap();
    }
    for format in [Format::Parquet, Format::Ipc] {
        let bytes = written(table.clone(), format, &WriteOptions::default());
        let got = read_with(bytes.clone(), format, &options).unwrap();
        assert_eq!(got.dtypes(), [DataType::Int8, DataType::Date]);
        assert_eq!(got.height(), 1);
        let mut wrong = ReadOptions::default();
        wrong.set("dtype", "b=int").unwrap();
        let error = read_with(bytes.clone(), format, &wrong).unwrap_err();
        assert_eq!(
            error.to_string(),
            "input: column `b`: `2024-01-01` is not int64"
        );
        wrong.set("usecols", "d").unwrap();
        assert_eq!(
            read_with(bytes.clone(), format, &wrong).unwrap_err().kind(),
            ErrorKind::NotFound
        );
        let cut = bytes[..bytes.len() / 2].to_vec();
        assert_eq!(read(cut, format).unwrap_err().kind(), ErrorKind::Invalid);
        assert_eq!(
            read(b"a,b\n1,2\n".to_vec(), format).unwrap_err().kind(),
            ErrorKind::Invalid
        );
    }
    let array = written(
        df!("x" => [1.0, 2.0], "y" => [3.0, 4.0]).unwrap(),
        Format::Npy,
        &WriteOptions::default(),
    );
    let got = read(array, Format::Npy).unwrap();
    assert_eq!(
        got,
        df!("column_0" => [1.0, 2.0], "column_1" => [3.0, 4.0]).unwrap()
    );
}

#[cfg(unix)]
#[test]
fn a_pipe_is_read_as_a_stream() {
    let (pipe, mut end) = io::pipe().unwrap();
    let writer = std::thread::spawn(move || {
        end.write_all(b"a\n").unwrap();
        end.write_all("1\n".repeat(100_000).as_bytes()).unwrap();
        end.write_all(b"2.5\n").unwrap();
    });
    let path = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&pipe));
    let mut reader = open(
        Source::Path(path.into()),
        Format::Csv,
        &ReadOptions::default(),
        Arc::new(Silent),
    )
    .unwrap();
    let (mut rows, mut restarts) = (0, 0);
    loop {
        match reader.next().unwrap() {
            Step::Frame(frame) => rows += frame.height(),
            Step::Restart => (rows, restarts) = (0, restarts + 1),
            Step::Done => break,
        }
    }
    writer.join().unwrap();
    assert_eq!((rows, restarts), (100_001, 1));
}
