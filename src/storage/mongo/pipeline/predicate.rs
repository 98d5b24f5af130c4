//! Polars' predicates as filters of MongoDB: for what Polars' optimiser hands to a source,
//! and for our own filters, which become such predicates first. So there is one meaning.
//!
//! A filter finds all documents for which the predicate is true. Where it may find more,
//! it says so: then the predicate has to be applied again.

use super::compare::compare;
use super::condition::Condition;
use super::place::Place;
use super::text::{self, Part};
use crate::frame::bson::Field;
use crate::frame::filter::Order;
use crate::frame::filter::operand::{literal, operands, order};
use bson::{Bson, doc};
use polars::lazy::dsl::{
    BooleanFunction, DataTypeExpr, FunctionExpr, ListFunction, Operator, StringFunction,
    StructFunction,
};
use polars::prelude::{AnyValue, DataType, Expr};
use std::cell::RefCell;
use std::collections::BTreeSet;

/// How deep predicates may be nested; servers have a limit.
const DEPTH: usize = 40;

/// A part of a predicate, as a condition on documents.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Pushed {
    pub condition: Condition,
    /// Whether it finds only documents for which the predicate is true.
    pub exact: bool,
}

/// Turns predicates over the columns of some documents into conditions.
pub(super) struct Translator<'a> {
    fields: &'a [Field],
    texts: Texts<'a>,
    /// Fields of text columns for which it matters.
    asked: RefCell<BTreeSet<String>>,
}

/// Which text columns hold nothing but texts and nulls.
#[derive(Debug, Clone, Copy)]
pub(super) enum Texts<'a> {
    /// All, it is supposed.
    All,
    /// Those in these fields; of others it is not known.
    In(&'a BTreeSet<String>),
}

/// One side of a comparison: a field, perhaps cast.
pub(super) struct Side {
    pub place: Place,
    pub via: Option<DataType>,
}

impl<'a> Translator<'a> {
    pub fn new(fields: &'a [Field], texts: Texts<'a>) -> Self {
        Translator {
            fields,
            texts,
            asked: RefCell::default(),
        }
    }

    /// The fields of text columns of which it mattered what they hold.
    pub fn asked(self) -> BTreeSet<String> {
        self.asked.into_inner()
    }

    /// The place of a column.
    pub fn column(&self, name: &str) -> Option<Place> {
        let field = self.fields.iter().find(|field| field.column == name)?;
        Place::of(field)
    }

    /// Whether a text column is known to hold nothing but texts and nulls.
    pub fn holds_texts(&self, place: &Place) -> bool {
        self.asked.borrow_mut().insert(place.path.clone());
        match self.texts {
            Texts::All => true,
            Texts::In(fields) => fields.contains(&place.path),
        }
    }

    /// The rows for which the predicate is true.
    pub fn predicate(&self, expr: &Expr) -> Option<Pushed> {
        self.rows(expr, true, &BTreeSet::new(), DEPTH)
    }

    /// The rows for which an expression is true, or for which it is false; what it is null
    /// for is in neither. NaN in the fields `no_nan` is left out by somebody else.
    fn rows(
        &self,
        expr: &Expr,
        want: bool,
        no_nan: &BTreeSet<String>,
        depth: usize,
    ) -> Option<Pushed> {
        let depth = depth.checked_sub(1)?;
        match expr {
            Expr::Alias(inner, _) => self.rows(inner, want, no_nan, depth),
            Expr::Literal(_) => match literal(expr)? {
                AnyValue::Boolean(value) if value == want => exact(Condition::Always),
                AnyValue::Boolean(_) | AnyValue::Null => exact(Condition::Never),
                _ => None,
            },
            Expr::BinaryExpr { left, op, right } => match op {
                Operator::And | Operator::LogicalAnd => match want {
                    true => self.every(&operands(expr, true), want, depth),
                    false => self.any(&operands(expr, true), want, depth),
                },
                Operator::Or | Operator::LogicalOr => match want {
                    true => self.any(&operands(expr, false), want, depth),
                    false => self.every(&operands(expr, false), want, depth),
                },
                op => {
                    let order = order(*op)?;
                    let (side, value, order) = match (self.side(left), literal(right)) {
                        (Some(side), Some(value)) => (side, value, order),
                        _ => (self.side(right)?, literal(left)?, order.flipped()),
                    };
                    let order = if want { order } else { order.negated() };
                    self.compared(&side, order, &value, no_nan.contains(&side.place.path))
                }
            },
            Expr::Function { input, function } => {
                self.function(input, function, want, no_nan, depth)
            }
            // A column of truth values.
            Expr::Column(_) => {
                let side = self.side(expr)?;
                self.compared(&side, Order::Eq, &AnyValue::Boolean(want), false)
            }
            _ => None,
        }
    }

