//! How tasks end: their ending is entered in the book of tasks, and only when that was
//! this worker's to do is it told to the client and the message acknowledged. Endings are
//! entered many at a time.

use super::Shared;
use super::execute::{Answer, Failure};
use super::follow::{self, PASSES, RETRIES};
use super::held::Held;
use super::intake;
use super::stop::Reason;
use crate::broker::{Delivery, Letter};
use crate::error::Result;
use crate::runtime::celery::event::Event;
use crate::runtime::celery::exception::Exception;
use crate::runtime::celery::kept;
use crate::runtime::celery::reply::Reply;
use crate::runtime::celery::serial::Serializer;
use crate::runtime::logs::Level;
use crate::runtime::record::{TaskError, TaskRecord, TaskState};
use crate::runtime::tasks::Ending;
use bson::Document;
use serde_json::Value as Json;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

/// Endings that are entered at a time, at the most.
const BATCH: usize = 256;

/// How often a task is passed on before it fails because nobody can run it.
const MOST_PASSES: u64 = 40;

/// How long a task that was passed on waits for another worker.
const PASS_PAUSE: Duration = Duration::from_millis(250);

/// How long to wait before a store that cannot be reached is tried again.
const PAUSE: Duration = Duration::from_millis(500);

/// A task that has ended.
pub(super) struct Ended {
    pub held: Arc<Held>,
    pub outcome: Result<Answer, Failure>,
}

/// What is to be done about it.
struct Closing {
    held: Arc<Held>,
    delivery: Delivery,
    told: Told,
}

/// The ending of a task, and who is told of it.
struct Told {
    ending: Ending,
    replies: Vec<Letter>,
    /// The result as it is kept for who shares it in a database.
    kept: Option<Document>,
    event: Option<Event>,
}

/// Enters endings until nobody can send any more.
pub(super) fn run(shared: &Shared, endings: &Receiver<Ended>) {
    loop {
        let first = match endings.recv_timeout(Duration::from_secs(3600)) {
            Ok(first) => first,
            Err(RecvTimeoutError::Timeout) => continue,
            Err(RecvTimeoutError::Disconnected) => return,
        };
        let more = std::iter::from_fn(|| endings.try_recv().ok()).take(BATCH);
        let batch: Vec<Ended> = std::iter::once(first).chain(more).collect();
        close(shared, batch);
    }
}

fn close(shared: &Shared, batch: Vec<Ended>) {
    let mut closings: Vec<Closing> = Vec::with_capacity(batch.len());
    for ended in batch {
        let Some(delivery) = ended.held.take() else {
            continue;
        };
        match closing(shared, &ended, &delivery) {
            Some(told) => closings.push(Closing {
                held: ended.held,
                delivery,
                told,
            }),
            None => let_go(shared, ended, delivery),
        }
    }
    let Some(mine) = enter(shared, &closings) else {
        // The leases will run out, and somebody does it again.
        for closing in closings {
            let id = &closing.held.message.id;
            shared.holding.remove(id);
            if let Err(error) = shared
                .consumer
                .requeue(closing.delivery, shared.options.lease)
            {
                tracing::warn!("task {id}: {error}");
            }
        }
        return;
    };
    keep(shared, &mut closings, &mine);
    for closing in closings {
        let id = closing.held.message.id.clone();
        shared.holding.remove(&id);
        let done = match mine.contains(&id) {
            true => {
                shared.counts.done(&closing.held.message.task);
                log(shared, &closing);
                if let Some(event) = closing.told.event {
                    shared.events.tell(|| event);
                }
                shared
                    .consumer
                    .finish(closing.delivery, closing.told.replies)
            }
            false => {
                tracing::info!("task {id} was finished by another worker, or called off");
                // Who claims a task that is finished tells its client so.
                let known = (!closing.held.claimed)
                    .then(|| shared.tasks.get(&id).ok())
                    .flatten();
                let known = known.filter(|known| known.state.is_final());
                let told = known.and_then(|known| repeated(shared, &closing.held.message, &known));
                shared
                    .consumer
                    .finish(closing.delivery, Vec::from_iter(told))
            }
        };
        if let Err(error) = done {
            tracing::warn!("task {id}: its reply could not be sent: {error}");
        }
    }
}

