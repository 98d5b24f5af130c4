//! The embedded storage: one directory, no server. SQLite (`om.db`) carries metadata and
//! documents and says which files an object consists of; rows are Parquet files and blobs
//! plain files in `content/`, under ids.
//!
//! All or nothing: content is staged in files of its own, brought to the disk, and then
//! one SQLite transaction swings metadata and content together. What is replaced is
//! unlinked after the commit; readers hold it open. What a writer that dies leaves behind
//! is no object's and is swept later.

mod blob;
mod check;
mod commit;
mod compact;
mod contents;
mod database;
mod digest;
mod documents;
mod layout;
mod log;
mod objects;
mod reading;
mod records;
mod rows;
mod scan;
mod staging;
mod sweep;
mod writer;

use super::log::Log;
use super::records::Records;
use super::refusal::{ContentKind, exists, missing, refuse_nameless};
use super::{
    Blob, CheckReport, Key, Metadata, Mode, Scan, Selection, Stats, Storage, Update, Writer, crash,
    local_now,
};
use crate::error::{Error, Result};
use crate::frame::Query;
use crate::progress::{Progress, Silent};
use bson::Document;
use database::Database;
use layout::Layout;
use std::fmt;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// How a store is opened.
#[derive(Clone)]
pub struct Options {
    /// How long a writer waits for others before it gives up.
    pub lock_timeout: Duration,
    /// Is told of waits and asked whether to stop.
    pub progress: Arc<dyn Progress>,
    /// Whether the first write may make the directory.
    pub create: bool,
}

/// Waits for a minute, silently, and makes what is missing.
impl Default for Options {
    fn default() -> Self {
        Options {
            lock_timeout: Duration::from_secs(60),
            progress: Arc::new(Silent),
            create: true,
        }
    }
}

/// A store in a directory.
#[derive(Clone)]
pub struct EmbeddedStorage {
    layout: Layout,
    database: Arc<Database>,
    progress: Arc<dyn Progress>,
}

impl EmbeddedStorage {
    /// Opens the store in the directory `path`. Nothing is read or made before it is needed.
    ///
    /// # Errors
    /// [`crate::ErrorKind::NotFound`] when there is no such directory and none shall be made.
    pub fn open(path: &Path, options: Options) -> Result<Self> {
        let found = fs::metadata(path);
        if found.as_ref().is_ok_and(|found| !found.is_dir()) {
            return Err(
                Error::failed(format!("{} is not a directory", path.display()))
                    .on(path.display().to_string())
                    .hint("a store needs a directory of its own"),
            );
        }
        if found.is_err() && !options.create {
            return Err(
                Error::not_found(format!("there is no store at {}", path.display()))
                    .on(path.display().to_string()),
            );
        }
        let layout = Layout::new(path);
        let database = Database::new(
            layout.clone(),
            options.lock_timeout,
            options.progress.clone(),
        );
        Ok(EmbeddedStorage {
            layout,
            database: Arc::new(database),
            progress: options.progress,
        })
    }

    /// Removes files that are no object's any more; what cannot be removed is swept later.
    fn unlink(&self, files: &[String]) {
        for file in files {
            let path = self.layout.file(file);
            if let Err(error) = crash::around(|| fs::remove_file(&path)) {
                tracing::debug!("{} stays: {error}", path.display());
            }
        }
    }
}

impl fmt::Debug for EmbeddedStorage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EmbeddedStorage")
            .field("root", &self.layout.root())
            .finish()
    }
}

impl Storage for EmbeddedStorage {
    fn location(&self) -> String {
        self.layout.root().display().to_string()
    }

    fn is_here(&self) -> bool {
        true
    }

    fn find(&self, key: &Key) -> Result<Option<Metadata>> {
        let object = self
            .database
            .read(|connection| objects::find(connection, key))?
            .flatten();
        object
            .map(|object| object.metadata())
            .transpose()
            .map_err(|error| error.on(key.to_string()))
    }

    fn list(&self, selection: &Selection) -> Result<Vec<Metadata>> {
        let found = self
            .database
            .read(|connection| objects::list(connection, selection))?;
        Ok(found.unwrap_or_default())
    }

    fn buckets(&self) -> Result<Vec<String>> {
        Ok(self.database.read(objects::buckets)?.unwrap_or_default())
    }

