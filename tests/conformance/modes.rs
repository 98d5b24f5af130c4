//! Writing: create, replace, append, drop, rename, all or nothing.

use super::given::*;
use bson::doc;
use omega::storage::{Key, Metadata, Mode, Selection, Storage, Writer};
use omega::{ErrorKind, Result};

fn conflict<T>(result: Result<T>) {
    let error = result.err().expect("a conflict");
    assert_eq!(error.kind(), ErrorKind::Conflict, "{error}");
    assert!(error.object().is_some(), "{error} does not name the object");
}

fn finish(writer: Box<dyn Writer + '_>, key: &Key) -> Result<Metadata> {
    writer.commit(Metadata::new(key.clone(), FRAME))
}

pub fn create_refuses_what_exists(storage: &dyn Storage) {
    put_rows(storage, &key("a"), Mode::Create, &numbers(0, 3)).unwrap();
    conflict(storage.write(&key("a"), Mode::Create));
    assert_eq!(rows(storage, &key("a")), numbers(0, 3));
    put_rows(
        storage,
        &Key::new("omegaml", "models/", "a"),
        Mode::Create,
        &numbers(5, 1),
    )
    .unwrap();
    put_rows(
        storage,
        &Key::new("b", "data/", "a"),
        Mode::Create,
        &numbers(6, 1),
    )
    .unwrap();
    assert_eq!(rows(storage, &key("a")), numbers(0, 3));
}

pub fn create_conflicts_when_another_was_faster(storage: &dyn Storage) {
    let mut slow = storage.write(&key("a"), Mode::Create).unwrap();
    slow.rows(numbers(0, 1)).unwrap();
    put_rows(storage, &key("a"), Mode::Create, &numbers(7, 2)).unwrap();
    conflict(finish(slow, &key("a")));
    assert_eq!(rows(storage, &key("a")), numbers(7, 2));
}

pub fn replace_replaces_metadata_and_content(storage: &dyn Storage) {
    let key = key("a");
    let mut metadata = Metadata::new(key.clone(), FRAME);
    metadata.attributes = doc! { "old": 1 };
    let mut writer = storage.write(&key, Mode::Replace).unwrap();
    writer.rows(numbers(0, 3)).unwrap();
    let old = writer.commit(metadata).unwrap();
    let new = put_blob(storage, &key, b"now a file").unwrap();
    assert!(new.attributes.is_empty());
    assert_ne!(new.content, old.content);
    assert_eq!(new.kind, FILE);
    assert_eq!(bytes(storage, &key), b"now a file");
    put_documents(storage, &key, Mode::Replace, &[doc! { "x": 1 }]).unwrap();
    assert_eq!(documents(storage, &key).len(), 1);
    put_rows(storage, &key, Mode::Replace, &numbers(1, 1)).unwrap();
    assert_eq!(rows(storage, &key), numbers(1, 1));
    assert_eq!(
        storage
            .list(&Selection::new("omegaml", "data/"))
            .unwrap()
            .len(),
        1
    );
}

pub fn replace_keeps_the_identity_that_it_is_handed(storage: &dyn Storage) {
    let first = put_blob(storage, &key("a"), b"one").unwrap();
    let mut writer = storage.write(&key("a"), Mode::Replace).unwrap();
    writer.bytes(b"two").unwrap();
    let second = writer.commit(first.clone()).unwrap();
    assert_eq!((second.id, second.created), (first.id, first.created));
    assert_eq!(bytes(storage, &key("a")), b"two");
}

pub fn append_keeps_the_order(storage: &dyn Storage) {
    for number in 0..5 {
        put_rows(storage, &key("a"), Mode::Append, &numbers(number * 10, 10)).unwrap();
    }
    assert_eq!(rows(storage, &key("a")), numbers(0, 50));
    let mut writer = storage.write(&key("a"), Mode::Append).unwrap();
    for number in 5..8 {
        writer.rows(numbers(number * 10, 10)).unwrap();
    }
    finish(writer, &key("a")).unwrap();
    assert_eq!(rows(storage, &key("a")), numbers(0, 80));
    for number in 0..3 {
        put_documents(
            storage,
            &key("d"),
            Mode::Append,
            &[doc! { "n": number }, doc! { "n": 0 }],
        )
        .unwrap();
    }
    let order: Vec<i32> = documents(storage, &key("d"))
        .iter()
        .map(|doc| doc.get_i32("n").unwrap())
        .collect();
    assert_eq!(order, [0, 0, 1, 0, 2, 0]);
}

