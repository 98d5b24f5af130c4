//! Raw documents into columns.

use super::Field;
use super::builder::Builder;
use super::plain;
use super::walker::Elements;
use crate::error::{Error, Result};
use crate::frame::dtype::pandas_name;
use polars::prelude::{Column, DataFrame, IntoColumn};
use std::collections::HashMap;

/// Makes frames of documents, one row each.
pub struct Decoder {
    columns: Vec<Growing>,
    /// Where a field's column is.
    places: HashMap<Box<[u8]>, usize>,
    rows: usize,
    total: usize,
}

struct Growing {
    field: Field,
    builder: Builder,
    rows: usize,
}

impl Decoder {
    /// Columns in the order of `fields`.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Invalid`] when two columns are in the same field, or a field cannot
    /// be one of a document.
    pub fn new(fields: &[Field]) -> Result<Self> {
        let mut places = HashMap::with_capacity(fields.len());
        for (place, field) in fields.iter().enumerate() {
            if field.name.contains('\0') {
                return Err(Error::invalid(format!(
                    "no document has a field named {:?}",
                    field.name
                )));
            }
            if places.insert(field.name.as_bytes().into(), place).is_some() {
                return Err(Error::invalid(format!(
                    "two columns are stored in the field `{}`",
                    field.name
                )));
            }
        }
        Ok(Decoder {
            columns: fields
                .iter()
                .map(|field| Growing {
                    builder: Builder::new(&field.column, &field.dtype, 0),
                    field: field.clone(),
                    rows: 0,
                })
                .collect(),
            places,
            rows: 0,
            total: 0,
        })
    }

    /// Adds the row of one raw document, its length in front. Fields that are no columns
    /// are skipped, columns that are no fields are null.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Corrupt`] for bytes that are no document,
    /// [`crate::ErrorKind::Invalid`] for a value that its column cannot hold.
    pub fn push(&mut self, document: &[u8]) -> Result<()> {
        let mut elements = Elements::of(document)?;
        // Documents mostly have their fields in the order of the columns.
        let mut next = 0;
        let mut filled = 0;
        loop {
            let expected = self.columns.get(next).map(|column| &column.field.name);
            let expected = expected.map_or(&[][..], |name| name.as_bytes());
            let Some((element, alike)) = elements.next_like(expected)? else {
                break;
            };
            let place = match alike && next < self.columns.len() {
                true => next,
                false => match self.places.get(element.name) {
                    Some(place) => *place,
                    None => {
                        element.text_name()?;
                        continue;
                    }
                },
            };
            next = place + 1;
            let Some(column) = self.columns.get_mut(place) else {
                continue;
            };
            if column.rows > self.rows {
                // The same field again.
                plain::value(element.value)?;
                continue;
            }
            if !column.builder.push(element.value, &column.field.dtype)? {
                return Err(Error::invalid(format!(
                    "column `{}` holds {} in row {} where {} is expected",
                    column.field.column,
                    element.value.noun(),
                    self.total,
                    pandas_name(&column.field.dtype)
                ))
                .hint("store it again with one type a column"));
            }
            column.rows += 1;
            filled += 1;
        }
        self.rows += 1;
        self.total += 1;
        if filled < self.columns.len() {
            for column in &mut self.columns {
                if column.rows < self.rows {
                    column.builder.null();
                    column.rows += 1;
                }
            }
        }
        Ok(())
    }

    /// Rows that [`Decoder::finish`] is going to give.
    pub fn len(&self) -> usize {
        self.rows
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// The rows since the last frame; the decoder starts anew.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Invalid`] for a text that is no category of its column.
    pub fn finish(&mut self) -> Result<DataFrame> {
        let rows = std::mem::take(&mut self.rows);
        let mut columns: Vec<Column> = Vec::with_capacity(self.columns.len());
        for column in &mut self.columns {
            let field = &column.field;
            let builder = std::mem::replace(
                &mut column.builder,
                Builder::new(&field.column, &field.dtype, rows),
            );
            column.rows = 0;
            let series = builder.finish(&field.column, &field.dtype)?;
            columns.push(series.with_name(field.column.as_str().into()).into_column());
        }
        DataFrame::new(rows, columns)
            .map_err(|error| Error::invalid("the rows make no table").because(error))
    }
}
