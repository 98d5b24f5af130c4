//! `om … copy` between profiles, as a user meets it.

#![allow(clippy::unwrap_used, clippy::panic)]

mod om;

use bson::doc;
use om::{Om, failed};
use omega::storage::embedded::{EmbeddedStorage, Options};
use omega::storage::{Key, Metadata, Mode, Storage};
use serde_json::{Value, json};

const TABLE: &str = "a.b,at,n,day\nx,2024-01-01T10:00:00.123456Z,1.5,2024-01-01\n\"y,z\",,NaN,\n,1969-12-31T23:59:59.999999Z,,2024-01-03\n";

/// A machine with a store, and another one under the profile `prod`.
fn two_stores() -> Om {
    let om = Om::new();
    let url = format!("file://{}", om.path("prod").display());
    om.ok(&[
        "config",
        "set",
        "OMEGA_STORE_URL",
        &url,
        "--profile",
        "prod",
    ]);
    om
}

fn put(om: &Om, name: &str, csv: &str) {
    let run = om.pipe(
        &["datasets", "put", "-", name, "--replace", "--format", "csv"],
        csv,
    );
    assert_eq!(run.code, 0, "{}", run.stderr);
}

/// What `om` says of the objects in `prod`.
fn prod(om: &Om, args: &[&str]) -> String {
    om.ok(&[args, &["--profile", "prod"]].concat())
}

/// Names and statuses of what a copy has done.
fn statuses(copied: &Value) -> Vec<(String, String)> {
    let text = |entry: &Value, key: &str| entry[key].as_str().unwrap().to_owned();
    let entries = copied.as_array().unwrap().iter();
    entries
        .map(|entry| (text(entry, "name"), text(entry, "status")))
        .collect()
}

fn pairs(expected: &[(&str, &str)]) -> Vec<(String, String)> {
    let pairs = expected.iter();
    pairs
        .map(|(name, status)| ((*name).to_owned(), (*status).to_owned()))
        .collect()
}

fn copy(om: &Om, args: &[&str]) -> Value {
    om.json(&[&["datasets", "copy"], args, &["--to-profile", "prod"]].concat())
}

#[test]
fn every_kind_arrives_with_its_attributes() {
    let om = two_stores();
    put(&om, "table", TABLE);
    let document = om.file(
        "d.json",
        r#"{"a": 1, "b": [1.5, null, {"c": "x"}], "big": 3000000000}"#,
    );
    om.ok(&["datasets", "put", &document, "document"]);
    om.ok(&["datasets", "put", &document, "document"]);
    let file = om.file("f.bin", vec![7u8; 3_000_000]);
    om.ok(&["datasets", "put", &file, "file", "--attr", "owner=jane"]);
    let empty = om.file("empty.bin", "");
    om.ok(&["datasets", "put", &empty, "empty"]);
    let storage = EmbeddedStorage::open(&om.store(), Options::default()).unwrap();
    let foreign = Key::new("omegaml", "data/", "foreign");
    let mut writer = storage.write(&foreign, Mode::Create).unwrap();
    writer.bytes(b"only Python knows").unwrap();
    let mut metadata = Metadata::new(foreign, "pandas.hdf");
    metadata.kind_meta = doc! { "deep": { "er": [1, 2] } };
    metadata.attributes = doc! { "docs": "https://example.com" };
    writer.commit(metadata).unwrap();

    let names = ["document", "empty", "file", "foreign", "table"];
    let copied = copy(&om, &["*"]);
    let expected: Vec<_> = names.iter().map(|name| (*name, "copied")).collect();
    assert_eq!(statuses(&copied), pairs(&expected));
    assert_eq!(copied[0]["rows"], 2);
    assert_eq!(copied[2]["bytes"], 3_000_000);
    assert_eq!(copied[4]["rows"], 3);
    assert!(copied[4]["seconds"].is_number() && copied[4]["error"].is_null());
    for name in names {
        let get = ["datasets", "get", name, "-"];
        assert_eq!(prod(&om, &get), om.ok(&get), "{name}");
        let metadata = |text: String| {
            let mut metadata: Value = serde_json::from_str(&text).unwrap();
            let object = metadata.as_object_mut().unwrap();
            for own in ["_id", "created", "modified", "gridfile", "objid"] {
                object.shift_remove(own);
            }
            metadata
        };
        let args = ["datasets", "metadata", name];
        assert_eq!(metadata(prod(&om, &args)), metadata(om.ok(&args)), "{name}");
    }
    prod(&om, &["store", "check"]);
}

