//! Reads a GridFS file (spec/storage.md §5), a window of chunks at a time: while one is
//! read, the next is on its way. Chunks that are missing, out of order or of a wrong length
//! are damage, or tell that the file was dropped meanwhile.

use super::connection::Connection;
use super::source::next_batch;
use crate::error::{Error, Result};
use crate::storage::Blob;
use bson::oid::ObjectId;
use bson::{RawDocument, RawDocumentBuf, doc};
use mongodb::Collection;
use mongodb::error::Error as DriverError;
use std::future::IntoFuture;
use std::io::{self, Read, Seek, SeekFrom};
use std::sync::Arc;
use tokio::task::JoinHandle;

/// Bytes of a window, about: what one reply of the server holds.
const WINDOW: u64 = 8 << 20;

/// A stored file.
pub(super) struct StoredBlob {
    connection: Arc<Connection>,
    object: String,
    file: File,
    position: u64,
    /// The window that is in memory, by its first byte.
    window: Option<(u64, Vec<u8>)>,
    /// The window that is on its way, by its first byte.
    coming: Option<(u64, JoinHandle<Fetched>)>,
}

/// What is to be known of a file to fetch its chunks.
#[derive(Clone)]
struct File {
    chunks: Collection<RawDocumentBuf>,
    id: ObjectId,
    length: u64,
    chunk_size: u64,
}

/// The bytes of a window, or what is wrong with them.
type Fetched = std::result::Result<std::result::Result<Vec<u8>, Damage>, DriverError>;

/// A chunk that is not as it should be.
enum Damage {
    Missing(u64),
    Length {
        chunk: u64,
        length: usize,
        expected: u64,
    },
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
        let file = File {
            chunks: connection
                .database()
                .collection(&format!("{bucket}.chunks")),
            id,
            length: number("length").ok_or_else(|| damaged("length"))?,
            chunk_size: number("chunkSize")
                .filter(|size| *size > 0)
                .ok_or_else(|| damaged("chunkSize"))?,
        };
        let mut blob = StoredBlob {
            connection,
            object: object.to_owned(),
            file,
            position: 0,
            window: None,
            coming: None,
        };
        if blob.file.length > 0 {
            blob.load()?;
        }
        Ok(blob)
    }

    /// Brings the window of the position into memory, and the next one on its way.
    fn load(&mut self) -> Result<()> {
        self.connection.check()?;
        let size = self.file.window();
        let start = self.position / size * size;
        let coming = match self.coming.take() {
            Some((there, coming)) if there == start => coming,
            other => {
                if let Some((_, unwanted)) = other {
                    unwanted.abort();
                }
                self.fetch(start)
            }
        };
        // The next one, if the file goes on.
        let next = start.saturating_add(size);
        if next < self.file.length {
            self.coming = Some((next, self.fetch(next)));
        }
        self.window = None;
        let fetched = self
            .connection
            .wait(coming)?
            .map_err(|_| Error::failed("reading the file was stopped"))?;
        let bytes = fetched
            .map_err(|error| self.connection.explained(&error).on(&self.object))?
            .map_err(|damage| self.damaged(&damage))?;
        self.window = Some((start, bytes));
        Ok(())
    }

    fn fetch(&self, start: u64) -> JoinHandle<Fetched> {
        self.connection.spawn(self.file.clone().fetch(start))
    }

    fn damaged(&self, damage: &Damage) -> Error {
        match damage {
            Damage::Missing(chunk) => {
                Error::corrupt(format!("chunk {chunk} of its file is missing"))
                    .hint("it may have been replaced meanwhile: try again")
            }
            Damage::Length {
                chunk,
                length,
                expected,
            } => Error::corrupt(format!(
                "chunk {chunk} of its file has {length} bytes instead of {expected}"
            )),
        }
        .on(&self.object)
    }

    /// The bytes from the position on that are in memory.
    fn available(&self) -> &[u8] {
        let bytes = self.window.as_ref().and_then(|(start, bytes)| {
            let offset = usize::try_from(self.position.checked_sub(*start)?).ok()?;
            bytes.get(offset..)
        });
        bytes.unwrap_or_default()
    }
}

impl File {
    /// Bytes of a window: whole chunks.
    fn window(&self) -> u64 {
        (WINDOW / self.chunk_size)
            .max(1)
            .saturating_mul(self.chunk_size)
    }

    /// The bytes of the window that starts at `start`.
    async fn fetch(self, start: u64) -> Fetched {
        let end = start.saturating_add(self.window()).min(self.length);
        let (first, last) = (start / self.chunk_size, end.div_ceil(self.chunk_size));
        let number = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
        let wanted = doc! { "$gte": number(first), "$lt": number(last) };
        let mut replies = self
            .chunks
            .find(doc! { "files_id": self.id, "n": wanted })
            .sort(doc! { "n": 1 })
            // One more than there are, so that the server need not be asked for more.
            .batch_size(u32::try_from(last - first + 1).unwrap_or(u32::MAX))
            .batch()
            .await?;
        let mut bytes = Vec::new();
        let mut next = first;
        while let Some(reply) = next_batch(&mut replies).await {
            let reply = reply?;
            for chunk in reply.doc_slices()? {
                let chunk = match chunk.map(|chunk| chunk.as_document()) {
                    Ok(Some(chunk)) => chunk,
                    _ => return Ok(Err(Damage::Missing(next))),
                };
                if let Err(damage) = self.add(chunk, next, &mut bytes) {
                    return Ok(Err(damage));
                }
                next += 1;
            }
        }
        match next == last {
            true => Ok(Ok(bytes)),
            false => Ok(Err(Damage::Missing(next))),
        }
    }

    /// Adds what the chunk `wanted` holds.
    fn add(
        &self,
        chunk: &RawDocument,
        wanted: u64,
        bytes: &mut Vec<u8>,
    ) -> std::result::Result<(), Damage> {
        let missing = Damage::Missing(wanted);
        let number = chunk.get("n").ok().flatten();
        let number = number
            .and_then(|n| n.as_i32().map(i64::from).or_else(|| n.as_i64()))
            .and_then(|n| u64::try_from(n).ok());
        if number != Some(wanted) {
            return Err(missing);
        }
        let data = chunk.get_binary("data").map_err(|_| missing)?.bytes;
        let start = wanted.saturating_mul(self.chunk_size);
        let expected = self.chunk_size.min(self.length.saturating_sub(start));
        if data.len() as u64 != expected {
            return Err(Damage::Length {
                chunk: wanted,
                length: data.len(),
                expected,
            });
        }
        bytes.extend_from_slice(data);
        Ok(())
    }
}

impl Drop for StoredBlob {
    fn drop(&mut self) {
        if let Some((_, coming)) = self.coming.take() {
            coming.abort();
        }
    }
}

impl Blob for StoredBlob {
    fn length(&self) -> u64 {
        self.file.length
    }

    fn identity(&self) -> Option<String> {
        Some(self.file.id.to_hex())
    }
}

impl Read for StoredBlob {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.position >= self.file.length || buffer.is_empty() {
            return Ok(0);
        }
        if self.available().is_empty() {
            self.load().map_err(io::Error::other)?;
        }
        let available = self.available();
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
            SeekFrom::End(offset) => self.file.length.checked_add_signed(offset),
            SeekFrom::Current(offset) => self.position.checked_add_signed(offset),
        };
        self.position = target.ok_or_else(|| {
            io::Error::new(io::ErrorKind::InvalidInput, "seek to before the start")
        })?;
        Ok(self.position)
    }
}
