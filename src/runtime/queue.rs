//! The runtime on workers: tasks are sent through a broker and answered by whichever worker
//! takes them, one of ours or of Python omega|ml (spec/runtime.md §3, §4, §15).
//!
//! Every task that is sent is entered in the book of tasks. Workers of ours enter what
//! became of it there; what others answer is entered by whoever reads it first. A task
//! that nobody waits for gets a reply queue of its own that outlives its client.

use super::celery::calls::{Surroundings, TaskCall};
use super::celery::json;
use super::celery::kept;
use super::celery::message::TaskMessage;
use super::celery::pickle::Value;
use super::celery::reply::{Reply, State};
use super::celery::repr;
use super::celery::results::{self, MetadataText};
use super::celery::serial::Serializer;
use super::record::{TaskError, TaskRecord, TaskState};
use super::tasks::{Ending, TaskSelection, Tasks};
use super::tracking;
use super::worker::RETRIES_HEADER;
use super::{Objects, Outcome, Runtime, SubmitOptions};
use crate::broker::{Broker, ConsumeOptions, Consumer, Letter, Lifetime, Message, Queue};
use crate::error::{Error, ErrorKind, Result};
use crate::storage::mongo::Results;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

/// How long to wait for a reply before the book of tasks is looked at.
const LOOK: Duration = Duration::from_millis(500);

/// How long a client waits to say that nobody takes its task.
const PATIENCE: Duration = Duration::from_secs(3);

/// Sends tasks to workers.
pub struct QueueRuntime {
    broker: Arc<dyn Broker>,
    tasks: Tasks,
    objects: Objects,
    bucket: Option<String>,
    label: String,
    results: Option<Results>,
    replies: OnceLock<Replies>,
}

/// What becomes of a task before it is sent.
struct Routed {
    label: String,
    experiment: Option<String>,
}

/// The queue of a client that waits.
struct Replies {
    queue: Queue,
    consumer: Box<dyn Consumer>,
}

impl QueueRuntime {
    /// Sends to the workers of `label`, on the objects of `bucket` (none: the default one).
    pub fn new(
        broker: Arc<dyn Broker>,
        tasks: Tasks,
        objects: Objects,
        bucket: Option<&str>,
        label: &str,
    ) -> Self {
        QueueRuntime {
            broker,
            tasks,
            objects,
            bucket: bucket.map(str::to_owned),
            label: label.to_owned(),
            results: None,
            replies: OnceLock::new(),
        }
    }

    /// Looks for results in a database as well: workers that keep them there do not reply.
    pub fn with_results(mut self, results: Option<Results>) -> Self {
        self.results = results;
        self
    }

    /// What became of a task: as the book has it, or as another worker has kept it.
    fn look(&self, id: &str) -> Result<TaskRecord> {
        let record = self.tasks.get(id)?;
        let Some(results) = self.results.as_ref().filter(|_| !record.state.is_final()) else {
            return Ok(record);
        };
        for document in results.find(&[id])? {
            let reply = kept::read(&document).map_err(|error| error.on(id))?;
            if reply.state.is_final() {
                return self.tasks.learn(id, &ending_of(&reply));
            }
        }
        Ok(record)
    }

    /// The broker.
    pub fn broker(&self) -> &Arc<dyn Broker> {
        &self.broker
    }

    /// The label that a task is sent to.
    pub fn label<'a>(&'a self, options: &'a SubmitOptions) -> &'a str {
        options.label.as_deref().unwrap_or(&self.label)
    }

    /// Where a task is sent and what it is tracked in: as its options say, else as its model
    /// does (spec/runtime.md §6).
    fn routed(&self, call: &TaskCall, options: &SubmitOptions) -> Result<Routed> {
        let mut routed = Routed {
            label: self.label(options).to_owned(),
            experiment: options.experiment.clone(),
        };
        let TaskCall::Model(call) = call else {
            return Ok(routed);
        };
        let model = self.objects.models.metadata(&call.model)?;
        if options.label.is_none()
            && let Ok(required) = model.attributes.get_document("require")
            && let Ok(label) = required.get_str("label")
        {
            routed.label = label.to_owned();
        }
        if routed.experiment.is_none() {
            let label = options.label.as_deref().unwrap_or("default");
            routed.experiment = tracking::linked(&model, label);
        }
        Ok(routed)
    }

