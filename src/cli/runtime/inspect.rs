//! `om runtime inspect` and `om runtime control`: what Celery's commands of these names do,
//! for workers of om and of Python omega|ml alike.

use super::status::plain;
use crate::cli::Session;
use crate::error::{Error, ErrorKind, Result};
use crate::runtime::celery::pickle::Value;
use crate::runtime::celery::signature::Kwargs;
use crate::runtime::control::{PATIENCE, ask};
use clap::{Args, ValueEnum};
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
        value_delimiter = ','
    )]
    workers: Vec<String>,
    /// How long workers have to answer
    #[arg(long, value_name = "DURATION", value_parser = crate::cli::app::parse_duration)]
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
    /// What to ask
    #[arg(value_enum)]
    question: Question,
    /// Ids of tasks (query-task)
    #[arg(value_name = "ID")]
    ids: Vec<String>,
    #[command(flatten)]
    asked: Asked,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
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
    #[value(alias = "active_queues")]
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
    #[value(alias = "query_task")]
    QueryTask,
}

/// Tell workers what to do.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  om runtime control pool-grow 2 --worker om@host
  om runtime control add-consumer gpu
  om runtime control rate-limit omegaml.tasks.omega_fit 10/m
  om runtime control revoke 6f0c… --terminate
  om runtime control shutdown --worker om@host")]
pub struct Control {
    /// What to do
    #[arg(value_enum)]
    order: Order,
    /// A number, a label, a task and its rate, or ids of tasks
    #[arg(value_name = "ARGUMENT")]
    arguments: Vec<String>,
    /// Stop tasks that run (revoke)
    #[arg(long)]
    terminate: bool,
    #[command(flatten)]
    asked: Asked,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Order {
    /// Run more tasks at the same time
    #[value(alias = "pool_grow")]
    PoolGrow,
    /// Run fewer tasks at the same time
    #[value(alias = "pool_shrink")]
    PoolShrink,
    /// Take tasks of a label, too
    #[value(alias = "add_consumer")]
    AddConsumer,
    /// Take no more tasks of a label
    #[value(alias = "cancel_consumer")]
    CancelConsumer,
    /// Limit how many tasks of a name are run: 10/s, 100/m, 1000/h; 0 for no limit
    #[value(alias = "rate_limit")]
    RateLimit,
    /// Tell what becomes of tasks
    #[value(alias = "enable_events")]
    EnableEvents,
    /// Do not tell what becomes of tasks
    #[value(alias = "disable_events")]
    DisableEvents,
    /// Call tasks off; with --terminate also when they run
    Revoke,
    /// End, once running tasks are done
    Shutdown,
}

impl Inspect {
    /// Runs the command.
    pub fn run(self, session: &Session) -> Result<()> {
        let mut arguments = Kwargs::default();
        match (self.question, self.ids.as_slice()) {
            (Question::QueryTask, []) => return Err(Error::usage("which tasks? give their ids")),
            (Question::QueryTask, ids) => arguments.push("ids", texts(ids)),
            (_, []) => {}
            (_, [id, ..]) => return Err(surplus(id)),
        }
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
            Question::QueryTask => "query_task",
        };
        self.asked.ask(method, arguments, session)
    }
}

impl Control {
    /// Runs the command.
    pub fn run(self, session: &Session) -> Result<()> {
        let mut arguments = Kwargs::default();
        let given: Vec<&str> = self.arguments.iter().map(String::as_str).collect();
        if self.terminate && self.order != Order::Revoke {
            return Err(Error::usage("--terminate goes with revoke"));
        }
        let method = match (self.order, given.as_slice()) {
            (Order::PoolGrow | Order::PoolShrink, number @ ([] | [_])) => {
                let number = match number.first() {
                    None => 1,
                    Some(text) => text
                        .parse::<u16>()
                        .map_err(|_| Error::usage(format!("`{text}` is no number of threads")))?,
                };
                arguments.push("n", Value::Int(number.into()));
                match self.order {
                    Order::PoolGrow => "pool_grow",
                    _ => "pool_shrink",
                }
            }
            (Order::AddConsumer, [label]) => {
                arguments.push("queue", *label);
                "add_consumer"
            }
            (Order::CancelConsumer, [label]) => {
                arguments.push("queue", *label);
                "cancel_consumer"
            }
            (Order::AddConsumer | Order::CancelConsumer, []) => {
                return Err(Error::usage("which label?"));
            }
            (Order::RateLimit, [task, rate]) => {
                arguments.push("task_name", *task);
                arguments.push("rate_limit", *rate);
                "rate_limit"
            }
            (Order::RateLimit, [] | [_]) => {
                return Err(Error::usage("give the task's name and the limit")
                    .hint("om runtime control rate-limit omegaml.tasks.omega_fit 10/m"));
            }
            (Order::EnableEvents, []) => "enable_events",
            (Order::DisableEvents, []) => "disable_events",
            (Order::Revoke, []) => return Err(Error::usage("which tasks? give their ids")),
            (Order::Revoke, _) => {
                arguments.push("task_id", texts(&self.arguments));
                arguments.push("terminate", self.terminate);
                arguments.push("signal", "SIGTERM");
                "revoke"
            }
            (Order::Shutdown, []) => {
                if self.asked.workers.is_empty()
                    && !session.output.confirm("Shut down all workers?")?
                {
                    return Ok(());
                }
                "shutdown"
            }
            (_, [.., surplus]) => return Err(self::surplus(surplus)),
        };
        self.asked.ask(method, arguments, session)
    }
}

fn surplus(argument: &str) -> Error {
    Error::usage(format!("`{argument}` is an argument too many"))
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
