#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use super::*;
use crate::error::ErrorKind;
use polars::prelude::*;
use proptest::prelude::*;
use serde_json::json;

fn frame() -> DataFrame {
    df!(
        "qty" => [Some(1i64), Some(5), None, Some(9)],
        "price" => [Some(1.5), Some(f64::NAN), Some(2.0), None],
        "region" => [Some("EU"), Some("US"), Some("APAC"), None],
        "ok" => [Some(true), Some(false), None, Some(true)],
        "small" => [1u8, 2, 3, 4],
        "at" => ["2024-01-01T00:00:00", "2024-01-02T10:00:00", "2024-01-03T00:00:00", "2024-06-01T12:00:00.5"],
        "day" => ["2024-01-01", "2024-01-02", "2024-01-03", "2024-06-01"],
    )
    .unwrap()
    .lazy()
    .with_columns([
        col("at").cast(DataType::Datetime(TimeUnit::Microseconds, None)),
        col("day").cast(DataType::Date),
        col("at")
            .cast(DataType::Datetime(TimeUnit::Milliseconds, None))
            .dt()
            .replace_time_zone(TimeZone::opt_try_new(Some("Europe/Zurich")).unwrap(), lit("raise"), NonExistent::Raise)
            .alias("zoned"),
        concat_list([col("small"), col("small") * lit(2)]).unwrap().alias("list"),
        as_struct(vec![col("small").alias("inner"), col("region").alias("deep.er")]).alias("nested"),
        col("region").cast(DataType::from_categories(Categories::global())).alias("cat"),
        lit(NULL).alias("nothing"),
    ])
    .collect()
    .unwrap()
}

/// The values of `small` (1 to 4) in the rows that the filter keeps.
fn kept(text: &str) -> Vec<u8> {
    let frame = frame();
    let filter = Filter::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
    let expr = filter
        .to_expr(frame.schema())
        .unwrap_or_else(|error| panic!("{text}: {error}"));
    let kept = frame
        .lazy()
        .filter(expr)
        .collect()
        .unwrap_or_else(|error| panic!("{text}: {error}"));
    kept.column("small")
        .unwrap()
        .u8()
        .unwrap()
        .into_no_null_iter()
        .collect()
}

fn refused(text: &str) -> crate::Error {
    let frame = frame();
    Filter::parse(text)
        .and_then(|filter| filter.to_expr(frame.schema()))
        .err()
        .unwrap_or_else(|| panic!("{text} was taken"))
}

#[test]
fn keywords_select_rows() {
    for (text, rows) in [
        ("qty=5", vec![2]),
        ("qty__eq=5", vec![2]),
        ("qty__gte=5", vec![2, 4]),
        ("qty__lt=5", vec![1]),
        ("qty__ne=5", vec![1, 4]),
        ("qty__not=5", vec![1, 4]),
        ("qty__between=[1, 5]", vec![1, 2]),
        ("qty__between=1,5", vec![1, 2]),
        ("qty__in=[1, 9]", vec![1, 4]),
        ("qty__in=1,9", vec![1, 4]),
        ("qty__in=[1, null]", vec![1, 3]),
        ("qty__nin=[1, 9]", vec![2]),
        ("region__in=[\"EU\", 'US']", vec![1, 2]),
        ("region__in=EU,US", vec![1, 2]),
        ("region=EU", vec![1]),
        ("region__contains=P", vec![3]),
        ("region__startswith=A", vec![3]),
        ("region__endswith=U", vec![1]),
        ("region__regex=^.U$", vec![1]),
        ("region__match=S", vec![2]),
        ("region__isnull=true", vec![4]),
        ("region__isnull=false", vec![1, 2, 3]),
        ("region__exists=true", vec![1, 2, 3]),
        ("price__isnull=true", vec![2, 4]),
        ("price__isnull=0", vec![1, 3]),
        ("qty__isint=1", vec![1, 2, 4]),
        ("qty__isint=false", vec![3]),
        ("qty__isdouble=true", vec![]),
        ("region__isstring=true", vec![1, 2, 3]),
        ("list__isarray=true", vec![1, 2, 3, 4]),
        ("day__isdate=true", vec![1, 2, 3, 4]),
        ("qty__type=long", vec![1, 2, 4]),
        ("list__all=[2, 4]", vec![2]),
        ("list=4", vec![2, 4]),
        ("nested__inner__gt=2", vec![3, 4]),
        ("nested__inner=2", vec![2]),
        ("nested__deep.er=US", vec![2]),
        ("ok=true", vec![1, 4]),
        ("at__gte=2024-01-03", vec![3, 4]),
        ("nothing=1", vec![]),
        ("nothing__isnull=true", vec![1, 2, 3, 4]),
        ("cat__startswith=A", vec![3]),
    ] {
        assert_eq!(kept(text), rows, "{text}");
    }
}

