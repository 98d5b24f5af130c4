//! Documents, collections, arrays and files: `python.data`, `pandas.rawdict`,
//! `ndarray.bin`, `python.file`, `pandas.csv`.

use super::{Both, assert_rows, bytes};
use bson::{Bson, bson, doc};
use omega::store::{Object, PutOptions};
use polars::prelude::*;
use serde_json::json;

#[test]
fn documents_go_both_ways() {
    let mut both = Both::new();
    let value = bson!({ "a": 1, "f": 1.5, "s": "ü", "n": null, "b": true, "l": [1, "z", { "q": 2 }], "x.y": 2 });
    let python =
        "{'a': 1, 'f': 1.5, 's': 'ü', 'n': None, 'b': True, 'l': [1, 'z', {'q': 2}], 'x.y': 2}";
    both.python
        .eval(&format!("om.datasets.put({python}, 'theirs', index=['a'])"));
    assert_eq!(both.values("theirs"), std::slice::from_ref(&value));
    both.put_values("ours", vec![value.clone()]);
    assert_eq!(
        both.python
            .eval(&format!("om.datasets.get('ours') == [{python}]")),
        true
    );

    let last = both.put_values("theirs", vec![Bson::from("later")]);
    both.python.eval("om.datasets.put({'b': 2}, 'ours')");
    assert_eq!(both.values("theirs"), [value.clone(), Bson::from("later")]);
    assert_eq!(both.values("ours"), [value.clone(), bson!({ "b": 2 })]);
    for (name, second) in [("theirs", "'later'"), ("ours", "{'b': 2}")] {
        let whole = format!("om.datasets.get('{name}') == [{python}, {second}]");
        assert_eq!(both.python.eval(&whole), true, "{name}");
        let newest = format!(
            "[str(d['_id']) for d in om.datasets.collection('{name}').find()][-1] == str(om.datasets.metadata('{name}').objid)"
        );
        assert_eq!(both.python.eval(&newest), true, "{name}");
    }
    assert!(last.objid.is_some());

    // Lists: one document, or one each where they hold lists.
    both.python.run(
        "om.datasets.put([[1, 2], [3, 4]], 'rows'); om.datasets.put([{'a': 1}, {'a': 2}], 'list')",
    );
    assert_eq!(both.values("rows"), [bson!([1, 2]), bson!([3, 4])]);
    assert_eq!(both.values("list"), [bson!([{ "a": 1 }, { "a": 2 }])]);
    both.put_values("ours/rows", vec![bson!([1, 2]), bson!([3, 4])]);
    assert_eq!(
        both.python.eval("om.datasets.get('ours/rows')"),
        json!([[1, 2], [3, 4]])
    );

    for name in ["theirs", "rows", "list"] {
        both.om.datasets.drop(name).unwrap();
    }
    both.python
        .run("om.datasets.drop('ours'); om.datasets.drop('ours/rows')");
    both.nothing_left("documents");
}

#[test]
fn collections_go_both_ways() {
    let mut both = Both::new();
    both.python.run(
        "db['their_collection'].insert_many([{'a': i, 'b': {'c': i * 2}} for i in range(3)]); \
         om.datasets.put(db['their_collection'], 'registered'); \
         om.datasets.put([{'a': 1, 'b': {'c': 'x'}}], 'raw', as_raw=True)",
    );
    let three = df!("a" => [0i64, 1, 2], "b.c" => [0i64, 2, 4]).unwrap();
    assert_rows(&both.frame("registered"), &three, "registered");
    let one = df!("a" => [1i64], "b.c" => ["x"]).unwrap();
    assert_rows(&both.frame("raw"), &one, "raw");

    // What is added without naming a kind stays a collection of documents.
    let more = bson!({ "a": 9, "b": { "c": 8 } });
    both.put_values("registered", vec![more.clone()]);
    both.python.same(
        "om.datasets.get('registered')",
        "pd.DataFrame({'a': [0, 1, 2, 9], 'b.c': [0, 2, 4, 8]})",
        true,
    );
    let options = PutOptions {
        kind: Some("pandas.rawdict".into()),
        index: vec!["a".into(), "-b.c".into()],
        ..PutOptions::default()
    };
    let object = Object::Values(vec![more.clone()]);
    both.om.datasets.put("ours", object, &options).unwrap();
    both.python.run("om.datasets.put([{'a': 1}], 'ours')");
    both.python.same(
        "om.datasets.get('ours')",
        "pd.DataFrame({'a': [9, 1], 'b.c': [8, np.nan]})",
        true,
    );
    let indexes = both
        .python
        .eval("sorted(om.datasets.collection('ours').index_information())");
    // md5 of [('a', 1), ('b.c', -1)]
    assert_eq!(indexes, json!(["_id_", "f58f9fcec1cb438c3f3a2c7fbac7c12e"]));
    let text = both.om.datasets.put(
        "raw",
        Object::Values(vec![Bson::from("x")]),
        &PutOptions::default(),
    );
    assert!(
        text.unwrap_err()
            .hint_text()
            .unwrap()
            .contains("python.data")
    );

    // A directory holds them as well.
    let home = tempfile::tempdir().unwrap();
    let embedded = omega::Omega::embedded(home.path()).unwrap();
    let datasets = &both.om.datasets;
    datasets
        .copy("registered", &embedded.datasets, "away", false)
        .unwrap();
    let away = embedded.datasets.collect("away", &Default::default());
    assert_rows(&away.unwrap(), &both.frame("registered"), "away");
    embedded
        .datasets
        .put("away", Object::Values(vec![more]), &PutOptions::default())
        .unwrap();
    embedded
        .datasets
        .copy("away", datasets, "back", false)
        .unwrap();
    both.python.same(
        "om.datasets.get('back')",
        "pd.DataFrame({'a': [0, 1, 2, 9, 9], 'b.c': [0, 2, 4, 8, 8]})",
        true,
    );
    both.om.datasets.drop("back").unwrap();

    both.om.datasets.drop("registered").unwrap();
    both.om.datasets.drop("raw").unwrap();
    both.python.run("om.datasets.drop('ours')");
    both.nothing_left("collections");
    assert!(
        !both
            .raw
            .collections()
            .contains(&"their_collection".to_owned())
    );
}

