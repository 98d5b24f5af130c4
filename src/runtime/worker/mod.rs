//! The worker: takes tasks from queues, runs them on threads, tells what became of them.
//! It is the same on every broker and every storage.
//!
//! Every task is run once, effectively. The broker delivers its message at least once; a
//! claim in the book of tasks (`runtime::tasks`) decides which of several deliveries is
//! run, and the ending that is entered first is the one that counts. A message is
//! acknowledged only when the ending is entered and told.

mod chord;
mod control;
mod ending;
mod events;
mod execute;
mod follow;
mod held;
mod intake;
mod log;
mod pool;
mod rate;
mod stop;
mod watch;

pub use execute::ObjectsOf;
pub use follow::RETRIES as RETRIES_HEADER;

use super::celery::event::Sender;
use super::celery::pickle::Value;
use super::celery::serial::Serializer;
use super::logs::{Level, LogWriter, Logs};
use super::tasks::Tasks;
use crate::broker::{Broker, ConsumeOptions, Consumer, Delivery, Queue};
use crate::error::Result;
use crate::progress::{Progress, Silent};
use crate::storage::mongo::Results;
use ending::Ended;
use events::Events;
use held::{Held, Holding};
use pool::{Next, Pool};
use rate::Rates;
use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Sender as Channel, channel};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// Revoked tasks that a worker remembers, at the most.
const MOST_REVOKED: usize = 50_000;

/// How long it is believed how many consumers a queue has.
const COMPANY: Duration = Duration::from_secs(2);

/// How long the last replies may take to be safe when a worker ends.
const LAST_REPLIES: Duration = Duration::from_secs(10);

/// How a worker works.
#[derive(Debug, Clone)]
pub struct WorkerOptions {
    /// Its name among all workers: `om@host`.
    pub name: String,
    /// The labels whose tasks it takes.
    pub labels: Vec<String>,
    /// How many tasks it runs at the same time.
    pub concurrency: usize,
    /// How long a task may take before it is asked to stop; its message may say otherwise.
    pub soft_limit: Option<Duration>,
    /// How long before it is given up.
    pub hard_limit: Option<Duration>,
    /// After how long without a word of this worker its tasks are another's.
    pub lease: Duration,
    /// How many workers may die over a task before it fails.
    pub max_deaths: u32,
    /// How replies are written.
    pub serializer: Serializer,
    /// Whether it tells what becomes of its tasks on `celeryev`.
    pub events: bool,
    /// The data set that it writes its log into.
    pub log: String,
    /// As which user.
    pub user: String,
    /// What is worth to be written into the log; tasks may ask for more.
    pub log_level: Level,
    /// It ends when it has had nothing to do for so long.
    pub until_idle: Option<Duration>,
    /// How long running tasks may take to end when the worker is stopped.
    pub grace: Duration,
}

impl WorkerOptions {
    /// Messages of a queue that it holds at the most.
    fn prefetch(&self) -> u16 {
        u16::try_from(self.concurrency.saturating_mul(8))
            .unwrap_or(u16::MAX)
            .max(16)
    }
}

/// What a worker has done.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WorkerReport {
    /// Tasks that it has ended.
    pub tasks: u64,
}

/// What a worker works with.
pub struct WorkerResources {
    /// Where tasks come from and replies go.
    pub broker: Arc<dyn Broker>,
    /// The book of tasks.
    pub tasks: Tasks,
    /// The objects that tasks are about.
    pub objects: Box<ObjectsOf>,
    /// Where results are kept as well, for who shares them in a database.
    pub results: Option<Results>,
}

/// What all parts of a worker share.
struct Shared {
    options: WorkerOptions,
    /// Under which tasks are claimed; no other process has the same.
    claimant: String,
    sender: Sender,
    started: Instant,
    broker: Arc<dyn Broker>,
    consumer: Box<dyn Consumer>,
    tasks: Tasks,
    objects: Arc<ObjectsOf>,
    results: Option<Results>,
    log: log::Log,
    holding: Holding,
    pool: OnceLock<Pool<Arc<Held>>>,
    endings: Mutex<Option<Channel<Ended>>>,
    counts: Counts,
    events: Events,
    rates: Rates,
    revoked: Mutex<Revoked>,
    company: Mutex<HashMap<String, (Instant, bool)>>,
    stopping: AtomicBool,
    ended: AtomicBool,
}

