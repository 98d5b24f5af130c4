//! A store: the objects of one bucket under one prefix, by name. It chooses the kind
//! that handles an object and knows nothing of how a storage keeps it.

mod copy;
mod fingerprint;
mod foreign;
mod json;
pub mod kinds;
mod name;
mod object;
mod versions;

pub use copy::{Copied, CopyOptions, CopyStep};
pub use foreign::{Foreign, Opener};
pub use json::{bson_to_value, value_to_bson};
pub use name::{Name, glob, regexp};
pub use object::{Explanation, Object, PutMode, PutOptions, Stored, Table};

use crate::error::{Error, Result, nearest};
use crate::frame::{self, Columns, Query};
use crate::progress::Progress;
use crate::storage::{Key, Metadata, Selection, Stats, Storage, Update};
use kinds::Target;
use polars::prelude::{DataFrame, IntoLazy, LazyFrame};
use std::io::Read;
use std::sync::Arc;

/// The stores and their prefixes, in omega|ml's order.
pub const PREFIXES: &[(&str, &str)] = &[
    ("models", "models/"),
    ("datasets", "data/"),
    ("scripts", "scripts/"),
    ("jobs", "jobs/"),
    ("streams", "streams/"),
];

/// How the names of jobs end.
pub const NOTEBOOK: &str = ".ipynb";

/// The name that a job is stored under.
pub fn notebook_name(name: &str) -> String {
    match name.ends_with(NOTEBOOK) {
        true => name.to_owned(),
        false => format!("{name}{NOTEBOOK}"),
    }
}

/// The name of a copy of `source`: Python omega|ml finds jobs only by the end of theirs.
fn name_like(source: &Metadata, name: String) -> String {
    match source.key.prefix == "jobs/" && source.key.name.ends_with(NOTEBOOK) {
        true => notebook_name(&name),
        false => name,
    }
}

/// The objects of one bucket under one prefix.
#[derive(Clone)]
pub struct Store {
    storage: Arc<dyn Storage>,
    progress: Arc<dyn Progress>,
    bucket: Arc<str>,
    prefix: &'static str,
    opener: Option<Arc<dyn Opener>>,
}

/// What a listing is restricted to.
#[derive(Debug, Clone, Default)]
pub struct Listing {
    /// Whole names, `*` for any characters.
    pub pattern: Option<String>,
    /// Read the pattern as a regular expression that matches anywhere.
    pub regexp: bool,
    /// Only these kinds.
    pub kinds: Vec<String>,
    /// Also names that start with `.`.
    pub hidden: bool,
    /// Also names that start with `_`.
    pub temporary: bool,
}

impl Store {
    /// The store of `prefix` in `bucket`.
    pub fn new(
        storage: Arc<dyn Storage>,
        progress: Arc<dyn Progress>,
        bucket: &str,
        prefix: &'static str,
    ) -> Self {
        Store {
            storage,
            progress,
            bucket: bucket.into(),
            prefix,
            opener: None,
        }
    }

    /// The same, where kinds that other programs know are read by `opener`.
    pub fn opened_by(self, opener: Arc<dyn Opener>) -> Self {
        Store {
            opener: Some(opener),
            ..self
        }
    }

    /// Where the objects live.
    pub fn storage(&self) -> &Arc<dyn Storage> {
        &self.storage
    }

    /// The identity of the object called `name` here.
    pub fn key(&self, name: &str) -> Key {
        Key::new(&self.bucket, self.prefix, name)
    }

    /// The objects' metadata, sorted by name.
    pub fn list(&self, listing: &Listing) -> Result<Vec<Metadata>> {
        let mut selection = Selection::new(&self.bucket, self.prefix);
        selection.names = match &listing.pattern {
            Some(pattern) if listing.regexp => Some(regexp(pattern)?),
            Some(pattern) => Some(glob(pattern)?),
            None => None,
        };
        selection.kinds.clone_from(&listing.kinds);
        let named = |start: char| {
            let pattern = listing.pattern.as_deref().unwrap_or_default();
            !listing.regexp && pattern.starts_with(start)
        };
        selection.hidden = listing.hidden || named('.');
        selection.temporary = listing.temporary || named('_');
        self.storage.list(&selection)
    }

    /// The metadata of `name`; a projection is ignored. Models may be named with a version:
    /// `model@tag`, `model@commit`, `model^` for the one before the last.
    ///
    /// # Errors
    /// [`crate::ErrorKind::NotFound`], with the nearest name that exists.
    pub fn metadata(&self, name: &str) -> Result<Metadata> {
        self.named(&Name::parse(name)?.object)
    }

