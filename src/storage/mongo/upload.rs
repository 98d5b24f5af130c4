//! Sends the bytes of a blob as GridFS chunks (spec/storage.md §5), a few at a time; the
//! document in `files`, which makes them a file, comes last.
//!
//! The id of a chunk has half of the SHA-256 of what it holds behind its time. So a put
//! that is run again after it was cut short sees, without reading them, which chunks the
//! server has already, and sends the others only.

use super::MongoStorage;
use super::connection::{Connection, insert};
use super::rows::insert_command;
use super::writer::Place;
use crate::error::{Error, ErrorKind, Result};
use crate::frame::bson::Encoded;
use crate::storage::Key;
use bson::oid::ObjectId;
use bson::{Bson, DateTime, Document, doc};
use mongodb::Collection;
use mongodb::error::Error as DriverError;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::future::IntoFuture;
use std::ops::Range;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};
use tokio::task::JoinHandle;

/// Bytes in a chunk, as omega|ml's driver has it.
pub(super) const CHUNK: usize = 261_120;

/// Chunks that are sent at a time, about 2 MB: servers take more of them at a time no faster.
const TOGETHER: usize = 8;

/// A file on its way.
pub(super) struct Upload {
    storage: MongoStorage,
    connection: Arc<Connection>,
    bucket: String,
    key: Key,
    /// Where the chunks go; none before the first are sent.
    place: Option<Place>,
    /// The number after the last chunk that an upload cut short has left there.
    left: i32,
    /// Bytes that are not sent yet.
    pending: Vec<u8>,
    /// The number of the first chunk of these.
    next: i32,
    length: u64,
    sent: bool,
    on_the_way: Option<JoinHandle<std::result::Result<(), DriverError>>>,
}

impl Upload {
    /// A new file in a GridFS bucket, for the object `key`.
    pub fn open(storage: &MongoStorage, bucket: &str, key: &Key) -> Result<Self> {
        Ok(Upload {
            storage: storage.clone(),
            connection: storage.connection()?.clone(),
            bucket: bucket.to_owned(),
            key: key.clone(),
            place: None,
            left: 0,
            pending: Vec::new(),
            next: 0,
            length: 0,
            sent: false,
            on_the_way: None,
        })
    }

    /// Adds bytes.
    pub fn push(&mut self, mut bytes: &[u8]) -> Result<()> {
        while !bytes.is_empty() {
            let room = TOGETHER * CHUNK - self.pending.len();
            let (now, later) = bytes.split_at(room.min(bytes.len()));
            self.pending.extend_from_slice(now);
            self.length += now.len() as u64;
            bytes = later;
            if self.pending.len() == TOGETHER * CHUNK {
                let done = self.connection.check().and_then(|()| self.send(true));
                self.kept(done)?;
            }
        }
        Ok(())
    }

    fn chunks(&self) -> Collection<Document> {
        self.connection
            .documents(&format!("{}.chunks", self.bucket))
    }

    /// The file's id. With `resume`, that of an upload of the same object that was cut
    /// short, if there is one.
    fn file(&mut self, resume: bool) -> Result<ObjectId> {
        if let Some(place) = &self.place {
            return Ok(place.file_id());
        }
        self.storage.prepare_files(&self.bucket)?;
        let left = match resume {
            true => Place::left(&self.storage, &self.bucket, &self.key)?,
            false => None,
        };
        let place = match left {
            Some(place) => {
                let last = self.connection.run(
                    self.chunks()
                        .find_one(doc! { "files_id": place.file_id() })
                        .sort(doc! { "n": -1 })
                        .projection(doc! { "n": 1 })
                        .into_future(),
                )?;
                self.left = last
                    .and_then(|chunk| chunk.get_i32("n").ok())
                    .map_or(0, |n| n.saturating_add(1));
                place
            }
            None => Place::file(&self.storage, &self.bucket, &self.key)?,
        };
        let id = place.file_id();
        self.place = Some(place);
        Ok(id)
    }

