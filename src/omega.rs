//! The facade: everything that the platform does, in a few words of Rust.
//!
//! ```no_run
//! # fn main() -> omega::Result<()> {
//! let om = omega::Omega::embedded("/tmp/store")?;
//! let late = om.datasets.lazy("flights")?.limit(10);
//! let model = om.models.load("delays")?;
//! # let _ = (late, model); Ok(())
//! # }
//! ```

use crate::access::{Rights, guarded};
use crate::backends::{Backends, Limits, SharedBackends};
use crate::broker::Broker;
use crate::config::interpreter::Python;
use crate::config::{Config, MongoSettings, Profile, StorageSettings};
use crate::error::Result;
use crate::jobs::Jobs;
use crate::progress::{Progress, Silent};
use crate::remote::Server;
use crate::runtime::DataKinds;
use crate::runtime::{
    LocalRuntime, Models, Objects, ObjectsOf, OpenModels, QueueRuntime, RETENTION, RemoteRuntime,
    Tasks,
};
use crate::scripts::Scripts;
use crate::storage::embedded::{self, EmbeddedStorage};
use crate::storage::mongo::{self, MongoStorage, Results};
use crate::storage::remote::RemoteStorage;
use crate::storage::{DEFAULT_BUCKET, Storage};
use crate::store::Store;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// How long a writer waits for others before it gives up.
const LOCK_TIMEOUT: Duration = Duration::from_secs(60);

/// One bucket of the platform.
#[derive(Clone)]
pub struct Omega {
    /// Data sets: tables, series, arrays, documents, files.
    pub datasets: Store,
    /// Models.
    pub models: Models,
    /// Jobs: notebooks.
    pub jobs: Jobs,
    /// Scripts: packages.
    pub scripts: Scripts,
    /// Streams.
    pub streams: Store,
    bucket: String,
    default_bucket: String,
    storage: Arc<dyn Storage>,
    /// The storage without anybody's limits, for tasks that somebody was allowed to run.
    bare: Arc<dyn Storage>,
    results: Option<Results>,
    /// The server that the objects are behind.
    server: Option<Arc<Server>>,
    surroundings: Arc<Surroundings>,
    progress: Arc<dyn Progress>,
    rights: Rights,
}

/// What programs that are started for jobs and scripts are given.
struct Surroundings {
    python: Python,
    env: Arc<[(String, String)]>,
    backends: SharedBackends,
    /// Where packages of scripts are installed.
    cache: Arc<Path>,
    open_models: OpenModels,
}

impl Default for Surroundings {
    fn default() -> Self {
        Self::new(Python::default(), Vec::new(), Limits::default(), Vec::new())
    }
}

impl Surroundings {
    /// Settings by which such a program finds the same objects.
    fn of(config: &Config) -> Self {
        let shared: &[&str] = match config.profile() {
            Profile::Remote { .. } => &[
                "OMEGA_RESTAPI_URL",
                "OMEGA_USERID",
                "OMEGA_APIKEY",
                "OMEGA_QUALIFIER",
                "CA_CERTS_PATH",
            ],
            _ => &[
                "OMEGA_STORE_URL",
                "OMEGA_MONGO_URL",
                "OMEGA_BROKER",
                "OMEGA_RESULT_BACKEND",
            ],
        };
        let set = |name: &str| {
            let chosen = !matches!(
                config.origin(name),
                None | Some(crate::config::Origin::Default)
            );
            let value = config.text(name).filter(|_| chosen)?;
            Some((name.to_owned(), value))
        };
        let number = |name: &str| config.text(name)?.trim().parse::<u64>().ok();
        let limits = Limits {
            memory: number("OMEGA_BACKEND_MEMORY"),
            time: number("OMEGA_BACKEND_TIME").map(Duration::from_secs),
            processes: number("OMEGA_BACKEND_PROCESSES")
                .and_then(|count| usize::try_from(count).ok()),
        };
        let python = Python::new(config.text("OMEGA_PYTHON").as_deref());
        let named = match config.value("OMEGA_BACKENDS") {
            Some(serde_json::Value::Array(paths)) => paths
                .iter()
                .filter_map(|path| path.as_str().map(PathBuf::from))
                .collect(),
            _ => std::env::split_paths(&config.text("OMEGA_BACKENDS").unwrap_or_default())
                .filter(|path| !path.as_os_str().is_empty())
                .collect(),
        };
        Self::new(
            python,
            shared.iter().filter_map(|name| set(name)).collect(),
            limits,
            named,
        )
    }