/// Keeps results that are this worker's in the database in which they are shared.
fn keep(shared: &Shared, closings: &mut [Closing], mine: &[String]) {
    let Some(results) = &shared.results else {
        return;
    };
    let kept: Vec<Document> = closings
        .iter_mut()
        .filter(|closing| mine.contains(&closing.held.message.id))
        .filter_map(|closing| closing.told.kept.take())
        .collect();
    if let Err(error) = results.keep(kept) {
        tracing::error!("results cannot be kept for those who share them: {error}");
    }
}

/// Says in the log how a task has ended.
fn log(shared: &Shared, closing: &Closing) {
    let log = shared.log.of(&closing.held.message);
    match &closing.told.ending {
        Ending::Success(_) => {
            let started = closing.held.started();
            let seconds = started.map_or(0.0, |start| start.at.elapsed().as_secs_f64());
            log.say(Level::Info, &format!("succeeded in {seconds:.3}s"));
        }
        Ending::Failure(error) => log.say(Level::Error, &format!("failed: {error}")),
        Ending::Revoked => log.say(Level::Warning, "was cancelled"),
    }
}

/// Enters endings in the book; which of them were this worker's to enter. None when the
/// store cannot be reached for longer than a lease lasts.
fn enter(shared: &Shared, closings: &[Closing]) -> Option<Vec<String>> {
    if closings.is_empty() {
        return Some(Vec::new());
    }
    let (claimed, others): (Vec<&Closing>, Vec<&Closing>) =
        closings.iter().partition(|closing| closing.held.claimed);
    let endings: Vec<(&str, &Ending)> = claimed
        .iter()
        .map(|closing| (closing.held.message.id.as_str(), &closing.told.ending))
        .collect();
    let whole: Vec<(TaskRecord, &Ending)> = others
        .iter()
        .map(|closing| {
            let mut record = intake::record(&closing.held.message, &closing.held.queue);
            record.started = closing.held.started().map(|start| {
                let time: chrono::DateTime<chrono::Utc> = start.time.into();
                time.to_rfc3339_opts(chrono::SecondsFormat::Millis, true)
            });
            (record, &closing.told.ending)
        })
        .collect();
    let mut mine = match endings.is_empty() {
        true => Vec::new(),
        false => persist(shared, endings.len(), || {
            shared.tasks.finish(&endings, &shared.claimant)
        })?,
    };
    if !whole.is_empty() {
        mine.extend(persist(shared, whole.len(), || {
            shared.tasks.conclude(&whole, &shared.claimant)
        })?);
    }
    Some(mine)
}

/// Tries until it is done, or for as long as a lease lasts.
fn persist(
    shared: &Shared,
    count: usize,
    enter: impl Fn() -> crate::Result<Vec<String>>,
) -> Option<Vec<String>> {
    let started = Instant::now();
    loop {
        match enter() {
            Ok(mine) => return Some(mine),
            Err(error) if started.elapsed() < shared.options.lease => {
                tracing::warn!("endings of {count} tasks cannot be entered: {error}");
                std::thread::sleep(PAUSE);
            }
            Err(error) => {
                tracing::error!("{count} tasks are given up: {error}");
                return None;
            }
        }
    }
}

