//! Runs a job, keeps the notebook as it is afterwards, and enters the run (spec/runtime.md §9).

use super::cells::{CellEnd, Interpreter, Runner};
use super::kernel::Kernel;
use super::{Jobs, Notebook, RESULTS, parameters, wall_date};
use crate::config::interpreter::on_path;
use crate::error::{Context, Error, ErrorKind, Result};
use crate::progress::{Progress, Unit};
use crate::storage::{Metadata, Update};
use crate::store::{PutMode, PutOptions};
use bson::{Bson, Document, doc};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Characters of an exception's text that the run's message has from each end.
const ENDS: usize = 80;

/// How far a result's time may be moved on for those that began with it.
const MOST_AT_ONCE: chrono::TimeDelta = chrono::TimeDelta::milliseconds(1);

/// How a job is run.
#[derive(Debug, Clone, Default)]
pub struct RunOptions {
    /// Values of the notebook's parameters, as papermill sets them.
    pub parameters: Vec<(String, Value)>,
    /// How long a cell may take.
    pub cell_limit: Option<Duration>,
    /// How long the run may take.
    pub limit: Option<Duration>,
    /// The directory that it runs in; the current one unless given.
    pub home: Option<PathBuf>,
    /// The trigger that it runs for.
    pub event: Option<String>,
    /// The task that runs it.
    pub task: Option<String>,
}

/// A run that has ended.
#[derive(Debug, Clone)]
pub struct JobRun {
    /// The notebook with its outputs.
    pub result: Metadata,
    /// Why it failed; none if it did not.
    pub failure: Option<String>,
    /// Whether somebody wanted it to stop.
    pub interrupted: bool,
}

impl Jobs {
    /// Runs the job called `name`. That a cell fails is no error: the run says so, and its
    /// notebook has what was done until then.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`]; what the store fails with.
    pub fn run(&self, name: &str, options: &RunOptions, progress: &dyn Progress) -> Result<JobRun> {
        let metadata = self.metadata(name)?;
        let object = metadata.key.to_string();
        let mut notebook = self.notebook(&metadata.key.name)?;
        if !options.parameters.is_empty() {
            let source = parameters::source(notebook.language(), &options.parameters);
            notebook.parametrize(&source.map_err(|error| error.on(&object))?);
        }
        if !metadata.kind_meta.get_bool("keep_output").unwrap_or(false) {
            notebook.clear_outputs();
        }
        let overrides = metadata
            .kind_meta
            .get_document("ep_kwargs")
            .cloned()
            .unwrap_or_default();
        let options = RunOptions {
            cell_limit: options
                .cell_limit
                .or_else(|| seconds(&overrides, "timeout")),
            ..options.clone()
        };
        let began = chrono::Local::now().naive_local();
        let ended = self.execute(&mut notebook, &overrides, &options, progress);
        let failure = match &ended {
            Ok(Ended::Well) => None,
            Ok(Ended::Failed(why)) => Some(why.clone()),
            Ok(Ended::Interrupted) => Some("interrupted".to_owned()),
            Err(error) => Some(error.to_string()),
        };
        let run = self.enter(name, &metadata, &notebook, began, failure, &options)?;
        let interrupted = matches!(ended, Ok(Ended::Interrupted))
            || ended.is_err_and(|error| error.kind() == ErrorKind::Interrupted);
        Ok(JobRun { interrupted, ..run })
    }

