//! How much objects hold. What the server knows of a collection or file is enough, in one
//! round trip; what somebody is adding right now, or has replaced, is counted.

use super::MongoStorage;
use super::connection::{code, refusal};
use super::unfinished::Content;
use crate::error::{Error, ErrorKind, Result};
use crate::storage::{Metadata, Stats};
use bson::{Document, doc};
use mongodb::Database;
use mongodb::error::Error as DriverError;
use std::collections::BTreeSet;
use std::future::IntoFuture;
use tokio::task::JoinHandle;

/// Objects that are asked about at a time.
const AT_ONCE: usize = 16;

/// What a server says of some content; none when it has none.
type Asked = JoinHandle<std::result::Result<Option<Stats>, DriverError>>;

impl MongoStorage {
    /// Rows or documents, and bytes, of an object.
    pub(super) fn stats_of_one(&self, metadata: &Metadata) -> Result<Stats> {
        let Some(content) = self.content(metadata) else {
            return Ok(Stats::default());
        };
        let asked = self.ask(content.clone())?;
        let writes = match &content {
            Content::File(..) => Vec::new(),
            Content::Collection(name) | Content::Append(name) => {
                self.register(doc! { "_id": name })?
            }
        };
        match self.answer(asked)? {
            Some(stats) if writes.is_empty() => Ok(stats),
            _ => self.counted(metadata),
        }
    }

    /// The same of many objects; nothing of those that are gone meanwhile.
    pub(super) fn stats_of_many(&self, all: &[Metadata]) -> Result<Vec<Stats>> {
        let added: BTreeSet<String> = self.unfinished_names()?;
        let mut found = Vec::with_capacity(all.len());
        for some in all.chunks(AT_ONCE) {
            let asked: Vec<Option<Asked>> = some
                .iter()
                .map(|metadata| self.content(metadata))
                .map(|content| content.map(|content| self.ask(content)).transpose())
                .collect::<Result<_>>()?;
            for (metadata, asked) in some.iter().zip(asked) {
                let stats = asked.map(|asked| self.answer(asked)).transpose()?.flatten();
                let changing = metadata
                    .collection
                    .as_ref()
                    .is_some_and(|name| added.contains(name));
                found.push(match stats {
                    Some(stats) if !changing => stats,
                    _ => match self.counted(metadata) {
                        Err(error)
                            if matches!(
                                error.kind(),
                                ErrorKind::NotFound | ErrorKind::Conflict
                            ) =>
                        {
                            Stats::default()
                        }
                        counted => counted?,
                    },
                });
            }
        }
        Ok(found)
    }

    fn ask(&self, content: Content) -> Result<Asked> {
        let connection = self.connection()?;
        let database = connection.database().clone();
        Ok(connection.spawn(async move { stored(&database, &content).await }))
    }

    fn answer(&self, asked: Asked) -> Result<Option<Stats>> {
        let connection = self.connection()?;
        match connection.wait(asked)? {
            Ok(answer) => answer.map_err(|error| connection.explained(&error)),
            Err(_) => Err(Error::failed(
                "asking for the size of an object was stopped",
            )),
        }
    }

    /// What an object holds without what is being added to it, or what has taken its place.
    fn counted(&self, metadata: &Metadata) -> Result<Stats> {
        if metadata.content.is_none() {
            return Ok(Stats::default());
        }
        let entry = self.follow(metadata)?;
        let Some(content) = self.content(&entry.metadata) else {
            return Ok(Stats::default());
        };
        let stored = self.answer(self.ask(content.clone())?)?.unwrap_or_default();
        let count = match &content {
            Content::File(..) => None,
            Content::Collection(name) | Content::Append(name) => {
                Some(self.count(name, self.committed(&entry)?)?)
            }
        };
        Ok(Stats { count, ..stored })
    }

    /// How many documents a collection has; without a filter the server knows.
    pub(super) fn count(&self, collection: &str, filter: Option<Document>) -> Result<u64> {
        let connection = self.connection()?;
        let collection = connection.documents(collection);
        match filter {
            None => connection.run(collection.estimated_document_count().into_future()),
            Some(filter) => connection.run(collection.count_documents(filter).into_future()),
        }
    }

    /// Bytes of some content.
    pub(super) fn bytes(&self, content: &Content) -> Result<u64> {
        let stored = self.answer(self.ask(content.clone())?)?;
        Ok(stored.unwrap_or_default().bytes)
    }
}

/// What the server knows of some content.
async fn stored(
    database: &Database,
    content: &Content,
) -> std::result::Result<Option<Stats>, DriverError> {
    match content {
        Content::Collection(name) | Content::Append(name) => {
            match database.run_command(doc! { "collStats": name }).await {
                Ok(reply) => {
                    let count = number(&reply, "count");
                    // Servers count nothing in a collection that is not there.
                    Ok(count.filter(|count| *count > 0).map(|count| Stats {
                        count: Some(count),
                        bytes: number(&reply, "size").unwrap_or(0),
                    }))
                }
                Err(error) if refusal(&error) == Some(code::NAMESPACE_NOT_FOUND) => Ok(None),
                Err(error) => Err(error),
            }
        }
        Content::File(bucket, id) => {
            let files = database.collection::<Document>(&format!("{bucket}.files"));
            let file = files.find_one(doc! { "_id": id }).await?;
            Ok(file.map(|file| Stats {
                count: None,
                bytes: number(&file, "length").unwrap_or(0),
            }))
        }
    }
}

fn number(reply: &Document, field: &str) -> Option<u64> {
    let value = reply.get(field)?;
    let number = value
        .as_i64()
        .or_else(|| value.as_i32().map(i64::from))
        .or_else(|| value.as_f64().map(|number| number as i64))?;
    u64::try_from(number).ok()
}
