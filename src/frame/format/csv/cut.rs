//! Cuts a CSV byte stream into blocks of whole records, quotes respected, without
//! looking at every byte: only quotes and the last line end of a block matter.

use super::dialect::Dialect;
use crate::error::{Error, Result};
use std::io::{self, Read};

/// Whole records.
#[derive(Debug)]
pub(crate) struct Block {
    pub bytes: Vec<u8>,
    /// The line that the block starts with, counted from 1.
    pub line: u64,
}

/// A record longer than this is an error, most often an unclosed quote.
const MAX_RECORD: usize = 1 << 30;

/// Iterates over the blocks of a reader.
pub(crate) struct Blocks<R> {
    reader: R,
    dialect: Dialect,
    /// Bytes that a block is aimed at.
    target: usize,
    /// Bytes read and not yet handed out.
    buffer: Vec<u8>,
    line: u64,
    ended: bool,
    max_record: usize,
}

impl<R: Read> Blocks<R> {
    /// Blocks of about `target` bytes; `start` has been read already, and begins in
    /// line `line` of the file.
    pub fn new(reader: R, dialect: Dialect, target: usize, start: Vec<u8>, line: u64) -> Blocks<R> {
        Blocks {
            reader,
            dialect,
            target,
            buffer: start,
            line,
            ended: false,
            max_record: MAX_RECORD,
        }
    }

    /// Changes the size of blocks from now on.
    pub fn set_target(&mut self, target: usize) {
        self.target = target;
    }

    /// The next block; none at the end.
    ///
    /// # Errors
    /// Those of the reader, and records without end.
    pub fn next_block(&mut self) -> Result<Option<Block>, Cut> {
        let mut scan = Scan::default();
        let mut target = self.target;
        loop {
            self.fill(target).map_err(Cut::Io)?;
            let ended = self.ended && self.buffer.len() <= target;
            let view = if ended {
                self.buffer.as_slice()
            } else {
                self.buffer.get(..target).unwrap_or(&self.buffer)
            };
            if ended && view.is_empty() {
                return Ok(None);
            }
            scan.advance(view, &self.dialect, ended);
            let cut = if ended {
                Some(self.buffer.len())
            } else {
                scan.boundary
            };
            if let Some(cut) = cut {
                let mut rest = Vec::with_capacity(self.target + 1);
                rest.extend_from_slice(self.buffer.get(cut..).unwrap_or_default());
                self.buffer.truncate(cut);
                let bytes = std::mem::replace(&mut self.buffer, rest);
                let line = self.line;
                self.line += memchr::memchr_iter(self.dialect.terminator, &bytes).count() as u64;
                return Ok(Some(Block { bytes, line }));
            }
            if target >= self.max_record {
                return Err(Cut::TooLong(self.line));
            }
            target = (target * 2).min(self.max_record);
        }
    }

    /// Reads until there are `target` bytes, or no more.
    fn fill(&mut self, target: usize) -> io::Result<()> {
        while !self.ended && self.buffer.len() <= target {
            let wanted = target + 1 - self.buffer.len();
            let count = self
                .reader
                .by_ref()
                .take(wanted as u64)
                .read_to_end(&mut self.buffer)?;
            self.ended = count < wanted;
        }
        Ok(())
    }
}

/// Why there is no next block.
#[derive(Debug)]
pub(crate) enum Cut {
    Io(io::Error),
    /// The record that starts in this line does not end.
    TooLong(u64),
}

impl Cut {
    /// The error for the user.
    pub fn into_error(self, input: &crate::frame::format::input::Input) -> Error {
        match self {
            Cut::Io(error) => input.unreadable(error),
            Cut::TooLong(line) => Error::invalid(format!(
                "the record in line {line} is longer than {} MB",
                MAX_RECORD >> 20
            ))
            .on(input.name())
            .hint("is a quote not closed? to read quotes as ordinary characters: --csv quoting=3"),
        }
    }
}

/// Where the last whole record ends in a growing buffer.
#[derive(Default)]
struct Scan {
    position: usize,
    quoted: bool,
    /// After a comment sign, up to the end of the line.
    commented: bool,
    boundary: Option<usize>,
}

