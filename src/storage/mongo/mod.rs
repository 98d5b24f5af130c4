//! The cluster profile's storage: MongoDB, in omega|ml's own layout (spec/storage.md), so
//! that either side reads, changes and drops what the other has written.
//!
//! All or nothing on a server without transactions: content goes into a collection or a
//! file of its own, is verified, and then one change of the metadata document makes it the
//! object's; what was replaced is removed after that. Rows that are added to an object go
//! into its collection, registered in `om_writes` beforehand: readers leave them out until
//! the metadata names the write. What writers that die leave behind is removed by the next
//! writer that it is in the way of, or by a check.

mod address;
mod blob;
mod catalog;
mod check;
mod commit;
mod connection;
mod documents;
mod explain;
mod indexes;
mod layout;
mod log;
mod pipeline;
mod reader;
mod records;
mod rename;
mod results;
mod resume;
mod rows;
mod scan;
mod source;
mod stats;
mod table;
mod unfinished;
mod upload;
mod writer;

use super::log::Log;
use super::records::Records;
use super::refusal::{ContentKind, exists, missing, refuse_nameless};
use super::{
    Blob, CheckReport, Key, Metadata, Mode, Scan, Selection, Stats, Storage, Update, Writer,
    fields, local_now,
};
use crate::config::{DEFAULT_BUCKET, Url};
use crate::error::{Error, Result};
use crate::frame::Query;
use crate::frame::bson::Field;
use crate::progress::{Progress, Silent};
use address::Address;
use bson::oid::ObjectId;
use bson::{Bson, Document, doc};
use catalog::Entry;
use connection::{Connection, code, refusal};
use polars::prelude::Schema;
use std::collections::BTreeSet;
use std::fmt;
use std::future::IntoFuture;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;
use unfinished::{Content, Unfinished};

pub use results::Results;

/// How a database is opened.
#[derive(Clone)]
pub struct Options {
    /// `mongodb://user:password@host:port/database` (`OMEGA_MONGO_URL`).
    pub url: Url,
    /// Whether the connection is encrypted (`OMEGA_USESSL`).
    pub tls: bool,
    /// Certificates that are trusted, instead of the system's (`CA_CERTS_PATH`).
    pub ca_file: Option<PathBuf>,
    /// How long connecting may take (`OMEGA_MONGO_TIMEOUT`).
    pub timeout: Duration,
    /// Whether all buckets keep their files in one place (`OMEGA_BUCKET_FS_LEGACY`).
    pub legacy_buckets: bool,
    /// What the default bucket is called (`OMEGA_MONGO_COLLECTION`).
    pub default_bucket: String,
    /// How long a writer waits for others before it gives up.
    pub lock_timeout: Duration,
    /// Is told of waits and asked whether to stop.
    pub progress: Arc<dyn Progress>,
}

impl Options {
    /// The database at `url`, with omega|ml's defaults.
    pub fn new(url: Url) -> Self {
        Options {
            url,
            tls: false,
            ca_file: None,
            timeout: Duration::from_millis(2_500),
            legacy_buckets: false,
            default_bucket: DEFAULT_BUCKET.to_owned(),
            lock_timeout: Duration::from_secs(60),
            progress: Arc::new(Silent),
        }
    }
}

/// A database of omega|ml.
#[derive(Clone)]
pub struct MongoStorage {
    options: Arc<Options>,
    shared: Arc<Shared>,
}

/// What all handles of one storage share.
struct Shared {
    address: Address,
    connection: Mutex<Option<Arc<Connection>>>,
    connected: OnceLock<Arc<Connection>>,
    prepared: OnceLock<()>,
    prepared_files: Mutex<BTreeSet<String>>,
}

impl MongoStorage {
    /// Reads the address; nothing is sent before it is needed.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Usage`] when the URL is not that of a database.
    pub fn open(options: Options) -> Result<Self> {
        let address = Address::parse(&options.url)?;
        Ok(MongoStorage {
            options: Arc::new(options),
            shared: Arc::new(Shared {
                address,
                connection: Mutex::new(None),
                connected: OnceLock::new(),
                prepared: OnceLock::new(),
                prepared_files: Mutex::new(BTreeSet::new()),
            }),
        })
    }

    /// The connection, made on first use.
    fn connection(&self) -> Result<&Arc<Connection>> {
        if let Some(connection) = self.shared.connected.get() {
            return Ok(connection);
        }
        let mut making = match self.shared.connection.lock() {
            Ok(making) => making,
            Err(poisoned) => poisoned.into_inner(),
        };
        let connection = match &*making {
            Some(connection) => connection.clone(),
            None => {
                let made = Arc::new(Connection::open(&self.shared.address, &self.options)?);
                *making = Some(made.clone());
                made
            }
        };
        Ok(self.shared.connected.get_or_init(|| connection))
    }