    /// `named` are the programs of backends that need not be on the search path.
    fn new(
        python: Python,
        env: Vec<(String, String)>,
        limits: Limits,
        named: Vec<PathBuf>,
    ) -> Self {
        Surroundings {
            backends: Arc::new(Backends::new(&python, &env, limits, named)),
            python,
            env: env.into(),
            open_models: OpenModels::default(),
            cache: match directories::BaseDirs::new() {
                Some(user) => user.cache_dir().join("omegaml/scripts").into(),
                None => std::env::temp_dir().join("omegaml-scripts").into(),
            },
        }
    }
}

/// The database of these settings.
fn database(settings: MongoSettings, progress: &Arc<dyn Progress>) -> Result<MongoStorage> {
    MongoStorage::open(mongo::Options {
        url: settings.url,
        tls: settings.tls,
        ca_file: settings.ca_file,
        timeout: settings.timeout,
        legacy_buckets: settings.legacy_buckets,
        default_bucket: settings.default_bucket,
        lock_timeout: LOCK_TIMEOUT,
        progress: progress.clone(),
    })
}

/// Where a cluster's results are kept, if it does so in a database.
fn results(config: &Config, progress: &Arc<dyn Progress>) -> Result<Option<Results>> {
    let settings = config.result_backend()?;
    let database = settings.map(|settings| database(settings, progress));
    Ok(database.transpose()?.map(Results::of))
}

impl Omega {
    /// The default bucket of the embedded store in the directory `path`, which need not
    /// exist yet.
    pub fn embedded(path: impl AsRef<Path>) -> Result<Self> {
        let storage = EmbeddedStorage::open(path.as_ref(), embedded::Options::default())?;
        Ok(Self::new(Arc::new(storage), Arc::new(Silent)))
    }

    /// The bucket and storage that the settings name. Nothing is read or connected to
    /// before it is needed.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Usage`] when the profile names a database by what is no URL of
    /// one.
    pub fn open(config: &Config, progress: Arc<dyn Progress>) -> Result<Self> {
        let mut server = None;
        let storage: Arc<dyn Storage> = match config.storage() {
            StorageSettings::Directory(url) => {
                let options = embedded::Options {
                    lock_timeout: LOCK_TIMEOUT,
                    progress: progress.clone(),
                    ..embedded::Options::default()
                };
                Arc::new(EmbeddedStorage::open(url.directory(), options)?)
            }
            StorageSettings::Mongo(settings) => Arc::new(database(settings, &progress)?),
            StorageSettings::Remote(settings) => {
                let open = Server::open(settings, progress.clone())?;
                Arc::new(RemoteStorage::new(server.insert(open).clone()))
            }
        };
        let surroundings = Arc::new(Surroundings::of(config));
        let mut om = Self::build(
            storage,
            progress,
            config.default_bucket(),
            config.bucket(),
            surroundings,
        );
        om.results = results(config, &om.progress)?;
        om.server = server;
        Ok(om)
    }

    /// The default bucket of any storage.
    pub fn new(storage: Arc<dyn Storage>, progress: Arc<dyn Progress>) -> Self {
        Self::build(
            storage,
            progress,
            DEFAULT_BUCKET,
            DEFAULT_BUCKET,
            Arc::default(),
        )
    }

    /// Another bucket of the same storage; `default` means the default one.
    pub fn bucket(&self, name: &str) -> Self {
        let name = if name == "default" {
            &self.default_bucket
        } else {
            name
        };
        let om = Self::build(
            self.storage.clone(),
            self.progress.clone(),
            &self.default_bucket,
            name,
            self.surroundings.clone(),
        );
        Omega {
            bare: self.bare.clone(),
            results: self.results.clone(),
            server: self.server.clone(),
            rights: self.rights.clone(),
            ..om
        }
    }

    /// The same bucket as somebody sees it who has `rights` only. Limits that there are
    /// already stay as they are.
    pub fn as_user(&self, rights: &Rights) -> Self {
        if rights.are_unlimited() || !self.rights.are_unlimited() {
            return self.clone();
        }
        let om = Omega {
            storage: guarded(self.bare.clone(), rights),
            rights: rights.clone(),
            ..self.clone()
        };
        om.bucket(&self.bucket)
    }

