//! Where bytes come from: a path or a stream, compressed or not, read once or again from
//! the start. Knows nothing of what the bytes mean.

use super::encoding::{Encoding, decoded};
use crate::error::{Context, Error, Result};
use crate::progress::{Meter, Progress, Unit};
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// Where data comes from.
pub enum Source {
    /// A file.
    Path(PathBuf),
    /// Something that can be read once, such as stdin. What is read of it goes to a
    /// temporary file, in case it has to be read again.
    Stream(Box<dyn Read + Send>),
}

/// Compression of a file as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// gzip, `.gz`.
    Gzip,
    /// Zstandard, `.zst`.
    Zstd,
    /// An archive of one file, `.zip`.
    Zip,
}

impl Compression {
    /// The compression that a path's last suffix names.
    pub fn of_path(path: &Path) -> Option<Compression> {
        match path.extension()?.to_str()?.to_lowercase().as_str() {
            "gz" | "gzip" => Some(Compression::Gzip),
            "zst" | "zstd" => Some(Compression::Zstd),
            "zip" => Some(Compression::Zip),
            _ => None,
        }
    }
}

/// An input that can be read from the start any number of times.
#[derive(Clone)]
pub(crate) struct Input {
    origin: Origin,
    name: String,
}

#[derive(Clone)]
enum Origin {
    Path(PathBuf),
    Spool(Arc<Mutex<Spool>>),
}

impl Input {
    /// Opens a source; nothing is read yet.
    pub fn new(source: Source) -> Result<Input> {
        match source {
            Source::Path(path) => {
                let name = path.display().to_string();
                let metadata = std::fs::metadata(&path)
                    .context(|| "cannot open the file")
                    .map_err(|error| error.on(&name))?;
                if metadata.is_dir() {
                    return Err(Error::usage("is a directory, not a file").on(name));
                }
                if !metadata.is_file() {
                    // A pipe such as `<(zcat x)` can be read once only.
                    let pipe = File::open(&path)
                        .context(|| "cannot open the file")
                        .map_err(|error| error.on(&name))?;
                    let input = Input::new(Source::Stream(Box::new(pipe)))?;
                    return Ok(Input { name, ..input });
                }
                Ok(Input {
                    origin: Origin::Path(path),
                    name,
                })
            }
            Source::Stream(stream) => {
                let file = tempfile::tempfile().context(|| "cannot make a temporary file")?;
                let spool = Spool {
                    stream,
                    file,
                    length: 0,
                    ended: false,
                };
                Ok(Input {
                    origin: Origin::Spool(Arc::new(Mutex::new(spool))),
                    name: "input".to_owned(),
                })
            }
        }
    }

    /// What errors call it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The decompressed bytes from the start, as UTF-8 where they are text.
    pub fn text(
        &self,
        encoding: Encoding,
        label: &str,
        progress: &Arc<dyn Progress>,
    ) -> Result<Box<dyn Read + Send>> {
        let bytes = self.bytes(label, progress)?;
        decoded(bytes, encoding).map_err(|error| self.unreadable(error))
    }

    /// The decompressed bytes from the start.
    pub fn bytes(&self, label: &str, progress: &Arc<dyn Progress>) -> Result<Box<dyn Read + Send>> {
        let (mut raw, total) = self.raw()?;
        let mut magic = Vec::with_capacity(4);
        raw.by_ref()
            .take(4)
            .read_to_end(&mut magic)
            .map_err(|error| self.unreadable(error))?;
        let kind = match magic.as_slice() {
            [0x1f, 0x8b, ..] => Some(Compression::Gzip),
            [0x28, 0xb5, 0x2f, 0xfd] => Some(Compression::Zstd),
            b"PK\x03\x04" | b"PK\x05\x06" => Some(Compression::Zip),
            [b'B', b'Z', b'h', ..] => return Err(self.unsupported("bzip2", "bunzip2")),
            [0xfd, b'7', b'z', b'X'] => return Err(self.unsupported("xz", "unxz")),
            _ => None,
        };
        let raw = Metered {
            inner: io::Cursor::new(magic).chain(raw),
            meter: progress.meter(label, total, Unit::Bytes),
        };
        Ok(match kind {
            None => Box::new(raw),
            Some(Compression::Gzip) => Box::new(flate2::read::MultiGzDecoder::new(
                io::BufReader::with_capacity(1 << 16, raw),
            )),
            Some(Compression::Zstd) => Box::new(
                zstd::stream::read::Decoder::new(raw).map_err(|error| self.unreadable(error))?,
            ),
            Some(Compression::Zip) => Box::new(self.unzipped(raw)?),
        })
    }

