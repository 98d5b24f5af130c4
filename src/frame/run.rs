//! Runs a [`Query`] with Polars, and hands lazy frames to its streaming engine.

use super::columns::{column, unknown_column};
use super::dtype::pandas_name;
use super::polars_error::explained;
use super::query::{Aggregate, AggregateFunction, Columns, Query, Sort};
use super::spool::streamable;
use crate::error::{Error, Result};
use polars::prelude::*;

/// Applies a query: filter, group-by with aggregates, sort, skip, limit, columns.
/// Nothing is read but the schema; all names and types are checked.
///
/// Groups come sorted by their keys. An aggregate's column is `<column>_<function>`;
/// without aggregates the groups are counted in `count`. Null and NaN are left out of
/// aggregates and come last in every sort.
///
/// # Errors
/// [`crate::ErrorKind::NotFound`] for unknown columns, [`crate::ErrorKind::Usage`] where
/// a column's type does not suit the query.
pub fn run(mut frame: LazyFrame, query: &Query) -> Result<LazyFrame> {
    let schema = schema(&mut frame)?;
    if let Some(filter) = &query.filter {
        frame = frame.filter(filter.to_expr(&schema)?);
    }
    frame = grouped(frame, query, &schema)?;
    let schema = self::schema(&mut frame)?;
    if !query.sort.is_empty() {
        frame = sorted(frame, &query.sort, &schema)?;
    }
    if query.skip > 0 || query.limit.is_some() {
        let skip = i64::try_from(query.skip).unwrap_or(i64::MAX);
        let limit = query.limit.and_then(|limit| IdxSize::try_from(limit).ok());
        frame = frame.slice(skip, limit.unwrap_or(IdxSize::MAX));
    }
    if query.columns != Columns::All {
        let names = selected(&query.columns, &schema)?;
        frame = frame.select(names.iter().map(|name| column(name)).collect::<Vec<_>>());
    }
    Ok(frame)
}

/// Collects a lazy frame with the streaming engine, where its sources can be streamed.
///
/// # Errors
/// What Polars says, in one line.
pub fn collect(frame: LazyFrame) -> Result<DataFrame> {
    let result = streamable(frame)?
        .collect_with_engine(Engine::Streaming)
        .map_err(|error| explained(&error))?;
    // Only plans with several sinks have several results, and these cannot be had here.
    Ok(result.unwrap_single())
}

/// Polars' optimised plan of a lazy frame, for people; nothing is read.
///
/// # Errors
/// What Polars says, in one line.
pub fn plan(frame: &LazyFrame) -> Result<String> {
    frame
        .describe_optimized_plan()
        .map_err(|error| explained(&error))
}

/// The schema of a lazy frame.
///
/// # Errors
/// What Polars says, in one line.
pub fn schema(frame: &mut LazyFrame) -> Result<SchemaRef> {
    frame.collect_schema().map_err(|error| explained(&error))
}

/// The columns of a schema that a projection selects, in its order.
///
/// # Errors
/// [`crate::ErrorKind::NotFound`] for a column that is not there.
pub fn selected(columns: &Columns, schema: &Schema) -> Result<Vec<String>> {
    let all: Vec<String> = schema.iter_names().map(|name| name.to_string()).collect();
    let named: Vec<&String> = match columns {
        Columns::All => Vec::new(),
        Columns::Only(names) | Columns::Except(names) => names.iter().collect(),
        Columns::Range(from, to) => from.iter().chain(to).collect(),
    };
    for name in named {
        dtype_of(name, schema)?;
    }
    let selected = columns.resolve(&all);
    if selected.is_empty() {
        return Err(Error::usage("the selection leaves no column"));
    }
    Ok(selected)
}

fn dtype_of<'a>(name: &str, schema: &'a Schema) -> Result<&'a DataType> {
    schema
        .get(name)
        .ok_or_else(|| unknown_column(name, schema.iter_names().map(|name| name.as_str())))
}

