//! Where objects live. A storage carries metadata, rows, documents and blobs and knows
//! nothing of kinds: what an object *is* belongs to `store`, above.
//!
//! Contract, tested by `tests/conformance.rs` on every storage:
//! - All or nothing: what a writer stages becomes visible at [`Writer::commit`] in one
//!   step; a writer that is dropped, or whose process dies, leaves the old object.
//! - Readers never wait for writers and see one state of an object, old or new.
//! - What is read is what was written, or [`crate::ErrorKind::Corrupt`].
//! - Metadata that has become stale still reads: when its object was replaced by one of
//!   the same kind and `kind_meta`, the new content is read. When it has become something
//!   else, reading is a [`crate::ErrorKind::Conflict`] (find it again); when it was
//!   dropped, [`crate::ErrorKind::NotFound`].
//!
//! Rows. A frame handed to [`Writer::rows`] carries index columns (`_idx#0_name`, …) only
//! if it has an index of its own; the default range index `_idx#0_0` and the row id
//! `_om#rowid` are the storage's business: MongoDB writes them, others derive them
//! from the position. An unnamed index that does not count up from 0 is one of its own,
//! called `_idx#0_0` too; numbers in it go on where rows are added without.
//! Rows come back in the order in which they were written.

pub mod crash;
pub mod embedded;
mod fields;
mod key;
pub mod log;
mod metadata;
pub mod mongo;
mod projection;
pub mod records;
mod refusal;
pub mod remote;
mod schema;

pub use crate::config::DEFAULT_BUCKET;
pub use key::Key;
pub use metadata::{Metadata, legacy_json, local_now, wall_clock_text};

use crate::error::{ErrorKind, Result};
use crate::frame::Query;
use crate::progress::Progress;
use bson::{Bson, Document};
use log::Log;
use polars::prelude::{DataFrame, LazyFrame};
use records::Records;
use regex::Regex;
use std::fmt::Debug;
use std::fs::File;
use std::io::{Read, Seek};
use std::sync::Arc;

/// Stores objects: metadata, rows, documents, blobs.
pub trait Storage: Debug + Send + Sync {
    /// Where this storage is, for people; holds no secret.
    fn location(&self) -> String;

    /// Whether nothing but this machine's disk is waited for.
    fn is_here(&self) -> bool {
        false
    }

    /// The metadata under `key`, if there is such an object.
    fn find(&self, key: &Key) -> Result<Option<Metadata>>;

    /// The metadata of all objects that `selection` names, sorted by name.
    fn list(&self, selection: &Selection) -> Result<Vec<Metadata>>;

    /// All buckets that hold an object, sorted.
    fn buckets(&self) -> Result<Vec<String>>;

    /// Starts writing the object under `key`.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Conflict`] when `mode` is [`Mode::Create`] and it exists.
    fn write<'a>(&'a self, key: &Key, mode: Mode) -> Result<Box<dyn Writer + 'a>>;

    /// Changes single metadata fields in one step, leaving all others as they are.
    ///
    /// # Errors
    /// [`crate::ErrorKind::NotFound`] when there is no such object.
    fn update(&self, key: &Key, update: &Update) -> Result<Metadata>;

    /// Deletes an object and its content; whether there was one.
    fn delete(&self, key: &Key) -> Result<bool>;

    /// Gives an object another key.
    ///
    /// # Errors
    /// [`crate::ErrorKind::NotFound`], or [`crate::ErrorKind::Conflict`] when `to` exists.
    fn rename(&self, from: &Key, to: &Key) -> Result<Metadata>;

    /// Reads rows; the storage runs as much of `query` as it can and returns the rest.
    /// The frame has at least the columns that the rest needs; the rest, run on it, gives the
    /// answer to `query`. Of the derived columns `_idx#0_0` and `_om#rowid` the answer has
    /// those that the columns of `query` name. Whatever is written meanwhile, collecting the
    /// frame gives one state of the object, or [`crate::ErrorKind::Conflict`].
    fn scan(&self, metadata: &Metadata, query: &Query) -> Result<Scan>;

    /// Reads documents in the order in which they were written.
    fn documents<'a>(
        &'a self,
        metadata: &Metadata,
    ) -> Result<Box<dyn Iterator<Item = Result<Document>> + 'a>>;

    /// The documents whose field at the dotted path `field` has one of these values.
    fn documents_where<'a>(
        &'a self,
        metadata: &Metadata,
        field: &str,
        values: &'a [Bson],
    ) -> Result<Box<dyn Iterator<Item = Result<Document>> + 'a>> {
        let field = field.to_owned();
        let all = self.documents(metadata)?;
        Ok(Box::new(all.filter(move |document| match document {
            Ok(document) => fields::at(document, &field).is_some_and(|at| values.contains(at)),
            Err(_) => true,
        })))
    }

    /// Opens the blob. Bytes are verified as they are read to the end.
    fn blob(&self, metadata: &Metadata) -> Result<Box<dyn Blob>>;

    /// Number of rows or documents, and size in bytes, without reading them.
    fn stats(&self, metadata: &Metadata) -> Result<Stats>;

    /// The records of a space, e.g. `tasks`.
    fn records(&self, space: &str) -> Box<dyn Records>;

    /// The log under the key of `metadata`, which is that of a log yet to be made.
    fn log(&self, metadata: Metadata) -> Box<dyn Log>;

    /// The same of many objects; nothing of those that are gone since they were listed.
    fn stats_of(&self, all: &[Metadata]) -> Result<Vec<Stats>> {
        let stats = |metadata: &Metadata| match self.stats(metadata) {
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::Conflict) => {
                Ok(Stats::default())
            }
            stats => stats,
        };
        all.iter().map(stats).collect()
    }

    /// Verifies everything stored; with `repair` removes leftovers of dead writers.
    fn check(&self, repair: bool, progress: &dyn Progress) -> Result<CheckReport>;
}

