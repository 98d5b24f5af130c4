//! Filters of what Polars' optimiser hands to a source, for sources that are asked with
//! filters.

use super::operand::{literal, operands, order, values};
use super::{Filter, Op, Order, Test, Value};
use crate::frame::instant::{Instant, date_text, timestamp_text};
use polars::lazy::dsl::{BooleanFunction, FunctionExpr, Operator, StringFunction};
use polars::prelude::{AnyValue, DataType, Expr, Schema, TimeUnit};

/// How deep predicates may be nested.
const DEPTH: usize = 40;

/// The longest list of values.
const VALUES: usize = 1_000;

/// A filter that finds all rows for which `predicate` is true, and perhaps others: it has to
/// be applied again. None where nothing can be said of them.
pub fn finding(predicate: &Expr, schema: &Schema) -> Option<Filter> {
    let filter = found(predicate, true, schema, DEPTH)?;
    filter.to_expr(schema).ok().map(|_| filter)
}

/// The rows for which an expression is true, or for which it is false.
fn found(expr: &Expr, want: bool, schema: &Schema, depth: usize) -> Option<Filter> {
    let depth = depth.checked_sub(1)?;
    let every = |conjunction: bool| {
        let parts = operands(expr, conjunction).into_iter();
        let parts = parts.filter_map(|part| found(part, want, schema, depth));
        Some(Filter::And(parts.collect())).filter(|all| *all != Filter::And(Vec::new()))
    };
    let any = |conjunction: bool| {
        let parts = operands(expr, conjunction).into_iter();
        let parts = parts.map(|part| found(part, want, schema, depth));
        Some(Filter::Or(parts.collect::<Option<_>>()?))
    };
    match expr {
        Expr::Alias(inner, _) => found(inner, want, schema, depth),
        Expr::BinaryExpr { left, op, right } => match op {
            Operator::And | Operator::LogicalAnd if want => every(true),
            Operator::And | Operator::LogicalAnd => any(true),
            Operator::Or | Operator::LogicalOr if want => any(false),
            Operator::Or | Operator::LogicalOr => every(false),
            op => {
                let order = order(*op)?;
                let (column, value, order) = match (Column::of(left, schema), literal(right)) {
                    (Some(column), Some(value)) => (column, value, order),
                    _ => (Column::of(right, schema)?, literal(left)?, order.flipped()),
                };
                let order = if want { order } else { order.negated() };
                column.compared(order, &value)
            }
        },
        Expr::Column(_) => Column::of(expr, schema)?.compared(Order::Eq, &AnyValue::Boolean(want)),
        Expr::Function { input, function } => called(function, input, want, schema, depth),
        _ => None,
    }
}

fn called(
    function: &FunctionExpr,
    input: &[Expr],
    want: bool,
    schema: &Schema,
    depth: usize,
) -> Option<Filter> {
    use BooleanFunction as B;
    match (function, input) {
        (FunctionExpr::Boolean(B::Not), [inner]) => found(inner, !want, schema, depth),
        (FunctionExpr::Boolean(B::IsNull), [inner]) => Column::of(inner, schema)?.null(want),
        (FunctionExpr::Boolean(B::IsNotNull), [inner]) => Column::of(inner, schema)?.null(!want),
        (FunctionExpr::Boolean(B::IsIn { nulls_equal: false }), [inner, list]) if want => {
            let column = Column::of(inner, schema)?;
            let list = values(list).filter(|list| list.len() <= VALUES)?;
            let values = list.iter().filter(|value| !value.is_null());
            let values = values.map(|value| column.value(&value));
            Some(column.test(Op::In(values.collect::<Option<_>>()?)))
        }
        (FunctionExpr::StringExpr(function), [inner, text]) if want => {
            let column = Column::of(inner, schema)?;
            let text = match literal(text)?.into_static() {
                AnyValue::StringOwned(text) => text.to_string(),
                _ => return None,
            };
            Some(column.test(match function {
                StringFunction::Contains { literal: true, .. } => Op::Contains(text),
                StringFunction::Contains { literal: false, .. } => Op::Regex(text),
                StringFunction::StartsWith => Op::StartsWith(text),
                StringFunction::EndsWith => Op::EndsWith(text),
                _ => return None,
            }))
        }
        _ => None,
    }
}

