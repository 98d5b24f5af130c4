//! A crontab in words, as omega|ml shows it: `At 06:00 AM, Monday through Friday`.

const DAYS: [&str; 7] = [
    "Sunday",
    "Monday",
    "Tuesday",
    "Wednesday",
    "Thursday",
    "Friday",
    "Saturday",
];
const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

/// The crontab in words.
pub fn describe(cron: &str) -> String {
    let fields: Vec<&str> = cron.split_whitespace().collect();
    let [minute, hour, monthday, month, weekday] = fields.as_slice() else {
        return cron.to_owned();
    };
    let mut text = time(minute, hour);
    let day = |value: &str| {
        let index = value.parse::<usize>().ok().map(|day| day % 7);
        let short = |day: &&&str| {
            day.get(..3)
                .is_some_and(|day| day.eq_ignore_ascii_case(value))
        };
        let found = index
            .and_then(|index| DAYS.get(index))
            .or_else(|| DAYS.iter().find(short));
        found.map_or_else(|| value.to_owned(), |day| (*day).to_owned())
    };
    let name = |value: &str| {
        let index = value
            .parse::<usize>()
            .ok()
            .and_then(|month| month.checked_sub(1));
        let short = |month: &&&str| {
            month
                .get(..3)
                .is_some_and(|month| month.eq_ignore_ascii_case(value))
        };
        let found = index
            .and_then(|index| MONTHS.get(index))
            .or_else(|| MONTHS.iter().find(short));
        found.map_or_else(|| value.to_owned(), |month| (*month).to_owned())
    };
    if *monthday != "*" {
        text.push_str(&match monthday.strip_prefix("*/") {
            Some(step) => format!(", every {step} days"),
            None => format!(", on day {} of the month", list(monthday, &str::to_owned)),
        });
    }
    if *weekday != "*" {
        let joint = match *monthday {
            "*" => "",
            _ => "and on ",
        };
        text.push_str(&match weekday.strip_prefix("*/") {
            Some(step) => format!(", {joint}every {step} days of the week"),
            None if weekday.contains('-') => format!(", {joint}{}", list(weekday, &day)),
            None => format!(
                ", {}{}",
                if joint.is_empty() { "only on " } else { joint },
                list(weekday, &day)
            ),
        });
    }
    if *month != "*" {
        text.push_str(&match month.strip_prefix("*/") {
            Some(step) => format!(", every {step} months"),
            None if month.contains('-') => format!(", {}", list(month, &name)),
            None => format!(", only in {}", list(month, &name)),
        });
    }
    text
}

fn time(minute: &str, hour: &str) -> String {
    let number = |text: &str| text.parse::<u8>().ok();
    let numbers = |text: &str| text.split(',').map(number).collect::<Option<Vec<u8>>>();
    if let (Some(minutes), Some(hours)) = (numbers(minute), numbers(hour)) {
        let mut times = Vec::new();
        for hour in &hours {
            for minute in &minutes {
                times.push(clock(*hour, *minute));
            }
        }
        return format!("At {}", joined(&times));
    }
    let mut text = match (minute, minute.strip_prefix("*/")) {
        ("*", _) => "Every minute".to_owned(),
        (_, Some("1")) => "Every minute".to_owned(),
        (_, Some(step)) => format!("Every {step} minutes"),
        ("0" | "00", _) if hour == "*" => return "Every hour".to_owned(),
        ("0" | "00", _) if hour.starts_with("*/") => String::new(),
        _ => format!("At {} minutes past the hour", list(minute, &str::to_owned)),
    };
    match (hour, hour.strip_prefix("*/")) {
        ("*", _) => {}
        (_, Some(step)) if text.is_empty() => text = format!("Every {step} hours"),
        (_, Some(step)) => text.push_str(&format!(", every {step} hours")),
        _ => match hour
            .split_once('-')
            .and_then(|(from, to)| Some((number(from)?, number(to)?)))
        {
            Some((from, to)) => {
                text.push_str(&format!(
                    ", between {} and {}",
                    clock(from, 0),
                    clock(to, 59)
                ));
            }
            None => match numbers(hour) {
                Some(hours) => {
                    let spans: Vec<String> = hours
                        .iter()
                        .map(|hour| format!("between {} and {}", clock(*hour, 0), clock(*hour, 59)))
                        .collect();
                    text.push_str(&format!(", {}", joined(&spans)));
                }
                None => text.push_str(&format!(", in the hours {hour}")),
            },
        },
    }
    text
}

fn clock(hour: u8, minute: u8) -> String {
    let half = if hour % 24 < 12 { "AM" } else { "PM" };
    let twelve = match hour % 12 {
        0 => 12,
        hour => hour,
    };
    format!("{twelve:02}:{minute:02} {half}")
}

/// `mon,wed-fri` with names: `Monday and Wednesday through Friday`.
fn list(field: &str, name: &dyn Fn(&str) -> String) -> String {
    let parts: Vec<String> = field
        .split(',')
        .map(|part| match part.split_once('-') {
            Some((from, to)) => format!("{} through {}", name(from), name(to)),
            None => name(part),
        })
        .collect();
    joined(&parts)
}

fn joined(parts: &[String]) -> String {
    match parts {
        [] => String::new(),
        [one] => one.clone(),
        [one, two] => format!("{one} and {two}"),
        [most @ .., last] => format!("{}, and {last}", most.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crontabs_in_words() {
        for (cron, words) in [
            ("00 06 * * *", "At 06:00 AM"),
            ("00 06 * * mon-fri", "At 06:00 AM, Monday through Friday"),
            ("*/5 * * * *", "Every 5 minutes"),
            ("* * * * *", "Every minute"),
            ("0 * * * *", "Every hour"),
            ("0 */6 * * *", "Every 6 hours"),
            ("30 18 1 * *", "At 06:30 PM, on day 1 of the month"),
            (
                "00 09 * * fri,sat",
                "At 09:00 AM, only on Friday and Saturday",
            ),
            (
                "*/5 6 * * *",
                "Every 5 minutes, between 06:00 AM and 06:59 AM",
            ),
            ("00 08 * 2 *", "At 08:00 AM, only in February"),
            ("0 0,12 * * *", "At 12:00 AM and 12:00 PM"),
            (
                "5 9-17 * * *",
                "At 5 minutes past the hour, between 09:00 AM and 05:59 PM",
            ),
            ("15 12 * * 3", "At 12:15 PM, only on Wednesday"),
        ] {
            assert_eq!(describe(cron), words, "{cron}");
        }
    }
}