    fn function(
        &self,
        input: &[Expr],
        function: &FunctionExpr,
        want: bool,
        no_nan: &BTreeSet<String>,
        depth: usize,
    ) -> Option<Pushed> {
        use BooleanFunction as B;
        match (function, input) {
            (FunctionExpr::Boolean(B::Not), [inner]) => self.rows(inner, !want, no_nan, depth),
            (FunctionExpr::Boolean(B::IsNull), [inner]) => self.null(inner, want),
            (FunctionExpr::Boolean(B::IsNotNull), [inner]) => self.null(inner, !want),
            (FunctionExpr::Boolean(B::IsNan), [inner]) => self.nan(inner, want),
            (FunctionExpr::Boolean(B::IsNotNan), [inner]) => self.nan(inner, !want),
            (FunctionExpr::Boolean(B::IsIn { nulls_equal: false }), [inner, values]) => {
                self.among(inner, values, want)
            }
            (FunctionExpr::StringExpr(function), [inner, text]) => {
                let AnyValue::StringOwned(text) = literal(text)?.into_static() else {
                    return None;
                };
                let pattern = match function {
                    StringFunction::Contains { literal: true, .. } => {
                        text::literal(&text, Part::Anywhere)
                    }
                    StringFunction::Contains { literal: false, .. } => text::pattern(&text),
                    StringFunction::StartsWith => text::literal(&text, Part::Start),
                    StringFunction::EndsWith => text::literal(&text, Part::End),
                    _ => None,
                }?;
                let Side { place, via } = self.side(inner)?;
                let is_text = place.is_text()
                    && via.map_or(place.dtype == DataType::String, |via| {
                        via == DataType::String
                    });
                let condition = text::matching(&place.path, &pattern, want);
                is_text.then(|| self.texts(&place, condition))
            }
            (
                FunctionExpr::ListExpr(ListFunction::Contains { nulls_equal: false }),
                [list, item],
            ) if want => self.holding(list, item),
            _ => None,
        }
    }

    /// Rows for which all operands are as wanted. What cannot be told in the database is
    /// left out.
    fn every(&self, operands: &[&Expr], want: bool, depth: usize) -> Option<Pushed> {
        let mut no_nan: BTreeSet<String> = BTreeSet::new();
        if want {
            let places = operands.iter().filter_map(|operand| self.not_nan(operand));
            no_nan.extend(places);
        }
        let mut done: BTreeSet<String> = BTreeSet::new();
        let mut parts = Vec::with_capacity(operands.len());
        let mut exact = true;
        for operand in operands {
            if want && self.not_nan(operand).is_some() {
                continue;
            }
            match self.rows(operand, want, &no_nan, depth) {
                Some(part) => {
                    exact &= part.exact;
                    parts.push(part.condition);
                    done.extend(self.compared_field(operand));
                }
                None => exact = false,
            }
        }
        for operand in operands {
            let left = self.not_nan(operand).filter(|_| want);
            if left.is_some_and(|path| !done.contains(&path)) {
                parts.push(self.rows(operand, want, &BTreeSet::new(), depth)?.condition);
            }
        }
        (!parts.is_empty()).then(|| Pushed {
            condition: Condition::all(parts),
            exact,
        })
    }

    /// Rows for which any operand is as wanted.
    fn any(&self, operands: &[&Expr], want: bool, depth: usize) -> Option<Pushed> {
        let mut parts = Vec::with_capacity(operands.len());
        let mut exact = true;
        for operand in operands {
            let part = self.rows(operand, want, &BTreeSet::new(), depth)?;
            exact &= part.exact;
            parts.push(part.condition);
        }
        Some(Pushed {
            condition: Condition::any(parts),
            exact,
        })
    }

