//! A table in one JSON object, in the forms that pandas writes: columns of lists, columns
//! of objects by row label, or `columns` and `data`. Any other object is one record.

use super::column::{Cell, Failure};
use super::node::{Node, Object, Parser};
use super::shape::Shape;
use super::{broken_json, dates, empty, frame_of};
use crate::error::{Error, Result};
use crate::frame::columns::unknown_column;
use crate::frame::format::ReadOptions;
use polars::prelude::DataFrame;

/// The frame of one object.
pub(super) fn frame(text: &[u8], options: &ReadOptions) -> Result<DataFrame> {
    let text = super::text(text, 1)?;
    let node = Parser::new(text)
        .only()
        .map_err(|broken| broken_json(text, &broken, 1))?;
    let Node::Object(fields) = &node else {
        return Err(Error::invalid("expected an object"));
    };
    let (names, columns) = columns(fields)?;
    if names.is_empty() {
        return Err(empty());
    }
    let wanted = options
        .columns
        .iter()
        .flatten()
        .chain(options.dtypes.iter().map(|(name, _)| name));
    for name in wanted {
        if !names.contains(&name.as_str()) {
            return Err(unknown_column(name, names));
        }
    }
    let rows = columns.first().map_or(0, Vec::len);
    let limit = options
        .rows
        .and_then(|limit| usize::try_from(limit).ok())
        .map_or(rows, |limit| limit.min(rows));
    let shapes: Vec<Shape> = names
        .iter()
        .zip(&columns)
        .map(|(name, cells)| {
            let mut shape = Shape::NULL;
            for cell in cells.iter().take(limit).flatten() {
                shape.join(Shape::of(cell, dates(options, name)));
            }
            shape
        })
        .collect();
    let columns: Vec<(&str, &Shape, Vec<Cell<'_>>)> = names
        .into_iter()
        .zip(&shapes)
        .zip(columns)
        .map(|((name, shape), mut cells)| {
            cells.truncate(limit);
            (name, shape, cells)
        })
        .collect();
    frame_of(&columns, limit, options).map_err(|failure| match failure {
        Failure::Given(message) => Error::invalid(message),
        Failure::Polars(error) => Error::invalid("cannot make a column").because(error),
        // Shapes hold all values that they were made of.
        Failure::Misfit => Error::failed("cannot make a column"),
    })
}

type Columns<'a> = (Vec<&'a str>, Vec<Vec<Cell<'a>>>);

fn columns<'a>(fields: &'a Object<'a>) -> Result<Columns<'a>> {
    let field = |wanted: &str| {
        fields
            .iter()
            .find(|(name, _)| name == wanted)
            .map(|(_, value)| value)
    };
    if let (Some(Node::List(names)), Some(Node::List(rows))) = (field("columns"), field("data")) {
        return split(names, rows);
    }
    let names = fields.iter().map(|(name, _)| name.as_ref()).collect();
    let all = |test: fn(&Node<'_>) -> bool| {
        !fields.is_empty() && fields.iter().all(|(_, value)| test(value))
    };
    if all(|value| matches!(value, Node::List(_))) {
        let columns: Vec<Vec<Cell<'_>>> = fields.iter().map(|(_, value)| items(value)).collect();
        let rows = columns.first().map_or(0, Vec::len);
        if let Some(other) = columns.iter().find(|column| column.len() != rows) {
            return Err(Error::invalid(format!(
                "the columns have {rows} and {} values",
                other.len()
            )));
        }
        return Ok((names, columns));
    }
    if all(|value| matches!(value, Node::Object(_))) {
        let labels: Vec<&str> = match fields.first() {
            Some((_, Node::Object(values))) => {
                values.iter().map(|(label, _)| label.as_ref()).collect()
            }
            _ => Vec::new(),
        };
        let columns = fields
            .iter()
            .map(|(_, value)| by_label(value, &labels))
            .collect();
        return Ok((names, columns));
    }
    Ok((
        names,
        fields.iter().map(|(_, value)| vec![Some(value)]).collect(),
    ))
}

fn items<'a>(value: &'a Node<'a>) -> Vec<Cell<'a>> {
    match value {
        Node::List(items) => items.iter().map(Some).collect(),
        _ => Vec::new(),
    }
}

fn by_label<'a>(value: &'a Node<'a>, labels: &[&str]) -> Vec<Cell<'a>> {
    let Node::Object(values) = value else {
        return vec![None; labels.len()];
    };
    labels
        .iter()
        .enumerate()
        .map(|(expected, label)| match values.get(expected) {
            Some((name, value)) if name == label => Some(value),
            _ => values
                .iter()
                .find(|(name, _)| name == label)
                .map(|(_, value)| value),
        })
        .collect()
}

/// `{"columns": ["a", "b"], "data": [[1, 2], …]}`.
fn split<'a>(names: &'a [Node<'a>], rows: &'a [Node<'a>]) -> Result<Columns<'a>> {
    let names: Vec<&str> = names
        .iter()
        .map(|name| match name {
            Node::Text(name) => Ok(name.as_ref()),
            _ => Err(Error::invalid("the names in `columns` must be text")),
        })
        .collect::<Result<_>>()?;
    let mut columns: Vec<Vec<Cell<'_>>> = vec![Vec::with_capacity(rows.len()); names.len()];
    for (number, row) in rows.iter().enumerate() {
        let cells = items(row);
        if cells.len() != names.len() {
            return Err(Error::invalid(format!(
                "row {} of `data` has {} values, {} are expected",
                number + 1,
                cells.len(),
                names.len()
            )));
        }
        columns
            .iter_mut()
            .zip(cells)
            .for_each(|(column, cell)| column.push(cell));
    }
    Ok((names, columns))
}
