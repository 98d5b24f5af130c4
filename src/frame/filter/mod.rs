//! Which rows. One tree, read from omega|ml's keywords (`qty__gte=5`) or from an
//! expression (`qty >= 5 and region in ("EU", "US")`), run by Polars or by a storage.

mod display;
mod expression;
mod keyword;
mod lexer;
mod literal;
pub(crate) mod operand;
mod order;
mod plan;
mod predicate;
#[cfg(test)]
mod tests;

pub use order::Order;
pub use predicate::finding;

use crate::error::Result;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// A condition on rows. Comparisons with null are not true, as in SQL.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
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
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Test {
    /// The column; a dot descends into a nested field.
    pub column: String,
    /// The comparison and what with.
    pub op: Op,
}

/// Comparisons (spec/storage.md §12.1 and what SQL users expect).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
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
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
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
                all.iter_mut()
                    .for_each(|filter| filter.visit_columns(visit));
            }
            Filter::Not(inner) => inner.visit_columns(visit),
            Filter::Test(test) => visit(&mut test.column),
        }
    }

    /// Reads a filter: omega|ml's `key=value` (`qty__gte=5`), or an expression
    /// (`qty >= 5 and region in ("EU", "US")`).
    ///
    /// # Errors
    /// [`crate::ErrorKind::Usage`] that says where and what was expected.
    pub fn parse(text: &str) -> Result<Filter> {
        let Some((key, value)) = keyword_parts(text) else {
            return expression::parse(text);
        };
        if key.contains("__") {
            return Filter::from_keyword(key, keyword::literal(value));
        }
        // `qty=5` means the same in both; `name=war and peace` is a keyword only.
        match expression::parse(text) {
            Ok(filter) => Ok(filter),
            Err(error) if looks_like_expression(value) => Err(error),
            Err(_) => Filter::from_keyword(key, keyword::literal(value)),
        }
    }

    /// The opposite; a double negation is undone.
    pub fn negated(self) -> Filter {
        match self {
            Filter::Not(inner) => *inner,
            filter => Filter::Not(Box::new(filter)),
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

/// Key and value of `key=value`, where nothing but one `=` stands directly after the key.
fn keyword_parts(text: &str) -> Option<(&str, &str)> {
    let (key, value) = text.trim().split_once('=')?;
    let plain = !key.is_empty()
        && !value.starts_with(['=', '~'])
        && !key.contains(|c: char| c.is_whitespace() || "<>!~()'\"`,&|".contains(c));
    plain.then_some((key, value))
}

/// Whether text after `key=` goes on as an expression rather than being a bare value.
fn looks_like_expression(value: &str) -> bool {
    let lower = value.to_lowercase();
    let joined = [" and ", " or ", "&&", "||"]
        .iter()
        .any(|word| lower.contains(word));
    joined && value.contains(['=', '<', '>', '"', '\'', '~'])
}