pub fn append_makes_what_is_missing(storage: &dyn Storage) {
    let writer = storage.write(&key("a"), Mode::Append).unwrap();
    assert!(writer.current().is_none());
    drop(writer);
    put_rows(storage, &key("a"), Mode::Append, &numbers(0, 2)).unwrap();
    assert_eq!(rows(storage, &key("a")), numbers(0, 2));
    // To an object that holds nothing yet, too.
    finish(storage.write(&key("b"), Mode::Create).unwrap(), &key("b")).unwrap();
    put_rows(storage, &key("b"), Mode::Append, &numbers(0, 2)).unwrap();
    assert_eq!(rows(storage, &key("b")), numbers(0, 2));
    // An append of nothing leaves the content.
    finish(storage.write(&key("b"), Mode::Append).unwrap(), &key("b")).unwrap();
    assert_eq!(rows(storage, &key("b")), numbers(0, 2));
}

pub fn append_conflicts_with_a_replacement(storage: &dyn Storage) {
    put_rows(storage, &key("a"), Mode::Create, &numbers(0, 3)).unwrap();
    let mut writer = storage.write(&key("a"), Mode::Append).unwrap();
    writer.rows(numbers(3, 3)).unwrap();
    put_rows(storage, &key("a"), Mode::Replace, &numbers(100, 1)).unwrap();
    conflict(finish(writer, &key("a")));
    assert_eq!(rows(storage, &key("a")), numbers(100, 1));
}

pub fn append_conflicts_with_a_drop(storage: &dyn Storage) {
    put_rows(storage, &key("a"), Mode::Create, &numbers(0, 3)).unwrap();
    let mut writer = storage.write(&key("a"), Mode::Append).unwrap();
    writer.rows(numbers(3, 3)).unwrap();
    assert!(storage.delete(&key("a")).unwrap());
    conflict(finish(writer, &key("a")));
    assert_eq!(storage.find(&key("a")).unwrap(), None);
}

pub fn concurrent_appends_all_survive(storage: &dyn Storage) {
    // Both start while there is nothing, and end in the order of their commits.
    let mut one = storage.write(&key("a"), Mode::Append).unwrap();
    let mut two = storage.write(&key("a"), Mode::Append).unwrap();
    one.rows(numbers(10, 10)).unwrap();
    two.rows(numbers(0, 10)).unwrap();
    finish(two, &key("a")).unwrap();
    finish(one, &key("a")).unwrap();
    assert_eq!(rows(storage, &key("a")), numbers(0, 20));
    let mut other = storage.write(&key("b"), Mode::Append).unwrap();
    other.document(doc! { "x": 1 }).unwrap();
    put_rows(storage, &key("b"), Mode::Append, &numbers(0, 1)).unwrap();
    conflict(finish(other, &key("b")));

    std::thread::scope(|scope| {
        for thread in 0..4 {
            scope.spawn(move || {
                for number in 0..5 {
                    let frame = numbers(thread * 100 + number * 10, 10);
                    put_rows(storage, &key("c"), Mode::Append, &frame).unwrap();
                }
            });
        }
    });
    let all = rows(storage, &key("c"));
    let mut firsts: Vec<i64> = all
        .column("n")
        .unwrap()
        .i64()
        .unwrap()
        .into_no_null_iter()
        .collect();
    assert!(
        firsts
            .chunks(10)
            .all(|chunk| chunk.windows(2).all(|pair| pair[0] + 1 == pair[1]))
    );
    firsts.sort_unstable();
    let expected: Vec<i64> = (0..4)
        .flat_map(|t| (0..50).map(move |n| t * 100 + n))
        .collect();
    assert_eq!(firsts, expected);
}

pub fn append_refuses_other_content(storage: &dyn Storage) {
    put_rows(storage, &key("rows"), Mode::Create, &numbers(0, 1)).unwrap();
    put_documents(storage, &key("docs"), Mode::Create, &[doc! { "x": 1 }]).unwrap();
    conflict(put_documents(
        storage,
        &key("rows"),
        Mode::Append,
        &[doc! { "x": 1 }],
    ));
    conflict(put_rows(
        storage,
        &key("docs"),
        Mode::Append,
        &numbers(0, 1),
    ));
    let mut writer = storage.write(&key("rows"), Mode::Append).unwrap();
    conflict(writer.bytes(b"x"));
}