/// A column, as it is.
struct Column<'a> {
    name: &'a str,
    dtype: &'a DataType,
}

impl<'a> Column<'a> {
    fn of(expr: &'a Expr, schema: &'a Schema) -> Option<Self> {
        match expr {
            Expr::Alias(inner, _) => Column::of(inner, schema),
            Expr::Column(name) => Some(Column {
                name,
                dtype: schema.get(name)?,
            }),
            _ => None,
        }
    }

    fn test(&self, op: Op) -> Filter {
        Filter::Test(Test {
            column: self.name.to_owned(),
            op,
        })
    }

    /// For Polars NaN is the greatest number, for filters it is like null.
    fn compared(&self, order: Order, value: &AnyValue) -> Option<Filter> {
        let value = self.value(value)?;
        let may_be_nan =
            self.dtype.is_float() && matches!(order, Order::Ne | Order::Gt | Order::Ge);
        let test = self.test(match order {
            Order::Eq => Op::Eq(value),
            Order::Ne => Op::Ne(value),
            Order::Lt => Op::Lt(value),
            Order::Le => Op::Le(value),
            Order::Gt => Op::Gt(value),
            Order::Ge => Op::Ge(value),
        });
        Some(match may_be_nan {
            true => Filter::Or(vec![test, self.test(Op::IsNull)]),
            false => test,
        })
    }

    fn null(&self, want: bool) -> Option<Filter> {
        let null = self.test(Op::IsNull);
        match (want, self.dtype.is_float()) {
            (true, _) => Some(null),
            (false, false) => Some(Filter::Not(Box::new(null))),
            (false, true) => None,
        }
    }

