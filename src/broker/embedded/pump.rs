//! The thread of a consumer: claims messages, brings to the database what was done with
//! them, many in one transaction, renews the lease, and looks after a neighbour.

use super::consumer::{Order, Settle, Shared};
use super::database::{Durability, Failure};
use super::messages::{self, Claimed};
use super::presence::{self, Presence};
use super::{Core, now, queues};
use crate::broker::Queue;
use crate::error::Result;
use rusqlite::Transaction;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How often the neighbour is looked after.
const WATCH: Duration = Duration::from_millis(200);

/// How long after a failure it is tried again.
const RETRY: Duration = Duration::from_millis(500);

/// A consumer that is in the table.
pub(super) struct Entered {
    pub presence: Presence,
    pub id: i64,
    pub queues: Vec<(i64, Queue)>,
}

/// Enters a new consumer of these queues.
pub(super) fn enter(core: &Core, queues: &[Queue]) -> Result<Entered> {
    // Makes the directory before there are files in it.
    core.write(Durability::Process, |transaction, _| {
        queues::sweep(transaction, now())?;
        Ok(())
    })?;
    presence::tidy(&core.folder);
    core.bury(|connection| presence::others(connection, 0))?;
    let presence = Presence::new(&core.folder)?;
    let (id, queues) = core.write(Durability::Process, |transaction, _| {
        subscribe(core, transaction, &presence.name, queues)
    })?;
    Ok(Entered {
        presence,
        id,
        queues,
    })
}

type Subscribed = (i64, Vec<(i64, Queue)>);

fn subscribe<'a>(
    core: &Core,
    transaction: &Transaction<'_>,
    name: &str,
    queues: impl IntoIterator<Item = &'a Queue>,
) -> Result<Subscribed, Failure> {
    let now = now();
    let id = presence::enter(transaction, name, now + queues::millis(core.options.lease))?;
    let mut subscribed: Vec<(i64, Queue)> = Vec::new();
    for queue in queues {
        let number = queues::subscribe(transaction, queue, id, now)?;
        if subscribed.iter().all(|(known, _)| *known != number) {
            subscribed.push((number, queue.clone()));
        }
    }
    Ok((id, subscribed))
}

/// The thread.
pub(super) struct Pump {
    shared: Arc<Shared>,
    presence: Presence,
    watched: Instant,
    renewed: Instant,
    /// Which queue goes first, so that none is left behind.
    first: usize,
}

/// What a transaction has done.
struct Turn {
    answers: Vec<bool>,
    claimed: Vec<Claimed>,
    /// What is received from, when that was looked at.
    queues: Option<Vec<(i64, Queue)>>,
    /// The lease was lost, and this is the id under which all begins anew.
    anew: Option<i64>,
}

impl Pump {
    pub fn new(shared: Arc<Shared>, presence: Presence) -> Self {
        Pump {
            shared,
            presence,
            watched: Instant::now(),
            renewed: Instant::now(),
            first: 0,
        }
    }

    pub fn run(mut self) {
        loop {
            let (orders, closing) = {
                let mut state = self.shared.state.lock();
                (std::mem::take(&mut state.orders), state.closing)
            };
            if closing {
                self.close(orders);
                return;
            }
            match self.step(orders) {
                Ok(None) => {}
                Ok(Some(pause)) => {
                    let idle = || {
                        let state = self.shared.state.lock();
                        state.orders.is_empty() && !state.closing
                    };
                    if let Err(error) = self.shared.bell.wait(pause, idle) {
                        tracing::debug!("waiting failed: {error}");
                        std::thread::sleep(WATCH);
                    }
                }
                Err(error) => {
                    self.shared.state.lock().failure = Some(error);
                    self.shared.state.notify();
                    std::thread::sleep(RETRY);
                }
            }
        }
    }

    /// Does what there is to do; how long to wait afterwards.
    fn step(&mut self, orders: Vec<Order>) -> Result<Option<Duration>> {
        let core = self.shared.core.clone();
        if self.watched.elapsed() >= WATCH {
            let own = self.shared.state.lock().id;
            let neighbour = |connection: &_| {
                presence::neighbour(connection, own).map(|found| found.into_iter().collect())
            };
            while core.bury(neighbour)? {}
            self.watched = Instant::now();
        }
        let orders = self.own_transactions(orders);
        let renewal = core.options.lease / 3;
        let room = self.room();
        let claim = !room.is_empty() && {
            let found = core.database.read(|connection| {
                let queues = room.iter().map(|(queue, _)| *queue);
                messages::any_ready(connection, queues, now())
            })?;
            found == Some(true)
        };
        if !orders.is_empty() || claim || self.renewed.elapsed() >= renewal {
            self.turn(orders)?;
            // What was done may have made room, and others may have asked meanwhile.
            return Ok(None);
        }
        let due = match room.is_empty() {
            true => None,
            false => core.database.read(messages::next_due)?.flatten(),
        };
        let due = due.map(|due| Duration::from_millis((due - now()).max(0).unsigned_abs()));
        let renewal = renewal.saturating_sub(self.renewed.elapsed());
        let pause = WATCH.saturating_sub(self.watched.elapsed()).min(renewal);
        Ok(Some(due.map_or(pause, |due| due.min(pause))))
    }

