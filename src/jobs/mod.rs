//! Jobs: notebooks and scripts that run, by hand, as tasks, or when they are due.

mod cells;
mod export;
mod kernel;
mod notebook;
mod parameters;
mod render;
mod run;
pub mod schedule;
mod scheduler;
mod spread;
mod triggers;

pub use export::{Form, export};
pub(crate) use kernel::end as end_process;
pub use notebook::{Cell, CellKind, Notebook, joined};
pub use render::render;
pub use run::{JobRun, RunOptions};
pub use scheduler::{Due, Missed, Scheduler, pause};
pub use triggers::{Trigger, TriggerState};

use crate::config::interpreter::Python;
use crate::error::{Context, Error, Result};
use crate::storage::Metadata;
use crate::store::{Object, PutMode, PutOptions, Store, Stored, notebook_name};
use bson::{Bson, Document};
use schedule::{Schedule, Zone};
use std::io::Read;
use std::ops::Deref;
use std::path::Path;
use std::sync::Arc;

/// The largest notebook that is opened.
const MOST: u64 = 64 << 20;

/// Where results are.
pub const RESULTS: &str = "results/";

/// The jobs store: a store that also runs what it holds.
#[derive(Clone)]
pub struct Jobs {
    store: Store,
    python: Python,
    env: Arc<[(String, String)]>,
}

impl Deref for Jobs {
    type Target = Store;

    fn deref(&self) -> &Store {
        &self.store
    }
}

impl Jobs {
    /// The jobs in `store`; what runs them may need `python`, and is told `env`.
    pub fn new(store: Store, python: Python, env: Arc<[(String, String)]>) -> Self {
        Jobs { store, python, env }
    }

    /// Reads a file: a notebook, or a script, which becomes a notebook of one cell.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Invalid`] when it is neither.
    pub fn read(path: &Path) -> Result<Notebook> {
        let shown = path.display().to_string();
        let size = std::fs::metadata(path)
            .context(|| format!("cannot read {shown}"))?
            .len();
        if size > MOST {
            return Err(
                Error::invalid(format!("the notebook has more than {} MB", MOST >> 20)).on(shown),
            );
        }
        let bytes = std::fs::read(path).context(|| format!("cannot read {shown}"))?;
        let script = |kernel| match std::str::from_utf8(&bytes) {
            Ok(source) => Ok(Notebook::of_source(source, Some(kernel))),
            Err(_) => Err(Error::invalid("the script is not UTF-8 text").on(shown.clone())),
        };
        match path.extension().and_then(|end| end.to_str()) {
            Some("py") => script(("python", "python")),
            Some("sh") => script(("sh", "sh")),
            _ => Notebook::parse(&bytes).map_err(|error| error.on(shown)),
        }
    }

    /// Stores a notebook. A configuration cell sets the job's configuration, and its
    /// schedule where it has one; what is to be said about how that was read is answered.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Invalid`] for a configuration that is none.
    pub fn put_notebook(
        &self,
        name: &str,
        notebook: &Notebook,
        options: &PutOptions,
    ) -> Result<(Metadata, Option<String>)> {
        let name = notebook_name(name);
        let configured = notebook
            .configuration()
            .map(|text| configuration(&text))
            .transpose();
        let configured = configured.map_err(|error| error.on(format!("jobs/{name}")))?;
        let mut options = options.clone();
        let mut scheduled = None;
        if let Some(mut fields) = configured {
            let mut config = match self.store.exists(&name)? && options.mode != PutMode::Replace {
                true => document(&self.store.metadata(&name)?.attributes, "config"),
                false => Document::new(),
            };
            let run_at = ["schedule", "cron", "run-at"]
                .into_iter()
                .filter_map(|key| fields.get_str(key).ok())
                .next_back();
            if let Some(text) = run_at.map(str::to_owned) {
                let zone = Zone::parse(fields.get_str("timezone").ok())?;
                let (schedule, note) = Schedule::parse(&text, zone)
                    .map_err(|error| error.on(format!("jobs/{name}")))?;
                fields.insert("run-at", schedule.text());
                scheduled = (!name.starts_with("results")).then_some((schedule, note));
            }
            config.extend(fields);
            options.attributes.insert("config", config);
        }
        let metadata = self
            .store
            .put(&name, Object::Notebook(notebook.to_bytes()), &options)?;
        match scheduled {
            Some((schedule, note)) => {
                Ok((self.schedule(&name, &schedule, chrono::Utc::now())?, note))
            }
            None => Ok((metadata, None)),
        }
    }

    /// The notebook of a job.
    ///
    /// # Errors
    /// [`crate::ErrorKind::NotFound`]; [`crate::ErrorKind::Invalid`] when it is none.
    pub fn notebook(&self, name: &str) -> Result<Notebook> {
        let metadata = self.store.metadata(name)?;
        let object = metadata.key.to_string();
        let Stored::File(mut blob) = self.store.get(&metadata.key.name)? else {
            return Err(
                Error::invalid(format!("{object} is a {}, not a notebook", metadata.kind))
                    .on(object),
            );
        };
        if blob.length() > MOST {
            return Err(
                Error::invalid(format!("the notebook has more than {} MB", MOST >> 20)).on(object),
            );
        }
        let mut bytes = Vec::new();
        blob.read_to_end(&mut bytes)
            .context(|| "cannot read the notebook")
            .map_err(|error| error.on(&object))?;
        Notebook::parse(&bytes).map_err(|error| error.on(object))
    }

    /// Why the last run of a job failed; none if it did not.
    ///
    /// # Errors
    /// [`crate::ErrorKind::NotFound`].
    pub fn last_run(&self, name: &str) -> Result<Option<String>> {
        let metadata = self.store.metadata(name)?;
        let runs = metadata.attributes.get_array("job_runs").ok();
        let last = runs.and_then(|runs| runs.last()?.as_document());
        let failed = last.filter(|run| run.get_str("status").is_ok_and(|status| status == "ERROR"));
        Ok(failed.map(|run| {
            let message = run.get_str("message").unwrap_or_default();
            // Short ones are told twice.
            let half = message
                .get(..message.len().saturating_sub(3) / 2)
                .unwrap_or(message);
            let told_twice = message
                .strip_prefix(half)
                .is_some_and(|rest| rest.strip_prefix("...") == Some(half));
            if told_twice { half } else { message }.to_owned()
        }))
    }

    /// The Python that runs what only Python can.
    pub fn python(&self) -> &Python {
        &self.python
    }
}

/// The fields of a configuration cell.
fn configuration(text: &str) -> Result<Document> {
    let value: serde_json::Value = serde_yaml_ng::from_str(text)
        .map_err(|error| Error::invalid("the configuration cell is not YAML").because(error))?;
    let inner = value.get("omega-ml").cloned().unwrap_or(value);
    match crate::store::value_to_bson(inner) {
        Bson::Document(fields) => Ok(fields),
        Bson::Null => Ok(Document::new()),
        _ => Err(Error::invalid("the configuration cell holds no fields")
            .hint("it looks like `# omega-ml:` and `#    schedule: daily, at 06:00`")),
    }
}

/// A document within another; empty if there is none.
fn document(parent: &Document, field: &str) -> Document {
    parent.get_document(field).cloned().unwrap_or_default()
}

/// Local wall-clock time as BSON has it: labelled UTC, as omega|ml does.
fn wall_date(wall: chrono::NaiveDateTime) -> Bson {
    Bson::DateTime(bson::DateTime::from_millis(
        wall.and_utc().timestamp_millis(),
    ))
}
