//! Rows as a lazy frame: what the query and Polars' optimiser push down runs in the
//! database, the rest in Polars. The frame reads when it is collected, and fails with a
//! conflict when its object was replaced or dropped until then.

use super::MongoStorage;
use super::catalog::Entry;
use super::connection::Connection;
use super::explain::command;
use super::pipeline::{self, Plan};
use super::reader::{Reading, RowReader};
use crate::error::{Error, ErrorKind, Result};
use crate::frame::bson::Field;
use crate::frame::{self, Columns, Query};
use crate::storage::projection::{INDEX, Projection, ROW_ID};
use crate::storage::refusal::{ContentKind, dropped, follows, holds};
use crate::storage::{Batches, Metadata, Scan};
use bson::{Bson, Document, doc};
use polars::prelude::{
    AnonymousScan, AnonymousScanArgs, DataFrame, DataType, IntoLazy, LazyFrame, PolarsError,
    PolarsResult, ScanArgsAnonymous, Schema,
};
use std::any::Any;
use std::collections::BTreeSet;
use std::future::IntoFuture;
use std::sync::Arc;

/// Runs what it can of `query` in the database, when the frame is collected.
pub(super) fn scan(storage: &MongoStorage, metadata: &Metadata, query: &Query) -> Result<Scan> {
    let key = metadata.key.to_string();
    let entry = storage.locate(metadata, ContentKind::Rows)?;
    let (plan, table) = planned(storage, entry, query).map_err(|error| error.on(key))?;
    let rest = plan.rest;
    let table = Arc::new(table);
    let schema = Arc::new(table.schema());
    let arguments = ScanArgsAnonymous {
        schema: Some(schema),
        name: "MongoDB",
        ..ScanArgsAnonymous::default()
    };
    let batches: Batches = {
        let table = table.clone();
        Box::new(move || match &table.answer {
            None => Ok(Box::new(TableBatches::open(&table)?)),
            Some(_) => Ok(Box::new(std::iter::once(table.read(
                &table.columns,
                None,
                None,
            )))),
        })
    };
    let command = command(&table.reading(&table.columns, None, None));
    let frame = LazyFrame::anonymous_scan(table, arguments)
        .map_err(|error| Error::failed("cannot plan the query").because(error))?;
    Ok(Scan {
        frame,
        rest,
        batches: Some(batches),
        command: Some(command),
    })
}

/// How a query is divided between the database and Polars.
pub(super) fn planned(
    storage: &MongoStorage,
    entry: Entry,
    query: &Query,
) -> Result<(Plan, Table)> {
    let fields = storage.fields(&entry)?;
    let stored: Vec<String> = fields.iter().map(|field| field.column.clone()).collect();
    let mut rest = query.clone();
    let projection = Projection::new(&stored, &mut rest);
    let mut known: Vec<Field> = Vec::with_capacity(fields.len() + 2);
    known.extend(projection.index.then(|| position(INDEX)));
    known.extend(fields.iter().cloned());
    known.extend(projection.row_id.then(|| position(ROW_ID)));
    let extent = storage.extent(&entry)?;
    let mut plan = pipeline::plan(&rest, &known, &BTreeSet::new());
    if !plan.doubts.is_empty() {
        let texts = storage.texts(&entry, &extent, &plan)?;
        plan = pipeline::plan(&rest, &known, &texts);
    }
    let answer = plan.aggregation.as_ref().map(|aggregation| {
        let names = aggregation.answer.iter().map(|field| field.column.clone());
        let mut query = Query {
            filter: None,
            columns: Columns::Only(names.collect()),
            ..rest.clone()
        };
        let left = &plan.rest;
        if !left.sort.is_empty() || left.skip > 0 || left.limit.is_some() {
            query.sort.clear();
            (query.skip, query.limit) = (0, None);
        }
        Answer {
            stages: aggregation.stages.clone(),
            query,
        }
    });
    let mut columns = match &plan.aggregation {
        Some(aggregation) => aggregation.answer.clone(),
        None => plan.columns.clone(),
    };
    if columns.is_empty() {
        columns.extend(known.first().cloned());
    }
    let table = Table {
        storage: storage.clone(),
        connection: storage.connection()?.clone(),
        extent,
        entry,
        stored: fields,
        known,
        columns,
        filter: plan.filter.clone(),
        sort: plan.sort.clone(),
        skip: plan.skip,
        limit: plan.limit,
        answer,
    };
    Ok((plan, table))
}

fn position(name: &str) -> Field {
    Field {
        column: name.to_owned(),
        name: name.to_owned(),
        dtype: DataType::Int64,
    }
}

/// Which rows an object has.
#[derive(Debug, Clone)]
pub(super) struct Extent {
    /// The row id after the last.
    pub next: Option<i64>,
    /// Whether the row ids seem to go up by one from the first document to the last.
    pub natural: bool,
    /// Leaves out what is being added.
    pub committed: Option<Document>,
}

/// How often a read starts again because its object was replaced meanwhile.
const ATTEMPTS: usize = 8;

/// The rows of one object, as a source of Polars.
#[derive(Clone)]
pub(super) struct Table {
    storage: MongoStorage,
    connection: Arc<Connection>,
    entry: Entry,
    extent: Extent,
    /// All fields of the documents.
    stored: Vec<Field>,
    /// The same, with the derived columns that are named.
    known: Vec<Field>,
    /// What is read.
    columns: Vec<Field>,
    filter: Option<Document>,
    sort: Option<Document>,
    skip: u64,
    limit: Option<u64>,
    answer: Option<Answer>,
}

/// An answer that the database makes of the rows.
#[derive(Clone)]
struct Answer {
    stages: Vec<Document>,
    /// The same, for Polars, on the rows that the filter finds.
    query: Query,
}

