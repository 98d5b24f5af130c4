//! What tasks work on: the stores of one bucket, and models by name.

use crate::backends::SharedBackends;
use crate::error::{Context, Error, Result};
use crate::jobs::Jobs;
use crate::models::{self, Model};
use crate::progress::Progress;
use crate::scripts::Scripts;
use crate::storage::Metadata;
use crate::store::{Object, PutOptions, Store, Stored};
use std::io::Read;
use std::ops::Deref;
use std::sync::Arc;

/// The objects that tasks read and write.
#[derive(Clone)]
pub struct Objects {
    /// Data sets.
    pub datasets: Store,
    /// Models.
    pub models: Models,
    /// Jobs.
    pub jobs: Jobs,
    /// Scripts.
    pub scripts: Scripts,
    /// Programs that run what this one cannot.
    pub backends: SharedBackends,
    /// How long work is shown.
    pub progress: Arc<dyn Progress>,
}

/// The kind of models that run here.
pub(super) const RUNS_HERE: &str = "linfa.model";

/// The models store: a store that also opens models.
#[derive(Clone)]
pub struct Models(Store);

impl From<Store> for Models {
    fn from(store: Store) -> Self {
        Models(store)
    }
}

impl Deref for Models {
    type Target = Store;

    fn deref(&self) -> &Store {
        &self.0
    }
}

impl Models {
    /// Stores a model; attributes of a model of this name are kept.
    pub fn save(&self, name: &str, model: &Model, options: &PutOptions) -> Result<Metadata> {
        let object = Object::Model {
            bytes: model.to_bytes()?,
            kind_meta: model_facts(model)?,
        };
        self.put(name, object, options)
    }

    /// Opens a model.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Invalid`] when it is of a kind that only another program can run.
    pub fn load(&self, name: &str) -> Result<Model> {
        let metadata = self.metadata(name)?;
        let object = metadata.key.to_string();
        if metadata.kind != RUNS_HERE {
            return Err(Error::invalid(format!(
                "{object} is a {}, which this version cannot run",
                metadata.kind
            ))
            .on(object));
        }
        let Stored::File(mut blob) = self.get(name)? else {
            return Err(Error::corrupt("the model has no content").on(object));
        };
        let mut bytes = Vec::new();
        blob.read_to_end(&mut bytes)
            .context(|| "cannot read the model")
            .map_err(|error| error.on(&object))?;
        Model::from_bytes(&bytes).map_err(|error| error.on(object))
    }
}

/// What the metadata says of a model, so that listings need not open it.
fn model_facts(model: &Model) -> Result<bson::Document> {
    Ok(bson::doc! {
        "spec": model.spec(),
        "role": format!("{:?}", model.role()?).to_lowercase(),
        "trained": model.is_trained(),
        "format": i32::from(models::FORMAT),
        "library": env!("CARGO_PKG_VERSION"),
    })
}
