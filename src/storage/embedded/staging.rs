//! Content files that are being written. A staged file is locked for as long as its
//! writer lives, so that the sweeper can tell the dead from the living, and it is
//! removed on drop unless a transaction has made it part of an object.

use super::digest::{Digester, Digests};
use super::layout::{Layout, disk_error, sync_directory};
use crate::error::{Error, Result};
use crate::storage::crash;
use bson::oid::ObjectId;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, BufWriter, Write};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

/// What is gathered in memory before the disk is asked.
const BUFFER: usize = 256 * 1024;

/// A new content file.
#[derive(Debug)]
pub(super) struct StagedFile {
    id: ObjectId,
    name: String,
    path: PathBuf,
    directory: PathBuf,
    out: BufWriter<Steps>,
    digester: Digester,
    /// Why a write has failed; a Parquet writer tells only that it has.
    failure: Option<io::Error>,
    keep: bool,
}

impl StagedFile {
    /// Creates and locks a file with a new id and this extension.
    pub fn create(layout: &Layout, extension: &str) -> Result<Self> {
        loop {
            let id = ObjectId::new();
            let name = format!("{id}.{extension}");
            let path = layout.file(&name);
            let file = crash::around(|| {
                OpenOptions::new()
                    .read(true)
                    .write(true)
                    .create_new(true)
                    .open(&path)
            })
            .map_err(|error| disk_error(error, "create", &path))?;
            // A sweeper may look between create and lock: it takes the lock before it
            // removes, so a file that is locked and still there is ours.
            let ours = !matches!(file.try_lock(), Err(TryLockError::WouldBlock)) && path.exists();
            if ours {
                return Ok(StagedFile {
                    id,
                    name,
                    path,
                    directory: layout.content(),
                    out: BufWriter::with_capacity(BUFFER, Steps(file)),
                    digester: Digester::default(),
                    failure: None,
                    keep: false,
                });
            }
        }
    }

    pub fn id(&self) -> ObjectId {
        self.id
    }

    /// The file's name in `content/`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Adds bytes.
    pub fn append(&mut self, bytes: &[u8]) -> Result<()> {
        self.write_all(bytes)
            .map_err(|error| disk_error(error, "write", &self.path))
    }

    /// Opens the file for reading what was written so far.
    pub fn reread(&mut self) -> Result<File> {
        self.out
            .flush()
            .and_then(|()| File::open(&self.path))
            .map_err(|error| disk_error(error, "read", &self.path))
    }

    /// Brings everything to the disk.
    pub fn finish(&mut self) -> Result<Digests> {
        self.out
            .flush()
            .map_err(|error| disk_error(error, "write", &self.path))?;
        crash::around(|| self.out.get_ref().0.sync_all())
            .map_err(|error| disk_error(error, "sync", &self.path))?;
        sync_directory(&self.directory)?;
        Ok(std::mem::take(&mut self.digester).finish())
    }

    /// The file belongs to an object now.
    pub fn keep(&mut self) {
        self.keep = true;
    }
}

impl Write for StagedFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if let Err(error) = self.out.write_all(bytes) {
            self.failure = error.raw_os_error().map(io::Error::from_raw_os_error);
            return Err(error);
        }
        self.digester.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

impl Drop for StagedFile {
    fn drop(&mut self) {
        if !self.keep {
            // If this fails the file is a leftover and is swept later.
            let _ = crash::around(|| fs::remove_file(&self.path));
        }
    }
}

/// Writes that reach the disk, with failure points.
#[derive(Debug)]
struct Steps(File);

impl Write for Steps {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        crash::around(|| self.0.write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A staged file that a Parquet writer can own while we keep hold of it.
#[derive(Debug, Clone)]
pub(super) struct Shared(Arc<Mutex<StagedFile>>);

impl Shared {
    pub fn new(file: StagedFile) -> Self {
        Shared(Arc::new(Mutex::new(file)))
    }

    /// What has made a write fail, if one has.
    pub fn failure(&self) -> Option<Error> {
        let mut file = self.0.lock().ok()?;
        let failure = file.failure.take()?;
        Some(disk_error(failure, "write", &file.path))
    }

    /// The file, once nobody else holds it.
    pub fn into_inner(self) -> Option<StagedFile> {
        Arc::into_inner(self.0).and_then(|file| file.into_inner().ok())
    }
}

impl Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self.0.lock() {
            Ok(mut file) => file.write(bytes),
            Err(_) => Err(io::Error::other("the writer has failed")),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        // The buffer is flushed once, when the file is finished.
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_staged_file_is_locked_and_vanishes_unless_kept() {
        let home = tempfile::tempdir().unwrap();
        let layout = Layout::new(home.path());
        layout.create().unwrap();
        let mut staged = StagedFile::create(&layout, "blob").unwrap();
        staged.write_all(b"abc").unwrap();
        let path = layout.file(staged.name());
        assert!(matches!(
            File::open(&path).unwrap().try_lock(),
            Err(TryLockError::WouldBlock)
        ));
        assert_eq!(staged.finish().unwrap().bytes(), 3);
        drop(staged);
        assert!(!path.exists());

        let mut staged = StagedFile::create(&layout, "blob").unwrap();
        staged.keep();
        let path = layout.file(staged.name());
        drop(staged);
        assert!(path.exists());
        File::open(&path).unwrap().try_lock().unwrap();
    }
}
