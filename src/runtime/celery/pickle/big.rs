//! Integers beyond 64 bits, as pickle holds them: little-endian two's complement.

use super::Value;
use std::fmt;
use std::sync::Arc;

/// Longer ones are refused: no message needs them, and printing takes time by the square.
pub(super) const MOST_DIGITS: usize = 600;
/// Bytes of an integer of so many digits.
pub(super) const MOST_BYTES: usize = 256;

/// An integer that 64 bits don't hold.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct BigInt(Vec<u8>);

impl BigInt {
    /// The bytes, the fewest that hold it.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    fn is_negative(&self) -> bool {
        self.0.last().is_some_and(|byte| byte & 0x80 != 0)
    }
}

/// The value of little-endian two's complement bytes, at most [`MOST_BYTES`].
pub(super) fn from_bytes(bytes: &[u8]) -> Value {
    let mut bytes = bytes.to_vec();
    while let [.., next, last] = bytes.as_slice() {
        let sign = if next & 0x80 == 0 { 0x00 } else { 0xff };
        if *last != sign {
            break;
        }
        bytes.pop();
    }
    if bytes.as_slice() == [0] {
        bytes.clear();
    }
    if bytes.len() > 8 {
        return Value::Big(Arc::new(BigInt(bytes)));
    }
    let fill = match bytes.last() {
        Some(last) if last & 0x80 != 0 => 0xff,
        _ => 0,
    };
    let mut all = [fill; 8];
    for (to, from) in all.iter_mut().zip(&bytes) {
        *to = *from;
    }
    Value::Int(i64::from_le_bytes(all))
}

/// The value of a decimal number; none when it is no number or too long.
pub(super) fn from_decimal(text: &str) -> Option<Value> {
    if let Ok(number) = text.parse() {
        return Some(Value::Int(number));
    }
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    if digits.is_empty()
        || digits.len() > MOST_DIGITS
        || !digits.bytes().all(|byte| byte.is_ascii_digit())
    {
        return None;
    }
    let mut bytes: Vec<u8> = Vec::new();
    for digit in digits.bytes() {
        let mut carry = u16::from(digit - b'0');
        for byte in &mut bytes {
            carry += u16::from(*byte) * 10;
            *byte = (carry & 0xff) as u8;
            carry >>= 8;
        }
        if carry > 0 {
            bytes.push(carry as u8);
        }
    }
    bytes.push(0);
    if negative {
        negate(&mut bytes);
    }
    Some(from_bytes(&bytes))
}

fn negate(bytes: &mut [u8]) {
    let mut carry = true;
    for byte in bytes {
        let (negated, overflow) = (!*byte).overflowing_add(u8::from(carry));
        *byte = negated;
        carry = overflow;
    }
}

impl fmt::Display for BigInt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut magnitude = self.0.clone();
        if self.is_negative() {
            magnitude.push(0xff);
            negate(&mut magnitude);
        }
        let mut groups = Vec::new();
        while magnitude.iter().any(|byte| *byte != 0) {
            let mut rest = 0u64;
            for byte in magnitude.iter_mut().rev() {
                rest = rest << 8 | u64::from(*byte);
                *byte = ((rest / 1_000_000_000) & 0xff) as u8;
                rest %= 1_000_000_000;
            }
            while magnitude.last() == Some(&0) {
                magnitude.pop();
            }
            groups.push(rest);
        }
        if self.is_negative() {
            f.write_str("-")?;
        }
        let mut groups = groups.iter().rev();
        write!(f, "{}", groups.next().unwrap_or(&0))?;
        groups.try_for_each(|group| write!(f, "{group:09}"))
    }
}

impl fmt::Debug for BigInt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::*;

    #[test]
    fn decimals_come_back() {
        for text in [
            "0",
            "-1",
            "127",
            "-129",
            "9223372036854775807",
            "-9223372036854775808",
            "9223372036854775808",
            "-9223372036854775809",
            "340282366920938463463374607431768211456",
            "-1000000000000000000000000000000000000000000",
        ] {
            let back = match from_decimal(text).unwrap() {
                Value::Int(number) => number.to_string(),
                Value::Big(number) => number.to_string(),
                other => panic!("{other:?}"),
            };
            assert_eq!(back, text);
        }
        assert!(from_decimal("12x").is_none());
        assert!(from_decimal("-").is_none());
        assert!(from_decimal(&"9".repeat(MOST_DIGITS + 1)).is_none());
    }

    #[test]
    fn the_longest_number_fits_its_bytes() {
        let Some(Value::Big(number)) = from_decimal(&"9".repeat(MOST_DIGITS)) else {
            panic!("no number");
        };
        assert!(number.as_bytes().len() <= MOST_BYTES);
        assert_eq!(number.to_string(), "9".repeat(MOST_DIGITS));
    }
}