#[test]
fn expressions_select_rows() {
    for (text, rows) in [
        ("qty >= 5", vec![2, 4]),
        ("5 <= qty", vec![2, 4]),
        ("qty=5 or region='EU'", vec![1, 2]),
        ("qty >= 5 and region in (\"EU\", \"US\")", vec![2]),
        ("not (qty is null)", vec![1, 2, 4]),
        ("qty is not null && !(qty == 1)", vec![2, 4]),
        ("qty <> 5", vec![1, 4]),
        ("not qty > 5", vec![1, 2]),
        ("not (qty > 5 or region = 'EU')", vec![2]),
        ("qty between 1 and 5 and small = 2", vec![2]),
        ("qty not between 1 and 5", vec![4]),
        ("region not in ('EU')", vec![2, 3]),
        ("region like '_U'", vec![1]),
        ("region ilike 'e%'", vec![1]),
        ("region not like '%U%'", vec![3]),
        ("region contains 'PA'", vec![3]),
        ("region starts with 'U'", vec![2]),
        ("region ends with \"C\"", vec![3]),
        ("region matches '^[EU]'", vec![1, 2]),
        ("region ~ 'S$'", vec![2]),
        ("region !~ 'S$'", vec![1, 3]),
        ("`region` = 'EU'", vec![1]),
        ("ok", vec![1, 4]),
        ("not ok", vec![2]),
        ("ok is false", vec![2]),
        ("region is string", vec![1, 2, 3]),
        ("region is not string", vec![4]),
        ("list contains all (3, 6)", vec![3]),
        ("true", vec![1, 2, 3, 4]),
        ("qty = 5.0", vec![2]),
        ("qty > 4.5", vec![2, 4]),
        ("small < 300", vec![1, 2, 3, 4]),
        ("small > -1 and qty = '5'", vec![2]),
        ("small in [1, 300]", vec![1]),
    ] {
        assert_eq!(kept(text), rows, "{text}");
    }
}

#[test]
fn not_a_number_compares_like_null() {
    assert_eq!(kept("price > 1"), [1, 3]);
    assert_eq!(kept("price != 1.5"), [3]);
    assert_eq!(kept("not price <= 1.5"), [3]);
    assert_eq!(kept("price not between 0 and 1.6"), [3]);
    assert_eq!(kept("price not in (1.5)"), [3]);
}

#[test]
fn dates_compare_with_text() {
    for (text, rows) in [
        ("day = '2024-01-02'", vec![2]),
        ("day > '2024-01-02T12:00'", vec![3, 4]),
        ("day in ('2024-01-01', '2024-06-01')", vec![1, 4]),
        ("at = '2024-01-02T10:00:00'", vec![2]),
        ("at >= '2024-06-01 12:00:00.5'", vec![4]),
        ("at >= '2024-06-01 12:00:00.500000001'", vec![]),
        ("at < '2024-01-02T11:00:00+01:00'", vec![1]),
        ("at < '9999-01-01'", vec![1, 2, 3, 4]),
        // No zone: the column's zone. A zone: that instant.
        ("zoned = '2024-01-02T10:00:00'", vec![2]),
        ("zoned = '2024-01-02T09:00:00Z'", vec![2]),
        ("zoned > '2024-06-01T10:00:00.4999Z'", vec![4]),
    ] {
        assert_eq!(kept(text), rows, "{text}");
    }
}

#[test]
fn mistakes_are_told() {
    for (text, kind, part) in [
        ("qtty=5", ErrorKind::NotFound, "qtty"),
        ("qty__gtee=5", ErrorKind::NotFound, "qty.gtee"),
        ("region > 5", ErrorKind::Usage, "object"),
        ("qty = 'many'", ErrorKind::Usage, "int64"),
        ("qty contains '1'", ErrorKind::Usage, "not text"),
        ("day = 'yesterday'", ErrorKind::Usage, "date"),
        ("nested = 1", ErrorKind::Usage, "nested"),
        ("nested.nope = 1", ErrorKind::NotFound, "nope"),
        ("qty > null", ErrorKind::Usage, "no order"),
        ("region matches '('", ErrorKind::Usage, "pattern"),
        ("region = EU", ErrorKind::Usage, "not a value"),
        ("region = 'EU", ErrorKind::Usage, "not closed"),
        ("qty = 5 and", ErrorKind::Usage, "expected a column"),
        ("qty 5", ErrorKind::Usage, "expected a comparison"),
        ("at > 2024-01-01", ErrorKind::Usage, "not a number"),
        ("(qty > 5", ErrorKind::Usage, "`)`"),
        ("", ErrorKind::Usage, "empty"),
        ("qty + 1 > 5", ErrorKind::Usage, "`+`"),
        ("qty=5 and regin=\"EU", ErrorKind::Usage, "not closed"),
        ("loc__near=1,2", ErrorKind::Usage, "not allowed"),
        ("x__where=1", ErrorKind::Usage, "not allowed"),
        ("$where=1", ErrorKind::Usage, "not allowed"),
        ("x__$gt=1", ErrorKind::Usage, "not allowed"),
        ("qty__between=1", ErrorKind::Usage, "two values"),
        ("qty__isnull=maybe", ErrorKind::Usage, "true or false"),
        ("small__all=[1]", ErrorKind::Usage, "lists"),
    ] {
        let error = refused(text);
        assert_eq!(error.kind(), kind, "{text}: {error}");
        assert!(error.to_string().contains(part), "{text}: {error}");
    }
    assert!(
        refused(&format!("region ~ '{}'", "a".repeat(2_000)))
            .to_string()
            .contains("longer")
    );
    assert!(
        refused("region ~ '(a{500}){500}'")
            .to_string()
            .contains("pattern")
    );
    let deep = format!("{}qty = 1{}", "(".repeat(5_000), ")".repeat(5_000));
    assert!(refused(&deep).to_string().contains("nested deeper"));
}

