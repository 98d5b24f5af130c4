//! One object: what it is, what is in it, and what can be done with it.

use super::layout::{Shell, bytes, count, when};
use super::{notebook, of_page, plot};
use crate::frame::{ColumnDescription, Histogram, Query, describe, json};

use crate::jobs::{Jobs, Notebook};
use crate::models::{Field, Kind};
use crate::runtime::{Action, Input, JobCall, ModelCall, TaskCall};
use crate::server::app::Call;
use crate::server::json::Json;
use crate::server::models::plain;
use crate::server::reply::{Failure, Reply};
use crate::storage::Metadata;
use crate::store::{NOTEBOOK, Store, Stored, bson_to_value};
use bson::Bson;
use maud::{Markup, PreEscaped, html};
use serde_json::{Map, Value};
use std::io::Read;

/// Rows of a preview.
const ROWS: u64 = 20;
/// Rows that statistics are made of.
const SAMPLE: u32 = 100_000;
/// Bytes of a file that are shown or sent by a page.
const LARGEST: u64 = 64 << 20;
/// Bytes of text that are shown.
const TEXT: usize = 64 << 10;

fn store<'a>(call: &'a Call<'_>, noun: &str) -> Result<&'a Store, Failure> {
    let store = call.om.store(noun);
    store.ok_or_else(|| Failure::new(404, "there is no such store"))
}

/// An object; `answer` is what a form that was sent has led to.
pub fn show(
    call: &Call<'_>,
    shell: &Shell,
    noun: &str,
    name: &str,
    answer: Option<Markup>,
) -> Result<Reply, Failure> {
    let store = store(call, noun)?;
    let metadata = store.metadata(name).map_err(of_page)?;
    let stats = store.stats(&metadata).map_err(of_page)?;
    let content = match noun {
        "models" => model(call, shell, &metadata)?,
        "jobs" => job(call, shell, &metadata)?,
        _ => content(call, shell, noun, store, &metadata),
    };
    let docs = metadata.attributes.get_str("docs").ok();
    let page = html! {
        @if let Some(answer) = answer { div.answer role="status" { (answer) } }
        dl {
            dt { "Kind" } dd { (metadata.kind) }
            dt { "Bucket" } dd { (metadata.key.bucket) }
            @if let Some(rows) = stats.count { dt { "Rows" } dd { (count(rows)) } }
            dt { "Size" } dd { (bytes(stats.bytes)) }
            dt { "Created" } dd { (when(metadata.created)) }
            dt { "Changed" } dd { (when(metadata.modified)) }
        }
        @if let Some(docs) = docs { (PreEscaped(notebook::markdown(docs))) }
        (content)
        @if !metadata.attributes.is_empty() {
            details {
                summary { "Attributes" }
                pre { (pretty(&Bson::Document(metadata.attributes.clone()))) }
            }
        }
    };
    Ok(shell.page(&format!("{noun}/{}", metadata.name()), None, page))
}

fn pretty(value: &Bson) -> String {
    serde_json::to_string_pretty(&bson_to_value(value)).unwrap_or_default()
}

/// What is in a data set, script or stream; why it cannot be shown, if so.
fn content(
    call: &Call<'_>,
    shell: &Shell,
    noun: &str,
    store: &Store,
    metadata: &Metadata,
) -> Markup {
    let name = metadata.name();
    let shown = match store.get(name) {
        Ok(Stored::Table(_) | Stored::Array(_)) => table(call, shell, store, name),
        Ok(Stored::Values(values)) => Ok(html! {
            h2 { "Content" }
            pre { (limited(&values.iter().take(ROWS as usize).map(pretty).collect::<Vec<_>>().join("\n"))) }
        }),
        Ok(Stored::File(blob)) => Ok(file(call, shell, noun, name, blob.length())),
        Err(error) => Err(error),
    };
    shown.unwrap_or_else(|error| html! { p.bad { (error) } })
}

fn limited(text: &str) -> String {
    match text.char_indices().nth(TEXT) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}

