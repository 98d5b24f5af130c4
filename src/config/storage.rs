//! Where objects live, as the settings say it: what it takes to open the storage, and
//! nothing of how a storage works (spec/storage.md §1).

use super::{Config, Profile, Secret, StoreUrl, Url};
use std::path::PathBuf;
use std::time::Duration;

/// The storage of the profile in use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StorageSettings {
    /// The embedded store in a directory.
    Directory(StoreUrl),
    /// The database of an omega|ml cluster.
    Mongo(MongoSettings),
    /// A server.
    Remote(RemoteSettings),
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

/// What it takes to reach a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemoteSettings {
    /// `OMEGA_RESTAPI_URL`.
    pub url: Url,
    /// `OMEGA_USERID`.
    pub user: String,
    /// `OMEGA_APIKEY`.
    pub key: Secret,
    /// `OMEGA_QUALIFIER`.
    pub qualifier: Option<String>,
    /// `CA_CERTS_PATH`: whom to trust, instead of whom the system trusts.
    pub ca_file: Option<PathBuf>,
    /// The limit for connecting.
    pub timeout: Duration,
    /// What the default bucket is called here.
    pub default_bucket: String,
}

impl Config {
    /// Where objects live.
    pub fn storage(&self) -> StorageSettings {
        match &self.profile {
            Profile::Embedded(url) => StorageSettings::Directory(url.clone()),
            Profile::Cluster { mongo, .. } => StorageSettings::Mongo(MongoSettings {
                url: mongo.clone(),
                tls: self.is_on("OMEGA_USESSL"),
                ca_file: self.text("CA_CERTS_PATH").map(PathBuf::from),
                timeout: self.typed.mongo_timeout,
                legacy_buckets: self.is_on("OMEGA_BUCKET_FS_LEGACY"),
                default_bucket: self.default_bucket.clone(),
            }),
            Profile::Remote { url, user, key } => StorageSettings::Remote(RemoteSettings {
                url: url.clone(),
                user: user.clone(),
                key: key.clone(),
                qualifier: self.text("OMEGA_QUALIFIER"),
                ca_file: self.text("CA_CERTS_PATH").map(PathBuf::from),
                timeout: self.typed.mongo_timeout,
                default_bucket: self.default_bucket.clone(),
            }),
        }
    }

    /// The same settings for who has no time: no server is waited for longer than `limit`.
    pub fn in_a_hurry(mut self, limit: Duration) -> Self {
        self.typed.mongo_timeout = self.typed.mongo_timeout.min(limit);
        self
    }
}
