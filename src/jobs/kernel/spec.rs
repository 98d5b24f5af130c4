//! Which kernels there are: `kernels/NAME/kernel.json` in Jupyter's data directories.

use crate::config::interpreter::Python;
use crate::error::{Context, Error, Result};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// How a kernel is started.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct KernelSpec {
    /// Program and arguments; `{connection_file}` stands for the file's path.
    pub argv: Vec<String>,
    /// The language.
    #[serde(default)]
    pub language: String,
    /// `signal` or `message`.
    #[serde(default)]
    pub interrupt_mode: Option<String>,
    /// Variables to set.
    #[serde(default)]
    pub env: BTreeMap<String, String>,
}

/// The kernel of this name.
///
/// # Errors
/// [`crate::ErrorKind::NotFound`] with the names of those that there are.
pub(super) fn find(name: &str, language: &str, python: &Python) -> Result<KernelSpec> {
    let folders = folders(python);
    let mut known = Vec::new();
    for folder in &folders {
        let file = folder.join("kernels").join(name).join("kernel.json");
        if !name.contains('/') && file.is_file() {
            return read(&file).map(|spec| here(spec, python));
        }
        let entries = std::fs::read_dir(folder.join("kernels"));
        for entry in entries.into_iter().flatten().flatten() {
            if entry.path().join("kernel.json").is_file() {
                known.push(entry.file_name().to_string_lossy().into_owned());
            }
        }
    }
    // Without an installed specification any Python that has the package will do.
    if language == "python" {
        return Ok(KernelSpec {
            argv: [
                "python",
                "-m",
                "ipykernel_launcher",
                "-f",
                "{connection_file}",
            ]
            .map(str::to_owned)
            .to_vec(),
            language: language.to_owned(),
            interrupt_mode: None,
            env: BTreeMap::new(),
        })
        .map(|spec| here(spec, python));
    }
    known.sort();
    known.dedup();
    let hint = match known.as_slice() {
        [] => "no kernels are installed; for Python: pip install ipykernel".to_owned(),
        known => format!("installed kernels: {}", known.join(", ")),
    };
    Err(Error::not_found(format!("no such kernel: {name}")).hint(hint))
}

fn read(file: &Path) -> Result<KernelSpec> {
    let text =
        std::fs::read_to_string(file).context(|| format!("cannot read {}", file.display()))?;
    serde_json::from_str(&text).map_err(|error| {
        Error::invalid(format!("{} is no kernel specification", file.display())).because(error)
    })
}

/// A bare `python` in a specification is the configured one.
fn here(mut spec: KernelSpec, python: &Python) -> KernelSpec {
    if let Some(program) = spec.argv.first_mut()
        && ["python", "python3"].contains(&program.as_str())
    {
        *program = python.program().to_string_lossy().into_owned();
    }
    spec
}

/// Jupyter's data directories, first those of the configured Python.
fn folders(python: &Python) -> Vec<PathBuf> {
    let mut folders = Vec::new();
    if let Some(path) = crate::config::variables::platform("JUPYTER_PATH") {
        folders.extend(std::env::split_paths(&path));
    }
    folders.extend(python.prefix().map(|prefix| prefix.join("share/jupyter")));
    if let Some(user) = directories::BaseDirs::new() {
        folders.push(user.data_dir().join("jupyter"));
    }
    folders.push(PathBuf::from("/usr/local/share/jupyter"));
    folders.push(PathBuf::from("/usr/share/jupyter"));
    folders
}
