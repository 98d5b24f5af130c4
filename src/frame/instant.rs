//! ISO 8601 dates and timestamps in text: reading and writing, without a format string
//! and without a zone database. Formulas for the proleptic Gregorian calendar: Hinnant,
//! "chrono-compatible low-level date algorithms", §days_from_civil.

use polars::prelude::TimeUnit;

/// A date or a timestamp as it stands in text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Instant {
    /// `2013-01-31`: days since 1970-01-01.
    Date(i32),
    /// `2013-01-31T10:00:00.5`, no zone given: seconds since 1970 and nanoseconds.
    Local(i64, u32),
    /// `2013-01-31T10:00:00Z` or with an offset: seconds since 1970 UTC and nanoseconds.
    Zoned(i64, u32),
}

const DAY: i64 = 86_400;

impl Instant {
    /// Reads `YYYY-MM-DD`, or that followed by `T` or a blank, `HH:MM`, optionally
    /// `:SS` and `.fraction`, and optionally `Z`, `±HH`, `±HHMM` or `±HH:MM`.
    #[inline]
    pub fn parse(text: &[u8]) -> Option<Instant> {
        // The cheap test first: most text is not a date.
        let (date, rest) = text.split_at_checked(10)?;
        if date.get(4) != Some(&b'-') || date.get(7) != Some(&b'-') {
            return None;
        }
        let days = days_of(
            number(date.get(0..4)?)?,
            number(date.get(5..7)?)?,
            number(date.get(8..10)?)?,
        )?;
        if rest.is_empty() {
            return Some(Instant::Date(days));
        }
        let (mark, rest) = rest.split_first()?;
        if !matches!(mark, b'T' | b't' | b' ') {
            return None;
        }
        let (seconds, nanos, rest) = clock(rest)?;
        let seconds = i64::from(days) * DAY + i64::from(seconds);
        match offset(rest)? {
            None => Some(Instant::Local(seconds, nanos)),
            Some(offset) => Some(Instant::Zoned(seconds - offset, nanos)),
        }
    }

    /// Seconds since 1970 and nanoseconds; a date is its midnight.
    pub fn seconds(self) -> (i64, u32) {
        match self {
            Instant::Date(days) => (i64::from(days) * DAY, 0),
            Instant::Local(seconds, nanos) | Instant::Zoned(seconds, nanos) => (seconds, nanos),
        }
    }

    /// Microseconds since 1970, digits below left out.
    pub fn micros(self) -> i64 {
        let (seconds, nanos) = self.seconds();
        // Four-digit years are far within i64 microseconds.
        seconds * 1_000_000 + i64::from(nanos / 1_000)
    }

    /// Nanoseconds since 1970; none outside 1677 to 2262.
    pub fn nanos(self) -> Option<i64> {
        let (seconds, nanos) = self.seconds();
        seconds
            .checked_mul(1_000_000_000)?
            .checked_add(i64::from(nanos))
    }

    /// Whether microseconds cannot hold the fraction.
    pub fn needs_nanos(self) -> bool {
        !self.seconds().1.is_multiple_of(1_000)
    }
}

/// Nanoseconds since midnight of `HH:MM[:SS[.fraction]]`.
pub(crate) fn time_of_day(text: &[u8]) -> Option<i64> {
    let (seconds, nanos, rest) = clock(text)?;
    rest.is_empty()
        .then(|| i64::from(seconds) * 1_000_000_000 + i64::from(nanos))
}

/// Days since 1970-01-01, if the date exists.
pub(crate) fn days_of(year: u32, month: u32, day: u32) -> Option<i32> {
    let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let length = match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 if leap => 29,
        2 => 28,
        _ => return None,
    };
    if day == 0 || day > length || year > 9999 {
        return None;
    }
    let (year, month, day) = (year as i32, month as i32, day as i32);
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    Some(era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468)
}

/// Year, month and day of a day count since 1970-01-01.
fn civil_of(days: i64) -> (i64, u32, u32) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let of_era = days.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * of_year + 2) / 153;
    let day = (of_year - (153 * shifted + 2) / 5 + 1) as u32;
    let month = if shifted < 10 {
        shifted + 3
    } else {
        shifted - 9
    } as u32;
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

/// `2013-01-31` of days since 1970-01-01.
pub(crate) fn date_text(days: i64) -> String {
    let (year, month, day) = civil_of(days);
    format!("{year:04}-{month:02}-{day:02}")
}

/// `10:00:00.25` of nanoseconds since midnight; the fraction as short as it is exact.
pub(crate) fn time_text(nanos: i64) -> String {
    let seconds = nanos.div_euclid(1_000_000_000);
    let mut text = format!(
        "{:02}:{:02}:{:02}",
        seconds / 3_600,
        seconds / 60 % 60,
        seconds % 60
    );
    let fraction = nanos.rem_euclid(1_000_000_000);
    if fraction != 0 {
        text.push_str(format!(".{fraction:09}").trim_end_matches('0'));
    }
    text
}

/// How many of a unit are a second.
pub(crate) fn per_second(unit: TimeUnit) -> i64 {
    match unit {
        TimeUnit::Nanoseconds => 1_000_000_000,
        TimeUnit::Microseconds => 1_000_000,
        TimeUnit::Milliseconds => 1_000,
    }
}

