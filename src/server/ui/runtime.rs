//! What runs: workers, tasks, the log.

use super::layout::Shell;
use super::of_page;
use crate::progress::Silent;
use crate::runtime::celery::json;
use crate::runtime::celery::pickle::Value;
use crate::runtime::celery::signature::Kwargs;
use crate::runtime::control::ask;
use crate::runtime::{TaskRecord, TaskSelection, TaskState};
use crate::server::app::Call;
use crate::server::reply::{Failure, Reply};
use maud::{Markup, html};
use serde_json::Value as Json;
use std::time::Duration;

/// How long workers have to answer.
const PATIENCE: Duration = Duration::from_millis(500);
/// Seconds between two looks at what is going on.
const REFRESH: u32 = 5;
/// Seconds between two looks at a task that is awaited.
const SOON: u32 = 1;
/// Entries of the log on a page.
const ENTRIES: usize = 300;

/// Workers and the latest tasks.
pub fn overview(call: &Call<'_>, shell: &Shell) -> Result<Reply, Failure> {
    let selection = TaskSelection {
        limit: Some(100),
        ..TaskSelection::default()
    };
    let tasks = call.om.tasks().list(&selection).map_err(of_page)?;
    let content = html! {
        h2 { "Workers" }
        (workers(call))
        h2 { "Tasks" }
        @if tasks.is_empty() {
            p.note { "There are none." }
        } @else {
            div.wide { table {
                thead { tr { th { "Task" } th { "What" } th { "State" } th { "Submitted" } th { "Worker" } } }
                tbody { @for task in &tasks { tr {
                    td { a href=(shell.link(&format!("runtime/task/{}", task.id))) { (task.id.get(..8).unwrap_or(&task.id)) } }
                    td { (short(&task.task)) " " span.note { (task.args) } }
                    td { (state(task)) }
                    td { (task.submitted) }
                    td { (task.worker.as_deref().unwrap_or_default()) }
                } } }
            } }
        }
    };
    Ok(shell.page("Runtime", Some(REFRESH), content))
}

fn workers(call: &Call<'_>) -> Markup {
    let Some(broker) = call.broker() else {
        return html! { p.note { "There is no broker: tasks run in this process." } };
    };
    let answers = ask(
        broker.as_ref(),
        "active",
        Kwargs::default(),
        None,
        PATIENCE,
        &Silent,
    );
    let running = |tasks: &Value| match json::shown(tasks) {
        Ok(Json::Array(tasks)) => tasks.len(),
        _ => 0,
    };
    match answers {
        Err(error) => html! { p.bad { (error) } },
        Ok(workers) if workers.is_empty() => html! { p.note { "No worker answers." } },
        Ok(workers) => html! {
            table {
                thead { tr { th { "Name" } th.n { "Running" } } }
                tbody { @for (name, tasks) in &workers { tr { td { (name) } td.n { (running(tasks)) } } } }
            }
        },
    }
}

fn short(task: &str) -> &str {
    let name = task.rsplit('.').next().unwrap_or(task);
    name.strip_prefix("omega_").unwrap_or(name)
}

fn state(task: &TaskRecord) -> Markup {
    match task.state {
        TaskState::Success => html! { span.good { "SUCCESS" } },
        TaskState::Failure => html! { span.bad { "FAILURE" } },
        other => html! { (other.word()) },
    }
}

/// One task, which is looked at again until it is done.
pub fn task(call: &Call<'_>, shell: &Shell, id: &str) -> Result<Reply, Failure> {
    let Some(task) = call.task(id)? else {
        return Err(Failure::new(404, format!("there is no task {id}")));
    };
    let content = html! {
        dl {
            dt { "Task" } dd { code { (task.id) } }
            dt { "What" } dd { (task.task) " " (task.args) }
            dt { "State" } dd role="status" { (state(&task)) }
            dt { "Submitted" } dd { (task.submitted) }
            @if let Some(time) = &task.started { dt { "Started" } dd { (time) } }
            @if let Some(time) = &task.ended { dt { "Ended" } dd { (time) } }
            @if let Some(worker) = &task.worker { dt { "Worker" } dd { (worker) } }
        }
        @if let Some(error) = &task.error { h2 { "Error" } pre.bad { (error) } }
        @if !task.result.is_null() {
            h2 { "Answer" }
            pre { (serde_json::to_string_pretty(&task.result).unwrap_or_default()) }
        }
    };
    let refresh = (!task.state.is_final()).then_some(SOON);
    Ok(shell.page("Task", refresh, content))
}

/// The latest entries of the log, the newest first.
pub fn log(call: &Call<'_>, shell: &Shell) -> Result<Reply, Failure> {
    let week = chrono::Utc::now() - chrono::Duration::days(7);
    let entries = call.logs().since(Some(week)).map_err(of_page)?;
    let content = html! {
        @if entries.is_empty() {
            p.note { "Nothing was logged in the last seven days." }
        } @else {
            div.wide tabindex="0" { table {
                thead { tr { th { "When" } th { "Level" } th { "Message" } th { "Who" } } }
                tbody { @for entry in entries.iter().rev().take(ENTRIES) { tr {
                    td { (entry.created.with_timezone(&chrono::Local).format("%Y-%m-%d %H:%M:%S").to_string()) }
                    td.bad[entry.level == "ERROR" || entry.level == "CRITICAL"] { (entry.level) }
                    td { (entry.message) }
                    td { (entry.hostname) }
                } } }
            } }
        }
    };
    Ok(shell.page("Log", Some(REFRESH), content))
}
