//! Group-by with aggregates as stages of an aggregation whose answer is that of
//! `frame::run`: the same groups in the same order, null and NaN left out of aggregates.

use super::Aggregation;
use super::place::Place;
use super::predicate::Translator;
use super::sort::{self, Key};
use crate::frame::bson::Field;
use crate::frame::{Aggregate, AggregateFunction, Query, Sort};
use crate::storage::projection::ROW_ID;
use bson::{Bson, Document, doc};
use polars::prelude::{DataType, Schema};

/// The stages for the groups of `query`, whose answer has the columns `answer`; also
/// whether they sort and cut the groups as the query wants. None where the database would
/// answer otherwise.
pub(super) fn grouped(
    translator: &Translator<'_>,
    query: &Query,
    answer: &Schema,
) -> Option<(Aggregation, bool)> {
    let mut id = Document::new();
    let mut columns: Vec<Column> = Vec::new();
    for name in &query.group_by {
        if columns.iter().any(|column| column.name == *name) {
            continue;
        }
        let place = key(translator, name)?;
        let field = format!("k{}", id.len());
        id.insert(field.clone(), place.value());
        columns.push(Column {
            name: name.clone(),
            taken: Bson::from(format!("$_id.{field}")),
            field,
            sums: false,
        });
    }
    let mut group = doc! { "_id": if id.is_empty() { Bson::Null } else { id.into() } };
    let count = answer.iter_names().nth(columns.len())?.to_string();
    let counted = query.aggregates.is_empty();
    for aggregate in &query.aggregates {
        let name = aggregate.result_name();
        if columns.iter().any(|column| column.name == name) {
            continue;
        }
        let field = format!("a{}", group.len());
        let Accumulated { by, taken, sums } = accumulated(translator, aggregate)?;
        group.insert(field.clone(), by);
        columns.push(Column {
            name,
            taken: match taken {
                Taken::Whole => Bson::from(format!("${field}")),
                Taken::Value => Bson::from(format!("${field}.value")),
                Taken::Squared => doc! { "$pow": [format!("${field}"), 2] }.into(),
            },
            field,
            sums,
        });
    }
    if counted {
        group.insert("n", doc! { "$sum": 1 });
        columns.push(Column {
            name: count,
            field: "n".to_owned(),
            taken: Bson::from("$n"),
            sums: false,
        });
    }
    let fields: Vec<Field> = columns
        .iter()
        .map(|column| {
            let dtype = answer.get(&column.name)?.clone();
            Some(Field {
                column: column.name.clone(),
                name: column.field.clone(),
                dtype,
            })
        })
        .collect::<Option<_>>()?;
    let taken = columns
        .iter()
        .map(|column| (column.field.clone(), column.taken.clone()));
    let mut project = doc! { "_id": 0 };
    project.extend(taken);
    let mut stages = vec![doc! { "$group": group }, doc! { "$project": project }];
    let own = order(&query.sort, &columns, &fields);
    let whole = own.is_some();
    if !query.group_by.is_empty() {
        let by_key = query.group_by.iter().map(|name| Sort {
            column: name.clone(),
            descending: false,
        });
        let mut keys = own.unwrap_or_default();
        keys.extend(order(&by_key.collect::<Vec<_>>(), &columns, &fields)?);
        stages.extend(sort::stages(&keys, ""));
    }
    if whole {
        stages.extend(sort::window(query.skip, query.limit));
    }
    let aggregation = Aggregation {
        stages,
        answer: fields,
    };
    Some((aggregation, whole))
}

/// A column of the answer.
struct Column {
    name: String,
    field: String,
    /// Where it is after the grouping.
    taken: Bson,
    /// Whether it is a sum of doubles, which depends on the order of its terms.
    sums: bool,
}

