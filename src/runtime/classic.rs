//! The runtime of Python omega|ml's own server: what its REST API can be asked for
//! (spec/rest.md §4), and why not where it cannot.

use super::celery::calls::TaskCall;
use super::celery::json;
use super::{Action, Input, ModelCall, Objects, Outcome, SubmitOptions, queue};
use crate::error::{Error, Result};
use crate::remote::wire::encoded_path;
use crate::remote::{Ask, Server};
use serde_json::{Map, Value};
use std::sync::Arc;

/// Runs a task and waits for its answer.
///
/// # Errors
/// [`crate::ErrorKind::Usage`] for what this API has not.
pub(super) fn run(
    server: &Arc<Server>,
    objects: &Objects,
    bucket: &str,
    call: &TaskCall,
    options: &SubmitOptions,
) -> Result<Outcome> {
    if *options != SubmitOptions::default() {
        return Err(cannot("labels, time limits and retries"));
    }
    let (ask, field) = match call {
        TaskCall::Model(call) => (model(call)?, "result"),
        TaskCall::RunJob(job) if !job.parameters.0.is_empty() => {
            return Err(cannot("parameters of jobs"));
        }
        TaskCall::RunJob(job) => {
            let path = format!("/api/v1/job/{}/run", encoded_path(&job.name));
            (Ask::post(path).json(&Map::new().into()), "job_runs")
        }
        TaskCall::RunScript { name, args, kwargs } => {
            let [argument] = args.as_slice() else {
                return Err(cannot("scripts with other than one argument"));
            };
            let path = format!("/api/v1/script/{}/run", encoded_path(name));
            let mut query = Vec::new();
            for (name, value) in &kwargs.0 {
                let value = match json::plain(value)? {
                    Value::String(text) => text,
                    other => other.to_string(),
                };
                query.push((name.clone(), value));
            }
            (
                Ask::post(path).named(query).json(&json::plain(argument)?),
                "result",
            )
        }
        _ => return Err(cannot("this task")),
    };
    let mut told = server.ask(&ask.within(bucket))?.json()?;
    let answer = told.get_mut(field).map(Value::take).unwrap_or_default();
    queue::outcome_of(answer, objects)
}

fn model(call: &ModelCall) -> Result<Ask<'static>> {
    let action = match call.action {
        Action::FitTransform | Action::Gridsearch => {
            return Err(cannot("fit_transform and gridsearch"));
        }
        action => action.name(),
    };
    if call.result.is_some() || !call.params.is_empty() || call.metric.is_some() {
        return Err(cannot("stored results, parameters and metrics"));
    }
    let mut query = Vec::new();
    let mut body = Map::new();
    match &call.x {
        None => {}
        Some(Input::Name(name)) => query.push(("datax".to_owned(), name.clone())),
        Some(Input::Inline(rows)) => {
            let (columns, data) = columns(rows)?;
            body.insert("columns".to_owned(), columns.into());
            body.insert("data".to_owned(), data.into());
        }
    }
    match &call.y {
        None => {}
        Some(Input::Name(name)) => query.push(("datay".to_owned(), name.clone())),
        Some(Input::Inline(_)) => return Err(cannot("targets that are not stored")),
    }
    let path = format!("/api/v1/model/{}/{action}", encoded_path(&call.model));
    Ok(Ask::put(path).named(query).json(&body.into()))
}

/// Rows, or one, as columns: under their names, or their positions where there are none.
fn columns(rows: &Value) -> Result<(Vec<Value>, Map<String, Value>)> {
    let one = std::slice::from_ref(rows);
    let rows = match rows {
        Value::Array(rows)
            if rows
                .first()
                .is_some_and(|row| row.is_array() || row.is_object()) =>
        {
            rows.as_slice()
        }
        _ => one,
    };
    let mut data: Map<String, Value> = Map::new();
    for row in rows {
        let cells: Vec<(String, Value)> = match row {
            Value::Object(cells) => cells.clone().into_iter().collect(),
            Value::Array(cells) => {
                let cells = cells.iter().enumerate();
                cells
                    .map(|(at, cell)| (at.to_string(), cell.clone()))
                    .collect()
            }
            cell => vec![("0".to_owned(), cell.clone())],
        };
        for (name, cell) in cells {
            let column = data.entry(name).or_insert_with(|| Value::Array(Vec::new()));
            if let Value::Array(column) = column {
                column.push(cell);
            }
        }
    }
    let even = data
        .values()
        .all(|column| column.as_array().map(Vec::len) == Some(rows.len()));
    match even {
        true => Ok((data.keys().cloned().map(Value::from).collect(), data)),
        false => Err(Error::invalid("the rows do not have the same columns")),
    }
}

/// That the API of omega|ml's own server has not something.
pub(super) fn cannot(what: &str) -> Error {
    Error::usage(format!(
        "Python omega|ml's server has no way to be asked for {what}"
    ))
    .hint(
        "it runs models, jobs and scripts and waits for them; for more use its database and \
         broker (OMEGA_MONGO_URL, OMEGA_BROKER), or om server in front of them",
    )
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn rows_become_columns() {
        let of = |rows: Value| columns(&rows).map(|(_, data)| Value::from(data)).ok();
        assert_eq!(
            of(json!([[1, 2], [3, 4]])),
            Some(json!({"0": [1, 3], "1": [2, 4]}))
        );
        assert_eq!(of(json!([1, 2])), Some(json!({"0": [1], "1": [2]})));
        assert_eq!(of(json!([{"x": 1}, {"x": 2}])), Some(json!({"x": [1, 2]})));
        assert_eq!(of(json!(5)), Some(json!({"0": [5]})));
        assert_eq!(of(json!([[1, 2], [3]])), None);
        assert_eq!(of(json!([{"x": 1}, {"y": 2}])), None);
    }
}
