//! The task of a consumer: declares its queues, subscribes to them, takes in what comes,
//! and begins anew when the channel or the connection is lost.

use super::consumer::{Shared, Standing, ack, epoch};
use super::convert;
use super::failure::{explain, passes};
use super::link::Live;
use super::publish::{self, Parcel, Routing};
use super::topology::Plan;
use crate::broker::{Delivery, Letter, Message, QueueKind, Receipt, death};
use futures_core::Stream;
use lapin::options::{BasicCancelOptions, BasicConsumeOptions, BasicNackOptions, BasicQosOptions};
use lapin::types::FieldTable;
use lapin::{Channel, message};
use serde_json::Value;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

/// The header by which quorum queues count.
const COUNTED: &str = "x-delivery-count";

/// How often the channel is looked at that says nothing.
const LOOK: Duration = Duration::from_millis(250);

/// How long after a refusal or a loss it is tried again.
const RETRY: Duration = Duration::from_millis(500);

/// Receives until the consumer ends.
pub(super) async fn run(shared: Arc<Shared>) {
    let mut begun = Instant::now();
    loop {
        if shared.state.lock().closing {
            return;
        }
        let patiently = shared.link.patiently();
        let Ok(live) = tokio::time::timeout(LOOK, patiently).await else {
            continue;
        };
        if let Err(error) = session(&shared, &live).await {
            tracing::debug!("receiving begins anew: {error}");
            shared.link.look();
        }
        forget(&shared);
        // A channel that closes at once, again and again, must not keep the broker busy.
        if begun.elapsed() < RETRY {
            tokio::time::sleep(RETRY).await;
        }
        begun = Instant::now();
    }
}

/// What came by the last channel is not ours any more.
fn forget(shared: &Shared) {
    let mut state = shared.state.lock();
    state.epoch = epoch();
    state.ready.clear();
    state.held.clear();
    for wanted in &mut state.queues {
        if matches!(wanted.standing, Standing::Up) {
            wanted.standing = Standing::Waiting;
        }
    }
}

/// A queue that is received from.
struct Subscribed {
    plan: Plan,
    stream: lapin::Consumer,
}

/// What happens next.
enum Event {
    Delivered(usize, Box<message::Delivery>),
    /// The broker has ended a subscription: the queue was deleted, or the channel is gone.
    Ended(usize),
    Command,
}

/// Receives by one channel until it ends.
async fn session(shared: &Arc<Shared>, live: &Arc<Live>) -> lapin::Result<()> {
    let channel = live.guard(live.channel()).await?;
    let options = BasicQosOptions { global: false };
    live.guard(channel.basic_qos(shared.prefetch, options))
        .await?;
    let mut subscribed: Vec<Subscribed> = Vec::new();
    let mut first = 0;
    let mut retry = None;
    let mut changed = true;
    loop {
        if std::mem::take(&mut changed)
            && live
                .guard(update(shared, live, &channel, &mut subscribed))
                .await?
        {
            retry = Some(Instant::now() + RETRY);
        }
        let event = loop {
            if shared.state.lock().closing {
                // What is held goes back to the queues.
                return live.guard(channel.close(200, "done".into())).await;
            }
            if !channel.status().connected() || !live.stands() {
                return Ok(());
            }
            if retry.is_some_and(|at| at <= Instant::now()) {
                break Event::Command;
            }
            let mut command = pin!(shared.command.notified());
            let next = poll_fn(|context| {
                let count = subscribed.len();
                for place in (0..count).map(|place| (place + first) % count) {
                    let Some(subscription) = subscribed.get_mut(place) else {
                        continue;
                    };
                    match Pin::new(&mut subscription.stream).poll_next(context) {
                        Poll::Ready(Some(Ok(delivery))) => {
                            return Poll::Ready(Event::Delivered(place, Box::new(delivery)));
                        }
                        Poll::Ready(Some(Err(_)) | None) => {
                            return Poll::Ready(Event::Ended(place));
                        }
                        Poll::Pending => {}
                    }
                }
                command.as_mut().poll(context).map(|()| Event::Command)
            });
            if let Ok(event) = tokio::time::timeout(LOOK, next).await {
                break event;
            }
        };
        first = first.wrapping_add(1);
        match event {
            Event::Delivered(place, delivery) => {
                if let Some(subscription) = subscribed.get(place) {
                    take_in(shared, &subscription.plan, *delivery).await;
                }
            }
            Event::Ended(place) => {
                let ended = subscribed.remove(place);
                let mut state = shared.state.lock();
                for wanted in &mut state.queues {
                    if wanted.plan.name == ended.plan.name {
                        wanted.standing = Standing::Waiting;
                    }
                }
                retry = Some(Instant::now() + RETRY);
            }
            Event::Command => (retry, changed) = (None, true),
        }
    }
}