/// The keys of a sort of groups; none where Polars may sort otherwise.
fn order(sort: &[Sort], columns: &[Column], fields: &[Field]) -> Option<Vec<Key>> {
    sort.iter()
        .map(|sort| {
            let at = columns
                .iter()
                .position(|column| column.name == sort.column)?;
            let key = Key {
                place: Place::of(fields.get(at)?)?,
                descending: sort.descending,
                settled: true,
            };
            let exact = columns.get(at).is_some_and(|column| !column.sums);
            (exact && key.is_orderly()).then_some(key)
        })
        .collect()
}

/// The place of a column by which the database groups as Polars does.
fn key(translator: &Translator<'_>, name: &str) -> Option<Place> {
    let place = translator.column(name)?;
    let key = Key {
        place,
        descending: false,
        settled: false,
    };
    let texts = !key.place.is_text() || translator.holds_texts(&key.place);
    (key.is_orderly() && texts).then_some(key.place)
}

/// An accumulator.
struct Accumulated {
    by: Document,
    taken: Taken,
    sums: bool,
}

/// What the result is of what is accumulated.
enum Taken {
    Whole,
    /// The field `value`.
    Value,
    Squared,
}

fn accumulated(translator: &Translator<'_>, aggregate: &Aggregate) -> Option<Accumulated> {
    use AggregateFunction as F;
    let place = translator.column(&aggregate.column)?;
    let dtype = &place.dtype;
    if dtype.is_nested() || (place.is_text() && !translator.holds_texts(&place)) {
        return None;
    }
    let value = place.known_value();
    let is_null = doc! { "$eq": [value.clone(), null] };
    let unsigned = *dtype == DataType::UInt64;
    let number = (dtype.is_integer() && !unsigned) || *dtype == DataType::Float64;
    let boolean = *dtype == DataType::Boolean;
    let one = doc! { "$cond": [{ "$eq": [place.field(), true] }, 1, 0] };
    let plain = |by| Accumulated {
        by,
        taken: Taken::Whole,
        sums: false,
    };
    let summed = |by| Accumulated {
        by,
        taken: Taken::Whole,
        sums: true,
    };
    let numeric = || match boolean {
        true => doc! { "$cond": [is_null.clone(), null, one.clone()] }.into(),
        false => value.clone(),
    };
    Some(match aggregate.function {
        F::Count => plain(doc! { "$sum": { "$cond": [is_null, 0, 1] } }),
        F::Sum if boolean => plain(doc! { "$sum": one }),
        F::Sum if number => Accumulated {
            by: doc! { "$sum": value },
            taken: Taken::Whole,
            sums: dtype.is_float(),
        },
        F::Sum if matches!(dtype, DataType::Duration(_)) => plain(doc! { "$sum": value }),
        F::Mean if number || boolean => summed(doc! { "$avg": numeric() }),
        F::Std if number || boolean => summed(doc! { "$stdDevSamp": numeric() }),
        F::Var if number || boolean => Accumulated {
            by: doc! { "$stdDevSamp": numeric() },
            taken: Taken::Squared,
            sums: true,
        },
        F::Min | F::Max if is_comparable(dtype) => {
            let operator = match aggregate.function {
                F::Min => "$min",
                _ => "$max",
            };
            plain(doc! { operator: value })
        }
        F::First | F::Last => {
            let operator = match aggregate.function {
                F::First => "$min",
                _ => "$max",
            };
            let numbered = doc! { "row": format!("${ROW_ID}"), "value": value };
            Accumulated {
                by: doc! { operator: { "$cond": [is_null, null, numbered] } },
                taken: Taken::Value,
                sums: false,
            }
        }
        // The database's median is an estimate, and its sets have to fit into a document.
        _ => return None,
    })
}

fn is_comparable(dtype: &DataType) -> bool {
    dtype.is_integer()
        || dtype.is_float()
        || matches!(
            dtype,
            DataType::Boolean
                | DataType::String
                | DataType::Categorical(..)
                | DataType::Enum(..)
                | DataType::Date
                | DataType::Datetime(..)
                | DataType::Duration(_)
                | DataType::Time
        )
}
