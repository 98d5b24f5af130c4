//! Removes what writers that died have left behind. A file is a leftover when no object
//! speaks of it and nobody holds its lock.

use super::database::Sql;
use super::layout::disk_error;
use super::{EmbeddedStorage, contents};
use crate::error::Result;
use crate::storage::crash;
use rusqlite::Connection;
use std::collections::HashSet;
use std::fs::{self, File, TryLockError};
use std::io;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// How old a file must be to be swept on the side.
pub(super) const GRACE: Duration = Duration::from_secs(600);

/// How old it must be where files cannot be locked.
const UNLOCKED_GRACE: Duration = Duration::from_secs(24 * 3600);

/// How often leftovers are looked for on the side.
const INTERVAL: i64 = 3600;

/// Whether the transaction's writer is the one to sweep after it.
pub(super) fn is_due(connection: &Connection) -> Result<bool> {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs() as i64;
    let changed = connection
        .prepare_cached(
            "INSERT INTO settings (name, value) VALUES ('swept', ?1)
             ON CONFLICT (name) DO UPDATE SET value = ?1
             WHERE value NOT BETWEEN ?1 - ?2 AND ?1",
        )
        .sql("write to")?
        .execute([now, INTERVAL])
        .sql("write to")?;
    Ok(changed > 0)
}

/// Counts the leftovers that are older than `age`, and removes them if told so.
pub(super) fn sweep(store: &EmbeddedStorage, age: Duration, remove: bool) -> Result<u64> {
    let names = store.layout.content_files()?;
    let Some(used) = store.database.read(contents::all_files)? else {
        return Ok(0);
    };
    let used: HashSet<String> = used.into_iter().collect();
    let mut leftovers = 0;
    for name in names.iter().filter(|name| !used.contains(*name)) {
        if is_leftover(store, name, age)? {
            leftovers += 1;
            if remove {
                let path = store.layout.file(name);
                match crash::around(|| fs::remove_file(&path)) {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => {
                        return Err(disk_error(error, "remove", &path));
                    }
                    _ => {}
                }
            }
        }
    }
    Ok(leftovers)
}

fn is_leftover(store: &EmbeddedStorage, name: &str, age: Duration) -> Result<bool> {
    // Files that we did not name are not ours to remove.
    let ours = name
        .split_once('.')
        .is_some_and(|(id, _)| id.len() == 24 && id.bytes().all(|byte| byte.is_ascii_hexdigit()));
    let path = store.layout.file(name);
    let file = match File::open(&path) {
        Ok(file) if ours => file,
        Ok(_) => return Ok(false),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(disk_error(error, "open", &path)),
    };
    let modified = file.metadata().and_then(|found| found.modified()).ok();
    let old = modified
        .and_then(|modified| modified.elapsed().ok())
        .unwrap_or_default();
    let needed = match file.try_lock() {
        Ok(()) => age,
        Err(TryLockError::WouldBlock) => return Ok(false),
        Err(TryLockError::Error(_)) => UNLOCKED_GRACE,
    };
    if old < needed {
        return Ok(false);
    }
    // Its writer may have committed and let go of the lock since we asked.
    let used = store
        .database
        .read(|connection| contents::is_used(connection, name))?;
    Ok(used == Some(false))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::storage::embedded::Options;
    use crate::storage::{Key, Metadata, Mode, Storage};

    #[test]
    fn the_living_and_the_young_are_spared() {
        let home = tempfile::tempdir().unwrap();
        let store = EmbeddedStorage::open(home.path(), Options::default()).unwrap();
        let key = Key::new("omegaml", "data/", "a");
        let mut writer = store.write(&key, Mode::Create).unwrap();
        writer.bytes(b"staged").unwrap();
        let dead = store.layout.file("0123456789abcdef01234567.blob");
        fs::write(&dead, "dead").unwrap();
        assert_eq!(sweep(&store, GRACE, true).unwrap(), 0);
        assert!(dead.exists());
        assert_eq!(sweep(&store, Duration::ZERO, false).unwrap(), 1);
        assert!(dead.exists());
        assert_eq!(sweep(&store, Duration::ZERO, true).unwrap(), 1);
        assert!(!dead.exists());
        writer.commit(Metadata::new(key, "python.file")).unwrap();
        assert_eq!(sweep(&store, Duration::ZERO, true).unwrap(), 0);
    }

    #[test]
    fn one_commit_an_hour_sweeps() {
        let home = tempfile::tempdir().unwrap();
        let store = EmbeddedStorage::open(home.path(), Options::default()).unwrap();
        let due = || {
            store
                .database
                .write(|transaction| is_due(transaction))
                .unwrap()
        };
        assert!(due() && !due());
        let set = |age: i64| {
            store
                .database
                .write(|transaction| {
                    transaction
                        .execute("UPDATE settings SET value = value + ?1", [age])
                        .sql("write to")
                })
                .unwrap()
        };
        set(-2 * INTERVAL);
        assert!(due() && !due());
        // A clock that was wrong does not stop the sweeping for ever.
        set(1_000_000);
        assert!(due() && !due());
    }
}