#[test]
fn arrays_and_files_go_both_ways() {
    let mut both = Both::new();
    let arrays = [
        ("ints", "np.arange(5)"),
        ("floats", "np.arange(6.).reshape(2, 3)"),
        ("fortran", "np.asfortranarray(np.arange(6.).reshape(2, 3))"),
        ("small", "np.array([[1.5]], 'float32')"),
        ("bools", "np.array([True, False])"),
        ("texts", "np.array(['a', 'bcd'])"),
    ];
    for (name, array) in arrays {
        both.python
            .eval(&format!("om.datasets.put({array}, '{name}')"));
        let theirs = both.document("data/", name);
        let stored = bytes(both.om.datasets.get(name).unwrap());
        assert_eq!(stored, both.file(&theirs), "{name}");
        let object = Object::Array(Box::new(std::io::Cursor::new(stored)));
        let ours = format!("ours/{name}");
        both.om
            .datasets
            .put(&ours, object, &PutOptions::default())
            .unwrap();
        let got = both.python.eval(&format!("om.datasets.get('{ours}')"));
        assert_eq!(got, both.python.eval(array), "{name}");
        let ours = both.document("data/", &ours);
        assert_eq!(ours.get("kind_meta"), theirs.get("kind_meta"), "{name}");
    }
    let content: Vec<u8> = (0..600_000u32).flat_map(u32::to_le_bytes).collect();
    for (name, content) in [("long", content), ("empty", Vec::new())] {
        let object = Object::File(Box::new(std::io::Cursor::new(content.clone())));
        both.om
            .datasets
            .put(name, object, &PutOptions::default())
            .unwrap();
        both.python.run(&format!(
            "data = om.datasets.get('{name}').read(); import io; om.datasets.put(io.BytesIO(data), 'theirs/{name}', kind='python.file')"
        ));
        assert_eq!(both.python.eval("len(data)"), content.len(), "{name}");
        let theirs = format!("theirs/{name}");
        assert!(
            bytes(both.om.datasets.get(&theirs).unwrap()) == content,
            "{name}"
        );
        // Either replaces what the other has put.
        let object = Object::File(Box::new(std::io::Cursor::new(b"new".to_vec())));
        both.om
            .datasets
            .put(&theirs, object, &PutOptions::default())
            .unwrap();
        both.python.run(&format!(
            "om.datasets.put(io.BytesIO(b'new'), '{name}', kind='python.file')"
        ));
        assert_eq!(
            both.python.eval(&format!("om.datasets.get('{theirs}')")),
            "6e6577"
        );
        assert_eq!(bytes(both.om.datasets.get(name).unwrap()), b"new");
    }
    for (name, _) in arrays {
        both.om.datasets.drop(name).unwrap();
        both.python
            .eval(&format!("om.datasets.drop('ours/{name}')"));
    }
    both.om.datasets.drop("theirs/long").unwrap();
    both.om.datasets.drop("theirs/empty").unwrap();
    both.python
        .run("om.datasets.drop('long'); om.datasets.drop('empty')");
    both.nothing_left("arrays and files");
}

#[test]
fn csv_elsewhere_is_read() {
    let mut both = Both::new();
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("x.csv");
    std::fs::write(&path, "a;b\n1;x\n2;y\n").unwrap();
    both.python.run(&format!(
        "m = om.datasets.make_metadata('far', 'pandas.csv', kind_meta={{'pandas_kwargs': {{'sep': ';'}}}}, uri='file://{}').save(); \
         om.datasets.make_metadata('farther', 'pandas.csv', uri='s3://bucket/x.csv').save()",
        path.display()
    ));
    let expected = df!("a" => [1i64, 2], "b" => ["x", "y"]).unwrap();
    assert_rows(&both.frame("far"), &expected, "far");
    let error = both.om.datasets.get("farther").err().unwrap();
    assert!(error.to_string().contains("s3://bucket/x.csv"), "{error}");
    let datasets = &both.om.datasets;
    datasets.copy("far", datasets, "copied", false).unwrap();
    assert_rows(&both.frame("copied"), &expected, "copied");
    assert_eq!(
        both.document("data/", "copied")
            .get_document("kind_meta")
            .ok(),
        Some(&doc! { "pandas_kwargs": { "sep": ";" } })
    );
    for name in ["far", "farther", "copied"] {
        datasets.drop(name).unwrap();
    }
    both.nothing_left("csv");
    assert!(path.exists(), "what lies elsewhere stays there");
}
