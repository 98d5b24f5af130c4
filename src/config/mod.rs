//! Settings: read from files, environment and options, laid over each other and typed.
//! Knows nothing of stores, tasks or output.
//!
//! Layers, the weakest first (spec/cli.md §9 for the files):
//! 1. built-in defaults (and `MONGO_URL`, `RABBITMQ_URL`, `CELERY_Q`, which omega|ml reads as such),
//! 2. the site's `/etc/xdg/omegaml/config.yml`,
//! 3. the user's `~/.config/omegaml/config.yml`,
//! 4. the profile chosen by `om config use`,
//! 5. the file named by `--config` or `OMEGA_CONFIG_FILE`, else the nearest `config.yml`
//!    from the working directory upwards,
//! 6. the profile named by `OM_PROFILE`,
//! 7. `OMEGA_*` variables, unless `OMEGA_ALLOW_ENV_CONFIG` is false,
//! 8. the profile named by `--profile`,
//! 9. options.
//!
//! A profile thus counts as much as the way in which it was chosen. Only one profile
//! counts: that of `--profile`, else `OM_PROFILE`, else `om config use`.

mod broker;
pub mod edit;
mod file;
pub mod interpreter;
mod layers;
mod locations;
mod profile;
mod profiles;
mod secret;
mod sources;
mod storage;
mod store_url;
pub mod variables;

pub use broker::{AmqpSettings, BrokerSettings};
pub use layers::Origin;
pub use locations::Locations;
pub use profile::Profile;
pub use profiles::{NO_PROFILE, Profiles};
pub use secret::{MASK, Secret, Url, is_secret_name, mask_text, masked};
pub use storage::{MongoSettings, RemoteSettings, StorageSettings};
pub use store_url::StoreUrl;
pub use variables::Environment;

use crate::error::{Error, Result};
use layers::Effective;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

/// The name of the default bucket, as stored.
pub const DEFAULT_BUCKET: &str = "omegaml";

/// Settings given as options of the command line, or by a caller of the library.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// `--config`: the configuration file.
    pub config: Option<String>,
    /// `--profile`: the named profile.
    pub profile: Option<String>,
    /// `--bucket`.
    pub bucket: Option<String>,
    /// `--store`: the embedded store's directory or URL.
    pub store: Option<String>,
    /// `--local-runtime`.
    pub local_runtime: bool,
    /// `--loglevel`.
    pub loglevel: Option<String>,
}

/// All settings as they count.
#[derive(Clone)]
pub struct Config {
    settings: BTreeMap<String, Effective>,
    profile: Profile,
    profile_name: Option<String>,
    files: Vec<PathBuf>,
    locations: Locations,
    bucket: String,
    default_bucket: String,
    typed: Typed,
}

/// Settings that were checked when they were read.
#[derive(Debug, Clone)]
struct Typed {
    worker_concurrency: u64,
    task_timeout: Duration,
    mongo_timeout: Duration,
    passthrough_limit: u64,
}

/// One setting, for `om config show`.
#[derive(Debug, Clone)]
pub struct Setting {
    /// Its name.
    pub name: String,
    /// Its value, secret or not.
    pub value: SettingValue,
    /// Where the value comes from.
    pub origin: Origin,
}

/// A value that shows itself without its secrets, in `Display` and `Debug`.
#[derive(Clone, PartialEq)]
pub struct SettingValue {
    name: String,
    value: Value,
}

impl Config {
    /// The settings of this machine, user, working directory and environment.
    ///
    /// # Errors
    /// Files that cannot be read or are malformed, with file and line; values that are
    /// not what they must be, with their origin; profiles that do not exist.
    pub fn load(options: &Options) -> Result<Self> {
        let environment = Environment::capture();
        Self::load_from(&Locations::of_machine(&environment)?, &environment, options)
    }

    /// The settings found in these places.
    ///
    /// # Errors
    /// As [`Config::load`].
    pub fn load_from(
        locations: &Locations,
        environment: &Environment,
        options: &Options,
    ) -> Result<Self> {
        let sources::Sources {
            layers,
            profile_name,
            files,
        } = sources::collect(locations, environment, options)?;
        let settings = layers::merge(&layers)?;
        let profile = Profile::decide(&settings, &locations.default_store())
            .map_err(|error| with_origin(error, settings.get("OMEGA_STORE_URL")))?;
        let number = |name: &str| number(&settings, name);
        let typed = Typed {
            worker_concurrency: number("OMEGA_WORKER_CONCURRENCY")?,
            task_timeout: Duration::from_secs(number("OMEGA_TASK_TIMEOUT")?),
            mongo_timeout: Duration::from_millis(number("OMEGA_MONGO_TIMEOUT")?),
            passthrough_limit: number("OMEGA_PASSTHROUGH_MAX_SIZE")?,
        };
        let text = |name: &str| settings.get(name).map(|setting| text_of(&setting.value));
        let default_bucket = match profile {
            Profile::Cluster { .. } => text("OMEGA_MONGO_COLLECTION"),
            Profile::Embedded(_) | Profile::Remote { .. } => None,
        };
        let default_bucket = default_bucket.unwrap_or_else(|| DEFAULT_BUCKET.to_owned());
        let bucket = match text("OMEGA_BUCKET") {
            Some(bucket) if bucket != "default" => bucket,
            _ => default_bucket.clone(),
        };
        Ok(Config {
            settings,
            profile,
            profile_name,
            files,
            locations: locations.clone(),
            bucket,
            default_bucket,
            typed,
        })
    }

