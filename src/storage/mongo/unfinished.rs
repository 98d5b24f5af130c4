//! Writes that are not finished: what they have put into the database already, so that
//! readers leave it out and somebody can remove it when the writer has died. They are
//! documents of the collection `om_writes`, one a write, removed at its end.

use super::MongoStorage;
use super::connection::{Connection, is_duplicate};
use crate::error::{Error, ErrorKind, Result};
use bson::oid::ObjectId;
use bson::{Bson, DateTime, Document, doc};
use std::collections::BTreeSet;
use std::future::IntoFuture;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::task::JoinHandle;

/// The collection of unfinished writes.
pub(super) const COLLECTION: &str = "om_writes";

/// How often a living writer says so.
const RENEWAL: Duration = Duration::from_secs(10);

/// After how long without a word a writer on another machine is dead.
const LIFETIME: Duration = Duration::from_secs(60);

/// How often a writer that waits for another looks again.
const POLL: Duration = Duration::from_millis(20);

/// What a write has put into the database.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Content {
    /// A collection of its own.
    Collection(String),
    /// Chunks of a file, in a GridFS bucket.
    File(String, ObjectId),
    /// Documents that are being added to an object's collection; its name identifies the
    /// write, so that there is one at a time.
    Append(String),
}

impl Content {
    fn id(&self) -> Bson {
        match self {
            Content::Append(collection) => Bson::String(collection.clone()),
            Content::Collection(_) | Content::File(..) => Bson::ObjectId(ObjectId::new()),
        }
    }

    fn document(&self) -> Document {
        match self {
            Content::Collection(name) => doc! { "collection": name },
            Content::File(bucket, id) => doc! { "files": bucket, "file": id },
            Content::Append(name) => doc! { "append": name, "ids": [] },
        }
    }

    pub(super) fn read(document: &Document) -> Option<Self> {
        if let Ok(name) = document.get_str("append") {
            return Some(Content::Append(name.to_owned()));
        }
        if let Ok(name) = document.get_str("collection") {
            return Some(Content::Collection(name.to_owned()));
        }
        let bucket = document.get_str("files").ok()?;
        Some(Content::File(
            bucket.to_owned(),
            document.get_object_id("file").ok()?,
        ))
    }
}

/// An entry of the register, kept alive until it is dropped.
pub(super) struct Unfinished {
    pub(super) connection: Arc<Connection>,
    id: Bson,
    pub(super) token: ObjectId,
    renewal: JoinHandle<()>,
}

impl Unfinished {
    /// Registers a write before its first byte is sent. One that adds to a collection
    /// waits for others that do.
    ///
    /// # Errors
    /// [`crate::ErrorKind::TimedOut`] when another writer does not come to its end.
    pub fn begin(storage: &MongoStorage, content: &Content) -> Result<Self> {
        Self::register(storage, content, Document::new())
    }

    /// As [`Unfinished::begin`], with more to say of the write.
    pub(super) fn register(
        storage: &MongoStorage,
        content: &Content,
        more: Document,
    ) -> Result<Self> {
        let connection = storage.connection()?.clone();
        let started = Instant::now();
        let (id, token) = (content.id(), ObjectId::new());
        let mut waiting = false;
        loop {
            let mut document = content.document();
            document.extend(more.clone());
            document.insert("owner", owner());
            // An insert that has the server's time without asking for it: there is no
            // entry with this token, and one with this id is a duplicate.
            let entry = doc! { "_id": id.clone(), "token": token };
            let new = doc! { "$setOnInsert": document, "$currentDate": { "renewed": true } };
            let register = connection.documents(COLLECTION);
            let insert = register.update_one(entry, new).upsert(true);
            match connection.attempt(insert.into_future())? {
                Ok(_) => break,
                Err(error) if is_duplicate(&error) => {}
                Err(error) => return Err(connection.explained(&error)),
            }
            if started.elapsed() > storage.options.lock_timeout {
                return Err(
                    Error::new(ErrorKind::TimedOut, "another process is adding to it")
                        .hint("wait for it, or run: om store check --repair"),
                );
            }
            if !waiting {
                waiting = true;
                storage.clean_up(|found| found.get("_id") == Some(&id))?;
            } else if started.elapsed() > Duration::from_secs(1) {
                storage
                    .options
                    .progress
                    .note("waiting for another process to finish writing");
                storage.clean_up(|found| found.get("_id") == Some(&id))?;
                connection.wait(async { tokio::time::sleep(Duration::from_secs(1)).await })?;
                continue;
            }
            connection.wait(async { tokio::time::sleep(POLL).await })?;
        }
        Ok(Self::kept_alive(connection, id, token))
    }

    /// An entry that is in the register, from now on this process'.
    pub(super) fn kept_alive(connection: Arc<Connection>, id: Bson, token: ObjectId) -> Self {
        let renewal = connection.spawn(renew(connection.documents(COLLECTION), token));
        Unfinished {
            connection,
            id,
            token,
            renewal,
        }
    }

