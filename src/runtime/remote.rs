//! The runtime behind a server: it runs tasks itself or has workers that do, and keeps the
//! book of them.

use super::celery::calls::{Surroundings, TaskCall};
use super::celery::json;
use super::celery::pickle::Value;
use super::celery::serial::Serializer;
use super::classic;
use super::{Objects, Outcome, Runtime, SubmitOptions, TaskRecord, TaskSelection, outcome};
use crate::error::{Context, Error, ErrorKind, Result};
use crate::remote::rows::decoded;
use crate::remote::{Answer, Ask, Server, wire};
use bson::spec::BinarySubtype;
use bson::{Binary, Bson, Document, doc};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long a server is asked to wait for a task at a time.
const WAIT: Duration = Duration::from_secs(20);

/// Has tasks run by a server.
pub struct RemoteRuntime {
    server: Arc<Server>,
    objects: Objects,
    bucket: String,
}

impl RemoteRuntime {
    /// Tasks on the objects of `bucket`, which are `objects`.
    pub fn new(server: Arc<Server>, objects: Objects, bucket: &str) -> Self {
        RemoteRuntime {
            server,
            objects,
            bucket: bucket.to_owned(),
        }
    }

    /// Hands a task in; the server waits for it up to `wait`.
    fn hand_in(
        &self,
        id: Option<&str>,
        call: &TaskCall,
        options: &SubmitOptions,
        wait: Duration,
    ) -> Result<Answer> {
        let surroundings = Surroundings {
            pure_python: true,
            ..Surroundings::default()
        };
        let (task, args, kwargs) = call.arguments(&surroundings)?;
        let mut body = doc! { "task": task, "wait": wait.as_secs_f64() };
        let args = Value::tuple(args);
        let kwargs = kwargs.to_value();
        match (json::plain(&args), json::plain(&kwargs)) {
            (Ok(args), Ok(kwargs)) => {
                for (field, value) in [("args", args), ("kwargs", kwargs)] {
                    let value = Bson::try_from(value)
                        .map_err(|error| Error::invalid("not to be sent").because(error))?;
                    body.insert(field, value);
                }
            }
            _ => {
                let bytes = Serializer::Pickle.write(&Value::tuple([args, kwargs]))?;
                let subtype = BinarySubtype::Generic;
                body.insert("pickle", Bson::Binary(Binary { subtype, bytes }));
            }
        }
        enter(&mut body, options);
        if let Some(id) = id {
            body.insert("id", id);
        }
        let ask = Ask::post(wire::TASKS).of(&self.bucket).document(&body)?;
        // A task with an id is the same when it is handed in again.
        let ask = if id.is_some() { ask.repeatable() } else { ask };
        self.server.ask(&ask)
    }

    fn look(&self, id: &str, wait: Duration) -> Result<TaskRecord> {
        let wait = ("wait", wait.as_secs_f64().to_string());
        let ask = Ask::get(path(id)).of(&self.bucket).with([wait]);
        let record = self.server.ask(&ask)?.json()?;
        serde_json::from_value(record).context(|| "the server's answer is not understood")
    }

    fn until(&self, id: &str, end: Option<Instant>) -> Result<TaskRecord> {
        loop {
            let left = end.map_or(WAIT, |end| end.saturating_duration_since(Instant::now()));
            let record = self.look(id, left.min(WAIT))?;
            if record.state.is_final() || left.is_zero() {
                return Ok(record);
            }
        }
    }

    /// Waits for a task that was handed in; if that is given up, the task is called off.
    fn answer(&self, id: &str, options: &SubmitOptions, began: Instant) -> Result<Outcome> {
        let end = options.patience.and_then(|limit| began.checked_add(limit));
        let answered = self
            .until(id, end)
            .and_then(|record| match record.state.is_final() {
                true => Ok(record),
                false => {
                    Err(Error::new(ErrorKind::TimedOut, "no worker has answered in time").on(id))
                }
            });
        if let Err(error) = &answered
            && matches!(error.kind(), ErrorKind::Interrupted | ErrorKind::TimedOut)
        {
            self.server
                .last_words(&Ask::delete(path(id)).of(&self.bucket));
        }
        outcome(answered?, &self.objects)
    }

    fn told(&self, answer: Document) -> Result<Outcome> {
        let unknown = || Error::invalid("the server's answer is not understood");
        let (form, value) = answer.into_iter().next().ok_or_else(unknown)?;
        Ok(match (form.as_str(), value) {
            ("table", Bson::Binary(table)) => Outcome::Table(decoded(table.bytes)?),
            ("number", Bson::Double(number)) => Outcome::Number(number),
            ("metadata", Bson::Document(metadata)) => {
                let mut metadata = wire::metadata_of(&metadata)?;
                metadata.key.bucket.clone_from(&self.bucket);
                Outcome::Metadata(Box::new(metadata))
            }
            ("value", Bson::String(text)) => {
                Outcome::Value(serde_json::from_str(&text).map_err(|_| unknown())?)
            }
            _ => return Err(unknown()),
        })
    }
}

