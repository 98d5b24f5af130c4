//! Which frames fit the rows that an object holds already, and how they are brought
//! into its column order and types without loss.

use super::projection::INDEX;
use crate::error::{Context, Error, ErrorKind, Result, nearest};
use polars::prelude::{Column, DataFrame, DataType, Schema};

/// `frame` with the columns of `schema`, in its order and its types.
///
/// # Errors
/// Of `kind`, naming the column that is missing, unknown, or of a type that does not fit.
pub(super) fn align(frame: DataFrame, schema: &Schema, kind: ErrorKind) -> Result<DataFrame> {
    if frame.schema().as_ref() == schema {
        return Ok(frame);
    }
    for name in frame.get_column_names() {
        if !schema.contains(name) {
            let error = Error::new(kind, format!("the stored rows have no column `{name}`"));
            let near = nearest(name, schema.iter_names().map(|name| name.as_str()));
            return Err(match near {
                Some(near) => error.hint(format!("did you mean `{near}`?")),
                None => error.hint("rows that are added need the columns of those stored"),
            });
        }
    }
    let mut columns = Vec::with_capacity(schema.len());
    for (name, wanted) in schema.iter() {
        let Ok(column) = frame.column(name) else {
            return Err(Error::new(kind, format!("the column `{name}` is missing"))
                .hint("rows that are added need the columns of those stored"));
        };
        columns.push(convert(column, wanted, kind)?);
    }
    DataFrame::new(frame.height(), columns).context(|| "the rows do not fit those stored")
}

/// `frame` with the numbers of an unnamed index going on from `first`, where the rows that
/// it is added to have such an index and it has none.
pub(super) fn counted(mut frame: DataFrame, schema: &Schema, first: u64) -> Result<DataFrame> {
    let numbers = schema.get(INDEX).is_some_and(DataType::is_integer);
    if numbers && !frame.schema().contains(INDEX) {
        let first = i64::try_from(first).unwrap_or(i64::MAX);
        let positions: Vec<i64> = (first..).take(frame.height()).collect();
        frame
            .with_column(Column::new(INDEX.into(), positions))
            .context(|| "cannot number the rows")?;
    }
    Ok(frame)
}

fn convert(column: &Column, wanted: &DataType, kind: ErrorKind) -> Result<Column> {
    if column.dtype() == wanted {
        return Ok(column.clone());
    }
    let refused = || {
        Error::new(
            kind,
            format!(
                "the column `{}` is {}, but the stored rows have {wanted}",
                column.name(),
                column.dtype()
            ),
        )
        .hint("convert the column first, or replace the object")
    };
    if !widens(column.dtype(), wanted) {
        return Err(refused());
    }
    column
        .strict_cast(wanted)
        .map_err(|error| refused().because(error))
}

/// Whether every value of `from` has one in `to`, as far as people are concerned: whole
/// numbers may become floating point.
fn widens(from: &DataType, to: &DataType) -> bool {
    use DataType as D;
    let rank = |dtype: &DataType| match dtype {
        D::Int8 | D::UInt8 => Some(8),
        D::Int16 | D::UInt16 => Some(16),
        D::Int32 | D::UInt32 => Some(32),
        D::Int64 | D::UInt64 => Some(64),
        _ => None,
    };
    match (from, to) {
        (D::Null, _) | (D::Float32, D::Float64) => true,
        (from, D::Float32) => rank(from).is_some_and(|bits| bits <= 16),
        (from, D::Float64) => rank(from).is_some(),
        (D::Categorical(..), D::String | D::Categorical(..)) => true,
        (D::String, D::Categorical(..)) => true,
        (from, to) => match (rank(from), rank(to)) {
            (Some(narrow), Some(wide)) => {
                let same_sign = from.is_unsigned_integer() == to.is_unsigned_integer();
                narrow < wide && (same_sign || from.is_unsigned_integer())
            }
            _ => false,
        },
    }
}

/// Refuses what Parquet cannot hold.
pub(super) fn storable(schema: &Schema) -> Result<()> {
    if schema.is_empty() {
        return Err(Error::invalid(
            "a data frame without columns cannot be stored",
        ));
    }
    for (name, dtype) in schema.iter() {
        if !is_storable(dtype) {
            return Err(Error::invalid(format!(
                "the column `{name}` is {dtype}, which cannot be stored"
            ))
            .hint("convert the column first"));
        }
    }
    Ok(())
}

fn is_storable(dtype: &DataType) -> bool {
    match dtype {
        DataType::List(inner) => is_storable(inner),
        DataType::Struct(fields) => {
            !fields.is_empty() && fields.iter().all(|field| is_storable(field.dtype()))
        }
        DataType::Unknown(_) => false,
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use polars::prelude::*;

    #[test]
    fn columns_are_reordered_and_widened() {
        let stored = df!("a" => [1.0f64], "b" => ["x"], "c" => [1i64]).unwrap();
        let frame = df!("c" => [3i32], "b" => ["y"], "a" => [2i64]).unwrap();
        let aligned = align(frame, stored.schema(), ErrorKind::Conflict).unwrap();
        assert!(aligned.equals(&df!("a" => [2.0f64], "b" => ["y"], "c" => [3i64]).unwrap()));
    }

    #[test]
    fn what_does_not_fit_is_named() {
        let stored = df!("quantity" => [1i64], "b" => ["x"]).unwrap();
        let refuse = |frame: DataFrame| {
            let error = align(frame, stored.schema(), ErrorKind::Conflict).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Conflict);
            format!("{error} / {}", error.hint_text().unwrap_or_default())
        };
        let text = refuse(df!("quantity" => [1.5f64], "b" => ["x"]).unwrap());
        assert!(
            text.contains("`quantity` is f64") && text.contains("i64"),
            "{text}"
        );
        let text = refuse(df!("quantity" => [1i64]).unwrap());
        assert!(text.contains("`b` is missing"), "{text}");
        let text = refuse(df!("quantitty" => [1i64], "b" => ["x"]).unwrap());
        assert!(
            text.contains("`quantitty`") && text.contains("did you mean `quantity`"),
            "{text}"
        );
        refuse(df!("quantity" => [1u64], "b" => ["x"]).unwrap());
        refuse(df!("quantity" => ["1"], "b" => ["x"]).unwrap());
    }
}
