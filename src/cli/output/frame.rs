//! Data frames as tables: previews fitted to a terminal, rows for everything else.
//! For small frames; large ones are written by the formats in `frame`.

use super::escape::escaped;
use super::fit::{GAP, Grid};
use super::screen::Screen;
use super::table::{Cell, Column, Table, value_text};
use crate::error::{Context, Result};
use crate::frame::json::value as json;
use polars::prelude::{AnyValue, Column as Series, DataFrame};

/// Rows that a preview shows; of longer frames both ends.
const MOST_ROWS: usize = 40;
/// A preview's columns are not wider than this while others are left out.
const MOST_WIDTH: usize = 32;

/// Names, types and rows fitted to the terminal: of frames that are too wide the columns
/// at both ends, with `…` between.
pub(super) fn preview(frame: &DataFrame, total: Option<u64>, screen: Screen) -> Result<String> {
    let width = frame.width();
    let height = frame.height();
    let shown_rows: Vec<Option<usize>> = match height > MOST_ROWS {
        true => {
            let ends = (0..MOST_ROWS / 2).map(Some).chain([None]);
            ends.chain((height - MOST_ROWS / 2..height).map(Some))
                .collect()
        }
        false => (0..height).map(Some).collect(),
    };
    // At each end no more columns than can fit.
    let most = screen.width / (GAP + 1) + 1;
    let both = (0..width).filter(|position| *position < most || *position + most >= width);
    let candidates: Vec<Strip> = both
        .filter_map(|position| frame.columns().get(position))
        .map(|column| Strip::of(column, &shown_rows))
        .collect::<Result<_>>()?;
    let strips = chosen(candidates, screen.width);
    let lines =
        |pick: fn(&Strip) -> &String| strips.iter().map(|strip| pick(strip).clone()).collect();
    let grid = Grid {
        heads: vec![lines(|strip| &strip.name), lines(|strip| &strip.dtype)],
        rows: (0..shown_rows.len())
            .map(|row| {
                strips
                    .iter()
                    .map(|strip| strip.cells.get(row).cloned().unwrap_or_default())
                    .collect()
            })
            .collect(),
        right: strips.iter().map(|strip| strip.right).collect(),
        name: None,
        whole: Vec::new(),
    };
    let (mut text, _) = grid.render(screen);
    let shown = height.min(MOST_ROWS) as u64;
    let rows = match total.unwrap_or(height as u64) {
        total if total == shown => format!("{total} rows"),
        total => format!("{shown} of {total} rows"),
    };
    let columns = match strips.iter().filter(|strip| !strip.gap).count() {
        count if count == width => format!("{width} columns"),
        count => format!("{count} of {width} columns"),
    };
    text.push_str(&screen.paint("2", &format!("{rows}, {columns}")));
    text.push('\n');
    Ok(text)
}

/// One column of a preview.
struct Strip {
    name: String,
    dtype: String,
    cells: Vec<String>,
    right: bool,
    gap: bool,
}

impl Strip {
    fn of(column: &Series, rows: &[Option<usize>]) -> Result<Self> {
        let cell = |row: &Option<usize>| match row {
            Some(row) => {
                let value = column.get(*row).context(|| "cannot read a row")?;
                Ok(shown(&value))
            }
            None => Ok("…".to_owned()),
        };
        Ok(Strip {
            name: escaped(column.name()),
            dtype: column.dtype().to_string(),
            cells: rows.iter().map(cell).collect::<Result<_>>()?,
            right: column.dtype().is_primitive_numeric(),
            gap: false,
        })
    }

    fn gap(rows: usize) -> Self {
        let dots = || "…".to_owned();
        Strip {
            name: dots(),
            dtype: dots(),
            cells: vec![dots(); rows],
            right: false,
            gap: true,
        }
    }
}

