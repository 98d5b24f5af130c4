//! The kinds of object, one file each. A kind says which objects it takes and how they
//! become rows, documents or a blob; it knows nothing of any storage.

mod array;
mod csv;
mod documents;
mod file;
mod frame;
mod group;
mod model;
mod notebook;
mod raw;
mod values;

use super::object::{Object, PutMode, PutOptions, Stored};
use crate::error::{Error, Result};
use crate::frame::Query;
use crate::storage::{Key, Metadata, Mode, Storage};
use bson::Bson;

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

    /// What a query calls the levels of the index; none for other kinds.
    fn index(&self, _metadata: &Metadata) -> Vec<String> {
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
    &notebook::Notebooks,
    &file::Files,
    &raw::Collections,
    &group::Groups,
    &csv::External,
];

/// The kind's backend. Kinds that only another program can open are handled as files.
pub fn backend(kind: &str) -> &'static dyn Backend {
    KINDS
        .iter()
        .copied()
        .find(|backend| backend.kinds().contains(&kind))
        .unwrap_or(&file::Files)
}

/// The names of all kinds that are more than files.
pub fn names() -> impl Iterator<Item = &'static str> {
    KINDS
        .iter()
        .flat_map(|backend| backend.kinds().iter().copied())
}

/// Whether this program knows a kind as more than bytes.
pub fn is_known(kind: &str) -> bool {
    names().any(|known| known == kind)
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
    let current_kind = current.map(|current| current.kind.as_str());
    let wanted = options.kind.as_deref();
    // What is added to goes on as it is, if it can take the object.
    let going_on = current_kind.filter(|_| options.mode != PutMode::Replace);
    let as_kind = |kind: &str| {
        let takes = |backend: &&&dyn Backend| backend.supports(object);
        let named = |backend: &&'static dyn Backend| {
            let mut kinds = backend.kinds().iter().copied();
            kinds
                .find(|name| *name == kind)
                .map(|kind| (*backend, kind))
        };
        KINDS.iter().filter(takes).find_map(named)
    };
    let chosen = match wanted {
        Some(kind) => as_kind(kind),
        None => going_on
            .and_then(as_kind)
            .or_else(|| first(object, current_kind)),
    };
    let (backend, kind) = chosen.ok_or_else(|| {
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

/// The first backend that takes the object, and its kind: that of what is there, where it
/// has it.
fn first(object: &Object, current: Option<&str>) -> Option<(&'static dyn Backend, &'static str)> {
    let backend = *KINDS.iter().find(|backend| backend.supports(object))?;
    let kinds = backend.kinds();
    let same = kinds.iter().find(|kind| current == Some(**kind));
    Some((backend, *same.or(kinds.first())?))
}

/// The fields to be indexed together, with what MongoDB calls their directions: `x` and
/// `+x` go up, `-x` down, `@x` is a place on earth.
fn index_fields(specs: &[String]) -> impl Iterator<Item = (&str, Bson)> {
    specs.iter().map(|spec| {
        let mut rest = spec.chars();
        match rest.next() {
            Some('-') => (rest.as_str(), Bson::Int32(-1)),
            Some('@') => (rest.as_str(), Bson::from("2dsphere")),
            Some('+') => (rest.as_str(), Bson::Int32(1)),
            _ => (spec.as_str(), Bson::Int32(1)),
        }
    })
}
