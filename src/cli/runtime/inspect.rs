//! `om runtime inspect` and `om runtime control`: what Celery's commands of these names do,
//! for workers of om and of Python omega|ml alike.

use super::status::plain;
use crate::cli::Session;
use crate::error::{Error, ErrorKind, Result};
use crate::runtime::celery::pickle::Value;
use crate::runtime::celery::signature::Kwargs;
use crate::runtime::control::{PATIENCE, ask};
use clap::{Args, Subcommand};
use serde_json::{Map, Value as Json};
use std::time::Duration;

/// Which workers are asked.
#[derive(Debug, Args)]
struct Asked {
    /// These workers only: om@host
    #[arg(
        long = "worker",
        visible_alias = "destination",
        value_name = "NAME",
        value_delimiter = ',',
        global = true
    )]
    workers: Vec<String>,
    /// How long workers have to answer
    #[arg(long, value_name = "DURATION", value_parser = crate::cli::app::parse_duration, global = true)]
    patience: Option<Duration>,
}

/// Ask workers what they are doing.
///
/// The answers are one JSON object by worker.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  om runtime inspect ping
  om runtime inspect active --worker om@host -o json
  om runtime inspect query-task 6f0c…")]
pub struct Inspect {
    #[command(subcommand)]
    question: Question,
    #[command(flatten)]
    asked: Asked,
}

#[derive(Debug, Subcommand)]
enum Question {
    /// Whether they are there
    Ping,
    /// Tasks that run
    Active,
    /// Tasks that wait in a worker
    Reserved,
    /// Tasks that wait for their time
    Scheduled,
    /// The tasks they know
    Registered,
    /// The queues they take tasks from
    ActiveQueues,
    /// Tasks that were called off
    Revoked,
    /// What they have done, and how they are made
    Stats,
    /// Their settings
    Conf,
    /// What they say of themselves
    Report,
    /// Their clocks
    Clock,
    /// Where tasks are
    QueryTask {
        /// The tasks' ids
        #[arg(required = true)]
        ids: Vec<String>,
    },
}

/// Tell workers what to do.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  om runtime control pool-grow 2 --worker om@host
  om runtime control add-consumer gpu
  om runtime control rate-limit omegaml.tasks.omega_fit 10/m
  om runtime control shutdown --worker om@host")]
pub struct Control {
    #[command(subcommand)]
    order: Order,
    #[command(flatten)]
    asked: Asked,
}

#[derive(Debug, Subcommand)]
enum Order {
    /// Run more tasks at the same time
    PoolGrow {
        /// So many more
        #[arg(default_value_t = 1)]
        number: u32,
    },
    /// Run fewer tasks at the same time
    PoolShrink {
        /// So many fewer
        #[arg(default_value_t = 1)]
        number: u32,
    },
    /// Take tasks of a label, too
    AddConsumer {
        /// The label
        label: String,
    },
    /// Take no more tasks of a label
    CancelConsumer {
        /// The label
        label: String,
    },
    /// Limit how many tasks of a name are run: 10/s, 100/m, 1000/h; 0 for no limit
    RateLimit {
        /// The task's name
        task: String,
        /// The limit
        rate: String,
    },
    /// Tell what becomes of tasks
    EnableEvents,
    /// Do not tell what becomes of tasks
    DisableEvents,
    /// Call tasks off; with --terminate also when they run
    Revoke {
        /// The tasks' ids
        #[arg(required = true)]
        ids: Vec<String>,
        /// Stop them if they run
        #[arg(long)]
        terminate: bool,
    },
    /// End, once running tasks are done
    Shutdown,
}

impl Inspect {
    /// Runs the command.
    pub fn run(self, session: &Session) -> Result<()> {
        let mut arguments = Kwargs::default();
        let method = match self.question {
            Question::Ping => "ping",
            Question::Active => "active",
            Question::Reserved => "reserved",
            Question::Scheduled => "scheduled",
            Question::Registered => "registered",
            Question::ActiveQueues => "active_queues",
            Question::Revoked => "revoked",
            Question::Stats => "stats",
            Question::Conf => "conf",
            Question::Report => "report",
            Question::Clock => "clock",
            Question::QueryTask { ids } => {
                arguments.push("ids", texts(&ids));
                "query_task"
            }
        };
        self.asked.ask(method, arguments, session)
    }
}

impl Control {
    /// Runs the command.
    pub fn run(self, session: &Session) -> Result<()> {
        let mut arguments = Kwargs::default();
        let method = match self.order {
            Order::PoolGrow { number } => {
                arguments.push("n", Value::Int(number.into()));
                "pool_grow"
            }
            Order::PoolShrink { number } => {
                arguments.push("n", Value::Int(number.into()));
                "pool_shrink"
            }
            Order::AddConsumer { label } => {
                arguments.push("queue", label.as_str());
                "add_consumer"
            }
            Order::CancelConsumer { label } => {
                arguments.push("queue", label.as_str());
                "cancel_consumer"
            }
            Order::RateLimit { task, rate } => {
                arguments.push("task_name", task.as_str());
                arguments.push("rate_limit", rate.as_str());
                "rate_limit"
            }
            Order::EnableEvents => "enable_events",
            Order::DisableEvents => "disable_events",
            Order::Revoke { ids, terminate } => {
                arguments.push("task_id", texts(&ids));
                arguments.push("terminate", terminate);
                arguments.push("signal", "SIGTERM");
                "revoke"
            }
            Order::Shutdown => {
                if self.asked.workers.is_empty()
                    && !session.output.confirm("Shut down all workers?")?
                {
                    return Ok(());
                }
                "shutdown"
            }
        };
        self.asked.ask(method, arguments, session)
    }
}

impl Asked {
    fn ask(self, method: &str, arguments: Kwargs, session: &Session) -> Result<()> {
        let broker = session.broker()?;
        let workers = (!self.workers.is_empty()).then_some(self.workers);
        let answers = ask(
            broker.as_ref(),
            method,
            arguments,
            workers,
            self.patience.unwrap_or(PATIENCE),
            &session.progress,
        )?;
        if answers.is_empty() {
            return Err(Error::new(ErrorKind::Unreachable, "no worker has answered")
                .hint("start one: om runtime worker"));
        }
        let all: Map<String, Json> = answers.into_iter().map(plain).collect();
        session.output.value(&Json::Object(all))
    }
}

fn texts(ids: &[String]) -> Value {
    Value::list(ids.iter().map(|id| id.as_str().into()))
}
