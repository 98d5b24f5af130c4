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

use super::input::Input;
use super::options::{BadLines, Header, ReadOptions};
use super::pipeline::Pipeline;
use super::{FrameReader, Step};
use crate::error::{Error, Result};
use crate::progress::Progress;
use cut::{Block, Blocks};
use dialect::Dialect;
use layout::{Layout, has_header};
use parse::{Kinds, Outcome, Plan};
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

/// Reads one CSV file.
pub(super) struct CsvReader {
    input: Input,
    options: ReadOptions,
    separator: u8,
    progress: Arc<dyn Progress>,
    plan: Plan,
    work: Pipeline<Outcome>,
    /// Rows handed out in this pass.
    rows: u64,
    /// Frames handed out in this pass.
    frames: u64,
    skipped: u64,
    ended: bool,
}

type Source = Blocks<Box<dyn Read + Send>>;

impl CsvReader {
    /// Opens a file and infers its types over the first block.
    pub fn open(
        input: Input,
        separator: u8,
        options: &ReadOptions,
        progress: Arc<dyn Progress>,
    ) -> Result<CsvReader> {
        let pass = Pass::start(&input, separator, options, &progress, "reading")?;
        let mut plan = Plan {
            layout: Layout::new(options, pass.names).map_err(|error| error.on(input.name()))?,
            dialect: pass.dialect,
            bad_lines: options.bad_lines,
            name: input.name().to_owned(),
            rows: options.rows.map_or(usize::MAX, |rows| {
                usize::try_from(rows).unwrap_or(usize::MAX)
            }),
        };
        if let Some(first) = &pass.first {
            let kinds = plan.kinds(first)?.kinds;
            plan.layout.widen(&kinds);
        }
        let work = parsing(&input, plan.clone(), pass.first, pass.blocks)?;
        Ok(CsvReader {
            input,
            options: options.clone(),
            separator,
            progress,
            plan,
            work,
            rows: 0,
            frames: 0,
            skipped: 0,
            ended: false,
        })
    }

    /// Looks at the whole file, and starts to parse it again.
    fn restart(&mut self) -> Result<()> {
        let pass = self.pass("finding types")?;
        let plan = self.plan.clone();
        let mut work = on_blocks(&self.input, pass.first, pass.blocks, move |block| {
            plan.kinds(block)
        })?;
        let (mut rows, mut changed) = (0, false);
        while self.options.rows.is_none_or(|limit| rows < limit) {
            self.progress.check()?;
            let Some(kinds) = work.next() else { break };
            let Kinds { kinds, rows: more } = kinds??;
            changed |= self.plan.layout.widen(&kinds);
            rows += more;
        }
        drop(work);
        if !changed {
            return Err(
                Error::failed("the file has changed while it was read").on(self.input.name())
            );
        }
        let pass = self.pass("reading")?;
        self.work = parsing(&self.input, self.plan.clone(), pass.first, pass.blocks)?;
        (self.rows, self.frames, self.skipped) = (0, 0, 0);
        Ok(())
    }

    fn pass(&self, label: &str) -> Result<Pass> {
        let pass = Pass::start(
            &self.input,
            self.separator,
            &self.options,
            &self.progress,
            label,
        )?;
        if pass.names.len() != self.plan.layout.columns.len() {
            return Err(
                Error::failed("the file has changed while it was read").on(self.input.name())
            );
        }
        Ok(pass)
    }

    fn step(&mut self) -> Result<Step> {
        loop {
            self.progress.check()?;
            if self.ended
                || self
                    .options
                    .rows
                    .is_some_and(|limit| self.rows >= limit && self.frames > 0)
            {
                self.finish();
                return Ok(Step::Done);
            }
            match self.work.next().transpose()? {
                Some(Outcome::Parsed(parsed)) => {
                    self.skipped += parsed.skipped;
                    let frame = self.limited(parsed.frame);
                    if frame.height() > 0 {
                        return Ok(self.hand_out(frame));
                    }
                }
                Some(Outcome::Misfit) => {
                    let told = self.frames > 0;
                    self.restart()?;
                    if told {
                        return Ok(Step::Restart);
                    }
                }
                Some(Outcome::Failed(error)) => return Err(error),
                None => {
                    self.ended = true;
                    if self.frames == 0 {
                        return self.empty();
                    }
                }
            }
        }
    }

    fn limited(&self, frame: DataFrame) -> DataFrame {
        match self.options.rows {
            Some(limit) => frame.head(usize::try_from(limit.saturating_sub(self.rows)).ok()),
            None => frame,
        }
    }

    fn hand_out(&mut self, frame: DataFrame) -> Step {
        self.rows += frame.height() as u64;
        self.frames += 1;
        Step::Frame(frame)
    }

    /// A frame with the columns of a file without rows.
    fn empty(&mut self) -> Result<Step> {
        match self.plan.parse(&Block {
            bytes: Vec::new(),
            line: 1,
        }) {
            Outcome::Parsed(parsed) => Ok(self.hand_out(parsed.frame)),
            Outcome::Failed(error) => Err(error),
            Outcome::Misfit => {
                Err(Error::failed("cannot make an empty frame").on(self.input.name()))
            }
        }
    }

    fn finish(&mut self) {
        self.ended = true;
        if self.skipped > 0 && self.options.bad_lines == BadLines::Warn {
            let lines = if self.skipped == 1 { "line" } else { "lines" };
            self.progress.note(&format!(
                "{}: left out {} bad {lines}",
                self.input.name(),
                self.skipped
            ));
            self.skipped = 0;
        }
    }
}

impl FrameReader for CsvReader {
    fn next(&mut self) -> Result<Step> {
        let step = self.step();
        self.ended |= step.is_err();
        step
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
        let mut line = 1;
        let header_line = match options.header {
            Header::Line(line) => line,
            _ => 0,
        };
        let skip = options.skip_rows.saturating_add(header_line);
        while line <= skip {
            match memchr::memchr(dialect.terminator, &start) {
                Some(end) => {
                    start.drain(..=end);
                    line += 1;
                }
                None => {
                    start.clear();
                    if more(&mut reader, &mut start)? == 0 {
                        break;
                    }
                }
            }
        }
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

fn parsing(
    input: &Input,
    plan: Plan,
    first: Option<Block>,
    blocks: Source,
) -> Result<Pipeline<Outcome>> {
    on_blocks(input, first, blocks, move |block| plan.parse(block))
}

fn on_blocks<T: Send + 'static>(
    input: &Input,
    first: Option<Block>,
    mut blocks: Source,
    work: impl Fn(&Block) -> T + Send + Sync + 'static,
) -> Result<Pipeline<T>> {
    let input = input.clone();
    let rest = std::iter::from_fn(move || next(&mut blocks, &input).transpose());
    Pipeline::start(first.map(Ok).into_iter().chain(rest), move |block| {
        work(&block)
    })
}
