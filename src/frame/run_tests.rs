#![allow(clippy::unwrap_used)]

use super::*;
use crate::error::ErrorKind;
use polars::prelude::*;

fn frame() -> LazyFrame {
    df!(
        "region" => [Some("EU"), Some("US"), Some("EU"), None, Some("US")],
        "qty" => [Some(1i64), Some(5), None, Some(9), Some(3)],
        "price" => [1.5, f64::NAN, 2.5, 4.0, 3.0],
        "ok" => [true, false, true, true, true],
        "^odd$" => [1, 2, 3, 4, 5],
    )
    .unwrap()
    .lazy()
}

fn query(filter: &str, by: &str, agg: &str, sort: &str, columns: &str) -> Query {
    Query {
        filter: (!filter.is_empty()).then(|| Filter::parse(filter).unwrap()),
        columns: if columns.is_empty() {
            Columns::All
        } else {
            Columns::parse(columns).unwrap()
        },
        group_by: by.split_terminator(',').map(str::to_owned).collect(),
        aggregates: if agg.is_empty() {
            Vec::new()
        } else {
            Aggregate::parse_list(agg).unwrap()
        },
        sort: if sort.is_empty() {
            Vec::new()
        } else {
            Sort::parse_list(sort).unwrap()
        },
        ..Query::default()
    }
}

fn answer(query: &Query) -> DataFrame {
    collect(run(frame(), query).unwrap()).unwrap()
}

#[test]
fn groups_are_sorted_and_named() {
    let got = answer(&query(
        "",
        "region",
        "qty=sum,mean,count;price=mean,max",
        "",
        "",
    ));
    let want = df!(
        "region" => [Some("EU"), Some("US"), None],
        "qty_sum" => [1i64, 8, 9],
        "qty_mean" => [1.0, 4.0, 9.0],
        "qty_count" => [1u32, 2, 1],
        "price_mean" => [2.0, 3.0, 4.0],
        "price_max" => [2.5, 3.0, 4.0],
    )
    .unwrap();
    assert!(got.equals_missing(&want), "{got:?}");
}

#[test]
fn groups_are_counted_without_aggregates() {
    let got = answer(&query("qty > 1", "region", "", "-count", ""));
    assert_eq!(got.get_column_names(), ["region", "count"]);
    assert_eq!(
        got.get(0).unwrap(),
        [AnyValue::String("US"), AnyValue::UInt32(2)]
    );
}

#[test]
fn aggregates_without_groups_give_one_row() {
    let got = answer(&query(
        "",
        "",
        "qty=min,max,std,var,median,first,last,nunique;ok=mean;region=max",
        "",
        "",
    ));
    assert_eq!(got.height(), 1);
    let value = |name: &str| {
        got.column(name)
            .unwrap()
            .get(0)
            .unwrap()
            .try_extract::<f64>()
            .unwrap()
    };
    assert_eq!(value("qty_last"), 3.0);
    assert_eq!(value("qty_nunique"), 4.0);
    assert_eq!(value("qty_median"), 4.0);
    assert!((value("qty_var") - 35.0 / 3.0).abs() < 1e-12);
    assert_eq!(value("ok_mean"), 0.8);
}

#[test]
fn sorts_skips_and_limits_with_missing_values_last() {
    for (sort, rows) in [
        ("-price", [4.0, 3.0, 2.5, 1.5]),
        ("price", [1.5, 2.5, 3.0, 4.0]),
    ] {
        let got = answer(&query("", "", "", sort, "price"));
        let got: Vec<f64> = got
            .column("price")
            .unwrap()
            .f64()
            .unwrap()
            .into_no_null_iter()
            .collect();
        assert_eq!(got[..4], rows);
        assert!(got[4].is_nan());
    }
    let sliced = Query {
        skip: 1,
        limit: Some(2),
        ..query("", "", "", "-qty", "qty")
    };
    let got = answer(&sliced);
    assert_eq!(got, df!("qty" => [5i64, 3]).unwrap());
}

#[test]
fn selects_columns() {
    let names = |columns: &str| -> Vec<String> {
        let got = answer(&query("", "", "", "", columns));
        got.get_column_names()
            .iter()
            .map(|name| name.to_string())
            .collect()
    };
    assert_eq!(names("ok,region"), ["ok", "region"]);
    assert_eq!(names("^ok,qty"), ["region", "price", "^odd$"]);
    assert_eq!(names("qty:ok"), ["qty", "price", "ok"]);
    assert_eq!(names("`^odd$`"), ["^odd$"]);
}

#[test]
fn unknown_columns_are_told() {
    for query in [
        query("qtyy=1", "", "", "", ""),
        query("", "qtyy", "", "", ""),
        query("", "region", "qtyy=sum", "", ""),
        query("", "", "", "qtyy", ""),
        query("", "", "", "", "qtyy"),
        query("", "", "", "", "^qtyy"),
        query("", "", "", "", "qtyy:"),
    ] {
        let error = run(frame(), &query).err().unwrap();
        assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
        assert!(
            error
                .hint_text()
                .unwrap()
                .starts_with("did you mean `qty`?"),
            "{error:?}"
        );
    }
}

#[test]
fn functions_must_suit_the_type() {
    for agg in ["region=mean", "region=sum", "region=std"] {
        let error = run(frame(), &query("", "ok", agg, "", "")).err().unwrap();
        assert_eq!(error.kind(), ErrorKind::Usage);
    }
}
