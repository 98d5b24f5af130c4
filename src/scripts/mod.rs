//! Scripts: Python packages and executables that are stored and run (spec/storage.md §9.9,
//! spec/runtime.md §8). What runs them is in `run`, where their packages go in
//! `environment`, how a directory becomes an archive in `package`; `wheel` makes one of a
//! wheel, `packages` is the script
//! that looks after those of a worker's Python.

mod environment;
mod package;
mod packages;
mod run;
mod wheel;

pub use packages::{ENVIRONMENT, REQUIREMENTS};
pub use run::{ScriptCall, ScriptRun};

use crate::config::interpreter::Python;
use crate::error::{Context, Error, Result};
use crate::storage::{Metadata, Mode};
use crate::store::{Name, PutMode, Store};
use bson::{Document, doc};
use std::ops::Deref;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

/// A package whose archive is stored.
const PACKAGE: &str = "python.package";
/// A package that pip gets from elsewhere.
const SOURCE: &str = "pipsrc.package";
/// Anything else: an executable.
const FILE: &str = "python.file";

const SHELL: &str = concat!(include_str!("client.py"), include_str!("shell.py"));
const JUPYTER: &str = include_str!("jupyter.py");

/// The scripts store: a store that also runs what it holds.
#[derive(Clone)]
pub struct Scripts {
    store: Store,
    python: Python,
    env: Arc<[(String, String)]>,
    cache: Arc<Path>,
}

impl Deref for Scripts {
    type Target = Store;

    fn deref(&self) -> &Store {
        &self.store
    }
}

impl Scripts {
    /// The scripts in `store`, run by `python`, told `env`; installed packages are kept
    /// below `cache`.
    pub fn new(
        store: Store,
        python: Python,
        env: Arc<[(String, String)]>,
        cache: Arc<Path>,
    ) -> Self {
        Scripts {
            store,
            python,
            env,
            cache,
        }
    }

    /// Stores a script: a directory with a Python package, its source archive (`.tar.gz`), a
    /// wheel of Python alone (`.whl`),
    /// an executable, or where pip gets it (`git+https://…`, `pypi://name`).
    ///
    /// # Errors
    /// [`crate::ErrorKind::NotFound`] for a path that there is not: names on PyPI are written
    /// `pypi://name`.
    pub fn put_script(&self, source: &str, name: &str, mode: PutMode) -> Result<Metadata> {
        let path = Path::new(source);
        let is_source = ["git", "hg", "svn", "bzr"].iter().any(|vcs| {
            source.strip_prefix(vcs).is_some_and(|rest| {
                rest.starts_with("://") || rest.starts_with('+') && rest.contains("://")
            })
        });
        if is_source || source.starts_with("pypi://") {
            return self.store_script(
                name,
                SOURCE,
                None,
                doc! { "pip_source": source },
                Document::new(),
                mode,
            );
        }
        if path.is_dir() {
            let archive = package::pack(path, name)?;
            return self.store_package(name, &archive, mode);
        }
        let shown = || source.to_owned();
        let about = std::fs::metadata(path)
            .context(|| format!("cannot read {source}"))
            .map_err(|error| {
                error.on(shown()).hint(
                    "a name on PyPI is written pypi://NAME, a repository git+https://HOST/PATH",
                )
            })?;
        let bytes = std::fs::read(path).context(|| format!("cannot read {source}"))?;
        if source.ends_with(".tar.gz") {
            package::check(&bytes).map_err(|error| error.on(shown()))?;
            return self.store_package(name, &bytes, mode);
        }
        if let Some(file) = path.file_name().and_then(|file| file.to_str())
            && file.ends_with(".whl")
        {
            let archive = wheel::unpacked(file, &bytes, name).map_err(|error| error.on(shown()))?;
            return self.store_package(name, &archive, mode);
        }
        if source.ends_with("setup.py") {
            let folder = path
                .parent()
                .filter(|folder| !folder.as_os_str().is_empty())
                .unwrap_or(Path::new("."));
            let archive = package::pack(folder, name)?;
            return self.store_package(name, &archive, mode);
        }
        if about.permissions().mode() & 0o111 == 0 {
            return Err(Error::invalid("it is neither a package nor executable")
                .on(shown())
                .hint("a package is a directory with a setup.py or pyproject.toml; a program: chmod +x FILE"));
        }
        self.store_script(
            name,
            FILE,
            Some(&bytes),
            Document::new(),
            doc! { "executable": true },
            mode,
        )
    }

    /// Python that runs this source, told where the objects are.
    fn python_with(&self, source: &str) -> Command {
        let mut command = Command::new(self.python.program());
        command
            .args(["-c", source])
            .envs(self.env.iter().map(|(name, value)| (name, value)));
        if let Ok(om) = std::env::current_exe() {
            command.env("OM_PROGRAM", om);
        }
        command
    }

    /// A Python with `om` connected: for people, or to run `code`.
    pub fn shell(&self, code: Option<&str>) -> Command {
        let mut command = self.python_with(SHELL);
        command.args(code);
        command
    }

    /// Jupyter Lab with the jobs as its files.
    pub fn jupyter(&self) -> Command {
        self.python_with(JUPYTER)
    }

    fn store_package(&self, name: &str, archive: &[u8], mode: PutMode) -> Result<Metadata> {
        let (none, about) = (Document::new(), Document::new());
        self.store_script(name, PACKAGE, Some(archive), none, about, mode)
    }

    fn store_script(
        &self,
        name: &str,
        kind: &str,
        content: Option<&[u8]>,
        kind_meta: Document,
        attributes: Document,
        mode: PutMode,
    ) -> Result<Metadata> {
        let key = self.store.key(&Name::plain(name)?);
        let storage = self.store.storage();
        let mut metadata = Metadata::new(key.clone(), kind);
        let current = storage.find(&key)?.filter(|_| mode != PutMode::Replace);
        if let Some(current) = current {
            metadata.id = current.id;
            metadata.attributes = current.attributes;
            metadata.unknown = current.unknown;
            metadata.created = current.created;
        }
        metadata.kind_meta = kind_meta;
        metadata.attributes.extend(attributes);
        let write = if mode == PutMode::Create {
            Mode::Create
        } else {
            Mode::Replace
        };
        let mut writer = storage.write(&key, write)?;
        if let Some(content) = content {
            writer.bytes(content)?;
        }
        writer.commit(metadata)
    }
}
