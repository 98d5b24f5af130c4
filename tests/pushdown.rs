//! What runs inside the database gives the answer that Polars gives: random tables, as
//! this program and others store them, and random queries, on MongoDB and on the embedded
//! storage. And it does run inside.

#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod server;
mod stores;

use bson::{Bson, Document, doc};
use omega::frame::filter::{Op, Test, Value};
use omega::frame::{Aggregate, AggregateFunction, Columns, Filter, Query, Sort};
use omega::progress::Silent;
use omega::store::{Explanation, Store};
use polars::prelude::*;
use std::sync::Arc;

/// Numbers by chance, the same ones again for a seed.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) as usize % sides
    }

    fn pick<T: Clone>(&mut self, of: &[T]) -> T {
        of[self.roll(of.len())].clone()
    }
}

fn store(place: &str) -> Store {
    Store::new(
        Arc::from(stores::open(place)),
        Arc::new(Silent),
        "omegaml",
        "data/",
    )
}

/// A store in MongoDB and its database.
fn mongo() -> (Store, server::Raw) {
    let place = server::mongo().database();
    (store(&place), server::raw(&place))
}

const TEXTS: [&str; 9] = ["EU", "eu", "US", "a.b", "", "5", "true", "üñ", "x\ny"];

/// A table with all sorts of columns, every third value or so missing.
fn table(dice: &mut Dice, rows: usize) -> DataFrame {
    let mut columns: Vec<Column> = Vec::new();
    let some = |dice: &mut Dice| dice.roll(5) > 0;
    let mut add = |name: &str, series: Series| {
        columns.push(series.with_name(name.into()).into_column());
    };
    let ints: Vec<Option<i64>> = (0..rows)
        .map(|_| some(dice).then(|| dice.pick(&[-7, 0, 1, 2, 3, 5, 1 << 53, (1 << 53) + 1])))
        .collect();
    add("i", Series::new("".into(), ints));
    let small: Vec<Option<i64>> = (0..rows)
        .map(|_| some(dice).then(|| dice.roll(9) as i64 - 4))
        .collect();
    let small = Series::new("".into(), small);
    add("small", small.cast(&DataType::Int8).unwrap());
    add("n", small.clone());
    add(
        "took",
        small
            .cast(&DataType::Duration(TimeUnit::Microseconds))
            .unwrap(),
    );
    let unsigned: Vec<Option<u64>> = (0..rows)
        .map(|_| some(dice).then(|| dice.pick(&[0, 1, 5, u64::MAX])))
        .collect();
    add("u", Series::new("".into(), unsigned));
    let floats: Vec<Option<f64>> = (0..rows)
        .map(|_| some(dice).then(|| dice.pick(&[-1.5, 0.0, 1.0, 2.0, 0.1, f64::NAN, 1e300])))
        .collect();
    let floats = Series::new("".into(), floats);
    add("f", floats.clone());
    add("single", floats.cast(&DataType::Float32).unwrap());
    let texts: Vec<Option<&str>> = (0..rows)
        .map(|_| some(dice).then(|| dice.pick(&TEXTS)))
        .collect();
    let texts = Series::new("".into(), texts);
    add("t", texts.clone());
    add("mixed", texts.clone());
    let category = DataType::from_categories(Categories::global());
    add("c", texts.cast(&category).unwrap());
    let flags: Vec<Option<bool>> = (0..rows)
        .map(|_| some(dice).then(|| dice.roll(2) > 0))
        .collect();
    add("b", Series::new("".into(), flags));
    let days: Vec<Option<i32>> = (0..rows)
        .map(|_| some(dice).then(|| dice.roll(6) as i32 - 3))
        .collect();
    let days = Series::new("".into(), days).cast(&DataType::Date).unwrap();
    add("d", days);
    let hours: Vec<Option<i64>> = (0..rows)
        .map(|_| some(dice).then(|| (dice.roll(96) as i64 - 48) * 3_600_000))
        .collect();
    let hours = Series::new("".into(), hours);
    let unit = |unit| {
        hours
            .cast(&DataType::Datetime(TimeUnit::Milliseconds, None))
            .unwrap()
            .cast(&DataType::Datetime(unit, None))
            .unwrap()
    };
    add("at", unit(TimeUnit::Microseconds));
    add("fine", unit(TimeUnit::Nanoseconds));
    let zone = TimeZone::opt_try_new(Some("Europe/Zurich")).unwrap();
    add(
        "z",
        hours
            .cast(&DataType::Datetime(TimeUnit::Milliseconds, zone))
            .unwrap(),
    );
    let inner = [
        small.clone().with_name("x".into()),
        texts.clone().with_name("y".into()),
    ];
    add(
        "s",
        StructChunked::from_series("".into(), rows, inner.iter())
            .unwrap()
            .into_series(),
    );
    let lists: Vec<AnyValue> = (0..rows)
        .map(|_| match some(dice) {
            true => {
                let items: Vec<i64> = (0..dice.roll(3)).map(|_| dice.roll(4) as i64).collect();
                AnyValue::List(Series::new("".into(), items))
            }
            false => AnyValue::Null,
        })
        .collect();
    let lists = Series::from_any_values_and_dtype(
        "".into(),
        &lists,
        &DataType::List(Box::new(DataType::Int64)),
        true,
    );
    add("l", lists.unwrap());
    DataFrame::new(rows, columns).unwrap()
}

