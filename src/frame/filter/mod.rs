//! Which rows. One tree, read from omega|ml's keywords (`qty__gte=5`) or from an
//! expression (`qty >= 5 and region in ("EU", "US")`), run by Polars or by a storage.

use std::collections::BTreeSet;

/// A condition on rows. Comparisons with null are not true, as in SQL.
#[derive(Debug, Clone, PartialEq)]
pub enum Filter {
    /// All of them; true when empty.
    And(Vec<Filter>),
    /// Any of them; false when empty.
    Or(Vec<Filter>),
    /// Not so.
    Not(Box<Filter>),
    /// One column against a literal.
    Test(Test),
}

/// One column against a literal.
#[derive(Debug, Clone, PartialEq)]
pub struct Test {
    /// The column; a dot descends into a nested field.
    pub column: String,
    /// The comparison and what with.
    pub op: Op,
}

/// Comparisons (spec/storage.md §12.1 and what SQL users expect).
#[derive(Debug, Clone, PartialEq)]
pub enum Op {
    /// Equal.
    Eq(Value),
    /// Not equal.
    Ne(Value),
    /// Less than.
    Lt(Value),
    /// Less than or equal.
    Le(Value),
    /// Greater than.
    Gt(Value),
    /// Greater than or equal.
    Ge(Value),
    /// Between, both ends included.
    Between(Value, Value),
    /// One of.
    In(Vec<Value>),
    /// A list column that holds all of these.
    All(Vec<Value>),
    /// Text that contains this.
    Contains(String),
    /// Text that starts with this.
    StartsWith(String),
    /// Text that ends with this.
    EndsWith(String),
    /// Text that matches this regular expression somewhere.
    Regex(String),
    /// Null or NaN.
    IsNull,
    /// Values of this type.
    IsType(ValueType),
}

/// A literal.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// Null.
    Null,
    /// True or false.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A number.
    Float(f64),
    /// Text; compared with a date column it is read as a date.
    Text(String),
}

/// Types that a filter can ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ValueType {
    /// Floating point.
    Double,
    /// Whole number.
    Int,
    /// Text.
    String,
    /// True or false.
    Bool,
    /// Date or time.
    Date,
    /// List.
    Array,
    /// Nested document.
    Object,
}

impl Filter {
    /// Calls `visit` on the name of every column that the filter reads.
    pub fn visit_columns(&mut self, visit: &mut dyn FnMut(&mut String)) {
        match self {
            Filter::And(all) | Filter::Or(all) => {
                all.iter_mut().for_each(|filter| filter.visit_columns(visit));
            }
            Filter::Not(inner) => inner.visit_columns(visit),
            Filter::Test(test) => visit(&mut test.column),
        }
    }

    /// Adds the columns that the filter reads to `names`.
    pub fn columns(&self, names: &mut BTreeSet<String>) {
        match self {
            Filter::And(all) | Filter::Or(all) => {
                all.iter().for_each(|filter| filter.columns(names));
            }
            Filter::Not(inner) => inner.columns(names),
            Filter::Test(test) => {
                names.insert(test.column.clone());
            }
        }
    }
}
