//! Reads rows: opens the Parquet files of an object, proves the bytes that the query is
//! going to touch, and hands out a lazy frame over exactly these. The frame owns the open
//! files and stays readable when the object is replaced or dropped.

use super::contents::StoredFile;
use super::database::Database;
use super::digest::read_exact_at;
use super::layout::{Layout, disk_error};
use super::reading::{OpenFile, open};
use crate::error::{Context, Error, Result};
use crate::frame::Query;
use crate::frame::format::scan_parquet;
use crate::storage::projection::{INDEX, Projection, ROW_ID};
use crate::storage::refusal::ContentKind;
use crate::storage::{Metadata, Scan};
use polars::prelude::{
    DataType, FileMetadata, IdxSize, ParquetReader, ScanSources, Schema, SchemaExt, SerReader, col,
};
use std::cell::Cell;
use std::collections::BTreeSet;
use std::fs::File;
use std::io::BufReader;
use std::ops::Range;
use std::sync::Arc;

/// The length of the footer and the magic bytes, at the end of a Parquet file.
const TAIL: u64 = 8;

/// Runs what it can of `query`: the choice of columns to read, and skip and limit where
/// nothing else comes before them.
pub(super) fn scan(
    database: &Database,
    layout: &Layout,
    metadata: &Metadata,
    query: &Query,
) -> Result<Scan> {
    let key = metadata.key.to_string();
    let mut rest = query.clone();
    let window = Window::of(query);
    if window.is_some() {
        (rest.skip, rest.limit) = (0, None);
    }
    let before = Cell::new(0);
    let opened = open(
        database,
        layout,
        metadata,
        ContentKind::Rows,
        |files| match window {
            None => 0..files.len(),
            Some(window) => {
                let (range, rows) = window.choose(files);
                before.set(rows);
                range
            }
        },
    )?;
    let window = window.map(|window| window.after(before.get()));
    let footers = opened
        .iter()
        .map(|file| Footer::read(file, layout, &key))
        .collect::<Result<Vec<_>>>()?;
    let first = footers
        .first()
        .ok_or_else(|| Error::corrupt("the object has no files").on(key.clone()))?;
    let plan = Projection::new(&first.columns(), &mut rest);
    verify(&opened, &footers, &plan, window, layout, &key)?;

    let files: Arc<[File]> = opened.into_iter().map(|open| open.file).collect();
    let as_stored = plan.is_everything() && window.is_none() && rest == Query::default();
    let stored = as_stored.then(|| files.clone());
    let mut frame = scan_parquet(ScanSources::Files(files))
        .context(|| "cannot read the rows")
        .map_err(|error| error.on(key.clone()))?;
    if plan.index || plan.row_id {
        let offset = IdxSize::try_from(before.get())
            .map_err(|_| Error::failed("there are too many rows for row ids").on(key))?;
        frame = frame.with_row_index(ROW_ID, Some(offset));
    }
    if let Some(window) = window {
        let length = IdxSize::try_from(window.limit).unwrap_or(IdxSize::MAX);
        frame = frame.slice(i64::try_from(window.skip).unwrap_or(i64::MAX), length);
    }
    if !plan.is_everything() {
        let row_id = || col(ROW_ID).cast(DataType::Int64);
        let index = plan.index.then(|| row_id().alias(INDEX));
        let stored = plan.read.iter().map(|name| col(name.as_str()));
        let columns: Vec<_> = index
            .into_iter()
            .chain(stored)
            .chain(plan.row_id.then(row_id))
            .collect();
        frame = frame.select(columns);
    }
    Ok(Scan {
        frame,
        rest,
        batches: None,
        files: stored,
        command: None,
        plan: None,
    })
}

/// The schema of the rows of an object.
pub(super) fn schema(database: &Database, layout: &Layout, metadata: &Metadata) -> Result<Schema> {
    let key = metadata.key.to_string();
    let opened = open(database, layout, metadata, ContentKind::Rows, |files| {
        0..files.len().min(1)
    })?;
    let first = opened
        .first()
        .ok_or_else(|| Error::corrupt("the object has no files").on(&key))?;
    Ok(Footer::read(first, layout, &key)?.schema)
}

/// Rows `skip..skip + limit` of the stored ones.
#[derive(Debug, Clone, Copy)]
struct Window {
    skip: u64,
    limit: u64,
}

impl Window {
    /// The rows that `query` wants, if that can be told from their position.
    fn of(query: &Query) -> Option<Self> {
        let by_position = query.filter.is_none()
            && query.sort.is_empty()
            && query.group_by.is_empty()
            && query.aggregates.is_empty();
        (by_position && (query.skip > 0 || query.limit.is_some())).then(|| Window {
            skip: query.skip,
            limit: query.limit.unwrap_or(u64::MAX),
        })
    }

    /// The files that hold the rows, at least one, and the number of rows before them.
    fn choose(self, files: &[StoredFile]) -> (Range<usize>, u64) {
        let end = self.skip.saturating_add(self.limit);
        let (mut range, mut before, mut position) = (0..files.len().min(1), 0, 0);
        for (number, file) in files.iter().enumerate() {
            if position <= self.skip {
                (range, before) = (number..number + 1, position);
            } else if position < end {
                range.end = number + 1;
            }
            position += file.rows;
        }
        (range, before)
    }

