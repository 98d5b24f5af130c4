//! A consumer of RabbitMQ's queues as its users see it: hands out what has been received,
//! and tells the broker what became of it, on the channel it came by or not at all.

use super::failure::unreachable;
use super::link::Link;
use super::publish::{self, Parcel, Routing};
use super::receive;
use super::topology::Plan;
use crate::broker::watched::Watched;
use crate::broker::{ConsumeOptions, Consumer, Delivery, Letter, Queue, Receipt, death};
use crate::error::{Error, Result};
use lapin::Acker;
use lapin::options::{BasicAckOptions, BasicNackOptions};
use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::Notify;

/// How many finished messages may be on their way.
const FINISHING: usize = 1_000;

/// How long the end waits for what is finished.
const GOODBYE: Duration = Duration::from_secs(5);

/// Receives messages from RabbitMQ.
pub(super) struct AmqpConsumer {
    shared: Arc<Shared>,
    task: Option<tokio::task::JoinHandle<()>>,
}

/// What the consumer's users and its task share.
pub(super) struct Shared {
    pub link: Arc<Link>,
    pub prefetch: u16,
    pub max_deliveries: Option<u32>,
    /// There is something for the task to do.
    pub command: Notify,
    pub state: Watched<State>,
}

/// Where a consumer stands.
#[derive(Default)]
pub(super) struct State {
    /// Names the channel, within this process: what came by another is lost.
    pub epoch: u64,
    pub next: u64,
    pub ready: VecDeque<Delivery>,
    /// How to acknowledge what came by the present channel.
    pub held: HashMap<u64, Acker>,
    pub queues: Vec<Wanted>,
    pub finishing: usize,
    pub failure: Option<Error>,
    pub closing: bool,
}

/// A queue that shall be received from.
pub(super) struct Wanted {
    pub plan: Plan,
    pub standing: Standing,
}

/// Whether it is.
pub(super) enum Standing {
    Waiting,
    Up,
    Refused(Error),
}

impl AmqpConsumer {
    pub fn start(link: &Arc<Link>, queues: &[Queue], options: &ConsumeOptions) -> Result<Self> {
        let mut state = State {
            epoch: epoch(),
            ..State::default()
        };
        for queue in queues {
            state.want(Plan::new(queue)?);
        }
        // Says at once when the broker cannot be reached.
        link.run(link.live())?;
        let shared = Arc::new(Shared {
            link: link.clone(),
            prefetch: options.prefetch.max(1),
            max_deliveries: options.max_deliveries,
            command: Notify::new(),
            state: Watched::new(state, link.options.progress.clone()),
        });
        let task = link.threads()?.spawn(receive::run(shared.clone()));
        let consumer = AmqpConsumer {
            shared,
            task: Some(task),
        };
        consumer.wait_for(queues)?;
        Ok(consumer)
    }

    /// Waits until these queues are received from.
    fn wait_for(&self, queues: &[Queue]) -> Result<()> {
        let options = &self.shared.link.options;
        // Twice: once to find that the connection was lost, once for the next one.
        let limit = (!options.endless).then_some(options.timeout * 2);
        let deadline = limit.and_then(|limit| Instant::now().checked_add(limit));
        let mut state = self.shared.state.lock();
        loop {
            let asked = |wanted: &Wanted| {
                queues
                    .iter()
                    .any(|queue| queue.name == wanted.plan.queue.name)
            };
            let refused =
                |wanted: &Wanted| asked(wanted) && matches!(wanted.standing, Standing::Refused(_));
            if let Some(place) = state.queues.iter().position(refused)
                && let Standing::Refused(error) = state.queues.remove(place).standing
            {
                return Err(error);
            }
            let up = |wanted: &Wanted| matches!(wanted.standing, Standing::Up);
            if state
                .queues
                .iter()
                .all(|wanted| up(wanted) || !asked(wanted))
            {
                return Ok(());
            }
            let left;
            (state, left) = self.shared.state.wait(state, deadline)?;
            if !left {
                return Err(unreachable(
                    "the connection was lost",
                    &self.shared.link.url,
                ));
            }
        }
    }

    /// Takes what it takes to acknowledge a message, if it is still ours.
    fn take(&self, receipt: Receipt) -> Option<Acker> {
        let mut state = self.shared.state.lock();
        if receipt.epoch != state.epoch {
            return None;
        }
        state.held.remove(&receipt.number).filter(Acker::usable)
    }

    /// Publishes in the place of a message, which goes when that is safe.
    fn replace(&self, receipt: Receipt, letter: Letter, queue: Option<&Queue>) -> Result<bool> {
        let parcel = Parcel::new(letter)?;
        let Some(acker) = self.take(receipt) else {
            return Ok(false);
        };
        let link = &self.shared.link;
        if let Some(queue) = queue {
            let plan = Plan::new(queue)?;
            link.run(async {
                let live = link.live().await?;
                let made = plan.declare(&live).await;
                made.map_err(|error| super::failure::explain(&error, &link.url))
            })?;
        }
        link.run(async {
            publish::publish(link, &[parcel], Routing::Must).await?;
            Ok(ack(&acker).await)
        })
    }
}

/// Acknowledges a message; whether it still was ours.
pub(super) async fn ack(acker: &Acker) -> bool {
    within(acker.ack(BasicAckOptions::default())).await
}

/// Has a message delivered again; whether it still was ours.
async fn give_back(acker: &Acker) -> bool {
    let options = BasicNackOptions {
        requeue: true,
        ..BasicNackOptions::default()
    };
    within(acker.nack(options)).await
}