    /// A file of the decompressed bytes, for formats that need random access.
    pub fn file(&self, label: &str, progress: &Arc<dyn Progress>) -> Result<File> {
        if let Origin::Path(path) = &self.origin {
            let mut file = File::open(path).map_err(|error| self.unreadable(error))?;
            let mut magic = Vec::with_capacity(4);
            Read::by_ref(&mut file)
                .take(4)
                .read_to_end(&mut magic)
                .map_err(|error| self.unreadable(error))?;
            if matches!(magic.as_slice(), b"PAR1" | b"ARRO") {
                file.rewind().map_err(|error| self.unreadable(error))?;
                return Ok(file);
            }
        }
        let mut bytes = self.bytes(label, progress)?;
        self.spooled(&mut bytes)
    }

    fn raw(&self) -> Result<(Box<dyn Read + Send>, Option<u64>)> {
        Ok(match &self.origin {
            Origin::Path(path) => {
                let file = File::open(path).map_err(|error| self.unreadable(error))?;
                let length = file
                    .metadata()
                    .ok()
                    .map(|metadata| metadata.len())
                    .filter(|length| *length > 0);
                (Box::new(file), length)
            }
            Origin::Spool(spool) => (
                Box::new(SpoolReader {
                    spool: Arc::clone(spool),
                    position: 0,
                }),
                None,
            ),
        })
    }

    fn spooled(&self, bytes: &mut dyn Read) -> Result<File> {
        let mut file = tempfile::tempfile().context(|| "cannot make a temporary file")?;
        io::copy(bytes, &mut file).map_err(|error| self.unreadable(error))?;
        file.rewind().map_err(|error| self.unreadable(error))?;
        Ok(file)
    }

    /// The one file of a zip archive. Its table of contents is at the end, so that the
    /// archive must be there as a whole.
    fn unzipped(&self, mut raw: impl Read) -> Result<File> {
        let broken = |error: zip::result::ZipError| {
            Error::invalid("cannot read the zip archive")
                .because(error)
                .on(&self.name)
        };
        let mut archive = zip::ZipArchive::new(self.spooled(&mut raw)?).map_err(broken)?;
        let mut files = Vec::new();
        for index in 0..archive.len() {
            let entry = archive.by_index(index).map_err(broken)?;
            // macOS adds a folder of its own.
            let name = entry.name().map_err(broken)?;
            if entry.is_file() && !name.starts_with("__MACOSX/") {
                files.push(index);
            }
        }
        let [index] = files.as_slice() else {
            return Err(Error::invalid(format!(
                "the zip archive has {} files, one is expected",
                files.len()
            ))
            .on(&self.name)
            .hint("unpack it, and name the file"));
        };
        self.spooled(&mut archive.by_index(*index).map_err(broken)?)
    }

    fn unsupported(&self, what: &str, tool: &str) -> Error {
        Error::invalid(format!("{what} compression is not supported"))
            .on(&self.name)
            .hint(format!("{tool} < FILE | om datasets put - NAME"))
    }

    /// The error for bytes that cannot be read.
    pub fn unreadable(&self, error: io::Error) -> Error {
        match error.kind() {
            io::ErrorKind::InvalidData
            | io::ErrorKind::InvalidInput
            | io::ErrorKind::UnexpectedEof => {
                Error::invalid("cannot read the data, it is damaged or cut off").because(error)
            }
            _ => Err::<(), _>(error)
                .context(|| "cannot read")
                .map_or_else(|error| error, |()| Error::failed("cannot read")),
        }
        .on(&self.name)
    }
}

/// A stream and the copy of what has been read of it.
struct Spool {
    stream: Box<dyn Read + Send>,
    file: File,
    length: u64,
    ended: bool,
}

struct SpoolReader {
    spool: Arc<Mutex<Spool>>,
    position: u64,
}

impl Read for SpoolReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut spool = self.spool.lock().unwrap_or_else(PoisonError::into_inner);
        let spool = &mut *spool;
        let count = if self.position < spool.length {
            spool.file.seek(SeekFrom::Start(self.position))?;
            spool.file.read(buffer)?
        } else if spool.ended {
            0
        } else {
            let count = spool.stream.read(buffer)?;
            spool.ended = count == 0 && !buffer.is_empty();
            spool.file.seek(SeekFrom::Start(spool.length))?;
            spool
                .file
                .write_all(buffer.get(..count).unwrap_or_default())?;
            spool.length += count as u64;
            count
        };
        self.position += count as u64;
        Ok(count)
    }
}

struct Metered<R> {
    inner: R,
    meter: Box<dyn Meter>,
}

impl<R: Read> Read for Metered<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.meter.advance(count as u64);
        Ok(count)
    }
}
