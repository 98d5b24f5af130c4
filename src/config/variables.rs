//! Every environment variable that `om` reads, in one table, and the one place where
//! the environment is read.

use std::collections::BTreeMap;
use std::env;

/// One environment variable.
#[derive(Debug, Clone, Copy)]
pub struct Variable {
    /// Its name.
    pub name: &'static str,
    /// The value that holds without it, if there is one.
    pub default: Option<&'static str>,
    /// What it is for, in one line.
    pub about: &'static str,
    /// Where it belongs.
    pub group: Group,
}

/// What a variable is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Group {
    /// Of `om` itself; not a setting, cannot stand in config.yml.
    Program,
    /// A setting: where objects live.
    Store,
    /// A setting: how tasks run.
    Runtime,
    /// A setting: server, REST API and cloud.
    Server,
    /// A setting: extensions and everything else.
    Other,
    /// A convention of the platform that `om` keeps.
    Platform,
}

impl Group {
    /// All groups in the order of the help text.
    pub const ALL: [Group; 6] = [
        Group::Program,
        Group::Store,
        Group::Runtime,
        Group::Server,
        Group::Other,
        Group::Platform,
    ];

    /// The heading in the help text.
    pub fn heading(self) -> &'static str {
        match self {
            Group::Program => "The program",
            Group::Store => "Stores (settings)",
            Group::Runtime => "Runtime (settings)",
            Group::Server => "Server and cloud (settings)",
            Group::Other => "Others (settings)",
            Group::Platform => "Conventions of the platform",
        }
    }

    /// Whether variables of this group are settings, which config.yml can hold too.
    pub fn is_setting(self) -> bool {
        !matches!(self, Group::Program | Group::Platform)
    }
}

const fn variable(
    group: Group,
    name: &'static str,
    default: Option<&'static str>,
    about: &'static str,
) -> Variable {
    Variable {
        name,
        default,
        about,
        group,
    }
}

