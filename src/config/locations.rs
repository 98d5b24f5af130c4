//! Where configuration files and the default store are on this machine.

use super::variables::Environment;
use crate::error::{Error, Result};
use std::path::{Path, PathBuf};

/// The name that is searched for.
const CONFIG_FILE: &str = "config.yml";

/// The directories that matter; made by [`Locations::of_machine`] or by tests.
#[derive(Debug, Clone)]
pub struct Locations {
    /// The working directory; a configuration file is searched from it upwards.
    pub working: PathBuf,
    /// Site configuration directories, the strongest first.
    pub site: Vec<PathBuf>,
    /// The user's configuration directory.
    pub user: PathBuf,
    /// The user's data directory; the default store is in it.
    pub data: PathBuf,
}

impl Locations {
    /// The directories of this machine and user.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Failed`] when the user has no home directory or the working
    /// directory is gone.
    pub fn of_machine(environment: &Environment) -> Result<Self> {
        let working = std::env::current_dir().map_err(|error| {
            Error::failed("the working directory cannot be used").because(error)
        })?;
        let user = directories::ProjectDirs::from("", "", "omegaml").ok_or_else(|| {
            Error::failed("there is no home directory for configuration and data").hint("set HOME")
        })?;
        Ok(Locations {
            working,
            site: site_directories(environment),
            user: user.config_dir().to_owned(),
            data: user.data_dir().to_owned(),
        })
    }

    /// The default directory of the embedded store.
    pub fn default_store(&self) -> PathBuf {
        self.data.join("store")
    }

    /// The user's configuration file, whether or not it exists.
    pub fn user_file(&self) -> PathBuf {
        self.user.join(CONFIG_FILE)
    }

    /// The file of named profiles, whether or not it exists.
    pub fn profiles_file(&self) -> PathBuf {
        self.user.join("profiles.yml")
    }

    /// The site's configuration file, if there is one.
    pub fn site_file(&self) -> Option<PathBuf> {
        self.site
            .iter()
            .map(|folder| folder.join(CONFIG_FILE))
            .find(|path| path.exists())
    }

    /// The project's configuration file: the nearest from the working directory upwards.
    pub fn project_file(&self) -> Option<PathBuf> {
        self.upwards(CONFIG_FILE)
    }

    /// The file that `name` asks for: a path, else a name searched upwards, then in the
    /// user's and the site's directories, as omega|ml does.
    ///
    /// # Errors
    /// [`crate::ErrorKind::NotFound`] when there is none.
    pub fn named_file(&self, name: &str, asked_by: &str) -> Result<PathBuf> {
        let direct = self.working.join(name);
        if direct.exists() {
            return Ok(direct);
        }
        let elsewhere = || {
            if Path::new(name).is_absolute() {
                return None;
            }
            let mut folders = std::iter::once(&self.user).chain(&self.site);
            self.upwards(name).or_else(|| {
                folders.find_map(|folder| Some(folder.join(name)).filter(|path| path.is_file()))
            })
        };
        elsewhere().ok_or_else(|| {
            Error::not_found(format!("there is no configuration file \"{name}\""))
                .on(direct.display().to_string())
                .hint(format!(
                    "{asked_by} asks for it; give the path of a file that exists"
                ))
        })
    }

    fn upwards(&self, name: &str) -> Option<PathBuf> {
        self.working
            .ancestors()
            .map(|folder| folder.join(name))
            .find(|path| path.is_file())
    }
}

fn site_directories(environment: &Environment) -> Vec<PathBuf> {
    if cfg!(target_os = "macos") {
        return vec![PathBuf::from("/Library/Application Support/omegaml")];
    }
    if cfg!(windows) {
        return vec![PathBuf::from(r"C:\ProgramData\omegaml")];
    }
    environment
        .get("XDG_CONFIG_DIRS")
        .unwrap_or("/etc/xdg")
        .split(':')
        .filter(|folder| folder.starts_with('/'))
        .map(|folder| Path::new(folder).join("omegaml"))
        .collect()
}
