//! Events of workers and tasks on `celeryev`, as JSON (spec/runtime.md §12).

use super::exception::Exception;
use super::message::TaskMessage;
use super::pickle::Value;
use super::repr::{repr, summary};
use super::serial::Serializer;
use super::times;
use crate::broker::{Message, Properties};
use crate::error::{Context, Error, Result};
use serde_json::{Map, Value as Json, json};

/// Who sends events.
#[derive(Debug, Clone, PartialEq)]
pub struct Sender {
    /// The worker's name, `om@host`.
    pub hostname: String,
    /// Its process.
    pub pid: u32,
    /// Hours west of UTC, as Celery counts them.
    pub utcoffset: f64,
}

/// How a worker is doing.
#[derive(Debug, Clone, PartialEq)]
pub struct Pulse {
    /// Seconds between heartbeats.
    pub freq: f64,
    /// Tasks that run.
    pub active: u64,
    /// Tasks that were done.
    pub processed: u64,
    /// The machine's load over 1, 5 and 15 minutes.
    pub loadavg: [f64; 3],
}

/// An event.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// `worker-heartbeat`, `task-received`, …
    pub kind: String,
    /// Who sent it.
    pub sender: Sender,
    /// The sender's logical clock.
    pub clock: u64,
    /// Seconds since 1970.
    pub timestamp: f64,
    /// What else it says.
    pub fields: Map<String, Json>,
}

impl Event {
    /// An event of `kind`; what goes into it is the business of the functions below.
    fn new(kind: &str, sender: &Sender, fields: Json) -> Self {
        Event {
            kind: kind.to_owned(),
            sender: sender.clone(),
            clock: 0,
            timestamp: 0.0,
            fields: match fields {
                Json::Object(fields) => fields,
                _ => Map::new(),
            },
        }
    }

    /// The same at a time: seconds since 1970, and the sender's clock.
    pub fn at(mut self, timestamp: f64, clock: u64) -> Self {
        self.timestamp = timestamp;
        self.clock = clock;
        self
    }

    /// `worker-online`, `worker-heartbeat` or `worker-offline`.
    pub fn worker(kind: &str, sender: &Sender, pulse: &Pulse) -> Self {
        let fields = json!({
            "freq": pulse.freq,
            "active": pulse.active,
            "processed": pulse.processed,
            "loadavg": pulse.loadavg,
            "sw_ident": "om",
            "sw_ver": env!("CARGO_PKG_VERSION"),
            "sw_sys": system(),
        });
        Self::new(kind, sender, fields)
    }

    /// A client has sent a task.
    pub fn sent(sender: &Sender, task: &TaskMessage, queue: &str) -> Self {
        let mut event = Self::new("task-sent", sender, of_task(task));
        for (field, value) in [("queue", queue), ("exchange", ""), ("routing_key", queue)] {
            event.fields.insert(field.to_owned(), value.into());
        }
        event
    }

    /// A worker has received a task.
    pub fn received(sender: &Sender, task: &TaskMessage) -> Self {
        Self::new("task-received", sender, of_task(task))
    }

    /// A worker has started a task.
    pub fn started(sender: &Sender, id: &str) -> Self {
        Self::new("task-started", sender, json!({ "uuid": id }))
    }

    /// A task was done in so many seconds.
    pub fn succeeded(sender: &Sender, id: &str, result: &Value, runtime: f64) -> Self {
        let fields = json!({ "uuid": id, "result": summary(result), "runtime": runtime });
        Self::new("task-succeeded", sender, fields)
    }

    /// A task failed.
    pub fn failed(sender: &Sender, id: &str, exception: &Exception, traceback: &str) -> Self {
        let exception = repr(&exception.to_value());
        let fields = json!({ "uuid": id, "exception": exception, "traceback": traceback });
        Self::new("task-failed", sender, fields)
    }

    /// A task failed and will be tried again.
    pub fn retried(sender: &Sender, id: &str, exception: &Exception, traceback: &str) -> Self {
        Event {
            kind: "task-retried".to_owned(),
            ..Self::failed(sender, id, exception, traceback)
        }
    }

