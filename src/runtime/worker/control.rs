//! Remote control, as Celery's tools do it: requests on the pidbox, one answer of each
//! worker (spec/runtime.md §12).

use super::Shared;
use super::events::seconds;
use super::stop::Reason;
use crate::broker::{ConsumeOptions, Queue, Topic};
use crate::error::Result;
use crate::runtime::celery::control::{Answer, Request};
use crate::runtime::celery::pickle::Value;
use crate::runtime::celery::repr;
use crate::runtime::celery::signature::Kwargs;
use std::time::{Duration, UNIX_EPOCH};

/// How long to wait for a request before looking whether the worker has ended.
const TICK: Duration = Duration::from_millis(500);

/// The tasks that this program has (spec/runtime.md §5); those of backends are not asked for.
const REGISTERED: [&str; 18] = [
    "celery.chord_unlock",
    "omegaml.backends.package.tasks.run_omega_callback_script",
    "omegaml.backends.package.tasks.run_omega_script",
    "omegaml.notebook.tasks.execute_scripts",
    "omegaml.notebook.tasks.run_omegaml_job",
    "omegaml.notebook.tasks.schedule_omegaml_job",
    "omegaml.tasks.omega_decision_function",
    "omegaml.tasks.omega_fit",
    "omegaml.tasks.omega_fit_transform",
    "omegaml.tasks.omega_gridsearch",
    "omegaml.tasks.omega_partial_fit",
    "omegaml.tasks.omega_ping",
    "omegaml.tasks.omega_predict",
    "omegaml.tasks.omega_predict_proba",
    "omegaml.tasks.omega_preload",
    "omegaml.tasks.omega_score",
    "omegaml.tasks.omega_settings",
    "omegaml.tasks.omega_transform",
];

/// Answers requests until the worker has ended.
pub(super) fn run(shared: &Shared) {
    while !shared.has_ended() {
        if let Err(error) = listen(shared) {
            tracing::warn!("remote control is interrupted: {error}");
            std::thread::sleep(TICK);
        }
    }
}

fn listen(shared: &Shared) -> Result<()> {
    let queue = Queue::control(&shared.options.name);
    let options = ConsumeOptions {
        prefetch: 32,
        ..ConsumeOptions::default()
    };
    let consumer = shared.broker.consume(&[queue], &options)?;
    while !shared.has_ended() {
        let Some(delivery) = consumer.next(TICK)? else {
            continue;
        };
        match Request::read(&delivery.message) {
            Ok(request) if request.is_for(&shared.options.name) => respond(shared, &request),
            Ok(_) => {}
            Err(error) => tracing::warn!("a request is not understood: {error}"),
        }
        consumer.ack(delivery)?;
    }
    Ok(())
}

fn respond(shared: &Shared, request: &Request) {
    let value = perform(shared, request);
    let (Some(reply_to), Some(ticket)) = (&request.reply_to, &request.ticket) else {
        return;
    };
    let answer = Answer {
        node: shared.options.name.clone(),
        ticket: Some(ticket.clone()),
        value,
    };
    let posted = answer.write(shared.events.tick()).and_then(|message| {
        shared
            .broker
            .post(Topic::Replies, &reply_to.routing_key, &message)
    });
    if let Err(error) = posted {
        tracing::warn!("an answer to `{}` is lost: {error}", request.method);
    }
}

fn ok(text: &str) -> Value {
    Value::dict([("ok", text.into())])
}

fn error(text: &str) -> Value {
    Value::dict([("error", text.into())])
}

