//! What is translated, and that it is what runs inside; that the answers are right is
//! proved on a server, by tests/pushdown.rs.
#![allow(clippy::unwrap_used, clippy::panic)]

use super::*;
use crate::frame::{Aggregate, Sort};
use polars::prelude::{DataType, NamedFrom, TimeUnit, TimeZone, col, lit};

fn fields() -> Vec<Field> {
    let zone = TimeZone::opt_try_new(Some("Europe/Zurich")).unwrap();
    let inner = [("x", DataType::Int64), ("a.b", DataType::Int64)]
        .map(|(name, dtype)| polars::prelude::Field::new(name.into(), dtype));
    [
        ("i", DataType::Int64),
        ("small", DataType::Int8),
        ("f", DataType::Float64),
        ("single", DataType::Float32),
        ("t", DataType::String),
        ("b", DataType::Boolean),
        ("d", DataType::Date),
        ("at", DataType::Datetime(TimeUnit::Microseconds, None)),
        ("z", DataType::Datetime(TimeUnit::Milliseconds, zone)),
        ("s", DataType::Struct(inner.to_vec())),
        ("l", DataType::List(Box::new(DataType::Int64))),
        ("$odd.name", DataType::Int64),
    ]
    .map(|(name, dtype)| Field {
        column: name.to_owned(),
        name: name.to_owned(),
        dtype,
    })
    .to_vec()
}

fn texts() -> BTreeSet<String> {
    BTreeSet::from(["t".to_owned()])
}

fn filtered(filter: &str) -> Plan {
    let query = Query {
        filter: Some(Filter::parse(filter).unwrap()),
        ..Query::default()
    };
    plan(&query, &fields(), &texts())
}

/// A filter's whole translation; nothing is left for Polars.
fn inside(filter: &str) -> Document {
    let plan = filtered(filter);
    assert!(plan.rest.is_all(), "{filter}: {:?}", plan.rest);
    plan.filter.unwrap()
}

fn date(text: &str) -> Bson {
    Bson::DateTime(bson::DateTime::parse_rfc3339_str(text).unwrap())
}

#[test]
fn common_filters_run_inside_as_a_whole() {
    let nan = f64::NAN;
    for (filter, expected) in [
        ("i >= 5", doc! { "i": { "$gte": 5_i64 } }),
        (
            "i = 5 and small < 3",
            doc! { "i": { "$eq": 5_i64 }, "small": { "$lt": 3_i64 } },
        ),
        ("i in (1, 2)", doc! { "i": { "$in": [1_i64, 2_i64] } }),
        (
            "i between 1 and 3",
            doc! { "i": { "$gte": 1_i64, "$lte": 3_i64 } },
        ),
        ("i > 1.5", doc! { "i": { "$gt": 1.5 } }),
        ("f > 1", doc! { "f": { "$gt": 1.0 } }),
        (
            "f between 1 and 2",
            doc! { "f": { "$gte": 1.0, "$lte": 2.0 } },
        ),
        ("b = true", doc! { "b": true }),
        ("t = \"EU\"", doc! { "t": "EU" }),
        ("t in (\"EU\", \"5\")", doc! { "t": { "$in": ["EU", "5"] } }),
        ("t__contains=a.b", doc! { "t": { "$regex": "a\\.b" } }),
        ("t__startswith=EU", doc! { "t": { "$regex": "^EU" } }),
        ("t__endswith=EU", doc! { "t": { "$regex": "EU\\z" } }),
        (
            "t__regex=^E[A-Z]+$",
            doc! { "t": { "$regex": "^E[A-Z]+\\z" } },
        ),
        (
            "i = 1 or t = \"EU\"",
            doc! { "$or": [{ "i": 1_i64 }, { "t": "EU" }] },
        ),
        ("not (i < 5)", doc! { "i": { "$gte": 5_i64 } }),
        ("s.x = 5", doc! { "s.x": 5_i64 }),
        (
            "at >= \"1970-01-02\"",
            doc! { "at": { "$gte": date("1970-01-02T00:00:00Z") } },
        ),
        // Finer than what is stored.
        (
            "at <= \"1970-01-02T00:00:00.0005\"",
            doc! { "at": { "$lte": date("1970-01-02T00:00:00Z") } },
        ),
        (
            "z < \"1970-01-02\"",
            doc! { "z": { "$lt": date("1970-01-01T23:00:00Z") } },
        ),
        (
            "d <= \"1970-01-02\"",
            doc! { "d": { "$lt": date("1970-01-03T00:00:00Z") } },
        ),
    ] {
        assert_eq!(inside(filter), expected, "{filter}");
    }
    // NaN is not equal to itself here either.
    let text = |filter| inside(filter).to_string();
    let wanted = |filter: Document| filter.to_string();
    assert_eq!(
        text("f is null"),
        wanted(doc! { "f": { "$in": [null, nan] } })
    );
    assert_eq!(
        text("i is null"),
        wanted(doc! { "i": { "$in": [null, nan] } })
    );
    assert_eq!(
        text("i != 5"),
        wanted(doc! { "i": { "$nin": [5_i64, null, nan] } })
    );
    assert_eq!(
        text("f != 5"),
        wanted(doc! { "f": { "$nin": [5.0, null, nan] } })
    );
    assert_eq!(
        text("at is null"),
        wanted(doc! { "at": { "$in": [null, "", nan] } })
    );
}

