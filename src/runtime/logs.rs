//! The log of a bucket: a data set (`.omega/logs`, spec/storage.md §14) that workers of om
//! and of Python omega|ml write. Entries are buffered and written by a thread of their
//! own: no task waits for its log.

use crate::error::{Error, Result};
use crate::progress::Progress;
use crate::storage::Metadata;
use crate::storage::log::{CREATED, Log};
use crate::store::Store;
use bson::{Bson, Document, doc};
use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// The data set's kind.
const KIND: &str = "pandas.rawdict";

/// Entries that wait to be written, at the most; what is more is dropped and counted.
const WAITING: usize = 10_000;

/// How long an entry waits for others to be written with, and how many they are.
const PAUSE: Duration = Duration::from_millis(200);
const BATCH: usize = 1_000;

/// How often a log that cannot be written is complained about.
const COMPLAIN: Duration = Duration::from_secs(60);

/// How often a log is looked at when it is followed.
const LOOK: Duration = Duration::from_millis(250);

/// How late an entry may arrive, by slow writers and clocks that differ, to be seen by those
/// who follow.
const LATE: TimeDelta = TimeDelta::seconds(30);

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// For developers.
    Debug,
    /// What is going on.
    Info,
    /// Something is odd.
    Warning,
    /// Something failed.
    Error,
    /// Everything failed.
    Critical,
}

impl Level {
    /// All levels.
    pub const ALL: [Level; 5] = [
        Level::Debug,
        Level::Info,
        Level::Warning,
        Level::Error,
        Level::Critical,
    ];

    /// Python's word.
    pub fn word(self) -> &'static str {
        match self {
            Level::Debug => "DEBUG",
            Level::Info => "INFO",
            Level::Warning => "WARNING",
            Level::Error => "ERROR",
            Level::Critical => "CRITICAL",
        }
    }

    /// Python's number.
    pub fn number(self) -> i32 {
        match self {
            Level::Debug => 10,
            Level::Info => 20,
            Level::Warning => 30,
            Level::Error => 40,
            Level::Critical => 50,
        }
    }

    /// The level of a word, in any case; none for other words.
    pub fn parse(text: &str) -> Option<Self> {
        let word = match text.to_ascii_uppercase().as_str() {
            "WARN" => "WARNING".to_owned(),
            "FATAL" => "CRITICAL".to_owned(),
            other => other.to_owned(),
        };
        Level::ALL.into_iter().find(|level| level.word() == word)
    }
}

/// The logger of a script.
pub fn script_logger(name: &str) -> String {
    format!("scripts/{name}")
}

/// One entry.
#[derive(Debug, Clone, PartialEq)]
pub struct LogEntry {
    /// When it was made.
    pub created: DateTime<Utc>,
    /// A [`Level`], or a word of another program's.
    pub level: String,
    /// Who says it.
    pub logger: String,
    /// What.
    pub message: String,
    /// On which machine.
    pub hostname: String,
    /// As which user.
    pub user: String,
}

impl LogEntry {
    fn document(&self) -> Document {
        let created = self.created.format("%Y-%m-%d %H:%M:%S%.6f");
        let number = Level::parse(&self.level).map_or(0, Level::number);
        doc! {
            "level": &self.level,
            "levelno": number,
            "logger": &self.logger,
            "msg": &self.message,
            "text": format!("{created} {} {}", self.level, self.message),
            "hostname": &self.hostname,
            CREATED: bson::DateTime::from_millis(self.created.timestamp_millis()),
            "userid": &self.user,
        }
    }

    /// When it was made: RFC 3339 in UTC, to the millisecond.
    pub fn stamp(&self) -> String {
        self.created.to_rfc3339_opts(SecondsFormat::Millis, true)
    }

    /// The entry for programs.
    pub fn to_json(&self) -> Value {
        json!({
            "created": self.stamp(),
            "level": self.level,
            "logger": self.logger,
            "hostname": self.hostname,
            "user": self.user,
            "message": self.message,
        })
    }

    /// What an entry says, whoever has written it; what is missing is empty.
    fn read(entry: &Document) -> Self {
        let text = |field: &str| match entry.get(field) {
            Some(Bson::String(text)) => text.clone(),
            Some(Bson::Null) | None => String::new(),
            Some(other) => other.to_string(),
        };
        let created = entry.get_datetime(CREATED).ok();
        let created =
            created.and_then(|time| DateTime::from_timestamp_millis(time.timestamp_millis()));
        LogEntry {
            created: created.unwrap_or_default(),
            level: text("level"),
            logger: text("logger"),
            message: text("msg"),
            hostname: text("hostname"),
            user: text("userid"),
        }
    }
}

