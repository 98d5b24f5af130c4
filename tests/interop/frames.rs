//! Tables and series: `pandas.dfrows`, `pandas.serows`, `pandas.dfgroup`.

use super::{Both, assert_rows};
use omega::frame::{Columns, Query};
use omega::store::PutMode;
use polars::prelude::*;

/// A table as either side has it.
struct Case {
    name: &'static str,
    /// What Python puts.
    python: &'static str,
    /// What Python gets back, by whomever it was put.
    back: &'static str,
    /// What `om` puts.
    put: DataFrame,
    /// What `om` gets, by whomever it was put.
    got: DataFrame,
    /// The kind that `om` has to be told.
    kind: Option<&'static str>,
    /// Whether the table has an index of its own.
    index: bool,
}

impl Case {
    fn new(name: &'static str, python: &'static str, frame: DataFrame) -> Self {
        Case {
            name,
            python,
            back: python,
            put: frame.clone(),
            got: frame,
            kind: None,
            index: false,
        }
    }

    fn back(self, back: &'static str) -> Self {
        Case { back, ..self }
    }

    /// With an index that `om` puts in columns called so.
    fn indexed(mut self, columns: &[(&str, &str)]) -> Self {
        for (name, stored) in columns {
            self.put.rename(name, (*stored).into()).unwrap();
        }
        Case {
            index: true,
            ..self
        }
    }

    fn series(self) -> Self {
        Case {
            kind: Some("pandas.serows"),
            ..self
        }
    }
}

fn times(values: &[i64], unit: TimeUnit, zone: Option<&'static str>) -> Series {
    let dtype = DataType::Datetime(unit, TimeZone::opt_try_new(zone).unwrap());
    let millis = Series::new("t".into(), values.to_vec());
    let millis = millis.cast(&DataType::Datetime(TimeUnit::Milliseconds, None));
    let naive = millis
        .unwrap()
        .cast(&DataType::Datetime(unit, None))
        .unwrap();
    let physical = naive.to_physical_repr().into_owned();
    physical.cast(&dtype).unwrap()
}

fn category(values: &[&str]) -> Series {
    let text = Series::new("c".into(), values.to_vec());
    text.cast(&DataType::from_categories(Categories::global()))
        .unwrap()
}

