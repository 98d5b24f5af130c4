//! Asynchronous calls: what became of them (spec/rest.md §5).

use super::app::Call;
use super::json::Json;
use super::reply::{Failure, Reply};
use super::route::Route;
use super::{jobs, models, scripts, services};
use crate::runtime::{Outcome, TaskRecord, TaskState, outcome};
use serde_json::Value;

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
