//! Rows on their way to who wants them: a lazy frame that Polars streams, or batches as a
//! database or a server sends them.

use super::batches::{self, ahead};
use super::run::schema;
use super::spool::spool;
use crate::error::{Error, Result};
use polars::prelude::{DataFrame, DataType, Field, LazyFrame, SchemaRef};

/// Batches of rows in order, all with the same columns; at least one.
pub type Batches = Box<dyn Iterator<Item = Result<DataFrame>> + Send>;

/// Rows of a table that are to be read once.
pub enum Rows {
    /// Polars reads them.
    Lazy(Box<LazyFrame>),
    /// They arrive.
    Arriving(Batches),
}

impl Rows {
    /// The rows as a lazy frame; those that arrive are read to their end now.
    ///
    /// # Errors
    /// What the source says, and a full temporary directory.
    pub fn lazy(self) -> Result<LazyFrame> {
        match self {
            Rows::Lazy(frame) => Ok(*frame),
            Rows::Arriving(batches) => spool(batches),
        }
    }

    /// The rows in batches, read ahead of who takes them.
    ///
    /// # Errors
    /// What the source says, at the start or with a batch.
    pub fn batches(self) -> Result<Batches> {
        match self {
            Rows::Lazy(frame) => Ok(Box::new(batches::batches(*frame)?)),
            Rows::Arriving(batches) => Ok(Box::new(ahead(batches)?)),
        }
    }

    /// The columns, and the rows as they were.
    ///
    /// # Errors
    /// What the source says.
    pub(super) fn with_schema(self) -> Result<(SchemaRef, Self)> {
        match self {
            Rows::Lazy(mut frame) => Ok((schema(&mut frame)?, Rows::Lazy(frame))),
            Rows::Arriving(mut batches) => {
                let first = batches
                    .next()
                    .unwrap_or_else(|| Err(Error::failed("there are no rows")))?;
                let schema = first.schema().clone();
                let all = std::iter::once(Ok(first)).chain(batches);
                Ok((schema, Rows::Arriving(Box::new(all))))
            }
        }
    }
}

impl From<LazyFrame> for Rows {
    fn from(frame: LazyFrame) -> Self {
        Rows::Lazy(Box::new(frame))
    }
}

/// Whether a type's values are numbers of categories that each batch counts for itself.
pub(super) fn has_categories(dtype: &DataType) -> bool {
    match dtype {
        DataType::Categorical(..) => true,
        DataType::List(inner) => has_categories(inner),
        DataType::Struct(fields) => fields.iter().map(Field::dtype).any(has_categories),
        _ => false,
    }
}