/// Runs a worker until it is stopped: by `progress`, by a request, or by having nothing to
/// do. Tasks that run then are waited for, for as long as the options say; the others are
/// handed back. Broker and store must go on working when `progress` says stop; `ready` is
/// called once there is a consumer.
///
/// # Errors
/// What the broker fails with at the start; later failures are logged and tried again.
pub fn work(
    resources: WorkerResources,
    options: WorkerOptions,
    progress: &dyn Progress,
    ready: impl FnOnce(),
) -> Result<WorkerReport> {
    let WorkerResources {
        broker,
        tasks,
        objects,
        results,
    } = resources;
    let queues: Vec<Queue> = options.labels.iter().map(Queue::task).collect();
    let consume = ConsumeOptions {
        prefetch: options.prefetch(),
        ..ConsumeOptions::default()
    };
    let consumer = broker.consume(&queues, &consume)?;
    ready();
    let objects: Arc<ObjectsOf> = Arc::from(objects);
    let of = objects.clone();
    let name = options.log.clone();
    let writer = LogWriter::start(Box::new(move |bucket| {
        Logs::open(&of(bucket, Arc::new(Silent)).datasets, &name)
    }))?;
    let log = log::Log::new(writer, &options.user, options.log_level);
    log.say(
        Level::Info,
        format!("{} starts on {}", options.name, options.labels.join(", ")),
    );
    let (sender, receiver) = channel();
    let events = Events::default();
    events.want(options.events);
    let shared = Arc::new(Shared {
        claimant: format!(
            "{} {} {:08x}",
            options.name,
            std::process::id(),
            rand::random::<u32>()
        ),
        sender: Sender {
            hostname: options.name.clone(),
            pid: std::process::id(),
            utcoffset: utc_offset(),
        },
        started: Instant::now(),
        broker,
        consumer,
        tasks,
        objects,
        results,
        log,
        holding: Holding::default(),
        pool: OnceLock::new(),
        endings: Mutex::new(Some(sender)),
        counts: Counts::default(),
        events,
        rates: Rates::default(),
        revoked: Mutex::default(),
        company: Mutex::default(),
        stopping: AtomicBool::new(false),
        ended: AtomicBool::new(false),
        options,
    });
    let runner = Arc::downgrade(&shared);
    shared.pool.get_or_init(|| {
        Pool::new(shared.options.concurrency, move |held: Arc<Held>| {
            runner
                .upgrade()
                .map_or(Next::Leave, |shared| shared.run(held))
        })
    });
    let finisher = {
        let shared = shared.clone();
        thread::spawn(move || ending::run(&shared, &receiver))
    };
    let others: Vec<_> = [watch::run, events::run, control::run]
        .into_iter()
        .map(|part| {
            let shared = shared.clone();
            thread::spawn(move || part(&shared))
        })
        .collect();
    shared.take_tasks(progress);
    shared.wind_up();
    let settled = finisher.join().is_ok()
        && shared
            .consumer
            .settle(LAST_REPLIES)
            .unwrap_or_else(|error| {
                tracing::warn!("{error}");
                false
            });
    if !settled {
        tracing::warn!("not all replies were confirmed; their tasks may be delivered again");
    }
    shared.ended.store(true, Ordering::Release);
    for other in others {
        let _ = other.join();
    }
    let tasks = shared.counts.total();
    let text = format!("{} ends after {tasks} tasks", shared.options.name);
    shared.log.say(Level::Info, text);
    Ok(WorkerReport { tasks })
}

impl Shared {
    /// Receives tasks until the worker is to stop.
    fn take_tasks(&self, progress: &dyn Progress) {
        let mut idle = Instant::now();
        while !self.is_stopping() && !progress.interrupted() {
            match intake::receive(self) {
                Ok(0) => {}
                Ok(_) => idle = Instant::now(),
                Err(error) => tracing::warn!("{error}"),
            }
            if self.holding.len() > 0 {
                idle = Instant::now();
            }
            if self
                .options
                .until_idle
                .is_some_and(|limit| idle.elapsed() >= limit)
            {
                break;
            }
        }
        self.stop();
    }

    /// Takes no more tasks, hands back those that wait, and waits for those that run.
    fn wind_up(&self) {
        for queue in self.consumer.queues() {
            if let Err(error) = self.consumer.cancel(&queue) {
                tracing::debug!("{queue} is still received from: {error}");
            }
        }
        let Some(pool) = self.pool.get() else { return };
        for held in pool.close() {
            self.end(Ended {
                held,
                outcome: Err(execute::Failure::Stopped(stop::Reason::Shutdown)),
            });
        }
        let running = self
            .holding
            .all()
            .iter()
            .filter(|held| held.started().is_some())
            .count();
        if running > 0 {
            tracing::info!("waiting for {running} tasks to end");
        }
        if !pool.wait(self.options.grace) {
            for held in self.holding.all() {
                held.stop.ask(stop::Reason::Shutdown);
            }
            if !pool.wait(self.options.grace) {
                tracing::warn!("tasks that do not stop are left to other workers");
            }
        }
        // The finisher ends when nobody can send it any more.
        self.endings
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
    }

