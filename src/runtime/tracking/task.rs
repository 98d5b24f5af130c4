//! What a task tells an experiment: that it was called and with what, on which object, and
//! what came of it (spec/runtime.md §7).

use super::Experiment;
use crate::error::Result;
use crate::runtime::Objects;
use crate::runtime::celery::json;
use crate::runtime::celery::message::TaskMessage;
use crate::runtime::celery::pickle::Value;
use crate::runtime::celery::repr;
use crate::storage::{Metadata, Update};
use crate::store::value_to_bson;
use bson::{Bson, Document, doc};

/// The part of one task in an experiment.
pub struct TaskTrack {
    experiment: Experiment,
    task: String,
    id: String,
}

impl TaskTrack {
    /// Takes part in `experiment` with a task on the model `model`.
    pub fn begin(
        objects: &Objects,
        experiment: &str,
        task: &TaskMessage,
        model: &Metadata,
        user: &str,
    ) -> Result<Self> {
        let extra = doc! { "taskid": &task.id };
        let mut joined = Experiment::join(objects, experiment, user, extra)?;
        let args: Vec<Bson> = task.args.iter().map(plain).collect();
        let named = task.kwargs.0.iter();
        let kwargs: Document = named
            .filter(|(name, _)| !name.starts_with("__"))
            .map(|(name, value)| (name.clone(), plain(value)))
            .collect();
        joined.log(
            "task_call",
            &task.task,
            doc! { "args": args, "kwargs": kwargs }.into(),
        );
        link(objects, model, &joined.name)?;
        joined.log_metadata("related", model);
        Ok(TaskTrack {
            experiment: joined,
            task: task.task.clone(),
            id: task.id.clone(),
        })
    }

    /// Notes what a model is worth.
    pub fn metric(&mut self, name: &str, value: f64) {
        self.experiment.log("metric", name, value.into());
    }

    /// The task has answered.
    pub fn succeeded(mut self, result: &Value) -> Result<()> {
        let value = doc! { "result": plain(result), "task_id": &self.id };
        self.experiment
            .log("task_success", &self.task, value.into());
        self.experiment.leave()
    }

    /// The task has raised an exception.
    pub fn failed(mut self, class: &str, message: &str) -> Result<()> {
        let exception = format!("{class}({})", repr::quoted(message));
        let value = doc! { "exception": exception, "task_id": &self.id };
        self.experiment
            .log("task_failure", &self.task, value.into());
        self.experiment.leave()
    }
}

/// A value as it is kept; what cannot be is kept as Python prints it.
fn plain(value: &Value) -> Bson {
    match json::shown(value) {
        Ok(json) => value_to_bson(json),
        Err(_) => repr::repr(value).into(),
    }
}

/// Notes with the model that it takes part.
fn link(objects: &Objects, model: &Metadata, experiment: &str) -> Result<()> {
    let known = model.attributes.get_document("tracking").ok();
    let known = known.and_then(|tracking| tracking.get_array("experiments").ok());
    if known.is_some_and(|known| known.contains(&experiment.into())) {
        return Ok(());
    }
    let update = Update {
        push: vec![(
            "attributes.tracking.experiments".to_owned(),
            experiment.into(),
        )],
        ..Update::default()
    };
    objects.models.update(model.name(), &update).map(drop)
}
