//! `om datasets` on the embedded store, as a user meets it.

#![allow(clippy::unwrap_used, clippy::panic)]

mod om;

use om::{Om, data};
use serde_json::json;

fn sales() -> Om {
    let om = Om::new();
    let csv = om.file(
        "sales.csv",
        "region,qty,price,day,at\nEU,5,1.5,2024-01-01,2024-01-01T10:00:00Z\nUS,7,2.5,2024-01-02,2024-01-02T10:00:00+02:00\nEU,NA,3.5,,2024-01-03T10:00:00Z\n\"a,b\",1,4.5,2024-01-04,2024-01-04T10:00:00Z\n",
    );
    om.ok(&["datasets", "put", &csv, "sales"]);
    om
}

#[test]
fn what_is_put_comes_back() {
    let om = sales();
    assert_eq!(
        om.ok(&[
            "datasets",
            "get",
            "sales",
            "-",
            "--columns",
            "region,qty,price,day"
        ]),
        "region,qty,price,day\nEU,5,1.5,2024-01-01\nUS,7,2.5,2024-01-02\nEU,,3.5,\n\"a,b\",1,4.5,2024-01-04\n"
    );
    let rows = om.json(&[
        "datasets",
        "query",
        "sales",
        "--columns",
        "at",
        "--limit",
        "2",
    ]);
    assert!(
        rows[1]["at"]
            .as_str()
            .unwrap()
            .starts_with("2024-01-02T08:00:00"),
        "{rows}"
    );
}

#[test]
fn types_are_inferred_over_the_whole_file() {
    let om = Om::new();
    let mut csv = "a,b,c\n".to_owned();
    for number in 0..300_000 {
        csv.push_str(&format!("{number},,1\n"));
    }
    csv.push_str("1.5,7,x\n");
    let path = om.file("long.csv", csv);
    om.ok(&["datasets", "put", &path, "long"]);
    let dtypes = om.json(&["datasets", "metadata", "long"])["kind_meta"]["dtypes"].clone();
    assert_eq!(dtypes["a"], "float64");
    assert_eq!(dtypes["c"], "object");
    let rows = om.json(&[
        "datasets",
        "query",
        "long",
        "--agg",
        "b=count,sum",
        "--agg",
        "a=max",
    ]);
    assert_eq!(
        rows,
        json!([{"b_count": 1, "b_sum": 7, "a_max": 299_999.0}])
    );
}

#[test]
fn put_appends_unless_told_to_replace() {
    let om = sales();
    let csv = om.file(
        "more.csv",
        "region,qty,price,day,at\nUS,9,9.5,2024-02-01,2024-02-01T00:00:00Z\n",
    );
    let line = om.ok(&["datasets", "put", &csv, "sales"]);
    assert!(
        line.starts_with(
            "Metadata(name=sales,bucket=omegaml,prefix=data/,kind=pandas.dfrows,created="
        ),
        "{line}"
    );
    assert_eq!(om.json(&["datasets", "list"])[0]["rows"], 5);
    om.ok(&["datasets", "put", &csv, "sales", "--replace"]);
    assert_eq!(om.json(&["datasets", "list"])[0]["rows"], 1);
    let other = om.file("other.csv", "x\n1\n");
    om.fails(&["datasets", "put", &other, "sales"], 5, "sales");
    assert_eq!(om.json(&["datasets", "list"])[0]["rows"], 1);
}

#[test]
fn every_format_goes_in_and_comes_out() {
    let om = sales();
    let expected = om.ok(&["datasets", "get", "sales", "-"]);
    for name in [
        "x.csv",
        "x.tsv",
        "x.csv.gz",
        "x.csv.zst",
        "x.parquet",
        "x.arrow",
        "x.feather",
        "x.json",
        "x.ndjson",
    ] {
        om.ok(&["datasets", "get", "sales", name]);
        om.ok(&["datasets", "put", name, name, "--replace"]);
        assert_eq!(om.ok(&["datasets", "get", name, "-"]), expected, "{name}");
    }
    let csv = std::fs::read(om.path("x.csv")).unwrap();
    let ran = om.pipe(&["datasets", "put", "-", "piped", "--format", "csv"], csv);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert_eq!(om.ok(&["datasets", "get", "piped", "-"]), expected);
}

