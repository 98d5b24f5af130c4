//! Tasks of jobs: run one, schedule one, run those that are due (spec/runtime.md §9).

use super::celery::calls::JobCall;
use super::celery::json;
use super::{Objects, Outcome, TaskCall};
use crate::error::{Error, ErrorKind, Result};
use crate::jobs::schedule::{Schedule, Zone};
use crate::jobs::{Jobs, Missed, RunOptions, Scheduler};
use std::time::Duration;

/// Runs such a task; `task` is its id. None for tasks that are about something else.
///
/// # Errors
/// That a notebook fails is no error: its run says so, as with omega|ml.
pub(super) fn perform(call: &TaskCall, objects: &Objects, task: &str) -> Option<Result<Outcome>> {
    Some(match call {
        TaskCall::RunJob(call) => run(objects, call, task),
        TaskCall::ScheduleJob { name, run_at } => schedule(objects, name, run_at.as_deref()),
        TaskCall::ExecuteScripts => run_due(objects, task),
        _ => return None,
    })
}

fn run(objects: &Objects, call: &JobCall, task: &str) -> Result<Outcome> {
    let name = call.name.as_str();
    let limit = call.timeout;
    let parameters = call.parameters.0.iter();
    let options = RunOptions {
        parameters: parameters
            .map(|(name, value)| Ok((name.clone(), json::shown(value)?)))
            .collect::<Result<_>>()?,
        event: call.event.clone(),
        limit: limit.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok()),
        task: Some(task.to_owned()),
        ..RunOptions::default()
    };
    let run = objects.jobs.run(name, &options, &*objects.progress)?;
    if let Some(why) = &run.failure {
        objects.progress.note(&format!("job {name}: {why}"));
    }
    match run.interrupted {
        true => Err(Error::new(ErrorKind::Interrupted, "interrupted")),
        false => Ok(Outcome::Metadata(Box::new(run.result))),
    }
}

fn schedule(objects: &Objects, name: &str, run_at: Option<&str>) -> Result<Outcome> {
    let metadata = objects.jobs.metadata(name)?;
    let schedule = match run_at {
        Some(text) => {
            let (schedule, note) = Schedule::parse(text, Zone::Local)?;
            note.into_iter()
                .for_each(|note| objects.progress.note(&note));
            schedule
        }
        None => Jobs::schedule_of(&metadata)?.ok_or_else(|| {
            Error::invalid("the job has no schedule").on(metadata.key.to_string())
        })?,
    };
    let scheduled = objects.jobs.schedule(name, &schedule, chrono::Utc::now())?;
    Ok(Outcome::Metadata(Box::new(scheduled)))
}

/// What Python's beat asks for every minute. The jobs run within this task.
fn run_due(objects: &Objects, task: &str) -> Result<Outcome> {
    let mut scheduler = Scheduler::new(&objects.jobs, Missed::Once, task);
    let mut ran = Vec::new();
    for due in scheduler.claim(chrono::Utc::now())? {
        // Before it runs, which may take longer than the claim lasts.
        scheduler.fired(&due)?;
        let call = JobCall {
            event: Some(due.event.clone()),
            ..JobCall::new(&due.job)
        };
        run(objects, &call, &due.task)?;
        ran.push(serde_json::Value::from(due.job));
    }
    Ok(Outcome::Value(ran.into()))
}