/// The table. The default of `OMEGA_STORE_URL` depends on the machine and is therefore
/// not in it.
#[rustfmt::skip]
pub const VARIABLES: &[Variable] = &[
    variable(Group::Program, "OMEGA_CONFIG_FILE", Some("config.yml"), "configuration file, or its name to search for; like --config"),
    variable(Group::Program, "OM_PROFILE", None, "named profile to use; like --profile"),
    variable(Group::Program, "OM_NO_PROGRESS", None, "no progress bars, if set; like --no-progress"),
    variable(Group::Program, "OM_COMPLETE", None, "set by shell completion: the shell that asks"),
    variable(Group::Program, "OM_CRASH_AT", None, "tests only: abort at this step of a write to the disk or to a server"),

    variable(Group::Store, "OMEGA_STORE_URL", None, "the embedded store's directory as file:///path; default: the user's data directory"),
    variable(Group::Store, "OMEGA_MONGO_URL", None, "MongoDB of an omega|ml cluster: mongodb://user:password@host:port/database"),
    variable(Group::Store, "OMEGA_MONGO_COLLECTION", Some("omegaml"), "name of the default bucket of a cluster, and of its files' collections"),
    variable(Group::Store, "OMEGA_MONGO_TIMEOUT", Some("2500"), "time limit for reaching MongoDB, in milliseconds"),
    variable(Group::Store, "OMEGA_BUCKET", None, "bucket to use; like --bucket"),
    variable(Group::Store, "OMEGA_BUCKET_FS_LEGACY", Some("false"), "the files of all buckets of a cluster are in the default bucket's collections"),
    variable(Group::Store, "OMEGA_STORE_HASHEDNAMES", Some("true"), "name collections and files by the hash of the object's name"),
    variable(Group::Store, "OMEGA_TMP", None, "directory for temporary files; default: the system's"),
    variable(Group::Store, "OMEGA_VECTORDB_URL", Some("vector+mongodb://"), "vector database"),

    variable(Group::Runtime, "OMEGA_BROKER", None, "message broker of a cluster: amqp://user:password@host:port//"),
    variable(Group::Runtime, "OMEGA_RESULT_BACKEND", Some("rpc://"), "where a cluster's task results are kept"),
    variable(Group::Runtime, "OMEGA_LOCAL_RUNTIME", Some("false"), "run tasks in this process; like --local-runtime"),
    variable(Group::Runtime, "OMEGA_WORKER_LABEL", Some("default"), "label (queue) of tasks and workers"),
    variable(Group::Runtime, "OMEGA_WORKER_CONCURRENCY", Some("4"), "tasks that a worker runs at the same time; 0: one a CPU"),
    variable(Group::Runtime, "OMEGA_TASK_TIMEOUT", Some("1200"), "time limit of a task, in seconds"),
    variable(Group::Runtime, "OMEGA_TASK_ROUTING_ENABLED", Some("false"), "put the user id in front of labels"),
    variable(Group::Runtime, "OMEGA_PASSTHROUGH_MAX_SIZE", Some("10485760"), "largest data sent within a task, in bytes"),
    variable(Group::Runtime, "OMEGA_FORCE_PYTHON_CLIENT", None, "ask workers for plain Python results"),
    variable(Group::Runtime, "OMEGA_CELERY_CONFIG", None, "Celery settings, a mapping; OMEGA_CELERY_<X> sets its CELERY_<X>"),
    variable(Group::Runtime, "OMEGA_LOG_DATASET", Some(".omega/logs"), "data set that holds the runtime's log"),

    variable(Group::Server, "OMEGA_RESTAPI_URL", None, "REST API of a server; with user id and API key objects live there"),
    variable(Group::Server, "OMEGA_USERID", None, "user id at the server"),
    variable(Group::Server, "OMEGA_APIKEY", None, "API key at the server (secret)"),
    variable(Group::Server, "OMEGA_QUALIFIER", None, "account qualifier; selects a section of a qualified config.yml"),
    variable(Group::Server, "OMEGA_HUB_URL", None, "the hub"),
    variable(Group::Server, "OMEGA_APPHUB_URL", None, "the app hub"),
    variable(Group::Server, "OMEGA_RESTAPI_FILTER", Some(".*/.*/.*"), "what the REST API serves: <resource>/<name>/<action>, joined by ;"),
    variable(Group::Server, "OMEGA_SERVICES_INCLUSTER", Some("false"), "ask the hub for addresses within the cluster"),
    variable(Group::Server, "OMEGA_AUTH_ENV", Some("omegaml.client.auth.AuthenticationEnv"), "authentication of Python workers"),
    variable(Group::Server, "OMEGA_EVENTS_STREAMER", Some("inline"), "how the server streams events"),
    variable(Group::Server, "OMEGA_EVENTS_STREAMER_URL", Some("/events/chat/completions"), "where the server streams events"),
    variable(Group::Server, "OMEGA_CARDS_ENABLED", Some("false"), "model cards in the dashboard"),
    variable(Group::Server, "OMEGA_STATUS_CHECK", None, "run the status monitor in the server"),
    variable(Group::Server, "OMEGA_USESSL", Some("false"), "TLS to MongoDB and the broker"),

    variable(Group::Other, "OMEGA_LOGLEVEL", Some("WARNING"), "log level: ERROR, WARNING, INFO, DEBUG, TRACE; like --loglevel"),
    variable(Group::Other, "OMEGA_ALLOW_ENV_CONFIG", Some("true"), "whether OMEGA_* variables are settings at all"),
    variable(Group::Other, "OMEGA_STORE_CACHE", Some("false"), "cache of the Python client; om has none"),
    variable(Group::Other, "OMEGA_FRAMEWORKS", None, "frameworks that Python workers load"),
    variable(Group::Other, "OMEGA_DISABLE_FRAMEWORKS", None, "frameworks that Python workers leave out"),
    variable(Group::Other, "OMEGA_USER_EXTENSIONS", None, "extensions of Python workers, a mapping"),
    variable(Group::Other, "OMEGA_CUSTOM_LOADER", None, "loader of Python workers' extensions"),
    variable(Group::Other, "OMEGA_CELERY_IMPORTS", None, "task packages that Python workers load"),
    variable(Group::Other, "OMEGA_PYTHON", None, "Python for notebooks, models and scripts that need it; default: the active environment's, else python3"),
    variable(Group::Other, "OMEGA_BACKENDS", None, "programs that are backends, besides those called om-backend-* on the search path: a list, or paths with : between them"),
    variable(Group::Other, "OMEGA_BACKEND_MEMORY", None, "bytes of data that a process of a backend may have"),
    variable(Group::Other, "OMEGA_BACKEND_TIME", None, "seconds that a call of a backend may take"),
    variable(Group::Other, "OMEGA_BACKEND_PROCESSES", Some("16"), "processes of a backend at the same time"),
    variable(Group::Other, "OMEGA_DEBUG", None, "lets Python workers tell their settings"),
    variable(Group::Other, "OMEGA_TEST_MODE", None, "Python workers use the test database"),

    variable(Group::Platform, "MONGO_URL", None, "OMEGA_MONGO_URL, where nothing else sets it"),
    variable(Group::Platform, "RABBITMQ_URL", None, "OMEGA_BROKER, where nothing else sets it"),
    variable(Group::Platform, "CELERY_Q", None, "OMEGA_WORKER_LABEL, where nothing else sets it"),
    variable(Group::Platform, "CA_CERTS_PATH", None, "file of the certificate authorities to trust, with OMEGA_USESSL"),
    variable(Group::Platform, "NO_COLOR", None, "no colour, if set and not empty"),
    variable(Group::Platform, "CLICOLOR", None, "no colour, if 0"),
    variable(Group::Platform, "CLICOLOR_FORCE", None, "colour also off a terminal, if set and not 0"),
    variable(Group::Platform, "TERM", None, "no colour and no bars, if dumb"),
    variable(Group::Platform, "COLUMNS", None, "width of the terminal, where it does not tell"),
    variable(Group::Platform, "PATH", None, "where programs are searched"),
    variable(Group::Platform, "VIRTUAL_ENV", None, "active virtual environment, whose Python is used"),
    variable(Group::Platform, "CONDA_PREFIX", None, "active conda environment, whose Python is used"),
    variable(Group::Platform, "JUPYTER_PATH", None, "where kernels are searched before the usual places"),
    variable(Group::Platform, "LOGNAME", None, "user that experiments and logs name; else USER, else the list of users"),
    variable(Group::Platform, "USER", None, "user that experiments and logs name, where LOGNAME does not tell"),
    variable(Group::Platform, "HOSTNAME", None, "machine that experiments name; else the system's name for it"),
    variable(Group::Platform, "XDG_CONFIG_DIRS", Some("/etc/xdg"), "where site configuration is (Unix)"),
];

