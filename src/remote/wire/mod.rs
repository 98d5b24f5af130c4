//! What `om server` and its clients say to each other beyond omega|ml's API: paths, and the
//! BSON documents that are sent, here those of objects. Long answers come in
//! [`super::pieces`].

mod paths;
mod records;

pub use paths::{
    NAME, RECORDS, STORE, TASKS, UPLOADS, decoded, encoded_path, is_extension, object_path,
    prefix_of, store_path,
};
pub use records::{
    alterations, alterations_of, conditions, conditions_of, record, record_of, records, records_of,
};

use crate::error::{Context, Error, ErrorKind, Result};
use crate::frame::Query;
use crate::storage::{CheckReport, Metadata, Mode, Selection, Stats, Update};
use bson::{Bson, Document, RawBsonRef, RawDocument, doc};
use sha2::{Digest, Sha256};

/// Media type of a document of MongoDB's.
pub const BSON: &str = "application/bson";

/// Media type of an Arrow stream.
pub const ARROW: &str = "application/vnd.apache.arrow.stream";

/// Media type of bytes.
pub const BYTES: &str = "application/octet-stream";

/// The header that says how rows come, unless as Arrow.
pub const ROWS: &str = "x-om-rows";

/// How rows come: as the Parquet files that they are stored in.
pub const PARQUET: &str = "parquet";

/// Bytes of files that are sent as they are stored, at the most.
pub const FILES: u64 = 32 << 20;

/// The header with the SHA-256 of a body, as RFC 9530 has it.
pub const DIGEST: &str = "content-digest";

/// Bytes of a part of an upload, at the most; the last of them may be longer by a row.
pub const PART: usize = 4 << 20;

/// How deep documents may be nested.
const DEPTH: usize = 100;

/// The value of [`DIGEST`] for a body.
pub fn digest(body: &[u8]) -> String {
    use base64::Engine;
    let digest = base64::engine::general_purpose::STANDARD.encode(Sha256::digest(body));
    format!("sha-256=:{digest}:")
}

/// A document of bytes from elsewhere: of sane depth.
///
/// # Errors
/// [`ErrorKind::Invalid`].
pub fn document(bytes: &[u8]) -> Result<Document> {
    let invalid = || "not a BSON document";
    let raw = RawDocument::from_bytes(bytes).context(invalid)?;
    bounded(raw, DEPTH)?;
    Document::from_reader(bytes).context(invalid)
}

fn bounded(raw: &RawDocument, depth: usize) -> Result<()> {
    let Some(depth) = depth.checked_sub(1) else {
        return Err(Error::invalid("the document is nested too deeply"));
    };
    let inner = |value: RawBsonRef<'_>| match value {
        RawBsonRef::Document(inner) => bounded(inner, depth),
        RawBsonRef::Array(inner) => {
            let inner = RawDocument::from_bytes(inner.as_bytes());
            bounded(inner.context(|| "not a BSON document")?, depth)
        }
        _ => Ok(()),
    };
    raw.into_iter()
        .try_for_each(|field| inner(field.context(|| "not a BSON document")?.1))
}

/// The documents that stand one behind the other in `bytes`.
///
/// # Errors
/// [`ErrorKind::Invalid`].
pub fn documents(mut bytes: &[u8]) -> Result<Vec<Document>> {
    let mut all = Vec::new();
    while let Some(length) = bytes.first_chunk::<4>() {
        let length = usize::try_from(i32::from_le_bytes(*length)).unwrap_or(usize::MAX);
        let (one, rest) = bytes
            .split_at_checked(length.max(5))
            .ok_or_else(|| Error::invalid("a document was cut short"))?;
        all.push(document(one)?);
        bytes = rest;
    }
    match bytes.is_empty() {
        true => Ok(all),
        false => Err(Error::invalid("a document was cut short")),
    }
}

/// The bytes of a document.
///
/// # Errors
/// [`ErrorKind::Invalid`] for what BSON cannot hold.
pub fn bytes(document: &Document) -> Result<Vec<u8>> {
    document.to_vec().context(|| "not to be sent as BSON")
}

/// A document's field that has to be there.
fn required<T>(found: Option<T>, field: &str) -> Result<T> {
    found.ok_or_else(|| Error::invalid(format!("the field `{field}` is missing or malformed")))
}

fn text(document: &Document, field: &str) -> Result<String> {
    required(document.get_str(field).ok().map(str::to_owned), field)
}

fn sub(document: &Document, field: &str) -> Result<Document> {
    required(document.get_document(field).ok().cloned(), field)
}

