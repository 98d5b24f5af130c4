//! Tables out of documents, for kinds whose documents are no rows. All of them are in
//! memory: which columns there are shows at the last one only.

use crate::error::{Error, Result};
use crate::frame::bson::{Decoder, infer};
use crate::frame::{self, Query};
use crate::store::object::{Stored, Table};
use bson::{Bson, Document};
use polars::prelude::IntoLazy;

/// How deep documents become columns.
const DEPTH: usize = 100;

/// A table of one row a document, nested documents as columns `a.b`, with `query` applied.
///
/// # Errors
/// What `documents` say, and columns that hold what no column can.
pub(super) fn table(
    documents: impl Iterator<Item = Result<Document>>,
    query: &Query,
    object: &str,
) -> Result<Stored> {
    let mut encoded: Vec<Vec<u8>> = Vec::new();
    for document in documents {
        let mut flat = Document::new();
        flatten(document?, "", &mut flat, DEPTH);
        flat.remove("_id");
        let bytes = flat
            .to_vec()
            .map_err(|error| Error::corrupt("a document is damaged").because(error));
        encoded.push(bytes.map_err(|error| error.on(object))?);
    }
    let on = |error: Error| error.on(object);
    let fields = infer(encoded.iter().map(Vec::as_slice)).map_err(on)?;
    let mut decoder = Decoder::new(&fields).map_err(on)?;
    for document in &encoded {
        decoder.push(document).map_err(on)?;
    }
    let frame = decoder.finish().map_err(on)?.lazy();
    let frame = frame::run(frame, query).map_err(on)?;
    Ok(Stored::Table(Box::new(Table::new(frame))))
}

fn flatten(document: Document, path: &str, flat: &mut Document, depth: usize) {
    for (name, value) in document {
        let path = match path {
            "" => name,
            path => format!("{path}.{name}"),
        };
        match value {
            Bson::Document(inner) if depth > 0 => flatten(inner, &path, flat, depth - 1),
            value => {
                flat.insert(path, value);
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use bson::doc;
    use polars::prelude::*;

    #[test]
    fn nested_documents_are_columns() {
        let documents = [
            doc! { "_id": 1, "a": 1, "b": { "c": 2, "d": { "e": "x" } } },
            doc! { "_id": 2, "b": { "c": 2.5 }, "f": [1, 2] },
        ];
        let stored = table(documents.into_iter().map(Ok), &Query::default(), "x").unwrap();
        let frame = stored.table("x").unwrap().collect().unwrap();
        let names: Vec<&str> = frame
            .schema()
            .iter_names()
            .map(|name| name.as_str())
            .collect();
        assert_eq!(names, ["a", "b.c", "b.d.e", "f"]);
        assert_eq!(frame.column("b.c").unwrap().dtype(), &DataType::Float64);
        assert_eq!(frame.column("a").unwrap().null_count(), 1);
    }
}