#[test]
fn filters_are_divided_between_both() {
    let both = Query {
        filter: Some(Filter::And(vec![
            Filter::parse("i > 5").unwrap(),
            Filter::parse("t__regex=\\w+").unwrap(),
            Filter::parse("l = 3").unwrap(),
        ])),
        columns: Columns::Only(vec!["b".to_owned()]),
        sort: vec![Sort {
            column: "i".to_owned(),
            descending: false,
        }],
        limit: Some(3),
        ..Query::default()
    };
    let plan = super::plan(&both, &fields(), &texts());
    assert_eq!(
        plan.filter.unwrap(),
        doc! { "i": { "$gt": 5_i64 }, "l": { "$eq": 3_i64 } }
    );
    // The rows that are cut are those that the rest of the filter leaves.
    assert_eq!((plan.sort, plan.limit), (None, None));
    assert_eq!(
        (plan.rest.limit, plan.rest.sort),
        (Some(3), both.sort.clone())
    );
    let read: Vec<&str> = plan
        .columns
        .iter()
        .map(|field| field.column.as_str())
        .collect();
    assert_eq!(read, ["i", "t", "b", "l"]);
}

#[test]
fn what_compares_otherwise_stays_outside() {
    for filter in [
        "i > 1e19",
        "t__regex=(a+)+b",
        "t__regex=\\d",
        "t__regex=(?i)eu",
        "s.a.b = 1",
    ] {
        let plan = filtered(filter);
        assert_eq!(plan.filter, None, "{filter}");
        assert!(plan.rest.filter.is_some(), "{filter}");
    }
    // Who is wrong is told by Polars.
    let wrong = filtered("nope = 1");
    assert_eq!((wrong.filter, wrong.rest.is_all()), (None, false));
}

#[test]
fn texts_of_which_nothing_is_known_are_tested_again() {
    let mut query = Query {
        filter: Some(Filter::parse("t__contains=E").unwrap()),
        ..Query::default()
    };
    let unknown = BTreeSet::new();
    let plan = super::plan(&query, &fields(), &unknown);
    let filter = plan.filter.unwrap().to_string();
    assert!(
        filter.contains("$type") && filter.contains("\"double\""),
        "{filter}"
    );
    assert_eq!((&plan.rest.filter, plan.doubts.len()), (&query.filter, 0));
    // With a limit it is worth a look.
    query.limit = Some(3);
    assert_eq!(super::plan(&query, &fields(), &unknown).doubts, ["t"]);
    let known = super::plan(&query, &fields(), &texts());
    assert_eq!(
        (known.limit, known.rest.is_all(), known.doubts.len()),
        (Some(3), true, 0)
    );
}

#[test]
fn windows_and_sorts_run_inside() {
    let mut query = Query {
        sort: vec![Sort {
            column: "i".to_owned(),
            descending: true,
        }],
        skip: 2,
        limit: Some(3),
        ..Query::default()
    };
    let names = |plan: &Plan| -> Vec<String> {
        let stages = plan.aggregation.as_ref().unwrap().stages.iter();
        stages.flat_map(|stage| stage.keys().cloned()).collect()
    };
    let plan = super::plan(&query, &fields()[..4], &texts());
    assert!(plan.rest.is_all());
    assert_eq!(
        names(&plan),
        ["$addFields", "$sort", "$skip", "$limit", "$project"]
    );
    // Where no null is, an index can have the order.
    query.filter = Some(Filter::parse("i > 0").unwrap());
    let plan = super::plan(&query, &fields()[..4], &texts());
    assert!(plan.rest.is_all() && plan.aggregation.is_none());
    assert_eq!(plan.sort.unwrap(), doc! { "i": -1, "_om#rowid": 1 });
    assert_eq!((plan.skip, plan.limit), (2, Some(3)));
    // All rows are sorted outside.
    query.limit = None;
    let plan = super::plan(&query, &fields()[..4], &texts());
    assert_eq!(
        (plan.sort, plan.rest.sort.len(), plan.rest.skip),
        (None, 1, 2)
    );
}

