//! Actions of models that a backend in another program runs (`backends`): data and content
//! go there, what comes back is stored as omega|ml stores it.

use super::model::{default_input, trained_on};
use super::{Action, Input, ModelCall, Objects, Outcome};
use crate::backends::{Reply, Request, decode_frame, encode_frame};
use crate::error::{Context, Error, Result};
use crate::storage::{Metadata, Update};
use crate::store::{Foreign, Name, PutMode, Stored};
use bson::{Bson, Document, doc};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use std::io::Read;

/// Runs the action on the backend of the model's kind.
pub(super) fn run(call: &ModelCall, om: &Objects, metadata: &Metadata) -> Result<Outcome> {
    let x_input = default_input(call.x.as_ref(), metadata, "Xname")?.ok_or_else(|| {
        Error::usage("there is no data to work on")
            .hint("name a data set or give rows: '[[1.0, 2.0]]'")
    })?;
    let learns = matches!(
        call.action,
        Action::Fit | Action::PartialFit | Action::FitTransform
    );
    let wants_y = learns || matches!(call.action, Action::Gridsearch | Action::Score);
    let y_input = match wants_y {
        true => default_input(call.y.as_ref(), metadata, "Yname")?,
        false => None,
    };
    let mut x = x_input.table(&om.datasets)?;
    let mut y = y_input
        .as_ref()
        .map(|input| input.table(&om.datasets))
        .transpose()?;
    om.progress.check()?;
    let content = content(om, &call.model)?;
    let id = hex::encode(Sha256::digest(&content).split_at(16).0);
    let params: Map<String, Value> = call
        .params
        .iter()
        .map(|(name, value)| match (call.action, value) {
            (Action::Gridsearch, Value::Array(_)) | (_, Value::Array(_)) => {
                (name.clone(), value.clone())
            }
            (Action::Gridsearch, single) => (name.clone(), json!([single])),
            _ => (name.clone(), value.clone()),
        })
        .collect();
    if call.action == Action::Gridsearch && params.is_empty() {
        return Err(Error::usage("there is no grid to search")
            .hint("give values to try: --param 'C=[0.1, 1, 10]'"));
    }
    let fields = json!({
        "kind": metadata.kind, "params": params, "metric": call.metric, "folds": call.folds,
        "inline": x_input.name().is_none(),
    });
    let mut request = Request::new(name(call.action), fields)
        .model(&id, content)
        .part("x", encode_frame(&mut x)?);
    if let Some(y) = &mut y {
        request = request.part("y", encode_frame(y)?);
    }
    let reply = om.backends.call(&metadata.kind, request, &*om.progress)?;
    let trained = trained_on(
        &x_input,
        y_input.as_ref(),
        &x,
        y.as_ref(),
        call.result.as_deref(),
    );
    match call.action {
        Action::Gridsearch => searched(
            call,
            om,
            metadata,
            &reply,
            &x_input,
            y_input.as_ref(),
            trained,
        ),
        Action::Fit | Action::PartialFit | Action::FitTransform => {
            let base = Name::parse(&call.model)?.object;
            let stored = om.models.put_foreign(
                &base,
                &model(&reply, &metadata.kind)?,
                &doc! { "dataset": trained },
                PutMode::Auto,
            )?;
            match call.action {
                Action::FitTransform => answer(call, om, &reply),
                _ => Ok(Outcome::Metadata(Box::new(stored))),
            }
        }
        Action::Score => match reply.header.get("number").and_then(Value::as_f64) {
            Some(score) => Ok(Outcome::Number(score)),
            None => Err(Error::failed("the backend answered no score")),
        },
        _ => answer(call, om, &reply),
    }
}

/// The action, as it is called everywhere.
fn name(action: Action) -> &'static str {
    let known = Action::ALL.iter().find(|(_, known)| *known == action);
    known.map_or("predict", |(name, _)| name)
}

/// The content of a model, of its latest version or the one that is named.
fn content(om: &Objects, name: &str) -> Result<Vec<u8>> {
    let Stored::File(mut blob) = om.models.get(name)? else {
        return Err(Error::corrupt("the model has no content"));
    };
    let mut bytes = Vec::new();
    blob.read_to_end(&mut bytes)
        .context(|| "cannot read the model")?;
    Ok(bytes)
}

/// The model of a reply.
///
/// # Errors
/// [`crate::ErrorKind::Failed`] when it has none.
pub fn model(reply: &Reply, kind: &str) -> Result<Foreign> {
    let content = reply
        .part("model")
        .ok_or_else(|| Error::failed("the backend answered no model"))?;
    let kind_meta = reply
        .header
        .get("kind_meta")
        .cloned()
        .unwrap_or_else(|| json!({}));
    let kind = reply
        .header
        .get("kind")
        .and_then(Value::as_str)
        .unwrap_or(kind);
    Ok(Foreign {
        content: content.to_vec(),
        kind: kind.to_owned(),
        kind_meta: match crate::store::value_to_bson(kind_meta) {
            Bson::Document(fields) => fields,
            _ => Document::new(),
        },
    })
}

fn answer(call: &ModelCall, om: &Objects, reply: &Reply) -> Result<Outcome> {
    if let Some(table) = reply.part("table") {
        let frame = decode_frame(table)?;
        return Ok(match &call.result {
            Some(name) => Outcome::Metadata(Box::new(om.datasets.put_frame(name, frame)?)),
            None => Outcome::Table(frame),
        });
    }
    if let Some(number) = reply.header.get("number").and_then(Value::as_f64) {
        return Ok(Outcome::Number(number));
    }
    match reply.header.get("value") {
        Some(value) => Ok(Outcome::Value(value.clone())),
        None => Err(Error::failed(
            "the backend answered neither a table, nor a number, nor a value",
        )),
    }
}

fn searched(
    call: &ModelCall,
    om: &Objects,
    metadata: &Metadata,
    reply: &Reply,
    x: &Input,
    y: Option<&Input>,
    trained: Bson,
) -> Result<Outcome> {
    let now = chrono::Local::now().naive_local();
    let name = match &call.result {
        Some(name) => name.clone(),
        None => format!("{}.{}.gs", call.model, now.format("%Y-%m-%dT%H:%M:%S%.6f")),
    };
    om.models.put_foreign(
        &name,
        &model(reply, &metadata.kind)?,
        &doc! { "dataset": trained },
        PutMode::Auto,
    )?;
    let text = |input: Option<&Input>| input.and_then(Input::name).map_or(Bson::Null, Bson::from);
    let entry = doc! {
        "datetime": crate::storage::local_now(), "Xname": text(Some(x)), "Yname": text(y), "gsModel": &name,
    };
    let update = Update {
        push: vec![("attributes.gridsearch".to_owned(), Bson::Document(entry))],
        ..Update::default()
    };
    om.models
        .update(&Name::parse(&call.model)?.object, &update)?;
    om.progress
        .note(&format!("the search is stored as models/{name}"));
    match reply.part("table") {
        Some(table) => Ok(Outcome::Table(decode_frame(table)?)),
        None => Ok(Outcome::Metadata(Box::new(om.models.metadata(&name)?))),
    }
}
