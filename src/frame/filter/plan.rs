//! Filters as Polars expressions. Names and types are checked against the schema here,
//! so that what Polars gets is valid.
//!
//! Null and NaN compare as neither true nor false. `not` is pushed down to the
//! comparisons, which keeps them in the form that Parquet statistics can answer.

use super::literal::comparable;
use super::{Filter, Op, Order, Test, Value, ValueType};
use crate::error::{Error, Result};
use crate::frame::columns::{column, unknown_column};
use crate::frame::dtype::pandas_name;
use polars::prelude::{DataType, Expr, Schema, lit};

/// Longest pattern, in bytes.
const MAX_PATTERN: usize = 1_000;
/// Memory of a compiled pattern, in bytes.
const MAX_COMPILED: usize = 1 << 20;

impl Filter {
    /// The filter as a Polars expression over frames of this schema.
    ///
    /// # Errors
    /// [`crate::ErrorKind::NotFound`] for a column that is not there;
    /// [`crate::ErrorKind::Usage`] where column type and value do not compare.
    pub fn to_expr(&self, schema: &Schema) -> Result<Expr> {
        plan(self, schema, false)
    }
}

fn plan(filter: &Filter, schema: &Schema, negate: bool) -> Result<Expr> {
    let all = |parts: &[Filter]| -> Result<Vec<Expr>> {
        parts
            .iter()
            .map(|part| plan(part, schema, negate))
            .collect()
    };
    Ok(match filter {
        Filter::And(parts) if negate => any_of(all(parts)?),
        Filter::And(parts) => all_of(all(parts)?),
        Filter::Or(parts) if negate => all_of(all(parts)?),
        Filter::Or(parts) => any_of(all(parts)?),
        Filter::Not(inner) => plan(inner, schema, !negate)?,
        Filter::Test(test) => Target::of(&test.column, schema)?.test(test, negate)?,
    })
}

/// The column of a test.
struct Target<'a> {
    name: &'a str,
    expr: Expr,
    dtype: DataType,
}

