//! The script that lists, installs and removes packages of a worker's Python: Python
//! omega|ml's workers run it like any other, om's without installing it first.

use super::{Scripts, package};
use crate::error::{Context, Result};
use crate::store::{PutMode, Stored};
use bson::Document;
use std::io::Read;
use std::path::PathBuf;

/// The script's name, which clients of Python omega|ml know.
pub const ENVIRONMENT: &str = ".system/envinstall";

/// The stored requirements file that it falls back to.
pub const REQUIREMENTS: &str = ".system/requirements.txt";

const MODULE: &str = "envinstall";
const SOURCE: &str = include_str!("envinstall.py");

impl Scripts {
    /// Stores the script unless it is there.
    ///
    /// # Errors
    /// What the store fails with.
    pub fn provide_environment(&self) -> Result<()> {
        let ours = package::of_module(MODULE, env!("CARGO_PKG_VERSION"), SOURCE)?;
        if self.exists(ENVIRONMENT)?
            && let Stored::File(mut blob) = self.get(ENVIRONMENT)?
            && blob.length() == ours.len() as u64
        {
            let mut there = Vec::new();
            blob.read_to_end(&mut there)
                .context(|| format!("cannot read {ENVIRONMENT}"))?;
            if there == ours {
                return Ok(());
            }
        }
        self.store_package(ENVIRONMENT, &ours, PutMode::Replace)
            .map(drop)
    }

    /// Stores a requirements file for it.
    ///
    /// # Errors
    /// What the store fails with.
    pub fn put_requirements(&self, content: &[u8]) -> Result<()> {
        let (none, about) = (Document::new(), Document::new());
        self.store_script(
            REQUIREMENTS,
            super::FILE,
            Some(content),
            none,
            about,
            PutMode::Replace,
        )
        .map(drop)
    }

    /// Where its module is, if `content` is the archive that this program stores.
    pub(super) fn own_packages(&self, content: &[u8]) -> Result<Option<PathBuf>> {
        let ours = package::of_module(MODULE, env!("CARGO_PKG_VERSION"), SOURCE)?;
        if content != ours {
            return Ok(None);
        }
        let place = self
            .cache
            .join(format!("{MODULE}-{}", env!("CARGO_PKG_VERSION")));
        let failed = || format!("cannot write {}", place.display());
        std::fs::create_dir_all(&place).context(failed)?;
        let file = place.join(format!("{MODULE}.py"));
        // Whole or not at all: others may read it meanwhile.
        if std::fs::read(&file).ok().as_deref() != Some(SOURCE.as_bytes()) {
            let mut made = tempfile::NamedTempFile::new_in(&place).context(failed)?;
            std::io::Write::write_all(&mut made, SOURCE.as_bytes()).context(failed)?;
            made.persist(&file)
                .map_err(|error| error.error)
                .context(failed)?;
        }
        Ok(Some(place))
    }
}