    fn after(self, rows: u64) -> Self {
        Window {
            skip: self.skip.saturating_sub(rows),
            limit: self.limit,
        }
    }

    fn overlaps(self, rows: &Range<u64>) -> bool {
        rows.start < self.skip.saturating_add(self.limit) && self.skip < rows.end
    }
}

/// The verified footer of a Parquet file.
pub(super) struct Footer {
    metadata: Arc<FileMetadata>,
    pub schema: Schema,
    /// Where it is in the file.
    range: Range<u64>,
}

impl Footer {
    pub fn read(open: &OpenFile, layout: &Layout, key: &str) -> Result<Self> {
        let digests = &open.stored.digests;
        let bytes = digests.bytes();
        let prove = |range: Range<u64>| -> Result<()> {
            let blocks: Vec<usize> = digests.blocks(range).collect();
            match open.damaged(&blocks, layout)? {
                None => Ok(()),
                Some(_) => Err(open.corrupt(key, "the footer")),
            }
        };
        let tail = bytes.saturating_sub(TAIL);
        prove(tail..bytes)?;
        let mut length = [0; 4];
        read_exact_at(&open.file, &mut length, tail)
            .map_err(|error| disk_error(error, "read", &layout.file(&open.stored.name)))?;
        let range = tail.saturating_sub(u64::from(u32::from_le_bytes(length)))..bytes;
        prove(range.clone())?;
        let mut reader = ParquetReader::new(BufReader::new(&open.file));
        let unreadable = |error: Error| error.on(key.to_owned());
        let metadata = reader
            .get_metadata()
            .context(|| "cannot read the footer of the rows")
            .map_err(unreadable)?
            .clone();
        let schema = reader
            .schema()
            .context(|| "cannot read the columns of the rows")
            .map_err(unreadable)?;
        Ok(Footer {
            metadata,
            schema: Schema::from_arrow_schema(&schema),
            range,
        })
    }

    /// Rows in the file.
    pub fn rows(&self) -> u64 {
        self.metadata.num_rows as u64
    }

    fn columns(&self) -> Vec<String> {
        self.schema
            .iter_names()
            .map(|name| name.to_string())
            .collect()
    }

    /// Where the chunks of these columns are, in the row groups that the window touches.
    fn chunks<'a>(
        &'a self,
        columns: impl Iterator<Item = &'a str> + Clone + 'a,
        window: Option<Window>,
    ) -> impl Iterator<Item = (&'a str, Range<u64>)> {
        let mut position = 0;
        self.metadata
            .row_groups
            .iter()
            .filter(move |group| {
                let rows = position..position + group.num_rows() as u64;
                position = rows.end;
                window.is_none_or(|window| window.overlaps(&rows))
            })
            .flat_map(move |group| {
                columns.clone().flat_map(move |name| {
                    let chunks = group.columns_under_root_iter(name).into_iter().flatten();
                    chunks.map(move |chunk| (name, chunk.byte_range()))
                })
            })
    }
}

/// Proves all bytes that the plan reads.
fn verify(
    opened: &[OpenFile],
    footers: &[Footer],
    plan: &Projection,
    mut window: Option<Window>,
    layout: &Layout,
    key: &str,
) -> Result<()> {
    for (open, footer) in opened.iter().zip(footers) {
        let digests = &open.stored.digests;
        let blocks: Vec<usize> = if plan.is_everything() && window.is_none() {
            digests.all().collect()
        } else {
            let columns = plan.read.iter().map(String::as_str);
            let chunks = footer.chunks(columns, window);
            let blocks: BTreeSet<usize> = chunks
                .flat_map(|(_, range)| digests.blocks(range))
                .collect();
            blocks.into_iter().collect()
        };
        if let Some(block) = open.damaged(&blocks, layout)? {
            return Err(open.corrupt(key, &part(footer, &digests.range(block))));
        }
        window = window.map(|window| Window {
            skip: window.skip.saturating_sub(footer.rows()),
            limit: window
                .limit
                .saturating_sub(footer.rows().saturating_sub(window.skip)),
        });
    }
    Ok(())
}

/// What is stored in a range of a file, for people.
fn part(footer: &Footer, damaged: &Range<u64>) -> String {
    let all = footer.columns();
    let mut names: Vec<&str> = footer
        .chunks(all.iter().map(String::as_str), None)
        .filter(|(_, range)| range.start < damaged.end && damaged.start < range.end)
        .map(|(name, _)| name)
        .collect();
    names.dedup();
    let more = names.len().saturating_sub(3);
    names.truncate(3);
    match (names.join("`, `"), more) {
        (names, _) if names.is_empty() => if damaged.end > footer.range.start {
            "the footer"
        } else {
            "the index"
        }
        .to_owned(),
        (names, 0) => format!("the column `{names}`"),
        (names, more) => format!("the columns `{names}` or {more} more"),
    }
}
