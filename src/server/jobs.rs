//! Jobs (spec/rest.md §4.4).

use super::app::Call;
use super::json::Json;
use super::models::iso;
use super::reply::{Failure, Reply};
use crate::runtime::{JobCall, TaskCall};
use crate::store::notebook_name;
use bson::Bson;

/// A job and its runs.
pub fn get(call: &Call<'_>, name: &str) -> Result<Reply, Failure> {
    call.permit("job", name, "metadata")?;
    Ok(Reply::json(&info(call, name)?))
}

/// Runs a job and tells of its runs, or submits it.
pub fn run(call: &Call<'_>, name: &str) -> Result<Reply, Failure> {
    call.permit("job", name, "run")?;
    let stored = call.om.jobs.metadata(&notebook_name(name))?;
    // Results are named after the job as it was called.
    let task = TaskCall::RunJob(JobCall::new(name));
    if call.request.is_async() {
        let id = call.submit(&task)?;
        let uri = format!("/api/v1/job/{name}/run");
        let body = Json::object([
            ("resource_uri", uri.into()),
            ("job", stored.name().into()),
            ("source_job", Json::Null),
            ("job_results", "pending".into()),
            ("job_runs", Json::Null),
            ("created", iso(stored.created).into()),
        ]);
        return Ok(call.accepted(&id, &body));
    }
    // A notebook that fails has run: its runs say so.
    call.run(&task)?;
    Ok(Reply::json(&info(call, name)?))
}

/// What is told of a job.
pub fn info(call: &Call<'_>, name: &str) -> Result<Json, Failure> {
    let metadata = call.om.jobs.metadata(&notebook_name(name))?;
    let attributes = &metadata.attributes;
    let results = match attributes.get("job_results") {
        Some(Bson::Array(results)) => Json::List(results.iter().map(plain).collect()),
        _ => Json::Object(Vec::new()),
    };
    let runs = match attributes.get("job_runs") {
        Some(Bson::Array(runs)) => runs.iter().filter_map(Bson::as_document).collect(),
        _ => Vec::new(),
    };
    let runs = runs.into_iter().map(|run| {
        let field = |name: &str| run.get(name).map_or(Json::Null, plain);
        Json::object([
            ("status", field("status")),
            ("ts", field("ts")),
            ("message", field("message")),
            ("results", field("results")),
        ])
    });
    Ok(Json::object([
        ("resource_uri", Json::Null),
        ("job", metadata.name().into()),
        (
            "source_job",
            attributes.get("source_job").map_or(Json::Null, plain),
        ),
        ("job_results", results),
        ("job_runs", Json::List(runs.collect())),
        ("created", iso(metadata.created).into()),
    ]))
}

fn plain(value: &Bson) -> Json {
    match value {
        Bson::DateTime(date) => iso(*date).into(),
        other => crate::store::bson_to_value(other).into(),
    }
}
