//! Pictures of a table's columns, drawn here: what is chosen stands in the page's address.

use super::layout::Shell;
use crate::error::{Error, Result};
use crate::frame::{self, Columns, Query, json};
use crate::server::request::Request;
use crate::store::Store;
use maud::{Markup, html};
use polars::prelude::{DataFrame, DataType};
use serde_json::Value;
use std::collections::BTreeMap;

/// Rows that are drawn; of a larger table, so many at random.
const DRAWN: u64 = 2_000;

/// Bars at the most.
const BARS: usize = 24;

const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 320.0;
/// Room for the numbers of the axes.
const LEFT: f64 = 64.0;
const BELOW: f64 = 40.0;
const ABOVE: f64 = 12.0;

/// The sorts of pictures.
const SORTS: [(&str, &str); 4] = [
    ("points", "Points"),
    ("line", "Line"),
    ("bars", "Means by group"),
    ("histogram", "Histogram"),
];

/// A form to choose what is drawn, and what was chosen.
pub fn section(
    store: &Store,
    shell: &Shell,
    request: &Request,
    name: &str,
    columns: &[String],
) -> Markup {
    let chosen = |field: &str| request.param(field).unwrap_or_default().to_owned();
    let (sort, x, y) = (chosen("plot"), chosen("x"), chosen("y"));
    let drawn = match sort.is_empty() {
        true => None,
        false => Some(draw(store, name, &sort, &x, &y)),
    };
    html! {
        h2 id="plot" { "Plot" }
        form method="get" action="#plot" {
            (shell.bucket_field())
            label { "What" select name="plot" {
                @for (value, shown) in SORTS { option value=(value) selected[value == sort] { (shown) } }
            } }
            @for (field, current) in [("x", &x), ("y", &y)] {
                label { (field) select name=(field) {
                    @for column in columns { option selected[column == current] { (column) } }
                } }
            }
            button { "Draw" }
        }
        @match drawn {
            None => {},
            Some(Ok(picture)) => (picture),
            Some(Err(error)) => p.bad { (error) },
        }
    }
}

fn draw(store: &Store, name: &str, sort: &str, x: &str, y: &str) -> Result<Markup> {
    let wanted = match sort {
        "histogram" => vec![x.to_owned()],
        _ if x == y => vec![x.to_owned()],
        _ => vec![x.to_owned(), y.to_owned()],
    };
    let query = Query {
        columns: Columns::Only(wanted),
        ..Query::default()
    };
    let all = store.query(name, &query)?.table(name)?;
    let sample = frame::sample(all, DRAWN, Some(0))?;
    let numbers = |column: &str| numbers(&sample, column);
    match sort {
        "histogram" => Ok(histogram(x, &numbers(x)?)),
        "bars" => bars(x, y, &texts(&sample, x)?, &numbers(y)?),
        "points" | "line" => {
            let pairs = numbers(x)?.into_iter().zip(numbers(y)?);
            let mut pairs: Vec<(f64, f64)> = pairs.filter_map(|(x, y)| Some((x?, y?))).collect();
            if sort == "line" {
                pairs.sort_by(|a, b| a.0.total_cmp(&b.0));
            }
            Ok(points(x, y, &pairs, sort == "line"))
        }
        other => Err(Error::usage(format!("there is no plot `{other}`"))),
    }
}

/// The finite numbers of a column, in its order; times count in milliseconds.
fn numbers(frame: &DataFrame, name: &str) -> Result<Vec<Option<f64>>> {
    let column = frame
        .column(name)
        .map_err(|_| Error::not_found(format!("there is no column `{name}`")))?;
    let is_number =
        |dtype: &DataType| dtype.is_primitive_numeric() || dtype.is_temporal() || dtype.is_bool();
    if !is_number(column.dtype()) {
        return Err(Error::invalid(format!("`{name}` holds no numbers")));
    }
    let column = column
        .to_physical_repr()
        .cast(&DataType::Float64)
        .map_err(|error| Error::invalid(format!("`{name}` holds no numbers")).because(error))?;
    let numbers = column
        .f64()
        .map_err(|error| Error::invalid(format!("`{name}` holds no numbers")).because(error))?;
    Ok(numbers
        .iter()
        .map(|number| number.filter(|number| number.is_finite()))
        .collect())
}

