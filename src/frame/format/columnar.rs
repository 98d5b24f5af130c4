//! Reads Parquet and Arrow IPC files, batch by batch.

use super::csv::{Builder, Dialect};
use super::input::Input;
use super::read_options::ReadOptions;
use super::{Format, FrameReader, Step};
use crate::error::{Error, Result};
use crate::frame::batches::batches;
use crate::frame::columns::{column, unknown_column};
use crate::frame::dtype::pandas_name;
use crate::frame::polars_error::explained;
use crate::frame::{collect, schema};
use crate::progress::{Meter, Progress, Unit};
use polars::prelude::*;
use std::io::{Read, Seek};
use std::sync::Arc;

/// The rows of Parquet files as they lie: names of folders are no columns of theirs.
///
/// # Errors
/// What Polars says.
pub fn scan_parquet(sources: ScanSources) -> PolarsResult<LazyFrame> {
    let arguments = ScanArgsParquet {
        hive_options: HiveOptions::new_disabled(),
        glob: false,
        ..ScanArgsParquet::default()
    };
    LazyFrame::scan_parquet_sources(sources, arguments)
}

/// Reads one file.
pub(super) struct ColumnarReader {
    name: String,
    options: ReadOptions,
    batches: Box<dyn Iterator<Item = Result<DataFrame>> + Send>,
    progress: Arc<dyn Progress>,
    meter: Box<dyn Meter>,
    ended: bool,
}

impl ColumnarReader {
    /// Opens a file of `format`.
    pub fn open(
        input: &Input,
        format: Format,
        options: &ReadOptions,
        progress: Arc<dyn Progress>,
    ) -> Result<ColumnarReader> {
        let opened = lazy(input, format, &progress)
            .and_then(|frame| {
                let rows = count(frame.clone());
                let batches = batches(adapted(frame, options)?)?;
                Ok((rows, batches))
            })
            .map_err(|error| error.on(input.name()))?;
        let (rows, batches) = opened;
        Ok(ColumnarReader {
            name: input.name().to_owned(),
            options: options.clone(),
            batches: Box::new(batches),
            meter: progress.meter("reading", rows, Unit::Items),
            progress,
            ended: false,
        })
    }
}

impl FrameReader for ColumnarReader {
    fn next(&mut self) -> Result<Step> {
        if self.ended {
            return Ok(Step::Done);
        }
        self.progress.check()?;
        let batch = self.batches.next().transpose();
        match batch.and_then(|batch| batch.map(|batch| retyped(batch, &self.options)).transpose()) {
            Ok(Some(frame)) => {
                self.meter.advance(frame.height() as u64);
                Ok(Step::Frame(frame))
            }
            Err(error) => {
                self.ended = true;
                Err(error.on(&self.name))
            }
            Ok(None) => {
                self.ended = true;
                Ok(Step::Done)
            }
        }
    }
}

fn lazy(input: &Input, format: Format, progress: &Arc<dyn Progress>) -> Result<LazyFrame> {
    let mut file = input.file("reading", progress)?;
    let mut magic = Vec::with_capacity(6);
    Read::by_ref(&mut file)
        .take(6)
        .read_to_end(&mut magic)
        .map_err(|error| input.unreadable(error))?;
    file.rewind().map_err(|error| input.unreadable(error))?;
    let wrong = |what: &str| {
        Err(Error::invalid(format!("this is not {what} file")).hint("say the format: --format csv"))
    };
    match (format, magic.as_slice()) {
        (Format::Parquet, [b'P', b'A', b'R', b'1', ..]) => {
            let sources = ScanSources::Files(Arc::from([file]));
            scan_parquet(sources)
        }
        (Format::Parquet, _) => return wrong("a Parquet"),
        (_, b"ARROW1") => {
            let sources = ScanSources::Files(Arc::from([file]));
            let arguments = UnifiedScanArgs {
                hive_options: HiveOptions::new_disabled(),
                ..UnifiedScanArgs::default()
            };
            LazyFrame::scan_ipc_sources(sources, IpcScanOptions::default(), arguments)
        }
        (_, [0xff, 0xff, 0xff, 0xff, ..]) => {
            IpcStreamReader::new(file).finish().map(IntoLazy::lazy)
        }
        (_, [b'F', b'E', b'A', b'1', ..]) => {
            return Err(Error::invalid("Feather version 1 is not supported")
                .hint("write it again as version 2, the default since 2020"));
        }
        _ => return wrong("an Arrow IPC (Feather)"),
    }
    .map_err(|error| explained(&error))
}

/// Rows, as the file's metadata has them.
fn count(frame: LazyFrame) -> Option<u64> {
    let counted = collect(frame.select([len()])).ok()?;
    counted.columns().first()?.get(0).ok()?.extract()
}

/// Columns, types and the number of rows as the options want them, but for texts that
/// shall be of another type: those are [`retyped`] frame by frame.
pub(super) fn adapted(mut frame: LazyFrame, options: &ReadOptions) -> Result<LazyFrame> {
    let schema = schema(&mut frame)?;
    let check = |name: &String| match schema.contains(name) {
        true => Ok(()),
        false => Err(unknown_column(
            name,
            schema.iter_names().map(|name| name.as_str()),
        )),
    };
    options.columns.iter().flatten().try_for_each(check)?;
    options
        .dtypes
        .iter()
        .map(|(name, _)| name)
        .try_for_each(check)?;
    if let Some(columns) = &options.columns {
        let wanted = schema
            .iter_names()
            .filter(|name| columns.iter().any(|column| column == name.as_str()));
        frame = frame.select(wanted.map(|name| column(name)).collect::<Vec<_>>());
    }
    let casts: Vec<Expr> = options
        .dtypes
        .iter()
        .filter(|(name, _)| {
            options
                .columns
                .as_ref()
                .is_none_or(|columns| columns.contains(name))
        })
        .filter(|(name, _)| schema.get(name) != Some(&DataType::String))
        .map(|(name, dtype)| column(name).strict_cast(dtype.clone()))
        .collect();
    if !casts.is_empty() {
        frame = frame.with_columns(casts);
    }
    if let Some(rows) = options.rows {
        frame = frame.limit(IdxSize::try_from(rows).unwrap_or(IdxSize::MAX));
    }
    Ok(frame)
}

/// Reads text columns as the types that the options give, as CSV would.
pub(super) fn retyped(mut frame: DataFrame, options: &ReadOptions) -> Result<DataFrame> {
    let dialect = Dialect::new(options, b',', b"\n");
    for (name, dtype) in &options.dtypes {
        let Some(index) = frame.get_column_index(name) else {
            continue;
        };
        let texts = match frame.columns().get(index) {
            Some(column) if column.dtype() == &DataType::String && *dtype != DataType::String => {
                column.clone()
            }
            _ => continue,
        };
        let not_text = || {
            Error::usage(format!(
                "column `{name}`: text cannot be read as {}",
                pandas_name(dtype)
            ))
        };
        let mut builder = Builder::given(name, dtype, texts.len()).ok_or_else(not_text)?;
        for text in texts.str().map_err(|error| explained(&error))?.iter() {
            match text {
                None => builder.push_null(),
                Some(text) => builder.push(text, &dialect).map_err(|_| {
                    let text: String = text.chars().take(60).collect();
                    Error::invalid(format!(
                        "column `{name}`: `{text}` is not {}",
                        pandas_name(dtype)
                    ))
                })?,
            }
        }
        let column = builder.finish().map_err(|error| explained(&error))?;
        frame
            .replace_column(index, column)
            .map_err(|error| explained(&error))?;
    }
    Ok(frame)
}