/// Platform variables that stand for a setting where nothing else sets it.
pub const ALIASES: &[(&str, &str)] = &[
    ("MONGO_URL", "OMEGA_MONGO_URL"),
    ("RABBITMQ_URL", "OMEGA_BROKER"),
    ("CELERY_Q", "OMEGA_WORKER_LABEL"),
];

/// Platform variables that take effect under their own name, among the settings.
pub const SHOWN: &[&str] = &["CA_CERTS_PATH"];

/// The variable of this name.
pub fn find(name: &str) -> Option<&'static Variable> {
    VARIABLES.iter().find(|variable| variable.name == name)
}

/// The value of a convention of the platform where no [`Environment`] is at hand; an empty
/// one counts as not set, as does one that is no text.
pub fn platform(name: &str) -> Option<String> {
    find(name).filter(|variable| variable.group == Group::Platform)?;
    env::var(name).ok().filter(|value| !value.is_empty())
}

/// The variables that matter, as they were when it was captured.
#[derive(Clone, Default)]
pub struct Environment {
    values: BTreeMap<String, String>,
    unreadable: Vec<String>,
}

impl Environment {
    /// Reads the process's environment.
    pub fn capture() -> Self {
        let mut environment = Environment::default();
        for (name, value) in env::vars_os() {
            let Some(name) = name.to_str() else { continue };
            if !name.starts_with("OMEGA_") && find(name).is_none() {
                continue;
            }
            match value.into_string() {
                Ok(value) => {
                    environment.values.insert(name.to_owned(), value);
                }
                Err(_) => environment.unreadable.push(name.to_owned()),
            }
        }
        environment
    }

