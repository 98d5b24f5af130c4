//! `linfa.model`: models that this program trains, serialised by `models`; nothing in
//! them is executed on load.

use super::{Backend, Target, file};
use crate::error::{Error, Result};
use crate::frame::Query;
use crate::storage::{Metadata, Storage};
use crate::store::object::{Object, Stored};

/// Models.
pub struct Models;

impl Backend for Models {
    fn kinds(&self) -> &'static [&'static str] {
        &["linfa.model"]
    }

    fn supports(&self, object: &Object) -> bool {
        matches!(object, Object::Model { .. })
    }

    fn put(&self, target: &Target<'_>, object: Object) -> Result<Metadata> {
        let Object::Model { bytes, kind_meta } = object else {
            return Err(Error::usage("not a model"));
        };
        let mut metadata = target.metadata();
        metadata.kind_meta = kind_meta;
        metadata.uri = Some(String::new());
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