/// The ending of a task, with what is to be sent. None when it does not end here.
fn closing(shared: &Shared, ended: &Ended, delivery: &Delivery) -> Option<Told> {
    let task = &ended.held.message;
    let by = Serializer::of(&delivery.message.properties).unwrap_or_default();
    let sender = &shared.sender;
    match &ended.outcome {
        Ok(answer) => {
            let ending = Ending::Success(answer.json.clone());
            if let Some(size) = ending.is_too_large() {
                let text = format!(
                    "the result has {size} bytes, which is too much for a message; store it as a \
                     data set (rName)"
                );
                let exception = Exception::new("builtins", "ValueError", text.as_str());
                return Some(failed(shared, ended, &exception, by));
            }
            let mut reply = Reply::success(&task.id, answer.value.clone());
            let mut letters = announcement(shared, &ended.held);
            match follow::after_success(task, &ended.held.queue, &answer.value, by) {
                Ok(followers) => {
                    for follower in followers {
                        reply.add_child(&follower.id);
                        letters.push(follower.letter);
                    }
                }
                Err(error) => {
                    return Some(failed(shared, ended, &Exception::from_error(&error), by));
                }
            }
            let seconds = ended
                .held
                .started()
                .map_or(0.0, |start| start.at.elapsed().as_secs_f64());
            let event = shared
                .events
                .are_wanted()
                .then(|| Event::succeeded(sender, &task.id, &answer.value, seconds));
            Some(told(shared, &ended.held, ending, letters, reply, event))
        }
        Err(Failure::Failed { exception, passing }) => {
            match *passing && task.retries < allowed_retries(delivery) {
                true => None,
                false => Some(failed(shared, ended, exception, by)),
            }
        }
        Err(Failure::Elsewhere(why)) => {
            match passes(delivery) < MOST_PASSES && shared.has_company(delivery) {
                true => None,
                false => {
                    let text = format!("no worker on `{}` can run this: {why}", ended.held.queue);
                    let exception = Exception::new("builtins", "RuntimeError", text.as_str());
                    Some(failed(shared, ended, &exception, by))
                }
            }
        }
        Err(Failure::Stopped(Reason::SoftLimit)) => {
            Some(failed(shared, ended, &Exception::soft_time_limit(), by))
        }
        Err(Failure::Stopped(Reason::Revoked)) => {
            let reply = Reply::revoked(&task.id, "terminated");
            let event = Some(Event::revoked(sender, &task.id, true, false));
            let letters = Vec::new();
            Some(told(
                shared,
                &ended.held,
                Ending::Revoked,
                letters,
                reply,
                event,
            ))
        }
        Err(Failure::Later(_) | Failure::Stopped(Reason::Lost | Reason::Shutdown)) => None,
    }
}

/// A task that does not end here is left to others, or comes again.
fn let_go(shared: &Shared, ended: Ended, delivery: Delivery) {
    let held = &ended.held;
    let id = &held.message.id;
    shared.holding.remove(id);
    let released = |state: TaskState| {
        if let Err(error) = shared.tasks.release(id, &shared.claimant, state) {
            tracing::warn!("task {id} cannot be handed back before its lease ends: {error}");
        }
    };
    let done = match &ended.outcome {
        Err(Failure::Failed { exception, .. }) => {
            let retries = held.message.retries.saturating_add(1);
            let text = exception.to_string();
            tracing::info!("task {id} is tried again ({retries}): {text}");
            let log = shared.log.of(&held.message);
            log.say(
                Level::Warning,
                &format!("is tried again ({retries}): {text}"),
            );
            released(TaskState::Retry);
            let mut letter = Letter::new(
                held.queue.as_str(),
                follow::again(&delivery.message, retries),
            );
            letter.delay = follow::pause(retries, id);
            let mut letters = announcement(shared, held);
            letters.extend(reply(shared, held, Reply::retry(id, exception, &text)));
            letters.push(letter);
            shared
                .events
                .tell(|| Event::retried(&shared.sender, id, exception, &text));
            shared.consumer.finish(delivery, letters)
        }
        Err(Failure::Elsewhere(why)) => {
            tracing::debug!("task {id} is left to others: {why}");
            released(TaskState::Pending);
            let mut message = delivery.message.clone();
            let count = passes(&delivery).saturating_add(1);
            message.headers.insert(PASSES.to_owned(), count.into());
            let mut letter = Letter::new(held.queue.as_str(), message);
            letter.delay = PASS_PAUSE;
            shared.consumer.finish(delivery, vec![letter])
        }
        Err(Failure::Later(delay)) => {
            released(TaskState::Pending);
            shared.consumer.requeue(delivery, *delay).map(drop)
        }
        Err(Failure::Stopped(Reason::Lost)) => {
            tracing::info!("task {id} was taken over by another worker");
            shared.consumer.ack(delivery).map(drop)
        }
        _ => {
            released(TaskState::Pending);
            shared.consumer.requeue(delivery, Duration::ZERO).map(drop)
        }
    };
    if let Err(error) = done {
        tracing::warn!("task {id}: {error}");
    }
}

fn failed(shared: &Shared, ended: &Ended, exception: &Exception, by: Serializer) -> Told {
    let task = &ended.held.message;
    let text = exception.to_string();
    let traceback = format!("{text}\n");
    let mut letters = announcement(shared, &ended.held);
    let mut reply = Reply::failure(&task.id, exception, &traceback);
    match follow::after_failure(task, &ended.held.queue, &text, &traceback, by) {
        Ok(followers) => {
            for follower in followers {
                reply.add_child(&follower.id);
                letters.push(follower.letter);
            }
        }
        Err(error) => tracing::warn!("task {}: a callback cannot be sent: {error}", task.id),
    }
    let event = Some(Event::failed(
        &shared.sender,
        &task.id,
        exception,
        &traceback,
    ));
    let ending = failure(exception);
    told(shared, &ended.held, ending, letters, reply, event)
}