    /// The GridFS bucket of a bucket's files.
    fn files(&self, bucket: &str) -> String {
        let default = &self.options.default_bucket;
        if self.options.legacy_buckets || bucket == default || bucket == DEFAULT_BUCKET {
            default.clone()
        } else {
            format!("{default}_{bucket}")
        }
    }

    /// Whether a GridFS bucket is one of omega|ml's.
    fn is_files(&self, name: &str) -> bool {
        let default = &self.options.default_bucket;
        name == default
            || name
                .strip_prefix(default.as_str())
                .is_some_and(|rest| rest.starts_with('_'))
    }

    /// Where an object's content is.
    fn content(&self, metadata: &Metadata) -> Option<Content> {
        match (metadata.gridfile, &metadata.collection) {
            (Some(file), _) => Some(Content::File(self.files(&metadata.key.bucket), file)),
            (None, Some(collection)) => Some(Content::Collection(collection.clone())),
            (None, None) => None,
        }
    }

    /// Removes content, unless another object refers to it, as versions of models do.
    fn remove_content(&self, content: &Content) -> Result<()> {
        match content {
            Content::Collection(name) | Content::Append(name) => {
                match self.is_referred_to(doc! { "collection": name })? {
                    true => Ok(()),
                    false => self.drop_collection(name),
                }
            }
            Content::File(bucket, id) => match self.is_referred_to(doc! { "gridfile": id })? {
                true => Ok(()),
                false => self.delete_file(bucket, *id),
            },
        }
    }

    /// The documents of an object that match.
    fn find_documents(
        &self,
        metadata: &Metadata,
        wanted: Document,
    ) -> Result<Box<dyn Iterator<Item = Result<Document>>>> {
        let entry = self.follow(metadata)?;
        let key = metadata.key.to_string();
        let Some(collection) = entry
            .metadata
            .collection
            .as_ref()
            .filter(|_| entry.metadata.gridfile.is_none())
        else {
            let stored = entry.metadata.gridfile.map(|_| ContentKind::Blob);
            return Err(super::refusal::holds(
                &metadata.key,
                stored,
                ContentKind::Documents,
            ));
        };
        let mut filter = self.committed(&entry)?.unwrap_or_default();
        if !wanted.is_empty() {
            filter = doc! { "$and": [filter, wanted] };
        }
        let connection = self.connection()?.clone();
        let documents = documents::Documents::open(connection, collection, filter, &key)?;
        Ok(Box::new(documents))
    }

    fn drop_collection(&self, name: &str) -> Result<()> {
        let connection = self.connection()?;
        match connection.attempt(connection.documents(name).drop().into_future())? {
            Err(error) if refusal(&error) != Some(code::NAMESPACE_NOT_FOUND) => {
                Err(connection.explained(&error))
            }
            _ => Ok(()),
        }
    }

    /// Changes the metadata documents that match.
    fn update_where(&self, filter: Document, update: Document) -> Result<()> {
        let connection = self.connection()?;
        let collection = connection.documents(catalog::COLLECTION);
        connection.run(collection.update_one(filter, update).into_future())?;
        Ok(())
    }
}

/// What an object holds, if it holds something.
fn content_kind(entry: &Entry) -> ContentKind {
    match (&entry.metadata.gridfile, layout::holds_rows(entry)) {
        (Some(_), _) => ContentKind::Blob,
        (None, true) => ContentKind::Rows,
        (None, false) => ContentKind::Documents,
    }
}

/// The columns and types of frames.
fn schema_of(fields: &[Field]) -> Schema {
    fields
        .iter()
        .map(|field| polars::prelude::Field::new(field.column.as_str().into(), field.dtype.clone()))
        .collect()
}

/// A name for new content, of the form that omega|ml's collections have.
fn new_collection() -> String {
    use sha1::{Digest, Sha1};
    hex::encode(Sha1::digest(ObjectId::new().bytes()))
}

impl fmt::Debug for MongoStorage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MongoStorage")
            .field("url", &self.options.url)
            .finish()
    }
}

impl Storage for MongoStorage {
    fn location(&self) -> String {
        self.options.url.to_string()
    }

    fn find(&self, key: &Key) -> Result<Option<Metadata>> {
        Ok(self.entry(key)?.map(|entry| entry.metadata))
    }

    fn list(&self, selection: &Selection) -> Result<Vec<Metadata>> {
        let entries = self.entries(selection)?;
        Ok(entries.into_iter().map(|entry| entry.metadata).collect())
    }

