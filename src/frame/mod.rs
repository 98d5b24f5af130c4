//! Tabular data: formats, filters, queries, types. Knows nothing of objects or where
//! they live; the storages and the store are above.

mod columns;
pub mod dtype;
pub mod filter;
mod instant;
mod query;

pub use filter::Filter;
pub use query::{Aggregate, AggregateFunction, Columns, Query, Sort};
