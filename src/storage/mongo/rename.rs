//! Gives an object another key. Content that lies where the old name alone would find it
//! is copied: another object of that name must not come upon it.

use super::MongoStorage;
use super::blob::StoredBlob;
use super::catalog::Entry;
use super::connection::Connection;
use super::unfinished::Content;
use super::upload::Upload;
use super::writer::Place;
use crate::error::{Context, Error, Result};
use crate::storage::refusal::replaced;
use crate::storage::{Key, Metadata, local_now};
use bson::{Document, doc};
use std::io::Read;

impl MongoStorage {
    /// Moves an object; `to` is free.
    pub(super) fn move_entry(&self, entry: Entry, to: &Key) -> Result<Metadata> {
        let from = entry.metadata.key.clone();
        let old = self.content(&entry.metadata);
        let mut moved = entry.clone();
        moved.metadata.key = to.clone();
        moved.metadata.modified = local_now();
        let place = match &old {
            Some(Content::Collection(name)) if *name == from.collection() => {
                let place = self.copied_collection(name)?;
                moved.metadata.collection = Some(place.name().to_owned());
                Some(place)
            }
            Some(Content::File(bucket, _)) if *bucket != self.files(&to.bucket) => {
                let place = self.copied_file(&entry, to)?;
                if let Content::File(_, id) = &place.content {
                    moved.metadata.gridfile = Some(*id);
                }
                Some(place)
            }
            _ => None,
        };
        if let (Some(place), Some(old)) = (&place, &old) {
            place.replaces(old)?;
        }
        if !self.swap_entry(&entry, &moved)? {
            return Err(replaced(&from));
        }
        if let Some(place) = place {
            let tidied = old.map_or(Ok(()), |old| self.remove_content(&old));
            if let Err(error) = tidied.and_then(|()| place.keep()) {
                tracing::debug!("{from}: leftovers stay until the next check: {error}");
            }
        }
        self.entry(to)?
            .map(|entry| entry.metadata)
            .ok_or_else(|| replaced(to))
    }

    /// A copy of a collection, made by the server, with its indexes.
    fn copied_collection(&self, name: &str) -> Result<Place> {
        let place = Place::collection(self)?;
        let connection = self.connection()?;
        let source = connection.documents(name);
        connection.run(async {
            let stages = [doc! { "$out": place.name() }];
            let mut cursor = source.aggregate(stages).await?;
            while cursor.advance().await? {}
            Ok(())
        })?;
        copy_indexes(connection, name, place.name())?;
        if self.count(name, None)? != self.count(place.name(), None)? {
            return Err(Error::conflict("it was changed while it was moved").hint("try again"));
        }
        Ok(place)
    }

    /// A copy of an object's file in the GridFS bucket of another bucket.
    fn copied_file(&self, entry: &Entry, to: &Key) -> Result<Place> {
        let connection = self.connection()?;
        let key = entry.metadata.key.to_string();
        let id = entry.metadata.gridfile.unwrap_or_default();
        let source = self.files(&entry.metadata.key.bucket);
        let filename = connection
            .run(std::future::IntoFuture::into_future(
                connection
                    .documents(&format!("{source}.files"))
                    .find_one(doc! { "_id": id }),
            ))?
            .and_then(|file| file.get_str("filename").ok().map(str::to_owned))
            .unwrap_or_default();
        let mut blob = StoredBlob::open(connection.clone(), &source, id, &key)?;
        let bucket = self.files(&to.bucket);
        let mut upload = Upload::open(self, &bucket, to)?;
        let mut buffer = vec![0; 1 << 20];
        loop {
            let read = blob.read(&mut buffer).context(|| "cannot read its file")?;
            if read == 0 {
                break;
            }
            upload.push(buffer.get(..read).unwrap_or_default())?;
        }
        upload.finish(&filename).map(|(_, place)| place)
    }
}

fn copy_indexes(connection: &Connection, from: &str, to: &str) -> Result<()> {
    let reply = connection.command(doc! { "listIndexes": from })?;
    let indexes: Vec<Document> = reply
        .get_document("cursor")
        .and_then(|cursor| cursor.get_array("firstBatch"))
        .map(|batch| {
            batch
                .iter()
                .filter_map(|index| index.as_document().cloned())
                .filter(|index| !matches!(index.get_str("name"), Ok("_id_")))
                .collect()
        })
        .unwrap_or_default();
    if !indexes.is_empty() {
        connection.command(doc! { "createIndexes": to, "indexes": indexes })?;
    }
    Ok(())
}