    /// What identifies this write in the metadata of its object.
    pub fn token(&self) -> ObjectId {
        self.token
    }

    /// Names documents that are going to be added.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Conflict`] when the write has been taken for dead.
    pub fn announce(&self, ids: Vec<Bson>) -> Result<()> {
        let register = self.connection.documents(COLLECTION);
        let update = doc! { "$push": { "ids": { "$each": ids } } };
        let done = self.connection.run(
            register
                .update_one(doc! { "token": self.token }, update)
                .into_future(),
        )?;
        still_ours(done.matched_count)
    }

    /// Names what is going to be removed once the write is committed.
    pub fn replaces(&self, old: &Content) -> Result<()> {
        let register = self.connection.documents(COLLECTION);
        let update = doc! { "$set": { "old": old.document() } };
        self.connection.run(
            register
                .update_one(doc! { "token": self.token }, update)
                .into_future(),
        )?;
        Ok(())
    }

    /// Ends the write: what it has put is an object's, or has been removed.
    pub fn finish(self) -> Result<()> {
        self.renewal.abort();
        let register = self.connection.documents(COLLECTION);
        self.connection.run(
            register
                .delete_one(doc! { "_id": self.id.clone(), "token": self.token })
                .into_future(),
        )?;
        Ok(())
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        self.renewal.abort();
    }
}

/// Whether a change of a write's entry has found it.
///
/// # Errors
/// [`crate::ErrorKind::Conflict`] when others have taken the write for dead.
pub(super) fn still_ours(matched: u64) -> Result<()> {
    match matched {
        1 => Ok(()),
        _ => Err(
            Error::conflict("this write has taken too long and was given up by others")
                .hint("run it again"),
        ),
    }
}

async fn renew(register: mongodb::Collection<Document>, token: ObjectId) {
    loop {
        tokio::time::sleep(RENEWAL).await;
        let update = doc! { "$currentDate": { "renewed": true } };
        if let Err(error) = register.update_one(doc! { "token": token }, update).await {
            tracing::debug!("a write cannot say that it lives: {error}");
        }
    }
}

/// Which process writes: the machine since it was started, and the process on it.
pub(super) fn owner() -> Document {
    let read = |path: &str| {
        std::fs::read_to_string(path)
            .map(|text| text.trim().to_owned())
            .unwrap_or_default()
    };
    let space = std::fs::read_link("/proc/self/ns/pid")
        .map(|path| path.display().to_string())
        .unwrap_or_default();
    let boot = read("/proc/sys/kernel/random/boot_id");
    let host = match boot.is_empty() || space.is_empty() {
        true => String::new(),
        false => format!("{boot} {space}"),
    };
    doc! { "host": host, "pid": i64::from(std::process::id()) }
}

/// The server's clock.
pub(super) fn server_time(connection: &Connection) -> Result<DateTime> {
    let reply = connection.command(doc! { "hello": 1 })?;
    Ok(reply
        .get_datetime("localTime")
        .copied()
        .unwrap_or_else(|_| DateTime::now()))
}

/// Whether the writer of an entry cannot come back.
pub(super) fn is_dead(document: &Document, now: DateTime) -> bool {
    let us = owner();
    let their = document.get_document("owner").ok();
    let host = |owner: &Document| owner.get_str("host").unwrap_or_default().to_owned();
    if let Some(their) = their
        && !host(&us).is_empty()
        && host(their) == host(&us)
        && let Ok(pid) = their.get_i64("pid")
    {
        return !std::path::Path::new(&format!("/proc/{pid}")).exists();
    }
    let renewed = document.get_datetime("renewed").copied().unwrap_or(now);
    let silent = now
        .timestamp_millis()
        .saturating_sub(renewed.timestamp_millis());
    u128::try_from(silent).is_ok_and(|silent| silent > LIFETIME.as_millis())
}

impl MongoStorage {
    pub(super) fn register(&self, filter: Document) -> Result<Vec<Document>> {
        let connection = self.connection()?;
        let register = connection.documents(COLLECTION);
        connection.run(async {
            let mut cursor = register.find(filter).await?;
            let mut found = Vec::new();
            while cursor.advance().await? {
                found.push(cursor.deserialize_current()?);
            }
            Ok(found)
        })
    }

    /// The filter that leaves out what writers are adding to the object right now.
    pub(super) fn committed(&self, entry: &super::catalog::Entry) -> Result<Option<Document>> {
        let Some(collection) = &entry.metadata.collection else {
            return Ok(None);
        };
        let mut parts: Vec<Bson> = Vec::new();
        for write in self.register(doc! { "_id": collection })? {
            // The entry names the write: it is committed and about to be taken off.
            if write.get_object_id("token").ok() == entry.own.get_object_id("appended").ok()
                && entry.own.contains_key("appended")
            {
                continue;
            }
            parts.extend(exclusions(&write).into_iter().map(Bson::Document));
        }
        Ok((!parts.is_empty()).then(|| doc! { "$nor": parts }))
    }

