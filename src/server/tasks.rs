//! Asynchronous calls: what became of them (spec/rest.md §5); and, for programs of ours,
//! tasks of any kind.

use super::app::{Call, Taken};
use super::json::Json;
use super::reply::{Failure, Reply};
use super::route::Route;
use super::{jobs, models, scripts, services, storage};
use crate::error::{Error, Result};
use crate::remote::rows::encoded;
use crate::remote::wire;
use crate::runtime::celery::json;
use crate::runtime::celery::message::TaskMessage;
use crate::runtime::celery::pickle::Value as PythonValue;
use crate::runtime::celery::serial::Serializer;
use crate::runtime::celery::signature::Kwargs;
use crate::runtime::{
    Outcome, TaskCall, TaskRecord, TaskSelection, TaskState, options_of, outcome, task_id,
};
use bson::spec::BinarySubtype;
use bson::{Binary, Bson, Document, doc};
use serde_json::Value;
use std::time::Duration;

/// Tasks that are listed unless told otherwise.
const LISTED: u64 = 100;

/// How long it is waited for a task at the most.
const WAIT: Duration = Duration::from_secs(30);

/// Tasks, newest first.
pub fn list(call: &Call<'_>) -> Result<Reply> {
    let request = call.request;
    let states = request.query.iter().filter(|(name, _)| name == "state");
    let states = states.map(|(_, word)| TaskState::parse(word));
    let limit = match request.param("limit") {
        None => Some(LISTED),
        Some(text) => Some(
            text.parse()
                .map_err(|_| Error::usage("`limit` is no number"))?,
        ),
    };
    let found = call.tasks(&TaskSelection {
        states: states.collect::<Result<_>>()?,
        limit,
    })?;
    Ok(json_of(&serde_json::to_value(found).unwrap_or_default()))
}

/// Everything that is known of a task, once it is finished or the time to wait is over.
pub fn show(call: &Call<'_>, id: &str) -> Result<Reply> {
    let wait = match call.request.param("wait") {
        None => Duration::ZERO,
        Some(text) => text
            .parse()
            .ok()
            .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
            .ok_or_else(|| Error::usage("`wait` is no number of seconds"))?,
    };
    let record = call.wait(id, wait.min(WAIT))?;
    Ok(json_of(&serde_json::to_value(record).unwrap_or_default()))
}

/// Calls a task off.
pub fn revoke(call: &Call<'_>, id: &str) -> Result<Reply> {
    storage::document(call, doc! { "revoked": call.revoke(id)? })
}

/// Takes a task in: what was waited for is answered, else its id is told.
pub fn hand_in(call: &Call<'_>) -> Result<Reply> {
    let body = storage::sent(call)?;
    let task = body.get_str("task");
    let task = task.map_err(|_| Error::usage("the field `task` is missing"))?;
    let (args, kwargs) = arguments(&body)?;
    let id = body.get_str("id").map_or_else(|_| task_id(), str::to_owned);
    let (task, _) = TaskCall::of(&TaskMessage::new(&id, task, args, kwargs))?;
    let options = options_of(&body)?;
    let wait = match body.get("wait") {
        Some(Bson::Double(seconds)) => *seconds,
        Some(Bson::Int32(seconds)) => f64::from(*seconds),
        Some(Bson::Int64(seconds)) => *seconds as f64,
        _ => 0.0,
    };
    let wait = Duration::try_from_secs_f64(wait)
        .unwrap_or_default()
        .min(WAIT);
    let given = body.contains_key("id").then_some(id.as_str());
    match call.take_in(&task, given, &options, wait)? {
        Taken::Done(outcome) => told_outcome(call, outcome),
        Taken::Submitted(id) => {
            let uri = format!("/api/v1/task/{id}");
            let told = doc! { "id": &id, "resource_uri": &uri };
            Ok(storage::document(call, told)?
                .status(202)
                .header("location", uri))
        }
    }
}