fn table(call: &Call<'_>, shell: &Shell, store: &Store, name: &str) -> crate::Result<Markup> {
    let first = Query {
        limit: Some(ROWS),
        ..Query::default()
    };
    let head = store.collect(name, &first)?;
    let described = describe(store.lazy(name)?.limit(SAMPLE))?;
    let columns: Vec<(String, Vec<Value>)> = head
        .columns()
        .iter()
        .map(|column| {
            let cells = column
                .as_materialized_series()
                .iter()
                .map(|cell| json::value(&cell));
            (column.name().to_string(), cells.collect())
        })
        .collect();
    let names: Vec<String> = columns.iter().map(|(name, _)| name.clone()).collect();
    Ok(html! {
        h2 { "First rows" }
        div.wide tabindex="0" { table {
            thead { tr { @for (name, cells) in &columns { th.n[cells.iter().any(Value::is_number)] { (name) } } } }
            tbody { @for row in 0..head.height() { tr {
                @for (_, cells) in &columns {
                    @let cell = cells.get(row).unwrap_or(&Value::Null);
                    td.n[cell.is_number()] { (text(cell)) }
                }
            } } }
        } }
        h2 { "Columns" }
        @if described.rows == u64::from(SAMPLE) {
            p.note { "Of the first " (count(described.rows)) " rows." }
        }
        div.wide tabindex="0" { table {
            thead { tr {
                th { "Name" } th { "Type" } th.n { "Values" } th.n { "Missing" } th.n { "Distinct" }
                th.n { "Mean" } th.n { "Deviation" } th { "From" } th { "To" } th { "Spread" }
            } }
            tbody { @for column in &described.columns { (statistics(column)) } }
        } }
        (plot::section(store, shell, call.request, name, &names))
    })
}

fn statistics(column: &ColumnDescription) -> Markup {
    let number = |value: Option<f64>| value.map(|value| format!("{value:.4}")).unwrap_or_default();
    let top: Vec<String> = column
        .top
        .iter()
        .take(3)
        .map(|top| format!("{} ({})", top.value, count(top.count)))
        .collect();
    html! { tr {
        td { (column.name) } td { (column.dtype) }
        td.n { (count(column.count)) } td.n { (count(column.nulls)) } td.n { (count(column.distinct)) }
        td.n { (number(column.mean)) } td.n { (number(column.std)) }
        td { (text(&column.min)) } td { (text(&column.max)) }
        td { @match &column.histogram {
            Some(histogram) => (bars(histogram)),
            None => (top.join(", ")),
        } }
    } }
}

/// A histogram as a picture, with its numbers for those who do not see it.
fn bars(histogram: &Histogram) -> Markup {
    let most = histogram.counts.iter().copied().max().unwrap_or(0).max(1) as f64;
    let numbers: Vec<String> = histogram.counts.iter().map(u64::to_string).collect();
    html! {
        svg.bars viewBox="0 0 100 20" preserveAspectRatio="none" role="img"
            aria-label={"Values in ten bins: " (numbers.join(", "))} {
            @for (at, number) in histogram.counts.iter().enumerate() {
                @let height = *number as f64 / most * 20.0;
                rect x=(at * 10) y=(format!("{:.2}", 20.0 - height)) width="9" height=(format!("{height:.2}")) {}
            }
        }
    }
}