/// Subscribes to what is wanted, and unsubscribes from what is not; whether something was
/// refused.
async fn update(
    shared: &Arc<Shared>,
    live: &Live,
    channel: &Channel,
    subscribed: &mut Vec<Subscribed>,
) -> lapin::Result<bool> {
    let wanted: Vec<Plan> = {
        let state = shared.state.lock();
        state
            .queues
            .iter()
            .map(|wanted| wanted.plan.clone())
            .collect()
    };
    let mut place = 0;
    while let Some(subscription) = subscribed.get(place) {
        if wanted
            .iter()
            .any(|plan| plan.name == subscription.plan.name)
        {
            place += 1;
            continue;
        }
        let ended = subscribed.remove(place);
        unsubscribe(channel, ended).await?;
    }
    let mut refused = false;
    for plan in wanted {
        if subscribed
            .iter()
            .any(|subscription| subscription.plan.name == plan.name)
        {
            continue;
        }
        let made = match plan.declare(live).await {
            Ok(()) => subscribe(channel, &plan).await,
            Err(error) => Err(error),
        };
        let standing = match made {
            Ok(stream) => {
                subscribed.push(Subscribed {
                    plan: plan.clone(),
                    stream,
                });
                Standing::Up
            }
            Err(error) if passes(&error) => return Err(error),
            Err(error) => {
                refused = true;
                Standing::Refused(explain(&error, &shared.link.url))
            }
        };
        let mut state = shared.state.lock();
        for wanted in &mut state.queues {
            if wanted.plan.name == plan.name {
                wanted.standing = match &standing {
                    Standing::Refused(error) => Standing::Refused(error.again()),
                    Standing::Up => Standing::Up,
                    Standing::Waiting => Standing::Waiting,
                };
            }
        }
        drop(state);
        shared.state.notify();
    }
    Ok(refused)
}

async fn subscribe(channel: &Channel, plan: &Plan) -> lapin::Result<lapin::Consumer> {
    let options = BasicConsumeOptions {
        exclusive: matches!(plan.queue.kind, QueueKind::Listener { .. }),
        ..BasicConsumeOptions::default()
    };
    let arguments = FieldTable::default();
    channel
        .basic_consume(plan.name.clone(), "".into(), options, arguments)
        .await
}

/// Ends a subscription and gives back what it has brought meanwhile.
async fn unsubscribe(channel: &Channel, mut ended: Subscribed) -> lapin::Result<()> {
    channel
        .basic_cancel(ended.stream.tag(), BasicCancelOptions::default())
        .await?;
    let options = BasicNackOptions {
        requeue: true,
        ..BasicNackOptions::default()
    };
    while let Some(Ok(delivery)) =
        poll_fn(|context| Pin::new(&mut ended.stream).poll_next(context)).await
    {
        delivery.acker.nack(options).await?;
    }
    Ok(())
}

/// Keeps a message for who asks for the next.
async fn take_in(shared: &Arc<Shared>, plan: &Plan, delivery: message::Delivery) {
    let mut message = convert::message(&delivery.properties, delivery.data);
    let number = |value: Option<Value>| value.and_then(|value| value.as_u64());
    let before = number(message.headers.remove(death::DELIVERIES)).unwrap_or(0);
    let counted = number(message.headers.remove(COUNTED));
    let again = counted.unwrap_or(u64::from(delivery.redelivered));
    let deliveries = u32::try_from(before + again + 1).unwrap_or(u32::MAX);
    let classic = counted.is_none() && delivery.redelivered;
    if classic && shared.max_deliveries.is_some() && plan.queue.kind == QueueKind::Task {
        // Classic queues know that it was delivered before, but not how often.
        count(&mut message, deliveries - 1);
        let letter = Letter::new(plan.queue.name.as_str(), message);
        let (shared, acker) = (shared.clone(), delivery.acker);
        tokio::spawn(async move {
            let published = match Parcel::new(letter) {
                Ok(parcel) => publish::publish(&shared.link, &[parcel], Routing::Must).await,
                Err(error) => Err(error),
            };
            match published {
                Ok(()) => drop(ack(&acker).await),
                Err(error) => tracing::warn!("a message stays uncounted: {error}"),
            }
        });
        return;
    }
    let mut state = shared.state.lock();
    let number = state.next;
    state.next += 1;
    state.held.insert(number, delivery.acker);
    let receipt = Receipt {
        epoch: state.epoch,
        number,
    };
    state.ready.push_back(Delivery {
        message,
        queue: plan.queue.name.clone(),
        redelivered: deliveries > 1,
        deliveries,
        receipt,
    });
    drop(state);
    shared.state.notify();
}

/// Writes into a message how often it was delivered before.
pub(super) fn count(message: &mut Message, deliveries: u32) {
    message
        .headers
        .insert(death::DELIVERIES.to_owned(), deliveries.into());
}
