//! The SQLite database of a store: connections, the schema and its version, waiting for
//! other writers, and what SQLite's errors mean. Knows nothing of objects.

use super::crash;
use super::layout::Layout;
use crate::error::{Error, ErrorKind, Result};
use crate::progress::Progress;
use rusqlite::{Connection, ErrorCode, OpenFlags, Transaction, TransactionBehavior};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The version of the schema below, kept in SQLite's `user_version`.
const VERSION: i64 = 1;

/// Marks our databases ("omdb"), kept in SQLite's `application_id`.
const APPLICATION: i64 = 0x6f6d_6462;

/// When a wait for other writers is worth a word.
const TELL_AFTER: Duration = Duration::from_millis(500);

/// `objects` point to `contents`; a content's rows or bytes are in `files`, its documents
/// in `documents`, both in the order of `seq`. `checksum` and `root` are SHA-256.
const SCHEMA: &str = "
CREATE TABLE contents (
    id TEXT PRIMARY KEY,
    kind TEXT NOT NULL,
    count INTEGER NOT NULL,
    bytes INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE objects (
    id INTEGER PRIMARY KEY,
    bucket TEXT NOT NULL,
    prefix TEXT NOT NULL,
    name TEXT NOT NULL,
    kind TEXT NOT NULL,
    content TEXT REFERENCES contents (id),
    doc BLOB NOT NULL,
    checksum BLOB NOT NULL,
    UNIQUE (bucket, prefix, name)
);
CREATE INDEX objects_content ON objects (content);
CREATE TABLE files (
    content TEXT NOT NULL REFERENCES contents (id) ON DELETE CASCADE,
    seq INTEGER NOT NULL,
    file TEXT NOT NULL UNIQUE,
    rows INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    root BLOB NOT NULL,
    digests BLOB NOT NULL,
    PRIMARY KEY (content, seq)
);
CREATE TABLE documents (
    seq INTEGER PRIMARY KEY,
    content TEXT NOT NULL REFERENCES contents (id) ON DELETE CASCADE,
    doc BLOB NOT NULL,
    checksum BLOB NOT NULL
);
CREATE INDEX documents_content ON documents (content);
CREATE TABLE settings (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
";

/// The database and its open connections.
pub(super) struct Database {
    layout: Layout,
    limit: Duration,
    progress: Arc<dyn Progress>,
    ready: AtomicBool,
    idle: Mutex<Vec<Connection>>,
}

impl Database {
    pub fn new(layout: Layout, limit: Duration, progress: Arc<dyn Progress>) -> Self {
        Database {
            layout,
            limit,
            progress,
            ready: AtomicBool::new(false),
            idle: Mutex::default(),
        }
    }

    /// A connection for reading; none while nothing has been stored yet.
    pub fn reader(&self) -> Result<Option<Connection>> {
        if let Some(connection) = self.idle() {
            return Ok(Some(connection));
        }
        let path = self.layout.database();
        if !path.exists() {
            // Tables come before content, so content without them has lost them, unless
            // a first writer has just made both.
            if self.layout.has_content() && !path.exists() {
                return Err(self.missing_tables());
            }
            return Ok(None);
        }
        let connection = self.connect(OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        match version(&connection) {
            Ok(0) if self.layout.has_content() && version(&connection).is_ok_and(|v| v == 0) => {
                Err(self.missing_tables())
            }
            Ok(0) => Ok(None),
            Ok(VERSION) => Ok(Some(connection)),
            Ok(newer) => Err(self.newer(newer)),
            Err(error) if is_unwritable(&error) => self.read_only(error).map(Some),
            Err(error) => Err(self.explain(error, "open")),
        }
    }

    /// Runs `read` on one state of the database; none while nothing has been stored yet.
    pub fn read<T>(&self, read: impl FnOnce(&Connection) -> Result<T>) -> Result<Option<T>> {
        let Some(connection) = self.reader()? else {
            return Ok(None);
        };
        let snapshot = connection.unchecked_transaction().sql("read").at(self)?;
        let result = read(&snapshot).at(self)?;
        drop(snapshot);
        self.give_back(connection);
        Ok(Some(result))
    }

    /// Makes the directory and the tables if they are missing.
    pub fn prepare(&self) -> Result<()> {
        if !self.ready.load(Ordering::Acquire) || !self.layout.database().exists() {
            self.layout.create()?;
            let mut connection =
                self.connect(OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE)?;
            self.make_tables(&mut connection)?;
            self.give_back(connection);
            self.ready.store(true, Ordering::Release);
        }
        Ok(())
    }

    /// Runs `write` in a transaction of its own, after those of other processes.
    pub fn write<T>(&self, write: impl FnOnce(&Transaction<'_>) -> Result<T>) -> Result<T> {
        self.prepare()?;
        let mut connection = match self.idle() {
            Some(connection) => connection,
            None => self.connect(OpenFlags::SQLITE_OPEN_READ_WRITE)?,
        };
        let transaction = connection
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .map_err(|error| self.explain(error, "write to"))?;
        let result = write(&transaction).at(self)?;
        crash::around(|| transaction.commit()).map_err(|error| self.explain(error, "write to"))?;
        self.give_back(connection);
        Ok(result)
    }

    fn idle(&self) -> Option<Connection> {
        self.idle
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .pop()
    }

    fn give_back(&self, connection: Connection) {
        if connection.is_autocommit() {
            self.idle
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push(connection);
        }
    }

    fn connect(&self, flags: OpenFlags) -> Result<Connection> {
        let flags = flags | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let mut connection = Connection::open_with_flags(self.layout.database(), flags)
            .map_err(|error| self.explain(error, "open"))?;
        let turn = turn(
            self.limit,
            self.progress.clone(),
            self.layout.root().display().to_string(),
        );
        connection
            .busy_handler(Some(turn))
            .and_then(|()| {
                connection.execute_batch("PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON")
            })
            .map_err(|error| self.explain(error, "open"))?;
        connection.set_prepared_statement_cache_capacity(32);
        Ok(connection)
    }

    /// Opens a database in a directory where SQLite cannot make its helper files.
    fn read_only(&self, error: rusqlite::Error) -> Result<Connection> {
        let path = self.layout.database();
        let mut log = path.clone().into_os_string();
        log.push("-wal");
        if std::fs::metadata(log).is_ok_and(|log| log.len() > 0) {
            return Err(self.explain(error, "open"));
        }
        let mut uri = String::from("file:");
        for character in path.to_string_lossy().chars() {
            match character {
                '%' => uri.push_str("%25"),
                '?' => uri.push_str("%3f"),
                '#' => uri.push_str("%23"),
                other => uri.push(other),
            }
        }
        uri.push_str("?immutable=1");
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY
            | OpenFlags::SQLITE_OPEN_URI
            | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection =
            Connection::open_with_flags(uri, flags).map_err(|error| self.explain(error, "open"))?;
        match version(&connection) {
            Ok(VERSION) => Ok(connection),
            Ok(newer) => Err(self.newer(newer)),
            Err(error) => Err(self.explain(error, "open")),
        }
    }

    fn make_tables(&self, connection: &mut Connection) -> Result<()> {
        let found = version(connection).map_err(|error| self.explain(error, "open"))?;
        if found == VERSION {
            return Ok(());
        }
        if found != 0 {
            return Err(self.newer(found));
        }
        self.switch_to_wal(connection)?;
        let transaction = connection
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .map_err(|error| self.explain(error, "write to"))?;
        // Another process may have been first.
        let found = version(&transaction).map_err(|error| self.explain(error, "open"))?;
        if found == 0 {
            if self.layout.has_content() {
                return Err(self.missing_tables());
            }
            let tables: i64 = transaction
                .query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))
                .map_err(|error| self.explain(error, "open"))?;
            if tables != 0 {
                return Err(Error::failed(format!(
                    "{} is a database of another program",
                    self.layout.database().display()
                ))
                .hint("choose another directory for the store"));
            }
            let script = format!(
                "{SCHEMA} PRAGMA application_id = {APPLICATION}; PRAGMA user_version = {VERSION};"
            );
            transaction
                .execute_batch(&script)
                .map_err(|error| self.explain(error, "write to"))?;
        }
        crash::around(|| transaction.commit()).map_err(|error| self.explain(error, "write to"))
    }

    /// SQLite does not wait for others when it changes the journal mode.
    fn switch_to_wal(&self, connection: &Connection) -> Result<()> {
        let mut turn = turn(
            self.limit,
            self.progress.clone(),
            self.layout.root().display().to_string(),
        );
        let mut count = 0;
        loop {
            let switched = crash::around(|| {
                connection.query_row("PRAGMA journal_mode = WAL", [], |row| {
                    row.get::<_, String>(0)
                })
            });
            match switched {
                Ok(_) => return Ok(()),
                Err(error) if is_busy(&error) && turn(count) => count += 1,
                Err(error) => return Err(self.explain(error, "write to")),
            }
        }
    }

    fn newer(&self, version: i64) -> Error {
        Error::failed(format!(
            "{} was written by a newer om: its format is {version}, this om knows {VERSION}",
            self.layout.database().display()
        ))
        .hint("update om")
    }

    fn missing_tables(&self) -> Error {
        Error::corrupt(format!(
            "{} is missing or empty though there is content beside it",
            self.layout.database().display()
        ))
        .hint("restore it from a backup; without it the content has no names")
    }

    /// An error of SQLite as one of ours.
    pub fn explain(&self, error: rusqlite::Error, doing: &str) -> Error {
        self.name(Error::new(kind_of(&error), format!("cannot {doing} the store")).because(error))
    }

    /// Names the database in an error that has no object yet and adds what helps.
    fn name(&self, error: Error) -> Error {
        if error.kind() == ErrorKind::TimedOut && self.progress.interrupted() {
            return Error::new(ErrorKind::Interrupted, "interrupted");
        }
        let path = self.layout.database();
        let hint = match error.kind() {
            ErrorKind::TimedOut => format!(
                "another process has been writing for more than {} s; try again",
                self.limit.as_secs_f32()
            ),
            ErrorKind::Corrupt => "`om store check` tells what is damaged".to_owned(),
            _ => "check the free space and the permissions of the store's directory".to_owned(),
        };
        if error.object().is_some() {
            return error;
        }
        error.on(path.display().to_string()).hint(hint)
    }
}

/// Errors of SQLite inside a transaction; [`Database::read`] and [`Database::write`] say
/// which database it was.
pub(super) trait Sql<T> {
    /// `doing` completes "cannot … the store".
    fn sql(self, doing: &str) -> Result<T>;
}

impl<T> Sql<T> for rusqlite::Result<T> {
    fn sql(self, doing: &str) -> Result<T> {
        self.map_err(|error| {
            Error::new(kind_of(&error), format!("cannot {doing} the store")).because(error)
        })
    }
}

trait At<T> {
    fn at(self, database: &Database) -> Result<T>;
}

impl<T> At<T> for Result<T> {
    fn at(self, database: &Database) -> Result<T> {
        self.map_err(|error| database.name(error))
    }
}

fn version(connection: &Connection) -> rusqlite::Result<i64> {
    connection.query_row("PRAGMA user_version", [], |row| row.get(0))
}

fn kind_of(error: &rusqlite::Error) -> ErrorKind {
    match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => ErrorKind::Corrupt,
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => ErrorKind::TimedOut,
        Some(_) => ErrorKind::Failed,
        // A value of another type than the schema says.
        None => ErrorKind::Corrupt,
    }
}

fn is_busy(error: &rusqlite::Error) -> bool {
    kind_of(error) == ErrorKind::TimedOut
}

fn is_unwritable(error: &rusqlite::Error) -> bool {
    matches!(
        error.sqlite_error_code(),
        Some(ErrorCode::CannotOpen | ErrorCode::ReadOnly)
    )
}

/// How to wait for another writer: whether to try again, asked after each attempt.
fn turn(
    limit: Duration,
    progress: Arc<dyn Progress>,
    place: String,
) -> impl FnMut(i32) -> bool + Send + 'static {
    let mut since = Instant::now();
    let mut told = false;
    move |attempt| {
        if attempt == 0 {
            (since, told) = (Instant::now(), false);
        }
        let waited = since.elapsed();
        if waited >= limit || progress.interrupted() {
            return false;
        }
        if waited >= TELL_AFTER && !told {
            told = true;
            progress.note(&format!(
                "waiting for another process that is writing to {place}"
            ));
        }
        // Processes that wait must not knock in step.
        let step = 1u64 << attempt.clamp(0, 4);
        let jitter = u64::from(waited.subsec_nanos() % 1_000) * step / 1_000;
        std::thread::sleep(Duration::from_millis(step + jitter));
        true
    }
}
