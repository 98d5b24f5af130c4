//! `om jobs schedule`.

use crate::cli::Session;
use crate::error::{Error, Result};
use crate::jobs::schedule::{Schedule, Zone};
use crate::jobs::{Jobs, Trigger};
use chrono::{DateTime, Utc};
use clap::Args;
use serde_json::json;

/// When a job runs, and to change that.
///
/// Schedules are natural language, a crontab, or its fields. `om runtime scheduler` runs
/// what is due; Python omega|ml's does too.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  om jobs schedule report
  om jobs schedule report 'weekdays, at 06:00'
  om jobs schedule report --cron '*/5 * * * *' --zone Europe/Berlin --next 3
  om jobs schedule report --weekday mon-fri --at 06:00
  om jobs schedule report delete")]
pub struct ScheduleJob {
    /// Name of the job
    #[arg(add = crate::cli::stored::objects())]
    name: String,
    /// `show`, `delete`, or when it is to run
    #[arg(value_name = "INTERVAL", num_args = 0..)]
    interval: Vec<String>,
    /// A crontab of five fields
    #[arg(long, value_name = "SPEC", conflicts_with_all = ["weekday", "monthday", "month", "at", "hour", "minute"])]
    cron: Option<String>,
    /// Days of the week
    #[arg(long, value_name = "DAYS")]
    weekday: Option<String>,
    /// Days of the month
    #[arg(long, value_name = "DAYS")]
    monthday: Option<String>,
    /// Months
    #[arg(long, value_name = "MONTHS")]
    month: Option<String>,
    /// Time of day: hh:mm
    #[arg(long, value_name = "TIME", conflicts_with_all = ["hour", "minute"])]
    at: Option<String>,
    /// Hours
    #[arg(long, value_name = "HOURS")]
    hour: Option<String>,
    /// Minutes
    #[arg(long, value_name = "MINUTES")]
    minute: Option<String>,
    /// Time zone, such as Europe/Berlin [default: the machine's]
    #[arg(long, value_name = "ZONE", visible_alias = "timezone")]
    zone: Option<String>,
    /// Also print the next times
    #[arg(long, value_name = "NUMBER")]
    next: Option<usize>,
}

impl ScheduleJob {
    /// Runs the command.
    pub fn run(self, session: &Session) -> Result<()> {
        let jobs = session.omega()?.jobs;
        let metadata = jobs.metadata(&self.name)?;
        let current = Jobs::schedule_of(&metadata)?;
        let pending = Trigger::all(&metadata)
            .into_iter()
            .find(Trigger::is_pending);
        let wanted = self.wanted()?;
        let structured = session.output.is_structured();
        if !structured {
            self.tell(session, current.as_ref(), pending.as_ref())?;
        }
        let schedule = match wanted {
            Wanted::Show => current,
            Wanted::Delete => {
                if current.is_some() || pending.is_some() {
                    if !session
                        .output
                        .confirm("Do you want to delete this schedule?")?
                    {
                        return Ok(());
                    }
                    jobs.unschedule(&self.name)?;
                }
                None
            }
            Wanted::Set(text) => {
                let zone = match &self.zone {
                    Some(zone) => Zone::parse(Some(zone))?,
                    None => current.as_ref().map_or(Zone::Local, Schedule::zone),
                };
                let (schedule, note) = Schedule::parse(&text, zone)?;
                if let Some(note) = note {
                    session.output.note(&note);
                }
                if !structured {
                    self.times(session, &schedule, "Given this new interval, next")?;
                }
                let words = schedule.words();
                if !session.output.confirm(&format!(
                    "Do you want to schedule {} at {words}?",
                    self.name
                ))? {
                    return session.output.line("Ok, not scheduled. Try again.");
                }
                jobs.schedule(&self.name, &schedule, Utc::now())?;
                if !structured {
                    session
                        .output
                        .line(format!("{} will be scheduled to run {words}", self.name))?;
                }
                Some(schedule)
            }
        };
        match structured {
            true => session.output.value(&match schedule {
                Some(schedule) => json!({
                    "name": metadata.name(), "cron": schedule.text(), "zone": schedule.zone().name(),
                    "description": schedule.words(),
                    "next": schedule.times(Utc::now()).take(self.next.unwrap_or(1)).map(|time| time.to_rfc3339()).collect::<Vec<_>>(),
                }),
                None => json!({"name": metadata.name(), "cron": null}),
            }),
            false => Ok(()),
        }
    }