    /// Sends what waits; the last chunk of it may be short.
    fn send(&mut self, resume: bool) -> Result<()> {
        let file = self.file(resume)?;
        let pending = std::mem::take(&mut self.pending);
        let first = self.next;
        let count = i32::try_from(pending.len().div_ceil(CHUNK)).ok();
        self.next = count
            .and_then(|count| first.checked_add(count))
            .ok_or_else(|| Error::invalid("the file has too many chunks"))?;
        let there = match first < self.left {
            true => self.there(file, first..self.next)?,
            false => BTreeMap::new(),
        };
        let mut stale: Vec<i32> = Vec::new();
        let mut command = Encoded {
            bytes: Vec::with_capacity(pending.len() + TOGETHER * 80),
            ends: Vec::with_capacity(TOGETHER),
        };
        for (n, data) in (first..).zip(pending.chunks(CHUNK)) {
            let digest = digest(file, n, data);
            match there.get(&n) {
                Some(known) if *known == digest => continue,
                Some(_) => stale.push(n),
                None => {}
            }
            encode(&mut command, file, n, data, digest)?;
        }
        if !stale.is_empty() {
            let other = doc! { "files_id": file, "n": { "$in": stale } };
            self.connection
                .run(self.chunks().delete_many(other).into_future())?;
        }
        // Both to encode and to send again.
        self.pending = pending;
        self.pending.clear();
        if command.ends.is_empty() {
            return Ok(());
        }
        let count = command.ends.len();
        let command = insert_command(&format!("{}.chunks", self.bucket), &command)?;
        self.settle()?;
        let work = insert(self.connection.database().clone(), command, count);
        self.on_the_way = Some(self.connection.spawn(work));
        Ok(())
    }

    /// Which of these chunks the server has, and the digests of what they hold.
    fn there(&self, file: ObjectId, numbers: Range<i32>) -> Result<BTreeMap<i32, [u8; 8]>> {
        let wanted = doc! { "files_id": file, "n": { "$gte": numbers.start, "$lt": numbers.end } };
        let chunks = self.chunks();
        self.connection.run(async {
            let mut cursor = chunks.find(wanted).projection(doc! { "n": 1 }).await?;
            let mut found = BTreeMap::new();
            while cursor.advance().await? {
                let chunk = cursor.deserialize_current()?;
                if let Ok(n) = chunk.get_i32("n") {
                    // An id of another kind matches no digest.
                    let id = chunk.get_object_id("_id").map(|id| id.bytes());
                    let digest = id.ok().and_then(|id| id.last_chunk::<8>().copied());
                    found.insert(n, digest.unwrap_or_default());
                }
            }
            Ok(found)
        })
    }

    fn settle(&mut self) -> Result<()> {
        let Some(sending) = self.on_the_way.take() else {
            return Ok(());
        };
        match self.connection.wait(sending)? {
            Ok(done) => {
                done.map_err(|error| self.connection.explained(&error))?;
                self.sent = true;
                Ok(())
            }
            Err(_) => Err(Error::failed("sending the file to MongoDB was stopped")),
        }
    }

    /// After a failure that another try may well not have: what has arrived stays for it.
    fn kept<T>(&mut self, done: Result<T>) -> Result<T> {
        match done {
            Err(error) if self.worth_keeping(error.kind()) => {
                self.leave();
                Err(error.hint("put it again: it goes on where it has stopped"))
            }
            done => done,
        }
    }

    fn worth_keeping(&self, kind: ErrorKind) -> bool {
        let passing = matches!(
            kind,
            ErrorKind::Interrupted | ErrorKind::Unreachable | ErrorKind::TimedOut
        );
        passing && (self.sent || self.left > 0)
    }

    fn leave(&mut self) {
        if let Some(sending) = self.on_the_way.take() {
            let arrived = async { Ok(sending.await) };
            if let Err(error) = self.connection.last(arrived) {
                tracing::debug!("chunks on their way: {error}");
            }
        }
        if let Some(place) = self.place.take() {
            place.leave();
        }
    }

    /// Sends the rest, verifies that the server has all chunks, and makes them a file.
    pub fn finish(mut self, filename: &str) -> Result<(ObjectId, Place)> {
        let done = self.complete(filename);
        let file = self.kept(done)?;
        match self.place.take() {
            Some(place) => Ok((file, place)),
            None => Err(Error::failed("the file was not sent")),
        }
    }