/// As many of the strips as fit, alternately from the left and the right.
fn chosen(strips: Vec<Strip>, available: usize) -> Vec<Strip> {
    let rows = strips.first().map_or(0, |strip| strip.cells.len());
    let width_of = |strip: &Strip| {
        let grid = Grid {
            heads: vec![vec![strip.name.clone()], vec![strip.dtype.clone()]],
            rows: strip.cells.iter().map(|cell| vec![cell.clone()]).collect(),
            right: vec![false],
            name: None,
            whole: Vec::new(),
        };
        grid.widths().first().copied().unwrap_or(1)
    };
    let widths: Vec<usize> = strips.iter().map(width_of).collect();
    let gaps = GAP * widths.len().saturating_sub(1);
    if widths.iter().sum::<usize>() + gaps <= available {
        return strips;
    }
    let narrow: usize = widths.iter().map(|width| width.min(&MOST_WIDTH)).sum();
    if narrow + gaps <= available {
        return strips;
    }
    let (mut left, mut right) = (0, 0);
    let mut used = 1;
    while left + right < widths.len() {
        let from_left = left <= right;
        let next = if from_left {
            left
        } else {
            widths.len() - 1 - right
        };
        let width = widths.get(next).copied().unwrap_or(1).min(MOST_WIDTH) + GAP;
        if used + width > available && left > 0 {
            break;
        }
        used += width;
        match from_left {
            true => left += 1,
            false => right += 1,
        }
    }
    let end = strips.len() - right;
    let mut result = Vec::with_capacity(left + right + 1);
    for (position, strip) in strips.into_iter().enumerate() {
        if position == left {
            result.push(Strip::gap(rows));
        }
        if position < left || position >= end {
            result.push(strip);
        }
    }
    result
}

/// All rows and columns, with their values.
pub(super) fn to_table(frame: &DataFrame) -> Result<Table> {
    let columns = frame.columns().iter().map(|column| {
        let result = Column::new(column.name()).key(column.name());
        if column.dtype().is_primitive_numeric() {
            result.right()
        } else {
            result
        }
    });
    let mut table = Table::new(columns);
    for row in 0..frame.height() {
        let mut cells = Vec::with_capacity(frame.width());
        for column in frame.columns() {
            let value = column.get(row).context(|| "cannot read a row")?;
            cells.push(Cell::from(json(&value)));
        }
        table.push(cells);
    }
    Ok(table)
}

/// What people read in a preview.
fn shown(value: &AnyValue) -> String {
    match value {
        AnyValue::Null => "null".to_owned(),
        AnyValue::Float32(number) => short(f64::from(*number)),
        AnyValue::Float64(number) => short(*number),
        AnyValue::Datetime(..) | AnyValue::DatetimeOwned(..) => {
            value_text(&json(value)).replace('T', " ")
        }
        AnyValue::Binary(bytes) => format!("{} bytes", bytes.len()),
        AnyValue::BinaryOwned(bytes) => format!("{} bytes", bytes.len()),
        other => value_text(&json(other)),
    }
}

/// A number in about six digits.
fn short(number: f64) -> String {
    let exact = number.to_string();
    if !number.is_finite() || exact.len() <= 8 {
        return exact;
    }
    let magnitude = number.abs();
    if !(1e-4..1e15).contains(&magnitude) {
        return format!("{number:.5e}");
    }
    let digits = magnitude.log10().floor() as i32;
    let decimals = usize::try_from(5 - digits).unwrap_or(0);
    let text = format!("{number:.decimals$}");
    match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short() {
        for (number, text) in [
            (1.0, "1"),
            (0.1, "0.1"),
            (1.0 / 3.0, "0.333333"),
            (12345.678912, "12345.7"),
            (1234567.25, "1234567"),
            (1e20, "1.00000e20"),
            (-1.23456789e-9, "-1.23457e-9"),
            (f64::NAN, "NaN"),
            (f64::NEG_INFINITY, "-inf"),
        ] {
            assert_eq!(short(number), text);
        }
    }
}
