//! `script.ipynb`: notebooks that run as jobs (spec/storage.md §9.11). What they hold is the
//! business of `jobs`.

use super::{Backend, Target, file};
use crate::error::{Error, Result};
use crate::frame::Query;
use crate::storage::{Metadata, Storage};
use crate::store::object::{Object, Stored};

/// Notebooks.
pub struct Notebooks;

impl Backend for Notebooks {
    fn kinds(&self) -> &'static [&'static str] {
        &["script.ipynb"]
    }

    fn supports(&self, object: &Object) -> bool {
        matches!(object, Object::Notebook(_))
    }

    fn put(&self, target: &Target<'_>, object: Object) -> Result<Metadata> {
        let Object::Notebook(bytes) = object else {
            return Err(Error::usage("not a notebook"));
        };
        let mut metadata = target.metadata();
        metadata.filename = Some(format!("{:032x}", rand::random::<u128>()));
        file::write(
            target,
            target.replacing()?,
            metadata,
            bytes.as_slice(),
            None,
        )
    }

    fn get(&self, storage: &dyn Storage, metadata: &Metadata, _query: &Query) -> Result<Stored> {
        Ok(Stored::File(storage.blob(metadata)?))
    }
}
