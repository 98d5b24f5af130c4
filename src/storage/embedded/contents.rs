//! What the objects hold, in the database: rows and blobs in files, documents in a table.

use super::database::Sql;
use super::digest::Digests;
use super::layout::Layout;
use crate::error::{Error, Result};
use crate::storage::crash;
use crate::storage::refusal::ContentKind;
use rusqlite::{Connection, OptionalExtension, params};

/// The kind of a content, by its stored name.
fn kind_named(name: &str) -> Option<ContentKind> {
    [ContentKind::Rows, ContentKind::Documents, ContentKind::Blob]
        .into_iter()
        .find(|kind| kind.name() == name)
}

/// The content of one object.
#[derive(Debug, Clone)]
pub(super) struct Content {
    pub id: String,
    pub kind: ContentKind,
    /// Rows or documents.
    pub count: u64,
    pub bytes: u64,
}

/// One file of a content; a blob has one, rows have at least one.
#[derive(Debug, Clone)]
pub(super) struct StoredFile {
    pub seq: i64,
    pub name: String,
    pub rows: u64,
    pub digests: Digests,
}

/// The content with this id.
pub(super) fn load(connection: &Connection, id: &str) -> Result<Option<Content>> {
    let found = connection
        .prepare_cached("SELECT kind, count, bytes FROM contents WHERE id = ?1")
        .sql("read")?
        .query_row([id], |row| {
            Ok((
                row.get::<_, String>(0)?,
                row.get::<_, i64>(1)?,
                row.get::<_, i64>(2)?,
            ))
        })
        .optional()
        .sql("read")?;
    let Some((kind, count, bytes)) = found else {
        return Ok(None);
    };
    match (
        kind_named(&kind),
        u64::try_from(count),
        u64::try_from(bytes),
    ) {
        (Some(kind), Ok(count), Ok(bytes)) => Ok(Some(Content {
            id: id.to_owned(),
            kind,
            count,
            bytes,
        })),
        _ => Err(Error::corrupt(format!(
            "the entry of the content {id} is malformed"
        ))),
    }
}

/// The files of a content in order.
pub(super) fn files(connection: &Connection, id: &str) -> Result<Vec<StoredFile>> {
    let mut statement = connection
        .prepare_cached(
            "SELECT seq, file, rows, bytes, root, digests FROM files
             WHERE content = ?1 ORDER BY seq",
        )
        .sql("read")?;
    let mut rows = statement.query([id]).sql("read")?;
    let mut files = Vec::new();
    while let Some(row) = rows.next().sql("read")? {
        let name: String = row.get(1).sql("read")?;
        let count: i64 = row.get(2).sql("read")?;
        let bytes: i64 = row.get(3).sql("read")?;
        let root: Vec<u8> = row.get(4).sql("read")?;
        let list: Vec<u8> = row.get(5).sql("read")?;
        let digests = u64::try_from(bytes)
            .ok()
            .and_then(|bytes| Digests::from_stored(bytes, list, &root));
        match (digests, u64::try_from(count)) {
            (Some(digests), Ok(rows)) => {
                files.push(StoredFile {
                    seq: row.get(0).sql("read")?,
                    name,
                    rows,
                    digests,
                });
            }
            _ => {
                return Err(Error::corrupt(format!(
                    "the digests of {} are damaged",
                    Layout::label(&name)
                ))
                .hint("`om store check` tells what is damaged"));
            }
        }
    }
    Ok(files)
}

/// The names of all files that belong to an object.
pub(super) fn all_files(connection: &Connection) -> Result<Vec<String>> {
    connection
        .prepare_cached("SELECT file FROM files")
        .sql("read")?
        .query_map([], |row| row.get(0))
        .and_then(Iterator::collect)
        .sql("read")
}

/// Whether a file belongs to an object.
pub(super) fn is_used(connection: &Connection, file: &str) -> Result<bool> {
    connection
        .prepare_cached("SELECT EXISTS (SELECT 1 FROM files WHERE file = ?1)")
        .sql("read")?
        .query_row([file], |row| row.get(0))
        .sql("read")
}

