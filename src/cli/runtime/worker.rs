//! `om runtime worker`: takes tasks and runs them until it is stopped.

use crate::broker::{self, Broker};
use crate::cli::Session;
use crate::cli::app::parse_duration;
use crate::config::{Config, Origin};
use crate::error::Result;
use crate::omega::Omega;
use crate::progress::{Meter, Progress, Silent, Unit};
use crate::runtime::celery::serial::Serializer;
use crate::runtime::{LEASE, Level, WorkerOptions, WorkerResources, host, user, work};
use clap::Args;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// How much longer a task has to end once it was asked to stop.
const MORE: Duration = Duration::from_secs(30);

/// How many workers may die over a task.
const MAX_DEATHS: u32 = 3;

/// How long running tasks may take to end when the worker is stopped.
const GRACE: Duration = Duration::from_secs(60);

/// Take tasks of labels and run them.
///
/// On a cluster it works beside Python omega|ml's workers: it runs models of om, and leaves
/// others to them. Ctrl-C or SIGTERM lets running tasks end, a second one does not.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  om runtime worker
  om runtime worker --queues default,gpu --concurrency 8
  om runtime worker --until-idle 10s")]
pub struct RunWorker {
    /// Labels whose tasks it takes [default: OMEGA_WORKER_LABEL, else default]
    #[arg(
        short = 'Q',
        long,
        value_name = "LABEL",
        value_delimiter = ',',
        visible_alias = "labels"
    )]
    queues: Vec<String>,
    /// Tasks at the same time [default: OMEGA_WORKER_CONCURRENCY, else 4]; 0: one a CPU
    #[arg(short, long, value_name = "NUMBER")]
    concurrency: Option<usize>,
    /// Its name among the workers [default: om@HOST]
    #[arg(short, long, value_name = "NAME")]
    name: Option<String>,
    /// Stop tasks that run longer [default: OMEGA_TASK_TIMEOUT]
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    soft_limit: Option<Duration>,
    /// Give up tasks that do not stop then [default: 30s more]
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    hard_limit: Option<Duration>,
    /// How long its tasks stay its own when it is not heard of
    #[arg(long, value_name = "DURATION", value_parser = parse_duration, hide_short_help = true)]
    lease: Option<Duration>,
    /// How many workers may die over a task before it fails
    #[arg(
        long,
        value_name = "NUMBER",
        default_value_t = MAX_DEATHS,
        hide_short_help = true
    )]
    max_deaths: u32,
    /// How long running tasks may take to end when it is stopped
    #[arg(long, value_name = "DURATION", value_parser = parse_duration, default_value = "60s", hide_short_help = true)]
    grace: Duration,
    /// Tell what becomes of tasks on celeryev, for Flower and the like
    #[arg(long = "task-events", visible_alias = "events")]
    events: bool,
    /// End when there was nothing to do for so long
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    until_idle: Option<Duration>,
}

impl RunWorker {
    /// Runs the command.
    pub fn run(self, session: &Session) -> Result<()> {
        let config = session.config()?;
        let progress = Arc::new(UntilReady {
            inner: session.progress(),
            ready: AtomicBool::new(false),
        });
        let om = Omega::open(config, progress.clone())?;
        let broker: Arc<dyn Broker> = Arc::from(broker::open(
            &config.broker()?,
            broker::Options {
                endless: true,
                lease: self.lease.unwrap_or(LEASE),
                progress: progress.clone(),
                ..broker::Options::default()
            },
        )?);
        let configured = configured(config);
        let soft_limit = self.soft_limit.or(configured.soft_limit);
        let options = WorkerOptions {
            name: match self.name {
                Some(name) if name.contains('@') => name,
                Some(name) => format!("{name}@{}", host()),
                None => configured.name,
            },
            labels: match self.queues.is_empty() {
                true => configured.labels,
                false => self.queues,
            },
            concurrency: match self.concurrency {
                Some(0) => std::thread::available_parallelism().map_or(1, usize::from),
                Some(some) => some,
                None => configured.concurrency,
            },
            soft_limit,
            hard_limit: self.hard_limit.or(soft_limit.map(|soft| soft + MORE)),
            lease: self.lease.unwrap_or(configured.lease),
            max_deaths: self.max_deaths,
            events: self.events,
            until_idle: self.until_idle,
            grace: self.grace,
            ..configured
        };
        session.progress.note(&format!(
            "{}: {} tasks at a time of {} on {}",
            options.name,
            options.concurrency,
            options.labels.join(", "),
            broker.location()
        ));
        let resources = WorkerResources {
            broker,
            tasks: om.tasks(),
            objects: om.objects_of(),
            results: om.results().cloned(),
        };
        let report = work(resources, options, &session.progress, || {
            progress.ready.store(true, Ordering::Release)
        })?;
        session
            .progress
            .note(&format!("{} tasks were run", report.tasks));
        Ok(())
    }
}

/// A worker as the settings say.
pub(in crate::cli) fn configured(config: &Config) -> WorkerOptions {
    let soft_limit = config.task_timeout();
    WorkerOptions {
        name: format!("om@{}", host()),
        labels: vec![config.worker_label()],
        concurrency: config.worker_concurrency(),
        soft_limit: Some(soft_limit),
        hard_limit: Some(soft_limit + MORE),
        lease: LEASE,
        max_deaths: MAX_DEATHS,
        serializer: serializer(config),
        events: false,
        log: config.log_dataset(),
        user: config.text("OMEGA_USERID").unwrap_or_else(user),
        log_level: log_level(config),
        until_idle: None,
        grace: GRACE,
    }
}

/// What is worth to be written into the log: what was asked for, else what is going on.
fn log_level(config: &Config) -> Level {
    let asked = config.origin("OMEGA_LOGLEVEL") != Some(&Origin::Default);
    let level = config.text("OMEGA_LOGLEVEL").filter(|_| asked);
    let level = level.and_then(|level| Level::parse(&level));
    level.unwrap_or(Level::Info)
}

/// Lets the start be interrupted, but not the end: a worker that is stopped has to write
/// what its last tasks have done.
struct UntilReady {
    inner: Arc<dyn Progress>,
    ready: AtomicBool,
}

impl Progress for UntilReady {
    fn meter(&self, _label: &str, _total: Option<u64>, _unit: Unit) -> Box<dyn Meter> {
        Box::new(Silent)
    }

    fn note(&self, message: &str) {
        self.inner.note(message);
    }

    fn interrupted(&self) -> bool {
        !self.ready.load(Ordering::Acquire) && self.inner.interrupted()
    }
}

/// How replies are written: `CELERY_RESULT_SERIALIZER`.
fn serializer(config: &Config) -> Serializer {
    let setting = config
        .value("OMEGA_CELERY_CONFIG")
        .and_then(|settings| settings.get("CELERY_RESULT_SERIALIZER")?.as_str());
    match setting {
        Some("json") => Serializer::Json,
        _ => Serializer::Pickle,
    }
}
