//! Long answers: sequences of pieces. Each has a head of 37 bytes: its kind (one byte), its
//! length (four bytes, little endian) and its SHA-256; then its content. The last piece is an
//! empty one of the kind `END`, or a `FAILURE`; without it the answer was cut short.

use super::wire;
use crate::error::{Error, ErrorKind, Result};
use sha2::{Digest, Sha256};
use std::io::{Read, Write};

/// Media type of a long answer in pieces.
pub const MEDIA_TYPE: &str = "application/vnd.om.pieces";

/// The kind of a piece.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Piece {
    /// Content.
    Data,
    /// Nothing comes any more.
    End,
    /// An error, as a document.
    Failure,
}

impl Piece {
    fn code(self) -> u8 {
        match self {
            Piece::Data => b'D',
            Piece::End => b'E',
            Piece::Failure => b'F',
        }
    }

    fn of(code: u8) -> Option<Self> {
        [Piece::Data, Piece::End, Piece::Failure]
            .into_iter()
            .find(|kind| kind.code() == code)
    }
}

/// Writes one piece.
///
/// # Errors
/// What `to` fails with; [`ErrorKind::Invalid`] for 4 GB and more.
pub fn write(to: &mut dyn Write, kind: Piece, content: &[u8]) -> std::io::Result<()> {
    let length = u32::try_from(content.len())
        .map_err(|_| std::io::Error::other("rows of more than 4 GB cannot be sent"))?;
    to.write_all(&[kind.code()])?;
    to.write_all(&length.to_le_bytes())?;
    to.write_all(&Sha256::digest(content))?;
    to.write_all(content)
}

/// Reads one piece; none at the end.
///
/// # Errors
/// The error that was sent; [`ErrorKind::Unreachable`] when the answer was cut short,
/// [`ErrorKind::Corrupt`] when it is not what was sent.
pub fn read(from: &mut dyn Read) -> Result<Option<Vec<u8>>> {
    let cut = |error: std::io::Error| match error.kind() {
        std::io::ErrorKind::UnexpectedEof => Error::new(
            ErrorKind::Unreachable,
            "the answer of the server was cut short",
        ),
        _ => match crate::error::carried(&error) {
            Some(error) => error.again(),
            None => Error::new(
                ErrorKind::Unreachable,
                "the answer of the server cannot be read",
            )
            .because(error),
        },
    };
    let mut head = [0; 37];
    from.read_exact(&mut head).map_err(cut)?;
    let [code, a, b, c, d, digest @ ..] = head;
    let length = u32::from_le_bytes([a, b, c, d]);
    // As it comes, whatever length is announced.
    let likely = usize::try_from(length).unwrap_or(0).min(wire::PART);
    let mut content = Vec::with_capacity(likely);
    let came = from
        .take(u64::from(length))
        .read_to_end(&mut content)
        .map_err(cut)?;
    if u32::try_from(came) != Ok(length) {
        return Err(cut(std::io::ErrorKind::UnexpectedEof.into()));
    }
    let damaged = || Error::corrupt("the answer of the server is damaged");
    if Sha256::digest(&content)[..] != digest[..] {
        return Err(damaged());
    }
    match Piece::of(code).ok_or_else(damaged)? {
        Piece::Data => Ok(Some(content)),
        Piece::End => Ok(None),
        Piece::Failure => Err(wire::error_of(&wire::document(&content)?)),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn pieces_are_read_as_written_or_not_at_all() {
        let mut sent = Vec::new();
        write(&mut sent, Piece::Data, b"one").unwrap();
        write(&mut sent, Piece::End, b"").unwrap();
        let mut from = sent.as_slice();
        assert_eq!(read(&mut from).unwrap().unwrap(), b"one");
        assert_eq!(read(&mut from).unwrap(), None);
        for cut in 0..sent.len() {
            let mut from = &sent[..cut];
            let mut outcome = read(&mut from);
            if outcome.as_ref().is_ok_and(Option::is_some) {
                outcome = read(&mut from);
            }
            assert_eq!(outcome.unwrap_err().kind(), ErrorKind::Unreachable);
        }
        let mut damaged = sent.clone();
        damaged[38] ^= 1;
        let outcome = read(&mut damaged.as_slice());
        assert_eq!(outcome.unwrap_err().kind(), ErrorKind::Corrupt);
        let failure = Error::not_found("gone").on("data/x").hint("look");
        let mut sent = Vec::new();
        let body = wire::bytes(&wire::error(&failure)).unwrap();
        write(&mut sent, Piece::Failure, &body).unwrap();
        let told = read(&mut sent.as_slice()).unwrap_err();
        assert_eq!(told.kind(), ErrorKind::NotFound);
        assert_eq!(told.hint_text(), Some("look"));
    }

    proptest! {
        #[test]
        fn any_bytes_are_answered(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = read(&mut bytes.as_slice());
        }
    }
}
