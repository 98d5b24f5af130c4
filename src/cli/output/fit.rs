//! Tables fitted to a terminal: borderless, two blanks between columns, one line a row.
//! What does not fit is cut with `…`, the longest columns first and the name last.

use super::escape::escaped;
use super::screen::Screen;
use super::table::{Align, Table};
use comfy_table::{CellAlignment, ColumnConstraint, Width, presets};

/// Blanks between columns.
pub(super) const GAP: usize = 2;
/// A column is not cut to less than this.
const LEAST: usize = 6;
/// The name is not cut to less than this.
const LEAST_NAME: usize = 16;
/// In cells, it cannot occur: lines are cut anywhere and not between words.
const NO_DELIMITER: char = '\u{0}';

/// Lines of text in columns.
pub(super) struct Grid {
    /// Lines above the rows: headers, types.
    pub heads: Vec<Vec<String>>,
    /// The rows.
    pub rows: Vec<Vec<String>>,
    /// Columns aligned at the right.
    pub right: Vec<bool>,
    /// The column that is cut last.
    pub name: Option<usize>,
    /// Columns that are never cut; with one, none is left out either.
    pub whole: Vec<bool>,
}

/// A table with its header.
pub(super) fn table(table: &Table, wide: bool, screen: Screen) -> String {
    if table.is_empty() {
        return String::new();
    }
    let visible = table.visible(wide);
    let columns: Vec<_> = visible
        .iter()
        .filter_map(|at| table.columns().get(*at))
        .collect();
    let rows = table.rows().iter().map(|row| {
        let cells = visible.iter().filter_map(|at| row.get(*at));
        cells
            .map(|cell| {
                Some(cell.text())
                    .filter(|text| !text.is_empty())
                    .unwrap_or_else(|| "-".to_owned())
            })
            .collect()
    });
    let grid = Grid {
        heads: vec![
            columns
                .iter()
                .map(|column| column.header().to_owned())
                .collect(),
        ],
        rows: rows.collect(),
        right: columns
            .iter()
            .map(|column| column.align() == Align::Right)
            .collect(),
        name: visible.iter().position(|at| *at == table.name_column()),
        whole: columns.iter().map(|column| column.is_whole()).collect(),
    };
    let (text, left_out) = grid.render(screen);
    match left_out {
        0 => text,
        count => {
            text + &screen.paint(
                "2",
                &format!("… {count} more columns: -o json, or a wider terminal"),
            ) + "\n"
        }
    }
}

/// Names and values without a header, the values in full.
pub(super) fn record(table: &Table, screen: Screen) -> String {
    let width = table
        .names()
        .map(|name| name.text().chars().count())
        .max()
        .unwrap_or(0);
    let mut text = String::new();
    for row in table.rows() {
        if let [name, value] = row.as_slice() {
            let name = format!("{:width$}", escaped(&name.text()));
            let line = format!("{}  {}", screen.paint("1", &name), escaped(&value.text()));
            text.push_str(line.trim_end());
            text.push('\n');
        }
    }
    text
}

impl Grid {
    /// The lines, and how many columns at the right had no room.
    pub fn render(&self, screen: Screen) -> (String, usize) {
        let natural = self.widths();
        let (widths, left_out) = fitted(&natural, self.name, &self.whole, screen.width);
        let mut table = self.layout();
        for (position, column) in table.column_iter_mut().enumerate() {
            let last = position + 1 == widths.len();
            let padding = if last { 0 } else { GAP };
            column.set_padding((0, u16::try_from(padding).unwrap_or(0)));
            match widths.get(position) {
                Some(width) => {
                    let width = u16::try_from(width + padding).unwrap_or(u16::MAX);
                    column.set_constraint(ColumnConstraint::Absolute(Width::Fixed(width)));
                }
                None => {
                    column.set_constraint(ColumnConstraint::Hidden);
                }
            }
        }
        let mut text = String::new();
        for (position, line) in table.lines().enumerate() {
            let style = match position {
                0 => "1",
                _ => "2",
            };
            match position < self.heads.len() {
                true => text.push_str(&screen.paint(style, line.trim_end())),
                false => text.push_str(line.trim_end()),
            }
            text.push('\n');
        }
        (text, left_out)
    }

