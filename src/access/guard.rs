//! A storage as one user sees it.

use super::{Rights, Role};
use crate::error::{Error, ErrorKind, Result};
use crate::frame::Query;
use crate::progress::Progress;
use crate::storage::log::Log;
use crate::storage::records::{Alteration, Record, Records, When};
use crate::storage::{
    Blob, CheckReport, Key, Metadata, Mode, Scan, Selection, Stats, Storage, Update, Writer,
};
use bson::{Bson, Document};
use std::sync::Arc;

/// `storage` with what is beyond `rights` refused, and left out of listings.
pub fn guarded(storage: Arc<dyn Storage>, rights: &Rights) -> Arc<dyn Storage> {
    match rights.are_unlimited() {
        true => storage,
        false => Arc::new(Guarded {
            storage,
            rights: rights.clone(),
        }),
    }
}

#[derive(Debug)]
struct Guarded {
    storage: Arc<dyn Storage>,
    rights: Rights,
}

impl Storage for Guarded {
    fn location(&self) -> String {
        self.storage.location()
    }

    fn is_here(&self) -> bool {
        self.storage.is_here()
    }

    fn find(&self, key: &Key) -> Result<Option<Metadata>> {
        self.rights.check(Role::Read, key)?;
        self.storage.find(key)
    }

    fn list(&self, selection: &Selection) -> Result<Vec<Metadata>> {
        match self
            .rights
            .allow(Role::Read, &selection.bucket, &selection.prefix)
        {
            true => self.storage.list(selection),
            false => Ok(Vec::new()),
        }
    }

    fn buckets(&self) -> Result<Vec<String>> {
        let mut buckets = self.storage.buckets()?;
        let prefixes = crate::store::PREFIXES;
        buckets.retain(|bucket| {
            let mut prefixes = prefixes.iter();
            prefixes.any(|(_, prefix)| self.rights.allow(Role::Read, bucket, prefix))
        });
        Ok(buckets)
    }

    fn write<'a>(&'a self, key: &Key, mode: Mode) -> Result<Box<dyn Writer + 'a>> {
        self.rights.check(Role::Write, key)?;
        self.storage.write(key, mode)
    }

    fn update(&self, key: &Key, update: &Update) -> Result<Metadata> {
        self.rights.check(Role::Write, key)?;
        self.storage.update(key, update)
    }

    fn delete(&self, key: &Key) -> Result<bool> {
        self.rights.check(Role::Write, key)?;
        self.storage.delete(key)
    }

    fn rename(&self, from: &Key, to: &Key) -> Result<Metadata> {
        self.rights.check(Role::Write, from)?;
        self.rights.check(Role::Write, to)?;
        self.storage.rename(from, to)
    }

    fn scan(&self, metadata: &Metadata, query: &Query) -> Result<Scan> {
        self.rights.check(Role::Read, &metadata.key)?;
        self.storage.scan(metadata, query)
    }

    fn documents<'a>(
        &'a self,
        metadata: &Metadata,
    ) -> Result<Box<dyn Iterator<Item = Result<Document>> + 'a>> {
        self.rights.check(Role::Read, &metadata.key)?;
        self.storage.documents(metadata)
    }

    fn documents_where<'a>(
        &'a self,
        metadata: &Metadata,
        field: &str,
        values: &'a [Bson],
    ) -> Result<Box<dyn Iterator<Item = Result<Document>> + 'a>> {
        self.rights.check(Role::Read, &metadata.key)?;
        self.storage.documents_where(metadata, field, values)
    }

    fn blob(&self, metadata: &Metadata) -> Result<Box<dyn Blob>> {
        self.rights.check(Role::Read, &metadata.key)?;
        self.storage.blob(metadata)
    }

    fn stats(&self, metadata: &Metadata) -> Result<Stats> {
        self.rights.check(Role::Read, &metadata.key)?;
        self.storage.stats(metadata)
    }

    fn stats_of(&self, all: &[Metadata]) -> Result<Vec<Stats>> {
        for metadata in all {
            self.rights.check(Role::Read, &metadata.key)?;
        }
        self.storage.stats_of(all)
    }

    fn records(&self, space: &str) -> Box<dyn Records> {
        // Records know no buckets: whoever looks for users sees them through the library.
        match self.rights.allow(Role::Admin, "", "") {
            true => self.storage.records(space),
            false => Box::new(Locked),
        }
    }

    fn log(&self, metadata: Metadata) -> Box<dyn Log> {
        let key = metadata.key.clone();
        Box::new(GuardedLog {
            read: self.rights.check(Role::Read, &key).is_ok(),
            write: self.rights.check(Role::Write, &key).is_ok(),
            log: self.storage.log(metadata),
        })
    }

    fn check(&self, repair: bool, progress: &dyn Progress) -> Result<CheckReport> {
        match self.rights.allow(Role::Admin, "", "") {
            true => self.storage.check(repair, progress),
            false => Err(denied()),
        }
    }
}

