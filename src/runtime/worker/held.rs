//! The tasks that a worker has claimed: which they are, since when they run, and the one
//! place from which a task's delivery is taken when it ends, so that it ends once.

use super::stop::Stop;
use crate::broker::Delivery;
use crate::runtime::celery::message::TaskMessage;
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant, SystemTime};

/// A claimed task.
pub(super) struct Held {
    pub message: TaskMessage,
    /// The queue that it came from.
    pub queue: String,
    /// How often it was started, this time included.
    pub attempts: i64,
    /// Whether it was claimed. What changes nothing need not be.
    pub claimed: bool,
    pub soft_limit: Option<Duration>,
    pub hard_limit: Option<Duration>,
    pub stop: Arc<Stop>,
    started: OnceLock<Start>,
    announced: AtomicBool,
    delivery: Mutex<Option<Delivery>>,
}

/// When a task was started, on both clocks.
#[derive(Debug, Clone, Copy)]
pub(super) struct Start {
    pub at: Instant,
    pub time: SystemTime,
}

impl Held {
    /// A task that waits for a thread. Its own time limits come before the worker's.
    pub fn new(
        message: TaskMessage,
        delivery: Delivery,
        attempts: i64,
        claimed: bool,
        limits: (Option<Duration>, Option<Duration>),
    ) -> Self {
        let seconds =
            |limit: Option<f64>| limit.and_then(|limit| Duration::try_from_secs_f64(limit).ok());
        Held {
            soft_limit: seconds(message.soft_time_limit).or(limits.0),
            hard_limit: seconds(message.time_limit).or(limits.1),
            queue: delivery.queue.clone(),
            message,
            attempts,
            claimed,
            stop: Arc::new(Stop::default()),
            started: OnceLock::new(),
            announced: AtomicBool::new(false),
            delivery: Mutex::new(Some(delivery)),
        }
    }

    /// It runs from now on; whether it shall, because it has not ended meanwhile.
    pub fn start(&self) -> bool {
        let waits = self.delivery().is_some();
        if waits {
            self.started.get_or_init(|| Start {
                at: Instant::now(),
                time: SystemTime::now(),
            });
        }
        waits
    }

    /// Since when it runs.
    pub fn started(&self) -> Option<Start> {
        self.started.get().copied()
    }

    /// Whether it is to be said now that it runs; yes at most once.
    pub fn announce(&self) -> bool {
        !self.announced.swap(true, Ordering::AcqRel)
    }

    /// Its delivery, for who ends it; none when it has ended.
    pub fn take(&self) -> Option<Delivery> {
        self.delivery().take()
    }

    fn delivery(&self) -> MutexGuard<'_, Option<Delivery>> {
        self.delivery.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// All tasks that a worker has claimed and not ended.
#[derive(Default)]
pub(super) struct Holding(Mutex<HashMap<String, Arc<Held>>>);

impl Holding {
    pub fn add(&self, held: &Arc<Held>) {
        self.map().insert(held.message.id.clone(), held.clone());
    }

    pub fn remove(&self, id: &str) {
        self.map().remove(id);
    }

    pub fn get(&self, id: &str) -> Option<Arc<Held>> {
        self.map().get(id).cloned()
    }

    /// All of them, running or not.
    pub fn all(&self) -> Vec<Arc<Held>> {
        self.map().values().cloned().collect()
    }

    pub fn len(&self) -> usize {
        self.map().len()
    }

    fn map(&self) -> MutexGuard<'_, HashMap<String, Arc<Held>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
