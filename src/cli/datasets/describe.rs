//! `om datasets describe`: statistics of every column.

use super::Selecting;
use crate::cli::Session;
use crate::cli::output::{Cell, Column, Table};
use crate::error::{Context, Result};
use crate::frame::{self, ColumnDescription};
use clap::Args;
use serde_json::Value;

/// Statistics of every column: count, nulls, mean, std, min, quartiles, max, distinct
/// values, and a small histogram or the most frequent values.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  om datasets describe flights
  om datasets describe flights --columns dep_delay,arr_delay -w 'origin == \"JFK\"'
  om datasets describe iris -o json | jq '.columns[0].mean'")]
pub struct Describe {
    /// Name, perhaps with columns: 'sales[qty,price]'
    #[arg(add = crate::cli::stored::datasets())]
    name: String,
    #[command(flatten)]
    selecting: Selecting,
}

impl Describe {
    /// Runs the command.
    pub fn run(self, session: &Session) -> Result<()> {
        let om = session.omega()?;
        let query = self.selecting.query()?;
        let table = om.datasets.query(&self.name, &query)?.table(&self.name)?;
        let description = frame::describe(table)?;
        if session.output.is_structured() {
            let value =
                serde_json::to_value(&description).context(|| "cannot describe the table")?;
            return session.output.value(&value);
        }
        let mut rows = Table::new([
            Column::new("COLUMN"),
            Column::new("TYPE"),
            Column::new("COUNT").right(),
            Column::new("NULLS").right(),
            Column::new("DISTINCT").right(),
            Column::new("MEAN").right(),
            Column::new("STD").right(),
            Column::new("MIN").right(),
            Column::new("25%").right(),
            Column::new("50%").right(),
            Column::new("75%").right(),
            Column::new("MAX").right(),
            Column::new("DISTRIBUTION"),
        ]);
        for column in &description.columns {
            rows.push(cells(column));
        }
        session.output.rows(&rows)?;
        session.output.note(format!("{} rows", description.rows));
        Ok(())
    }
}

fn cells(column: &ColumnDescription) -> Vec<Cell> {
    let number = |value: Option<f64>| {
        value.map_or(Cell::from(Value::Null), |value| {
            Cell::shown(value, short(value))
        })
    };
    let extreme = |value: &Value| match value.as_f64() {
        Some(float) if value.is_f64() => Cell::shown(float, short(float)),
        _ => Cell::from(value.clone()),
    };
    vec![
        Cell::from(column.name.as_str()),
        Cell::from(column.dtype.as_str()),
        Cell::from(column.count),
        Cell::from(column.nulls),
        Cell::from(column.distinct),
        number(column.mean),
        number(column.std),
        extreme(&column.min),
        number(column.q25),
        number(column.q50),
        number(column.q75),
        extreme(&column.max),
        Cell::from(distribution(column)),
    ]
}

/// The histogram as a row of blocks, or the most frequent values.
fn distribution(column: &ColumnDescription) -> String {
    const BLOCKS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    if let Some(histogram) = &column.histogram {
        let most = histogram.counts.iter().copied().max().unwrap_or(0).max(1);
        return histogram
            .counts
            .iter()
            .map(|count| {
                let height = (count * 7).div_ceil(most) as usize;
                BLOCKS.get(height).copied().unwrap_or(' ')
            })
            .collect();
    }
    column
        .top
        .iter()
        .take(3)
        .map(|top| format!("{} ×{}", top.value, top.count))
        .collect::<Vec<_>>()
        .join(", ")
}

/// Four significant digits, without a tail of zeros.
fn short(value: f64) -> String {
    if value == 0.0 || !value.is_finite() {
        return value.to_string();
    }
    let magnitude = value.abs().log10().floor() as i32;
    if !(-4..7).contains(&magnitude) {
        return format!("{value:.3e}");
    }
    let decimals = usize::try_from(3 - magnitude).unwrap_or(0);
    let text = format!("{value:.decimals$}");
    match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short() {
        let cases = [
            (6.895_376, "6.895"),
            (1400.0, "1400"),
            (0.25, "0.25"),
            (-2.5e-9, "-2.500e-9"),
            (0.0, "0"),
        ];
        for (value, expected) in cases {
            assert_eq!(short(value), expected);
        }
    }
}
