//! The book of tasks: one record a task, in the store, the same on every profile. It says
//! what became of a task to whoever asks, and it decides who runs one: of all workers that
//! are handed a task, the one whose claim is in the book. A claim is a lease that the
//! worker renews; when it dies, another takes over.

use super::record::{TaskError, TaskRecord, TaskState};
use crate::access::{Rights, Role};
use crate::error::{Context, Error, Result};
use crate::storage::Storage;
use crate::storage::records::{Alteration, Change, Record, Records, When, now};
use bson::{Bson, Document};
use serde_json::Value;
use std::time::Duration;

/// The space of the records.
const SPACE: &str = "tasks";

/// How long a worker may be silent before its tasks are another's.
pub const LEASE: Duration = Duration::from_secs(30);

/// How long the record of a finished task is kept, unless settings say otherwise.
pub const RETENTION: Duration = Duration::from_secs(7 * 24 * 3600);

/// Bytes of a result that a record holds at the most.
pub const LARGEST_RESULT: usize = 8 << 20;

/// The records of tasks.
pub struct Tasks {
    records: Box<dyn Records>,
    retention: Duration,
    /// Whose tasks are told of, and what the default bucket is called.
    seen_by: (Rights, String),
}

/// What came of a claim.
#[derive(Debug, Clone, PartialEq)]
pub enum Claim {
    /// The task is the claimant's to run; the record says how often it was started.
    Taken(TaskRecord),
    /// It is finished.
    Finished(TaskRecord),
    /// Another worker runs it.
    Held(TaskRecord),
}

/// Which tasks to list.
#[derive(Debug, Clone, Default)]
pub struct TaskSelection {
    /// In these states; all when empty.
    pub states: Vec<TaskState>,
    /// At the most.
    pub limit: Option<u64>,
}

/// How a task has ended.
#[derive(Debug, Clone, PartialEq)]
pub enum Ending {
    /// Well, with this answer.
    Success(Value),
    /// It failed.
    Failure(TaskError),
    /// It was called off.
    Revoked,
}

impl Ending {
    /// The size of a result that a record cannot hold, in bytes.
    pub fn is_too_large(&self) -> Option<usize> {
        match self {
            Ending::Success(result) => {
                let size = json_size(result);
                (size > LARGEST_RESULT).then_some(size)
            }
            Ending::Failure(_) | Ending::Revoked => None,
        }
    }
}

impl Tasks {
    /// The tasks of a storage.
    pub fn new(storage: &dyn Storage, retention: Duration) -> Self {
        Tasks {
            records: storage.records(SPACE),
            retention,
            seen_by: (Rights::all(), String::new()),
        }
    }

    /// The same, but tasks that somebody with `rights` could not have run are not there.
    pub fn seen_by(mut self, rights: &Rights, default_bucket: &str) -> Self {
        self.seen_by = (rights.clone(), default_bucket.to_owned());
        self
    }

    fn is_seen(&self, task: &TaskRecord) -> bool {
        let (rights, default) = &self.seen_by;
        let bucket = match task.bucket.as_str() {
            "" | "default" => default,
            named => named,
        };
        rights.allow(
            Role::Run,
            bucket,
            super::celery::calls::prefix_of(&task.task),
        )
    }

    /// Enters a task that is about to be sent.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Conflict`] when there is one of this id.
    pub fn submit(&self, task: &TaskRecord) -> Result<()> {
        let there = self.records.insert(&[self.record(task)?])?;
        match there.is_empty() {
            true => Ok(()),
            false => Err(Error::conflict(format!("there is a task {}", task.id)).on(&task.id)),
        }
    }

    /// Enters a task that another program has sent, unless it is known.
    pub fn submit_unless_known(&self, task: &TaskRecord) -> Result<()> {
        self.records.insert(&[self.record(task)?]).map(drop)
    }

    /// Takes a task out that could not be sent.
    pub fn withdraw(&self, id: &str) -> Result<()> {
        self.records.remove(&[id]).map(drop)
    }

    /// What is known of a task.
    ///
    /// # Errors
    /// [`crate::ErrorKind::NotFound`].
    pub fn get(&self, id: &str) -> Result<TaskRecord> {
        let found = self.records.get(id)?.map(task).transpose()?;
        match found.filter(|task| self.is_seen(task)) {
            Some(task) => Ok(task),
            None => Err(Error::not_found(format!("there is no task {id}"))
                .on(id)
                .hint("finished tasks are forgotten after some days; see: om runtime tasks list")),
        }
    }

    /// Tasks, newest first.
    pub fn list(&self, selection: &TaskSelection) -> Result<Vec<TaskRecord>> {
        let states: Vec<&str> = selection.states.iter().map(|state| state.word()).collect();
        let conditions = match states.is_empty() {
            true => Vec::new(),
            false => vec![When::states(&states)],
        };
        let found = self
            .records
            .list(&conditions, selection.limit.unwrap_or(u64::MAX))?;
        let mut tasks: Vec<TaskRecord> = found.into_iter().map(task).collect::<Result<_>>()?;
        tasks.retain(|task| self.is_seen(task));
        Ok(tasks)
    }