fn cases() -> Vec<Case> {
    let ns = TimeUnit::Nanoseconds;
    vec![
        Case::new(
            "plain",
            "pd.DataFrame({'i': [1, -2, 3], 'f': [.5, np.nan, np.inf], 's': ['a', None, 'ü日'], 'b': [True, False, True]})",
            df!("i" => [1i64, -2, 3], "f" => [0.5, f64::NAN, f64::INFINITY],
                "s" => [Some("a"), None, Some("ü日")], "b" => [true, false, true]).unwrap(),
        ),
        Case::new(
            "small",
            "pd.DataFrame({'a': np.array([-128, 127], 'int8'), 'b': np.array([1, 2], 'uint16'), \
             'c': np.array([.5, 1.5], 'float32'), 'd': np.array([7, 8], 'uint64'), 'e': np.array([1, 2], 'int32')})",
            df!("a" => [-128i8, 127], "b" => [1u16, 2], "c" => [0.5f32, 1.5], "d" => [7u64, 8], "e" => [1i32, 2])
                .unwrap(),
        )
        .back("pd.DataFrame({'a': [-128, 127], 'b': [1, 2], 'c': [.5, 1.5], 'd': [7, 8], 'e': [1, 2]})"),
        Case::new(
            "big",
            "pd.DataFrame({'i': [2**40, -2**62, 2**53 + 1]})",
            df!("i" => [1i64 << 40, -(1i64 << 62), (1i64 << 53) + 1]).unwrap(),
        ),
        Case::new(
            "times",
            "pd.DataFrame({'t': pd.to_datetime(['2024-01-01 10:11:12.123', '1969-12-31 23:59:59.999'])})",
            DataFrame::new(2, vec![times(&[1_704_103_872_123, -1], ns, None).into_column()]).unwrap(),
        ),
        Case::new(
            "zones",
            "pd.DataFrame({'t': pd.to_datetime(['2024-01-01 09:00', '2024-06-01 00:00'], utc=True).tz_convert('Europe/Zurich')})",
            DataFrame::new(
                2,
                vec![times(&[1_704_099_600_000, 1_717_200_000_000], ns, Some("Europe/Zurich")).into_column()],
            )
            .unwrap(),
        ),
        Case::new(
            "categories",
            "pd.DataFrame({'c': pd.Categorical(['lo', 'hi', 'lo'], categories=['lo', 'hi'], ordered=True)})",
            DataFrame::new(3, vec![category(&["lo", "hi", "lo"]).into_column()]).unwrap(),
        )
        .back("pd.DataFrame({'c': ['lo', 'hi', 'lo']})"),
        Case::new(
            "nullable",
            "pd.DataFrame({'i': pd.array([1, None, 3], 'Int64'), 'b': pd.array([True, None, False], 'boolean'), \
             's': pd.array(['a', None, 'c'], 'string'), 'f': pd.array([1.5, None, 2.5], 'Float64')})",
            df!("i" => [Some(1i64), None, Some(3)], "b" => [Some(true), None, Some(false)],
                "s" => [Some("a"), None, Some("c")], "f" => [Some(1.5), None, Some(2.5)]).unwrap(),
        )
        .back(
            "pd.DataFrame({'i': [1., np.nan, 3.], 'b': pd.Series([True, None, False], dtype=object), \
             's': pd.Series(['a', None, 'c'], dtype=object), 'f': [1.5, np.nan, 2.5]})",
        ),
        Case::new(
            "objects",
            "pd.DataFrame({'o': pd.Series([True, None], dtype=object), 'n': pd.Series([5, None], dtype=object)})",
            df!("o" => [Some(true), None], "n" => [Some(5i64), None]).unwrap(),
        )
        .back("pd.DataFrame({'o': pd.Series([True, None], dtype=object), 'n': [5, np.nan]})"),
        Case::new(
            "nested",
            "pd.DataFrame({'l': [[1, 2], []], 'd': [{'a': 1, 'b': {'c': 'x'}}, {'a': 2, 'b': {'c': 'y'}}]})",
            nested(),
        ),
        Case::new(
            "odd",
            "pd.DataFrame([[1, 2, 3, 4, 5, 6]], columns=['a.b', 'd$', 'sp ace', 7, '_u', 'ü'])",
            df!("a.b" => [1i64], "d$" => [2i64], "sp ace" => [3i64], "7" => [4i64], "_u" => [5i64], "ü" => [6i64])
                .unwrap(),
        )
        .back("pd.DataFrame([[1, 2, 3, 4, 5, 6]], columns=['a_b', 'd$', 'sp ace', '7', '_u', 'ü'])"),
        Case::new(
            "joined",
            "pd.DataFrame([[1, 2]], columns=pd.MultiIndex.from_tuples([('a', 'x'), ('a', 'y')]))",
            df!("a_x" => [1i64], "a_y" => [2i64]).unwrap(),
        )
        .back("pd.DataFrame([[1, 2]], columns=['a_x', 'a_y'])"),
        Case::new(
            "named",
            "pd.DataFrame({'v': [0, 1, 2]}, index=pd.Index([30, 10, 20], name='key'))",
            df!("key" => [30i64, 10, 20], "v" => [0i64, 1, 2]).unwrap(),
        )
        .indexed(&[("key", "_idx#0_key")]),
        Case::new(
            "texts",
            "pd.DataFrame({'v': [0, 1]}, index=['b', 'a'])",
            df!("_idx#0_0" => ["b", "a"], "v" => [0i64, 1]).unwrap(),
        )
        .indexed(&[]),
        Case::new(
            "levels",
            "pd.DataFrame({'v': [0, 1, 2]}, index=pd.MultiIndex.from_tuples([('b', 1), ('a', 2), ('a', 1)], names=['k', 'n']))",
            df!("k" => ["b", "a", "a"], "n" => [1i64, 2, 1], "v" => [0i64, 1, 2]).unwrap(),
        )
        .indexed(&[("k", "_idx#0_k"), ("n", "_idx#1_n")]),
        Case::new(
            "hours",
            "pd.DataFrame({'v': [1., 2.]}, index=pd.date_range('2024-01-01', periods=2, freq='h'))",
            DataFrame::new(
                2,
                vec![
                    times(&[1_704_067_200_000, 1_704_070_800_000], ns, None).with_name("_idx#0_0".into()).into_column(),
                    Series::new("v".into(), [1.0, 2.0]).into_column(),
                ],
            )
            .unwrap(),
        )
        .indexed(&[]),
        Case::new("series", "pd.Series([1, 2, 3], name='x')", df!("x" => [1i64, 2, 3]).unwrap()).series(),
        Case::new("unnamed", "pd.Series([1., 2.])", df!("None" => [1.0, 2.0]).unwrap()).series(),
        Case::new(
            "lettered",
            "pd.Series(['a', 'b'], index=['x', 'y'], name='foo')",
            df!("_idx#0_0" => ["x", "y"], "foo" => ["a", "b"]).unwrap(),
        )
        .series()
        .indexed(&[]),
    ]
}

