//! Keeps objects that grow by many small appends fast to read: from time to time the
//! small Parquet files at their end become one.

use super::EmbeddedStorage;
use super::contents::{self, StoredFile};
use super::database::Sql;
use super::reading::open;
use super::rows::RowsWriter;
use crate::error::{Context, Result};
use crate::storage::Metadata;
use crate::storage::refusal::ContentKind;
use polars::prelude::{ParquetReader, SerReader};
use rusqlite::Connection;
use std::ops::Range;

/// How many small files an object may end in.
const FILES: usize = 32;

/// Files above these are left alone.
const SMALL_ROWS: u64 = 64 * 1024;
const SMALL_BYTES: u64 = 4 * 1024 * 1024;

/// Whether the append that is being committed is the one to tidy up. Commits come one by
/// one, so only one of several processes finds the round number.
pub(super) fn is_due(connection: &Connection, content: &str) -> Result<bool> {
    let sizes: Vec<(i64, i64)> = connection
        .prepare_cached(
            "SELECT rows, bytes FROM files WHERE content = ?1 ORDER BY seq DESC LIMIT 1024",
        )
        .sql("read")?
        .query_map([content], |row| Ok((row.get(0)?, row.get(1)?)))
        .and_then(Iterator::collect)
        .sql("read")?;
    let small = sizes
        .iter()
        .take_while(|(rows, bytes)| *rows <= SMALL_ROWS as i64 && *bytes <= SMALL_BYTES as i64)
        .count();
    Ok(small > 0 && small % FILES == 0)
}

/// The small files at the end.
fn small(files: &[StoredFile]) -> Range<usize> {
    let large = files
        .iter()
        .rposition(|file| file.rows > SMALL_ROWS || file.digests.bytes() > SMALL_BYTES);
    large.map_or(0, |large| large + 1)..files.len()
}

/// Puts one file in the place of the small ones at the end of an object's rows.
pub(super) fn compact(store: &EmbeddedStorage, metadata: &Metadata) -> Result<()> {
    let key = metadata.key.to_string();
    let Some(content) = &metadata.content else {
        return Ok(());
    };
    let opened = open(
        &store.database,
        &store.layout,
        metadata,
        ContentKind::Rows,
        small,
    )?;
    let mut writer: Option<RowsWriter> = None;
    for part in &opened {
        let blocks: Vec<usize> = part.stored.digests.all().collect();
        if part.damaged(&blocks, &store.layout)?.is_some() {
            return Err(part.corrupt(&key, "a block"));
        }
        let frame = part
            .file
            .try_clone()
            .context(|| "cannot read the rows")
            .and_then(|file| {
                ParquetReader::new(file)
                    .finish()
                    .context(|| "cannot read the rows")
            })?;
        let writer = match &mut writer {
            Some(writer) => writer,
            none => none.insert(RowsWriter::new(&store.layout, frame.schema().clone())?),
        };
        writer.push(frame)?;
    }
    let Some(writer) = writer else {
        return Ok(());
    };
    let mut merged = writer.finish()?;
    let old: Vec<StoredFile> = opened.into_iter().map(|part| part.stored).collect();
    let mut committing = false;
    let done = store.database.write(|transaction| {
        let now = contents::files(transaction, content)?;
        let start = now
            .iter()
            .position(|file| Some(file.seq) == old.first().map(|old| old.seq));
        let same = start
            .and_then(|start| now.get(start..start + old.len()))
            .is_some_and(|now| {
                now.iter()
                    .zip(&old)
                    .all(|(now, old)| now.seq == old.seq && now.name == old.name)
            });
        if same {
            contents::merge_files(
                transaction,
                content,
                &old,
                merged.file.name(),
                &merged.digests,
            )?;
            committing = true;
        }
        Ok(same)
    });
    if committing {
        merged.file.keep();
    }
    drop(merged);
    if done? {
        store.unlink(&old.into_iter().map(|file| file.name).collect::<Vec<_>>());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::frame::Query;
    use crate::storage::embedded::Options;
    use crate::storage::{Key, Mode, Storage};
    use polars::prelude::df;

    #[test]
    fn small_appends_leave_few_files_and_large_ones_stay() {
        let home = tempfile::tempdir().unwrap();
        let store = EmbeddedStorage::open(home.path(), Options::default()).unwrap();
        let key = Key::new("omegaml", "data/", "a");
        let mut expected = Vec::new();
        for number in 0..100_i64 {
            let rows = if number == 40 {
                SMALL_ROWS as i64 + 1
            } else {
                1
            };
            let mut writer = store.write(&key, Mode::Append).unwrap();
            writer
                .rows(df!("n" => vec![number; rows as usize]).unwrap())
                .unwrap();
            writer
                .commit(Metadata::new(key.clone(), "pandas.dfrows"))
                .unwrap();
            expected.extend(std::iter::repeat_n(number, rows as usize));
            let files = store.layout.content_files().unwrap().len();
            assert!(files <= 2 * FILES, "{files} files after {number} appends");
        }
        let metadata = store.find(&key).unwrap().unwrap();
        assert_eq!(
            store.stats(&metadata).unwrap().count,
            Some(expected.len() as u64)
        );
        let frame = store
            .scan(&metadata, &Query::default())
            .unwrap()
            .frame
            .collect()
            .unwrap();
        assert!(frame.equals(&df!("n" => expected).unwrap()));
        let report = store.check(false, &crate::progress::Silent).unwrap();
        assert!(
            report.damaged.is_empty() && report.leftovers == 0,
            "{report:?}"
        );
    }
}
