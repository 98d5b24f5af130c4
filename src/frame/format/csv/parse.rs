//! What is done with one block: making a frame of it, or finding the kinds of its columns.

use super::classify::classify;
use super::column::Builder;
use super::cut::Block;
use super::dialect::Dialect;
use super::layout::{Layout, Target};
use super::record::{Found, Records};
use crate::error::{Context, Error, Result};
use crate::frame::dtype::pandas_name;
use crate::frame::format::kind::Kind;
use crate::frame::format::read_options::BadLines;
use polars::prelude::{Column, DataFrame};

/// How all blocks of a file are read.
#[derive(Debug, Clone)]
pub(super) struct Parser {
    pub dialect: Dialect,
    pub layout: Layout,
    pub bad_lines: BadLines,
    /// Rows that are wanted of a block at the most.
    pub rows: usize,
}

/// Why a record is not read on.
struct Stop {
    column: usize,
    text: String,
}

impl Parser {
    /// Makes a frame of a block, and counts the bad records that were left out. None
    /// when an inferred type is too narrow.
    pub fn parse(&self, block: &Block) -> Result<Option<(DataFrame, u64)>> {
        let text = self.text(block)?;
        let columns = &self.layout.columns;
        // A guess at the number of rows: the first line is like the others.
        let line =
            memchr::memchr(self.dialect.terminator, &block.bytes).unwrap_or(block.bytes.len()) + 1;
        let capacity = (block.bytes.len() / line + block.bytes.len() / line / 8 + 1).min(self.rows);
        let mut builders: Vec<Option<Builder>> = columns
            .iter()
            .map(|field| match &field.target {
                Target::Skip => None,
                Target::Inferred(kind) => Some(Builder::inferred(&field.name, *kind, capacity)),
                Target::Given(dtype) => Builder::given(&field.name, dtype, capacity),
            })
            .collect();
        let mut records = Records::new(text, &self.dialect);
        let (mut rows, mut skipped) = (0, 0);
        while rows < self.rows {
            if self.bad_lines != BadLines::Error && self.skips_bad(&mut records, block)? {
                skipped += 1;
                continue;
            }
            let found = records.next(|number, field| match builders.get_mut(number) {
                Some(Some(builder)) => builder.push(field, &self.dialect).map_err(|_| Stop {
                    column: number,
                    text: field.to_owned(),
                }),
                _ => Ok(()),
            });
            match found {
                Ok(Found::Record(count)) if count == columns.len() => {}
                Ok(Found::Record(count)) => return Err(self.ragged(block, records.start(), count)),
                Ok(Found::Blank) => builders.iter_mut().flatten().for_each(Builder::push_null),
                Ok(Found::Unclosed) => return Err(self.unclosed(block, records.start())),
                Ok(Found::End) => break,
                Err(stop) => {
                    return self
                        .misfit(block, records.start(), &stop)
                        .map_or(Ok(None), Err);
                }
            }
            rows += 1;
        }
        let columns: Vec<Column> = builders
            .into_iter()
            .flatten()
            .map(Builder::finish)
            .collect::<Result<_, _>>()
            .context(|| "cannot make a column")?;
        let frame = DataFrame::new(rows, columns).context(|| "cannot make a frame")?;
        Ok(Some((frame, skipped)))
    }

    /// Finds the kinds of the inferred columns in a block, and the number of its rows.
    pub fn kinds(&self, block: &Block) -> Result<(Vec<Kind>, u64)> {
        let text = self.text(block)?;
        let columns = &self.layout.columns;
        let mut kinds: Vec<Option<(Kind, bool)>> = columns
            .iter()
            .map(|field| match &field.target {
                Target::Inferred(kind) => Some((*kind, field.dates)),
                _ => None,
            })
            .collect();
        let mut records = Records::new(text, &self.dialect);
        let mut rows = 0;
        while rows < self.rows {
            if self.bad_lines != BadLines::Error && self.skips_bad(&mut records, block)? {
                continue;
            }
            let found = records.next(|number, field| {
                if let Some(Some((kind, dates))) = kinds.get_mut(number)
                    && *kind != Kind::Text
                {
                    *kind = kind.join(classify(field.as_bytes(), &self.dialect, *dates));
                }
                Ok::<(), Error>(())
            })?;
            match found {
                Found::Record(count) if count == columns.len() => {}
                Found::Record(count) => return Err(self.ragged(block, records.start(), count)),
                Found::Blank => {}
                Found::Unclosed => return Err(self.unclosed(block, records.start())),
                Found::End => break,
            }
            rows += 1;
        }
        let kinds = kinds
            .into_iter()
            .map(|kind| kind.map_or(Kind::Null, |(kind, _)| kind))
            .collect();
        Ok((kinds, rows as u64))
    }

    /// Steps over the next record if it has the wrong number of fields.
    fn skips_bad(&self, records: &mut Records<'_>, block: &Block) -> Result<bool> {
        let position = records.position();
        match records.next(|_, _| Ok::<(), Error>(()))? {
            Found::Record(count) if count != self.layout.columns.len() => Ok(true),
            Found::Unclosed => Err(self.unclosed(block, records.start())),
            _ => {
                records.rewind(position);
                Ok(false)
            }
        }
    }

    fn text<'a>(&self, block: &'a Block) -> Result<&'a str> {
        std::str::from_utf8(&block.bytes).map_err(|error| {
            let line = self.line(block, error.valid_up_to());
            Error::invalid(format!("line {line} is not valid UTF-8"))
                .hint("give the encoding, for example: --csv encoding=latin1")
        })
    }

    /// The line of the file that a byte of a block is in, counted from 1.
    fn line(&self, block: &Block, position: usize) -> u64 {
        let before = block.bytes.get(..position).unwrap_or(&block.bytes);
        block.line + memchr::memchr_iter(self.dialect.terminator, before).count() as u64
    }

    fn ragged(&self, block: &Block, start: usize, found: usize) -> Error {
        let line = self.line(block, start);
        let expected = self.layout.columns.len();
        let fields = |count| if count == 1 { "field" } else { "fields" };
        let error = Error::invalid(format!(
            "line {line} has {found} {}, {expected} {} expected",
            fields(found),
            if expected == 1 { "is" } else { "are" }
        ));
        if expected == 1 {
            return error.hint("is the separator another one? for example: --csv sep=;");
        }
        error.hint("to leave out such lines: --csv on_bad_lines=skip")
    }

    fn unclosed(&self, block: &Block, start: usize) -> Error {
        let line = self.line(block, start);
        Error::invalid(format!(
            "a quote in the record that starts in line {line} is not closed"
        ))
        .hint("to read quotes as ordinary characters: --csv quoting=3")
    }

    /// The error where the type was given; none where it was inferred.
    fn misfit(&self, block: &Block, start: usize, stop: &Stop) -> Option<Error> {
        let field = self.layout.columns.get(stop.column)?;
        let Target::Given(dtype) = &field.target else {
            return None;
        };
        let text: String = stop.text.chars().take(60).collect();
        let line = self.line(block, start);
        Some(
            Error::invalid(format!(
                "column `{}`, line {line}: `{text}` is not {}",
                field.name,
                pandas_name(dtype)
            ))
            .hint(format!(
                "let the type be found, or give a wider one: --dtypes {}=str",
                field.name
            )),
        )
    }
}
