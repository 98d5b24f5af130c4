//! A consumer of the embedded queue as its users see it: hands out what the pump has
//! claimed, and hands the pump what is done.

use super::Core;
use super::bell::Bell;
use super::messages::{Claimed, Parcel};
use super::pump::{self, Pump};
use crate::broker::watched::Watched;
use crate::broker::{ConsumeOptions, Consumer, Delivery, Letter, Queue, Receipt, death};
use crate::error::{Context, Error, Result};
use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How many finished messages may wait for the disk.
const FINISHING: usize = 1_000;

/// Receives messages of the embedded queue.
pub(super) struct EmbeddedConsumer {
    shared: Arc<Shared>,
    pump: Option<JoinHandle<()>>,
}

/// What the consumer's users and its pump share.
pub(super) struct Shared {
    pub core: Arc<Core>,
    pub bell: Bell,
    pub prefetch: usize,
    max_deliveries: Option<u32>,
    pub state: Watched<State>,
}

/// Where a consumer stands.
pub(super) struct State {
    /// The id it claims under; another one after a lost lease.
    pub id: i64,
    /// The queues it receives from.
    pub queues: Vec<(i64, Queue)>,
    /// Claimed, and not handed out yet.
    pub ready: VecDeque<Claimed>,
    /// All that is claimed and not done: message to queue.
    pub held: HashMap<i64, i64>,
    /// What is for the pump to do, in this order.
    pub orders: Vec<Order>,
    /// How many of them are finished messages.
    pub finishing: usize,
    /// What has failed since somebody asked.
    pub failure: Option<Error>,
    /// It shall end.
    pub closing: bool,
}

/// Something for the pump to do.
pub(super) enum Order {
    /// About a message that is held.
    Settle {
        receipt: Receipt,
        how: Settle,
        /// Who waits for it; nobody for one that is finished.
        done: Option<SyncSender<Result<bool>>>,
    },
    Add(Queue, SyncSender<Result<bool>>),
    Cancel(String, SyncSender<Result<bool>>),
}

