#![allow(clippy::unwrap_used)]
use super::*;
use bson::{doc, oid::ObjectId};
use polars::prelude::*;
use proptest::prelude::*;

fn of(frames: &[DataFrame]) -> Fingerprint {
    let mut fingerprint = Fingerprinter::default();
    for frame in frames {
        fingerprint.rows(frame).unwrap();
    }
    fingerprint.finish()
}

fn column(values: Series) -> Fingerprint {
    let height = values.len();
    of(&[DataFrame::new(height, vec![values.with_name("c".into()).into_column()]).unwrap()])
}

fn times(ticks: &[i64], unit: TimeUnit) -> Series {
    Series::new("t".into(), ticks)
        .cast(&DataType::Datetime(unit, None))
        .unwrap()
}

#[test]
fn types_that_hold_the_same_values_are_the_same() {
    let whole = column(Series::new("c".into(), [1i64, -2, 3]));
    for dtype in [DataType::Int8, DataType::Int16, DataType::Int32] {
        let other = Series::new("c".into(), [1i64, -2, 3]).cast(&dtype).unwrap();
        assert_eq!(column(other), whole, "{dtype}");
    }
    let natural = column(Series::new("c".into(), [1u64, 2]));
    assert_eq!(natural, column(Series::new("c".into(), [1i64, 2])));
    assert_eq!(
        column(Series::new("c".into(), [1.5f32, f32::NAN])),
        column(Series::new("c".into(), [1.5f64, -f64::NAN]))
    );
    let texts = Series::new("c".into(), ["a", "b", "a"]);
    let categories = texts
        .cast(&DataType::from_categories(Categories::global()))
        .unwrap();
    assert_eq!(column(categories), column(texts));
    let days = Series::new("c".into(), [-1i32, 20_000])
        .cast(&DataType::Date)
        .unwrap();
    let midnights = times(&[-86_400_000, 20_000 * 86_400_000], TimeUnit::Milliseconds);
    assert_eq!(column(days), column(midnights));
    let durations = |ticks: [i64; 1], unit| {
        let series = Series::new("c".into(), ticks);
        column(series.cast(&DataType::Duration(unit)).unwrap())
    };
    assert_eq!(
        durations([1], TimeUnit::Milliseconds),
        durations([1_000_000], TimeUnit::Nanoseconds)
    );
}

#[test]
fn other_values_are_others() {
    let all = [
        column(Series::new("c".into(), [1i64, 2])),
        column(Series::new("c".into(), [2i64, 1])),
        column(Series::new("c".into(), [1i64])),
        column(Series::new("c".into(), [1.0f64, 2.0])),
        column(Series::new("c".into(), ["1", "2"])),
        column(Series::new("c".into(), ["12", ""])),
        column(Series::new("c".into(), [Some("12"), None])),
        column(Series::new("c".into(), [Some(1i64), None])),
        column(Series::new("c".into(), [u64::MAX, 2])),
        column(Series::new("c".into(), [true, false])),
        column(Series::new_null("c".into(), 2)),
        column(times(&[1, 2], TimeUnit::Milliseconds)),
        of(&[df!("d" => [1i64, 2]).unwrap()]),
        of(&[df!("c" => [1i64, 2], "d" => [1i64, 2]).unwrap()]),
    ];
    for (position, one) in all.iter().enumerate() {
        for other in &all[..position] {
            let difference = one.difference(other);
            assert!(
                matches!(difference, Difference::Content(_)),
                "{one:?} {other:?}"
            );
        }
        assert_eq!(one.difference(one), Difference::None);
    }
}