    /// The width that each column would take.
    pub fn widths(&self) -> Vec<usize> {
        self.layout()
            .column_max_content_widths()
            .into_iter()
            .map(usize::from)
            .collect()
    }

    fn layout(&self) -> comfy_table::Table {
        let mut table = comfy_table::Table::new();
        table.load_style(presets::NOTHING);
        table.set_truncation_indicator("…");
        table.set_delimiter(NO_DELIMITER);
        for row in self.heads.iter().chain(&self.rows) {
            let cells = row.iter().zip(&self.right).map(|(text, right)| {
                let alignment = if *right {
                    CellAlignment::Right
                } else {
                    CellAlignment::Left
                };
                comfy_table::Cell::new(escaped(text)).set_alignment(alignment)
            });
            let mut row = comfy_table::Row::from(cells.collect::<Vec<_>>());
            row.max_height(1);
            table.add_row(row);
        }
        table
    }
}

/// Widths that fit into `available` together with their gaps, and the number of columns
/// at the right that had to go.
fn fitted(
    natural: &[usize],
    name: Option<usize>,
    whole: &[bool],
    available: usize,
) -> (Vec<usize>, usize) {
    let is_whole = |position: usize| whole.get(position).copied().unwrap_or(false);
    let least = |position: usize, width: usize| match () {
        () if is_whole(position) => width,
        () if Some(position) == name => width.min(LEAST_NAME),
        () => width.min(LEAST),
    };
    let total =
        |widths: &[usize]| widths.iter().sum::<usize>() + GAP * widths.len().saturating_sub(1);
    let smallest: Vec<usize> = natural
        .iter()
        .enumerate()
        .map(|(position, width)| least(position, *width))
        .collect();
    let mut count = natural.len();
    while count > 1
        && !whole.contains(&true)
        && total(smallest.get(..count).unwrap_or_default()) > available
    {
        count -= 1;
    }
    let mut widths: Vec<usize> = natural.iter().take(count).copied().collect();
    for cut_name in [false, true] {
        while total(&widths) > available {
            let over = total(&widths) - available;
            let mut candidates: Vec<(usize, usize)> = widths
                .iter()
                .enumerate()
                .filter(|(position, _)| cut_name || Some(*position) != name)
                .filter(|(position, width)| **width > least(*position, **width))
                .map(|(position, width)| (*width, position))
                .collect();
            candidates.sort_unstable_by(|a, b| b.cmp(a));
            let Some((longest, position)) = candidates.first().copied() else {
                break;
            };
            let next = candidates.get(1).map_or(0, |(width, _)| *width);
            let cut = longest.saturating_sub(next).clamp(1, over);
            if let Some(width) = widths.get_mut(position) {
                *width = (longest - cut).max(least(position, longest));
            }
        }
    }
    if let ([only], false) = (widths.as_mut_slice(), is_whole(0)) {
        *only = (*only).min(available);
    }
    (widths, natural.len() - count)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_longest_columns_are_cut_first() {
        assert_eq!(fitted(&[10, 10], Some(0), &[], 80), (vec![10, 10], 0));
        assert_eq!(
            fitted(&[10, 60, 30], Some(0), &[], 60),
            (vec![10, 23, 23], 0)
        );
        assert_eq!(fitted(&[60, 10], Some(0), &[], 50), (vec![42, 6], 0));
        assert_eq!(fitted(&[20, 20, 20], None, &[], 15), (vec![7, 6], 1));
        assert_eq!(
            fitted(&[10, 60, 20], Some(0), &[false, true, false], 40),
            (vec![10, 60, 6], 0)
        );
    }

    proptest! {
        #[test]
        fn lines_fit(natural in proptest::collection::vec(1usize..200, 1..20), available in 20usize..200) {
            let (widths, left_out) = fitted(&natural, Some(0), &[], available);
            prop_assert_eq!(widths.len() + left_out, natural.len());
            prop_assert!(widths.iter().sum::<usize>() + GAP * (widths.len() - 1) <= available);
            prop_assert!(widths.iter().zip(&natural).all(|(width, natural)| width <= natural && *width > 0));
        }
    }
}