    /// Claims tasks for a worker (its name, perhaps with a blank and more), in one go; the answers are in their order. Tasks that
    /// nobody has entered, because another program has sent them, are entered.
    pub fn claim(&self, tasks: &[TaskRecord], worker: &str, lease: Duration) -> Result<Vec<Claim>> {
        let started = super::timestamp();
        // What follows the name tells processes apart, and is nobody else's business.
        let name = worker.split(' ').next().unwrap_or(worker);
        let due = Some(now().saturating_add(millis(lease)));
        let fresh: Vec<Record> = tasks
            .iter()
            .map(|task| {
                let mut record = self.record(&TaskRecord {
                    state: TaskState::Started,
                    started: Some(started.clone()),
                    worker: Some(name.to_owned()),
                    attempts: 1,
                    ..task.clone()
                })?;
                worker.clone_into(&mut record.owner);
                record.due = due;
                Ok(record)
            })
            .collect::<Result<_>>()?;
        let known = self.records.insert(&fresh)?;
        let change = Change {
            state: Some(TaskState::Started.word().to_owned()),
            owner: Some(worker.to_owned()),
            due: Some(due),
            set: vec![
                ("started".to_owned(), started.into()),
                ("worker".to_owned(), name.into()),
            ],
            add: vec![("attempts".to_owned(), 1)],
            ..Change::default()
        };
        let known: Vec<&str> = known.iter().map(String::as_str).collect();
        let taken = match known.is_empty() {
            true => Vec::new(),
            false => self
                .records
                .change(&Alteration::all(&known, &claimable(), &change))?,
        };
        let mut claims = Vec::with_capacity(tasks.len());
        for (task, record) in tasks.iter().zip(fresh) {
            let taken = match known.contains(&task.id.as_str()) {
                false => Some(record),
                true => taken.iter().find(|taken| taken.id == task.id).cloned(),
            };
            claims.push(match taken {
                Some(record) => Claim::Taken(self::task(record)?),
                None => {
                    let held = self.get(&task.id)?;
                    match held.state.is_final() {
                        true => Claim::Finished(held),
                        false => Claim::Held(held),
                    }
                }
            });
        }
        Ok(claims)
    }

    /// Renews the leases of tasks that a worker runs; answers those that are still its own.
    pub fn renew(&self, ids: &[&str], worker: &str, lease: Duration) -> Result<Vec<String>> {
        let mine = When {
            owner: Some(worker.to_owned()),
            ..When::states(&[TaskState::Started.word()])
        };
        let change = Change {
            due: Some(Some(now().saturating_add(millis(lease)))),
            ..Change::default()
        };
        let renewed = self
            .records
            .change(&Alteration::all(ids, &[mine], &change))?;
        Ok(renewed.into_iter().map(|record| record.id).collect())
    }

    /// Hands back a task that its worker has not finished, to be run by another. One that
    /// goes back to pending counts as not started: nobody has died over it.
    pub fn release(&self, id: &str, worker: &str, state: TaskState) -> Result<()> {
        let mine = When {
            owner: Some(worker.to_owned()),
            ..When::states(&[TaskState::Started.word()])
        };
        let change = Change {
            state: Some(state.word().to_owned()),
            owner: Some(String::new()),
            due: Some(None),
            add: match state {
                TaskState::Pending => vec![("attempts".to_owned(), -1)],
                _ => Vec::new(),
            },
            ..Change::default()
        };
        self.records
            .change(&Alteration::all(&[id], &[mine], &change))
            .map(drop)
    }

    /// Enters how tasks have ended, in one go; answers those that were still the worker's.
    /// Exactly one ending of a task is entered.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Invalid`] for a result that is too large, before anything is
    /// entered: see [`Ending::is_too_large`].
    pub fn finish(&self, endings: &[(&str, &Ending)], worker: &str) -> Result<Vec<String>> {
        let mine = When {
            owner: Some(worker.to_owned()),
            ..When::states(&[TaskState::Started.word()])
        };
        let ended = self.end(endings, &[mine])?;
        Ok(ended.into_iter().map(|record| record.id).collect())
    }

