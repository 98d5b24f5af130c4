//! `ndarray.bin`: arrays, stored as numpy's `.npy` files (spec/storage.md §9.7).

use super::{Backend, Target, file};
use crate::error::{Context, Error, Result};
use crate::frame::{Query, npy};
use crate::storage::{Metadata, Storage};
use crate::store::object::{Object, Stored};
use bson::{Bson, doc};
use std::io::Read;

/// Arrays.
pub struct Arrays;

/// More than the header of any `.npy` file that numpy writes.
const HEADER: u64 = 64 << 10;

impl Backend for Arrays {
    fn kinds(&self) -> &'static [&'static str] {
        &["ndarray.bin"]
    }

    fn supports(&self, object: &Object) -> bool {
        matches!(object, Object::Array(_))
    }

    fn put(&self, target: &Target<'_>, object: Object) -> Result<Metadata> {
        let Object::Array(mut reader) = object else {
            return Err(Error::usage("not an array"));
        };
        let mut start = Vec::new();
        reader
            .by_ref()
            .take(HEADER)
            .read_to_end(&mut start)
            .context(|| "cannot read the array")?;
        let (header, offset) = npy::Header::parse(&start)?;
        let length = header.payload_length()?;
        let shape = header
            .shape
            .iter()
            .map(|&size| number(size))
            .collect::<Vec<_>>();
        let mut metadata = target.metadata();
        metadata.kind_meta = doc! {
            "dtype": header.dtype_name(),
            "shape": shape,
            "save_method": "np.save",
            "allow_pickle": false,
        };
        let whole = std::io::Cursor::new(start).chain(reader);
        file::write(
            target,
            target.replacing()?,
            metadata,
            whole,
            Some(offset as u64 + length),
        )
    }

    fn get(&self, storage: &dyn Storage, metadata: &Metadata, _query: &Query) -> Result<Stored> {
        Ok(Stored::Array(storage.blob(metadata)?))
    }
}

fn number(size: usize) -> Bson {
    match i32::try_from(size) {
        Ok(size) => Bson::Int32(size),
        Err(_) => Bson::Int64(i64::try_from(size).unwrap_or(i64::MAX)),
    }
}