    /// How many messages may be claimed from which queue.
    fn room(&self) -> Vec<(i64, usize)> {
        let state = self.shared.state.lock();
        let mut held = HashMap::new();
        for queue in state.held.values() {
            *held.entry(*queue).or_insert(0) += 1;
        }
        let count = state.queues.len().max(1);
        let turned = state.queues.iter().cycle().skip(self.first % count);
        turned
            .take(state.queues.len())
            .filter_map(|(queue, _)| {
                let held = held.get(queue).copied().unwrap_or(0);
                let room = self.shared.prefetch.saturating_sub(held);
                (room > 0).then_some((*queue, room))
            })
            .collect()
    }

    /// Does what may be refused, each in a transaction of its own; the other orders.
    fn own_transactions(&self, orders: Vec<Order>) -> Vec<Order> {
        let mut others = Vec::with_capacity(orders.len());
        for order in orders {
            match order {
                Order::Add(queue, done) => {
                    let _ = done.send(self.add(queue));
                }
                Order::Cancel(name, done) => {
                    let _ = done.send(self.cancel(&name));
                }
                settle @ Order::Settle { .. } => others.push(settle),
            }
        }
        others
    }

    fn add(&self, queue: Queue) -> Result<bool> {
        let core = &self.shared.core;
        let own = self.shared.state.lock().id;
        let number = core.write(Durability::Process, |transaction, _| {
            queues::subscribe(transaction, &queue, own, now())
        })?;
        let mut state = self.shared.state.lock();
        let new = state.queues.iter().all(|(known, _)| *known != number);
        if new {
            state.queues.push((number, queue));
        }
        Ok(new)
    }

    fn cancel(&self, name: &str) -> Result<bool> {
        let (own, found, unseen) = {
            let mut state = self.shared.state.lock();
            let place = state
                .queues
                .iter()
                .position(|(_, queue)| queue.name == name);
            let found = place.map(|place| state.queues.remove(place).0);
            let (unseen, ready): (Vec<_>, Vec<_>) = std::mem::take(&mut state.ready)
                .into_iter()
                .partition(|claimed| Some(claimed.queue) == found);
            state.ready = ready.into();
            for claimed in &unseen {
                state.held.remove(&claimed.id);
            }
            (state.id, found, unseen)
        };
        let Some(queue) = found else { return Ok(false) };
        self.shared
            .core
            .write(Durability::Process, |transaction, changed| {
                for claimed in &unseen {
                    messages::unclaim(transaction, claimed.id, own)?;
                }
                queues::unsubscribe(transaction, queue, own, now())?;
                changed.insert(queue);
                Ok(true)
            })
    }

    /// One transaction: settles, renews, claims. When it fails, those who wait are told, and
    /// what is finished is tried again.
    fn turn(&mut self, mut orders: Vec<Order>) -> Result<()> {
        match self.transact(&orders) {
            Ok(turn) => {
                self.renewed = Instant::now();
                self.first = self.first.wrapping_add(1);
                self.done(orders, turn);
                Ok(())
            }
            Err(error) => {
                let mut state = self.shared.state.lock();
                orders.retain(|order| match order {
                    Order::Settle {
                        done: Some(done), ..
                    } => {
                        let _ = done.send(Err(error.again()));
                        false
                    }
                    _ => true,
                });
                let later = std::mem::replace(&mut state.orders, orders);
                state.orders.extend(later);
                Err(error)
            }
        }
    }