fn path(id: &str) -> String {
    let id = percent_encoding::utf8_percent_encode(id, percent_encoding::NON_ALPHANUMERIC);
    format!("{}{id}", wire::TASKS)
}

/// How a task is submitted, as it is sent.
fn enter(body: &mut Document, options: &SubmitOptions) {
    let texts = [
        ("label", &options.label),
        ("experiment", &options.experiment),
    ];
    for (field, text) in texts {
        if let Some(text) = text {
            body.insert(field, text);
        }
    }
    let times = [
        ("countdown", options.countdown),
        ("expires", options.expires),
        ("time_limit", options.time_limit),
    ];
    for (field, time) in times {
        if let Some(time) = time {
            body.insert(field, time.as_secs_f64());
        }
    }
    for (field, number) in [
        ("retries", options.retries),
        ("priority", options.priority.into()),
    ] {
        if number > 0 {
            body.insert(field, i64::from(number));
        }
    }
}

/// How a task is submitted, as it was sent.
///
/// # Errors
/// [`ErrorKind::Usage`] for what is no time or number.
pub fn options_of(body: &Document) -> Result<SubmitOptions> {
    let wrong = |field: &str| Error::usage(format!("`{field}` is malformed"));
    let text = |field: &str| match body.get(field) {
        None | Some(Bson::Null) => Ok(None),
        Some(Bson::String(text)) => Ok(Some(text.clone())),
        Some(_) => Err(wrong(field)),
    };
    let number = |field: &str| match body.get(field) {
        None | Some(Bson::Null) => Ok(None),
        Some(Bson::Double(number)) => Ok(Some(*number)),
        Some(Bson::Int32(number)) => Ok(Some(f64::from(*number))),
        Some(Bson::Int64(number)) => Ok(Some(*number as f64)),
        Some(_) => Err(wrong(field)),
    };
    let time = |field: &str| {
        let seconds = number(field)?;
        let time =
            seconds.map(|seconds| Duration::try_from_secs_f64(seconds).map_err(|_| wrong(field)));
        time.transpose()
    };
    let count = |field: &str, most: f64| match number(field)? {
        Some(number) if number < 0.0 || number > most || number.fract() != 0.0 => Err(wrong(field)),
        number => Ok(number.unwrap_or(0.0)),
    };
    Ok(SubmitOptions {
        label: text("label")?,
        retries: count("retries", 1000.0)? as u32,
        priority: count("priority", 9.0)? as u8,
        countdown: time("countdown")?,
        expires: time("expires")?,
        time_limit: time("time_limit")?,
        experiment: text("experiment")?,
        patience: None,
    })
}

impl Runtime for RemoteRuntime {
    fn run(&self, call: &TaskCall, options: &SubmitOptions) -> Result<Outcome> {
        let began = Instant::now();
        let wait = options.patience.unwrap_or(WAIT).min(WAIT);
        let answer = match self.hand_in(None, call, options, wait) {
            Err(_) if self.server.is_strange() => {
                return classic::run(&self.server, &self.objects, &self.bucket, call, options);
            }
            answer => answer?,
        };
        let handed_in = answer.status == 202;
        let told = answer.document()?;
        match told.get_str("id") {
            Ok(id) if handed_in => self.answer(id, options, began),
            _ => self.told(told),
        }
    }

    fn submit(&self, call: &TaskCall, options: &SubmitOptions) -> Result<String> {
        let told = self
            .hand_in(None, call, options, Duration::ZERO)?
            .document()?;
        let id = told.get_str("id").map(str::to_owned);
        id.map_err(|_| Error::invalid("the server's answer is not understood"))
    }

    fn submit_as(&self, id: &str, call: &TaskCall, options: &SubmitOptions) -> Result<()> {
        self.hand_in(Some(id), call, options, Duration::ZERO)
            .map(drop)
    }

    fn task(&self, id: &str) -> Result<TaskRecord> {
        self.look(id, Duration::ZERO)
    }

    fn wait(&self, id: &str, limit: Duration) -> Result<TaskRecord> {
        self.until(id, Instant::now().checked_add(limit))
    }

    fn revoke(&self, id: &str) -> Result<bool> {
        let told = self
            .server
            .ask(&Ask::delete(path(id)).of(&self.bucket))?
            .document()?;
        Ok(told.get_bool("revoked").unwrap_or(false))
    }

    fn tasks(&self, selection: &TaskSelection) -> Result<Vec<TaskRecord>> {
        let states = selection.states.iter();
        let states = states.map(|state| ("state", state.word().to_owned()));
        let limit = selection.limit.map(|limit| ("limit", limit.to_string()));
        let ask = Ask::get(wire::TASKS)
            .of(&self.bucket)
            .with(states.chain(limit));
        serde_json::from_value(self.server.ask(&ask)?.json()?)
            .context(|| "the server's answer is not understood")
    }
}
