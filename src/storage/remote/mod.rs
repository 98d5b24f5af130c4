//! Objects behind a server of ours: every call is a request, and the server's storage does
//! what it says. What a user may see and do is the server's business.

mod classic;
mod content;
mod log;
mod records;
mod rows;
mod upload;

use super::log::Log;
use super::records::Records;
use super::{
    Blob, CheckReport, Key, Metadata, Mode, Scan, Selection, Stats, Storage, Update, Writer,
};
use crate::error::{Error, Result};
use crate::frame::Query;
use crate::progress::Progress;
use crate::remote::{Ask, Pieces, Server, wire};
use bson::{Bson, Document, doc};
use std::sync::Arc;

/// Objects that are asked about at a time.
const AT_ONCE: usize = 500;

/// A storage behind a server.
#[derive(Debug, Clone)]
pub struct RemoteStorage {
    server: Arc<Server>,
    last: classic::Last,
}

impl RemoteStorage {
    /// The storage of a server.
    pub fn new(server: Arc<Server>) -> Self {
        RemoteStorage {
            server,
            last: classic::Last::default(),
        }
    }

    /// What our servers answer; what omega|ml's own does, where it turns out to be that.
    fn or_classic<T>(
        &self,
        ours: impl FnOnce() -> Result<T>,
        classic: impl FnOnce() -> Result<T>,
    ) -> Result<T> {
        if self.server.is_strange() {
            return classic();
        }
        match ours() {
            Err(_) if self.server.is_strange() => classic(),
            answer => answer,
        }
    }

    /// The server.
    pub fn server(&self) -> &Arc<Server> {
        &self.server
    }

    /// An object's metadata as it was sent, under its name here.
    fn read(&self, sent: &Document, bucket: &str) -> Result<Metadata> {
        let mut metadata = wire::metadata_of(sent)?;
        bucket.clone_into(&mut metadata.key.bucket);
        Ok(metadata)
    }

    /// Asks for a part of the object that `metadata` speaks of.
    fn part<'a>(metadata: &'a Metadata, part: &str) -> Result<Ask<'a>> {
        let key = &metadata.key;
        let ask = Ask::get(wire::object_path(key, part)).of(&key.bucket);
        Ok(ask.with([("as", wire::identity(metadata)?)]))
    }

    fn stream_of_documents(&self, ask: &Ask<'_>) -> Result<Documents> {
        let mut pieces = Pieces::of(self.server.ask(ask)?.body);
        // Whether there are documents is known once the first have come.
        let first = pieces.next().transpose()?.unwrap_or_default();
        Ok(Documents {
            pieces,
            waiting: wire::documents(&first)?.into_iter(),
        })
    }
}

/// Documents, piece by piece.
struct Documents {
    pieces: Pieces,
    waiting: std::vec::IntoIter<Document>,
}

impl Iterator for Documents {
    type Item = Result<Document>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(document) = self.waiting.next() {
                return Some(Ok(document));
            }
            let documents = self
                .pieces
                .next()?
                .and_then(|piece| wire::documents(&piece));
            match documents {
                Ok(documents) => self.waiting = documents.into_iter(),
                Err(error) => return Some(Err(error)),
            }
        }
    }
}

impl Storage for RemoteStorage {
    fn location(&self) -> String {
        self.server.url().to_string()
    }

    fn find(&self, key: &Key) -> Result<Option<Metadata>> {
        if key.name.is_empty() {
            return Ok(None);
        }
        let ours = || {
            let ask = Ask::get(wire::object_path(key, "metadata")).of(&key.bucket);
            let answer = self.server.ask(&ask.with([("optional", "1".to_owned())]))?;
            match answer.document()? {
                sent if sent.is_empty() => Ok(None),
                sent => self.read(&sent, &key.bucket).map(Some),
            }
        };
        self.or_classic(ours, || classic::find(self, key))
    }

    fn list(&self, selection: &Selection) -> Result<Vec<Metadata>> {
        let ask = Ask::get(wire::store_path(&selection.prefix)).of(&selection.bucket);
        let answer = self.server.ask(&ask.with(wire::selection(selection)))?;
        wire::documents(&answer.bytes()?)?
            .iter()
            .map(|sent| self.read(sent, &selection.bucket))
            .collect()
    }

    fn buckets(&self) -> Result<Vec<String>> {
        let told = self.server.ask(&Ask::get(wire::STORE))?.document()?;
        let default = told.get_str("default_bucket").unwrap_or_default();
        let buckets = told.get_array("buckets").map(Vec::as_slice);
        let mut buckets: Vec<String> = buckets
            .unwrap_or_default()
            .iter()
            .filter_map(Bson::as_str)
            .map(|name| match name == default {
                true => self.server.default_bucket().to_owned(),
                false => name.to_owned(),
            })
            .collect();
        buckets.sort();
        Ok(buckets)
    }

