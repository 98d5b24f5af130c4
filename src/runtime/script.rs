//! Tasks of scripts: run one, or run one because a task has ended (spec/runtime.md §8, §10).

use super::celery::json;
use super::celery::pickle::Value;
use super::celery::signature::Kwargs;
use super::{Objects, Outcome, TaskCall};
use crate::error::{Error, ErrorKind, Result};
use crate::scripts::ScriptCall;
use serde_json::{Map, Value as Json};

/// Runs such a task; none for tasks that are about something else.
///
/// # Errors
/// [`ErrorKind::TaskFailed`] with the envelope when the script raises an exception.
pub(super) fn perform(
    call: &TaskCall,
    objects: &Objects,
    pure_python: bool,
) -> Option<Result<Outcome>> {
    Some(match call {
        TaskCall::RunScript { name, args, kwargs } => run(objects, name, args, kwargs, pure_python),
        TaskCall::Callback {
            name,
            state,
            results,
            kwargs,
        } => {
            let mut args = results.clone();
            args.push(state.as_str().into());
            run(objects, name, &args, kwargs, pure_python)
        }
        _ => return None,
    })
}

fn run(
    objects: &Objects,
    name: &str,
    args: &[Value],
    kwargs: &Kwargs,
    pure_python: bool,
) -> Result<Outcome> {
    let args: Result<Vec<Json>> = args.iter().map(json::shown).collect();
    let mut named = Map::new();
    for (name, value) in &kwargs.0 {
        named.insert(name.clone(), json::shown(value)?);
    }
    named
        .entry("pure_python")
        .or_insert_with(|| pure_python.into());
    let call = ScriptCall {
        name: name.to_owned(),
        args: args?,
        kwargs: named,
        limit: None,
    };
    let run = objects.scripts.run(&call, &*objects.progress)?;
    match run.failed {
        true => Err(Error::new(ErrorKind::TaskFailed, run.envelope.to_string())),
        false => Ok(Outcome::Value(run.envelope)),
    }
}
