//! Records, for administrators, and logs.

use super::super::app::Call;
use super::super::reply::Reply;
use super::{document, documents, sent};
use crate::error::{Error, Result};
use crate::remote::wire;
use crate::storage::{Key, Metadata};
use bson::{Bson, DateTime, Document, doc};

/// Records that are told at a time, at the most.
const MOST: u64 = 100_000;

/// What is done with the records of a space.
pub fn answer(call: &Call<'_>, space: &str, verb: &str) -> Result<Reply> {
    let records = call.om.storage().records(space);
    let body = sent(call)?;
    let count = |count: u64| doc! { "count": i64::try_from(count).unwrap_or(i64::MAX) };
    let told = match verb {
        "insert" => doc! { "taken": records.insert(&wire::records_of(&body)?)? },
        "get" => {
            let id = body.get_str("id");
            let id = id.map_err(|_| Error::usage("the field `id` is missing"))?;
            let found = records.get(id)?;
            wire::records(found.as_slice())
        }
        "change" => wire::records(&records.change(&wire::alterations_of(&body)?)?),
        "list" => {
            let limit = body.get_i64("limit").unwrap_or(i64::MAX);
            let limit = u64::try_from(limit).unwrap_or(0).min(MOST);
            wire::records(&records.list(&wire::conditions_of(&body)?, limit)?)
        }
        "remove" => {
            let ids = body.get_array("ids").map(Vec::as_slice).unwrap_or_default();
            let ids: Vec<&str> = ids.iter().filter_map(Bson::as_str).collect();
            count(records.remove(&ids)?)
        }
        "sweep" => count(records.sweep()?),
        _ => return Err(Error::not_found("there is no such call of records")),
    };
    document(call, told)
}

/// Adds entries to a log.
pub fn append(call: &Call<'_>, key: &Key) -> Result<Reply> {
    let body = sent(call)?;
    let given = body
        .get_document("metadata")
        .map_err(|_| Error::usage("the field `metadata` is missing"))?;
    let given = wire::metadata_of(given)?;
    // Where it lives is not the client's to say.
    let metadata = Metadata {
        kind_meta: given.kind_meta,
        attributes: given.attributes,
        ..Metadata::new(key.clone(), &given.kind)
    };
    let entries = body.get_array("entries").map(Vec::as_slice);
    let entries = entries.unwrap_or_default().iter();
    let entries = entries.filter_map(Bson::as_document).cloned().collect();
    call.om.storage().log(metadata).append(entries)?;
    document(call, Document::new())
}

/// The entries of a log.
pub fn since(call: &Call<'_>, key: &Key) -> Result<Reply> {
    let since = call
        .request
        .param("since")
        .and_then(|text| text.parse().ok());
    let log = call.om.storage().log(Metadata::new(key.clone(), ""));
    documents(call, log.since(since.map(DateTime::from_millis))?)
}
