//! The collection in which Celery keeps the results of tasks, for who shares them by way of
//! the database (spec/runtime.md §4). What its documents say is Celery's business.

use super::MongoStorage;
use super::connection::is_duplicate;
use crate::error::Result;
use bson::{DateTime, Document, doc};
use std::future::IntoFuture;
use std::time::Duration;

const COLLECTION: &str = "celery_taskmeta";

/// Results of tasks by their ids.
#[derive(Clone)]
pub struct Results(MongoStorage);

impl Results {
    /// Those in a database.
    pub fn of(storage: MongoStorage) -> Self {
        Results(storage)
    }

    /// Keeps results; a success that is there already stays.
    pub fn keep(&self, results: Vec<Document>) -> Result<()> {
        let connection = self.0.connection()?;
        let collection = connection.documents(COLLECTION);
        for result in results {
            let id = result.get("_id").cloned();
            let filter = doc! { "_id": id, "status": { "$ne": "SUCCESS" } };
            let replace = collection.replace_one(filter, result).upsert(true);
            match connection.attempt(replace.into_future())? {
                Err(error) if !is_duplicate(&error) => return Err(connection.explained(&error)),
                _ => {}
            }
        }
        Ok(())
    }

    /// The results of these tasks that are there, in any order.
    pub fn find(&self, ids: &[&str]) -> Result<Vec<Document>> {
        let connection = self.0.connection()?;
        let collection = connection.documents(COLLECTION);
        connection.run(async {
            let mut cursor = collection.find(doc! { "_id": { "$in": ids } }).await?;
            let mut found = Vec::new();
            while cursor.advance().await? {
                found.push(cursor.deserialize_current()?);
            }
            Ok(found)
        })
    }

    /// Removes results that are older than `age`, as Celery's own clean-up does.
    pub fn sweep(&self, age: Duration) -> Result<u64> {
        let age = i64::try_from(age.as_millis()).unwrap_or(i64::MAX);
        let before = DateTime::from_millis(DateTime::now().timestamp_millis().saturating_sub(age));
        let connection = self.0.connection()?;
        let collection = connection.documents(COLLECTION);
        let old = collection.delete_many(doc! { "date_done": { "$lt": before } });
        Ok(connection.run(old.into_future())?.deleted_count)
    }
}
