//! Services: an object under one address, which answers with the bare result
//! (spec/rest.md §6).

use super::app::{Call, no_attribute};
use super::json::Json;
use super::models;
use super::reply::{Failure, Reply};
use super::scripts;
use super::signature::Signature;
use crate::error::ErrorKind;
use crate::runtime::{Action, Input, JobCall, ModelCall, Outcome, TaskCall};
use crate::storage::Metadata;
use crate::store::notebook_name;
use bson::Bson;
use serde_json::Value;

/// Calls the service `name`.
pub fn call(
    call: &Call<'_>,
    name: &str,
    action: Option<&str>,
    method: &str,
) -> Result<Reply, Failure> {
    let (store, metadata) = find(call, name)?;
    let action = match action {
        Some(action) => action.to_owned(),
        None => of_method(&metadata, method).unwrap_or_else(|| match store {
            "model" => "predict".to_owned(),
            _ => "run".to_owned(),
        }),
    };
    call.permit("service", name, &action)?;
    let signature = Signature::of(name, &metadata);
    if action == "doc" {
        let signature = signature.ok_or_else(|| {
            let text = format!(
                "Missing signature specification for object {}{}",
                metadata.key.prefix, metadata.key.name
            );
            Failure::raised("ValueError", &text)
        })?;
        return Ok(Reply::json(&signature.description()));
    }
    let body = call.request.json()?.filter(|body| !body.is_null());
    if let (Some(signature), Some(body)) = (&signature, &body) {
        signature.check("X", body)?;
    }
    let task = match (store, action.as_str()) {
        ("model", action @ ("predict" | "predict_proba" | "complete")) => {
            let mut model = ModelCall::new(metadata.name(), Action::parse(action)?);
            model.x = match body {
                Some(data) => Some(Input::Inline(data)),
                None => call
                    .request
                    .param("datax")
                    .map(|name| Input::Name(name.to_owned())),
            };
            TaskCall::Model(model)
        }
        ("script", "run") => scripts::wanted(call, metadata.name())?,
        ("job", "run") => TaskCall::RunJob(JobCall::new(name)),
        (_, action) => return Err(no_attribute("GenericServiceResource", action)),
    };
    if call.request.is_async() {
        let id = call.submit(&task)?;
        let body = Json::object([
            ("task_id", id.as_str().into()),
            (
                "resource_uri",
                format!("/api/service/{name}/{action}").into(),
            ),
            ("result", "pending".into()),
            ("service", name.into()),
        ]);
        return Ok(call.accepted(&id, &body));
    }
    let outcome = call.run(&task)?;
    if let Some(signature) = &signature {
        check_answer(signature, &outcome)?;
    }
    Ok(Reply::json(&bare(outcome)))
}

/// Whether an answer is what the object says that it answers; tables have columns instead.
fn check_answer(signature: &Signature, outcome: &Outcome) -> Result<(), Failure> {
    let value = match outcome {
        Outcome::Value(Value::String(text)) => serde_json::from_str(text).unwrap_or_default(),
        Outcome::Value(value) => value.clone(),
        Outcome::Table(_) | Outcome::Number(_) | Outcome::Metadata(_) => return Ok(()),
    };
    match value
        .get("result")
        .filter(|_| value.get("runtimes").is_some())
    {
        Some(result) => signature.check("result", result),
        None => signature.check("Y", &value),
    }
}

/// Among models, scripts and jobs, the last that has the name.
fn find(call: &Call<'_>, name: &str) -> Result<(&'static str, Metadata), Failure> {
    let om = &call.om;
    let notebook = notebook_name(name);
    for (noun, store, name) in [
        ("job", &*om.jobs, notebook.as_str()),
        ("script", &*om.scripts, name),
        ("model", &*om.models, name),
    ] {
        // What the user may not see is not there.
        match store.metadata(name) {
            Ok(metadata) => return Ok((noun, metadata)),
            Err(error) => match error.kind() {
                ErrorKind::NotFound | ErrorKind::Unauthorized => {}
                _ => return Err(error.into()),
            },
        }
    }
    Err(Failure::new(
        400,
        format!("{name} is not available as a service"),
    ))
}

/// The first action of the object's signature that is called by `method`.
fn of_method(metadata: &Metadata, method: &str) -> Option<String> {
    let signature = metadata.attributes.get_document("signature").ok()?;
    let actions = signature.get_document("actions").ok()?;
    let takes = |methods: &Bson| match methods {
        Bson::Array(methods) => methods.iter().any(|one| {
            let one = one.as_str();
            one.is_some_and(|one| one.eq_ignore_ascii_case(method))
        }),
        _ => false,
    };
    let found = actions.iter().find(|(_, methods)| takes(methods));
    found.map(|(action, _)| action.clone())
}

/// The result alone: objects and lists as they are, what else there is as `data`.
pub fn bare(outcome: Outcome) -> Json {
    let result = match outcome {
        Outcome::Value(Value::Object(mut run)) if run.contains_key("runtimes") => {
            run.remove("result").map_or(Json::Null, Json::from)
        }
        other => models::plain(other),
    };
    match result {
        whole @ (Json::Object(_) | Json::List(_)) => whole,
        value => Json::object([("data", value)]),
    }
}