#[test]
fn several_files_are_one_put() {
    let om = Om::new();
    om.file("part-1.csv", "a,b\n1,x\n2,y\n");
    om.file("part-2.csv", "a,b\n2.5,z\n");
    om.ok(&["datasets", "put", "part-*.csv", "all"]);
    assert_eq!(
        om.ok(&["datasets", "get", "all", "-"]),
        "a,b\n1.0,x\n2.0,y\n2.5,z\n"
    );
    om.fails(
        &["datasets", "put", "nothing-*.csv", "all"],
        3,
        "no file matches",
    );
}

#[test]
fn filters_select_rows_in_both_syntaxes() {
    let om = sales();
    let get = |filters: &[&str]| {
        let mut args = vec!["datasets", "get", "sales", "-", "--columns", "price"];
        for filter in filters {
            args.extend(["-w", filter]);
        }
        om.ok(&args).lines().skip(1).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(get(&["qty__gte=5"]), "1.5 2.5");
    assert_eq!(get(&["qty >= 5 and region in (\"EU\", \"XX\")"]), "1.5");
    assert_eq!(get(&["region=EU", "price__lt=2"]), "1.5");
    assert_eq!(get(&["qty__isnull=true"]), "3.5");
    assert_eq!(get(&["day >= '2024-01-02'"]), "2.5 4.5");
    assert_eq!(get(&["at > '2024-01-02T09:00:00Z'"]), "3.5 4.5");
    assert_eq!(get(&["not region == 'EU'"]), "2.5 4.5");
    assert_eq!(get(&["region__contains=,"]), "4.5");
    om.fails(
        &["datasets", "get", "sales", "-", "-w", "qtty > 5"],
        3,
        "did you mean `qty`",
    );
    om.fails(
        &["datasets", "get", "sales", "-", "-w", "qty >"],
        2,
        "expected a value",
    );
    om.fails(
        &["datasets", "get", "sales", "-", "-w", "qty__where=1"],
        2,
        "where",
    );
}

#[test]
fn names_may_carry_a_projection() {
    let om = sales();
    assert_eq!(
        om.ok(&["datasets", "get", "sales[price,qty]", "-"])
            .lines()
            .next(),
        Some("price,qty")
    );
    assert_eq!(
        om.ok(&["datasets", "get", "sales[^day,at]", "-"])
            .lines()
            .next(),
        Some("region,qty,price")
    );
    assert_eq!(
        om.ok(&["datasets", "get", "sales[qty:day]", "-"])
            .lines()
            .next(),
        Some("qty,price,day")
    );
    om.fails(&["datasets", "get", "sales[nope]", "-"], 3, "nope");
}

#[test]
fn queries_group_sort_and_limit() {
    let om = sales();
    assert_eq!(
        om.json(&[
            "datasets",
            "query",
            "sales",
            "--by",
            "region",
            "--agg",
            "price=sum,mean",
            "--sort",
            "-price_sum",
            "--limit",
            "2"
        ]),
        json!([
            {"region": "EU", "price_sum": 5.0, "price_mean": 2.5},
            {"region": "a,b", "price_sum": 4.5, "price_mean": 4.5},
        ])
    );
    assert_eq!(
        om.ok(&["datasets", "query", "sales", "--by", "region"]),
        "region\tcount\nEU\t2\nUS\t1\na,b\t1\n"
    );
    assert_eq!(
        om.json(&["datasets", "sql", "select region, sum(price) as p from sales where price > 2 group by region order by p desc limit 1"]),
        json!([{"region": "a,b", "p": 4.5}])
    );
    om.fails(&["datasets", "sql", "select * from nosales"], 3, "nosales");
    om.fails(&["datasets", "sql", "selct 1"], 2, "");
    om.fails(
        &["datasets", "query", "sales", "--agg", "price=meen"],
        2,
        "did you mean `mean`",
    );
}

#[test]
fn describe_and_show_tell_about_columns() {
    let om = Om::new();
    om.ok(&["datasets", "put", &data("iris.csv"), "iris"]);
    let described = om.json(&["datasets", "describe", "iris"]);
    let first = &described["columns"][0];
    assert_eq!(first["name"], "sepal_length");
    assert_eq!(first["count"], 150);
    assert!((first["mean"].as_f64().unwrap() - 5.843_333).abs() < 1e-5);
    assert!((first["std"].as_f64().unwrap() - 0.828_066).abs() < 1e-5);
    assert_eq!(described["columns"][4]["distinct"], 3);
    assert_eq!(
        om.ok(&["datasets", "show", "iris", "-n", "3"])
            .lines()
            .count(),
        4
    );
    let tail = om.json(&["datasets", "show", "iris", "--tail", "-n", "1"]);
    assert_eq!(tail[0]["species"], "virginica");
    let sample = |seed| {
        om.ok(&[
            "datasets", "show", "iris", "--sample", "--seed", seed, "-n", "5",
        ])
    };
    assert_eq!(sample("1"), sample("1"));
}

#[test]
fn lists_follow_patterns_and_hide() {
    let om = Om::new();
    let csv = om.file("a.csv", "x\n1\n");
    for name in ["df_a", "df.b", "xdf", ".hidden", "_temp"] {
        om.ok(&["datasets", "put", &csv, name]);
    }
    assert_eq!(om.ok(&["datasets", "list"]), "df.b\ndf_a\nxdf\n");
    assert_eq!(om.ok(&["datasets", "list", "df*"]), "df.b\ndf_a\n");
    assert_eq!(om.ok(&["datasets", "list", "^x|_a$", "-E"]), "df_a\nxdf\n");
    // A server's worker logs.
    let log = if om.is_remote() { ".omega/logs\n" } else { "" };
    assert_eq!(
        om.ok(&["datasets", "list", "--hidden"]),
        format!(".hidden\n{log}df.b\ndf_a\nxdf\n")
    );
    assert_eq!(om.ok(&["datasets", "list", "_*"]), "_temp\n");
    assert_eq!(om.ok(&["datasets", "list", "nothing*"]), "");
    assert_eq!(om.json(&["datasets", "list", "nothing*"]), json!([]));
    assert_eq!(
        om.json(&["datasets", "list", "--bucket", "other"]),
        json!([])
    );
    om.fails(&["datasets", "list", "(", "-E"], 2, "pattern");
}

#[test]
fn odd_names_are_names() {
    let om = Om::new();
    let csv = om.file("a.csv", "x\n1\n");
    let long = "n".repeat(300);
    for name in [
        "a/b c",
        "it's \"quoted\"",
        "$(rm -rf ~)",
        "..",
        "../../etc/passwd",
        "😀",
        "new\nline",
        &long,
    ] {
        om.ok(&["datasets", "put", &csv, name]);
        assert_eq!(om.ok(&["datasets", "get", name, "-"]), "x\n1\n", "{name}");
        assert_eq!(om.json(&["datasets", "metadata", name])["name"], name);
        om.ok(&["datasets", "drop", name]);
    }
    assert_eq!(om.json(&["datasets", "list"]), json!([]));
    om.fails(&["datasets", "put", &csv, ""], 2, "name");
    om.fails(&["datasets", "put", &csv, "a*"], 2, "pattern");
}

#[test]
fn drop_copy_and_rename() {
    let om = sales();
    om.ok(&["datasets", "copy", "sales", "copied"]);
    assert_eq!(
        om.ok(&["datasets", "get", "copied", "-"]),
        om.ok(&["datasets", "get", "sales", "-"])
    );
    om.fails(&["datasets", "copy", "sales", "copied"], 5, "copied");
    om.ok(&[
        "datasets",
        "copy",
        "sales",
        "sales",
        "--to-bucket",
        "archive",
    ]);
    assert_eq!(
        om.ok(&["datasets", "list", "--bucket", "archive"]),
        "sales\n"
    );
    om.ok(&["datasets", "rename", "copied", "renamed"]);
    om.fails(&["datasets", "rename", "renamed", "sales"], 5, "sales");
    assert_eq!(om.ok(&["datasets", "drop", "renamed"]), "True\n");
    om.fails(&["datasets", "drop", "renamed"], 3, "renamed");
    assert_eq!(om.ok(&["datasets", "drop", "renamed", "--force"]), "True\n");
    om.fails(&["datasets", "get", "slaes"], 3, "did you mean `sales`");
    om.fails(&["datasets", "drop", "s*"], 2, "--yes");
    assert_eq!(
        om.ok(&["datasets", "drop", "s*", "--dry-run"]),
        "would drop sales\n"
    );
    om.ok(&["datasets", "drop", "s*", "-y"]);
    assert_eq!(om.ok(&["datasets", "list"]), "");
}

#[test]
fn documents_arrays_and_files_are_kinds_of_their_own() {
    let om = Om::new();
    let document = om.file(
        "d.json",
        r#"{"a": 1, "b": [1.5, null, {"c": "x"}], "big": 3000000000}"#,
    );
    om.ok(&["datasets", "put", &document, "doc", "--as", "document"]);
    assert_eq!(
        om.json(&["datasets", "metadata", "doc"])["kind"],
        "python.data"
    );
    let text = om.ok(&["datasets", "get", "doc", "-"]);
    let value: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(
        value,
        json!([{"a": 1, "b": [1.5, null, {"c": "x"}], "big": 3_000_000_000u64}])
    );

    let mut npy = b"\x93NUMPY\x01\x00\x76\x00".to_vec();
    let header = "{'descr': '<f8', 'fortran_order': False, 'shape': (2, 2), }";
    npy.extend(format!("{header:<117}\n").bytes());
    for number in [1.0f64, 2.0, 3.0, 4.5] {
        npy.extend(number.to_le_bytes());
    }
    let path = om.file("a.npy", &npy);
    om.ok(&["datasets", "put", &path, "array"]);
    let metadata = om.json(&["datasets", "metadata", "array"]);
    assert_eq!(metadata["kind"], "ndarray.bin");
    assert_eq!(metadata["kind_meta"]["dtype"], "float64");
    assert_eq!(metadata["kind_meta"]["shape"], json!([2, 2]));
    om.ok(&["datasets", "get", "array", "back.npy"]);
    assert_eq!(std::fs::read(om.path("back.npy")).unwrap(), npy);
    assert_eq!(
        om.ok(&["datasets", "get", "array", "-", "--format", "csv"])
            .lines()
            .count(),
        3
    );

    let bytes: Vec<u8> = (0..=255).cycle().take(3_000_000).collect();
    let path = om.file("blob.bin", &bytes);
    om.ok(&["datasets", "put", &path, "blob"]);
    om.ok(&["datasets", "get", "blob", "out.bin"]);
    assert_eq!(std::fs::read(om.path("out.bin")).unwrap(), bytes);
    om.fails(&["datasets", "show", "blob"], 1, "not a table");
    om.fails(&["datasets", "put", &document, "blob"], 5, "--replace");
}

#[test]
fn attributes_index_and_timestamp_are_kept() {
    let om = Om::new();
    let csv = om.file("a.csv", "x,y\n1,2\n");
    om.ok(&[
        "datasets",
        "put",
        &csv,
        "a",
        "--attributes",
        "owner=jane",
        "--attributes",
        "level=3",
        "--index",
        "x,-y",
        "--timestamp",
    ]);
    let metadata = om.json(&["datasets", "metadata", "a"]);
    assert_eq!(
        metadata["attributes"],
        json!({"owner": "jane", "level": 3, "indexes": [{"x": 1}, {"y": -1}]})
    );
    assert_eq!(
        metadata["kind_meta"]["columns"][3],
        json!(["_created", "_created"])
    );
    assert_eq!(
        metadata["kind_meta"]["dtypes"]["_created"],
        "datetime64[us]"
    );
    om.fails(&["datasets", "put", &csv, "b", "--index", "z"], 3, "z");
    assert_eq!(om.ok(&["datasets", "list"]), "a\n");
}

#[test]
fn bad_input_is_an_error_that_says_where() {
    let om = Om::new();
    let cases: &[(&str, &[u8], &str)] = &[
        ("ragged.csv", b"a,b\n1,2\n3,4,5\n", "line 3"),
        ("empty.csv", b"", "empty"),
        ("utf8.csv", b"a,b\n1,\xff\xfe\n", "line 2"),
        ("broken.json", b"[{\"a\": 1}, {\"a\"", ""),
        ("broken.parquet", b"PAR1 nothing of the kind", ""),
        ("broken.npy", b"\x93NUMPY\x01\x00", ""),
        ("broken.csv.gz", b"\x1f\x8b\x08\x00garbage", ""),
    ];
    for (name, content, what) in cases {
        let path = om.file(name, content);
        om.fails(&["datasets", "put", &path, "x"], 1, what);
    }
    om.fails(&["datasets", "put", "nofile.csv", "x"], 3, "nofile.csv");
    let home = om.path(".").to_str().unwrap().to_owned();
    om.fails(
        &["datasets", "put", &home, "x", "--format", "csv"],
        2,
        "directory",
    );
    om.fails(&["datasets", "put", &home, "x"], 2, "directory");
    assert_eq!(om.json(&["datasets", "list"]), json!([]));
}

#[test]
fn header_only_and_odd_columns_are_fine() {
    let om = Om::new();
    let header = om.file("h.csv", "a,b\n");
    om.ok(&["datasets", "put", &header, "header"]);
    assert_eq!(om.ok(&["datasets", "get", "header", "-"]), "a,b\n");
    let odd = om.file("o.csv", "a.b,a b,ü,a\n1,2,3,4\n");
    om.ok(&["datasets", "put", &odd, "odd"]);
    assert_eq!(
        om.ok(&["datasets", "get", "odd", "-"]),
        "a.b,a b,ü,a\n1,2,3,4\n"
    );
    assert_eq!(
        om.ok(&["datasets", "get", "odd", "-", "--columns", "a.b"]),
        "a.b\n1\n"
    );
    assert_eq!(
        om.ok(&["datasets", "get", "odd", "-", "--columns", "a_b"]),
        "a.b\n1\n"
    );
    let same = om.file("s.csv", "a,a\n1,2\n");
    om.ok(&["datasets", "put", &same, "same"]);
    assert_eq!(om.ok(&["datasets", "get", "same", "-"]), "a,a.1\n1,2\n");
    let wide: Vec<String> = (0..10_000).map(|number| format!("c{number}")).collect();
    let values: Vec<String> = (0..10_000).map(|number| number.to_string()).collect();
    let wide = om.file(
        "w.csv",
        format!("{}\n{}\n", wide.join(","), values.join(",")),
    );
    om.ok(&["datasets", "put", &wide, "wide"]);
    assert_eq!(
        om.ok(&["datasets", "get", "wide[c9999]", "-"]),
        "c9999\n9999\n"
    );
    let numbers = om.file("n.csv", "x,y\nNaN,inf\n99999999999999999999,-inf\n");
    om.ok(&["datasets", "put", &numbers, "numbers"]);
    assert!(
        om.ok(&["datasets", "get", "numbers", "-"])
            .contains("99999999999999999999")
    );
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let om = Om::new();
    let mut csv = "a,b\n".to_owned();
    (0..200_000).for_each(|number| csv.push_str(&format!("{number},text\n")));
    let path = om.file("big.csv", csv);
    om.ok(&["datasets", "put", &path, "big"]);
    let mut child = om
        .command(&["datasets", "get", "big", "-"])
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(
        output.status.code(),
        Some(0),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
}

#[test]
fn a_flipped_byte_is_found() {
    let om = Om::new();
    om.ok(&["datasets", "put", &data("iris.csv"), "iris"]);
    let part = std::process::Command::new("find")
        .args([om.store().to_str().unwrap(), "-name", "*.parquet"])
        .output()
        .unwrap();
    let part = String::from_utf8(part.stdout).unwrap().trim().to_owned();
    let mut bytes = std::fs::read(&part).unwrap();
    bytes[100] ^= 1;
    std::fs::write(&part, bytes).unwrap();
    om.fails(&["datasets", "get", "iris", "-"], 1, "iris");
    let ran = om.run(&["store", "check"]);
    assert_eq!(ran.code, 1);
    assert!(ran.stdout.contains("damaged: data/iris"), "{}", ran.stdout);
}

#[test]
fn rows_are_divided_to_train_and_to_test() {
    let om = Om::new();
    om.ok(&["datasets", "put", &data("iris.csv"), "iris"]);
    om.ok(&[
        "datasets",
        "split",
        "iris",
        "train",
        "test",
        "--test-size",
        "0.2",
        "--stratify",
        "species",
    ]);
    let counts = om.json(&["datasets", "query", "test", "--by", "species"]);
    assert_eq!(counts.as_array().unwrap().len(), 3);
    assert!(
        counts
            .as_array()
            .unwrap()
            .iter()
            .all(|group| group["count"] == 10),
        "{counts}"
    );
    assert_eq!(om.json(&["datasets", "list", "train"])[0]["rows"], 120);
    om.fails(&["datasets", "split", "iris", "train", "test"], 5, "train");
    let first = om.ok(&["datasets", "get", "test", "-"]);
    om.ok(&[
        "datasets",
        "split",
        "iris",
        "train",
        "test",
        "--test-size",
        "0.2",
        "--stratify",
        "species",
        "--replace",
    ]);
    assert_eq!(om.ok(&["datasets", "get", "test", "-"]), first);
    om.fails(
        &["datasets", "split", "iris", "a", "b", "--stratify", "nope"],
        3,
        "nope",
    );
}

#[test]
fn a_query_explains_itself() {
    let om = sales();
    let query = ["datasets", "query", "sales", "-w", "qty > 2", "--explain"];
    let text = om.ok(&query);
    let by = if om.is_remote() {
        "The server runs"
    } else {
        "Polars runs"
    };
    assert!(text.starts_with(by) && text.contains("\"qty\""), "{text}");
    let explained = om.json(&query);
    assert_eq!(explained["database"], json!(null));
    assert!(
        explained["polars"].as_array().unwrap().len() > 1,
        "{explained}"
    );
}

#[test]
fn attributes_are_changed_one_by_one() {
    let om = sales();
    let set = [
        "--set",
        "docs=by region",
        "--set",
        "owner.team={\"name\": \"eu\"}",
    ];
    let set = om.json(&[&["datasets", "metadata", "sales"], &set[..]].concat());
    assert_eq!(
        (&set["attributes"]["docs"], &set["attributes"]["owner"]),
        (&json!("by region"), &json!({"team": {"name": "eu"}}))
    );
    let now = om.json(&[
        "datasets", "metadata", "sales", "--unset", "docs", "--set", "n=1",
    ]);
    assert_eq!(now["attributes"]["n"], 1);
    assert!(now["attributes"].get("docs").is_none(), "{now}");
    assert_eq!(now["attributes"]["owner"], json!({"team": {"name": "eu"}}));
    om.fails(
        &["datasets", "metadata", "sales", "--set", "a..b=1"],
        2,
        "no name of an attribute",
    );
    om.fails(&["datasets", "metadata", "none", "--set", "a=1"], 3, "none");
}
