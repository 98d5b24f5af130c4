//! Writing through a server: what is staged goes there in numbered parts, each with its
//! SHA-256, which may be sent twice; nothing is visible before the server has committed.

use super::RemoteStorage;
use crate::error::{Error, Result};
use crate::remote::rows::encoded;
use crate::remote::{Ask, wire};
use crate::storage::{Key, Metadata, Mode, Writer};
use bson::{Document, doc};
use polars::prelude::DataFrame;
use std::cell::Cell;

/// Content on its way to a server.
pub(super) struct Upload<'a> {
    storage: &'a RemoteStorage,
    key: Key,
    id: String,
    current: Option<Metadata>,
    /// The number of the next part.
    next: Cell<u64>,
    /// Documents or bytes that do not make a part yet.
    waiting: Vec<u8>,
    media_type: &'static str,
    /// Whether what comes next may be refused and is sent at once.
    doubtful: bool,
    over: bool,
}

impl<'a> Upload<'a> {
    pub fn start(storage: &'a RemoteStorage, key: &Key, mode: Mode) -> Result<Self> {
        let ask = Ask::post(wire::object_path(key, "upload"))
            .of(&key.bucket)
            .with([("mode", wire::mode(mode).to_owned())]);
        let told = storage.server.ask(&ask)?.document()?;
        let id = told
            .get_str("upload")
            .map_err(|_| Error::invalid("the server's answer is not understood"))?;
        let current = told.get_document("current").ok();
        Ok(Upload {
            storage,
            key: key.clone(),
            id: id.to_owned(),
            current: current
                .map(|sent| storage.read(sent, &key.bucket))
                .transpose()?,
            next: Cell::new(0),
            waiting: Vec::new(),
            media_type: wire::BYTES,
            doubtful: current.is_some() && mode == Mode::Append,
            over: false,
        })
    }

    fn path(&self, part: &str) -> String {
        format!("{}/{}/{part}", wire::UPLOADS, self.id)
    }

    fn send(&self, media_type: &'static str, body: Vec<u8>) -> Result<()> {
        let number = self.next.get();
        let ask = Ask::put(self.path(&number.to_string())).body(media_type, body);
        self.storage.server.ask(&ask)?;
        self.next.set(number + 1);
        Ok(())
    }

    /// Sends what waits.
    fn flush(&mut self) -> Result<()> {
        let part = std::mem::take(&mut self.waiting);
        match part.is_empty() {
            true => Ok(()),
            false => self.send(self.media_type, part),
        }
    }

    /// What is sent now is of this type.
    fn turn_to(&mut self, media_type: &'static str) -> Result<()> {
        if self.media_type != media_type {
            self.flush()?;
            self.doubtful |= self.next.get() > 0;
            self.media_type = media_type;
        }
        Ok(())
    }

    /// Sends what waits if that makes a part.
    fn settle(&mut self) -> Result<()> {
        match self.waiting.len() >= wire::PART || self.doubtful {
            true => {
                self.doubtful = false;
                self.flush()
            }
            false => Ok(()),
        }
    }
}

impl Writer for Upload<'_> {
    fn current(&self) -> Option<&Metadata> {
        self.current.as_ref()
    }

    fn rows(&mut self, frame: DataFrame) -> Result<()> {
        self.turn_to(wire::ARROW)?;
        let rows = frame.height();
        let size = frame.estimated_size().max(1);
        let step = (rows.saturating_mul(wire::PART) / size).clamp(1, rows.max(1));
        let mut start = 0;
        // A frame without rows has columns.
        while start < rows || start == 0 {
            let part = frame.slice(i64::try_from(start).unwrap_or(i64::MAX), step);
            self.send(wire::ARROW, encoded(part)?)?;
            start += step;
        }
        Ok(())
    }

    fn document(&mut self, document: Document) -> Result<()> {
        self.turn_to(wire::BSON)?;
        self.waiting.extend(wire::bytes(&document)?);
        self.settle()
    }

    fn bytes(&mut self, bytes: &[u8]) -> Result<()> {
        self.turn_to(wire::BYTES)?;
        if bytes.is_empty() && self.waiting.is_empty() {
            return self.send(wire::BYTES, Vec::new());
        }
        let mut bytes = bytes;
        while !bytes.is_empty() {
            let room = wire::PART.saturating_sub(self.waiting.len()).max(1);
            let (now, later) = bytes.split_at(room.min(bytes.len()));
            self.waiting.extend_from_slice(now);
            bytes = later;
            self.settle()?;
        }
        Ok(())
    }

    fn index(&mut self, fields: &Document) -> Result<()> {
        let ask = Ask::post(self.path("index")).document(&doc! { "fields": fields })?;
        self.storage.server.ask(&ask).map(drop)
    }

    fn commit(mut self: Box<Self>, metadata: Metadata) -> Result<Metadata> {
        self.flush()?;
        let ask = Ask::post(self.path("commit")).document(&wire::metadata(&metadata))?;
        // Asked again, the server tells again what it has done.
        let answer = self.storage.server.ask(&ask.repeatable());
        self.over = true;
        self.storage.read(&answer?.document()?, &self.key.bucket)
    }
}

impl Drop for Upload<'_> {
    fn drop(&mut self) {
        if !self.over {
            // If nobody hears it, the server discards the upload after a while.
            let _ = self.storage.server.ask(&Ask::delete(self.path("")));
        }
    }
}
