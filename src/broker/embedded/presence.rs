//! Which consumers are alive. A consumer is in the table while it lives, holds the lock of
//! a file of its own, and renews its lease. When its process dies the system releases the
//! lock, and its messages are free at once; when it only hangs they are when the lease ends.

use super::bell::Folder;
use super::queues;
use crate::error::{Context, Result};
use rusqlite::{Connection, OptionalExtension, Transaction};
use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::time::Duration;

/// For how long a new file may be without its lock.
const NEW: Duration = Duration::from_secs(600);

/// A consumer that lives, while this value does.
pub(super) struct Presence {
    /// Names its files; nobody has had it before.
    pub name: String,
    folder: Folder,
    _lock: File,
}

impl Presence {
    /// Takes a name and the lock that belongs to it.
    pub fn new(folder: &Folder) -> Result<Self> {
        let name = format!("{:016x}", rand::random::<u64>());
        let path = folder.lock(&name);
        let unlocked = folder.unlocked(&name);
        // Under its own name the file is locked from the beginning: one that is not is nobody's.
        let make = || -> io::Result<File> {
            folder.create()?;
            let file = OpenOptions::new()
                .write(true)
                .create_new(true)
                .open(&unlocked)?;
            match file.try_lock() {
                // Without locks, leases have to do.
                Ok(()) | Err(TryLockError::Error(_)) => {}
                Err(TryLockError::WouldBlock) => return Err(io::ErrorKind::WouldBlock.into()),
            }
            std::fs::rename(&unlocked, &path)?;
            Ok(file)
        };
        let lock = make().context(|| format!("cannot make {}", path.display()))?;
        Ok(Presence {
            name,
            folder: folder.clone(),
            _lock: lock,
        })
    }
}

impl Drop for Presence {
    fn drop(&mut self) {
        self.folder.remove(&self.name);
    }
}

/// A consumer of the table.
pub(super) struct Entry {
    pub id: i64,
    name: String,
    expires: i64,
}

/// All consumers but `own`.
pub(super) fn others(connection: &Connection, own: i64) -> rusqlite::Result<Vec<Entry>> {
    connection
        .prepare_cached("SELECT id, name, expires FROM consumers WHERE id <> ?1")?
        .query_map([own], entry)?
        .collect()
}

/// The consumer before `own`, in a circle: each watches another, so that the work does not
/// grow with their number.
pub(super) fn neighbour(connection: &Connection, own: i64) -> rusqlite::Result<Option<Entry>> {
    connection
        .prepare_cached(
            "SELECT id, name, expires FROM consumers WHERE id <> ?1 ORDER BY id < ?1 DESC, id DESC
             LIMIT 1",
        )?
        .query_row([own], entry)
        .optional()
}

fn entry(row: &rusqlite::Row<'_>) -> rusqlite::Result<Entry> {
    Ok(Entry {
        id: row.get(0)?,
        name: row.get(1)?,
        expires: row.get(2)?,
    })
}

impl Entry {
    /// Whether it will not come back by itself.
    pub fn is_dead(&self, folder: &Folder, now: i64) -> bool {
        if self.expires < now {
            return true;
        }
        match File::open(folder.lock(&self.name)) {
            Ok(file) => file.try_lock().is_ok(),
            Err(error) => error.kind() == io::ErrorKind::NotFound,
        }
    }

    /// Frees what it held, in `transaction`.
    pub fn bury(&self, transaction: &Transaction<'_>, now: i64) -> rusqlite::Result<()> {
        // It may have renewed its lease meanwhile, or somebody was faster.
        let still = "SELECT 1 FROM consumers WHERE id = ?1 AND expires <= ?2";
        let still = transaction
            .prepare_cached(still)?
            .exists([self.id, self.expires])?;
        match still {
            true => leave(transaction, self.id, now),
            false => Ok(()),
        }
    }

    /// Removes its files, after the transaction, unless its process lives after all.
    pub fn clear(&self, folder: &Folder) {
        let lock = File::open(folder.lock(&self.name));
        if lock.is_ok_and(|lock| lock.try_lock().is_ok()) {
            folder.remove(&self.name);
        }
    }
}

/// Enters a consumer into the table.
pub(super) fn enter(
    transaction: &Transaction<'_>,
    name: &str,
    expires: i64,
) -> rusqlite::Result<i64> {
    transaction
        .prepare_cached(
            "INSERT INTO consumers (name, expires) VALUES (?1, ?2)
             ON CONFLICT (name) DO UPDATE SET expires = excluded.expires",
        )?
        .execute((name, expires))?;
    transaction
        .prepare_cached("SELECT id FROM consumers WHERE name = ?1")?
        .query_row([name], |row| row.get(0))
}

/// Renews the lease; whether it had not ended.
pub(super) fn renew(
    transaction: &Transaction<'_>,
    id: i64,
    expires: i64,
) -> rusqlite::Result<bool> {
    let renewed = transaction
        .prepare_cached("UPDATE consumers SET expires = ?2 WHERE id = ?1")?
        .execute([id, expires])?;
    Ok(renewed == 1)
}

/// Takes a consumer out of the table; what it holds is free, and queues that lived for it go.
pub(super) fn leave(transaction: &Transaction<'_>, id: i64, now: i64) -> rusqlite::Result<()> {
    transaction
        .prepare_cached("UPDATE messages SET owner = NULL WHERE owner = ?1")?
        .execute([id])?;
    for queue in consumed(transaction, id)? {
        queues::unsubscribe(transaction, queue, id, now)?;
    }
    transaction
        .prepare_cached("DELETE FROM consumers WHERE id = ?1")?
        .execute([id])?;
    Ok(())
}

/// The queues that a consumer receives from.
pub(super) fn consumed(connection: &Connection, id: i64) -> rusqlite::Result<Vec<i64>> {
    connection
        .prepare_cached("SELECT queue FROM subscriptions WHERE consumer = ?1")?
        .query_map([id], |row| row.get(0))?
        .collect()
}

/// Removes files of consumers that died before they were in the table, or after a power cut.
pub(super) fn tidy(folder: &Folder) {
    for (name, named) in folder.names() {
        let path = match named {
            true => folder.lock(&name),
            false => folder.unlocked(&name),
        };
        let age = std::fs::metadata(&path).and_then(|file| file.modified());
        let old = || age.is_ok_and(|made| made.elapsed().is_ok_and(|age| age > NEW));
        if (named || old()) && File::open(&path).is_ok_and(|file| file.try_lock().is_ok()) {
            folder.remove(&name);
        }
    }
}
