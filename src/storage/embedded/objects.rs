//! Metadata in the database: one row an object, found by bucket, prefix and name.

use super::database::Sql;
use super::digest::sha256;
use crate::error::{Context, Error, Result};
use crate::storage::crash;
use crate::storage::{Key, Metadata, Selection};
use bson::Document;
use rusqlite::{Connection, OptionalExtension, params};

/// An object as it is stored.
#[derive(Debug, Clone)]
pub(super) struct Object {
    pub row: i64,
    pub document: Document,
    pub content: Option<String>,
}

impl Object {
    pub fn metadata(&self) -> Result<Metadata> {
        self.clone().into_metadata()
    }

    pub fn into_metadata(self) -> Result<Metadata> {
        let mut metadata = Metadata::from_document(self.document)?;
        metadata.content = self.content;
        Ok(metadata)
    }
}

/// The object under `key`.
pub(super) fn find(connection: &Connection, key: &Key) -> Result<Option<Object>> {
    let found = connection
        .prepare_cached(
            "SELECT id, content, doc, checksum FROM objects
             WHERE bucket = ?1 AND prefix = ?2 AND name = ?3",
        )
        .sql("read")?
        .query_row(params![key.bucket, key.prefix, key.name], |row| {
            Ok((
                row.get(0)?,
                row.get(1)?,
                row.get::<_, Vec<u8>>(2)?,
                row.get::<_, Vec<u8>>(3)?,
            ))
        })
        .optional()
        .sql("read")?;
    let Some((row, content, doc, checksum)) = found else {
        return Ok(None);
    };
    let content: Option<String> = content;
    let document = unseal(&doc, content.as_deref().unwrap_or_default(), &checksum)
        .map_err(|error| error.on(key.to_string()))?;
    let object = Object {
        row,
        document,
        content,
    };
    match object.metadata() {
        Ok(metadata) if metadata.key == *key => Ok(Some(object)),
        Ok(_) => Err(misplaced(key)),
        Err(error) => Err(error.on(key.to_string())),
    }
}

/// The metadata of the objects that are selected, sorted by name.
pub(super) fn list(connection: &Connection, selection: &Selection) -> Result<Vec<Metadata>> {
    let mut statement = connection
        .prepare_cached(
            "SELECT name, kind, content, doc, checksum FROM objects
             WHERE bucket = ?1 AND prefix = ?2 ORDER BY name",
        )
        .sql("read")?;
    let mut rows = statement
        .query(params![selection.bucket, selection.prefix])
        .sql("read")?;
    let mut found = Vec::new();
    while let Some(row) = rows.next().sql("read")? {
        let name = row.get_ref(0).sql("read")?.as_str();
        let kind = row.get_ref(1).sql("read")?.as_str();
        let (Ok(name), Ok(kind)) = (name, kind) else {
            return Err(Error::corrupt("an object has no readable name"));
        };
        if selection.accepts(name, kind) {
            let key = Key::new(&selection.bucket, &selection.prefix, name);
            let content: Option<String> = row.get(2).sql("read")?;
            let document = unseal(
                row.get_ref(3).sql("read")?.as_blob().unwrap_or_default(),
                content.as_deref().unwrap_or_default(),
                row.get_ref(4).sql("read")?.as_blob().unwrap_or_default(),
            )
            .map_err(|error| error.on(key.to_string()))?;
            let object = Object {
                row: 0,
                document,
                content,
            };
            let metadata = object
                .into_metadata()
                .map_err(|error| error.on(key.to_string()))?;
            if metadata.key != key || metadata.kind != kind {
                return Err(misplaced(&key));
            }
            found.push(metadata);
        }
    }
    Ok(found)
}

/// The row and the document in it speak of different objects.
fn misplaced(key: &Key) -> Error {
    Error::corrupt(format!("the metadata stored for {key} is another object's"))
        .on(key.to_string())
        .hint("`om store check` tells what is damaged")
}

/// The keys of all objects, in order.
pub(super) fn keys(connection: &Connection) -> Result<Vec<Key>> {
    connection
        .prepare_cached("SELECT bucket, prefix, name FROM objects ORDER BY bucket, prefix, name")
        .sql("read")?
        .query_map([], |row| {
            Ok(Key {
                bucket: row.get(0)?,
                prefix: row.get(1)?,
                name: row.get(2)?,
            })
        })
        .and_then(Iterator::collect)
        .sql("read")
}

/// All buckets that hold an object, sorted.
pub(super) fn buckets(connection: &Connection) -> Result<Vec<String>> {
    connection
        .prepare_cached("SELECT DISTINCT bucket FROM objects ORDER BY bucket")
        .sql("read")?
        .query_map([], |row| row.get(0))
        .and_then(Iterator::collect)
        .sql("read")
}

/// Writes the object under `key`, new or in the place of the row given.
pub(super) fn save(
    connection: &Connection,
    key: &Key,
    row: Option<i64>,
    document: &Document,
    content: Option<&str>,
) -> Result<Metadata> {
    let object = Object {
        row: 0,
        document: document.clone(),
        content: content.map(str::to_owned),
    };
    let on_key = |error: Error| error.on(key.to_string());
    let metadata = object.metadata().map_err(on_key)?;
    let doc = document
        .to_vec()
        .context(|| "the metadata cannot be stored")
        .map_err(on_key)?;
    let checksum = seal(&doc, content.unwrap_or_default());
    crash::point();
    connection
        .prepare_cached(
            "INSERT INTO objects (id, bucket, prefix, name, kind, content, doc, checksum)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
             ON CONFLICT (id) DO UPDATE SET bucket = ?2, prefix = ?3, name = ?4, kind = ?5,
                 content = ?6, doc = ?7, checksum = ?8",
        )
        .sql("write to")?
        .execute(params![
            row,
            key.bucket,
            key.prefix,
            key.name,
            metadata.kind,
            content,
            doc,
            checksum
        ])
        .sql("write to")?;
    Ok(metadata)
}

/// Whether there is an object under `key`.
pub(super) fn exists(connection: &Connection, key: &Key) -> Result<bool> {
    connection
        .prepare_cached(
            "SELECT EXISTS (SELECT 1 FROM objects WHERE bucket = ?1 AND prefix = ?2 AND name = ?3)",
        )
        .sql("read")?
        .query_row(params![key.bucket, key.prefix, key.name], |row| row.get(0))
        .sql("read")
}

/// Removes an object, which need not be readable; the content that it had, if it was there.
pub(super) fn remove(connection: &Connection, key: &Key) -> Result<Option<Option<String>>> {
    crash::point();
    connection
        .prepare_cached(
            "DELETE FROM objects WHERE bucket = ?1 AND prefix = ?2 AND name = ?3
             RETURNING content",
        )
        .sql("write to")?
        .query_row(params![key.bucket, key.prefix, key.name], |row| row.get(0))
        .optional()
        .sql("write to")
}

/// What vouches for a document and for the content that it speaks of.
pub(super) fn seal(doc: &[u8], content: &str) -> [u8; 32] {
    sha256(&[doc, content.as_bytes()])
}

/// Decodes a document after it has been verified.
pub(super) fn unseal(doc: &[u8], content: &str, checksum: &[u8]) -> Result<Document> {
    if seal(doc, content) != checksum {
        return Err(
            Error::corrupt("the stored document is not the one that was written")
                .hint("`om store check` tells what is damaged"),
        );
    }
    Document::from_reader(doc).context(|| "the stored document is malformed")
}
