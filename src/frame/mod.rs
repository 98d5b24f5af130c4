//! Tabular data: formats, filters, queries, types. Knows nothing of objects or where
//! they live; the storages and the store are above.

pub mod filter;
mod query;

pub use filter::Filter;
pub use query::{Aggregate, AggregateFunction, Columns, Query, Sort};