/// Does what is asked; the answer.
fn perform(shared: &Shared, request: &Request) -> Value {
    let arguments = &request.arguments;
    let text = |name: &str| arguments.get(name).and_then(Value::as_str);
    let number = |name: &str| {
        let number = arguments.get(name).and_then(Value::as_int);
        number
            .and_then(|number| usize::try_from(number).ok())
            .unwrap_or(1)
    };
    match request.method.as_str() {
        "ping" => ok("pong"),
        "active" => Value::list(active(shared, true)),
        "reserved" => Value::list(active(shared, false)),
        "scheduled" => Value::list([]),
        "registered" | "registered_tasks" => Value::list(REGISTERED.map(Value::from)),
        "active_queues" => Value::list(shared.consumer.queues().iter().map(|name| queue(name))),
        "revoked" => Value::list(shared.revoked().iter().map(|id| id.as_str().into())),
        "stats" => stats(shared),
        "conf" => Value::dict([]),
        "report" => ok(&format!(
            "om {} on {}",
            env!("CARGO_PKG_VERSION"),
            shared.options.name
        )),
        "clock" => Value::dict([("clock", Value::Int(integer(shared.events.clock())))]),
        "hello" => Value::dict([
            ("revoked", Value::dict([])),
            ("clock", Value::Int(integer(shared.events.clock()))),
        ]),
        "query_task" => query(shared, arguments),
        "revoke" => {
            let ids = ids(arguments.get("task_id"));
            let terminate = arguments.get("terminate") == Some(&Value::Bool(true));
            for id in &ids {
                shared.revoke(id, terminate);
            }
            match terminate {
                true => ok(&format!("terminate: {}", ids.join(", "))),
                false => ok(&format!("tasks {} flagged as revoked", ids.join(", "))),
            }
        }
        "terminate" => {
            let ids = ids(arguments.get("task_id"));
            ids.iter().for_each(|id| shared.revoke(id, true));
            ok(&format!("terminate: {}", ids.join(", ")))
        }
        "enable_events" => {
            let before = shared.events.are_wanted();
            shared.events.want(true);
            ok(if before {
                "task events already enabled"
            } else {
                "task events enabled"
            })
        }
        "disable_events" => {
            let before = shared.events.are_wanted();
            shared.events.want(false);
            ok(if before {
                "task events disabled"
            } else {
                "task events already disabled"
            })
        }
        "heartbeat" => Value::None,
        "pool_grow" => {
            shared.resize(shared.threads().saturating_add(number("n")));
            ok("pool will grow")
        }
        "pool_shrink" => {
            let size = shared.threads();
            match number("n") < size {
                true => {
                    shared.resize(size - number("n"));
                    ok("pool will shrink")
                }
                false => error("the pool needs one thread at least"),
            }
        }
        "autoscale" => {
            let size = arguments.get("max").and_then(Value::as_int);
            match size
                .and_then(|size| usize::try_from(size).ok())
                .filter(|size| *size > 0)
            {
                Some(size) => {
                    shared.resize(size);
                    ok(&format!("autoscale now max={size} min={size}"))
                }
                None => error("max is missing"),
            }
        }
        "add_consumer" => match text("queue") {
            Some(name) => match shared.consumer.add(&Queue::task(name)) {
                Ok(()) => ok(&format!("add consumer {name}")),
                Err(failed) => error(&failed.to_string()),
            },
            None => error("the queue is missing"),
        },
        "cancel_consumer" => match text("queue") {
            Some(name) => match shared.consumer.cancel(name) {
                Ok(_) => ok(&format!("no longer consuming from {name}")),
                Err(failed) => error(&failed.to_string()),
            },
            None => error("the queue is missing"),
        },
        "rate_limit" => match (text("task_name"), arguments.get("rate_limit")) {
            (Some(task), Some(rate)) => match shared.limit_rate(task, rate) {
                Ok(()) => ok("new rate limit set successfully"),
                Err(failed) => error(&failed.to_string()),
            },
            _ => error("task_name and rate_limit are needed"),
        },
        "time_limit" => match text("task_name") {
            Some(_) => error("the time limits of an om worker are those of its start"),
            None => error("task_name is missing"),
        },
        "shutdown" => {
            tracing::info!("shutdown was asked for");
            shared.stop();
            ok("shutting down")
        }
        other => error(&format!("an om worker does not know `{other}`")),
    }
}

