//! Streams the rows of a collection as frames in the order of their row ids, a few
//! batches in memory at a time: the server's replies are fetched while others are decoded.
//!
//! All rows of an object are read as they lie, which is many times faster than in any
//! order. Where their ids turn out not to go up by one, as with rows that several have
//! written at a time, the rest is read by ranges of the ids, through their index, several
//! ranges at a time; without an index, and for everything else, the server sorts them.

use super::connection::{Connection, code, refusal};
use super::source::{SPAN, Source, batch_size};
use crate::error::{Error, ErrorKind, Result};
use crate::frame::bson::{Decoder, Field, documents};
use crate::storage::projection::ROW_ID;
use bson::{Document, RawDocumentBuf, doc};
use mongodb::Collection;
use polars::prelude::{DataFrame, DataType};
use std::sync::Arc;

/// Rows of a frame, about.
const FRAME: usize = 65_536;

/// Bytes of a value, about.
const VALUE: usize = 9;

/// Bytes that a document has for its id, row id and index.
const POSITION: usize = 60;

/// What is to be read.
#[derive(Debug, Clone)]
pub(super) struct Reading {
    pub collection: String,
    pub object: String,
    /// The columns, without the row id.
    pub fields: Vec<Field>,
    pub filter: Document,
    /// Another order than that of the row ids.
    pub sort: Option<Document>,
    pub skip: u64,
    pub limit: Option<u64>,
    /// Whether frames have the row id as their last column.
    pub row_id: bool,
    /// Stages of an aggregation, instead of `find`; its answers have no row ids.
    pub stages: Option<Vec<Document>>,
    /// How many columns there are to choose from.
    pub of: usize,
    /// Whether all rows are read from the first to the last, so that their order shows.
    pub natural: bool,
    /// The row id at which such a reading ends, whatever was added meanwhile.
    pub end: Option<i64>,
}

impl Reading {
    /// The row id among the columns.
    fn decoded(&self) -> Vec<Field> {
        let mut fields = self.fields.clone();
        if self.stages.is_none() {
            fields.push(Field {
                column: ROW_ID.to_owned(),
                name: ROW_ID.to_owned(),
                dtype: DataType::Int64,
            });
        }
        fields
    }

    /// How many documents a reply shall have, for what documents of these fields have in bytes.
    fn batch(&self) -> u32 {
        let field = |field: &Field| field.name.len() + 2 + VALUE;
        let wanted: usize = self.fields.iter().map(field).sum();
        let sent = match self.projection() {
            None if self.stages.is_none() => wanted * self.of / self.fields.len().max(1),
            _ => wanted,
        };
        batch_size(sent + POSITION)
    }

    /// What the server shall send of each document: all of it, unless much is not wanted.
    /// Servers take several times as long to make new documents of those that they have.
    pub(super) fn projection(&self) -> Option<Document> {
        if self.fields.len() * 2 >= self.of {
            return None;
        }
        let mut projection: Document = self
            .fields
            .iter()
            .map(|field| (field.name.clone(), bson::Bson::Int32(1)))
            .collect();
        projection.insert(ROW_ID, 1);
        if !projection.contains_key("_id") {
            projection.insert("_id", 0);
        }
        Some(projection)
    }
}

/// Frames of rows.
pub(super) struct RowReader {
    connection: Arc<Connection>,
    reading: Reading,
    decoder: Decoder,
    source: Option<Source>,
    /// The row id that comes next, while documents are read as they lie.
    next: Option<i64>,
    /// The row id from which the source reads ranges, which needs an index.
    ranged: Option<i64>,
    emitted: u64,
    done: bool,
}

impl RowReader {
    /// Starts to read.
    pub fn open(connection: Arc<Connection>, reading: Reading) -> Result<Self> {
        let mut reader = RowReader {
            decoder: Decoder::new(&reading.decoded())?,
            next: reading.natural.then_some(0),
            connection,
            reading,
            source: None,
            ranged: None,
            emitted: 0,
            done: false,
        };
        let filter = reader.reading.filter.clone();
        reader.source = Some(match reader.next {
            Some(_) => reader.start(filter, None)?,
            None => {
                let sort = reader.reading.sort.clone();
                reader.start(filter, Some(sort.unwrap_or(doc! { ROW_ID: 1 })))?
            }
        });
        Ok(reader)
    }

    /// Goes on with the row `from`, in the order of the ids.
    fn go_on(&mut self, from: i64) -> Result<()> {
        self.source = None;
        self.decoder = Decoder::new(&self.reading.decoded())?;
        let first = self.ranged.is_none();
        self.ranged = None;
        self.source = Some(match self.reading.end {
            Some(end) if first && end - from > SPAN => {
                self.ranged = Some(from);
                Source::of_rows(
                    &self.connection,
                    self.collection(),
                    self.reading.projection(),
                    from..end,
                    self.reading.batch(),
                )
            }
            end => {
                let mut range = doc! { "$gte": from };
                range.extend(end.map(|end| ("$lt".to_owned(), end.into())));
                let rest = doc! { ROW_ID: range };
                let filter = match self.reading.filter.is_empty() {
                    true => rest,
                    false => doc! { "$and": [self.reading.filter.clone(), rest] },
                };
                self.start(filter, Some(doc! { ROW_ID: 1 }))?
            }
        });
        Ok(())
    }

