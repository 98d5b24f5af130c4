//! Which Python is used for what only Python can do: the configured one, that of the active
//! virtual environment or conda environment, else `python3` on the search path.

use super::variables::platform;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A Python interpreter, which need not exist.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Python(Arc<Path>);

impl Python {
    /// The interpreter; `setting` is `OMEGA_PYTHON`.
    pub fn new(setting: Option<&str>) -> Self {
        let environment = |name: &str| {
            let folder = platform(name)?;
            let program = Path::new(&folder).join("bin/python");
            program.is_file().then_some(program)
        };
        let found = setting
            .map(PathBuf::from)
            .or_else(|| environment("VIRTUAL_ENV"))
            .or_else(|| environment("CONDA_PREFIX"))
            .or_else(|| on_path("python3"))
            .unwrap_or_else(|| PathBuf::from("python3"));
        Python(found.into())
    }

    /// The program.
    pub fn program(&self) -> &Path {
        &self.0
    }

    /// Where it and its packages are installed, as far as its path tells.
    pub fn prefix(&self) -> Option<&Path> {
        let folder = self.0.parent()?;
        folder.ends_with("bin").then(|| folder.parent()).flatten()
    }
}

impl Default for Python {
    fn default() -> Self {
        Python::new(None)
    }
}

/// The first program of this name on the search path.
pub fn on_path(name: &str) -> Option<PathBuf> {
    let path = platform("PATH")?;
    std::env::split_paths(&path)
        .map(|folder| folder.join(name))
        .find(|program| program.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_setting_comes_first() {
        let python = Python::new(Some("/opt/env/bin/python"));
        assert_eq!(python.program(), Path::new("/opt/env/bin/python"));
        assert_eq!(python.prefix(), Some(Path::new("/opt/env")));
        assert_eq!(Python::new(Some("python3.12")).prefix(), None);
    }
}
