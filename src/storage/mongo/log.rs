//! Logs in the database: a capped collection, of which the server drops the oldest
//! documents (spec/storage.md §14). Python omega|ml's loggers write into the same.

use super::MongoStorage;
use super::catalog::Entry;
use super::connection::{code, refusal};
use super::documents::Documents;
use crate::error::Result;
use crate::storage::Metadata;
use crate::storage::log::{CREATED, LOG_BYTES, Log};
use bson::{Bson, DateTime, Document, doc};
use std::future::IntoFuture;

/// What omega|ml has indexes on; the first is no field of its entries.
const INDEXED: [&str; 3] = ["levelname", "levelno", CREATED];

/// The log under the key of `metadata`.
pub(super) struct MongoLog {
    pub storage: MongoStorage,
    pub metadata: Metadata,
}

impl MongoLog {
    /// The collection; made if it is missing, together with the metadata.
    fn collection(&self) -> Result<String> {
        let key = &self.metadata.key;
        if let Some(entry) = self.storage.entry(key)?
            && let Some(collection) = entry.metadata.collection
        {
            return Ok(collection);
        }
        let collection = key.collection();
        let connection = self.storage.connection()?;
        let create = connection
            .database()
            .create_collection(&collection)
            .capped(true)
            .size(LOG_BYTES);
        match connection.attempt(create.into_future())? {
            Err(error) if refusal(&error) != Some(code::NAMESPACE_EXISTS) => {
                return Err(connection.explained(&error));
            }
            _ => {}
        }
        let index = |field: &str| {
            let fields = vec![(field.to_owned(), Bson::Int64(1))];
            (collection.clone(), fields, false)
        };
        connection.ensure_indexes(INDEXED.map(index))?;
        let metadata = Metadata {
            collection: Some(collection.clone()),
            ..self.metadata.clone()
        };
        self.storage.insert_entry(&Entry {
            metadata,
            own: Document::new(),
        })?;
        Ok(collection)
    }
}

impl Log for MongoLog {
    fn append(&self, entries: Vec<Document>) -> Result<()> {
        if entries.is_empty() {
            return Ok(());
        }
        let collection = self.collection()?;
        let connection = self.storage.connection()?;
        let collection = connection.documents(&collection);
        connection.run(collection.insert_many(entries).into_future())?;
        Ok(())
    }

    fn since(&self, time: Option<DateTime>) -> Result<Vec<Document>> {
        let key = &self.metadata.key;
        let entry = self.storage.entry(key)?;
        let Some(collection) = entry.and_then(|entry| entry.metadata.collection) else {
            return Ok(Vec::new());
        };
        let filter = time.map(|time| doc! { CREATED: { "$gte": time } });
        let connection = self.storage.connection()?.clone();
        Documents::open(
            connection,
            &collection,
            filter.unwrap_or_default(),
            &key.to_string(),
        )?
        .collect()
    }
}