    fn complete(&mut self, filename: &str) -> Result<ObjectId> {
        let resume = self.next > 0;
        self.send(resume)?;
        self.settle()?;
        let file = self.file(resume)?;
        let connection = self.connection.clone();
        if self.left > self.next {
            let beyond = doc! { "files_id": file, "n": { "$gte": self.next } };
            connection.run(self.chunks().delete_many(beyond).into_future())?;
        }
        // Unlike an aggregation, this needs the index only, on all servers.
        let count = doc! {
            "count": format!("{}.chunks", self.bucket), "query": { "files_id": file },
        };
        let reply = connection.command(count)?;
        let stored = reply.get("n").and_then(|n| {
            let number = n.as_i32().map(i64::from).or_else(|| n.as_i64());
            number.or_else(|| n.as_f64().map(|n| n as i64))
        });
        let stored = stored.unwrap_or(0);
        if stored != i64::from(self.next) {
            return Err(Error::corrupt(format!(
                "the server has {stored} of {} chunks of the file",
                self.next
            ))
            .hint("put it again"));
        }
        if let Some(place) = &self.place {
            place.confirm()?;
        }
        let length =
            i64::try_from(self.length).map_err(|_| Error::invalid("the file is too long"))?;
        let document = doc! {
            "_id": file,
            "filename": filename,
            "encoding": Bson::Null,
            "chunkSize": CHUNK as i32,
            "length": length,
            "uploadDate": DateTime::now(),
        };
        let files = connection.documents(&format!("{}.files", self.bucket));
        connection.run(files.insert_one(document).into_future())?;
        Ok(file)
    }
}

/// What is on its way must have arrived before anybody removes it; what an interrupted
/// caller has sent stays for another try.
impl Drop for Upload {
    fn drop(&mut self) {
        if self.connection.interrupted() && self.worth_keeping(ErrorKind::Interrupted) {
            self.leave();
        } else if let Err(error) = self.settle() {
            tracing::debug!("chunks on their way: {error}");
        }
    }
}

/// What tells one content of a chunk from another.
fn digest(file: ObjectId, n: i32, data: &[u8]) -> [u8; 8] {
    let mut hash = Sha256::new();
    hash.update(file.bytes());
    hash.update(n.to_le_bytes());
    hash.update(data);
    let whole: [u8; 32] = hash.finalize().into();
    whole.first_chunk::<8>().copied().unwrap_or_default()
}

/// Adds the document of a chunk.
fn encode(to: &mut Encoded, file: ObjectId, n: i32, data: &[u8], digest: [u8; 8]) -> Result<()> {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs());
    let now = u32::try_from(now).unwrap_or(u32::MAX).to_be_bytes();
    let out = &mut to.bytes;
    let start = out.len();
    out.extend([0; 4]);
    out.extend(b"\x07_id\0");
    out.extend(now);
    out.extend(digest);
    out.extend(b"\x07files_id\0");
    out.extend(file.bytes());
    out.extend(b"\x10n\0");
    out.extend(n.to_le_bytes());
    out.extend(b"\x05data\0");
    let too_long = |_| Error::invalid("a chunk is too long");
    let length = i32::try_from(data.len()).map_err(too_long)?;
    out.extend(length.to_le_bytes());
    out.push(0);
    out.extend_from_slice(data);
    out.push(0);
    let length = i32::try_from(out.len() - start).map_err(too_long)?;
    if let Some(slot) = out.get_mut(start..start + 4) {
        slot.copy_from_slice(&length.to_le_bytes());
    }
    to.ends.push(out.len());
    Ok(())
}

impl MongoStorage {
    /// Removes a file and its chunks.
    pub(super) fn delete_file(&self, bucket: &str, id: ObjectId) -> Result<()> {
        let connection = self.connection()?;
        let remove = |collection: String, filter: Document| {
            let collection = connection.documents(&collection);
            connection
                .run(collection.delete_many(filter).into_future())
                .map(|_| ())
        };
        remove(format!("{bucket}.files"), doc! { "_id": id })?;
        remove(format!("{bucket}.chunks"), doc! { "files_id": id })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use bson::Binary;
    use bson::spec::BinarySubtype;

    #[test]
    fn chunks_are_those_of_the_specification() {
        let file = ObjectId::new();
        let data = vec![7; 300];
        let mut encoded = Encoded {
            bytes: Vec::new(),
            ends: Vec::new(),
        };
        let digest = digest(file, 5, &data);
        encode(&mut encoded, file, 5, &data, digest).unwrap();
        let chunk = Document::from_reader(encoded.bytes.as_slice()).unwrap();
        let id = chunk.get_object_id("_id").unwrap();
        assert_eq!(id.bytes().last_chunk::<8>(), Some(&digest));
        let age = DateTime::now().timestamp_millis() - id.timestamp().timestamp_millis();
        assert!((0..100_000).contains(&age));
        let expected = doc! {
            "_id": id, "files_id": file, "n": 5,
            "data": Binary { subtype: BinarySubtype::Generic, bytes: data.clone() },
        };
        assert_eq!(chunk, expected);
        assert_ne!(digest, super::digest(file, 6, &data));
        assert_ne!(digest, super::digest(ObjectId::new(), 5, &data));
        assert_ne!(digest, super::digest(file, 5, &data[1..]));
    }
}
