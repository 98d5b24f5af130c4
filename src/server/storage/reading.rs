//! Rows, documents and bytes of objects, sent while they are read.

use super::super::app::Call;
use super::super::reply::{Reply, Stream};
use super::{document, documents as documents_of, sent, tag, takes_bson};
use crate::error::{Context, Error, ErrorKind, Result};
use crate::frame::format::{Format, WriteOptions};
use crate::frame::{self, Aggregate, Columns, Filter, Query, Rows, Sort};
use crate::remote::pieces::{self, Piece};
use crate::remote::rows::encoded;
use crate::remote::wire;
use crate::runtime::task_id;
use crate::storage::{Batches, Key, Metadata, Stats};
use bson::{Binary, Bson, Document, doc, spec::BinarySubtype};
use moka::sync::Cache;
use polars::prelude::{DataFrame, LazyFrame, col};
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::FileExt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Bytes that are read of a file at a time.
const STEP: usize = 256 << 10;

/// The object that is meant.
///
/// # Errors
/// [`ErrorKind::NotFound`]; [`ErrorKind::Conflict`] when it has become another one than
/// who asks knows.
pub fn meant(call: &Call<'_>, key: &Key, known_as: Option<&str>) -> Result<Metadata> {
    let found = call.om.storage().find(key)?;
    let metadata = found
        .ok_or_else(|| Error::not_found(format!("{key} does not exist")).on(key.to_string()))?;
    match known_as {
        Some(known) if known != wire::identity(&metadata)? => {
            Err(Error::conflict(format!("{key} was replaced meanwhile"))
                .on(key.to_string())
                .hint("read it again"))
        }
        _ => Ok(metadata),
    }
}

/// Sizes of many objects; nothing of those that are gone.
pub fn stats(call: &Call<'_>) -> Result<Reply> {
    let body = sent(call)?;
    let asked = body.get_array("objects").map(Vec::as_slice);
    let mut known: Vec<Option<Metadata>> = Vec::new();
    for object in asked.unwrap_or_default() {
        let text = |field: &str| {
            let object = object.as_document()?;
            object.get_str(field).ok()
        };
        let key = Key::new(
            &super::bucket(call, text("bucket").unwrap_or("default")),
            text("prefix").unwrap_or_default(),
            text("name").unwrap_or_default(),
        );
        known.push(match meant(call, &key, text("as")) {
            Ok(metadata) => Some(metadata),
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::Conflict) => None,
            Err(error) => return Err(error),
        });
    }
    let there: Vec<Metadata> = known.iter().flatten().cloned().collect();
    let mut found = call.om.storage().stats_of(&there)?.into_iter();
    let all = known.iter().map(|metadata| match metadata {
        Some(_) => found.next().unwrap_or_default(),
        None => Stats::default(),
    });
    documents_of(call, all.map(|stats| wire::stats(&stats)).collect())
}

/// Plans that are kept at a time, and for how long.
const PLANS: u64 = 1024;
const KEPT: Duration = Duration::from_secs(600);

/// Plans by their ids: what a client reads later is what there was when it asked.
pub struct Plans(Cache<String, Arc<Planned>>);

impl Default for Plans {
    fn default() -> Self {
        Plans(
            Cache::builder()
                .max_capacity(PLANS)
                .time_to_idle(KEPT)
                .build(),
        )
    }
}

/// Rows that are about to be read.
struct Planned {
    /// Who has asked: nobody else reads them.
    user: Option<String>,
    key: Key,
    tag: String,
    frame: LazyFrame,
    rest: Query,
    batches: Mutex<Option<Batches>>,
    /// The files that hold the rows as they are, small enough to be sent as they are.
    files: Option<Arc<[File]>>,
    command: Option<Document>,
}

/// Plans a query so that as much of it as can be is run here.
fn planned(call: &Call<'_>, metadata: &Metadata, query: &Query) -> Result<Planned> {
    let scan = call.om.storage().scan(metadata, query)?;
    let planned = Planned {
        user: call.om.user().map(str::to_owned),
        key: metadata.key.clone(),
        tag: tag(metadata),
        frame: scan.frame.clone(),
        rest: Query::default(),
        batches: Mutex::new(None),
        files: None,
        command: scan.command,
    };
    if scan.rest == Query::default() {
        return Ok(Planned {
            batches: Mutex::new(scan.batches),
            files: scan.files.filter(|files| are_small(files)),
            ..planned
        });
    }
    let run = frame::run(scan.frame.clone(), &scan.rest)
        .and_then(|mut frame| frame::schema(&mut frame).map(|_| frame));
    let (frame, rest) = match run {
        Ok(frame) => (frame, Query::default()),
        // Who asks says what is wrong: it knows the names that people use.
        Err(_) => (scan.frame, scan.rest),
    };
    Ok(Planned {
        frame,
        rest,
        ..planned
    })
}

