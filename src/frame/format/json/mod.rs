//! Reads JSON: one record a line (NDJSON), an array of records, or one object of columns.
//! Records and arrays are read in bounded memory with types that hold over the whole
//! file, as CSV is; an object of columns is read at once.
//!
//! A record is an object, or a list, whose columns are `column_0`, `column_1` …
//! ISO dates and timestamps are dates and timestamps; nested objects and lists become
//! struct and list columns; what does not mix becomes text.

mod array;
mod column;
mod node;
mod object;
mod shape;
#[cfg(test)]
mod tests;

use super::csv::{Blocks as Lines, Dialect};
use super::input::Input;
use super::read_options::{Dates, ReadOptions};
use super::restart::{Blocks, Outcome, Plan, Restarting};
use super::{FrameReader, Once};
use crate::error::{Context, Error, Result};
use crate::frame::columns::unknown_column;
use crate::frame::dtype::pandas_name;
use crate::progress::Progress;
use array::{Block, Elements};
use column::{Cell, Failure, given, inferred, spread};
use node::{Broken, Node, Object, Parser};
use polars::prelude::{Column, DataFrame, DataType, IntoColumn};
use shape::{Fields, Shape};
use std::borrow::Cow;
use std::io::Read;
use std::sync::Arc;

/// Bytes of a block. Values take many times their text in memory.
const BLOCK: usize = if cfg!(test) { 16 << 10 } else { 1 << 20 };

/// Opens a file; `lines`: one record a line, whatever it starts with.
pub(super) fn open(
    input: Input,
    lines: bool,
    options: &ReadOptions,
    progress: Arc<dyn Progress>,
) -> Result<Box<dyn FrameReader>> {
    let style = if lines {
        Style::Lines
    } else {
        style(&input, options, &progress)?
    };
    if style == Style::Object {
        let mut text = Vec::new();
        input
            .text(options.encoding, "reading", &progress)?
            .read_to_end(&mut text)
            .map_err(|error| input.unreadable(error))?;
        let frame = object::frame(&text, options).map_err(|error| error.on(input.name()))?;
        return Ok(Box::new(Once(Some(frame))));
    }
    let mut plan = JsonPlan {
        input,
        style,
        options: options.clone(),
        fields: Fields::default(),
    };
    let mut blocks = plan.blocks("reading", &progress)?;
    // Types are inferred over the first block.
    let mut first = Vec::new();
    for block in &mut blocks {
        let block = block?;
        let (fields, rows) = plan.kinds(&block)?;
        plan.widen(fields);
        first.push(Ok(block));
        if rows > 0 && !plan.fields.is_empty() {
            break;
        }
    }
    if plan.fields.is_empty() {
        return Err(empty().on(plan.name()));
    }
    check(options, &plan.fields).map_err(|error| error.on(plan.name()))?;
    let blocks = Box::new(first.into_iter().chain(blocks));
    Ok(Box::new(Restarting::new(
        plan,
        blocks,
        options.rows,
        false,
        progress,
    )?))
}

/// How records stand in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Style {
    Lines,
    Array,
    Object,
}

/// Looks at the start of a file. Files named `.json` often are NDJSON.
fn style(input: &Input, options: &ReadOptions, progress: &Arc<dyn Progress>) -> Result<Style> {
    let mut start = Vec::new();
    input
        .text(options.encoding, "reading", progress)?
        .take(BLOCK as u64)
        .read_to_end(&mut start)
        .map_err(|error| input.unreadable(error))?;
    let text = start.trim_ascii_start();
    match text.first() {
        None => Err(empty().on(input.name())),
        Some(b'[') => Ok(Style::Array),
        Some(b'{') => {
            // The start may end within a character.
            let text = String::from_utf8_lossy(text);
            let mut values = Parser::new(&text);
            let whole = values.next().is_ok();
            let rest = text.get(values.position()..).unwrap_or_default();
            let more = whole && rest.trim_start().starts_with('{');
            Ok(if more { Style::Lines } else { Style::Object })
        }
        Some(_) => Err(Error::invalid(
            "JSON of a table is an array, an object, or one object a line",
        )
        .on(input.name())),
    }
}

