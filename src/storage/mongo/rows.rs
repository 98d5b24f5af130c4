//! Sends rows into a collection: the next documents are encoded while the last ones are
//! on their way, in the order of the rows, with row ids that go on from what is there.

use super::connection::{Connection, insert};
use super::layout::index_names;
use super::unfinished::Unfinished;
use crate::error::{Error, Result};
use crate::frame::bson::{Encoded, Encoder, Field, ObjectIds};
use bson::oid::ObjectId;
use bson::{Bson, RawDocumentBuf, doc};
use mongodb::error::Error as DriverError;
use polars::prelude::DataFrame;
use std::sync::Arc;
use tokio::task::JoinHandle;

/// How many bytes of documents are sent at a time; a command holds 16 MiB at the most.
const BATCH: usize = 6 << 20;

/// How many documents a server takes at a time.
const MOST: usize = 100_000;

/// Documents to begin with, before their size is known.
const FIRST: usize = 1_000;

/// Rows that are stored.
pub(super) struct Sent {
    /// How many.
    pub rows: u64,
    /// The row id after the last.
    pub end: i64,
}

/// Rows on their way into one collection.
pub(super) struct RowSink {
    connection: Arc<Connection>,
    collection: String,
    encoder: Encoder,
    ids: ObjectIds,
    next: i64,
    sent: u64,
    per_document: usize,
    on_the_way: Option<JoinHandle<std::result::Result<(), DriverError>>>,
}

impl RowSink {
    /// Rows into `collection`; the first gets the row id `next`.
    pub fn open(
        connection: Arc<Connection>,
        collection: &str,
        fields: &[Field],
        next: i64,
    ) -> Result<Self> {
        Ok(RowSink {
            connection,
            collection: collection.to_owned(),
            encoder: Encoder::new(fields, index_names(fields).is_empty()),
            ids: ObjectIds::new(),
            next,
            sent: 0,
            per_document: BATCH / FIRST,
            on_the_way: None,
        })
    }

    /// Sends a frame; `append` learns of the documents before they are sent.
    pub fn push(&mut self, frame: &DataFrame, append: Option<&Unfinished>) -> Result<()> {
        let mut start = 0;
        while start < frame.height() {
            let rows = (BATCH / self.per_document.max(1)).clamp(1, MOST);
            let mut end = frame.height().min(start + rows);
            let mut ids = self.ids.clone();
            let mut encoded = self
                .encoder
                .encode(frame, start..end, self.next, &mut ids)?;
            // Rows that are much longer than those before.
            while encoded.bytes.len() > 2 * BATCH && end - start > 1 {
                end = start + (end - start) / 2;
                ids = self.ids.clone();
                encoded = self
                    .encoder
                    .encode(frame, start..end, self.next, &mut ids)?;
            }
            let count = end - start;
            self.per_document = encoded.bytes.len().div_ceil(count.max(1));
            if let Some(append) = append {
                let first = self.ids.clone().next();
                let range = doc! {
                    "first": ObjectId::from_bytes(first),
                    "last": ObjectId::from_bytes(ids.last()),
                };
                append.announce(vec![Bson::Document(range)])?;
            }
            self.ids = ids;
            self.send(&encoded, count)?;
            self.next += i64::try_from(count).unwrap_or(i64::MAX);
            self.sent += count as u64;
            start = end;
        }
        Ok(())
    }

    fn send(&mut self, encoded: &Encoded, count: usize) -> Result<()> {
        let command = insert_command(&self.collection, encoded)?;
        self.settle()?;
        let database = self.connection.database().clone();
        self.on_the_way = Some(self.connection.spawn(insert(database, command, count)));
        Ok(())
    }

    /// Waits for the documents that are on their way.
    fn settle(&mut self) -> Result<()> {
        let Some(sending) = self.on_the_way.take() else {
            return Ok(());
        };
        match self.connection.wait(sending)? {
            Ok(done) => done.map_err(|error| self.connection.explained(&error)),
            Err(_) => Err(Error::failed("sending rows to MongoDB was stopped")),
        }
    }

    /// Waits until everything is stored.
    pub fn finish(mut self) -> Result<Sent> {
        self.settle()?;
        Ok(Sent {
            rows: self.sent,
            end: self.next,
        })
    }
}

/// What is on its way must have arrived before anybody removes it.
impl Drop for RowSink {
    fn drop(&mut self) {
        if let Err(error) = self.settle() {
            tracing::debug!("rows on their way: {error}");
        }
    }
}

/// The command that inserts documents, without copying them one by one.
///
/// # Errors
/// [`crate::ErrorKind::Invalid`] when the documents do not fit into one command.
pub(super) fn insert_command(collection: &str, encoded: &Encoded) -> Result<RawDocumentBuf> {
    let mut bytes = Vec::with_capacity(encoded.bytes.len() + encoded.ends.len() * 8 + 128);
    bytes.extend([0; 4]);
    bytes.push(0x02);
    bytes.extend(b"insert\0");
    bytes.extend(length(collection.len() + 1)?);
    bytes.extend(collection.as_bytes());
    bytes.push(0);
    bytes.push(0x08);
    bytes.extend(b"ordered\0");
    bytes.push(1);
    bytes.push(0x04);
    bytes.extend(b"documents\0");
    let array = bytes.len();
    bytes.extend([0; 4]);
    let mut start = 0;
    let mut digits = String::new();
    for (position, &end) in encoded.ends.iter().enumerate() {
        use std::fmt::Write;
        digits.clear();
        let _ = write!(digits, "{position}");
        bytes.push(0x03);
        bytes.extend(digits.as_bytes());
        bytes.push(0);
        bytes.extend(encoded.bytes.get(start..end).unwrap_or_default());
        start = end;
    }
    bytes.push(0);
    let array_length = length(bytes.len() - array)?;
    bytes.push(0);
    let whole = length(bytes.len())?;
    for (place, value) in [(array, array_length), (0, whole)] {
        if let Some(slot) = bytes.get_mut(place..place + 4) {
            slot.copy_from_slice(&value);
        }
    }
    RawDocumentBuf::from_bytes(bytes)
        .map_err(|error| Error::invalid("the documents cannot be sent").because(error))
}

fn length(bytes: usize) -> Result<[u8; 4]> {
    i32::try_from(bytes)
        .map(i32::to_le_bytes)
        .map_err(|_| Error::invalid("the documents do not fit into one command"))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_documents() {
        let one = doc! { "_id": 1, "x": "ünï" }.to_vec().unwrap();
        let two = doc! { "_id": 2 }.to_vec().unwrap();
        let encoded = Encoded {
            ends: vec![one.len(), one.len() + two.len()],
            bytes: [one, two].concat(),
        };
        let command = insert_command("sales", &encoded).unwrap();
        let expected = doc! {
            "insert": "sales", "ordered": true,
            "documents": [{ "_id": 1, "x": "ünï" }, { "_id": 2 }],
        };
        assert_eq!(bson::Document::try_from(&command).unwrap(), expected);
    }
}
