//! The metadata document of an object, field for field as omega|ml stores it
//! (spec/storage.md §3), so that an object can move between storages without loss.

use super::key::Key;
use crate::error::{Error, Result};
use bson::oid::ObjectId;
use bson::{Bson, DateTime, Document};
use serde_json::Value;
use std::fmt;

/// What the store knows about an object.
#[derive(Debug, Clone, PartialEq)]
pub struct Metadata {
    /// Identity of this document.
    pub id: ObjectId,
    /// Bucket, prefix and name.
    pub key: Key,
    /// The kind, e.g. `pandas.dfrows`.
    pub kind: String,
    /// The collection of the rows or documents; none for blobs.
    pub collection: Option<String>,
    /// The last document written (`python.data` only).
    pub objid: Option<ObjectId>,
    /// Technical facts that the kind needs to read the object back.
    pub kind_meta: Document,
    /// Attributes of users and of the framework.
    pub attributes: Document,
    /// Unused by omega|ml but part of the document.
    pub s3file: Document,
    /// Where the content is, for kinds that may live elsewhere; empty means here.
    pub uri: Option<String>,
    /// Creation time: local wall clock labelled UTC, in milliseconds.
    pub created: DateTime,
    /// Time of the last change, on the same clock.
    pub modified: DateTime,
    /// The blob that holds the content.
    pub gridfile: Option<ObjectId>,
    /// Fields this version does not know; written back unchanged.
    pub unknown: Document,
    /// Which stored content this document speaks of. Set by the storage, not a field.
    pub content: Option<String>,
    /// What the blob's file is called, for storages that name files. Not a field; a
    /// storage makes one up where none is given.
    pub filename: Option<String>,
}

impl Metadata {
    /// New metadata of `kind` under `key`, created now.
    pub fn new(key: Key, kind: &str) -> Self {
        let now = local_now();
        Metadata {
            id: ObjectId::new(),
            key,
            kind: kind.to_owned(),
            collection: None,
            objid: None,
            kind_meta: Document::new(),
            attributes: Document::new(),
            s3file: Document::new(),
            uri: None,
            created: now,
            modified: now,
            gridfile: None,
            unknown: Document::new(),
            content: None,
            filename: None,
        }
    }

    /// The object's name.
    pub fn name(&self) -> &str {
        &self.key.name
    }

    /// The document, fields in omega|ml's order.
    pub fn to_document(&self) -> Document {
        let mut doc = Document::new();
        doc.insert("_id", self.id);
        doc.insert("name", &self.key.name);
        doc.insert("bucket", &self.key.bucket);
        doc.insert("prefix", &self.key.prefix);
        doc.insert("kind", &self.kind);
        if let Some(collection) = &self.collection {
            doc.insert("collection", collection);
        }
        if let Some(objid) = self.objid {
            doc.insert("objid", objid);
        }
        doc.insert("kind_meta", self.kind_meta.clone());
        doc.insert("attributes", self.attributes.clone());
        doc.insert("s3file", self.s3file.clone());
        if let Some(uri) = &self.uri {
            doc.insert("uri", uri);
        }
        doc.insert("created", self.created);
        doc.insert("modified", self.modified);
        for (field, value) in &self.unknown {
            doc.insert(field, value.clone());
        }
        if let Some(gridfile) = self.gridfile {
            doc.insert("gridfile", gridfile);
        }
        doc
    }

