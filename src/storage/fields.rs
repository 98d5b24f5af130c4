//! Changes of single fields of a metadata document, by dotted paths, with the meaning
//! that MongoDB gives to `$set`, `$unset` and `$push`; and the union of two changes of
//! one document. Pure functions over BSON.

use crate::error::{Error, Result};
use crate::storage::{Key, Metadata, Update, local_now};
use bson::oid::ObjectId;
use bson::{Bson, Document};

/// The longest gap that setting an array element may fill with nulls.
const PADDING: usize = 1_000;

/// Fields that say which object it is.
const IDENTITY: [&str; 4] = ["_id", "name", "bucket", "prefix"];

/// The value at a dotted path.
pub(super) fn at<'a>(document: &'a Document, path: &str) -> Option<&'a Bson> {
    match path.split_once('.') {
        None => document.get(path),
        Some((first, rest)) => at(document.get(first)?.as_document()?, rest),
    }
}

/// Applies `update` to `document`.
pub(super) fn apply(document: &mut Document, update: &Update) -> Result<()> {
    let paths = update
        .set
        .iter()
        .chain(&update.push)
        .map(|(path, _)| path)
        .chain(&update.unset);
    for path in paths {
        let first = path.split('.').next().unwrap_or_default();
        if path.split('.').any(str::is_empty) {
            return Err(Error::invalid(format!(
                "`{path}` is not the path of a field"
            )));
        }
        if IDENTITY.contains(&first) {
            return Err(
                Error::invalid(format!("the field `{first}` cannot be changed"))
                    .hint("rename the object to change its name"),
            );
        }
    }
    for (path, value) in &update.set {
        let segments: Vec<&str> = path.split('.').collect();
        *place(document, &segments, path)? = value.clone();
    }
    for path in &update.unset {
        let segments: Vec<&str> = path.split('.').collect();
        unset(document, &segments);
    }
    for (path, value) in &update.push {
        let segments: Vec<&str> = path.split('.').collect();
        match place(document, &segments, path)? {
            Bson::Array(items) => items.push(value.clone()),
            missing @ Bson::Null => *missing = Bson::Array(vec![value.clone()]),
            _ => {
                return Err(Error::invalid(format!(
                    "the field `{path}` is not an array"
                )));
            }
        }
    }
    Ok(())
}

/// The value at a path; documents on the way, and the field as null, are made if missing.
fn place<'a>(document: &'a mut Document, segments: &[&str], path: &str) -> Result<&'a mut Bson> {
    let blocked = || {
        Error::invalid(format!(
            "`{path}` leads through a field that is not a document"
        ))
    };
    let (first, rest) = segments.split_first().ok_or_else(blocked)?;
    let missing = if rest.is_empty() {
        Bson::Null
    } else {
        Bson::Document(Document::new())
    };
    let mut value = document.entry(*first).or_insert_with(|| missing);
    for (position, segment) in rest.iter().enumerate() {
        let last = position + 1 == rest.len();
        let missing = || {
            if last {
                Bson::Null
            } else {
                Bson::Document(Document::new())
            }
        };
        value = match value {
            Bson::Document(inner) => inner.entry(*segment).or_insert_with(missing),
            Bson::Array(items) => {
                let index: usize = segment.parse().map_err(|_| blocked())?;
                if index >= items.len() + PADDING {
                    return Err(Error::invalid(format!(
                        "`{path}` is far beyond the end of the array"
                    )));
                }
                if index >= items.len() {
                    items.resize(index, Bson::Null);
                    items.push(missing());
                }
                items.get_mut(index).ok_or_else(blocked)?
            }
            _ => return Err(blocked()),
        };
    }
    Ok(value)
}

/// Removes a field; array elements become null, as in MongoDB.
fn unset(document: &mut Document, segments: &[&str]) {
    match segments {
        [] => {}
        [last] => {
            document.remove(last);
        }
        [first, rest @ ..] => {
            if let Some(value) = document.get_mut(first) {
                unset_in(value, rest);
            }
        }
    }
}

fn unset_in(value: &mut Bson, segments: &[&str]) {
    match (value, segments) {
        (Bson::Document(inner), _) => unset(inner, segments),
        (Bson::Array(items), [first, rest @ ..]) => {
            let item = first
                .parse()
                .ok()
                .and_then(|index: usize| items.get_mut(index));
            match item {
                Some(item) if rest.is_empty() => *item = Bson::Null,
                Some(item) => unset_in(item, rest),
                None => {}
            }
        }
        _ => {}
    }
}

/// `theirs` with all fields that `ours` has changed since `base`: what two writers that
/// started from the same document both wanted. Where both changed a field, ours wins.
fn merge(base: &Document, ours: &Document, theirs: &Document) -> Document {
    let empty = Document::new();
    let mut merged = theirs.clone();
    for field in base.keys().filter(|field| !ours.contains_key(field)) {
        merged.remove(field);
    }
    for (field, value) in ours {
        match (base.get(field), value, merged.get(field)) {
            (Some(before), now, _) if before == now => {}
            (before, Bson::Document(now), Some(Bson::Document(there))) => {
                let before = before.and_then(Bson::as_document).unwrap_or(&empty);
                let both = merge(before, now, there);
                merged.insert(field, both);
            }
            (_, now, _) => {
                merged.insert(field, now.clone());
            }
        }
    }
    merged
}