fn empty() -> Error {
    Error::invalid("there are no columns, the file is empty")
}

/// Refuses options that name columns which are not there.
fn check(options: &ReadOptions, fields: &Fields) -> Result<()> {
    let names = options
        .columns
        .iter()
        .flatten()
        .chain(options.dtypes.iter().map(|(name, _)| name));
    for name in names {
        if fields.position(0, name).is_none() {
            return Err(unknown_column(
                name,
                fields.iter().map(|(name, _)| name.as_str()),
            ));
        }
    }
    Ok(())
}

#[derive(Clone)]
struct JsonPlan {
    input: Input,
    style: Style,
    options: ReadOptions,
    fields: Fields,
}

impl Plan for JsonPlan {
    type Block = Block;
    type Kinds = Fields;

    fn blocks(&self, label: &str, progress: &Arc<dyn Progress>) -> Result<Blocks<Block>> {
        let reader = self.input.text(self.options.encoding, label, progress)?;
        if self.style == Style::Array {
            return Ok(Box::new(Elements::new(reader, self.input.clone(), BLOCK)));
        }
        // Text in JSON has no line ends, so lines need no look at quotes.
        let plain = ReadOptions {
            quote: None,
            ..ReadOptions::default()
        };
        let mut lines = Lines::new(
            reader,
            Dialect::new(&plain, b',', b"\n"),
            BLOCK,
            Vec::new(),
            1,
        );
        let input = self.input.clone();
        Ok(Box::new(std::iter::from_fn(move || {
            let block = lines
                .next_block()
                .map_err(|cut| cut.into_error(&input))
                .transpose()?;
            Some(block.map(|block| Block {
                bytes: block.bytes,
                line: block.line,
            }))
        })))
    }

    fn parse(&self, block: &Block) -> Outcome {
        let frame = self.records(block).and_then(|records| {
            let frame = frame(&records, &self.fields, &self.options);
            match frame {
                Ok(frame) => Ok(Some(frame)),
                Err(Failure::Misfit) => Ok(None),
                Err(Failure::Given(message)) => Err(Error::invalid(message)),
                Err(Failure::Polars(error)) => Err(error).context(|| "cannot make a column"),
            }
        });
        match frame {
            Ok(Some(frame)) => Outcome::Parsed(frame, 0),
            Ok(None) => Outcome::Misfit,
            Err(error) => Outcome::Failed(error.on(self.name())),
        }
    }

    fn kinds(&self, block: &Block) -> Result<(Fields, u64)> {
        let records = self.records(block).map_err(|error| error.on(self.name()))?;
        let mut fields = self.fields.clone();
        for record in &records {
            widen(&mut fields, record, &self.options);
        }
        Ok((fields, records.len() as u64))
    }

    fn widen(&mut self, fields: Fields) -> bool {
        self.fields.join_all(fields)
    }

    fn empty(&self) -> Result<DataFrame> {
        // Without a record there is no column.
        Err(empty().on(self.name()))
    }

    fn name(&self) -> &str {
        self.input.name()
    }
}

impl JsonPlan {
    /// The records of a block, as many as are wanted.
    fn records<'a>(&self, block: &'a Block) -> Result<Vec<Object<'a>>> {
        let text = text(&block.bytes, block.line)?;
        let broken = |broken: Broken| broken_json(text, &broken, block.line);
        let rows = self.options.rows.map_or(usize::MAX, |rows| {
            usize::try_from(rows).unwrap_or(usize::MAX)
        });
        let mut parser = Parser::new(text);
        if self.style == Style::Array {
            let Node::List(nodes) = parser.only().map_err(broken)? else {
                return Err(Error::invalid("expected an array"));
            };
            return nodes
                .into_iter()
                .take(rows)
                .map(|node| record(node, block.line))
                .collect();
        }
        let mut records = Vec::new();
        while records.len() < rows {
            let Some(node) = parser.next().map_err(broken)? else {
                break;
            };
            records.push(record(node, line_at(text, parser.position(), block.line))?);
        }
        Ok(records)
    }
}

