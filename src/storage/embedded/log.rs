//! Logs in the database: documents, of which the oldest are deleted in the transaction that
//! adds others. A power cut may lose the last entries.

use super::contents;
use super::database::Sql;
use super::documents::DocumentsWriter;
use super::{EmbeddedStorage, objects};
use crate::error::Result;
use crate::storage::log::{LOG_BYTES, Log, is_since};
use crate::storage::{Metadata, Mode, Storage};
use bson::{DateTime, Document};
use rusqlite::{Connection, params};

/// How much of a log is left when it has become too large.
const KEPT: u64 = LOG_BYTES / 4 * 3;

/// The log under the key of `metadata`.
pub(super) struct EmbeddedLog {
    pub storage: EmbeddedStorage,
    pub metadata: Metadata,
}

impl Log for EmbeddedLog {
    fn append(&self, entries: Vec<Document>) -> Result<()> {
        let key = &self.metadata.key;
        let storage = &self.storage;
        let exists = storage.find(key)?.is_some_and(|log| log.content.is_some());
        if !exists {
            let mut writer = storage.write(key, Mode::Append)?;
            for entry in entries {
                writer.document(entry)?;
            }
            writer.commit(self.metadata.clone())?;
            return Ok(());
        }
        let mut added = DocumentsWriter::new(&storage.layout);
        for entry in entries {
            added.push(entry)?;
        }
        storage.database.write_soon(|transaction| {
            // Who drops the log meanwhile does not want these either.
            let log = objects::find(transaction, key)?;
            let Some(content) = log.and_then(|log| log.content) else {
                return Ok(());
            };
            added.insert(transaction, &content, storage.progress.as_ref())?;
            trim(transaction, &content)
        })
    }

    fn since(&self, time: Option<DateTime>) -> Result<Vec<Document>> {
        let Some(log) = self.storage.find(&self.metadata.key)? else {
            return Ok(Vec::new());
        };
        if log.content.is_none() {
            return Ok(Vec::new());
        }
        self.storage
            .documents(&log)?
            .filter(|entry| entry.as_ref().map_or(true, |entry| is_since(entry, time)))
            .collect()
    }
}

/// Deletes the oldest documents of a content that has become too large.
fn trim(connection: &Connection, content: &str) -> Result<()> {
    let large = contents::load(connection, content)?.is_some_and(|log| log.bytes > LOG_BYTES);
    if !large {
        return Ok(());
    }
    connection
        .prepare_cached(
            "DELETE FROM documents WHERE content = ?1 AND seq <= (
                 SELECT max(seq) FROM (
                     SELECT seq, sum(length(doc)) OVER (ORDER BY seq DESC) AS kept
                     FROM documents WHERE content = ?1)
                 WHERE kept > ?2)",
        )
        .sql("write to")?
        .execute(params![content, KEPT as i64])
        .sql("write to")?;
    connection
        .prepare_cached(
            "UPDATE contents SET
                 count = (SELECT count(*) FROM documents WHERE content = ?1),
                 bytes = (SELECT coalesce(sum(length(doc)), 0) FROM documents WHERE content = ?1)
             WHERE id = ?1",
        )
        .sql("write to")?
        .execute([content])
        .sql("write to")?;
    Ok(())
}