    fn write<'a>(&'a self, key: &Key, mode: Mode) -> Result<Box<dyn Writer + 'a>> {
        super::refusal::refuse_nameless(key)?;
        self.or_classic(
            || Ok(Box::new(upload::Upload::start(self, key, mode)?) as Box<dyn Writer + 'a>),
            || Ok(Box::new(classic::Put::start(self, key, mode)?) as Box<dyn Writer + 'a>),
        )
    }

    fn update(&self, key: &Key, update: &Update) -> Result<Metadata> {
        let ask = Ask::patch(wire::object_path(key, "metadata")).of(&key.bucket);
        let answer = self.server.ask(&ask.document(&wire::update(update))?)?;
        self.read(&answer.document()?, &key.bucket)
    }

    fn delete(&self, key: &Key) -> Result<bool> {
        let ours = || {
            let ask = Ask::delete(wire::object_path(key, "metadata")).of(&key.bucket);
            let told = self.server.ask(&ask)?.document()?;
            Ok(told.get_bool("deleted").unwrap_or(false))
        };
        self.or_classic(ours, || classic::delete(self, key))
    }

    fn rename(&self, from: &Key, to: &Key) -> Result<Metadata> {
        super::refusal::refuse_nameless(to)?;
        let bucket = match to.bucket == self.server.default_bucket() {
            true => "default",
            false => &to.bucket,
        };
        let target = doc! { "bucket": bucket, "prefix": &to.prefix, "name": &to.name };
        let ask = Ask::post(wire::object_path(from, "rename")).of(&from.bucket);
        let answer = self.server.ask(&ask.document(&target)?)?;
        self.read(&answer.document()?, &to.bucket)
    }

    fn scan(&self, metadata: &Metadata, query: &Query) -> Result<Scan> {
        self.or_classic(
            || rows::scan(self, metadata, query),
            || classic::scan(self, metadata, query),
        )
    }

    fn documents<'a>(
        &'a self,
        metadata: &Metadata,
    ) -> Result<Box<dyn Iterator<Item = Result<Document>> + 'a>> {
        let ask = Self::part(metadata, "documents")?;
        Ok(Box::new(self.stream_of_documents(&ask)?))
    }

    fn documents_where<'a>(
        &'a self,
        metadata: &Metadata,
        field: &str,
        values: &'a [Bson],
    ) -> Result<Box<dyn Iterator<Item = Result<Document>> + 'a>> {
        let key = &metadata.key;
        let ask = Ask::post(wire::object_path(key, "documents"))
            .of(&key.bucket)
            .repeatable()
            .document(&doc! {
                "as": wire::identity(metadata)?, "field": field, "values": values,
            })?;
        Ok(Box::new(self.stream_of_documents(&ask)?))
    }

    fn blob(&self, metadata: &Metadata) -> Result<Box<dyn Blob>> {
        Ok(Box::new(content::RemoteBlob::open(self, metadata)?))
    }

    fn stats(&self, metadata: &Metadata) -> Result<Stats> {
        let ours = || {
            let answer = self.server.ask(&Self::part(metadata, "stats")?)?;
            Ok(wire::stats_of(&answer.document()?))
        };
        self.or_classic(ours, || classic::stats(self, metadata))
    }

    fn stats_of(&self, all: &[Metadata]) -> Result<Vec<Stats>> {
        let mut stats = Vec::with_capacity(all.len());
        for some in all.chunks(AT_ONCE) {
            let objects = some.iter().map(|metadata| {
                let key = &metadata.key;
                let bucket = match key.bucket == self.server.default_bucket() {
                    true => "default",
                    false => &key.bucket,
                };
                let identity = wire::identity(metadata)?;
                Ok(doc! {
                    "bucket": bucket, "prefix": &key.prefix, "name": &key.name, "as": identity,
                }
                .into())
            });
            let objects: Vec<Bson> = objects.collect::<Result<_>>()?;
            let ask = Ask::post(format!("{}/stats", wire::STORE)).repeatable();
            let answer = self
                .server
                .ask(&ask.document(&doc! { "objects": objects })?)?;
            let told = wire::documents(&answer.bytes()?)?;
            if told.len() != some.len() {
                return Err(Error::invalid("the server's answer is not understood"));
            }
            stats.extend(told.iter().map(wire::stats_of));
        }
        Ok(stats)
    }

    fn records(&self, space: &str) -> Box<dyn Records> {
        Box::new(records::RemoteRecords {
            server: self.server.clone(),
            space: space.to_owned(),
        })
    }

    fn log(&self, metadata: Metadata) -> Box<dyn Log> {
        Box::new(log::RemoteLog {
            server: self.server.clone(),
            metadata,
        })
    }

    fn check(&self, repair: bool, progress: &dyn Progress) -> Result<CheckReport> {
        progress.check()?;
        let ask = Ask::post(format!("{}/check", wire::STORE));
        let repair = repair.then(|| ("repair", "1".to_owned()));
        let answer = self.server.ask(&ask.with(repair))?;
        wire::report_of(&answer.document()?)
    }
}