/// Makes documents as other programs might have left them: fields that are missing, whole
/// numbers as doubles and doubles as whole numbers, NaN as the null of whole numbers, empty
/// texts as that of dates, values of other types among texts.
fn disguise(raw: &server::Raw) {
    let collection = collection(raw);
    for field in ["i", "f", "t", "b", "d", "at", "s"] {
        raw.update(
            &collection,
            doc! { field: null, "_om#rowid": { "$mod": [2, 0] } },
            doc! { "$unset": { field: "" } },
        );
    }
    raw.update(
        &collection,
        doc! { "n": null, "_om#rowid": { "$mod": [3, 0] } },
        doc! { "$set": { "n": f64::NAN } },
    );
    raw.update(
        &collection,
        doc! { "at": null, "_om#rowid": { "$mod": [3, 0] } },
        doc! { "$set": { "at": "" } },
    );
    raw.update(
        &collection,
        doc! { "f": 2.0, "_om#rowid": { "$mod": [2, 0] } },
        doc! { "$set": { "f": 2 } },
    );
    raw.update(
        &collection,
        doc! { "n": 3, "_om#rowid": { "$mod": [2, 0] } },
        doc! { "$set": { "n": 3.0 } },
    );
    let others = [
        Bson::Int32(5),
        Bson::Boolean(true),
        Bson::Double(f64::NAN),
        Bson::Double(5.5),
        Bson::Array(vec!["EU".into()]),
        Bson::Document(doc! { "k": "EU" }),
    ];
    for (number, other) in (0..).zip(others) {
        raw.update(
            &collection,
            doc! { "mixed": "US", "_om#rowid": { "$mod": [7, number] } },
            doc! { "$set": { "mixed": other } },
        );
    }
}

fn collection(raw: &server::Raw) -> String {
    let object = raw.find("metadata", doc! {}).remove(0);
    object.get_str("collection").unwrap().to_owned()
}

fn test(column: &str, op: Op) -> Filter {
    Filter::Test(Test {
        column: column.to_owned(),
        op,
    })
}

/// A comparison that suits some column, and a few that do not.
fn leaf(dice: &mut Dice) -> Filter {
    let numbers = ["i", "small", "n", "u", "f", "single", "s.x", "_om#rowid"];
    let texts = ["t", "mixed", "c", "s.y"];
    let times = ["d", "at", "fine", "z"];
    let all = [
        "i", "small", "n", "u", "f", "single", "t", "mixed", "c", "b", "d", "at", "z", "l", "took",
    ];
    let number = |dice: &mut Dice| match dice.roll(3) {
        0 => Value::Float(dice.pick(&[0.1, 1.0, 2.5, -1.5, 9e15, 1e19])),
        _ => Value::Int(dice.pick(&[-7, -1, 0, 1, 2, 3, 5, i64::MAX, (1 << 53) + 1])),
    };
    let text = |dice: &mut Dice| Value::Text(dice.pick(&TEXTS).to_owned());
    let time = |dice: &mut Dice| {
        Value::Text(
            dice.pick(&[
                "1970-01-01",
                "1969-12-31",
                "1970-01-01T05:00:00",
                "1970-01-01T05:00:00.000001",
                "1969-12-31T23:00:00Z",
                "1970-01-02T00:00:00+01:00",
                "1970-01-01T00:00:00.0000001",
            ])
            .to_owned(),
        )
    };
    let (column, value): (&str, &dyn Fn(&mut Dice) -> Value) = match dice.roll(4) {
        0 => (dice.pick(&numbers), &number),
        1 => (dice.pick(&texts), &text),
        2 => (dice.pick(&times), &time),
        _ => match dice.roll(4) {
            0 => return test(dice.pick(&all), Op::IsNull),
            1 => return test("b", Op::Eq(Value::Bool(dice.roll(2) > 0))),
            2 => return test("l", Op::Eq(Value::Int(dice.roll(4) as i64))),
            _ => {
                let part = dice
                    .pick(&["E", "U", ".", "ñ", "", "\n", "5", "a.b", "rue"])
                    .to_owned();
                let op = match dice.roll(4) {
                    0 => Op::Contains(part),
                    1 => Op::StartsWith(part),
                    2 => Op::EndsWith(part),
                    _ => Op::Regex(
                        dice.pick(&[
                            "^E", "U$", "^[a-z]+", "E|e", ".", "x.y", "a\\.b", "\\w", "(E)U", "x$",
                        ])
                        .to_owned(),
                    ),
                };
                return test(dice.pick(&texts), op);
            }
        },
    };
    let op = match dice.roll(8) {
        0 => Op::Eq(value(dice)),
        1 => Op::Ne(value(dice)),
        2 => Op::Lt(value(dice)),
        3 => Op::Le(value(dice)),
        4 => Op::Gt(value(dice)),
        5 => Op::Ge(value(dice)),
        6 => Op::Between(value(dice), value(dice)),
        _ => {
            let mut values: Vec<Value> = (0..dice.roll(4)).map(|_| value(dice)).collect();
            if dice.roll(4) == 0 {
                values.push(Value::Null);
            }
            Op::In(values)
        }
    };
    test(column, op)
}