    fn execute(
        &self,
        notebook: &mut Notebook,
        overrides: &Document,
        options: &RunOptions,
        progress: &dyn Progress,
    ) -> Result<Ended> {
        let home = match &options.home {
            Some(home) => home.clone(),
            None => std::env::current_dir().context(|| "the current directory is gone")?,
        };
        let mut runner = self.runner(notebook, overrides, &home, progress)?;
        if let Some(info) = runner.language_info() {
            notebook.set_language_info(info);
        }
        let code: Vec<(usize, String)> = notebook
            .cells()
            .enumerate()
            .filter(|(_, cell)| cell.kind() == super::CellKind::Code)
            .map(|(place, cell)| (place, cell.source()))
            .collect();
        let going_on = overrides.get_bool("allow_errors").unwrap_or(false);
        let began = Instant::now();
        let meter = progress.meter("cells", Some(code.len() as u64), Unit::Items);
        let mut failed = None;
        for (number, (place, source)) in code.iter().enumerate() {
            if source.trim().is_empty() {
                continue;
            }
            let left = options
                .limit
                .map(|limit| limit.saturating_sub(began.elapsed()));
            let limit = match (left, options.cell_limit) {
                (Some(left), Some(cell)) => Some(left.min(cell)),
                (left, cell) => left.or(cell),
            };
            let run = runner.run(source, limit, progress)?;
            notebook.set_outputs(*place, run.count, run.outputs);
            meter.advance(1);
            let number = number + 1;
            let why = match run.end {
                CellEnd::Done => continue,
                CellEnd::Interrupted => return Ok(Ended::Interrupted),
                CellEnd::Raised(raised) => {
                    failed = Some(format!("cell {number}: {}: {}", raised.name, raised.value));
                    match going_on {
                        true => continue,
                        false => break,
                    }
                }
                CellEnd::TooLong(limit) => {
                    match options.limit.is_some_and(|all| began.elapsed() >= all) {
                        true => format!(
                            "the run took longer than {:?}, in cell {number}",
                            options.limit.unwrap_or(limit)
                        ),
                        false => format!("cell {number} took longer than {limit:?}"),
                    }
                }
                CellEnd::Died => format!("the kernel died in cell {number}"),
            };
            return Ok(Ended::Failed(why));
        }
        Ok(failed
            .filter(|_| !going_on)
            .map_or(Ended::Well, Ended::Failed))
    }

    /// What runs the cells: the notebook's kernel; for scripts their interpreter.
    fn runner(
        &self,
        notebook: &Notebook,
        overrides: &Document,
        home: &Path,
        progress: &dyn Progress,
    ) -> Result<Box<dyn Runner>> {
        let kernel = overrides
            .get_str("kernel_name")
            .ok()
            .or_else(|| notebook.kernel());
        let script = match kernel {
            Some("python") => Some(self.python.program().to_owned()),
            Some("sh") => Some(PathBuf::from("/bin/sh")),
            Some("bash") => on_path("bash"),
            _ => None,
        };
        match script {
            Some(program) if notebook.len() == 1 || kernel != Some("bash") => {
                Ok(Box::new(Interpreter::new(&program, home, &self.env)))
            }
            _ => {
                let name = kernel.unwrap_or("python3");
                let kernel = Kernel::start(
                    name,
                    notebook.language(),
                    &self.python,
                    home,
                    &self.env,
                    progress,
                )?;
                Ok(Box::new(kernel))
            }
        }
    }

    /// Stores a result under the time at which its run began; where several began in the same
    /// microsecond, under the next that is free.
    fn keep(
        &self,
        name: &str,
        notebook: &Notebook,
        began: chrono::NaiveDateTime,
    ) -> Result<Metadata> {
        let options = PutOptions {
            mode: PutMode::Create,
            attributes: doc! { "source_job": name },
            ..PutOptions::default()
        };
        let mut time = began;
        loop {
            let result = format!(
                "{RESULTS}{name}_{}.ipynb",
                time.format("%Y-%m-%d %H:%M:%S%.6f")
            );
            let object = crate::store::Object::Notebook(notebook.to_bytes());
            match self.put(&result, object, &options) {
                Err(_) if time - began < MOST_AT_ONCE && self.exists(&result)? => {
                    time += chrono::TimeDelta::microseconds(1);
                }
                kept => return kept,
            }
        }
    }

