//! What the store's database and the queue's have in common.

use crate::error::{Error, ErrorKind};
use rusqlite::{Connection, ErrorCode};
use std::path::Path;

/// The version of a database's schema; 0 before it has one.
pub(crate) fn version(connection: &Connection) -> rusqlite::Result<i64> {
    connection.query_row("PRAGMA user_version", [], |row| row.get(0))
}

/// The database at `path` has a schema that this program does not know yet.
pub(crate) fn newer(path: &Path, found: i64, known: i64) -> Error {
    Error::failed(format!(
        "{} was written by a newer om: its format is {found}, this om knows {known}",
        path.display()
    ))
    .hint("update om")
}

/// What an error of SQLite amounts to.
pub(crate) fn kind_of(error: &rusqlite::Error) -> ErrorKind {
    match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => ErrorKind::Corrupt,
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => ErrorKind::TimedOut,
        Some(_) => ErrorKind::Failed,
        // A value of another type than the schema says.
        None => ErrorKind::Corrupt,
    }
}

/// Whether another connection is writing.
pub(crate) fn is_busy(error: &rusqlite::Error) -> bool {
    kind_of(error) == ErrorKind::TimedOut
}
