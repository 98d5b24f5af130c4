//! Task messages in Celery's protocols 2 and 1, in pickle and JSON (spec/runtime.md §3).

use super::pickle::Value;
use super::repr::summary;
use super::serial::Serializer;
use super::signature::{Kwargs, Signature};
use super::times;
use crate::broker::{Message, Properties};
use crate::error::{Error, Result};
use chrono::{DateTime, FixedOffset};
use serde_json::{Map, Value as Json, json};
use std::fmt;

/// What is to happen when the task is done.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Embed {
    /// Tasks to send when it succeeded.
    pub callbacks: Option<Vec<Signature>>,
    /// Tasks to send when it failed.
    pub errbacks: Option<Vec<Signature>>,
    /// The rest of the chain, **the next task last**.
    pub chain: Option<Vec<Signature>>,
    /// The task to send when all of the group are done.
    pub chord: Option<Signature>,
}

/// A task on its way to a worker.
#[derive(Clone, PartialEq)]
pub struct TaskMessage {
    /// The task's id, a UUID.
    pub id: String,
    /// Its name, such as `omegaml.tasks.omega_predict`.
    pub task: String,
    /// Positional arguments.
    pub args: Vec<Value>,
    /// Keyword arguments.
    pub kwargs: Kwargs,
    /// What follows it.
    pub embed: Embed,
    /// A name to show instead.
    pub shadow: Option<String>,
    /// Not before.
    pub eta: Option<DateTime<FixedOffset>>,
    /// Not after.
    pub expires: Option<DateTime<FixedOffset>>,
    /// The group that it is part of.
    pub group: Option<String>,
    /// Its place in the group.
    pub group_index: Option<i64>,
    /// How often it was tried before.
    pub retries: u32,
    /// Hard limit in seconds.
    pub time_limit: Option<f64>,
    /// Soft limit in seconds.
    pub soft_time_limit: Option<f64>,
    /// The first task of all.
    pub root_id: Option<String>,
    /// The task that sent it.
    pub parent_id: Option<String>,
    /// Who sent it: `gen<pid>@<host>`.
    pub origin: Option<String>,
    /// Whether nobody waits for a result.
    pub ignore_result: bool,
    /// The queue of the replies.
    pub reply_to: Option<String>,
    /// Its priority; Celery mostly writes 0.
    pub priority: Option<u8>,
}

impl TaskMessage {
    /// A task under `id` without anything special.
    pub fn new(id: &str, task: &str, args: Vec<Value>, kwargs: Kwargs) -> Self {
        TaskMessage {
            id: id.to_owned(),
            task: task.to_owned(),
            args,
            kwargs,
            embed: Embed::default(),
            shadow: None,
            eta: None,
            expires: None,
            group: None,
            group_index: None,
            retries: 0,
            time_limit: None,
            soft_time_limit: None,
            root_id: Some(id.to_owned()),
            parent_id: None,
            origin: None,
            ignore_result: false,
            reply_to: None,
            priority: Some(0),
        }
    }

    /// Reads a message of either protocol.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Invalid`] when it is no task message.
    pub fn read(message: &Message) -> Result<Self> {
        if let Some(compression) = message.headers.get("compression").and_then(Json::as_str) {
            return Err(
                Error::invalid(format!("the message is compressed ({compression})"))
                    .hint("unset Celery's task_compression"),
            );
        }
        let body = Serializer::of(&message.properties)?.read(&message.body)?;
        let mut task = match message.headers.get("task").and_then(Json::as_str) {
            Some(name) => protocol_2(name, &message.headers, &body)?,
            None => protocol_1(&body)?,
        };
        task.reply_to = message
            .properties
            .reply_to
            .clone()
            .filter(|to| !to.is_empty());
        task.priority = message.properties.priority;
        Ok(task)
    }

    /// The message in protocol 2.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Invalid`] for arguments that JSON cannot hold.
    pub fn write(&self, by: Serializer) -> Result<Message> {
        let args = Value::tuple(self.args.iter().cloned());
        let kwargs = self.kwargs.to_value();
        let headers = json!({
            "lang": "py",
            "task": self.task,
            "id": self.id,
            "shadow": self.shadow,
            "eta": self.eta.as_ref().map(times::iso_with_zone),
            "expires": self.expires.as_ref().map(times::iso_with_zone),
            "group": self.group,
            "group_index": self.group_index,
            "retries": self.retries,
            "timelimit": [seconds(self.time_limit), seconds(self.soft_time_limit)],
            "root_id": self.root_id,
            "parent_id": self.parent_id,
            "argsrepr": summary(&args),
            "kwargsrepr": summary(&kwargs),
            "origin": self.origin,
            "ignore_result": self.ignore_result,
            "replaced_task_nesting": 0,
            "stamped_headers": null,
            "stamps": {},
        });
        let embed = Value::dict([
            ("callbacks", list(&self.embed.callbacks, by)),
            ("errbacks", list(&self.embed.errbacks, by)),
            ("chain", list(&self.embed.chain, by)),
            (
                "chord",
                self.embed
                    .chord
                    .as_ref()
                    .map(|chord| chord.to_value(by))
                    .into(),
            ),
        ]);
        let headers = match headers {
            Json::Object(map) => map,
            _ => Map::new(),
        };
        self.message(by, headers, &Value::tuple([args, kwargs, embed]))
    }

    fn message(&self, by: Serializer, headers: Map<String, Json>, body: &Value) -> Result<Message> {
        let mut properties = Properties {
            correlation_id: Some(self.id.clone()),
            reply_to: self.reply_to.clone(),
            delivery_mode: 2,
            priority: self.priority,
            ..Properties::default()
        };
        by.mark(&mut properties);
        let body = by.write(body).map_err(|error| error.on(self.id.as_str()))?;
        Ok(Message {
            properties,
            headers,
            body,
        })
    }