#[test]
fn models_are_copied_and_run_there() {
    let om = two_stores();
    om.ok(&["models", "put", "linear-regression", "lin/reg"]);
    om.ok(&[
        "runtime",
        "model",
        "lin/reg",
        "fit",
        "[[1],[2],[3]]",
        "[2,4,6]",
    ]);
    om.ok(&["models", "copy", "lin/*", "live/", "--to-profile", "prod"]);
    let predicted = prod(&om, &["runtime", "model", "live/reg", "predict", "[[4]]"]);
    assert_eq!(
        predicted,
        om.ok(&["runtime", "model", "lin/reg", "predict", "[[4]]"])
    );
}

/// A copy that was interrupted goes on where it was: what is there is compared.
#[test]
fn what_is_copied_is_left_alone() {
    let om = two_stores();
    for name in ["raw/a", "raw/b", "raw/deep/c", "other"] {
        put(&om, name, &format!("n,t\n1,{name}\n2,x\n"));
    }
    let made = pairs(&[
        ("raw/a", "copied"),
        ("raw/b", "copied"),
        ("raw/deep/c", "copied"),
    ]);
    let same = pairs(&[
        ("raw/a", "unchanged"),
        ("raw/b", "unchanged"),
        ("raw/deep/c", "unchanged"),
    ]);
    assert_eq!(statuses(&copy(&om, &["raw/*", "arch/"])), made);
    assert_eq!(
        prod(&om, &["datasets", "list"]),
        "arch/a\narch/b\narch/deep/c\n"
    );
    let before = prod(&om, &["datasets", "metadata", "arch/a"]);
    assert_eq!(statuses(&copy(&om, &["raw/*", "arch/"])), same);
    assert_eq!(
        statuses(&copy(&om, &["raw/*", "arch/", "--replace", "-y"])),
        same
    );
    assert_eq!(prod(&om, &["datasets", "metadata", "arch/a"]), before);
    prod(&om, &["datasets", "drop", "arch/b"]);
    let resumed = pairs(&[
        ("raw/a", "unchanged"),
        ("raw/b", "copied"),
        ("raw/deep/c", "unchanged"),
    ]);
    assert_eq!(statuses(&copy(&om, &["raw/*", "arch/"])), resumed);
    // A single object is compared too.
    assert_eq!(
        statuses(&copy(&om, &["raw/a", "arch/a"])),
        pairs(&[("raw/a", "unchanged")])
    );
    // Without a target names stay as they are; a pattern of whole names has nothing fixed.
    assert_eq!(statuses(&copy(&om, &["o*"])), pairs(&[("other", "copied")]));
    assert_eq!(prod(&om, &["datasets", "list", "o*"]), "other\n");
}

