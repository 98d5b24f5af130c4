//! Indexes, named as omega|ml names them (spec/storage.md §3, §5, §6).

use super::MongoStorage;
use super::catalog;
use super::connection::Connection;
use crate::error::{Error, ErrorKind, Result};
use crate::storage::crash;
use crate::storage::projection::ROW_ID;
use bson::{Bson, Document, doc};
use md5::{Digest, Md5};
use mongodb::error::Error as DriverError;
use mongodb::options::IndexOptions;
use mongodb::{Collection, IndexModel};
use std::future::IntoFuture;

/// The fields of an index, each with `1`, `-1` or `'2dsphere'`.
pub(super) type Fields = Vec<(String, Bson)>;

/// What the index of the row ids is called.
pub(super) const ROW_INDEX: &str = "bd94345c7472b421e6ef8953eba37ee9";

/// The name that omega|ml gives the index: the MD5 of Python's text of its key list.
fn name(fields: &Fields) -> String {
    let items: Vec<String> = fields
        .iter()
        .map(|(field, direction)| {
            let direction = match direction {
                Bson::String(text) => python_text(text),
                Bson::Int64(number) => number.to_string(),
                Bson::Int32(number) => number.to_string(),
                other => other.to_string(),
            };
            format!("({}, {direction})", python_text(field))
        })
        .collect();
    let text = format!("[{}]", items.join(", "));
    hex::encode(Md5::digest(text.as_bytes()))
}

/// A text as Python's `repr` shows it.
fn python_text(text: &str) -> String {
    let quote = match text.contains('\'') && !text.contains('"') {
        true => '"',
        false => '\'',
    };
    let mut shown = String::from(quote);
    for c in text.chars() {
        match c {
            '\\' => shown.push_str("\\\\"),
            '\n' => shown.push_str("\\n"),
            '\r' => shown.push_str("\\r"),
            '\t' => shown.push_str("\\t"),
            c if c == quote => {
                shown.push('\\');
                shown.push(c);
            }
            c => shown.push(c),
        }
    }
    shown.push(quote);
    shown
}

impl Connection {
    /// Makes indexes unless there are such that contain all their fields; several
    /// collections at a time.
    pub fn ensure_indexes<const N: usize>(
        &self,
        wanted: [(String, Fields, bool); N],
    ) -> Result<()> {
        let making = wanted.map(|(collection, fields, unique)| {
            let collection = self.documents(&collection);
            self.spawn(ensure_index(collection, fields, unique))
        });
        for made in making {
            match self.wait(made)? {
                Ok(made) => made.map_err(|error| self.explained(&error))?,
                Err(_) => return Err(Error::failed("making an index was stopped")),
            }
        }
        Ok(())
    }

    /// Makes the indexes of rows, and their collection: the index columns together, and the
    /// row id.
    pub fn index_rows(&self, collection: &str, index: &[String]) -> Result<()> {
        let ascending = |name: &str| (name.to_owned(), Bson::Int64(1));
        let columns: Fields = index.iter().map(|name| ascending(name)).collect();
        let models = [columns, vec![ascending(ROW_ID)]].map(|fields| {
            let options = IndexOptions::builder().name(name(&fields)).build();
            IndexModel::builder()
                .keys(fields.iter().cloned().collect::<Document>())
                .options(options)
                .build()
        });
        let collection = self.documents(collection);
        self.run(collection.create_indexes(models).into_future())?;
        Ok(())
    }
}

async fn ensure_index(
    collection: Collection<Document>,
    fields: Fields,
    unique: bool,
) -> std::result::Result<(), DriverError> {
    let mut existing = Vec::new();
    // Without the collection there are none.
    if let Ok(mut cursor) = collection.list_indexes().await {
        while cursor.advance().await? {
            existing.push(cursor.deserialize_current()?.keys);
        }
    }
    let covered = |keys: &Document| fields.iter().all(|(field, _)| keys.contains_key(field));
    if existing.iter().any(covered) {
        return Ok(());
    }
    let options = IndexOptions::builder()
        .name(name(&fields))
        .unique(unique.then_some(true))
        .build();
    let model = IndexModel::builder()
        .keys(fields.into_iter().collect::<Document>())
        .options(options)
        .build();
    crash::point();
    collection.create_index(model).await?;
    Ok(())
}

impl MongoStorage {
    /// Makes the indexes of the metadata, once a process. That one may not, with read
    /// access only, is no error: the writing itself will say so.
    pub(super) fn prepare(&self) -> Result<()> {
        if self.shared.prepared.get().is_some() {
            return Ok(());
        }
        let connection = self.connection()?;
        let collection = connection.documents(catalog::COLLECTION);
        let keys = [
            (
                doc! { "bucket": 1, "prefix": 1, "name": 1 },
                "bucket_1_prefix_1_name_1",
                None,
            ),
            (doc! { "created": 1 }, "created_1", None),
            (
                doc! { "name": 1, "bucket": 1, "prefix": 1 },
                "name_1_bucket_1_prefix_1",
                Some(true),
            ),
        ];
        let models = keys.map(|(keys, name, unique)| {
            let options = IndexOptions::builder()
                .name(name.to_owned())
                .unique(unique)
                .build();
            IndexModel::builder().keys(keys).options(options).build()
        });
        match connection.run(collection.create_indexes(models).into_future()) {
            Ok(_) => {}
            Err(error) if matches!(error.kind(), ErrorKind::Failed | ErrorKind::Unauthorized) => {
                tracing::debug!("indexes of metadata: {error}");
            }
            Err(error) => return Err(error),
        }
        let _ = self.shared.prepared.set(());
        Ok(())
    }

    /// Makes the indexes of a bucket's files, once a process.
    pub(super) fn prepare_files(&self, bucket: &str) -> Result<()> {
        let mut prepared = match self.shared.prepared_files.lock() {
            Ok(prepared) => prepared,
            Err(poisoned) => poisoned.into_inner(),
        };
        if prepared.contains(bucket) {
            return Ok(());
        }
        let connection = self.connection()?;
        let one = |name: &str| (name.to_owned(), Bson::Int32(1));
        connection.ensure_indexes([
            (
                format!("{bucket}.chunks"),
                vec![one("files_id"), one("n")],
                true,
            ),
            (
                format!("{bucket}.files"),
                vec![one("filename"), one("uploadDate")],
                false,
            ),
        ])?;
        prepared.insert(bucket.to_owned());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The examples of spec/storage.md §5 and §6.
    #[test]
    fn names_are_those_of_the_specification() {
        let cases: [(&[(&str, i32)], &str); 6] = [
            (&[("_idx#0_0", 1)], "5155a460f6ca49eaed9906b3286178d6"),
            (&[("_om#rowid", 1)], "bd94345c7472b421e6ef8953eba37ee9"),
            (
                &[("_idx#0_k", 1), ("_idx#1_n", 1)],
                "2b7f323686e8eb327bcdc10b00216bb7",
            ),
            (&[("x", 1), ("y", -1)], "93d7443075fc61b8c614977fbae21e38"),
            (&[("data.a", 1)], "e6dd182db35c66d3830fe0fb21d64765"),
            (
                &[("files_id", 1), ("n", 1)],
                "118cc4443d82b06141ca0856e71fde62",
            ),
        ];
        for (fields, expected) in cases {
            let fields = fields
                .iter()
                .map(|(field, direction)| ((*field).to_owned(), Bson::Int32(*direction)))
                .collect();
            assert_eq!(name(&fields), expected, "{fields:?}");
        }
        assert_eq!(python_text("it's"), "\"it's\"");
    }
}
