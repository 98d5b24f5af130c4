//! When a job runs: a crontab and the time zone that it is meant in.

mod describe;
mod language;

pub use describe::describe;

use crate::error::{Error, Result};
use chrono::{DateTime, Local, NaiveDateTime, Offset, TimeZone, Utc};
use chrono_tz::Tz;
use croner::Cron;
use croner::parser::CronParser;

/// A schedule.
#[derive(Debug, Clone, PartialEq)]
pub struct Schedule {
    text: String,
    cron: Cron,
    zone: Zone,
}

/// The clock that a schedule goes by.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Zone {
    /// That of the machine, as omega|ml has it.
    Local,
    /// A zone of the IANA database, such as `Europe/Berlin`.
    Named(Tz),
}

impl Zone {
    /// The zone of this name; none and `local` are the machine's.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Usage`] when there is none.
    pub fn parse(name: Option<&str>) -> Result<Self> {
        match name {
            None | Some("local" | "") => Ok(Zone::Local),
            Some(name) => name.parse().map(Zone::Named).map_err(|_| {
                Error::usage(format!("there is no time zone `{name}`"))
                    .hint("zones are named like Europe/Berlin, America/New_York or UTC")
            }),
        }
    }

    /// Its name; none for the machine's.
    pub fn name(self) -> Option<&'static str> {
        match self {
            Zone::Local => None,
            Zone::Named(zone) => Some(zone.name()),
        }
    }

    /// What a clock in the zone shows.
    pub fn wall(self, instant: DateTime<Utc>) -> NaiveDateTime {
        match self {
            Zone::Local => instant.with_timezone(&Local).naive_local(),
            Zone::Named(zone) => instant.with_timezone(&zone).naive_local(),
        }
    }

    /// When a clock in the zone shows this: the first time where it does so twice, and as
    /// soon as it shows more where it skips it.
    pub fn instant(self, wall: NaiveDateTime) -> DateTime<Utc> {
        match self {
            Zone::Local => instant(&Local, wall),
            Zone::Named(zone) => instant(&zone, wall),
        }
    }
}

fn instant<Z: TimeZone>(zone: &Z, wall: NaiveDateTime) -> DateTime<Utc> {
    match zone.from_local_datetime(&wall).earliest() {
        Some(found) => found.with_timezone(&Utc),
        // In a gap: what the clock would show without it, an hour later.
        None => {
            let before = wall - chrono::TimeDelta::hours(3);
            let offset = zone.offset_from_local_datetime(&before).earliest();
            let seconds = offset.map_or(0, |offset| offset.fix().local_minus_utc());
            (wall - chrono::TimeDelta::seconds(i64::from(seconds))).and_utc()
        }
    }
}

impl Schedule {
    /// A crontab of five fields, or natural language; and what is to be said about how it
    /// was read.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Usage`].
    pub fn parse(text: &str, zone: Zone) -> Result<(Self, Option<String>)> {
        if let Some(schedule) = Self::crontab(text, zone) {
            return Ok((schedule, None));
        }
        let (cron, note) = language::parse(text)?;
        match Self::crontab(&cron, zone) {
            Some(schedule) => Ok((schedule, note)),
            None => Err(Error::usage(format!(
                "cannot parse the schedule `{text}`, read as `{cron}`"
            ))
            .hint("examples: `daily, at 06:00`, `every 5 minutes`, `0 6 * * mon-fri`")),
        }
    }

    /// A crontab of five fields; none if it is not one.
    pub fn crontab(text: &str, zone: Zone) -> Option<Self> {
        let fields: Vec<String> = text.split(' ').map(str::to_owned).collect();
        let [minute, hour, monthday, month, weekday] = fields.as_slice() else {
            return None;
        };
        let month = named(month, &MONTHS, 1);
        let short = shortened(weekday);
        let weekday = named(&short, &DAYS, 0);
        let text = [minute, hour, monthday, month.as_str(), short.as_str()].join(" ");
        let pattern = [minute, hour, monthday, month.as_str(), weekday.as_str()].join(" ");
        if pattern
            .chars()
            .any(|c| !(c.is_ascii_digit() || " */,-".contains(c)))
        {
            return None;
        }
        let cron = CronParser::new().parse(&pattern).ok()?;
        Some(Schedule { text, cron, zone })
    }

    /// The crontab as it is stored.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The clock that it goes by.
    pub fn zone(&self) -> Zone {
        self.zone
    }

    /// The crontab in words.
    pub fn words(&self) -> String {
        describe(&self.text)
    }

    /// The next time after `after`; none for days that never come.
    pub fn next(&self, after: DateTime<Utc>) -> Option<DateTime<Utc>> {
        match self.zone {
            Zone::Local => self.following(after.with_timezone(&Local)),
            Zone::Named(zone) => self.following(after.with_timezone(&zone)),
        }
    }

    fn following<Z: TimeZone>(&self, after: DateTime<Z>) -> Option<DateTime<Utc>> {
        let found = self.cron.find_next_occurrence(&after, false).ok()?;
        Some(found.with_timezone(&Utc))
    }

    /// The times after `after`, without end where there is none.
    pub fn times(&self, after: DateTime<Utc>) -> impl Iterator<Item = DateTime<Utc>> + '_ {
        std::iter::successors(self.next(after), |last| self.next(*last))
    }
}

const DAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];
const MONTHS: [&str; 12] = [
    "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec",
];

/// Full names of days as omega|ml stores them: `monday` is `mon`.
fn shortened(field: &str) -> String {
    let mut field = field.to_lowercase();
    for (long, short) in [
        ("monday", "mon"),
        ("tuesday", "tue"),
        ("wednesday", "wed"),
        ("thursday", "thu"),
        ("friday", "fri"),
        ("saturday", "sat"),
        ("sunday", "sun"),
    ] {
        field = field.replace(long, short);
    }
    field
}

