//! Backends in other programs: they run models and tasks, and read data, that this one cannot. PROTOCOL.md beside
//! this file says how they are talked to. What a model is and where it is stored is not
//! known here.

mod pool;
mod process;
mod protocol;
mod python;
mod said;

pub use protocol::{Reply, Request, decode_frame, encode_frame};

use crate::config::interpreter::Python;
use crate::config::variables::platform;
use crate::error::{Error, Result, nearest};
use crate::progress::Progress;
use pool::{Pool, Program};
use serde_json::json;
use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// How the programs of backends are called.
const PREFIX: &str = "om-backend-";

/// How long a backend may take to say what it can.
const HELLO: Duration = Duration::from_secs(60);

/// What a backend says of itself.
#[derive(Debug, Clone, PartialEq)]
pub struct Announcement {
    /// Its name.
    pub name: String,
    /// The program.
    pub program: String,
    /// Kinds, and what it does with each.
    pub kinds: BTreeMap<String, Vec<String>>,
    /// Endings of files, each with the kind that they become.
    pub files: BTreeMap<String, String>,
    /// Tasks that it runs.
    pub tasks: Vec<String>,
}

/// All backends.
pub struct Backends {
    python: Pool,
    others: OnceLock<Vec<(Announcement, Pool)>>,
    limits: Limits,
    /// Programs that are named in the settings.
    named: Vec<PathBuf>,
}

/// What a backend's process may use.
#[derive(Debug, Clone, Copy, Default)]
pub struct Limits {
    /// Bytes of data.
    pub memory: Option<u64>,
    /// How long one call may take.
    pub time: Option<Duration>,
    /// Processes of a backend at the same time; 16 unless said otherwise.
    pub processes: Option<usize>,
}

impl Backends {
    /// Those of these names, those on the search path, and the one for this Python.
    pub fn new(
        python: &Python,
        env: &[(String, String)],
        limits: Limits,
        named: Vec<PathBuf>,
    ) -> Self {
        Backends {
            python: Pool::new(python::program(python, env), limits),
            others: OnceLock::new(),
            limits,
            named,
        }
    }

    /// The backends in other files. Those that do not answer are left out, with a note.
    fn others(&self, progress: &dyn Progress) -> &[(Announcement, Pool)] {
        self.others.get_or_init(|| {
            let mut found = Vec::new();
            for path in self.named.iter().cloned().chain(programs()) {
                let shown = path.display().to_string();
                let pool = Pool::new(Program::new(path), self.limits);
                match announcement(&pool, progress) {
                    Ok(announcement) => found.push((announcement, pool)),
                    Err(error) => progress.note(&format!("{shown} is no backend: {error}")),
                }
            }
            found
        })
    }

    /// What all backends say of themselves.
    pub fn announcements(&self, progress: &dyn Progress) -> Vec<Result<Announcement>> {
        let others = self
            .others(progress)
            .iter()
            .map(|(announcement, _)| Ok(announcement.clone()));
        others
            .chain([announcement(&self.python, progress)])
            .collect()
    }

    /// Whether some backend may run models of this kind.
    pub fn has(&self, kind: &str, progress: &dyn Progress) -> bool {
        python::KINDS.contains(&kind) || self.find(kind, progress).is_some()
    }

    fn find(&self, kind: &str, progress: &dyn Progress) -> Option<&Pool> {
        let others = self.others(progress).iter();
        let mut others = others.filter(|(announcement, _)| announcement.kinds.contains_key(kind));
        others.next().map(|(_, pool)| pool)
    }

    /// Starts a process of the backend of a kind, ahead of the first call.
    ///
    /// # Errors
    /// As [`Backends::call`].
    pub fn warm(&self, kind: &str, progress: &dyn Progress) -> Result<()> {
        let hello = json!({ "protocol": protocol::VERSION });
        let request = Request::new("hello", hello).within(HELLO);
        self.call(kind, request, progress).map(drop)
    }

    /// Asks the backend of a kind; those on the search path before the built-in one.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Invalid`] when there is none; what the backend fails with.
    pub fn call(&self, kind: &str, request: Request, progress: &dyn Progress) -> Result<Reply> {
        if let Some(pool) = self.find(kind, progress) {
            return pool.call(request, progress);
        }
        if python::KINDS.contains(&kind) {
            return self.python.call(request, progress);
        }
        let mut kinds: Vec<&str> = python::KINDS.to_vec();
        for (announcement, _) in self.others(progress) {
            kinds.extend(announcement.kinds.keys().map(String::as_str));
        }
        let error = Error::invalid(format!("no backend runs models of the kind {kind}"));
        Err(match nearest(kind, kinds.iter().copied()) {
            Some(near) => error.hint(format!("did you mean `{near}`?")),
            None => error.hint(
                "backends are programs called om-backend-* on the search path; see om backends",
            ),
        })
    }