    fn transact(&self, orders: &[Order]) -> Result<Turn> {
        let core = &self.shared.core;
        let (id, wanted, held) = {
            let state = self.shared.state.lock();
            (state.id, state.queues.clone(), state.held.clone())
        };
        let room = self.room();
        core.write(Durability::Process, |transaction, changed| {
            let now = now();
            let mut turn = Turn {
                answers: Vec::with_capacity(orders.len()),
                claimed: Vec::new(),
                queues: None,
                anew: None,
            };
            let expires = now + queues::millis(core.options.lease);
            if !presence::renew(transaction, id, expires)? {
                let queues = wanted.iter().map(|(_, queue)| queue);
                turn.answers.resize(orders.len(), false);
                let (id, queues) = subscribe(core, transaction, &self.presence.name, queues)?;
                (turn.anew, turn.queues) = (Some(id), Some(queues));
                return Ok(turn);
            }
            if self.renewed.elapsed() >= core.options.lease / 3 {
                queues::sweep(transaction, now)?;
                // Somebody may have deleted a queue.
                let queues = wanted.iter().map(|(_, queue)| queue);
                let (_, queues) = subscribe(core, transaction, &self.presence.name, queues)?;
                turn.queues = Some(queues);
            }
            let mut freed = HashMap::new();
            for order in orders {
                let answer = settle(transaction, order, id, changed, now)?;
                if let (true, Order::Settle { receipt, .. }) = (answer, order)
                    && let Some(queue) = held.get(&receipt.id())
                {
                    *freed.entry(*queue).or_insert(0) += 1;
                }
                turn.answers.push(answer);
            }
            changed.extend(messages::promote(transaction, now)?);
            for (queue, _) in &wanted {
                let room = room
                    .iter()
                    .find(|(of, _)| of == queue)
                    .map_or(0, |(_, room)| *room);
                let limit = room + freed.get(queue).copied().unwrap_or(0);
                if limit > 0 {
                    turn.claimed
                        .extend(messages::claim(transaction, id, *queue, limit, now)?);
                }
            }
            Ok(turn)
        })
    }

    /// Tells everybody what was done.
    fn done(&self, orders: Vec<Order>, turn: Turn) {
        let mut state = self.shared.state.lock();
        for (order, answer) in orders.into_iter().zip(turn.answers) {
            if let Order::Settle { receipt, done, .. } = order {
                state.held.remove(&receipt.id());
                match done {
                    Some(done) => {
                        let _ = done.send(Ok(answer));
                    }
                    None => state.finishing = state.finishing.saturating_sub(1),
                }
            }
        }
        if let Some(queues) = turn.queues {
            state.queues = queues;
        }
        if let Some(id) = turn.anew {
            tracing::warn!("the lease on messages of the queue was lost; others have them now");
            state.id = id;
            state.held.clear();
            state.ready.clear();
        }
        for claimed in turn.claimed {
            state.held.insert(claimed.id, claimed.queue);
            state.ready.push_back(claimed);
        }
        drop(state);
        self.shared.state.notify();
    }

    /// Brings what is done to the database and gives back the rest.
    fn close(self, orders: Vec<Order>) {
        let orders = self.own_transactions(orders);
        let (id, unseen) = {
            let mut state = self.shared.state.lock();
            (state.id, std::mem::take(&mut state.ready))
        };
        let closed = self
            .shared
            .core
            .write(Durability::Process, |transaction, changed| {
                let now = now();
                let mut answers = Vec::new();
                for order in &orders {
                    answers.push(settle(transaction, order, id, changed, now)?);
                }
                for claimed in &unseen {
                    messages::unclaim(transaction, claimed.id, id)?;
                }
                changed.extend(presence::consumed(transaction, id)?);
                presence::leave(transaction, id, now)?;
                Ok(answers)
            });
        match closed {
            Ok(answers) => self.done(
                orders,
                Turn {
                    answers,
                    claimed: Vec::new(),
                    queues: None,
                    anew: None,
                },
            ),
            // The lock is released all the same, and the next consumer tidies up.
            Err(error) => tracing::warn!("{error}"),
        }
    }
}

/// Brings one order to the database; whether the message was still ours.
fn settle(
    transaction: &Transaction<'_>,
    order: &Order,
    consumer: i64,
    changed: &mut BTreeSet<i64>,
    now: i64,
) -> rusqlite::Result<bool> {
    let Order::Settle { receipt, how, .. } = order else {
        return Ok(false);
    };
    if receipt.epoch != consumer.unsigned_abs() {
        return Ok(false);
    }
    let id = receipt.id();
    match how {
        Settle::Done(replies) => {
            if !messages::remove(transaction, id, consumer)? {
                return Ok(false);
            }
            for reply in replies {
                match queues::find(transaction, &reply.queue)? {
                    Some(queue) => {
                        reply.insert(transaction, queue, now)?;
                        changed.insert(queue);
                    }
                    None => tracing::debug!("nobody waits for a reply at {}", reply.queue),
                }
            }
        }
        Settle::Dead(dead, parcel) => {
            if !messages::remove(transaction, id, consumer)? {
                return Ok(false);
            }
            let queue = queues::declare(transaction, dead, now)?;
            parcel.insert(transaction, queue, now)?;
            changed.insert(queue);
        }
        Settle::Back(delay) => match messages::give_back(transaction, id, consumer, *delay, now)? {
            Some(queue) => {
                changed.insert(queue);
            }
            None => return Ok(false),
        },
    }
    Ok(true)
}