    /// The argument number `index`, or the keyword argument `name`.
    pub fn argument(&self, index: usize, name: &str) -> Option<&Value> {
        self.args.get(index).or_else(|| self.kwargs.get(name))
    }
}

/// Arguments may be anybody's secret: names and numbers only.
impl fmt::Debug for TaskMessage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TaskMessage")
            .field("id", &self.id)
            .field("task", &self.task)
            .field("args", &self.args.len())
            .field("kwargs", &self.kwargs)
            .finish_non_exhaustive()
    }
}

fn protocol_2(name: &str, headers: &Map<String, Json>, body: &Value) -> Result<TaskMessage> {
    let malformed = || Error::invalid("the body of a task message is not (args, kwargs, embed)");
    let [args, kwargs, embed] = body.as_items().ok_or_else(malformed)? else {
        return Err(malformed());
    };
    let args = args.as_items().ok_or_else(malformed)?.to_vec();
    let text = |field: &str| headers.get(field).and_then(Json::as_str).map(str::to_owned);
    let id = text("id").ok_or_else(|| Error::invalid("a task message has no id"))?;
    let limits = headers.get("timelimit").and_then(Json::as_array);
    let limit = |index: usize| limits.and_then(|limits| limits.get(index)?.as_f64());
    Ok(TaskMessage {
        embed: Embed::read(embed)?,
        shadow: text("shadow"),
        eta: moment(text("eta"))?,
        expires: moment(text("expires"))?,
        group: text("group"),
        group_index: headers.get("group_index").and_then(Json::as_i64),
        retries: headers
            .get("retries")
            .and_then(Json::as_u64)
            .map_or(0, count),
        time_limit: limit(0),
        soft_time_limit: limit(1),
        root_id: text("root_id"),
        parent_id: text("parent_id"),
        origin: text("origin"),
        ignore_result: headers.get("ignore_result") == Some(&Json::Bool(true)),
        ..TaskMessage::new(&id, name, args, Kwargs::read(kwargs)?)
    })
}

fn protocol_1(body: &Value) -> Result<TaskMessage> {
    let body = body
        .as_dict()
        .ok_or_else(|| Error::invalid("this is no task message: it names no task"))?;
    let text = |field: &str| body.get(field).and_then(Value::as_str).map(str::to_owned);
    let name =
        text("task").ok_or_else(|| Error::invalid("this is no task message: it names no task"))?;
    let id = text("id").ok_or_else(|| Error::invalid("a task message has no id"))?;
    let args = body
        .get("args")
        .and_then(Value::as_items)
        .unwrap_or_default();
    let kwargs = match body.get("kwargs") {
        None | Some(Value::None) => Kwargs::default(),
        Some(kwargs) => Kwargs::read(kwargs)?,
    };
    let limits = body.get("timelimit").and_then(Value::as_items);
    let limit = |index: usize| limits.and_then(|limits| limits.get(index)?.as_f64());
    let retries = body.get("retries").and_then(Value::as_int).unwrap_or(0);
    Ok(TaskMessage {
        embed: Embed {
            callbacks: signatures(body.get("callbacks"))?,
            errbacks: signatures(body.get("errbacks"))?,
            chain: None,
            chord: signature(body.get("chord"))?,
        },
        eta: moment(text("eta"))?,
        expires: moment(text("expires"))?,
        group: text("taskset").or_else(|| text("group")),
        group_index: body.get("group_index").and_then(Value::as_int),
        retries: u64::try_from(retries).map_or(0, count),
        time_limit: limit(0),
        soft_time_limit: limit(1),
        ..TaskMessage::new(&id, &name, args.to_vec(), kwargs)
    })
}

impl Embed {
    fn read(value: &Value) -> Result<Self> {
        if value.is_none() {
            return Ok(Embed::default());
        }
        let dict = value
            .as_dict()
            .ok_or_else(|| Error::invalid("the third part of a task message is no dict"))?;
        Ok(Embed {
            callbacks: signatures(dict.get("callbacks"))?,
            errbacks: signatures(dict.get("errbacks"))?,
            chain: signatures(dict.get("chain"))?,
            chord: signature(dict.get("chord"))?,
        })
    }
}

fn list(signatures: &Option<Vec<Signature>>, by: Serializer) -> Value {
    match signatures {
        Some(all) => Value::list(all.iter().map(|signature| signature.to_value(by))),
        None => Value::None,
    }
}

fn signatures(value: Option<&Value>) -> Result<Option<Vec<Signature>>> {
    match value {
        None | Some(Value::None) => Ok(None),
        Some(value) => match value.as_items() {
            Some(items) => {
                let all = items.iter().map(Signature::read);
                all.collect::<Result<_>>().map(Some)
            }
            // A single signature counts as a list of it.
            None => Signature::read(value).map(|one| Some(vec![one])),
        },
    }
}

fn signature(value: Option<&Value>) -> Result<Option<Signature>> {
    match value {
        None | Some(Value::None) => Ok(None),
        Some(value) => Signature::read(value).map(Some),
    }
}

fn moment(text: Option<String>) -> Result<Option<DateTime<FixedOffset>>> {
    text.map(|text| {
        times::parse_iso(&text)
            .ok_or_else(|| Error::invalid(format!("`{text}` in a task message is no time")))
    })
    .transpose()
}

fn count(number: u64) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

/// Whole numbers of seconds go as such.
fn seconds(limit: Option<f64>) -> Json {
    match limit {
        Some(limit) if limit.fract() == 0.0 && limit.abs() < 1e15 => Json::from(limit as i64),
        other => Json::from(other),
    }
}