/// What a query would read, and what is left of it.
pub fn plan(call: &Call<'_>, key: &Key) -> Result<Reply> {
    let body = sent(call)?;
    let metadata = meant(call, key, body.get_str("as").ok())?;
    let query = wire::query_of(&body, "query")?;
    let planned = planned(call, &metadata, &query)?;
    let schema = frame::schema(&mut planned.frame.clone())?;
    let schema = Bson::Binary(Binary {
        subtype: BinarySubtype::Generic,
        bytes: encoded(DataFrame::empty_with_schema(&schema))?,
    });
    let id = task_id();
    let mut told = doc! {
        "scan": &id, "schema": schema, "rest": wire::query(&planned.rest)?,
    };
    if let Some(command) = &planned.command {
        told.insert("command", command.clone());
    }
    told.insert("plan", frame::plan(&planned.frame)?);
    call.plans().0.insert(id, Arc::new(planned));
    document(call, told)
}

/// The rows of a plan, in pieces; else, for people, those of a query as a file.
pub fn rows(call: &Call<'_>, key: &Key) -> Result<Reply> {
    if call.request.method != "POST" {
        return table(call, key);
    }
    let body = sent(call)?;
    let changed = |what: &str| {
        Error::conflict(format!("{key} {what}"))
            .on(key.to_string())
            .hint("read it again")
    };
    let planned = call.plans().0.get(body.get_str("scan").unwrap_or_default());
    let planned = planned
        .filter(|planned| planned.user.as_deref() == call.om.user() && planned.key == *key)
        .ok_or_else(|| changed("was not read for too long"))?;
    if let Ok(wanted) = body.get_str("tag") {
        // Going on is with the same rows only.
        let now = tag(&meant(call, key, None)?);
        if wanted != now || wanted != planned.tag {
            return Err(changed("was replaced while it was read"));
        }
    }
    let number = |field: &str| body.get_i64(field).ok();
    let (skip, limit) = (number("skip").unwrap_or(0), number("limit"));
    let columns = body.get_array("columns").ok().map(|columns| {
        let names = columns.iter().filter_map(Bson::as_str);
        names.map(col).collect::<Vec<_>>()
    });
    let filter = wire::query_of(&body, "where")?.filter;
    let condition = filter
        .map(|filter| filter.to_expr(frame::schema(&mut planned.frame.clone())?.as_ref()))
        .transpose()?;
    let tag = planned.tag.clone();
    let whole = skip == 0 && limit.is_none() && columns.is_none() && condition.is_none();
    if let Some(files) = planned.files.clone()
        && whole
        && body.get_bool("files").unwrap_or(false)
    {
        let stream = move |to: &mut dyn Write| as_stored(&files, to);
        return Ok(Reply::streamed(pieces::MEDIA_TYPE, in_pieces(stream))
            .header("etag", tag)
            .header(wire::ROWS, wire::PARQUET));
    }
    let stream = move |to: &mut dyn Write| -> Result<()> {
        let ready = || {
            planned
                .batches
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .take()
        };
        let rows = match whole.then(ready).flatten() {
            Some(batches) => Rows::Arriving(batches()?),
            None => {
                let mut frame = planned.frame.clone();
                if let Some(condition) = condition {
                    frame = frame.filter(condition);
                }
                if skip > 0 || limit.is_some() {
                    let limit = limit.and_then(|limit| u32::try_from(limit).ok());
                    frame = frame.slice(skip, limit.unwrap_or(u32::MAX));
                }
                if let Some(columns) = columns {
                    frame = frame.select(columns);
                }
                frame.into()
            }
        };
        // Read, encoded and sent at the same time.
        for bytes in frame::ahead(rows.batches()?.map(|batch| encoded(batch?)))? {
            send(to, &bytes?)?;
        }
        Ok(())
    };
    Ok(Reply::streamed(pieces::MEDIA_TYPE, in_pieces(stream)).header("etag", tag))
}