    /// Whether there is an object called `name`.
    pub fn exists(&self, name: &str) -> Result<bool> {
        let name = Name::parse(name)?.object;
        let found = self.storage.find(&self.key(&name))?;
        Ok(found.is_some() || self.alias(&name)?.is_some())
    }

    fn find(&self, name: &str) -> Result<Metadata> {
        let key = self.key(name);
        match self.storage.find(&key)? {
            Some(metadata) => Ok(metadata),
            None => match self.alias(name)? {
                Some(metadata) => Ok(metadata),
                None => Err(self.missing(&key)),
            },
        }
    }

    /// What a name stands for where there is no such object: jobs end in `.ipynb`.
    fn alias(&self, name: &str) -> Result<Option<Metadata>> {
        match self.noun() == "jobs" && !name.ends_with(NOTEBOOK) {
            true => self.storage.find(&self.key(&notebook_name(name))),
            false => Ok(None),
        }
    }

    /// The object of this name, or the version of a model that it asks for.
    fn named(&self, name: &str) -> Result<Metadata> {
        match self.version(name)? {
            Some(version) => Ok(version),
            None => self.find(name),
        }
    }

    fn missing(&self, key: &Key) -> Error {
        let error = Error::not_found(format!("{key} does not exist")).on(key.to_string());
        let everything = Listing {
            hidden: true,
            ..Listing::default()
        };
        let names = self.list(&everything).unwrap_or_default();
        match nearest(&key.name, names.iter().map(Metadata::name)) {
            Some(near) => error.hint(format!("did you mean `{near}`?")),
            None => error.hint(format!("see what there is: om {} list", self.noun())),
        }
    }

