//! Reads CSV and TSV in bounded memory, on all cores, with types that are right over the
//! whole file.
//!
//! Types are inferred over the first block and the file is parsed with them. When a later
//! block does not fit, the whole file is looked at once (in parallel, keeping nothing but
//! the kinds), and parsing starts again with the final types: [`Step::Restart`]. So most
//! files are read once, no file more than three times.
//!
//! The fields are read by our own reader rather than Polars': it must count the fields of
//! each record, know the line of each error, tell text from numbers and nulls as pandas
//! does inside quotes too, and never fill short records silently.

mod classify;
mod column;
mod cut;
mod dialect;
mod layout;
mod number;
mod parse;
mod record;
#[cfg(test)]
mod tests;

pub(super) use column::Builder;
pub(super) use cut::Blocks;
pub(super) use dialect::Dialect;

use super::FrameReader;
use super::input::Input;
use super::read_options::{BadLines, Header, ReadOptions};
use super::restart::{Blocks as AnyBlocks, Outcome, Plan, Restarting, changed_meanwhile};
use crate::error::{Error, Result};
use crate::progress::Progress;
use cut::Block;
use layout::{Layout, has_header};
use parse::Parser;
use polars::prelude::DataFrame;
use record::{Found, Records};
use std::io::Read;
use std::sync::Arc;

/// Bytes of the first block, over which types are inferred. Small in tests, which read
/// many blocks then.
const FIRST: usize = if cfg!(test) { 32 << 10 } else { 2 << 20 };
/// Bytes of the other blocks, for files of few columns.
const BLOCK: usize = if cfg!(test) { 64 << 10 } else { 4 << 20 };
/// Bytes of a block for each column, so that frames of very wide files are not too short.
const BLOCK_PER_COLUMN: usize = 1 << 10;

type Source = Blocks<Box<dyn Read + Send>>;

/// Opens a file and infers its types over the first block.
pub(super) fn open(
    input: Input,
    separator: u8,
    options: &ReadOptions,
    progress: Arc<dyn Progress>,
) -> Result<Box<dyn FrameReader>> {
    let pass = Pass::start(&input, separator, options, &progress, "reading")?;
    let layout = Layout::new(options, pass.names).map_err(|error| error.on(input.name()))?;
    let rows = options
        .rows
        .map(|rows| usize::try_from(rows).unwrap_or(usize::MAX));
    let mut plan = CsvPlan {
        parser: Parser {
            dialect: pass.dialect,
            layout,
            bad_lines: options.bad_lines,
            rows: rows.unwrap_or(usize::MAX),
        },
        input,
        separator,
        options: options.clone(),
    };
    if let Some(first) = &pass.first {
        let (kinds, _) = plan.kinds(first)?;
        plan.widen(kinds);
    }
    let blocks = all_blocks(&plan.input, pass.first, pass.blocks);
    let warns = options.bad_lines == BadLines::Warn;
    Ok(Box::new(Restarting::new(
        plan,
        blocks,
        options.rows,
        warns,
        progress,
    )?))
}

/// How a CSV file is read.
#[derive(Clone)]
struct CsvPlan {
    input: Input,
    separator: u8,
    options: ReadOptions,
    parser: Parser,
}

impl Plan for CsvPlan {
    type Block = Block;
    type Kinds = Vec<super::kind::Kind>;

    fn blocks(&self, label: &str, progress: &Arc<dyn Progress>) -> Result<AnyBlocks<Block>> {
        let pass = Pass::start(&self.input, self.separator, &self.options, progress, label)?;
        if pass.names.len() != self.parser.layout.columns.len() {
            return Err(changed_meanwhile(self.name()));
        }
        Ok(all_blocks(&self.input, pass.first, pass.blocks))
    }

    fn parse(&self, block: &Block) -> Outcome {
        match self.parser.parse(block) {
            Ok(Some((frame, skipped))) => Outcome::Parsed(frame, skipped),
            Ok(None) => Outcome::Misfit,
            Err(error) => Outcome::Failed(error.on(self.name())),
        }
    }

    fn kinds(&self, block: &Block) -> Result<(Self::Kinds, u64)> {
        self.parser
            .kinds(block)
            .map_err(|error| error.on(self.name()))
    }

    fn widen(&mut self, kinds: Self::Kinds) -> bool {
        self.parser.layout.widen(&kinds)
    }

    fn empty(&self) -> Result<DataFrame> {
        match self.parser.parse(&Block {
            bytes: Vec::new(),
            line: 1,
        })? {
            Some((frame, _)) => Ok(frame),
            None => Err(Error::failed("cannot make an empty frame").on(self.name())),
        }
    }

