//! Objects of kinds that another program knows. Models that it runs are put as omega|ml
//! puts them, each state as a version of its own beside the model (spec/storage.md §10).

use super::versions::{object, versions};
use super::{Name, PutMode, Store};
use crate::error::{Error, Result};
use crate::storage::{Key, Metadata, Mode, Update, wall_clock_text};
use bson::{Bson, Document};
use polars::prelude::DataFrame;
use sha1::{Digest, Sha1};

/// Reads objects of such kinds as tables.
pub trait Opener: Send + Sync {
    /// Whether it reads a kind.
    fn reads(&self, kind: &str) -> bool;

    /// The table that an object's content is.
    ///
    /// # Errors
    /// What the other program fails with.
    fn table(&self, metadata: &Metadata, content: Vec<u8>) -> Result<DataFrame>;
}

/// An object as its backend has made it.
#[derive(Debug, Clone)]
pub struct Foreign {
    /// The file's bytes.
    pub content: Vec<u8>,
    /// Its kind.
    pub kind: String,
    /// What the backend needs to read it back.
    pub kind_meta: Document,
}

impl Store {
    /// Stores a model of a backend's and a version of it, which becomes the latest.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Conflict`] when the name holds a model of another kind that is
    /// not to be replaced.
    pub fn put_foreign(
        &self,
        name: &str,
        model: &Foreign,
        attributes: &Document,
        mode: PutMode,
    ) -> Result<Metadata> {
        let (stored, before) = self.put_made(name, model, attributes, mode)?;
        let key = stored.key.clone();
        let commit = commit(&stored);
        let mut copy = Metadata::new(self.key(&object(&stored.key.name, &commit)), &model.kind);
        copy.uri = Some(String::new());
        copy.kind_meta = model.kind_meta.clone();
        copy.attributes = stored.attributes.clone();
        copy.attributes.remove("versions");
        let place = copy.key.clone();
        let copy = self.write_foreign(&place, Mode::Replace, copy, &model.content)?;
        let tags = before.get_document("tags");
        let parent = tags.ok().and_then(|tags| {
            tags.get_str("previous")
                .or_else(|_| tags.get_str("latest"))
                .ok()
        });
        let field = |name: &str| format!("attributes.versions.{name}");
        let reference = bson::doc! { "name": copy.key.name, "ref": &commit };
        let update = Update {
            set: vec![
                (field("tags.latest"), Bson::from(commit.as_str())),
                (
                    field(&format!("tree.{commit}")),
                    parent.map_or(Bson::Null, Bson::from),
                ),
            ],
            push: vec![(field("commits"), Bson::Document(reference))],
            ..Update::default()
        };
        let stored = self.storage.update(&key, &update)?;
        if mode == PutMode::Replace {
            self.drop_versions(&stored.key.name, &versions(&stored))?;
        }
        Ok(stored)
    }

    /// Stores an object of a backend's, without versions.
    ///
    /// # Errors
    /// As [`Store::put_foreign`].
    pub fn put_data(
        &self,
        name: &str,
        made: &Foreign,
        attributes: &Document,
        mode: PutMode,
    ) -> Result<Metadata> {
        if mode == PutMode::Append {
            return Err(
                Error::usage(format!("a {} cannot be appended to", made.kind))
                    .on(self.key(name).to_string())
                    .hint("leave --append out to replace it"),
            );
        }
        Ok(self.put_made(name, made, attributes, mode)?.0)
    }

    /// Stores it; answers the versions that it had, too.
    fn put_made(
        &self,
        name: &str,
        made: &Foreign,
        attributes: &Document,
        mode: PutMode,
    ) -> Result<(Metadata, Document)> {
        let key = self.key(&Name::plain(name)?);
        let current = self.storage.find(&key)?;
        if let Some(current) = &current
            && current.kind != made.kind
            && mode != PutMode::Replace
        {
            return Err(Error::conflict(format!(
                "{key} is a {}, not a {}",
                current.kind, made.kind
            ))
            .on(key.to_string())
            .hint("add --replace to replace it, or choose another name"));
        }
        let write = match mode {
            PutMode::Create => Mode::Create,
            _ => Mode::Replace,
        };
        let mut metadata = Metadata::new(key.clone(), &made.kind);
        metadata.uri = Some(String::new());
        metadata.kind_meta = made.kind_meta.clone();
        let going_on = current.filter(|_| mode != PutMode::Replace);
        if let Some(current) = going_on {
            metadata.id = current.id;
            metadata.attributes = current.attributes;
            metadata.unknown = current.unknown;
            metadata.created = current.created;
        }
        metadata.attributes.extend(attributes.clone());
        let before = metadata
            .attributes
            .get_document("versions")
            .cloned()
            .unwrap_or_default();
        let stored = self.write_foreign(&key, write, metadata, &made.content)?;
        Ok((stored, before))
    }

    fn write_foreign(
        &self,
        key: &Key,
        mode: Mode,
        metadata: Metadata,
        content: &[u8],
    ) -> Result<Metadata> {
        let mut writer = self.storage.write(key, mode)?;
        writer.bytes(content)?;
        writer.commit(metadata)
    }
}

/// The commit of a model that has just been stored.
fn commit(metadata: &Metadata) -> String {
    let text = format!("{}{}", metadata.name(), wall_clock_text(metadata.modified));
    // Two within a millisecond are two.
    let text = format!("{text}{}", metadata.content.as_deref().unwrap_or_default());
    hex::encode(Sha1::digest(text.as_bytes()))
}
