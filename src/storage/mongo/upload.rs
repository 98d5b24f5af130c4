//! Sends the bytes of a blob as GridFS chunks (spec/storage.md §5), a few at a time; the
//! document in `files`, which makes them a file, comes last.

use super::MongoStorage;
use super::connection::{Connection, insert};
use super::rows::insert_command;
use crate::error::{Error, Result};
use crate::frame::bson::Encoded;
use bson::oid::ObjectId;
use bson::spec::BinarySubtype;
use bson::{Binary, Bson, DateTime, Document, doc};
use mongodb::error::Error as DriverError;
use std::future::IntoFuture;
use std::sync::Arc;
use tokio::task::JoinHandle;

/// Bytes in a chunk, as omega|ml's driver has it.
pub(super) const CHUNK: usize = 261_120;

/// Chunks that are sent at a time, about 8 MB.
const TOGETHER: usize = 32;

/// A file on its way.
pub(super) struct Upload {
    connection: Arc<Connection>,
    bucket: String,
    id: ObjectId,
    pending: Encoded,
    partial: Vec<u8>,
    chunks: i32,
    length: u64,
    on_the_way: Option<JoinHandle<std::result::Result<(), DriverError>>>,
}

impl Upload {
    /// A new file in a GridFS bucket.
    pub fn open(storage: &MongoStorage, bucket: &str, id: ObjectId) -> Result<Self> {
        storage.prepare_files(bucket)?;
        Ok(Upload {
            connection: storage.connection()?.clone(),
            bucket: bucket.to_owned(),
            id,
            pending: empty(),
            partial: Vec::with_capacity(CHUNK),
            chunks: 0,
            length: 0,
            on_the_way: None,
        })
    }

    /// Adds bytes.
    pub fn push(&mut self, mut bytes: &[u8]) -> Result<()> {
        self.length += bytes.len() as u64;
        while !bytes.is_empty() {
            let room = CHUNK - self.partial.len();
            let (now, later) = bytes.split_at(room.min(bytes.len()));
            self.partial.extend_from_slice(now);
            bytes = later;
            if self.partial.len() == CHUNK {
                self.chunk()?;
            }
        }
        Ok(())
    }

    fn chunk(&mut self) -> Result<()> {
        let data = std::mem::replace(&mut self.partial, Vec::with_capacity(CHUNK));
        let chunk = doc! {
            "_id": ObjectId::new(),
            "files_id": self.id,
            "n": self.chunks,
            "data": Bson::Binary(Binary { subtype: BinarySubtype::Generic, bytes: data }),
        };
        self.chunks = self
            .chunks
            .checked_add(1)
            .ok_or_else(|| Error::invalid("the file has too many chunks"))?;
        chunk
            .to_writer(&mut self.pending.bytes)
            .map_err(|error| Error::invalid("a chunk cannot be encoded").because(error))?;
        self.pending.ends.push(self.pending.bytes.len());
        if self.pending.ends.len() == TOGETHER {
            self.send()?;
        }
        Ok(())
    }

    fn send(&mut self) -> Result<()> {
        if self.pending.ends.is_empty() {
            return Ok(());
        }
        let pending = std::mem::replace(&mut self.pending, empty());
        let command = insert_command(&format!("{}.chunks", self.bucket), &pending)?;
        self.settle()?;
        let work = insert(
            self.connection.database().clone(),
            command,
            pending.ends.len(),
        );
        self.on_the_way = Some(self.connection.spawn(work));
        Ok(())
    }

    fn settle(&mut self) -> Result<()> {
        let Some(sending) = self.on_the_way.take() else {
            return Ok(());
        };
        match self.connection.wait(sending)? {
            Ok(done) => done.map_err(|error| self.connection.explained(&error)),
            Err(_) => Err(Error::failed("sending the file to MongoDB was stopped")),
        }
    }

    /// Sends the rest, verifies that the server has all chunks, and makes them a file.
    pub fn finish(mut self, filename: &str) -> Result<ObjectId> {
        if !self.partial.is_empty() {
            self.chunk()?;
        }
        self.send()?;
        self.settle()?;
        let connection = self.connection.clone();
        let chunks = connection.documents(&format!("{}.chunks", self.bucket));
        let stored = connection.run(
            chunks
                .count_documents(doc! { "files_id": self.id })
                .into_future(),
        )?;
        if stored != u64::try_from(self.chunks).unwrap_or(0) {
            return Err(Error::corrupt(format!(
                "the server has {stored} of {} chunks of the file",
                self.chunks
            ))
            .hint("put it again"));
        }
        let length =
            i64::try_from(self.length).map_err(|_| Error::invalid("the file is too long"))?;
        let file = doc! {
            "_id": self.id,
            "filename": filename,
            "encoding": Bson::Null,
            "chunkSize": CHUNK as i32,
            "length": length,
            "uploadDate": DateTime::now(),
        };
        let files = connection.documents(&format!("{}.files", self.bucket));
        connection.run(files.insert_one(file).into_future())?;
        Ok(self.id)
    }
}

/// What is on its way must have arrived before anybody removes it.
impl Drop for Upload {
    fn drop(&mut self) {
        if let Err(error) = self.settle() {
            tracing::debug!("chunks on their way: {error}");
        }
    }
}

fn empty() -> Encoded {
    Encoded {
        bytes: Vec::new(),
        ends: Vec::new(),
    }
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
