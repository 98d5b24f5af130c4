//! Uploads that were cut short: what a writer that has died, or was interrupted, has sent
//! of a file stays in the register of unfinished writes until a put of the same object
//! goes on with it, or a check removes it.

use super::MongoStorage;
use super::unfinished::{COLLECTION, Content, Unfinished, is_dead, owner, server_time, still_ours};
use crate::error::Result;
use crate::storage::Key;
use bson::oid::ObjectId;
use bson::{DateTime, Document, doc};
use std::future::IntoFuture;

/// What the register says of an upload's object.
fn purpose(key: &Key) -> Document {
    let object = doc! { "bucket": &key.bucket, "prefix": &key.prefix, "name": &key.name };
    doc! { "object": object }
}

impl Unfinished {
    /// Registers the upload of a file for the object `key`.
    pub fn upload(storage: &MongoStorage, content: &Content, key: &Key) -> Result<Self> {
        Self::register(storage, content, purpose(key))
    }

    /// Takes over the last upload for the object `key` that was cut short; the others go.
    pub fn adopt(
        storage: &MongoStorage,
        bucket: &str,
        key: &Key,
    ) -> Result<Option<(Self, Content)>> {
        let mut filter = purpose(key);
        filter.insert("files", bucket);
        let mut found = storage.register(filter)?;
        if found.is_empty() {
            return Ok(None);
        }
        let connection = storage.connection()?;
        let now = server_time(connection)?;
        let register = connection.documents(COLLECTION);
        found.retain(|write| is_dead(write, now));
        found.sort_by_key(|write| std::cmp::Reverse(write.get_object_id("_id").ok()));
        let mut adopted = None;
        for mut write in found {
            let (Some(id), Some(content)) = (write.get("_id").cloned(), Content::read(&write))
            else {
                continue;
            };
            let token = ObjectId::new();
            let this = doc! { "_id": id.clone(), "token": write.get("token").cloned() };
            let ours = doc! {
                "$set": { "token": token, "owner": owner() },
                "$currentDate": { "renewed": true },
            };
            let taken = connection.run(register.update_one(this, ours).into_future())?;
            if taken.matched_count == 0 {
                continue;
            }
            write.insert("token", token);
            let Content::File(bucket, file) = &content else {
                continue;
            };
            if adopted.is_some() || storage.is_referred_to(doc! { "gridfile": file })? {
                storage.roll_back(&write)?;
                continue;
            }
            let unfinished = Unfinished::kept_alive(connection.clone(), id, token);
            // It may have been complete, but for the object.
            let files = connection.documents(&format!("{bucket}.files"));
            let done = files.delete_one(doc! { "_id": file });
            connection.run(done.into_future())?;
            connection.note("going on with a put that was cut short");
            adopted = Some((unfinished, content));
        }
        Ok(adopted)
    }

    /// Fails when others have taken this write for dead, and says that it is not.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Conflict`].
    pub fn confirm(&self) -> Result<()> {
        let register = self.connection.documents(COLLECTION);
        let alive = doc! { "$currentDate": { "renewed": true } };
        let done = self.connection.run(
            register
                .update_one(doc! { "token": self.token }, alive)
                .into_future(),
        )?;
        still_ours(done.matched_count)
    }

    /// Gives the write up; what it has sent stays for another.
    pub fn leave(self) {
        let register = self.connection.documents(COLLECTION);
        let dead = doc! { "$set": { "owner": {}, "renewed": DateTime::from_millis(0) } };
        let work = register.update_one(doc! { "token": self.token }, dead);
        if let Err(error) = self.connection.last(work.into_future()) {
            tracing::debug!("an upload that was cut short looks alive for a while: {error}");
        }
    }
}
