//! Text that is not UTF-8: a reader that turns it into UTF-8 as it goes.

use crate::error::{Error, Result, nearest};
use std::io::{self, Read};

/// How bytes are characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// UTF-8, with or without byte order mark.
    Utf8,
    /// ISO 8859-1.
    Latin1,
    /// Windows code page 1252, which ISO 8859-1 is often meant to be.
    Windows1252,
    /// UTF-16, low byte first.
    Utf16Le,
    /// UTF-16, high byte first.
    Utf16Be,
}

const NAMES: [&str; 10] = [
    "utf-8",
    "utf-8-sig",
    "ascii",
    "latin1",
    "iso-8859-1",
    "cp1252",
    "windows-1252",
    "utf-16",
    "utf-16-le",
    "utf-16-be",
];

/// Bytes 0x80 to 0x9F of code page 1252; the five unassigned ones stay control characters.
const WINDOWS_1252: [char; 32] = [
    '€', '\u{81}', '‚', 'ƒ', '„', '…', '†', '‡', 'ˆ', '‰', 'Š', '‹', 'Œ', '\u{8d}', 'Ž', '\u{8f}',
    '\u{90}', '‘', '’', '“', '”', '•', '–', '—', '˜', '™', 'š', '›', 'œ', '\u{9d}', 'ž', 'Ÿ',
];

impl Encoding {
    /// The encoding of one of Python's names for it.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Usage`] for other names.
    pub fn of_name(name: &str) -> Result<Encoding> {
        let lower = name.trim().to_lowercase().replace('_', "-");
        Ok(match lower.as_str() {
            "utf-8" | "utf8" | "utf-8-sig" | "ascii" | "us-ascii" => Encoding::Utf8,
            "latin1" | "latin-1" | "iso-8859-1" | "iso8859-1" | "l1" => Encoding::Latin1,
            "cp1252" | "windows-1252" => Encoding::Windows1252,
            "utf-16" | "utf16" | "utf-16-le" | "utf-16le" => Encoding::Utf16Le,
            "utf-16-be" | "utf-16be" => Encoding::Utf16Be,
            _ => {
                let error = Error::usage(format!("the encoding `{name}` is not known"));
                return Err(match nearest(&lower, NAMES) {
                    Some(near) => error.hint(format!("did you mean `{near}`?")),
                    None => error.hint(format!("encodings: {}", NAMES.join(", "))),
                });
            }
        })
    }
}

/// Makes UTF-8 of a byte stream. A byte order mark of UTF-16 decides over `encoding`;
/// marks are left out.
pub(super) fn decoded(
    mut reader: Box<dyn Read + Send>,
    encoding: Encoding,
) -> io::Result<Box<dyn Read + Send>> {
    let mut start = Vec::with_capacity(3);
    reader.by_ref().take(3).read_to_end(&mut start)?;
    let (encoding, mark) = match start.as_slice() {
        [0xef, 0xbb, 0xbf] if encoding == Encoding::Utf8 => (encoding, 3),
        [0xff, 0xfe, ..] => (Encoding::Utf16Le, 2),
        [0xfe, 0xff, ..] => (Encoding::Utf16Be, 2),
        _ => (encoding, 0),
    };
    let rest = io::Cursor::new(start.split_off(mark.min(start.len()))).chain(reader);
    Ok(match encoding {
        Encoding::Utf8 => Box::new(rest),
        _ => Box::new(Decoder {
            inner: rest,
            encoding,
            raw: Vec::new(),
            text: Vec::new(),
            given: 0,
            ended: false,
        }),
    })
}

struct Decoder<R> {
    inner: R,
    encoding: Encoding,
    /// Bytes not yet decoded: less than a character.
    raw: Vec<u8>,
    text: Vec<u8>,
    given: usize,
    ended: bool,
}