fn texts(frame: &DataFrame, name: &str) -> Result<Vec<String>> {
    let column = frame
        .column(name)
        .map_err(|_| Error::not_found(format!("there is no column `{name}`")))?;
    let cells = column.as_materialized_series().iter();
    Ok(cells
        .map(|cell| match json::value(&cell) {
            Value::Null => "(none)".to_owned(),
            Value::String(text) => text,
            other => other.to_string(),
        })
        .collect())
}

/// From and to, never the same.
fn range(numbers: impl Iterator<Item = f64>) -> (f64, f64) {
    let (low, high) = numbers.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), number| {
        (low.min(number), high.max(number))
    });
    match low.partial_cmp(&high) {
        Some(std::cmp::Ordering::Less) => (low, high),
        Some(std::cmp::Ordering::Equal) => {
            let room = (low.abs() * 0.01).max(0.5);
            (low - room, high + room)
        }
        _ => (0.0, 1.0),
    }
}

/// Round numbers between two others.
fn ticks((low, high): (f64, f64)) -> Vec<f64> {
    let rough = (high - low) / 5.0;
    let power = 10f64.powf(rough.log10().floor());
    let steps = [1.0, 2.0, 5.0, 10.0];
    let step = steps
        .into_iter()
        .map(|step| step * power)
        .find(|step| *step >= rough);
    let step = step.unwrap_or(rough);
    let first = (low / step).ceil();
    let count = ((high - low) / step).floor() as usize;
    (0..=count.min(10))
        .map(|n| (first + n as f64) * step)
        .filter(|tick| *tick <= high)
        .collect()
}

fn label(number: f64) -> String {
    let text = format!("{number:.6}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    match number.abs() {
        size if size >= 1e6 => format!("{number:.3e}"),
        size if size > 0.0 && size < 1e-4 => format!("{number:.1e}"),
        _ if text == "-0" => "0".to_owned(),
        _ => text.to_owned(),
    }
}

/// Where a value is on an axis from `start` to `end`.
fn place(value: f64, (low, high): (f64, f64), start: f64, end: f64) -> f64 {
    start + (value - low) / (high - low) * (end - start)
}

fn across(value: f64, over: (f64, f64)) -> f64 {
    place(value, over, LEFT, WIDTH - 8.0)
}

fn up(value: f64, over: (f64, f64)) -> f64 {
    place(value, over, HEIGHT - BELOW, ABOVE)
}

fn picture(said: &str, xs: Option<(f64, f64)>, ys: (f64, f64), content: Markup) -> Markup {
    let floor = HEIGHT - BELOW;
    html! {
        svg.plot viewBox=(format!("0 0 {WIDTH} {HEIGHT}")) role="img" aria-label=(said) {
            g.axis {
                @for tick in ticks(ys) {
                    @let y = format!("{:.1}", up(tick, ys));
                    line x1=(LEFT) x2=(WIDTH - 8.0) y1=(y) y2=(y) {}
                    text x=(LEFT - 6.0) y=(y) text-anchor="end" dominant-baseline="middle" { (label(tick)) }
                }
                @if let Some(xs) = xs { @for tick in ticks(xs) {
                    @let x = format!("{:.1}", across(tick, xs));
                    line x1=(x) x2=(x) y1=(floor) y2=(floor + 4.0) {}
                    text x=(x) y=(floor + 18.0) text-anchor="middle" { (label(tick)) }
                } }
            }
            (content)
        }
        p.note { (said) }
    }
}

fn points(x: &str, y: &str, pairs: &[(f64, f64)], joined: bool) -> Markup {
    let xs = range(pairs.iter().map(|pair| pair.0));
    let ys = range(pairs.iter().map(|pair| pair.1));
    let at = |pair: &(f64, f64)| (across(pair.0, xs), up(pair.1, ys));
    let sort = if joined { "Line" } else { "Points" };
    let said = format!("{sort} of {y} over {x}, {} rows", pairs.len());
    let content = html! {
        @if joined {
            polyline points=(pairs.iter().map(at).map(|(x, y)| format!("{x:.1},{y:.1}")).collect::<Vec<_>>().join(" ")) {}
        } @else {
            @for (x, y) in pairs.iter().map(at) {
                circle cx=(format!("{x:.1}")) cy=(format!("{y:.1}")) r="2.5" {}
            }
        }
    };
    picture(&said, Some(xs), ys, content)
}

