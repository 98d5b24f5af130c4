//! numpy's arrays and scalars in pickles, of numpy 1 and 2 (spec/runtime.md §4).

use super::pickle::{Made, Object, Value};
use super::times::Time;
use crate::error::{Error, Result};
use std::sync::Arc;

/// The items of an array.
#[derive(Debug, Clone, PartialEq)]
enum Items {
    /// Raw, as numpy lays them out.
    Raw(Arc<[u8]>),
    /// Python values (`dtype=object`).
    Values(Vec<Value>),
}

/// An array, or a scalar: an array without dimensions.
#[derive(Debug, Clone, PartialEq)]
pub struct Array {
    /// The type as numpy writes it, such as `<f8`.
    descr: String,
    shape: Vec<usize>,
    fortran_order: bool,
    items: Items,
}

impl Array {
    /// An array of raw items: `descr` as in numpy's file format, shape and layout.
    pub fn new(descr: &str, shape: &[usize], fortran_order: bool, raw: &[u8]) -> Self {
        Array {
            descr: descr.to_owned(),
            shape: shape.to_vec(),
            fortran_order,
            items: Items::Raw(raw.into()),
        }
    }

    /// The type as numpy writes it, such as `<f8`.
    pub fn descr(&self) -> &str {
        &self.descr
    }

    /// Size of each dimension; none for a scalar.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// Number of items.
    pub fn count(&self) -> usize {
        self.shape
            .iter()
            .fold(1, |count, size| count.saturating_mul(*size))
    }

    /// Whether the first index varies fastest.
    pub fn fortran_order(&self) -> bool {
        self.fortran_order
    }

    /// The raw items; none for an array of Python values.
    pub fn raw(&self) -> Option<&[u8]> {
        match &self.items {
            Items::Raw(raw) => Some(raw),
            Items::Values(_) => None,
        }
    }

    /// The array or scalar that `object` stands for, if it is one.
    pub fn of(object: &Object) -> Option<Self> {
        let class = &*object.class;
        match (class.module.as_str(), class.name.as_str()) {
            ("numpy._core.multiarray" | "numpy.core.multiarray", "_reconstruct") => {
                let Some(Value::Tuple(state)) = &object.state else {
                    return None;
                };
                let [_, shape, dtype, Value::Bool(fortran_order), items] = &**state else {
                    return None;
                };
                Array::from_parts(dtype, shape, *fortran_order, items)
            }
            ("numpy._core.numeric" | "numpy.core.numeric", "_frombuffer") => match &*object.args {
                [items, dtype, shape, order] => {
                    Array::from_parts(dtype, shape, order.as_str() == Some("F"), items)
                }
                _ => None,
            },
            ("numpy._core.multiarray" | "numpy.core.multiarray", "scalar") => match &*object.args {
                [dtype, items] => Array::from_parts(dtype, &Value::tuple([]), false, items),
                _ => None,
            },
            _ => None,
        }
    }

    fn from_parts(
        dtype: &Value,
        shape: &Value,
        fortran_order: bool,
        items: &Value,
    ) -> Option<Self> {
        let shape = shape
            .as_items()?
            .iter()
            .map(|size| usize::try_from(size.as_int()?).ok())
            .collect::<Option<Vec<_>>>()?;
        let items = match items {
            Value::List(values) => Items::Values(values.to_vec()),
            // Protocols 0 to 2 write bytes as Latin-1 text in older numpys.
            raw => Items::Raw(raw.as_bytes()?.into()),
        };
        let array = Array {
            descr: descr(dtype)?,
            shape,
            fortran_order,
            items,
        };
        array.is_whole().then_some(array)
    }

    /// Whether there are as many items as the shape says. Items without bytes are no more
    /// than a few, else a short message would make long lists.
    fn is_whole(&self) -> bool {
        let rows = self
            .shape
            .iter()
            .try_fold(1usize, |n, size| n.checked_mul(*size.max(&1)));
        let bytes = match &self.items {
            Items::Raw(raw) => raw.len(),
            Items::Values(values) => values.len(),
        };
        if self.shape.len() > 64 || rows.is_none_or(|rows| rows > bytes.max(1024)) {
            return false;
        }
        let count = self
            .shape
            .iter()
            .try_fold(1usize, |n, size| n.checked_mul(*size));
        match (&self.items, count) {
            (Items::Values(values), Some(count)) => values.len() == count,
            (Items::Raw(raw), Some(count)) => {
                self.item_size().and_then(|size| size.checked_mul(count)) == Some(raw.len())
            }
            _ => false,
        }
    }

    fn kind(&self) -> u8 {
        self.descr.as_bytes().get(1).copied().unwrap_or(b'?')
    }

    fn item_size(&self) -> Option<usize> {
        let digits = self.descr.get(2..)?;
        let digits = digits.split('[').next()?;
        let size: usize = digits.parse().ok()?;
        match self.kind() {
            b'U' => size.checked_mul(4),
            _ => Some(size),
        }
    }