fn text(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn file(call: &Call<'_>, shell: &Shell, noun: &str, name: &str, length: u64) -> Markup {
    let link = shell.link(&format!("raw/{noun}/{name}"));
    let bytes = match length <= LARGEST {
        true => read(call, noun, name).unwrap_or_default(),
        false => Vec::new(),
    };
    html! {
        h2 { "Content" }
        @if length <= LARGEST {
            p { a href=(link) download { "Download" } }
        } @else {
            p.note { "Too large for a page: " code { "om " (noun) " get " (name) " FILE" } }
        }
        @if image(&bytes).is_some() {
            img src=(link) alt=(name);
        } @else if let Ok(text) = std::str::from_utf8(&bytes) {
            @if !text.is_empty() && !text.contains('\0') { pre { (limited(text)) } }
        }
    }
}

/// The kind of picture that the bytes are. SVG may hold scripts and is none.
fn image(bytes: &[u8]) -> Option<&'static str> {
    let starts: [(&[u8], &str); 4] = [
        (b"\x89PNG\r\n\x1a\n", "image/png"),
        (b"\xff\xd8\xff", "image/jpeg"),
        (b"GIF8", "image/gif"),
        (b"RIFF", "image/webp"),
    ];
    let found = starts.iter().find(|(start, _)| bytes.starts_with(start));
    found.map(|(_, kind)| *kind)
}

fn read(call: &Call<'_>, noun: &str, name: &str) -> Result<Vec<u8>, Failure> {
    let stored = store(call, noun)?.get(name).map_err(of_page)?;
    let (Stored::File(mut blob) | Stored::Array(mut blob)) = stored else {
        return Err(Failure::new(400, format!("{name} is no file")));
    };
    if blob.length() > LARGEST {
        return Err(Failure::new(413, format!("{name} is too large for a page")));
    }
    let mut bytes = Vec::new();
    let read = blob.read_to_end(&mut bytes);
    read.map_err(|error| Failure::new(500, format!("{name} cannot be read: {error}")))?;
    Ok(bytes)
}

/// The bytes of a file: pictures to be shown, everything else to be saved.
pub fn raw(call: &Call<'_>, noun: &str, name: &str) -> Result<Reply, Failure> {
    let body = read(call, noun, name)?;
    let kind = image(&body);
    let file = name
        .rsplit('/')
        .next()
        .unwrap_or(name)
        .replace(['"', '\\'], "_");
    let reply = Reply::bytes(kind.unwrap_or("application/octet-stream"), body);
    Ok(match kind {
        Some(_) => reply,
        None => reply.header(
            "content-disposition",
            format!("attachment; filename=\"{file}\""),
        ),
    })
}

/// The columns that a model of ours was trained on.
fn fields(call: &Call<'_>, name: &str) -> Result<Option<Vec<Field>>, Failure> {
    let model = call.om.models.open(name).map_err(of_page)?;
    let training = model.as_ref().and_then(|model| model.training().ok());
    Ok(training.map(|training| training.schema.0.clone()))
}

fn model(call: &Call<'_>, shell: &Shell, metadata: &Metadata) -> Result<Markup, Failure> {
    let fields = fields(call, metadata.name())?;
    let scores = metadata.attributes.get_document("scores").ok();
    let trained = metadata.attributes.get_document("dataset").ok();
    let trained = trained.and_then(|dataset| dataset.get_str("Xname").ok());
    let spec = metadata.kind_meta.get_str("spec").ok();
    Ok(html! {
        @if let Some(spec) = spec { p { "A " code { (spec) } } }
        @if let Some(data) = trained {
            @let object = data.split('[').next().unwrap_or(data);
            p { "Trained on " a href=(shell.link(&format!("datasets/{object}"))) { (data) } }
        }
        @if let Some(scores) = scores {
            h2 { "Scores" }
            dl { @for (metric, score) in scores {
                dt { (metric) }
                dd { (score.as_document().and_then(|score| score.get("value")).map(ToString::to_string).unwrap_or_default()) }
            } }
        }
        @match fields {
            None => p.note { "Its columns are not known here; ask it with " code { "om runtime model " (metadata.name()) " predict" } },
            Some(fields) => {
                h2 { "Ask it" }
                form method="post" {
                    (shell.bucket_field())
                    @for (at, field) in fields.iter().enumerate() {
                        label {
                            span { (field.name) " " span.note { (field.dtype) } }
                            @let given = call.request.form_value(&format!("x{at}"));
                            @if field.kind == Kind::Number {
                                input name={"x" (at)} type="number" step="any" required value=[given];
                            } @else {
                                input name={"x" (at)} required value=[given];
                            }
                        }
                    }
                    button { "Predict" }
                }
            }
        }
    })
}

