//! The bytes of a pickle: numbers, lines, counted strings, and text in its old spellings.
//! Nothing is allocated for a length that the input merely claims.

use super::arena::lost;
use super::big;
use super::value::Value;
use crate::error::{Error, Result};

/// The bytes that are not read yet.
pub(super) struct Input<'a>(pub(super) &'a [u8]);

impl<'a> Input<'a> {
    pub(super) fn take(&mut self, count: usize) -> Result<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or_else(cut_off)?;
        self.0 = rest;
        Ok(taken)
    }

    pub(super) fn byte(&mut self) -> Result<u8> {
        self.take(1)?.first().copied().ok_or_else(cut_off)
    }

    /// An unsigned number of `width` bytes, little-endian.
    pub(super) fn number(&mut self, width: usize) -> Result<u64> {
        let bytes = self.take(width)?;
        Ok(bytes
            .iter()
            .rev()
            .fold(0, |all, b| all << 8 | u64::from(*b)))
    }

    pub(super) fn counted(&mut self, width: usize) -> Result<&'a [u8]> {
        let length = usize::try_from(self.number(width)?).map_err(|_| cut_off())?;
        self.take(length)
    }

    pub(super) fn line(&mut self) -> Result<&'a str> {
        self.raw_line().and_then(utf8)
    }

    pub(super) fn line_number(&mut self) -> Result<u64> {
        self.line()?.parse().map_err(|_| lost())
    }

    /// A line as it is.
    pub(super) fn raw_line(&mut self) -> Result<&'a [u8]> {
        let end = memchr::memchr(b'\n', self.0).ok_or_else(cut_off)?;
        let line = self.take(end)?;
        self.take(1)?;
        Ok(line)
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}

pub(super) fn float(text: &str) -> Result<f64> {
    text.trim().parse().map_err(|_| lost())
}

pub(super) fn utf8(bytes: &[u8]) -> Result<&str> {
    std::str::from_utf8(bytes).map_err(|_| Error::invalid("text in the message is not UTF-8"))
}

pub(super) fn ascii_or_bytes(bytes: &[u8]) -> Value {
    match std::str::from_utf8(bytes) {
        Ok(text) if text.is_ascii() => text.into(),
        _ => Value::Bytes(bytes.into()),
    }
}

pub(super) fn latin1(text: &str) -> Result<Vec<u8>> {
    text.chars()
        .map(|c| u8::try_from(c).map_err(|_| lost()))
        .collect()
}

pub(super) fn raw_unicode(line: &[u8]) -> Result<String> {
    let mut text = String::with_capacity(line.len());
    let mut rest = line;
    while let Some((first, tail)) = rest.split_first() {
        let width = match (first, tail.first()) {
            (b'\\', Some(b'u')) => 4,
            (b'\\', Some(b'U')) => 8,
            _ => {
                text.push(char::from(*first));
                rest = tail;
                continue;
            }
        };
        let digits = tail.get(1..=width).ok_or_else(lost)?;
        let code = u32::from_str_radix(utf8(digits)?, 16).map_err(|_| lost())?;
        text.push(
            char::from_u32(code)
                .ok_or_else(|| Error::invalid("text in the message is not Unicode"))?,
        );
        rest = tail.get(width + 1..).ok_or_else(lost)?;
    }
    Ok(text)
}

/// The escapes of Python 2's string literals.
pub(super) fn text_escapes(text: &str) -> Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes().iter().copied();
    while let Some(byte) = rest.next() {
        if byte != b'\\' {
            bytes.push(byte);
            continue;
        }
        bytes.push(match rest.next().ok_or_else(lost)? {
            b'n' => b'\n',
            b't' => b'\t',
            b'r' => b'\r',
            b'x' => {
                let digits = [rest.next().ok_or_else(lost)?, rest.next().ok_or_else(lost)?];
                u8::from_str_radix(utf8(&digits)?, 16).map_err(|_| lost())?
            }
            same @ (b'\\' | b'\'' | b'"') => same,
            _ => return Err(lost()),
        });
    }
    Ok(bytes)
}

pub(super) fn cut_off() -> Error {
    Error::invalid("the pickle is cut off or no pickle")
}

pub(super) fn too_long() -> Error {
    Error::invalid(format!(
        "integers of more than {} digits are not allowed in a message",
        big::MOST_DIGITS
    ))
}
