//! Rows as they are sent: Arrow streams.

use crate::error::{Context, Result};
use polars::prelude::{
    CompatLevel, DataFrame, IpcStreamReader, IpcStreamWriter, SerReader, SerWriter,
};
use std::io::Cursor;

/// Appends rows to `bytes`.
///
/// # Errors
/// [`crate::ErrorKind::Invalid`] for what Arrow has not.
pub fn encode(mut frame: DataFrame, bytes: &mut Vec<u8>) -> Result<()> {
    bytes.reserve(frame.estimated_size());
    IpcStreamWriter::new(bytes)
        .with_compat_level(CompatLevel::newest())
        .finish(&mut frame)
        .context(|| "the rows cannot be sent")
}

/// Rows as bytes.
///
/// # Errors
/// As [`encode`].
pub fn encoded(frame: DataFrame) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    encode(frame, &mut bytes)?;
    Ok(bytes)
}

/// Rows as they were sent.
///
/// # Errors
/// [`crate::ErrorKind::Invalid`] for what is no Arrow stream.
pub fn decoded(bytes: impl AsRef<[u8]>) -> Result<DataFrame> {
    IpcStreamReader::new(Cursor::new(bytes))
        .finish()
        .context(|| "the rows that were sent are not understood")
}