fn active(shared: &Shared, running: bool) -> Vec<Value> {
    let held = shared.holding.all();
    held.iter()
        .filter(|held| held.started().is_some() == running)
        .map(|held| {
            let task = &held.message;
            let start = held.started().map(|start| {
                let since = start.time.duration_since(UNIX_EPOCH);
                since.map_or(0.0, |since| since.as_secs_f64())
            });
            Value::dict([
                ("id", task.id.as_str().into()),
                ("name", task.task.as_str().into()),
                ("args", Value::list(task.args.iter().cloned())),
                ("kwargs", task.kwargs.to_value()),
                ("type", task.task.as_str().into()),
                ("hostname", shared.options.name.as_str().into()),
                ("time_start", start.map_or(Value::None, Value::Float)),
                ("acknowledged", false.into()),
                (
                    "delivery_info",
                    Value::dict([
                        ("exchange", "".into()),
                        ("routing_key", held.queue.as_str().into()),
                        ("priority", Value::Int(task.priority.unwrap_or(0).into())),
                        ("redelivered", (held.attempts > 1).into()),
                    ]),
                ),
                ("worker_pid", Value::Int(std::process::id().into())),
            ])
        })
        .collect()
}

fn queue(name: &str) -> Value {
    let exchange = Value::dict([
        ("name", name.into()),
        ("type", "direct".into()),
        ("durable", true.into()),
        ("auto_delete", false.into()),
    ]);
    Value::dict([
        ("name", name.into()),
        ("exchange", exchange),
        ("routing_key", name.into()),
        ("durable", true.into()),
        ("exclusive", false.into()),
        ("auto_delete", false.into()),
        ("no_ack", false.into()),
        ("alias", Value::None),
    ])
}

fn stats(shared: &Shared) -> Value {
    let counts = shared.counts.all();
    let total = counts
        .iter()
        .map(|(task, count)| (task.as_str(), Value::Int(integer(*count))));
    let pid = Value::Int(std::process::id().into());
    let threads = i64::try_from(shared.threads()).unwrap_or(i64::MAX);
    let pool = Value::dict([
        ("implementation", "om.threads".into()),
        ("max-concurrency", Value::Int(threads)),
        ("processes", Value::list([pid.clone()])),
    ]);
    Value::dict([
        ("total", Value::dict(total)),
        ("pid", pid),
        ("clock", shared.events.clock().to_string().as_str().into()),
        (
            "uptime",
            Value::Int(integer(shared.started.elapsed().as_secs())),
        ),
        ("pool", pool),
        (
            "broker",
            Value::dict([("hostname", shared.broker.location().as_str().into())]),
        ),
        (
            "prefetch_count",
            Value::Int(i64::from(shared.options.prefetch())),
        ),
        ("rusage", rusage()),
        ("now", Value::Float(seconds())),
    ])
}

/// The memory that the process has, in kilobytes as Celery tells it.
fn rusage() -> Value {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status.lines().find_map(|line| {
        let number = line.strip_prefix("VmHWM:")?.split_whitespace().next()?;
        number.parse::<i64>().ok()
    });
    Value::dict([("maxrss", Value::Int(peak.unwrap_or(0)))])
}

fn query(shared: &Shared, arguments: &Kwargs) -> Value {
    let wanted = ids(arguments.get("ids"));
    let found: Vec<(String, Value)> = wanted
        .into_iter()
        .filter_map(|id| {
            let held = shared.holding.get(&id)?;
            let state = if held.started().is_some() {
                "active"
            } else {
                "reserved"
            };
            let args = repr::summary(&Value::tuple(held.message.args.iter().cloned()));
            let facts = Value::dict([
                ("id", id.as_str().into()),
                ("name", held.message.task.as_str().into()),
                ("args", args.as_str().into()),
            ]);
            Some((id, Value::tuple([state.into(), facts])))
        })
        .collect();
    Value::dict(found.iter().map(|(id, value)| (id.as_str(), value.clone())))
}

fn ids(value: Option<&Value>) -> Vec<String> {
    match value {
        Some(Value::Str(id)) => vec![id.to_string()],
        Some(many) => {
            let items = many.as_items().unwrap_or_default().iter();
            items
                .filter_map(|id| id.as_str().map(str::to_owned))
                .collect()
        }
        None => Vec::new(),
    }
}

fn integer(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// Asks a task that runs to stop.
pub(super) fn terminate(shared: &Shared, id: &str) {
    if let Some(held) = shared.holding.get(id) {
        held.stop.ask(Reason::Revoked);
    }
}
