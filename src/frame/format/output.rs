//! Where bytes go: a writer, compressed or not, that ends its stream properly.

use super::input::Compression;
use crate::error::{Context, Error, ErrorKind, Result};
use polars::io::utils::file::WritableTrait;
use std::io::{self, BufWriter, Write};
use zip::write::{SimpleFileOptions, StreamWriter, ZipWriter};

/// A writer that must be finished; dropped before, what was written is cut off.
pub(super) struct Output {
    /// None once finished.
    inner: Option<Inner>,
}

enum Inner {
    Plain(BufWriter<Box<dyn Write + Send>>),
    Gzip(flate2::write::GzEncoder<Box<dyn Write + Send>>),
    Zstd(zstd::stream::write::Encoder<'static, Box<dyn Write + Send>>),
    Zip(Box<ZipWriter<StreamWriter<Box<dyn Write + Send>>>>),
}

impl Output {
    /// Writes to `out`; `entry` is the name of the file in a zip archive.
    pub fn new(
        out: Box<dyn Write + Send>,
        compression: Option<Compression>,
        entry: &str,
    ) -> Result<Output> {
        let failed = || "cannot start to write";
        let inner = match compression {
            None => Inner::Plain(BufWriter::with_capacity(1 << 18, out)),
            Some(Compression::Gzip) => Inner::Gzip(flate2::write::GzEncoder::new(
                out,
                flate2::Compression::default(),
            )),
            Some(Compression::Zstd) => {
                Inner::Zstd(zstd::stream::write::Encoder::new(out, 3).context(failed)?)
            }
            Some(Compression::Zip) => {
                let mut archive = ZipWriter::new_stream(out);
                archive
                    .start_file(entry, SimpleFileOptions::default().large_file(true))
                    .map_err(|error| Error::failed(failed()).because(error))?;
                Inner::Zip(Box::new(archive))
            }
        };
        Ok(Output { inner: Some(inner) })
    }

    /// Ends the stream and flushes it.
    ///
    /// # Errors
    /// Those of the writer; [`ErrorKind::BrokenPipe`] when its reader has gone.
    pub fn finish(mut self) -> Result<()> {
        self.close().map_err(write_error)
    }

    fn writer(&mut self) -> io::Result<&mut dyn Write> {
        match &mut self.inner {
            Some(Inner::Plain(writer)) => Ok(writer),
            Some(Inner::Gzip(writer)) => Ok(writer),
            Some(Inner::Zstd(writer)) => Ok(writer),
            Some(Inner::Zip(writer)) => Ok(writer),
            None => Err(io::Error::other("the output is closed")),
        }
    }
}

/// The error for bytes that cannot be written.
pub(super) fn write_error(error: io::Error) -> Error {
    let kind = match error.kind() {
        io::ErrorKind::BrokenPipe => ErrorKind::BrokenPipe,
        _ => ErrorKind::Failed,
    };
    Error::new(kind, "cannot write the data").because(error)
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.writer()?.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.writer()?.flush()
    }
}

/// Polars' sinks close their output when all is written.
impl WritableTrait for Output {
    fn close(&mut self) -> io::Result<()> {
        match self.inner.take() {
            None => Ok(()),
            Some(Inner::Plain(mut writer)) => writer.flush(),
            Some(Inner::Gzip(writer)) => writer.finish()?.flush(),
            Some(Inner::Zstd(writer)) => writer.finish()?.flush(),
            Some(Inner::Zip(writer)) => writer
                .finish()
                .map_err(io::Error::other)?
                .into_inner()
                .flush(),
        }
    }

    fn sync_all(&self) -> io::Result<()> {
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }
}