    fn name(&self) -> &str {
        self.input.name()
    }
}

/// The start of a pass over a file.
struct Pass {
    dialect: Dialect,
    /// The fields of the header or, without one, of the first record.
    names: Vec<String>,
    /// The first block with data, if there is any.
    first: Option<Block>,
    blocks: Source,
}

impl Pass {
    fn start(
        input: &Input,
        separator: u8,
        options: &ReadOptions,
        progress: &Arc<dyn Progress>,
        label: &str,
    ) -> Result<Pass> {
        let mut reader = input.text(options.encoding, label, progress)?;
        let mut start = Vec::new();
        let more = |reader: &mut Box<dyn Read + Send>, start: &mut Vec<u8>| {
            reader
                .by_ref()
                .take(1 << 16)
                .read_to_end(start)
                .map_err(|error| input.unreadable(error))
        };
        more(&mut reader, &mut start)?;
        let dialect = Dialect::new(options, separator, &start);
        let header_line = match options.header {
            Header::Line(line) => line,
            _ => 0,
        };
        let skip = options.skip_rows.saturating_add(header_line);
        let (mut line, mut position) = (1, 0);
        while line <= skip {
            let rest = start.get(position..).unwrap_or_default();
            match memchr::memchr(dialect.terminator, rest) {
                Some(end) => {
                    position += end + 1;
                    line += 1;
                }
                None => {
                    start.clear();
                    position = 0;
                    if more(&mut reader, &mut start)? == 0 {
                        break;
                    }
                }
            }
        }
        start.drain(..position);
        let mut blocks = Blocks::new(reader, dialect.clone(), FIRST, start, line);
        let mut first = next(&mut blocks, input)?;
        let mut names = Vec::new();
        // The first block may hold nothing but comments and empty lines.
        while let Some(block) = &mut first {
            if let Some((found, length)) =
                first_record(block, &dialect).map_err(|error| error.on(input.name()))?
            {
                names = found;
                if has_header(options) {
                    block.line += memchr::memchr_iter(
                        dialect.terminator,
                        block.bytes.get(..length).unwrap_or_default(),
                    )
                    .count() as u64;
                    block.bytes.drain(..length);
                }
                break;
            }
            first = next(&mut blocks, input)?;
        }
        if first.is_none() {
            return Err(Error::invalid("there are no columns, the file is empty").on(input.name()));
        }
        blocks.set_target(BLOCK.max(names.len().saturating_mul(BLOCK_PER_COLUMN)));
        // Types are inferred over rows: a block of nothing but the header has none.
        if first.as_ref().is_some_and(|block| block.bytes.is_empty()) {
            first = next(&mut blocks, input)?;
        }
        Ok(Pass {
            dialect,
            names,
            first,
            blocks,
        })
    }
}

fn next(blocks: &mut Source, input: &Input) -> Result<Option<Block>> {
    blocks.next_block().map_err(|cut| cut.into_error(input))
}

/// The fields of the first record of a block and where the record ends.
fn first_record(block: &Block, dialect: &Dialect) -> Result<Option<(Vec<String>, usize)>> {
    let text = match std::str::from_utf8(&block.bytes) {
        Ok(text) => text,
        Err(error) => {
            // An error further down is told with its line by whoever reads the rows.
            let valid = block.bytes.get(..error.valid_up_to()).unwrap_or_default();
            std::str::from_utf8(valid).unwrap_or_default()
        }
    };
    // Empty lines before the header are left out whatever the options say.
    let dialect = Dialect {
        skip_blank_lines: true,
        ..dialect.clone()
    };
    let mut records = Records::new(text, &dialect);
    let mut fields = Vec::new();
    let found = records.next(|_, field| {
        fields.push(field.to_owned());
        Ok::<(), Error>(())
    })?;
    match found {
        Found::Record(_) => Ok(Some((fields, records.position()))),
        Found::Blank | Found::End if text.len() == block.bytes.len() => Ok(None),
        Found::Unclosed | Found::Blank | Found::End => Err(Error::invalid(format!(
            "cannot read the column names in line {}",
            block.line
        ))
        .hint("is a quote not closed, or the encoding another one? --csv encoding=latin1")),
    }
}

fn all_blocks(input: &Input, first: Option<Block>, mut blocks: Source) -> AnyBlocks<Block> {
    let input = input.clone();
    let rest = std::iter::from_fn(move || next(&mut blocks, &input).transpose());
    Box::new(first.map(Ok).into_iter().chain(rest))
}
