#![allow(clippy::unwrap_used)]

use super::*;
use crate::ErrorKind;
use polars::prelude::{DataType, NamedFrom, Series, TimeUnit, df};
use serde_json::json;

fn output(format: Option<Format>, screen: Screen) -> Output {
    Output::in_memory(
        Wishes {
            format,
            ..Wishes::default()
        },
        screen,
    )
}

fn stdout(format: Option<Format>, screen: Screen, write: impl Fn(&Output) -> Result<()>) -> String {
    let output = output(format, screen);
    write(&output).unwrap();
    output.captured().0
}

fn listing() -> Table {
    let mut table = Table::new([
        Column::new("NAME"),
        Column::new("ROW COUNT").right(),
        Column::new("SIZE").right(),
        Column::new("OWNER").wide(),
        Column::new("HASH").for_programs(),
    ])
    .listing();
    table.push([
        Cell::from("sales"),
        3.into(),
        Cell::bytes(1_250_000),
        "ann".into(),
        "x1".into(),
    ]);
    table.push([
        Cell::from("a\tb\u{1b}"),
        Value::Null.into(),
        Cell::bytes(12),
        "bob".into(),
        "x2".into(),
    ]);
    table
}

const TERMINAL: Screen = Screen {
    terminal: true,
    color: false,
    width: 80,
    redraws: true,
};

#[test]
fn a_listing_in_every_format() {
    let rows = |output: &Output| output.rows(&listing());
    let of = |format, screen| stdout(format, screen, rows);
    assert_eq!(
        of(None, TERMINAL),
        "NAME        ROW COUNT    SIZE\nsales               3  1.2 MB\na\\tb\\u{1b}          -    12 B\n"
    );
    assert_eq!(
        of(Some(Format::Wide), TERMINAL).lines().next(),
        Some("NAME        ROW COUNT    SIZE  OWNER")
    );
    assert_eq!(of(None, Screen::NONE), "sales\na\\tb\\u{1b}\n");
    assert_eq!(
        of(Some(Format::Table), Screen::NONE),
        "NAME\tROW COUNT\tSIZE\nsales\t3\t1.2 MB\na\\tb\\u{1b}\t\t12 B\n"
    );
    assert_eq!(of(Some(Format::Name), TERMINAL), "sales\na\\tb\\u{1b}\n");
    let first =
        json!({"name": "sales", "row_count": 3, "size": 1_250_000, "owner": "ann", "hash": "x1"});
    let second =
        json!({"name": "a\tb\u{1b}", "row_count": null, "size": 12, "owner": "bob", "hash": "x2"});
    let read = |text: String| serde_json::from_str::<Value>(&text).unwrap();
    assert_eq!(
        read(of(Some(Format::Json), Screen::NONE)),
        json!([first, second])
    );
    assert_eq!(
        read(of(Some(Format::Json), TERMINAL)),
        json!([first, second])
    );
    assert_eq!(of(Some(Format::Json), Screen::NONE).lines().count(), 1);
    let lines = of(Some(Format::Jsonl), TERMINAL);
    assert_eq!(
        lines
            .lines()
            .map(|line| read(line.to_owned()))
            .collect::<Vec<_>>(),
        [first.clone(), second.clone()]
    );
    let yaml: Value = serde_yaml_ng::from_str(&of(Some(Format::Yaml), TERMINAL)).unwrap();
    assert_eq!(yaml, json!([first, second]));
    assert_eq!(
        of(Some(Format::Csv), TERMINAL),
        "name,row_count,size,owner,hash\nsales,3,1250000,ann,x1\na\tb\u{1b},,12,bob,x2\n"
    );
}

#[test]
fn empty_listings_are_empty() {
    let table = Table::new([Column::new("NAME")])
        .listing()
        .when_empty("no data sets");
    let of = |format, screen| {
        let output = output(format, screen);
        output.rows(&table).unwrap();
        output.captured()
    };
    let pair = |stdout: &str, stderr: &str| (stdout.to_owned(), stderr.to_owned());
    assert_eq!(of(None, TERMINAL), pair("", "no data sets\n"));
    assert_eq!(of(None, Screen::NONE), pair("", ""));
    assert_eq!(of(Some(Format::Json), TERMINAL), pair("[]\n", ""));
    assert_eq!(of(Some(Format::Jsonl), TERMINAL), pair("", ""));
    assert_eq!(of(Some(Format::Yaml), TERMINAL), pair("[]\n", ""));
    assert_eq!(of(Some(Format::Csv), TERMINAL), pair("name\n", ""));
    assert_eq!(of(Some(Format::Name), TERMINAL), pair("", ""));
}