fn texts(document: &Document, field: &str) -> Result<Vec<String>> {
    let all = required(document.get_array(field).ok(), field)?;
    all.iter()
        .map(|one| required(one.as_str().map(str::to_owned), field))
        .collect()
}

fn array(document: &Document, field: &str) -> Result<Vec<Document>> {
    let all = required(document.get_array(field).ok(), field)?;
    all.iter()
        .map(|one| required(one.as_document().cloned(), field))
        .collect()
}

fn number(document: &Document, field: &str) -> Option<i64> {
    match document.get(field)? {
        Bson::Int64(number) => Some(*number),
        Bson::Int32(number) => Some(i64::from(*number)),
        _ => None,
    }
}

fn count(document: &Document, field: &str) -> u64 {
    number(document, field)
        .and_then(|number| u64::try_from(number).ok())
        .unwrap_or(0)
}

fn int(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// An error as it is sent.
pub fn error(error: &Error) -> Document {
    let mut sent = doc! { "kind": error.kind().name(), "message": error.to_string() };
    if let Some(object) = error.object() {
        sent.insert("object", object);
    }
    if let Some(hint) = error.hint_text() {
        sent.insert("hint", hint);
    }
    sent
}

/// An error as it was sent.
pub fn error_of(sent: &Document) -> Error {
    let kind = sent.get_str("kind").ok().and_then(ErrorKind::of_name);
    let kind = match kind {
        // The server was interrupted, not the client.
        Some(ErrorKind::Interrupted | ErrorKind::BrokenPipe) => ErrorKind::Unreachable,
        Some(kind) => kind,
        None => ErrorKind::Failed,
    };
    let message = sent.get_str("message").unwrap_or("the server failed");
    let mut error = Error::new(kind, message);
    if let Ok(object) = sent.get_str("object") {
        error = error.on(object);
    }
    if let Ok(hint) = sent.get_str("hint") {
        error = error.hint(hint);
    }
    error
}

/// Metadata with what is not part of its document.
pub fn metadata(metadata: &Metadata) -> Document {
    let mut sent = doc! { "metadata": metadata.to_document() };
    if let Some(content) = &metadata.content {
        sent.insert("content", content);
    }
    if let Some(filename) = &metadata.filename {
        sent.insert("filename", filename);
    }
    sent
}

/// Metadata as it was sent.
///
/// # Errors
/// [`ErrorKind::Invalid`].
pub fn metadata_of(sent: &Document) -> Result<Metadata> {
    let mut metadata = Metadata::from_document(sub(sent, "metadata")?)?;
    metadata.content = text(sent, "content").ok();
    metadata.filename = text(sent, "filename").ok();
    Ok(metadata)
}

/// What identifies the object that a client means: what its kind makes of the content.
pub fn identity(metadata: &Metadata) -> Result<String> {
    let mut hash = Sha256::new();
    hash.update(metadata.kind.as_bytes());
    hash.update([0]);
    hash.update(bytes(&metadata.kind_meta)?);
    Ok(hex::encode(hash.finalize()))
}

/// Changes of metadata.
pub fn update(update: &Update) -> Document {
    let pairs = |all: &[(String, Bson)]| -> Vec<Bson> {
        let pair = |(path, value): &(String, Bson)| doc! { "path": path, "value": value }.into();
        all.iter().map(pair).collect()
    };
    doc! { "set": pairs(&update.set), "unset": &update.unset, "push": pairs(&update.push) }
}

/// Changes of metadata as they were sent.
///
/// # Errors
/// [`ErrorKind::Invalid`].
pub fn update_of(sent: &Document) -> Result<Update> {
    Ok(Update {
        set: pairs(sent, "set")?,
        unset: texts(sent, "unset")?,
        push: pairs(sent, "push")?,
    })
}

fn pairs(sent: &Document, field: &str) -> Result<Vec<(String, Bson)>> {
    let pair = |one: Document| {
        let value = required(one.get("value").cloned(), "value")?;
        Ok((text(&one, "path")?, value))
    };
    array(sent, field)?.into_iter().map(pair).collect()
}

/// What a listing is about, but for bucket and prefix.
pub fn selection(selection: &Selection) -> Vec<(&'static str, String)> {
    let mut query: Vec<(&'static str, String)> = Vec::new();
    query.extend(
        selection
            .names
            .as_ref()
            .map(|names| ("names", names.to_string())),
    );
    query.extend(selection.kinds.iter().map(|kind| ("kind", kind.clone())));
    let flags = [
        ("hidden", selection.hidden),
        ("temporary", selection.temporary),
    ];
    query.extend(
        flags
            .into_iter()
            .filter(|(_, on)| *on)
            .map(|(flag, _)| (flag, "1".to_owned())),
    );
    query
}

/// A query.
///
/// # Errors
/// [`ErrorKind::Usage`] for numbers that BSON has not.
pub fn query(query: &Query) -> Result<Document> {
    let bounded = Query {
        skip: query.skip.min(i64::MAX.unsigned_abs()),
        limit: query.limit.map(|limit| limit.min(i64::MAX.unsigned_abs())),
        ..query.clone()
    };
    bson::serialize_to_document(&bounded)
        .map_err(|error| Error::usage("the query cannot be sent").because(error))
}

/// A query as it was sent; all where there is none.
///
/// # Errors
/// [`ErrorKind::Invalid`].
pub fn query_of(sent: &Document, field: &str) -> Result<Query> {
    match sent.get_document(field) {
        Ok(query) => bson::deserialize_from_document(query.clone())
            .map_err(|error| Error::invalid("the query cannot be read").because(error)),
        Err(_) => Ok(Query::default()),
    }
}

/// The word for how an object is written.
pub fn mode(mode: Mode) -> &'static str {
    match mode {
        Mode::Create => "create",
        Mode::Replace => "replace",
        Mode::Append => "append",
    }
}

/// How an object is written.
pub fn mode_of(word: &str) -> Option<Mode> {
    [Mode::Create, Mode::Replace, Mode::Append]
        .into_iter()
        .find(|known| mode(*known) == word)
}

/// Sizes.
pub fn stats(stats: &Stats) -> Document {
    let mut sent = doc! { "bytes": int(stats.bytes) };
    if let Some(count) = stats.count {
        sent.insert("count", int(count));
    }
    sent
}

/// Sizes as they were sent.
pub fn stats_of(sent: &Document) -> Stats {
    Stats {
        count: sent.contains_key("count").then(|| count(sent, "count")),
        bytes: count(sent, "bytes"),
    }
}

/// What was found wrong.
pub fn report(report: &CheckReport) -> Document {
    let damaged = report.damaged.iter();
    let damaged: Vec<Bson> = damaged
        .map(|(object, why)| doc! { "object": object, "why": why }.into())
        .collect();
    doc! {
        "objects": int(report.objects), "bytes": int(report.bytes), "damaged": damaged,
        "leftovers": int(report.leftovers), "repaired": report.repaired,
    }
}

/// What was found wrong, as it was sent.
///
/// # Errors
/// [`ErrorKind::Invalid`].
pub fn report_of(sent: &Document) -> Result<CheckReport> {
    let damaged = array(sent, "damaged")?;
    let damaged = damaged.iter();
    Ok(CheckReport {
        objects: count(sent, "objects"),
        bytes: count(sent, "bytes"),
        damaged: damaged
            .map(|one| Ok((text(one, "object")?, text(one, "why")?)))
            .collect::<Result<_>>()?,
        leftovers: count(sent, "leftovers"),
        repaired: sent.get_bool("repaired").unwrap_or(false),
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::frame::{Columns, Filter};
    use proptest::prelude::*;

    #[test]
    fn what_is_sent_is_what_is_read() {
        let wanted = Query {
            filter: Some(Filter::parse("a >= 5 and (b in ('x', 'y') or not c is null)").unwrap()),
            columns: Columns::Range(Some("a".into()), None),
            skip: u64::MAX,
            limit: Some(3),
            ..Query::default()
        };
        let sent = doc! { "query": query(&wanted).unwrap() };
        let read = query_of(&sent, "query").unwrap();
        assert_eq!(
            read,
            Query {
                skip: i64::MAX.unsigned_abs(),
                ..wanted
            }
        );
    }

    #[test]
    fn documents_of_any_depth_are_survived() {
        let mut deep = vec![5, 0, 0, 0, 0];
        for _ in 0..5000 {
            let length = i32::try_from(deep.len() + 8).unwrap();
            let mut outer = length.to_le_bytes().to_vec();
            outer.extend([3, b'a', 0]);
            outer.append(&mut deep);
            outer.push(0);
            deep = outer;
        }
        assert!(
            document(&deep)
                .unwrap_err()
                .to_string()
                .contains("too deeply")
        );
    }

    proptest! {
        #[test]
        fn any_bytes_are_answered(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = (document(&bytes), documents(&bytes));
        }
    }
}
