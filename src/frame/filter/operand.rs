//! Parts of Polars' expressions: operands, comparisons, literals, lists of values.

use super::Order;
use polars::chunked_array::cast::CastOptions;
use polars::lazy::dsl::{AggExpr, DataTypeExpr, Operator};
use polars::prelude::{AnyValue, Expr, LiteralValue, Scalar, Series, lit};
use std::mem::discriminant;

/// The operands of nested conjunctions, or disjunctions, from left to right.
pub(crate) fn operands(expr: &Expr, conjunction: bool) -> Vec<&Expr> {
    let mut found = Vec::new();
    let mut open = vec![expr];
    while let Some(expr) = open.pop() {
        match expr {
            Expr::BinaryExpr { left, op, right }
                if match op {
                    Operator::And | Operator::LogicalAnd => conjunction,
                    Operator::Or | Operator::LogicalOr => !conjunction,
                    _ => false,
                } =>
            {
                open.push(right);
                open.push(left);
            }
            expr => found.push(expr),
        }
    }
    found
}

pub(crate) fn order(op: Operator) -> Option<Order> {
    Some(match op {
        Operator::Eq => Order::Eq,
        Operator::NotEq => Order::Ne,
        Operator::Lt => Order::Lt,
        Operator::LtEq => Order::Le,
        Operator::Gt => Order::Gt,
        Operator::GtEq => Order::Ge,
        _ => return None,
    })
}

/// The value of a literal, which the optimiser may have cast.
pub(crate) fn literal(expr: &Expr) -> Option<AnyValue<'static>> {
    match expr {
        Expr::Alias(inner, _) => literal(inner),
        Expr::Literal(LiteralValue::Scalar(scalar)) => Some(scalar.value().clone()),
        Expr::Literal(value @ LiteralValue::Dyn(untyped)) => match value.extract_str() {
            Some(text) => Some(AnyValue::StringOwned(text.into())),
            // Polars does not let the kinds of untyped literals be named.
            None => match lit(0.0_f64) {
                Expr::Literal(LiteralValue::Dyn(float))
                    if discriminant(&float) == discriminant(untyped) =>
                {
                    value.to_any_value().map(AnyValue::into_static)
                }
                _ => value.extract_i64().ok().map(AnyValue::Int64),
            },
        },
        Expr::Cast {
            expr,
            dtype: DataTypeExpr::Literal(dtype),
            ..
        } => {
            let value = literal(expr)?;
            let scalar = Scalar::new(value.dtype(), value.clone());
            let cast = scalar
                .cast_with_options(dtype, CastOptions::NonStrict)
                .ok()?;
            let cast = cast.into_value();
            (cast.is_null() == value.is_null()).then_some(cast)
        }
        _ => None,
    }
}

/// The values of a list; the optimiser may have made it of a column of them.
pub(crate) fn values(expr: &Expr) -> Option<Series> {
    let values = match expr {
        Expr::Alias(inner, _) => return values(inner),
        Expr::Agg(AggExpr::Implode { input, .. }) => return values(input),
        Expr::Literal(LiteralValue::Series(values)) => (**values).clone(),
        Expr::Literal(LiteralValue::Scalar(scalar)) => match scalar.value() {
            AnyValue::List(values) => values.clone(),
            _ => return None,
        },
        _ => return None,
    };
    let lists = values.list().ok().cloned();
    let values = match lists {
        Some(lists) if lists.len() == 1 => lists.get_as_series(0)?,
        Some(_) => return None,
        None => values,
    };
    Some(values.rechunk())
}
