//! RabbitMQ as a broker, 3.10 to 4.x, shared with Celery's clients and workers: their
//! queues, their exchanges, their way of publishing (spec/runtime.md §2).
//!
//! Acknowledgements belong to a channel: when RabbitMQ closes it, because a task takes
//! longer than its `consumer_timeout` or because the connection is lost, what is held is
//! delivered again, and acknowledging it says so. Quality of service is set per consumer.

mod address;
mod consumer;
mod convert;
mod failure;
mod link;
mod publish;
mod receive;
mod tls;
mod topology;

use super::{Broker, ConsumeOptions, Consumer, Depth, Letter, Message, Options, Queue, Topic};
use crate::config::AmqpSettings;
use crate::error::Result;
use consumer::AmqpConsumer;
use convert::{properties, short};
use failure::{explain, passes, unreachable};
use link::{Link, Live};
use publish::{Parcel, Routing, missing};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use tls::Tls;
use topology::Plan;

/// How often something is tried again that a lost connection has interrupted.
const REPEATS: u32 = 5;

/// RabbitMQ.
pub struct AmqpBroker {
    link: Arc<Link>,
}

impl AmqpBroker {
    /// Prepares a connection; nothing is started or sent before the first use.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Usage`] when the URL is not one of AMQP.
    pub fn open(settings: &AmqpSettings, options: Options) -> Result<Self> {
        let uri = address::parse(settings)?;
        Ok(AmqpBroker {
            link: Link::new(settings.url.clone(), uri, Tls::new(settings), options),
        })
    }

    /// Runs `work` on a connection, and again on the next when it is lost meanwhile.
    fn on_connection<T>(&self, work: impl AsyncFn(&Live) -> lapin::Result<T>) -> Result<T> {
        self.link.run(async {
            let mut repeats = 0;
            loop {
                let live = self.link.live().await?;
                match live.guard(work(&live)).await {
                    Ok(done) => return Ok(done),
                    Err(error) if passes(&error) && repeats < REPEATS => {
                        repeats += 1;
                        self.link.look();
                        tokio::time::sleep(Duration::from_millis(50)).await;
                    }
                    Err(error) => return Err(explain(&error, &self.link.url)),
                }
            }
        })
    }
}

impl fmt::Debug for AmqpBroker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AmqpBroker")
            .field("url", &self.link.url)
            .finish()
    }
}

impl Broker for AmqpBroker {
    fn location(&self) -> String {
        self.link.url.to_string()
    }

    fn declare(&self, queue: &Queue) -> Result<()> {
        let plan = Plan::new(queue)?;
        self.on_connection(async |live| plan.declare(live).await)
    }

    fn delete(&self, queue: &str) -> Result<bool> {
        let name = short(queue, "the name of a queue")?;
        self.on_connection(async |live| {
            if topology::depth(live, &name).await?.is_none() {
                return Ok(false);
            }
            topology::delete(live, &name).await?;
            Ok(true)
        })
    }

    fn purge(&self, queue: &str) -> Result<u64> {
        let name = short(queue, "the name of a queue")?;
        let purged = self.on_connection(async |live| {
            if topology::depth(live, &name).await?.is_none() {
                return Ok(None);
            }
            topology::purge(live, &name).await.map(Some)
        })?;
        purged.ok_or_else(|| missing(queue))
    }

    fn depth(&self, queue: &str) -> Result<Depth> {
        let name = short(queue, "the name of a queue")?;
        let depth = self.on_connection(async |live| topology::depth(live, &name).await)?;
        depth.ok_or_else(|| missing(queue))
    }

    fn publish_all(&self, letters: &[Letter]) -> Result<()> {
        let parcels = letters
            .iter()
            .cloned()
            .map(Parcel::new)
            .collect::<Result<Vec<_>>>()?;
        if parcels.is_empty() {
            return Ok(());
        }
        self.link
            .run(publish::publish(&self.link, &parcels, Routing::Must))
    }

    fn consume(&self, queues: &[Queue], options: &ConsumeOptions) -> Result<Box<dyn Consumer>> {
        Ok(Box::new(AmqpConsumer::start(&self.link, queues, options)?))
    }

    fn post(&self, topic: Topic, key: &str, message: &Message) -> Result<()> {
        let key = short(key, "a key")?;
        let properties = properties(message)?;
        self.link.run(async {
            let live = match self.link.options.endless {
                false => self.link.live().await?,
                true => self.link.present().ok_or_else(|| {
                    unreachable("there is no connection at the moment", &self.link.url)
                })?,
            };
            let post = publish::post(&live, topic, key, properties, &message.body);
            live.guard(post).await.map_err(|error| {
                self.link.look();
                explain(&error, &self.link.url)
            })
        })
    }
}
