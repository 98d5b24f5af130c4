//! The kind of a CSV field.

use super::dialect::Dialect;
use super::number::{Whole, float, whole};
use crate::frame::format::kind::Kind;
use crate::frame::instant::Instant;

/// The kind of a field; `dates`: whether dates and timestamps count.
pub(crate) fn classify(field: &[u8], dialect: &Dialect, dates: bool) -> Kind {
    if dialect.nulls.contains(field) {
        return Kind::Null;
    }
    if dialect.trues.contains(field) || dialect.falses.contains(field) {
        return Kind::Bool;
    }
    if dates && let Some(instant) = instant(field) {
        return match instant {
            Instant::Date(_) => Kind::Date,
            // Beyond the years that nanoseconds reach nothing but text keeps the digits.
            Instant::Local(..) | Instant::Zoned(..)
                if instant.needs_nanos() && instant.nanos().is_none() =>
            {
                Kind::Text
            }
            Instant::Local(..) => Kind::Local {
                nanos: instant.needs_nanos(),
            },
            Instant::Zoned(..) => Kind::Zoned {
                nanos: instant.needs_nanos(),
            },
        };
    }
    match whole(field, dialect) {
        Whole::Int(_) => Kind::Int,
        Whole::Beyond => Kind::Digits,
        Whole::No => match float(field, dialect) {
            Some(_) => Kind::Float,
            None => Kind::Text,
        },
    }
}

/// A date or timestamp, blanks around it left out.
#[inline]
pub(crate) fn instant(field: &[u8]) -> Option<Instant> {
    // Nothing shorter than a date, and nothing that does not start with a digit.
    if field.len() < 10 {
        return None;
    }
    Instant::parse(field.trim_ascii())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::format::read_options::ReadOptions;

    #[test]
    fn kinds() {
        let dialect = Dialect::new(&ReadOptions::default(), b',', b"");
        for (field, kind) in [
            ("", Kind::Null),
            ("NA", Kind::Null),
            ("<NA>", Kind::Null),
            ("nan", Kind::Null),
            ("true", Kind::Bool),
            ("tRuE", Kind::Text),
            ("12", Kind::Int),
            ("12345678901234567890", Kind::Digits),
            ("1.5", Kind::Float),
            ("inf", Kind::Float),
            ("2020-01-01", Kind::Date),
            ("2020-01-01 10:00", Kind::Local { nanos: false }),
            ("2020-01-01T10:00:00.123456789", Kind::Local { nanos: true }),
            ("2020-01-01T10:00:00Z", Kind::Zoned { nanos: false }),
            ("2500-01-01T10:00:00.123456789", Kind::Text),
            ("2020-13-01", Kind::Text),
            (" ", Kind::Text),
            ("naïve", Kind::Text),
        ] {
            assert_eq!(classify(field.as_bytes(), &dialect, true), kind, "{field}");
        }
        assert_eq!(classify(b"2020-01-01", &dialect, false), Kind::Text);
    }
}