/// `2013-01-31T10:00:00.25` of a count of units since 1970; the fraction as short as it is
/// exact.
pub(crate) fn timestamp_text(value: i64, unit: TimeUnit) -> String {
    let per_second = per_second(unit);
    let seconds = value.div_euclid(per_second);
    let nanos = value.rem_euclid(per_second) * (1_000_000_000 / per_second);
    let of_day = seconds.rem_euclid(DAY) * 1_000_000_000 + nanos;
    format!(
        "{}T{}",
        date_text(seconds.div_euclid(DAY)),
        time_text(of_day)
    )
}

#[inline]
fn number(digits: &[u8]) -> Option<u32> {
    let mut value = 0;
    for digit in digits {
        let digit = digit.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        value = value * 10 + u32::from(digit);
    }
    Some(value)
}

/// Seconds of the day, nanoseconds, and what follows.
#[inline]
fn clock(text: &[u8]) -> Option<(u32, u32, &[u8])> {
    let (hours_minutes, rest) = text.split_at_checked(5)?;
    if hours_minutes.get(2) != Some(&b':') {
        return None;
    }
    let hours = number(hours_minutes.get(0..2)?)?;
    let minutes = number(hours_minutes.get(3..5)?)?;
    if hours > 23 || minutes > 59 {
        return None;
    }
    let mut of_day = hours * 3_600 + minutes * 60;
    let Some((b':', rest)) = rest.split_first() else {
        return Some((of_day, 0, rest));
    };
    let (seconds, rest) = rest.split_at_checked(2)?;
    let seconds = number(seconds)?;
    if seconds > 59 {
        return None;
    }
    of_day += seconds;
    let Some((b'.' | b',', rest)) = rest.split_first() else {
        return Some((of_day, 0, rest));
    };
    let length = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    if !(1..=9).contains(&length) {
        return None;
    }
    let (fraction, rest) = rest.split_at_checked(length)?;
    let nanos = number(fraction)? * 10_u32.pow(9 - length as u32);
    Some((of_day, nanos, rest))
}

/// The offset in seconds east of UTC; none where there is no zone.
#[inline]
fn offset(text: &[u8]) -> Option<Option<i64>> {
    let (sign, rest) = match text.split_first() {
        None => return Some(None),
        Some((b'Z' | b'z', [])) => return Some(Some(0)),
        Some((b'+', rest)) => (1, rest),
        Some((b'-', rest)) => (-1, rest),
        Some(_) => return None,
    };
    let (hours, minutes) = match rest {
        [_, _] => (rest, None),
        [_, _, b':', _, _] => (rest.get(..2)?, Some(rest.get(3..)?)),
        [_, _, _, _] => (rest.get(..2)?, Some(rest.get(2..)?)),
        _ => return None,
    };
    let hours = number(hours)?;
    let minutes = minutes.map_or(Some(0), number)?;
    if hours > 23 || minutes > 59 {
        return None;
    }
    Some(Some(sign * i64::from(hours * 3_600 + minutes * 60)))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parse(text: &str) -> Option<Instant> {
        Instant::parse(text.as_bytes())
    }

    #[test]
    fn reads_dates_and_timestamps() {
        assert_eq!(parse("1970-01-02"), Some(Instant::Date(1)));
        assert_eq!(
            parse("2024-02-29").map(|d| d.micros()),
            Some(1_709_164_800_000_000)
        );
        assert_eq!(parse("1970-01-01T00:01"), Some(Instant::Local(60, 0)));
        assert_eq!(
            parse("1970-01-01 00:00:01.5"),
            Some(Instant::Local(1, 500_000_000))
        );
        assert_eq!(
            parse("1970-01-01T01:00:00+01:00"),
            Some(Instant::Zoned(0, 0))
        );
        assert_eq!(
            parse("1970-01-01T00:00:00-0130"),
            Some(Instant::Zoned(5_400, 0))
        );
        assert_eq!(
            parse("2013-01-01T10:00:00Z"),
            Some(Instant::Zoned(1_357_034_400, 0))
        );
    }

    #[test]
    fn refuses_what_is_none() {
        for text in [
            "2023-02-29",
            "2023-13-01",
            "2023-00-01",
            "2023-1-1",
            "2023-01-01T",
            "2023-01-01T24:00",
            "2023-01-01T10:00:60",
            "2023-01-01T10:00Q",
            "2023-01-01X10:00",
            "20230101",
            "",
            "2023-01-01T10:00:00.",
            "2023-01-01T10:00:00.1234567890",
            "2023-01-01T10:00+1:00",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    #[test]
    fn nanoseconds_have_a_range() {
        assert!(
            parse("2500-01-01T00:00:00.000000001")
                .unwrap()
                .nanos()
                .is_none()
        );
        assert!(
            parse("2020-01-01T00:00:00.000000001")
                .unwrap()
                .needs_nanos()
        );
    }

    proptest! {
        #[test]
        fn never_panics(text in ".{0,40}") {
            parse(&text);
            time_of_day(text.as_bytes());
        }

        #[test]
        fn what_is_written_reads_back(micros in -62_167_219_200_000_000_i64..253_402_300_800_000_000) {
            let text = timestamp_text(micros, TimeUnit::Microseconds);
            prop_assert_eq!(parse(&text).unwrap().micros(), micros);
            let days = micros.div_euclid(86_400_000_000);
            prop_assert_eq!(parse(&date_text(days)), Some(Instant::Date(days as i32)));
        }
    }
}
