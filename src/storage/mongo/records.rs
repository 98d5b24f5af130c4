//! Records in the database: a document each, in the collection `om_<space>`. Times are
//! dates, so that the server removes what has expired.

use super::MongoStorage;
use super::connection::{Connection, is_duplicate};
use crate::error::{Error, Result};
use crate::storage::records::{Alteration, Change, Record, Records, When, now};
use bson::oid::ObjectId;
use bson::{Bson, DateTime, Document, doc};
use mongodb::options::{IndexOptions, ReturnDocument};
use mongodb::{Collection, IndexModel};
use std::future::IntoFuture;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// The records of one space.
pub(super) struct MongoRecords {
    storage: MongoStorage,
    space: String,
    prepared: OnceLock<()>,
}

impl MongoRecords {
    pub fn new(storage: &MongoStorage, space: &str) -> Self {
        MongoRecords {
            storage: storage.clone(),
            space: space.to_owned(),
            prepared: OnceLock::new(),
        }
    }

    fn collection(&self) -> Result<(&Arc<Connection>, Collection<Document>)> {
        let connection = self.storage.connection()?;
        Ok((
            connection,
            connection.documents(&format!("om_{}", self.space)),
        ))
    }

    /// Makes the indexes, once; a user who may not make any works without.
    fn prepare(&self) -> Result<()> {
        if self.prepared.get().is_some() {
            return Ok(());
        }
        let (connection, collection) = self.collection()?;
        let expiry = IndexOptions::builder().expire_after(Duration::ZERO).build();
        let indexes = [
            IndexModel::builder().keys(doc! { "created": -1 }).build(),
            IndexModel::builder()
                .keys(doc! { "state": 1, "due": 1 })
                .build(),
            IndexModel::builder()
                .keys(doc! { "expires": 1 })
                .options(expiry)
                .build(),
        ];
        let made = connection.attempt(collection.create_indexes(indexes).into_future())?;
        if let Err(error) = made {
            tracing::debug!("records of {} have no indexes: {error}", self.space);
        }
        self.prepared.get_or_init(|| ());
        Ok(())
    }

    fn all(&self, filter: Document, limit: u64) -> Result<Vec<Record>> {
        let (connection, collection) = self.collection()?;
        connection
            .run(async {
                let mut find = collection
                    .find(filter)
                    .sort(doc! { "created": -1, "_id": 1 });
                if let Ok(limit) = i64::try_from(limit) {
                    find = find.limit(limit);
                }
                let mut cursor = find.await?;
                let mut found = Vec::new();
                while cursor.advance().await? {
                    found.push(cursor.deserialize_current()?);
                }
                Ok(found)
            })?
            .into_iter()
            .map(read)
            .collect()
    }
}

impl Records for MongoRecords {
    fn insert(&self, records: &[Record]) -> Result<Vec<String>> {
        if records.is_empty() {
            return Ok(Vec::new());
        }
        self.prepare()?;
        let (connection, collection) = self.collection()?;
        let documents: Vec<Document> = records.iter().map(document).collect();
        let added = connection.attempt(
            collection
                .insert_many(documents)
                .ordered(false)
                .into_future(),
        )?;
        match added {
            Ok(_) => Ok(Vec::new()),
            Err(error) => match taken(&error) {
                Some(places) => Ok(places
                    .into_iter()
                    .filter_map(|place| records.get(place))
                    .map(|record| record.id.clone())
                    .collect()),
                None if records.len() == 1 && is_duplicate(&error) => {
                    Ok(records.iter().map(|record| record.id.clone()).collect())
                }
                None => Err(connection.explained(&error)),
            },
        }
    }

    fn get(&self, id: &str) -> Result<Option<Record>> {
        let (connection, collection) = self.collection()?;
        let found = connection.run(collection.find_one(doc! { "_id": id }).into_future())?;
        found.map(read).transpose()
    }

    fn change(&self, changes: &[Alteration]) -> Result<Vec<Record>> {
        let (connection, collection) = self.collection()?;
        match changes {
            [] => return Ok(Vec::new()),
            [one] => {
                let changed = connection.run(
                    collection
                        .find_one_and_update(condition(one), update(&one.change))
                        .return_document(ReturnDocument::After)
                        .into_future(),
                )?;
                return changed.map(read).transpose().map(Vec::from_iter);
            }
            _ => {}
        }
        // Which of them were changed is told by a mark.
        let mark = ObjectId::new();
        let updates: Vec<Document> = changes
            .iter()
            .map(|alteration| {
                let mut update = update(&alteration.change);
                match update.get_document_mut("$set") {
                    Ok(set) => drop(set.insert("mark", mark)),
                    Err(_) => drop(update.insert("$set", doc! { "mark": mark })),
                }
                doc! { "q": condition(alteration), "u": update }
            })
            .collect();
        let command = doc! { "update": collection.name(), "updates": updates, "ordered": false };
        let reply = connection.command(command)?;
        if let Ok(errors) = reply.get_array("writeErrors")
            && let Some(error) = errors.first()
        {
            return Err(Error::failed(format!("MongoDB refused: {error}")));
        }
        let ids: Vec<&str> = changes.iter().map(|one| one.id.as_str()).collect();
        self.all(doc! { "_id": { "$in": ids }, "mark": mark }, u64::MAX)
    }