    /// The pickled array, as numpy 2 writes it.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Invalid`] for arrays of Python values and types that are none.
    pub fn to_object(&self) -> Result<Value> {
        let unknown = || Error::invalid(format!("arrays of type {} are not known", self.descr));
        let Items::Raw(raw) = &self.items else {
            return Err(unknown());
        };
        let (order, name) = self.descr.split_at_checked(1).ok_or_else(unknown)?;
        let (element, align) = match self.kind() {
            b'U' => (self.item_size().ok_or_else(unknown)? as i64, 4),
            b'S' | b'V' => (self.item_size().ok_or_else(unknown)? as i64, 1),
            _ => (-1, -1),
        };
        let flags = if self.kind() == b'U' { 8 } else { 0 };
        let dtype_args = [name.into(), false.into(), true.into()];
        let dtype = Object::call("numpy", "dtype", dtype_args).with_state(Value::tuple([
            Value::Int(3),
            order.into(),
            Value::None,
            Value::None,
            Value::None,
            Value::Int(element),
            Value::Int(align),
            Value::Int(flags),
        ]));
        let args = [
            Value::global("numpy", "ndarray"),
            Value::tuple([Value::Int(0)]),
            Value::Bytes(b"b".as_slice().into()),
        ];
        let array = Object::call("numpy._core.multiarray", "_reconstruct", args);
        let shape = self.shape.iter().map(|size| Value::Int(*size as i64));
        Ok(array
            .with_state(Value::tuple([
                Value::Int(1),
                Value::tuple(shape),
                dtype.into(),
                self.fortran_order.into(),
                Value::Bytes(raw.clone()),
            ]))
            .into())
    }

    /// The items in nested lists, a scalar as itself: numpy's `tolist`.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Invalid`] for types without a plain form.
    pub fn to_value(&self) -> Result<Value> {
        let mut strides = vec![1usize; self.shape.len()];
        let order: Vec<usize> = match self.fortran_order {
            true => (0..self.shape.len()).collect(),
            false => (0..self.shape.len()).rev().collect(),
        };
        let mut stride = 1usize;
        for dimension in order {
            if let (Some(place), Some(size)) =
                (strides.get_mut(dimension), self.shape.get(dimension))
            {
                *place = stride;
                stride = stride.saturating_mul(*size);
            }
        }
        self.nested(0, 0, &strides)
    }

    fn nested(&self, dimension: usize, at: usize, strides: &[usize]) -> Result<Value> {
        let (Some(size), Some(stride)) = (self.shape.get(dimension), strides.get(dimension)) else {
            return self.item(at);
        };
        let items =
            (0..*size).map(|index| self.nested(dimension + 1, at + index * stride, strides));
        Ok(Value::list(items.collect::<Result<Vec<_>>>()?))
    }

    fn item(&self, index: usize) -> Result<Value> {
        let unknown = || Error::invalid(format!("arrays of type {} are not known", self.descr));
        let raw = match &self.items {
            Items::Values(values) => return values.get(index).cloned().ok_or_else(unknown),
            Items::Raw(raw) => raw,
        };
        let size = self.item_size().ok_or_else(unknown)?;
        let mut bytes = raw
            .get(index * size..(index + 1) * size)
            .ok_or_else(unknown)?
            .to_vec();
        if self.descr.starts_with('>') {
            let width = match self.kind() {
                b'U' => 4,
                b'c' => size / 2,
                b'S' | b'V' => 1,
                _ => size,
            };
            bytes.chunks_mut(width.max(1)).for_each(<[u8]>::reverse);
        }
        item(self.kind(), &bytes, &self.descr).ok_or_else(unknown)
    }
}

/// One item, little-endian.
fn item(kind: u8, bytes: &[u8], descr: &str) -> Option<Value> {
    let unsigned = || -> Option<u64> {
        (bytes.len() <= 8).then(|| {
            bytes
                .iter()
                .rev()
                .fold(0, |all, b| all << 8 | u64::from(*b))
        })
    };
    let signed = || -> Option<i64> {
        let shift = 64
            - 8 * u32::try_from(bytes.len())
                .ok()
                .filter(|n| (1..=8).contains(n))?;
        Some((unsigned()? << shift).cast_signed() >> shift)
    };
    Some(match kind {
        b'b' => Value::Bool(unsigned()? != 0),
        b'i' => Value::Int(signed()?),
        b'u' => match i64::try_from(unsigned()?) {
            Ok(number) => Value::Int(number),
            Err(_) => super::json::integer(&unsigned()?.to_string())?,
        },
        b'f' => Value::Float(float(bytes)?),
        b'c' => {
            let (real, imaginary) = bytes.split_at_checked(bytes.len() / 2)?;
            let parts = [float(real)?.into(), float(imaginary)?.into()];
            Value::call("builtins", "complex", parts)
        }
        b'S' => {
            let end = bytes
                .iter()
                .rposition(|byte| *byte != 0)
                .map_or(0, |at| at + 1);
            Value::Bytes(bytes.get(..end)?.into())
        }
        b'U' => {
            let chars = bytes.chunks_exact(4).map(|code| {
                let code = code.iter().rev().fold(0, |all, b| all << 8 | u32::from(*b));
                char::from_u32(code)
            });
            let text = chars.collect::<Option<String>>()?;
            text.trim_end_matches('\0').into()
        }
        b'M' | b'm' => moment(kind, signed()?, descr)?,
        _ => return None,
    })
}

