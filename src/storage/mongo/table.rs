//! The rows of one object as a source of Polars, in one piece or in batches: what is sent
//! for them, and that they are of one state of the object.

use super::MongoStorage;
use super::catalog::Entry;
use super::connection::Connection;
use super::explain::command;
use super::pipeline;
use super::reader::{Reading, RowReader};
use super::scan::Extent;
use crate::error::{Error, ErrorKind, Result};
use crate::frame::bson::Field;
use crate::frame::{self, Query, through_polars};
use crate::storage::projection::ROW_ID;
use crate::storage::refusal::{ContentKind, dropped};
use bson::{Document, doc};
use polars::prelude::{
    AnonymousScan, AnonymousScanArgs, DataFrame, IntoLazy, PolarsResult, Schema,
};
use std::any::Any;
use std::sync::Arc;

/// How often a read starts again because its object was replaced meanwhile.
const ATTEMPTS: usize = 8;

/// The rows of one object, as a source of Polars.
#[derive(Clone)]
pub(super) struct Table {
    pub storage: MongoStorage,
    pub connection: Arc<Connection>,
    pub entry: Entry,
    pub extent: Extent,
    /// All fields of the documents.
    pub stored: Vec<Field>,
    /// The same, with the derived columns that are named.
    pub known: Vec<Field>,
    /// What is read.
    pub columns: Vec<Field>,
    pub filter: Option<Document>,
    pub sort: Option<Document>,
    pub skip: u64,
    pub limit: Option<u64>,
    pub answer: Option<Answer>,
}

/// An answer that the database makes of the rows.
#[derive(Clone)]
pub(super) struct Answer {
    pub stages: Vec<Document>,
    /// The same, for Polars, on the rows that the filter finds.
    pub query: Query,
}

impl Table {
    pub fn schema(&self) -> Schema {
        super::schema_of(&self.columns)
    }

    /// Starts to read these columns.
    pub fn open(
        &self,
        columns: &[Field],
        filter: Option<Document>,
        limit: Option<u64>,
    ) -> Result<RowReader> {
        let reading = self.reading(columns, filter, limit);
        tracing::debug!("MongoDB: {}", command(&reading));
        RowReader::open(self.connection.clone(), reading)
    }

    /// What is to be read for these columns.
    pub fn reading(
        &self,
        columns: &[Field],
        more: Option<Document>,
        limit: Option<u64>,
    ) -> Reading {
        let windowed = self.skip > 0 || self.limit.is_some() || limit.is_some();
        let natural = self.extent.natural
            && self.filter.is_none()
            && self.sort.is_none()
            && self.answer.is_none()
            && more.is_none()
            && !windowed;
        let mut parts: Vec<Document> = Vec::new();
        parts.extend(self.filter.clone());
        parts.extend(more);
        parts.extend(self.extent.committed.clone());
        if !natural && let Some(next) = self.extent.next {
            parts.push(doc! { ROW_ID: { "$lt": next } });
        }
        let filter = match parts.len() {
            0 => Document::new(),
            1 => parts.remove(0),
            _ => doc! { "$and": parts },
        };
        let row_id = columns.iter().any(|field| field.name == ROW_ID) && self.answer.is_none();
        Reading {
            collection: self.entry.metadata.collection.clone().unwrap_or_default(),
            object: self.entry.metadata.key.to_string(),
            fields: columns
                .iter()
                .filter(|field| self.answer.is_some() || field.name != ROW_ID)
                .cloned()
                .collect(),
            filter,
            sort: self.sort.clone(),
            skip: self.skip,
            limit: match (self.limit, limit) {
                (Some(ours), Some(more)) => Some(ours.min(more)),
                (ours, more) => ours.or(more),
            },
            row_id,
            stages: self.answer.as_ref().map(|answer| answer.stages.clone()),
            of: self.stored.len(),
            natural,
            end: self.extent.next.filter(|_| natural),
        }
    }

    /// Fails when the object is not what was read any more.
    fn verify(&self) -> Result<()> {
        let key = &self.entry.metadata.key;
        match self.storage.entry(key)? {
            Some(now) if now.metadata.content == self.entry.metadata.content => Ok(()),
            Some(_) => Err(
                Error::conflict(format!("{key} was replaced while it was read"))
                    .on(key.to_string())
                    .hint("read it again"),
            ),
            None => Err(dropped(key)),
        }
    }

    /// The same of what has taken the object's place, if that has the same columns.
    fn followed(&self) -> Result<Option<Table>> {
        let entry = self
            .storage
            .locate(&self.entry.metadata, ContentKind::Rows)?;
        let same = entry.metadata.content != self.entry.metadata.content
            && self.storage.fields(&entry)? == self.stored;
        match same {
            false => Ok(None),
            true => Ok(Some(Table {
                extent: self.storage.extent(&entry)?,
                entry,
                ..self.clone()
            })),
        }
    }

    /// All rows of one state of the object.
    pub fn read(
        &self,
        columns: &[Field],
        filter: Option<Document>,
        limit: Option<u64>,
    ) -> Result<DataFrame> {
        let mut table = self.clone();
        for _ in 0..ATTEMPTS {
            match table.read_once(columns, filter.clone(), limit) {
                Err(error) if error.kind() == ErrorKind::Conflict => match table.followed()? {
                    Some(followed) => table = followed,
                    None => return Err(error),
                },
                done => return done,
            }
        }
        table.read_once(columns, filter, limit)
    }