    fn replies(&self) -> Result<&Replies> {
        if let Some(replies) = self.replies.get() {
            return Ok(replies);
        }
        let queue = Queue::reply(super::task_id(), Lifetime::Consumer);
        let options = ConsumeOptions {
            prefetch: 64,
            ..ConsumeOptions::default()
        };
        let consumer = self
            .broker
            .consume(std::slice::from_ref(&queue), &options)?;
        Ok(self.replies.get_or_init(|| Replies { queue, consumer }))
    }

    /// Sends a task whose replies wait for whoever asks.
    fn lasting(
        &self,
        id: Option<&str>,
        call: &TaskCall,
        options: &SubmitOptions,
    ) -> Result<String> {
        let queue = Queue::reply(super::task_id(), Lifetime::Expiry);
        self.broker.declare(&queue)?;
        self.send(id, call, options, &queue, true)
    }

    fn send(
        &self,
        id: Option<&str>,
        call: &TaskCall,
        options: &SubmitOptions,
        reply_to: &Queue,
        lasting: bool,
    ) -> Result<String> {
        self.objects.check_run(call)?;
        let routed = self.routed(call, options)?;
        let label = routed.label.as_str();
        let surroundings = Surroundings {
            pure_python: true,
            bucket: self.bucket.clone(),
            experiment: routed.experiment.map(Some),
            ..Surroundings::default()
        };
        let (task, args, kwargs) = call.arguments(&surroundings)?;
        let given = id.is_some();
        let id = id.map_or_else(super::task_id, str::to_owned);
        let mut message = TaskMessage::new(&id, &task, args, kwargs);
        message.reply_to = Some(reply_to.name.clone());
        message.priority = Some(options.priority);
        message.soft_time_limit = options.time_limit.map(|limit| limit.as_secs_f64());
        message.time_limit = options.time_limit.map(|limit| limit.as_secs_f64() + 30.0);
        message.origin = Some(format!("om{}@{}", std::process::id(), super::host()));
        let at = |delay: Duration| {
            let delay = chrono::TimeDelta::from_std(delay).ok()?;
            Some((chrono::Utc::now() + delay).fixed_offset())
        };
        message.eta = options.countdown.and_then(at);
        message.expires = options.expires.and_then(at);
        let mut sent = message.write(serializer(&message))?;
        if options.retries > 0 {
            sent.headers
                .insert(RETRIES_HEADER.to_owned(), options.retries.into());
        }
        let record = TaskRecord {
            args: repr::summary(&Value::tuple(message.args.iter().cloned())),
            label: label.to_owned(),
            bucket: self.bucket.clone().unwrap_or_default(),
            reply_to: lasting.then(|| reply_to.name.clone()),
            ..TaskRecord::new(&id, &task)
        };
        match given {
            true => self.tasks.submit_unless_known(&record)?,
            false => self.tasks.submit(&record)?,
        }
        if let Err(error) = self.publish(&Letter::new(label, sent)) {
            // What may have been sent all the same stays in the book.
            if error.kind() != ErrorKind::TimedOut && !given {
                self.tasks.withdraw(&id)?;
            }
            return Err(error);
        }
        Ok(id)
    }