#[test]
fn keyword_or_expression() {
    let text = |value: &str| Filter::from_keyword("name", json!(value)).unwrap();
    assert_eq!(
        Filter::parse("name=war and peace").unwrap(),
        text("war and peace")
    );
    assert_eq!(Filter::parse("name=O'Brien").unwrap(), text("O'Brien"));
    assert_eq!(
        Filter::parse("name=http://x?a=b").unwrap(),
        text("http://x?a=b")
    );
    assert_eq!(
        Filter::parse("__hidden=1").unwrap(),
        Filter::from_keyword("__hidden", json!(1)).unwrap()
    );
    assert_eq!(Filter::parse("a__b__gt=1").unwrap().to_string(), "a.b > 1");
    assert_eq!(Filter::parse("name=\"5\"").unwrap(), text("5"));
    assert_eq!(
        Filter::parse("zip=05001").unwrap(),
        Filter::parse("zip = 5001").unwrap()
    );
    assert_eq!(Filter::parse("x=null").unwrap().to_string(), "x is null");
}

#[test]
fn many_values_do_not_overflow_the_stack() {
    let list: Vec<String> = (0..20_000).map(|value| value.to_string()).collect();
    assert_eq!(kept(&format!("qty in ({})", list.join(","))), [1, 2, 4]);
}

fn value() -> impl Strategy<Value = Value> {
    prop_oneof![
        any::<bool>().prop_map(Value::Bool),
        any::<i64>().prop_map(Value::Int),
        any::<f64>()
            .prop_filter("finite", |value| value.is_finite())
            .prop_map(Value::Float),
        any::<String>().prop_map(Value::Text),
    ]
}

fn test() -> impl Strategy<Value = Filter> {
    let op = prop_oneof![
        value().prop_map(Op::Eq),
        value().prop_map(Op::Ne),
        value().prop_map(Op::Lt),
        value().prop_map(Op::Le),
        value().prop_map(Op::Gt),
        value().prop_map(Op::Ge),
        (value(), value()).prop_map(|(low, high)| Op::Between(low, high)),
        prop::collection::vec(prop_oneof![value(), Just(Value::Null)], 0..4).prop_map(Op::In),
        prop::collection::vec(value(), 0..4).prop_map(Op::All),
        any::<String>().prop_map(Op::Contains),
        any::<String>().prop_map(Op::StartsWith),
        any::<String>().prop_map(Op::EndsWith),
        any::<String>().prop_map(Op::Regex),
        Just(Op::IsNull),
        Just(Op::IsType(ValueType::Date)),
    ];
    let column = prop_oneof!["[a-z_]{1,8}", "[a-z]{1,4}\\.[a-z]{1,4}", any::<String>()];
    (column, op).prop_map(|(column, op)| Filter::Test(Test { column, op }))
}

fn filter() -> impl Strategy<Value = Filter> {
    test().prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 2..4).prop_map(Filter::And),
            prop::collection::vec(inner.clone(), 2..4).prop_map(Filter::Or),
            inner.prop_map(|inner| Filter::Not(Box::new(inner))),
            Just(Filter::And(Vec::new())),
            Just(Filter::Or(Vec::new())),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn what_is_displayed_reads_back(filter in filter()) {
        let text = filter.to_string();
        prop_assert_eq!(expression::parse(&text).unwrap_or_else(|error| panic!("{text}: {error}")), filter);
    }

    #[test]
    fn parsing_never_panics(text in any::<String>()) {
        let _ = Filter::parse(&text);
    }

    #[test]
    fn parsing_of_near_misses_never_panics(
        words in prop::collection::vec(
            prop::sample::select(vec![
                "qty", "region", "and", "or", "not", "in", "is", "null", "between", "like", "(", ")", "[",
                ",", "=", "<", ">", "5", "-1.5e3", "'x'", "\"", "`", "~", "__gte=", "a__b", "true", "é",
            ]),
            0..12,
        ),
        joint in prop::sample::select(vec!["", " "]),
    ) {
        let text = words.join(joint);
        if let Ok(filter) = Filter::parse(&text) {
            let _ = filter.to_expr(frame().schema());
        }
    }
}
