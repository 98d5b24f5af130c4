//! Comparisons of a column with a value, as Polars makes them: null is neither true nor
//! false, NaN equals itself and is the largest number.

use super::condition::Condition;
use super::place::{DAY, Place, per_milli};
use crate::frame::filter::Order;
use bson::{Bson, DateTime};
use polars::prelude::{AnyValue, DataType};

/// From here on a double cannot tell whole numbers apart.
const EXACT: f64 = 9_007_199_254_740_992.0;

/// MongoDB's word for it.
fn operator(order: Order) -> &'static str {
    match order {
        Order::Eq => "$eq",
        Order::Ne => "$ne",
        Order::Lt => "$lt",
        Order::Le => "$lte",
        Order::Gt => "$gt",
        Order::Ge => "$gte",
    }
}

/// The documents whose value at `place` compares so with `value`; none where the database
/// would compare otherwise. `via` is the type that Polars casts the column to before;
/// with `no_nan` the caller leaves NaN out. Texts are compared as if all values were texts.
pub(super) fn compare(
    place: &Place,
    via: Option<&DataType>,
    order: Order,
    value: &AnyValue<'_>,
    no_nan: bool,
) -> Option<Condition> {
    use DataType as D;
    if value.is_null() {
        return Some(Condition::Never);
    }
    match (&place.dtype, via) {
        (D::Boolean, None) => match value {
            AnyValue::Boolean(value) => truth(place, order, *value),
            _ => None,
        },
        (D::Float64, None | Some(D::Float64)) => float(place, order, double(value)?, no_nan),
        (D::Float32, None | Some(D::Float32)) => single(place, order, double(value)?, no_nan),
        (dtype, via) if dtype.is_integer() => {
            let whole = via.is_none_or(|via| holds(via, dtype));
            match (whole, via) {
                (true, _) if value.dtype().is_integer() => {
                    plain(place, order, Bson::Int64(value.extract::<i64>()?))
                }
                (true, None) | (false, Some(D::Float64)) if value.dtype().is_float() => {
                    let value = value.extract::<f64>()?;
                    // Polars compares as floating point, which is exact up to here.
                    (value.abs() < EXACT)
                        .then(|| plain(place, order, Bson::Double(value)))
                        .flatten()
                }
                _ => None,
            }
        }
        (D::Date, None | Some(D::Datetime(_, None))) => {
            let (ticks, per_day) = match value {
                AnyValue::Date(days) if via.is_none() => (i64::from(*days), 1),
                value => {
                    let (ticks, per_milli) = instant(value)?;
                    (ticks, per_milli.checked_mul(DAY)?)
                }
            };
            match unit(order, ticks, per_day) {
                Step::Order(order, day) => date(place, order, day),
                Step::Known(truth) => known(place, truth),
            }
        }
        (D::Datetime(_, zone), via) => {
            let same = match via {
                None => true,
                Some(D::Datetime(_, other)) => other == zone,
                Some(_) => false,
            };
            let (ticks, per_milli) = instant(value).filter(|_| same)?;
            match unit(order, ticks, per_milli) {
                Step::Order(order, millis) => {
                    plain(place, order, Bson::DateTime(DateTime::from_millis(millis)))
                }
                Step::Known(truth) => known(place, truth),
            }
        }
        (D::Time, None) => match value {
            AnyValue::Time(nanos) => plain(place, order, Bson::Int64(*nanos)),
            _ => None,
        },
        (D::Duration(unit), None) => match value {
            AnyValue::Duration(ticks, of) if of == unit => plain(place, order, Bson::Int64(*ticks)),
            _ => None,
        },
        (D::String, None | Some(D::String))
        | (D::Categorical(..) | D::Enum(..), Some(D::String)) => {
            let text = value.get_str().filter(|text| !text.contains('\0'))?;
            plain(place, order, Bson::from(text))
        }
        _ => None,
    }
}

/// The values that are not null, or none of them.
fn known(place: &Place, truth: bool) -> Option<Condition> {
    match truth {
        true => Some(Condition::NotIn(place.path.clone(), place.nulls()?)),
        false => Some(Condition::Never),
    }
}

/// A comparison that the database makes alike.
fn plain(place: &Place, order: Order, value: Bson) -> Option<Condition> {
    let path = place.path.clone();
    Some(match order {
        Order::Eq => Condition::In(path, vec![value]),
        Order::Ne => {
            let mut others = vec![value];
            others.extend(place.nulls()?);
            Condition::NotIn(path, others)
        }
        order => Condition::Op(path, operator(order), value),
    })
}

fn truth(place: &Place, order: Order, value: bool) -> Option<Condition> {
    let holds = |own: bool| match order {
        Order::Eq => own == value,
        Order::Ne => own != value,
        Order::Lt => !own & value,
        Order::Le => own <= value,
        Order::Gt => own & !value,
        Order::Ge => own >= value,
    };
    let values: Vec<Bson> = [false, true]
        .into_iter()
        .filter(|own| holds(*own))
        .map(Bson::from)
        .collect();
    Some(match values.is_empty() {
        true => Condition::Never,
        false => Condition::In(place.path.clone(), values),
    })
}

fn nan(place: &Place) -> Condition {
    Condition::In(place.path.clone(), vec![Bson::Double(f64::NAN)])
}

