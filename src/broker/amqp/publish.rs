//! Publishing: through the default exchange, as Celery does, mandatory and confirmed. What
//! a lost connection has left unconfirmed is published again.

use super::convert::{properties, short};
use super::failure::{explain, passes};
use super::link::{Link, Live};
use super::topology;
use crate::broker::{Letter, Topic};
use crate::config::Url;
use crate::error::{Error, ErrorKind, Result};
use lapin::options::BasicPublishOptions;
use lapin::types::ShortString;
use lapin::{BasicProperties, Confirmation, PublisherConfirm};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::PoisonError;
use std::task::{Context, Poll};
use std::time::Duration;

/// How many messages are unconfirmed at the same time; more bring nothing.
const WINDOW: usize = 500;

/// How long a client waits for a broker that is connected but does not confirm: RabbitMQ
/// stops taking messages when memory or disk run out.
const CONFIRM: Duration = Duration::from_secs(30);

/// The pause before what a lost connection has interrupted is tried again.
const AGAIN: Duration = Duration::from_millis(20);

/// The longest name of a queue that messages can be delayed for.
const LONGEST: usize = 200;

/// A message on its way, checked, so that it can be sent again.
pub(super) struct Parcel {
    pub queue: ShortString,
    delay: Duration,
    properties: BasicProperties,
    body: Vec<u8>,
}

impl Parcel {
    /// # Errors
    /// [`ErrorKind::Invalid`] for what AMQP cannot carry.
    pub fn new(letter: Letter) -> Result<Self> {
        if !letter.delay.is_zero() && letter.queue.len() > LONGEST {
            return Err(Error::invalid(
                "messages cannot be delayed for a queue with so long a name",
            )
            .on(letter.queue));
        }
        Ok(Parcel {
            queue: short(&letter.queue, "the name of a queue")?,
            delay: letter.delay,
            properties: properties(&letter.message)?,
            body: letter.message.body,
        })
    }
}

/// No such queue.
pub(super) fn missing(queue: &str) -> Error {
    Error::not_found(format!("there is no queue {queue}"))
        .on(queue)
        .hint("a queue is made by the first worker or client that uses it")
}

/// What becomes of a message whose queue does not exist.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Routing {
    /// That is an error.
    Must,
    /// It is dropped.
    May,
}

/// Publishes all of it, and waits until it is confirmed.
pub(super) async fn publish(link: &Link, parcels: &[Parcel], routing: Routing) -> Result<()> {
    let mut pending: VecDeque<&Parcel> = parcels.iter().collect();
    while !pending.is_empty() {
        let live = link.live().await?;
        let work = live.guard(window(&live, &mut pending, routing));
        let done = match link.options.endless {
            true => work.await,
            false => match tokio::time::timeout(CONFIRM, work).await {
                Ok(done) => done,
                Err(_) => return Err(unconfirmed(&link.url)),
            },
        };
        match done {
            Ok(None) => {}
            Ok(Some(Refusal::Missing(queue))) => return Err(missing(&queue)),
            Ok(Some(Refusal::Full)) => {
                return Err(Error::failed("the broker cannot keep what is published")
                    .on(link.url.to_string()));
            }
            Err(error) if passes(&error) => {
                tracing::debug!("{} messages are published again: {error}", pending.len());
                link.look();
                tokio::time::sleep(AGAIN).await;
            }
            Err(error) => return Err(explain(&error, &link.url)),
        }
    }
    Ok(())
}

/// The broker is there but does not take anything.
fn unconfirmed(url: &Url) -> Error {
    let late = "the broker does not confirm what is published";
    Error::new(ErrorKind::TimedOut, late)
        .on(url.to_string())
        .hint("has RabbitMQ run out of memory or disk? see: rabbitmqctl list_alarms")
}

/// Why the broker did not take a message.
enum Refusal {
    Missing(String),
    Full,
}

/// Publishes a part of what is pending and takes it out once it is confirmed.
async fn window(
    live: &Live,
    pending: &mut VecDeque<&Parcel>,
    routing: Routing,
) -> lapin::Result<Option<Refusal>> {
    let channel = match routing {
        Routing::Must => live.lend().await?,
        Routing::May => live.shared.clone(),
    };
    let options = BasicPublishOptions {
        mandatory: routing == Routing::Must,
        ..BasicPublishOptions::default()
    };
    let mut sent = VecDeque::new();
    let mut refusal = None;
    for parcel in pending.iter().take(WINDOW) {
        let mut key = parcel.queue.clone();
        if !parcel.delay.is_zero() {
            // The waiting room is always there; whether the queue is, it would not say.
            if topology::depth(live, &key).await?.is_none() && routing == Routing::Must {
                refusal = Some(Refusal::Missing(key.to_string()));
                break;
            }
            key = topology::waiting_room(live, &key, parcel.delay).await?;
        }
        let properties = parcel.properties.clone();
        let publish = channel.basic_publish("".into(), key, options, &parcel.body, properties);
        sent.push_back(Started::new(live, publish).await);
    }
    while let Some(publish) = sent.pop_front() {
        match publish.done().await?.await? {
            Confirmation::Nack(None) => refusal = Some(Refusal::Full),
            confirmed => {
                // Not necessarily this one, but one of these.
                if let Some(returned) = confirmed.take_message() {
                    refusal = Some(Refusal::Missing(returned.routing_key.to_string()));
                }
                pending.pop_front();
            }
        }
    }
    if routing == Routing::Must {
        drop(sent);
        live.give_back(channel);
    }
    Ok(refusal)
}

/// A message whose frames are queued, in the order in which this was asked for.
enum Started<F> {
    Pending(Pin<Box<F>>),
    Done(lapin::Result<PublisherConfirm>),
}

impl<F: Future<Output = lapin::Result<PublisherConfirm>>> Started<F> {
    async fn new(live: &Live, publish: F) -> Self {
        let mut publish = Box::pin(publish);
        let begin = |context: &mut Context<'_>| {
            let _turn = live.turn.lock().unwrap_or_else(PoisonError::into_inner);
            Poll::Ready(publish.as_mut().poll(context))
        };
        match poll_fn(begin).await {
            Poll::Ready(done) => Started::Done(done),
            Poll::Pending => Started::Pending(publish),
        }
    }

    async fn done(self) -> lapin::Result<PublisherConfirm> {
        match self {
            Started::Pending(publish) => publish.await,
            Started::Done(done) => done,
        }
    }
}

/// Posts a message on a topic.
pub(super) async fn post(
    live: &Live,
    topic: Topic,
    key: ShortString,
    properties: BasicProperties,
    body: &[u8],
) -> lapin::Result<()> {
    let offices = || live.offices.lock().unwrap_or_else(PoisonError::into_inner);
    // Publishing to an exchange that is not there would cost the channel.
    let known = offices().contains(topic.exchange());
    if !known {
        topology::post_office(live, topic).await?;
        offices().insert(topic.exchange());
    }
    let options = BasicPublishOptions::default();
    let exchange = topic.exchange().into();
    let publish = live
        .shared
        .basic_publish(exchange, key, options, body, properties);
    let publish = Started::new(live, publish).await;
    publish.done().await?.await.map(drop)
}