/// What was sent while the connection was being lost may never be said to be sent.
async fn within(sent: impl Future<Output = lapin::Result<bool>>) -> bool {
    let sent = tokio::time::timeout(GOODBYE, sent).await;
    matches!(sent, Ok(Ok(true)))
}

/// A number that no other channel of this process has.
pub(super) fn epoch() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

impl State {
    /// Adds a queue, unless it is there.
    fn want(&mut self, plan: Plan) {
        if self
            .queues
            .iter()
            .all(|wanted| wanted.plan.name != plan.name)
        {
            self.queues.push(Wanted {
                plan,
                standing: Standing::Waiting,
            });
        }
    }
}

impl Consumer for AmqpConsumer {
    fn next(&self, timeout: Duration) -> Result<Option<Delivery>> {
        self.shared.state.next_delivery(
            timeout,
            self.shared.max_deliveries,
            |state| match state.failure.take() {
                Some(error) => Err(error),
                None => Ok(state.ready.pop_front()),
            },
            |delivery, reason| self.reject(delivery, reason),
        )
    }

    fn ack(&self, delivery: Delivery) -> Result<bool> {
        let Some(acker) = self.take(delivery.receipt) else {
            return Ok(false);
        };
        self.shared.link.run(async { Ok(ack(&acker).await) })
    }

    fn reject(&self, mut delivery: Delivery, reason: &str) -> Result<bool> {
        death::mark(
            &mut delivery.message,
            &delivery.queue,
            delivery.deliveries,
            reason,
        );
        let dead = death::dead_queue(&delivery.queue);
        let letter = Letter::new(dead.name.as_str(), delivery.message);
        self.replace(delivery.receipt, letter, Some(&dead))
    }

    fn requeue(&self, delivery: Delivery, delay: Duration) -> Result<bool> {
        if delay.is_zero() {
            let Some(acker) = self.take(delivery.receipt) else {
                return Ok(false);
            };
            return self.shared.link.run(async { Ok(give_back(&acker).await) });
        }
        let mut letter = Letter::new(delivery.queue, delivery.message);
        letter.delay = delay;
        receive::count(&mut letter.message, delivery.deliveries);
        self.replace(delivery.receipt, letter, None)
    }

    fn finish(&self, delivery: Delivery, replies: Vec<Letter>) -> Result<()> {
        let parcels = replies
            .into_iter()
            .map(Parcel::new)
            .collect::<Result<Vec<_>>>()?;
        let acker = {
            let mut state = self.shared.state.lock();
            while state.finishing >= FINISHING {
                (state, _) = self.shared.state.wait(state, None)?;
            }
            state.finishing += 1;
            match delivery.receipt.epoch == state.epoch {
                true => state.held.remove(&delivery.receipt.number),
                false => None,
            }
        };
        let shared = self.shared.clone();
        self.shared.link.threads()?.spawn(async move {
            let published = publish::publish(&shared.link, &parcels, Routing::May).await;
            let failure = published.err();
            if let Some(acker) = acker.filter(Acker::usable) {
                // When a reply is not safe, the message must come again.
                match failure {
                    None => ack(&acker).await,
                    Some(_) => give_back(&acker).await,
                };
            }
            let mut state = shared.state.lock();
            state.finishing = state.finishing.saturating_sub(1);
            if failure.is_some() {
                state.failure = failure;
            }
            drop(state);
            shared.state.notify();
        });
        Ok(())
    }

    fn settle(&self, timeout: Duration) -> Result<bool> {
        let deadline = Instant::now().checked_add(timeout);
        let mut state = self.shared.state.lock();
        while state.finishing > 0 {
            let left;
            (state, left) = self.shared.state.wait(state, deadline)?;
            if !left {
                return Ok(false);
            }
        }
        state.failure.take().map_or(Ok(true), Err)
    }

    fn add(&self, queue: &Queue) -> Result<()> {
        self.shared.state.lock().want(Plan::new(queue)?);
        self.shared.command.notify_one();
        self.wait_for(std::slice::from_ref(queue))
    }

    fn cancel(&self, queue: &str) -> Result<bool> {
        let mut state = self.shared.state.lock();
        let before = state.queues.len();
        state
            .queues
            .retain(|wanted| wanted.plan.queue.name != queue);
        let found = state.queues.len() < before;
        let (unseen, ready): (Vec<_>, Vec<_>) = std::mem::take(&mut state.ready)
            .into_iter()
            .partition(|delivery| delivery.queue == queue);
        state.ready = ready.into();
        drop(state);
        self.shared.command.notify_one();
        for delivery in unseen {
            self.requeue(delivery, Duration::ZERO)?;
        }
        Ok(found)
    }

    fn queues(&self) -> Vec<String> {
        let state = self.shared.state.lock();
        state
            .queues
            .iter()
            .map(|wanted| wanted.plan.queue.name.clone())
            .collect()
    }
}

impl Drop for AmqpConsumer {
    fn drop(&mut self) {
        if self.shared.link.present().is_some()
            && let Err(error) = self.settle(GOODBYE)
        {
            tracing::debug!("{error}");
        }
        self.shared.state.lock().closing = true;
        self.shared.command.notify_one();
        if let (Some(task), Ok(threads)) = (self.task.take(), self.shared.link.threads())
            && tokio::runtime::Handle::try_current().is_err()
        {
            let _ = threads.block_on(async { tokio::time::timeout(GOODBYE, task).await });
        }
    }
}

impl fmt::Debug for AmqpConsumer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AmqpConsumer")
            .field("queues", &self.queues())
            .finish()
    }
}
