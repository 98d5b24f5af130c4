//! One job for many parameters: a copy of its notebook for each, as omega|ml's `map` makes
//! them (spec/runtime.md §9).

use super::{Jobs, Notebook, parameters};
use crate::error::Result;
use crate::storage::{Metadata, Update};
use crate::store::{Listing, NOTEBOOK, Object, PutMode, PutOptions, notebook_name};
use bson::{Bson, doc};
use serde_json::{Value, json};

/// Where the copies are.
const TASKS: &str = "tasks/";

/// The variable by which a copy knows what it is for.
const VARIABLE: &str = "_jobdata";

/// Notebooks that keep omega|ml's folders, and what they hold.
const PLACEHOLDERS: [&str; 3] = ["tasks/", "results/", "results/tasks/"];

impl Jobs {
    /// Makes a copy of the job for each of `parameters`. It begins with `_jobdata`, as which
    /// it knows its parameter as `param`; where that is an object, its fields are set as the
    /// notebook's parameters, too.
    ///
    /// # Errors
    /// [`crate::ErrorKind::NotFound`]; [`crate::ErrorKind::Usage`] for parameters that the
    /// notebook's language has no names for, before anything is made.
    pub fn spread(&self, name: &str, parameters: &[Value]) -> Result<Vec<Metadata>> {
        let metadata = self.metadata(name)?;
        let object = metadata.key.to_string();
        let source = self.notebook(&metadata.key.name)?;
        let base = bare(&metadata.key.name);
        let group = format!("{:08x}", rand::random::<u32>());
        let copies = parameters
            .iter()
            .enumerate()
            .map(|(number, parameter)| {
                let task = format!("{TASKS}{base}/{group}-{number}");
                let about = json!({
                    "param": parameter, "job_id": number, "task_group": &group, "task_name": &task,
                });
                Ok((task, copy(&source, parameter, &about)?, about))
            })
            .collect::<Result<Vec<_>>>()
            .map_err(|error| error.on(&object))?;
        for folder in PLACEHOLDERS {
            self.keep_folder(folder)?;
        }
        copies
            .into_iter()
            .map(|(task, notebook, mut about)| {
                if let Some(about) = about.as_object_mut() {
                    about.insert("status".to_owned(), "pending".into());
                }
                let options = PutOptions {
                    mode: PutMode::Create,
                    attributes: doc! { "job": crate::store::value_to_bson(about) },
                    ..PutOptions::default()
                };
                let object = Object::Notebook(notebook.to_bytes());
                self.put(&notebook_name(&task), object, &options)
            })
            .collect()
    }

    /// The copies of a job that have left no result, of all groups or of one.
    ///
    /// # Errors
    /// [`crate::ErrorKind::NotFound`].
    pub fn unfinished(&self, name: &str, group: Option<&str>) -> Result<Vec<Metadata>> {
        let base = bare(&self.metadata(name)?.key.name).to_owned();
        let listing = Listing {
            pattern: Some(format!("{TASKS}*")),
            ..Listing::default()
        };
        let start = format!("{TASKS}{base}/{}", group.unwrap_or_default());
        let mut copies = self.list(&listing)?;
        copies.retain(|copy| {
            let results = copy.attributes.get_array("job_results");
            copy.name().starts_with(&start)
                && copy.attributes.contains_key("job")
                && results.map_or(true, Vec::is_empty)
        });
        copies.sort_by_cached_key(|copy| {
            let job = copy.attributes.get_document("job").ok();
            job.map(|job| {
                let group = job.get_str("task_group").unwrap_or_default();
                (group.to_owned(), number(job.get("job_id")))
            })
        });
        Ok(copies)
    }

    /// Enters the task that runs a copy.
    ///
    /// # Errors
    /// [`crate::ErrorKind::NotFound`].
    pub fn runs_as(&self, copy: &str, task: &str) -> Result<()> {
        let update = Update {
            set: vec![("attributes.job.task_id".to_owned(), task.into())],
            ..Update::default()
        };
        self.update(copy, &update).map(drop)
    }

    fn keep_folder(&self, folder: &str) -> Result<()> {
        let name = notebook_name(&format!("{folder}.placeholder"));
        if self.exists(&name)? {
            return Ok(());
        }
        let notebook = Notebook::of_source("#do not delete", None);
        let options = PutOptions {
            mode: PutMode::Create,
            ..PutOptions::default()
        };
        match self.put(&name, Object::Notebook(notebook.to_bytes()), &options) {
            Err(error) if error.kind() == crate::ErrorKind::Conflict => Ok(()),
            done => done.map(drop),
        }
    }
}

/// The name of a job without its ending.
fn bare(name: &str) -> &str {
    name.strip_suffix(NOTEBOOK).unwrap_or(name)
}

/// A notebook that begins with its parameter.
fn copy(source: &Notebook, parameter: &Value, about: &Value) -> Result<Notebook> {
    let mut notebook = source.clone();
    let named: Vec<(String, Value)> = match parameter {
        Value::Object(fields) => fields.clone().into_iter().collect(),
        _ => Vec::new(),
    };
    if !named.is_empty() {
        notebook.parametrize(&parameters::source(source.language(), &named)?);
    }
    notebook.begin_with(&parameters::assigned(source.language(), VARIABLE, about)?);
    notebook.clear_outputs();
    Ok(notebook)
}

fn number(value: Option<&Bson>) -> i64 {
    match value {
        Some(Bson::Int32(number)) => i64::from(*number),
        Some(Bson::Int64(number)) => *number,
        _ => 0,
    }
}