    fn read_once(
        &self,
        columns: &[Field],
        filter: Option<Document>,
        limit: Option<u64>,
    ) -> Result<DataFrame> {
        if let Some(answer) = &self.answer {
            return self.answered(answer);
        }
        self.rows(columns, filter, limit)
    }

    /// The answer that the database makes; by Polars where it cannot.
    fn answered(&self, answer: &Answer) -> Result<DataFrame> {
        let query = &answer.query;
        // There is one group of nothing, too.
        let whole = query.is_grouped() && query.group_by.is_empty();
        match self.rows(&self.columns, None, None) {
            Ok(frame) if frame.height() > 0 || !whole => return Ok(frame),
            Ok(_) => {}
            // A sum beyond the type of its column, or stages that the server does not know.
            Err(error) if matches!(error.kind(), ErrorKind::Invalid | ErrorKind::Failed) => {
                tracing::info!("the database does not answer, Polars does: {error}");
            }
            Err(error) => return Err(error),
        }
        let all: Vec<String> = self
            .known
            .iter()
            .map(|field| field.column.clone())
            .collect();
        let needed = query.required(&all);
        let read = |field: &&Field| needed.contains(&field.column);
        let mut columns: Vec<Field> = self.known.iter().filter(read).cloned().collect();
        if columns.is_empty() {
            columns.extend(self.known.first().cloned());
        }
        let source = Table {
            answer: None,
            ..self.clone()
        };
        let rows = source.rows(&columns, None, None)?;
        frame::collect(frame::run(rows.lazy(), query)?)
    }

    fn rows(
        &self,
        columns: &[Field],
        filter: Option<Document>,
        limit: Option<u64>,
    ) -> Result<DataFrame> {
        let mut reader = self.open(columns, filter, limit)?;
        let mut whole = reader.empty()?;
        while let Some(frame) = reader.next()? {
            self.storage.options.progress.check()?;
            whole
                .vstack_mut_owned(frame)
                .map_err(|error| Error::failed("cannot join rows").because(error))?;
        }
        self.verify()?;
        Ok(whole)
    }
}

impl AnonymousScan for Table {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn allows_predicate_pushdown(&self) -> bool {
        self.answer.is_none()
    }

    fn allows_projection_pushdown(&self) -> bool {
        true
    }

    fn scan(&self, arguments: AnonymousScanArgs) -> PolarsResult<DataFrame> {
        let columns: Vec<Field> = match &arguments.with_columns {
            None => self.columns.clone(),
            Some(names) => self
                .columns
                .iter()
                .filter(|field| names.iter().any(|name| *name == field.column))
                .cloned()
                .collect(),
        };
        let columns = match columns.is_empty() {
            // There have to be rows to count.
            true => self.columns.first().cloned().into_iter().collect(),
            false => columns,
        };
        let predicate = arguments.predicate;
        if let Some(predicate) = &predicate {
            tracing::debug!("Polars: where {predicate}");
        }
        // A window comes before the predicate: then it cannot run inside.
        let windowed = self.skip > 0 || self.limit.is_some();
        let pushed = predicate
            .as_ref()
            .filter(|_| !windowed)
            .and_then(|predicate| pipeline::predicate(predicate, &self.known));
        let limit = arguments
            .n_rows
            .filter(|_| predicate.is_none())
            .map(|rows| rows as u64);
        let frame = self.read(&columns, pushed, limit).map_err(through_polars)?;
        let frame = frame.select(columns.iter().map(|field| field.column.as_str()))?;
        match predicate {
            Some(predicate) => frame.lazy().filter(predicate).collect(),
            None => Ok(match arguments.n_rows {
                Some(rows) => frame.head(Some(rows)),
                None => frame,
            }),
        }
    }
}

/// The rows of a table, batch by batch.
pub(super) struct TableBatches {
    table: Arc<Table>,
    reader: RowReader,
    order: Vec<String>,
    started: bool,
    done: bool,
}

impl TableBatches {
    pub fn open(table: &Arc<Table>) -> Result<Self> {
        Ok(TableBatches {
            reader: table.open(&table.columns, None, None)?,
            order: table
                .columns
                .iter()
                .map(|field| field.column.clone())
                .collect(),
            table: table.clone(),
            started: false,
            done: false,
        })
    }

    fn read(&mut self) -> Result<Option<DataFrame>> {
        self.table.storage.options.progress.check()?;
        let frame = match self.reader.next()? {
            Some(frame) => frame,
            None => {
                self.done = true;
                self.table.verify()?;
                if self.started {
                    return Ok(None);
                }
                self.reader.empty()?
            }
        };
        self.started = true;
        frame
            .select(self.order.iter().map(String::as_str))
            .map(Some)
            .map_err(|error| Error::failed("cannot order the columns").because(error))
    }
}

impl Iterator for TableBatches {
    type Item = Result<DataFrame>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.done {
            return None;
        }
        let read = self.read();
        self.done |= read.is_err();
        read.transpose()
    }
}