    /// The command line's word for this store.
    pub fn noun(&self) -> &'static str {
        PREFIXES
            .iter()
            .find(|(_, prefix)| *prefix == self.prefix)
            .map_or("datasets", |(noun, _)| noun)
    }

    /// Stores `object` under `name`.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Conflict`] when the name holds another kind of object, or
    /// exists although it must not.
    pub fn put(&self, name: &str, object: Object, options: &PutOptions) -> Result<Metadata> {
        let key = self.key(&Name::plain(name)?);
        let current = self.storage.find(&key)?;
        let (backend, kind) = kinds::choose(&object, &key, current.as_ref(), options)?;
        let target = Target {
            storage: &*self.storage,
            key,
            kind,
            current: current.as_ref(),
            options,
        };
        let stored = backend.put(&target, object)?;
        if current.is_some() && versions::versions(&stored).is_empty() {
            // What they were versions of is replaced.
            self.drop_versions(&stored.key.name, &[])?;
        }
        Ok(stored)
    }

    /// Stores a table under `name`, replacing what is there.
    pub fn put_frame(&self, name: &str, frame: DataFrame) -> Result<Metadata> {
        let options = PutOptions {
            mode: PutMode::Replace,
            ..PutOptions::default()
        };
        self.put(name, Object::frame(frame), &options)
    }

    /// The object called `name`; `name[columns]` projects a table.
    pub fn get(&self, name: &str) -> Result<Stored> {
        self.query(name, &Query::default())
    }

    /// The object called `name`, if it is a table with `query` applied.
    pub fn query(&self, name: &str, query: &Query) -> Result<Stored> {
        let name = Name::parse(name)?;
        let metadata = self.latest(self.named(&name.object)?)?;
        let mut query = query.clone();
        if query.columns == Columns::All {
            query.columns = name.columns;
        }
        let stored = self.stored(&metadata, &query)?;
        match (stored, &self.opener) {
            (Stored::File(mut blob), Some(opener))
                if !kinds::is_known(&metadata.kind) && opener.reads(&metadata.kind) =>
            {
                let object = metadata.key.to_string();
                let mut content = Vec::new();
                crate::error::Context::context(blob.read_to_end(&mut content), || {
                    format!("cannot read {object}")
                })?;
                let frame = opener.table(&metadata, content);
                let frame = frame.and_then(|frame| frame::run(frame.lazy(), &query));
                let table = Table::new(frame.map_err(|error| error.on(object))?);
                Ok(Stored::Table(Box::new(table)))
            }
            (stored, _) => Ok(stored),
        }
    }

    /// The object called `name` as it is stored, also where another program could read it
    /// as a table.
    pub fn raw(&self, name: &str) -> Result<Stored> {
        let metadata = self.latest(self.named(name)?)?;
        self.stored(&metadata, &Query::default())
    }

    fn stored(&self, metadata: &Metadata, query: &Query) -> Result<Stored> {
        kinds::backend(&metadata.kind).get(&*self.storage, metadata, query)
    }

    /// A Polars lazy frame over the table called `name`: Polars runs what is added to it,
    /// reading only the columns and rows that are needed.
    pub fn lazy(&self, name: &str) -> Result<LazyFrame> {
        let object = self.key(&Name::parse(name)?.object).to_string();
        match self.get(name)? {
            Stored::Table(table) => Ok(table.lazy()),
            other => other.table(&object),
        }
    }

    /// The table called `name` with `query` applied, as a frame in memory.
    pub fn collect(&self, name: &str, query: &Query) -> Result<DataFrame> {
        let object = self.key(&Name::parse(name)?.object).to_string();
        let stored = self.query(name, query)?;
        // Tables are queried by their kind; arrays become tables only here.
        let frame = match stored {
            Stored::Table(table) => table.rows()?.lazy()?,
            other => frame::run(other.table(&object)?, query)?,
        };
        frame::collect(frame).map_err(|error| error.on(object))
    }

    /// How the answer of [`Store::collect`] would be made.
    ///
    /// # Errors
    /// As [`Store::collect`]; and [`crate::ErrorKind::Invalid`] for what is no table.
    pub fn explain(&self, name: &str, query: &Query) -> Result<Explanation> {
        let object = self.key(&Name::parse(name)?.object).to_string();
        let explained = match self.query(name, query)? {
            Stored::Table(table) => table.explain(),
            other => Table::new(frame::run(other.table(&object)?, query)?).explain(),
        };
        explained.map_err(|error| error.on(object))
    }

    /// Data columns and their pandas types; empty for objects that are no tables.
    pub fn columns(&self, metadata: &Metadata) -> Vec<(String, String)> {
        kinds::backend(&metadata.kind).columns(metadata)
    }

    /// What a query calls the levels of a table's index, the default one included; empty for
    /// objects that are no tables.
    pub fn index(&self, metadata: &Metadata) -> Vec<String> {
        kinds::backend(&metadata.kind).index(metadata)
    }

    /// Rows or documents, and bytes, of an object.
    pub fn stats(&self, metadata: &Metadata) -> Result<Stats> {
        self.storage.stats(metadata)
    }

    /// The same of many objects.
    pub fn stats_of(&self, all: &[Metadata]) -> Result<Vec<Stats>> {
        self.storage.stats_of(all)
    }

    /// Changes single metadata fields.
    pub fn update(&self, name: &str, update: &Update) -> Result<Metadata> {
        let key = self.find(&Name::parse(name)?.object)?.key;
        self.storage.update(&key, update)
    }

    /// The names that `name` stands for: itself, or all that match where it has a `*`.
    pub fn expand(&self, name: &str) -> Result<Vec<String>> {
        if !name.contains('*') {
            return Ok(vec![self.find(name)?.key.name]);
        }
        let listing = Listing {
            pattern: Some(name.to_owned()),
            ..Listing::default()
        };
        Ok(self
            .list(&listing)?
            .into_iter()
            .map(|metadata| metadata.key.name)
            .collect())
    }

    /// Deletes the object called `name`; a model with its versions, which omega|ml leaves
    /// behind.
    ///
    /// # Errors
    /// [`crate::ErrorKind::NotFound`].
    pub fn drop(&self, name: &str) -> Result<()> {
        let mut key = self.key(name);
        if self.noun() == "jobs" {
            key = self.find(name)?.key;
        }
        if self.storage.delete(&key)? {
            self.drop_versions(name, &[])
        } else {
            Err(self.missing(&key))
        }
    }

    /// Gives an object another name.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Conflict`] when the new name is taken.
    pub fn rename(&self, from: &str, to: &str) -> Result<Metadata> {
        let to = Name::plain(to)?;
        let source = self.find(from)?;
        let target = self.key(&name_like(&source, to));
        let renamed = self.storage.rename(&source.key, &target)?;
        self.rename_versions(&renamed)?;
        Ok(renamed)
    }

    /// Runs a SQL `select` over the stored tables that it names; names with other than
    /// word characters stand in double quotes.
    pub fn sql(&self, statement: &str) -> Result<LazyFrame> {
        let mut tables = Vec::new();
        for table in frame::sql_tables(statement)? {
            // A name that is no object may be one the statement itself defines.
            if self.exists(&table)? {
                tables.push((table.clone(), self.lazy(&table)?));
            }
        }
        frame::sql(tables, statement).map_err(|error| match error.kind() {
            crate::ErrorKind::NotFound => error.hint("see what there is: om datasets list"),
            _ => error,
        })
    }
}
