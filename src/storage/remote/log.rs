//! Logs behind a server.

use crate::error::Result;
use crate::remote::{Ask, Server, wire};
use crate::storage::Metadata;
use crate::storage::log::Log;
use bson::{Bson, DateTime, Document, doc};
use std::sync::Arc;

/// The log under the key of `metadata`.
pub(super) struct RemoteLog {
    pub server: Arc<Server>,
    pub metadata: Metadata,
}

impl Log for RemoteLog {
    fn append(&self, entries: Vec<Document>) -> Result<()> {
        if entries.is_empty() {
            return Ok(());
        }
        let entries: Vec<Bson> = entries.into_iter().map(Bson::from).collect();
        let body = doc! { "metadata": wire::metadata(&self.metadata), "entries": entries };
        let key = &self.metadata.key;
        let ask = Ask::post(wire::object_path(key, "log")).of(&key.bucket);
        self.server.ask(&ask.document(&body)?).map(drop)
    }

    fn since(&self, time: Option<DateTime>) -> Result<Vec<Document>> {
        let key = &self.metadata.key;
        let since = time.map(|time| ("since", time.timestamp_millis().to_string()));
        let ask = Ask::get(wire::object_path(key, "log"))
            .of(&key.bucket)
            .with(since);
        wire::documents(&self.server.ask(&ask)?.bytes()?)
    }
}
