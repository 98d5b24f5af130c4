//! What `om server` and its clients say to each other beyond omega|ml's API: paths, and the
//! BSON documents that are sent. Long answers come in [`super::pieces`].

use crate::error::{Context, Error, ErrorKind, Result};
use crate::frame::Query;
use crate::storage::records::{Alteration, Change, Record, When};
use crate::storage::{CheckReport, Key, Metadata, Mode, Selection, Stats, Update};
use crate::store::PREFIXES;
use bson::{Bson, Document, RawBsonRef, RawDocument, doc};
use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use sha2::{Digest, Sha256};

/// Where the stores are.
pub const STORE: &str = "/api/v1/store";

/// Where uploads go on.
pub const UPLOADS: &str = "/api/v1/upload";

/// Where records are.
pub const RECORDS: &str = "/api/v1/records";

/// The parameter with a name that no path can carry.
pub const NAME: &str = "name";

/// Where tasks are.
pub const TASKS: &str = "/api/v1/task/";

/// Media type of a document of MongoDB's.
pub const BSON: &str = "application/bson";

/// Media type of an Arrow stream.
pub const ARROW: &str = "application/vnd.apache.arrow.stream";

/// Media type of bytes.
pub const BYTES: &str = "application/octet-stream";

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

/// Whether only servers of ours have what is at `path`.
pub fn is_extension(path: &str) -> bool {
    path == TASKS
        || [STORE, UPLOADS, RECORDS]
            .iter()
            .any(|known| path.starts_with(known))
}

/// A name in a path as omega|ml has it: its slashes are the path's.
pub fn encoded_path(name: &str) -> String {
    utf8_percent_encode(name, NON_ALPHANUMERIC)
        .to_string()
        .replace("%2F", "/")
}

/// The path of a part of an object: `metadata`, `rows`, `content`, …
pub fn object_path(key: &Key, part: &str) -> String {
    let store = store_path(&key.prefix);
    match key.name.as_str() {
        // In a path they would mean another one, however they are written.
        "." | ".." => format!("{store}/-/{part}?{NAME}={}", key.name),
        name => format!(
            "{store}/{}/{part}",
            utf8_percent_encode(name, NON_ALPHANUMERIC)
        ),
    }
}

/// The path of a store.
pub fn store_path(prefix: &str) -> String {
    let noun = PREFIXES.iter().find(|(_, known)| *known == prefix);
    match noun {
        Some((noun, _)) => format!("{STORE}/{noun}"),
        None => format!("{STORE}/{}", utf8_percent_encode(prefix, NON_ALPHANUMERIC)),
    }
}

/// The prefix that a segment of a path names: a store, or a prefix with its slash.
pub fn prefix_of(segment: &str) -> Option<String> {
    let text = decoded(segment)?;
    let noun = PREFIXES.iter().find(|(noun, _)| *noun == text);
    match noun {
        Some((_, prefix)) => Some((*prefix).to_owned()),
        None => text.ends_with('/').then_some(text),
    }
}