    fn buckets(&self) -> Result<Vec<String>> {
        self.bucket_names()
    }

    fn write<'a>(&'a self, key: &Key, mode: Mode) -> Result<Box<dyn Writer + 'a>> {
        refuse_nameless(key)?;
        let base = self.entry(key)?;
        if mode == Mode::Create && base.is_some() {
            return Err(exists(key));
        }
        Ok(Box::new(writer::MongoWriter {
            storage: self,
            key: key.clone(),
            mode,
            base,
            index: Vec::new(),
            staged: writer::Staged::Nothing,
        }))
    }

    fn update(&self, key: &Key, update: &Update) -> Result<Metadata> {
        let on_key = |error: Error| error.on(key.to_string());
        let entry = self.entry(key)?.ok_or_else(|| missing(key))?;
        // Refuses here, with our words, what would make no metadata.
        let mut document = entry.metadata.to_document();
        fields::apply(&mut document, update).map_err(on_key)?;
        Metadata::from_document(document).map_err(on_key)?;
        let mut set: Document = update.set.iter().cloned().collect();
        set.insert("modified", local_now());
        let mut change = doc! { "$set": set };
        if !update.unset.is_empty() {
            let fields = update
                .unset
                .iter()
                .map(|field| (field.clone(), Bson::from("")));
            change.insert("$unset", fields.collect::<Document>());
        }
        let mut push = Document::new();
        for (field, value) in &update.push {
            let each = push
                .entry(field.clone())
                .or_insert_with(|| Bson::Document(doc! { "$each": [] }));
            if let Some(values) = each
                .as_document_mut()
                .and_then(|each| each.get_array_mut("$each").ok())
            {
                values.push(value.clone());
            }
        }
        if !push.is_empty() {
            change.insert("$push", push);
        }
        self.update_entry(entry.metadata.id, key, change)
            .map_err(on_key)?
            .map(|entry| entry.metadata)
            .ok_or_else(|| missing(key))
    }

    fn delete(&self, key: &Key) -> Result<bool> {
        while let Some(entry) = self.entry(key)? {
            let content = self.content(&entry.metadata);
            let unfinished = content
                .as_ref()
                .map(|content| Unfinished::begin(self, content))
                .transpose()?;
            let removed = self.remove_entry(&entry)?;
            if let Some(content) = content.filter(|_| removed) {
                self.remove_content(&content)?;
            }
            if let Some(unfinished) = unfinished {
                unfinished.finish()?;
            }
            if removed {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn rename(&self, from: &Key, to: &Key) -> Result<Metadata> {
        refuse_nameless(to)?;
        let entry = self.entry(from)?.ok_or_else(|| missing(from))?;
        if from == to {
            return Ok(entry.metadata);
        }
        if self.entry(to)?.is_some() {
            return Err(exists(to));
        }
        self.move_entry(entry, to)
    }

    fn scan(&self, metadata: &Metadata, query: &Query) -> Result<Scan> {
        scan::scan(self, metadata, query)
    }

    fn documents<'a>(
        &'a self,
        metadata: &Metadata,
    ) -> Result<Box<dyn Iterator<Item = Result<Document>> + 'a>> {
        self.find_documents(metadata, Document::new())
    }

    fn documents_where<'a>(
        &'a self,
        metadata: &Metadata,
        field: &str,
        values: &'a [Bson],
    ) -> Result<Box<dyn Iterator<Item = Result<Document>> + 'a>> {
        self.find_documents(metadata, doc! { field: { "$in": values } })
    }

    fn blob(&self, metadata: &Metadata) -> Result<Box<dyn Blob>> {
        let entry = self.locate(metadata, ContentKind::Blob)?;
        let bucket = self.files(&metadata.key.bucket);
        let id = entry.metadata.gridfile.unwrap_or_default();
        let key = metadata.key.to_string();
        let connection = self.connection()?.clone();
        Ok(Box::new(blob::StoredBlob::open(
            connection, &bucket, id, &key,
        )?))
    }

    fn stats(&self, metadata: &Metadata) -> Result<Stats> {
        self.stats_of_one(metadata)
    }

    fn stats_of(&self, all: &[Metadata]) -> Result<Vec<Stats>> {
        self.stats_of_many(all)
    }

    fn records(&self, space: &str) -> Box<dyn Records> {
        Box::new(records::MongoRecords::new(self, space))
    }

    fn log(&self, metadata: Metadata) -> Box<dyn Log> {
        Box::new(log::MongoLog {
            storage: self.clone(),
            metadata,
        })
    }

    fn check(&self, repair: bool, progress: &dyn Progress) -> Result<CheckReport> {
        check::check(self, repair, progress)
    }
}
