//! Celery's queues and exchanges, declared as Celery declares them (spec/runtime.md §2,
//! §12). What is there already but made otherwise is taken as it is.

use super::convert::short;
use super::failure::{is_missing, is_other};
use super::link::Live;
use crate::broker::{Depth, Lifetime, Queue, QueueKind, Topic};
use crate::error::Result;
use lapin::options::{
    ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions, QueueDeleteOptions,
    QueuePurgeOptions,
};
use lapin::types::{AMQPValue, FieldTable, ShortString};
use lapin::{Channel, ExchangeKind};
use std::time::Duration;

/// How long Celery's listeners live without a consumer, in ms.
const CONTROL_EXPIRES: i32 = 10_000;
const EVENTS_EXPIRES: i32 = 60_000;

/// A queue whose name AMQP can carry.
#[derive(Debug, Clone)]
pub(super) struct Plan {
    pub queue: Queue,
    pub name: ShortString,
    key: ShortString,
}

impl Plan {
    pub fn new(queue: &Queue) -> Result<Self> {
        let key = match &queue.kind {
            QueueKind::Listener { key, .. } => key.as_str(),
            _ => queue.name.as_str(),
        };
        Ok(Plan {
            name: short(&queue.name, "the name of a queue")?,
            key: short(key, "a key")?,
            queue: queue.clone(),
        })
    }

    /// Declares it, and the exchange it is bound to.
    pub async fn declare(&self, live: &Live) -> lapin::Result<()> {
        match &self.queue.kind {
            QueueKind::Task => {
                let kind = (ExchangeKind::Direct, true);
                exchange(live, self.name.clone(), kind).await?;
                let options = QueueDeclareOptions::durable();
                self.make(live, options, FieldTable::default()).await?;
                self.bind(live, self.name.clone()).await
            }
            QueueKind::Reply { lifetime, expires } => {
                let options = match lifetime {
                    Lifetime::Connection => QueueDeclareOptions::exclusive().auto_delete(),
                    Lifetime::Consumer => QueueDeclareOptions::durable().auto_delete(),
                    Lifetime::Expiry => QueueDeclareOptions::durable(),
                };
                let mut arguments = FieldTable::default();
                arguments.insert("x-expires".into(), millis(*expires));
                self.make(live, options, arguments).await
            }
            QueueKind::Listener { topic, keep, .. } => {
                post_office(live, *topic).await?;
                let expires = match topic {
                    Topic::Events => EVENTS_EXPIRES,
                    Topic::Control | Topic::Replies => CONTROL_EXPIRES,
                };
                let mut arguments = FieldTable::default();
                arguments.insert("x-expires".into(), AMQPValue::LongInt(expires));
                arguments.insert("x-message-ttl".into(), millis(*keep));
                let options = QueueDeclareOptions::exclusive().auto_delete();
                self.make(live, options, arguments).await?;
                self.bind(live, topic.exchange().into()).await
            }
        }
    }

    async fn make(
        &self,
        live: &Live,
        options: QueueDeclareOptions,
        arguments: FieldTable,
    ) -> lapin::Result<()> {
        declare(live, &self.name, options, arguments)
            .await
            .map(drop)
    }

    async fn bind(&self, live: &Live, exchange: ShortString) -> lapin::Result<()> {
        on_channel(live, async |channel| {
            let options = QueueBindOptions::default();
            let (queue, key) = (self.name.clone(), self.key.clone());
            channel
                .queue_bind(queue, exchange.clone(), key, options, FieldTable::default())
                .await
        })
        .await
    }
}

/// Declares a queue, or finds that there is one.
async fn declare(
    live: &Live,
    name: &ShortString,
    options: QueueDeclareOptions,
    arguments: FieldTable,
) -> lapin::Result<lapin::Queue> {
    let made = on_channel(live, async |channel| {
        channel
            .queue_declare(name.clone(), options, arguments.clone())
            .await
    })
    .await;
    match made {
        Err(error) if is_other(&error) => {
            tracing::debug!("the queue {name} is taken as it is: {error}");
            passive(live, name).await
        }
        made => made,
    }
}

async fn passive(live: &Live, name: &ShortString) -> lapin::Result<lapin::Queue> {
    on_channel(live, async |channel| {
        let options = QueueDeclareOptions::default().passive();
        channel
            .queue_declare(name.clone(), options, FieldTable::default())
            .await
    })
    .await
}

