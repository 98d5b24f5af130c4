//! `pandas.dfrows` and `pandas.serows`: tables and series as rows (spec/storage.md §9.1-2).
//!
//! Stored column names are the users' with `.` → `_`; `kind_meta.columns` keeps both, so
//! that users get back what they put. Index columns that another program wrote
//! (`_idx#0_name`) come out under their index level's name.

mod layout;

use super::{Backend, Target, index_fields};
use crate::error::{Context, Error, Result};
use crate::frame::format::Step;
use crate::frame::{self, Query, Rows};
use crate::storage::{Metadata, Mode, Scan, Storage};
use crate::store::object::{Object, Stored, Table};
use bson::{Bson, Document};
use layout::Layout;
use polars::prelude::{
    Column, DataFrame, DataType, IntoColumn, IntoLazy, LazyFrame, NamedFrom, Series, TimeUnit,
};

const FRAME: &str = "pandas.dfrows";
const SERIES: &str = "pandas.serows";
/// The default range index, and the row id: derived or written by the storage.
const RANGE_INDEX: &str = "_idx#0_0";
const ROW_ID: &str = "_om#rowid";

/// Tables and series.
pub struct Frames;

impl Backend for Frames {
    fn kinds(&self) -> &'static [&'static str] {
        &[FRAME, SERIES]
    }

    fn supports(&self, object: &Object) -> bool {
        matches!(object, Object::Frames(_))
    }

    fn put(&self, target: &Target<'_>, object: Object) -> Result<Metadata> {
        let Object::Frames(mut reader) = object else {
            return Err(Error::usage("not a table"));
        };
        let object = target.key.to_string();
        let mode = target.appending();
        // What rows are added to says how its columns are stored.
        let current = target
            .current
            .filter(|current| mode == Mode::Append && current.content.is_some())
            .and_then(|current| Some((current, Layout::read(current).ok()?)));
        if current
            .as_ref()
            .is_some_and(|(_, layout)| layout.has_revisions())
        {
            return Err(Error::conflict(format!(
                "{object} keeps its revisions, which this version cannot add to"
            ))
            .on(object)
            .hint("add to it with Python, or replace it: --replace"));
        }
        let start = |frame: &DataFrame| -> Result<Layout> {
            match &current {
                Some((_, layout)) => {
                    Layout::of(&layout.stored(frame.clone())?, target.kind)?;
                    Ok(layout.clone())
                }
                None => Layout::of(frame, target.kind),
            }
        };
        let mut writer = target.storage.write(&target.key, mode)?;
        let mut layout: Option<Layout> = None;
        loop {
            match reader.next()? {
                Step::Frame(frame) => {
                    let frame = stamp(frame, target.options.timestamp.as_deref())
                        .map_err(|error| error.on(&object))?;
                    let layout = match &mut layout {
                        Some(layout) => layout,
                        none => {
                            let layout =
                                none.insert(start(&frame).map_err(|error| error.on(&object))?);
                            let index = indexed(&target.options.index, layout)?;
                            if !index.is_empty() {
                                writer.index(&index)?;
                            }
                            layout
                        }
                    };
                    writer.rows(layout.stored(frame).map_err(|error| error.on(&object))?)?;
                }
                Step::Restart => {
                    drop(writer);
                    writer = target.storage.write(&target.key, mode)?;
                    layout = None;
                }
                Step::Done => break,
            }
        }
        let layout =
            layout.ok_or_else(|| Error::invalid("there is no table in the input").on(object))?;
        let mut metadata = target.metadata();
        metadata.kind_meta = match &current {
            Some((current, _)) => continued(&current.kind_meta),
            None => layout.kind_meta(),
        };
        let index = indexed(&target.options.index, &layout)?;
        if !index.is_empty() {
            let each = index.into_iter().map(|(field, direction)| {
                Bson::Document([(field, direction)].into_iter().collect())
            });
            metadata
                .attributes
                .insert("indexes", each.collect::<Vec<_>>());
        }
        writer.commit(metadata)
    }

    fn get(&self, storage: &dyn Storage, metadata: &Metadata, query: &Query) -> Result<Stored> {
        let object = metadata.key.to_string();
        let layout = Layout::read(metadata)?;
        let asked = layout.to_stored(query).map_err(|error| error.on(&object))?;
        let Scan {
            frame,
            rest,
            batches,
            files: _,
            command,
            plan,
        } = storage.scan(metadata, &asked)?;
        let passed_on = rest == Query::default();
        let finish = move |frame: LazyFrame| {
            let frame = frame::run(frame, &rest).map_err(|error| error.on(&object))?;
            layout.to_original(frame, &asked)
        };
        let table = match batches {
            None => Table::new(finish(frame)?),
            Some(batches) => {
                let lazy = finish(frame)?;
                Table::with_rows(lazy, move || {
                    let batches = batches()?;
                    if !passed_on {
                        return finish(frame::spool(batches)?).map(Rows::from);
                    }
                    // Only names and the order of columns are left, batch by batch.
                    let named = batches.map(move |batch| frame::collect(finish(batch?.lazy())?));
                    Ok(Rows::Arriving(Box::new(named)))
                })
            }
        };
        Ok(Stored::Table(Box::new(table.by(command, plan))))
    }

    fn index(&self, metadata: &Metadata) -> Vec<String> {
        let layout = Layout::read(metadata);
        let levels = layout
            .map(|layout| layout.index_columns())
            .unwrap_or_default();
        match levels.is_empty() {
            true => vec![RANGE_INDEX.to_owned()],
            false => levels,
        }
    }

    fn columns(&self, metadata: &Metadata) -> Vec<(String, String)> {
        let dtypes = metadata.kind_meta.get_document("dtypes").ok();
        Layout::read(metadata)
            .map(|layout| layout.columns)
            .unwrap_or_default()
            .into_iter()
            .map(|(original, stored)| {
                let dtype = dtypes
                    .and_then(|dtypes| dtypes.get_str(&stored).ok())
                    .unwrap_or("object");
                (original, dtype.to_owned())
            })
            .collect()
    }
}

