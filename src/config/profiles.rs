//! Named profiles: settings under a name in the user's `profiles.yml`, one of which may
//! be current. `default` is the name of having none.
//!
//! ```yaml
//! current: production
//! profiles:
//!   production:
//!     OMEGA_MONGO_URL: mongodb://user:password@db.example.com/omega
//!     OMEGA_BROKER: amqp://user:password@mq.example.com//
//! ```

use super::file;
use crate::error::{Error, ErrorKind, Result, nearest};
use serde_json::{Map, Value};
use std::path::{Path, PathBuf};

/// The name that stands for no profile.
pub const NO_PROFILE: &str = "default";

/// The content of the profiles file.
#[derive(Clone, Default)]
pub struct Profiles {
    path: PathBuf,
    current: Option<String>,
    profiles: Map<String, Value>,
}

impl Profiles {
    /// Reads the file; a missing one has no profiles.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] when it is malformed.
    pub fn read(path: &Path) -> Result<Self> {
        let text = match file::read(path) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => String::new(),
            Err(error) => return Err(error),
        };
        let invalid = |message: String| Error::invalid(message).on(path.display().to_string());
        let mut document = file::parse(&text, path)?;
        let profiles = match document.remove("profiles") {
            None | Some(Value::Null) => Map::new(),
            Some(Value::Object(profiles)) => profiles,
            Some(_) => return Err(invalid("\"profiles\" is not a mapping".to_owned())),
        };
        if let Some((name, _)) = profiles
            .iter()
            .find(|(_, value)| !value.is_object() && !value.is_null())
        {
            return Err(invalid(format!(
                "profile \"{name}\" is not a mapping of settings"
            )));
        }
        let current = match document.remove("current") {
            None | Some(Value::Null) => None,
            Some(Value::String(name)) if name == NO_PROFILE => None,
            Some(Value::String(name)) => Some(name),
            Some(_) => return Err(invalid("\"current\" is not a name".to_owned())),
        };
        Ok(Profiles {
            path: path.to_owned(),
            current,
            profiles,
        })
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The name of the current profile, if one was chosen by `om config use`.
    pub fn current(&self) -> Option<&str> {
        self.current.as_deref()
    }

    /// The names of the profiles, in the order of the file.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.profiles.keys().map(String::as_str)
    }

    /// The settings of a profile.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] when there is no such profile.
    pub fn settings(&self, name: &str) -> Result<Map<String, Value>> {
        match self.profiles.get(name) {
            Some(Value::Object(settings)) => Ok(settings.clone()),
            Some(_) => Ok(Map::new()),
            None => {
                let hint = match nearest(name, self.names()) {
                    Some(near) => format!("did you mean `{near}`? see: om config profiles"),
                    None => format!("make it with: om config set NAME VALUE --profile {name}"),
                };
                Err(Error::not_found(format!("there is no profile \"{name}\""))
                    .on(self.path.display().to_string())
                    .hint(hint))
            }
        }
    }

    /// Makes `name` the current profile, or none with [`NO_PROFILE`].
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] when there is no such profile.
    pub fn choose(&mut self, name: &str) -> Result<()> {
        self.current = match name {
            NO_PROFILE => None,
            _ => {
                self.settings(name)?;
                Some(name.to_owned())
            }
        };
        Ok(())
    }

    /// Sets a setting of a profile, which is made if it is missing.
    pub fn set(&mut self, profile: &str, setting: &str, value: Value) {
        let entry = self
            .profiles
            .entry(profile)
            .or_insert_with(|| Value::Object(Map::new()));
        match entry {
            Value::Object(settings) => {
                settings.insert(setting.to_owned(), value);
            }
            other => *other = Value::Object(Map::from_iter([(setting.to_owned(), value)])),
        }
    }

    /// Removes a setting of a profile; whether it was there. A profile goes with its last
    /// setting.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] when there is no such profile.
    pub fn unset(&mut self, profile: &str, setting: &str) -> Result<bool> {
        let mut settings = self.settings(profile)?;
        let was = settings.shift_remove(setting).is_some();
        if settings.is_empty() {
            self.profiles.shift_remove(profile);
            if self.current.as_deref() == Some(profile) {
                self.current = None;
            }
        } else {
            self.profiles
                .insert(profile.to_owned(), Value::Object(settings));
        }
        Ok(was)
    }

    /// Writes the file in one step, readable by the user only.
    ///
    /// # Errors
    /// [`ErrorKind::Failed`] when it cannot be written.
    pub fn write(&self) -> Result<()> {
        let mut document = Map::new();
        if let Some(current) = &self.current {
            document.insert("current".to_owned(), Value::String(current.clone()));
        }
        document.insert("profiles".to_owned(), Value::Object(self.profiles.clone()));
        let text = serde_yaml_ng::to_string(&document)
            .map_err(|error| Error::failed("cannot write the profiles").because(error))?;
        super::edit::write(&self.path, &text)
    }
}