    /// Enters tasks that were run without a claim, which is for what changes nothing, with
    /// their endings; answers those that nobody else has ended or claimed.
    ///
    /// # Errors
    /// As [`Tasks::finish`].
    pub fn conclude(&self, tasks: &[(TaskRecord, &Ending)], worker: &str) -> Result<Vec<String>> {
        let name = worker.split(' ').next().unwrap_or(worker);
        let changes = tasks
            .iter()
            .map(|(task, ending)| {
                let mut change = self.ended(ending).map_err(|error| error.on(&task.id))?;
                change.owner = Some(worker.to_owned());
                let started = task.started.as_deref().unwrap_or(&task.submitted);
                change.set.push(("started".to_owned(), started.into()));
                change.set.push(("worker".to_owned(), name.into()));
                change.add.push(("attempts".to_owned(), 1));
                Ok(change)
            })
            .collect::<Result<Vec<Change>>>()?;
        let fresh = tasks
            .iter()
            .zip(&changes)
            .map(|((task, _), change)| {
                let mut record = self.record(task)?;
                change.apply(&mut record);
                Ok(record)
            })
            .collect::<Result<Vec<Record>>>()?;
        let known = self.records.insert(&fresh)?;
        let (known, new): (Vec<_>, Vec<_>) = tasks
            .iter()
            .zip(changes)
            .partition(|((task, _), _)| known.contains(&task.id));
        let alterations: Vec<Alteration> = known
            .into_iter()
            .map(|((task, _), change)| Alteration {
                id: task.id.clone(),
                conditions: claimable().to_vec(),
                change,
            })
            .collect();
        let changed = self.records.change(&alterations)?;
        let new = new.into_iter().map(|((task, _), _)| task.id.clone());
        Ok(new
            .chain(changed.into_iter().map(|record| record.id))
            .collect())
    }

    /// Enters the answer of a worker that is another program, if it is the first; the task
    /// as it is then.
    pub fn learn(&self, id: &str, ending: &Ending) -> Result<TaskRecord> {
        match self.end(&[(id, ending)], &[unfinished()])?.pop() {
            Some(record) => task(record),
            None => self.get(id),
        }
    }

    /// Calls a task off, unless it is finished; whether it was not.
    pub fn revoke(&self, id: &str) -> Result<bool> {
        if !self.seen_by.0.are_unlimited() {
            self.get(id)?;
        }
        let ended = self.end(&[(id, &Ending::Revoked)], &[unfinished()])?;
        Ok(!ended.is_empty())
    }

    fn end(&self, endings: &[(&str, &Ending)], conditions: &[When]) -> Result<Vec<Record>> {
        let changes = endings
            .iter()
            .map(|(id, ending)| {
                Ok(Alteration {
                    id: (*id).to_owned(),
                    conditions: conditions.to_vec(),
                    change: self.ended(ending).map_err(|error| error.on(*id))?,
                })
            })
            .collect::<Result<Vec<_>>>()?;
        self.records.change(&changes)
    }

    fn ended(&self, ending: &Ending) -> Result<Change> {
        let mut set = vec![("ended".to_owned(), super::timestamp().into())];
        let state = match ending {
            Ending::Success(result) => {
                if let Some(size) = ending.is_too_large() {
                    return Err(Error::invalid(format!(
                        "the result has {size} bytes, a task's record holds {LARGEST_RESULT}"
                    ))
                    .hint("store the result as a data set: --result NAME"));
                }
                let result =
                    bson::serialize_to_bson(result).context(|| "cannot keep the result")?;
                set.push(("result".to_owned(), result));
                TaskState::Success
            }
            Ending::Failure(error) => {
                let error = bson::serialize_to_bson(error).context(|| "cannot keep the error")?;
                set.push(("error".to_owned(), error));
                TaskState::Failure
            }
            Ending::Revoked => TaskState::Revoked,
        };
        Ok(Change {
            state: Some(state.word().to_owned()),
            due: Some(None),
            expires: Some(Some(now().saturating_add(millis(self.retention)))),
            set,
            ..Change::default()
        })
    }

    /// Removes the records of tasks that ended long ago; how many.
    pub fn sweep(&self) -> Result<u64> {
        self.records.sweep()
    }

    fn record(&self, task: &TaskRecord) -> Result<Record> {
        let body = bson::serialize_to_document(task).context(|| "cannot record the task")?;
        let mut record = Record::new(&task.id, task.state.word());
        record.body = body;
        record.body.remove("id");
        record.body.remove("state");
        // Tasks that are never run are forgotten as well.
        record.expires = Some(now().saturating_add(millis(self.retention).saturating_mul(4)));
        Ok(record)
    }
}

/// When a task may be claimed: it waits, or its worker is dead.
fn claimable() -> [When; 2] {
    [
        When::states(&[TaskState::Pending.word(), TaskState::Retry.word()]),
        When {
            due_by: Some(now()),
            ..When::states(&[TaskState::Started.word()])
        },
    ]
}

fn unfinished() -> When {
    When::states(&[
        TaskState::Pending.word(),
        TaskState::Started.word(),
        TaskState::Retry.word(),
    ])
}

fn task(record: Record) -> Result<TaskRecord> {
    let mut body: Document = record.body;
    body.insert("id", record.id.as_str());
    body.insert("state", record.state);
    bson::deserialize_from_bson(Bson::Document(body))
        .context(|| format!("the record of task {} is malformed", record.id))
}

/// Bytes of a value as JSON, which is not made.
fn json_size(value: &Value) -> usize {
    struct Count(usize);
    impl std::io::Write for Count {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0 += bytes.len();
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let mut count = Count(0);
    match serde_json::to_writer(&mut count, value) {
        Ok(()) => count.0,
        Err(_) => usize::MAX,
    }
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
