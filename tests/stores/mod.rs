//! Storages by the text that says where they are, so that other processes can be told.

#![allow(dead_code, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use super::server;
use bson::{Document, doc};
use omega::config::Url;
use omega::storage::Storage;
use omega::storage::embedded::{self, EmbeddedStorage};
use omega::storage::mongo::{self, MongoStorage};
use std::collections::BTreeSet;
use std::path::Path;

/// A new place of a kind, `embedded` or `mongo`; an embedded store is at `folder`.
pub fn places(kind: &str, folder: &Path) -> String {
    match kind {
        "embedded" => folder.to_str().unwrap().to_owned(),
        _ => server::mongo().database(),
    }
}

/// Opens the storage at a place.
pub fn open(place: &str) -> Box<dyn Storage> {
    match place.starts_with("mongodb://") {
        true => Box::new(MongoStorage::open(mongo::Options::new(Url::new(place))).unwrap()),
        false => {
            Box::new(EmbeddedStorage::open(Path::new(place), embedded::Options::default()).unwrap())
        }
    }
}

/// A database holds nothing but what its objects refer to, and no registered write.
pub fn no_leftovers(place: &str, context: &str) {
    if !place.starts_with("mongodb://") {
        return;
    }
    let raw = server::raw(place);
    let objects = raw.find("metadata", doc! {});
    let named = |field: &str| -> BTreeSet<String> {
        let value = |object: &Document| object.get(field).map(|value| value.to_string());
        objects.iter().filter_map(value).collect()
    };
    let (collections, files) = (named("collection"), named("gridfile"));
    for name in raw.collections() {
        let keyed = name.len() == 40 && name.bytes().all(|byte| byte.is_ascii_hexdigit());
        assert!(
            !keyed || collections.contains(&format!("\"{name}\"")),
            "{context}: collection {name} is nobody's"
        );
        for (suffix, field) in [(".files", "_id"), (".chunks", "files_id")] {
            if name.ends_with(suffix) {
                for part in raw.find(&name, doc! {}) {
                    let id = part.get(field).unwrap().to_string();
                    assert!(files.contains(&id), "{context}: {name} {id} is nobody's");
                }
            }
        }
    }
    let unfinished = raw.find("om_writes", doc! {});
    assert!(unfinished.is_empty(), "{context}: {unfinished:?}");
}