/// Whether a write makes, replaces or extends an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// The object must not exist.
    Create,
    /// Whatever exists under the key is replaced, its metadata included.
    Replace,
    /// Rows or documents are added to the object, which is made if it is missing.
    Append,
}

/// Stages the content of one object; nothing is visible before [`Writer::commit`].
/// Dropping a writer discards what it staged.
pub trait Writer {
    /// The object as it was when the writer started.
    fn current(&self) -> Option<&Metadata>;

    /// Adds rows. All frames of one object have the same schema.
    fn rows(&mut self, frame: DataFrame) -> Result<()>;

    /// Adds a document.
    fn document(&mut self, document: Document) -> Result<()>;

    /// Adds bytes to the blob; an empty slice makes an empty one. One object holds rows,
    /// or documents, or a blob; a writer that stages none makes metadata only.
    fn bytes(&mut self, bytes: &[u8]) -> Result<()>;

    /// Asks for an index over these fields together: `1`, `-1` or `'2dsphere'` each. Before
    /// there is content; storages without indexes need none.
    fn index(&mut self, _fields: &Document) -> Result<()> {
        Ok(())
    }

    /// Makes the staged content the object's, together with `metadata`, in one step.
    /// The storage fills `key`, `id`, `collection`, `objid`, `gridfile`, `created`,
    /// `modified` and `content`. `id` and `created` are kept on append, and on replace
    /// when `metadata` carries the `id` of the object that is there. In these cases,
    /// attributes that others have changed since the writer started stay changed, unless
    /// `metadata` changes them too.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Conflict`] when another process made (on create) or replaced
    /// (on append) the object meanwhile. Concurrent appends all survive.
    fn commit(self: Box<Self>, metadata: Metadata) -> Result<Metadata>;
}

/// Which objects a listing is about.
#[derive(Debug, Clone)]
pub struct Selection {
    /// The bucket.
    pub bucket: String,
    /// The store's prefix.
    pub prefix: String,
    /// Names must match; unanchored, as given.
    pub names: Option<Regex>,
    /// Kinds; all when empty.
    pub kinds: Vec<String>,
    /// Whether names that start with `.` are listed.
    pub hidden: bool,
    /// Whether names that start with `_` are listed.
    pub temporary: bool,
}

impl Selection {
    /// Everything in a bucket under a prefix that is neither hidden nor temporary.
    pub fn new(bucket: &str, prefix: &str) -> Self {
        Selection {
            bucket: bucket.to_owned(),
            prefix: prefix.to_owned(),
            names: None,
            kinds: Vec::new(),
            hidden: false,
            temporary: false,
        }
    }

    /// Whether an object of this name and kind is meant.
    pub fn accepts(&self, name: &str, kind: &str) -> bool {
        (self.hidden || !name.starts_with('.'))
            && (self.temporary || !name.starts_with('_'))
            && (self.kinds.is_empty() || self.kinds.iter().any(|wanted| wanted == kind))
            && self.names.as_ref().is_none_or(|names| names.is_match(name))
    }
}

/// Changes of single metadata fields; paths are dotted, e.g. `attributes.owner`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Update {
    /// Fields to set.
    pub set: Vec<(String, Bson)>,
    /// Fields to remove.
    pub unset: Vec<String>,
    /// Values to append to array fields, which are made if missing.
    pub push: Vec<(String, Bson)>,
}

/// The answer to [`Storage::scan`].
pub struct Scan {
    /// The rows, with data columns and, where the object has them, index columns.
    pub frame: LazyFrame,
    /// What of the query is still to be run on `frame`.
    pub rest: Query,
    /// The rows of `frame` in batches, in order, at least one; for storages whose frames
    /// Polars can only read as a whole.
    pub batches: Option<Batches>,
    /// The Parquet files that `frame` is all rows and columns of, in order, where it is.
    pub files: Option<Arc<[File]>>,
    /// The command that runs inside a database to make the rows, where there is one.
    pub command: Option<Document>,
    /// What Polars does on a server to make the rows, where there is one.
    pub plan: Option<String>,
}

/// Starts to read rows in batches.
pub type Batches = Box<dyn FnOnce() -> Result<crate::frame::Batches> + Send>;

/// An open blob.
pub trait Blob: Read + Seek + Send {
    /// Its length in bytes.
    fn length(&self) -> u64;

    /// What identifies its content for good, where reading it may be slow enough to be cut
    /// short and gone on with: the same identity, the same bytes.
    fn identity(&self) -> Option<String> {
        None
    }
}

/// Size of an object.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stats {
    /// Rows or documents; none for blobs.
    pub count: Option<u64>,
    /// Stored bytes.
    pub bytes: u64,
}

/// What [`Storage::check`] found.
#[derive(Debug, Clone, Default)]
pub struct CheckReport {
    /// Objects whose content was read and verified.
    pub objects: u64,
    /// Bytes read.
    pub bytes: u64,
    /// Objects that cannot be read as written: the key and what is wrong.
    pub damaged: Vec<(String, String)>,
    /// Leftovers of writers that died.
    pub leftovers: u64,
    /// Whether the leftovers were removed.
    pub repaired: bool,
}
