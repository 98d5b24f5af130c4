//! Publishing: through the default exchange, as Celery does, mandatory and confirmed. What
//! a lost connection has left unconfirmed is published again.

use super::convert::{properties, short};
use super::failure::{explain, passes};
use super::link::{Link, Live};
use super::topology;
use crate::broker::{Letter, Message, Topic};
use crate::error::{Error, ErrorKind, Result};
use lapin::options::BasicPublishOptions;
use lapin::types::ShortString;
use lapin::{BasicProperties, Confirmation, PublisherConfirm};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

/// How many messages are unconfirmed at the same time; more bring nothing.
const WINDOW: usize = 500;

/// How long a client waits for a broker that is connected but does not confirm: RabbitMQ
/// stops taking messages when memory or disk run out.
const CONFIRM: Duration = Duration::from_secs(30);

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

/// Publishes all of it, and waits until it is confirmed.
pub(super) async fn publish(link: &Link, parcels: &[Parcel]) -> Result<()> {
    let mut pending: VecDeque<&Parcel> = parcels.iter().collect();
    while !pending.is_empty() {
        let live = link.live().await?;
        let work = window(link, &live, &mut pending);
        let done = match link.options.endless {
            true => work.await,
            false => tokio::time::timeout(CONFIRM, work).await.unwrap_or_else(|_| {
                let late = "the broker does not confirm what is published";
                Err(Trouble::Final(
                    Error::new(ErrorKind::TimedOut, late)
                        .on(link.url.to_string())
                        .hint("has RabbitMQ run out of memory or disk? see: rabbitmqctl list_alarms"),
                ))
            }),
        };
        match done {
            Ok(()) => {}
            Err(Trouble::Final(error)) => return Err(error),
            Err(Trouble::Passing(error)) => {
                tracing::debug!("{} messages are published again: {error}", pending.len());
                link.look();
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    }
    Ok(())
}

/// Why a message was not published.
enum Trouble {
    Final(Error),
    Passing(lapin::Error),
}

/// Publishes a part of what is pending and takes it out once it is confirmed.
async fn window(
    link: &Link,
    live: &Live,
    pending: &mut VecDeque<&Parcel>,
) -> std::result::Result<(), Trouble> {
    let sort = |error: lapin::Error| match passes(&error) {
        true => Trouble::Passing(error),
        false => Trouble::Final(explain(&error, &link.url)),
    };
    let options = BasicPublishOptions {
        mandatory: true,
        ..BasicPublishOptions::default()
    };
    let mut sent = VecDeque::new();
    for parcel in pending.iter().take(WINDOW) {
        let mut key = parcel.queue.clone();
        if !parcel.delay.is_zero() {
            // The waiting room is always there; whether the queue is, it would not say.
            if topology::depth(live, &key).await.map_err(sort)?.is_none() {
                return Err(Trouble::Final(missing(&parcel.queue.to_string())));
            }
            key = topology::waiting_room(live, &key, parcel.delay)
                .await
                .map_err(sort)?;
        }
        let properties = parcel.properties.clone();
        let publish =
            live.publisher
                .basic_publish("".into(), key, options, &parcel.body, properties);
        sent.push_back(Started::new(publish).await);
    }
    while let Some(publish) = sent.pop_front() {
        let confirm = publish.done().await.map_err(sort)?;
        match confirm.await.map_err(sort)? {
            Confirmation::Ack(None) | Confirmation::NotRequested => {}
            Confirmation::Ack(Some(_)) | Confirmation::Nack(Some(_)) => {
                let parcel = pending.front();
                let queue = parcel
                    .map(|parcel| parcel.queue.to_string())
                    .unwrap_or_default();
                return Err(Trouble::Final(missing(&queue)));
            }
            Confirmation::Nack(None) => {
                let refused = "the broker cannot keep what is published";
                return Err(Trouble::Final(
                    Error::failed(refused).on(link.url.to_string()),
                ));
            }
        }
        pending.pop_front();
    }
    Ok(())
}

/// A message whose frames are queued, in the order in which this was asked for.
enum Started<F> {
    Pending(Pin<Box<F>>),
    Done(lapin::Result<PublisherConfirm>),
}

impl<F: Future<Output = lapin::Result<PublisherConfirm>>> Started<F> {
    async fn new(publish: F) -> Self {
        let mut publish = Box::pin(publish);
        match poll_fn(|context| Poll::Ready(publish.as_mut().poll(context))).await {
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
    message: &Message,
) -> Result<lapin::Result<()>> {
    let properties = properties(message)?;
    Ok(send(live, topic, key, properties, &message.body).await)
}

async fn send(
    live: &Live,
    topic: Topic,
    key: ShortString,
    properties: BasicProperties,
    body: &[u8],
) -> lapin::Result<()> {
    let known = |live: &Live| {
        let offices = live
            .offices
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        offices.contains(topic.exchange())
    };
    // Publishing to an exchange that is not there would cost the channel.
    if !known(live) {
        topology::post_office(live, topic).await?;
        let mut offices = live
            .offices
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        offices.insert(topic.exchange());
    }
    let options = BasicPublishOptions::default();
    let exchange = topic.exchange().into();
    live.publisher
        .basic_publish(exchange, key, options, body, properties)
        .await?
        .await
        .map(drop)
}
