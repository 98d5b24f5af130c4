//! Celery's messages, bytes to values and back (spec/runtime.md §3 to §5, §10, §12).
//!
//! Knows nothing of brokers, storages and the running of tasks: [`pickle`] and
//! [`json`] read and write values, the other modules give them meaning.

pub mod calls;
pub mod control;
pub mod event;
pub mod exception;
pub mod json;
pub mod kept;
pub mod message;
pub mod numpy;
pub mod pandas;
pub mod passthrough;
pub mod pickle;
pub mod reply;
pub mod repr;
pub mod results;
pub mod serial;
pub mod signature;
pub mod times;

#[cfg(test)]
mod call_tests;
#[cfg(test)]
mod golden_tests;
