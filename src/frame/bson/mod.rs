//! Tables as BSON documents, one a row (spec/storage.md §9.1): columns become documents
//! and raw documents become columns, without a `Document` per row. Knows nothing of
//! objects, metadata or connections.

mod builder;
mod decode;
mod encode;
mod ids;
mod infer;
mod nested;
mod plain;
mod type_name;
mod walker;

pub use decode::Decoder;
pub use encode::{Encoded, Encoder};
pub use ids::ObjectIds;
pub use infer::{infer, widen};
pub use plain::bson_to_value;
pub use type_name::{parse_stored, stored_name};
pub use walker::documents;

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
