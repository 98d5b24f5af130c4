//! Experiments: what is done to models, kept as events in a data set of their own
//! (spec/storage.md §9.17, spec/runtime.md §7, §13), as Python omega|ml's trackers do.

mod task;
mod tracker;

pub use task::TaskTrack;

use super::Objects;
use crate::error::{ErrorKind, Result};
use crate::storage::{Metadata, Mode, Storage};
use crate::store::{Object, PutMode, PutOptions, Store};
use bson::{Bson, Document, doc};
use chrono::Utc;

/// Python's experiment that keeps nothing.
pub const UNTRACKED: &str = ".notrack";

/// The experiment that a model is tracked in when tasks of a label use it.
pub fn linked(metadata: &Metadata, label: &str) -> Option<String> {
    let tracking = metadata.attributes.get_document("tracking").ok()?;
    let name = tracking.get_str(label).ok()?;
    (name != UNTRACKED).then(|| name.to_owned())
}

/// One experiment, in one of its runs.
pub struct Experiment {
    name: String,
    datasets: Store,
    user: String,
    run: i32,
    /// The run was started here, so it is stopped here.
    own: bool,
    extra: Document,
    events: Vec<Bson>,
}

impl Experiment {
    /// Takes part in the run that goes on, or starts one. The experiment is made if it is
    /// missing. `extra` is part of all events.
    pub fn join(objects: &Objects, name: &str, user: &str, extra: Document) -> Result<Self> {
        let name = name.strip_prefix("experiments/").unwrap_or(name);
        make(&objects.models, name)?;
        let (latest, goes_on) = latest_run(&objects.datasets, name)?;
        let mut experiment = Experiment {
            name: name.to_owned(),
            datasets: objects.datasets.clone(),
            user: user.to_owned(),
            run: if goes_on { latest } else { latest + 1 },
            own: !goes_on,
            extra,
            events: Vec::new(),
        };
        if experiment.own {
            experiment.mark("start");
            // Others join this run from now on.
            experiment.flush()?;
        }
        Ok(experiment)
    }

    /// Notes an event; it is written with others.
    pub fn log(&mut self, event: &str, key: &str, value: Bson) {
        self.push(event, key, value, self.extra.clone());
    }

    /// Notes the metadata of an object.
    pub fn log_metadata(&mut self, name: &str, metadata: &Metadata) {
        let document = Bson::Document(metadata.to_document());
        let text = crate::storage::legacy_json(&document).to_string();
        let value = doc! { "name": name, "data": text, "format": "metadata" };
        let mut extra = doc! { "name": name };
        extra.extend(self.extra.clone());
        self.push("artifact", name, value.into(), extra);
    }

    /// Writes what was noted, and stops the run if it was started here.
    pub fn leave(mut self) -> Result<()> {
        if self.own {
            self.mark("stop");
        }
        self.flush()
    }

    fn mark(&mut self, event: &str) {
        self.push(event, event, Bson::Null, Document::new());
    }

    fn push(&mut self, event: &str, key: &str, value: Bson, extra: Document) {
        let now = Utc::now();
        let time = match now.timestamp_subsec_micros() {
            0 => now.format("%Y-%m-%dT%H:%M:%S"),
            _ => now.format("%Y-%m-%dT%H:%M:%S%.6f"),
        };
        let mut data = doc! {
            "experiment": &self.name,
            "run": self.run,
            "step": Bson::Null,
            "event": event,
            "key": key,
            "value": value,
            "dt": time.to_string(),
            "node": node(),
            "userid": &self.user,
        };
        data.extend(extra);
        self.events.push(Bson::Document(data));
    }

    fn flush(&mut self) -> Result<()> {
        let events = std::mem::take(&mut self.events);
        if events.is_empty() {
            return Ok(());
        }
        let options = PutOptions {
            mode: PutMode::Append,
            kind: Some("python.data".to_owned()),
            ..PutOptions::default()
        };
        self.datasets
            .put(&dataset(&self.name), Object::Values(events), &options)?;
        Ok(())
    }
}

