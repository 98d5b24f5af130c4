//! What a worker does for a task: runs it on the objects of its bucket and makes the
//! answer (spec/runtime.md §4, §5).

use super::Shared;
use super::chord;
use super::held::Held;
use super::log::Reports;
use super::stop::Reason;
use crate::error::{Error, ErrorKind};
use crate::runtime::celery::calls::{Surroundings, TaskCall};
use crate::runtime::celery::exception::Exception;
use crate::runtime::celery::json;
use crate::runtime::celery::pickle::Value;
use crate::runtime::celery::results::{self, MetadataText};
use crate::runtime::logs::Level;
use crate::runtime::objects::RUNS_HERE;
use crate::runtime::tracking::{TaskTrack, UNTRACKED};
use crate::runtime::{Action, ModelCall, Objects, Outcome, job, other, script};
use serde_json::Value as Json;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

/// What a task answered: for the message to its client, and for its record.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Answer {
    pub value: Value,
    pub json: Json,
}

/// Why there is no answer.
#[derive(Debug)]
pub(super) enum Failure {
    /// The task failed.
    Failed {
        exception: Exception,
        /// Whether it may go better another time.
        passing: bool,
    },
    /// It is for a worker of another sort; says why.
    Elsewhere(String),
    /// What it waits for is not there yet; it comes again after this time.
    Later(Duration),
    /// It was asked to stop and did.
    Stopped(Reason),
}

impl Failure {
    pub fn of(error: &Error) -> Self {
        Failure::Failed {
            exception: Exception::from_error(error),
            passing: error.kind().retryable(),
        }
    }

    pub fn exception(exception: Exception) -> Self {
        Failure::Failed {
            exception,
            passing: false,
        }
    }
}

/// Runs a task. A panic of a model is a failure of its task.
pub(super) fn execute(shared: &Shared, held: &Held) -> Result<Answer, Failure> {
    let (call, surroundings) = TaskCall::of(&held.message).map_err(|error| Failure::of(&error))?;
    let done = catch_unwind(AssertUnwindSafe(|| {
        perform(shared, held, call, &surroundings)
    }));
    let done = done.unwrap_or_else(|_| {
        Err(Failure::exception(Exception::new(
            "builtins",
            "RuntimeError",
            "the task has crashed; the worker's log says where",
        )))
    });
    match (done, held.stop.reason()) {
        // What it says of its interruption is of no interest, what it has finished is.
        (Err(Failure::Failed { .. }), Some(reason)) => Err(Failure::Stopped(reason)),
        (done, _) => done,
    }
}

fn perform(
    shared: &Shared,
    held: &Held,
    call: TaskCall,
    surroundings: &Surroundings,
) -> Result<Answer, Failure> {
    if surroundings.auth.is_some() {
        let error = Error::new(
            ErrorKind::Unauthorized,
            "this worker runs no tasks on behalf of other users",
        );
        return Err(Failure::of(&error));
    }
    match call {
        TaskCall::Model(call) => model(shared, held, &call, surroundings),
        TaskCall::Ping { args, kwargs } => {
            if kwargs
                .get("exception")
                .is_some_and(|wanted| *wanted == Value::Bool(true))
            {
                let asked =
                    Exception::new("builtins", "RuntimeError", "the ping was asked to fail");
                return Err(Failure::exception(asked));
            }
            let now = chrono::Local::now().naive_local();
            plain(Value::dict([
                ("message", "ping return message".into()),
                (
                    "time",
                    now.format("%Y-%m-%dT%H:%M:%S%.6f")
                        .to_string()
                        .as_str()
                        .into(),
                ),
                ("args", Value::tuple(args)),
                ("kwargs", kwargs.to_value()),
                ("worker", shared.options.name.as_str().into()),
            ]))
        }
        TaskCall::Settings => plain(Value::dict([("error", "settings dump is disabled".into())])),
        TaskCall::Preload => plain(Value::None),
        TaskCall::UnlockChord {
            tasks,
            callback,
            interval,
            ..
        } => chord::unlock(shared, held, &tasks, &callback, interval),
        TaskCall::Special { action, .. } => Err(Failure::Elsewhere(format!(
            "models of this worker have no action `{action}`"
        ))),
        TaskCall::RunJob(_) | TaskCall::ScheduleJob { .. } | TaskCall::ExecuteScripts => {
            job(shared, held, &call, surroundings)
        }
        TaskCall::RunScript { .. } | TaskCall::Callback { .. } => {
            script(shared, held, &call, surroundings)
        }
        TaskCall::Other { ref task, .. } => {
            let objects = objects(shared, held, surroundings);
            match other::perform(&call, &objects) {
                Some(Ok(Outcome::Value(json))) => Ok(Answer {
                    value: json::to_value(&json),
                    json,
                }),
                Some(Err(error)) if error.kind() == ErrorKind::NotFound => {
                    Err(Failure::exception(Exception::not_registered(task)))
                }
                Some(Err(error)) => Err(Failure::of(&error)),
                Some(Ok(_)) | None => plain(Value::None),
            }
        }
    }
}