/// Names as numbers; the last day of a range may be Sunday.
fn named(field: &str, names: &[&str], first: usize) -> String {
    let mut field = field.to_lowercase();
    for (long, number) in LONG_MONTHS.iter().zip(1..).filter(|_| first == 1) {
        field = field.replace(long, &number.to_string());
    }
    for (name, number) in names.iter().zip(first..) {
        field = field.replace(
            &format!("-{name}"),
            &format!("-{}", if *name == "sun" { 7 } else { number }),
        );
        field = field.replace(name, &number.to_string());
    }
    field
}

const LONG_MONTHS: [&str; 12] = [
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
];

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    fn next(cron: &str, zone: &str, after: &str) -> String {
        let schedule = Schedule::crontab(cron, Zone::parse(Some(zone)).unwrap()).unwrap();
        schedule.next(at(after)).unwrap().to_rfc3339()
    }

    #[test]
    fn crontabs_are_kept_as_they_are() {
        for text in [
            "00 06 * * mon-fri",
            "*/5 * * * *",
            "0 0 1,15 * 3",
            "00 10 * * sat-sun",
        ] {
            assert_eq!(Schedule::parse(text, Zone::Local).unwrap().0.text(), text);
        }
        assert_eq!(
            Schedule::parse("0 6 * * monday", Zone::Local)
                .unwrap()
                .0
                .text(),
            "0 6 * * mon"
        );
        assert_eq!(
            Schedule::parse("0 6 * january *", Zone::Local)
                .unwrap()
                .0
                .text(),
            "0 6 * 1 *"
        );
        for text in [
            "61 * * * *",
            "* * * *",
            "* * * * * *",
            "0 0 32 * *",
            "@daily",
            "L * * * *",
        ] {
            assert!(Schedule::crontab(text, Zone::Local).is_none(), "{text}");
        }
    }

    #[test]
    fn weekends_are_two_days() {
        let schedule = Schedule::crontab("0 10 * * sat-sun", Zone::Named(Tz::UTC)).unwrap();
        let days: Vec<String> = schedule
            .times(at("2026-11-26T12:00:00Z"))
            .take(3)
            .map(|time| time.format("%a %d").to_string())
            .collect();
        assert_eq!(days, ["Sat 28", "Sun 29", "Sat 05"]);
    }

    #[test]
    fn clocks_that_jump() {
        // Berlin skips 02:00 to 03:00 on 29 March 2026: what is due then runs once, then.
        assert_eq!(
            next("30 2 * * *", "Europe/Berlin", "2026-03-28T12:00:00Z"),
            "2026-03-29T01:00:00+00:00"
        );
        assert_eq!(
            next("30 2 * * *", "Europe/Berlin", "2026-03-29T01:00:00Z"),
            "2026-03-30T00:30:00+00:00"
        );
        // It shows 02:00 to 03:00 twice on 25 October: a fixed time is due once.
        assert_eq!(
            next("30 2 * * *", "Europe/Berlin", "2026-10-24T12:00:00Z"),
            "2026-10-25T00:30:00+00:00"
        );
        assert_eq!(
            next("30 2 * * *", "Europe/Berlin", "2026-10-25T00:30:00Z"),
            "2026-10-26T01:30:00+00:00"
        );
        // Every half hour goes on through both.
        assert_eq!(
            next("*/30 * * * *", "Europe/Berlin", "2026-10-25T00:30:00Z"),
            "2026-10-25T01:00:00+00:00"
        );
    }

    #[test]
    fn walls_and_instants() {
        let berlin = Zone::parse(Some("Europe/Berlin")).unwrap();
        let wall = |text: &str| text.parse::<NaiveDateTime>().unwrap();
        assert_eq!(
            berlin.instant(wall("2026-07-01T12:00:00")),
            at("2026-07-01T10:00:00Z")
        );
        assert_eq!(
            berlin.instant(wall("2026-03-29T02:30:00")),
            at("2026-03-29T01:30:00Z")
        );
        assert_eq!(
            berlin.instant(wall("2026-10-25T02:30:00")),
            at("2026-10-25T00:30:00Z")
        );
        assert_eq!(
            berlin.wall(at("2026-07-01T10:00:00Z")),
            wall("2026-07-01T12:00:00")
        );
        assert!(Zone::parse(Some("Mars/Olympus")).is_err());
    }

    #[test]
    fn days_that_never_come() {
        let never = Schedule::crontab("0 0 30 2 *", Zone::Named(Tz::UTC)).unwrap();
        assert_eq!(never.next(at("2026-01-01T00:00:00Z")), None);
    }

    proptest! {
        #[test]
        fn times_go_up(minute in 0u8..60, step in 1u8..30, start in 1_600_000_000i64..2_000_000_000) {
            for text in [format!("{minute} * * * *"), format!("*/{step} */3 * * *")] {
                let schedule = Schedule::crontab(&text, Zone::Named(Tz::America__New_York)).unwrap();
                let start = DateTime::from_timestamp(start, 0).unwrap();
                let times: Vec<_> = schedule.times(start).take(5).collect();
                prop_assert!(times.first().is_some_and(|first| *first > start));
                prop_assert!(times.windows(2).all(|pair| pair[0] < pair[1]));
            }
        }

        #[test]
        fn no_crontab_panics(text in "[-0-9*/, a-zLW#?]{0,24}") {
            let _ = Schedule::crontab(&text, Zone::Local);
        }
    }
}