fn nested() -> DataFrame {
    let letters = df!("c" => ["x", "y"]).unwrap().into_struct("b".into());
    let inner = DataFrame::new(
        2,
        vec![
            Series::new("a".into(), [1i64, 2]).into_column(),
            letters.into_column(),
        ],
    );
    let list = ListChunked::from_iter([
        Some(Series::new("".into(), [1i64, 2])),
        Some(Series::new_empty("".into(), &DataType::Int64)),
    ]);
    DataFrame::new(
        2,
        vec![
            list.into_series().with_name("l".into()).into_column(),
            inner.unwrap().into_struct("d".into()).into_column(),
        ],
    )
    .unwrap()
}

#[test]
fn tables_go_both_ways() {
    let mut both = Both::new();
    for case in cases() {
        let (theirs, ours) = (format!("py/{}", case.name), format!("om/{}", case.name));
        let get = |name: &str| format!("om.datasets.get('{name}')");
        let put = format!("om.datasets.put({}, ", case.python);

        both.python
            .eval(&format!("{put}'{theirs}', attributes={{'by': 'python'}})"));
        assert_rows(&both.frame(&theirs), &case.got, &theirs);
        both.put_frame(&ours, &case.put, PutMode::Create, case.kind);
        assert_rows(&both.frame(&ours), &case.got, &ours);
        both.python.same(&get(&ours), case.back, true);

        // Each adds to the other's, and both read the whole.
        both.put_frame(&theirs, &case.got, PutMode::Append, case.kind);
        both.python.eval(&format!("{put}'{ours}')"));
        let twice = case.got.vstack(&case.got).unwrap();
        let back = format!("pd.concat([{0}, {0}])", case.back);
        for (name, index) in [(&theirs, case.index), (&ours, true)] {
            assert_rows(&both.frame(name), &twice, name);
            both.python.same(&get(name), &back, index);
        }
        let kept = both.om.datasets.metadata(&theirs).unwrap();
        assert_eq!(
            kept.attributes.get_str("by").ok(),
            Some("python"),
            "{theirs}"
        );

        both.om.datasets.drop(&theirs).unwrap();
        assert_eq!(
            both.python.eval(&format!("om.datasets.drop('{ours}')")),
            true
        );
        both.nothing_left(case.name);
    }
}

#[test]
fn what_pandas_adds_with_other_columns_or_numbers_is_there() {
    let mut both = Both::new();
    both.python.run(
        "om.datasets.put(pd.DataFrame({'x': [1, 2]}, index=[5, 7]), 'grown'); \
         om.datasets.put(pd.DataFrame({'x': [3], 'y': [.5]}, index=[6]), 'grown')",
    );
    let expected = df!("x" => [1i64, 2, 3], "y" => [None, None, Some(0.5)]).unwrap();
    assert_rows(&both.frame("grown"), &expected, "grown");
    let numbers = both.frame("grown[_idx#0_0,x]");
    assert_rows(
        &numbers,
        &df!("_idx#0_0" => [5i64, 7, 6], "x" => [1i64, 2, 3]).unwrap(),
        "numbers",
    );

    // A copy has the same index, whatever is in between.
    let home = tempfile::tempdir().unwrap();
    let embedded = omega::Omega::embedded(home.path()).unwrap();
    let datasets = &both.om.datasets;
    datasets
        .copy("grown", &embedded.datasets, "away", false)
        .unwrap();
    embedded
        .datasets
        .copy("away", datasets, "copied", false)
        .unwrap();
    both.python.same(
        "om.datasets.get('copied')",
        "om.datasets.get('grown')",
        true,
    );
    for store in [&embedded.datasets, datasets] {
        let name = if std::ptr::eq(store, datasets) {
            "copied"
        } else {
            "away"
        };
        let got = store.collect(name, &Query::default()).unwrap();
        assert_rows(&got, &expected, name);
        // Rows without a number get the next one.
        store
            .put(
                name,
                omega::store::Object::frame(expected.clone()),
                &Default::default(),
            )
            .unwrap();
        let query = Query {
            columns: Columns::Only(vec!["_idx#0_0".into()]),
            ..Query::default()
        };
        let got = store.collect(name, &query).unwrap();
        assert_rows(
            &got,
            &df!("_idx#0_0" => [5i64, 7, 6, 3, 4, 5]).unwrap(),
            name,
        );
    }
}

