//! Records behind a server, for its administrators.

use crate::error::{Error, Result};
use crate::remote::{Ask, Server, wire};
use crate::storage::records::{Alteration, Record, Records, When};
use bson::{Bson, Document, doc};
use std::sync::Arc;

/// The records of one space.
pub(super) struct RemoteRecords {
    pub server: Arc<Server>,
    pub space: String,
}

impl RemoteRecords {
    fn ask(&self, verb: &str, body: &Document, again: bool) -> Result<Document> {
        let space =
            percent_encoding::utf8_percent_encode(&self.space, percent_encoding::NON_ALPHANUMERIC);
        let ask = Ask::post(format!("{}/{space}/{verb}", wire::RECORDS)).document(body)?;
        let ask = if again { ask.repeatable() } else { ask };
        self.server.ask(&ask)?.document()
    }

    fn number(&self, verb: &str, body: &Document) -> Result<u64> {
        let told = self.ask(verb, body, false)?;
        let count = told.get_i64("count").ok();
        count
            .and_then(|count| u64::try_from(count).ok())
            .ok_or_else(|| Error::invalid("the server's answer is not understood"))
    }
}

impl Records for RemoteRecords {
    fn insert(&self, records: &[Record]) -> Result<Vec<String>> {
        let told = self.ask("insert", &wire::records(records), false)?;
        let taken = told.get_array("taken").map(Vec::as_slice);
        let taken = taken.unwrap_or_default().iter();
        Ok(taken.filter_map(Bson::as_str).map(str::to_owned).collect())
    }

    fn get(&self, id: &str) -> Result<Option<Record>> {
        let told = self.ask("get", &doc! { "id": id }, true)?;
        Ok(wire::records_of(&told)?.into_iter().next())
    }

    fn change(&self, changes: &[Alteration]) -> Result<Vec<Record>> {
        wire::records_of(&self.ask("change", &wire::alterations(changes), false)?)
    }

    fn list(&self, conditions: &[When], limit: u64) -> Result<Vec<Record>> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let body = doc! { "conditions": wire::conditions(conditions), "limit": limit };
        wire::records_of(&self.ask("list", &body, true)?)
    }

    fn remove(&self, ids: &[&str]) -> Result<u64> {
        let ids: Vec<Bson> = ids.iter().map(|id| Bson::from(*id)).collect();
        self.number("remove", &doc! { "ids": ids })
    }

    fn sweep(&self) -> Result<u64> {
        self.number("sweep", &Document::new())
    }
}
