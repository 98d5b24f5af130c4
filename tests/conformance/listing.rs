//! Lists: sorted, and only what is asked for.

use super::given::*;
use omega::storage::{Key, Metadata, Mode, Selection, Storage};
use regex::Regex;

fn make(storage: &dyn Storage, bucket: &str, prefix: &str, name: &str, kind: &str) {
    let key = Key::new(bucket, prefix, name);
    let writer = storage.write(&key, Mode::Create).unwrap();
    writer.commit(Metadata::new(key, kind)).unwrap();
}

pub fn is_sorted_and_limited_to_its_prefix(storage: &dyn Storage) {
    for name in ["b", "a", "ä", "A", "a/b", "a b", "z", "10", "9"] {
        make(storage, "omegaml", "data/", name, FRAME);
    }
    make(storage, "omegaml", "models/", "model", "sklearn.joblib");
    make(storage, "other", "data/", "elsewhere", FRAME);
    let listed = storage.list(&Selection::new("omegaml", "data/")).unwrap();
    assert_eq!(
        names(&listed),
        ["10", "9", "A", "a", "a b", "a/b", "b", "z", "ä"]
    );
    assert!(
        listed
            .iter()
            .all(|metadata| *metadata == found(storage, &metadata.key))
    );
    assert_eq!(
        names(&storage.list(&Selection::new("other", "data/")).unwrap()),
        ["elsewhere"]
    );
    assert!(
        storage
            .list(&Selection::new("none", "data/"))
            .unwrap()
            .is_empty()
    );
}

pub fn leaves_out_hidden_and_temporary_names(storage: &dyn Storage) {
    for name in [".hidden", "_temp", "plain", "a/.b", "a/_c"] {
        make(storage, "omegaml", "data/", name, FRAME);
    }
    let mut selection = Selection::new("omegaml", "data/");
    let mut list = |hidden, temporary| {
        (selection.hidden, selection.temporary) = (hidden, temporary);
        names(&storage.list(&selection).unwrap()).join(" ")
    };
    assert_eq!(list(false, false), "a/.b a/_c plain");
    assert_eq!(list(true, false), ".hidden a/.b a/_c plain");
    assert_eq!(list(false, true), "_temp a/.b a/_c plain");
    assert_eq!(list(true, true), ".hidden _temp a/.b a/_c plain");
}

pub fn selects_by_regex_and_kind(storage: &dyn Storage) {
    for (name, kind) in [
        ("sales", FRAME),
        ("sales2", FILE),
        ("resale", FILE),
        ("x", DATA),
    ] {
        make(storage, "omegaml", "data/", name, kind);
    }
    let mut selection = Selection::new("omegaml", "data/");
    selection.names = Some(Regex::new("sale").unwrap());
    assert_eq!(
        names(&storage.list(&selection).unwrap()),
        ["resale", "sales", "sales2"]
    );
    selection.names = Some(Regex::new("^sales$").unwrap());
    assert_eq!(names(&storage.list(&selection).unwrap()), ["sales"]);
    selection.names = None;
    selection.kinds = vec![FILE.to_owned(), DATA.to_owned()];
    assert_eq!(
        names(&storage.list(&selection).unwrap()),
        ["resale", "sales2", "x"]
    );
    selection.names = Some(Regex::new("^s").unwrap());
    assert_eq!(names(&storage.list(&selection).unwrap()), ["sales2"]);
}

pub fn buckets_are_those_with_objects(storage: &dyn Storage) {
    for (bucket, prefix) in [
        ("omegaml", "data/"),
        ("zeta", "models/"),
        ("alpha", "data/"),
        ("alpha", "jobs/"),
    ] {
        make(storage, bucket, prefix, "x", FRAME);
    }
    assert_eq!(storage.buckets().unwrap(), ["alpha", "omegaml", "zeta"]);
    assert!(storage.delete(&Key::new("zeta", "models/", "x")).unwrap());
    assert_eq!(storage.buckets().unwrap(), ["alpha", "omegaml"]);
    assert_eq!(
        found(storage, &Key::new("alpha", "jobs/", "x")).key.bucket,
        "alpha"
    );
}