fn filter(dice: &mut Dice, depth: usize) -> Filter {
    match dice.roll(if depth == 0 { 1 } else { 6 }) {
        0..=2 => leaf(dice),
        3 => Filter::And(
            (0..1 + dice.roll(3))
                .map(|_| filter(dice, depth - 1))
                .collect(),
        ),
        4 => Filter::Or(
            (0..1 + dice.roll(3))
                .map(|_| filter(dice, depth - 1))
                .collect(),
        ),
        _ => Filter::Not(Box::new(filter(dice, depth - 1))),
    }
}

fn query(dice: &mut Dice) -> Query {
    let mut query = Query {
        filter: (dice.roll(3) > 0).then(|| filter(dice, 3)),
        ..Query::default()
    };
    let sortable = [
        "i", "small", "n", "u", "f", "single", "t", "mixed", "c", "b", "d", "at", "z", "took",
    ];
    let mut sorts: Vec<String> = sortable.map(str::to_owned).to_vec();
    match dice.roll(3) {
        0 => {
            let keys = [
                "n", "small", "t", "mixed", "c", "b", "d", "at", "z", "i", "u", "took",
            ];
            query.group_by = (0..dice.roll(3))
                .map(|_| dice.pick(&keys).to_owned())
                .collect();
            query.group_by.dedup();
            for _ in 0..dice.roll(4) + usize::from(query.group_by.is_empty()) {
                let aggregate = Aggregate {
                    column: dice.pick(&sortable).to_owned(),
                    function: dice.pick(&AggregateFunction::ALL),
                };
                // Polars' sums overflow, which it refuses when it is built for tests.
                if (aggregate.column.as_str(), aggregate.function) != ("u", AggregateFunction::Sum)
                {
                    query.aggregates.push(aggregate);
                }
            }
            sorts = query.group_by.clone();
            // Sums of doubles depend on the order of their terms, and so do orders by them.
            sorts.extend(
                query
                    .aggregates
                    .iter()
                    .filter(|aggregate| {
                        !matches!(
                            aggregate.function,
                            AggregateFunction::Sum
                                | AggregateFunction::Mean
                                | AggregateFunction::Std
                                | AggregateFunction::Var
                                | AggregateFunction::Median
                        )
                    })
                    .map(Aggregate::result_name),
            );
        }
        1 => {
            let columns = (0..1 + dice.roll(3)).map(|_| dice.pick(&sortable).to_owned());
            let mut columns: Vec<String> = columns.collect();
            columns.sort();
            columns.dedup();
            query.columns = Columns::Only(columns);
        }
        _ => {}
    }
    if !sorts.is_empty() && dice.roll(2) > 0 {
        for _ in 0..1 + dice.roll(2) {
            query.sort.push(Sort {
                column: dice.pick(&sorts),
                descending: dice.roll(2) > 0,
            });
        }
    }
    if dice.roll(2) > 0 {
        query.limit = Some(dice.roll(12) as u64);
    }
    if dice.roll(4) == 0 {
        query.skip = dice.roll(6) as u64;
    }
    query
}

