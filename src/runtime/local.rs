//! The local runtime: tasks run in this process; records of tasks that were submitted to
//! run later are kept in the store, where any process finds them.

use super::{Call, Objects, Outcome, Runtime, TaskRecord, TaskState};
use crate::error::{Context, Error, ErrorKind, Result};
use crate::store::{Object, PutMode, PutOptions, Stored};
use chrono::{SecondsFormat, Utc};

/// Runs tasks in this process.
pub struct LocalRuntime {
    objects: Objects,
}

impl LocalRuntime {
    /// A runtime over `objects`.
    pub fn new(objects: Objects) -> Self {
        LocalRuntime { objects }
    }

    /// Runs a submitted task and records what became of it.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`]; [`ErrorKind::Conflict`] when it was started already. A task
    /// that fails is recorded as such and is no error here.
    pub fn execute(&self, id: &str) -> Result<TaskRecord> {
        let mut record = self.task(id)?;
        if record.state != TaskState::Pending {
            return Err(Error::conflict(format!("task {id} was started already")));
        }
        record.state = TaskState::Started;
        record.started = Some(now());
        record.pid = Some(std::process::id());
        self.save(&record, PutMode::Replace)?;
        match self.run(&record.call).and_then(|outcome| outcome.to_json()) {
            Ok(result) => {
                record.state = TaskState::Success;
                record.result = result;
            }
            Err(error) => {
                record.state = TaskState::Failure;
                record.error = Some(error.to_string());
            }
        }
        record.ended = Some(now());
        self.save(&record, PutMode::Replace)?;
        Ok(record)
    }

    fn save(&self, record: &TaskRecord, mode: PutMode) -> Result<()> {
        let value = bson::serialize_to_bson(record).context(|| "cannot record the task")?;
        let options = PutOptions {
            mode,
            ..PutOptions::default()
        };
        self.objects
            .tasks
            .put(&record.id, Object::Values(vec![value]), &options)?;
        Ok(())
    }
}

impl Runtime for LocalRuntime {
    fn run(&self, call: &Call) -> Result<Outcome> {
        match call {
            Call::Model(call) => call.run(&self.objects),
        }
    }

    fn submit(&self, call: Call) -> Result<String> {
        let record = TaskRecord {
            id: task_id(),
            call,
            state: TaskState::Pending,
            submitted: now(),
            started: None,
            ended: None,
            pid: None,
            result: serde_json::Value::Null,
            error: None,
        };
        self.save(&record, PutMode::Create)?;
        Ok(record.id)
    }

    fn task(&self, id: &str) -> Result<TaskRecord> {
        let stored = self
            .objects
            .tasks
            .get(id)
            .map_err(|error| match error.kind() {
                ErrorKind::NotFound => Error::not_found(format!("there is no task {id}")),
                _ => error,
            })?;
        let Stored::Values(mut values) = stored else {
            return Err(Error::corrupt("the record is malformed").on(id));
        };
        let value = values
            .pop()
            .ok_or_else(|| Error::corrupt("the record is empty").on(id))?;
        bson::deserialize_from_bson(value)
            .context(|| format!("the record of task {id} is malformed"))
    }
}

fn now() -> String {
    Utc::now().to_rfc3339_opts(SecondsFormat::Millis, true)
}

/// A version 4 UUID.
fn task_id() -> String {
    let mut bits = rand::random::<u128>();
    bits = bits & !(0xf << 76) | (4 << 76);
    bits = bits & !(0b11 << 62) | (0b10 << 62);
    let hex = format!("{bits:032x}");
    let part = |from, to| hex.get(from..to).unwrap_or_default();
    [
        part(0, 8),
        part(8, 12),
        part(12, 16),
        part(16, 20),
        part(20, 32),
    ]
    .join("-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn task_ids_are_version_4_uuids() {
        let id = task_id();
        let parts: Vec<&str> = id.split('-').collect();
        assert_eq!(
            parts.iter().map(|part| part.len()).collect::<Vec<_>>(),
            [8, 4, 4, 4, 12]
        );
        assert!(id.get(14..15) == Some("4"), "{id}");
        assert!(
            matches!(id.get(19..20), Some("8" | "9" | "a" | "b")),
            "{id}"
        );
    }
}