    /// Publishes a task. Its queue is made when it is missing, which it mostly is not.
    fn publish(&self, letter: &Letter) -> Result<()> {
        match self.broker.publish(letter) {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                self.broker.declare(&Queue::task(&letter.queue))?;
                self.broker.publish(letter)
            }
            published => published,
        }
    }

    /// Waits for the reply to a task that this client has sent.
    fn answer(&self, id: &str, replies: &Replies, options: &SubmitOptions) -> Result<TaskRecord> {
        let label = self.label(options);
        let sent = Instant::now();
        let mut told = false;
        loop {
            self.objects.progress.check()?;
            if options
                .patience
                .is_some_and(|limit| sent.elapsed() >= limit)
            {
                return Err(
                    Error::new(ErrorKind::TimedOut, "no worker has answered in time").on(id),
                );
            }
            if let Some(delivery) = replies.consumer.next(LOOK)? {
                let of = delivery.message.properties.correlation_id.as_deref();
                let learned = match of == Some(id) {
                    true => self.learned(id, &delivery.message)?,
                    false => None,
                };
                replies.consumer.ack(delivery)?;
                if let Some(record) = learned {
                    return Ok(record);
                }
                continue;
            }
            let record = self.look(id)?;
            if record.state.is_final() {
                return Ok(record);
            }
            if !told && record.state == TaskState::Pending && sent.elapsed() > PATIENCE {
                told = true;
                if self
                    .broker
                    .depth(label)
                    .is_ok_and(|depth| depth.consumers == 0)
                {
                    self.objects.progress.note(&format!(
                        "waiting: no worker takes tasks of `{label}`; start one: om runtime worker"
                    ));
                }
            }
        }
    }

    /// Enters what a reply says, also that it cannot be read; the record when the task is
    /// finished.
    fn learned(&self, id: &str, message: &Message) -> Result<Option<TaskRecord>> {
        let ending = match Reply::read(message) {
            Ok(reply) if !reply.state.is_final() => return Ok(None),
            Ok(reply) => ending_of(&reply),
            Err(error) => Ending::Failure(TaskError {
                message: format!("its answer cannot be read: {error}"),
                ..TaskError::default()
            }),
        };
        let known = self.tasks.get(id)?;
        if known.state.is_final() {
            return Ok(Some(known));
        }
        let Some(size) = ending.is_too_large() else {
            return self.tasks.learn(id, &ending).map(Some);
        };
        // Too large to be kept, but here it is.
        let kept = format!("an answer of {size} bytes, which were not kept");
        let mut record = self.tasks.learn(id, &Ending::Success(kept.into()))?;
        if let (TaskState::Success, Ending::Success(result)) = (record.state, ending) {
            record.result = result;
        }
        Ok(Some(record))
    }

    fn outcome(&self, record: TaskRecord) -> Result<Outcome> {
        outcome(record, &self.objects)
    }
}

/// JSON where it can carry the arguments, else pickle.
fn serializer(message: &TaskMessage) -> Serializer {
    let values = message.args.iter();
    let named = message.kwargs.0.iter().map(|(_, value)| value);
    match values.chain(named).all(|value| json::plain(value).is_ok()) {
        true => Serializer::Json,
        false => Serializer::Pickle,
    }
}

/// How a task has ended that a worker has replied to.
fn ending_of(reply: &Reply) -> Ending {
    match &reply.state {
        State::Success => match json::shown(&reply.result) {
            Ok(result) => Ending::Success(result),
            Err(_) => Ending::Success(repr::repr(&reply.result).into()),
        },
        State::Revoked => Ending::Revoked,
        _ => {
            let exception = reply.exception();
            Ending::Failure(TaskError {
                class: exception.as_ref().map_or_else(String::new, |exception| {
                    format!("{}.{}", exception.module, exception.class)
                }),
                message: exception.map_or_else(String::new, |exception| exception.message()),
                traceback: reply.traceback.clone(),
            })
        }
    }
}

/// What a finished task answered.
///
/// # Errors
/// [`ErrorKind::TaskFailed`] with the task's own error.
pub fn outcome(record: TaskRecord, objects: &Objects) -> Result<Outcome> {
    outcome_of(record.outcome()?, objects)
}

