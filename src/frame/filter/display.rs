//! Filters as text in the expression language, which reads it back.

use super::expression::is_bare;
use super::{Filter, Op, Test, Value};
use std::fmt::{Display, Formatter, Result, Write};

impl Display for Filter {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        match self {
            Filter::And(parts) if parts.is_empty() => f.write_str("true"),
            Filter::Or(parts) if parts.is_empty() => f.write_str("false"),
            Filter::And(parts) => joined(f, parts, " and "),
            Filter::Or(parts) => joined(f, parts, " or "),
            Filter::Not(inner) => {
                f.write_str("not ")?;
                operand(f, inner)
            }
            Filter::Test(test) => test.fmt(f),
        }
    }
}

fn joined(f: &mut Formatter<'_>, parts: &[Filter], word: &str) -> Result {
    for (index, part) in parts.iter().enumerate() {
        if index > 0 {
            f.write_str(word)?;
        }
        operand(f, part)?;
    }
    Ok(())
}

fn operand(f: &mut Formatter<'_>, filter: &Filter) -> Result {
    match filter {
        Filter::And(parts) | Filter::Or(parts) if !parts.is_empty() => write!(f, "({filter})"),
        _ => write!(f, "{filter}"),
    }
}

impl Display for Test {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        if is_bare(&self.column) {
            f.write_str(&self.column)?;
        } else {
            quoted(f, &self.column, '`')?;
        }
        match &self.op {
            Op::Eq(value) => write!(f, " = {value}"),
            Op::Ne(value) => write!(f, " != {value}"),
            Op::Lt(value) => write!(f, " < {value}"),
            Op::Le(value) => write!(f, " <= {value}"),
            Op::Gt(value) => write!(f, " > {value}"),
            Op::Ge(value) => write!(f, " >= {value}"),
            Op::Between(low, high) => write!(f, " between {low} and {high}"),
            Op::In(values) => list(f, " in (", values),
            Op::All(values) => list(f, " contains all (", values),
            Op::Contains(text) => text_operator(f, " contains ", text),
            Op::StartsWith(text) => text_operator(f, " starts with ", text),
            Op::EndsWith(text) => text_operator(f, " ends with ", text),
            Op::Regex(text) => text_operator(f, " matches ", text),
            Op::IsNull => f.write_str(" is null"),
            Op::IsType(of) => write!(f, " is {}", of.name()),
        }
    }
}

impl Display for Value {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        match self {
            Value::Null => f.write_str("null"),
            Value::Bool(value) => write!(f, "{value}"),
            Value::Int(value) => write!(f, "{value}"),
            Value::Float(value) => write!(f, "{value:?}"),
            Value::Text(text) => quoted(f, text, '\''),
        }
    }
}

fn list(f: &mut Formatter<'_>, open: &str, values: &[Value]) -> Result {
    f.write_str(open)?;
    for (index, value) in values.iter().enumerate() {
        if index > 0 {
            f.write_str(", ")?;
        }
        value.fmt(f)?;
    }
    f.write_char(')')
}

fn text_operator(f: &mut Formatter<'_>, operator: &str, text: &str) -> Result {
    f.write_str(operator)?;
    quoted(f, text, '\'')
}

fn quoted(f: &mut Formatter<'_>, text: &str, quote: char) -> Result {
    f.write_char(quote)?;
    for letter in text.chars() {
        if letter == quote {
            f.write_char(quote)?;
        }
        f.write_char(letter)?;
    }
    f.write_char(quote)
}