/// Declares an exchange of a kind, durable or not, or finds that there is one.
async fn exchange(
    live: &Live,
    name: ShortString,
    (kind, durable): (ExchangeKind, bool),
) -> lapin::Result<()> {
    let declare = async |passive: bool| {
        on_channel(live, async |channel| {
            let options = ExchangeDeclareOptions {
                durable,
                passive,
                ..ExchangeDeclareOptions::default()
            };
            channel
                .exchange_declare(name.clone(), kind.clone(), options, FieldTable::default())
                .await
        })
        .await
    };
    match declare(false).await {
        Err(error) if is_other(&error) => declare(true).await,
        made => made,
    }
}

/// Declares the exchange of a topic.
pub(super) async fn post_office(live: &Live, topic: Topic) -> lapin::Result<()> {
    let kind = match topic {
        Topic::Control => (ExchangeKind::Fanout, false),
        Topic::Replies => (ExchangeKind::Direct, false),
        Topic::Events => (ExchangeKind::Topic, true),
    };
    exchange(live, topic.exchange().into(), kind).await
}

/// What is in a queue; none when there is no such queue.
pub(super) async fn depth(live: &Live, name: &ShortString) -> lapin::Result<Option<Depth>> {
    match passive(live, name).await {
        Ok(queue) => Ok(Some(Depth {
            messages: u64::from(queue.message_count()),
            consumers: u64::from(queue.consumer_count()),
        })),
        Err(error) if is_missing(&error) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Deletes a queue.
pub(super) async fn delete(live: &Live, name: &ShortString) -> lapin::Result<()> {
    on_channel(live, async |channel| {
        channel
            .queue_delete(name.clone(), QueueDeleteOptions::default())
            .await
    })
    .await
    .map(drop)
}

/// Deletes what waits in a queue; how many messages that was.
pub(super) async fn purge(live: &Live, name: &ShortString) -> lapin::Result<u64> {
    on_channel(live, async |channel| {
        channel
            .queue_purge(name.clone(), QueuePurgeOptions::default())
            .await
    })
    .await
    .map(u64::from)
}

/// Declares the queue in which messages for `queue` wait for `delay`, and names it. It is
/// made anew for each message, which keeps it from expiring before the message does.
pub(super) async fn waiting_room(
    live: &Live,
    queue: &ShortString,
    delay: Duration,
) -> lapin::Result<ShortString> {
    let wait = rounded(delay);
    // One queue a duration: within a queue, messages leave in the order they came in.
    let name = ShortString::try_new(format!("om.delay.{wait}.{queue}"))
        .map_err(|_| std::io::Error::from(std::io::ErrorKind::InvalidFilename))?;
    let mut arguments = FieldTable::default();
    arguments.insert(
        "x-dead-letter-exchange".into(),
        AMQPValue::LongString("".into()),
    );
    let target = AMQPValue::LongString(queue.as_str().into());
    arguments.insert("x-dead-letter-routing-key".into(), target);
    arguments.insert("x-message-ttl".into(), AMQPValue::LongLongInt(wait));
    let expires = wait.saturating_add(3_600_000);
    arguments.insert("x-expires".into(), AMQPValue::LongLongInt(expires));
    declare(live, &name, QueueDeclareOptions::durable(), arguments).await?;
    Ok(name)
}

/// Milliseconds, rounded up to at most 1 % more, so that there are not too many queues; at
/// most 40 days, which is less than RabbitMQ's limit.
fn rounded(delay: Duration) -> i64 {
    let wait = i64::try_from(delay.as_millis())
        .unwrap_or(i64::MAX)
        .clamp(1, 3_456_000_000);
    let mut step = 1;
    while wait / step >= 1_000 {
        step *= 10;
    }
    (wait + step - 1) / step * step
}

/// Runs something that the broker may answer by closing the channel.
async fn on_channel<T>(
    live: &Live,
    work: impl AsyncFnOnce(Channel) -> lapin::Result<T>,
) -> lapin::Result<T> {
    let channel = live.channel().await?;
    let done = work(channel.clone()).await;
    if channel.status().connected() {
        let closed = channel.close(200, "done".into()).await;
        if let Err(error) = closed {
            tracing::trace!("a channel closed by itself: {error}");
        }
    }
    done
}

fn millis(duration: Duration) -> AMQPValue {
    match i32::try_from(duration.as_millis()) {
        Ok(small) => AMQPValue::LongInt(small),
        Err(_) => AMQPValue::LongLongInt(i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_are_rounded_up_by_little() {
        for (delay, wait) in [
            (0, 1),
            (1, 1),
            (999, 999),
            (1_001, 1_010),
            (60_000, 60_000),
            (86_399_999, 86_400_000),
        ] {
            assert_eq!(rounded(Duration::from_millis(delay)), wait);
        }
        assert_eq!(rounded(Duration::MAX), 3_460_000_000);
    }
}