#[test]
fn groups_are_read_as_they_went_in() {
    let mut both = Both::new();
    both.python.run("om.datasets.put(pd.DataFrame({'g': ['b', 'a', 'b'], 'x': [1, 2, 3]}), 'groups', groupby=['g'])");
    let sorted = both
        .frame("groups")
        .sort(["x"], Default::default())
        .unwrap();
    let expected = df!("g" => ["b", "a", "b"], "x" => [1i64, 2, 3]).unwrap();
    assert_rows(&sorted.select(["g", "x"]).unwrap(), &expected, "groups");
    let error = both
        .om
        .datasets
        .put(
            "groups",
            omega::store::Object::frame(expected),
            &Default::default(),
        )
        .unwrap_err();
    assert_eq!(error.kind(), omega::ErrorKind::Conflict);
    let datasets = &both.om.datasets;
    let home = tempfile::tempdir().unwrap();
    let embedded = omega::Omega::embedded(home.path()).unwrap();
    datasets
        .copy("groups", &embedded.datasets, "away", false)
        .unwrap();
    let away = embedded.datasets.collect("away", &Query::default());
    assert_rows(&away.unwrap(), &both.frame("groups"), "away");
    embedded
        .datasets
        .copy("away", datasets, "copied", false)
        .unwrap();
    both.python.same(
        "om.datasets.get('copied')",
        "om.datasets.get('groups')",
        true,
    );
    both.om.datasets.drop("groups").unwrap();
    both.python.eval("om.datasets.drop('copied')");
    both.nothing_left("groups");
}

#[test]
fn what_python_cannot_hold_is_close() {
    let mut both = Both::new();
    let frame =
        df!("u" => [u64::MAX, 1], "t" => times(&[0, 1], TimeUnit::Microseconds, Some("UTC")))
            .unwrap();
    both.put_frame("edge", &frame, PutMode::Create, None);
    assert_rows(&both.frame("edge"), &frame, "edge");
    both.python.same(
        "om.datasets.get('edge')[['t']]",
        "pd.DataFrame({'t': pd.to_datetime([0, 1], unit='ms', utc=True)})",
        true,
    );
    let unsigned = both
        .python
        .eval("[int(str(u)) for u in om.datasets.get('edge')['u']]");
    assert_eq!(unsigned, serde_json::json!([u64::MAX, 1]));
    // A missing time is null here and NaT there.
    let gaps = df!("t" => [Some(1i64), None]).unwrap();
    let gaps = gaps
        .lazy()
        .select([col("t").cast(DataType::Datetime(TimeUnit::Milliseconds, None))]);
    both.put_frame("gaps", &gaps.collect().unwrap(), PutMode::Create, None);
    both.python.same(
        "om.datasets.get('gaps')",
        "pd.DataFrame({'t': pd.to_datetime([1, None], unit='ms')})",
        true,
    );
}

#[test]
fn revisions_are_read_and_left_alone() {
    let mut both = Both::new();
    both.python.run(
        "om.datasets.put(pd.DataFrame({'x': [1, 2]}), 'rev', revisions=True); \
         om.datasets.put(pd.DataFrame({'x': [9]}), 'rev')",
    );
    both.python.same(
        "om.datasets.get('rev')",
        "pd.DataFrame({'x': [9, 2]})",
        true,
    );
    let expected = df!("x" => [9i64, 2]).unwrap();
    assert_rows(&both.frame("rev"), &expected, "rev");
    let object = omega::store::Object::frame(expected);
    let error = both
        .om
        .datasets
        .put("rev", object, &Default::default())
        .unwrap_err();
    assert_eq!(error.kind(), omega::ErrorKind::Conflict);
    assert!(error.to_string().contains("revisions"), "{error}");
}
