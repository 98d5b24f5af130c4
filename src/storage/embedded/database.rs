//! The SQLite database of a store: connections, the schema and its version, waiting for
//! other writers, and what SQLite's errors mean. Knows nothing of objects.

use super::layout::{Layout, disk_error};
use crate::error::{Error, ErrorKind, Result};
use crate::progress::Progress;
use crate::sqlite::{is_busy, kind_of, newer, version};
use crate::storage::crash;
use rusqlite::{Connection, ErrorCode, OpenFlags, Transaction, TransactionBehavior};
use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The version of the schema below, kept in SQLite's `user_version`. Version 1 has no
/// records; it is brought up to date by whoever may write.
const VERSION: i64 = 2;

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

/// What version 2 has added. `state`, `owner` and `due` are what records are chosen by.
const RECORDS: &str = "
CREATE TABLE records (
    space TEXT NOT NULL,
    id TEXT NOT NULL,
    state TEXT NOT NULL,
    owner TEXT NOT NULL,
    due INTEGER,
    created INTEGER NOT NULL,
    expires INTEGER,
    body BLOB NOT NULL,
    PRIMARY KEY (space, id)
) WITHOUT ROWID;
CREATE INDEX records_created ON records (space, created);
CREATE INDEX records_due ON records (space, state, due);
CREATE INDEX records_expires ON records (space, expires) WHERE expires IS NOT NULL;
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
        let exists = path
            .try_exists()
            .map_err(|error| disk_error(error, "open", &path))?;
        if !exists {
            // Tables come before content, so content without them has lost them, unless
            // a first writer has just made both.
            if self.layout.has_content() && !path.exists() {
                return Err(self.missing_tables());
            }
            return Ok(None);
        }
        let mut connection = match self.connect(OpenFlags::SQLITE_OPEN_READ_WRITE) {
            Ok(connection) => connection,
            Err(error) if is_unwritable(&error) => return self.read_only(error).map(Some),
            Err(error) => return Err(self.explain(error, "open")),
        };
        match version(&connection) {
            Ok(0) if self.layout.has_content() && version(&connection).is_ok_and(|v| v == 0) => {
                Err(self.missing_tables())
            }
            Ok(0) => Ok(None),
            Ok(VERSION) => Ok(Some(connection)),
            Ok(1) => {
                if let Err(error) = self.make_tables(&mut connection) {
                    tracing::debug!("the database stays of version 1: {error}");
                }
                Ok(Some(connection))
            }
            Ok(found) => Err(newer(&self.layout.database(), found, VERSION)),
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
            let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE;
            let mut connection = self
                .connect(flags)
                .map_err(|error| self.explain(error, "write to"))?;
            self.make_tables(&mut connection)?;
            self.give_back(connection);
            self.ready.store(true, Ordering::Release);
        }
        Ok(())
    }

    /// Runs `write` in a transaction of its own, after those of other processes.
    pub fn write<T>(&self, write: impl FnOnce(&Transaction<'_>) -> Result<T>) -> Result<T> {
        self.write_at(write, "FULL")
    }

    /// As [`Database::write`], without waiting for the disk: a power cut may lose it.
    pub fn write_soon<T>(&self, write: impl FnOnce(&Transaction<'_>) -> Result<T>) -> Result<T> {
        self.write_at(write, "NORMAL")
    }

    fn write_at<T>(
        &self,
        write: impl FnOnce(&Transaction<'_>) -> Result<T>,
        synchronous: &str,
    ) -> Result<T> {
        self.prepare()?;
        let mut connection = match self.idle() {
            Some(connection) => connection,
            None => self
                .connect(OpenFlags::SQLITE_OPEN_READ_WRITE)
                .map_err(|error| self.explain(error, "write to"))?,
        };
        connection
            .pragma_update(None, "synchronous", synchronous)
            .map_err(|error| self.explain(error, "write to"))?;
        let transaction = connection
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .map_err(|error| self.explain(error, "write to"))?;
        let result = write(&transaction).at(self).and_then(|result| {
            crash::around(|| transaction.commit())
                .map_err(|error| self.explain(error, "write to"))?;
            Ok(result)
        });
        match &result {
            Ok(_) => self.give_back(connection),
            Err(error) if error.kind() == ErrorKind::Failed => self.shrink_log(connection),
            Err(_) => {}
        }
        result
    }

    /// Brings the log to the database file, so that a large transaction that fails can
    /// give its space back without needing any.
    pub fn settle(&self) -> Result<()> {
        if let Some(connection) = self.reader()? {
            self.shrink_log(connection);
        }
        Ok(())
    }

    /// Gives back the space that the log takes, unless somebody is using it: on a full disk
    /// it would be missing to whoever wants to tidy up.
    fn shrink_log(&self, connection: Connection) {
        let length = std::fs::metadata(self.log()).map_or(0, |log| log.len());
        if length > 0 {
            let shrunk = connection
                .busy_timeout(Duration::ZERO)
                .and_then(|()| connection.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)"));
            if let Err(error) = shrunk {
                tracing::debug!("the database's log stays as it is: {error}");
            }
        }
    }

    /// Where SQLite keeps what is committed but not yet in the database file.
    fn log(&self) -> PathBuf {
        let mut log = self.layout.database().into_os_string();
        log.push("-wal");
        log.into()
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

    fn connect(&self, flags: OpenFlags) -> rusqlite::Result<Connection> {
        let flags = flags | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let mut connection = Connection::open_with_flags(self.layout.database(), flags)?;
        connection.busy_handler(Some(self.turn()))?;
        connection.execute_batch("PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON")?;
        connection.set_prepared_statement_cache_capacity(32);
        Ok(connection)
    }

    fn turn(&self) -> impl FnMut(i32) -> bool + Send + 'static {
        let place = self.layout.root().display().to_string();
        turn(self.limit, self.progress.clone(), place)
    }

    /// Opens a database in a directory where SQLite cannot make its helper files.
    fn read_only(&self, error: rusqlite::Error) -> Result<Connection> {
        let path = self.layout.database();
        if std::fs::metadata(self.log()).is_ok_and(|log| log.len() > 0) {
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
            Ok(1 | VERSION) => Ok(connection),
            Ok(found) => Err(newer(&self.layout.database(), found, VERSION)),
            Err(error) => Err(self.explain(error, "open")),
        }
    }

    fn make_tables(&self, connection: &mut Connection) -> Result<()> {
        let found = version(connection).map_err(|error| self.explain(error, "open"))?;
        match found {
            VERSION => return Ok(()),
            0 => self.switch_to_wal(connection)?,
            1 => {}
            found => return Err(newer(&self.layout.database(), found, VERSION)),
        }
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
            transaction
                .execute_batch(&format!("{SCHEMA} PRAGMA application_id = {APPLICATION};"))
                .map_err(|error| self.explain(error, "write to"))?;
        }
        if found < VERSION {
            transaction
                .execute_batch(&format!("{RECORDS} PRAGMA user_version = {VERSION};"))
                .map_err(|error| self.explain(error, "write to"))?;
        }
        crash::around(|| transaction.commit()).map_err(|error| self.explain(error, "write to"))
    }

    /// SQLite does not wait for others when it changes the journal mode.
    fn switch_to_wal(&self, connection: &Connection) -> Result<()> {
        let mut turn = self.turn();
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

    fn missing_tables(&self) -> Error {
        Error::corrupt(format!(
            "{} is missing or empty though there is content beside it",
            self.layout.database().display()
        ))
        .hint("restore it from a backup; without it the content has no names")
    }

    /// An error of SQLite as one of ours.
    pub fn explain(&self, error: rusqlite::Error, doing: &str) -> Error {
        if is_unwritable(&error)
            && let Some(reason) = self.refusal()
        {
            return disk_error(reason, doing, self.layout.root());
        }
        self.name(Error::new(kind_of(&error), format!("cannot {doing} the store")).because(error))
    }

    /// Why the system refuses to open or to make files here; SQLite does not tell.
    fn refusal(&self) -> Option<io::Error> {
        let path = self.layout.database();
        let open = || File::open(&path);
        let make = || tempfile::tempfile_in(self.layout.root());
        open().and_then(|_| make()).err()
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