/// Makes an empty content.
pub(super) fn create(connection: &Connection, id: &str, kind: ContentKind) -> Result<()> {
    crash::point();
    connection
        .prepare_cached("INSERT INTO contents (id, kind, count, bytes) VALUES (?1, ?2, 0, 0)")
        .sql("write to")?
        .execute(params![id, kind.name()])
        .sql("write to")?;
    Ok(())
}

/// Counts what was added to a content.
pub(super) fn grow(connection: &Connection, id: &str, count: u64, bytes: u64) -> Result<()> {
    connection
        .prepare_cached("UPDATE contents SET count = count + ?2, bytes = bytes + ?3 WHERE id = ?1")
        .sql("write to")?
        .execute(params![id, count as i64, bytes as i64])
        .sql("write to")?;
    Ok(())
}

/// Adds a file at the end of a content.
pub(super) fn add_file(
    connection: &Connection,
    id: &str,
    name: &str,
    rows: u64,
    digests: &Digests,
) -> Result<()> {
    insert_file(connection, id, None, name, rows, digests)?;
    grow(connection, id, rows, digests.bytes())
}

/// Puts one file in the place of several that hold the same rows.
pub(super) fn merge_files(
    connection: &Connection,
    id: &str,
    old: &[StoredFile],
    name: &str,
    digests: &Digests,
) -> Result<()> {
    let mut delete = connection
        .prepare_cached("DELETE FROM files WHERE content = ?1 AND seq = ?2")
        .sql("write to")?;
    let mut bytes = 0;
    for file in old {
        delete.execute(params![id, file.seq]).sql("write to")?;
        bytes += file.digests.bytes();
    }
    let rows = old.iter().map(|file| file.rows).sum();
    insert_file(
        connection,
        id,
        old.first().map(|file| file.seq),
        name,
        rows,
        digests,
    )?;
    connection
        .prepare_cached("UPDATE contents SET bytes = bytes + ?2 WHERE id = ?1")
        .sql("write to")?
        .execute(params![id, digests.bytes() as i64 - bytes as i64])
        .sql("write to")?;
    Ok(())
}

fn insert_file(
    connection: &Connection,
    id: &str,
    seq: Option<i64>,
    name: &str,
    rows: u64,
    digests: &Digests,
) -> Result<()> {
    crash::point();
    connection
        .prepare_cached(
            "INSERT INTO files (content, seq, file, rows, bytes, root, digests) VALUES (?1,
                 coalesce(?2, (SELECT coalesce(max(seq) + 1, 0) FROM files WHERE content = ?1)),
                 ?3, ?4, ?5, ?6, ?7)",
        )
        .sql("write to")?
        .execute(params![
            id,
            seq,
            name,
            rows as i64,
            digests.bytes() as i64,
            digests.root(),
            digests.list()
        ])
        .sql("write to")?;
    Ok(())
}

/// Removes a content with all it holds; its files are to be unlinked after the commit.
pub(super) fn remove(connection: &Connection, id: &str) -> Result<Vec<String>> {
    let files = connection
        .prepare_cached("SELECT file FROM files WHERE content = ?1")
        .sql("write to")?
        .query_map([id], |row| row.get(0))
        .and_then(Iterator::collect)
        .sql("write to")?;
    crash::point();
    connection
        .prepare_cached("DELETE FROM contents WHERE id = ?1")
        .sql("write to")?
        .execute([id])
        .sql("write to")?;
    Ok(files)
}

/// Contents that no object speaks of. There are none unless the database was damaged.
pub(super) fn orphans(connection: &Connection) -> Result<Vec<String>> {
    connection
        .prepare_cached(
            "SELECT id FROM contents WHERE NOT EXISTS
                 (SELECT 1 FROM objects WHERE objects.content = contents.id)",
        )
        .sql("read")?
        .query_map([], |row| row.get(0))
        .and_then(Iterator::collect)
        .sql("read")
}
