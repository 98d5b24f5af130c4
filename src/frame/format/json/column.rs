//! Columns out of JSON values of a known shape.

use super::node::{Node, Object};
use super::shape::{Fields, Shape};
use crate::frame::format::csv::{Builder, Dialect};
use crate::frame::format::kind::Kind;
use crate::frame::instant::Instant;
use polars::prelude::*;

/// Why a column cannot be made.
pub(super) enum Failure {
    /// A value does not fit the shape.
    Misfit,
    /// A value does not fit the type that the user wants.
    Given(String),
    Polars(PolarsError),
}

impl From<PolarsError> for Failure {
    fn from(error: PolarsError) -> Self {
        Failure::Polars(error)
    }
}

/// The value of a column in one row; none where the field is missing.
pub(super) type Cell<'a> = Option<&'a Node<'a>>;

/// A column of this shape.
pub(super) fn inferred(name: &str, shape: &Shape, cells: &[Cell<'_>]) -> Result<Series, Failure> {
    match shape {
        Shape::Flat(kind) => flat(name.into(), *kind, cells),
        Shape::List(items) => list(name.into(), items, cells),
        // A struct needs a field.
        Shape::Object(fields) if fields.is_empty() => flat(name.into(), Kind::Text, cells),
        Shape::Object(fields) => object(name.into(), fields, cells),
    }
}

/// A column of the type that the user wants, read as text would be.
pub(super) fn given(
    name: &str,
    dtype: &DataType,
    dialect: &Dialect,
    cells: &[Cell<'_>],
) -> Result<Series, Failure> {
    let mut builder = Builder::given(name, dtype, cells.len()).ok_or(Failure::Misfit)?;
    for cell in cells {
        match cell {
            None | Some(Node::Null) => builder.push_null(),
            Some(value) => {
                let text = value.text();
                builder
                    .push(&text, dialect)
                    .map_err(|_| Failure::Given(text.to_string()))?;
            }
        }
    }
    Ok(builder.finish()?.take_materialized_series())
}

fn flat(name: PlSmallStr, kind: Kind, cells: &[Cell<'_>]) -> Result<Series, Failure> {
    Ok(match kind {
        Kind::Null => {
            if cells
                .iter()
                .any(|cell| !matches!(cell, None | Some(Node::Null)))
            {
                return Err(Failure::Misfit);
            }
            Series::full_null(name, cells.len(), &DataType::String)
        }
        Kind::Bool => Series::new(
            name,
            values(cells, |value| match value {
                Node::Bool(value) => Some(*value),
                _ => None,
            })?,
        ),
        Kind::Int => Series::new(
            name,
            values(cells, |value| match value {
                Node::Int(value) => Some(*value),
                _ => None,
            })?,
        ),
        Kind::Float => Series::new(
            name,
            values(cells, |value| match value {
                Node::Float(value) => Some(*value),
                Node::Int(value) => Some(*value as f64),
                Node::Beyond(digits) => digits.parse().ok(),
                _ => None,
            })?,
        ),
        Kind::Digits => Series::new(
            name,
            values(cells, |value| match value {
                Node::Int(_) | Node::Beyond(_) => Some(value.text()),
                _ => None,
            })?,
        ),
        Kind::Text => Series::new(name, values(cells, |value| Some(value.text()))?),
        Kind::Date => Series::new(
            name,
            values(cells, |value| match instant(value)? {
                Instant::Date(days) => Some(days),
                _ => None,
            })?,
        )
        .cast(&DataType::Date)?,
        Kind::Local { nanos } => stamps(name, kind, cells, |instant| match instant {
            Instant::Zoned(..) => None,
            local => ticks(local, nanos),
        })?,
        Kind::Zoned { nanos } => stamps(name, kind, cells, |instant| match instant {
            Instant::Zoned(..) => ticks(instant, nanos),
            _ => None,
        })?,
    })
}

/// The cells as values; null where they are null or missing.
fn values<'a, T>(
    cells: &'a [Cell<'a>],
    value: impl Fn(&'a Node<'a>) -> Option<T>,
) -> Result<Vec<Option<T>>, Failure> {
    cells
        .iter()
        .map(|cell| match cell {
            None | Some(Node::Null) => Ok(None),
            Some(node) => value(node).map(Some).ok_or(Failure::Misfit),
        })
        .collect()
}

fn stamps(
    name: PlSmallStr,
    kind: Kind,
    cells: &[Cell<'_>],
    value: impl Fn(Instant) -> Option<i64>,
) -> Result<Series, Failure> {
    let values = values(cells, |node| value(instant(node)?))?;
    Ok(Series::new(name, values).cast(&kind.dtype())?)
}

fn ticks(instant: Instant, nanos: bool) -> Option<i64> {
    match nanos {
        true => instant.nanos(),
        false if instant.needs_nanos() => None,
        false => Some(instant.micros()),
    }
}

fn instant(node: &Node<'_>) -> Option<Instant> {
    match node {
        Node::Text(text) => Instant::parse(text.as_bytes()),
        _ => None,
    }
}

fn list(name: PlSmallStr, items: &Shape, cells: &[Cell<'_>]) -> Result<Series, Failure> {
    // All items at once, then cut into rows.
    let mut all: Vec<Cell<'_>> = Vec::new();
    for cell in cells {
        match cell {
            None | Some(Node::Null) => {}
            Some(Node::List(values)) => all.extend(values.iter().map(Some)),
            Some(_) => return Err(Failure::Misfit),
        }
    }
    let values = inferred("", items, &all)?;
    let mut start = 0;
    let rows: Vec<Option<Series>> = cells
        .iter()
        .map(|cell| match cell {
            Some(Node::List(items)) => {
                let row = values.slice(start, items.len());
                start += items.len() as i64;
                Some(row)
            }
            _ => None,
        })
        .collect();
    let mut lists: ListChunked = rows.into_iter().collect();
    lists.rename(name);
    // Without a single row with items the type of the items would be lost.
    Ok(lists
        .into_series()
        .cast(&DataType::List(Box::new(values.dtype().clone())))?)
}

fn object(name: PlSmallStr, fields: &Fields, cells: &[Cell<'_>]) -> Result<Series, Failure> {
    let mut columns: Vec<Vec<Cell<'_>>> = vec![vec![None; cells.len()]; fields.len()];
    for (row, cell) in cells.iter().enumerate() {
        match cell {
            None | Some(Node::Null) => {}
            Some(Node::Object(values)) => spread(values, fields, &mut columns, row)?,
            Some(_) => return Err(Failure::Misfit),
        }
    }
    let columns = fields
        .iter()
        .zip(&columns)
        .map(|((name, shape), cells)| inferred(name, shape, cells))
        .collect::<Result<Vec<Series>, Failure>>()?;
    Ok(StructChunked::from_series(name, cells.len(), columns.iter())?.into_series())
}

/// Puts the fields of an object into their columns.
pub(super) fn spread<'a>(
    values: &'a Object<'a>,
    fields: &Fields,
    columns: &mut [Vec<Cell<'a>>],
    row: usize,
) -> Result<(), Failure> {
    for (expected, (name, value)) in values.iter().enumerate() {
        let position = fields.position(expected, name).ok_or(Failure::Misfit)?;
        if let Some(cell) = columns
            .get_mut(position)
            .and_then(|column| column.get_mut(row))
        {
            *cell = Some(value);
        }
    }
    Ok(())
}