fn text(bytes: &[u8], line: u64) -> Result<&str> {
    std::str::from_utf8(bytes).map_err(|error| {
        let valid = bytes.get(..error.valid_up_to()).unwrap_or_default();
        let line = line + memchr::memchr_iter(b'\n', valid).count() as u64;
        Error::invalid(format!("line {line} is not valid UTF-8"))
            .hint("give the encoding, for example: --csv encoding=latin1")
    })
}

fn line_at(text: &str, position: usize, first: u64) -> u64 {
    let before = text.as_bytes().get(..position).unwrap_or(text.as_bytes());
    first + memchr::memchr_iter(b'\n', before).count() as u64
}

fn broken_json(text: &str, broken: &Broken, first: u64) -> Error {
    Error::invalid(format!(
        "line {}: {}",
        line_at(text, broken.at, first),
        broken.what
    ))
}

fn record(node: Node<'_>, line: u64) -> Result<Object<'_>> {
    match node {
        Node::Object(fields) => Ok(fields),
        Node::List(values) => Ok(values
            .into_iter()
            .enumerate()
            .map(|(number, value)| (Cow::Owned(format!("column_{number}")), value))
            .collect()),
        other => Err(
            Error::invalid(format!("line {line}: {} is not a record", other.text()))
                .hint("a record is an object such as {\"qty\": 5}"),
        ),
    }
}

/// Widens the fields to hold a record.
fn widen(fields: &mut Fields, record: &Object<'_>, options: &ReadOptions) {
    for (position, (name, value)) in record.iter().enumerate() {
        // The type of a given column need not be found.
        let shape = match options.dtypes.iter().any(|(column, _)| column == name) {
            true => Shape::NULL,
            false => Shape::of(value, dates(options, name)),
        };
        fields.join(position, name, shape);
    }
}

fn dates(options: &ReadOptions, name: &str) -> bool {
    match &options.dates {
        Dates::All => true,
        Dates::None => false,
        Dates::Only(columns) => columns.iter().any(|column| column == name),
    }
}

/// Makes a frame of records.
fn frame(
    records: &[Object<'_>],
    fields: &Fields,
    options: &ReadOptions,
) -> Result<DataFrame, Failure> {
    let mut cells: Vec<Vec<Cell<'_>>> = vec![vec![None; records.len()]; fields.len()];
    for (row, record) in records.iter().enumerate() {
        spread(record, fields, &mut cells, row)?;
    }
    let columns: Vec<(&str, &Shape, Vec<Cell<'_>>)> = fields
        .iter()
        .zip(cells)
        .map(|((name, shape), cells)| (name.as_str(), shape, cells))
        .collect();
    frame_of(&columns, records.len(), options)
}

/// Makes a frame of columns.
fn frame_of(
    columns: &[(&str, &Shape, Vec<Cell<'_>>)],
    rows: usize,
    options: &ReadOptions,
) -> Result<DataFrame, Failure> {
    let dialect = Dialect::new(options, b',', b"\n");
    let columns = columns
        .iter()
        .filter(|(name, ..)| {
            options
                .columns
                .as_ref()
                .is_none_or(|wanted| wanted.iter().any(|column| column == name))
        })
        .map(|(name, shape, cells)| {
            let series = match options.dtypes.iter().find(|(column, _)| column == name) {
                Some((_, dtype)) => given(name, dtype, &dialect, cells)
                    .map_err(|error| not_given(error, name, dtype))?,
                None => inferred(name, shape, cells)?,
            };
            Ok(series.into_column())
        })
        .collect::<Result<Vec<Column>, Failure>>()?;
    Ok(DataFrame::new(rows, columns)?)
}

/// Names column and type in the error of a value that does not fit.
fn not_given(error: Failure, name: &str, dtype: &DataType) -> Failure {
    let type_name = pandas_name(dtype);
    match error {
        Failure::Given(text) => {
            let text: String = text.chars().take(60).collect();
            Failure::Given(format!("column `{name}`: `{text}` is not {type_name}"))
        }
        Failure::Misfit => Failure::Given(format!(
            "column `{name}`: JSON cannot be read as {type_name}"
        )),
        other => other,
    }
}
