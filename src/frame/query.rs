//! What is asked of tabular data: one value, built by the command line, by REST query
//! strings and by library callers alike; each storage runs as much of it as it can.

use super::filter::Filter;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// Filter, columns, grouping, sort, skip and limit, applied in this order: filter,
/// group-by with aggregates, sort, skip, limit, columns.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Query {
    /// Rows to keep.
    pub filter: Option<Filter>,
    /// Which columns, in which order.
    pub columns: Columns,
    /// Columns to group by; without aggregates the groups are counted.
    pub group_by: Vec<String>,
    /// Aggregates; without `group_by` over all rows.
    pub aggregates: Vec<Aggregate>,
    /// Sort order, most significant first.
    pub sort: Vec<Sort>,
    /// Rows to leave out at the start.
    pub skip: u64,
    /// Rows at the most.
    pub limit: Option<u64>,
}

/// A projection (spec/storage.md §12.3).
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub enum Columns {
    /// All data columns.
    #[default]
    All,
    /// These, in this order.
    Only(Vec<String>),
    /// All but these.
    Except(Vec<String>),
    /// An inclusive range over the columns in stored order; open where none.
    Range(Option<String>, Option<String>),
}

/// One aggregate of one column; the result column is `<column>_<function>`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Aggregate {
    /// The column.
    pub column: String,
    /// The function.
    pub function: AggregateFunction,
}

/// What an aggregate computes. Nulls are left out, except by `Count`'s row count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum AggregateFunction {
    /// Number of values that are not null.
    Count,
    /// Sum.
    Sum,
    /// Arithmetic mean.
    Mean,
    /// Smallest.
    Min,
    /// Largest.
    Max,
    /// Sample standard deviation.
    Std,
    /// Sample variance.
    Var,
    /// Median.
    Median,
    /// First in row order.
    First,
    /// Last in row order.
    Last,
    /// Number of distinct values.
    NUnique,
}

/// Sort by one column; nulls come last.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sort {
    /// The column.
    pub column: String,
    /// Largest first.
    pub descending: bool,
}

impl Query {
    /// Whether the query asks for all rows and columns as they are.
    pub fn is_all(&self) -> bool {
        *self == Query::default()
    }

    /// Renames columns wherever the query names them; `name` answers the new name, or
    /// none to keep the old one.
    pub fn rename(&mut self, name: impl Fn(&str) -> Option<String>) {
        let change = |column: &mut String| {
            if let Some(new) = name(column) {
                *column = new;
            }
        };
        if let Some(filter) = &mut self.filter {
            filter.visit_columns(&mut |column| change(column));
        }
        match &mut self.columns {
            Columns::All => {}
            Columns::Only(names) | Columns::Except(names) => names.iter_mut().for_each(change),
            Columns::Range(from, to) => from.iter_mut().chain(to).for_each(change),
        }
        self.group_by.iter_mut().for_each(change);
        self.aggregates
            .iter_mut()
            .for_each(|aggregate| change(&mut aggregate.column));
        self.sort
            .iter_mut()
            .for_each(|sort| change(&mut sort.column));
    }

    /// Whether rows are grouped or aggregated.
    pub fn is_grouped(&self) -> bool {
        !self.group_by.is_empty() || !self.aggregates.is_empty()
    }

    /// Adds the columns of the table that the query names to `names`; those of a grouped
    /// answer are not among them.
    pub fn named(&self, names: &mut BTreeSet<String>) {
        if let Some(filter) = &self.filter {
            filter.columns(names);
        }
        names.extend(self.group_by.iter().cloned());
        names.extend(
            self.aggregates
                .iter()
                .map(|aggregate| aggregate.column.clone()),
        );
        if !self.is_grouped() {
            names.extend(self.sort.iter().map(|sort| sort.column.clone()));
            match &self.columns {
                Columns::All => {}
                Columns::Only(columns) | Columns::Except(columns) => {
                    names.extend(columns.iter().cloned())
                }
                Columns::Range(from, to) => names.extend(from.iter().chain(to).cloned()),
            }
        }
    }

    /// The columns that must be read of an object with these columns.
    pub fn required(&self, all: &[String]) -> BTreeSet<String> {
        let mut needed = BTreeSet::new();
        if let Some(filter) = &self.filter {
            filter.columns(&mut needed);
        }
        if self.group_by.is_empty() && self.aggregates.is_empty() {
            needed.extend(self.columns.resolve(all));
            needed.extend(self.sort.iter().map(|sort| sort.column.clone()));
        } else {
            needed.extend(self.group_by.iter().cloned());
            needed.extend(self.aggregates.iter().map(|agg| agg.column.clone()));
        }
        needed
    }
}

impl Columns {
    /// The names selected out of `all`; names that are not in `all` are kept, so that
    /// whoever reads reports them.
    pub fn resolve(&self, all: &[String]) -> Vec<String> {
        match self {
            Columns::All => all.to_vec(),
            Columns::Only(names) => names.clone(),
            Columns::Except(names) => all
                .iter()
                .filter(|name| !names.contains(name))
                .cloned()
                .collect(),
            Columns::Range(from, to) => {
                let position = |name: &Option<String>| {
                    name.as_ref()
                        .and_then(|name| all.iter().position(|column| column == name))
                };
                let start = position(from).unwrap_or(0);
                let end = position(to).map_or(all.len(), |end| end + 1);
                all.get(start..end.max(start)).unwrap_or_default().to_vec()
            }
        }
    }
}
