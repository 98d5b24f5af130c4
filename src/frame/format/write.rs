//! Writes frames to files, batch by batch; memory is bounded whatever the table's size,
//! but for `.npy`, which needs all columns at once.

use super::Format;
use super::output::{Output, write_error};
use super::text::textual;
use super::write_options::{Quoting, WriteOptions};
use crate::error::{Context, Error, ErrorKind, Result};
use crate::frame::polars_error::explained;
use crate::frame::rows::{Batches, Rows, has_categories};
use crate::frame::spool::streamable;
use crate::frame::{collect, json, npy};
use crate::progress::{Progress, Unit};
use polars::io::utils::file::Writable;
use polars::prelude::*;
use polars_arrow::io::ipc::write::default_ipc_fields;
use std::io::Write;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Rows of a Parquet row group.
const ROW_GROUP: usize = 1 << 17;

/// Writes rows and answers their number.
///
/// Floats are written so that they read back the same, dates and times in ISO 8601,
/// those with a zone in UTC. In JSON, NaN and infinity are null.
///
/// # Errors
/// [`ErrorKind::BrokenPipe`] when the reader of `out` has gone,
/// [`ErrorKind::Interrupted`] when the user wants to stop, and what Polars says.
pub fn write(
    rows: impl Into<Rows>,
    format: Format,
    options: &WriteOptions,
    out: Box<dyn Write + Send>,
    progress: &dyn Progress,
) -> Result<u64> {
    let entry = format!("data.{}", format.name());
    let out = Output::new(out, options.compression, &entry)?;
    let rows = rows.into();
    match format {
        Format::Csv => delimited(rows, b',', options, out, progress),
        Format::Tsv => delimited(rows, b'\t', options, out, progress),
        Format::Json | Format::Ndjson => records(rows, format, out, progress),
        Format::Parquet => {
            let options = ParquetWriteOptions {
                row_group_size: Some(ROW_GROUP),
                ..ParquetWriteOptions::default()
            };
            let format = FileWriteFormat::Parquet(Arc::new(options));
            sink(rows.lazy()?, format, out, progress)
        }
        Format::Ipc => arrow(rows, out, progress),
        Format::Npy => array(rows.lazy()?, out),
    }
}

fn delimited(
    rows: Rows,
    separator: u8,
    options: &WriteOptions,
    mut out: Output,
    progress: &dyn Progress,
) -> Result<u64> {
    let meter = progress.meter("writing", None, Unit::Items);
    let (names, arriving) = rows.with_schema()?;
    let mut writer = CsvWriter::new(&mut out)
        .include_header(options.header)
        .include_bom(options.bom)
        .with_separator(options.separator.unwrap_or(separator))
        .with_null_value(options.null.as_str().into())
        .with_float_precision(options.float_digits)
        .with_float_scientific(options.scientific.then_some(true))
        .with_quote_char(options.quote)
        .with_quote_style(match options.quoting {
            Quoting::Necessary => QuoteStyle::Necessary,
            Quoting::All => QuoteStyle::Always,
            Quoting::NonNumeric => QuoteStyle::NonNumeric,
            Quoting::Never => QuoteStyle::Never,
        })
        .with_decimal_comma(options.decimal_comma)
        .with_line_terminator(options.terminator.as_str().into())
        .batched(&names)
        .map_err(|error| explained(&error))?;
    let mut rows = 0;
    for batch in arriving.batches()? {
        progress.check()?;
        let batch = textual(&batch?, true).map_err(|error| explained(&error))?;
        writer
            .write_batch(&batch)
            .map_err(|error| written(&error))?;
        meter.advance(batch.height() as u64);
        rows += batch.height() as u64;
    }
    writer.finish().map_err(|error| written(&error))?;
    drop(writer);
    out.finish()?;
    Ok(rows)
}

/// An array of records, or one record a line.
fn records(
    arriving: Rows,
    format: Format,
    mut out: Output,
    progress: &dyn Progress,
) -> Result<u64> {
    let meter = progress.meter("writing", None, Unit::Items);
    let array = format == Format::Json;
    let mut rows = 0_u64;
    for batch in arriving.batches()? {
        progress.check()?;
        let batch = batch?;
        let mut lines = lines(&batch)?;
        if array && !lines.is_empty() {
            lines = elements(&lines, rows == 0);
        }
        out.write_all(&lines).map_err(write_error)?;
        meter.advance(batch.height() as u64);
        rows += batch.height() as u64;
    }
    if array {
        out.write_all(if rows == 0 { b"[]\n" } else { b"\n]\n" })
            .map_err(write_error)?;
    }
    out.finish()?;
    Ok(rows)
}

/// The rows of a batch as JSON, each on its line.
fn lines(batch: &DataFrame) -> Result<Vec<u8>> {
    let mut lines = Vec::new();
    if batch
        .columns()
        .iter()
        .any(|column| column.dtype().is_nested())
    {
        // Polars has its own ideas of dates inside nested values.
        for row in json::rows(batch)? {
            serde_json::to_writer(&mut lines, &row).context(|| "cannot write a row")?;
            lines.push(b'\n');
        }
        return Ok(lines);
    }
    let mut batch = textual(batch, false).map_err(|error| explained(&error))?;
    JsonWriter::new(&mut lines)
        .with_json_format(JsonFormat::JsonLines)
        .finish(&mut batch)
        .map_err(|error| explained(&error))?;
    Ok(lines)
}

