//! `pandas.rawdict`: any collection of documents, as it is (spec/storage.md §9.6). Tables
//! come out of it with nested documents as columns `a.b`.

use super::{Backend, Target, documents, index_fields};
use crate::error::{Error, Result};
use crate::frame::Query;
use crate::storage::{Metadata, Storage};
use crate::store::object::{Object, Stored};
use bson::{Bson, Document};

/// Collections.
pub struct Collections;

impl Backend for Collections {
    fn kinds(&self) -> &'static [&'static str] {
        &["pandas.rawdict"]
    }

    fn supports(&self, object: &Object) -> bool {
        matches!(object, Object::Values(_))
    }

    fn put(&self, target: &Target<'_>, object: Object) -> Result<Metadata> {
        let Object::Values(values) = object else {
            return Err(Error::usage("not a document"));
        };
        let documents = rows(values).map_err(|error| error.on(target.key.to_string()))?;
        let mut writer = target.storage.write(&target.key, target.appending())?;
        let index: Document = index_fields(&target.options.index)
            .map(|(name, direction)| (name.to_owned(), direction))
            .collect();
        if !index.is_empty() {
            writer.index(&index)?;
        }
        for document in documents {
            writer.document(document)?;
        }
        writer.commit(target.metadata())
    }

    fn get(&self, storage: &dyn Storage, metadata: &Metadata, query: &Query) -> Result<Stored> {
        let object = metadata.key.to_string();
        documents::table(storage.documents(metadata)?, query, &object)
    }
}

/// The documents among values: each must be one, or a list of some.
fn rows(values: Vec<Bson>) -> Result<Vec<Document>> {
    let mut documents = Vec::with_capacity(values.len());
    for value in values {
        let items = match value {
            Bson::Array(items) => items,
            other => vec![other],
        };
        for item in items {
            match item {
                Bson::Document(document) => documents.push(document),
                _ => {
                    return Err(Error::invalid("a pandas.rawdict holds JSON objects only")
                        .hint("store other values as python.data"));
                }
            }
        }
    }
    match documents.is_empty() {
        true => Err(Error::invalid("there is no document in the input")),
        false => Ok(documents),
    }
}