/// What a model answers to the row of the form.
pub fn predict(call: &Call<'_>, shell: &Shell, name: &str) -> Result<Reply, Failure> {
    call.permit("model", name, "predict")?;
    let fields = fields(call, name)?;
    let fields = fields.ok_or_else(|| Failure::new(400, "the model cannot be asked here"))?;
    let mut row = Map::new();
    for (at, field) in fields.iter().enumerate() {
        let text = call
            .request
            .form_value(&format!("x{at}"))
            .unwrap_or_default();
        let value = match (field.kind, text.trim().parse::<f64>()) {
            (Kind::Number, Ok(number)) => Value::from(number),
            (Kind::Number, Err(_)) => {
                let message = format!("{}: `{text}` is not a number", field.name);
                return Err(Failure::new(400, message));
            }
            _ => Value::from(text),
        };
        row.insert(field.name.clone(), value);
    }
    let mut model = ModelCall::new(name, Action::Predict);
    model.x = Some(Input::Inline(Value::Array(vec![Value::Object(row)])));
    let answer = match plain(call.run(&TaskCall::Model(model))?) {
        Json::List(items) => {
            let texts = items.iter().map(|item| match item {
                Json::Text(text) => text.clone(),
                other => other.to_body().trim().to_owned(),
            });
            texts.collect::<Vec<_>>().join(", ")
        }
        other => other.to_body(),
    };
    let answer = html! { "It predicts " strong { (answer) } };
    show(call, shell, "models", name, Some(answer))
}

fn job(call: &Call<'_>, shell: &Shell, metadata: &Metadata) -> Result<Markup, Failure> {
    let name = metadata.name();
    let runs = match metadata.attributes.get("job_runs") {
        Some(Bson::Array(runs)) => runs.iter().rev().filter_map(Bson::as_document).collect(),
        _ => Vec::new(),
    };
    let schedule = Jobs::schedule_of(metadata).map_err(of_page)?;
    let is_result = name.starts_with(crate::jobs::RESULTS);
    let notebook: crate::Result<Notebook> = call.om.jobs.notebook(name);
    Ok(html! {
        @if let Some(schedule) = schedule {
            p { "Runs " (schedule.words()) }
        }
        @if !is_result {
            form method="post" { (shell.bucket_field()) button { "Run it now" } }
            @if runs.is_empty() {
                p.note { "It has not run yet." }
            } @else {
                h2 { "Runs" }
                div.wide { table {
                    thead { tr { th { "When" } th { "Status" } th { "Result" } th { "Message" } } }
                    tbody { @for run in runs.iter().take(50) {
                        @let status = run.get_str("status").unwrap_or_default();
                        tr {
                            td { (run.get_datetime("ts").map(|time| when(*time)).unwrap_or_default()) }
                            td.good[status == "OK"].bad[status != "OK"] { (status) }
                            td { @if let Ok(result) = run.get_str("results") {
                                a href=(shell.link(&format!("jobs/{result}"))) { (result) }
                            } }
                            td { (limited(run.get_str("message").unwrap_or_default())) }
                        }
                    } }
                } }
            }
        }
        h2 { "Notebook" }
        @match notebook {
            Ok(notebook) => (super::notebook::render(&notebook)),
            Err(error) => p.bad { (error) },
        }
    })
}

/// Submits a run of a job and goes on to its task.
pub fn run_job(call: &Call<'_>, shell: &Shell, name: &str) -> Result<Reply, Failure> {
    call.permit("job", name, "run")?;
    let metadata = call.om.jobs.metadata(name).map_err(of_page)?;
    let task = call.submit(&TaskCall::RunJob(JobCall::new(
        metadata.name().trim_end_matches(NOTEBOOK),
    )))?;
    Ok(Reply::redirect(
        303,
        &shell.link(&format!("runtime/task/{task}")),
    ))
}
