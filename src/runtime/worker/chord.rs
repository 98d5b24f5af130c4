//! Chords: the task that follows a group (spec/runtime.md §10). Who sends a chord sends
//! `celery.chord_unlock` as well, which looks at the results of the group until all are
//! there. They are found where results are shared in a database, and nowhere else.

use super::Shared;
use super::execute::{self, Answer, Failure};
use super::follow;
use super::held::Held;
use crate::broker::Letter;
use crate::error::{Error, Result};
use crate::runtime::celery::exception::Exception;
use crate::runtime::celery::kept;
use crate::runtime::celery::pickle::Value;
use crate::runtime::celery::reply::{Reply, State};
use crate::runtime::celery::serial::Serializer;
use crate::runtime::celery::signature::Signature;
use crate::storage::mongo::Results;
use std::collections::HashMap;
use std::time::Duration;

/// Sends `callback` when all tasks of the group are done; when one has failed it fails too.
pub(super) fn unlock(
    shared: &Shared,
    held: &Held,
    tasks: &[String],
    callback: &Signature,
    interval: f64,
) -> Result<Answer, Failure> {
    let Some(results) = &shared.results else {
        let why = "the results of a chord are shared in a database (OMEGA_RESULT_BACKEND)";
        return Err(Failure::Elsewhere(why.to_owned()));
    };
    if callback.subtask_type.is_some() {
        let why = "what follows the chord is more than one task";
        return Err(Failure::Elsewhere(why.to_owned()));
    }
    let followed = match group(results, tasks) {
        Ok(Group::Waits) => {
            let delay = Duration::try_from_secs_f64(interval).unwrap_or(Duration::from_secs(1));
            return Err(Failure::Later(delay));
        }
        Ok(Group::Done(answers)) => send(shared, held, callback, answers),
        Ok(Group::Failed(why)) => fail(shared, held, results, callback, &why),
        Err(error) => Err(error),
    };
    match followed {
        Ok(()) => execute::plain(Value::None),
        Err(error) => Err(Failure::of(&error)),
    }
}

/// How far the tasks of a group are.
enum Group {
    Waits,
    Done(Vec<Value>),
    Failed(String),
}

fn group(results: &Results, tasks: &[String]) -> Result<Group> {
    let ids: Vec<&str> = tasks.iter().map(String::as_str).collect();
    let mut found: HashMap<String, Reply> = HashMap::new();
    for document in results.find(&ids)? {
        let reply = kept::read(&document)?;
        found.insert(reply.task_id.clone(), reply);
    }
    let mut answers = Vec::with_capacity(ids.len());
    for id in ids {
        match found.remove(id) {
            Some(reply) if reply.state == State::Success => answers.push(reply.result),
            Some(reply) if reply.state.is_final() => {
                let raised = reply.exception().map(|raised| raised.to_string());
                let raised = raised.unwrap_or_else(|| reply.state.name().to_owned());
                return Ok(Group::Failed(format!("Dependency {id} raised {raised}")));
            }
            _ => return Ok(Group::Waits),
        }
    }
    Ok(Group::Done(answers))
}

fn send(shared: &Shared, held: &Held, callback: &Signature, answers: Vec<Value>) -> Result<()> {
    let by = Serializer::Pickle;
    let follower = follow::after(
        &held.message,
        callback,
        &[Value::list(answers)],
        &held.queue,
        by,
    )?;
    // Its id is the signature's: sent twice, it is run once.
    shared.broker.publish(&follower.letter)
}

/// What follows fails without being run; whoever waits for it is told.
fn fail(
    shared: &Shared,
    held: &Held,
    results: &Results,
    callback: &Signature,
    why: &str,
) -> Result<()> {
    let id = callback.task_id().ok_or_else(|| {
        Error::invalid("what follows the chord has no id").on(held.message.id.as_str())
    })?;
    let exception = Exception::new("celery.exceptions", "ChordError", why);
    let reply = Reply::failure(id, &exception, &format!("{exception}\n"));
    results.keep(vec![kept::document(&reply, shared.options.serializer)?])?;
    let queue = callback.reply_to().or(held.message.reply_to.as_deref());
    if let Some(queue) = queue {
        let message = reply.write(shared.options.serializer)?;
        shared.broker.publish(&Letter::new(queue, message))?;
    }
    Ok(())
}
