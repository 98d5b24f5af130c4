//! `pandas.dfrows` and `pandas.serows`: tables and series as rows (spec/storage.md §9.1-2).
//!
//! Stored column names are the users' with `.` → `_`; `kind_meta.columns` keeps both, so
//! that users get back what they put. Index columns that another program wrote
//! (`_idx#0_name`) come out under their index level's name.

use super::{Backend, Target};
use crate::error::{Context, Error, Result};
use crate::frame::format::Step;
use crate::frame::{self, Columns, Query, dtype};
use crate::storage::{Metadata, Scan, Storage};
use crate::store::object::{Object, Stored, Table};
use bson::{Bson, Document, doc};
use polars::prelude::{
    Column, DataFrame, DataType, Expr, IntoColumn, LazyFrame, NamedFrom, Series, TimeUnit,
};

const FRAME: &str = "pandas.dfrows";
const SERIES: &str = "pandas.serows";
/// The default range index, and the row id: derived or written by the storage.
const RANGE_INDEX: &str = "_idx#0_0";
const ROW_ID: &str = "_om#rowid";
const INDEX_PREFIX: &str = "_idx#";

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
        let mut writer = target.storage.write(&target.key, mode)?;
        let mut layout: Option<Layout> = None;
        loop {
            match reader.next()? {
                Step::Frame(frame) => {
                    let frame = stamp(frame, target.options.timestamp.as_deref())
                        .map_err(|error| error.on(&object))?;
                    let layout = match &mut layout {
                        Some(layout) => layout,
                        none => none.insert(
                            Layout::of(&frame, target.kind).map_err(|error| error.on(&object))?,
                        ),
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
        metadata.kind_meta = layout.kind_meta();
        if !target.options.index.is_empty() {
            let indexes = indexes(&target.options.index, &layout)?;
            metadata.attributes.insert("indexes", indexes);
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
            command,
        } = storage.scan(metadata, &asked)?;
        let finish = move |frame: LazyFrame| {
            let frame = frame::run(frame, &rest).map_err(|error| error.on(&object))?;
            layout.to_original(frame)
        };
        let table = match batches {
            None => Table::new(finish(frame)?),
            Some(batches) => {
                let lazy = finish(frame)?;
                Table::with_rows(lazy, move || finish(frame::spool(batches()?)?))
            }
        };
        Ok(Stored::Table(Box::new(table.by(command))))
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

/// Which columns an object has: as users name them and as they are stored.
#[derive(Debug, Clone, PartialEq)]
struct Layout {
    /// Data columns: original and stored name.
    columns: Vec<(String, String)>,
    /// Index columns that are stored, with the name of their level.
    index: Vec<(Option<String>, String)>,
    /// Types by stored name, in pandas' words; known when writing only.
    dtypes: Document,
}

impl Layout {
    fn of(frame: &DataFrame, kind: &str) -> Result<Self> {
        let mut layout = Layout {
            columns: Vec::with_capacity(frame.width()),
            index: Vec::new(),
            dtypes: Document::new(),
        };
        let mut seen = std::collections::HashSet::with_capacity(frame.width());
        for (name, dtype) in frame.schema().iter() {
            let name = name.as_str();
            if name.starts_with('$') {
                return Err(Error::invalid(format!("column `{name}` starts with `$`"))
                    .hint("rename it: MongoDB reserves `$`"));
            }
            if name == ROW_ID || name == RANGE_INDEX {
                return Err(Error::invalid(format!("column name `{name}` is reserved")));
            }
            let stored = name.replace('.', "_");
            if !seen.insert(stored.clone()) {
                return Err(Error::invalid(format!(
                    "two columns would both be stored as `{stored}`"
                ))
                .hint("`.` is stored as `_`; rename one of them"));
            }
            layout.dtypes.insert(&stored, dtype::pandas_name(dtype));
            match level_name(&stored) {
                Some(level) => layout.index.push((level, stored)),
                None => layout.columns.push((name.to_owned(), stored)),
            }
        }
        if layout.columns.is_empty() {
            return Err(Error::invalid("the table has no columns"));
        }
        if kind == SERIES && layout.columns.len() != 1 {
            return Err(Error::usage(format!(
                "a series has one column, this table has {}",
                layout.columns.len()
            ))
            .hint("choose one with --columns, or store it as a frame"));
        }
        Ok(layout)
    }

    fn read(metadata: &Metadata) -> Result<Self> {
        let damaged = || {
            Error::corrupt("the metadata's `kind_meta.columns` is malformed")
                .on(metadata.key.to_string())
        };
        let text = |value: &Bson| match value {
            Bson::String(text) => Some(text.clone()),
            Bson::Int32(number) => Some(number.to_string()),
            Bson::Int64(number) => Some(number.to_string()),
            _ => None,
        };
        let pairs: Vec<(String, String)> = match metadata.kind_meta.get("columns") {
            Some(Bson::Array(pairs)) => pairs
                .iter()
                .map(|pair| match pair {
                    Bson::Array(pair) => match pair.as_slice() {
                        [original, stored] => Some((text(original)?, text(stored)?)),
                        _ => None,
                    },
                    _ => None,
                })
                .collect::<Option<_>>()
                .ok_or_else(damaged)?,
            Some(Bson::Document(pairs)) => pairs
                .iter()
                .map(|(original, stored)| Some((original.clone(), text(stored)?)))
                .collect::<Option<_>>()
                .ok_or_else(damaged)?,
            _ => return Err(damaged()),
        };
        let names = metadata
            .kind_meta
            .get_document("idx_meta")
            .and_then(|meta| meta.get_array("names"))
            .cloned()
            .unwrap_or_default();
        let mut layout = Layout {
            columns: Vec::with_capacity(pairs.len()),
            index: Vec::new(),
            dtypes: Document::new(),
        };
        for (original, stored) in pairs {
            if stored == ROW_ID || stored == RANGE_INDEX {
                continue;
            }
            match level_name(&stored) {
                Some(level) => {
                    let name = names.get(layout.index.len()).and_then(text).or(level);
                    layout.index.push((name, stored));
                }
                None => layout.columns.push((original, stored)),
            }
        }
        Ok(layout)
    }

    fn kind_meta(&self) -> Document {
        let pair = |original: &str, stored: &str| Bson::Array(vec![original.into(), stored.into()]);
        let mut columns: Vec<Bson> = Vec::with_capacity(self.columns.len() + 2);
        let mut dtypes = Document::new();
        let mut names: Vec<Bson> = Vec::new();
        if self.index.is_empty() {
            columns.push(pair(RANGE_INDEX, RANGE_INDEX));
            dtypes.insert(RANGE_INDEX, "int64");
            names.push(Bson::Null);
        }
        let dtype = |stored: &str| self.dtypes.get_str(stored).unwrap_or("object").to_owned();
        for (level, stored) in &self.index {
            columns.push(pair(stored, stored));
            dtypes.insert(stored, dtype(stored));
            names.push(level.clone().map_or(Bson::Null, Bson::String));
        }
        for (original, stored) in &self.columns {
            columns.push(pair(original, stored));
            dtypes.insert(stored, dtype(stored));
        }
        columns.push(pair(ROW_ID, ROW_ID));
        dtypes.insert(ROW_ID, "int64");
        doc! { "columns": columns, "dtypes": dtypes, "idx_meta": { "names": names } }
    }

    /// The frame with stored column names.
    fn stored(&self, mut frame: DataFrame) -> Result<DataFrame> {
        if self
            .columns
            .iter()
            .any(|(original, stored)| original != stored)
        {
            let names: Vec<String> = frame
                .get_column_names()
                .iter()
                .map(|name| name.replace('.', "_"))
                .collect();
            frame
                .set_column_names(&names)
                .context(|| "cannot rename the columns")?;
        }
        Ok(frame)
    }

    /// The query over stored names; users may name a column either way.
    ///
    /// # Errors
    /// [`crate::ErrorKind::NotFound`] for a column that the object does not have.
    fn to_stored(&self, query: &Query) -> Result<Query> {
        let mut query = query.clone();
        query.rename(|name| {
            self.columns
                .iter()
                .find(|(original, _)| original == name)
                .map(|(_, stored)| stored.clone())
                .or_else(|| {
                    self.index
                        .iter()
                        .find(|(level, _)| level.as_deref() == Some(name))
                        .map(|(_, stored)| stored.clone())
                })
        });
        let index = self.index.iter().map(|(_, stored)| stored.clone());
        let data = self.columns.iter().map(|(_, stored)| stored.clone());
        let all: Vec<String> = index.chain(data).collect();
        let mut named = std::collections::BTreeSet::new();
        query.named(&mut named);
        for name in &named {
            // A dot descends into a nested column.
            let outer = name.split('.').next().unwrap_or(name);
            let known = |name| {
                all.iter().any(|column| column == name) || name == ROW_ID || name == RANGE_INDEX
            };
            if !known(name.as_str()) && !known(outer) {
                return Err(frame::unknown_column(
                    name,
                    self.columns.iter().map(|(original, _)| original.as_str()),
                ));
            }
        }
        if !query.is_grouped() {
            query.columns = Columns::Only(query.columns.resolve(&all));
        }
        Ok(query)
    }

    /// The answer with the names that users gave.
    fn to_original(&self, mut frame: LazyFrame) -> Result<LazyFrame> {
        let renamed: Vec<(&str, &str)> = self
            .columns
            .iter()
            .map(|(original, stored)| (stored.as_str(), original.as_str()))
            .chain(self.index.iter().filter_map(|(level, stored)| {
                let level = level.as_deref()?;
                let free = self.columns.iter().all(|(original, _)| original != level);
                free.then_some((stored.as_str(), level))
            }))
            .filter(|(stored, original)| stored != original)
            .collect();
        if renamed.is_empty() {
            return Ok(frame);
        }
        let schema = frame.collect_schema().context(|| "cannot plan the query")?;
        let names: Vec<Expr> = schema
            .iter_names()
            .map(
                |name| match renamed.iter().find(|(stored, _)| stored == name) {
                    Some((_, original)) => Expr::Column(name.clone()).alias(*original),
                    None => Expr::Column(name.clone()),
                },
            )
            .collect();
        Ok(frame.select(names))
    }
}

/// `Some(level name)` for an index column; the name is none for an unnamed level.
fn level_name(stored: &str) -> Option<Option<String>> {
    let (level, name) = stored.strip_prefix(INDEX_PREFIX)?.split_once('_')?;
    level.parse::<u32>().ok()?;
    Some((name != level).then(|| name.to_owned()))
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

/// `attributes.indexes`: a list of `{field: direction}`.
fn indexes(specs: &[String], layout: &Layout) -> Result<Vec<Bson>> {
    specs
        .iter()
        .map(|spec| {
            let (name, direction) = match spec.strip_prefix('-') {
                Some(name) => (name, -1),
                None => (spec.strip_prefix('+').unwrap_or(spec), 1),
            };
            let stored = layout
                .columns
                .iter()
                .find(|(original, stored)| original == name || stored == name)
                .map(|(_, stored)| stored.as_str())
                .ok_or_else(|| {
                    let near = crate::error::nearest(
                        name,
                        layout.columns.iter().map(|(original, _)| original.as_str()),
                    );
                    let error = Error::not_found(format!("there is no column `{name}` to index"));
                    match near {
                        Some(near) => error.hint(format!("did you mean `{near}`?")),
                        None => error,
                    }
                })?;
            Ok(Bson::Document(doc! { stored: direction }))
        })
        .collect()
}