#[test]
fn common_aggregates_run_inside() {
    for aggregates in [
        "f=mean,sum,min,max,count,std,var",
        "i=sum,mean,first,last",
        "b=sum,mean",
        "t=min,max,count",
        "at=min,max",
        "single=min,max,count",
    ] {
        for by in ["", "t", "i,b", "d", "at"] {
            let query = Query {
                group_by: by
                    .split(',')
                    .filter(|name| !name.is_empty())
                    .map(str::to_owned)
                    .collect(),
                aggregates: Aggregate::parse_list(aggregates).unwrap(),
                ..Query::default()
            };
            let plan = plan(&query, &fields(), &texts());
            assert!(
                plan.rest.is_all() && plan.aggregation.is_some(),
                "{aggregates} by {by}"
            );
        }
    }
    for aggregates in ["f=median", "i=nunique", "single=mean", "at=mean"] {
        let query = Query {
            aggregates: Aggregate::parse_list(aggregates).unwrap(),
            ..Query::default()
        };
        let plan = plan(&query, &fields(), &texts());
        assert!(
            plan.aggregation.is_none() && !plan.rest.is_all(),
            "{aggregates}"
        );
        assert_eq!(plan.columns.len(), 1);
    }
}

#[test]
fn predicates_of_polars_run_inside() {
    let nan = f64::NAN;
    for (expr, expected) in [
        (col("i").gt(lit(5)), doc! { "i": { "$gt": 5_i64 } }),
        (lit(5).lt(col("i")), doc! { "i": { "$gt": 5_i64 } }),
        (col("i").gt(lit(5)).not(), doc! { "i": { "$lte": 5_i64 } }),
        (
            col("i").cast(DataType::Float64).gt(lit(5.5)),
            doc! { "i": { "$gt": 5.5 } },
        ),
        (
            col("i").gt(lit(5).cast(DataType::Int64)),
            doc! { "i": { "$gt": 5_i64 } },
        ),
        (col("b"), doc! { "b": true }),
        (col("b").not(), doc! { "b": false }),
        // To Polars, NaN is the largest number.
        (
            col("f").gt(lit(5.0)),
            doc! { "$or": [{ "f": { "$gt": 5.0 } }, { "f": nan }] },
        ),
        (col("f").lt(lit(5.0)), doc! { "f": { "$lt": 5.0 } }),
        (col("f").is_null(), doc! { "f": null }),
        (
            col("i").is_not_null(),
            doc! { "i": { "$nin": [null, nan] } },
        ),
        // What cannot be told is tested again by the caller.
        (
            col("i").gt(lit(5)).and((col("i") + lit(1)).gt(lit(7))),
            doc! { "i": { "$gt": 5_i64 } },
        ),
        (col("t").eq(lit("EU")), doc! { "t": "EU" }),
    ] {
        let found = predicate(&expr, &fields()).unwrap();
        assert_eq!(found.to_string(), expected.to_string(), "{expr:?}");
    }
    let text = col("t").str().starts_with(lit("E"));
    assert!(
        predicate(&text, &fields())
            .unwrap()
            .to_string()
            .contains("^E")
    );
    let list = polars::prelude::Series::new("".into(), [1_i64, 2]);
    let among = col("i").is_in(lit(list).implode(true), false);
    let expected = doc! { "i": { "$in": [1_i64, 2_i64] } };
    assert_eq!(predicate(&among, &fields()), Some(expected));
    for expr in [
        col("i").gt(lit(5)).or((col("i") + lit(1)).gt(lit(7))),
        col("$odd.name").gt(lit(5)),
        col("nope").gt(lit(5)),
        col("s").is_null(),
    ] {
        assert_eq!(predicate(&expr, &fields()), None, "{expr:?}");
    }
}

#[test]
fn single_precision_is_compared_with_what_becomes_it() {
    // 0.1 is read as 0.1f32, which is another double.
    let filter = inside("single = 0.1");
    let bounds = filter.get_document("single").unwrap();
    let (low, high) = (
        bounds.get_f64("$gte").unwrap(),
        bounds.get_f64("$lte").unwrap(),
    );
    assert!(low < 0.1 && 0.1 < high);
    assert!(low as f32 == 0.1 && high as f32 == 0.1);
    assert!(low.next_down() as f32 != 0.1 && high.next_up() as f32 != 0.1);
}

#[test]
fn many_values_are_one_list() {
    let values: Vec<String> = (0..20_000).map(|number| number.to_string()).collect();
    let filter = inside(&format!("i in ({})", values.join(",")));
    let list = filter.get_document("i").unwrap().get_array("$in").unwrap();
    assert_eq!(list.len(), 20_000);
}
