//! How tasks, replies, commands and events travel. A broker knows messages and queues; it
//! knows nothing of tasks, of Celery's bodies or of stores (spec/runtime.md §2, §12).
//!
//! Contract, tested by `tests/broker.rs` on every broker:
//! - What [`Broker::publish`] has returned from is safe: it survives the death of this
//!   process and of the broker's. A queue that does not exist is an error.
//! - A message is with one consumer at a time and stays its until it is acknowledged,
//!   rejected or given back. When the consumer dies, is dropped or loses its connection,
//!   the message comes again, marked as redelivered: every message is delivered at least
//!   once, and its receiver must be able to tell that it has dealt with it.
//! - Messages of one queue come in the order of their priority, then in that in which
//!   they were published, as far as there is one consumer and nothing is given back.
//!   RabbitMQ heeds priorities only in queues that were made with `x-max-priority`.
//! - Opening a broker does nothing. Its first use is one bounded attempt to reach it
//!   ([`ErrorKind::Unreachable`](crate::ErrorKind::Unreachable)), or as many as it takes
//!   with [`Options::endless`]. A connection that is lost later is made again; work that
//!   was not confirmed is repeated.
//! - All calls may be made from any thread; those that wait ask
//!   [`Progress::interrupted`](crate::progress::Progress::interrupted).

pub mod amqp;
mod death;
pub mod embedded;
mod message;
mod queue;
mod watched;

pub use death::{HEADER as DEATH_HEADER, dead_queue};
pub use message::{Message, Properties};
pub use queue::{Depth, Lifetime, Queue, QueueKind, REPLY_EXPIRY, Topic};

use crate::config::BrokerSettings;
use crate::error::Result;
use crate::progress::{Progress, Silent};
use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

/// Carries messages.
pub trait Broker: Debug + Send + Sync {
    /// Where this broker is, for people; holds no secret.
    fn location(&self) -> String;

    /// Makes a queue. One of this name that was made otherwise is taken as it is.
    fn declare(&self, queue: &Queue) -> Result<()>;

    /// Deletes a queue and its messages; whether there was one.
    fn delete(&self, queue: &str) -> Result<bool>;

    /// Deletes the messages that wait in a queue; how many there were.
    ///
    /// # Errors
    /// [`crate::ErrorKind::NotFound`] when there is no such queue.
    fn purge(&self, queue: &str) -> Result<u64>;

    /// What is in a queue.
    ///
    /// # Errors
    /// As [`Broker::purge`].
    fn depth(&self, queue: &str) -> Result<Depth>;

    /// Publishes a message and waits until it is safe.
    ///
    /// # Errors
    /// As [`Broker::publish_all`].
    fn publish(&self, letter: &Letter) -> Result<()> {
        self.publish_all(std::slice::from_ref(letter))
    }

    /// Publishes many messages, without waiting for each, until all are safe.
    ///
    /// # Errors
    /// [`crate::ErrorKind::NotFound`] when a queue does not exist,
    /// [`crate::ErrorKind::Unreachable`], [`crate::ErrorKind::TimedOut`]. Of several messages
    /// some may have been published nevertheless.
    fn publish_all(&self, letters: &[Letter]) -> Result<()>;

    /// Starts to receive the messages of `queues`, which are made if they are missing. When
    /// it returns, a new [`QueueKind::Listener`] misses nothing that is posted.
    fn consume(&self, queues: &[Queue], options: &ConsumeOptions) -> Result<Box<dyn Consumer>>;

    /// Posts a message on a topic, once and without waiting for listeners: while the broker
    /// cannot be reached it fails at once.
    fn post(&self, topic: Topic, key: &str, message: &Message) -> Result<()>;
}

/// Receives messages. Dropping it gives back all that it holds.
pub trait Consumer: Debug + Send + Sync {
    /// The next message, or none within `timeout`: none also while the connection is down.
    ///
    /// # Errors
    /// What went wrong in the background since the last call, once.
    fn next(&self, timeout: Duration) -> Result<Option<Delivery>>;

    /// It is dealt with. Whether it still was ours: when not, it comes again somewhere.
    fn ack(&self, delivery: Delivery) -> Result<bool>;