    fn wanted(&self) -> Result<Wanted> {
        let interval = self.interval.join(" ");
        let parts = [
            &self.weekday,
            &self.monthday,
            &self.month,
            &self.at,
            &self.hour,
            &self.minute,
        ];
        let by_parts = parts.iter().any(|part| part.is_some());
        match (interval.as_str(), &self.cron) {
            ("" | "show", None) if !by_parts => Ok(Wanted::Show),
            ("delete", None) if !by_parts => Ok(Wanted::Delete),
            ("", Some(cron)) => match Schedule::crontab(cron, Zone::Local) {
                Some(_) => Ok(Wanted::Set(cron.clone())),
                None => Err(
                    Error::usage(format!("`{cron}` is no crontab of five fields"))
                        .hint("minute hour monthday month weekday, e.g. 0 6 * * mon-fri"),
                ),
            },
            ("", None) => {
                let (hour, minute) = match &self.at {
                    Some(at) => match at.split_once(':') {
                        Some((hour, minute)) => (Some(hour.to_owned()), Some(minute.to_owned())),
                        None => return Err(Error::usage(format!("--at takes hh:mm, not `{at}`"))),
                    },
                    None => (self.hour.clone(), self.minute.clone()),
                };
                let fields = [&minute, &hour, &self.monthday, &self.month, &self.weekday];
                let fields = fields.map(|field| field.clone().unwrap_or_else(|| "*".to_owned()));
                let cron = fields.join(" ");
                match Schedule::crontab(&cron, Zone::Local) {
                    Some(_) => Ok(Wanted::Set(cron)),
                    None => Err(Error::usage(format!("`{cron}` is no crontab"))),
                }
            }
            (_, None) if !by_parts => Ok(Wanted::Set(interval)),
            _ => Err(Error::usage(
                "say once when it is to run: an interval, --cron, or fields",
            )),
        }
    }

    /// How it is now.
    fn tell(
        &self,
        session: &Session,
        current: Option<&Schedule>,
        pending: Option<&Trigger>,
    ) -> Result<()> {
        match current {
            Some(schedule) => {
                let zone = schedule
                    .zone()
                    .name()
                    .map(|zone| format!(" ({zone})"))
                    .unwrap_or_default();
                session.output.line(format!(
                    "Currently {} is scheduled at {}{zone}",
                    self.name,
                    schedule.words()
                ))?;
                self.times(session, schedule, "Given this existing interval, next")?;
            }
            None => session
                .output
                .line(format!("Currently {} is not scheduled", self.name))?,
        }
        match pending {
            Some(trigger) => session.output.line(format!(
                "{} is scheduled to run next at {}",
                self.name, trigger.event
            )),
            None => Ok(()),
        }
    }

    fn times(&self, session: &Session, schedule: &Schedule, lead: &str) -> Result<()> {
        let Some(count) = self.next else {
            return Ok(());
        };
        session
            .output
            .line(format!("{lead} {count} times would be:"))?;
        let shown = |time: DateTime<Utc>| {
            schedule
                .zone()
                .wall(time)
                .format("%Y-%m-%d %H:%M:%S")
                .to_string()
        };
        let times = schedule.times(Utc::now()).take(count);
        times
            .map(shown)
            .try_for_each(|time| session.output.line(format!("  {time}")))
    }
}

enum Wanted {
    Show,
    Delete,
    Set(String),
}