    /// A task was called off.
    pub fn revoked(sender: &Sender, id: &str, terminated: bool, expired: bool) -> Self {
        let fields = json!({
            "uuid": id,
            "terminated": terminated,
            "signum": null,
            "expired": expired,
        });
        Self::new("task-revoked", sender, fields)
    }

    /// The routing key of a message of this event alone: `worker.heartbeat`.
    pub fn routing_key(&self) -> String {
        self.kind.replacen('-', ".", 1)
    }

    fn to_json(&self) -> Json {
        let mut event = Map::new();
        event.insert("hostname".to_owned(), self.sender.hostname.as_str().into());
        event.insert("utcoffset".to_owned(), self.sender.utcoffset.into());
        event.insert("pid".to_owned(), self.sender.pid.into());
        event.insert("clock".to_owned(), self.clock.into());
        event.extend(self.fields.clone());
        event.insert("timestamp".to_owned(), self.timestamp.into());
        event.insert("type".to_owned(), self.kind.as_str().into());
        Json::Object(event)
    }

    fn from_json(event: Json) -> Result<Self> {
        let Json::Object(mut fields) = event else {
            return Err(Error::invalid("an event is no JSON object"));
        };
        let mut take = |field: &str| fields.shift_remove(field).unwrap_or(Json::Null);
        let kind = take("type");
        let sender = Sender {
            hostname: take("hostname").as_str().unwrap_or_default().to_owned(),
            pid: take("pid")
                .as_u64()
                .and_then(|pid| u32::try_from(pid).ok())
                .unwrap_or(0),
            utcoffset: take("utcoffset").as_f64().unwrap_or(0.0),
        };
        let (clock, timestamp) = (take("clock"), take("timestamp"));
        Ok(Event {
            kind: kind
                .as_str()
                .ok_or_else(|| Error::invalid("an event has no type"))?
                .to_owned(),
            sender,
            clock: clock.as_u64().unwrap_or(0),
            timestamp: timestamp.as_f64().unwrap_or(0.0),
            fields,
        })
    }
}

/// The message of a single event, and its routing key.
pub fn write(event: &Event) -> (String, Message) {
    (event.routing_key(), message(&event.sender, event.to_json()))
}

/// The message of several task events of one sender, and its routing key.
pub fn write_tasks(sender: &Sender, events: &[Event]) -> (String, Message) {
    let events = Json::Array(events.iter().map(Event::to_json).collect());
    ("task.multi".to_owned(), message(sender, events))
}

/// The events of a message: one, or several.
///
/// # Errors
/// [`crate::ErrorKind::Invalid`] when it has none.
pub fn read(message: &Message) -> Result<Vec<Event>> {
    let body: Json =
        serde_json::from_slice(&message.body).context(|| "the event is not valid JSON")?;
    match body {
        Json::Array(events) => events.into_iter().map(Event::from_json).collect(),
        single => Event::from_json(single).map(|event| vec![event]),
    }
}

fn message(sender: &Sender, body: Json) -> Message {
    let mut properties = Properties {
        delivery_mode: 1,
        priority: Some(0),
        ..Properties::default()
    };
    Serializer::Json.mark(&mut properties);
    let mut headers = Map::new();
    headers.insert("hostname".to_owned(), sender.hostname.as_str().into());
    Message {
        properties,
        headers,
        body: body.to_string().into_bytes(),
    }
}

fn of_task(task: &TaskMessage) -> Json {
    json!({
        "uuid": task.id,
        "name": task.task,
        "args": summary(&Value::tuple(task.args.iter().cloned())),
        "kwargs": summary(&task.kwargs.to_value()),
        "root_id": task.root_id,
        "parent_id": task.parent_id,
        "retries": task.retries,
        "eta": task.eta.as_ref().map(times::iso_with_zone),
        "expires": task.expires.as_ref().map(times::iso_with_zone),
    })
}

/// As Python's `platform.system` calls it.
fn system() -> &'static str {
    match std::env::consts::OS {
        "linux" => "Linux",
        "macos" => "Darwin",
        "windows" => "Windows",
        other => other,
    }
}