/// A log as one user sees it.
struct GuardedLog {
    log: Box<dyn Log>,
    read: bool,
    write: bool,
}

impl Log for GuardedLog {
    fn append(&self, entries: Vec<Document>) -> Result<()> {
        match self.write {
            true => self.log.append(entries),
            false => Err(Error::new(
                ErrorKind::Unauthorized,
                "this log is not for this user to write",
            )),
        }
    }

    fn since(&self, time: Option<bson::DateTime>) -> Result<Vec<Document>> {
        match self.read {
            true => self.log.since(time),
            false => Err(Error::new(
                ErrorKind::Unauthorized,
                "this log is not for this user to read",
            )),
        }
    }
}

/// Records that are not for this user.
struct Locked;

fn denied() -> Error {
    Error::new(ErrorKind::Unauthorized, "this is for administrators")
}

impl Records for Locked {
    fn insert(&self, _: &[Record]) -> Result<Vec<String>> {
        Err(denied())
    }

    fn get(&self, _: &str) -> Result<Option<Record>> {
        Err(denied())
    }

    fn change(&self, _: &[Alteration]) -> Result<Vec<Record>> {
        Err(denied())
    }

    fn list(&self, _: &[When], _: u64) -> Result<Vec<Record>> {
        Err(denied())
    }

    fn remove(&self, _: &[&str]) -> Result<u64> {
        Err(denied())
    }

    fn sweep(&self) -> Result<u64> {
        Err(denied())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::access::Grant;
    use crate::omega::Omega;
    use crate::progress::Silent;
    use crate::storage::embedded::{EmbeddedStorage, Options};
    use crate::store::Listing;
    use polars::prelude::df;

    #[test]
    fn a_user_sees_and_does_what_was_granted() {
        let directory = tempfile::tempdir().unwrap();
        let storage = EmbeddedStorage::open(directory.path(), Options::default()).unwrap();
        let om = Omega::new(Arc::new(storage), Arc::new(Silent));
        let frame = || df!["x" => [1, 2]].unwrap();
        om.datasets.put_frame("here", frame()).unwrap();
        om.bucket("lab")
            .datasets
            .put_frame("there", frame())
            .unwrap();
        let grants = vec![Grant::parse("read:lab/datasets").unwrap()];
        let eva = om.as_user(&Rights::of("eva", grants));
        let lab = eva.bucket("lab");
        assert_eq!(lab.datasets.list(&Listing::default()).unwrap().len(), 1);
        assert!(lab.datasets.get("there").is_ok());
        assert!(eva.datasets.list(&Listing::default()).unwrap().is_empty());
        for refused in [
            eva.datasets.get("here").err(),
            lab.datasets.put_frame("new", frame()).err(),
            lab.datasets.drop("there").err(),
            lab.datasets.rename("there", "where").err(),
            lab.storage().records("access").list(&[], 1).err(),
            lab.storage().records("tasks").list(&[], 1).err(),
        ] {
            assert_eq!(refused.unwrap().kind(), ErrorKind::Unauthorized);
        }
        assert_eq!(lab.storage().buckets().unwrap(), ["lab"]);
        assert!(om.bucket("lab").datasets.get("there").is_ok());
    }
}
