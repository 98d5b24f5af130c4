//! Versions of models (spec/storage.md §10). Another program keeps each state of a model as
//! an object of its own, `_versions/<model>/<commit>`, and names them in the model's
//! attributes. `model@tag`, `model@commit` and `model^` are read here; copies, new names and
//! drops of a model take its versions along, so that it can still be opened.

use super::{Store, copy::CopyOptions};
use crate::error::{Error, Result, nearest};
use crate::storage::{Metadata, Selection, Update};
use bson::{Bson, Document};

/// The store that has versions.
const PREFIX: &str = "models/";

/// Where the versions are.
const FOLDER: &str = "_versions/";

/// One version: the name of its object, and its commit.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Version {
    pub name: String,
    pub commit: String,
}

/// The versions of a model, oldest first.
pub(super) fn versions(metadata: &Metadata) -> Vec<Version> {
    let commits = metadata
        .attributes
        .get_document("versions")
        .and_then(|versions| versions.get_array("commits"));
    let read = |commit: &Bson| {
        let commit = commit.as_document()?;
        Some(Version {
            name: commit.get_str("name").ok()?.to_owned(),
            commit: commit.get_str("ref").ok()?.to_owned(),
        })
    };
    match commits {
        Ok(commits) if metadata.key.prefix == PREFIX => commits.iter().filter_map(read).collect(),
        _ => Vec::new(),
    }
}

/// The attributes of a model that is called `name` and has these versions, under that name.
pub(super) fn renamed(attributes: &Document, versions: &[Version], name: &str) -> Document {
    let mut attributes = attributes.clone();
    let Ok(document) = attributes.get_document_mut("versions") else {
        return attributes;
    };
    let known = |commit: &str| versions.iter().any(|version| version.commit == commit);
    if let Ok(commits) = document.get_array_mut("commits") {
        commits.retain_mut(|commit| {
            let Some(commit) = commit.as_document_mut() else {
                return false;
            };
            let Some(id) = commit.get_str("ref").ok().map(str::to_owned) else {
                return false;
            };
            commit.insert("name", object(name, &id));
            known(&id)
        });
    }
    if let Ok(tags) = document.get_document_mut("tags") {
        let gone: Vec<String> = tags
            .iter()
            .filter(|(_, commit)| !commit.as_str().is_some_and(known))
            .map(|(tag, _)| tag.clone())
            .collect();
        for tag in gone {
            tags.remove(tag);
        }
    }
    attributes
}

/// The object that holds a version of the model `name`.
pub(super) fn object(name: &str, commit: &str) -> String {
    format!("{FOLDER}{name}/{commit}")
}

/// A name with a version: the model, and which.
fn split(name: &str) -> Option<(&str, &str)> {
    match name.split_once('@') {
        Some((model, version)) if !model.is_empty() => Some((model, version)),
        Some(_) => None,
        None => {
            let model = name.trim_end_matches('^');
            let back = name.get(model.len()..)?;
            (!model.is_empty() && !back.is_empty()).then_some((model, back))
        }
    }
}

impl Store {
    /// The version that `name` asks for; none when it names no version.
    ///
    /// # Errors
    /// [`crate::ErrorKind::NotFound`] for a version that there is not.
    pub(super) fn version(&self, name: &str) -> Result<Option<Metadata>> {
        if self.prefix != PREFIX || self.storage.find(&self.key(name))?.is_some() {
            return Ok(None);
        }
        let Some((model, wanted)) = split(name) else {
            return Ok(None);
        };
        let Some(base) = self.storage.find(&self.key(model))? else {
            return Ok(None);
        };
        let all = versions(&base);
        let found = if wanted.starts_with('^') {
            let back = wanted.len() + 1;
            match all.len().checked_sub(back).and_then(|place| all.get(place)) {
                Some(version) => Some(version.clone()),
                // As omega|ml: before the first version there is the model itself.
                None => return Ok(Some(base)),
            }
        } else {
            let tags = base.attributes.get_document("versions");
            let tags = tags.and_then(|versions| versions.get_document("tags"));
            let commit = tags.ok().and_then(|tags| tags.get_str(wanted).ok());
            let commit = commit.unwrap_or(wanted);
            let version = all.iter().find(|version| version.commit == commit);
            version.cloned().or_else(|| {
                (!commit.is_empty()).then(|| Version {
                    name: object(model, commit),
                    commit: commit.to_owned(),
                })
            })
        };
        let stored = match found {
            Some(version) => self.storage.find(&self.key(&version.name))?,
            None => None,
        };
        stored.map(Some).ok_or_else(|| no_version(&base, wanted))
    }

