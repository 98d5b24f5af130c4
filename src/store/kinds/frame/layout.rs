//! Which columns a table has: as users name them, as they are stored, and as `kind_meta`
//! says (spec/storage.md §9.1). Knows nothing of rows or of where they are.

use super::{RANGE_INDEX, ROW_ID, SERIES};
use crate::error::{Context, Error, Result};
use crate::frame::{self, Columns, Query, dtype};
use crate::storage::Metadata;
use bson::{Bson, Document, doc};
use polars::prelude::{DataFrame, DataType, Expr, LazyFrame, TimeUnit};
use std::collections::{BTreeSet, HashSet};

const INDEX_PREFIX: &str = "_idx#";

/// Columns that a data set with revisions has on top of its own (spec/storage.md §11).
const REVISION: [&str; 2] = ["_delete_", "_om#revision"];

/// Which columns an object has: as users name them and as they are stored.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Layout {
    /// Data columns: original and stored name.
    pub columns: Vec<(String, String)>,
    /// Index columns that are stored, with the name of their level.
    index: Vec<(Option<String>, String)>,
    /// Types by stored name, in pandas' words; known when writing only.
    dtypes: Document,
    /// Whether there are columns that nobody asks for.
    revisions: bool,
}

impl Layout {
    /// The columns of a frame that is stored as `kind`.
    pub fn of(frame: &DataFrame, kind: &str) -> Result<Self> {
        let mut layout = Layout {
            columns: Vec::with_capacity(frame.width()),
            index: Vec::new(),
            dtypes: Document::new(),
            revisions: false,
        };
        let mut seen = HashSet::with_capacity(frame.width());
        for (name, dtype) in frame.schema().iter() {
            let name = name.as_str();
            if name.starts_with('$') {
                return Err(Error::invalid(format!("column `{name}` starts with `$`"))
                    .hint("rename it: MongoDB reserves `$`"));
            }
            // An unnamed index of numbers is the position; any other is one of its own.
            if name == ROW_ID || (name == RANGE_INDEX && dtype.is_integer()) {
                return Err(Error::invalid(format!("column name `{name}` is reserved")));
            }
            let stored = name.replace('.', "_");
            if !seen.insert(stored.clone()) {
                return Err(Error::invalid(format!(
                    "two columns would both be stored as `{stored}`"
                ))
                .hint("`.` is stored as `_`; rename one of them"));
            }
            layout.dtypes.insert(&stored, stored_dtype(dtype));
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

    /// The columns of a stored object.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Corrupt`] when `kind_meta` does not say them.
    pub fn read(metadata: &Metadata) -> Result<Self> {
        let damaged = || {
            Error::corrupt("the metadata's `kind_meta.columns` is malformed")
                .on(metadata.key.to_string())
        };
        let pairs: Vec<(String, String)> = match metadata.kind_meta.get("columns") {
            Some(Bson::Array(pairs)) => pairs
                .iter()
                .map(|pair| match pair.as_array()?.as_slice() {
                    // Names may be numbers, dates, whatever pandas has; the documents have text.
                    [original, stored] => {
                        let stored = text(stored)?;
                        Some((text(original).unwrap_or_else(|| stored.clone()), stored))
                    }
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
        let dtypes = metadata.kind_meta.get_document("dtypes");
        let range = dtypes
            .and_then(|dtypes| dtypes.get_str(RANGE_INDEX))
            .is_ok_and(|dtype| dtype != "int64");
        let mut layout = Layout {
            columns: Vec::with_capacity(pairs.len()),
            index: Vec::new(),
            dtypes: Document::new(),
            revisions: metadata.kind_meta.contains_key("revisions"),
        };
        for (original, stored) in pairs {
            let extra = layout.revisions && REVISION.contains(&stored.as_str());
            if extra || stored == ROW_ID || (stored == RANGE_INDEX && !range) {
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

    /// Whether the object keeps its revisions, which rows cannot just be added to.
    pub fn has_revisions(&self) -> bool {
        self.revisions
    }

    /// The stored names of the index columns.
    pub fn index_columns(&self) -> Vec<String> {
        self.index
            .iter()
            .map(|(_, stored)| stored.clone())
            .collect()
    }

    /// What the metadata says of these columns.
    pub fn kind_meta(&self) -> Document {
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

    /// The stored name of what users call `name`: a column, a level of the index, or a
    /// stored name itself.
    pub fn stored_name(&self, name: &str) -> Option<&str> {
        let columns = || self.columns.iter();
        let index = || self.index.iter();
        columns()
            .find(|(original, _)| original == name)
            .map(|(_, stored)| stored)
            .or_else(|| {
                index()
                    .find(|(level, _)| level.as_deref() == Some(name))
                    .map(|(_, stored)| stored)
            })
            .or_else(|| {
                columns()
                    .map(|(_, stored)| stored)
                    .chain(index().map(|(_, stored)| stored))
                    .find(|stored| *stored == name)
            })
            .map(String::as_str)
    }

    /// The frame with stored column names.
    pub fn stored(&self, mut frame: DataFrame) -> Result<DataFrame> {
        let names: Vec<String> = frame
            .get_column_names()
            .iter()
            .map(|name| match self.stored_name(name) {
                Some(stored) => stored.to_owned(),
                None => name.replace('.', "_"),
            })
            .collect();
        if !frame
            .get_column_names()
            .iter()
            .zip(&names)
            .all(|(name, stored)| name.as_str() == stored)
        {
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
    pub fn to_stored(&self, query: &Query) -> Result<Query> {
        let mut query = query.clone();
        query.rename(|name| self.stored_name(name).map(str::to_owned));
        let index = self.index.iter().map(|(_, stored)| stored.clone());
        let data = self.columns.iter().map(|(_, stored)| stored.clone());
        let all: Vec<String> = index.chain(data).collect();
        let mut named = BTreeSet::new();
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
        // Whoever wants all gets those too that the metadata does not know: pandas may add
        // rows of other columns.
        if !query.is_grouped() && (self.revisions || query.columns != Columns::All) {
            query.columns = Columns::Only(query.columns.resolve(&all));
        }
        Ok(query)
    }

    /// The answer to `asked` with the names that users gave.
    pub fn to_original(&self, mut frame: LazyFrame, asked: &Query) -> Result<LazyFrame> {
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
        let everything = asked.columns == Columns::All && !asked.is_grouped();
        let hides = everything && self.index.iter().all(|(_, stored)| stored != RANGE_INDEX);
        if renamed.is_empty() && !hides {
            return Ok(frame);
        }
        let schema = frame.collect_schema().context(|| "cannot plan the query")?;
        if renamed.is_empty() && !schema.contains(RANGE_INDEX) {
            return Ok(frame);
        }
        let names: Vec<Expr> = schema
            .iter_names()
            .filter(|name| !hides || name.as_str() != RANGE_INDEX)
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

/// What the metadata calls a type. omega|ml gives times their zone back for nanoseconds
/// only; which unit they have here, storages know themselves.
fn stored_dtype(dtype: &DataType) -> String {
    match dtype {
        DataType::Datetime(_, zone @ Some(_)) => {
            dtype::pandas_name(&DataType::Datetime(TimeUnit::Nanoseconds, zone.clone()))
        }
        dtype => dtype::pandas_name(dtype),
    }
}

fn text(value: &Bson) -> Option<String> {
    match value {
        Bson::String(text) => Some(text.clone()),
        Bson::Int32(number) => Some(number.to_string()),
        Bson::Int64(number) => Some(number.to_string()),
        _ => None,
    }
}

/// `Some(level name)` for an index column; the name is none for an unnamed level.
fn level_name(stored: &str) -> Option<Option<String>> {
    let (level, name) = stored.strip_prefix(INDEX_PREFIX)?.split_once('_')?;
    level.parse::<u32>().ok()?;
    Some((name != level).then(|| name.to_owned()))
}
