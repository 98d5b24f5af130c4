//! Scripts (spec/rest.md §4.3).

use super::app::Call;
use super::json::Json;
use super::reply::{Failure, Reply};
use crate::runtime::celery::json;
use crate::runtime::celery::signature::Kwargs;
use crate::runtime::{Outcome, TaskCall};
use serde_json::{Value, json};

/// Runs a script with the body as its argument, or submits it.
pub fn run(call: &Call<'_>, name: &str) -> Result<Reply, Failure> {
    call.permit("script", name, "run")?;
    call.om.scripts.metadata(name)?;
    let task = wanted(call, name)?;
    if call.request.is_async() {
        let id = call.submit(&task)?;
        let uri = format!("/api/v1/script/{name}/run");
        let body = envelope(Some(&uri), name, &json!({"result": "pending"}));
        return Ok(call.accepted(&id, &body));
    }
    let outcome = call.run(&task)?;
    Ok(Reply::json(&answered(name, Some(outcome))))
}

/// The script with the body as its first argument and the query as keywords.
pub fn wanted(call: &Call<'_>, name: &str) -> Result<TaskCall, Failure> {
    let body = call.request.json()?.unwrap_or_else(|| json!({}));
    let mut kwargs = Kwargs(Vec::new());
    for (key, value) in &call.request.query {
        kwargs.push(key, value.as_str());
    }
    if !call.request.is_async() && call.runs_here() {
        // Text, as omega|ml's server hands it on; workers are told in their own way.
        kwargs.push("pure_python", "False");
    }
    Ok(TaskCall::RunScript {
        name: name.to_owned(),
        args: vec![json::to_value(&body)],
        kwargs,
    })
}

/// The answer of a script that has run; without an outcome, of one that is not done.
pub fn answered(name: &str, outcome: Option<Outcome>) -> Json {
    let run = match outcome {
        Some(Outcome::Value(Value::String(text))) => {
            serde_json::from_str(&text).unwrap_or(Value::String(text))
        }
        Some(Outcome::Value(value)) => value,
        _ => Value::Null,
    };
    envelope(None, name, &run)
}

fn envelope(uri: Option<&str>, name: &str, run: &Value) -> Json {
    let field = |name: &str| Json::from(run.get(name).cloned().unwrap_or(Value::Null));
    Json::object([
        ("resource_uri", uri.into()),
        ("script", name.into()),
        ("result", field("result")),
        ("runtimes", field("runtimes")),
        ("started", field("started")),
        ("ended", field("ended")),
    ])
}
