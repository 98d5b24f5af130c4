//! `python.file`: bytes as they are (spec/storage.md §9.8), and any kind that only
//! another program can open, which is listed, copied, got as a file and dropped.

use super::{Backend, Target};
use crate::error::{Context, Error, Result};
use crate::frame::Query;
use crate::storage::{Metadata, Mode, Storage};
use crate::store::object::{Object, Stored};
use std::io::Read;

/// Files.
pub struct Files;

impl Backend for Files {
    fn kinds(&self) -> &'static [&'static str] {
        &["python.file"]
    }

    fn supports(&self, object: &Object) -> bool {
        matches!(object, Object::File(_))
    }

    fn put(&self, target: &Target<'_>, object: Object) -> Result<Metadata> {
        let Object::File(reader) = object else {
            return Err(Error::usage("not a file"));
        };
        let mut metadata = target.metadata();
        metadata.uri = Some(String::new());
        write(target, target.replacing()?, metadata, reader, None)
    }

    fn get(&self, storage: &dyn Storage, metadata: &Metadata, _query: &Query) -> Result<Stored> {
        if metadata.gridfile.is_none() {
            return Err(elsewhere(metadata));
        }
        Ok(Stored::File(storage.blob(metadata)?))
    }
}

/// Why there are no bytes.
fn elsewhere(metadata: &Metadata) -> Error {
    let object = metadata.key.to_string();
    let kind = &metadata.kind;
    let uri = metadata.uri.as_deref().filter(|uri| !uri.is_empty());
    let error = match uri {
        Some(uri) => Error::invalid(format!("{object} is a {kind} whose content is at {uri}")),
        None => Error::invalid(format!("{object} is a {kind}, which has no content to get")),
    };
    error
        .hint("its metadata says what it is: om … metadata NAME")
        .on(object)
}

/// Streams `reader` into a blob; `expected` is the length it must have, where known.
pub(super) fn write(
    target: &Target<'_>,
    mode: Mode,
    metadata: Metadata,
    mut reader: impl Read,
    expected: Option<u64>,
) -> Result<Metadata> {
    let mut writer = target.storage.write(&target.key, mode)?;
    // Without any bytes there would be no blob.
    writer.bytes(&[])?;
    let mut buffer = vec![0; 1 << 20];
    let mut length = 0u64;
    loop {
        let read = match reader.read(&mut buffer) {
            Ok(0) => break,
            Ok(read) => read,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error).context(|| "cannot read the input"),
        };
        length += read as u64;
        writer.bytes(buffer.get(..read).unwrap_or_default())?;
    }
    if let Some(expected) = expected.filter(|expected| *expected != length) {
        return Err(Error::invalid(format!(
            "the array has {length} bytes where its header says {expected}"
        ))
        .on(target.key.to_string()));
    }
    writer.commit(metadata)
}