    fn list(&self, conditions: &[When], limit: u64) -> Result<Vec<Record>> {
        if limit == 0 {
            return Ok(Vec::new());
        }
        self.all(filter(conditions), limit)
    }

    fn remove(&self, ids: &[&str]) -> Result<u64> {
        let (connection, collection) = self.collection()?;
        let removed = connection.run(
            collection
                .delete_many(doc! { "_id": { "$in": ids } })
                .into_future(),
        )?;
        Ok(removed.deleted_count)
    }

    fn sweep(&self) -> Result<u64> {
        let (connection, collection) = self.collection()?;
        let removed = connection.run(
            collection
                .delete_many(doc! { "expires": { "$lte": date(now()) } })
                .into_future(),
        )?;
        Ok(removed.deleted_count)
    }
}

/// The places of documents whose ids were taken, if that is all that went wrong.
fn taken(error: &mongodb::error::Error) -> Option<Vec<usize>> {
    let mongodb::error::ErrorKind::InsertMany(many) = error.kind.as_ref() else {
        return None;
    };
    let errors = many.write_errors.as_ref()?;
    errors
        .iter()
        .map(|error| (error.code == super::code::DUPLICATE_KEY).then_some(error.index))
        .collect()
}

fn date(time: i64) -> DateTime {
    DateTime::from_millis(time)
}

fn document(record: &Record) -> Document {
    let mut document = doc! {
        "_id": &record.id,
        "state": &record.state,
        "owner": &record.owner,
        "created": date(record.created),
    };
    document.extend(record.due.map(|due| ("due".to_owned(), date(due).into())));
    document.extend(
        record
            .expires
            .map(|expires| ("expires".to_owned(), date(expires).into())),
    );
    document.insert("body", record.body.clone());
    document
}

fn read(mut document: Document) -> Result<Record> {
    let id = match document.get("_id") {
        Some(Bson::String(id)) => id.clone(),
        other => other.map(Bson::to_string).unwrap_or_default(),
    };
    let malformed = || Error::corrupt("a record is malformed").on(&id);
    let time = |name: &str| {
        document
            .get_datetime(name)
            .ok()
            .map(|time| time.timestamp_millis())
    };
    Ok(Record {
        state: document
            .get_str("state")
            .map_err(|_| malformed())?
            .to_owned(),
        owner: document.get_str("owner").unwrap_or_default().to_owned(),
        due: time("due"),
        created: time("created").ok_or_else(malformed)?,
        expires: time("expires"),
        body: match document.remove("body") {
            Some(Bson::Document(body)) => body,
            _ => return Err(malformed()),
        },
        id,
    })
}

/// The record of a change, if it may be changed.
fn condition(alteration: &Alteration) -> Document {
    let mut condition = doc! { "_id": &alteration.id };
    condition.extend(filter(&alteration.conditions));
    condition
}

fn filter(conditions: &[When]) -> Document {
    let mut any: Vec<Document> = conditions
        .iter()
        .map(|when| {
            let mut all = Document::new();
            if !when.states.is_empty() {
                all.insert("state", doc! { "$in": &when.states });
            }
            if let Some(owner) = &when.owner {
                all.insert("owner", owner);
            }
            if let Some(by) = when.due_by {
                all.insert("due", doc! { "$lte": date(by) });
            }
            all
        })
        .collect();
    match any.len() {
        0 => Document::new(),
        1 => any.remove(0),
        _ => doc! { "$or": any },
    }
}

fn update(change: &Change) -> Document {
    let (mut set, mut unset) = (Document::new(), Document::new());
    set.extend(
        change
            .state
            .clone()
            .map(|state| ("state".to_owned(), state.into())),
    );
    set.extend(
        change
            .owner
            .clone()
            .map(|owner| ("owner".to_owned(), owner.into())),
    );
    for (name, time) in [("due", change.due), ("expires", change.expires)] {
        match time {
            Some(Some(time)) => drop(set.insert(name, date(time))),
            Some(None) => drop(unset.insert(name, "")),
            None => {}
        }
    }
    for (name, value) in &change.set {
        set.insert(format!("body.{name}"), value.clone());
    }
    let add: Document = change
        .add
        .iter()
        .map(|(name, amount)| (format!("body.{name}"), Bson::Int64(*amount)))
        .collect();
    let mut update = Document::new();
    for (operator, fields) in [("$set", set), ("$unset", unset), ("$inc", add)] {
        if !fields.is_empty() {
            update.insert(operator, fields);
        }
    }
    if update.is_empty() {
        // The server wants some change.
        update.insert("$unset", doc! { "mark": "" });
    }
    update
}
