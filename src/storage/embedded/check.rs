//! Reads everything that is stored and compares it with what was written.

use super::blob::StoredBlob;
use super::contents::{self, StoredFile};
use super::database::Sql;
use super::digest::Digests;
use super::documents::Documents;
use super::reading::{any, open};
use super::scan::Footer;
use super::{EmbeddedStorage, objects, sweep};
use crate::error::{Error, ErrorKind, Result};
use crate::progress::{Meter, Progress, Unit};
use crate::storage::refusal::ContentKind;
use crate::storage::{CheckReport, Key, Metadata};
use rusqlite::Connection;
use std::time::Duration;

/// How often an object is looked at again that is being replaced while it is read.
const ATTEMPTS: usize = 5;

/// Blocks that are verified between two looks at the progress.
const STEP: usize = 64;

/// Verifies the store; with `repair` removes leftovers.
pub(super) fn check(
    store: &EmbeddedStorage,
    repair: bool,
    progress: &dyn Progress,
) -> Result<CheckReport> {
    let mut report = CheckReport::default();
    let overview = store.database.read(|connection| {
        Ok((
            integrity(connection)?,
            objects::keys(connection)?,
            stored_bytes(connection)?,
        ))
    });
    let (problems, keys, bytes) = match overview {
        Ok(Some(overview)) => overview,
        Ok(None) => return Ok(report),
        // Without the database nobody can tell what is a leftover.
        Err(error) if error.kind() == ErrorKind::Corrupt => {
            report.damaged.push(("om.db".to_owned(), error.to_string()));
            return Ok(report);
        }
        Err(error) => return Err(error),
    };
    let sound = problems.is_empty();
    report.damaged.extend(
        problems
            .into_iter()
            .map(|problem| ("om.db".to_owned(), problem)),
    );
    let meter = progress.meter("checking", Some(bytes), Unit::Bytes);
    for key in keys {
        progress.check()?;
        match check_object(store, &key, progress, meter.as_ref()) {
            Ok(Some(bytes)) => {
                report.objects += 1;
                report.bytes += bytes;
            }
            Ok(None) => {}
            Err(error) if error.kind() == ErrorKind::Interrupted => return Err(error),
            Err(error) => report.damaged.push((key.to_string(), error.to_string())),
        }
    }
    if sound {
        let orphans = store.database.read(contents::orphans)?.unwrap_or_default();
        if repair && !orphans.is_empty() {
            store.database.write(|transaction| {
                // Again, under the lock.
                contents::orphans(transaction)?
                    .iter()
                    .try_for_each(|id| contents::remove(transaction, id).map(drop))
            })?;
        }
        report.leftovers = orphans.len() as u64 + sweep::sweep(store, Duration::ZERO, repair)?;
        report.repaired = repair;
    }
    Ok(report)
}

fn integrity(connection: &Connection) -> Result<Vec<String>> {
    let found: Vec<String> = connection
        .prepare("PRAGMA integrity_check")
        .and_then(|mut check| check.query_map([], |row| row.get(0))?.collect())
        .sql("read")?;
    Ok(found.into_iter().filter(|line| line != "ok").collect())
}

fn stored_bytes(connection: &Connection) -> Result<u64> {
    let bytes: i64 = connection
        .query_row("SELECT coalesce(sum(bytes), 0) FROM contents", [], |row| {
            row.get(0)
        })
        .sql("read")?;
    Ok(bytes.unsigned_abs())
}

/// Verifies one object; its size, or none when it was dropped meanwhile.
fn check_object(
    store: &EmbeddedStorage,
    key: &Key,
    progress: &dyn Progress,
    meter: &dyn Meter,
) -> Result<Option<u64>> {
    let mut result = Ok(None);
    for _ in 0..ATTEMPTS {
        let find = || {
            store
                .database
                .read(|connection| objects::find(connection, key))
        };
        let Some(object) = find()?.flatten() else {
            return Ok(None);
        };
        let metadata = object.metadata()?;
        result = check_content(store, &metadata, progress, meter).map(Some);
        if result.is_ok() || find()?.flatten().and_then(|object| object.content) == metadata.content
        {
            break;
        }
    }
    result
}

fn check_content(
    store: &EmbeddedStorage,
    metadata: &Metadata,
    progress: &dyn Progress,
    meter: &dyn Meter,
) -> Result<u64> {
    let key = metadata.key.to_string();
    let content = store
        .database
        .read(|connection| any(connection, metadata))?
        .flatten();
    let Some(content) = content else {
        return Ok(0);
    };
    match content.kind {
        ContentKind::Documents => {
            let mut count = 0;
            for document in Documents::open(&store.database, metadata)? {
                document?;
                count += 1;
                if count % 1024 == 0 {
                    progress.check()?;
                }
            }
            meter.advance(content.bytes);
        }
        ContentKind::Blob => {
            // Opening compares the length.
            StoredBlob::open(&store.database, &store.layout, metadata)?;
            check_files(store, metadata, ContentKind::Blob, progress, meter)?;
        }
        ContentKind::Rows => {
            let rows = check_files(store, metadata, ContentKind::Rows, progress, meter)?;
            // More may have been appended meanwhile.
            if rows < content.count {
                return Err(Error::corrupt(format!(
                    "{key} is damaged: {rows} of {} rows are there",
                    content.count
                ))
                .on(key));
            }
        }
    }
    Ok(content.bytes)
}

/// Verifies the files of an object; the number of rows in them.
fn check_files(
    store: &EmbeddedStorage,
    metadata: &Metadata,
    kind: ContentKind,
    progress: &dyn Progress,
    meter: &dyn Meter,
) -> Result<u64> {
    let key = metadata.key.to_string();
    let all = |files: &[StoredFile]| 0..files.len();
    let mut rows = 0;
    for file in open(&store.database, &store.layout, metadata, kind, all)? {
        let digests: &Digests = &file.stored.digests;
        let blocks: Vec<usize> = digests.all().collect();
        for step in blocks.chunks(STEP) {
            progress.check()?;
            if let Some(block) = file.damaged(step, &store.layout)? {
                let range = digests.range(block);
                return Err(file.corrupt(&key, &format!("byte {} to {}", range.start, range.end)));
            }
            let (first, last) = (step.first().copied(), step.last().copied());
            let start = first.map_or(0, |block| digests.range(block).start);
            meter.advance(last.map_or(0, |block| digests.range(block).end) - start);
        }
        if kind == ContentKind::Rows {
            let found = Footer::read(&file, &store.layout, &key)?.rows();
            if found != file.stored.rows {
                return Err(file.corrupt(&key, "the number of rows"));
            }
            rows += found;
        }
    }
    Ok(rows)
}