    /// The value of a variable; an empty one counts as not set.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.values
            .get(name)
            .map(String::as_str)
            .filter(|value| !value.is_empty())
    }

    /// Whether a switch such as `OM_NO_PROGRESS` is on: set, and neither empty nor `0`.
    pub fn is_on(&self, name: &str) -> bool {
        self.get(name).is_some_and(|value| value != "0")
    }

    /// The variables that are settings, by name.
    pub fn settings(&self) -> impl Iterator<Item = (&str, &str)> {
        self.values
            .iter()
            .filter(|(name, value)| name.starts_with("OMEGA_") && !value.is_empty())
            .filter(|(name, _)| find(name).is_none_or(|variable| variable.group.is_setting()))
            .map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// Names of variables whose values are not UTF-8.
    pub fn unreadable(&self) -> &[String] {
        &self.unreadable
    }
}

/// An environment of these variables, for tests and for callers with settings of their own.
impl<N: Into<String>, V: Into<String>> FromIterator<(N, V)> for Environment {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(pairs: I) -> Self {
        Environment {
            values: pairs
                .into_iter()
                .map(|(name, value)| (name.into(), value.into()))
                .collect(),
            unreadable: Vec::new(),
        }
    }
}

impl std::fmt::Debug for Environment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.values.keys()).finish()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::path::Path;

    #[test]
    fn the_table_names_each_variable_once() {
        let mut names: Vec<_> = VARIABLES.iter().map(|variable| variable.name).collect();
        names.sort_unstable();
        let before = names.len();
        names.dedup();
        assert_eq!(before, names.len());
        for variable in VARIABLES {
            assert_eq!(
                variable.group.is_setting(),
                variable.name.starts_with("OMEGA_") && variable.name != "OMEGA_CONFIG_FILE"
            );
        }
    }

    /// Reading the environment elsewhere would make `om help environment` incomplete.
    #[test]
    fn nobody_else_reads_the_environment() {
        fn visit(folder: &Path, found: &mut Vec<String>) {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    visit(&path, found);
                } else if !path.ends_with("config/variables.rs") {
                    let text = std::fs::read_to_string(&path).unwrap();
                    let ways = ["env::var(", "env::var_os", "env::vars", "use std::env"];
                    if ways.iter().any(|way| text.contains(way)) {
                        found.push(path.display().to_string());
                    }
                }
            }
        }
        let mut found = Vec::new();
        visit(
            &Path::new(env!("CARGO_MANIFEST_DIR")).join("src"),
            &mut found,
        );
        assert_eq!(found, Vec::<String>::new());
    }

    #[test]
    fn program_variables_are_no_settings() {
        let environment: Environment = [
            ("OMEGA_CONFIG_FILE", "x"),
            ("OMEGA_BUCKET", "b"),
            ("OMEGA_MINE", "1"),
            ("OMEGA_TMP", ""),
        ]
        .into_iter()
        .collect();
        let names: Vec<_> = environment.settings().map(|(name, _)| name).collect();
        assert_eq!(names, ["OMEGA_BUCKET", "OMEGA_MINE"]);
    }
}