/// The text of a segment of a path.
pub fn decoded(segment: &str) -> Option<String> {
    let text = percent_decode_str(segment).decode_utf8().ok()?;
    Some(text.into_owned())
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
    Ok(hash
        .finalize()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect())
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

/// A record.
pub fn record(record: &Record) -> Document {
    let mut sent = doc! {
        "id": &record.id, "state": &record.state, "owner": &record.owner,
        "created": record.created, "body": &record.body,
    };
    for (field, time) in [("due", record.due), ("expires", record.expires)] {
        if let Some(time) = time {
            sent.insert(field, time);
        }
    }
    sent
}

/// A record as it was sent.
///
/// # Errors
/// [`ErrorKind::Invalid`].
pub fn record_of(sent: &Document) -> Result<Record> {
    Ok(Record {
        id: text(sent, "id")?,
        state: text(sent, "state")?,
        owner: text(sent, "owner")?,
        due: number(sent, "due"),
        created: required(number(sent, "created"), "created")?,
        expires: number(sent, "expires"),
        body: sub(sent, "body")?,
    })
}

/// Records under one field.
pub fn records(all: &[Record]) -> Document {
    let all: Vec<Bson> = all.iter().map(|one| record(one).into()).collect();
    doc! { "records": all }
}

/// Records as they were sent.
///
/// # Errors
/// [`ErrorKind::Invalid`].
pub fn records_of(sent: &Document) -> Result<Vec<Record>> {
    array(sent, "records")?.iter().map(record_of).collect()
}

/// Conditions on records.
pub fn conditions(all: &[When]) -> Vec<Bson> {
    let one = |when: &When| {
        let mut sent = doc! { "states": &when.states };
        if let Some(owner) = &when.owner {
            sent.insert("owner", owner);
        }
        if let Some(by) = when.due_by {
            sent.insert("due_by", by);
        }
        sent.into()
    };
    all.iter().map(one).collect()
}

/// Conditions as they were sent.
///
/// # Errors
/// [`ErrorKind::Invalid`].
pub fn conditions_of(sent: &Document) -> Result<Vec<When>> {
    let one = |sent: &Document| {
        Ok(When {
            states: texts(sent, "states")?,
            owner: text(sent, "owner").ok(),
            due_by: number(sent, "due_by"),
        })
    };
    array(sent, "conditions")?.iter().map(one).collect()
}

/// Changes of records.
pub fn alterations(all: &[Alteration]) -> Document {
    let one = |alteration: &Alteration| -> Bson {
        let change = &alteration.change;
        let mut sent = doc! {
            "id": &alteration.id,
            "conditions": conditions(&alteration.conditions),
            "set": update(&Update { set: change.set.clone(), ..Update::default() }),
        };
        let added = change.add.iter();
        let added: Vec<Bson> = added
            .map(|(path, amount)| doc! { "path": path, "value": amount }.into())
            .collect();
        sent.insert("add", added);
        for (field, value) in [("state", &change.state), ("owner", &change.owner)] {
            if let Some(value) = value {
                sent.insert(field, value);
            }
        }
        for (field, value) in [("due", change.due), ("expires", change.expires)] {
            if let Some(value) = value {
                sent.insert(field, value.map_or(Bson::Null, Bson::Int64));
            }
        }
        sent.into()
    };
    let all: Vec<Bson> = all.iter().map(one).collect();
    doc! { "changes": all }
}

/// Changes of records as they were sent.
///
/// # Errors
/// [`ErrorKind::Invalid`].
pub fn alterations_of(sent: &Document) -> Result<Vec<Alteration>> {
    let time = |sent: &Document, field: &str| sent.contains_key(field).then(|| number(sent, field));
    let one = |sent: &Document| {
        let added = pairs(sent, "add")?.into_iter();
        let added = added.map(|(path, amount)| Ok((path, required(amount.as_i64(), "value")?)));
        Ok(Alteration {
            id: text(sent, "id")?,
            conditions: conditions_of(sent)?,
            change: Change {
                state: text(sent, "state").ok(),
                owner: text(sent, "owner").ok(),
                due: time(sent, "due"),
                expires: time(sent, "expires"),
                set: update_of(&sub(sent, "set")?)?.set,
                add: added.collect::<Result<_>>()?,
            },
        })
    };
    array(sent, "changes")?.iter().map(one).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::frame::{Columns, Filter};
    use proptest::prelude::*;

    #[test]
    fn paths_carry_any_name() {
        let key = Key::new("b", "data/", "a//b/../ü%2F?");
        let path = object_path(&key, "rows");
        let parts: Vec<&str> = path.split('/').collect();
        assert_eq!(parts[..4], ["", "api", "v1", "store"]);
        assert_eq!(prefix_of(parts[4]).unwrap(), "data/");
        assert_eq!(decoded(parts[5]).unwrap(), key.name);
        assert_eq!(parts[6], "rows");
        assert_eq!(prefix_of("other%2F").unwrap(), "other/");
        assert_eq!(prefix_of("other"), None);
    }

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
        let altered = Alteration {
            id: "1".to_owned(),
            conditions: vec![When {
                due_by: Some(7),
                ..When::states(&["A"])
            }],
            change: Change {
                due: Some(None),
                expires: Some(Some(9)),
                add: vec![("n".to_owned(), -2)],
                set: vec![("x".to_owned(), Bson::Null)],
                ..Change::default()
            },
        };
        let sent = alterations(std::slice::from_ref(&altered));
        assert_eq!(alterations_of(&sent).unwrap(), [altered]);
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
