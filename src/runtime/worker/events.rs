//! What a worker tells of itself on `celeryev`: that it is there, every two seconds, and,
//! when it is asked to, what becomes of its tasks (spec/runtime.md §12).

use super::Shared;
use crate::broker::{Broker, Topic};
use crate::runtime::celery::event::{self, Event, Pulse, Sender};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Time between two heartbeats, as Celery has it.
const HEARTBEAT: Duration = Duration::from_secs(2);

/// How often events of tasks are sent.
const FLUSH: Duration = Duration::from_millis(500);

/// Events that wait to be sent, at the most; more are dropped.
const MOST_WAITING: usize = 10_000;

/// The events of a worker.
#[derive(Default)]
pub(super) struct Events {
    /// Whether events of tasks are wanted.
    wanted: AtomicBool,
    clock: AtomicU64,
    waiting: Mutex<Vec<Event>>,
}

impl Events {
    /// Whether events of tasks are to be told.
    pub fn want(&self, wanted: bool) {
        self.wanted.store(wanted, Ordering::Relaxed);
    }

    /// Whether they are.
    pub fn are_wanted(&self) -> bool {
        self.wanted.load(Ordering::Relaxed)
    }

    /// The next tick of the worker's logical clock.
    pub fn tick(&self) -> u64 {
        self.clock.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Its time now.
    pub fn clock(&self) -> u64 {
        self.clock.load(Ordering::Relaxed)
    }

    /// Queues an event of a task, which is made only if it is wanted.
    pub fn tell(&self, event: impl FnOnce() -> Event) {
        if !self.are_wanted() {
            return;
        }
        let event = event().at(seconds(), self.tick());
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.len() < MOST_WAITING {
            waiting.push(event);
        }
    }

    fn flush(&self, broker: &dyn Broker, sender: &Sender) {
        let waiting =
            std::mem::take(&mut *self.waiting.lock().unwrap_or_else(PoisonError::into_inner));
        if !waiting.is_empty() {
            let (key, message) = event::write_tasks(sender, &waiting);
            post(broker, &key, &message);
        }
    }
}

/// Tells until the worker has ended.
pub(super) fn run(shared: &Shared) {
    announce(shared, "worker-online");
    let mut since = Duration::ZERO;
    while !shared.has_ended() {
        std::thread::sleep(FLUSH);
        since += FLUSH;
        shared.events.flush(shared.broker.as_ref(), &shared.sender);
        if since >= HEARTBEAT {
            since = Duration::ZERO;
            announce(shared, "worker-heartbeat");
        }
    }
    shared.events.flush(shared.broker.as_ref(), &shared.sender);
    announce(shared, "worker-offline");
}

fn announce(shared: &Shared, kind: &str) {
    let (_, active) = shared.load();
    let pulse = Pulse {
        freq: HEARTBEAT.as_secs_f64(),
        active: active as u64,
        processed: shared.counts.total(),
        loadavg: load_average(),
    };
    let event = Event::worker(kind, &shared.sender, &pulse).at(seconds(), shared.events.tick());
    let (key, message) = event::write(&event);
    post(shared.broker.as_ref(), &key, &message);
}

fn post(broker: &dyn Broker, key: &str, message: &crate::broker::Message) {
    if let Err(error) = broker.post(Topic::Events, key, message) {
        tracing::debug!("an event is lost: {error}");
    }
}

/// Seconds since 1970.
pub(super) fn seconds() -> f64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0.0, |since| since.as_secs_f64())
}

/// The machine's load over 1, 5 and 15 minutes; zeros where it does not tell.
fn load_average() -> [f64; 3] {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let mut numbers = text
        .split_whitespace()
        .map(|word| word.parse().unwrap_or(0.0));
    std::array::from_fn(|_| numbers.next().unwrap_or(0.0))
}