/// Lines as elements of an array, of which the first ones open it.
fn elements(lines: &[u8], first: bool) -> Vec<u8> {
    let mut text = Vec::with_capacity(lines.len() + lines.len() / 16 + 4);
    text.extend_from_slice(if first { b"[\n" } else { b",\n" });
    let lines = lines.strip_suffix(b"\n").unwrap_or(lines);
    let mut start = 0;
    for end in memchr::memchr_iter(b'\n', lines) {
        text.extend_from_slice(lines.get(start..end).unwrap_or_default());
        text.extend_from_slice(b",\n");
        start = end + 1;
    }
    text.extend_from_slice(lines.get(start..).unwrap_or_default());
    text
}

fn array(frame: LazyFrame, mut out: Output) -> Result<u64> {
    let frame = collect(frame)?;
    out.write_all(&npy::from_frame(&frame)?)
        .map_err(write_error)?;
    out.finish()?;
    Ok(frame.height() as u64)
}

/// An Arrow file: batch by batch where batches arrive, unless they would not agree on the
/// numbers of their categories.
fn arrow(rows: Rows, out: Output, progress: &dyn Progress) -> Result<u64> {
    let lazily = |frame, out| {
        let format = FileWriteFormat::Ipc(IpcWriterOptions::default());
        sink(frame, format, out, progress)
    };
    match rows {
        Rows::Lazy(frame) => lazily(*frame, out),
        rows => {
            let (schema, rows) = rows.with_schema()?;
            if schema.iter_values().any(has_categories) {
                return lazily(rows.lazy()?, out);
            }
            arrow_batches(&schema, rows.batches()?, out, progress)
        }
    }
}

fn arrow_batches(
    schema: &Schema,
    batches: Batches,
    mut out: Output,
    progress: &dyn Progress,
) -> Result<u64> {
    let meter = progress.meter("writing", None, Unit::Items);
    let level = CompatLevel::newest();
    let fields = schema.to_arrow(level);
    let fields = default_ipc_fields(fields.iter_values());
    let mut writer = IpcWriter::new(&mut out)
        .with_compat_level(level)
        .batched(schema, fields)
        .map_err(|error| written(&error))?;
    let mut rows = 0;
    for batch in batches {
        progress.check()?;
        let batch = batch?;
        writer
            .write_batch(&batch)
            .map_err(|error| written(&error))?;
        meter.advance(batch.height() as u64);
        rows += batch.height() as u64;
    }
    writer.finish().map_err(|error| written(&error))?;
    drop(writer);
    out.finish()?;
    Ok(rows)
}

/// Polars' own streaming sinks, on a thread of their own so that rows are counted and
/// interruption is seen meanwhile.
fn sink(
    frame: LazyFrame,
    format: FileWriteFormat,
    out: Output,
    progress: &dyn Progress,
) -> Result<u64> {
    let meter = progress.meter("writing", None, Unit::Items);
    let rows = Arc::new(AtomicU64::new(0));
    let stop = Arc::new(AtomicBool::new(false));
    let (counted, stopped) = (Arc::clone(&rows), Arc::clone(&stop));
    let count = move |batch: DataFrame| {
        if stopped.load(Ordering::Relaxed) {
            polars_bail!(ComputeError: "interrupted");
        }
        counted.fetch_add(batch.height() as u64, Ordering::Relaxed);
        Ok(batch)
    };
    let out: Writable = Writable::Dyn(Box::new(out));
    let target = SinkTarget::Dyn(SpecialEq::new(Arc::new(Mutex::new(Some(out)))));
    let plan = streamable(frame)?
        .map(count, AllowedOptimizations::STREAMING, None, Some("count"))
        .sink(
            SinkDestination::File { target },
            format,
            UnifiedSinkArgs::default(),
        )
        .map_err(|error| explained(&error))?;
    let (sender, receiver) = sync_channel(1);
    std::thread::Builder::new()
        .name("om-write".to_owned())
        .spawn(move || {
            // The receiver is there until this has been sent.
            let _ = sender.send(plan.collect_with_engine(Engine::Streaming).map(|_| ()));
        })
        .context(|| "cannot start a thread to write")?;
    let mut told = 0;
    loop {
        let result = receiver.recv_timeout(Duration::from_millis(50));
        let now = rows.load(Ordering::Relaxed);
        meter.advance(now - told);
        told = now;
        match result {
            Ok(result) => {
                progress.check()?;
                result.map_err(|error| written(&error))?;
                return Ok(now);
            }
            Err(RecvTimeoutError::Timeout) => stop.store(progress.interrupted(), Ordering::Relaxed),
            Err(RecvTimeoutError::Disconnected) => {
                return Err(Error::failed("the thread that writes has died"));
            }
        }
    }
}

/// The error of a Polars writer: the broken pipe shows through.
fn written(error: &PolarsError) -> Error {
    let explained = explained(error);
    if explained.kind() != ErrorKind::BrokenPipe
        && error.to_string().to_lowercase().contains("broken pipe")
    {
        return Error::new(ErrorKind::BrokenPipe, explained.message().to_owned());
    }
    explained
}
