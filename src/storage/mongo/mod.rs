//! The storage in an omega|ml database (spec/storage.md).

use super::{Blob, CheckReport, Key, Metadata, Mode, Scan, Selection, Stats, Storage, Update};
use crate::config::Url;
use crate::error::{Error, ErrorKind, Result};
use crate::frame::Query;
use crate::progress::Progress;
use bson::Document;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// How a database is opened.
#[derive(Clone)]
pub struct Options {
    /// The database.
    pub url: Url,
    /// TLS on the connection.
    pub tls: bool,
    /// Whom to trust, with TLS.
    pub ca_file: Option<PathBuf>,
    /// The limit for connecting and for finding a server.
    pub timeout: Duration,
    /// The files of all buckets are in one GridFS.
    pub legacy_buckets: bool,
    /// The name of the default bucket.
    pub default_bucket: String,
    /// How long a writer waits for others before it gives up.
    pub lock_timeout: Duration,
    /// Is told of waits and asked whether to stop.
    pub progress: Arc<dyn Progress>,
}

/// A store in an omega|ml database.
pub struct MongoStorage(Options);

impl MongoStorage {
    /// Opens the database; it is connected to when it is first needed.
    ///
    /// # Errors
    /// [`ErrorKind::Usage`] when the URL cannot be used.
    pub fn open(options: Options) -> Result<Self> {
        Ok(MongoStorage(options))
    }

    fn refused<T>(&self) -> Result<T> {
        Err(Error::new(ErrorKind::Unreachable, "cannot reach MongoDB").on(self.location()))
    }
}

impl fmt::Debug for MongoStorage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("MongoStorage").field(&self.0.url).finish()
    }
}

#[rustfmt::skip]
impl Storage for MongoStorage {
    fn location(&self) -> String { self.0.url.to_string() }
    fn find(&self, _: &Key) -> Result<Option<Metadata>> { self.refused() }
    fn list(&self, _: &Selection) -> Result<Vec<Metadata>> { self.refused() }
    fn buckets(&self) -> Result<Vec<String>> { self.refused() }
    fn write<'a>(&'a self, _: &Key, _: Mode) -> Result<Box<dyn super::Writer + 'a>> { self.refused() }
    fn update(&self, _: &Key, _: &Update) -> Result<Metadata> { self.refused() }
    fn delete(&self, _: &Key) -> Result<bool> { self.refused() }
    fn rename(&self, _: &Key, _: &Key) -> Result<Metadata> { self.refused() }
    fn scan(&self, _: &Metadata, _: &Query) -> Result<Scan> { self.refused() }
    fn documents<'a>(&'a self, _: &Metadata) -> Result<Box<dyn Iterator<Item = Result<Document>> + 'a>> { self.refused() }
    fn blob(&self, _: &Metadata) -> Result<Box<dyn Blob>> { self.refused() }
    fn stats(&self, _: &Metadata) -> Result<Stats> { self.refused() }
    fn check(&self, _: bool, _: &dyn Progress) -> Result<CheckReport> { self.refused() }
}
