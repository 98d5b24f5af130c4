//! Which columns documents have, where nothing says it.

use super::Field;
use super::plain::DEPTH;
use super::walker::{Elements, Value, tag};
use crate::error::{Error, Result};
use polars::prelude::{DataType, TimeUnit};
use std::collections::HashMap;

/// The columns that the documents show, in the order in which they come first. A column
/// of several types is text; one of nothing but nulls has the type null.
///
/// # Errors
/// [`crate::ErrorKind::Corrupt`] for bytes that are no document.
pub fn infer<'a>(documents: impl Iterator<Item = &'a [u8]>) -> Result<Vec<Field>> {
    let mut fields: Vec<Field> = Vec::new();
    let mut places: HashMap<Vec<u8>, usize> = HashMap::new();
    for document in documents {
        let mut elements = Elements::of(document)?;
        while let Some(element) = elements.next()? {
            let dtype = dtype(element.value, DEPTH)?;
            match places
                .get(element.name)
                .and_then(|place| fields.get_mut(*place))
            {
                Some(field) => field.dtype = union(&field.dtype, &dtype),
                None => {
                    places.insert(element.name.to_vec(), fields.len());
                    let name = element.text_name()?.to_owned();
                    fields.push(Field {
                        column: name.clone(),
                        name,
                        dtype,
                    });
                }
            }
        }
    }
    Ok(fields)
}

fn dtype(value: Value<'_>, depth: usize) -> Result<DataType> {
    let depth = depth
        .checked_sub(1)
        .ok_or_else(|| Error::corrupt("a document is nested too deeply"))?;
    Ok(match value.tag {
        tag::NULL | tag::UNDEFINED => DataType::Null,
        tag::BOOLEAN => DataType::Boolean,
        tag::INT32 | tag::INT64 => DataType::Int64,
        tag::DOUBLE => DataType::Float64,
        tag::DATE => DataType::Datetime(TimeUnit::Milliseconds, None),
        tag::BINARY => DataType::Binary,
        tag::ARRAY => {
            let mut inner = DataType::Null;
            let mut elements = Elements::of(value.bytes)?;
            while let Some(element) = elements.next()? {
                element.text_name()?;
                inner = union(&inner, &self::dtype(element.value, depth)?);
            }
            DataType::List(Box::new(inner))
        }
        tag::DOCUMENT => {
            let mut fields: Vec<polars::prelude::Field> = Vec::new();
            let mut elements = Elements::of(value.bytes)?;
            while let Some(element) = elements.next()? {
                let name = element.text_name()?;
                if fields.iter().all(|field| field.name() != name) {
                    let dtype = self::dtype(element.value, depth)?;
                    fields.push(polars::prelude::Field::new(name.into(), dtype));
                }
            }
            match fields.is_empty() {
                true => DataType::String,
                false => DataType::Struct(fields),
            }
        }
        _ => DataType::String,
    })
}

/// The type that holds values of both; text where there is none other.
fn union(one: &DataType, two: &DataType) -> DataType {
    use DataType as D;
    match (one, two) {
        (one, two) if one == two => one.clone(),
        (D::Null, other) | (other, D::Null) => other.clone(),
        (D::Int64, D::Float64) | (D::Float64, D::Int64) => D::Float64,
        (D::List(one), D::List(two)) => D::List(Box::new(union(one, two))),
        (D::Struct(one), D::Struct(two)) => {
            let mut fields = one.clone();
            for field in two {
                match fields.iter_mut().find(|known| known.name() == field.name()) {
                    Some(known) => {
                        *known = polars::prelude::Field::new(
                            known.name().clone(),
                            union(known.dtype(), field.dtype()),
                        );
                    }
                    None => fields.push(field.clone()),
                }
            }
            D::Struct(fields)
        }
        _ => D::String,
    }
}

/// The type of a column that metadata calls `declared` and of which documents show `seen`:
/// what is declared, unless it cannot hold what is seen.
pub fn widen(declared: &DataType, seen: &DataType) -> DataType {
    use DataType as D;
    match (declared, seen) {
        (_, D::Null) => declared.clone(),
        // pandas calls everything that has no type of its own `object`.
        (D::String, seen) => seen.clone(),
        (declared, D::Float64) if declared.is_integer() => D::Float64,
        (D::Datetime(..) | D::Date, D::Datetime(..)) => declared.clone(),
        (D::Categorical(..) | D::Enum(..), D::String) => declared.clone(),
        // Categories of other values than texts.
        (D::Categorical(..), seen) => seen.clone(),
        (D::Duration(_) | D::Time, D::Int64) => declared.clone(),
        (declared, D::Int64) if declared.is_primitive_numeric() => declared.clone(),
        (declared, D::Float64) if declared.is_float() => declared.clone(),
        (D::List(_), D::List(_)) | (D::Struct(_), D::Struct(_)) => seen.clone(),
        (declared, seen) if declared == seen => declared.clone(),
        (D::UInt64, D::String) => declared.clone(),
        // Dates that old writers have left as empty texts among others.
        (D::Datetime(..), D::String) => declared.clone(),
        _ => D::String,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use bson::doc;

    #[test]
    fn columns_are_found_in_order_with_the_widest_type() {
        let documents = [
            doc! { "_id": 1, "a": 1, "b": null, "c": "x", "d": [1], "e": { "x": 1 } },
            doc! { "_id": 2, "a": 1.5, "b": true, "c": 1, "d": [null, 2.5], "e": { "y": "z" }, "f": null },
        ]
        .map(|document| document.to_vec().unwrap());
        let found = infer(documents.iter().map(Vec::as_slice)).unwrap();
        let types: Vec<(&str, String)> = found
            .iter()
            .map(|field| (field.name.as_str(), super::super::stored_name(&field.dtype)))
            .collect();
        let expected = [
            ("_id", "int64"),
            ("a", "float64"),
            ("b", "bool"),
            ("c", "object"),
            ("d", "list[float64]"),
            ("e", "struct{\"x\": int64, \"y\": object}"),
            ("f", "null"),
        ];
        assert_eq!(
            types,
            expected.map(|(name, dtype)| (name, dtype.to_owned()))
        );
    }

    #[test]
    fn what_is_declared_stays_unless_it_does_not_fit() {
        assert_eq!(widen(&DataType::Int8, &DataType::Int64), DataType::Int8);
        assert_eq!(
            widen(&DataType::Int64, &DataType::Float64),
            DataType::Float64
        );
        assert_eq!(
            widen(&DataType::String, &DataType::Boolean),
            DataType::Boolean
        );
        assert_eq!(
            widen(&DataType::Boolean, &DataType::String),
            DataType::String
        );
        assert_eq!(
            widen(&DataType::Boolean, &DataType::Null),
            DataType::Boolean
        );
    }
}