    /// Removes what dead writers have left of those writes that `wanted` chooses; how many.
    pub(super) fn clean_up(&self, wanted: impl Fn(&Document) -> bool) -> Result<u64> {
        let now = server_time(self.connection()?)?;
        let mut removed = 0;
        for write in self.register(doc! {})? {
            if wanted(&write) && is_dead(&write, now) {
                self.roll_back(&write)?;
                removed += 1;
            }
        }
        Ok(removed)
    }

    /// How many writes have died.
    pub(super) fn dead_writes(&self) -> Result<u64> {
        let now = server_time(self.connection()?)?;
        let dead = self.register(doc! {})?;
        Ok(dead.iter().filter(|write| is_dead(write, now)).count() as u64)
    }

    /// Undoes a dead write, unless its object has taken it.
    pub(super) fn roll_back(&self, write: &Document) -> Result<()> {
        let connection = self.connection()?;
        let register = connection.documents(COLLECTION);
        let this = doc! { "_id": write.get("_id").cloned(), "token": write.get("token").cloned() };
        match Content::read(write) {
            None => {}
            // Committed content is referred to and stays; then it was the removal of the
            // old one that was cut short.
            Some(content @ (Content::Collection(_) | Content::File(..))) => {
                self.remove_content(&content)?;
                if let Some(old) = write.get_document("old").ok().and_then(Content::read) {
                    self.remove_content(&old)?;
                }
            }
            Some(Content::Append(name)) => {
                let token = write.get("token").cloned();
                let taken =
                    self.is_referred_to(doc! { "collection": &name, "om.appended": token })?;
                if !taken {
                    // A writer that only seemed dead must not add any more.
                    let marked = connection.run(
                        register
                            .update_one(this.clone(), doc! { "$set": { "token": ObjectId::new() } })
                            .into_future(),
                    )?;
                    if marked.matched_count == 0 {
                        return Ok(());
                    }
                    self.remove_added(&name, write)?;
                    let this = doc! { "_id": write.get("_id").cloned() };
                    connection.run(register.delete_one(this).into_future())?;
                    return Ok(());
                }
            }
        }
        connection.run(register.delete_one(this).into_future())?;
        Ok(())
    }

    /// Removes the documents that an append has added.
    pub(super) fn remove_added(&self, collection: &str, write: &Document) -> Result<()> {
        let connection = self.connection()?;
        let documents = connection.documents(collection);
        for filter in exclusions(write) {
            connection.run(documents.delete_many(filter).into_future())?;
        }
        // Documents that came after the object was dropped have made its collection anew.
        self.remove_content(&Content::Collection(collection.to_owned()))
    }

    /// The collections that unfinished writes are about.
    pub(super) fn unfinished_names(&self) -> Result<BTreeSet<String>> {
        let writes = self.register(doc! {})?;
        Ok(writes
            .iter()
            .flat_map(|write| {
                [
                    Content::read(write),
                    write.get_document("old").ok().and_then(Content::read),
                ]
            })
            .filter_map(|content| match content {
                Some(Content::Collection(name) | Content::Append(name)) => Some(name),
                _ => None,
            })
            .collect())
    }

    /// The files that unfinished writes are about.
    pub(super) fn unfinished_files(&self) -> Result<BTreeSet<ObjectId>> {
        let writes = self.register(doc! {})?;
        Ok(writes
            .iter()
            .filter_map(|write| write.get_object_id("file").ok())
            .collect())
    }

    /// The register's document of an append.
    pub(super) fn append_in_progress(&self, token: ObjectId) -> Result<Option<Document>> {
        Ok(self.register(doc! { "token": token })?.pop())
    }
}

/// The filters of the documents that an append has announced: ranges of ids as
/// `[first, last]`, and single ids.
fn exclusions(write: &Document) -> Vec<Document> {
    let Ok(ids) = write.get_array("ids") else {
        return Vec::new();
    };
    let mut single = Vec::new();
    let mut filters = Vec::new();
    for id in ids {
        match id {
            Bson::Document(range) => {
                if let (Some(first), Some(last)) = (range.get("first"), range.get("last")) {
                    filters.push(doc! { "_id": { "$gte": first, "$lte": last } });
                }
            }
            Bson::Array(one) => single.extend(one.first().cloned()),
            _ => {}
        }
    }
    if !single.is_empty() {
        filters.push(doc! { "_id": { "$in": single } });
    }
    filters
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_living_and_the_dead() {
        let now = DateTime::from_millis(1_000_000);
        let mut write = doc! { "owner": owner(), "renewed": DateTime::from_millis(0) };
        assert!(!is_dead(&write, now), "this process lives");
        write.insert("owner", doc! { "host": "elsewhere", "pid": 1_i64 });
        assert!(is_dead(&write, now));
        write.insert("renewed", DateTime::from_millis(990_000));
        assert!(!is_dead(&write, now));
    }
}