/// What a task works on, reporting to the task.
fn objects(shared: &Shared, held: &Held, surroundings: &Surroundings) -> Objects {
    let reports = Reports {
        stop: held.stop.clone(),
        log: shared.log.of(&held.message),
    };
    (shared.objects)(surroundings.bucket.as_deref(), Arc::new(reports))
}

fn job(
    shared: &Shared,
    held: &Held,
    call: &TaskCall,
    surroundings: &Surroundings,
) -> Result<Answer, Failure> {
    let objects = objects(shared, held, surroundings);
    let outcome = job::perform(call, &objects, &held.message.id)
        .unwrap_or_else(|| Err(Error::failed("this is no task of jobs")))
        .map_err(|error| Failure::of(&error))?;
    match outcome {
        Outcome::Metadata(metadata) => {
            plain(MetadataText::of(&metadata).to_string().as_str().into())
        }
        // Python's answers nothing.
        _ => plain(Value::None),
    }
}

fn script(
    shared: &Shared,
    held: &Held,
    call: &TaskCall,
    surroundings: &Surroundings,
) -> Result<Answer, Failure> {
    let objects = objects(shared, held, surroundings);
    let done = script::perform(call, &objects, surroundings.pure_python)
        .unwrap_or_else(|| Err(Error::failed("this is no task of scripts")));
    match done {
        Ok(Outcome::Value(envelope)) => Ok(Answer {
            value: match surroundings.format.as_deref() {
                Some("python") => json::to_value(&envelope),
                _ => envelope.to_string().as_str().into(),
            },
            json: envelope,
        }),
        Ok(_) => plain(Value::None),
        // The envelope itself is the message.
        Err(error) if error.kind() == ErrorKind::TaskFailed => {
            let text = error.message().to_owned();
            Err(Failure::exception(Exception::new(
                "builtins",
                "RuntimeError",
                text.as_str(),
            )))
        }
        Err(error) => Err(Failure::of(&error)),
    }
}

fn model(
    shared: &Shared,
    held: &Held,
    call: &ModelCall,
    surroundings: &Surroundings,
) -> Result<Answer, Failure> {
    let objects = objects(shared, held, surroundings);
    let metadata = objects
        .models
        .metadata(&call.model)
        .map_err(|error| Failure::of(&error))?;
    if metadata.kind != RUNS_HERE && !objects.backends.has(&metadata.kind, &*objects.progress) {
        return Err(Failure::Elsewhere(format!(
            "{} is a {}, which no backend of this worker runs",
            metadata.key, metadata.kind
        )));
    }
    let mut track = surroundings
        .experiment
        .as_ref()
        .and_then(Option::as_ref)
        .filter(|experiment| *experiment != UNTRACKED)
        .and_then(|experiment| {
            let user = &shared.options.user;
            let task = &held.message;
            told(
                shared,
                held,
                TaskTrack::begin(&objects, experiment, task, &metadata, user),
            )
        });
    let answer = call.run(&objects).and_then(|outcome| {
        if let (Some(track), Outcome::Number(score)) = (&mut track, &outcome) {
            track.metric("score", *score);
        }
        Ok(Answer {
            value: match call.action {
                // Celery's clients are told of the model; om's read the table in the record.
                Action::Gridsearch => MetadataText::of(&metadata).to_string().into(),
                _ => results::to_value(&outcome, surroundings.pure_python)?,
            },
            json: match &outcome {
                // As all workers tell it.
                Outcome::Metadata(metadata) => MetadataText::of(metadata).to_string().into(),
                other => other.to_json()?,
            },
        })
    });
    let answer = answer.map_err(|error| Failure::of(&error));
    if let Some(track) = track {
        let noted = match &answer {
            Ok(answer) => track.succeeded(&answer.value),
            Err(Failure::Failed { exception, .. }) => {
                track.failed(&exception.class, &exception.message())
            }
            Err(_) => Ok(()),
        };
        told(shared, held, noted);
    }
    answer
}

/// What could be noted in an experiment; a task does not fail because that cannot be kept.
fn told<T>(shared: &Shared, held: &Held, noted: crate::error::Result<T>) -> Option<T> {
    noted
        .inspect_err(|error| {
            tracing::warn!("task {} cannot be tracked: {error}", held.message.id);
            let log = shared.log.of(&held.message);
            log.say(Level::Warning, &format!("cannot be tracked: {error}"));
        })
        .ok()
}

pub(super) fn plain(value: Value) -> Result<Answer, Failure> {
    match json::shown(&value) {
        Ok(json) => Ok(Answer { value, json }),
        Err(error) => Err(Failure::of(&error)),
    }
}

/// The objects of a bucket (none: the default one), with who is told of progress.
pub type ObjectsOf = dyn Fn(Option<&str>, Arc<dyn crate::progress::Progress>) -> crate::runtime::Objects
    + Send
    + Sync;
