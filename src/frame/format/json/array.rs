//! Cuts a JSON array into blocks of whole elements as it is read.

use crate::error::{Error, Result};
use crate::frame::format::input::Input;
use std::io::Read;

/// Elements of the array, as an array of their own.
#[derive(Debug)]
pub(super) struct Block {
    pub bytes: Vec<u8>,
    /// The line that the block starts in, counted from 1.
    pub line: u64,
}

/// An element longer than this is an error.
const MAX_ELEMENT: usize = 1 << 30;

/// Iterates over the blocks of a reader.
pub(super) struct Elements<R> {
    reader: R,
    input: Input,
    target: usize,
    /// Bytes read and not yet handed out.
    buffer: Vec<u8>,
    line: u64,
    /// Whether the opening bracket has been passed.
    opened: bool,
    ended: bool,
}

impl<R: Read> Elements<R> {
    /// Blocks of about `target` bytes.
    pub fn new(reader: R, input: Input, target: usize) -> Elements<R> {
        Elements {
            reader,
            input,
            target,
            buffer: Vec::new(),
            line: 1,
            opened: false,
            ended: false,
        }
    }

    fn next_block(&mut self) -> Result<Option<Block>> {
        if self.ended {
            return Ok(None);
        }
        if !self.opened {
            self.open()?;
        }
        let mut scan = Scan::default();
        let mut wanted = self.target;
        loop {
            let more = self.read(wanted)?;
            scan.advance(&self.buffer);
            if let Some(end) = scan.closed {
                self.end(end)?;
                return Ok(self
                    .block(end, end + 1)
                    .filter(|block| !is_blank(&block.bytes)));
            }
            if let Some(comma) = scan.comma {
                return Ok(self.block(comma, comma + 1));
            }
            if !more {
                return Err(self.broken("the array is not closed, the file is cut off"));
            }
            if self.buffer.len() >= MAX_ELEMENT {
                return Err(self.broken(&format!(
                    "an element is longer than {} MB",
                    MAX_ELEMENT >> 20
                )));
            }
            wanted = self.buffer.len();
        }
    }

    /// Reads `wanted` bytes; whether there were any.
    fn read(&mut self, wanted: usize) -> Result<bool> {
        let count = self
            .reader
            .by_ref()
            .take(wanted as u64)
            .read_to_end(&mut self.buffer)
            .map_err(|error| self.input.unreadable(error))?;
        Ok(count > 0)
    }

    fn open(&mut self) -> Result<()> {
        let start = loop {
            let more = self.read(self.target)?;
            let start = self
                .buffer
                .iter()
                .position(|byte| !byte.is_ascii_whitespace());
            if start.is_some() || !more {
                break start;
            }
        };
        match start.and_then(|start| Some((start, self.buffer.get(start)?))) {
            Some((start, b'[')) => {
                self.line += newlines(self.buffer.get(..start).unwrap_or_default());
                self.buffer.drain(..=start);
                self.opened = true;
                Ok(())
            }
            _ => Err(self.broken("expected an array")),
        }
    }

    /// Makes sure that nothing follows the closing bracket.
    fn end(&mut self, end: usize) -> Result<()> {
        while self.read(self.target)? {
            if self.buffer.len() > MAX_ELEMENT {
                break;
            }
        }
        self.ended = true;
        let rest = self.buffer.get(end + 1..).unwrap_or_default();
        if rest.iter().all(u8::is_ascii_whitespace) {
            return Ok(());
        }
        Err(self.broken("there is more after the array"))
    }

    /// The bytes before `end` as an array; the buffer goes on at `next`.
    fn block(&mut self, end: usize, next: usize) -> Option<Block> {
        let content = self.buffer.get(..end)?;
        let mut bytes = Vec::with_capacity(content.len() + 2);
        bytes.push(b'[');
        bytes.extend_from_slice(content);
        bytes.push(b']');
        let line = self.line;
        self.line += newlines(content);
        self.buffer.drain(..next);
        Some(Block { bytes, line })
    }

    fn broken(&self, message: &str) -> Error {
        Error::invalid(format!("line {}: {message}", self.line)).on(self.input.name())
    }
}

impl<R: Read> Iterator for Elements<R> {
    type Item = Result<Block>;

    fn next(&mut self) -> Option<Self::Item> {
        let block = self.next_block().transpose();
        self.ended |= matches!(block, Some(Err(_)));
        block
    }
}

fn newlines(bytes: &[u8]) -> u64 {
    memchr::memchr_iter(b'\n', bytes).count() as u64
}

/// Whether an array has no elements.
fn is_blank(bytes: &[u8]) -> bool {
    bytes
        .iter()
        .all(|byte| byte.is_ascii_whitespace() || matches!(byte, b'[' | b']'))
        && bytes.iter().filter(|byte| **byte == b'[').count() == 1
}

/// Where the last whole element ends in a growing buffer.
#[derive(Default)]
struct Scan {
    position: usize,
    depth: usize,
    in_text: bool,
    escaped: bool,
    /// The last comma between elements.
    comma: Option<usize>,
    /// The bracket that closes the array.
    closed: Option<usize>,
}

impl Scan {
    fn advance(&mut self, buffer: &[u8]) {
        for (index, byte) in buffer.iter().enumerate().skip(self.position) {
            if self.in_text {
                match byte {
                    _ if self.escaped => self.escaped = false,
                    b'\\' => self.escaped = true,
                    b'"' => self.in_text = false,
                    _ => {}
                }
                continue;
            }
            match byte {
                b'"' => self.in_text = true,
                b'[' | b'{' => self.depth += 1,
                b']' if self.depth == 0 => {
                    self.closed = Some(index);
                    return;
                }
                // Unbalanced ones are for the parser to find.
                b']' | b'}' => self.depth = self.depth.saturating_sub(1),
                b',' if self.depth == 0 => self.comma = Some(index),
                _ => {}
            }
        }
        self.position = buffer.len();
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::frame::format::Source;
    use proptest::prelude::*;

    fn cut(text: &str, target: usize) -> Result<Vec<Block>> {
        let input = Input::new(Source::Stream(Box::new(std::io::empty()))).unwrap();
        Elements::new(text.as_bytes(), input, target).collect()
    }

    #[test]
    fn blocks_are_arrays() {
        let blocks = cut("\n [1,\n{\"a\": \"]\\\"\"},[2]]\n", 4).unwrap();
        let texts: Vec<&str> = blocks
            .iter()
            .map(|block| std::str::from_utf8(&block.bytes).unwrap())
            .collect();
        assert_eq!(texts.concat(), "[1][\n{\"a\": \"]\\\"\"}][[2]]");
        assert_eq!(blocks[0].line, 2);
        assert!(cut("[]", 10).unwrap().is_empty());
        assert!(cut(" [ ] ", 1).unwrap().is_empty());
    }

    #[test]
    fn broken_arrays_are_refused() {
        for text in ["[1, 2", "", "{}", "[1] 2", "[\"a]", "[1}"] {
            assert!(cut(text, 3).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn elements_come_back(values in prop::collection::vec("[a-z\\[\\]{},\"\\\\ ]{0,8}", 0..12), target in 1..30usize) {
            let text = serde_json::to_string_pretty(&values).unwrap();
            let got: Vec<String> = cut(&text, target).unwrap().iter()
                .flat_map(|block| serde_json::from_slice::<Vec<String>>(&block.bytes).unwrap())
                .collect();
            prop_assert_eq!(got, values);
        }
    }
}