#[test]
fn tables_fit_the_terminal() {
    let mut table = Table::new([
        Column::new("NAME"),
        Column::new("ABOUT"),
        Column::new("PATH"),
    ]);
    table.push(["some/long name", &"x y ".repeat(40), &"/p".repeat(30)]);
    table.push(["数据", "ok", "-"]);
    for width in [20, 30, 40, 80, 120] {
        let text = stdout(None, Screen::of_width(width), |output| output.rows(&table));
        for line in text.lines().filter(|line| !line.starts_with('…')) {
            let cells =
                line.chars().count() + line.chars().filter(|c| !c.is_ascii() && *c != '…').count();
            assert!(cells <= width, "{width}: {line}");
        }
        let name = text.contains("some/long name");
        assert!(name || width == 20, "{width}: {text}");
    }
    let text = stdout(None, Screen::of_width(40), |output| output.rows(&table));
    assert!(text.contains('…'), "{text}");
}

#[test]
fn values_are_bare_or_json() {
    let of = |value: Value, format, screen| stdout(format, screen, |output| output.value(&value));
    assert_eq!(of(json!("a\u{1b}b"), None, TERMINAL), "a\\u{1b}b\n");
    assert_eq!(of(json!(1.5), None, Screen::NONE), "1.5\n");
    assert_eq!(of(json!({"a": 1}), None, Screen::NONE), "{\"a\":1}\n");
    assert_eq!(of(json!({"a": 1}), None, TERMINAL), "{\n  \"a\": 1\n}\n");
    assert_eq!(
        of(json!([1, {"a": 2}]), Some(Format::Jsonl), TERMINAL),
        "1\n{\"a\":2}\n"
    );
    assert_eq!(
        of(json!([{"a": 1}, {"b": "x,y"}]), Some(Format::Csv), TERMINAL),
        "a,b\n1,\n,\"x,y\"\n"
    );
    assert_eq!(
        of(
            json!([{"kind": 1, "name": "n"}]),
            Some(Format::Name),
            TERMINAL
        ),
        "n\n"
    );
    assert_eq!(
        of(json!({"name": "n"}), Some(Format::Name), TERMINAL),
        "n\n"
    );
    assert_eq!(
        of(json!({"a": [1]}), Some(Format::Yaml), TERMINAL),
        "a:\n- 1\n"
    );
    let error = output(Some(Format::Name), TERMINAL)
        .value(&json!({"a": 1}))
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Usage);
}

#[test]
fn records_are_lines_or_objects() {
    let record = json!({"name": "sales", "row count": 3, "note": null});
    let of = |format, screen| stdout(format, screen, |output| output.record(&record));
    assert_eq!(of(None, TERMINAL), "name       sales\nrow count  3\nnote\n");
    assert_eq!(
        of(None, Screen::NONE),
        "name\tsales\nrow count\t3\nnote\t\n"
    );
    assert_eq!(
        of(Some(Format::Json), Screen::NONE),
        "{\"name\":\"sales\",\"row count\":3,\"note\":null}\n"
    );
}

#[test]
fn frames_are_previews_on_a_terminal_and_rows_elsewhere() {
    let mut frame = df!(
        "carrier" => ["UA", "AA\n", "B6"],
        "delay" => [Some(1.0 / 3.0), None, Some(-2.0)],
        "flight" => [1545u16, 1714, 1141],
        "late" => [true, false, true],
    )
    .unwrap();
    let time = Series::new("time".into(), [0i64, 1_500_000, -1]);
    let time = time
        .cast(&DataType::Datetime(TimeUnit::Microseconds, None))
        .unwrap();
    frame.with_column(time.into()).unwrap();
    let list = Series::new(
        "list".into(),
        [
            Series::new("".into(), [1, 2]),
            Series::new("".into(), [3]),
            Series::new_empty("".into(), &DataType::Int32),
        ],
    );
    frame.with_column(list.into()).unwrap();
    let of = |format, screen| stdout(format, screen, |output| output.frame(&frame, Some(336_776)));
    assert_eq!(
        of(None, Screen::of_width(100)),
        "carrier     delay  flight  late   time                        list\n\
         str           f64     u16  bool   datetime[μs]                list[i32]\n\
         UA       0.333333    1545  true   1970-01-01 00:00:00         [1,2]\n\
         AA\\n         null    1714  false  1970-01-01 00:00:01.5       [3]\n\
         B6             -2    1141  true   1969-12-31 23:59:59.999999  []\n\
         3 of 336776 rows, 6 columns\n"
    );
    assert_eq!(
        of(Some(Format::Csv), TERMINAL),
        "carrier,delay,flight,late,time,list\n\
         UA,0.3333333333333333,1545,true,1970-01-01T00:00:00,\"[1,2]\"\n\
         \"AA\n\",,1714,false,1970-01-01T00:00:01.5,[3]\n\
         B6,-2.0,1141,true,1969-12-31T23:59:59.999999,[]\n"
    );
    let json: Value = serde_json::from_str(&of(Some(Format::Json), Screen::NONE)).unwrap();
    assert_eq!(
        json[1],
        json!({"carrier": "AA\n", "delay": null, "flight": 1714, "late": false, "time": "1970-01-01T00:00:01.5", "list": [3]})
    );
    assert_eq!(
        of(None, Screen::NONE).lines().next(),
        Some("carrier\tdelay\tflight\tlate\ttime\tlist")
    );
    assert_eq!(of(None, Screen::NONE).lines().count(), 4);
}

