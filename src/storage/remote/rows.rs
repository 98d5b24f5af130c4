//! Rows behind a server: the server plans the query and runs as much of it as it can when
//! the frame is collected. Rows come in pieces; after a break they go on where they ended,
//! if the object is still the same.

use super::RemoteStorage;
use crate::error::{Context, Error, ErrorKind, Result};
use crate::frame::filter::finding;
use crate::frame::format::scan_parquet;
use crate::frame::{Filter, Query, Rows, through_polars};
use crate::remote::rows::decoded;
use crate::remote::{Ask, Pieces, wire};
use crate::storage::{Batches, Metadata, Scan};
use bson::doc;
use polars::prelude::{
    AnonymousScan, AnonymousScanArgs, DataFrame, IntoLazy, LazyFrame, PolarsResult,
    ScanArgsAnonymous, ScanSources, SchemaRef,
};
use std::any::Any;
use std::sync::Arc;

/// How often rows are asked for again after a break.
const ATTEMPTS: u32 = 5;

/// Plans a query on a server.
pub(super) fn scan(storage: &RemoteStorage, metadata: &Metadata, query: &Query) -> Result<Scan> {
    let key = metadata.key.to_string();
    let ask = Ask::post(wire::object_path(&metadata.key, "plan"))
        .of(&metadata.key.bucket)
        .repeatable()
        .document(&doc! {
            "as": wire::identity(metadata)?, "query": wire::query(query)?,
        })?;
    let plan = storage.server.ask(&ask)?.document()?;
    let empty = plan
        .get_binary_generic("schema")
        .map_err(|_| Error::invalid("the server's answer is not understood").on(key))?;
    let empty = decoded(empty.clone())?;
    let scan = plan
        .get_str("scan")
        .map_err(|_| Error::invalid("the server's answer is not understood"))?;
    let table = Arc::new(Table {
        storage: storage.clone(),
        metadata: metadata.clone(),
        scan: scan.to_owned(),
        schema: empty.schema().clone(),
    });
    let batches: Batches = {
        let table = table.clone();
        Box::new(move || table.batches(Wanted::default()))
    };
    let arguments = ScanArgsAnonymous {
        schema: Some(table.schema.clone()),
        name: "om server",
        ..ScanArgsAnonymous::default()
    };
    let frame = LazyFrame::anonymous_scan(table, arguments)
        .map_err(|error| Error::failed("cannot plan the query").because(error))?;
    Ok(Scan {
        frame,
        rest: wire::query_of(&plan, "rest")?,
        batches: Some(batches),
        files: None,
        command: plan.get_document("command").ok().cloned(),
        plan: plan.get_str("plan").ok().map(str::to_owned),
    })
}

/// What of the rows of a plan is sent: those of `filter`, of these the first ones.
#[derive(Default, PartialEq)]
struct Wanted {
    filter: Option<Filter>,
    columns: Option<Vec<String>>,
    limit: Option<u64>,
}

/// The rows of a plan on a server.
#[derive(Clone)]
struct Table {
    storage: RemoteStorage,
    metadata: Metadata,
    scan: String,
    schema: SchemaRef,
}

impl Table {
    fn batches(&self, wanted: Wanted) -> Result<crate::frame::Batches> {
        let mut batches = RemoteBatches {
            table: self.clone(),
            wanted,
            tag: None,
            pieces: None,
            rows: 0,
            breaks: 0,
            done: false,
        };
        match batches.start()? {
            Form::Arrow => Ok(Box::new(batches)),
            Form::Files => {
                tracing::debug!("the rows come in the files that they are stored in");
                Rows::from(batches.files()?).batches()
            }
        }
    }

    fn read(&self, wanted: Wanted) -> Result<DataFrame> {
        let mut whole: Option<DataFrame> = None;
        for batch in self.batches(wanted)? {
            let batch = batch?;
            match &mut whole {
                None => whole = Some(batch),
                Some(whole) => {
                    whole
                        .vstack_mut_owned(batch)
                        .map_err(|error| Error::failed("cannot join rows").because(error))?;
                }
            }
        }
        Ok(whole.unwrap_or_else(|| DataFrame::empty_with_schema(&self.schema)))
    }
}

impl AnonymousScan for Table {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn allows_predicate_pushdown(&self) -> bool {
        true
    }

    fn allows_projection_pushdown(&self) -> bool {
        true
    }

    fn scan(&self, arguments: AnonymousScanArgs) -> PolarsResult<DataFrame> {
        let columns: Option<Vec<String>> = arguments.with_columns.as_ref().map(|names| {
            let wanted = |name: &&polars::prelude::PlSmallStr| names.iter().any(|one| one == *name);
            let known = self.schema.iter_names().filter(wanted);
            let mut known: Vec<String> = known.map(ToString::to_string).collect();
            if known.is_empty() {
                // There have to be rows to count.
                known.extend(self.schema.iter_names().next().map(ToString::to_string));
            }
            known
        });
        let limit = arguments
            .n_rows
            .filter(|_| arguments.predicate.is_none())
            .map(|rows| rows as u64);
        let filter = arguments
            .predicate
            .as_ref()
            .and_then(|predicate| finding(predicate, &self.schema));
        if let Some(filter) = &filter {
            tracing::debug!("Polars: where {filter}");
        }
        let wanted = Wanted {
            filter,
            columns: columns.clone(),
            limit,
        };
        let frame = self.read(wanted).map_err(through_polars)?;
        let frame = match columns {
            Some(columns) => frame.select(columns)?,
            None => frame,
        };
        match arguments.predicate {
            Some(predicate) => frame.lazy().filter(predicate).collect(),
            None => Ok(match arguments.n_rows {
                Some(rows) => frame.head(Some(rows)),
                None => frame,
            }),
        }
    }
}