    /// Reads a document; missing `kind_meta`, `attributes` and `s3file` mean empty.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Invalid`] when a field is missing or of another type.
    pub fn from_document(mut doc: Document) -> Result<Self> {
        fn bad(field: &str) -> Error {
            Error::invalid(format!(
                "the metadata field `{field}` is missing or malformed"
            ))
        }
        fn text(doc: &mut Document, field: &str) -> Result<Option<String>> {
            match doc.remove(field) {
                None | Some(Bson::Null) => Ok(None),
                Some(Bson::String(text)) => Ok(Some(text)),
                Some(_) => Err(bad(field)),
            }
        }
        fn sub(doc: &mut Document, field: &str) -> Result<Document> {
            match doc.remove(field) {
                None | Some(Bson::Null) => Ok(Document::new()),
                Some(Bson::Document(sub)) => Ok(sub),
                Some(_) => Err(bad(field)),
            }
        }
        fn oid(doc: &mut Document, field: &str) -> Result<Option<ObjectId>> {
            match doc.remove(field) {
                None | Some(Bson::Null) => Ok(None),
                Some(Bson::ObjectId(id)) => Ok(Some(id)),
                Some(_) => Err(bad(field)),
            }
        }
        fn date(doc: &mut Document, field: &str) -> Result<DateTime> {
            match doc.remove(field) {
                Some(Bson::DateTime(date)) => Ok(date),
                _ => Err(bad(field)),
            }
        }
        Ok(Metadata {
            id: oid(&mut doc, "_id")?.ok_or_else(|| bad("_id"))?,
            key: Key {
                name: text(&mut doc, "name")?.ok_or_else(|| bad("name"))?,
                bucket: text(&mut doc, "bucket")?.ok_or_else(|| bad("bucket"))?,
                prefix: text(&mut doc, "prefix")?.ok_or_else(|| bad("prefix"))?,
            },
            kind: text(&mut doc, "kind")?.unwrap_or_default(),
            collection: text(&mut doc, "collection")?,
            objid: oid(&mut doc, "objid")?,
            kind_meta: sub(&mut doc, "kind_meta")?,
            attributes: sub(&mut doc, "attributes")?,
            s3file: sub(&mut doc, "s3file")?,
            uri: text(&mut doc, "uri")?,
            created: date(&mut doc, "created")?,
            modified: date(&mut doc, "modified")?,
            gridfile: oid(&mut doc, "gridfile")?,
            unknown: doc,
            content: None,
            filename: None,
        })
    }

    /// omega|ml's `metadata` JSON: legacy extended JSON, dates as integer milliseconds.
    pub fn to_json(&self) -> Value {
        legacy_json(&Bson::Document(self.to_document()))
    }

    /// `created` as text, `YYYY-MM-DD HH:MM:SS.ffffff`, the way omega|ml prints it.
    pub fn created_text(&self) -> String {
        wall_clock_text(self.created)
    }
}

/// `Metadata(name=…,bucket=…,prefix=…,kind=…,created=…)`, omega|ml's text form.
impl fmt::Display for Metadata {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Metadata(name={},bucket={},prefix={},kind={},created={})",
            self.key.name,
            self.key.bucket,
            self.key.prefix,
            self.kind,
            self.created_text()
        )
    }
}

/// Local wall clock time labelled UTC, as omega|ml writes `created` and `modified`.
pub fn local_now() -> DateTime {
    let local = chrono::Local::now().naive_local();
    DateTime::from_millis(local.and_utc().timestamp_millis())
}

/// A stored wall clock time as text; six digits of seconds, none when they are zero.
pub fn wall_clock_text(date: DateTime) -> String {
    match chrono::DateTime::from_timestamp_millis(date.timestamp_millis()) {
        Some(time) if time.timestamp_subsec_millis() == 0 => {
            time.format("%Y-%m-%d %H:%M:%S").to_string()
        }
        Some(time) => time.format("%Y-%m-%d %H:%M:%S%.6f").to_string(),
        None => date.timestamp_millis().to_string(),
    }
}

/// BSON as legacy extended JSON (`json_util.LEGACY_JSON_OPTIONS` of pymongo).
pub fn legacy_json(value: &Bson) -> Value {
    match value {
        Bson::Document(doc) => Value::Object(
            doc.iter()
                .map(|(key, value)| (key.clone(), legacy_json(value)))
                .collect(),
        ),
        Bson::Array(items) => Value::Array(items.iter().map(legacy_json).collect()),
        Bson::ObjectId(id) => serde_json::json!({ "$oid": id.to_hex() }),
        Bson::DateTime(date) => serde_json::json!({ "$date": date.timestamp_millis() }),
        Bson::String(text) => Value::String(text.clone()),
        Bson::Boolean(flag) => Value::Bool(*flag),
        Bson::Null => Value::Null,
        Bson::Int32(number) => Value::from(*number),
        Bson::Int64(number) => Value::from(*number),
        Bson::Double(number) => {
            serde_json::Number::from_f64(*number).map_or(Value::Null, Value::Number)
        }
        other => other.clone().into_relaxed_extjson(),
    }
}
