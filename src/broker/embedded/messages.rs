//! Messages in the database: put in, claimed, given back, done.

use super::queues;
use crate::broker::{Letter, Message, Properties};
use crate::error::{Error, Result};
use rusqlite::{Connection, OptionalExtension, Transaction};
use std::borrow::Cow;
use std::collections::BTreeSet;
use std::time::Duration;

/// A message that a consumer has claimed.
pub(super) struct Claimed {
    pub id: i64,
    pub queue: i64,
    pub deliveries: u32,
    pub message: Message,
    priority: i64,
}

/// A message as the database has it.
pub(super) struct Row<'a> {
    priority: i64,
    lifetime: Option<i64>,
    properties: String,
    headers: String,
    body: Cow<'a, [u8]>,
}

/// A message on its way, checked, so that nothing but the disk can be against it.
pub(super) struct Parcel<'a> {
    pub queue: Cow<'a, str>,
    delay: Duration,
    row: Row<'a>,
}

impl<'a> Parcel<'a> {
    pub fn new(letter: &'a Letter) -> Result<Self> {
        Ok(Parcel {
            queue: Cow::Borrowed(&letter.queue),
            delay: letter.delay,
            row: Row::new(&letter.message, Cow::Borrowed(&letter.message.body))?,
        })
    }

    /// As [`Parcel::new`], of a letter that nobody else needs.
    pub fn owned(mut letter: Letter) -> Result<Parcel<'static>> {
        let body = std::mem::take(&mut letter.message.body);
        Ok(Parcel {
            delay: letter.delay,
            row: Row::new(&letter.message, Cow::Owned(body))?,
            queue: Cow::Owned(letter.queue),
        })
    }

    /// Puts it into its queue, whose id is `queue`.
    pub fn insert(
        &self,
        transaction: &Transaction<'_>,
        queue: i64,
        now: i64,
    ) -> rusqlite::Result<()> {
        self.row.insert(transaction, queue, self.delay, None, now)
    }
}

impl<'a> Row<'a> {
    pub fn new(message: &Message, body: Cow<'a, [u8]>) -> Result<Self> {
        let text = |result: serde_json::Result<String>| {
            result.map_err(|error| Error::invalid("a message cannot be written").because(error))
        };
        let lifetime = message.properties.expiration.as_deref().map(|expiration| {
            expiration.parse::<u32>().map(i64::from).map_err(|error| {
                Error::invalid(format!("\"{expiration}\" is no number of milliseconds"))
                    .on("expiration")
                    .because(error)
            })
        });
        Ok(Row {
            priority: i64::from(message.properties.priority.unwrap_or(0)),
            lifetime: lifetime.transpose()?,
            properties: text(serde_json::to_string(&message.properties))?,
            headers: text(serde_json::to_string(&message.headers))?,
            body,
        })
    }

    /// Puts it into a queue.
    pub fn insert(
        &self,
        transaction: &Transaction<'_>,
        queue: i64,
        delay: Duration,
        keep: Option<i64>,
        now: i64,
    ) -> rusqlite::Result<()> {
        let due = due(delay, now);
        let lifetime = match (self.lifetime, keep) {
            (Some(own), Some(queue)) => Some(own.min(queue)),
            (own, queue) => own.or(queue),
        };
        let expires = lifetime.map(|lifetime| due.max(now).saturating_add(lifetime));
        transaction
            .prepare_cached(
                "INSERT INTO messages (queue, priority, due, expires, properties, headers, body)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
            )?
            .execute((
                queue,
                self.priority,
                due,
                expires,
                &self.properties,
                &self.headers,
                &*self.body,
            ))?;
        Ok(())
    }
}

/// Whether anything may be claimed from these queues.
pub(super) fn any_ready(
    connection: &Connection,
    queues: impl IntoIterator<Item = i64>,
    now: i64,
) -> rusqlite::Result<bool> {
    let ready = "SELECT 1 FROM messages WHERE queue = ?1 AND owner IS NULL AND due = 0 LIMIT 1";
    let mut ready = connection.prepare_cached(ready)?;
    for queue in queues {
        if ready.exists([queue])? {
            return Ok(true);
        }
    }
    Ok(next_due(connection)?.is_some_and(|due| due <= now))
}

/// When the next delayed message may be delivered.
pub(super) fn next_due(connection: &Connection) -> rusqlite::Result<Option<i64>> {
    connection
        .prepare_cached("SELECT min(due) FROM messages WHERE due > 0")?
        .query_row([], |row| row.get(0))
}