/// The data set of an experiment's events.
fn dataset(experiment: &str) -> String {
    format!(".experiments/{experiment}")
}

/// Makes the object that stands for the experiment, if it is missing.
fn make(models: &Store, experiment: &str) -> Result<()> {
    let key = models.key(&format!("experiments/{experiment}"));
    let storage: &dyn Storage = &**models.storage();
    if storage.find(&key)?.is_some() {
        return Ok(());
    }
    let mut metadata = Metadata::new(key.clone(), tracker::KIND);
    metadata.kind_meta = doc! { "_om_backend_version": "1" };
    metadata.attributes = doc! { "tracking": { "dataset": dataset(experiment) } };
    metadata.uri = Some(String::new());
    metadata.filename = Some(key.storage_name("omm"));
    let made = storage.write(&key, Mode::Create).and_then(|mut writer| {
        writer.bytes(&tracker::pickle(experiment))?;
        writer.commit(metadata)
    });
    match made {
        // Another task was faster.
        Err(error) if error.kind() == ErrorKind::Conflict => Ok(()),
        made => made.map(drop),
    }
}

/// The number of the latest run, 0 if there was none, and whether it goes on.
fn latest_run(datasets: &Store, experiment: &str) -> Result<(i32, bool)> {
    let storage = datasets.storage();
    let Some(metadata) = storage.find(&datasets.key(&dataset(experiment)))? else {
        return Ok((0, false));
    };
    let marks = ["start", "stop"].map(Bson::from);
    let mut latest = (0, false);
    for document in storage.documents_where(&metadata, "data.event", &marks)? {
        let document = document?;
        let Ok(data) = document.get_document("data") else {
            continue;
        };
        let run = match data.get("run") {
            Some(Bson::Int32(run)) => *run,
            Some(Bson::Int64(run)) => i32::try_from(*run).unwrap_or(i32::MAX - 1),
            _ => continue,
        };
        match data.get_str("event") {
            Ok("start") if run > latest.0 => latest = (run, true),
            Ok("stop") if run == latest.0 => latest.1 = false,
            _ => {}
        }
    }
    Ok(latest)
}

/// This machine, as Python's trackers call it.
fn node() -> String {
    crate::config::variables::platform("HOSTNAME").unwrap_or_else(super::host)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::Omega;
    use crate::store::Stored;

    fn events(om: &Omega, experiment: &str) -> Vec<(i32, String, String)> {
        let Stored::Values(values) = om.datasets.get(&dataset(experiment)).unwrap() else {
            return Vec::new();
        };
        let event = |value: &Bson| {
            let data = value.as_document().unwrap();
            let text = |field| data.get_str(field).unwrap().to_owned();
            (data.get_i32("run").unwrap(), text("event"), text("key"))
        };
        values.iter().map(event).collect()
    }

    #[test]
    fn runs_are_joined_while_they_go_on() {
        let home = tempfile::tempdir().unwrap();
        let om = Omega::embedded(home.path()).unwrap();
        let join = || Experiment::join(&om.objects(), "e", "jane", doc! { "taskid": "t" }).unwrap();
        let mut first = join();
        let mut second = join();
        assert!(first.own && !second.own);
        second.log("metric", "acc", 0.9.into());
        second.leave().unwrap();
        first.log("param", "a", 1.into());
        first.leave().unwrap();
        join().leave().unwrap();
        let event = |run, event: &str, key: &str| (run, event.to_owned(), key.to_owned());
        assert_eq!(
            events(&om, "e"),
            [
                event(1, "start", "start"),
                event(1, "metric", "acc"),
                event(1, "param", "a"),
                event(1, "stop", "stop"),
                event(2, "start", "start"),
                event(2, "stop", "stop"),
            ]
        );
        let tracker = om.models.metadata("experiments/e").unwrap();
        assert_eq!(tracker.kind, "experiment.tracker");
        let tracking = tracker.attributes.get_document("tracking").unwrap();
        assert_eq!(tracking.get_str("dataset").unwrap(), ".experiments/e");
    }
}