/// The time, level and message, as they are printed.
impl fmt::Display for LogEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let created = self.created.with_timezone(&chrono::Local);
        let created = created.format("%Y-%m-%d %H:%M:%S%.3f");
        write!(f, "{created} {} {}", self.level, self.message)
    }
}

/// The log of one bucket.
pub struct Logs(Box<dyn Log>);

impl Logs {
    /// The log of this name among data sets; made when it is written to.
    pub fn open(datasets: &Store, name: &str) -> Self {
        let metadata = Metadata::new(datasets.key(name), KIND);
        Logs(datasets.storage().log(metadata))
    }

    /// Adds entries.
    pub fn write(&self, entries: &[LogEntry]) -> Result<()> {
        self.0
            .append(entries.iter().map(LogEntry::document).collect())
    }

    /// The entries made at this time or later, oldest first; all if none.
    pub fn since(&self, time: Option<DateTime<Utc>>) -> Result<Vec<LogEntry>> {
        let time = time.map(|time| bson::DateTime::from_millis(time.timestamp_millis()));
        let found = self.0.since(time)?;
        Ok(found.iter().map(LogEntry::read).collect())
    }

    /// Hands over the entries that are made from now on, until `progress` says stop or
    /// `show` fails. The last `before` entries are handed over first; none are, twice a
    /// second or so, while there are no new ones.
    pub fn follow(
        &self,
        before: usize,
        progress: &dyn Progress,
        mut show: impl FnMut(Vec<LogEntry>) -> Result<()>,
    ) -> Result<()> {
        let mut seen: HashMap<Bson, i64> = HashMap::new();
        let mut first = true;
        loop {
            let horizon = Utc::now() - LATE;
            let time = bson::DateTime::from_millis(horizon.timestamp_millis());
            let found = self.0.since((!first).then_some(time))?;
            let mut fresh = Vec::new();
            for (place, entry) in found.iter().enumerate() {
                let created = entry.get_datetime(CREATED).ok();
                let created = created.map_or(0, |created| created.timestamp_millis());
                let id = entry.get("_id").cloned().unwrap_or(Bson::Null);
                let new = seen.insert(id, created).is_none();
                if new && (!first || place.saturating_add(before) >= found.len()) {
                    fresh.push(LogEntry::read(entry));
                }
            }
            seen.retain(|_, created| *created >= time.timestamp_millis());
            first = false;
            show(fresh)?;
            for _ in 0..5 {
                progress.check()?;
                std::thread::sleep(LOOK / 5);
            }
        }
    }
}

/// Finds the log of a bucket; none means the default one.
pub type LogsOf = dyn Fn(Option<&str>) -> Logs + Send + Sync;

/// An entry and the bucket that it goes to. A channel has room for all that may wait from its
/// start: here for pointers.
type Waiting = Box<(Option<String>, LogEntry)>;

/// Writes entries in the background, many at a time.
pub struct LogWriter {
    sender: Option<SyncSender<Waiting>>,
    dropped: AtomicU64,
    thread: Option<JoinHandle<()>>,
}

impl LogWriter {
    /// Writes to the logs that `logs` finds.
    ///
    /// # Errors
    /// When there can be no thread.
    pub fn start(logs: Box<LogsOf>) -> Result<Self> {
        let (sender, receiver) = sync_channel(WAITING);
        let thread = std::thread::Builder::new()
            .name("om-log".to_owned())
            .spawn(move || write_all(&receiver, &logs))
            .map_err(|error| Error::failed("cannot start a thread").because(error))?;
        Ok(LogWriter {
            sender: Some(sender),
            dropped: AtomicU64::new(0),
            thread: Some(thread),
        })
    }

