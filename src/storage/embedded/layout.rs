//! The directory of a store: `om.db` with metadata, documents and the list of files, and
//! `content/` with one file for each blob and each part of rows. File names are ids;
//! names of objects never reach the file system.

use crate::error::{Error, Result};
use crate::storage::crash;
use std::fs::{self, DirBuilder, File};
use std::io;
use std::path::{Path, PathBuf};

/// Where the files of one store are.
#[derive(Debug, Clone)]
pub(super) struct Layout {
    root: PathBuf,
}

impl Layout {
    pub fn new(root: &Path) -> Self {
        Layout {
            root: root.to_owned(),
        }
    }

    pub fn root(&self) -> &Path {
        &self.root
    }

    pub fn database(&self) -> PathBuf {
        self.root.join("om.db")
    }

    pub fn content(&self) -> PathBuf {
        self.root.join("content")
    }

    /// The path of a content file.
    pub fn file(&self, name: &str) -> PathBuf {
        self.root.join("content").join(name)
    }

    /// How a content file is called in messages.
    pub fn label(name: &str) -> String {
        format!("content/{name}")
    }

    /// Makes the directories that are missing; a new store is private to its user.
    pub fn create(&self) -> Result<()> {
        if self.content().is_dir() {
            return Ok(());
        }
        let mut builder = DirBuilder::new();
        builder.recursive(true);
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        for directory in [self.root.clone(), self.content()] {
            crash::around(|| builder.create(&directory))
                .map_err(|error| disk_error(error, "create", &directory))?;
        }
        sync_directory(&self.root)?;
        match self.root.parent() {
            // The parent may belong to somebody else; the store works without.
            Some(parent) => sync_directory(parent).or(Ok(())),
            None => Ok(()),
        }
    }

    /// The names of the files in `content/`.
    pub fn content_files(&self) -> Result<Vec<String>> {
        let directory = self.content();
        let entries = match fs::read_dir(&directory) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(disk_error(error, "list", &directory)),
        };
        let mut names = Vec::new();
        for entry in entries {
            let entry = entry.map_err(|error| disk_error(error, "list", &directory))?;
            if let Ok(name) = entry.file_name().into_string() {
                names.push(name);
            }
        }
        Ok(names)
    }

    /// Whether there is any content, without looking at all of it.
    pub fn has_content(&self) -> bool {
        fs::read_dir(self.content()).is_ok_and(|mut entries| entries.next().is_some())
    }
}

/// Makes new names in a directory survive a power cut.
pub(super) fn sync_directory(path: &Path) -> Result<()> {
    #[cfg(unix)]
    crash::around(|| File::open(path).and_then(|directory| directory.sync_all()))
        .map_err(|error| disk_error(error, "sync", path))?;
    #[cfg(not(unix))]
    let _ = (path, File::open::<&Path>);
    Ok(())
}

/// A failed operation on a file: what, where, why, and what helps.
pub(super) fn disk_error(error: io::Error, doing: &str, path: &Path) -> Error {
    let hint = match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            Some("free some space; what was stored before is untouched")
        }
        io::ErrorKind::PermissionDenied => Some("check who owns the store's directory"),
        io::ErrorKind::ReadOnlyFilesystem => Some("the file system is mounted read-only"),
        io::ErrorKind::NotADirectory | io::ErrorKind::AlreadyExists => {
            Some("a store needs a directory of its own")
        }
        _ if too_many_files(&error) => Some("raise the limit of open files (ulimit -n)"),
        _ => None,
    };
    let failure = Error::failed(format!("cannot {doing} {}", path.display())).because(error);
    match hint {
        Some(hint) => failure.hint(hint),
        None => failure,
    }
}

/// `EMFILE` and `ENFILE`, for which `std` has no stable kind.
fn too_many_files(error: &io::Error) -> bool {
    cfg!(unix) && matches!(error.raw_os_error(), Some(23 | 24))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_new_store_is_private() {
        let home = tempfile::tempdir().unwrap();
        let layout = Layout::new(&home.path().join("a/b"));
        layout.create().unwrap();
        layout.create().unwrap();
        assert!(!layout.has_content());
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = fs::metadata(layout.root()).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o700);
        }
    }

    #[test]
    fn a_file_in_the_way_is_named() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("store");
        fs::write(&path, "x").unwrap();
        let error = Layout::new(&path).create().unwrap_err();
        assert!(error.to_string().contains("store"), "{error}");
    }
}
