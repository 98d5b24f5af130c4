//! The local runtime: tasks run in this process, while the caller waits.

use super::celery::calls::Surroundings;
use super::celery::exception::Exception;
use super::celery::message::TaskMessage;
use super::celery::results;
use super::tracking::{self, TaskTrack};
use super::{
    ModelCall, Objects, Outcome, Runtime, SubmitOptions, TaskCall, TaskRecord, TaskSelection, Tasks,
};
use crate::error::{Error, Result};
use std::time::{Duration, Instant};

/// How often a task that another process runs is looked at.
const LOOK: Duration = Duration::from_millis(50);

/// The label of this process, where models are linked with experiments by label.
const LABEL: &str = "default";

/// Runs tasks in this process.
pub struct LocalRuntime {
    objects: Objects,
    tasks: Tasks,
}

impl LocalRuntime {
    /// A runtime over `objects`, which knows of tasks that others run.
    pub fn new(objects: Objects, tasks: Tasks) -> Self {
        LocalRuntime { objects, tasks }
    }
}

impl LocalRuntime {
    /// Runs an action of a model, tracked where that is asked for.
    fn model(
        &self,
        call: &TaskCall,
        model: &ModelCall,
        options: &SubmitOptions,
    ) -> Result<Outcome> {
        let metadata = self.objects.models.metadata(&model.model)?;
        let linked = || tracking::linked(&metadata, LABEL);
        let Some(experiment) = options.experiment.clone().or_else(linked) else {
            return model.run_as(&self.objects, &metadata);
        };
        let (task, args, kwargs) = call.arguments(&Surroundings::default())?;
        let task = TaskMessage::new(&super::task_id(), &task, args, kwargs);
        let user = super::user();
        let mut track = TaskTrack::begin(&self.objects, &experiment, &task, &metadata, &user)?;
        let outcome = model.run_as(&self.objects, &metadata);
        match &outcome {
            Ok(outcome) => {
                if let Outcome::Number(score) = outcome {
                    track.metric("score", *score);
                }
                track.succeeded(&results::to_value(outcome, true)?)?;
            }
            Err(error) => {
                let exception = Exception::from_error(error);
                track.failed(&exception.class, &exception.message())?;
            }
        }
        outcome
    }
}

fn outlives() -> Error {
    Error::usage("a task of this process cannot outlive it")
        .hint("leave --local-runtime or --async out")
}

impl Runtime for LocalRuntime {
    fn run(&self, call: &TaskCall, options: &SubmitOptions) -> Result<Outcome> {
        self.objects.check_run(call)?;
        let here = SubmitOptions {
            experiment: options.experiment.clone(),
            ..SubmitOptions::default()
        };
        if *options != here {
            return Err(Error::usage(
                "time limits, retries, priorities and expiry are for tasks of workers",
            )
            .hint("name the workers: --require LABEL"));
        }
        match call {
            TaskCall::Model(model) => self.model(call, model, options),
            _ => super::job::perform(call, &self.objects, &super::task_id())
                .or_else(|| super::script::perform(call, &self.objects, true))
                .or_else(|| super::other::perform(call, &self.objects))
                .unwrap_or_else(|| {
                    Err(
                        Error::usage("only models, jobs and scripts run in this process")
                            .hint("start a worker, and leave --local-runtime out"),
                    )
                }),
        }
    }

    fn submit(&self, _call: &TaskCall, _options: &SubmitOptions) -> Result<String> {
        Err(outlives())
    }

    fn submit_as(&self, _id: &str, _call: &TaskCall, _options: &SubmitOptions) -> Result<()> {
        Err(outlives())
    }

    fn tasks(&self, selection: &TaskSelection) -> Result<Vec<TaskRecord>> {
        self.tasks.list(selection)
    }

    fn task(&self, id: &str) -> Result<TaskRecord> {
        self.tasks.get(id)
    }

    fn wait(&self, id: &str, limit: Duration) -> Result<TaskRecord> {
        let started = Instant::now();
        loop {
            let record = self.tasks.get(id)?;
            let left = limit.saturating_sub(started.elapsed());
            if record.state.is_final() || left.is_zero() {
                return Ok(record);
            }
            self.objects.progress.check()?;
            std::thread::sleep(left.min(LOOK));
        }
    }

    fn revoke(&self, id: &str) -> Result<bool> {
        let revoked = self.tasks.revoke(id)?;
        if !revoked {
            self.tasks.get(id)?;
        }
        Ok(revoked)
    }
}
