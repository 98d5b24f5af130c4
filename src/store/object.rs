//! What is put into a store and what comes out.

use crate::error::{Error, Result};
use crate::frame::Rows;
use crate::frame::format::{FrameReader, Step};
use crate::storage::Blob;
use bson::{Bson, Document};
use polars::prelude::{DataFrame, IntoLazy, LazyFrame};
use std::fmt;
use std::io::Read;

/// An object on its way into a store.
pub enum Object {
    /// A table, in batches of one schema.
    Frames(Box<dyn FrameReader>),
    /// Values: what Python calls dict and list.
    Values(Vec<Bson>),
    /// An array in numpy's `.npy` format.
    Array(Box<dyn Read>),
    /// Bytes as they are.
    File(Box<dyn Read>),
    /// A notebook's file.
    Notebook(Vec<u8>),
    /// A serialised model and what its metadata says of it.
    Model {
        /// The stored form.
        bytes: Vec<u8>,
        /// Technical facts: spec, format and library version.
        kind_meta: Document,
    },
}

impl Object {
    /// A table in one batch.
    pub fn frame(frame: DataFrame) -> Self {
        Object::Frames(Box::new(Once(Some(frame))))
    }

    /// What it is, for people.
    pub fn noun(&self) -> &'static str {
        match self {
            Object::Frames(_) => "a table",
            Object::Values(_) => "documents",
            Object::Array(_) => "an array",
            Object::File(_) => "a file",
            Object::Notebook(_) => "a notebook",
            Object::Model { .. } => "a model",
        }
    }
}

impl fmt::Debug for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.noun())
    }
}

struct Once(Option<DataFrame>);

impl FrameReader for Once {
    fn next(&mut self) -> Result<Step> {
        Ok(self.0.take().map_or(Step::Done, Step::Frame))
    }
}

/// A table as it comes out of a store; nothing is read yet.
pub struct Table {
    lazy: LazyFrame,
    streamed: Option<Box<dyn FnOnce() -> Result<Rows>>>,
    command: Option<Document>,
    plan: Option<String>,
}

impl Table {
    /// A table that Polars can stream.
    pub fn new(lazy: LazyFrame) -> Self {
        Table {
            lazy,
            streamed: None,
            command: None,
            plan: None,
        }
    }

    /// A table that Polars reads as a whole, and how else its rows are had.
    pub fn with_rows(lazy: LazyFrame, streamed: impl FnOnce() -> Result<Rows> + 'static) -> Self {
        Table {
            lazy,
            streamed: Some(Box::new(streamed)),
            command: None,
            plan: None,
        }
    }

    /// The table, whose rows come from a database by `command`, or from a server by `plan`.
    pub fn by(mut self, command: Option<Document>, plan: Option<String>) -> Self {
        self.command = command;
        self.plan = plan;
        self
    }

    /// How the rows are going to be made; nothing is read.
    ///
    /// # Errors
    /// What Polars says of the query.
    pub fn explain(self) -> Result<Explanation> {
        let plan = crate::frame::plan(&self.lazy)?;
        Ok(Explanation {
            command: self.command,
            server: self.plan,
            plan,
        })
    }

    /// A frame to build upon: what is added to it decides what is read.
    pub fn lazy(self) -> LazyFrame {
        self.lazy
    }

    /// The rows as they are asked for, to be passed on.
    ///
    /// # Errors
    /// What the storage says: some begin to read now.
    pub fn rows(self) -> Result<Rows> {
        match self.streamed {
            Some(streamed) => streamed(),
            None => Ok(self.lazy.into()),
        }
    }
}

/// How an answer is made.
#[derive(Debug, Clone, PartialEq)]
pub struct Explanation {
    /// The command that runs inside a database, where there is one.
    pub command: Option<Document>,
    /// What Polars does on a server, where there is one: its plan, from the last step to the
    /// first.
    pub server: Option<String>,
    /// What Polars does, on the rows that the command gives where there is one: its
    /// optimised plan, to be read from below.
    pub plan: String,
}

/// An object as it comes out of a store.
pub enum Stored {
    /// A table; nothing is read before it is collected.
    Table(Box<Table>),
    /// Values, in the order in which they were put.
    Values(Vec<Bson>),
    /// An array, as the bytes of a `.npy` file.
    Array(Box<dyn Blob>),
    /// Bytes: files, models, and kinds that only another program can open.
    File(Box<dyn Blob>),
}

impl Stored {
    /// The table as a lazy frame, or an error that names the object.
    pub fn table(self, name: &str) -> Result<LazyFrame> {
        self.rows(name)?.lazy().map_err(|error| error.on(name))
    }

    /// The rows of the table, or an error that names the object.
    pub fn rows(self, name: &str) -> Result<Rows> {
        match self {
            Stored::Table(table) => table.rows().map_err(|error| error.on(name)),
            Stored::Array(mut blob) => {
                let mut bytes = Vec::new();
                crate::error::Context::context(
                    blob.read_to_end(&mut bytes),
                    || "cannot read the array",
                )
                .map_err(|error| error.on(name))?;
                let frame = crate::frame::npy::to_frame(&bytes).map_err(|error| error.on(name))?;
                Ok(frame.lazy().into())
            }
            Stored::Values(_) => Err(not_a_table(name, "documents")),
            Stored::File(_) => Err(not_a_table(name, "a file")),
        }
    }
}

fn not_a_table(name: &str, what: &str) -> Error {
    Error::invalid(format!("{name} is {what}, not a table"))
        .on(name)
        .hint(format!("get it as it is: om datasets get {name} -"))
}

/// How an object is put.
#[derive(Debug, Clone, Default)]
pub struct PutOptions {
    /// What to do when the name is taken.
    pub mode: PutMode,
    /// The kind, where it does not follow from the object.
    pub kind: Option<String>,
    /// Attributes to set.
    pub attributes: Document,
    /// Columns to index: `qty`, `-price`. Recorded, and made where the storage has indexes.
    pub index: Vec<String>,
    /// Name of a column to add that holds the time of the put, in UTC.
    pub timestamp: Option<String>,
}

/// What to do when the name is taken.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum PutMode {
    /// As omega|ml: tables and documents are appended to, everything else replaced.
    #[default]
    Auto,
    /// Append; only tables and documents can be.
    Append,
    /// Replace, with its attributes.
    Replace,
    /// Fail.
    Create,
}
