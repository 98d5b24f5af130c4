//! The collection `metadata` (spec/storage.md §3): what objects there are. Every change
//! of a document is one command of the server that names the state it starts from.

use super::MongoStorage;
use super::connection::is_duplicate;
use crate::error::{Error, Result};
use crate::storage::{Key, Metadata, Selection};
use bson::oid::ObjectId;
use bson::{Bson, Document, doc};
use mongodb::Collection;
use mongodb::options::ReturnDocument;
use std::future::IntoFuture;

/// The collection of all metadata.
pub(super) const COLLECTION: &str = "metadata";

/// The field that is this storage's own: what omega|ml's fields cannot say. omega|ml
/// ignores it. It is left out where there is nothing to say.
pub(super) const OWN: &str = "om";

/// A metadata document: what everybody sees, and what only this storage does.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub metadata: Metadata,
    pub own: Document,
}

impl Entry {
    fn read(mut document: Document) -> Result<Self> {
        let own = match document.remove(OWN) {
            Some(Bson::Document(own)) => own,
            Some(other) => {
                // Somebody else's field of this name.
                document.insert(OWN, other);
                Document::new()
            }
            None => Document::new(),
        };
        let mut metadata = Metadata::from_document(document)?;
        metadata.content = match (&metadata.gridfile, &metadata.collection) {
            (Some(file), _) => Some(file.to_hex()),
            (None, collection) => collection.clone(),
        };
        Ok(Entry { metadata, own })
    }

    /// The document as stored.
    pub fn document(&self) -> Document {
        let mut document = self.metadata.to_document();
        if !self.own.is_empty() {
            let gridfile = document.remove("gridfile");
            document.insert(OWN, self.own.clone());
            document.extend(gridfile.map(|file| ("gridfile".to_owned(), file)));
        }
        document
    }
}

fn key_filter(key: &Key) -> Document {
    doc! { "name": &key.name, "prefix": &key.prefix, "bucket": &key.bucket }
}

impl MongoStorage {
    fn metadata(&self) -> Result<Collection<Document>> {
        Ok(self.connection()?.documents(COLLECTION))
    }

    /// The entry under `key`.
    pub(super) fn entry(&self, key: &Key) -> Result<Option<Entry>> {
        let collection = self.metadata()?;
        self.connection()?
            .run(collection.find_one(key_filter(key)).into_future())
            .map_err(|error| error.on(key.to_string()))?
            .map(|document| Entry::read(document).map_err(|error| error.on(key.to_string())))
            .transpose()
    }

    /// All entries that `selection` names, sorted by name. Names are matched here: the
    /// server's regular expressions are another language.
    pub(super) fn entries(&self, selection: &Selection) -> Result<Vec<Entry>> {
        let mut filter = doc! { "bucket": &selection.bucket, "prefix": &selection.prefix };
        if !selection.kinds.is_empty() {
            filter.insert("kind", doc! { "$in": &selection.kinds });
        }
        let mut found = self.all_entries(filter)?;
        found.retain(|entry| selection.accepts(entry.metadata.name(), &entry.metadata.kind));
        found.sort_unstable_by(|a, b| a.metadata.key.name.cmp(&b.metadata.key.name));
        Ok(found)
    }

    /// All entries that match a filter, unsorted. Documents that are no metadata are left
    /// out: one bad document must not hide all others.
    pub(super) fn all_entries(&self, filter: Document) -> Result<Vec<Entry>> {
        let collection = self.metadata()?;
        let connection = self.connection()?;
        connection.run(async {
            let mut cursor = collection.find(filter).batch_size(10_000).await?;
            let mut found = Vec::new();
            while cursor.advance().await? {
                match cursor.deserialize_current().map(Entry::read) {
                    Ok(Ok(entry)) => found.push(entry),
                    Ok(Err(error)) => tracing::warn!("a metadata document is left out: {error}"),
                    Err(error) => return Err(error),
                }
            }
            Ok(found)
        })
    }

    /// All buckets that hold an object, sorted.
    pub(super) fn bucket_names(&self) -> Result<Vec<String>> {
        let collection = self.metadata()?;
        let found = self
            .connection()?
            .run(collection.distinct("bucket", doc! {}).into_future())?;
        let mut names: Vec<String> = found
            .into_iter()
            .filter_map(|name| match name {
                Bson::String(name) => Some(name),
                _ => None,
            })
            .collect();
        names.sort_unstable();
        Ok(names)
    }