/// Nested values: a field without a value is as none, everything else counts.
#[test]
fn nested_values_count() {
    let people = |names: &[&str], ages: Option<&[Option<i64>]>| {
        let mut fields = vec![Series::new("name".into(), names)];
        fields.extend(ages.map(|ages| Series::new("age".into(), ages)));
        let length = names.len();
        let people = StructChunked::from_series("c".into(), length, fields.iter()).unwrap();
        column(people.into_series())
    };
    let plain = people(&["x", "y"], None);
    assert_eq!(plain, people(&["x", "y"], Some(&[None, None])));
    assert_ne!(plain, people(&["x", "y"], Some(&[None, Some(1)])));
    assert_ne!(plain, people(&["x", "z"], None));
    let lists = |lists: &[&[i32]]| {
        let lists: Vec<Series> = lists
            .iter()
            .map(|list| Series::new("".into(), *list))
            .collect();
        column(Series::new("c".into(), lists))
    };
    assert_eq!(lists(&[&[1, 2], &[]]), lists(&[&[1, 2], &[]]));
    assert_ne!(lists(&[&[1, 2], &[]]), lists(&[&[1], &[2]]));
}

#[test]
fn cut_times_are_recognised_in_one_direction() {
    let fine = column(times(&[1_500, -1, 3_000], TimeUnit::Microseconds));
    let cut = column(times(&[1, -1, 3], TimeUnit::Milliseconds));
    let other = column(times(&[2, -1, 3], TimeUnit::Milliseconds));
    assert_eq!(
        fine.difference(&cut),
        Difference::CoarserTimes(vec!["c".to_owned()])
    );
    assert!(matches!(fine.difference(&other), Difference::Content(_)));
    assert!(matches!(cut.difference(&fine), Difference::Content(_)));
    let finer = column(times(
        &[1_500_000, -1_000, 3_000_000],
        TimeUnit::Nanoseconds,
    ));
    assert_eq!(fine.difference(&finer), Difference::None);
    let other = column(times(&[1_501, -1, 3_000], TimeUnit::Microseconds));
    assert!(matches!(fine.difference(&other), Difference::Content(_)));
}

#[test]
fn documents_are_themselves_without_their_ids() {
    let of = |documents: &[Document]| {
        let mut fingerprint = Fingerprinter::default();
        for document in documents {
            fingerprint.document(document).unwrap();
        }
        fingerprint.finish()
    };
    let one = of(&[doc! { "_id": ObjectId::new(), "a": 1, "b": { "_id": 1 } }]);
    assert_eq!(one, of(&[doc! { "a": 1, "b": { "_id": 1 }, "_id": 7 }]));
    for other in [
        vec![doc! { "a": 1_i64, "b": { "_id": 1 } }],
        vec![doc! { "b": { "_id": 1 }, "a": 1 }],
        vec![doc! { "a": 1, "b": {} }],
        vec![],
    ] {
        assert_ne!(one, of(&other), "{other:?}");
    }
}

#[test]
fn the_column_that_differs_is_named() {
    let one = of(&[df!("a" => [1i64], "b" => ["x"]).unwrap()]);
    let other = of(&[df!("a" => [1i64], "b" => ["y"]).unwrap()]);
    assert_eq!(
        one.difference(&other),
        Difference::Content("column `b`".to_owned())
    );
}

proptest! {
    /// Batches do not matter; times are the hardest, as they are written twice.
    #[test]
    fn batches_do_not_matter(
        ticks in proptest::collection::vec(proptest::option::of(-5_000i64..5_000), 1..40),
        cut in 0usize..40,
    ) {
        let column = Series::new("t".into(), &ticks)
            .cast(&DataType::Datetime(TimeUnit::Microseconds, None))
            .unwrap();
        let text = column.cast(&DataType::String).unwrap().with_name("s".into());
        let frame = DataFrame::new(ticks.len(), vec![column.into_column(), text.into_column()]).unwrap();
        let cut = cut.min(frame.height());
        let parts = [frame.slice(0, cut), frame.slice(cut as i64, frame.height())];
        let whole = of(std::slice::from_ref(&frame));
        prop_assert_eq!(&whole, &of(&parts));
        let mut joined = parts[0].clone();
        joined.vstack_mut(&parts[1]).unwrap();
        prop_assert_eq!(&whole, &of(&[joined]));
    }
}
