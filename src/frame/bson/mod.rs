//! Tables as BSON documents, one a row (spec/storage.md §9.1): columns become documents
//! and raw documents become columns, without a `Document` per row. Knows nothing of
//! objects, metadata or connections.

use polars::prelude::DataType;

/// One column of a table and where documents hold it.
#[derive(Debug, Clone, PartialEq)]
pub struct Field {
    /// The column's name in frames.
    pub column: String,
    /// The documents' field.
    pub name: String,
    /// The column's type.
    pub dtype: DataType,
}
