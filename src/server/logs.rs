//! The log of the workers: what there is, or what comes, as server-sent events.

use super::app::Call;
use super::reply::{Reply, Stream};
use super::request::is_true;
use crate::error::{Context, Error, Result};
use crate::runtime::{Level, LogEntry};
use chrono::{DateTime, Utc};
use serde_json::Value;
use std::io::{self, Write};
use std::time::{Duration, Instant};

/// Entries that are told unless told otherwise.
const TOLD: usize = 1000;

/// How often a reader hears that there is nothing new, so that one that is gone is noticed.
const PULSE: Duration = Duration::from_secs(3);

/// How long entries are followed; then the reader comes again.
const LONGEST: Duration = Duration::from_secs(3600);

/// The entries of the bucket's log, oldest first; with `follow` those to come as well.
pub fn show(call: &Call<'_>) -> Result<Reply> {
    let request = call.request;
    let number = |name: &str| {
        let text = request.param(name);
        let number = text.map(|text| text.parse::<usize>()).transpose();
        number.map_err(|_| Error::usage(format!("`{name}` is no number")))
    };
    let level = request.param("level").map(|text| {
        Level::parse(text).ok_or_else(|| Error::usage(format!("`{text}` is no level of a log")))
    });
    let level = level.transpose()?;
    let wanted = move |entry: &LogEntry| {
        level.is_none_or(|level| Level::parse(&entry.level).is_none_or(|found| found >= level))
    };
    let events = request
        .header("accept")
        .is_some_and(|accepted| accepted.contains("text/event-stream"));
    if !events && !request.param("follow").is_some_and(is_true) {
        let since = request.param("since").map(|text| {
            DateTime::parse_from_rfc3339(text)
                .map_err(|_| Error::usage("`since` is no time like 2026-01-31T08:00:00Z"))
        });
        let since = since.transpose()?.map(|time| time.with_timezone(&Utc));
        let mut found = call.logs().since(since)?;
        found.retain(wanted);
        let tail = number("tail")?.unwrap_or(TOLD);
        found.drain(..found.len().saturating_sub(tail));
        let told: Vec<Value> = found.iter().map(LogEntry::to_json).collect();
        let body = Value::Array(told).to_string().into_bytes();
        return Ok(Reply::bytes("application/json", body));
    }
    let logs = call.logs();
    let before = number("tail")?.unwrap_or(10);
    let stopping = call.stopping();
    let place = call.follower()?;
    // Where a reader comes again, it says what it has seen.
    let seen = request.header("last-event-id").map(str::to_owned);
    let stream: Stream = Box::new(move |mut to| {
        let _place = place;
        let began = Instant::now();
        let mut said = Instant::now();
        to.write_all(b"retry: 2000\n\n")?;
        to.flush()?;
        let before = if seen.is_some() { usize::MAX } else { before };
        let ended = logs.follow(before, stopping.as_ref(), |entries| {
            if began.elapsed() > LONGEST {
                return Err(Error::failed("it is time to come again"));
            }
            let new = |entry: &&LogEntry| seen.as_ref().is_none_or(|seen| entry.stamp() > *seen);
            let entries: Vec<&LogEntry> = entries
                .iter()
                .filter(new)
                .filter(|entry| wanted(entry))
                .collect();
            if entries.is_empty() && said.elapsed() < PULSE {
                return Ok(());
            }
            said = Instant::now();
            write(&mut to, &entries).context(|| "the reader has gone")
        });
        tracing::debug!("a reader of the log is let go: {ended:?}");
        Ok(())
    });
    Ok(Reply::streamed("text/event-stream", stream)
        .header("cache-control", "no-store")
        .header("x-accel-buffering", "no"))
}

fn write(to: &mut dyn Write, entries: &[&LogEntry]) -> io::Result<()> {
    if entries.is_empty() {
        to.write_all(b":\n\n")?;
    }
    for entry in entries {
        write!(
            to,
            "id: {}\nevent: log\ndata: {}\n\n",
            entry.stamp(),
            entry.to_json()
        )?;
    }
    to.flush()
}