/// The values, column by column.
fn shown(frame: &DataFrame) -> String {
    let column = |column: &Column| {
        let values: Vec<AnyValue> = column
            .as_materialized_series()
            .rechunk()
            .iter()
            .map(AnyValue::into_static)
            .collect();
        format!("{} {} {values:?}\n", column.name(), column.dtype())
    };
    frame.columns().iter().map(column).collect()
}

/// Equal but for the last bits of doubles.
fn alike(one: &DataFrame, two: &DataFrame) -> bool {
    one.schema() == two.schema()
        && one.height() == two.height()
        && one.columns().iter().zip(two.columns()).all(|(one, two)| {
            let (one, two) = (one.as_materialized_series(), two.as_materialized_series());
            if !one.dtype().is_float() {
                return one.equals_missing(two);
            }
            let double = |series: &Series| series.cast(&DataType::Float64).unwrap();
            let (one, two) = (double(one), double(two));
            one.f64()
                .unwrap()
                .iter()
                .zip(two.f64().unwrap().iter())
                .all(|pair| match pair {
                    (Some(one), Some(two)) => {
                        one == two
                            || (one.is_nan() && two.is_nan())
                            || (one - two).abs() <= 1e-9 * one.abs().max(two.abs())
                    }
                    (one, two) => one == two,
                })
        })
}

/// The same answers on both, to queries by chance.
fn same_answers(seed: u64, rows: usize, queries: usize, disguised: bool) -> [usize; 3] {
    let mut dice = Dice(seed);
    let (mongo, raw) = mongo();
    let folder = tempfile::tempdir().unwrap();
    let embedded = store(folder.path().join("store").to_str().unwrap());
    mongo.put_frame("a", table(&mut dice, rows)).unwrap();
    if disguised {
        disguise(&raw);
    }
    let whole = mongo.collect("a", &Query::default()).unwrap();
    assert_eq!(whole.height(), rows);
    embedded.put_frame("a", whole).unwrap();
    let [mut answered, mut aggregated, mut filtered] = [0; 3];
    for number in 0..queries {
        let query = query(&mut dice);
        let context = || format!("seed {seed}, query {number}: {query:?}");
        match (mongo.collect("a", &query), embedded.collect("a", &query)) {
            (Ok(one), Ok(two)) => {
                answered += 1;
                let explained = mongo.explain("a", &query).unwrap();
                let command = explained.command.unwrap();
                aggregated += usize::from(command.contains_key("aggregate"));
                let filter = command.get_document("filter");
                filtered += usize::from(filter.is_ok_and(|filter| !filter.is_empty()));
                let is_same = alike(&one, &two);
                assert!(
                    is_same,
                    "{}\n{command}\nMongoDB\n{}\nembedded\n{}",
                    context(),
                    shown(&one),
                    shown(&two)
                );
            }
            (Err(one), Err(two)) => {
                assert_eq!(
                    (one.kind(), one.message()),
                    (two.kind(), two.message()),
                    "{}",
                    context()
                );
            }
            (one, two) => panic!("{}\nMongoDB {one:?}\nembedded {two:?}", context()),
        }
    }
    [answered, aggregated, filtered]
}

#[test]
fn answers_are_those_of_polars() {
    let mut sums = [0; 3];
    for seed in 1..=6 {
        let counts = same_answers(seed * 7_919, 60, 120, false);
        sums.iter_mut()
            .zip(counts)
            .for_each(|(sum, count)| *sum += count);
    }
    // Enough of them are answers, and of inside the database.
    let [answered, aggregated, filtered] = sums;
    assert!(
        answered > 500 && aggregated > 80 && filtered > 100,
        "{sums:?}"
    );
}

#[test]
fn answers_are_those_of_polars_on_what_others_have_stored() {
    for seed in 1..=6 {
        same_answers(seed * 104_729, 60, 120, true);
    }
}

#[test]
fn empty_tables_have_answers() {
    same_answers(3, 0, 150, false);
}

/// The command of an explanation.
fn command(explained: Explanation) -> Document {
    explained.command.unwrap()
}

fn sales() -> (Store, server::Raw) {
    let (store, raw) = mongo();
    let frame = df!(
        "region" => ["EU", "US", "EU", "AS"],
        "qty" => [5i64, 7, 1, 3],
        "price" => [1.5, f64::NAN, 2.5, 3.5],
    );
    store.put_frame("sales", frame.unwrap()).unwrap();
    (store, raw)
}

