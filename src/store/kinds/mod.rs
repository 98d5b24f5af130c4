//! The kinds of object, one file each. A kind says which objects it takes and how they
//! become rows, documents or a blob; it knows nothing of any storage.

mod array;
mod file;
mod frame;
mod model;
mod values;

use super::object::{Object, PutMode, PutOptions, Stored};
use crate::error::{Error, Result};
use crate::frame::Query;
use crate::storage::{Key, Metadata, Mode, Storage};

/// A kind of object.
pub trait Backend: Sync {
    /// The kinds it reads; the first is the one it writes unless told otherwise.
    fn kinds(&self) -> &'static [&'static str];

    /// Whether it takes `object`.
    fn supports(&self, object: &Object) -> bool;

    /// Stores `object` under `key` as `kind`.
    fn put(&self, target: &Target<'_>, object: Object) -> Result<Metadata>;

    /// Reads the object; `query` applies to tables.
    fn get(&self, storage: &dyn Storage, metadata: &Metadata, query: &Query) -> Result<Stored>;

    /// Data columns as users name them, and their pandas types; none for other kinds.
    fn columns(&self, _metadata: &Metadata) -> Vec<(String, String)> {
        Vec::new()
    }
}

/// Where and how to put.
pub struct Target<'a> {
    /// The storage.
    pub storage: &'a dyn Storage,
    /// The object's identity.
    pub key: Key,
    /// The kind to write.
    pub kind: &'static str,
    /// What exists under the key.
    pub current: Option<&'a Metadata>,
    /// The caller's options.
    pub options: &'a PutOptions,
}

impl Target<'_> {
    /// How a kind that can be appended to writes.
    fn appending(&self) -> Mode {
        match self.options.mode {
            PutMode::Auto | PutMode::Append => Mode::Append,
            PutMode::Replace => Mode::Replace,
            PutMode::Create => Mode::Create,
        }
    }

    /// How a kind that is one piece writes.
    fn replacing(&self) -> Result<Mode> {
        match self.options.mode {
            PutMode::Append => Err(
                Error::usage(format!("a {} cannot be appended to", self.kind))
                    .on(self.key.to_string())
                    .hint("leave --append out to replace it"),
            ),
            PutMode::Auto | PutMode::Replace => Ok(Mode::Replace),
            PutMode::Create => Ok(Mode::Create),
        }
    }

    /// Fresh metadata, or the current one where this put continues it, with the
    /// options' attributes set.
    fn metadata(&self) -> Metadata {
        let mut metadata = Metadata::new(self.key.clone(), self.kind);
        if let Some(current) = self
            .current
            .filter(|_| self.options.mode != PutMode::Replace)
        {
            metadata.id = current.id;
            metadata.attributes = current.attributes.clone();
            metadata.unknown = current.unknown.clone();
            metadata.created = current.created;
        }
        for (name, value) in &self.options.attributes {
            metadata.attributes.insert(name, value.clone());
        }
        metadata
    }
}

/// All kinds, in the order in which they are asked whether they take an object.
pub static KINDS: &[&dyn Backend] = &[
    &frame::Frames,
    &values::Values,
    &array::Arrays,
    &model::Models,
    &file::Files,
];

/// The kind's backend. Kinds that only another program can open are handled as files.
pub fn backend(kind: &str) -> &'static dyn Backend {
    KINDS
        .iter()
        .copied()
        .find(|backend| backend.kinds().contains(&kind))
        .unwrap_or(&file::Files)
}

/// The names of all kinds that can be written.
pub fn names() -> impl Iterator<Item = &'static str> {
    KINDS
        .iter()
        .flat_map(|backend| backend.kinds().iter().copied())
}

/// The backend and kind that store `object`.
///
/// # Errors
/// [`crate::ErrorKind::Conflict`] when another kind of object has the name and is not to
/// be replaced; [`crate::ErrorKind::Usage`] when the wanted kind does not take the object.
pub fn choose(
    object: &Object,
    key: &Key,
    current: Option<&Metadata>,
    options: &PutOptions,
) -> Result<(&'static dyn Backend, &'static str)> {
    let wanted = options.kind.as_deref();
    let (backend, kind) = KINDS
        .iter()
        .filter(|backend| backend.supports(object))
        .find_map(|backend| {
            let kind = match wanted {
                Some(wanted) => backend.kinds().iter().copied().find(|kind| *kind == wanted),
                None => current
                    .and_then(|current| {
                        backend
                            .kinds()
                            .iter()
                            .copied()
                            .find(|kind| *kind == current.kind)
                    })
                    .or_else(|| backend.kinds().first().copied()),
            };
            kind.map(|kind| (*backend, kind))
        })
        .ok_or_else(|| {
            Error::usage(format!(
                "{} cannot be stored as {}",
                object.noun(),
                wanted.unwrap_or("any kind")
            ))
            .on(key.to_string())
        })?;
    match current {
        Some(current) if current.kind != kind && options.mode != PutMode::Replace => Err(
            Error::conflict(format!("{key} is a {}, not a {kind}", current.kind))
                .on(key.to_string())
                .hint("add --replace to replace it, or choose another name"),
        ),
        _ => Ok((backend, kind)),
    }
}