    /// A value that a filter compares with the column as Polars does.
    fn value(&self, value: &AnyValue) -> Option<Value> {
        // Filters know years of four digits.
        let time = |text: String| {
            let known = Instant::parse(text.as_bytes()).is_some();
            known.then_some(Value::Text(text))
        };
        match (self.dtype, value) {
            (DataType::Boolean, AnyValue::Boolean(value)) => Some(Value::Bool(*value)),
            (DataType::String, AnyValue::String(text)) => Some(Value::Text((*text).to_owned())),
            (DataType::String, AnyValue::StringOwned(text)) => Some(Value::Text(text.to_string())),
            (DataType::Float64, AnyValue::Float64(value)) if !value.is_nan() => {
                Some(Value::Float(*value))
            }
            (DataType::Float32, AnyValue::Float32(value)) if !value.is_nan() => {
                Some(Value::Float(f64::from(*value)))
            }
            (dtype, value) if dtype.is_integer() && value.dtype().is_integer() => {
                value.try_extract::<i64>().ok().map(Value::Int)
            }
            (DataType::Date, AnyValue::Date(days)) => time(date_text(i64::from(*days))),
            (DataType::Datetime(_, None), value) => {
                let (at, unit) = match value {
                    AnyValue::Datetime(at, unit, None) => (*at, *unit),
                    AnyValue::DatetimeOwned(at, unit, None) => (*at, *unit),
                    _ => return None,
                };
                match unit {
                    TimeUnit::Nanoseconds if at % 1_000 != 0 => None,
                    unit => time(timestamp_text(at, unit)),
                }
            }
            _ => None,
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use polars::prelude::*;
    use proptest::prelude::*;

    fn rows() -> DataFrame {
        let days = Series::new("day".into(), [Some(0_i32), Some(19_000), None, Some(-5)]);
        let at = Series::new(
            "at".into(),
            [Some(0_i64), Some(1_700_000_000_123_456), None, Some(-1)],
        );
        df!(
            "i" => [Some(1_i64), Some(-3), None, Some(i64::MAX)],
            "u" => [Some(0_u64), Some(u64::MAX), None, Some(7)],
            "f" => [Some(0.5), Some(f64::NAN), None, Some(-2.0)],
            "s" => [Some("a"), Some("b%c"), None, Some("")],
            "b" => [Some(true), Some(false), None, Some(true)],
            "day" => days.cast(&DataType::Date).unwrap(),
            "at" => at.cast(&DataType::Datetime(TimeUnit::Microseconds, None)).unwrap(),
        )
        .unwrap()
    }

    fn numbered(frame: LazyFrame, condition: Expr) -> Vec<u32> {
        let frame = frame.with_row_index("#", None).filter(condition);
        let frame = frame.select([col("#")]).collect().unwrap();
        frame
            .column("#")
            .unwrap()
            .u32()
            .unwrap()
            .into_no_null_iter()
            .collect()
    }

    /// Whether a filter is found, and finds all rows of the predicate.
    fn covers(predicate: &Expr) -> bool {
        let rows = rows();
        let Some(filter) = finding(predicate, rows.schema()) else {
            return false;
        };
        let wanted = numbered(rows.clone().lazy(), predicate.clone());
        let got = numbered(rows.clone().lazy(), filter.to_expr(rows.schema()).unwrap());
        let missed = wanted.iter().any(|row| !got.contains(row));
        assert!(!missed, "{predicate}: {wanted:?}, {filter}: {got:?}");
        true
    }

    fn day(days: i32) -> Expr {
        lit(Scalar::new(DataType::Date, AnyValue::Date(days)))
    }

    #[test]
    fn what_can_be_said_is_said() {
        for predicate in [
            col("i")
                .gt(lit(0_i64))
                .and(col("s").str().len_chars().gt(lit(3))),
            lit(0_i64).lt(col("i")),
            col("f").gt_eq(lit(0.0)),
            col("f").lt(lit(0.0)).not(),
            col("f").neq(lit(0.5)),
            col("f").is_null(),
            col("s").is_not_null().and(col("b")),
            col("b").not(),
            col("s").str().starts_with(lit("b")),
            col("s").str().contains(lit("^b."), true),
            col("s").eq(lit("a")).or(col("u").eq(lit(7_u64))),
            col("day").gt_eq(day(0)),
            col("i").is_in(
                lit(Series::new("".into(), [1_i64, 4])).implode(false),
                false,
            ),
        ] {
            assert!(covers(&predicate), "{predicate}");
        }
        for predicate in [
            col("i").gt(col("u")),
            col("s")
                .str()
                .len_chars()
                .gt(lit(3))
                .or(col("i").gt(lit(0_i64))),
            col("f").is_not_null(),
            col("f").gt(lit(f64::NAN)),
            col("none").gt(lit(1)),
        ] {
            assert_eq!(finding(&predicate, rows().schema()), None, "{predicate}");
        }
    }

    fn comparison() -> impl Strategy<Value = Expr> {
        let column = prop_oneof![
            (-4_i64..4).prop_map(|value| (col("i"), lit(value))),
            (0_u64..9).prop_map(|value| (col("u"), lit(value))),
            (-3.0_f64..2.0).prop_map(|value| (col("f"), lit(value))),
            "[ab%c]{0,3}".prop_map(|value| (col("s"), lit(value))),
            any::<bool>().prop_map(|value| (col("b"), lit(value))),
            (-9_i32..20_000).prop_map(|value| (col("day"), day(value))),
            any::<i32>().prop_map(|value| (
                col("at"),
                lit(Scalar::new(
                    DataType::Datetime(TimeUnit::Microseconds, None),
                    AnyValue::Datetime(i64::from(value) * 1_000, TimeUnit::Microseconds, None),
                ))
            )),
        ];
        (column, 0..8).prop_map(|((column, value), how)| match how {
            0 => column.eq(value),
            1 => column.neq(value),
            2 => column.lt(value),
            3 => column.lt_eq(value),
            4 => column.gt(value),
            5 => value.gt_eq(column),
            6 => column.is_null(),
            _ => column.is_not_null(),
        })
    }

    proptest! {
        #[test]
        fn no_row_is_missed(
            parts in proptest::collection::vec((comparison(), any::<bool>(), any::<bool>()), 1..6)
        ) {
            let mut parts = parts.into_iter();
            let (mut predicate, ..) = parts.next().unwrap();
            for (part, and, not) in parts {
                predicate = if and { predicate.and(part) } else { predicate.or(part) };
                predicate = if not { predicate.not() } else { predicate };
            }
            covers(&predicate);
        }
    }
}