fn float(bytes: &[u8]) -> Option<f64> {
    match *bytes {
        [a, b] => Some(half(u16::from_le_bytes([a, b]))),
        [a, b, c, d] => Some(f64::from(f32::from_le_bytes([a, b, c, d]))),
        [a, b, c, d, e, f, g, h] => Some(f64::from_le_bytes([a, b, c, d, e, f, g, h])),
        _ => None,
    }
}

fn half(bits: u16) -> f64 {
    let fraction = f64::from(bits & 0x3ff) / 1024.0;
    let size = match bits >> 10 & 0x1f {
        0 => fraction * 2f64.powi(-14),
        31 if fraction == 0.0 => f64::INFINITY,
        31 => f64::NAN,
        exponent => (1.0 + fraction) * 2f64.powi(i32::from(exponent) - 15),
    };
    if bits & 0x8000 == 0 { size } else { -size }
}

/// A `datetime64` as text in ISO form, a `timedelta64` as a count; the missing one is None.
fn moment(kind: u8, count: i64, descr: &str) -> Option<Value> {
    if count == i64::MIN {
        return Some(Value::None);
    }
    if kind == b'm' {
        return Some(Value::Int(count));
    }
    let unit = descr.split('[').nth(1)?.trim_end_matches(']');
    let a_second = match unit {
        "D" => return day(count),
        "s" => 1,
        "ms" => 1_000,
        "us" => 1_000_000,
        "ns" => 1_000_000_000,
        _ => return None,
    };
    let nanos = count.rem_euclid(a_second) * (1_000_000_000 / a_second);
    let seconds = count.div_euclid(a_second);
    let at = chrono::DateTime::from_timestamp(seconds, u32::try_from(nanos).ok()?)?;
    Some(Time::DateTime(at.naive_utc(), None).text().into())
}

fn day(count: i64) -> Option<Value> {
    let at = chrono::DateTime::from_timestamp(count.checked_mul(86_400)?, 0)?;
    Some(Time::Date(at.date_naive()).text().into())
}

/// The type of a pickled `dtype`, such as `<f8` or `<M8[ns]`.
fn descr(dtype: &Value) -> Option<String> {
    let object = dtype.as_object()?;
    if !object.class.is("numpy", "dtype") || object.made != Made::Call {
        return None;
    }
    let name = object.args.first()?.as_str()?;
    let Some(Value::Tuple(state)) = &object.state else {
        return None;
    };
    let order = match state.get(1)?.as_str()? {
        order @ ("<" | ">" | "|") => order,
        _ => "|",
    };
    // Of an array of records only the size would be left.
    if !state.get(3)?.is_none() || !state.get(2)?.is_none() {
        return None;
    }
    let unit = match name {
        "M8" | "m8" => {
            let unit = state.get(8)?.as_items()?.get(1)?.as_items()?.first()?;
            let unit = std::str::from_utf8(unit.as_bytes()?).ok()?;
            format!("[{unit}]")
        }
        _ => String::new(),
    };
    Some(format!("{order}{name}{unit}"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn arrays_come_back_in_both_layouts() {
        let raw: Vec<u8> = (1..=6).flat_map(|n| f64::from(n).to_le_bytes()).collect();
        let rows = |rows: &[&[f64]]| {
            Value::list(
                rows.iter()
                    .map(|row| Value::list(row.iter().map(|n| (*n).into()))),
            )
        };
        for (fortran, expected) in [
            (false, rows(&[&[1.0, 2.0, 3.0], &[4.0, 5.0, 6.0]])),
            (true, rows(&[&[1.0, 3.0, 5.0], &[2.0, 4.0, 6.0]])),
        ] {
            let array = Array::new("<f8", &[2, 3], fortran, &raw);
            let object = array.to_object().unwrap();
            let back = Array::of(object.as_object().unwrap()).unwrap();
            assert_eq!(back, array);
            assert_eq!(back.to_value().unwrap(), expected);
        }
    }

    #[test]
    fn shapes_that_lie_are_no_arrays() {
        for shape in [[2usize, 4], [usize::MAX, 3], [0, 3]] {
            let array = Array::new("<f8", &shape, false, &[0; 48]);
            let object = array.to_object().unwrap();
            assert!(Array::of(object.as_object().unwrap()).is_none());
        }
    }

    #[test]
    fn halves_are_floats() {
        assert_eq!(half(0x3c00), 1.0);
        assert_eq!(half(0xc000), -2.0);
        assert_eq!(half(0x0001), 2f64.powi(-24));
        assert!(half(0x7e00).is_nan());
    }
}