/// Makes messages ready whose time has come; the queues that they are in.
pub(super) fn promote(transaction: &Transaction<'_>, now: i64) -> rusqlite::Result<BTreeSet<i64>> {
    transaction
        .prepare_cached("UPDATE messages SET due = 0 WHERE due > 0 AND due <= ?1 RETURNING queue")?
        .query_map([now], |row| row.get(0))?
        .collect()
}

/// Claims up to `limit` messages of a queue, the first ones first.
pub(super) fn claim(
    transaction: &Transaction<'_>,
    consumer: i64,
    queue: i64,
    limit: usize,
    now: i64,
) -> rusqlite::Result<Vec<Claimed>> {
    let mut statement = transaction.prepare_cached(
        "UPDATE messages SET owner = ?1, deliveries = deliveries + 1 WHERE id IN (
             SELECT id FROM messages WHERE queue = ?2 AND owner IS NULL AND due = 0
             ORDER BY priority DESC, id LIMIT ?3)
         RETURNING id, priority, deliveries, expires, properties, headers, body",
    )?;
    let mut rows = statement.query((consumer, queue, i64::try_from(limit).unwrap_or(i64::MAX)))?;
    let (mut claimed, mut expired, mut broken) = (Vec::new(), Vec::new(), Vec::new());
    while let Some(row) = rows.next()? {
        let id = row.get(0)?;
        if row
            .get::<_, Option<i64>>(3)?
            .is_some_and(|expires| expires <= now)
        {
            expired.push(id);
            continue;
        }
        let properties = serde_json::from_str::<Properties>(row.get_ref(4)?.as_str()?);
        let headers = serde_json::from_str(row.get_ref(5)?.as_str()?);
        let (Ok(properties), Ok(headers)) = (properties, headers) else {
            broken.push(id);
            continue;
        };
        claimed.push(Claimed {
            id,
            queue,
            deliveries: row.get(2)?,
            message: Message {
                properties,
                headers,
                body: row.get(6)?,
            },
            priority: row.get(1)?,
        });
    }
    drop(rows);
    drop(statement);
    for id in expired {
        remove(transaction, id, consumer)?;
    }
    for id in broken {
        tracing::warn!("message {id} of the queue is damaged and is put aside");
        put_aside(transaction, id, queue, now)?;
    }
    claimed.sort_by_key(|message| (std::cmp::Reverse(message.priority), message.id));
    Ok(claimed)
}

/// Removes a message that `consumer` holds; whether it did.
pub(super) fn remove(
    transaction: &Transaction<'_>,
    id: i64,
    consumer: i64,
) -> rusqlite::Result<bool> {
    let removed = transaction
        .prepare_cached("DELETE FROM messages WHERE id = ?1 AND owner = ?2")?
        .execute([id, consumer])?;
    Ok(removed == 1)
}

/// Gives back a message that `consumer` holds; its queue, if it did.
pub(super) fn give_back(
    transaction: &Transaction<'_>,
    id: i64,
    consumer: i64,
    delay: Duration,
    now: i64,
) -> rusqlite::Result<Option<i64>> {
    transaction
        .prepare_cached(
            "UPDATE messages SET owner = NULL, due = ?3 WHERE id = ?1 AND owner = ?2
             RETURNING queue",
        )?
        .query_row([id, consumer, due(delay, now)], |row| row.get(0))
        .optional()
}

/// `messages.due` of a message that is delivered after `delay`.
fn due(delay: Duration, now: i64) -> i64 {
    match delay.is_zero() {
        true => 0,
        false => now.saturating_add(queues::millis(delay).max(1)),
    }
}

/// Gives back a message that was claimed but never looked at.
pub(super) fn unclaim(
    transaction: &Transaction<'_>,
    id: i64,
    consumer: i64,
) -> rusqlite::Result<()> {
    transaction
        .prepare_cached(
            "UPDATE messages SET owner = NULL, deliveries = deliveries - 1
             WHERE id = ?1 AND owner = ?2",
        )?
        .execute([id, consumer])?;
    Ok(())
}

/// Moves a message that cannot be read out of everybody's way.
fn put_aside(transaction: &Transaction<'_>, id: i64, queue: i64, now: i64) -> rusqlite::Result<()> {
    let name: Option<String> = transaction
        .prepare_cached("SELECT name FROM queues WHERE id = ?1")?
        .query_row([queue], |row| row.get(0))
        .optional()?;
    let name = format!("{}.damaged", name.unwrap_or_default());
    let aside = queues::declare(transaction, &crate::broker::Queue::task(name), now)?;
    transaction
        .prepare_cached("UPDATE messages SET queue = ?2, owner = NULL WHERE id = ?1")?
        .execute([id, aside])?;
    Ok(())
}
