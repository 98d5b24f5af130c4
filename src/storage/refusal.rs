//! What every storage refuses, in the same words.

use super::{Key, Metadata};
use crate::error::{Error, ErrorKind, Result};

/// What an object holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ContentKind {
    /// A table.
    Rows,
    /// Documents.
    Documents,
    /// Bytes.
    Blob,
}

impl ContentKind {
    /// As people read it.
    pub fn name(self) -> &'static str {
        match self {
            ContentKind::Rows => "rows",
            ContentKind::Documents => "documents",
            ContentKind::Blob => "a file",
        }
    }
}

/// There is no such object.
pub(super) fn missing(key: &Key) -> Error {
    Error::not_found(format!("{key} does not exist")).on(key.to_string())
}

/// Something has the name already.
pub(super) fn exists(key: &Key) -> Error {
    Error::conflict(format!("{key} exists already"))
        .on(key.to_string())
        .hint("replace it, append to it, or choose another name")
}

/// The object of a key is not the one that a writer has started from.
pub(super) fn replaced(key: &Key) -> Error {
    Error::conflict(format!(
        "{key} was replaced or dropped by another process meanwhile"
    ))
    .on(key.to_string())
    .hint("look at it and try again")
}

/// An object was made by another writer meanwhile, and rows do not fit it.
pub(super) fn made_with_other_columns(key: &Key) -> Error {
    Error::conflict(format!(
        "{key} was made by another process meanwhile, with other columns"
    ))
    .on(key.to_string())
    .hint("look at it and try again")
}

/// A writer was handed content of two sorts.
pub(super) fn mixed(key: &Key) -> Error {
    Error::invalid(format!(
        "{key} cannot hold rows, documents and a file at the same time"
    ))
    .on(key.to_string())
}

/// Whether content of one kind can be added to content of another.
pub(super) fn extends(key: &Key, stored: ContentKind, added: ContentKind) -> Result<()> {
    if stored == added && added != ContentKind::Blob {
        return Ok(());
    }
    Err(Error::conflict(format!(
        "{key} holds {}; {} cannot be added to it",
        stored.name(),
        added.name()
    ))
    .on(key.to_string())
    .hint("replace it, or choose another name"))
}

/// An object holds something else than what is to be read.
pub(super) fn holds(key: &Key, stored: Option<ContentKind>, wanted: ContentKind) -> Error {
    let stored = stored.map_or("nothing", ContentKind::name);
    Error::invalid(format!("{key} holds {stored}, not {}", wanted.name())).on(key.to_string())
}

/// What metadata speaks of was dropped.
pub(super) fn dropped(key: &Key) -> Error {
    Error::not_found(format!("{key} was dropped meanwhile")).on(key.to_string())
}

/// Whether `now` still describes an object as `metadata` does.
///
/// # Errors
/// [`ErrorKind::Conflict`] when it has become another one.
pub(super) fn follows(metadata: &Metadata, now: &Metadata) -> Result<()> {
    if now.kind == metadata.kind && now.kind_meta == metadata.kind_meta {
        return Ok(());
    }
    let key = &metadata.key;
    Err(
        Error::new(ErrorKind::Conflict, format!("{key} was replaced meanwhile"))
            .on(key.to_string())
            .hint("read it again"),
    )
}

/// Objects have names.
pub(super) fn refuse_nameless(key: &Key) -> Result<()> {
    if key.name.is_empty() {
        return Err(Error::usage("an object needs a name"));
    }
    Ok(())
}
