//! The SQLite database of the queue, `queue.db` beside the store's `om.db`: connections,
//! the schema and its version, waiting for other writers. Knows tables, but not what
//! they are for.
//!
//! What is published is on the disk before it is confirmed. Claims and acknowledgements
//! need not be: after a power cut they are undone, and the messages come again.

use crate::error::{Error, ErrorKind, Result};
use crate::progress::Progress;
use crate::sqlite::{is_busy, kind_of, newer, version};
use rusqlite::{Connection, OpenFlags, Transaction, TransactionBehavior};
use std::fs::DirBuilder;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The version of the schema below, kept in SQLite's `user_version`.
const VERSION: i64 = 1;

/// Marks our databases ("omqu"), kept in SQLite's `application_id`.
const APPLICATION: i64 = 0x6f6d_7175;

/// How long one waits for other writers.
const LIMIT: Duration = Duration::from_secs(60);

/// Times are in milliseconds since 1970. `queues.gone` is when a queue goes that nobody
/// uses; `messages.due` is 0 when the message may be delivered, `owner` who holds it.
const SCHEMA: &str = "
CREATE TABLE queues (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL UNIQUE,
    ends INTEGER NOT NULL,
    expires INTEGER,
    gone INTEGER,
    topic INTEGER,
    pattern TEXT,
    keep INTEGER
);
CREATE INDEX queues_gone ON queues (gone) WHERE gone IS NOT NULL;
CREATE INDEX queues_topic ON queues (topic) WHERE topic IS NOT NULL;
CREATE TABLE consumers (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL UNIQUE,
    expires INTEGER NOT NULL
);
CREATE TABLE subscriptions (
    queue INTEGER NOT NULL REFERENCES queues (id) ON DELETE CASCADE,
    consumer INTEGER NOT NULL REFERENCES consumers (id) ON DELETE CASCADE,
    PRIMARY KEY (queue, consumer)
) WITHOUT ROWID;
CREATE INDEX subscriptions_consumer ON subscriptions (consumer);
CREATE TABLE messages (
    id INTEGER PRIMARY KEY,
    queue INTEGER NOT NULL REFERENCES queues (id) ON DELETE CASCADE,
    priority INTEGER NOT NULL,
    due INTEGER NOT NULL,
    expires INTEGER,
    owner INTEGER,
    deliveries INTEGER NOT NULL DEFAULT 0,
    properties TEXT NOT NULL,
    headers TEXT NOT NULL,
    body BLOB NOT NULL
);
CREATE INDEX messages_ready ON messages (queue, priority DESC, id) WHERE owner IS NULL AND due = 0;
CREATE INDEX messages_queue ON messages (queue);
CREATE INDEX messages_due ON messages (due) WHERE due > 0;
CREATE INDEX messages_expires ON messages (expires) WHERE expires IS NOT NULL;
CREATE INDEX messages_owner ON messages (owner) WHERE owner IS NOT NULL;
";

/// What a commit withstands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Durability {
    /// The loss of power.
    Power,
    /// The death of the process; after a loss of power it may be undone.
    Process,
}

/// The database and its open connections.
pub(super) struct Database {
    root: PathBuf,
    progress: Arc<dyn Progress>,
    ready: AtomicBool,
    power: Mutex<Vec<Connection>>,
    process: Mutex<Vec<Connection>>,
}

impl Database {
    pub fn new(root: &Path, progress: Arc<dyn Progress>) -> Self {
        Database {
            root: root.to_owned(),
            progress,
            ready: AtomicBool::new(false),
            power: Mutex::default(),
            process: Mutex::default(),
        }
    }

    /// The store's directory.
    pub fn root(&self) -> &Path {
        &self.root
    }

    fn path(&self) -> PathBuf {
        self.root.join("queue.db")
    }