    fn write<'a>(&'a self, key: &Key, mode: Mode) -> Result<Box<dyn Writer + 'a>> {
        refuse_nameless(key)?;
        self.database.prepare()?;
        let current = self.find(key)?;
        if mode == Mode::Create && current.is_some() {
            return Err(exists(key));
        }
        Ok(Box::new(writer::EmbeddedWriter::new(
            self, key, mode, current,
        )))
    }

    fn update(&self, key: &Key, update: &Update) -> Result<Metadata> {
        if self.find(key)?.is_none() {
            return Err(missing(key));
        }
        self.database.write(|transaction| {
            let object = objects::find(transaction, key)?.ok_or_else(|| missing(key))?;
            let mut document = object.document;
            crate::storage::fields::apply(&mut document, update)
                .map_err(|error| error.on(key.to_string()))?;
            document.insert("modified", local_now());
            let content = object.content.as_deref();
            objects::save(transaction, key, Some(object.row), &document, content)
        })
    }

    fn delete(&self, key: &Key) -> Result<bool> {
        if self
            .database
            .read(|connection| objects::exists(connection, key))?
            != Some(true)
        {
            return Ok(false);
        }
        let files = self.database.write(|transaction| {
            let Some(content) = objects::remove(transaction, key)? else {
                return Ok(None);
            };
            content
                .map_or(Ok(Vec::new()), |id| contents::remove(transaction, &id))
                .map(Some)
        })?;
        self.unlink(files.as_deref().unwrap_or_default());
        Ok(files.is_some())
    }

    fn rename(&self, from: &Key, to: &Key) -> Result<Metadata> {
        refuse_nameless(to)?;
        let found = self.find(from)?.ok_or_else(|| missing(from))?;
        if from == to {
            return Ok(found);
        }
        self.database.write(|transaction| {
            let object = objects::find(transaction, from)?.ok_or_else(|| missing(from))?;
            if objects::exists(transaction, to)? {
                return Err(exists(to));
            }
            let mut document = object.document;
            document.insert("name", &to.name);
            document.insert("bucket", &to.bucket);
            document.insert("prefix", &to.prefix);
            if document.contains_key("collection") {
                document.insert("collection", to.collection());
            }
            document.insert("modified", local_now());
            let content = object.content.as_deref();
            objects::save(transaction, to, Some(object.row), &document, content)
        })
    }

    fn scan(&self, metadata: &Metadata, query: &Query) -> Result<Scan> {
        scan::scan(&self.database, &self.layout, metadata, query)
    }

    fn documents<'a>(
        &'a self,
        metadata: &Metadata,
    ) -> Result<Box<dyn Iterator<Item = Result<Document>> + 'a>> {
        Ok(Box::new(documents::Documents::open(
            &self.database,
            metadata,
        )?))
    }

    fn blob(&self, metadata: &Metadata) -> Result<Box<dyn Blob>> {
        Ok(Box::new(blob::StoredBlob::open(
            &self.database,
            &self.layout,
            metadata,
        )?))
    }

    fn stats(&self, metadata: &Metadata) -> Result<Stats> {
        let content = self
            .database
            .read(|connection| reading::any(connection, metadata))?;
        Ok(match content.flatten() {
            None => Stats::default(),
            Some(content) => Stats {
                count: (content.kind != ContentKind::Blob).then_some(content.count),
                bytes: content.bytes,
            },
        })
    }

    fn records(&self, space: &str) -> Box<dyn Records> {
        Box::new(records::EmbeddedRecords {
            database: self.database.clone(),
            space: space.to_owned(),
        })
    }

    fn log(&self, metadata: Metadata) -> Box<dyn Log> {
        Box::new(log::EmbeddedLog {
            storage: self.clone(),
            metadata,
        })
    }

    fn check(&self, repair: bool, progress: &dyn Progress) -> Result<CheckReport> {
        check::check(self, repair, progress)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::error::ErrorKind;

    #[test]
    fn reading_makes_nothing() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("not/there");
        let store = EmbeddedStorage::open(&path, Options::default()).unwrap();
        let key = Key::new("omegaml", "data/", "a");
        assert!(
            store
                .list(&Selection::new("omegaml", "data/"))
                .unwrap()
                .is_empty()
        );
        assert!(store.find(&key).unwrap().is_none() && !store.delete(&key).unwrap());
        let missing = store.update(&key, &Update::default()).unwrap_err();
        assert_eq!(missing.kind(), ErrorKind::NotFound);
        store.check(true, &Silent).unwrap();
        assert!(!home.path().join("not").exists());
        drop(store.write(&key, Mode::Create).unwrap());
        assert!(path.join("om.db").exists());
    }

    #[test]
    fn what_cannot_be_a_store_is_refused() {
        let home = tempfile::tempdir().unwrap();
        let options = Options {
            create: false,
            ..Options::default()
        };
        let missing = EmbeddedStorage::open(&home.path().join("x"), options.clone()).unwrap_err();
        assert_eq!(missing.kind(), ErrorKind::NotFound);
        assert!(EmbeddedStorage::open(home.path(), options).is_ok());
        let file = home.path().join("file");
        fs::write(&file, "x").unwrap();
        let error = EmbeddedStorage::open(&file, Options::default()).unwrap_err();
        assert!(error.to_string().contains("not a directory"), "{error}");
    }
}
