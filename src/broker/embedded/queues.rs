//! Queues in the database: made, found, consumed, gone.

use super::database::Failure;
use crate::broker::{Depth, Lifetime, Queue, QueueKind, Topic};
use crate::error::{Error, Result};
use rusqlite::{Connection, OptionalExtension, Transaction};

/// `queues.ends`: never, with the last consumer, with its only consumer, when unused.
const NEVER: i64 = 0;
const WITH_CONSUMERS: i64 = 1;
const EXCLUSIVE: i64 = 2;
const UNUSED: i64 = 3;

/// How long a listener's queue is kept between its declaration and its consumer, in ms.
const LISTENER_EXPIRES: i64 = 60_000;

/// Makes a queue unless there is one of its name; its id.
pub(super) fn declare(
    transaction: &Transaction<'_>,
    queue: &Queue,
    now: i64,
) -> rusqlite::Result<i64> {
    if let Some(id) = find(transaction, &queue.name)? {
        let touched = "UPDATE queues SET gone = ?2 + expires WHERE id = ?1 AND gone IS NOT NULL";
        transaction.prepare_cached(touched)?.execute([id, now])?;
        return Ok(id);
    }
    let (ends, expires) = match &queue.kind {
        QueueKind::Task => (NEVER, None),
        QueueKind::Reply { lifetime, expires } => {
            let ends = match lifetime {
                Lifetime::Connection => EXCLUSIVE,
                Lifetime::Consumer => WITH_CONSUMERS,
                Lifetime::Expiry => UNUSED,
            };
            (ends, Some(millis(*expires)))
        }
        QueueKind::Listener { .. } => (EXCLUSIVE, Some(LISTENER_EXPIRES)),
    };
    let (topic, pattern, keep) = match &queue.kind {
        QueueKind::Listener { topic, key, keep } => (
            Some(number(*topic)),
            Some(key.as_str()),
            Some(millis(*keep)),
        ),
        _ => (None, None, None),
    };
    transaction
        .prepare_cached(
            "INSERT INTO queues (name, ends, expires, gone, topic, pattern, keep)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        )?
        .execute((
            &queue.name,
            ends,
            expires,
            expires.map(|expires| now.saturating_add(expires)),
            topic,
            pattern,
            keep,
        ))?;
    Ok(transaction.last_insert_rowid())
}

/// The id of a queue.
pub(super) fn find(connection: &Connection, name: &str) -> rusqlite::Result<Option<i64>> {
    connection
        .prepare_cached("SELECT id FROM queues WHERE name = ?1")?
        .query_row([name], |row| row.get(0))
        .optional()
}

/// As [`find`], but one that is not there is an error.
pub(super) fn get(connection: &Connection, name: &str) -> Result<i64, Failure> {
    find(connection, name)?.ok_or_else(|| missing(name).into())
}

/// No such queue.
pub(super) fn missing(name: &str) -> Error {
    Error::not_found(format!("there is no queue {name}"))
        .on(name)
        .hint("a queue is made by the first worker or client that uses it")
}

/// Makes the queue and the consumer one of those who receive from it.
pub(super) fn subscribe(
    transaction: &Transaction<'_>,
    queue: &Queue,
    consumer: i64,
    now: i64,
) -> Result<i64, Failure> {
    let id = declare(transaction, queue, now)?;
    let taken = transaction
        .prepare_cached(
            "SELECT 1 FROM subscriptions JOIN queues ON queues.id = queue
             WHERE queue = ?1 AND consumer <> ?2 AND ends = ?3",
        )?
        .exists([id, consumer, EXCLUSIVE])?;
    if taken {
        return Err(
            Error::conflict(format!("the queue {} is another consumer's", queue.name))
                .on(queue.name.as_str())
                .hint("names of workers must be unique")
                .into(),
        );
    }
    transaction
        .prepare_cached("INSERT OR IGNORE INTO subscriptions (queue, consumer) VALUES (?1, ?2)")?
        .execute([id, consumer])?;
    transaction
        .prepare_cached("UPDATE queues SET gone = NULL WHERE id = ?1")?
        .execute([id])?;
    Ok(id)
}

/// The consumer receives no more; a queue that lived for it goes.
pub(super) fn unsubscribe(
    transaction: &Transaction<'_>,
    queue: i64,
    consumer: i64,
    now: i64,
) -> rusqlite::Result<()> {
    transaction
        .prepare_cached("DELETE FROM subscriptions WHERE queue = ?1 AND consumer = ?2")?
        .execute([queue, consumer])?;
    let consumed = transaction
        .prepare_cached("SELECT 1 FROM subscriptions WHERE queue = ?1")?
        .exists([queue])?;
    if consumed {
        return Ok(());
    }
    transaction
        .prepare_cached("DELETE FROM queues WHERE id = ?1 AND ends IN (?2, ?3)")?
        .execute([queue, WITH_CONSUMERS, EXCLUSIVE])?;
    transaction
        .prepare_cached("UPDATE queues SET gone = ?2 + expires WHERE id = ?1")?
        .execute([queue, now])?;
    Ok(())
}

/// Deletes queues that nobody used for long, and messages that are of no use any more.
pub(super) fn sweep(transaction: &Transaction<'_>, now: i64) -> rusqlite::Result<()> {
    transaction
        .prepare_cached("DELETE FROM queues WHERE gone <= ?1")?
        .execute([now])?;
    transaction
        .prepare_cached("DELETE FROM messages WHERE expires <= ?1 AND owner IS NULL")?
        .execute([now])?;
    Ok(())
}

/// Deletes a queue with all that is in it; whether there was one.
pub(super) fn delete(transaction: &Transaction<'_>, name: &str) -> rusqlite::Result<bool> {
    let deleted = transaction
        .prepare_cached("DELETE FROM queues WHERE name = ?1")?
        .execute([name])?;
    Ok(deleted > 0)
}

/// Deletes the messages that wait in a queue; how many there were.
pub(super) fn purge(transaction: &Transaction<'_>, queue: i64) -> rusqlite::Result<u64> {
    let purged = transaction
        .prepare_cached("DELETE FROM messages WHERE queue = ?1 AND owner IS NULL AND due = 0")?
        .execute([queue])?;
    Ok(purged as u64)
}

/// What is in a queue.
pub(super) fn depth(connection: &Connection, queue: i64, now: i64) -> rusqlite::Result<Depth> {
    let count = |sql: &str, parameters: &[&dyn rusqlite::ToSql]| {
        connection
            .prepare_cached(sql)?
            .query_row(parameters, |row| row.get::<_, i64>(0))
            .map(i64::unsigned_abs)
    };
    let ready = "SELECT count(*) FROM messages WHERE queue = ?1 AND owner IS NULL AND due = 0";
    let due = "SELECT count(*) FROM messages
               WHERE queue = ?1 AND owner IS NULL AND due > 0 AND due <= ?2";
    let consumers = "SELECT count(*) FROM subscriptions WHERE queue = ?1";
    Ok(Depth {
        messages: count(ready, &[&queue])? + count(due, &[&queue, &now])?,
        consumers: count(consumers, &[&queue])?,
    })
}

/// A queue that listens to a topic.
pub(super) struct Listener {
    pub queue: i64,
    pub pattern: String,
    /// How long its messages are kept, in ms.
    pub keep: i64,
}

/// The queues that get what is posted on a topic.
pub(super) fn listeners(connection: &Connection, topic: Topic) -> rusqlite::Result<Vec<Listener>> {
    connection
        .prepare_cached("SELECT id, pattern, keep FROM queues WHERE topic = ?1")?
        .query_map([number(topic)], |row| {
            Ok(Listener {
                queue: row.get(0)?,
                pattern: row.get(1)?,
                keep: row.get(2)?,
            })
        })?
        .collect()
}

/// The bells of those who receive from a queue.
pub(super) fn bells(connection: &Connection, queue: i64) -> rusqlite::Result<Vec<String>> {
    connection
        .prepare_cached(
            "SELECT name FROM subscriptions JOIN consumers ON id = consumer WHERE queue = ?1",
        )?
        .query_map([queue], |row| row.get(0))?
        .collect()
}

fn number(topic: Topic) -> i64 {
    match topic {
        Topic::Control => 0,
        Topic::Replies => 1,
        Topic::Events => 2,
    }
}

/// A duration as the database has it.
pub(super) fn millis(duration: std::time::Duration) -> i64 {
    i64::try_from(duration.as_millis())
        .unwrap_or(i64::MAX / 4)
        .min(i64::MAX / 4)
}