/// An ending that is replied with `reply`, after other letters.
fn told(
    shared: &Shared,
    held: &Held,
    ending: Ending,
    mut replies: Vec<Letter>,
    mut reply: Reply,
    event: Option<Event>,
) -> Told {
    reply.group_id.clone_from(&held.message.group);
    reply.parent_id.clone_from(&held.message.parent_id);
    let shares = shared.results.is_some() && !held.message.ignore_result;
    let kept = shares.then(|| kept::document(&reply, shared.options.serializer));
    replies.extend(self::reply(shared, held, reply));
    Told {
        ending,
        replies,
        kept: kept.and_then(|kept| {
            let id = &held.message.id;
            kept.inspect_err(|error| tracing::warn!("task {id}: its result is not kept: {error}"))
                .ok()
        }),
        event,
    }
}

/// The ending of a task that has raised an exception.
pub(super) fn failure(exception: &Exception) -> Ending {
    Ending::Failure(TaskError {
        class: format!("{}.{}", exception.module, exception.class),
        message: exception.message(),
        traceback: None,
    })
}

/// That the task has been started, unless that was said already.
pub(super) fn announcement(shared: &Shared, held: &Held) -> Vec<Letter> {
    match held.started().is_some() && held.announce() {
        true => {
            let started =
                Reply::started(&held.message.id, std::process::id(), &shared.options.name);
            Vec::from_iter(reply(shared, held, started))
        }
        false => Vec::new(),
    }
}

/// The reply as a letter; none when nobody waits for it, or it cannot be written.
pub(super) fn reply(shared: &Shared, held: &Held, mut reply: Reply) -> Option<Letter> {
    let task = &held.message;
    let queue = task.reply_to.as_ref().filter(|_| !task.ignore_result)?;
    reply.group_id.clone_from(&task.group);
    reply.parent_id.clone_from(&task.parent_id);
    match reply.write(shared.options.serializer) {
        Ok(message) => Some(Letter::new(queue.as_str(), message)),
        Err(error) => {
            tracing::warn!("task {}: the reply cannot be written: {error}", task.id);
            let exception = Exception::from_error(&error);
            let failure = Reply::failure(&task.id, &exception, "");
            let message = failure.write(shared.options.serializer).ok()?;
            Some(Letter::new(queue.as_str(), message))
        }
    }
}

/// The answer of a task that is finished already, for a client that may not have got it.
pub(super) fn repeated(
    shared: &Shared,
    task: &crate::runtime::celery::message::TaskMessage,
    record: &crate::runtime::record::TaskRecord,
) -> Option<Letter> {
    let queue = task.reply_to.as_ref().filter(|_| !task.ignore_result)?;
    let mut reply = match record.state {
        TaskState::Success => Reply::success(
            &task.id,
            crate::runtime::celery::json::to_value(&record.result),
        ),
        TaskState::Revoked => Reply::revoked(&task.id, "revoked"),
        _ => {
            let error = record.error.clone().unwrap_or_default();
            let (module, class) = error
                .class
                .rsplit_once('.')
                .unwrap_or(("builtins", "RuntimeError"));
            let exception = Exception::new(module, class, error.message.as_str());
            Reply::failure(
                &task.id,
                &exception,
                error.traceback.as_deref().unwrap_or_default(),
            )
        }
    };
    reply.group_id.clone_from(&task.group);
    reply.parent_id.clone_from(&task.parent_id);
    let message = reply.write(shared.options.serializer).ok()?;
    Some(Letter::new(queue.as_str(), message))
}

fn allowed_retries(delivery: &Delivery) -> u32 {
    let allowed = delivery.message.headers.get(RETRIES).and_then(Json::as_u64);
    allowed
        .and_then(|allowed| u32::try_from(allowed).ok())
        .unwrap_or(0)
}

fn passes(delivery: &Delivery) -> u64 {
    let passes = delivery.message.headers.get(PASSES).and_then(Json::as_u64);
    passes.unwrap_or(0)
}