impl<'a> Target<'a> {
    fn of(name: &'a str, schema: &Schema) -> Result<Target<'a>> {
        if let Some(dtype) = schema.get(name) {
            return Ok(Target {
                name,
                expr: column(name),
                dtype: dtype.clone(),
            });
        }
        // A column name may itself hold dots or `__`: the longest that exists is taken.
        for (dot, _) in name.rmatch_indices('.') {
            let (head, path) = (name.get(..dot), name.get(dot + 1..));
            if let (Some(head), Some(path)) = (head, path)
                && let Some(dtype) = schema.get(head)
            {
                return Target {
                    name,
                    expr: column(head),
                    dtype: dtype.clone(),
                }
                .field(path);
            }
        }
        let joined = name.replace('.', "__");
        match schema.get(&joined) {
            Some(dtype) => Ok(Target {
                name,
                expr: column(&joined),
                dtype: dtype.clone(),
            }),
            None => Err(unknown_column(
                name,
                schema.iter_names().map(|name| name.as_str()),
            )),
        }
    }

    /// Descends into the fields of a nested column.
    fn field(mut self, path: &str) -> Result<Self> {
        let mut rest = Some(path);
        while let Some(path) = rest {
            let DataType::Struct(fields) = &self.dtype else {
                return Err(Error::not_found(format!("there is no column `{}`", self.name))
                    .hint("only nested columns have fields; operators stand after two underscores: qty__gte=5"));
            };
            let whole = fields.iter().find(|field| field.name() == path);
            let (field, left) = match (whole, path.split_once('.')) {
                (Some(field), _) => (Some(field), None),
                (None, Some((head, left))) => {
                    (fields.iter().find(|field| field.name() == head), Some(left))
                }
                (None, None) => (None, None),
            };
            let Some(field) = field else {
                return Err(unknown_column(
                    path,
                    fields.iter().map(|field| field.name().as_str()),
                ));
            };
            let dtype = field.dtype().clone();
            self.expr = self.expr.struct_().field_by_name(field.name());
            self.dtype = dtype;
            rest = left;
        }
        Ok(self)
    }

    fn test(self, test: &Test, negate: bool) -> Result<Expr> {
        let order = |order: Order| if negate { order.negated() } else { order };
        match &test.op {
            Op::IsNull => Ok(self.is_null(negate)),
            Op::IsType(of) => Ok(self.is_type(*of, negate)),
            Op::Eq(Value::Null) => Ok(self.is_null(negate)),
            Op::Ne(Value::Null) => Ok(self.is_null(!negate)),
            // A column of nothing but nulls: no comparison is true.
            _ if self.dtype == DataType::Null => Ok(lit(false)),
            Op::Eq(value) if self.dtype.is_list() => {
                self.holds(std::slice::from_ref(value), negate)
            }
            Op::Ne(value) if self.dtype.is_list() => {
                self.holds(std::slice::from_ref(value), !negate)
            }
            Op::Eq(value) => self.compare(order(Order::Eq), value),
            Op::Ne(value) => self.compare(order(Order::Ne), value),
            Op::Lt(value) => self.compare(order(Order::Lt), value),
            Op::Le(value) => self.compare(order(Order::Le), value),
            Op::Gt(value) => self.compare(order(Order::Gt), value),
            Op::Ge(value) => self.compare(order(Order::Ge), value),
            Op::Between(low, high) if negate => Ok(self
                .compare(Order::Lt, low)?
                .or(self.compare(Order::Gt, high)?)),
            Op::Between(low, high) => Ok(self
                .compare(Order::Ge, low)?
                .and(self.compare(Order::Le, high)?)),
            Op::In(values) => self.among(values, negate),
            Op::All(values) => self.holds(values, negate),
            Op::Contains(text) => {
                let column = self.text("contains")?;
                Ok(switched(
                    column.str().contains_literal(lit(text.clone())),
                    negate,
                ))
            }
            Op::StartsWith(text) => {
                let column = self.text("starts with")?;
                Ok(switched(
                    column.str().starts_with(lit(text.clone())),
                    negate,
                ))
            }
            Op::EndsWith(text) => {
                let column = self.text("ends with")?;
                Ok(switched(column.str().ends_with(lit(text.clone())), negate))
            }
            Op::Regex(pattern) => {
                check_pattern(pattern)?;
                let column = self.text("matches")?;
                Ok(switched(
                    column.str().contains(lit(pattern.clone()), true),
                    negate,
                ))
            }
        }
    }

    fn compare(&self, order: Order, value: &Value) -> Result<Expr> {
        if *value == Value::Null {
            return Err(
                Error::usage("null has no order").hint(format!("use: {} is null", self.name))
            );
        }
        let sides = comparable(self.name, self.expr.clone(), &self.dtype, value)?;
        let (left, right) = (sides.column, sides.literal);
        let compared = match order {
            Order::Eq => return Ok(left.eq(right)),
            Order::Ne => left.neq(right),
            // Polars sorts NaN above all numbers, so it is never less.
            Order::Lt => return Ok(left.lt(right)),
            Order::Le => return Ok(left.lt_eq(right)),
            Order::Gt => left.gt(right),
            Order::Ge => left.gt_eq(right),
        };
        Ok(if self.dtype.is_float() {
            compared.and(self.expr.clone().is_not_nan())
        } else {
            compared
        })
    }

    fn among(&self, values: &[Value], negate: bool) -> Result<Expr> {
        let tests = values
            .iter()
            .map(|value| match value {
                Value::Null => Ok(self.is_null(negate)),
                value if self.dtype.is_list() => self.holds(std::slice::from_ref(value), negate),
                value => self.compare(if negate { Order::Ne } else { Order::Eq }, value),
            })
            .collect::<Result<Vec<Expr>>>()?;
        Ok(if negate { all_of(tests) } else { any_of(tests) })
    }

    /// A list column that holds all of the values.
    fn holds(&self, values: &[Value], negate: bool) -> Result<Expr> {
        let DataType::List(inner) = &self.dtype else {
            return Err(Error::usage(format!(
                "column `{}` is {} and holds no lists",
                self.name,
                pandas_name(&self.dtype)
            ))
            .hint(format!("use: {} in (…)", self.name)));
        };
        let tests = values
            .iter()
            .map(|value| {
                let literal = comparable(self.name, self.expr.clone(), inner, value)?.literal;
                let held = self
                    .expr
                    .clone()
                    .list()
                    .contains(literal.cast((**inner).clone()), false);
                Ok(switched(held, negate))
            })
            .collect::<Result<Vec<Expr>>>()?;
        Ok(if negate { any_of(tests) } else { all_of(tests) })
    }

    fn text(&self, operator: &str) -> Result<Expr> {
        match &self.dtype {
            DataType::String => Ok(self.expr.clone()),
            DataType::Categorical(..) | DataType::Enum(..) => {
                Ok(self.expr.clone().cast(DataType::String))
            }
            dtype => Err(Error::usage(format!(
                "column `{}` is {} and not text, as `{operator}` needs",
                self.name,
                pandas_name(dtype)
            ))),
        }
    }

    fn is_null(&self, negate: bool) -> Expr {
        let column = self.expr.clone();
        match (self.dtype.is_float(), negate) {
            (true, false) => column.clone().is_null().or(column.is_nan()),
            (true, true) => column.clone().is_not_null().and(column.is_not_nan()),
            (false, false) => column.is_null(),
            (false, true) => column.is_not_null(),
        }
    }

    fn is_type(&self, of: ValueType, negate: bool) -> Expr {
        let dtype = &self.dtype;
        let matches = match of {
            ValueType::Double => dtype.is_float(),
            ValueType::Int => dtype.is_integer(),
            ValueType::String => {
                matches!(
                    dtype,
                    DataType::String | DataType::Categorical(..) | DataType::Enum(..)
                )
            }
            ValueType::Bool => *dtype == DataType::Boolean,
            ValueType::Date => matches!(
                dtype,
                DataType::Date | DataType::Datetime(..) | DataType::Time
            ),
            ValueType::Array => dtype.is_list() || dtype.is_array(),
            ValueType::Object => matches!(dtype, DataType::Struct(_)),
        };
        match (matches, negate) {
            (true, false) => self.expr.clone().is_not_null(),
            (true, true) => self.expr.clone().is_null(),
            (false, negate) => lit(negate),
        }
    }
}

fn switched(expr: Expr, negate: bool) -> Expr {
    if negate { expr.not() } else { expr }
}

fn check_pattern(pattern: &str) -> Result<()> {
    if pattern.len() > MAX_PATTERN {
        return Err(Error::usage(format!(
            "the pattern is longer than {MAX_PATTERN} bytes"
        )));
    }
    regex::RegexBuilder::new(pattern)
        .size_limit(MAX_COMPILED)
        .build()
        .map(|_| ())
        .map_err(|error| {
            Error::usage(format!("`{pattern}` is not a valid pattern"))
                .because(error)
                .hint("patterns are regular expressions without look-around and back-references")
        })
}

/// The conjunction as a balanced tree: Polars descends into expressions recursively.
fn all_of(exprs: Vec<Expr>) -> Expr {
    balanced(exprs, Expr::and).unwrap_or_else(|| lit(true))
}

fn any_of(exprs: Vec<Expr>) -> Expr {
    balanced(exprs, Expr::or).unwrap_or_else(|| lit(false))
}

fn balanced(mut exprs: Vec<Expr>, join: fn(Expr, Expr) -> Expr) -> Option<Expr> {
    while exprs.len() > 1 {
        let mut pairs = Vec::with_capacity(exprs.len().div_ceil(2));
        let mut each = exprs.into_iter();
        while let Some(left) = each.next() {
            pairs.push(match each.next() {
                Some(right) => join(left, right),
                None => left,
            });
        }
        exprs = pairs;
    }
    exprs.pop()
}
