//! Asking workers, as `celery inspect` and `celery control` do (spec/runtime.md §12).

use super::celery::control::{Answer, ReplyTo, Request};
use super::celery::pickle::Value;
use super::celery::serial::Serializer;
use super::celery::signature::Kwargs;
use crate::broker::{Broker, ConsumeOptions, Queue, Topic};
use crate::error::Result;
use crate::progress::Progress;
use std::time::{Duration, Instant};

/// How long workers have to answer, unless told otherwise.
pub const PATIENCE: Duration = Duration::from_secs(1);

/// After the first answer, how long the next may take.
const NEXT: Duration = Duration::from_millis(400);

/// Asks workers (none: all of them) and collects their answers, sorted by their names.
pub fn ask(
    broker: &dyn Broker,
    method: &str,
    arguments: Kwargs,
    workers: Option<Vec<String>>,
    patience: Duration,
    progress: &dyn Progress,
) -> Result<Vec<(String, Value)>> {
    let address = super::task_id();
    let ticket = super::task_id();
    let queue = Queue::control_replies(&address);
    let options = ConsumeOptions {
        prefetch: 256,
        ..ConsumeOptions::default()
    };
    let consumer = broker.consume(&[queue], &options)?;
    let expected = workers.as_ref().map(Vec::len);
    let request = Request {
        destination: workers,
        ticket: Some(ticket.clone()),
        reply_to: Some(ReplyTo {
            exchange: Topic::Replies.exchange().to_owned(),
            routing_key: address,
        }),
        ..Request::new(method, arguments)
    };
    send(broker, &request, Some(patience))?;
    let mut answers: Vec<(String, Value)> = Vec::new();
    let mut end = Instant::now() + patience;
    while expected.is_none_or(|expected| answers.len() < expected) {
        progress.check()?;
        let left = end.saturating_duration_since(Instant::now());
        let Some(delivery) = consumer.next(left.min(Duration::from_millis(100)))? else {
            if left.is_zero() {
                break;
            }
            continue;
        };
        match Answer::read(&delivery.message) {
            Ok(answer) if answer.ticket.as_ref().is_none_or(|of| *of == ticket) => {
                answers.push((answer.node, answer.value));
                end = end.min(Instant::now() + NEXT.max(patience / 4));
            }
            Ok(_) => {}
            Err(error) => tracing::warn!("an answer is not understood: {error}"),
        }
        consumer.ack(delivery)?;
    }
    answers.sort_by(|a, b| a.0.cmp(&b.0));
    Ok(answers)
}

/// Tells workers, without waiting for an answer.
pub fn tell(broker: &dyn Broker, method: &str, arguments: Kwargs) -> Result<()> {
    send(broker, &Request::new(method, arguments), None)
}

/// Tells all workers to stop a task.
pub(super) fn revoke(broker: &dyn Broker, id: &str) -> Result<()> {
    let mut arguments = Kwargs::default();
    arguments.push("task_id", Value::list([id.into()]));
    arguments.push("terminate", true);
    arguments.push("signal", "SIGTERM");
    tell(broker, "revoke", arguments)
}

fn send(broker: &dyn Broker, request: &Request, patience: Option<Duration>) -> Result<()> {
    let expires = patience.map(|patience| {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        now.map_or(0.0, |now| (now + patience).as_secs_f64())
    });
    let message = request.write(Serializer::Json, 1, expires)?;
    broker.post(Topic::Control, "", &message)
}
