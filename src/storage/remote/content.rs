//! Blobs behind a server: read as they come, from any position; a connection that breaks is
//! made anew where it broke.

use super::RemoteStorage;
use crate::error::{Error, ErrorKind, Result};
use crate::remote::{Answer, Ask, Pieces};
use crate::storage::{Blob, Metadata};
use std::io::{self, Read, Seek, SeekFrom};

/// How often reading goes on after a break without getting any further.
const ATTEMPTS: u32 = 5;

/// An open blob.
pub(super) struct RemoteBlob {
    storage: RemoteStorage,
    metadata: Metadata,
    length: u64,
    /// What identifies this content, in quotes.
    tag: Option<String>,
    position: u64,
    /// What goes on at the position.
    body: Option<Chunks>,
    breaks: u32,
}

impl RemoteBlob {
    pub fn open(storage: &RemoteStorage, metadata: &Metadata) -> Result<Self> {
        let answer = storage
            .server
            .ask(&RemoteStorage::part(metadata, "content")?)?;
        let length = answer
            .header("om-length")
            .and_then(|text| text.parse().ok());
        let length =
            length.ok_or_else(|| Error::invalid("the server does not say how long the file is"))?;
        Ok(RemoteBlob {
            storage: storage.clone(),
            metadata: metadata.clone(),
            length,
            tag: answer.header("etag").map(str::to_owned),
            position: 0,
            body: Some(Chunks::of(answer)),
            breaks: 0,
        })
    }

    /// The body from the position on.
    fn fetch(&self) -> Result<Chunks> {
        let mut ask: Ask<'_> = RemoteStorage::part(&self.metadata, "content")?
            .header("range", format!("bytes={}-", self.position));
        if let Some(tag) = &self.tag {
            ask = ask.header("if-match", tag.clone());
        }
        let answer: Answer = self.storage.server.ask(&ask)?;
        match answer.status {
            206 => Ok(Chunks::of(answer)),
            _ => Err(Error::invalid("the server does not send parts of files")),
        }
    }

    fn read_some(&mut self, buffer: &mut [u8]) -> Result<usize> {
        loop {
            let body = match &mut self.body {
                Some(body) => body,
                None => self.body.insert(self.fetch()?),
            };
            let lost = match body.read(buffer) {
                Ok(0) => Error::new(ErrorKind::Unreachable, "the file was cut short"),
                Ok(count) => {
                    self.breaks = 0;
                    return Ok(count);
                }
                Err(error) => error,
            };
            self.body = None;
            self.breaks += 1;
            if lost.kind() != ErrorKind::Unreachable || self.breaks >= ATTEMPTS {
                return Err(lost.on(self.metadata.key.to_string()));
            }
        }
    }
}

/// Pieces that are read in steps of any size.
struct Chunks {
    pieces: Pieces,
    piece: Vec<u8>,
    start: usize,
}

impl Chunks {
    fn of(answer: Answer) -> Self {
        Chunks {
            pieces: Pieces::of(answer.body),
            piece: Vec::new(),
            start: 0,
        }
    }

    fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        while self.start >= self.piece.len() {
            match self.pieces.next().transpose()? {
                None => return Ok(0),
                Some(piece) => (self.piece, self.start) = (piece, 0),
            }
        }
        let waiting = self.piece.get(self.start..).unwrap_or_default();
        let count = waiting.len().min(buffer.len());
        for (to, from) in buffer.iter_mut().zip(waiting) {
            *to = *from;
        }
        self.start += count;
        Ok(count)
    }
}

impl Read for RemoteBlob {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.position >= self.length || buffer.is_empty() {
            return Ok(0);
        }
        let count = self.read_some(buffer).map_err(io::Error::other)?;
        self.position += u64::try_from(count).unwrap_or(u64::MAX);
        Ok(count)
    }
}

impl Seek for RemoteBlob {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let position = match to {
            SeekFrom::Start(position) => Some(position),
            SeekFrom::End(offset) => self.length.checked_add_signed(offset),
            SeekFrom::Current(offset) => self.position.checked_add_signed(offset),
        };
        let position = position.ok_or_else(|| {
            io::Error::new(io::ErrorKind::InvalidInput, "a position before the start")
        })?;
        if position != self.position {
            self.position = position;
            self.body = None;
        }
        Ok(position)
    }
}

impl Blob for RemoteBlob {
    fn length(&self) -> u64 {
        self.length
    }

    fn identity(&self) -> Option<String> {
        let tag = self.tag.as_deref()?.trim_matches('"');
        let plain = tag.bytes().all(|byte| byte.is_ascii_alphanumeric());
        (plain && !tag.is_empty()).then(|| tag.to_owned())
    }
}