    /// Writes an entry soon, to the log of `bucket`.
    pub fn write(&self, bucket: Option<&str>, entry: LogEntry) {
        if let Some(sender) = &self.sender
            && sender
                .try_send(Box::new((bucket.map(str::to_owned), entry)))
                .is_err()
        {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Writes what still waits.
impl Drop for LogWriter {
    fn drop(&mut self) {
        self.sender = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
        let dropped = self.dropped.load(Ordering::Relaxed);
        if dropped > 0 {
            tracing::warn!("{dropped} entries of the log were too many to be written");
        }
    }
}

fn write_all(receiver: &Receiver<Waiting>, logs: &LogsOf) {
    let mut open: HashMap<Option<String>, Logs> = HashMap::new();
    let mut complained: Option<Instant> = None;
    while let Ok(first) = receiver.recv() {
        let (bucket, entry) = *first;
        let mut batches = HashMap::from([(bucket, vec![entry])]);
        let until = Instant::now() + PAUSE;
        let mut count = 1;
        while count < BATCH {
            match receiver.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Ok(next) => {
                    let (bucket, entry) = *next;
                    batches.entry(bucket).or_default().push(entry);
                }
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => break,
            }
            count += 1;
        }
        for (bucket, entries) in batches {
            let name = bucket.clone();
            let log = open.entry(bucket).or_insert_with(|| logs(name.as_deref()));
            if let Err(error) = log.write(&entries)
                && complained.is_none_or(|last| last.elapsed() >= COMPLAIN)
            {
                complained = Some(Instant::now());
                tracing::warn!("the log cannot be written: {error}");
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::omega::Omega;
    use crate::progress::{Meter, Silent, Unit};

    fn entry(level: Level, message: &str) -> LogEntry {
        LogEntry {
            created: DateTime::from_timestamp_millis(Utc::now().timestamp_millis()).unwrap(),
            level: level.word().to_owned(),
            logger: "omega.task".to_owned(),
            message: message.to_owned(),
            hostname: "host".to_owned(),
            user: "jane".to_owned(),
        }
    }

    #[test]
    fn levels_have_words() {
        for level in Level::ALL {
            assert_eq!(Level::parse(&level.word().to_lowercase()), Some(level));
        }
        assert!(Level::Debug < Level::Error && Level::parse("root").is_none());
    }

    #[test]
    fn entries_are_those_of_the_handler() {
        let mut made = entry(Level::Warning, "odd");
        made.created = "2026-11-23T14:02:46.794Z".parse().unwrap();
        let document = made.document();
        let names: Vec<&String> = document.keys().collect();
        assert_eq!(
            names,
            [
                "level", "levelno", "logger", "msg", "text", "hostname", "created", "userid"
            ]
        );
        assert_eq!(document.get_i32("levelno").unwrap(), 30);
        assert_eq!(
            document.get_str("text").unwrap(),
            "2026-11-23 14:02:46.794000 WARNING odd"
        );
        assert_eq!(LogEntry::read(&document), made);
        assert_eq!(LogEntry::read(&doc! { "msg": 3 }).message, "3");
    }

    /// Says stop when it was asked some times.
    struct Looks(AtomicU64);

    impl Progress for Looks {
        fn meter(&self, _: &str, _: Option<u64>, _: Unit) -> Box<dyn Meter> {
            Box::new(Silent)
        }

        fn note(&self, _: &str) {}

        fn interrupted(&self) -> bool {
            self.0.fetch_add(1, Ordering::Relaxed) > 10
        }
    }

    #[test]
    fn what_is_written_is_followed() {
        let home = tempfile::tempdir().unwrap();
        let om = Omega::embedded(home.path()).unwrap();
        let logs = Logs::open(&om.datasets, ".omega/logs");
        assert!(logs.since(None).unwrap().is_empty());
        let other = om.clone();
        let writer = LogWriter::start(Box::new(move |bucket| {
            let om = other.bucket(bucket.unwrap_or("default"));
            Logs::open(&om.datasets, ".omega/logs")
        }))
        .unwrap();
        for number in 0..5 {
            writer.write(None, entry(Level::Info, &format!("line {number}")));
        }
        writer.write(Some("more"), entry(Level::Error, "elsewhere"));
        drop(writer);
        assert_eq!(logs.since(None).unwrap().len(), 5);
        let later = Utc::now() + TimeDelta::seconds(5);
        assert!(logs.since(Some(later)).unwrap().is_empty());
        let more = Logs::open(&om.bucket("more").datasets, ".omega/logs");
        assert_eq!(more.since(None).unwrap()[0].message, "elsewhere");

        let mut seen = Vec::new();
        let ended = logs.follow(2, &Looks(AtomicU64::new(0)), |entries| {
            if seen.is_empty() {
                logs.write(&[entry(Level::Info, "late")])?;
            }
            seen.extend(entries.into_iter().map(|entry| entry.message));
            Ok(())
        });
        assert!(ended.is_err());
        assert_eq!(seen, ["line 3", "line 4", "late"]);
    }
}
