//! Logs: documents that are only added, of which the oldest go when there are too many.
//! An object like any other for whoever reads it; writing it takes no part in the
//! all-or-nothing of [`super::Writer`], because a line of a log is worth no transaction.

use crate::error::Result;
use bson::{DateTime, Document};

/// How many bytes of a log are kept (spec/storage.md §14).
pub const LOG_BYTES: u64 = 1 << 20;

/// The field that says when an entry was made.
pub const CREATED: &str = "created";

/// One log.
pub trait Log: Send + Sync {
    /// Adds entries, which have the field `created`; makes the log if it is missing.
    fn append(&self, entries: Vec<Document>) -> Result<()>;

    /// The entries made at this time or later (all if none), in the order in which they
    /// were added. Nothing when there is no log.
    fn since(&self, time: Option<DateTime>) -> Result<Vec<Document>>;
}

/// Whether an entry was made at `time` or later.
pub(super) fn is_since(entry: &Document, time: Option<DateTime>) -> bool {
    time.is_none_or(|time| {
        entry
            .get_datetime(CREATED)
            .is_ok_and(|created| *created >= time)
    })
}
