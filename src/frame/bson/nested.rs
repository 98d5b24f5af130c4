//! Lists and structs: arrays and documents inside a row.

use super::builder::Builder;
use super::walker::{Elements, Value, tag};
use crate::error::Result;
use polars::prelude::{AnyValue, DataType, Field};

/// The value as one of `dtype`; none when it cannot be one.
pub(super) fn any_value(value: Value<'_>, dtype: &DataType) -> Result<Option<AnyValue<'static>>> {
    if value.is_null() {
        return Ok(Some(AnyValue::Null));
    }
    match dtype {
        DataType::List(inner) => {
            if value.tag != tag::ARRAY {
                return Ok(None);
            }
            let mut items = Builder::new("", inner, 0);
            let mut elements = Elements::of(value.bytes)?;
            while let Some(element) = elements.next()? {
                element.text_name()?;
                if !items.push(element.value, inner)? {
                    return Ok(None);
                }
            }
            Ok(Some(AnyValue::List(items.finish("", inner)?)))
        }
        DataType::Struct(fields) => {
            if value.tag != tag::DOCUMENT {
                return Ok(None);
            }
            structure(value, fields)
        }
        dtype => {
            let mut one = Builder::new("", dtype, 1);
            if !one.push(value, dtype)? {
                return Ok(None);
            }
            let series = one.finish("", dtype)?;
            Ok(series.get(0).ok().map(AnyValue::into_static))
        }
    }
}

fn structure(value: Value<'_>, fields: &[Field]) -> Result<Option<AnyValue<'static>>> {
    let mut values = vec![AnyValue::Null; fields.len()];
    let mut elements = Elements::of(value.bytes)?;
    let mut next = 0;
    while let Some(element) = elements.next()? {
        let named = |field: &Field| field.name().as_bytes() == element.name;
        let position = match fields.get(next) {
            Some(field) if named(field) => Some(next),
            _ => fields.iter().position(named),
        };
        let Some(position) = position else {
            element.text_name()?;
            continue;
        };
        next = position + 1;
        let (Some(field), Some(slot)) = (fields.get(position), values.get_mut(position)) else {
            continue;
        };
        match any_value(element.value, field.dtype())? {
            Some(value) => *slot = value,
            None => return Ok(None),
        }
    }
    Ok(Some(AnyValue::StructOwned(Box::new((
        values,
        fields.to_vec(),
    )))))
}
