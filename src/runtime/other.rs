//! Tasks that omega|ml has not: a backend in another program has announced them.

use super::celery::json;
use super::{Objects, Outcome, TaskCall};
use crate::backends::Request;
use crate::error::{Error, Result};
use serde_json::{Map, Value, json};

/// Runs such a task; none for the others.
///
/// # Errors
/// [`crate::ErrorKind::NotFound`] when no backend knows it; what the backend fails with.
pub(super) fn perform(call: &TaskCall, objects: &Objects) -> Option<Result<Outcome>> {
    match call {
        TaskCall::Other { task, args, kwargs } => {
            let run = || {
                let args: Vec<Value> = args.iter().map(json::shown).collect::<Result<_>>()?;
                let mut named = Map::new();
                for (name, value) in &kwargs.0 {
                    named.insert(name.clone(), json::shown(value)?);
                }
                let fields = json!({ "task": task, "args": args, "kwargs": named });
                let request = Request::new("task", fields);
                let reply = objects.backends.task(task, request, &*objects.progress)?;
                let value = reply.ok_or_else(|| unknown(task))?.header.remove("value");
                Ok(Outcome::Value(value.unwrap_or_default()))
            };
            Some(run())
        }
        _ => None,
    }
}

fn unknown(task: &str) -> Error {
    Error::not_found(format!("there is no task `{task}`"))
        .hint("tasks of your own come with a backend: see om backends")
}
