//! Tabular data: formats, filters, queries, types. Knows nothing of objects or where
//! they live; the storages and the store are above.

mod columns;
pub mod dtype;
pub mod filter;
mod instant;
mod polars_error;
mod query;
mod query_text;
mod run;
#[cfg(test)]
mod run_tests;
mod sql;

pub use filter::Filter;
pub use query::{Aggregate, AggregateFunction, Columns, Query, Sort};
pub use run::{collect, run, schema, selected};
pub use sql::{sql, sql_tables};
