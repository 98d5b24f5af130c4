//! What tasks work on: the stores of one bucket, and models by name.

use super::batching::Batching;
use super::{Action, TaskCall};
use crate::access::Rights;
use crate::backends::SharedBackends;
use crate::error::{Context, Error, Result};
use crate::jobs::Jobs;
use crate::models::{self, Model};
use crate::progress::Progress;
use crate::scripts::Scripts;
use crate::storage::Metadata;
use crate::store::{Object, PutOptions, Store, Stored};
use moka::sync::Cache;
use polars::prelude::DataFrame;
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
    /// Who runs tasks on them.
    pub rights: Rights,
}

impl Objects {
    /// Whether whoever runs tasks may run this one.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Unauthorized`].
    pub(super) fn check_run(&self, call: &TaskCall) -> Result<()> {
        self.rights.check_run(call, &self.models.key("").bucket)
    }
}

/// The kind of models that run here.
pub(super) const RUNS_HERE: &str = "linfa.model";

/// Bytes of models that stay open.
const OPEN: u64 = 256 << 20;

/// Models that were opened, the most used ones, for as long as nothing newer is stored: a
/// stored version is never changed, and is part of what a model is found by.
#[derive(Clone)]
pub struct OpenModels {
    opened: Cache<String, Opened>,
    batching: Batching<(usize, Action)>,
}

/// A model and the bytes that it was read from.
#[derive(Clone)]
struct Opened {
    model: Arc<Model>,
    size: u32,
}

impl Default for OpenModels {
    fn default() -> Self {
        // A model in memory is about as large as its parameters are when stored.
        let weigh = |_: &String, opened: &Opened| opened.size;
        OpenModels {
            opened: Cache::builder().max_capacity(OPEN).weigher(weigh).build(),
            batching: Batching::default(),
        }
    }
}

/// The models store: a store that also opens models.
#[derive(Clone)]
pub struct Models {
    store: Store,
    open: OpenModels,
}

impl Deref for Models {
    type Target = Store;

    fn deref(&self) -> &Store {
        &self.store
    }
}

impl Models {
    /// The models in `store`; `open` are those of all its buckets that are open.
    pub fn new(store: Store, open: OpenModels) -> Self {
        Models { store, open }
    }

    /// Whether this process runs the model itself.
    pub fn runs_here(&self, name: &str) -> Result<bool> {
        Ok(self.metadata(name)?.kind == RUNS_HERE)
    }

    /// The model, for those that do not change it: one that was opened before is not read
    /// again. None for kinds that only another program can run.
    pub fn open(&self, name: &str) -> Result<Option<Arc<Model>>> {
        let metadata = self.metadata(name)?;
        match metadata.kind == RUNS_HERE {
            true => self.open_as(name, &metadata).map(Some),
            false => Ok(None),
        }
    }

    /// The model called `name`, whose metadata is known already.
    pub(super) fn open_as(&self, name: &str, metadata: &Metadata) -> Result<Arc<Model>> {
        let key = format!(
            "{} {} {:?} {:?} {}",
            metadata.key,
            metadata.id,
            metadata.content,
            metadata.gridfile,
            metadata.modified.timestamp_millis()
        );
        if let Some(opened) = self.open.opened.get(&key) {
            return Ok(opened.model);
        }
        let (model, size) = self.read(name, metadata)?;
        let opened = Opened {
            model: Arc::new(model),
            size: u32::try_from(size).unwrap_or(u32::MAX),
        };
        self.open.opened.insert(key, opened.clone());
        Ok(opened.model)
    }

    /// What a model that is open answers, each row for itself, to a table; together with what
    /// others ask of it meanwhile.
    pub(super) fn ask(
        &self,
        model: &Arc<Model>,
        action: Action,
        x: &DataFrame,
        work: impl Fn(&Model, &DataFrame) -> Result<DataFrame>,
    ) -> Result<DataFrame> {
        // Whoever waits holds the model, so that no other can be at its address.
        let key = (Arc::as_ptr(model) as usize, action);
        self.open.batching.run(&key, x, |x| work(model, x))
    }

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
        self.read(name, &self.metadata(name)?)
            .map(|(model, _)| model)
    }

    /// The model and the bytes that it is stored in.
    fn read(&self, name: &str, metadata: &Metadata) -> Result<(Model, usize)> {
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
        let model = Model::from_bytes(&bytes).map_err(|error| error.on(object))?;
        Ok((model, bytes.len()))
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
