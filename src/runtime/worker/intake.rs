//! How messages become claimed tasks: reads them, leaves out what is garbage, too late or
//! too early, and claims the rest in the book of tasks, many at a time.

use super::Shared;
use super::ending::{self, Ended};
use super::execute::Failure;
use super::held::Held;
use super::stop::Reason;
use crate::broker::Delivery;
use crate::error::{Error, Result};
use crate::runtime::celery::calls::{Surroundings, TaskCall};
use crate::runtime::celery::event::Event;
use crate::runtime::celery::exception::Exception;
use crate::runtime::celery::message::TaskMessage;
use crate::runtime::celery::pickle::Value;
use crate::runtime::celery::reply::Reply;
use crate::runtime::celery::repr;
use crate::runtime::logs::Level;
use crate::runtime::record::TaskRecord;
use crate::runtime::tasks::Claim;
use chrono::Utc;
use std::sync::Arc;
use std::time::Duration;

/// Messages that are claimed at a time, at the most.
const BATCH: usize = 128;

/// How long to wait for a message before looking at other things.
const TICK: Duration = Duration::from_millis(200);

/// When a task that another worker runs is looked at again.
const LOOK_AGAIN: Duration = Duration::from_secs(5);

/// How long to wait before a store that cannot be reached is tried again.
const PAUSE: Duration = Duration::from_secs(1);

/// Receives some messages and deals with them; how many there were.
pub(super) fn receive(shared: &Shared) -> Result<usize> {
    let Some(first) = shared.consumer.next(TICK)? else {
        return Ok(0);
    };
    let mut batch = vec![first];
    while batch.len() < BATCH
        && let Some(next) = shared.consumer.next(Duration::ZERO)?
    {
        batch.push(next);
    }
    let count = batch.len();
    let mut waiting: Vec<(TaskMessage, Delivery)> = batch
        .into_iter()
        .filter_map(|delivery| admitted(shared, delivery))
        .collect();
    // One message of a task at a time: a second one asks who runs it.
    while !waiting.is_empty() {
        let mut now: Vec<(TaskMessage, Delivery)> = Vec::with_capacity(waiting.len());
        let mut later = Vec::new();
        for one in waiting {
            match now.iter().any(|(task, _)| task.id == one.0.id) {
                true => later.push(one),
                false => now.push(one),
            }
        }
        let (pure, now): (Vec<_>, Vec<_>) = now.into_iter().partition(is_pure);
        for (task, delivery) in pure {
            take(shared, task, delivery, 1, false);
        }
        if !now.is_empty() {
            claim(shared, now);
        }
        waiting = later;
    }
    Ok(count)
}

/// Whether a task changes nothing and came here first: it is run without a claim, which takes
/// longer than most of them, and is entered when it has ended.
fn is_pure((task, delivery): &(TaskMessage, Delivery)) -> bool {
    let call = || {
        TaskCall::of(task).is_ok_and(|(call, surroundings)| {
            call.is_pure() && surroundings.experiment.flatten().is_none()
        })
    };
    !delivery.redelivered && task.retries == 0 && call()
}

/// The task of a message, if it is one and to be run now.
fn admitted(shared: &Shared, delivery: Delivery) -> Option<(TaskMessage, Delivery)> {
    let task = match TaskMessage::read(&delivery.message) {
        Ok(task) => task,
        Err(error) => {
            tracing::error!("a message on `{}` is refused: {error}", delivery.queue);
            let text = format!("a message on `{}` is refused: {error}", delivery.queue);
            shared.log.say(Level::Error, text);
            refuse(shared, delivery, &error);
            return None;
        }
    };
    let now = Utc::now();
    if task.expires.is_some_and(|expires| expires < now) {
        drop_task(shared, &task, delivery, "expired");
        return None;
    }
    if shared.is_revoked(&task.id) {
        drop_task(shared, &task, delivery, "revoked");
        return None;
    }
    if let Some(eta) = task.eta
        && let Ok(delay) = (eta.with_timezone(&Utc) - now).to_std()
    {
        let put_off = shared.consumer.requeue(delivery, delay);
        if let Err(error) = put_off {
            tracing::warn!("task {} cannot be put off: {error}", task.id);
        }
        return None;
    }
    let turn = shared.rates.wait(&task.task);
    if !turn.is_zero() {
        if let Err(error) = shared.consumer.requeue(delivery, turn) {
            tracing::warn!("task {} cannot be put off: {error}", task.id);
        }
        return None;
    }
    Some((task, delivery))
}