/// Whether files may be sent as they are: who asks keeps them in memory.
fn are_small(files: &[File]) -> bool {
    let sizes = files
        .iter()
        .map(|file| file.metadata().map(|file| file.len()));
    let total: io::Result<u64> = sizes.sum();
    total.is_ok_and(|total| total <= wire::FILES)
}

/// The lengths of files, and their bytes one behind the other.
fn as_stored(files: &[File], to: &mut dyn Write) -> Result<()> {
    let unreadable = || "the rows cannot be read";
    let mut lengths = Vec::with_capacity(files.len());
    for file in files {
        let length = file.metadata().context(unreadable)?.len();
        lengths.push(i64::try_from(length).unwrap_or(i64::MAX));
    }
    send(to, &wire::bytes(&doc! { "lengths": &lengths })?)?;
    let mut part = vec![0; STEP];
    for (file, length) in files.iter().zip(lengths) {
        let mut at = 0;
        let length = length.unsigned_abs();
        while at < length {
            let wanted = usize::try_from(length - at).unwrap_or(STEP).min(STEP);
            let part = part.get_mut(..wanted).unwrap_or_default();
            // Others read the same file, each from its own place.
            file.read_exact_at(part, at).context(unreadable)?;
            send(to, part)?;
            at += wanted as u64;
        }
    }
    Ok(())
}

/// The rows as a file in a format of the asker's choice.
fn table(call: &Call<'_>, key: &Key) -> Result<Reply> {
    let request = call.request;
    let metadata = meant(call, key, None)?;
    let number = |name: &str| {
        let text = request.param(name);
        text.map(|text| {
            text.parse::<u64>()
                .map_err(|_| Error::usage(format!("`{name}` is no number")))
        })
        .transpose()
    };
    let text = |name: &str| request.param(name).unwrap_or_default();
    let mut query = Query {
        skip: number("skip")?.unwrap_or(0),
        limit: number("limit")?,
        ..Query::default()
    };
    if !text("where").is_empty() {
        query.filter = Some(Filter::parse(text("where"))?);
    }
    if !text("columns").is_empty() {
        query.columns = Columns::parse(text("columns"))?;
    }
    if !text("sort").is_empty() {
        query.sort = Sort::parse_list(text("sort"))?;
    }
    if !text("by").is_empty() {
        query.group_by = text("by")
            .split(',')
            .map(|name| name.trim().to_owned())
            .collect();
    }
    if !text("agg").is_empty() {
        query.aggregates = Aggregate::parse_list(text("agg"))?;
    }
    let store = call
        .om
        .store(
            crate::store::PREFIXES
                .iter()
                .find(|(_, prefix)| *prefix == key.prefix)
                .map_or("datasets", |(noun, _)| noun),
        )
        .ok_or_else(|| Error::usage("there is no such store"))?;
    let format = match text("format") {
        "" => Format::Csv,
        name => Format::parse(name)?,
    };
    let name = metadata.name().to_owned();
    let rows = store.query(&name, &query)?.rows(&name)?;
    let progress = call.om.progress().clone();
    let stream: Stream = Box::new(move |to| {
        let options = WriteOptions::default();
        frame::format::write(rows, format, &options, to, progress.as_ref())
            .map(drop)
            .map_err(io::Error::other)
    });
    let media_type = match format {
        Format::Csv => "text/csv; charset=utf-8",
        Format::Tsv => "text/tab-separated-values; charset=utf-8",
        Format::Json => "application/json",
        Format::Ndjson => "application/x-ndjson",
        Format::Parquet => "application/vnd.apache.parquet",
        Format::Ipc => "application/vnd.apache.arrow.file",
        Format::Npy => wire::BYTES,
    };
    Ok(Reply::streamed(media_type, stream).header("etag", tag(&metadata)))
}