fn histogram(x: &str, numbers: &[Option<f64>]) -> Markup {
    let numbers: Vec<f64> = numbers.iter().flatten().copied().collect();
    let xs = range(numbers.iter().copied());
    let mut counts = [0u32; BARS];
    for number in &numbers {
        let bin = place(*number, xs, 0.0, BARS as f64) as usize;
        if let Some(count) = counts.get_mut(bin.min(BARS - 1)) {
            *count += 1;
        }
    }
    let ys = (
        0.0,
        f64::from(counts.iter().copied().max().unwrap_or(0).max(1)),
    );
    let bin = (xs.1 - xs.0) / BARS as f64;
    let content = html! {
        @for (n, count) in counts.iter().enumerate() {
            @let left = across(xs.0 + bin * n as f64, xs);
            @let right = across(xs.0 + bin * (n + 1) as f64, xs);
            @let top = up(f64::from(*count), ys);
            rect x=(format!("{:.1}", left)) width=(format!("{:.1}", right - left - 1.0))
                y=(format!("{top:.1}")) height=(format!("{:.1}", HEIGHT - BELOW - top)) {}
        }
    };
    let said = format!("How often {x} has which value, {} rows", numbers.len());
    picture(&said, Some(xs), ys, content)
}

fn bars(x: &str, y: &str, groups: &[String], numbers: &[Option<f64>]) -> Result<Markup> {
    let mut sums: BTreeMap<&str, (f64, u32)> = BTreeMap::new();
    for (group, number) in groups.iter().zip(numbers) {
        if let Some(number) = number {
            let (sum, count) = sums.entry(group).or_default();
            *sum += number;
            *count += 1;
        }
    }
    if sums.len() > BARS {
        return Err(Error::invalid(format!(
            "`{x}` has {} different values, more than the {BARS} that can be drawn",
            sums.len()
        )));
    }
    let means: Vec<(&str, f64)> = sums
        .iter()
        .map(|(group, (sum, count))| (*group, sum / f64::from(*count)))
        .collect();
    let (low, high) = range(means.iter().map(|(_, mean)| *mean).chain([0.0]));
    let ys = (low.min(0.0), high.max(0.0));
    let step = (WIDTH - 8.0 - LEFT) / means.len().max(1) as f64;
    let content = html! {
        @for (n, (group, mean)) in means.iter().enumerate() {
            @let left = LEFT + step * n as f64;
            @let (top, foot) = (up(mean.max(0.0), ys), up(mean.min(0.0), ys));
            rect x=(format!("{:.1}", left + 2.0)) width=(format!("{:.1}", (step - 4.0).max(1.0)))
                y=(format!("{top:.1}")) height=(format!("{:.1}", foot - top)) { title { (group) ": " (label(*mean)) } }
            @if means.len() <= 12 {
                text x=(format!("{:.1}", left + step / 2.0)) y=(HEIGHT - BELOW + 18.0) text-anchor="middle" { (group) }
            }
        }
    };
    let told: Vec<String> = means
        .iter()
        .map(|(group, mean)| format!("{group} {}", label(*mean)))
        .collect();
    let said = format!("Mean of {y} by {x}: {}", told.join(", "));
    Ok(picture(&said, None, ys, content))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn ticks_are_round_and_within() {
        assert_eq!(ticks((0.0, 10.0)), [0.0, 2.0, 4.0, 6.0, 8.0, 10.0]);
        assert_eq!(ticks((4.3, 7.9)), [5.0, 6.0, 7.0]);
        assert_eq!(label(0.30000000000000004), "0.3");
        assert_eq!(label(-0.0), "0");
    }

    proptest! {
        #[test]
        fn any_numbers_are_drawn(numbers in proptest::collection::vec(any::<f64>(), 0..50)) {
            let finite: Vec<f64> = numbers.into_iter().filter(|number| number.is_finite()).collect();
            let over = range(finite.iter().copied());
            prop_assert!(over.0 < over.1);
            prop_assert!(ticks(over).len() <= 11);
            let pairs: Vec<(f64, f64)> = finite.iter().map(|x| (*x, -x)).collect();
            let _ = points("x", "y", &pairs, true);
            let some: Vec<Option<f64>> = finite.into_iter().map(Some).collect();
            let _ = histogram("x", &some);
        }
    }
}