impl Table {
    fn schema(&self) -> Schema {
        super::schema_of(&self.columns)
    }

    /// What is to be read for these columns.
    pub(super) fn reading(
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
    fn read(
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
        let reading = self.reading(columns, filter, limit);
        tracing::debug!("MongoDB: {}", command(&reading));
        let mut reader = RowReader::open(self.connection.clone(), reading)?;
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
        let frame = self.read(&columns, pushed, limit).map_err(carried)?;
        let frame = frame.select(columns.iter().map(|field| field.column.as_str()))?;
        match predicate {
            Some(predicate) => frame.lazy().filter(predicate).collect(),
            None => Ok(frame.head(arguments.n_rows)),
        }
    }
}

/// An error of ours on its way through Polars.
fn carried(error: Error) -> PolarsError {
    PolarsError::IO {
        error: Arc::new(std::io::Error::other(error)),
        msg: None,
    }
}

/// The rows of a table, batch by batch.
struct TableBatches {
    table: Arc<Table>,
    reader: RowReader,
    order: Vec<String>,
    started: bool,
    done: bool,
}

impl TableBatches {
    fn open(table: &Arc<Table>) -> Result<Self> {
        let reading = table.reading(&table.columns, None, None);
        tracing::debug!("MongoDB: {}", command(&reading));
        Ok(TableBatches {
            reader: RowReader::open(table.connection.clone(), reading)?,
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

impl MongoStorage {
    /// The object that `metadata` speaks of, or what has taken its place meanwhile, if it
    /// holds what is wanted.
    pub(super) fn locate(&self, metadata: &Metadata, wanted: ContentKind) -> Result<Entry> {
        let entry = self.follow(metadata)?;
        let stored = entry
            .metadata
            .content
            .is_some()
            .then(|| super::content_kind(&entry));
        match stored {
            Some(stored) if stored == wanted => Ok(entry),
            stored => Err(holds(&metadata.key, stored, wanted)),
        }
    }

    /// The object that `metadata` speaks of, or what has taken its place.
    pub(super) fn follow(&self, metadata: &Metadata) -> Result<Entry> {
        let Some(entry) = self.entry(&metadata.key)? else {
            return Err(dropped(&metadata.key));
        };
        if entry.metadata.content != metadata.content {
            follows(metadata, &entry.metadata)?;
        }
        Ok(entry)
    }

    /// Which rows an object has right now.
    pub(super) fn extent(&self, entry: &Entry) -> Result<Extent> {
        let committed = self.committed(entry)?;
        let name = entry.metadata.collection.clone().unwrap_or_default();
        let connection = self.connection()?;
        let collection = connection.documents(&name);
        let filter = committed.clone().unwrap_or_default();
        let edge = |direction: i32| {
            let found = connection.run(
                collection
                    .find_one(filter.clone())
                    .sort(doc! { ROW_ID: direction })
                    .projection(doc! { ROW_ID: 1, "_id": 0 })
                    .into_future(),
            );
            found.map(|found| found.and_then(|row| row_id(&row)))
        };
        let last = edge(-1)?;
        let natural = committed.is_none() && {
            let count = self.count(&name, None)?;
            let whole = last.map_or(0, |last| last + 1);
            i64::try_from(count) == Ok(whole)
        };
        Ok(Extent {
            next: last.map(|last| last + 1),
            natural,
            committed,
        })
    }

    /// The fields among the doubtful ones of a plan that hold nothing but texts and nulls in
    /// the rows that it reads.
    fn texts(&self, entry: &Entry, extent: &Extent, plan: &Plan) -> Result<BTreeSet<String>> {
        let connection = self.connection()?;
        let collection =
            connection.documents(entry.metadata.collection.as_deref().unwrap_or_default());
        let mut doubts = plan.doubts.clone();
        while !doubts.is_empty() {
            let mut parts = vec![pipeline::other_than_texts(&doubts)];
            parts.extend(plan.filter.clone());
            parts.extend(extent.committed.clone());
            let filter = doc! { "$and": parts };
            tracing::debug!("MongoDB: only texts? {filter}");
            let Some(found) = connection.run(collection.find_one(filter).into_future())? else {
                break;
            };
            let others = pipeline::others_in(&found, &doubts);
            match others.is_empty() {
                true => doubts.clear(),
                false => doubts.retain(|field| !others.contains(field)),
            }
        }
        Ok(doubts.into_iter().collect())
    }

    /// All rows of an object.
    pub(super) fn all_rows(&self, entry: &Entry) -> Result<RowReader> {
        let (_, table) = planned(self, entry.clone(), &Query::default())?;
        RowReader::open(
            self.connection()?.clone(),
            table.reading(&table.columns, None, None),
        )
    }

    /// The row id that the next row of a collection gets: no row has it or a later one.
    pub(super) fn next_row(&self, collection: &str) -> Result<i64> {
        let connection = self.connection()?;
        let found = connection.run(
            connection
                .documents(collection)
                .find_one(doc! {})
                .sort(doc! { ROW_ID: -1 })
                .projection(doc! { ROW_ID: 1, "_id": 0 })
                .into_future(),
        )?;
        let last = found
            .and_then(|row| row_id(&row))
            .map_or(0, |last| last + 1);
        // Where rows were deleted, omega|ml goes on from their number.
        let count = i64::try_from(self.count(collection, None)?).unwrap_or(i64::MAX);
        Ok(last.max(count))
    }
}

fn row_id(row: &Document) -> Option<i64> {
    match row.get(ROW_ID)? {
        Bson::Int32(id) => Some(i64::from(*id)),
        Bson::Int64(id) => Some(*id),
        Bson::Double(id) => Some(*id as i64),
        _ => None,
    }
}
