//! Where documents hold the values of a column, and which of their values are its nulls
//! (spec/storage.md §9.1; `frame::bson` decodes by the same rules).

use crate::frame::bson::Field;
use bson::{Bson, Document, doc};
use polars::prelude::{DataType, TimeUnit};

/// Milliseconds of a day.
pub(super) const DAY: i64 = 86_400_000;

/// The types of values that a text column turns into text, its own type and nulls left out.
const NO_TEXT: [&str; 15] = [
    "double",
    "object",
    "array",
    "binData",
    "objectId",
    "bool",
    "date",
    "regex",
    "javascript",
    "int",
    "timestamp",
    "long",
    "decimal",
    "minKey",
    "maxKey",
];

/// A field of documents and the type of its values.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Place {
    /// Names joined by dots.
    pub path: String,
    pub dtype: DataType,
}

impl Place {
    /// The place of a column.
    pub fn of(field: &Field) -> Option<Place> {
        is_plain(&field.name).then(|| Place {
            path: field.name.clone(),
            dtype: field.dtype.clone(),
        })
    }

    /// The place of a field inside.
    pub fn inside(&self, name: &str) -> Option<Place> {
        let DataType::Struct(fields) = &self.dtype else {
            return None;
        };
        let field = fields.iter().find(|field| field.name() == name)?;
        is_plain(name).then(|| Place {
            path: format!("{}.{name}", self.path),
            dtype: field.dtype().clone(),
        })
    }

    /// Whether values are made text whatever they are.
    pub fn is_text(&self) -> bool {
        matches!(
            self.dtype,
            DataType::String | DataType::Categorical(..) | DataType::Enum(..)
        )
    }

    /// Whether values are counts of a unit of time, or whole numbers.
    fn is_whole(&self) -> bool {
        self.dtype.is_integer() || matches!(self.dtype, DataType::Duration(_) | DataType::Time)
    }

    /// What is null; a missing field equals null.
    pub fn nulls(&self) -> Option<Vec<Bson>> {
        Some(match &self.dtype {
            DataType::Date | DataType::Datetime(..) => {
                vec![Bson::Null, Bson::from(""), Bson::from(f64::NAN)]
            }
            _ if self.is_whole() => vec![Bson::Null, Bson::from(f64::NAN)],
            // Arrays equal what they hold.
            DataType::List(_) | DataType::Struct(_) => return None,
            _ => vec![Bson::Null],
        })
    }

    /// What a text column turns into text: an operand of `$type`.
    pub fn no_text() -> Bson {
        Bson::from(NO_TEXT.map(str::to_owned).to_vec())
    }

    /// The field in an expression.
    pub fn field(&self) -> Bson {
        Bson::from(format!("${}", self.path))
    }

    /// The column's value as an expression: null where it is null.
    pub fn value(&self) -> Bson {
        let field = self.field();
        let present = doc! { "$ifNull": [field.clone(), null] };
        let is_date = doc! { "$eq": [{ "$type": field.clone() }, "date"] };
        match &self.dtype {
            DataType::Datetime(..) => doc! { "$cond": [is_date, field, null] }.into(),
            DataType::Date => {
                // Down to midnight, before 1970 too.
                let rest = doc! { "$mod": [{ "$toLong": field.clone() }, DAY] };
                let rest = doc! { "$mod": [{ "$add": [rest, DAY] }, DAY] };
                let midnight = doc! { "$subtract": [field, rest] };
                doc! { "$cond": [is_date, midnight, null] }.into()
            }
            _ if self.is_whole() => without_nan(field, present).into(),
            _ => present.into(),
        }
    }

    /// The column's value where NaN counts as null.
    pub fn known_value(&self) -> Bson {
        match self.dtype.is_float() {
            true => {
                let field = self.field();
                without_nan(field.clone(), doc! { "$ifNull": [field, null] }).into()
            }
            false => self.value(),
        }
    }
}

fn without_nan(field: Bson, otherwise: Document) -> Document {
    doc! { "$cond": [{ "$eq": [field, f64::NAN] }, null, otherwise] }
}

/// Whether a field's name means the field in paths and expressions.
fn is_plain(name: &str) -> bool {
    !name.is_empty() && !name.starts_with('$') && !name.contains(['.', '\0'])
}

/// How many of a unit are a millisecond.
pub(super) fn per_milli(unit: TimeUnit) -> i64 {
    match unit {
        TimeUnit::Milliseconds => 1,
        TimeUnit::Microseconds => 1_000,
        TimeUnit::Nanoseconds => 1_000_000,
    }
}
