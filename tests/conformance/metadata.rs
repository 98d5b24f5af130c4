//! Metadata: every field comes back, single fields change, names are just names.

use super::given::*;
use bson::{Bson, doc};
use omega::ErrorKind;
use omega::storage::{Key, Metadata, Mode, Selection, Storage, Update, local_now};

pub fn comes_back_field_for_field(storage: &dyn Storage) {
    let key = key("all");
    let mut metadata = Metadata::new(key.clone(), FRAME);
    metadata.kind_meta =
        doc! { "columns": [["b.c", "b_c"], [7, "7"]], "z": null, "a": { "x": 1.5 } };
    metadata.attributes = doc! {
        "text": "ünï 🦀", "int": 1_i32, "long": 1_i64 << 40, "none": null, "flag": true,
        "list": [1, "two", { "three": [] }], "when": local_now(), "id": bson::oid::ObjectId::new(),
        "empty": {}, "a.b": "dots in keys",
    };
    metadata.s3file = doc! { "unused": 1 };
    metadata.uri = Some("s3://elsewhere/é".to_owned());
    metadata.unknown = doc! { "later": { "version": 2 }, "other": [1, 2] };
    let mut writer = storage.write(&key, Mode::Create).unwrap();
    assert!(writer.current().is_none());
    writer.rows(numbers(0, 3)).unwrap();
    let stored = writer.commit(metadata.clone()).unwrap();
    assert_eq!(found(storage, &key), stored);
    for (before, after) in [
        (&metadata.kind_meta, &stored.kind_meta),
        (&metadata.attributes, &stored.attributes),
        (&metadata.s3file, &stored.s3file),
        (&metadata.unknown, &stored.unknown),
    ] {
        assert_eq!(before, after);
        assert!(
            before.keys().eq(after.keys()),
            "the order of fields has changed"
        );
    }
    assert_eq!((&stored.kind, &stored.uri), (&metadata.kind, &metadata.uri));
    assert_eq!(stored.key, key);
}

pub fn keeps_unknown_fields_through_every_change(storage: &dyn Storage) {
    let key = key("unknown");
    let mut metadata = Metadata::new(key.clone(), FRAME);
    metadata.unknown = doc! { "later": { "version": 2 } };
    let mut writer = storage.write(&key, Mode::Create).unwrap();
    writer.rows(numbers(0, 3)).unwrap();
    writer.commit(metadata.clone()).unwrap();
    put_rows(storage, &key, Mode::Append, &numbers(3, 1)).unwrap();
    let update = Update {
        set: vec![("attributes.a".into(), 1.into())],
        ..Update::default()
    };
    storage.update(&key, &update).unwrap();
    let renamed = Key::new("omegaml", "data/", "renamed");
    storage.rename(&key, &renamed).unwrap();
    assert_eq!(found(storage, &renamed).unknown, metadata.unknown);
}

pub fn is_filled_by_the_storage(storage: &dyn Storage) {
    let before = local_now();
    let rows = put_rows(storage, &key("rows"), Mode::Create, &numbers(0, 1)).unwrap();
    assert!(
        rows.collection
            .as_ref()
            .is_some_and(|name| name.len() == 40)
    );
    assert_eq!((rows.gridfile, rows.objid), (None, None));
    assert!(rows.created >= before && rows.modified >= rows.created);
    let blob = put_blob(storage, &key("blob"), b"x").unwrap();
    assert!(blob.gridfile.is_some() && blob.collection.is_none());
    let again = put_blob(storage, &key("blob"), b"y").unwrap();
    assert_ne!(blob.gridfile, again.gridfile);
    assert!(again.created >= blob.created);

    let appended = put_rows(storage, &key("rows"), Mode::Append, &numbers(0, 1)).unwrap();
    assert_eq!((appended.id, appended.created), (rows.id, rows.created));
    assert_eq!(appended.collection, rows.collection);
    assert!(appended.modified >= rows.modified);

    // A copy is another object.
    let mut writer = storage.write(&key("copy"), Mode::Create).unwrap();
    writer.rows(numbers(0, 1)).unwrap();
    let copy = writer.commit(rows.clone()).unwrap();
    assert_ne!(copy.id, rows.id);
    assert_eq!(copy.name(), "copy");
    assert!(copy.collection.is_some() && copy.collection != rows.collection);
}

pub fn updates_single_fields(storage: &dyn Storage) {
    let key = key("fields");
    let mut metadata = Metadata::new(key.clone(), FRAME);
    metadata.attributes = doc! { "b": 1, "a": { "x": [1] }, "gone": 1 };
    let writer = storage.write(&key, Mode::Create).unwrap();
    let stored = writer.commit(metadata).unwrap();
    let update = Update {
        set: vec![
            ("attributes.a.y.z".into(), "deep".into()),
            ("uri".into(), "file:///x".into()),
        ],
        unset: vec!["attributes.gone".into(), "attributes.never".into()],
        push: vec![
            ("attributes.a.x".into(), 2.into()),
            ("attributes.log".into(), "one".into()),
        ],
    };
    let updated = storage.update(&key, &update).unwrap();
    let expected = doc! { "b": 1, "a": { "x": [1, 2], "y": { "z": "deep" } }, "log": ["one"] };
    assert_eq!(updated.attributes, expected);
    assert_eq!(updated.uri.as_deref(), Some("file:///x"));
    assert!(updated.modified >= stored.modified);
    assert_eq!((updated.id, updated.created), (stored.id, stored.created));
    assert_eq!(found(storage, &key), updated);
}

