//! The store behind a command, and what completion may offer of it.

use super::Session;
use super::completion::{self, Lister};
use crate::broker::{self, Broker};
use crate::config::{Config, Profile};
use crate::error::Result;
use crate::omega::Omega;
use crate::progress::Progress;
use crate::runtime::{Action, Runtime};
use crate::storage::Metadata;
use crate::store::{Listing, kinds};
use clap_complete::engine::ArgValueCompleter;
use std::sync::Arc;

impl Session {
    /// The objects of the bucket that was asked for.
    ///
    /// # Errors
    /// What is wrong with the settings; that the profile cannot be used by this version.
    pub fn omega(&self) -> Result<Omega> {
        Omega::open(self.config()?, self.progress())
    }

    /// What runs tasks that one waits for: the server that the objects are behind, the
    /// workers of a cluster that has some, or of the label that is asked for; else this
    /// process.
    pub fn runtime(&self, om: &Omega, label: Option<&str>) -> Result<Box<dyn Runtime>> {
        let config = self.config()?;
        let has_workers = matches!(
            config.profile(),
            Profile::Remote { .. }
                | Profile::Cluster {
                    broker: Some(_),
                    ..
                }
        );
        let elsewhere = label.map_or(has_workers, |label| label != "local");
        match elsewhere && !config.local_runtime() {
            true => self.workers(om),
            false => Ok(Box::new(om.local_runtime())),
        }
    }

    /// What sends tasks to workers, and keeps the book of them.
    pub fn workers(&self, om: &Omega) -> Result<Box<dyn Runtime>> {
        Ok(match om.remote_runtime() {
            Some(remote) => Box::new(remote),
            None => Box::new(om.queue_runtime(self.broker()?, &self.config()?.worker_label())),
        })
    }

    /// The broker of the profile, for a client: one bounded attempt to reach it.
    pub fn broker(&self) -> Result<Arc<dyn Broker>> {
        let options = broker::Options {
            progress: self.progress(),
            ..broker::Options::default()
        };
        let opened = broker::open(&self.config()?.broker()?, options)?;
        Ok(Arc::from(opened))
    }

    /// Progress as the library wants it.
    pub fn progress(&self) -> Arc<dyn Progress> {
        Arc::new(self.progress.clone())
    }
}

fn names(config: &Config, noun: &str, start: &str) -> Result<Vec<String>> {
    let om = Omega::open(config, Arc::new(crate::progress::Silent))?;
    let Some(store) = om.store(noun) else {
        return Ok(Vec::new());
    };
    let found = store.list(&Listing {
        hidden: start.starts_with('.'),
        temporary: start.starts_with('_'),
        ..Listing::default()
    })?;
    Ok(found
        .into_iter()
        .map(|metadata| metadata.key.name)
        .collect())
}

const DATASETS: Lister = |config, start| names(config, "datasets", start);
const JOBS: Lister = |config, start| names(config, "jobs", start);
const SCRIPTS: Lister = |config, start| names(config, "scripts", start);
const MODELS: Lister = |config, start| names(config, "models", start);
const COLUMNS: Lister = |config, name| {
    let om = Omega::open(config, Arc::new(crate::progress::Silent))?;
    let metadata: Metadata = om.datasets.metadata(name)?;
    Ok(om
        .datasets
        .columns(&metadata)
        .into_iter()
        .map(|(name, _)| name)
        .collect())
};

/// Names of data sets, and their columns within `[…]`.
pub fn datasets() -> ArgValueCompleter {
    completion::frames(DATASETS, COLUMNS)
}

/// Names of jobs.
pub fn jobs() -> ArgValueCompleter {
    completion::objects(JOBS)
}

/// Names of scripts.
pub fn scripts() -> ArgValueCompleter {
    completion::objects(SCRIPTS)
}

/// Names of models.
pub fn models() -> ArgValueCompleter {
    completion::objects(MODELS)
}

/// Names in the store that the command line is about.
pub fn objects() -> ArgValueCompleter {
    const HERE: Lister = |config, start| {
        let noun = completion::words()
            .into_iter()
            .find(|word| crate::store::PREFIXES.iter().any(|(noun, _)| noun == word));
        names(config, noun.as_deref().unwrap_or("datasets"), start)
    };
    completion::objects(HERE)
}

/// Columns of the data set that the command line names.
pub fn columns() -> ArgValueCompleter {
    completion::columns(COLUMNS)
}

/// Kinds of object.
pub fn kind_names() -> ArgValueCompleter {
    completion::values(|| {
        kinds::names()
            .map(|kind| (kind.to_owned(), String::new()))
            .collect()
    })
}

/// Specifications of models.
pub fn estimators() -> ArgValueCompleter {
    completion::values(|| {
        crate::models::entries()
            .map(|entry| (entry.name.to_owned(), entry.summary.to_owned()))
            .collect()
    })
}

/// Actions of models.
pub fn actions() -> ArgValueCompleter {
    completion::values(|| {
        Action::ALL
            .iter()
            .map(|(name, _)| ((*name).to_owned(), String::new()))
            .collect()
    })
}