/// The documents of an object, those with one of the values where some are named.
pub fn documents(call: &Call<'_>, key: &Key) -> Result<Reply> {
    let body = sent(call)?;
    let known_as = body.get_str("as").ok().or(call.request.param("as"));
    let metadata = meant(call, key, known_as)?;
    let wanted = match body.get_str("field") {
        Ok(field) => {
            let values = body.get_array("values").cloned().unwrap_or_default();
            Some((field.to_owned(), values))
        }
        Err(_) => None,
    };
    let storage = call.om.storage().clone();
    let stream = move |to: &mut dyn Write| -> Result<()> {
        let mut waiting = Vec::new();
        let documents = match &wanted {
            Some((field, values)) => storage.documents_where(&metadata, field, values)?,
            None => storage.documents(&metadata)?,
        };
        for document in documents {
            waiting.extend(wire::bytes(&document?)?);
            if waiting.len() >= STEP {
                send(to, &waiting)?;
                waiting.clear();
            }
        }
        send(to, &waiting)
    };
    Ok(Reply::streamed(pieces::MEDIA_TYPE, in_pieces(stream)))
}

/// The bytes of an object, or those from a position on.
pub fn content(call: &Call<'_>, key: &Key) -> Result<Reply> {
    let request = call.request;
    let metadata = meant(call, key, request.param("as"))?;
    let tag = tag(&metadata);
    let wanted = request.header("if-match");
    if wanted.is_some_and(|wanted| wanted != "*" && wanted != tag) {
        return Err(
            Error::conflict(format!("{key} was replaced while it was read"))
                .on(key.to_string())
                .hint("read it again"),
        );
    }
    let mut blob = call.om.storage().blob(&metadata)?;
    let length = blob.length();
    let range = request
        .header("range")
        .and_then(|range| range_of(range, length));
    let (start, end) = range.unwrap_or((0, length));
    blob.seek(SeekFrom::Start(start))
        .context(|| "the file cannot be read")?;
    let mut blob = blob.take(end.saturating_sub(start));
    let shown = key.to_string();
    let reply = match takes_bson(call) {
        true => {
            let stream = move |to: &mut dyn Write| {
                let read = copy(&mut blob, |step| send(to, step));
                read.map_err(|error| error.on(shown))
            };
            Reply::streamed(pieces::MEDIA_TYPE, in_pieces(stream))
                .header("om-length", length.to_string())
        }
        false => {
            let stream: Stream = Box::new(move |mut to| {
                let sent = copy(&mut blob, |step| {
                    to.write_all(step).context(|| "the answer cannot be sent")
                });
                sent.map_err(io::Error::other)
            });
            Reply::streamed(wire::BYTES, stream)
                .header("accept-ranges", "bytes")
                .header("content-length", end.saturating_sub(start).to_string())
        }
    }
    .header("etag", tag);
    Ok(match range {
        None => reply,
        Some(_) => reply.status(206).header(
            "content-range",
            format!("bytes {start}-{}/{length}", end.saturating_sub(1)),
        ),
    })
}

/// Reads a file to its end.
fn copy(from: &mut dyn Read, mut to: impl FnMut(&[u8]) -> Result<()>) -> Result<()> {
    let mut step = vec![0; STEP];
    loop {
        let count = from.read(&mut step).context(|| "the file cannot be read")?;
        match count {
            0 => return Ok(()),
            count => to(step.get(..count).unwrap_or_default())?,
        }
    }
}

/// The first and the last position of a range, the latter not included. What is no range
/// of this file is not obeyed.
fn range_of(text: &str, length: u64) -> Option<(u64, u64)> {
    let (start, end) = text.strip_prefix("bytes=")?.split_once('-')?;
    let start: u64 = start.parse().ok()?;
    let end = match end {
        "" => length,
        end => end.parse::<u64>().ok()?.checked_add(1)?.min(length),
    };
    (start < end).then_some((start, end))
}

/// Pieces, with the end or the error behind them.
fn in_pieces(stream: impl FnOnce(&mut dyn Write) -> Result<()> + Send + 'static) -> Stream {
    Box::new(move |mut to| {
        let (kind, content) = match stream(to.as_mut()) {
            Ok(()) => (Piece::End, Vec::new()),
            // Nobody reads any more.
            Err(error) if error.kind() == ErrorKind::BrokenPipe => {
                return Err(io::ErrorKind::BrokenPipe.into());
            }
            Err(error) => {
                tracing::warn!("an answer ends with an error: {error}");
                let told = wire::bytes(&wire::error(&error)).unwrap_or_default();
                (Piece::Failure, told)
            }
        };
        pieces::write(to.as_mut(), kind, &content)
    })
}

fn send(to: &mut dyn Write, content: &[u8]) -> Result<()> {
    pieces::write(to, Piece::Data, content).context(|| "the answer cannot be sent")
}