/// A message that is no task goes to the dead letters; whoever waits for it is told.
fn refuse(shared: &Shared, delivery: Delivery, error: &Error) {
    let properties = &delivery.message.properties;
    let id = delivery
        .message
        .headers
        .get("id")
        .and_then(|id| id.as_str());
    let id = id
        .or(properties.correlation_id.as_deref())
        .map(str::to_owned);
    let reply_to = properties.reply_to.clone();
    if let Some(id) = id {
        let task = delivery
            .message
            .headers
            .get("task")
            .and_then(|task| task.as_str());
        let record = TaskRecord {
            label: delivery.queue.clone(),
            reply_to: reply_to.clone(),
            ..TaskRecord::new(&id, task.unwrap_or("?"))
        };
        let exception = Exception::from_error(error);
        let entered = shared
            .tasks
            .claim(&[record], &shared.claimant, shared.options.lease)
            .and_then(|_| {
                let ending = ending::failure(&exception);
                shared.tasks.finish(&[(&id, &ending)], &shared.claimant)
            });
        if let Err(error) = entered {
            tracing::warn!("task {id} cannot be recorded: {error}");
        }
        let reply = Reply::failure(&id, &exception, "").write(shared.options.serializer);
        if let (Some(queue), Ok(message)) = (reply_to, reply) {
            let letter = crate::broker::Letter::new(queue, message);
            if let Err(error) = shared.broker.publish(&letter) {
                tracing::warn!("task {id}: nobody can be told: {error}");
            }
        }
    }
    if let Err(error) = shared.consumer.reject(delivery, &error.to_string()) {
        tracing::warn!("a refused message comes again: {error}");
    }
}

/// A task that shall not be run any more.
fn drop_task(shared: &Shared, task: &TaskMessage, delivery: Delivery, reason: &str) {
    tracing::info!("task {} is dropped: {reason}", task.id);
    let entered = shared
        .tasks
        .submit_unless_known(&record(task, &delivery.queue))
        .and_then(|()| shared.tasks.revoke(&task.id));
    if let Err(error) = entered {
        tracing::warn!("task {}: {error}", task.id);
    }
    shared
        .events
        .tell(|| Event::revoked(&shared.sender, &task.id, false, reason == "expired"));
    let limits = (None, None);
    let held = Held::new(task.clone(), delivery, 0, true, limits);
    let letters = ending::reply(shared, &held, Reply::revoked(&task.id, reason));
    if let Some(delivery) = held.take()
        && let Err(error) = shared.consumer.finish(delivery, Vec::from_iter(letters))
    {
        tracing::warn!("task {}: {error}", task.id);
    }
}

/// Claims tasks and hands those that are ours to the threads.
fn claim(shared: &Shared, batch: Vec<(TaskMessage, Delivery)>) {
    let records: Vec<TaskRecord> = batch
        .iter()
        .map(|(task, delivery)| record(task, &delivery.queue))
        .collect();
    let claims = loop {
        match shared
            .tasks
            .claim(&records, &shared.claimant, shared.options.lease)
        {
            Ok(claims) => break claims,
            Err(error) if shared.is_stopping() => {
                tracing::warn!("{} tasks are not claimed: {error}", batch.len());
                for (_, delivery) in batch {
                    let _ = shared.consumer.requeue(delivery, Duration::ZERO);
                }
                return;
            }
            Err(error) => {
                tracing::warn!("tasks cannot be claimed, trying again: {error}");
                std::thread::sleep(PAUSE);
            }
        }
    };
    for ((task, delivery), claim) in batch.into_iter().zip(claims) {
        match claim {
            Claim::Taken(record) => take(shared, task, delivery, record.attempts, true),
            Claim::Finished(record) => {
                let letters = ending::repeated(shared, &task, &record);
                if let Err(error) = shared.consumer.finish(delivery, Vec::from_iter(letters)) {
                    tracing::warn!("task {}: {error}", task.id);
                }
            }
            // Its message has come again because its worker has lost the broker, or is dead.
            Claim::Held(_) => {
                if let Err(error) = shared.consumer.requeue(delivery, LOOK_AGAIN) {
                    tracing::warn!("task {}: {error}", task.id);
                }
            }
        }
    }
}

fn take(shared: &Shared, task: TaskMessage, delivery: Delivery, attempts: i64, claimed: bool) {
    shared
        .events
        .tell(|| Event::received(&shared.sender, &task));
    let limits = (shared.options.soft_limit, shared.options.hard_limit);
    let held = Arc::new(Held::new(task, delivery, attempts, claimed, limits));
    shared.holding.add(&held);
    // Tasks that are tried again were finished by their workers; this one was not.
    let deaths = attempts - 1 - i64::from(held.message.retries);
    if deaths >= i64::from(shared.options.max_deaths) {
        let text = format!("{deaths} workers have died over this task");
        let failure = Failure::exception(Exception::worker_lost(&text));
        shared.end(Ended {
            held,
            outcome: Err(failure),
        });
        return;
    }
    if shared.is_stopping() {
        shared.end(Ended {
            held,
            outcome: Err(Failure::Stopped(Reason::Shutdown)),
        });
        return;
    }
    shared.start(held);
}

/// The record of a task that another program may have sent.
pub(super) fn record(task: &TaskMessage, queue: &str) -> TaskRecord {
    let mut kwargs = task.kwargs.clone();
    let bucket = Surroundings::take(&mut kwargs)
        .ok()
        .and_then(|surroundings| surroundings.bucket);
    let positional = repr::summary(&Value::tuple(task.args.iter().cloned()));
    let args = match kwargs.0.is_empty() {
        true => positional,
        false => format!("{positional} {}", repr::summary(&kwargs.to_value())),
    };
    TaskRecord {
        args,
        label: queue.to_owned(),
        bucket: bucket.unwrap_or_default(),
        reply_to: None,
        ..TaskRecord::new(&task.id, &task.task)
    }
}