#[test]
fn wide_and_long_frames_show_their_ends() {
    let columns: Vec<_> = (0..500)
        .map(|n| Series::new(format!("column{n}").into(), (0..100).collect::<Vec<i32>>()).into())
        .collect();
    let frame = DataFrame::new(100, columns).unwrap();
    let text = stdout(None, TERMINAL, |output| output.frame(&frame, None));
    assert!(
        text.lines().all(|line| line.chars().count() <= 80),
        "{text}"
    );
    let header = text.lines().next().unwrap();
    assert!(
        header.starts_with("column0  column1")
            && header.contains('…')
            && header.ends_with("column499"),
        "{header}"
    );
    assert_eq!(text.lines().count(), 2 + 41 + 1);
    assert!(
        text.ends_with("40 of 100 rows, 7 of 500 columns\n"),
        "{text}"
    );
    let long = df!("text" => ["x".repeat(500)], "n" => [1]).unwrap();
    let text = stdout(None, TERMINAL, |output| output.frame(&long, None));
    assert!(
        text.lines().all(|line| line.chars().count() <= 80),
        "{text}"
    );
    assert!(text.contains("2 columns"), "{text}");
    let empty = DataFrame::empty();
    assert_eq!(
        stdout(None, TERMINAL, |output| output.frame(&empty, None)),
        "0 rows, 0 columns\n"
    );
}

#[test]
fn nobody_to_ask_is_a_usage_error_that_names_the_option() {
    let error = output(None, Screen::NONE).confirm("drop all?").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Usage);
    assert!(error.hint_text().unwrap().contains("-y"));
    for wishes in [
        Wishes {
            yes: true,
            ..Wishes::default()
        },
        Wishes {
            quiet: true,
            ..Wishes::default()
        },
    ] {
        assert!(
            Output::in_memory(wishes, Screen::NONE)
                .confirm("drop all?")
                .unwrap()
        );
    }
}

#[test]
fn binary_data_is_kept_off_terminals() {
    assert_eq!(
        output(None, TERMINAL).binary_stdout().err().unwrap().kind(),
        ErrorKind::Usage
    );
    let output = output(None, Screen::NONE);
    let mut writer = output.binary_stdout().unwrap();
    writer.write_all(&[0x42, 0x43]).unwrap();
    writer.flush().unwrap();
    assert_eq!(output.captured().0, "BC");
}

#[test]
fn notes_are_for_those_who_want_them() {
    let quiet = Output::in_memory(
        Wishes {
            quiet: true,
            ..Wishes::default()
        },
        Screen::NONE,
    );
    quiet.note("stored");
    quiet.warn("careful\n");
    assert_eq!(
        quiet.captured(),
        (String::new(), "warning: careful\\n\n".to_owned())
    );
}

#[test]
fn colour_follows_option_then_variables_then_terminal() {
    let of = |color: Color, variables: &[(&str, &str)]| {
        let environment = variables.iter().copied().collect();
        Screen::of(&Pretended, color, &environment).color
    };
    assert!(of(Color::Auto, &[]));
    assert!(!of(Color::Auto, &[("TERM", "dumb")]));
    assert!(!of(Color::Auto, &[("CLICOLOR", "0")]));
    assert!(of(
        Color::Auto,
        &[("CLICOLOR", "0"), ("CLICOLOR_FORCE", "1")]
    ));
    assert!(!of(
        Color::Auto,
        &[("NO_COLOR", "1"), ("CLICOLOR_FORCE", "1")]
    ));
    assert!(of(Color::Auto, &[("NO_COLOR", "")]));
    assert!(of(Color::Always, &[("NO_COLOR", "1")]));
    assert!(!of(Color::Never, &[("CLICOLOR_FORCE", "1")]));
}

/// A terminal.
struct Pretended;

impl Terminal for Pretended {
    fn is_terminal(&self) -> bool {
        true
    }

    fn width(&self) -> Option<usize> {
        Some(100)
    }
}
