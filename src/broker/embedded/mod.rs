//! The embedded broker: queues in a SQLite database in the store's directory, for any
//! number of processes on this machine.
//!
//! A consumer claims messages in batches and keeps them under a lease, which a thread of
//! its own renews, however long a task takes. When its process dies, the next consumer
//! notices by the lock that the system has released, and the messages are free again.
//! Publishers ring the consumers of a queue, so nobody has to look often.

mod bell;
mod consumer;
mod database;
mod messages;
mod presence;
mod pump;
mod queues;

use super::{Broker, ConsumeOptions, Consumer, Depth, Letter, Message, Options, Queue, Topic};
use crate::error::Result;
use bell::{Folder, Ringer};
use consumer::EmbeddedConsumer;
use database::{Database, Durability, Failure};
use messages::{Parcel, Row};
use rusqlite::{Connection, Transaction};
use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// How many messages one transaction takes, so that others get their turn.
const BATCH: usize = 1_000;

/// The queues in a store's directory.
pub struct EmbeddedBroker {
    core: Arc<Core>,
}

/// What the broker and its consumers share.
struct Core {
    database: Database,
    folder: Folder,
    ringer: Ringer,
    options: Options,
}

impl EmbeddedBroker {
    /// The queues of the store in the directory `root`. Nothing is read or made before it is
    /// needed.
    pub fn open(root: &Path, options: Options) -> Self {
        EmbeddedBroker {
            core: Arc::new(Core {
                database: Database::new(root, options.progress.clone()),
                folder: Folder::new(root),
                ringer: Ringer::new(),
                options,
            }),
        }
    }
}

impl Core {
    /// Runs `write` in a transaction and rings for the queues that it says have changed.
    fn write<T>(
        &self,
        durability: Durability,
        write: impl FnOnce(&Transaction<'_>, &mut BTreeSet<i64>) -> Result<T, Failure>,
    ) -> Result<T> {
        let (result, bells) = self.database.write(durability, |transaction| {
            let mut changed = BTreeSet::new();
            let result = write(transaction, &mut changed)?;
            Ok((result, bells(transaction, changed)?))
        })?;
        for name in bells {
            self.ringer.ring(&self.folder, &name);
        }
        Ok(result)
    }

    /// Frees what dead consumers hold, of those that `candidates` finds.
    fn bury(
        &self,
        candidates: impl FnOnce(&Connection) -> rusqlite::Result<Vec<presence::Entry>>,
    ) -> Result<bool> {
        let now = now();
        let found = self.database.read(candidates)?.unwrap_or_default();
        let dead: Vec<_> = found
            .into_iter()
            .filter(|entry| entry.is_dead(&self.folder, now))
            .collect();
        if dead.is_empty() {
            return Ok(false);
        }
        self.write(Durability::Process, |transaction, changed| {
            for entry in &dead {
                tracing::debug!("consumer {} of the queue has died", entry.id);
                changed.extend(presence::consumed(transaction, entry.id)?);
                entry.bury(transaction, now)?;
            }
            Ok(())
        })?;
        for entry in dead {
            entry.clear(&self.folder);
        }
        Ok(true)
    }

    /// Publishes what is checked already.
    fn publish(&self, parcels: &[Parcel<'_>], durability: Durability) -> Result<()> {
        let now = now();
        for batch in parcels.chunks(BATCH) {
            self.write(durability, |transaction, changed| {
                let mut known = HashMap::new();
                for parcel in batch {
                    let queue = match known.get(&parcel.queue) {
                        Some(id) => *id,
                        None => {
                            let id = queues::get(transaction, &parcel.queue)?;
                            known.insert(&parcel.queue, id);
                            id
                        }
                    };
                    parcel.insert(transaction, queue, now)?;
                    changed.insert(queue);
                }
                Ok(())
            })?;
        }
        Ok(())
    }
}

/// The bells of all who receive from these queues.
fn bells(
    connection: &Connection,
    queues: impl IntoIterator<Item = i64>,
) -> rusqlite::Result<BTreeSet<String>> {
    let mut bells = BTreeSet::new();
    for queue in queues {
        bells.extend(queues::bells(connection, queue)?);
    }
    Ok(bells)
}

/// Now, in milliseconds since 1970.
fn now() -> i64 {
    chrono::Utc::now().timestamp_millis()
}

impl fmt::Debug for EmbeddedBroker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EmbeddedBroker")
            .field("root", &self.core.database.root())
            .finish()
    }
}

impl Broker for EmbeddedBroker {
    fn location(&self) -> String {
        self.core.database.root().display().to_string()
    }

    fn declare(&self, queue: &Queue) -> Result<()> {
        let now = now();
        self.core.write(Durability::Process, |transaction, _| {
            queues::sweep(transaction, now)?;
            queues::declare(transaction, queue, now)?;
            Ok(())
        })
    }

    fn delete(&self, queue: &str) -> Result<bool> {
        if self
            .core
            .database
            .read(|connection| queues::find(connection, queue))?
            .flatten()
            .is_none()
        {
            return Ok(false);
        }
        self.core.write(Durability::Process, |transaction, _| {
            Ok(queues::delete(transaction, queue)?)
        })
    }

    fn purge(&self, queue: &str) -> Result<u64> {
        self.depth(queue)?;
        self.core.write(Durability::Process, |transaction, _| {
            let id = queues::get(transaction, queue)?;
            Ok(queues::purge(transaction, id)?)
        })
    }

    fn depth(&self, queue: &str) -> Result<Depth> {
        self.core
            .bury(|connection| presence::others(connection, 0))?;
        let found = self.core.database.read(|connection| {
            let id = queues::find(connection, queue)?;
            id.map(|id| queues::depth(connection, id, now()))
                .transpose()
        })?;
        found.flatten().ok_or_else(|| queues::missing(queue))
    }

    fn publish_all(&self, letters: &[Letter]) -> Result<()> {
        if letters.is_empty() {
            return Ok(());
        }
        let parcels = letters
            .iter()
            .map(Parcel::new)
            .collect::<Result<Vec<_>>>()?;
        // Messages that need not survive the broker need not wait for the disk.
        let lasting = letters
            .iter()
            .any(|letter| letter.message.properties.delivery_mode != 1);
        let durability = if lasting {
            Durability::Power
        } else {
            Durability::Process
        };
        self.core.publish(&parcels, durability)
    }

    fn consume(&self, queues: &[Queue], options: &ConsumeOptions) -> Result<Box<dyn Consumer>> {
        Ok(Box::new(EmbeddedConsumer::start(
            &self.core, queues, options,
        )?))
    }

    fn post(&self, topic: Topic, key: &str, message: &Message) -> Result<()> {
        let listening = |connection: &Connection| -> rusqlite::Result<Vec<queues::Listener>> {
            let mut listeners = queues::listeners(connection, topic)?;
            listeners.retain(|listener| topic.matches(&listener.pattern, key));
            Ok(listeners)
        };
        let row = Row::new(message, Cow::Borrowed(&message.body))?;
        // Workers tell of themselves all the time, mostly to nobody.
        if self
            .core
            .database
            .read(listening)?
            .is_none_or(|found| found.is_empty())
        {
            return Ok(());
        }
        let now = now();
        self.core
            .write(Durability::Process, |transaction, changed| {
                for listener in listening(transaction)? {
                    let keep = Some(listener.keep);
                    row.insert(transaction, listener.queue, Duration::ZERO, keep, now)?;
                    changed.insert(listener.queue);
                }
                Ok(())
            })
    }
}