    /// Adds an entry; none when the name is taken.
    pub(super) fn insert_entry(&self, entry: &Entry) -> Result<bool> {
        self.prepare()?;
        let collection = self.metadata()?;
        let connection = self.connection()?;
        match connection.attempt(collection.insert_one(entry.document()).into_future())? {
            Ok(_) => Ok(true),
            Err(error) if is_duplicate(&error) => Ok(false),
            Err(error) => Err(connection.explained(&error)),
        }
    }

    /// Makes `before` into `after` if it is still as it was; changed fields only are sent.
    pub(super) fn swap_entry(&self, before: &Entry, after: &Entry) -> Result<bool> {
        let (old, new) = (before.document(), after.document());
        let mut state = doc! { "_id": before.metadata.id };
        for field in [
            "name",
            "bucket",
            "prefix",
            "kind",
            "collection",
            "gridfile",
            "objid",
            "uri",
            "modified",
            "attributes",
            "kind_meta",
            OWN,
        ] {
            // Empty documents may be missing, as omega|ml leaves them.
            match old.get(field) {
                Some(Bson::Document(inner)) if inner.is_empty() => {
                    state.insert(field, doc! { "$in": [{}, Bson::Null] });
                }
                Some(value) => {
                    state.insert(field, doc! { "$eq": value });
                }
                None => {
                    state.insert(field, Bson::Null);
                }
            }
        }
        let mut set = Document::new();
        for (field, value) in &new {
            if old.get(field) != Some(value) {
                set.insert(field, value.clone());
            }
        }
        let unset: Document = old
            .keys()
            .filter(|field| !new.contains_key(*field))
            .map(|field| (field.clone(), Bson::from("")))
            .collect();
        let mut update = Document::new();
        if !set.is_empty() {
            update.insert("$set", set);
        }
        if !unset.is_empty() {
            update.insert("$unset", unset);
        }
        if update.is_empty() {
            return Ok(true);
        }
        let collection = self.metadata()?;
        let connection = self.connection()?;
        match connection.attempt(collection.update_one(state, update).into_future())? {
            Ok(done) => Ok(done.matched_count == 1),
            Err(error) if is_duplicate(&error) => {
                Err(crate::storage::refusal::exists(&after.metadata.key))
            }
            Err(error) => Err(connection.explained(&error)),
        }
    }

    /// Applies an update document to the object of this identity and key.
    pub(super) fn update_entry(
        &self,
        id: ObjectId,
        key: &Key,
        update: Document,
    ) -> Result<Option<Entry>> {
        let collection = self.metadata()?;
        let mut filter = key_filter(key);
        filter.insert("_id", id);
        self.connection()?
            .run(
                collection
                    .find_one_and_update(filter, update)
                    .return_document(ReturnDocument::After)
                    .into_future(),
            )
            .map_err(|error| match error.kind() {
                crate::ErrorKind::Failed => Error::invalid(error.message()),
                _ => error,
            })?
            .map(Entry::read)
            .transpose()
    }

    /// Removes the entry if it still holds this content.
    pub(super) fn remove_entry(&self, entry: &Entry) -> Result<bool> {
        let metadata = &entry.metadata;
        let pointer = |value: Option<Bson>| value.unwrap_or(Bson::Null);
        let filter = doc! {
            "_id": metadata.id,
            "collection": pointer(metadata.collection.clone().map(Bson::from)),
            "gridfile": pointer(metadata.gridfile.map(Bson::from)),
        };
        let collection = self.metadata()?;
        let done = self
            .connection()?
            .run(collection.delete_one(filter).into_future())?;
        Ok(done.deleted_count == 1)
    }

    /// Whether any object still refers to this collection or file.
    pub(super) fn is_referred_to(&self, filter: Document) -> Result<bool> {
        let collection = self.metadata()?;
        let found = self.connection()?.run(
            collection
                .find_one(filter)
                .projection(doc! { "_id": 1 })
                .into_future(),
        )?;
        Ok(found.is_some())
    }
}