    /// Keeps the notebook, and tells the job of the run.
    fn enter(
        &self,
        name: &str,
        metadata: &Metadata,
        notebook: &Notebook,
        began: chrono::NaiveDateTime,
        failure: Option<String>,
        options: &RunOptions,
    ) -> Result<JobRun> {
        let kept = self.keep(name, notebook, began)?;
        let mut run = doc! {
            "status": if failure.is_none() { "OK" } else { "ERROR" },
            "ts": wall_date(began),
            "message": message(failure.as_deref().unwrap_or_default()),
            "results": &kept.key.name,
        };
        if let Some(event) = &options.event {
            run.insert("event", event);
        }
        let mut update = Update {
            push: vec![
                ("attributes.job_runs".to_owned(), Bson::Document(run)),
                (
                    "attributes.job_results".to_owned(),
                    Bson::from(kept.key.name.as_str()),
                ),
            ],
            ..Update::default()
        };
        // One of the copies of a job for many parameters.
        if failure.is_none() && metadata.attributes.get_document("job").is_ok() {
            update
                .set
                .push(("attributes.job.status".to_owned(), "finished".into()));
        }
        if let Some(task) = &options.task {
            // The task itself has done what it had to do.
            update
                .set
                .push(("attributes.state".to_owned(), "SUCCESS".into()));
            update
                .set
                .push(("attributes.task_id".to_owned(), task.as_str().into()));
        }
        match self.update(&metadata.key.name, &update) {
            Ok(_) => {}
            // Dropped while it ran: the result stays.
            Err(error) if error.kind() == ErrorKind::NotFound => tracing::warn!("{error}"),
            Err(error) => return Err(error),
        }
        if let Some(event) = &options.event {
            self.ended_trigger(&metadata.key.name, event, failure.is_none(), began)?;
        }
        Ok(JobRun {
            result: kept,
            failure,
            interrupted: false,
        })
    }
}

enum Ended {
    Well,
    Failed(String),
    Interrupted,
}

impl JobRun {
    /// What a caller gets who wants a run to go well.
    ///
    /// # Errors
    /// [`ErrorKind::TaskFailed`], or [`ErrorKind::Interrupted`].
    pub fn checked(self) -> Result<Metadata> {
        if self.interrupted {
            return Err(Error::new(ErrorKind::Interrupted, "interrupted")
                .hint(format!("what was done is in jobs/{}", self.result.name())));
        }
        match self.failure {
            None => Ok(self.result),
            Some(why) => Err(
                Error::new(ErrorKind::TaskFailed, format!("the job failed: {why}")).hint(format!(
                    "its notebook as far as it got: om jobs show '{}'",
                    self.result.name()
                )),
            ),
        }
    }
}

fn seconds(fields: &Document, name: &str) -> Option<Duration> {
    let seconds = match fields.get(name)? {
        Bson::Int32(seconds) => f64::from(*seconds),
        Bson::Int64(seconds) => *seconds as f64,
        Bson::Double(seconds) => *seconds,
        _ => return None,
    };
    // Without an end is -1 there.
    Duration::try_from_secs_f64(seconds)
        .ok()
        .filter(|limit| !limit.is_zero())
}

/// The message of a run: both ends of the text, whatever its length.
fn message(text: &str) -> String {
    let letters: Vec<char> = text.chars().collect();
    let start: String = letters.iter().take(ENDS).collect();
    let end: String = letters
        .iter()
        .skip(letters.len().saturating_sub(ENDS))
        .collect();
    format!("{start}...{end}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[allow(clippy::unwrap_used)]
    fn runs_of_the_same_moment_keep_both_results() {
        let folder = tempfile::tempdir().unwrap();
        let jobs = crate::Omega::embedded(folder.path()).unwrap().jobs;
        let empty = br#"{"cells": [], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}"#;
        let notebook = Notebook::parse(empty).unwrap();
        let began = chrono::DateTime::UNIX_EPOCH.naive_utc();
        let names: Vec<String> = (0..3)
            .map(|_| jobs.keep("nb", &notebook, began).unwrap().key.name)
            .collect();
        assert_eq!(
            names,
            [0, 1, 2].map(|last| format!("results/nb_1970-01-01 00:00:00.00000{last}.ipynb"))
        );
    }

    #[test]
    fn messages_have_both_ends() {
        assert_eq!(message(""), "...");
        assert_eq!(message("short"), "short...short");
        let long = "ä".repeat(200);
        assert_eq!(message(&long).chars().count(), 163);
    }
}