/// Adds a column with the time of the put in UTC.
fn stamp(frame: DataFrame, column: Option<&str>) -> Result<DataFrame> {
    let Some(name) = column else {
        return Ok(frame);
    };
    let now = chrono::Utc::now().timestamp_micros();
    let times = Series::new(name.into(), vec![now; frame.height()])
        .cast(&DataType::Datetime(TimeUnit::Microseconds, None))
        .context(|| "cannot add the timestamp column")?;
    let mut columns: Vec<Column> = frame.columns().to_vec();
    columns.push(times.into_column());
    DataFrame::new(frame.height(), columns)
        .context(|| format!("cannot add the timestamp column `{name}`"))
        .map_err(|error| error.hint("name another one: --timestamp NAME"))
}

/// What is said of rows that others are added to: the same, but for the frequency of a
/// time index, which need not go on.
fn continued(kind_meta: &Document) -> Document {
    let mut kind_meta = kind_meta.clone();
    if let Ok(index) = kind_meta.get_document_mut("idx_meta") {
        index.remove("freq");
    }
    kind_meta
}

/// The stored columns to be indexed together.
fn indexed(specs: &[String], layout: &Layout) -> Result<Document> {
    index_fields(specs)
        .map(|(name, direction)| {
            let stored = layout.stored_name(name).ok_or_else(|| {
                let known = layout.columns.iter().map(|(original, _)| original.as_str());
                let near = crate::error::nearest(name, known);
                let error = Error::not_found(format!("there is no column `{name}` to index"));
                match near {
                    Some(near) => error.hint(format!("did you mean `{near}`?")),
                    None => error,
                }
            })?;
            Ok((stored.to_owned(), direction))
        })
        .collect()
}
