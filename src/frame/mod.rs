//! Tabular data: formats, filters, queries, types. Knows nothing of objects or where
//! they live; the storages and the store are above.

mod batches;
pub mod bson;
mod columns;
mod describe;
pub mod dtype;
pub mod filter;
pub mod format;
mod instant;
pub mod json;
pub mod npy;
mod polars_error;
mod query;
mod query_text;
mod rows;
mod run;
#[cfg(test)]
mod run_tests;
mod spool;
mod sql;
mod zone;

pub use batches::{ahead, batches, sample};
pub(crate) use columns::unknown_column;
pub use describe::{ColumnDescription, Description, Histogram, Top, describe};
pub use filter::Filter;
pub(crate) use polars_error::through_polars;
pub use query::{Aggregate, AggregateFunction, Columns, Query, Sort};
pub use rows::{Batches, Rows};
pub use run::{collect, plan, run, schema, selected};
pub use spool::spool;
pub use sql::{sql, sql_tables};
