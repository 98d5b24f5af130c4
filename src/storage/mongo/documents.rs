//! Documents: sent in batches, read in the order in which they were written.

use super::connection::{Connection, insert};
use super::rows::insert_command;
use super::unfinished::Unfinished;
use crate::error::{Error, Result};
use crate::frame::bson::{Encoded, ObjectIds};
use bson::oid::ObjectId;
use bson::{Bson, Document, RawDocumentBuf};
use mongodb::raw_batch_cursor::RawBatchCursor;
use std::collections::VecDeque;
use std::sync::Arc;

/// Bytes of documents that are sent at a time, and documents.
const BATCH: usize = 4 << 20;
const MOST: usize = 10_000;

/// The longest document that the server takes.
const LONGEST: usize = 16 << 20;

/// Encodes documents; those that have no id get one.
pub(super) struct DocumentBatch {
    ids: ObjectIds,
    encoded: Encoded,
    given: Vec<Bson>,
    count: u64,
    last: Option<ObjectId>,
}

impl DocumentBatch {
    pub fn new() -> Self {
        DocumentBatch {
            ids: ObjectIds::new(),
            encoded: Encoded {
                bytes: Vec::new(),
                ends: Vec::new(),
            },
            given: Vec::new(),
            count: 0,
            last: None,
        }
    }

    /// Adds a document.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Invalid`] when it is too long for the database.
    pub fn push(&mut self, document: Document) -> Result<()> {
        let id = match document.get("_id") {
            Some(id) => id.clone(),
            None => Bson::ObjectId(ObjectId::from_bytes(self.ids.next())),
        };
        self.last = id.as_object_id();
        let mut whole = Document::new();
        whole.insert("_id", id.clone());
        whole.extend(document.into_iter().filter(|(field, _)| field != "_id"));
        let before = self.encoded.bytes.len();
        whole
            .to_writer(&mut self.encoded.bytes)
            .map_err(|error| Error::invalid("a document cannot be stored").because(error))?;
        let length = self.encoded.bytes.len() - before;
        if length > LONGEST {
            self.encoded.bytes.truncate(before);
            return Err(Error::invalid(format!(
                "document {} has {length} bytes; the database takes {LONGEST} at the most",
                self.count + 1
            ))
            .hint("store it as a file"));
        }
        self.encoded.ends.push(self.encoded.bytes.len());
        self.given.push(id);
        self.count += 1;
        Ok(())
    }

    /// Whether enough is there to be sent.
    pub fn is_full(&self) -> bool {
        self.encoded.bytes.len() >= BATCH || self.encoded.ends.len() >= MOST
    }

    /// How many documents there were.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The last document's id, where it is an object id.
    pub fn last(&self) -> Option<ObjectId> {
        self.last
    }

    /// Sends what is there; `append` learns of it before.
    pub fn send(
        &mut self,
        connection: &Arc<Connection>,
        collection: &str,
        append: Option<&Unfinished>,
    ) -> Result<()> {
        let given = std::mem::take(&mut self.given);
        if given.is_empty() {
            return Ok(());
        }
        let count = given.len();
        if let Some(append) = append {
            append.announce(given.into_iter().map(|id| Bson::Array(vec![id])).collect())?;
        }
        let mut start = 0;
        while start < self.encoded.ends.len() {
            // A batch may end with a document that makes it too long for one command.
            let from = start
                .checked_sub(1)
                .and_then(|last| self.encoded.ends.get(last));
            let from = from.copied().unwrap_or(0);
            let mut end = start + 1;
            while let Some(stop) = self.encoded.ends.get(end)
                && stop - from <= BATCH + BATCH
            {
                end += 1;
            }
            let ends = self.encoded.ends.get(start..end).unwrap_or_default();
            let to = ends.last().copied().unwrap_or(from);
            let part = Encoded {
                bytes: self
                    .encoded
                    .bytes
                    .get(from..to)
                    .unwrap_or_default()
                    .to_vec(),
                ends: ends.iter().map(|end| end - from).collect(),
            };
            let command = insert_command(collection, &part)?;
            connection.run(insert(
                connection.database().clone(),
                command,
                part.ends.len(),
            ))?;
            start = end;
        }
        debug_assert!(count > 0);
        self.encoded.bytes.clear();
        self.encoded.ends.clear();
        Ok(())
    }
}

/// Reads documents; the first ones are fetched when it is opened.
pub(super) struct Documents {
    connection: Arc<Connection>,
    cursor: Option<RawBatchCursor>,
    ready: VecDeque<RawDocumentBuf>,
    object: String,
}

impl Documents {
    /// Those of a collection that match `filter`, in natural order.
    pub fn open(
        connection: Arc<Connection>,
        collection: &str,
        filter: Document,
        object: &str,
    ) -> Result<Self> {
        let found = connection
            .database()
            .collection::<RawDocumentBuf>(collection);
        let cursor = connection.run(found.find(filter).batch_size(MOST as u32).batch())?;
        let mut documents = Documents {
            connection,
            cursor: Some(cursor),
            ready: VecDeque::new(),
            object: object.to_owned(),
        };
        documents.fetch()?;
        Ok(documents)
    }

    fn fetch(&mut self) -> Result<()> {
        let Some(cursor) = &mut self.cursor else {
            return Ok(());
        };
        let batch = self.connection.wait(super::source::next_batch(cursor))?;
        let Some(batch) = batch else {
            self.close();
            return Ok(());
        };
        let batch = batch.map_err(|error| self.connection.explained(&error))?;
        let damaged = |_| Error::corrupt("the server sent a malformed reply");
        for value in batch.doc_slices().map_err(damaged)? {
            let document = value
                .ok()
                .and_then(|value| value.as_document().map(ToOwned::to_owned))
                .ok_or_else(|| Error::corrupt("the server sent a malformed document"))?;
            self.ready.push_back(document);
        }
        Ok(())
    }

    /// A cursor tells the server that it is done, from a thread of the driver.
    fn close(&mut self) {
        let _context = self.connection.enter();
        self.cursor = None;
    }
}

impl Iterator for Documents {
    type Item = Result<Document>;

    fn next(&mut self) -> Option<Self::Item> {
        while self.ready.is_empty() && self.cursor.is_some() {
            if let Err(error) = self.fetch() {
                self.close();
                return Some(Err(error.on(&self.object)));
            }
        }
        let raw = self.ready.pop_front()?;
        Some(Document::try_from(&raw).map_err(|error| {
            Error::corrupt("a document is damaged")
                .because(error)
                .on(&self.object)
        }))
    }
}

impl Drop for Documents {
    fn drop(&mut self) {
        self.close();
    }
}