/// Arguments as JSON, or in the form in which Python has them.
fn arguments(body: &Document) -> Result<(Vec<PythonValue>, Kwargs)> {
    if let Ok(pickled) = body.get_binary_generic("pickle") {
        let value = Serializer::Pickle.read(pickled)?;
        return match value.as_items() {
            Some([args, kwargs]) => Ok((
                args.as_items().unwrap_or_default().to_vec(),
                Kwargs::read(kwargs)?,
            )),
            _ => Err(Error::invalid("`pickle` has to hold arguments")),
        };
    }
    let plain = |field: &str| match body.get(field) {
        None | Some(Bson::Null) => None,
        Some(value) => Some(json::to_value(&value.clone().into_relaxed_extjson())),
    };
    let args = plain("args");
    let args = match &args {
        None => Vec::new(),
        Some(args) => args
            .as_items()
            .ok_or_else(|| Error::usage("`args` is no list"))?
            .to_vec(),
    };
    let kwargs = plain("kwargs").map(|kwargs| Kwargs::read(&kwargs));
    Ok((args, kwargs.transpose()?.unwrap_or_default()))
}

/// What a task answered, in the form that is asked for.
fn told_outcome(call: &Call<'_>, outcome: Outcome) -> Result<Reply> {
    if !storage::takes_bson(call) {
        return Ok(json_of(
            &serde_json::json!({ "outcome": outcome.to_json()? }),
        ));
    }
    storage::document(
        call,
        match outcome {
            Outcome::Table(frame) => {
                let subtype = BinarySubtype::Generic;
                let bytes = encoded(frame)?;
                doc! { "table": Binary { subtype, bytes } }
            }
            Outcome::Number(number) => doc! { "number": number },
            Outcome::Metadata(metadata) => doc! { "metadata": wire::metadata(&metadata) },
            Outcome::Value(value) => doc! { "value": value.to_string() },
        },
    )
}

fn json_of(value: &Value) -> Reply {
    Reply::bytes("application/json", value.to_string().into_bytes())
}

/// The state of a task. Celery cannot tell an unknown task from one that waits.
pub fn status(call: &Call<'_>, id: &str) -> Result<Reply, Failure> {
    let record = call.task(id)?;
    Ok(Reply::json(&told(id, &state(record.as_ref()), Json::Null)))
}

/// What a task answered, in the form of the resource that the body names.
pub fn result(call: &Call<'_>, id: &str) -> Result<Reply, Failure> {
    let record = call.task(id)?;
    let state = state(record.as_ref());
    let body = call.request.fields()?;
    let uri = body.get("resource_uri").and_then(Value::as_str);
    // omega|ml wants the resource in the body; it may stand in the query as well.
    let uri = uri.or_else(|| call.request.param("resource_uri"));
    let failed = |state: &str| Ok(Reply::json(&told(id, state, Json::Null)).status(400));
    let Some(uri) = uri else {
        return failed(&state);
    };
    let outcome = match record {
        Some(record) if record.state == TaskState::Success => {
            Some(outcome(record, &call.om.objects())?)
        }
        Some(record) if record.state.is_final() => return failed(&state),
        _ => None,
    };
    let response = match resource(call, uri, outcome)? {
        Some(response) => response,
        None => return failed(&state),
    };
    Ok(Reply::json(&told(id, &state, response)))
}

fn told(id: &str, state: &str, response: Json) -> Json {
    Json::object([
        ("task_id", id.into()),
        ("status", state.into()),
        ("response", response),
    ])
}

fn state(record: Option<&TaskRecord>) -> String {
    record
        .map_or("PENDING", |record| record.state.word())
        .to_owned()
}

/// The answer as the resource at `uri` gives it; none if there is no such resource.
fn resource(call: &Call<'_>, uri: &str, outcome: Option<Outcome>) -> Result<Option<Json>, Failure> {
    Ok(Some(match Route::of(uri) {
        Route::Action(name, _) => models::answered(&name, outcome),
        Route::Script(name) => scripts::answered(&name, outcome),
        Route::RunJob(name) => jobs::info(call, &name)?,
        Route::Service(..) => outcome.map_or(Json::Null, services::bare),
        _ => return Ok(None),
    }))
}