fn grouped(frame: LazyFrame, query: &Query, schema: &Schema) -> Result<LazyFrame> {
    if query.group_by.is_empty() && query.aggregates.is_empty() {
        return Ok(frame);
    }
    let mut keys: Vec<Expr> = Vec::new();
    let mut names: Vec<String> = Vec::new();
    for key in &query.group_by {
        if let DataType::List(_) | DataType::Struct(_) = dtype_of(key, schema)? {
            return Err(Error::usage(format!(
                "column `{key}` is nested and cannot be grouped by"
            )));
        }
        if !names.contains(key) {
            keys.push(column(key));
            names.push(key.clone());
        }
    }
    let mut aggregates: Vec<Expr> = Vec::new();
    for aggregate in &query.aggregates {
        let name = aggregate.result_name();
        let expr = aggregated(aggregate, schema)?;
        if query.group_by.contains(&name) {
            return Err(Error::usage(format!(
                "the aggregate {name} has the name of a group column"
            )));
        }
        if !names.contains(&name) {
            aggregates.push(expr.alias(name.as_str()));
            names.push(name);
        }
    }
    if keys.is_empty() {
        return Ok(frame.select(aggregates));
    }
    if aggregates.is_empty() {
        let taken = query.group_by.iter().any(|key| key == "count");
        aggregates.push(len().alias(if taken { "rows" } else { "count" }));
    }
    let order: Vec<Sort> = query
        .group_by
        .iter()
        .map(|key| Sort {
            column: key.clone(),
            descending: false,
        })
        .collect();
    sorted(frame.group_by(keys).agg(aggregates), &order, schema)
}

fn aggregated(aggregate: &Aggregate, schema: &Schema) -> Result<Expr> {
    let dtype = dtype_of(&aggregate.column, schema)?;
    let values = if dtype.is_float() {
        column(&aggregate.column).fill_nan(lit(NULL))
    } else {
        column(&aggregate.column)
    };
    let number = dtype.is_numeric() || matches!(dtype, DataType::Boolean | DataType::Null);
    let temporal = matches!(
        dtype,
        DataType::Date | DataType::Datetime(..) | DataType::Time | DataType::Duration(_)
    );
    let nested = matches!(dtype, DataType::List(_) | DataType::Struct(_));
    use AggregateFunction as F;
    let suits = match aggregate.function {
        F::Count | F::First | F::Last => true,
        F::NUnique | F::Min | F::Max => !nested,
        F::Mean | F::Median => number || temporal,
        F::Sum => number || matches!(dtype, DataType::Duration(_)),
        F::Std | F::Var => number,
    };
    if !suits {
        return Err(Error::usage(format!(
            "column `{}` is {}, which has no {}",
            aggregate.column,
            pandas_name(dtype),
            aggregate.function.name()
        )));
    }
    // Polars has no deviation of truth values.
    let values = match (dtype, aggregate.function) {
        (DataType::Boolean, F::Std | F::Var | F::Median | F::Mean) => {
            values.cast(DataType::Float64)
        }
        (DataType::Categorical(..) | DataType::Enum(..), F::Min | F::Max) => {
            values.cast(DataType::String)
        }
        _ => values,
    };
    Ok(match aggregate.function {
        F::Count => values.count(),
        F::Sum => values.sum(),
        F::Mean => values.mean(),
        F::Min => values.min(),
        F::Max => values.max(),
        F::Std => values.std(1),
        F::Var => values.var(1),
        F::Median => values.median(),
        F::First => values.drop_nulls().first(),
        F::Last => values.drop_nulls().last(),
        F::NUnique => values.drop_nulls().n_unique(),
    })
}

fn sorted(frame: LazyFrame, order: &[Sort], schema: &Schema) -> Result<LazyFrame> {
    let mut by = Vec::with_capacity(order.len());
    let mut descending = Vec::with_capacity(order.len());
    for (position, sort) in order.iter().enumerate() {
        let before = order.iter().take(position);
        if before
            .into_iter()
            .any(|before| before.column == sort.column)
        {
            // Its rows are in order already; Polars cannot sort by a column twice.
            continue;
        }
        let values = column(&sort.column);
        by.push(match dtype_of(&sort.column, schema)? {
            dtype if dtype.is_float() => values.fill_nan(lit(NULL)),
            DataType::Categorical(..) => values.cast(DataType::String),
            DataType::List(_) | DataType::Struct(_) => {
                return Err(Error::usage(format!(
                    "column `{}` is nested and has no order",
                    sort.column
                )));
            }
            _ => values,
        });
        descending.push(sort.descending);
    }
    let options = SortMultipleOptions {
        nulls_last: vec![true; by.len()],
        descending,
        maintain_order: true,
        ..SortMultipleOptions::default()
    };
    Ok(frame.sort_by_exprs(by, options))
}