    /// Nobody can deal with it: moves it to [`dead_queue`]. Whether it still was ours.
    fn reject(&self, delivery: Delivery, reason: &str) -> Result<bool>;

    /// Gives it back, to come again after `delay`; without delay at its old place. Whether it
    /// still was ours.
    fn requeue(&self, delivery: Delivery, delay: Duration) -> Result<bool>;

    /// It is dealt with, and these are the replies: publishes them, and acknowledges when
    /// they are safe. Does not wait for that, unless much is on its way already. A reply to a
    /// queue that has gone is dropped. When it cannot be done the message comes again.
    fn finish(&self, delivery: Delivery, replies: Vec<Letter>) -> Result<()>;

    /// Waits until all that was finished is safe; whether it is within `timeout`.
    fn settle(&self, timeout: Duration) -> Result<bool>;

    /// Receives from this queue, too.
    fn add(&self, queue: &Queue) -> Result<()>;

    /// Receives no more from a queue; what is held stays ours. Whether it was received from.
    fn cancel(&self, queue: &str) -> Result<bool>;

    /// The names of the queues that are received from.
    fn queues(&self) -> Vec<String>;
}

/// A message on its way to a queue.
#[derive(Debug, Clone, PartialEq)]
pub struct Letter {
    /// The queue.
    pub queue: String,
    /// The message.
    pub message: Message,
    /// It is delivered after this time, not before; RabbitMQ's are rounded up to 1 %.
    pub delay: Duration,
}

impl Letter {
    /// A message to be delivered at once.
    pub fn new(queue: impl Into<String>, message: Message) -> Self {
        Letter {
            queue: queue.into(),
            message,
            delay: Duration::ZERO,
        }
    }
}

/// A message that was received.
#[derive(Debug)]
pub struct Delivery {
    /// The message.
    pub message: Message,
    /// The queue it was in.
    pub queue: String,
    /// Whether somebody may have had it before.
    pub redelivered: bool,
    /// How often it was handed out to a consumer's process, this time included, as far as
    /// the broker knows. A message can have been handed out without having been looked at.
    pub deliveries: u32,
    /// What the consumer knows it by.
    receipt: Receipt,
}

/// The consumer's mark on a message: void once the message was lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Receipt {
    /// The lease or channel it was received under.
    epoch: u64,
    /// Its number there.
    number: u64,
}

/// How messages are received.
#[derive(Debug, Clone)]
pub struct ConsumeOptions {
    /// How many messages of each queue may be held at the same time; at least 1.
    pub prefetch: u16,
    /// A message that was handed out so often already is rejected instead of being handed
    /// out again. Without, that is for the receiver to decide.
    pub max_deliveries: Option<u32>,
}

impl Default for ConsumeOptions {
    fn default() -> Self {
        ConsumeOptions {
            prefetch: 1,
            max_deliveries: None,
        }
    }
}

/// How a broker is opened.
#[derive(Clone)]
pub struct Options {
    /// The limit of one attempt to reach the broker, and of waiting for it to confirm.
    pub timeout: Duration,
    /// Try for ever to reach the broker: for workers.
    pub endless: bool,
    /// How long a consumer that does not answer keeps its messages.
    pub lease: Duration,
    /// Is told of waits and asked whether to stop.
    pub progress: Arc<dyn Progress>,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            timeout: Duration::from_secs(5),
            endless: false,
            lease: Duration::from_secs(30),
            progress: Arc::new(Silent),
        }
    }
}

/// The broker that the settings name. Nothing is read, made or connected to before it is
/// used.
///
/// # Errors
/// [`crate::ErrorKind::Usage`] when the URL is not one of a broker.
pub fn open(settings: &BrokerSettings, options: Options) -> Result<Box<dyn Broker>> {
    Ok(match settings {
        BrokerSettings::Directory(url) => {
            Box::new(embedded::EmbeddedBroker::open(url.directory(), options))
        }
        BrokerSettings::Amqp(settings) => Box::new(amqp::AmqpBroker::open(settings, options)?),
    })
}