#[test]
fn what_differs_is_a_conflict_unless_replaced() {
    let om = two_stores();
    for name in ["a", "b", "c"] {
        put(&om, name, "n,t\n1,x\n2,y\n");
    }
    copy(&om, &["*"]);
    // The same number of rows, one value is another; more rows; another kind.
    put(&om, "a", "n,t\n1,x\n2,z\n");
    put(&om, "b", "n,t\n1,x\n2,y\n3,z\n");
    put(&om, "d", "n\n1\n");
    let file = om.file("f.bin", "x");
    om.ok(&["datasets", "put", &file, "c", "--replace"]);

    om.fails(
        &["datasets", "copy", "a", "--to-profile", "prod"],
        5,
        "--replace",
    );
    let dry = copy(&om, &["*", "--dry-run"]);
    let planned = pairs(&[
        ("a", "conflict"),
        ("b", "conflict"),
        ("c", "conflict"),
        ("d", "copy"),
    ]);
    assert_eq!(statuses(&dry), planned);
    let dry = copy(&om, &["*", "--dry-run", "--replace"]);
    let planned = pairs(&[
        ("a", "replace"),
        ("b", "replace"),
        ("c", "replace"),
        ("d", "copy"),
    ]);
    assert_eq!(statuses(&dry), planned);
    assert_eq!(prod(&om, &["datasets", "list"]), "a\nb\nc\n");

    let run = om.run(&[
        "datasets",
        "copy",
        "*",
        "--to-profile",
        "prod",
        "-o",
        "json",
    ]);
    assert_eq!(run.code, 5, "{}", run.stderr);
    let done: Value = serde_json::from_str(&run.stdout).unwrap();
    let expected = pairs(&[
        ("a", "failed"),
        ("b", "failed"),
        ("c", "failed"),
        ("d", "copied"),
    ]);
    assert_eq!(statuses(&done), expected);
    assert!(
        done[0]["error"].as_str().unwrap().contains("data/a"),
        "{done}"
    );
    assert!(
        run.stderr.contains("3 of 4 datasets were not copied"),
        "{}",
        run.stderr
    );
    assert_eq!(prod(&om, &["datasets", "get", "a", "-"]), "n,t\n1,x\n2,y\n");

    let replace = ["datasets", "copy", "*", "--to-profile", "prod", "--replace"];
    om.fails(&replace, 2, "Replace 4 datasets");
    let replaced = copy(&om, &["*", "--replace", "-y"]);
    let expected = pairs(&[
        ("a", "copied"),
        ("b", "copied"),
        ("c", "copied"),
        ("d", "unchanged"),
    ]);
    assert_eq!(statuses(&replaced), expected);
    assert_eq!(prod(&om, &["datasets", "get", "a", "-"]), "n,t\n1,x\n2,z\n");
}

/// Attributes are no content, but they are replaced with it.
#[test]
fn attributes_alone_differ() {
    let om = two_stores();
    let file = om.file("f.bin", "x");
    om.ok(&["datasets", "put", &file, "f", "--attr", "owner=jane"]);
    copy(&om, &["f"]);
    om.ok(&["datasets", "put", &file, "f", "--attr", "owner=joe"]);
    let run = om.run(&["datasets", "copy", "f", "--to-profile", "prod"]);
    assert!(run.stdout.contains("unchanged"), "{}", run.stdout);
    assert!(run.stderr.contains("other attributes"), "{}", run.stderr);
    let copied = copy(&om, &["f", "--replace"]);
    assert_eq!(statuses(&copied), pairs(&[("f", "copied")]));
    let metadata = prod(&om, &["datasets", "metadata", "f", "-o", "json"]);
    let metadata: Value = serde_json::from_str(&metadata).unwrap();
    assert_eq!(metadata["attributes"], json!({"owner": "joe"}));
}

/// One object that cannot be read does not keep the others back, and leaves nothing.
#[test]
fn a_damaged_object_fails_alone() {
    let om = two_stores();
    for name in ["a", "b", "c"] {
        let file = om.file("f.bin", format!("content of {name}").repeat(1000));
        om.ok(&["datasets", "put", &file, name]);
    }
    let damaged = std::fs::read_dir(om.store().join("content")).unwrap();
    let damaged = damaged
        .map(|entry| entry.unwrap().path())
        .find(|path| std::fs::read(path).unwrap().starts_with(b"content of b"))
        .unwrap();
    let mut bytes = std::fs::read(&damaged).unwrap();
    bytes[5_000] ^= 1;
    std::fs::write(&damaged, bytes).unwrap();
    let run = om.run(&[
        "datasets",
        "copy",
        "*",
        "--to-profile",
        "prod",
        "-o",
        "json",
    ]);
    assert_eq!(run.code, 1, "{}", run.stderr);
    let done: Value = serde_json::from_str(&run.stdout).unwrap();
    let expected = pairs(&[("a", "copied"), ("b", "failed"), ("c", "copied")]);
    assert_eq!(statuses(&done), expected);
    assert!(run.stderr.contains("b is not copied"), "{}", run.stderr);
    assert_eq!(prod(&om, &["datasets", "list"]), "a\nc\n");
    let check = prod(&om, &["store", "check", "-o", "json"]);
    let check: Value = serde_json::from_str(&check).unwrap();
    assert_eq!(
        (&check["objects"], &check["leftovers"]),
        (&json!(2), &json!(0))
    );
}

