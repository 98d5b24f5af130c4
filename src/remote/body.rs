//! Bodies of answers, as they come.

use super::connection::Server;
use super::pieces;
use crate::error::{Error, Result};
use hyper::body::Bytes;
use reqwest::Response;
use std::io::{self, Read};
use std::sync::Arc;

/// The body of an answer. What is not read is not fetched.
pub struct Body {
    server: Arc<Server>,
    response: Response,
    chunk: Bytes,
}

impl Body {
    pub(super) fn new(server: Arc<Server>, response: Response) -> Self {
        Body {
            server,
            response,
            chunk: Bytes::new(),
        }
    }

    /// Everything, up to `most` bytes.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Unreachable`] when it is cut short, [`crate::ErrorKind::Invalid`] when it is
    /// more.
    pub fn whole(mut self, most: usize) -> Result<Vec<u8>> {
        let mut all = Vec::new();
        while let Some(chunk) = self.next()? {
            if all.len().saturating_add(chunk.len()) > most {
                return Err(Error::invalid("the server's answer is too long"));
            }
            all.extend_from_slice(&chunk);
        }
        Ok(all)
    }

    fn next(&mut self) -> Result<Option<Bytes>> {
        let chunk = self.server.wait(self.response.chunk())?;
        chunk.map_err(|error| self.server.lost(error).error)
    }
}

impl Read for Body {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.chunk.is_empty() {
            match self.next().map_err(io::Error::other)? {
                Some(chunk) => self.chunk = chunk,
                None => return Ok(0),
            }
        }
        let count = self.chunk.len().min(buffer.len());
        let taken = self.chunk.split_to(count);
        buffer
            .get_mut(..count)
            .unwrap_or_default()
            .copy_from_slice(&taken);
        Ok(count)
    }
}

/// The pieces of a long answer, verified.
pub struct Pieces {
    body: Option<Body>,
}

impl Pieces {
    /// The pieces that a body consists of.
    pub fn of(body: Body) -> Self {
        Pieces { body: Some(body) }
    }
}

impl Iterator for Pieces {
    type Item = Result<Vec<u8>>;

    fn next(&mut self) -> Option<Self::Item> {
        let piece = pieces::read(self.body.as_mut()?);
        if !matches!(piece, Ok(Some(_))) {
            self.body = None;
        }
        piece.transpose()
    }
}