impl<R: Read> Decoder<R> {
    fn fill(&mut self) -> io::Result<()> {
        self.given = 0;
        self.text.clear();
        let count = self
            .inner
            .by_ref()
            .take(1 << 16)
            .read_to_end(&mut self.raw)?;
        self.ended = count == 0;
        let wide = |pair: [u8; 2], encoding| match encoding {
            Encoding::Utf16Be => u16::from_be_bytes(pair),
            _ => u16::from_le_bytes(pair),
        };
        let mut push = |character: char| {
            self.text
                .extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
        };
        match self.encoding {
            Encoding::Utf8 | Encoding::Latin1 => self.raw.drain(..).map(char::from).for_each(push),
            Encoding::Windows1252 => self.raw.drain(..).for_each(|byte| {
                let special = byte
                    .checked_sub(0x80)
                    .and_then(|index| WINDOWS_1252.get(usize::from(index)));
                push(special.copied().unwrap_or(char::from(byte)));
            }),
            Encoding::Utf16Le | Encoding::Utf16Be => {
                let encoding = self.encoding;
                let units: Vec<u16> = self
                    .raw
                    .chunks_exact(2)
                    .filter_map(|pair| Some(wide(pair.try_into().ok()?, encoding)))
                    .collect();
                // The first half of a pair waits for the second.
                let half = units
                    .last()
                    .is_some_and(|unit| (0xd800..0xdc00).contains(unit));
                let whole = units.len() - usize::from(half && !self.ended);
                for character in char::decode_utf16(units.iter().take(whole).copied()) {
                    push(character.map_err(|_| invalid())?);
                }
                self.raw.drain(..whole * 2);
                if self.ended && !self.raw.is_empty() {
                    return Err(invalid());
                }
            }
        }
        Ok(())
    }
}

fn invalid() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "the text is not valid UTF-16")
}

impl<R: Read> Read for Decoder<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.given == self.text.len() && !self.ended {
            self.fill()?;
        }
        let mut rest = self.text.get(self.given..).unwrap_or_default();
        let count = rest.read(buffer)?;
        self.given += count;
        Ok(count)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn read(bytes: &[u8], encoding: Encoding) -> io::Result<String> {
        let mut text = String::new();
        decoded(Box::new(io::Cursor::new(bytes.to_vec())), encoding)?.read_to_string(&mut text)?;
        Ok(text)
    }

    #[test]
    fn decodes() {
        assert_eq!(read(b"\xef\xbb\xbfa", Encoding::Utf8).unwrap(), "a");
        assert_eq!(
            read(b"caf\xe9 \x80", Encoding::Latin1).unwrap(),
            "café \u{80}"
        );
        assert_eq!(
            read(b"caf\xe9 \x80", Encoding::Windows1252).unwrap(),
            "café €"
        );
        assert_eq!(
            read(b"\xff\xfea\0\x3d\xd8\x00\xde", Encoding::Utf8).unwrap(),
            "a😀"
        );
        assert_eq!(read(b"\xfe\xff\0a", Encoding::Utf8).unwrap(), "a");
        assert_eq!(read(b"a\0b\0", Encoding::Utf16Le).unwrap(), "ab");
        assert!(read(b"a\0b", Encoding::Utf16Le).is_err());
        assert!(read(b"\0\xd8", Encoding::Utf16Le).is_err());
        assert_eq!(read(b"", Encoding::Utf16Le).unwrap(), "");
        let long: Vec<u8> = "aé😀"
            .repeat(30_000)
            .encode_utf16()
            .flat_map(u16::to_le_bytes)
            .collect();
        assert_eq!(
            read(&long, Encoding::Utf16Le).unwrap(),
            "aé😀".repeat(30_000)
        );
    }

    #[test]
    fn names() {
        assert_eq!(Encoding::of_name("ISO_8859-1").unwrap(), Encoding::Latin1);
        assert!(
            Encoding::of_name("latn1")
                .unwrap_err()
                .hint_text()
                .unwrap()
                .contains("latin1")
        );
    }
}