impl Scan {
    fn advance(&mut self, buffer: &[u8], dialect: &Dialect, ended: bool) {
        let Some(quote) = dialect.quote else {
            self.plain(buffer, buffer.len(), dialect);
            return;
        };
        while let Some(rest) = buffer.get(self.position..) {
            let Some(found) = memchr::memchr(quote, rest) else {
                if !self.quoted {
                    self.plain(buffer, buffer.len(), dialect);
                }
                self.position = buffer.len();
                return;
            };
            let at = self.position + found;
            if self.quoted {
                match buffer.get(at + 1) {
                    Some(next) if *next == quote => self.position = at + 2,
                    // The next byte decides whether the quote closes.
                    None if !ended => {
                        self.position = at;
                        return;
                    }
                    _ => {
                        self.quoted = false;
                        self.position = at + 1;
                    }
                }
            } else {
                self.plain(buffer, at, dialect);
                self.quoted = !self.commented && opens_field(buffer, at, dialect);
                self.position = at + 1;
            }
        }
    }

    /// Goes over unquoted bytes.
    fn plain(&mut self, buffer: &[u8], end: usize, dialect: &Dialect) {
        let region = buffer.get(self.position..end).unwrap_or_default();
        let last = memchr::memrchr(dialect.terminator, region);
        if let Some(last) = last {
            self.boundary = Some(self.position + last + 1);
            self.commented = false;
        }
        if let Some(comment) = dialect.comment {
            let line = region
                .get(last.map_or(0, |last| last + 1)..)
                .unwrap_or_default();
            self.commented |= memchr::memchr(comment, line).is_some();
        }
        self.position = end;
    }
}

/// Whether a quote at this place opens a field: it stands directly after a separator or
/// a line end. Anywhere else it is an ordinary character.
fn opens_field(buffer: &[u8], at: usize, dialect: &Dialect) -> bool {
    let mut before = buffer.get(..at).unwrap_or_default();
    if dialect.skip_initial_space {
        while let Some((b' ', rest)) = before.split_last() {
            before = rest;
        }
    }
    match before.last() {
        None => true,
        Some(byte) => *byte == dialect.separator || *byte == dialect.terminator,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::frame::format::read_options::ReadOptions;
    use proptest::prelude::*;

    fn dialect(comment: Option<u8>) -> Dialect {
        let options = ReadOptions {
            comment,
            ..ReadOptions::default()
        };
        Dialect::new(&options, b',', b"\n")
    }

    fn blocks(text: &[u8], target: usize, comment: Option<u8>) -> Vec<Block> {
        let mut blocks = Blocks::new(text, dialect(comment), target, Vec::new(), 1);
        std::iter::from_fn(|| blocks.next_block().unwrap()).collect()
    }

    #[test]
    fn cuts_at_records() {
        let text = b"a,b\n1,\"x\ny\"\n2,z\n";
        let cut: Vec<Vec<u8>> = blocks(text, 5, None)
            .into_iter()
            .map(|block| block.bytes)
            .collect();
        assert_eq!(
            cut,
            [
                b"a,b\n".to_vec(),
                b"1,\"x\ny\"\n".to_vec(),
                b"2,z\n".to_vec()
            ]
        );
    }

    #[test]
    fn counts_lines() {
        let lines: Vec<u64> = blocks(b"a\n\"b\nc\"\nd\ne\nf\n", 2, None)
            .iter()
            .map(|block| block.line)
            .collect();
        assert_eq!(lines, [1, 2, 5, 6]);
    }

    #[test]
    fn stray_quotes_and_comments_do_not_open() {
        assert_eq!(blocks(b"5\" pipe,1\nb,2\n", 12, None).len(), 2);
        assert_eq!(blocks(b"# it's \"x,\"y\na\nb\n", 4, Some(b'#')).len(), 2);
    }

    #[test]
    fn a_record_may_be_longer_than_a_block_but_not_without_end() {
        let mut text = vec![b'x'; 1_000];
        text.push(b'\n');
        assert_eq!(blocks(&text, 10, None).len(), 1);
        let mut endless = Blocks::new(&text[..], dialect(None), 10, Vec::new(), 1);
        endless.max_record = 100;
        assert!(matches!(endless.next_block(), Err(Cut::TooLong(1))));
    }

    proptest! {
        /// Small blocks and one large block hold the same records.
        #[test]
        fn blocks_are_whole_records(text in "[ab\",\n#]{0,60}", target in 1..40usize) {
            let cut = blocks(text.as_bytes(), target, None);
            let joined: Vec<u8> = cut.iter().flat_map(|block| block.bytes.clone()).collect();
            prop_assert_eq!(joined, text.as_bytes());
            let records = |bytes: &[u8]| -> Vec<csv::ByteRecord> {
                let mut reader = csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(bytes);
                reader.byte_records().map(|record| record.unwrap()).collect()
            };
            let separately: Vec<_> = cut.iter().flat_map(|block| records(&block.bytes)).collect();
            prop_assert_eq!(separately, records(text.as_bytes()));
        }
    }
}