#[test]
fn profiles_and_buckets_are_any_two() {
    let om = two_stores();
    put(&om, "t", "n\n1\n");
    let put_there = om.path("back");
    let url = format!("file://{}", put_there.display());
    om.ok(&[
        "config",
        "set",
        "OMEGA_STORE_URL",
        &url,
        "--profile",
        "back",
    ]);
    om.ok(&[
        "config",
        "set",
        "OMEGA_BUCKET",
        "attic",
        "--profile",
        "back",
    ]);
    copy(&om, &["t", "x", "--to-bucket", "team"]);
    assert_eq!(prod(&om, &["datasets", "list", "--bucket", "team"]), "x\n");
    // From one named profile to another one, whose bucket counts.
    let from = [
        "datasets",
        "copy",
        "x",
        "--profile",
        "prod",
        "--bucket",
        "team",
    ];
    om.ok(&[&from[..], &["--to-profile", "back"]].concat());
    assert_eq!(om.ok(&["datasets", "list", "--profile", "back"]), "x\n");
    // And back to where no profile leads.
    let from = ["datasets", "copy", "x", "y", "--profile", "back"];
    om.ok(&[
        &from[..],
        &["--to-profile", "default", "--to-bucket", "default"],
    ]
    .concat());
    assert_eq!(om.ok(&["datasets", "list"]), "t\ny\n");
    // A pattern within one store.
    om.ok(&["datasets", "copy", "*", "old/"]);
    assert_eq!(om.ok(&["datasets", "list"]), "old/t\nold/y\nt\ny\n");
}

#[test]
fn what_cannot_be_meant_is_refused() {
    let om = two_stores();
    put(&om, "raw/a", "n\n1\n");
    for (args, code, what) in [
        (&["raw/a"][..], 2, "another name"),
        (&["raw/*"], 2, "another name"),
        (&["raw/a", "raw/a"], 2, "onto itself"),
        (&["raw/a", "--to-profile", "default"], 2, "onto itself"),
        (&["raw/*", "x", "--to-profile", "prod"], 2, "x/"),
        (&["raw/a", "x*", "--to-profile", "prod"], 2, "pattern"),
        (&["raw/a", "--to-profile", "prdo"], 3, "did you mean `prod`"),
        (
            &["row/a", "--to-profile", "prod"],
            3,
            "did you mean `raw/a`",
        ),
        (
            &["row/*", "--to-profile", "prod"],
            3,
            "no datasets match row/*",
        ),
    ] {
        om.fails(&[&["datasets", "copy"], args].concat(), code, what);
    }
    assert!(!om.path("prod").exists());
}

/// Within one store a name that is taken stays taken, whatever it holds.
#[test]
fn a_plain_copy_is_as_ever() {
    let om = two_stores();
    put(&om, "a", "n\n1\n");
    let line = om.ok(&["datasets", "copy", "a", "b"]);
    assert!(line.starts_with("Metadata(name=b,"), "{line}");
    let run = om.run(&["datasets", "copy", "a", "b"]);
    failed(&run, 5, "data/b");
    assert_eq!(
        om.json(&["datasets", "copy", "a", "b", "--replace"])["name"],
        "b"
    );
}

/// People read a table; each object has its line on stderr.
#[test]
fn people_see_what_was_done() {
    let om = two_stores();
    put(&om, "a", "n\n1\n2\n");
    let run = om.run(&["datasets", "copy", "*", "--to-profile", "prod"]);
    let rows: Vec<Vec<&str>> = run
        .stdout
        .lines()
        .map(|line| line.split('\t').collect())
        .collect();
    assert_eq!(rows[0], ["NAME", "STATUS", "ROWS", "SIZE", "TIME"]);
    assert_eq!(rows[1][..3], ["a", "copied", "2"]);
    assert!(
        run.stderr
            .starts_with("a: copied, 2 rows × 1 columns in data/a, "),
        "{}",
        run.stderr
    );
    let run = om.run(&["datasets", "copy", "*", "--to-profile", "prod"]);
    assert_eq!(run.stderr, "a: unchanged in data/a\n");
    let run = om.run(&["datasets", "copy", "*", "--to-profile", "prod", "-q"]);
    assert_eq!(run.stderr, "");
}
