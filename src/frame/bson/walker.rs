//! Walks over the elements of raw BSON (bsonspec.org, version 1.1) without making values.
//! Every length is checked; nothing is allocated.

use crate::error::{Error, Result};

/// Types of elements.
pub(super) mod tag {
    pub const DOUBLE: u8 = 0x01;
    pub const STRING: u8 = 0x02;
    pub const DOCUMENT: u8 = 0x03;
    pub const ARRAY: u8 = 0x04;
    pub const BINARY: u8 = 0x05;
    pub const UNDEFINED: u8 = 0x06;
    pub const OBJECT_ID: u8 = 0x07;
    pub const BOOLEAN: u8 = 0x08;
    pub const DATE: u8 = 0x09;
    pub const NULL: u8 = 0x0a;
    pub const REGEX: u8 = 0x0b;
    pub const POINTER: u8 = 0x0c;
    pub const CODE: u8 = 0x0d;
    pub const SYMBOL: u8 = 0x0e;
    pub const CODE_WITH_SCOPE: u8 = 0x0f;
    pub const INT32: u8 = 0x10;
    pub const TIMESTAMP: u8 = 0x11;
    pub const INT64: u8 = 0x12;
    pub const DECIMAL: u8 = 0x13;
    pub const MIN_KEY: u8 = 0xff;
    pub const MAX_KEY: u8 = 0x7f;
}

/// An element: its type, name and the bytes of its value.
#[derive(Debug, Clone, Copy)]
pub(super) struct Element<'a> {
    pub tag: u8,
    pub name: &'a [u8],
    pub value: Value<'a>,
}

impl<'a> Element<'a> {
    /// The name as text.
    pub fn text_name(&self) -> Result<&'a str> {
        std::str::from_utf8(self.name).map_err(|_| malformed())
    }
}

/// The bytes of a value and what they are.
#[derive(Debug, Clone, Copy)]
pub(super) struct Value<'a> {
    pub tag: u8,
    pub bytes: &'a [u8],
}

/// The elements of one document.
pub(super) struct Elements<'a> {
    rest: &'a [u8],
}

pub(super) fn malformed() -> Error {
    Error::corrupt("a document is not valid BSON")
}

impl<'a> Elements<'a> {
    /// The elements of a document or array, its length in front.
    pub fn of(document: &'a [u8]) -> Result<Self> {
        let length = document
            .first_chunk::<4>()
            .map(|length| i32::from_le_bytes(*length));
        if length.and_then(|length| usize::try_from(length).ok()) != Some(document.len())
            || document.len() < 5
            || document.last() != Some(&0)
        {
            return Err(malformed());
        }
        let rest = document.get(4..document.len() - 1).ok_or_else(malformed)?;
        Ok(Elements { rest })
    }

    /// The next element.
    #[inline]
    pub fn next(&mut self) -> Result<Option<Element<'a>>> {
        let Some((&tag, rest)) = self.rest.split_first() else {
            return Ok(None);
        };
        let end = memchr::memchr(0, rest).ok_or_else(malformed)?;
        self.element(tag, rest, end).map(Some)
    }

    /// The next element, and whether it has the name that is expected: mostly it has, and no
    /// end of the name is looked for.
    #[inline]
    pub fn next_like(&mut self, expected: &[u8]) -> Result<Option<(Element<'a>, bool)>> {
        let Some((&tag, rest)) = self.rest.split_first() else {
            return Ok(None);
        };
        let alike = rest.get(expected.len()) == Some(&0) && rest.starts_with(expected);
        let end = match alike {
            true => expected.len(),
            false => memchr::memchr(0, rest).ok_or_else(malformed)?,
        };
        Ok(Some((self.element(tag, rest, end)?, alike)))
    }

    /// The element behind its type, whose name is so long.
    #[inline]
    fn element(&mut self, tag: u8, rest: &'a [u8], name: usize) -> Result<Element<'a>> {
        let (name, rest) = rest.split_at(name);
        let rest = rest.get(1..).ok_or_else(malformed)?;
        let length = value_length(tag, rest).ok_or_else(malformed)?;
        if length > rest.len() {
            return Err(malformed());
        }
        let (bytes, rest) = rest.split_at(length);
        if !is_closed(tag, bytes) {
            return Err(malformed());
        }
        self.rest = rest;
        Ok(Element {
            tag,
            name,
            value: Value { tag, bytes },
        })
    }
}

/// Whether what ends with a zero does.
#[inline]
fn is_closed(tag: u8, bytes: &[u8]) -> bool {
    match tag {
        tag::STRING | tag::DOCUMENT | tag::ARRAY => bytes.last() == Some(&0),
        tag::CODE | tag::SYMBOL | tag::CODE_WITH_SCOPE => bytes.last() == Some(&0),
        // A string, and an object id.
        tag::POINTER => bytes.iter().rev().nth(12) == Some(&0),
        _ => true,
    }
}