    /// Runs `read` on one state of the database; none while nothing was ever queued.
    pub fn read<T>(
        &self,
        read: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<Option<T>> {
        if !self.ready.load(Ordering::Acquire) && !self.path().exists() {
            return Ok(None);
        }
        let connection = self.connection(Durability::Process)?;
        let result = connection
            .unchecked_transaction()
            .and_then(|snapshot| read(&snapshot))
            .map_err(|error| self.explain(error, "read"))?;
        self.give_back(connection, Durability::Process);
        Ok(Some(result))
    }

    /// Runs `write` in a transaction of its own, after those of other processes.
    pub fn write<T>(
        &self,
        durability: Durability,
        write: impl FnOnce(&Transaction<'_>) -> Result<T, Failure>,
    ) -> Result<T> {
        let mut connection = self.connection(durability)?;
        let result = connection
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .map_err(Failure::Sql)
            .and_then(|transaction| {
                let result = write(&transaction)?;
                transaction.commit()?;
                Ok(result)
            });
        if connection.is_autocommit() {
            self.give_back(connection, durability);
        }
        result.map_err(|failure| match failure {
            Failure::Sql(error) => self.explain(error, "write to"),
            Failure::Ours(error) => error,
        })
    }

    fn connection(&self, durability: Durability) -> Result<Connection> {
        let idle = self
            .idle(durability)
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .pop();
        if let Some(connection) = idle {
            return Ok(connection);
        }
        self.prepare()?;
        self.connect(durability)
            .map_err(|error| self.explain(error, "open"))
    }

    fn give_back(&self, connection: Connection, durability: Durability) {
        self.idle(durability)
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(connection);
    }

    fn idle(&self, durability: Durability) -> &Mutex<Vec<Connection>> {
        match durability {
            Durability::Power => &self.power,
            Durability::Process => &self.process,
        }
    }

    fn connect(&self, durability: Durability) -> rusqlite::Result<Connection> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
            | OpenFlags::SQLITE_OPEN_CREATE
            | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let mut connection = Connection::open_with_flags(self.path(), flags)?;
        connection.busy_handler(Some(turn(self.progress.clone())))?;
        connection.execute_batch(match durability {
            Durability::Power => "PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON",
            Durability::Process => "PRAGMA synchronous = NORMAL; PRAGMA foreign_keys = ON",
        })?;
        connection.set_prepared_statement_cache_capacity(48);
        Ok(connection)
    }

    /// Makes the directory and the tables if they are missing.
    fn prepare(&self) -> Result<()> {
        if self.ready.load(Ordering::Acquire) {
            return Ok(());
        }
        let mut builder = DirBuilder::new();
        builder.recursive(true);
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.create(&self.root).map_err(|error| {
            Error::failed("cannot make the queue's directory")
                .on(self.root.display().to_string())
                .because(error)
        })?;
        let mut connection = self
            .connect(Durability::Power)
            .map_err(|error| self.explain(error, "open"))?;
        self.make_tables(&mut connection)?;
        self.give_back(connection, Durability::Power);
        self.ready.store(true, Ordering::Release);
        Ok(())
    }

    fn make_tables(&self, connection: &mut Connection) -> Result<()> {
        let at = |error| self.explain(error, "write to");
        if self.known(version(connection).map_err(at)?)? {
            return Ok(());
        }
        // SQLite does not wait for others when it changes the journal mode.
        let mut turn = turn(self.progress.clone());
        let mut count = 0;
        let wal = "PRAGMA journal_mode = WAL";
        while let Err(error) = connection.query_row(wal, [], |row| row.get::<_, String>(0)) {
            if !is_busy(&error) || !turn(count) {
                return Err(at(error));
            }
            count += 1;
        }
        let transaction = connection
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .map_err(at)?;
        // Another process may have been first.
        if !self.known(version(&transaction).map_err(at)?)? {
            let tables = "SELECT count(*) FROM sqlite_schema";
            let tables: i64 = transaction
                .query_row(tables, [], |row| row.get(0))
                .map_err(at)?;
            if tables != 0 {
                return Err(Error::failed("this is a database of another program")
                    .on(self.path().display().to_string())
                    .hint("choose another directory for the store"));
            }
            let script = format!(
                "{SCHEMA} PRAGMA application_id = {APPLICATION}; PRAGMA user_version = {VERSION};"
            );
            transaction.execute_batch(&script).map_err(at)?;
        }
        transaction.commit().map_err(at)
    }

    /// Whether the tables are there, in a format that this program knows.
    fn known(&self, version: i64) -> Result<bool> {
        match version {
            0 => Ok(false),
            VERSION => Ok(true),
            found => Err(newer(&self.path(), found, VERSION)),
        }
    }

    /// An error of SQLite as one of ours.
    fn explain(&self, error: rusqlite::Error, doing: &str) -> Error {
        let kind = kind_of(&error);
        if kind == ErrorKind::TimedOut && self.progress.interrupted() {
            return Error::new(ErrorKind::Interrupted, "interrupted");
        }
        let hint = match kind {
            ErrorKind::TimedOut => "another process has been writing for long; try again",
            ErrorKind::Corrupt => {
                "stop all workers and remove queue.db with queue.db-wal and queue.db-shm; \
                 tasks that wait in it are lost"
            }
            _ => "check the free space and the permissions of the store's directory",
        };
        Error::new(kind, format!("cannot {doing} the queue"))
            .on(self.path().display().to_string())
            .because(error)
            .hint(hint)
    }
}

/// Why a transaction is rolled back.
pub(super) enum Failure {
    /// SQLite failed.
    Sql(rusqlite::Error),
    /// What was asked for makes no sense.
    Ours(Error),
}

impl From<rusqlite::Error> for Failure {
    fn from(error: rusqlite::Error) -> Self {
        Failure::Sql(error)
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Failure::Ours(error)
    }
}

/// How to wait for another writer: whether to try again, asked after each attempt. Queues
/// are written in many short transactions, so waits are short, too.
fn turn(progress: Arc<dyn Progress>) -> impl FnMut(i32) -> bool + Send + 'static {
    let mut since = Instant::now();
    move |attempt| {
        if attempt == 0 {
            since = Instant::now();
        }
        if since.elapsed() >= LIMIT || progress.interrupted() {
            return false;
        }
        // Processes that wait must not knock in step.
        let step = 100u64 << attempt.clamp(0, 6);
        std::thread::sleep(Duration::from_micros(
            step / 2 + rand::random::<u64>() % step,
        ));
        true
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::progress::Silent;

    #[test]
    fn what_is_not_ours_is_refused() {
        let home = tempfile::tempdir().unwrap();
        let database = || Database::new(home.path(), Arc::new(Silent));
        assert!(database().read(|_| Ok(())).unwrap().is_none());
        std::fs::write(home.path().join("queue.db"), "no database, but some text").unwrap();
        let error = database().read(|_| Ok(())).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
        std::fs::remove_file(home.path().join("queue.db")).unwrap();
        let other = Connection::open(home.path().join("queue.db")).unwrap();
        other.execute_batch("CREATE TABLE x (y)").unwrap();
        let error = database().read(|_| Ok(())).unwrap_err();
        assert!(error.to_string().contains("another program"), "{error}");
        other.execute_batch("PRAGMA user_version = 9").unwrap();
        let error = database().read(|_| Ok(())).unwrap_err();
        assert!(error.to_string().contains("newer om"), "{error}");
    }
}
