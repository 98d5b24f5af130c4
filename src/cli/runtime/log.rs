//! `om runtime log`: what workers have written into the log.

use crate::cli::Session;
use crate::cli::app::parse_duration;
use crate::cli::output::{Cell, Column, Format, Table};
use crate::error::{Error, Result};
use crate::runtime::{Level, LogEntry, Logs};
use chrono::Utc;
use clap::Args;
use std::time::Duration;

/// What workers have done and what went wrong.
///
/// It is a data set, .omega/logs unless OMEGA_LOG_DATASET says otherwise, that workers of om
/// and of Python omega|ml write; its oldest entries go when it has a megabyte.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  om runtime log
  om runtime log -f
  om runtime log --level error --since 1h
  om runtime log --grep 6f0c --tail 20 -o jsonl")]
pub struct Log {
    /// Only of these loggers
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    logger: Vec<String>,
    #[command(flatten)]
    reading: LogReading,
}

impl Log {
    /// Runs the command.
    pub fn run(self, session: &Session) -> Result<()> {
        self.reading.show(&self.logger, session)
    }
}

/// Which entries of a log are shown.
#[derive(Debug, Args)]
pub struct LogReading {
    /// Show what is written from now on as well, until Ctrl-C
    #[arg(short, long)]
    follow: bool,
    /// Entries at the most, the last ones
    #[arg(short = 'n', long, value_name = "NUMBER")]
    tail: Option<usize>,
    /// Not older than this: 10m, 1h
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    since: Option<Duration>,
    /// At least this bad: debug, info, warning, error, critical
    #[arg(long, value_name = "LEVEL")]
    level: Option<String>,
    /// Only with this text in the message: a task's id, a name
    #[arg(long, value_name = "TEXT")]
    grep: Option<String>,
}

/// Entries that are shown before those that are followed, unless told otherwise.
const BEFORE: usize = 10;

impl LogReading {
    /// Shows the entries of these loggers; of all where none is named.
    pub fn show(&self, loggers: &[String], session: &Session) -> Result<()> {
        let level = self.level.as_deref().map(level).transpose()?;
        let om = session.omega()?;
        let logs = Logs::open(&om.datasets, &session.config()?.log_dataset());
        let keep = |entry: &LogEntry| {
            (loggers.is_empty() || loggers.contains(&entry.logger)) && self.wants(entry, level)
        };
        if self.follow {
            let before = self.tail.unwrap_or(BEFORE);
            return logs.follow(before, &session.progress, |entries| {
                entries
                    .iter()
                    .filter(|entry| keep(entry))
                    .try_for_each(|entry| show(session, entry))
            });
        }
        let since = self
            .since
            .and_then(|since| chrono::TimeDelta::from_std(since).ok());
        let mut found = logs.since(since.map(|since| Utc::now() - since))?;
        found.retain(keep);
        if let Some(tail) = self.tail {
            found.drain(..found.len().saturating_sub(tail));
        }
        let mut table = Table::new([
            Column::new("CREATED").whole(),
            Column::new("LEVEL"),
            Column::new("LOGGER").wide(),
            Column::new("HOSTNAME").wide(),
            Column::new("USER").wide(),
            Column::new("MESSAGE"),
        ])
        .named_by("MESSAGE")
        .when_empty("nothing was logged");
        for entry in &found {
            let created = entry.created.with_timezone(&chrono::Local);
            let created = created.format("%Y-%m-%d %H:%M:%S%.3f").to_string();
            table.push([
                Cell::shown(entry.stamp(), created),
                Cell::from(entry.level.as_str()),
                Cell::from(entry.logger.as_str()),
                Cell::from(entry.hostname.as_str()),
                Cell::from(entry.user.as_str()),
                Cell::from(entry.message.as_str()),
            ]);
        }
        session.output.rows(&table)
    }

    fn wants(&self, entry: &LogEntry, level: Option<Level>) -> bool {
        level.is_none_or(|level| Level::parse(&entry.level).is_none_or(|found| found >= level))
            && self
                .grep
                .as_ref()
                .is_none_or(|text| entry.message.contains(text))
    }
}

/// One line: what is followed cannot be one document.
fn show(session: &Session, entry: &LogEntry) -> Result<()> {
    match session.output.format() {
        Some(Format::Json | Format::Jsonl | Format::Yaml) => session.output.line(entry.to_json()),
        _ => session.output.line(entry),
    }
}

fn level(text: &str) -> Result<Level> {
    Level::parse(text).ok_or_else(|| {
        Error::usage(format!("`{text}` is no level of a log"))
            .hint("levels: debug, info, warning, error, critical")
    })
}
