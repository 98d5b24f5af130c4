//! Where tasks are queued, as the settings say it: what it takes to open the broker, and
//! nothing of how a broker works (spec/runtime.md §1).

use super::storage::{MongoSettings, StorageSettings};
use super::{Config, Profile, StoreUrl, Url};
use crate::error::{Error, Result};
use std::path::PathBuf;

/// The broker of the profile in use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BrokerSettings {
    /// The queue in the embedded store's directory.
    Directory(StoreUrl),
    /// RabbitMQ.
    Amqp(AmqpSettings),
}

/// What it takes to reach a broker that speaks AMQP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AmqpSettings {
    /// `OMEGA_BROKER`.
    pub url: Url,
    /// `OMEGA_USESSL`: TLS on the connection, whatever the URL's scheme.
    pub tls: bool,
    /// `CA_CERTS_PATH`: whom to trust; counts with TLS only.
    pub ca_file: Option<PathBuf>,
}

impl Config {
    /// The database in which results are kept for whoever shares them there, if the cluster
    /// does so (`OMEGA_RESULT_BACKEND`). What a URL leaves out is that of the objects'.
    pub fn result_backend(&self) -> Result<Option<MongoSettings>> {
        let celery = self
            .value("OMEGA_CELERY_CONFIG")
            .and_then(|settings| settings.get("CELERY_RESULT_BACKEND")?.as_str());
        let url = celery
            .map(str::to_owned)
            .or_else(|| self.text("OMEGA_RESULT_BACKEND"))
            .filter(|url| url.starts_with("mongodb://"));
        let (Some(url), StorageSettings::Mongo(mut settings)) = (url, self.storage()) else {
            return Ok(None);
        };
        let place = url.trim_start_matches("mongodb://");
        let place = place.split('?').next().unwrap_or_default();
        let place = place.rsplit('@').next().unwrap_or_default();
        if place
            .split_once('/')
            .is_some_and(|(_, database)| !database.is_empty())
        {
            settings.url = Url::new(url);
        }
        Ok(Some(settings))
    }

    /// Where tasks are queued. A store in a directory has its queue beside it, whatever
    /// `OMEGA_BROKER` says: a cluster's workers do not see the directory.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Usage`] when the profile has no broker.
    pub fn broker(&self) -> Result<BrokerSettings> {
        match self.profile() {
            Profile::Embedded(url) => Ok(BrokerSettings::Directory(url.clone())),
            Profile::Cluster { broker, .. } => {
                // Celery's own settings go before omega|ml's, as they do there.
                let celery = self
                    .value("OMEGA_CELERY_CONFIG")
                    .and_then(|settings| settings.get("BROKER_URL")?.as_str())
                    .map(Url::new);
                Ok(BrokerSettings::Amqp(AmqpSettings {
                    url: celery.or_else(|| broker.clone()).ok_or_else(|| {
                        // omega|ml's default has a password that everybody knows.
                        Error::usage("this profile has no broker, so it has no workers")
                            .on("OMEGA_BROKER")
                            .hint("om config set OMEGA_BROKER - (amqp://user:password@host:5672//)")
                    })?,
                    tls: self.is_on("OMEGA_USESSL"),
                    ca_file: self.text("CA_CERTS_PATH").map(PathBuf::from),
                }))
            }
            Profile::Remote { url, .. } => Err(Error::usage(
                "a server keeps its broker and its workers to itself",
            )
            .on(url.to_string())
            .hint(
                "run this where the server runs, or with the profile of its cluster: \
                 OMEGA_MONGO_URL and OMEGA_BROKER",
            )),
        }
    }
}
