//! Documents.

use super::given::*;
use bson::oid::ObjectId;
use bson::{Bson, Document, doc};
use omega::storage::{Metadata, Mode, Storage};

fn numbered(count: i32) -> Vec<Document> {
    numbers(0..count)
}

fn numbers(range: std::ops::Range<i32>) -> Vec<Document> {
    range
        .map(|n| doc! { "_id": n, "n": n, "text": "x".repeat(n as usize % 50) })
        .collect()
}

pub fn come_back_in_order(storage: &dyn Storage) {
    let all = numbered(1000);
    let stored = put_documents(storage, &key("a"), Mode::Create, &all).unwrap();
    assert_eq!(documents(storage, &key("a")), all);
    assert_eq!(storage.stats(&stored).unwrap().count, Some(1000));
    assert!(storage.stats(&stored).unwrap().bytes > 1000);
    put_documents(storage, &key("other"), Mode::Create, &numbered(3)).unwrap();
    put_documents(storage, &key("a"), Mode::Append, &numbers(1000..1010)).unwrap();
    let both: Vec<Document> = all.into_iter().chain(numbers(1000..1010)).collect();
    assert_eq!(documents(storage, &key("a")), both);
    assert_eq!(
        storage.stats(&found(storage, &key("a"))).unwrap().count,
        Some(1010)
    );
}

pub fn get_an_id(storage: &dyn Storage) {
    let id = ObjectId::new();
    let given = [doc! { "z": 1, "a": 2 }, doc! { "a": 1, "_id": id }, doc! {}];
    put_documents(storage, &key("a"), Mode::Create, &given).unwrap();
    let stored = documents(storage, &key("a"));
    assert!(stored[0].keys().eq(["_id", "z", "a"]));
    assert!(stored[0].get_object_id("_id").is_ok());
    assert_eq!(stored[1], given[1]);
    assert!(stored[2].keys().eq(["_id"]));
    assert_ne!(stored[0].get("_id"), stored[2].get("_id"));
}

pub fn name_the_last_one(storage: &dyn Storage) {
    for mode in [Mode::Create, Mode::Append, Mode::Replace] {
        let stored = put_documents(
            storage,
            &key("a"),
            mode,
            &[doc! { "x": 1 }, doc! { "x": 2 }],
        )
        .unwrap();
        let last = documents(storage, &key("a")).pop().unwrap();
        assert_eq!(stored.objid, last.get_object_id("_id").ok(), "{mode:?}");
    }
    // Only documents of this kind.
    let mut writer = storage.write(&key("raw"), Mode::Create).unwrap();
    writer.document(doc! { "x": 1 }).unwrap();
    let stored = writer
        .commit(Metadata::new(key("raw"), "pandas.rawdict"))
        .unwrap();
    assert_eq!(stored.objid, None);
}

pub fn keep_their_types(storage: &dyn Storage) {
    let document = doc! {
        "_id": "text", "int": 1_i32, "long": 1_i64, "double": 1.0, "nan": f64::NAN, "inf": f64::INFINITY,
        "none": null, "bool": false, "date": bson::DateTime::from_millis(-1), "oid": ObjectId::new(),
        "bytes": Bson::Binary(bson::Binary { subtype: bson::spec::BinarySubtype::Generic, bytes: vec![0, 255] }),
        "regex": Bson::RegularExpression(bson::Regex { pattern: "a".try_into().unwrap(), options: "i".try_into().unwrap() }),
        "stamp": Bson::Timestamp(bson::Timestamp { time: 1, increment: 2 }),
        "deep": { "list": [[], [{}, { "ünï": "🦀" }]], "a.b": 1, "": 2, "$x": 3 },
        "decimal": Bson::Decimal128("1.50".parse().unwrap()), "min": Bson::MinKey, "max": Bson::MaxKey,
    };
    put_documents(
        storage,
        &key("a"),
        Mode::Create,
        std::slice::from_ref(&document),
    )
    .unwrap();
    let stored = documents(storage, &key("a")).remove(0);
    assert!(stored.get_f64("nan").unwrap().is_nan());
    let (mut stored, mut document) = (stored, document);
    stored.remove("nan");
    document.remove("nan");
    assert_eq!(stored, document);
    assert!(stored.keys().eq(document.keys()));
}

pub fn are_many(storage: &dyn Storage) {
    let mut writer = storage.write(&key("a"), Mode::Create).unwrap();
    let text = "y".repeat(1000);
    for n in 0..20_000 {
        writer.document(doc! { "_id": n, "text": &text }).unwrap();
    }
    writer.commit(Metadata::new(key("a"), DATA)).unwrap();
    let mut count = 0;
    for document in storage.documents(&found(storage, &key("a"))).unwrap() {
        assert_eq!(document.unwrap().get_i32("_id").ok(), Some(count));
        count += 1;
    }
    assert_eq!(count, 20_000);
}

pub fn survive_being_replaced_while_read(storage: &dyn Storage) {
    put_documents(storage, &key("a"), Mode::Create, &numbered(2000)).unwrap();
    let metadata = found(storage, &key("a"));
    let mut reader = storage.documents(&metadata).unwrap();
    assert_eq!(reader.next().unwrap().unwrap().get_i32("n").ok(), Some(0));
    put_documents(storage, &key("a"), Mode::Append, &numbers(2000..2010)).unwrap();
    put_documents(storage, &key("a"), Mode::Replace, &[doc! { "new": 1 }]).unwrap();
    assert_eq!(reader.count(), 1999);
    storage.delete(&key("a")).unwrap();
    assert!(storage.documents(&metadata).is_err());
}