/// How rows come.
enum Form {
    /// In batches.
    Arrow,
    /// In the files that they are stored in.
    Files,
}

/// Rows as they come.
struct RemoteBatches {
    table: Table,
    wanted: Wanted,
    /// The state of the object that is read.
    tag: Option<String>,
    pieces: Option<Pieces>,
    /// Rows that have come.
    rows: u64,
    breaks: u32,
    done: bool,
}

impl RemoteBatches {
    /// Asks for the rows that have not come yet.
    fn start(&mut self) -> Result<Form> {
        let key = &self.table.metadata.key;
        let mut body = doc! {
            "scan": &self.table.scan,
            "skip": i64::try_from(self.rows).unwrap_or(i64::MAX),
        };
        if let Some(filter) = &self.wanted.filter {
            let query = Query {
                filter: Some(filter.clone()),
                ..Query::default()
            };
            body.insert("where", wire::query(&query)?);
        }
        if let Some(columns) = &self.wanted.columns {
            body.insert("columns", columns.as_slice());
        }
        if self.rows == 0 && self.wanted == Wanted::default() {
            body.insert("files", true);
        }
        if let Some(limit) = self.wanted.limit {
            body.insert("limit", i64::try_from(limit).unwrap_or(i64::MAX));
        }
        if let Some(tag) = &self.tag {
            body.insert("tag", tag);
        }
        let ask = Ask::post(wire::object_path(key, "rows"))
            .of(&key.bucket)
            .repeatable()
            .document(&body)?;
        let answer = self.table.storage.server.ask(&ask)?;
        self.tag = answer.header("etag").map(str::to_owned);
        let form = match answer.header(wire::ROWS) {
            Some(wire::PARQUET) => Form::Files,
            _ => Form::Arrow,
        };
        self.pieces = Some(Pieces::of(answer.body));
        Ok(form)
    }

    /// The files, of which the first answer has come. They are small: after a break they
    /// come anew.
    fn files(&mut self) -> Result<LazyFrame> {
        let files = loop {
            match self.whole_files() {
                Err(error) if self.goes_on(&error) => match self.start()? {
                    Form::Files => {}
                    Form::Arrow => return Err(error),
                },
                files => break files?,
            }
        };
        let sources = ScanSources::Buffers(files.into_iter().map(Into::into).collect());
        scan_parquet(sources).context(|| "the rows that were sent are not understood")
    }

    fn whole_files(&mut self) -> Result<Vec<Vec<u8>>> {
        let malformed = || Error::invalid("the rows that were sent are not understood");
        let mut pieces = self.pieces.take().ok_or_else(malformed)?;
        let first = pieces.next().ok_or_else(malformed)??;
        let lengths = wire::document(&first)?;
        let lengths = lengths.get_array("lengths").map_err(|_| malformed())?;
        let lengths = lengths
            .iter()
            .map(|length| u64::try_from(length.as_i64()?).ok());
        let lengths: Vec<u64> = lengths.collect::<Option<_>>().ok_or_else(malformed)?;
        let total = lengths.iter().copied().fold(0, u64::saturating_add);
        if total > wire::FILES {
            return Err(malformed());
        }
        let mut files = Vec::with_capacity(lengths.len());
        let mut waiting = Vec::new();
        for length in lengths {
            let length = usize::try_from(length).map_err(|_| malformed())?;
            let mut file = std::mem::take(&mut waiting);
            while file.len() < length {
                file.extend(pieces.next().ok_or_else(malformed)??);
            }
            waiting = file.split_off(length);
            files.push(file);
        }
        match (pieces.next(), waiting.is_empty()) {
            (None, true) => Ok(files),
            (Some(Err(error)), _) => Err(error),
            _ => Err(malformed()),
        }
    }

    /// Whether it is worth asking again after an error.
    fn goes_on(&mut self, error: &Error) -> bool {
        if error.kind() != ErrorKind::Unreachable || self.tag.is_none() {
            return false;
        }
        self.breaks += 1;
        tracing::debug!("rows after {} are asked for again: {error}", self.rows);
        self.breaks < ATTEMPTS
    }

    fn read(&mut self) -> Result<Option<DataFrame>> {
        loop {
            if self.pieces.is_none() {
                self.start()?;
            }
            let piece = self.pieces.as_mut().and_then(Iterator::next).transpose();
            match piece {
                Ok(None) => return Ok(None),
                Ok(Some(piece)) => {
                    self.breaks = 0;
                    let frame = decoded(piece)?;
                    self.rows += frame.height() as u64;
                    return Ok(Some(frame));
                }
                Err(error) if self.goes_on(&error) => self.pieces = None,
                Err(error) => return Err(error),
            }
        }
    }
}

impl Iterator for RemoteBatches {
    type Item = Result<DataFrame>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.done {
            return None;
        }
        let read = self.read();
        self.done = !matches!(read, Ok(Some(_)));
        read.transpose()
    }
}