    fn build(
        storage: Arc<dyn Storage>,
        progress: Arc<dyn Progress>,
        default_bucket: &str,
        bucket: &str,
        surroundings: Arc<Surroundings>,
    ) -> Self {
        let store = |prefix| Store::new(storage.clone(), progress.clone(), bucket, prefix);
        Omega {
            datasets: store("data/").opened_by(Arc::new(DataKinds {
                backends: surroundings.backends.clone(),
                progress: progress.clone(),
            })),
            models: Models::new(store("models/"), surroundings.open_models.clone()),
            jobs: Jobs::new(
                store("jobs/"),
                surroundings.python.clone(),
                surroundings.env.clone(),
            ),
            scripts: Scripts::new(
                store("scripts/"),
                surroundings.python.clone(),
                surroundings.env.clone(),
                surroundings.cache.clone(),
            ),
            streams: store("streams/"),
            bucket: bucket.to_owned(),
            default_bucket: default_bucket.to_owned(),
            bare: storage.clone(),
            storage,
            results: None,
            server: None,
            surroundings,
            progress,
            rights: Rights::all(),
        }
    }

    /// Whose limits hold; none where there are none.
    pub fn user(&self) -> Option<&str> {
        self.rights.user()
    }

    /// The store that the command line calls `noun`.
    pub fn store(&self, noun: &str) -> Option<&Store> {
        match noun {
            "datasets" => Some(&self.datasets),
            "models" => Some(&self.models),
            "jobs" => Some(&self.jobs),
            "scripts" => Some(&self.scripts),
            "streams" => Some(&self.streams),
            _ => None,
        }
    }

    /// The kinds of data that backends know.
    pub fn data_kinds(&self) -> DataKinds {
        DataKinds {
            backends: self.surroundings.backends.clone(),
            progress: self.progress.clone(),
        }
    }

    /// What tasks work on.
    pub fn objects(&self) -> Objects {
        Objects {
            datasets: self.datasets.clone(),
            models: self.models.clone(),
            jobs: self.jobs.clone(),
            scripts: self.scripts.clone(),
            backends: self.surroundings.backends.clone(),
            progress: self.progress.clone(),
            rights: self.rights.clone(),
        }
    }

    /// What tasks work on once their user was allowed to run them: a job stores its result,
    /// whoever has started it.
    fn work(&self) -> Objects {
        let om = Self::build(
            self.bare.clone(),
            self.progress.clone(),
            &self.default_bucket,
            &self.bucket,
            self.surroundings.clone(),
        );
        Objects {
            rights: self.rights.clone(),
            ..om.objects()
        }
    }

    /// The book of tasks, as far as the user may see it.
    pub fn tasks(&self) -> Tasks {
        let tasks = Tasks::new(self.bare.as_ref(), RETENTION);
        tasks.seen_by(&self.rights, &self.default_bucket)
    }

    /// Runs tasks in this process.
    pub fn local_runtime(&self) -> LocalRuntime {
        LocalRuntime::new(self.work(), self.tasks())
    }

    /// Has tasks run by the server that the objects are behind, if they are behind one.
    pub fn remote_runtime(&self) -> Option<RemoteRuntime> {
        let server = self.server.clone()?;
        Some(RemoteRuntime::new(server, self.work(), &self.bucket))
    }

    /// Sends tasks to the workers of `label` on a broker.
    pub fn queue_runtime(&self, broker: Arc<dyn Broker>, label: &str) -> QueueRuntime {
        let bucket = (self.bucket != self.default_bucket).then_some(self.bucket.as_str());
        QueueRuntime::new(broker, self.tasks(), self.work(), bucket, label)
            .with_results(self.results.clone())
    }

    /// Where a cluster's results are kept, if it does so in a database.
    pub fn results(&self) -> Option<&Results> {
        self.results.as_ref()
    }

    /// The objects of any bucket (none: the default one), for a worker's tasks.
    pub fn objects_of(&self) -> Box<ObjectsOf> {
        let om = self.clone();
        Box::new(move |bucket, progress| {
            let name = bucket.unwrap_or("default");
            let om = Omega {
                progress,
                ..om.clone()
            };
            om.bucket(name).objects()
        })
    }

    /// The bucket's name as stored.
    pub fn bucket_name(&self) -> &str {
        &self.bucket
    }

    /// The name that the default bucket has as stored.
    pub fn default_bucket(&self) -> &str {
        &self.default_bucket
    }

    /// Where the objects live.
    pub fn storage(&self) -> &Arc<dyn Storage> {
        &self.storage
    }

    /// How long work is shown.
    pub fn progress(&self) -> &Arc<dyn Progress> {
        &self.progress
    }
}
