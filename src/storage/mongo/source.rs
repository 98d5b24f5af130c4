//! Where rows come from: the server's replies to one cursor, or to several over ranges of
//! the row id, of which some are at work while the first is read. Replies come in the
//! order of the ranges; memory is bounded by the replies that wait.

use super::connection::Connection;
use super::indexes::ROW_INDEX;
use crate::error::Result;
use crate::storage::projection::ROW_ID;
use bson::{Document, RawDocumentBuf, doc};
use futures_core::Stream;
use mongodb::Collection;
use mongodb::error::Error as DriverError;
use mongodb::options::Hint;
use mongodb::raw_batch_cursor::{RawBatch, RawBatchCursor};
use std::collections::VecDeque;
use std::ops::{Range, RangeInclusive};
use std::pin::Pin;
use std::sync::Arc;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::task::JoinHandle;

/// Bytes that a reply shall have, about. It could have 16 MB; but what the last one holds is
/// decoded while nothing arrives, and a processor keeps little of more.
const REPLY: usize = 4 << 20;

/// Documents that a reply holds at the least and at the most.
const DOCUMENTS: RangeInclusive<usize> = 1_000..=100_000;

/// Replies of a cursor that wait to be decoded.
const WAITING: usize = 4;

/// Rows of a range.
pub(super) const SPAN: i64 = 65_536;

/// Ranges that are fetched at a time.
const AT_ONCE: usize = 3;

/// How many documents a reply shall have that have so many bytes each, about.
pub(super) fn batch_size(bytes: usize) -> u32 {
    let documents = REPLY / bytes.max(1);
    let documents = documents.clamp(*DOCUMENTS.start(), *DOCUMENTS.end());
    u32::try_from(documents).unwrap_or(u32::MAX)
}

/// A reply of the server, or the driver's reason for none.
pub(super) type Reply = std::result::Result<RawBatch, DriverError>;

/// The next reply of the server.
pub(super) async fn next_batch(cursor: &mut RawBatchCursor) -> Option<Reply> {
    std::future::poll_fn(|context| Pin::new(&mut *cursor).poll_next(context)).await
}

/// Replies, one after the other.
pub(super) struct Source {
    fetching: VecDeque<Fetching>,
    ranges: Option<Ranges>,
}

/// Rows that are still to be asked for.
struct Ranges {
    collection: Collection<RawDocumentBuf>,
    projection: Option<Document>,
    rows: Range<i64>,
    batch: u32,
}

/// A cursor that is read by a task of its own.
struct Fetching {
    replies: Receiver<Reply>,
    task: JoinHandle<()>,
}

impl Drop for Fetching {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Source {
    /// The replies to one cursor.
    pub fn one(connection: &Connection, cursor: RawBatchCursor) -> Self {
        let (sender, replies) = channel(WAITING);
        let task = connection.spawn(pass_on(cursor, sender));
        Source {
            fetching: VecDeque::from([Fetching { replies, task }]),
            ranges: None,
        }
    }

    /// The rows with these ids, through their index; the server refuses if there is none.
    pub fn of_rows(
        connection: &Connection,
        collection: Collection<RawDocumentBuf>,
        projection: Option<Document>,
        rows: Range<i64>,
        batch: u32,
    ) -> Self {
        let mut source = Source {
            fetching: VecDeque::with_capacity(AT_ONCE),
            ranges: Some(Ranges {
                collection,
                projection,
                rows,
                batch,
            }),
        };
        source.fill(connection);
        source
    }

    /// The next reply; none at the end.
    pub fn next(&mut self, connection: &Arc<Connection>) -> Result<Option<Reply>> {
        while let Some(first) = self.fetching.front_mut() {
            if let Some(reply) = connection.wait(first.replies.recv())? {
                return Ok(Some(reply));
            }
            self.fetching.pop_front();
            self.fill(connection);
        }
        Ok(None)
    }

    /// Keeps ranges at work.
    fn fill(&mut self, connection: &Connection) {
        let Some(ranges) = &mut self.ranges else {
            return;
        };
        while self.fetching.len() < AT_ONCE && !ranges.rows.is_empty() {
            let start = ranges.rows.start;
            let end = start.saturating_add(SPAN).min(ranges.rows.end);
            ranges.rows.start = end;
            let (sender, replies) = channel(WAITING);
            let (collection, projection) = (ranges.collection.clone(), ranges.projection.clone());
            let batch = ranges.batch;
            let task = connection.spawn(async move {
                let mut find = collection
                    .find(doc! { ROW_ID: { "$gte": start, "$lt": end } })
                    .hint(Hint::Name(ROW_INDEX.to_owned()))
                    .batch_size(batch);
                if let Some(projection) = projection {
                    find = find.projection(projection);
                }
                match find.batch().await {
                    Ok(cursor) => pass_on(cursor, sender).await,
                    Err(error) => drop(sender.send(Err(error)).await),
                }
            });
            self.fetching.push_back(Fetching { replies, task });
        }
    }
}

/// Reads a cursor to its end, or until nobody wants more.
async fn pass_on(mut cursor: RawBatchCursor, sender: Sender<Reply>) {
    while let Some(reply) = next_batch(&mut cursor).await {
        let failed = reply.is_err();
        if sender.send(reply).await.is_err() || failed {
            break;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replies_have_neither_few_documents_nor_all() {
        assert_eq!(batch_size(400), 10_485);
        assert_eq!(batch_size(0), 100_000);
        assert_eq!(batch_size(16 << 20), 1_000);
    }
}
