//! Numbers of CSV fields. Blanks around a number do not matter, as in pandas.

use super::dialect::Dialect;

/// A whole number, as far as it is one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Whole {
    /// Within 64 bits.
    Int(i64),
    /// Digits that do not fit.
    Beyond,
    /// Not a whole number.
    No,
}

/// Reads a whole number.
#[inline]
pub(crate) fn whole(field: &[u8], dialect: &Dialect) -> Whole {
    let field = field.trim_ascii();
    let (negative, digits) = match field.split_first() {
        Some((b'-', rest)) => (true, rest),
        Some((b'+', rest)) => (false, rest),
        Some(_) => (false, field),
        None => return Whole::No,
    };
    if digits.len() <= 18 {
        let mut value: i64 = 0;
        for byte in digits {
            let digit = byte.wrapping_sub(b'0');
            if digit > 9 {
                return grouped(field, dialect);
            }
            value = value * 10 + i64::from(digit);
        }
        if digits.is_empty() {
            return Whole::No;
        }
        return Whole::Int(if negative { -value } else { value });
    }
    if !digits.iter().all(u8::is_ascii_digit) {
        return grouped(field, dialect);
    }
    match std::str::from_utf8(field)
        .ok()
        .and_then(|text| text.parse().ok())
    {
        Some(value) => Whole::Int(value),
        None => Whole::Beyond,
    }
}

/// Numbers such as `1,234,567`, where the dialect has a thousands separator.
#[cold]
fn grouped(field: &[u8], dialect: &Dialect) -> Whole {
    match without_thousands(field, dialect) {
        Some(plain) => whole(&plain, dialect),
        None => Whole::No,
    }
}

fn without_thousands(field: &[u8], dialect: &Dialect) -> Option<Vec<u8>> {
    let thousands = dialect.thousands?;
    if !field.contains(&thousands) || !field.iter().any(u8::is_ascii_digit) {
        return None;
    }
    Some(
        field
            .iter()
            .copied()
            .filter(|byte| *byte != thousands)
            .collect(),
    )
}

/// Powers of ten that a double holds exactly.
const EXACT: [f64; 23] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16,
    1e17, 1e18, 1e19, 1e20, 1e21, 1e22,
];

/// Reads a floating point number; the nearest double. Words such as `inf` count, `nan`
/// does not: it means null.
#[inline]
pub(crate) fn float(field: &[u8], dialect: &Dialect) -> Option<f64> {
    let field = field.trim_ascii();
    // Clinger's fast path: an exact mantissa times or over an exact power of ten is
    // rounded once.
    let (negative, digits) = match field.split_first()? {
        (b'-', rest) => (true, rest),
        (b'+', rest) => (false, rest),
        _ => (false, field),
    };
    let mut mantissa: u64 = 0;
    let mut places = 0_usize;
    let mut point = false;
    let plain = digits.len() <= 17
        && digits.iter().all(|byte| {
            let digit = byte.wrapping_sub(b'0');
            if digit <= 9 {
                mantissa = mantissa * 10 + u64::from(digit);
                places += usize::from(point);
                return true;
            }
            let first = !point;
            point = true;
            *byte == dialect.decimal && first
        });
    if plain
        && mantissa < 1 << 53
        && digits.len() > usize::from(point)
        && let Some(scale) = EXACT.get(places)
    {
        let value = mantissa as f64 / scale;
        return Some(if negative { -value } else { value });
    }
    slow_float(field, dialect)
}

#[cold]
fn slow_float(field: &[u8], dialect: &Dialect) -> Option<f64> {
    let text = std::str::from_utf8(field).ok()?;
    let value = match (dialect.decimal, without_thousands(field, dialect)) {
        (b'.', None) => text.parse::<f64>().ok()?,
        (decimal, plain) => {
            let plain = plain.unwrap_or_else(|| field.to_vec());
            if decimal != b'.' && plain.contains(&b'.') {
                return None;
            }
            let plain: Vec<u8> = plain
                .into_iter()
                .map(|byte| if byte == decimal { b'.' } else { byte })
                .collect();
            std::str::from_utf8(&plain).ok()?.parse::<f64>().ok()?
        }
    };
    // What is written in digits and too large is not infinite: it stays text.
    let word = !text.bytes().any(|byte| byte.is_ascii_digit());
    (value.is_finite() || (word && value.is_infinite())).then_some(value)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::frame::format::read_options::ReadOptions;
    use proptest::prelude::*;

    fn dialect(decimal: u8, thousands: Option<u8>) -> Dialect {
        let options = ReadOptions {
            decimal,
            thousands,
            ..ReadOptions::default()
        };
        Dialect::new(&options, b',', b"")
    }

    #[test]
    fn whole_numbers() {
        let plain = dialect(b'.', None);
        for (text, want) in [
            ("5", Whole::Int(5)),
            (" -5 ", Whole::Int(-5)),
            ("+007", Whole::Int(7)),
            ("9223372036854775807", Whole::Int(i64::MAX)),
            ("-9223372036854775808", Whole::Int(i64::MIN)),
            ("9223372036854775808", Whole::Beyond),
            ("-123456789012345678901234567890", Whole::Beyond),
            ("", Whole::No),
            ("-", Whole::No),
            ("1.0", Whole::No),
            ("1e5", Whole::No),
            ("1,000", Whole::No),
            ("0x10", Whole::No),
        ] {
            assert_eq!(whole(text.as_bytes(), &plain), want, "{text}");
        }
        assert_eq!(
            whole(b"1,234,567", &dialect(b'.', Some(b','))),
            Whole::Int(1_234_567)
        );
    }

    #[test]
    fn floats() {
        let plain = dialect(b'.', None);
        for (text, want) in [
            ("1.5", Some(1.5)),
            (".5", Some(0.5)),
            ("5.", Some(5.0)),
            (" -0.1 ", Some(-0.1)),
            ("1e-3", Some(0.001)),
            (
                "123456789012345678901234567890",
                Some(123456789012345678901234567890.0),
            ),
            ("inf", Some(f64::INFINITY)),
            ("-Infinity", Some(f64::NEG_INFINITY)),
            ("1e999", None),
            ("nan", None),
            (".", None),
            ("", None),
            ("1.2.3", None),
            ("1,5", None),
            ("abc", None),
        ] {
            assert_eq!(float(text.as_bytes(), &plain), want, "{text}");
        }
        assert_eq!(float(b"1.234,5", &dialect(b',', Some(b'.'))), Some(1234.5));
        assert_eq!(float(b"1,5e3", &dialect(b',', None)), Some(1500.0));
        assert_eq!(float(b"1.5", &dialect(b',', None)), None);
    }

    proptest! {
        #[test]
        fn floats_are_the_nearest(value in any::<f64>().prop_filter("finite", |value| value.is_finite())) {
            let plain = dialect(b'.', None);
            for text in [format!("{value}"), format!("{value:?}"), format!("{value:.3}")] {
                prop_assert_eq!(float(text.as_bytes(), &plain), Some(text.parse::<f64>().unwrap()));
            }
        }

        #[test]
        fn short_floats_are_the_nearest(text in "-?[0-9]{1,9}\\.[0-9]{0,9}") {
            prop_assert_eq!(float(text.as_bytes(), &dialect(b'.', None)), Some(text.parse::<f64>().unwrap()));
        }

        #[test]
        fn integers_read_back(value in any::<i64>()) {
            prop_assert_eq!(whole(value.to_string().as_bytes(), &dialect(b'.', None)), Whole::Int(value));
        }
    }
}
