//! Python's dates and times: `datetime`, `date`, `time`, `timedelta`, `timezone`, and
//! pandas' `Timestamp`.

use super::pickle::{Object, Value};
use chrono::{DateTime, Datelike, FixedOffset, NaiveDate, NaiveDateTime, NaiveTime, Timelike};

/// A date or time that an object stands for.
#[derive(Debug, Clone, PartialEq)]
pub enum Time {
    /// `datetime`, without a time zone or with an offset from UTC.
    DateTime(NaiveDateTime, Option<FixedOffset>),
    /// `date`
    Date(NaiveDate),
    /// `time`
    Time(NaiveTime),
    /// `timedelta` in days, seconds and microseconds.
    Delta(i64, i64, i64),
    /// `timezone` in seconds east of UTC.
    Zone(i32),
}

impl Time {
    /// The time that `object` stands for, if it is one.
    pub fn of(object: &Object) -> Option<Self> {
        let class = &*object.class;
        let args = &*object.args;
        match (class.module.as_str(), class.name.as_str()) {
            ("datetime", "datetime") => {
                let (packed, zone) = packed(args)?;
                let &[y1, y2, month, day, hour, minute, second, u1, u2, u3] = packed.as_slice()
                else {
                    return None;
                };
                // The first bit of the month tells the two readings of a clock set back.
                let date = date(y1, y2, month & 0x7f, day)?;
                let at = date.and_time(time(hour, minute, second, [u1, u2, u3])?);
                let offset = match zone {
                    Some(zone) => Some(offset(zone)?),
                    None => None,
                };
                Some(Time::DateTime(at, offset))
            }
            ("datetime", "date") => match packed(args)?.0.as_slice() {
                &[y1, y2, month, day] => Some(Time::Date(date(y1, y2, month, day)?)),
                _ => None,
            },
            ("datetime", "time") => match packed(args)?.0.as_slice() {
                &[hour, minute, second, u1, u2, u3] => {
                    Some(Time::Time(time(hour & 0x7f, minute, second, [u1, u2, u3])?))
                }
                _ => None,
            },
            ("datetime", "timedelta") => match args {
                [Value::Int(days), Value::Int(seconds), Value::Int(micros)] => {
                    Some(Time::Delta(*days, *seconds, *micros))
                }
                _ => None,
            },
            ("datetime", "timezone") => Some(Time::Zone(offset(object)?.local_minus_utc())),
            ("pandas._libs.tslibs.timestamps", "_unpickle_timestamp") => timestamp(args),
            _ => None,
        }
    }

    /// As `isoformat` prints it; a `timedelta` as `str` does.
    pub fn text(&self) -> String {
        match self {
            Time::DateTime(at, None) => iso(*at),
            Time::DateTime(at, Some(offset)) => iso(*at) + &zone_text(offset.local_minus_utc()),
            Time::Date(date) => date.format("%Y-%m-%d").to_string(),
            Time::Time(time) => clock(*time),
            Time::Delta(days, seconds, micros) => {
                let days = match days {
                    0 => String::new(),
                    1 | -1 => format!("{days} day, "),
                    _ => format!("{days} days, "),
                };
                let (hours, minutes) = (seconds / 3600, seconds / 60 % 60);
                let clock = format!("{hours}:{minutes:02}:{:02}", seconds % 60);
                match micros {
                    0 => days + &clock,
                    _ => format!("{days}{clock}.{micros:06}"),
                }
            }
            Time::Zone(0) => "UTC".to_owned(),
            Time::Zone(seconds) => format!("UTC{}", zone_text(*seconds)),
        }
    }
}

/// A `datetime` of a moment: naive without an offset.
pub fn datetime(at: NaiveDateTime, offset: Option<FixedOffset>) -> Value {
    let year = u16::try_from(at.year()).unwrap_or(1).to_be_bytes();
    let micros = (at.nanosecond() / 1000 % 1_000_000).to_be_bytes();
    let part = |number: u32| u8::try_from(number).unwrap_or(0);
    let [_, u1, u2, u3] = micros;
    let [y1, y2] = year;
    let packed = [
        y1,
        y2,
        part(at.month()),
        part(at.day()),
        part(at.hour()),
        part(at.minute()),
        part(at.second()),
        u1,
        u2,
        u3,
    ];
    let mut args = vec![Value::Bytes(packed.as_slice().into())];
    if let Some(offset) = offset {
        let delta = [
            Value::Int(i64::from(offset.local_minus_utc()).div_euclid(86_400)),
            Value::Int(i64::from(offset.local_minus_utc()).rem_euclid(86_400)),
            Value::Int(0),
        ];
        let delta = Value::call("datetime", "timedelta", delta);
        args.push(Value::call("datetime", "timezone", [delta]));
    }
    Value::call("datetime", "datetime", args)
}

/// A moment as Celery writes it: `2026-11-23T14:05:44.570965+00:00`, without a fraction
/// when there is none.
pub fn iso_with_zone(at: &DateTime<FixedOffset>) -> String {
    iso(at.naive_local()) + &zone_text(at.offset().local_minus_utc())
}

/// Reads what [`iso_with_zone`] writes; without a zone it is UTC.
pub fn parse_iso(text: &str) -> Option<DateTime<FixedOffset>> {
    let text = text.trim();
    if let Ok(at) = DateTime::parse_from_rfc3339(&text.replacen(' ', "T", 1)) {
        return Some(at);
    }
    let at = NaiveDateTime::parse_from_str(&text.replacen(' ', "T", 1), "%Y-%m-%dT%H:%M:%S%.f");
    at.ok().map(|at| at.and_utc().fixed_offset())
}

