//! From metadata to open, verified files. Readers never wait: when a writer has put
//! something else in the place of what the metadata speaks of, the reader follows.

use super::contents::{Content, StoredFile, files, load};
use super::database::Database;
use super::layout::{Layout, disk_error};
use super::objects;
use crate::error::{Error, ErrorKind, Result};
use crate::storage::Metadata;
use crate::storage::refusal::{ContentKind, dropped, follows, holds};
use rusqlite::Connection;
use std::fs::File;
use std::io;
use std::ops::Range;

/// How often a reader follows writers that keep replacing what it is about to open.
const ATTEMPTS: usize = 1_000;

/// The content that `metadata` speaks of, or what has taken its place meanwhile.
///
/// # Errors
/// Not found when the object is gone or holds nothing of this kind; a conflict when it
/// has become an object that this metadata does not describe.
pub(super) fn current(
    connection: &Connection,
    metadata: &Metadata,
    wanted: ContentKind,
) -> Result<Content> {
    let content = match any(connection, metadata)? {
        Some(content) if content.kind == wanted => return Ok(content),
        other => other,
    };
    let stored = content.map(|content| content.kind);
    Err(holds(&metadata.key, stored, wanted))
}

/// Like [`current`], of any kind.
pub(super) fn any(connection: &Connection, metadata: &Metadata) -> Result<Option<Content>> {
    let key = metadata.key.to_string();
    let Some(id) = &metadata.content else {
        return Ok(None);
    };
    if let Some(content) = load(connection, id)? {
        return Ok(Some(content));
    }
    let Some(object) = objects::find(connection, &metadata.key)? else {
        return Err(dropped(&metadata.key));
    };
    let now = object.metadata()?;
    follows(metadata, &now)?;
    match now.content {
        None => Ok(None),
        Some(id) => match load(connection, &id)? {
            Some(content) => Ok(Some(content)),
            None => Err(Error::corrupt("the content is missing from the database").on(key)),
        },
    }
}

/// A file of a content, open.
#[derive(Debug)]
pub(super) struct OpenFile {
    pub stored: StoredFile,
    pub file: File,
}

impl OpenFile {
    /// Verifies these blocks; the first damaged one, if any.
    pub fn damaged(&self, blocks: &[usize], layout: &Layout) -> Result<Option<usize>> {
        self.stored
            .digests
            .damaged(&self.file, blocks)
            .map_err(|error| disk_error(error, "read", &layout.file(&self.stored.name)))
    }

    /// What to say when stored bytes are not those that were written; `part` says which.
    pub fn corrupt(&self, key: &str, part: &str) -> Error {
        corrupt(key, &self.stored.name, part)
    }
}

pub(super) fn corrupt(key: &str, file: &str, part: &str) -> Error {
    Error::corrupt(format!(
        "{key} is damaged: {part} in {} is not what was written",
        Layout::label(file)
    ))
    .on(key)
    .hint("`om store check` lists what is damaged; store the object again")
}

/// Opens those files of an object that `choose` selects; `choose` sees the rows of each.
pub(super) fn open(
    database: &Database,
    layout: &Layout,
    metadata: &Metadata,
    wanted: ContentKind,
    choose: impl Fn(&[StoredFile]) -> Range<usize>,
) -> Result<Vec<OpenFile>> {
    let key = metadata.key.to_string();
    let mut missing: Option<String> = None;
    for _ in 0..ATTEMPTS {
        let stored = database.read(|connection| {
            let content = current(connection, metadata, wanted)?;
            files(connection, &content.id).map_err(|error| error.on(key.clone()))
        })?;
        let Some(stored) = stored else {
            return Err(Error::not_found(format!("{key} does not exist")).on(key));
        };
        if let Some(name) = &missing
            && stored.iter().any(|file| file.name == *name)
        {
            return Err(Error::corrupt(format!(
                "{key} is damaged: {} is missing",
                Layout::label(name)
            ))
            .on(key)
            .hint("`om store check` lists what is damaged; store the object again"));
        }
        missing = None;
        let range = choose(&stored);
        let mut opened = Vec::with_capacity(range.len());
        for stored in stored.into_iter().take(range.end).skip(range.start) {
            let path = layout.file(&stored.name);
            match File::open(&path) {
                Ok(file) => opened.push(OpenFile { stored, file }),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    missing = Some(stored.name);
                    break;
                }
                Err(error) => return Err(disk_error(error, "open", &path).on(key)),
            }
        }
        if missing.is_none() {
            return Ok(opened);
        }
    }
    Err(Error::new(
        ErrorKind::TimedOut,
        format!("{key} is being replaced again and again"),
    )
    .on(key)
    .hint("try again"))
}
