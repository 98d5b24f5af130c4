//! Celery's messages, bytes to values and back (spec/runtime.md §3 to §5, §10, §12).
//!
//! Knows nothing of brokers, storages and the running of tasks: [`pickle`] and
//! [`json`] read and write values, the other modules give them meaning.

pub mod pickle;
pub mod times;

