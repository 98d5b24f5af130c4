//! Rows as a lazy frame: what the query and Polars' optimiser push down runs in the
//! database, the rest in Polars. The frame reads when it is collected, and fails with a
//! conflict when its object was replaced or dropped until then.

use super::MongoStorage;
use super::catalog::Entry;
use super::explain::command;
use super::layout::noted_end;
use super::pipeline::{self, Plan};
use super::reader::RowReader;
use super::table::{Answer, Table, TableBatches};
use crate::error::{Error, Result};
use crate::frame::bson::Field;
use crate::frame::{Columns, Query};
use crate::storage::projection::{INDEX, Projection, ROW_ID};
use crate::storage::refusal::{ContentKind, dropped, follows, holds};
use crate::storage::{Batches, Metadata, Scan};
use bson::{Bson, Document, doc};
use mongodb::Collection;
use mongodb::error::Error as DriverError;
use polars::prelude::{DataType, LazyFrame, ScanArgsAnonymous};
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
        files: None,
        command: Some(command),
        plan: None,
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
        let connection = self.connection()?;
        let name = entry.metadata.collection.clone().unwrap_or_default();
        let collection = || connection.documents(&name);
        let noted = match noted_end(&entry.own) {
            Some(end) => connection.run(ends_at(collection(), end))?.then_some(end),
            None => None,
        };
        let (next, natural) = match noted {
            Some(end) => (Some(end), true),
            None => {
                let (last, count) = connection.run(last_row(collection()))?;
                (
                    last.map(|last| last + 1),
                    last.map_or(0, |last| last + 1) == count,
                )
            }
        };
        // Only now: what somebody has begun to add since then may have been counted.
        let Some(filter) = self.committed(entry)? else {
            return Ok(Extent {
                next,
                natural,
                committed: None,
            });
        };
        let last = connection.run(highest(collection(), filter.clone()))?;
        Ok(Extent {
            next: last.map(|last| last + 1),
            natural: false,
            committed: Some(filter),
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
        table.open(&table.columns, None, None)
    }

    /// The row id that the next row of a collection gets: no row has it or a later one.
    pub(super) fn next_row(&self, collection: &str) -> Result<i64> {
        let connection = self.connection()?;
        let (last, count) = connection.run(last_row(connection.documents(collection)))?;
        let last = last.map_or(0, |last| last + 1);
        // Where rows were deleted, omega|ml goes on from their number.
        Ok(last.max(count))
    }
}

/// The highest row id of a collection, if it has any, and how many rows.
async fn last_row(
    collection: Collection<Document>,
) -> std::result::Result<(Option<i64>, i64), DriverError> {
    let count = collection.estimated_document_count().await?;
    let count = i64::try_from(count).unwrap_or(i64::MAX);
    // Mostly the ids go up to the number of rows.
    if count > 0 && ends_at(collection.clone(), count).await? {
        return Ok((Some(count - 1), count));
    }
    Ok((highest(collection, Document::new()).await?, count))
}

/// Whether `end` is the row id after the last. Servers find that out by the index even if they
/// sort without it, and know it at once even if they count one by one.
async fn ends_at(
    collection: Collection<Document>,
    end: i64,
) -> std::result::Result<bool, DriverError> {
    let mut cursor = collection
        .find(doc! { ROW_ID: { "$gte": end - 1 } })
        .projection(doc! { ROW_ID: 1, "_id": 0 })
        .limit(2)
        .await?;
    let mut ids = Vec::new();
    while cursor.advance().await? {
        ids.push(row_id(&cursor.deserialize_current()?));
    }
    Ok(match end {
        0 => ids.is_empty(),
        end => ids == [Some(end - 1)],
    })
}

/// The highest row id among some rows.
async fn highest(
    collection: Collection<Document>,
    filter: Document,
) -> std::result::Result<Option<i64>, DriverError> {
    let found = collection
        .find_one(filter)
        .sort(doc! { ROW_ID: -1 })
        .projection(doc! { ROW_ID: 1, "_id": 0 })
        .await?;
    Ok(found.and_then(|row| row_id(&row)))
}

fn row_id(row: &Document) -> Option<i64> {
    match row.get(ROW_ID)? {
        Bson::Int32(id) => Some(i64::from(*id)),
        Bson::Int64(id) => Some(*id),
        Bson::Double(id) => Some(*id as i64),
        _ => None,
    }
}
