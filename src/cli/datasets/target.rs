//! Where `get` writes to: standard output, or a file that appears when it is complete.

use crate::cli::Session;
use crate::error::{Context, Error, Result};
use std::io::{BufWriter, Read, Write};
use std::path::{Path, PathBuf};

/// Where the bytes go: standard output, or a temporary file that takes the target's
/// place when everything is written.
pub struct Target {
    /// Where to write.
    pub writer: Box<dyn Write + Send>,
    /// The file that is to appear.
    pub file: Option<(tempfile::TempPath, PathBuf)>,
}

impl Target {
    /// Opens `path`, or standard output, which takes binary data only if it is no terminal.
    pub fn open(session: &Session, path: Option<&Path>, binary: bool) -> Result<Self> {
        let Some(path) = path else {
            let writer = match binary {
                true => session.output.binary_stdout()?,
                false => session.output.raw_stdout(),
            };
            return Ok(Target { writer, file: None });
        };
        refuse_folder(path)?;
        let cannot = || format!("cannot write {}", path.display());
        let file = tempfile::Builder::new()
            .prefix(".om-")
            .permissions(permissions())
            .tempfile_in(folder(path))
            .context(cannot)?;
        let (file, temporary) = file.into_parts();
        Ok(Target {
            writer: Box::new(BufWriter::with_capacity(1 << 20, file)),
            file: Some((temporary, path.to_owned())),
        })
    }

    /// Copies everything and makes the file appear.
    pub fn copy(mut self, blob: &mut dyn Read) -> Result<()> {
        std::io::copy(blob, &mut self.writer).context(|| "cannot copy the object")?;
        self.writer.flush().context(|| "cannot write the object")?;
        drop(self.writer);
        commit(self.file)
    }
}

/// Refuses to write where a directory is.
pub fn refuse_folder(path: &Path) -> Result<()> {
    match path.is_dir() {
        false => Ok(()),
        true => Err(Error::usage(format!(
            "{} is a directory, not a file",
            path.display()
        ))),
    }
}

/// The directory that a file is in.
pub fn folder(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    }
}

/// Makes the file appear under its name.
pub fn commit(file: Option<(tempfile::TempPath, PathBuf)>) -> Result<()> {
    let Some((temporary, path)) = file else {
        return Ok(());
    };
    temporary
        .persist(&path)
        .map_err(|error| error.error)
        .context(|| format!("cannot write {}", path.display()))
}

/// What a file made by open(2) would have, less the umask.
fn permissions() -> std::fs::Permissions {
    std::os::unix::fs::PermissionsExt::from_mode(0o666)
}