/// The metadata that a writer stores: `metadata` under `key`, going on from the object
/// `before` where there is one. What others have changed of it since `base`, when the
/// writer started, stays, unless the writer changed it too.
pub(super) fn continued(
    mut metadata: Metadata,
    key: &Key,
    base: Option<&Metadata>,
    before: Option<&Metadata>,
    append: bool,
) -> Metadata {
    metadata.key = key.clone();
    metadata.modified = local_now();
    metadata.objid = before.and_then(|before| before.objid).filter(|_| append);
    let Some(before) = before else {
        metadata.id = ObjectId::new();
        metadata.created = metadata.modified;
        return metadata;
    };
    let base = base.filter(|base| base.id == before.id);
    let both = |part: fn(&Metadata) -> &Document, ours: &Document| {
        let empty = Document::new();
        merge(base.map_or(&empty, part), ours, part(before))
    };
    metadata.id = before.id;
    metadata.created = before.created;
    metadata.attributes = both(|m| &m.attributes, &metadata.attributes);
    metadata.unknown = both(|m| &m.unknown, &metadata.unknown);
    if append {
        metadata.kind_meta = both(|m| &m.kind_meta, &metadata.kind_meta);
    }
    metadata
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use bson::doc;
    use proptest::prelude::*;

    fn set(path: &str, value: impl Into<Bson>) -> Update {
        Update {
            set: vec![(path.to_owned(), value.into())],
            ..Update::default()
        }
    }

    #[test]
    fn paths_reach_into_documents_and_arrays_and_keep_the_order() {
        let mut doc = doc! { "z": 1, "attributes": { "b": 1, "a": [1, { "x": 2 }] }, "y": 2 };
        apply(&mut doc, &set("attributes.b", 5)).unwrap();
        apply(&mut doc, &set("attributes.new.deep", "v")).unwrap();
        apply(&mut doc, &set("attributes.a.1.x", 3)).unwrap();
        apply(&mut doc, &set("attributes.a.3", 9)).unwrap();
        let update = Update {
            unset: vec![
                "y".into(),
                "attributes.a.0".into(),
                "attributes.none.such".into(),
            ],
            push: vec![
                ("attributes.a".into(), 7.into()),
                ("attributes.log".into(), "x".into()),
            ],
            ..Update::default()
        };
        apply(&mut doc, &update).unwrap();
        let expected = doc! { "z": 1, "attributes": {
        "b": 5, "a": [null, { "x": 3 }, null, 9, 7], "new": { "deep": "v" }, "log": ["x"] } };
        assert_eq!(doc, expected);
        assert!(doc.keys().eq(["z", "attributes"]));
    }

    #[test]
    fn what_cannot_be_changed_is_refused() {
        let mut doc = doc! { "name": "a", "attributes": { "n": 1, "list": [] } };
        for path in [
            "name",
            "_id",
            "prefix.x",
            "",
            "attributes..x",
            "attributes.n.x",
            "attributes.list.x",
            "attributes.list.999999",
        ] {
            assert!(apply(&mut doc, &set(path, 1)).is_err(), "{path}");
        }
        let push = Update {
            push: vec![("attributes.n".into(), 1.into())],
            ..Update::default()
        };
        assert!(apply(&mut doc, &push).is_err());
    }

    #[test]
    fn two_changes_of_one_document_both_survive() {
        let base = doc! { "a": 1, "gone": 1, "sub": { "x": 1, "y": 1 } };
        let ours = doc! { "a": 2, "sub": { "x": 1, "y": 2, "ours": 1 } };
        let theirs = doc! { "a": 1, "gone": 1, "sub": { "x": 3, "y": 1 }, "theirs": 1 };
        let expected = doc! { "a": 2, "sub": { "x": 3, "y": 2, "ours": 1 }, "theirs": 1 };
        assert_eq!(merge(&base, &ours, &theirs), expected);
        assert_eq!(merge(&base, &ours, &base), ours);
        assert_eq!(merge(&base, &base, &theirs), theirs);
    }

    proptest! {
        #[test]
        fn any_path_is_set_or_refused(path in "[a-c0-2.]{0,12}", value in any::<i32>()) {
            let mut doc = doc! { "a": { "b": [1, { "c": 2 }] }, "c": 3 };
            let before = doc.clone();
            if apply(&mut doc, &set(&path, value)).is_ok() {
                let mut found = Some(&Bson::Null);
                for (position, segment) in path.split('.').enumerate() {
                    found = match found {
                        _ if position == 0 => doc.get(segment),
                        Some(Bson::Document(inner)) => inner.get(segment),
                        Some(Bson::Array(items)) => items.get(segment.parse::<usize>().unwrap()),
                        _ => None,
                    };
                }
                prop_assert_eq!(found, Some(&Bson::from(value)));
            } else {
                prop_assert!(before.contains_key("a"));
            }
        }
    }
}