    /// Runs one task on a thread of the pool.
    fn run(&self, held: Arc<Held>) -> Next {
        if self.is_revoked(&held.message.id) {
            held.stop.ask(stop::Reason::Revoked);
        }
        if !held.start() {
            return Next::Stay;
        }
        self.events
            .tell(|| super::celery::event::Event::started(&self.sender, &held.message.id));
        tracing::debug!("task {} starts: {}", held.message.id, held.message.task);
        self.log.of(&held.message).say(Level::Info, "started");
        let outcome = execute::execute(self, &held);
        let next = match held.stop.is_abandoned() {
            true => Next::Leave,
            false => Next::Stay,
        };
        self.end(Ended { held, outcome });
        next
    }

    /// Hands a task to the threads.
    fn start(&self, held: Arc<Held>) {
        if let Some(pool) = self.pool.get() {
            pool.submit(held);
        }
    }

    /// Hands an ended task to the finisher.
    fn end(&self, ended: Ended) {
        let endings = self.endings.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(channel) = endings.as_ref()
            && channel.send(ended).is_err()
        {
            tracing::error!("an ending is lost; its task will be run again");
        }
    }

    fn stop(&self) {
        self.stopping.store(true, Ordering::Release);
    }

    fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Acquire)
    }

    fn has_ended(&self) -> bool {
        self.ended.load(Ordering::Acquire)
    }

    fn threads(&self) -> usize {
        self.pool.get().map_or(0, Pool::size)
    }

    fn resize(&self, size: usize) {
        if let Some(pool) = self.pool.get() {
            pool.resize(size);
        }
    }

    fn replace_thread(&self) {
        if let Some(pool) = self.pool.get() {
            pool.replace();
        }
    }

    /// Tasks that wait for a thread, and that run.
    fn load(&self) -> (usize, usize) {
        self.pool.get().map_or((0, 0), Pool::load)
    }

    fn limit_rate(&self, task: &str, rate: &Value) -> Result<()> {
        self.rates.set(task, rate)
    }

    /// Remembers that a task is called off; with `terminate` one that runs is stopped.
    fn revoke(&self, id: &str, terminate: bool) {
        let mut revoked = self.revoked.lock().unwrap_or_else(PoisonError::into_inner);
        revoked.add(id);
        drop(revoked);
        if terminate {
            control::terminate(self, id);
        }
    }

    fn is_revoked(&self, id: &str) -> bool {
        let revoked = self.revoked.lock().unwrap_or_else(PoisonError::into_inner);
        revoked.ids.contains(id)
    }

    fn revoked(&self) -> Vec<String> {
        let revoked = self.revoked.lock().unwrap_or_else(PoisonError::into_inner);
        revoked.order.iter().cloned().collect()
    }

    /// Whether other workers receive from the queue of a message.
    fn has_company(&self, delivery: &Delivery) -> bool {
        let mut company = self.company.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((asked, answer)) = company.get(&delivery.queue)
            && asked.elapsed() < COMPANY
        {
            return *answer;
        }
        let answer = self
            .broker
            .depth(&delivery.queue)
            .is_ok_and(|depth| depth.consumers > 1);
        company.insert(delivery.queue.clone(), (Instant::now(), answer));
        answer
    }
}

/// Tasks that were called off; the oldest are forgotten when there are too many.
#[derive(Default)]
struct Revoked {
    ids: HashSet<String>,
    order: VecDeque<String>,
}

impl Revoked {
    fn add(&mut self, id: &str) {
        if !self.ids.insert(id.to_owned()) {
            return;
        }
        self.order.push_back(id.to_owned());
        if self.order.len() > MOST_REVOKED
            && let Some(oldest) = self.order.pop_front()
        {
            self.ids.remove(&oldest);
        }
    }
}

/// How many tasks were ended, by their names.
#[derive(Default)]
struct Counts(Mutex<BTreeMap<String, u64>>);

impl Counts {
    fn done(&self, task: &str) {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match counts.get_mut(task) {
            Some(count) => *count += 1,
            None => drop(counts.insert(task.to_owned(), 1)),
        }
    }

    fn all(&self) -> Vec<(String, u64)> {
        let counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        counts
            .iter()
            .map(|(task, count)| (task.clone(), *count))
            .collect()
    }

    fn total(&self) -> u64 {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .values()
            .sum()
    }
}

/// Hours west of UTC, as Celery counts them.
fn utc_offset() -> f64 {
    let offset = chrono::Local::now().offset().local_minus_utc();
    0.0 - f64::from(offset) / 3600.0
}