/// As `repr` prints it, if `object` is a date or time.
pub(super) fn repr(object: &Object) -> Option<String> {
    Some(match Time::of(object)? {
        Time::DateTime(at, offset) => {
            let mut text = format!(
                "datetime.datetime({}, {}, {}, {}, {}",
                at.year(),
                at.month(),
                at.day(),
                at.hour(),
                at.minute()
            );
            let micros = at.nanosecond() / 1000;
            if at.second() > 0 || micros > 0 {
                text += &format!(", {}", at.second());
            }
            if micros > 0 {
                text += &format!(", {micros}");
            }
            if let Some(offset) = offset {
                text += &format!(", tzinfo={}", zone_repr(offset.local_minus_utc()));
            }
            text + ")"
        }
        Time::Date(date) => {
            let (y, m, d) = (date.year(), date.month(), date.day());
            format!("datetime.date({y}, {m}, {d})")
        }
        Time::Time(time) => format!("datetime.time({}, {})", time.hour(), time.minute()),
        Time::Delta(..) => format!("datetime.timedelta({})", delta_args(&object.args)),
        Time::Zone(seconds) => zone_repr(seconds),
    })
}

fn delta_args(args: &[Value]) -> String {
    let names = ["days", "seconds", "microseconds"].iter().zip(args);
    let parts: Vec<String> = names
        .filter(|(_, value)| value.as_int() != Some(0))
        .map(|(name, value)| format!("{name}={value:?}"))
        .collect();
    if parts.is_empty() {
        "0".to_owned()
    } else {
        parts.join(", ")
    }
}

fn zone_repr(seconds: i32) -> String {
    if seconds == 0 {
        return "datetime.timezone.utc".to_owned();
    }
    let (days, rest) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    let days = if days == 0 {
        String::new()
    } else {
        format!("days={days}, ")
    };
    format!("datetime.timezone(datetime.timedelta({days}seconds={rest}))")
}

fn iso(at: NaiveDateTime) -> String {
    format!("{}T{}", at.format("%Y-%m-%d"), clock(at.time()))
}

fn clock(time: NaiveTime) -> String {
    match time.nanosecond() / 1000 {
        0 => time.format("%H:%M:%S").to_string(),
        micros => format!("{}.{micros:06}", time.format("%H:%M:%S")),
    }
}

fn zone_text(seconds: i32) -> String {
    let sign = if seconds < 0 { '-' } else { '+' };
    let minutes = seconds.abs() / 60;
    format!("{sign}{:02}:{:02}", minutes / 60, minutes % 60)
}

/// The packed bytes and the time zone; protocols 0 to 2 write the bytes as Latin-1 text.
fn packed(args: &[Value]) -> Option<(Vec<u8>, Option<&Object>)> {
    let (first, zone) = match args {
        [first] => (first, None),
        [first, zone] => (first, zone.as_object()),
        _ => return None,
    };
    let bytes = match first {
        Value::Bytes(bytes) => bytes.to_vec(),
        Value::Str(text) => text
            .chars()
            .map(u8::try_from)
            .collect::<Result<_, _>>()
            .ok()?,
        _ => return None,
    };
    Some((bytes, zone))
}

fn date(y1: u8, y2: u8, month: u8, day: u8) -> Option<NaiveDate> {
    let year = i32::from(u16::from_be_bytes([y1, y2]));
    NaiveDate::from_ymd_opt(year, month.into(), day.into())
}

fn time(hour: u8, minute: u8, second: u8, [u1, u2, u3]: [u8; 3]) -> Option<NaiveTime> {
    let micros = u32::from_be_bytes([0, u1, u2, u3]);
    NaiveTime::from_hms_micro_opt(hour.into(), minute.into(), second.into(), micros)
}

fn offset(zone: &Object) -> Option<FixedOffset> {
    if !zone.class.is("datetime", "timezone") {
        return None;
    }
    match Time::of(zone.args.first()?.as_object()?)? {
        Time::Delta(days, seconds, _) => {
            let seconds = days.checked_mul(86_400)?.checked_add(seconds)?;
            FixedOffset::east_opt(i32::try_from(seconds).ok()?)
        }
        _ => None,
    }
}

/// `(value, freq, tz)` or with the unit, `reso`: 7 s, 8 ms, 9 µs, 10 ns.
fn timestamp(args: &[Value]) -> Option<Time> {
    let count = args.first()?.as_int()?;
    let a_second = match args.get(3).and_then(Value::as_int) {
        Some(7) => 1,
        Some(8) => 1_000,
        Some(9) => 1_000_000,
        _ => 1_000_000_000,
    };
    let nanos = count.rem_euclid(a_second) * (1_000_000_000 / a_second);
    let at = DateTime::from_timestamp(count.div_euclid(a_second), u32::try_from(nanos).ok()?)?;
    Some(Time::DateTime(at.naive_utc(), None))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn moments_come_back() {
        for text in [
            "2026-11-23T14:05:44.570965+00:00",
            "2026-11-23T14:05:44+05:30",
            "2026-01-02T03:04:05.000001-08:00",
        ] {
            let at = parse_iso(text).unwrap();
            assert_eq!(iso_with_zone(&at), text);
            let value = datetime(at.naive_local(), Some(*at.offset()));
            let time = Time::of(value.as_object().unwrap()).unwrap();
            assert_eq!(time.text(), text);
        }
        let naive = parse_iso("2026-11-23 14:05:44").unwrap();
        assert_eq!(iso_with_zone(&naive), "2026-11-23T14:05:44+00:00");
        assert!(parse_iso("tomorrow").is_none());
    }
}
