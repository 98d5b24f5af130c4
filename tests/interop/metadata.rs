//! Metadata, attributes and indexes that both sides change.

use super::Both;
use bson::{Bson, bson, doc};
use omega::storage::Update;
use omega::store::{Object, PutMode, PutOptions};
use polars::prelude::*;
use serde_json::json;

fn table() -> DataFrame {
    df!("x" => [1i64, 2], "f" => [0.5, 1.5]).unwrap()
}

#[test]
fn indexes_are_where_each_looks_for_them() {
    let mut both = Both::new();
    let options = PutOptions {
        index: vec!["x".into(), "-f".into()],
        ..PutOptions::default()
    };
    both.om
        .datasets
        .put("ours", Object::frame(table()), &options)
        .unwrap();
    both.python.run(
        "om.datasets.put(pd.DataFrame({'x': [1, 2], 'f': [.5, 1.5]}), 'theirs', index=['x', '-f'])",
    );
    let of = |name: &str| {
        format!(
            "{{k: v['key'] for k, v in om.datasets.collection('{name}').index_information().items()}}"
        )
    };
    let theirs = both.python.eval(&of("theirs"));
    assert_eq!(both.python.eval(&of("ours")), theirs);
    assert_eq!(theirs.as_object().unwrap().len(), 4, "{theirs}");
    // Adding makes no index twice, on either side.
    both.python
        .run("om.datasets.put(pd.DataFrame({'x': [3], 'f': [2.]}), 'ours', index=['x', '-f'])");
    both.om
        .datasets
        .put("theirs", Object::frame(table()), &options)
        .unwrap();
    assert_eq!(both.python.eval(&of("ours")), theirs);
    assert_eq!(both.python.eval(&of("theirs")), theirs);

    let indexed = PutOptions {
        index: vec!["a".into()],
        ..PutOptions::default()
    };
    both.om
        .datasets
        .put("values", Object::Values(vec![bson!({ "a": 1 })]), &indexed)
        .unwrap();
    both.python
        .run("om.datasets.put({'a': 1}, 'python/values', index=['a'])");
    let theirs = both.python.eval(&of("python/values"));
    assert_eq!(both.python.eval(&of("values")), theirs);
    assert_eq!(theirs.as_object().unwrap().len(), 2, "{theirs}");

    both.put_frame(
        "index",
        &df!("_idx#0_k" => ["b", "a"], "x" => [1i64, 2]).unwrap(),
        PutMode::Create,
        None,
    );
    both.python.run("om.datasets.put(pd.DataFrame({'x': [1, 2]}, index=pd.Index(['b', 'a'], name='k')), 'python/index')");
    assert_eq!(
        both.python.eval(&of("index")),
        both.python.eval(&of("python/index"))
    );
    let found = both
        .python
        .eval("int(om.datasets.getl('index').loc['a'].value)");
    assert_eq!(found, 2);
    assert_eq!(
        both.python.eval("sorted(db.metadata.index_information())"),
        json!([
            "_id_",
            "bucket_1_prefix_1_name_1",
            "created_1",
            "name_1_bucket_1_prefix_1"
        ])
    );
    both.om
        .datasets
        .put(
            "file",
            Object::File(Box::new(&b"x"[..])),
            &Default::default(),
        )
        .unwrap();
    let chunks = both
        .python
        .eval("sorted(db['omegaml.chunks'].index_information())");
    assert!(
        chunks
            .as_array()
            .unwrap()
            .contains(&json!("118cc4443d82b06141ca0856e71fde62")),
        "{chunks}"
    );
}

#[test]
fn changes_of_different_attributes_both_stay() {
    let mut both = Both::new();
    both.put_frame("shared", &table(), PutMode::Create, None);
    // Python has read it before om changes it, and writes after.
    both.python
        .run("m = om.datasets.metadata('shared'); m.attributes['theirs'] = {'a': [1, 2]}");
    let ours = Update {
        set: vec![("attributes.ours".into(), Bson::from("me"))],
        ..Update::default()
    };
    both.om.datasets.update("shared", &ours).unwrap();
    both.python.run("m.save()");
    let expected = doc! { "ours": "me", "theirs": { "a": [1, 2] } };
    let attributes = both.om.datasets.metadata("shared").unwrap().attributes;
    assert_eq!(sorted(attributes), expected);
    assert_eq!(
        both.python
            .eval("dict(om.datasets.metadata('shared').attributes)"),
        json!({ "ours": "me", "theirs": { "a": [1, 2] } })
    );
    // om adds rows that it has read the metadata for before Python changes it again.
    both.python
        .run("m = om.datasets.metadata('shared'); m.attributes['more'] = 1; m.save()");
    both.put_frame("shared", &table(), PutMode::Append, None);
    assert_eq!(
        both.python
            .eval("sorted(om.datasets.metadata('shared').attributes)"),
        json!(["more", "ours", "theirs"])
    );

    // An empty document of attributes is none at all, as Python leaves it.
    both.python
        .run("m = om.datasets.metadata('shared'); m.attributes.clear(); m.save()");
    both.put_frame("shared", &table(), PutMode::Append, None);
    assert!(
        both.om
            .datasets
            .metadata("shared")
            .unwrap()
            .attributes
            .is_empty()
    );
    assert_eq!(both.python.eval("len(om.datasets.get('shared'))"), 6);
}

fn sorted(document: bson::Document) -> bson::Document {
    let mut fields: Vec<_> = document.into_iter().collect();
    fields.sort_by(|one, two| one.0.cmp(&two.0));
    fields.into_iter().collect()
}

#[test]
fn fields_that_nobody_knows_stay() {
    let mut both = Both::new();
    both.python
        .run("om.datasets.put(pd.DataFrame({'x': [1, 2], 'f': [.5, 1.5]}), 'theirs')");
    let change = doc! { "$set": { "newer": { "a": 1 }, "kind_meta.newer": true } };
    both.raw
        .update("metadata", doc! { "name": "theirs" }, change);
    let before = both.document("data/", "theirs");
    both.put_frame("theirs", &table(), PutMode::Append, None);
    let set = Update {
        set: vec![("attributes.a".into(), Bson::from(1))],
        ..Update::default()
    };
    both.om.datasets.update("theirs", &set).unwrap();
    both.om.datasets.rename("theirs", "renamed").unwrap();
    let after = both.document("data/", "renamed");
    for field in ["_id", "newer", "kind_meta", "kind", "created", "s3file"] {
        assert_eq!(after.get(field), before.get(field), "{field}");
    }
    both.python.same(
        "om.datasets.get('renamed')",
        "pd.DataFrame({'x': [1, 2, 1, 2], 'f': [.5, 1.5, .5, 1.5]})",
        true,
    );
    both.python.run("om.datasets.drop('renamed')");
    both.nothing_left("renamed");
}
