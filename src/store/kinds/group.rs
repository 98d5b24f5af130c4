//! `pandas.dfgroup`: tables that another program has stored by groups, a document each
//! (spec/storage.md §9.3). They come out as the rows that went in, not with the last row of
//! each group repeated, as that program reads them.

use super::{Backend, Target, documents};
use crate::error::{Error, Result};
use crate::frame::Query;
use crate::storage::{Metadata, Storage};
use crate::store::object::{Object, Stored};
use bson::{Bson, Document};

/// The field with the rows of a group.
const ROWS: &str = "_data";

/// Groups.
pub struct Groups;

impl Backend for Groups {
    fn kinds(&self) -> &'static [&'static str] {
        &["pandas.dfgroup"]
    }

    fn supports(&self, _object: &Object) -> bool {
        false
    }

    fn put(&self, target: &Target<'_>, _object: Object) -> Result<Metadata> {
        Err(Error::usage(format!("a {} is read only", target.kind)).on(target.key.to_string()))
    }

    fn get(&self, storage: &dyn Storage, metadata: &Metadata, query: &Query) -> Result<Stored> {
        let object = metadata.key.to_string();
        let rows = storage.documents(metadata)?.flat_map(|group| match group {
            Ok(group) => ungrouped(group).into_iter().map(Ok).collect(),
            Err(error) => vec![Err(error)],
        });
        documents::table(rows, query, &object)
    }
}

/// The rows of a group: its own fields, then those of each row.
fn ungrouped(mut group: Document) -> Vec<Document> {
    let rows = group.remove(ROWS);
    let Some(Bson::Array(rows)) = rows else {
        return Vec::new();
    };
    rows.into_iter()
        .filter_map(|row| match row {
            Bson::Document(row) => {
                let mut whole = group.clone();
                whole.extend(row);
                Some(whole)
            }
            _ => None,
        })
        .collect()
}
