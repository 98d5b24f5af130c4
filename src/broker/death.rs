//! Where messages go that nobody can deal with: a queue beside their own, with the reason
//! in a header. It is the same on every broker, so the same tools look into it.

use super::{Message, Queue};
use serde_json::json;

/// The header that says why, where and when a message was given up.
pub const HEADER: &str = "x-om-death";

/// The header that counts deliveries where the broker does not.
pub(super) const DELIVERIES: &str = "x-om-deliveries";

/// What is put behind a queue's name.
const SUFFIX: &str = ".dead";

/// The queue of the messages of `queue` that were given up.
pub fn dead_queue(queue: &str) -> Queue {
    match queue.ends_with(SUFFIX) {
        true => Queue::task(queue),
        false => Queue::task(format!("{queue}{SUFFIX}")),
    }
}

/// Writes into the message why it was given up.
pub(super) fn mark(message: &mut Message, queue: &str, deliveries: u32, reason: &str) {
    let death = json!({
        "queue": queue,
        "reason": reason,
        "deliveries": deliveries,
        "time": chrono::Utc::now().to_rfc3339(),
    });
    message.headers.insert(HEADER.to_owned(), death);
    message.headers.remove(DELIVERIES);
    // It is kept until somebody has looked at it.
    message.properties.expiration = None;
}

/// Why a message is given up that was handed out too often.
pub(super) fn too_often(before: u32) -> String {
    format!("handed out {before} times before, and never finished")
}
