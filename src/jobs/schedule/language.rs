//! Natural language to cron, with omega|ml's rules and results (spec/runtime.md §9). Texts
//! that omega|ml misreads as "every minute", or refuses although their meaning is plain, are
//! read as they are meant, and a note says so.

use crate::error::{Error, Result};

const DAYS: [&str; 7] = [
    "monday",
    "tuesday",
    "wednesday",
    "thursday",
    "friday",
    "saturday",
    "sunday",
];
const MONTHS: [&str; 12] = [
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

/// The five fields of a crontab, none for those that nothing was said about.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
struct Fields {
    minute: Option<String>,
    hour: Option<String>,
    monthday: Option<String>,
    month: Option<String>,
    weekday: Option<String>,
}

impl Fields {
    fn cron(&self) -> String {
        let field = |field: &Option<String>| field.clone().unwrap_or_else(|| "*".to_owned());
        [
            field(&self.minute),
            field(&self.hour),
            field(&self.monthday),
            field(&self.month),
            field(&self.weekday),
        ]
        .join(" ")
    }
}

/// The crontab that a text means, and what is to be said about it.
///
/// # Errors
/// [`crate::ErrorKind::Usage`] when it is no schedule.
pub fn parse(text: &str) -> Result<(String, Option<String>)> {
    let lower = text.trim().to_lowercase();
    if lower.is_empty() {
        return Err(Error::usage("the schedule is empty")
            .hint("say when: `daily, at 06:00`, `every 5 minutes`, or a crontab `0 6 * * *`"));
    }
    if let Some(cron) = meant(&lower) {
        let note = format!("`{text}` is read as `{cron}`; Python omega|ml reads it otherwise");
        return Ok((cron, Some(note)));
    }
    let fields = fields(&lower).ok_or_else(|| unreadable(text))?;
    let cron = fields.cron();
    let every_minute = fields.minute.as_deref().is_none_or(|minute| minute == "*");
    let note = every_minute.then(|| {
        format!(
            "`{text}` is read as `{cron}`, every minute of the time it names; `at hh:mm` says once"
        )
    });
    Ok((cron, note))
}

fn unreadable(text: &str) -> Error {
    Error::usage(format!("cannot parse the schedule `{text}`")).hint(
        "examples: `daily, at 06:00`, `weekdays, at 06:00`, `every 5 minutes`, `Fri/Sat, at 09:00`, `0 6 * * mon-fri`",
    )
}

/// What omega|ml misreads or refuses although it is plain.
fn meant(text: &str) -> Option<String> {
    let words: Vec<&str> = text
        .split([' ', ','])
        .filter(|word| !word.is_empty())
        .collect();
    let (time, words) = match words.iter().position(|word| *word == "at") {
        Some(at) => {
            let (before, after) = words.split_at(at);
            (after.get(1..)?.join(""), before)
        }
        None => (String::new(), words.as_slice()),
    };
    // Twelve-hour times lose their half of the day there.
    let twelve = twelve_hours(&time);
    if !time.is_empty() && twelve.is_none() {
        return match words {
            ["weekly"] | ["every", "week"] => on(&time, "* * mon"),
            ["monthly"] | ["every", "month"] => on(&time, "1 * *"),
            _ => None,
        };
    }
    let (hour, minute) = twelve.unwrap_or_default();
    let at = |rest: &str| Some(format!("{minute} {hour} {rest}"));
    match words {
        ["daily"] | ["every", "day"] => at("* * *"),
        ["weekly"] | ["every", "week"] => at("* * mon"),
        ["monthly"] | ["every", "month"] => at("1 * *"),
        ["yearly" | "annually"] | ["every", "year"] => at("1 1 *"),
        ["hourly"] | ["every", "hour"] if time.is_empty() => Some("0 * * * *".to_owned()),
        ["every", count, "min" | "mins"] if time.is_empty() => {
            let count: u8 = count.parse().ok().filter(|count| (1..60).contains(count))?;
            Some(format!("*/{count} * * * *"))
        }
        ["every", count, "hours" | "hrs" | "h"] if time.is_empty() => {
            let count: u8 = count.parse().ok().filter(|count| (1..24).contains(count))?;
            Some(format!("0 */{count} * * *"))
        }
        // The time of whatever else is said.
        _ if twelve.is_some() => {
            let mut fields = match words.is_empty() {
                true => Fields::default(),
                false => fields(&words.join(" "))?,
            };
            fields.hour = Some(hour.to_string());
            fields.minute = Some(minute.to_string());
            Some(fields.cron())
        }
        _ => None,
    }
}

fn on(time: &str, rest: &str) -> Option<String> {
    let (hour, minute) = time.split_once(':')?;
    let number = |text: &str, below: u8| text.parse().ok().filter(|number: &u8| *number < below);
    let (hour, minute) = (number(hour, 24)?, number(minute, 60)?);
    Some(format!("{minute} {hour} {rest}"))
}

/// `6pm`, `6:30am`, `noon`, `midnight`: hour and minute.
fn twelve_hours(time: &str) -> Option<(u8, u8)> {
    match time {
        "noon" => return Some((12, 0)),
        "midnight" => return Some((0, 0)),
        _ => {}
    }
    let (clock, afternoon) = match (time.strip_suffix("am"), time.strip_suffix("pm")) {
        (Some(clock), _) => (clock, false),
        (_, Some(clock)) => (clock, true),
        _ => return None,
    };
    let (hour, minute) = clock.split_once(':').unwrap_or((clock, "0"));
    let hour: u8 = hour.parse().ok().filter(|hour| (1..=12).contains(hour))?;
    let minute: u8 = minute.parse().ok().filter(|minute| *minute < 60)?;
    Some((hour % 12 + if afternoon { 12 } else { 0 }, minute))
}

/// The procedure of the specification.
fn fields(text: &str) -> Option<Fields> {
    let text = format!(" {text}").replace(" at ", ", at ");
    let mut fields = Fields::default();
    for part in text.split(',') {
        let part = prepared(part);
        if part.is_empty() {
            continue;
        }
        set(&mut fields, &part)?;
    }
    Some(fields)
}

fn prepared(part: &str) -> String {
    let mut part = part.trim().to_owned();
    for (from, to) in [
        (" and ", ","),
        ("days", "day"),
        ("hours", "hour"),
        ("minutes", "minute"),
        ("months", "month"),
        ("ends", "end"),
        ("on ", ""),
        ("only ", ""),
        ("in ", ""),
        ("from ", ""),
        (" of ", " "),
        ("/", ","),
        (" through ", "-"),
        (" until ", "-"),
        (" till ", "-"),
        (" to ", "-"),
    ] {
        part = part.replace(from, to);
    }
    part.trim().to_owned()
}

/// The first rule that suits a part sets one field.
fn set(fields: &mut Fields, part: &str) -> Option<()> {
    let has = |word: &str| part.contains(word);
    let without = |words: &[&str]| {
        let mut rest = part.to_owned();
        for word in words {
            rest = rest.replace(word, "");
        }
        rest
    };
    if has("day") && has("month") {
        fields.monthday = Some(field(&without(&["day", "month", "the"]))?);
    } else if has("month") {
        fields.month = Some(field(&without(&["month"]))?);
    } else if MONTHS
        .iter()
        .any(|month| has(month.get(..3).unwrap_or(month)))
    {
        let numbered = numbered(&without(&["every "]));
        fields.month = Some(field(&numbered)?);
    } else if has("daily") {
        fields.weekday = Some("*".to_owned());
    } else if DAYS.iter().any(|day| has(day.get(..3).unwrap_or(day))) || has("day") || has("week") {
        fields.weekday = Some(field(&weekdays(part))?);
    } else if has(":") && !has("between") {
        at(fields, &without(&["at ", "am", "pm"]))?;
    } else if has("hour") && !has("past the hour") {
        fields.hour = Some(field(&without(&["hour"]))?);
    } else if has("past the hour") {
        let number = part
            .split_whitespace()
            .find(|word| word.parse::<u8>().is_ok());
        fields.minute = Some(format!("*/{}", number?));
    } else if has("minute") {
        fields.minute = Some(field(&without(&["minute"]))?);
    } else {
        return None;
    }
    Some(())
}

/// Names of months as numbers.
fn numbered(part: &str) -> String {
    let mut text = part.to_owned();
    for (month, number) in MONTHS.iter().zip(1..) {
        text = text.replace(month, &number.to_string());
    }
    for (month, number) in MONTHS.iter().zip(1..) {
        text = text.replace(month.get(..3).unwrap_or(month), &number.to_string());
    }
    text
}

/// Names of days as cron has them.
fn weekdays(part: &str) -> String {
    let mut text = part.to_owned();
    for (from, to) in [
        ("working day", "mon-fri"),
        ("workday", "mon-fri"),
        ("weekday", "mon-fri"),
        ("weekend", "sat-sun"),
    ] {
        text = text.replace(from, to);
    }
    for day in DAYS {
        let short = day.get(..3).unwrap_or(day);
        text = text.replace(&format!("{day}s"), short).replace(day, short);
    }
    text.replace("day", "").replace("week", "")
}

/// `06:00,18:30` sets hours and minutes to what both parts name.
fn at(fields: &mut Fields, part: &str) -> Option<()> {
    let (mut hours, mut minutes): (Vec<String>, Vec<String>) = (Vec::new(), Vec::new());
    for time in part.split([',', ' ']).filter(|time| !time.is_empty()) {
        let (hour, minute) = time.trim().split_once(':')?;
        let known = |text: &str| text.len() <= 2 && text.parse::<u8>().is_ok();
        if !known(hour) || !known(minute) {
            return None;
        }
        hours.push(hour.to_owned());
        minutes.push(minute.to_owned());
    }
    for list in [&mut hours, &mut minutes] {
        list.sort();
        list.dedup();
    }
    fields.hour = Some(hours.join(","));
    fields.minute = Some(minutes.join(","));
    Some(())
}

/// One field of a crontab from what is left of its part.
fn field(text: &str) -> Option<String> {
    let text = text.trim();
    if text.contains("1st") || text.contains("first") {
        return Some("1".to_owned());
    }
    let value = match text.strip_prefix("every ") {
        Some(rest) => {
            let rest = rest.trim();
            match rest.rsplit(' ').next() {
                Some(last) if !last.is_empty() && last.bytes().all(|b| b.is_ascii_digit()) => {
                    format!("*/{last}")
                }
                _ => ["nd", "rd", "th"]
                    .iter()
                    .fold(rest.to_owned(), |rest, end| rest.replace(end, "")),
            }
        }
        None => text.replace("every", "*"),
    };
    let value: String = value.split_whitespace().collect();
    (!value.is_empty()).then_some(value)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The verified examples of spec/runtime.md §9.
    #[test]
    fn texts_mean_what_they_do_there() {
        for (text, expected) in [
            ("daily, at 06:00", "00 06 * * *"),
            ("daily, at 6:00", "00 6 * * *"),
            ("every 5 minutes", "*/5 * * * *"),
            ("every 30 minutes", "*/30 * * * *"),
            ("weekdays, at 06:00", "00 06 * * mon-fri"),
            ("weekends, at 10:00", "00 10 * * sat-sun"),
            ("Monday, at 12:00", "00 12 * * mon"),
            ("Mondays/Wednesday, at 06:00", "00 06 * * mon,wed"),
            ("Mondays, Tuesdays, at 06:00", "00 06 * * tue"),
            ("Fri/Sat, at 09:00", "00 09 * * fri,sat"),
            ("every day, at 08:00", "00 08 * * *"),
            ("at 10:00", "00 10 * * *"),
            ("01:30", "30 01 * * *"),
            ("hour 6, every 5 minutes", "*/5 6 * * *"),
            ("1st day of every month", "* * 1 * *"),
            ("every 2nd month, at 08:00", "00 08 * 2 *"),
            ("every 3rd day, at 12:15", "15 12 * * 3"),
            ("every 2nd hour", "* 2 * * *"),
            ("every 5th minute", "5 * * * *"),
        ] {
            assert_eq!(parse(text).unwrap().0, expected, "{text}");
        }
    }

    #[test]
    fn what_is_misread_there_means_what_it_says() {
        for (text, expected) in [
            ("daily", "0 0 * * *"),
            ("every hour", "0 * * * *"),
            ("hourly", "0 * * * *"),
            ("every 10 min", "*/10 * * * *"),
            ("every 6 hours", "0 */6 * * *"),
            ("daily at 6pm", "0 18 * * *"),
            ("Mondays at 12:30 am", "30 0 * * mon"),
            ("weekly", "0 0 * * mon"),
            ("every week, at 07:15", "15 7 * * mon"),
            ("monthly", "0 0 1 * *"),
            ("at noon", "0 12 * * *"),
        ] {
            let (cron, note) = parse(text).unwrap();
            assert_eq!(cron, expected, "{text}");
            assert!(note.unwrap().contains("omega|ml"), "{text}");
        }
        // Every minute of a day is told, since it is hardly meant.
        assert!(parse("1st day of every month").unwrap().1.is_some());
        assert!(parse("every 5 minutes").unwrap().1.is_none());
    }

    #[test]
    fn what_is_no_schedule_is_refused() {
        for text in ["", "  ", "whenever you like", "at six", "every", "at 6:0x"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in ".{0,60}") {
            let _ = parse(&text);
        }

        #[test]
        fn nearly_right_texts_do_not_panic(
            words in proptest::collection::vec("every|day|at|6:00|mon|/|,|1st|of|month|hour|[0-9]{1,3}|minutes|pm|am", 0..8)
        ) {
            let _ = parse(&words.join(" "));
        }
    }
}