/// What becomes of a message.
pub(super) enum Settle {
    /// It goes, and these come.
    Done(Vec<Parcel<'static>>),
    /// It goes to the dead.
    Dead(Queue, Box<Parcel<'static>>),
    /// It comes again after this time.
    Back(Duration),
}

impl EmbeddedConsumer {
    pub fn start(core: &Arc<Core>, queues: &[Queue], options: &ConsumeOptions) -> Result<Self> {
        let entered = pump::enter(core, queues)?;
        let bell = Bell::new(&core.folder, &entered.presence.name)
            .context(|| "cannot make a socket to be woken up at")?;
        let shared = Arc::new(Shared {
            core: core.clone(),
            bell,
            prefetch: usize::from(options.prefetch.max(1)),
            max_deliveries: options.max_deliveries,
            state: Watched::new(
                State {
                    id: entered.id,
                    queues: entered.queues,
                    ready: VecDeque::new(),
                    held: HashMap::new(),
                    orders: Vec::new(),
                    finishing: 0,
                    failure: None,
                    closing: false,
                },
                core.options.progress.clone(),
            ),
        });
        let pump = Pump::new(shared.clone(), entered.presence);
        let pump = std::thread::Builder::new()
            .name("om-queue".to_owned())
            .spawn(move || pump.run())
            .context(|| "cannot start a thread for the queue")?;
        Ok(EmbeddedConsumer {
            shared,
            pump: Some(pump),
        })
    }

    /// Has the pump do something and waits until it is done.
    fn ask(&self, order: impl FnOnce(SyncSender<Result<bool>>) -> Order) -> Result<bool> {
        let (done, answer) = sync_channel(1);
        self.shared.state.lock().orders.push(order(done));
        self.shared.bell.ring();
        answer
            .recv()
            .unwrap_or_else(|_| Err(Error::failed("the consumer has ended")))
    }

    fn settle_one(&self, receipt: Receipt, how: Settle) -> Result<bool> {
        self.ask(|done| Order::Settle {
            receipt,
            how,
            done: Some(done),
        })
    }
}

impl Consumer for EmbeddedConsumer {
    fn next(&self, timeout: Duration) -> Result<Option<Delivery>> {
        self.shared.state.next_delivery(
            timeout,
            self.shared.max_deliveries,
            |state| match state.failure.take() {
                Some(error) => Err(error),
                None => Ok({
                    let claimed = state.ready.pop_front();
                    claimed.map(|claimed| delivery(state, claimed))
                }),
            },
            |delivery, reason| self.reject(delivery, reason),
        )
    }

    fn ack(&self, delivery: Delivery) -> Result<bool> {
        self.settle_one(delivery.receipt, Settle::Done(Vec::new()))
    }

    fn reject(&self, mut delivery: Delivery, reason: &str) -> Result<bool> {
        let (queue, deliveries) = (&delivery.queue, delivery.deliveries);
        death::mark(&mut delivery.message, queue, deliveries, reason);
        let dead = death::dead_queue(queue);
        let parcel = Parcel::owned(Letter::new(dead.name.as_str(), delivery.message))?;
        self.settle_one(delivery.receipt, Settle::Dead(dead, Box::new(parcel)))
    }

    fn requeue(&self, delivery: Delivery, delay: Duration) -> Result<bool> {
        self.settle_one(delivery.receipt, Settle::Back(delay))
    }

    fn finish(&self, delivery: Delivery, replies: Vec<Letter>) -> Result<()> {
        let replies = replies
            .into_iter()
            .map(Parcel::owned)
            .collect::<Result<_>>()?;
        let mut state = self.shared.state.lock();
        while state.finishing >= FINISHING {
            (state, _) = self.shared.state.wait(state, None)?;
        }
        state.finishing += 1;
        state.orders.push(Order::Settle {
            receipt: delivery.receipt,
            how: Settle::Done(replies),
            done: None,
        });
        drop(state);
        self.shared.bell.ring();
        Ok(())
    }

    fn settle(&self, timeout: Duration) -> Result<bool> {
        let deadline = Instant::now().checked_add(timeout);
        let mut state = self.shared.state.lock();
        while state.finishing > 0 {
            if let Some(error) = state.failure.take() {
                return Err(error);
            }
            let left;
            (state, left) = self.shared.state.wait(state, deadline)?;
            if !left {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn add(&self, queue: &Queue) -> Result<()> {
        self.ask(|done| Order::Add(queue.clone(), done)).map(|_| ())
    }

    fn cancel(&self, queue: &str) -> Result<bool> {
        self.ask(|done| Order::Cancel(queue.to_owned(), done))
    }

    fn queues(&self) -> Vec<String> {
        let state = self.shared.state.lock();
        state
            .queues
            .iter()
            .map(|(_, queue)| queue.name.clone())
            .collect()
    }
}

impl Receipt {
    /// The id of the message.
    pub(super) fn id(self) -> i64 {
        i64::try_from(self.number).unwrap_or(i64::MAX)
    }
}

fn delivery(state: &State, claimed: Claimed) -> Delivery {
    let name = state.queues.iter().find(|(id, _)| *id == claimed.queue);
    Delivery {
        message: claimed.message,
        queue: name
            .map(|(_, queue)| queue.name.clone())
            .unwrap_or_default(),
        redelivered: claimed.deliveries > 1,
        deliveries: claimed.deliveries,
        receipt: Receipt {
            epoch: state.id.unsigned_abs(),
            number: claimed.id.unsigned_abs(),
        },
    }
}

impl Drop for EmbeddedConsumer {
    fn drop(&mut self) {
        self.shared.state.lock().closing = true;
        self.shared.bell.ring();
        if let Some(pump) = self.pump.take()
            && pump.join().is_err()
        {
            tracing::debug!("the queue's thread has panicked");
        }
    }
}

impl fmt::Debug for EmbeddedConsumer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EmbeddedConsumer")
            .field("queues", &self.queues())
            .finish()
    }
}