    /// Asks the backend that has announced a task; none if nobody has.
    ///
    /// # Errors
    /// What the backend fails with.
    pub fn task(
        &self,
        name: &str,
        request: Request,
        progress: &dyn Progress,
    ) -> Result<Option<Reply>> {
        let mut others = self.others(progress).iter();
        let found =
            others.find(|(announcement, _)| announcement.tasks.iter().any(|one| one == name));
        found
            .map(|(_, pool)| pool.call(request, progress))
            .transpose()
    }

    /// Whether a backend takes this action of a kind.
    pub fn can(&self, kind: &str, action: &str, progress: &dyn Progress) -> bool {
        let others = self.others(progress).iter();
        let mut kinds = others.filter_map(|(announcement, _)| announcement.kinds.get(kind));
        kinds.any(|actions| actions.iter().any(|one| one == action))
    }

    /// The kind that a file becomes by its ending, if a backend has announced it.
    pub fn kind_of(&self, file: &str, progress: &dyn Progress) -> Option<String> {
        let file = file.to_lowercase();
        let mut files = self
            .others(progress)
            .iter()
            .flat_map(|(announcement, _)| &announcement.files);
        let found = files.find(|(ending, _)| file.ends_with(&ending.to_lowercase()));
        found.map(|(_, kind)| kind.clone())
    }

    /// Asks for a model: of Python's, or of the backend that has `kind`.
    ///
    /// # Errors
    /// What the backend fails with.
    pub fn make(
        &self,
        kind: Option<&str>,
        request: Request,
        progress: &dyn Progress,
    ) -> Result<Reply> {
        match kind.and_then(|kind| self.find(kind, progress)) {
            Some(pool) => pool.call(request, progress),
            None => self.python.call(request, progress),
        }
    }
}

/// Shared by all clones of a bucket's objects.
pub type SharedBackends = Arc<Backends>;

fn announcement(pool: &Pool, progress: &dyn Progress) -> Result<Announcement> {
    let request = Request::new("hello", json!({ "protocol": protocol::VERSION })).within(HELLO);
    let reply = pool.call(request, progress)?;
    let text = |name: &str| {
        reply
            .header
            .get(name)
            .and_then(|value| value.as_str())
            .map(str::to_owned)
    };
    let version = reply
        .header
        .get("protocol")
        .and_then(|version| version.as_u64());
    if version != Some(protocol::VERSION) {
        return Err(Error::invalid(format!(
            "it speaks version {version:?} of the protocol, not {}",
            protocol::VERSION
        )));
    }
    let kinds = reply.header.get("kinds").and_then(|kinds| kinds.as_array());
    let kind = |entry: &serde_json::Value| {
        let actions = entry.get("actions").and_then(|actions| actions.as_array());
        let actions = actions
            .into_iter()
            .flatten()
            .filter_map(|action| action.as_str());
        Some((
            entry.get("kind")?.as_str()?.to_owned(),
            actions.map(str::to_owned).collect(),
        ))
    };
    let files = kinds.into_iter().flatten().flat_map(|entry| {
        let kind = entry.get("kind").and_then(|kind| kind.as_str());
        let endings = entry.get("files").and_then(|files| files.as_array());
        let endings = endings.into_iter().flatten().filter_map(|one| one.as_str());
        endings.filter_map(move |ending| Some((ending.to_owned(), kind?.to_owned())))
    });
    let tasks = reply.header.get("tasks").and_then(|tasks| tasks.as_array());
    let tasks = tasks.into_iter().flatten().filter_map(|one| one.as_str());
    Ok(Announcement {
        name: text("name").unwrap_or_default(),
        program: pool.program().shown(),
        files: files.collect(),
        tasks: tasks.map(str::to_owned).collect(),
        kinds: kinds.into_iter().flatten().filter_map(kind).collect(),
    })
}

/// The programs of the search path, the first of each name.
fn programs() -> Vec<PathBuf> {
    let mut found: BTreeMap<String, PathBuf> = BTreeMap::new();
    let path = platform("PATH").unwrap_or_default();
    for folder in std::env::split_paths(&path) {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let runs = || {
                entry
                    .path()
                    .metadata()
                    .is_ok_and(|about| about.is_file() && about.permissions().mode() & 0o111 != 0)
            };
            if name.starts_with(PREFIX) && !found.contains_key(&name) && runs() {
                found.insert(name, entry.path());
            }
        }
    }
    found.into_values().collect()
}
