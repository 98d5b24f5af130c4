//! Which of the three ways to run applies, and with what (see the table in README.md).

use super::layers::Effective;
use super::{Secret, StoreUrl, Url};
use crate::error::Result;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;

/// Where objects live and tasks run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Profile {
    /// A directory, this process.
    Embedded(StoreUrl),
    /// An omega|ml cluster.
    Cluster {
        /// MongoDB, for the objects.
        mongo: Url,
        /// The broker, for the tasks.
        broker: Option<Url>,
    },
    /// A server's REST API.
    Remote {
        /// Its base URL.
        url: Url,
        /// The user id.
        user: String,
        /// The API key.
        key: Secret,
    },
}

impl Profile {
    /// `embedded`, `cluster` or `remote`.
    pub fn kind(&self) -> &'static str {
        match self {
            Profile::Embedded(_) => "embedded",
            Profile::Cluster { .. } => "cluster",
            Profile::Remote { .. } => "remote",
        }
    }

    /// The setting that chose it.
    pub fn chosen_by(&self) -> &'static str {
        match self {
            Profile::Embedded(_) => "OMEGA_STORE_URL",
            Profile::Cluster { .. } => "OMEGA_MONGO_URL",
            Profile::Remote { .. } => "OMEGA_RESTAPI_URL",
        }
    }

    /// The setting of the strongest layer decides; within a layer a directory goes before
    /// a server, and a server before a cluster. A REST API without user and key is none.
    pub(super) fn decide(
        settings: &BTreeMap<String, Effective>,
        default_store: &Path,
    ) -> Result<Self> {
        let text = |name: &str| match &settings.get(name)?.value {
            Value::String(text) => Some(text.clone()),
            other => Some(other.to_string()),
        };
        let rank = |name: &str| settings.get(name).map(|effective| effective.rank);
        let store = text("OMEGA_STORE_URL").zip(rank("OMEGA_STORE_URL"));
        let mongo = text("OMEGA_MONGO_URL").zip(rank("OMEGA_MONGO_URL"));
        let remote = text("OMEGA_RESTAPI_URL").zip(rank("OMEGA_RESTAPI_URL"));
        let remote = match (remote, text("OMEGA_USERID"), text("OMEGA_APIKEY")) {
            (Some((url, rank)), Some(user), Some(key)) => Some((url, user, key, rank)),
            _ => None,
        };
        let remote_rank = remote.as_ref().map(|(.., rank)| *rank);
        let mongo_rank = mongo.as_ref().map(|(_, rank)| *rank);
        match (store, remote, mongo) {
            (Some((url, rank)), ..) if Some(rank) >= remote_rank && Some(rank) >= mongo_rank => {
                StoreUrl::parse(&url).map(Profile::Embedded)
            }
            (_, Some((url, user, key, rank)), _) if Some(rank) >= mongo_rank => {
                Ok(Profile::Remote {
                    url: Url::new(url),
                    user,
                    key: Secret::new(key),
                })
            }
            (.., Some((url, _))) => Ok(Profile::Cluster {
                mongo: Url::new(url),
                broker: text("OMEGA_BROKER").map(Url::new),
            }),
            _ => Ok(Profile::Embedded(StoreUrl::from_directory(default_store))),
        }
    }
}
