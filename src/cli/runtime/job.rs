//! `om runtime job`: a job as a task, or as many.

use super::submit::{Submitting, provide_worker};
use crate::cli::Session;
use crate::cli::models::params;
use crate::cli::output::{Cell, Column, Table};
use crate::error::{Error, ErrorKind, Result};
use crate::frame;
use crate::frame::format::{Format, ReadOptions, Source, Step, open};
use crate::omega::Omega;
use crate::runtime::celery::json::to_value;
use crate::runtime::celery::signature::Kwargs;
use crate::runtime::{JobCall, TaskCall, TaskState};
use crate::storage::Metadata;
use clap::{Args, ValueEnum, ValueHint};
use serde_json::{Map, Value};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Run a job, on a worker where there are some; or once for each of many parameters.
///
/// run prints the notebook that it has left. map makes a copy of the notebook for each
/// parameter and runs them all, as many at a time as workers take; a parameter is
/// NAME=VALUE, or JSON: the fields of an object are set as the notebook's parameters, and
/// the notebook finds it as _jobdata. restart runs those copies again that have left no
/// result. That a notebook failed is exit code 6.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  om runtime job report
  om runtime job report -p region=EU --async
  om runtime job report --require gpu --run-limit 2h
  om runtime job report map region=EU region=US
  om runtime job report map --from regions.csv --async
  om runtime job report restart 1f0a77c2")]
pub struct RunJob {
    /// Name of the job
    #[arg(add = crate::cli::stored::jobs())]
    name: String,
    /// What to do with it
    #[arg(
        value_name = "ACTION",
        value_enum,
        default_value = "run",
        hide_default_value = true
    )]
    action: JobAction,
    /// Parameters (map), or a group of copies (restart)
    #[arg(value_name = "PARAMETER", allow_negative_numbers = true)]
    parameters: Vec<String>,
    /// Set a parameter of the notebook: NAME=VALUE; values are JSON or text. Needs a worker of om
    #[arg(short, long = "param", value_name = "KEY=VALUE")]
    param: Vec<String>,
    /// A table with a run's parameters in each of its rows (map)
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    from: Option<PathBuf>,
    /// Stop a notebook when it takes longer
    #[arg(long, value_name = "DURATION", value_parser = crate::cli::app::parse_duration)]
    run_limit: Option<Duration>,
    #[command(flatten)]
    submitting: Submitting,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum JobAction {
    /// Run it
    Run,
    /// Run a copy for each parameter
    Map,
    /// Run copies again that have left no result
    Restart,
}

impl RunJob {
    /// Runs the command.
    pub fn run(self, session: &Session) -> Result<()> {
        let om = session.omega()?;
        om.jobs.metadata(&self.name)?;
        if self.action != JobAction::Map && self.from.is_some() {
            return Err(Error::usage("--from is for map"));
        }
        if self.action != JobAction::Run && !self.param.is_empty() {
            return Err(Error::usage("--param is for run")
                .hint("parameters of map stand behind it: map region=EU region=US"));
        }
        match self.action {
            JobAction::Run => self.once(&om, session),
            JobAction::Map => {
                let mut parameters: Vec<Value> =
                    self.parameters.iter().map(|text| parameter(text)).collect();
                if let Some(file) = &self.from {
                    parameters.extend(rows(file, session)?);
                }
                if parameters.is_empty() {
                    return Err(Error::usage("map needs parameters")
                        .hint("om runtime job NAME map region=EU region=US, or --from FILE"));
                }
                let copies = om.jobs.spread(&self.name, &parameters)?;
                self.all(&copies, &om, session)
            }
            JobAction::Restart => {
                let group = match self.parameters.as_slice() {
                    [] => None,
                    [group] => Some(group.as_str()),
                    [_, more, ..] => {
                        return Err(Error::usage(format!(
                            "what is `{more}`? restart takes one group"
                        )));
                    }
                };
                let copies = om.jobs.unfinished(&self.name, group)?;
                self.all(&copies, &om, session)
            }
        }
    }

    fn call(&self, name: &str) -> JobCall {
        JobCall {
            timeout: self.run_limit.map(|limit| limit.as_secs_f64()),
            ..JobCall::new(name)
        }
    }

    fn once(self, om: &Omega, session: &Session) -> Result<()> {
        if let Some(more) = self.parameters.first() {
            return Err(Error::usage(format!("what is `{more}`?"))
                .hint("parameters of a run: --param NAME=VALUE"));
        }
        let mut parameters = Kwargs::default();
        for (name, value) in params(&self.param)? {
            parameters.push(&name, to_value(&value));
        }
        let call = TaskCall::RunJob(JobCall {
            parameters,
            ..self.call(&self.name)
        });
        let waited = !self.submitting.is_asynchronous();
        self.submitting.run(&call, om, session)?;
        match waited
            .then(|| om.jobs.last_run(&self.name))
            .transpose()?
            .flatten()
        {
            Some(failure) => Err(Error::new(
                ErrorKind::TaskFailed,
                format!("the job failed: {failure}"),
            )
            .hint(format!(
                "its notebook as far as it got: om jobs show --last {}",
                self.name
            ))),
            None => Ok(()),
        }
    }