    /// The field of which an expression says that it is not NaN.
    fn not_nan(&self, expr: &Expr) -> Option<String> {
        let Expr::Function { input, function } = expr else {
            return None;
        };
        match (function, input.as_slice()) {
            (FunctionExpr::Boolean(BooleanFunction::IsNotNan), [inner]) => {
                let side = self.side(inner)?;
                (side.via.is_none() && side.place.dtype.is_float()).then_some(side.place.path)
            }
            _ => None,
        }
    }

    /// The field that an expression compares with a value.
    fn compared_field(&self, expr: &Expr) -> Option<String> {
        let Expr::BinaryExpr { left, op, right } = expr else {
            return None;
        };
        order(*op)?;
        let side = self.side(left).or_else(|| self.side(right))?;
        Some(side.place.path)
    }

    /// The rows whose value compares so with `value`.
    pub fn compared(
        &self,
        side: &Side,
        order: Order,
        value: &AnyValue<'_>,
        no_nan: bool,
    ) -> Option<Pushed> {
        let place = &side.place;
        let condition = compare(place, side.via.as_ref(), order, value, no_nan)?;
        if !place.is_text() || condition == Condition::Never {
            return exact(condition);
        }
        let ordinary = value.get_str().is_some_and(text::is_ordinary);
        if order == Order::Eq && ordinary {
            // Arrays equal what they hold.
            return Some(Pushed {
                exact: self.holds_texts(place),
                condition,
            });
        }
        Some(self.texts(place, condition))
    }

    /// A condition on texts, for a column that may hold other values: these are found too.
    fn texts(&self, place: &Place, condition: Condition) -> Pushed {
        match self.holds_texts(place) {
            true => Pushed {
                condition,
                exact: true,
            },
            false => Pushed {
                condition: Condition::any([condition, other_than_text(place)]),
                exact: false,
            },
        }
    }

    fn null(&self, inner: &Expr, want: bool) -> Option<Pushed> {
        let Side { place, via: None } = self.side(inner)? else {
            return None;
        };
        let path = place.path.clone();
        if place.dtype.is_list() {
            let array = Bson::from("array");
            return exact(match want {
                true => Condition::Op(path, "$not", doc! { "$type": array }.into()),
                false => Condition::Op(path, "$type", array),
            });
        }
        let nulls = place.nulls()?;
        let condition = match want {
            true => Condition::In(path, nulls),
            false => Condition::NotIn(path, nulls),
        };
        match place.is_text() {
            true => Some(self.texts(&place, condition)),
            false => exact(condition),
        }
    }

    fn nan(&self, inner: &Expr, want: bool) -> Option<Pushed> {
        let Side { place, via: None } = self.side(inner)? else {
            return None;
        };
        let order = if want { Order::Eq } else { Order::Ne };
        let nan = AnyValue::Float64(f64::NAN);
        match place.dtype {
            DataType::Float64 => exact(compare(&place, None, order, &nan, false)?),
            DataType::Float32 => {
                let double = Place {
                    dtype: DataType::Float64,
                    ..place
                };
                exact(compare(&double, None, order, &nan, false)?)
            }
            _ => None,
        }
    }

    /// The field that an expression is about.
    pub fn side(&self, expr: &Expr) -> Option<Side> {
        match expr {
            Expr::Alias(inner, _) => self.side(inner),
            Expr::Cast {
                expr,
                dtype: DataTypeExpr::Literal(dtype),
                ..
            } => {
                let side = self.side(expr).filter(|side| side.via.is_none())?;
                let via = (side.place.dtype != *dtype).then(|| dtype.clone());
                Some(Side { via, ..side })
            }
            expr => Some(Side {
                place: self.place(expr)?,
                via: None,
            }),
        }
    }

    fn place(&self, expr: &Expr) -> Option<Place> {
        match expr {
            Expr::Column(name) => self.column(name),
            Expr::Function {
                input,
                function: FunctionExpr::StructExpr(StructFunction::FieldByName(name)),
            } => self.place(input.first()?)?.inside(name),
            _ => None,
        }
    }
}

fn exact(condition: Condition) -> Option<Pushed> {
    Some(Pushed {
        condition,
        exact: true,
    })
}

/// Documents whose value a text column turns into text.
fn other_than_text(place: &Place) -> Condition {
    Condition::Op(place.path.clone(), "$type", Place::no_text())
}
