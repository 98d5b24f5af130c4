//! Values among those of a list, and lists that hold a value.

use super::compare::compare;
use super::condition::Condition;
use super::place::Place;
use super::predicate::{Pushed, Side, Translator};
use super::text;
use crate::frame::filter::Order;
use crate::frame::filter::operand::{literal, values};
use polars::prelude::{DataType, Expr};

impl Translator<'_> {
    /// Rows whose value is among those of a list, or is none of them.
    pub(super) fn among(&self, inner: &Expr, list: &Expr, want: bool) -> Option<Pushed> {
        let side = self.side(inner)?;
        let values = values(list)?;
        let order = if want { Order::Eq } else { Order::Ne };
        let mut parts = Vec::with_capacity(values.len());
        let mut exact = true;
        for value in values.iter() {
            if value.is_null() {
                match want {
                    true => continue,
                    false => return None,
                }
            }
            let part = self.compared(&side, order, &value, false)?;
            exact &= part.exact;
            parts.push(part.condition);
        }
        let condition = match want {
            true => Condition::any(parts),
            // Not even null is in an empty list, but is not said to be outside either.
            false if parts.is_empty() => return None,
            false => Condition::all(parts),
        };
        Some(Pushed { condition, exact })
    }

    /// Lists that hold a value: an array equals what it holds. Elements may differ from
    /// what they are read as, so this finds at least all.
    pub(super) fn holding(&self, list: &Expr, item: &Expr) -> Option<Pushed> {
        let Side { place, via: None } = self.side(list)? else {
            return None;
        };
        let DataType::List(inner) = &place.dtype else {
            return None;
        };
        let item = literal(item)?;
        let element = Place {
            path: place.path.clone(),
            dtype: (**inner).clone(),
        };
        let ordinary = item.get_str().is_none_or(text::is_ordinary);
        let simple = matches!(
            element.dtype,
            DataType::String | DataType::Boolean | DataType::Float64
        ) || element.dtype.is_integer();
        if item.is_null() || !ordinary || !simple {
            return None;
        }
        Some(Pushed {
            condition: compare(&element, None, Order::Eq, &item, false)?,
            exact: false,
        })
    }
}
