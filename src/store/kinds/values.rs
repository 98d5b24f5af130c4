//! `python.data`: dicts and lists as documents `{_id, data: value}` (spec/storage.md §9.4).

use super::{Backend, Target, index_fields};
use crate::error::{Error, Result};
use crate::frame::Query;
use crate::storage::{Metadata, Storage};
use crate::store::object::{Object, Stored};
use bson::{Bson, Document, doc};

/// Dicts and lists.
pub struct Values;

impl Backend for Values {
    fn kinds(&self) -> &'static [&'static str] {
        &["python.data"]
    }

    fn supports(&self, object: &Object) -> bool {
        matches!(object, Object::Values(_))
    }

    fn put(&self, target: &Target<'_>, object: Object) -> Result<Metadata> {
        let Object::Values(values) = object else {
            return Err(Error::usage("not a document"));
        };
        if values.is_empty() {
            return Err(
                Error::invalid("there is no document in the input").on(target.key.to_string())
            );
        }
        let mut writer = target.storage.write(&target.key, target.appending())?;
        let index: Document = index_fields(&target.options.index)
            .map(|(name, direction)| (format!("data.{name}"), direction))
            .collect();
        if !index.is_empty() {
            writer.index(&index)?;
        }
        for value in values {
            writer.document(doc! { "data": value })?;
        }
        writer.commit(target.metadata())
    }

    fn get(&self, storage: &dyn Storage, metadata: &Metadata, _query: &Query) -> Result<Stored> {
        let values = storage
            .documents(metadata)?
            .map(|document| {
                document.map(|mut document| document.remove("data").unwrap_or(Bson::Null))
            })
            .collect::<Result<Vec<_>>>()?;
        Ok(Stored::Values(values))
    }
}