    /// Where objects live and tasks run.
    pub fn profile(&self) -> &Profile {
        &self.profile
    }

    /// The name of the profile in use, if one was chosen.
    pub fn profile_name(&self) -> Option<&str> {
        self.profile_name.as_deref()
    }

    /// The bucket: the default one unless set.
    pub fn bucket(&self) -> &str {
        &self.bucket
    }

    /// The name of the default bucket: an omega|ml cluster may have another than
    /// [`DEFAULT_BUCKET`].
    pub fn default_bucket(&self) -> &str {
        &self.default_bucket
    }

    /// Whether tasks run in this process whatever the profile.
    pub fn local_runtime(&self) -> bool {
        self.is_on("OMEGA_LOCAL_RUNTIME")
    }

    /// The label (queue) of tasks and workers.
    pub fn worker_label(&self) -> String {
        self.text("OMEGA_WORKER_LABEL")
            .unwrap_or_else(|| "default".to_owned())
    }

    /// How many tasks a worker runs at the same time; one a CPU when set to 0.
    pub fn worker_concurrency(&self) -> usize {
        match usize::try_from(self.typed.worker_concurrency) {
            Ok(0) | Err(_) => std::thread::available_parallelism().map_or(1, usize::from),
            Ok(count) => count,
        }
    }

    /// The time limit of a task.
    pub fn task_timeout(&self) -> Duration {
        self.typed.task_timeout
    }

    /// The time limit for reaching MongoDB.
    pub fn mongo_timeout(&self) -> Duration {
        self.typed.mongo_timeout
    }

    /// The largest data sent within a task, in bytes.
    pub fn passthrough_limit(&self) -> u64 {
        self.typed.passthrough_limit
    }

    /// The directory for temporary files.
    pub fn temporary_directory(&self) -> PathBuf {
        self.text("OMEGA_TMP")
            .map_or_else(std::env::temp_dir, PathBuf::from)
    }

    /// The data set that holds the runtime's log.
    pub fn log_dataset(&self) -> String {
        self.text("OMEGA_LOG_DATASET")
            .unwrap_or_else(|| ".omega/logs".to_owned())
    }

    /// A setting, if it has a value.
    pub fn value(&self, name: &str) -> Option<&Value> {
        self.settings.get(name).map(|effective| &effective.value)
    }

    /// A setting as text.
    pub fn text(&self, name: &str) -> Option<String> {
        self.value(name).map(text_of)
    }

    /// Whether a yes-or-no setting is on: as omega|ml reads it, true, or text that starts
    /// with y, t or 1 (or is `on`).
    pub fn is_on(&self, name: &str) -> bool {
        self.value(name).is_some_and(is_true)
    }

    /// Where a setting's value comes from.
    pub fn origin(&self, name: &str) -> Option<&Origin> {
        self.settings.get(name).map(|effective| &effective.origin)
    }

    /// The configuration files that were read, the weakest first.
    pub fn files(&self) -> &[PathBuf] {
        &self.files
    }

    /// The directories that were searched.
    pub fn locations(&self) -> &Locations {
        &self.locations
    }

    /// All settings that have a value: those of the table in its order, then unknown ones.
    pub fn settings(&self) -> Vec<Setting> {
        let known = variables::VARIABLES.iter().map(|variable| variable.name);
        let unknown = self.settings.keys().map(String::as_str);
        let unknown = unknown.filter(|name| variables::find(name).is_none());
        known
            .chain(unknown)
            .filter_map(|name| {
                let effective = self.settings.get(name)?;
                Some(Setting {
                    name: name.to_owned(),
                    value: SettingValue::new(name, effective.value.clone()),
                    origin: effective.origin.clone(),
                })
            })
            .collect()
    }
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config")
            .field("profile", &self.profile)
            .field("profile_name", &self.profile_name)
            .field("settings", &self.settings())
            .finish()
    }
}

impl SettingValue {
    /// The value of the setting `name`; the name tells whether it is secret.
    pub fn new(name: &str, value: Value) -> Self {
        SettingValue {
            name: name.to_owned(),
            value,
        }
    }

    /// The value as it may be shown.
    pub fn masked(&self) -> Value {
        masked(&self.name, &self.value)
    }

    /// The value itself.
    pub fn reveal(&self) -> &Value {
        &self.value
    }
}

impl fmt::Display for SettingValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&text_of(&self.masked()))
    }
}

impl fmt::Debug for SettingValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

fn number(settings: &BTreeMap<String, Effective>, name: &str) -> Result<u64> {
    let Some(effective) = settings.get(name) else {
        return Ok(0);
    };
    let parsed = match &effective.value {
        Value::Number(number) => number.as_u64(),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    };
    parsed.ok_or_else(|| {
        let shown = SettingValue::new(name, effective.value.clone());
        let error = Error::usage(format!("\"{shown}\" is not a whole number")).on(name);
        with_origin(error, Some(effective))
    })
}

fn with_origin(error: Error, effective: Option<&Effective>) -> Error {
    match effective {
        Some(effective) => {
            let message = format!("{} (from {})", error.message(), effective.origin);
            let object = error.object().unwrap_or_default();
            let hint = error.hint_text().unwrap_or("see: om config show --origin");
            Error::new(error.kind(), message).on(object).hint(hint)
        }
        None => error,
    }
}

fn is_true(value: &Value) -> bool {
    match value {
        Value::Bool(value) => *value,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => {
            let text = text.trim().to_ascii_lowercase();
            text.starts_with(['y', 't', '1']) || text == "on"
        }
        _ => false,
    }
}

fn text_of(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests;
