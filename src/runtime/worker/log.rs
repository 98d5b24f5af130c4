//! What workers say in the log of a bucket: of tasks whose clients ask for it
//! (`__logging`, spec/runtime.md §7) what they do, of scripts what they say, of all others
//! what went wrong.

use super::stop::Stop;
use crate::progress::{Meter, Progress, Silent, Unit};
use crate::runtime::celery::calls::script_of;
use crate::runtime::celery::message::TaskMessage;
use crate::runtime::celery::pickle::Value;
use crate::runtime::logs::{Level, LogEntry, LogWriter, script_logger};
use std::sync::Arc;

/// The logger of what nobody has asked for.
const LOGGER: &str = "omega.worker";

/// Writes entries as this worker.
#[derive(Clone)]
pub(super) struct Log {
    writer: Arc<LogWriter>,
    hostname: String,
    user: String,
    /// Less is not written unless a task asks for it.
    level: Level,
}

impl Log {
    pub fn new(writer: LogWriter, user: &str, level: Level) -> Self {
        Log {
            writer: Arc::new(writer),
            hostname: crate::runtime::host(),
            user: user.to_owned(),
            level,
        }
    }

    /// Says something of the worker itself.
    pub fn say(&self, level: Level, message: String) {
        if level >= self.level {
            self.write(None, level, LOGGER, message);
        }
    }

    /// The log of a task.
    pub fn of(&self, task: &TaskMessage) -> TaskLog {
        let bucket = task.kwargs.get("__bucket").and_then(Value::as_str);
        TaskLog {
            log: self.clone(),
            task: format!("{}[{}]", task.task, task.id),
            bucket: bucket.map(str::to_owned),
            script: script_of(task).map(script_logger),
            wanted: task.kwargs.get("__logging").and_then(Wanted::read),
        }
    }

    fn write(&self, bucket: Option<&str>, level: Level, logger: &str, message: String) {
        let entry = LogEntry {
            created: chrono::Utc::now(),
            level: level.word().to_owned(),
            logger: logger.to_owned(),
            message,
            hostname: self.hostname.clone(),
            user: self.user.clone(),
        };
        self.writer.write(bucket, entry);
    }
}

/// What a task's client wants to be logged.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Wanted {
    logger: String,
    level: Level,
}

impl Wanted {
    /// True, a level, a logger, or both.
    fn read(value: &Value) -> Option<Self> {
        let wanted = |logger: &str, level| {
            Some(Wanted {
                logger: logger.to_owned(),
                level,
            })
        };
        match value {
            Value::Bool(true) => wanted("root", Level::Info),
            Value::Str(text) => match Level::parse(text) {
                Some(level) => wanted("root", level),
                None => wanted(text, Level::Info),
            },
            pair => match pair.as_items()? {
                [Value::Str(logger), Value::Str(level)] => {
                    wanted(logger, Level::parse(level).unwrap_or(Level::Info))
                }
                _ => None,
            },
        }
    }
}

/// The log of one task.
pub(super) struct TaskLog {
    log: Log,
    task: String,
    bucket: Option<String>,
    /// The logger of the script that it runs.
    script: Option<String>,
    wanted: Option<Wanted>,
}

impl TaskLog {
    /// Says something of the task; `message` goes on from its name.
    pub fn say(&self, level: Level, message: &str) {
        let bucket = self.bucket.as_deref();
        let text = || format!("{} {message}", self.task);
        if let Some(script) = &self.script
            && level >= self.log.level
        {
            self.log.write(bucket, level, script, text());
        }
        match &self.wanted {
            Some(wanted) if level >= wanted.level => {
                self.log.write(bucket, level, &wanted.logger, text());
            }
            None if self.script.is_none() && level >= self.log.level.max(Level::Warning) => {
                self.log.write(bucket, level, LOGGER, text());
            }
            _ => {}
        }
    }
}

/// What a running task reports to: its signal to stop, and its log.
pub(super) struct Reports {
    pub stop: Arc<Stop>,
    pub log: TaskLog,
}

impl Progress for Reports {
    fn meter(&self, _label: &str, _total: Option<u64>, _unit: Unit) -> Box<dyn Meter> {
        Box::new(Silent)
    }

    fn note(&self, message: &str) {
        tracing::info!("{message}");
        self.log.say(Level::Info, &format!("says: {message}"));
    }

    fn interrupted(&self) -> bool {
        self.stop.reason().is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wanted_has_four_forms() {
        let read = |value: Value| {
            let wanted = Wanted::read(&value)?;
            Some((wanted.logger, wanted.level))
        };
        let of = |logger: &str, level| Some((logger.to_owned(), level));
        assert_eq!(read(true.into()), of("root", Level::Info));
        assert_eq!(read("debug".into()), of("root", Level::Debug));
        assert_eq!(read("mymodule".into()), of("mymodule", Level::Info));
        let pair = || ["mymodule".into(), "ERROR".into()];
        assert_eq!(read(Value::tuple(pair())), of("mymodule", Level::Error));
        assert_eq!(read(false.into()), None);
        assert_eq!(read(Value::None), None);
    }
}
