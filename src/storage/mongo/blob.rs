//! Reads a GridFS file, chunk by chunk (spec/storage.md §5). Chunks that are missing, out
//! of order or of a wrong length are damage, or tell that the file was dropped meanwhile.

use super::connection::Connection;
use crate::error::{Error, Result};
use crate::storage::Blob;
use bson::oid::ObjectId;
use bson::{RawDocumentBuf, doc};
use mongodb::Cursor;
use std::future::IntoFuture;
use std::io::{self, Read, Seek, SeekFrom};
use std::sync::Arc;

/// Chunks that one reply of the server holds, about 8 MB.
const TOGETHER: u32 = 32;

/// A stored file.
pub(super) struct StoredBlob {
    connection: Arc<Connection>,
    bucket: String,
    id: ObjectId,
    object: String,
    length: u64,
    chunk_size: u64,
    position: u64,
    /// The chunk that is in memory, and its bytes.
    chunk: Option<(u64, Vec<u8>)>,
    /// Gives the chunks from this one on.
    cursor: Option<(u64, Cursor<RawDocumentBuf>)>,
}

impl StoredBlob {
    /// Opens the file; its first chunks are fetched at once.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Corrupt`] when there is no such file.
    pub fn open(
        connection: Arc<Connection>,
        bucket: &str,
        id: ObjectId,
        object: &str,
    ) -> Result<Self> {
        let files = connection.documents(&format!("{bucket}.files"));
        let file = connection
            .run(files.find_one(doc! { "_id": id }).into_future())?
            .ok_or_else(|| Error::corrupt("its file is not in the database").on(object))?;
        let number = |field: &str| {
            let value = file.get(field)?;
            let number = value
                .as_i64()
                .or_else(|| value.as_i32().map(i64::from))
                .or_else(|| value.as_f64().map(|number| number as i64))?;
            u64::try_from(number).ok()
        };
        let damaged = |field: &str| {
            Error::corrupt(format!("the field `{field}` of its file is malformed")).on(object)
        };
        let length = number("length").ok_or_else(|| damaged("length"))?;
        let chunk_size = number("chunkSize")
            .filter(|size| *size > 0)
            .ok_or_else(|| damaged("chunkSize"))?;
        let mut blob = StoredBlob {
            connection,
            bucket: bucket.to_owned(),
            id,
            object: object.to_owned(),
            length,
            chunk_size,
            position: 0,
            chunk: None,
            cursor: None,
        };
        if length > 0 {
            blob.load(0)?;
        }
        Ok(blob)
    }

    /// Brings a chunk into memory.
    fn load(&mut self, wanted: u64) -> Result<()> {
        if self
            .chunk
            .as_ref()
            .is_some_and(|(number, _)| *number == wanted)
        {
            return Ok(());
        }
        let mut cursor = match self.cursor.take() {
            Some((next, cursor)) if next == wanted => cursor,
            other => {
                self.close(other.map(|(_, cursor)| cursor));
                let chunks = self
                    .connection
                    .database()
                    .collection::<RawDocumentBuf>(&format!("{}.chunks", self.bucket));
                let first = i64::try_from(wanted).unwrap_or(i64::MAX);
                self.connection.run(
                    chunks
                        .find(doc! { "files_id": self.id, "n": { "$gte": first } })
                        .sort(doc! { "n": 1 })
                        .batch_size(TOGETHER)
                        .into_future(),
                )?
            }
        };
        let gone = || {
            Error::corrupt(format!("chunk {wanted} of its file is missing"))
                .on(&self.object)
                .hint("it may have been replaced meanwhile: try again")
        };
        if !self.connection.run(cursor.advance())? {
            return Err(gone());
        }
        let document = cursor.current();
        let number = document
            .get("n")
            .ok()
            .flatten()
            .and_then(|n| n.as_i32().map(i64::from).or_else(|| n.as_i64()))
            .and_then(|n| u64::try_from(n).ok());
        if number != Some(wanted) {
            return Err(gone());
        }
        let bytes = match document.get_binary("data") {
            Ok(data) => data.bytes.to_vec(),
            Err(_) => return Err(gone()),
        };
        let start = wanted * self.chunk_size;
        let expected = self.chunk_size.min(self.length.saturating_sub(start));
        if bytes.len() as u64 != expected {
            return Err(Error::corrupt(format!(
                "chunk {wanted} of its file has {} bytes instead of {expected}",
                bytes.len()
            ))
            .on(&self.object));
        }
        self.chunk = Some((wanted, bytes));
        self.cursor = Some((wanted + 1, cursor));
        Ok(())
    }

    /// Cursors tell the server that they are done, from a thread of the driver.
    fn close(&self, cursor: Option<Cursor<RawDocumentBuf>>) {
        if cursor.is_some() {
            let _context = self.connection.enter();
            drop(cursor);
        }
    }
}

impl Drop for StoredBlob {
    fn drop(&mut self) {
        let cursor = self.cursor.take();
        self.close(cursor.map(|(_, cursor)| cursor));
    }
}

impl Blob for StoredBlob {
    fn length(&self) -> u64 {
        self.length
    }
}

impl Read for StoredBlob {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.position >= self.length || buffer.is_empty() {
            return Ok(0);
        }
        let number = self.position / self.chunk_size;
        self.load(number).map_err(io::Error::other)?;
        let offset = usize::try_from(self.position % self.chunk_size).unwrap_or(usize::MAX);
        let chunk = self.chunk.as_ref().map(|(_, bytes)| bytes.as_slice());
        let available = chunk
            .and_then(|bytes| bytes.get(offset..))
            .unwrap_or_default();
        let count = available.len().min(buffer.len());
        if let (Some(to), Some(from)) = (buffer.get_mut(..count), available.get(..count)) {
            to.copy_from_slice(from);
        }
        self.position += count as u64;
        Ok(count)
    }
}

impl Seek for StoredBlob {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let target = match to {
            SeekFrom::Start(position) => Some(position),
            SeekFrom::End(offset) => self.length.checked_add_signed(offset),
            SeekFrom::Current(offset) => self.position.checked_add_signed(offset),
        };
        self.position = target.ok_or_else(|| {
            io::Error::new(io::ErrorKind::InvalidInput, "seek to before the start")
        })?;
        Ok(self.position)
    }
}