#[test]
fn groups_are_made_inside() {
    let (store, _) = sales();
    let query = Query {
        filter: Some(Filter::parse("qty >= 2 and region != \"AS\"").unwrap()),
        group_by: vec!["region".to_owned()],
        aggregates: Aggregate::parse_list("price=mean,sum,min,max,count,std").unwrap(),
        limit: Some(5),
        ..Query::default()
    };
    let command = command(store.explain("sales", &query).unwrap());
    let stages: Vec<&str> = command
        .get_array("pipeline")
        .unwrap()
        .iter()
        .filter_map(|stage| stage.as_document()?.keys().next().map(String::as_str))
        .collect();
    let expected = [
        "$match",
        "$group",
        "$project",
        "$addFields",
        "$sort",
        "$limit",
    ];
    assert_eq!(stages, expected);
    let answer = store.collect("sales", &query).unwrap();
    let expected = df!(
        "region" => ["EU", "US"],
        "price_mean" => [Some(1.5), None],
        "price_sum" => [1.5, 0.0],
        "price_min" => [Some(1.5), None],
        "price_max" => [Some(1.5), None],
        "price_count" => [1u32, 0],
        "price_std" => [None::<f64>, None],
    );
    assert_eq!(answer, expected.unwrap());
}

#[test]
fn other_values_among_texts_are_noticed() {
    let (store, raw) = sales();
    let query = Query {
        group_by: vec!["region".to_owned()],
        ..Query::default()
    };
    assert!(command(store.explain("sales", &query).unwrap()).contains_key("aggregate"));
    raw.update(
        &collection(&raw),
        doc! { "region": "AS" },
        doc! { "$set": { "region": 5 } },
    );
    assert!(command(store.explain("sales", &query).unwrap()).contains_key("find"));
    let answer = store.collect("sales", &query).unwrap();
    assert_eq!(
        answer,
        df!("region" => ["5", "EU", "US"], "count" => [1u32, 2, 1]).unwrap()
    );
}

/// What the library says to whoever listens, on this thread.
#[derive(Clone, Default)]
struct Log(Arc<std::sync::Mutex<Vec<u8>>>);

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// The commands that a frame sends when it is collected.
fn sent(frame: LazyFrame) -> (DataFrame, String) {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing_subscriber::filter::LevelFilter::DEBUG)
        .with_ansi(false)
        .with_writer(move || writer.clone())
        .finish();
    let answer = tracing::subscriber::with_default(subscriber, || {
        // Other threads, who listen to nothing, may have been there first.
        tracing::callsite::rebuild_interest_cache();
        frame.collect().unwrap()
    });
    let said = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    (answer, said)
}

#[test]
fn lazy_frames_send_their_predicates_and_columns() {
    let (store, raw) = sales();
    let lazy = || store.lazy("sales").unwrap();
    let wanted = lazy()
        .filter(col("qty").gt(lit(2)).and(col("region").eq(lit("EU"))))
        .select([col("price")]);
    let (answer, said) = sent(wanted);
    assert_eq!(answer, df!("price" => [1.5]).unwrap());
    assert!(
        said.contains("\"$gt\": 2") && said.contains("\"region\": { \"$eq\": \"EU\" }"),
        "{said}"
    );
    // Choosing most columns costs the server more than sending all.
    assert!(!said.contains("\"projection\""), "{said}");
    let (answer, said) = sent(lazy().select([col("qty")]));
    assert_eq!(answer.height(), 4);
    let projection = "\"projection\": { \"qty\": 1, \"_om#rowid\": 1, \"_id\": 0 }";
    assert!(said.contains(projection), "{said}");
    let (answer, said) = sent(lazy().select([col("qty")]).limit(2));
    assert_eq!(answer, df!("qty" => [5i64, 7]).unwrap());
    assert!(
        said.contains("\"limit\": 2") && !said.contains("price"),
        "{said}"
    );
    let list = Series::new("".into(), [1i64, 3]);
    let (answer, said) = sent(lazy().filter(col("qty").is_in(lit(list).implode(true), false)));
    assert_eq!(answer.height(), 2);
    assert!(said.contains("\"$in\": [1, 3]"), "{said}");
    // What another program left among the texts is tested by what it is read as.
    raw.update(
        &collection(&raw),
        doc! { "region": "AS" },
        doc! { "$set": { "region": 5 } },
    );
    let five = lazy().filter(col("region").eq(lit("5")));
    assert_eq!(sent(five).0.height(), 1);
    let (answer, _) = sent(lazy().filter(col("price").gt(lit(2.0))));
    assert_eq!(answer.height(), 3, "NaN is the largest");
}