fn float(place: &Place, order: Order, value: f64, no_nan: bool) -> Option<Condition> {
    if value.is_nan() {
        return match order {
            _ if no_nan => None,
            Order::Eq => Some(nan(place)),
            Order::Ne => plain(place, order, Bson::Double(value)),
            _ => None,
        };
    }
    let compared = plain(place, order, Bson::Double(value))?;
    Some(with_nan(place, order, compared, no_nan))
}

/// The database finds NaN neither less nor greater than a number, and unequal to it.
fn with_nan(place: &Place, order: Order, compared: Condition, no_nan: bool) -> Condition {
    match order {
        Order::Gt | Order::Ge if !no_nan => Condition::any([compared, nan(place)]),
        Order::Ne if no_nan => Condition::all([
            compared,
            Condition::NotIn(place.path.clone(), vec![Bson::Double(f64::NAN)]),
        ]),
        _ => compared,
    }
}

/// Documents hold doubles, which become single precision when they are read: compared is
/// with the doubles that become the value.
fn single(place: &Place, order: Order, value: f64, no_nan: bool) -> Option<Condition> {
    let value = Some(value as f32).filter(|single| f64::from(*single) == value)?;
    let (below, above) = (value.next_down(), value.next_up());
    if !below.is_finite() || !above.is_finite() {
        return None;
    }
    let edge = |neighbour: f32| (f64::from(value) + f64::from(neighbour)) / 2.0;
    let (mut low, mut high) = (edge(below), edge(above));
    if low as f32 != value {
        low = low.next_up();
    }
    if high as f32 != value {
        high = high.next_down();
    }
    let op = |operator, bound| Condition::Op(place.path.clone(), operator, Bson::Double(bound));
    let compared = match order {
        Order::Eq => Condition::all([op("$gte", low), op("$lte", high)]),
        Order::Ne => {
            let other = Condition::any([op("$lt", low), op("$gt", high)]);
            return Some(match no_nan {
                true => other,
                false => Condition::any([other, nan(place)]),
            });
        }
        Order::Lt => op("$lt", low),
        Order::Le => op("$lte", high),
        Order::Gt => op("$gt", high),
        Order::Ge => op("$gte", low),
    };
    Some(with_nan(place, order, compared, no_nan))
}

/// Days are whole days of instants, should another program have stored some.
fn date(place: &Place, order: Order, day: i64) -> Option<Condition> {
    let start = day.checked_mul(DAY)?;
    let end = start.checked_add(DAY)?;
    let op = |operator, millis| {
        let date = Bson::DateTime(DateTime::from_millis(millis));
        Condition::Op(place.path.clone(), operator, date)
    };
    Some(match order {
        Order::Eq => Condition::all([op("$gte", start), op("$lt", end)]),
        Order::Ne => Condition::any([op("$lt", start), op("$gte", end)]),
        Order::Lt => op("$lt", start),
        Order::Le => op("$lt", end),
        Order::Gt => op("$gte", end),
        Order::Ge => op("$gte", start),
    })
}

/// A comparison in a coarser unit.
enum Step {
    Order(Order, i64),
    /// True, or false, of every value.
    Known(bool),
}

/// Whole units compared with `ticks`, of which `per` are a unit.
fn unit(order: Order, ticks: i64, per: i64) -> Step {
    let (whole, rest) = (ticks.div_euclid(per), ticks.rem_euclid(per));
    match (rest, order) {
        (0, order) => Step::Order(order, whole),
        (_, Order::Eq) => Step::Known(false),
        (_, Order::Ne) => Step::Known(true),
        (_, Order::Lt | Order::Le) => Step::Order(Order::Le, whole),
        (_, Order::Gt | Order::Ge) => Step::Order(Order::Gt, whole),
    }
}

/// Ticks of a point in time, and how many are a millisecond.
fn instant(value: &AnyValue<'_>) -> Option<(i64, i64)> {
    match value {
        AnyValue::Datetime(ticks, unit, _) | AnyValue::DatetimeOwned(ticks, unit, _) => {
            Some((*ticks, per_milli(*unit)))
        }
        _ => None,
    }
}

/// A number that a double holds exactly.
fn double(value: &AnyValue<'_>) -> Option<f64> {
    let dtype = value.dtype();
    let number = value.extract::<f64>()?;
    match dtype.is_integer() {
        true => (number.abs() <= EXACT).then_some(number),
        false => dtype.is_float().then_some(number),
    }
}

/// Whether every whole number of the type `inner` is one of `outer`.
fn holds(outer: &DataType, inner: &DataType) -> bool {
    let bits = |dtype: &DataType| match dtype {
        DataType::Int8 | DataType::UInt8 => Some(8),
        DataType::Int16 | DataType::UInt16 => Some(16),
        DataType::Int32 | DataType::UInt32 => Some(32),
        DataType::Int64 | DataType::UInt64 => Some(64),
        _ => None,
    };
    match (bits(outer), bits(inner)) {
        (Some(wide), Some(narrow)) => {
            match (outer.is_unsigned_integer(), inner.is_unsigned_integer()) {
                (false, true) => wide > narrow,
                (true, false) => false,
                _ => wide >= narrow,
            }
        }
        _ => false,
    }
}