    /// Runs the copies of a job: on workers all at once, in this process one after the other.
    fn all(&self, copies: &[Metadata], om: &Omega, session: &Session) -> Result<()> {
        let options = self.submitting.options();
        let mut runs = Vec::with_capacity(copies.len());
        if self.submitting.is_local() {
            let runtime = om.local_runtime();
            for copy in copies {
                let call = TaskCall::RunJob(self.call(copy.name()));
                let ran = crate::runtime::Runtime::run(&runtime, &call, &options);
                if let Err(error) = &ran
                    && error.kind() == ErrorKind::Interrupted
                {
                    return ran.map(drop);
                }
                runs.push((
                    copy,
                    String::new(),
                    ran.err().map(|error| error.to_string()),
                ));
            }
            return told(&runs, om, session);
        }
        let runtime = session.workers(om)?;
        for copy in copies {
            let call = TaskCall::RunJob(self.call(copy.name()));
            let task = runtime.submit(&call, &options)?;
            om.jobs.runs_as(copy.name(), &task)?;
            runs.push((copy, task, None));
        }
        if !runs.is_empty() {
            provide_worker(session, &options)?;
        }
        if self.submitting.is_asynchronous() {
            return runs
                .iter()
                .try_for_each(|(_, task, _)| session.output.line(task));
        }
        let meter = crate::progress::Progress::meter(
            &session.progress,
            "notebooks",
            Some(runs.len() as u64),
            crate::progress::Unit::Items,
        );
        for (_, task, failure) in &mut runs {
            let record = runtime.wait(task, Duration::MAX)?;
            if record.state != TaskState::Success {
                let error = record.error.as_ref().map(ToString::to_string);
                *failure = Some(error.unwrap_or_else(|| record.state.word().to_owned()));
            }
            meter.advance(1);
        }
        drop(meter);
        told(&runs, om, session)
    }
}

/// Tells of each copy which notebook it has left, and why it failed if it did.
fn told(runs: &[(&Metadata, String, Option<String>)], om: &Omega, session: &Session) -> Result<()> {
    let mut table = Table::new([
        Column::new("JOB").whole(),
        Column::new("STATUS"),
        Column::new("RESULT"),
        Column::new("ERROR"),
        Column::new("TASK").wide(),
    ])
    .named_by("JOB")
    .listing()
    .when_empty("no copy is left without a result");
    let mut failed = 0;
    for (copy, task, failure) in runs {
        let failure = match failure {
            Some(failure) => Some(failure.clone()),
            None => om.jobs.last_run(copy.name())?,
        };
        failed += usize::from(failure.is_some());
        let now = om.jobs.metadata(copy.name())?;
        let results = now.attributes.get_array("job_results").ok();
        let result = results.and_then(|results| results.last()?.as_str());
        let text = |text: Option<&str>| text.map_or(Cell::from(Value::Null), Cell::from);
        table.push([
            Cell::from(copy.name()),
            Cell::from(if failure.is_some() { "ERROR" } else { "OK" }),
            text(result),
            text(failure.as_deref()),
            text(Some(task.as_str()).filter(|task| !task.is_empty())),
        ]);
    }
    session.output.rows(&table)?;
    match failed {
        0 => Ok(()),
        _ => Err(Error::new(
            ErrorKind::TaskFailed,
            format!("{failed} of {} notebooks failed", runs.len()),
        )),
    }
}

/// A parameter: `name=value`, else JSON, else text.
fn parameter(text: &str) -> Value {
    let value = |text: &str| serde_json::from_str(text).unwrap_or_else(|_| Value::from(text));
    let is_name =
        |name: &str| !name.is_empty() && name.chars().all(|c| c.is_alphanumeric() || c == '_');
    match text.split_once('=') {
        Some((name, text)) if is_name(name) => {
            Value::Object(Map::from_iter([(name.to_owned(), value(text))]))
        }
        _ => value(text),
    }
}

/// The rows of a table.
fn rows(path: &Path, session: &Session) -> Result<Vec<Value>> {
    let shown = path.display();
    let (format, _) = Format::of_path(path).ok_or_else(|| {
        Error::usage(format!("{shown} does not tell a table's format"))
            .hint("csv, parquet, json, ndjson, …")
    })?;
    let source = Source::Path(path.to_owned());
    let mut reader = open(source, format, &ReadOptions::default(), session.progress())?;
    let mut all = Vec::new();
    loop {
        match reader.next()? {
            Step::Frame(frame) => all.extend(frame::json::rows(&frame)?),
            Step::Restart => all.clear(),
            Step::Done => return Ok(all),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn parameters_are_pairs_or_json_or_text() {
        for (text, expected) in [
            ("region=EU", json!({"region": "EU"})),
            ("years=[1, 2]", json!({"years": [1, 2]})),
            (r#"{"a": 1, "b": "x=y"}"#, json!({"a": 1, "b": "x=y"})),
            ("5", json!(5)),
            ("plain text", json!("plain text")),
            ("a b=c", json!("a b=c")),
        ] {
            assert_eq!(parameter(text), expected, "{text}");
        }
    }
}
