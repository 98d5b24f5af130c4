//! What follows a task: the rest of its chain, its callbacks (spec/runtime.md §10), and
//! the same task once more when it failed and may be tried again.

use crate::broker::{Letter, Message};
use crate::error::Result;
use crate::runtime::celery::message::TaskMessage;
use crate::runtime::celery::pickle::Value;
use crate::runtime::celery::serial::Serializer;
use crate::runtime::celery::signature::Signature;
use std::time::Duration;

/// The header of om's clients that says how often a task may be tried again.
pub const RETRIES: &str = "x-om-retries";

/// The header that counts the workers that could not run a task.
pub const PASSES: &str = "x-om-passes";

/// The longest pause before a task is tried again.
const LONGEST_PAUSE: Duration = Duration::from_secs(600);

/// A task that follows another.
pub(super) struct Follower {
    pub id: String,
    pub letter: Letter,
}

/// What is to be sent after a task has answered `result`: the next of its chain, then its
/// callbacks.
pub(super) fn after_success(
    task: &TaskMessage,
    queue: &str,
    result: &Value,
    by: Serializer,
) -> Result<Vec<Follower>> {
    let mut followers = Vec::new();
    if let Some(chain) = &task.embed.chain
        && let Some((next, rest)) = chain.split_last()
    {
        let mut message = following(task, next, std::slice::from_ref(result));
        message.embed.chain = Some(rest.to_vec());
        followers.push(sent(message, next, queue, by)?);
    }
    for callback in task.embed.callbacks.iter().flatten() {
        let message = following(task, callback, std::slice::from_ref(result));
        followers.push(sent(message, callback, queue, by)?);
    }
    Ok(followers)
}

/// The task of `signature`, after another one has given `results`.
pub(super) fn after(
    task: &TaskMessage,
    signature: &Signature,
    results: &[Value],
    queue: &str,
    by: Serializer,
) -> Result<Follower> {
    sent(following(task, signature, results), signature, queue, by)
}

/// What is to be sent after a task has failed. Its callbacks get what Celery's do: what
/// failed, with what, and where.
pub(super) fn after_failure(
    task: &TaskMessage,
    queue: &str,
    exception: &str,
    traceback: &str,
    by: Serializer,
) -> Result<Vec<Follower>> {
    let results = [task.id.as_str().into(), exception.into(), traceback.into()];
    task.embed
        .errbacks
        .iter()
        .flatten()
        .map(|errback| sent(following(task, errback, &results), errback, queue, by))
        .collect()
}

/// The message of a task that is tried again: how often that was done is its header's.
pub(super) fn again(message: &Message, retries: u32) -> Message {
    let mut message = message.clone();
    message.headers.insert("retries".to_owned(), retries.into());
    message
}

/// How long to wait before try number `retries`, counted from 1: twice as long each time,
/// with a share that depends on the task, so that tasks do not come back in step.
pub(super) fn pause(retries: u32, id: &str) -> Duration {
    let step = Duration::from_millis(500) * 2u32.saturating_pow(retries.min(12));
    let share = id
        .bytes()
        .fold(0u32, |sum, byte| sum.wrapping_mul(31) + u32::from(byte))
        % 100;
    (step + step * share / 400).min(LONGEST_PAUSE)
}

fn following(task: &TaskMessage, signature: &Signature, results: &[Value]) -> TaskMessage {
    let option = |name: &str| {
        let value = signature.options.get(name);
        value.and_then(Value::as_str).map(str::to_owned)
    };
    let args = signature.args_after(results.iter().cloned());
    let id = signature
        .task_id()
        .map_or_else(crate::runtime::task_id, str::to_owned);
    let mut message = TaskMessage::new(&id, &signature.task, args, signature.kwargs.clone());
    message.reply_to = signature
        .reply_to()
        .map(str::to_owned)
        .or_else(|| task.reply_to.clone());
    message.root_id = task.root_id.clone().or_else(|| Some(task.id.clone()));
    message.parent_id = Some(task.id.clone());
    message.group = option("group_id");
    message.time_limit = task.time_limit;
    message.soft_time_limit = task.soft_time_limit;
    message.origin = task.origin.clone();
    message
}

fn sent(
    message: TaskMessage,
    signature: &Signature,
    queue: &str,
    by: Serializer,
) -> Result<Follower> {
    let option = |name: &str| signature.options.get(name).and_then(Value::as_str);
    let queue = option("queue")
        .or_else(|| option("routing_key"))
        .unwrap_or(queue);
    let delay = signature.options.get("countdown").and_then(Value::as_f64);
    let mut letter = Letter::new(queue, message.write(by)?);
    letter.delay = delay
        .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
        .unwrap_or_default();
    Ok(Follower {
        id: message.id,
        letter,
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::runtime::celery::signature::Kwargs;

    fn signature(name: &str, immutable: bool) -> Signature {
        let mut options = Kwargs::default();
        options.push("task_id", format!("id of {name}").as_str());
        Signature {
            options,
            immutable,
            ..Signature::new(name, vec!["own".into()], Kwargs::default())
        }
    }

    #[test]
    fn a_chain_goes_on_with_its_last_and_callbacks_get_the_result() {
        let mut task = TaskMessage::new("first", "a", Vec::new(), Kwargs::default());
        task.reply_to = Some("replies".to_owned());
        task.embed.chain = Some(vec![signature("third", true), signature("second", false)]);
        task.embed.callbacks = Some(vec![signature("callback", true)]);
        let result = Value::from("result");
        let followers = after_success(&task, "q", &result, Serializer::Pickle).unwrap();
        let ids: Vec<&str> = followers.iter().map(|one| one.id.as_str()).collect();
        assert_eq!(ids, ["id of second", "id of callback"]);
        assert!(followers.iter().all(|one| one.letter.queue == "q"));
        let second = TaskMessage::read(&followers[0].letter.message).unwrap();
        assert_eq!(second.args, [Value::from("result"), "own".into()]);
        assert_eq!(second.embed.chain.as_ref().unwrap().len(), 1);
        assert_eq!(second.parent_id.as_deref(), Some("first"));
        assert_eq!(second.reply_to.as_deref(), Some("replies"));
        let callback = TaskMessage::read(&followers[1].letter.message).unwrap();
        assert_eq!(callback.args, [Value::from("own")]);
        assert!(
            after_failure(&task, "q", "E", "", Serializer::Pickle)
                .unwrap()
                .is_empty()
        );
    }

    #[test]
    fn pauses_grow_to_a_limit() {
        let pauses: Vec<Duration> = (1..20).map(|retries| pause(retries, "x")).collect();
        assert!(pauses.windows(2).all(|two| two[0] <= two[1]));
        assert!(pauses[0] < Duration::from_secs(2));
        assert_eq!(*pauses.last().unwrap(), LONGEST_PAUSE);
    }
}