    fn collection(&self) -> Collection<RawDocumentBuf> {
        self.connection
            .database()
            .collection(&self.reading.collection)
    }

    fn start(&self, filter: Document, sort: Option<Document>) -> Result<Source> {
        let reading = &self.reading;
        let (collection, batch) = (self.collection(), reading.batch());
        let cursor = match &reading.stages {
            Some(stages) => {
                let mut pipeline = Vec::with_capacity(stages.len() + 1);
                if !filter.is_empty() {
                    pipeline.push(doc! { "$match": filter });
                }
                pipeline.extend(stages.iter().cloned());
                self.connection.run(
                    collection
                        .aggregate(pipeline)
                        .allow_disk_use(true)
                        .batch_size(batch)
                        .batch(),
                )?
            }
            None => {
                let mut find = collection.find(filter).batch_size(batch);
                if let Some(projection) = reading.projection() {
                    find = find.projection(projection);
                }
                if let Some(sort) = sort {
                    find = find.sort(sort).allow_disk_use(true);
                }
                if reading.skip > 0 {
                    find = find.skip(reading.skip);
                }
                if let Some(limit) = reading.limit {
                    find = find.limit(i64::try_from(limit).unwrap_or(i64::MAX));
                }
                self.connection.run(find.batch())?
            }
        };
        Ok(Source::one(&self.connection, cursor))
    }

    /// The next rows; none at the end.
    pub fn next(&mut self) -> Result<Option<DataFrame>> {
        self.read().map_err(|error| error.on(&self.reading.object))
    }

    fn read(&mut self) -> Result<Option<DataFrame>> {
        if self.done || self.reading.limit == Some(0) {
            return Ok(None);
        }
        loop {
            let reply = match &mut self.source {
                Some(source) => source.next(&self.connection)?,
                None => None,
            };
            match reply {
                Some(Ok(reply)) => {
                    let array = reply
                        .doc_slices()
                        .map_err(|_| Error::corrupt("the server sent a malformed reply"))?;
                    for document in documents(array.as_bytes()) {
                        self.decoder.push(document?)?;
                    }
                    if self.decoder.len() >= FRAME {
                        let frame = self.decoder.finish()?;
                        if let Some(frame) = self.ordered(frame)? {
                            return Ok(Some(frame));
                        }
                    }
                }
                Some(Err(error)) => match self.ranged {
                    // There is no such index.
                    Some(from) if refusal(&error) == Some(code::BAD_VALUE) => self.go_on(from)?,
                    _ => {
                        self.done = true;
                        return Err(self.connection.explained(&error));
                    }
                },
                None => {
                    self.source = None;
                    if !self.decoder.is_empty() {
                        let frame = self.decoder.finish()?;
                        if let Some(frame) = self.ordered(frame)? {
                            return Ok(Some(frame));
                        }
                        if self.source.is_some() {
                            continue;
                        }
                    }
                    self.done = true;
                    return Ok(None);
                }
            }
        }
    }

    /// Passes the rows on, as long as their ids go up by one where they are read as they
    /// lie; else the rest is asked for anew, sorted.
    fn ordered(&mut self, frame: DataFrame) -> Result<Option<DataFrame>> {
        let frame = match self.next {
            None => frame,
            Some(next) => {
                let left = self.reading.end.map_or(i64::MAX, |end| end - next);
                let left = usize::try_from(left).unwrap_or(0);
                let frame = match frame.height() > left {
                    true => {
                        self.source = None;
                        frame.slice(0, left)
                    }
                    false => frame,
                };
                let ids = frame
                    .column(ROW_ID)
                    .and_then(|column| column.i64().cloned())
                    .map_err(|error| Error::corrupt("rows have no row ids").because(error))?;
                let first = ids
                    .iter()
                    .zip(next..)
                    .position(|(id, expected)| id != Some(expected));
                match first {
                    None => {
                        self.next = Some(next + frame.height() as i64);
                        frame
                    }
                    Some(good) => {
                        self.next = None;
                        self.go_on(next + good as i64)?;
                        frame.slice(0, good)
                    }
                }
            }
        };
        if frame.height() == 0 {
            return Ok(None);
        }
        self.emitted += frame.height() as u64;
        self.finished(frame).map(Some)
    }

    /// The columns that are asked for.
    fn finished(&self, mut frame: DataFrame) -> Result<DataFrame> {
        if self.reading.stages.is_none() && !self.reading.row_id {
            frame
                .drop_in_place(ROW_ID)
                .map_err(|error| Error::new(ErrorKind::Failed, error.to_string()))?;
        }
        Ok(frame)
    }

    /// A frame without rows.
    pub fn empty(&self) -> Result<DataFrame> {
        let frame = Decoder::new(&self.reading.decoded())?.finish()?;
        self.finished(frame)
    }
}

impl Drop for RowReader {
    fn drop(&mut self) {
        let _context = self.connection.enter();
        self.source = None;
    }
}
