//! A sort order inside the database: nulls and NaN last, rows that are alike in their own
//! order, which is that of their row ids.

use super::condition::Condition;
use super::place::Place;
use bson::{Bson, Document, doc};
use polars::prelude::DataType;

/// One column to sort by.
pub(super) struct Key {
    pub place: Place,
    pub descending: bool,
    /// Whether stages before have made its nulls null, as those that group do.
    pub settled: bool,
}

impl Key {
    fn direction(&self) -> i32 {
        if self.descending { -1 } else { 1 }
    }

    fn value(&self) -> Bson {
        match self.settled && !self.place.dtype.is_float() {
            true => self.place.field(),
            false => self.place.known_value(),
        }
    }

    /// Whether the database orders the column's values as Polars does, once nulls and NaN
    /// are out of the way; texts if there is nothing else.
    pub fn is_orderly(&self) -> bool {
        let dtype = &self.place.dtype;
        dtype.is_integer()
            || matches!(
                dtype,
                DataType::Float64
                    | DataType::Boolean
                    | DataType::String
                    | DataType::Categorical(..)
                    | DataType::Date
                    | DataType::Datetime(..)
                    | DataType::Duration(_)
                    | DataType::Time
            )
    }
}

/// The order as `find` takes it, which an index may have; only for keys that are never null
/// among the rows of `filter`.
pub(super) fn plain(keys: &[Key], filter: &Condition, then: &str) -> Option<Document> {
    let mut order = Document::new();
    for key in keys {
        let never_null = key.place.path == then || is_known(filter, &key.place.path);
        let itself = key.place.dtype != DataType::Date;
        if !never_null || !itself {
            return None;
        }
        order.insert(key.place.path.clone(), key.direction());
    }
    if !order.contains_key(then) {
        order.insert(then, 1);
    }
    Some(order)
}

/// Whether a field is neither null nor NaN in all documents of a filter.
fn is_known(filter: &Condition, path: &str) -> bool {
    let is_number = |value: &Bson| !value.as_f64().is_some_and(f64::is_nan);
    match filter {
        Condition::In(field, values) => {
            let known = |value: &Bson| *value != Bson::Null && is_number(value);
            field == path
                && values
                    .iter()
                    .all(|value| known(value) && *value != Bson::from(""))
        }
        Condition::Op(field, operator, value) => {
            let compares = matches!(*operator, "$lt" | "$lte" | "$gt" | "$gte" | "$regex");
            field == path && compares && is_number(value)
        }
        Condition::All(parts) => parts.iter().any(|part| is_known(part, path)),
        Condition::Any(parts) => parts.iter().all(|part| is_known(part, path)),
        _ => false,
    }
}

/// The order as stages of an aggregation; `then` orders what is alike.
pub(super) fn stages(keys: &[Key], then: &str) -> Vec<Document> {
    let mut made = Document::new();
    let mut order = Document::new();
    for (number, key) in keys.iter().enumerate() {
        let value = format!("om_sort{number}");
        made.insert(value.clone(), key.value());
        if !key.descending {
            // Going up, the database begins with nulls.
            let rank = format!("om_null{number}");
            let is_null = doc! { "$eq": [key.value(), null] };
            made.insert(rank.clone(), doc! { "$cond": [is_null, 1, 0] });
            order.insert(rank, 1);
        }
        order.insert(value, key.direction());
    }
    if !then.is_empty() {
        order.insert(then, 1);
    }
    vec![doc! { "$addFields": made }, doc! { "$sort": order }]
}

/// Stages that leave rows out at the start and at the end.
pub(super) fn window(skip: u64, limit: Option<u64>) -> Vec<Document> {
    let count = |rows: u64| Bson::Int64(i64::try_from(rows).unwrap_or(i64::MAX));
    let skip = (skip > 0).then(|| doc! { "$skip": count(skip) });
    let limit = limit.map(|limit| doc! { "$limit": count(limit) });
    skip.into_iter().chain(limit).collect()
}