    /// The object that holds what a model is now: its last version, as omega|ml reads it,
    /// or itself.
    pub(super) fn latest(&self, metadata: Metadata) -> Result<Metadata> {
        let last = versions(&metadata).pop();
        let stored = match last {
            Some(last) => self.storage.find(&self.key(&last.name))?,
            None => None,
        };
        Ok(stored.unwrap_or(metadata))
    }

    /// Copies the versions of `source` to where those of `to` are; which ones there were.
    pub(super) fn copy_versions(
        &self,
        source: &Metadata,
        other: &Store,
        to: &str,
    ) -> Result<Vec<Version>> {
        let mut copied = Vec::new();
        for version in versions(source) {
            let Some(stored) = self.storage.find(&self.key(&version.name))? else {
                continue;
            };
            let name = object(to, &version.commit);
            let options = CopyOptions {
                replace: true,
                skip_same: true,
            };
            self.copy_with(&stored.key.name, other, &name, options)?;
            copied.push(Version {
                name,
                commit: version.commit,
            });
        }
        Ok(copied)
    }

    /// Deletes the versions of a model that is not there any more, or of which `kept` are
    /// all that there are now.
    pub(super) fn drop_versions(&self, model: &str, kept: &[Version]) -> Result<()> {
        if self.prefix != PREFIX || model.starts_with('_') {
            return Ok(());
        }
        let folder = object(model, "");
        let mut selection = Selection::new(&self.bucket, self.prefix);
        selection.temporary = true;
        selection.names = Some(super::name::glob(&format!("{folder}*"))?);
        for version in self.storage.list(&selection)? {
            let name = version.name();
            let commit = name.strip_prefix(&folder).unwrap_or_default();
            // `a/b` is another model than `a`, and has its versions below the same folder.
            let own = !commit.contains('/');
            if own && kept.iter().all(|kept| kept.name != name) {
                self.storage.delete(&version.key)?;
            }
        }
        Ok(())
    }

    /// Gives the versions of a model that was renamed names that follow its own.
    pub(super) fn rename_versions(&self, metadata: &Metadata) -> Result<()> {
        for (place, version) in versions(metadata).iter().enumerate() {
            let from = self.key(&version.name);
            let name = object(metadata.name(), &version.commit);
            if self.storage.find(&from)?.is_none() || version.name == name {
                continue;
            }
            self.storage.rename(&from, &self.key(&name))?;
            let field = format!("attributes.versions.commits.{place}.name");
            let update = Update {
                set: vec![(field, Bson::from(name))],
                ..Update::default()
            };
            self.storage.update(&metadata.key, &update)?;
        }
        Ok(())
    }
}

fn no_version(base: &Metadata, wanted: &str) -> Error {
    let key = &base.key;
    let error = Error::not_found(format!("{key} has no version `{wanted}`")).on(key.to_string());
    let tags = base.attributes.get_document("versions");
    let tags = tags.and_then(|versions| versions.get_document("tags"));
    let names: Vec<String> = match tags {
        Ok(tags) => tags.keys().cloned().collect(),
        Err(_) => Vec::new(),
    };
    match nearest(wanted, names.iter().map(String::as_str)) {
        Some(near) => error.hint(format!("did you mean `{}@{near}`?", base.name())),
        None if names.is_empty() => error.hint("it has no versions"),
        None => error.hint(format!("tags: {}", names.join(", "))),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::storage::Key;
    use bson::doc;

    #[test]
    fn names_with_versions() {
        assert_eq!(split("reg@prod"), Some(("reg", "prod")));
        assert_eq!(split("a/b^^"), Some(("a/b", "^^")));
        assert_eq!(split("reg"), None);
        assert_eq!(split("^"), None);
        assert_eq!(split("@x"), None);
    }

    #[test]
    fn versions_follow_the_name_and_lost_ones_are_left_out() {
        let mut metadata = Metadata::new(Key::new("omegaml", "models/", "reg"), "sklearn.joblib");
        metadata.attributes = doc! { "owner": "me", "versions": {
            "tags": { "latest": "b", "old": "a" },
            "commits": [
                { "name": "_versions/reg/a", "ref": "a" },
                { "name": "_versions/reg/b", "ref": "b" },
            ],
            "tree": { "a": null, "b": "a" },
        } };
        let all = versions(&metadata);
        assert_eq!(all.len(), 2);
        let expected = doc! { "owner": "me", "versions": {
            "tags": { "latest": "b" },
            "commits": [{ "name": "_versions/other/b", "ref": "b" }],
            "tree": { "a": null, "b": "a" },
        } };
        let kept = &all[1..];
        assert_eq!(renamed(&metadata.attributes, kept, "other"), expected);
    }
}