pub fn refuses_updates_that_make_no_sense(storage: &dyn Storage) {
    let key = key("sense");
    let set = |path: &str, value: Bson| Update {
        set: vec![(path.into(), value)],
        ..Update::default()
    };
    let missing = storage
        .update(&key, &set("attributes.a", 1.into()))
        .unwrap_err();
    assert_eq!(missing.kind(), ErrorKind::NotFound);
    put_rows(storage, &key, Mode::Create, &numbers(0, 1)).unwrap();
    let update = set("attributes.text", "a".into());
    let before = storage.update(&key, &update).unwrap();
    for (path, value) in [
        ("name", "other".into()),
        ("_id", 1.into()),
        ("attributes", 1.into()),
        ("attributes.text.deeper", 1.into()),
        ("created", "yesterday".into()),
        ("", 1.into()),
    ] {
        assert!(storage.update(&key, &set(path, value)).is_err(), "{path}");
    }
    let push = Update {
        push: vec![("attributes.text".into(), 1.into())],
        ..Update::default()
    };
    assert!(storage.update(&key, &push).is_err());
    assert_eq!(found(storage, &key), before);
}

pub fn survives_concurrent_changes(storage: &dyn Storage) {
    let key = key("both");
    put_rows(storage, &key, Mode::Create, &numbers(0, 1)).unwrap();
    let mut writer = storage.write(&key, Mode::Append).unwrap();
    let mut mine = writer.current().cloned().unwrap();
    mine.attributes.insert("mine", 1);
    let theirs = Update {
        set: vec![("attributes.theirs".into(), 2.into())],
        ..Update::default()
    };
    storage.update(&key, &theirs).unwrap();
    writer.rows(numbers(1, 1)).unwrap();
    let both = writer.commit(mine).unwrap();
    assert_eq!(both.attributes.get_i32("mine").ok(), Some(1));
    assert_eq!(both.attributes.get_i32("theirs").ok(), Some(2));

    std::thread::scope(|scope| {
        for thread in 0..4 {
            let key = &key;
            scope.spawn(move || {
                for number in 0..10 {
                    let push = vec![("attributes.log".into(), (thread * 100 + number).into())];
                    storage
                        .update(
                            key,
                            &Update {
                                push,
                                ..Update::default()
                            },
                        )
                        .unwrap();
                }
            });
        }
    });
    assert_eq!(
        found(storage, &key)
            .attributes
            .get_array("log")
            .unwrap()
            .len(),
        40
    );
}

pub fn names_are_just_names(storage: &dyn Storage) {
    let long = "n".repeat(300);
    let odd = [
        "a/b/c",
        "with space",
        "'quoted'",
        "\"double\"",
        "$dollar",
        "🦀 émoji",
        "..",
        "../../etc/passwd",
        "/absolute",
        "%2e%2e",
        "semi;colon",
        "new\nline",
        "tab\t",
        "back\\slash",
        "*",
        "?",
        "[x]",
        "a.b",
        "CON",
        "~",
        "-rf",
        "name'; DROP TABLE objects; --",
        "e\u{301}",
        "é",
        "x",
        "X",
        &long,
    ];
    for (number, name) in odd.iter().enumerate() {
        put_blob(storage, &key(name), format!("{number}").as_bytes()).unwrap();
    }
    for (number, name) in odd.iter().enumerate() {
        assert_eq!(found(storage, &key(name)).name(), *name);
        assert_eq!(
            bytes(storage, &key(name)),
            format!("{number}").as_bytes(),
            "{name}"
        );
    }
    let mut selection = Selection::new("omegaml", "data/");
    selection.hidden = true;
    let listed = storage.list(&selection).unwrap();
    let mut sorted = odd.to_vec();
    sorted.sort_unstable();
    assert_eq!(names(&listed), sorted);
    assert_eq!(
        storage
            .write(&key(""), Mode::Create)
            .err()
            .map(|e| e.kind()),
        Some(ErrorKind::Usage)
    );
}

pub fn nothing_is_found_in_an_empty_storage(storage: &dyn Storage) {
    let selection = Selection::new("omegaml", "data/");
    assert_eq!(storage.find(&key("x")).unwrap(), None);
    assert!(storage.list(&selection).unwrap().is_empty());
    assert!(storage.buckets().unwrap().is_empty());
    assert!(!storage.delete(&key("x")).unwrap());
    assert_eq!(
        storage.rename(&key("x"), &key("y")).unwrap_err().kind(),
        ErrorKind::NotFound
    );
    let gone = Metadata::new(key("x"), FRAME);
    assert!(
        storage
            .scan(&gone, &omega::frame::Query::default())
            .is_err()
    );
    assert!(storage.documents(&gone).is_err() && storage.blob(&gone).is_err());
    assert!(!storage.location().is_empty());
}