pub fn a_dropped_writer_leaves_no_trace(storage: &dyn Storage) {
    put_rows(storage, &key("a"), Mode::Create, &numbers(0, 3)).unwrap();
    for mode in [Mode::Replace, Mode::Append] {
        let mut writer = storage.write(&key("a"), mode).unwrap();
        assert_eq!(writer.current().map(Metadata::name), Some("a"));
        writer.rows(numbers(50, 200_000)).unwrap();
        drop(writer);
    }
    let mut writer = storage.write(&key("new"), Mode::Create).unwrap();
    writer.bytes(&[1; 500_000]).unwrap();
    drop(writer);
    let mut writer = storage.write(&key("new"), Mode::Create).unwrap();
    writer.document(doc! { "x": 1 }).unwrap();
    drop(writer);
    assert_eq!(rows(storage, &key("a")), numbers(0, 3));
    assert_eq!(storage.find(&key("new")).unwrap(), None);
}

pub fn content_of_two_sorts_is_refused(storage: &dyn Storage) {
    let mut writer = storage.write(&key("a"), Mode::Create).unwrap();
    writer.rows(numbers(0, 1)).unwrap();
    assert_eq!(writer.bytes(b"x").unwrap_err().kind(), ErrorKind::Invalid);
    assert_eq!(
        writer.document(doc! {}).unwrap_err().kind(),
        ErrorKind::Invalid
    );
    finish(writer, &key("a")).unwrap();
    assert_eq!(rows(storage, &key("a")), numbers(0, 1));
}

pub fn metadata_alone_is_an_object(storage: &dyn Storage) {
    let mut metadata = Metadata::new(key("a"), "pandas.rawdict");
    metadata.uri = Some("mongodb://elsewhere/x".to_owned());
    let writer = storage.write(&key("a"), Mode::Create).unwrap();
    let stored = writer.commit(metadata).unwrap();
    assert_eq!((&stored.content, stored.gridfile), (&None, None));
    assert_eq!(found(storage, &key("a")), stored);
    assert_eq!(storage.stats(&stored).unwrap().count, None);
    assert_eq!(
        storage.blob(&stored).err().map(|e| e.kind()),
        Some(ErrorKind::Invalid)
    );
}

pub fn drop_deletes_and_says_so(storage: &dyn Storage) {
    put_rows(storage, &key("a"), Mode::Create, &numbers(0, 3)).unwrap();
    put_documents(storage, &key("b"), Mode::Create, &[doc! { "x": 1 }]).unwrap();
    put_blob(storage, &key("c"), b"x").unwrap();
    for name in ["a", "b", "c"] {
        assert!(storage.delete(&key(name)).unwrap());
        assert!(!storage.delete(&key(name)).unwrap());
        assert_eq!(storage.find(&key(name)).unwrap(), None);
    }
    put_rows(storage, &key("a"), Mode::Create, &numbers(1, 1)).unwrap();
    assert_eq!(rows(storage, &key("a")), numbers(1, 1));
}

pub fn rename_moves_everything(storage: &dyn Storage) {
    let before = put_rows(storage, &key("a"), Mode::Create, &numbers(0, 3)).unwrap();
    let to = Key::new("other", "models/", "b/c");
    let after = storage.rename(&key("a"), &to).unwrap();
    assert_eq!(storage.find(&key("a")).unwrap(), None);
    assert_eq!(found(storage, &to), after);
    assert!(after.collection.is_some() && after.collection != Some(key("a").collection()));
    assert_eq!(
        (after.id, after.created, &after.key),
        (before.id, before.created, &to)
    );
    assert!(after.modified >= before.modified);
    assert_eq!(rows(storage, &to), numbers(0, 3));
    put_rows(storage, &to, Mode::Append, &numbers(3, 1)).unwrap();
    assert_eq!(rows(storage, &to), numbers(0, 4));
    let blob = put_blob(storage, &key("blob"), b"x").unwrap();
    let moved = storage.rename(&key("blob"), &key("moved")).unwrap();
    assert_eq!((moved.gridfile, &moved.collection), (blob.gridfile, &None));
    assert_eq!(bytes(storage, &key("moved")), b"x");
    assert_eq!(storage.rename(&key("moved"), &key("moved")).unwrap(), moved);
}

pub fn rename_conflicts_with_what_exists(storage: &dyn Storage) {
    put_rows(storage, &key("a"), Mode::Create, &numbers(0, 1)).unwrap();
    put_rows(storage, &key("b"), Mode::Create, &numbers(5, 1)).unwrap();
    conflict(storage.rename(&key("a"), &key("b")));
    assert_eq!(
        storage.rename(&key("z"), &key("b")).unwrap_err().kind(),
        ErrorKind::NotFound
    );
    assert_eq!(rows(storage, &key("a")), numbers(0, 1));
    assert_eq!(rows(storage, &key("b")), numbers(5, 1));
}