/// A length in front of a value.
fn prefix(bytes: &[u8]) -> Option<usize> {
    let length = i32::from_le_bytes(*bytes.first_chunk::<4>()?);
    usize::try_from(length).ok()
}

#[inline]
fn value_length(tag: u8, rest: &[u8]) -> Option<usize> {
    Some(match tag {
        tag::DOUBLE | tag::DATE | tag::TIMESTAMP | tag::INT64 => 8,
        tag::INT32 => 4,
        tag::BOOLEAN => 1,
        tag::UNDEFINED | tag::NULL | tag::MIN_KEY | tag::MAX_KEY => 0,
        tag::OBJECT_ID => 12,
        tag::DECIMAL => 16,
        tag::STRING | tag::CODE | tag::SYMBOL => match prefix(rest)? {
            0 => return None,
            length => length.checked_add(4)?,
        },
        tag::DOCUMENT | tag::ARRAY | tag::CODE_WITH_SCOPE => match prefix(rest)? {
            length if length < 5 => return None,
            length => length,
        },
        tag::BINARY => prefix(rest)?.checked_add(5)?,
        tag::POINTER => match prefix(rest)? {
            0 => return None,
            length => length.checked_add(4 + 12)?,
        },
        tag::REGEX => {
            let pattern = memchr::memchr(0, rest)? + 1;
            pattern + memchr::memchr(0, rest.get(pattern..)?)? + 1
        }
        _ => return None,
    })
}

impl<'a> Value<'a> {
    pub fn double(self) -> Option<f64> {
        self.bytes
            .first_chunk::<8>()
            .map(|b| f64::from_le_bytes(*b))
    }

    pub fn int64(self) -> Option<i64> {
        self.bytes
            .first_chunk::<8>()
            .map(|b| i64::from_le_bytes(*b))
    }

    pub fn int32(self) -> Option<i32> {
        self.bytes
            .first_chunk::<4>()
            .map(|b| i32::from_le_bytes(*b))
    }

    /// A string's text.
    #[inline]
    pub fn text(self) -> Result<&'a str> {
        let text = self
            .bytes
            .get(4..)
            .and_then(|text| match text.split_last() {
                Some((0, text)) => Some(text),
                _ => None,
            })
            .ok_or_else(malformed)?;
        std::str::from_utf8(text).map_err(|_| malformed())
    }

    /// The bytes of a binary, without length and subtype.
    pub fn binary(self) -> Result<&'a [u8]> {
        let bytes = self.bytes.get(5..).ok_or_else(malformed)?;
        match self.bytes.get(4) {
            // The old binary subtype repeats the length.
            Some(2) => match prefix(bytes) {
                Some(length) if length + 4 == bytes.len() => bytes.get(4..).ok_or_else(malformed),
                _ => Err(malformed()),
            },
            _ => Ok(bytes),
        }
    }

    pub fn is_null(self) -> bool {
        matches!(self.tag, tag::NULL | tag::UNDEFINED)
    }

    /// What it is, for people.
    pub fn noun(self) -> &'static str {
        match self.tag {
            tag::DOUBLE | tag::DECIMAL => "a number",
            tag::INT32 | tag::INT64 => "a whole number",
            tag::STRING | tag::SYMBOL => "a text",
            tag::DOCUMENT => "a document",
            tag::ARRAY => "an array",
            tag::BINARY => "bytes",
            tag::OBJECT_ID => "an object id",
            tag::BOOLEAN => "a truth value",
            tag::DATE => "a date",
            _ => "a value of a type of its own",
        }
    }
}

/// The documents of an array, as a server's reply holds them.
pub fn documents(array: &[u8]) -> impl Iterator<Item = Result<&[u8]>> {
    let mut elements = Elements::of(array);
    std::iter::from_fn(move || match &mut elements {
        Err(_) => {
            elements = Ok(Elements { rest: &[] });
            Some(Err(malformed()))
        }
        Ok(rest) => match rest.next() {
            Ok(None) => None,
            Ok(Some(element)) if element.tag == tag::DOCUMENT => Some(Ok(element.value.bytes)),
            _ => {
                rest.rest = &[];
                Some(Err(malformed()))
            }
        },
    })
}

/// How deep documents and arrays are nested in a value; stops at `limit`.
pub(super) fn is_deeper(value: Value<'_>, limit: usize) -> Result<bool> {
    if !matches!(value.tag, tag::DOCUMENT | tag::ARRAY) {
        return Ok(false);
    }
    let mut open = vec![Elements::of(value.bytes)?];
    while let Some(last) = open.last_mut() {
        match last.next()? {
            None => {
                open.pop();
            }
            Some(element) if matches!(element.tag, tag::DOCUMENT | tag::ARRAY) => {
                if open.len() >= limit {
                    return Ok(true);
                }
                open.push(Elements::of(element.value.bytes)?);
            }
            Some(_) => {}
        }
    }
    Ok(false)
}
