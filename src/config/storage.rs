//! Where objects live, as the settings say it: what it takes to open the storage, and
//! nothing of how a storage works (spec/storage.md §1).

use super::{Config, Profile, StoreUrl, Url};
use crate::error::{Error, Result};
use std::path::PathBuf;
use std::time::Duration;

/// The storage of the profile in use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StorageSettings {
    /// The embedded store in a directory.
    Directory(StoreUrl),
    /// The database of an omega|ml cluster.
    Mongo(MongoSettings),
}

/// What it takes to reach an omega|ml database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MongoSettings {
    /// `OMEGA_MONGO_URL`.
    pub url: Url,
    /// `OMEGA_USESSL`: TLS on the connection.
    pub tls: bool,
    /// `CA_CERTS_PATH`: whom to trust; counts with TLS only.
    pub ca_file: Option<PathBuf>,
    /// `OMEGA_MONGO_TIMEOUT`: the limit for connecting and for finding a server.
    pub timeout: Duration,
    /// `OMEGA_BUCKET_FS_LEGACY`: the files of all buckets are in one GridFS.
    pub legacy_buckets: bool,
    /// `OMEGA_MONGO_COLLECTION`: the name of the default bucket.
    pub default_bucket: String,
}

impl Config {
    /// Where objects live.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Usage`] when the profile's storage is not in this version.
    pub fn storage(&self) -> Result<StorageSettings> {
        match &self.profile {
            Profile::Embedded(url) => Ok(StorageSettings::Directory(url.clone())),
            Profile::Cluster { mongo, .. } => Ok(StorageSettings::Mongo(MongoSettings {
                url: mongo.clone(),
                tls: self.is_on("OMEGA_USESSL"),
                ca_file: self.text("CA_CERTS_PATH").map(PathBuf::from),
                timeout: self.typed.mongo_timeout,
                legacy_buckets: self.is_on("OMEGA_BUCKET_FS_LEGACY"),
                default_bucket: self.default_bucket.clone(),
            })),
            Profile::Remote { url, .. } => {
                let setting = self.profile.chosen_by();
                let origin = self
                    .origin(setting)
                    .map(|origin| format!(", from {origin}"))
                    .unwrap_or_default();
                Err(
                    Error::usage("objects on a server are not in this version yet")
                        .on(format!("{url} ({setting}{origin})"))
                        .hint(
                            "use a store in a directory: --store DIR, or an omega|ml database: \
                             OMEGA_MONGO_URL",
                        ),
                )
            }
        }
    }

    /// The same settings for who has no time: no server is waited for longer than `limit`.
    pub fn in_a_hurry(mut self, limit: Duration) -> Self {
        self.typed.mongo_timeout = self.typed.mongo_timeout.min(limit);
        self
    }
}
