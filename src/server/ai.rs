//! Generative models (spec/rest.md §7). om has none of its own: workers answer.

use super::app::{Call, no_attribute};
use super::json::Json;
use super::reply::{Failure, Reply};
use crate::runtime::celery::json;
use crate::runtime::celery::signature::Kwargs;
use crate::runtime::{Outcome, TaskCall};
use crate::store::Listing;
use serde_json::{Value, json};

/// The kinds that such models have.
const KINDS: [&str; 2] = ["genai.text", "genai.llm"];

/// Runs an action of the model that the body names.
pub fn named_in_body(call: &Call<'_>, action: &str) -> Result<Reply, Failure> {
    let body = call.request.fields()?;
    let name = body.get("model").and_then(Value::as_str);
    let name = name.ok_or_else(|| Failure::exception("KeyError", "'model'"))?;
    self::action(call, name, action)
}

/// Runs an action of a generative model: the body goes to it whole.
pub fn action(call: &Call<'_>, name: &str, action: &str) -> Result<Reply, Failure> {
    call.permit("model", name, action)?;
    if !matches!(action, "complete" | "embed") {
        return Err(no_attribute("GenericModelResource", action));
    }
    let metadata = call.om.models.metadata(name)?;
    let mut body = call.request.fields()?;
    body.insert("raw".to_owned(), json!(true));
    let task = TaskCall::Special {
        action: action.to_owned(),
        args: vec![metadata.name().into(), json::to_value(&Value::Object(body))],
        kwargs: Kwargs(Vec::new()),
    };
    let mut fields = match call.run(&task)? {
        Outcome::Value(Value::Object(fields)) => {
            let fields = fields.into_iter().map(|(name, value)| (name, value.into()));
            fields.collect()
        }
        other => vec![("result".to_owned(), super::models::plain(other))],
    };
    for field in ["model", "resource_uri"] {
        fields.retain(|(named, _)| named != field);
        fields.push((field.to_owned(), name.into()));
    }
    Ok(Reply::json(&Json::Object(fields)))
}

/// The models that others may ask for.
pub fn models(call: &Call<'_>) -> Result<Reply, Failure> {
    let listing = Listing {
        pattern: Some("prompts/*".to_owned()),
        kinds: KINDS.map(str::to_owned).to_vec(),
        ..Listing::default()
    };
    let models = call.om.models.list(&listing)?;
    let models = models.iter().map(|metadata| {
        Json::object([
            ("id", metadata.name().into()),
            ("object", "model".into()),
            (
                "created",
                Json::Int((metadata.created.timestamp_millis() / 1000).into()),
            ),
            ("owned_by", "omegaml".into()),
        ])
    });
    Ok(Reply::json(&Json::object([
        ("data", Json::List(models.collect())),
        ("object", "list".into()),
    ])))
}