/// What an answer stands for.
pub(super) fn outcome_of(result: serde_json::Value, objects: &Objects) -> Result<Outcome> {
    if let serde_json::Value::Number(number) = &result
        && let Some(number) = number.as_f64()
    {
        return Ok(Outcome::Number(number));
    }
    if let serde_json::Value::String(text) = &result
        && let Some(text) = MetadataText::parse(text)
    {
        let store = match text.prefix.as_str() {
            "models/" => Some(&*objects.models),
            "data/" => Some(&objects.datasets),
            "jobs/" => Some(&*objects.jobs),
            _ => None,
        };
        if let Some(store) = store
            && let Ok(metadata) = store.metadata(&text.name)
        {
            return Ok(Outcome::Metadata(Box::new(metadata)));
        }
    }
    if result.as_array().is_some_and(|rows| !rows.is_empty())
        && let Ok(Some(frame)) = results::to_frame(&json::to_value(&result))
    {
        return Ok(Outcome::Table(frame));
    }
    Ok(Outcome::Value(result))
}

impl Runtime for QueueRuntime {
    fn run(&self, call: &TaskCall, options: &SubmitOptions) -> Result<Outcome> {
        let replies = self.replies()?;
        let id = self.send(None, call, options, &replies.queue, false)?;
        let answered = self.answer(&id, replies, options);
        if let Err(error) = &answered
            && matches!(error.kind(), ErrorKind::Interrupted | ErrorKind::TimedOut)
        {
            // Nobody waits for it any more.
            if let Err(error) = self.revoke(&id) {
                tracing::warn!("task {id} goes on: {error}");
            }
        }
        self.outcome(answered?)
    }

    fn submit(&self, call: &TaskCall, options: &SubmitOptions) -> Result<String> {
        self.lasting(None, call, options)
    }

    fn submit_as(&self, id: &str, call: &TaskCall, options: &SubmitOptions) -> Result<()> {
        match self.tasks.get(id) {
            Ok(known) if known.state != TaskState::Pending => return Ok(()),
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        self.lasting(Some(id), call, options).map(drop)
    }

    fn tasks(&self, selection: &TaskSelection) -> Result<Vec<TaskRecord>> {
        self.tasks.list(selection)
    }

    fn task(&self, id: &str) -> Result<TaskRecord> {
        let record = self.tasks.get(id)?;
        match (record.state.is_final(), &record.reply_to) {
            (false, Some(_)) => self.wait(id, Duration::ZERO),
            _ => Ok(record),
        }
    }

    fn wait(&self, id: &str, limit: Duration) -> Result<TaskRecord> {
        let end = Instant::now().checked_add(limit);
        let mut consumer: Option<Box<dyn Consumer>> = None;
        loop {
            let record = self.look(id)?;
            if record.state.is_final() {
                return Ok(record);
            }
            self.objects.progress.check()?;
            if consumer.is_none()
                && let Some(queue) = &record.reply_to
            {
                let queue = Queue::reply(queue.as_str(), Lifetime::Expiry);
                consumer = Some(self.broker.consume(&[queue], &ConsumeOptions::default())?);
            }
            let left = end.map_or(LOOK, |end| end.saturating_duration_since(Instant::now()));
            let pause = left.min(LOOK).max(Duration::from_millis(20));
            match &consumer {
                None => std::thread::sleep(pause.min(Duration::from_millis(50))),
                Some(consumer) => {
                    if let Some(delivery) = consumer.next(pause)? {
                        let learned = self.learned(id, &delivery.message)?;
                        consumer.ack(delivery)?;
                        if let Some(record) = learned {
                            return Ok(record);
                        }
                        continue;
                    }
                }
            }
            if left.is_zero() {
                return self.tasks.get(id);
            }
        }
    }

    fn revoke(&self, id: &str) -> Result<bool> {
        let revoked = self.tasks.revoke(id)?;
        if revoked {
            super::control::revoke(self.broker.as_ref(), id)?;
        } else {
            self.tasks.get(id)?;
        }
        Ok(revoked)
    }
}
