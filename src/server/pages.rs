//! The API's description and the page that shows it.

use super::json::Json;
use super::reply::Reply;
use super::ui::document;
use maud::html;
use serde_json::{Value, json};

/// Method, path, summary, whether it takes a body.
type Operation = (&'static str, &'static str, &'static str, bool);

/// The resources (spec/rest.md §3) and ours beside them.
const OPERATIONS: &[Operation] = &[
    ("get", "/api/v1/ping", "Whether the server answers", false),
    (
        "get",
        "/api/v1/model/{name}/",
        "The model's metadata",
        false,
    ),
    (
        "get",
        "/api/v1/model/{name}/{action}",
        "Run an action on stored data",
        false,
    ),
    (
        "put",
        "/api/v1/model/{name}/{action}",
        "Run an action: predict, predict_proba, fit, partial_fit, score, transform, decision_function",
        true,
    ),
    (
        "get",
        "/api/v1/dataset/{name}",
        "The rows of a data set",
        false,
    ),
    (
        "put",
        "/api/v1/dataset/{name}",
        "Store rows in a data set",
        true,
    ),
    ("delete", "/api/v1/dataset/{name}", "Drop a data set", false),
    ("post", "/api/v1/script/{name}/run", "Run a script", true),
    ("get", "/api/v1/job/{name}/", "A job and its runs", false),
    ("post", "/api/v1/job/{name}/run", "Run a job", false),
    (
        "get",
        "/api/v1/task/{id}/status",
        "The state of an asynchronous call",
        false,
    ),
    (
        "get",
        "/api/v1/task/{id}/result",
        "The answer of an asynchronous call",
        true,
    ),
    ("get", "/api/v1/task/", "The tasks, newest first", false),
    ("post", "/api/v1/task/", "Have a task run", true),
    ("get", "/api/v1/task/{id}", "Everything about a task", false),
    ("delete", "/api/v1/task/{id}", "Call a task off", false),
    (
        "get",
        "/api/v1/log",
        "What workers log; as events with Accept: text/event-stream",
        false,
    ),
    ("get", "/api/v1/store", "The stores and buckets", false),
    (
        "get",
        "/api/v1/store/{store}",
        "The objects of a store",
        false,
    ),
    (
        "get",
        "/api/v1/store/{store}/{name}/metadata",
        "An object's metadata",
        false,
    ),
    (
        "patch",
        "/api/v1/store/{store}/{name}/metadata",
        "Change fields of the metadata",
        true,
    ),
    (
        "delete",
        "/api/v1/store/{store}/{name}/metadata",
        "Drop an object",
        false,
    ),
    (
        "post",
        "/api/v1/store/{store}/{name}/rename",
        "Give an object another name",
        true,
    ),
    (
        "get",
        "/api/v1/store/{store}/{name}/stats",
        "The size of an object",
        false,
    ),
    (
        "get",
        "/api/v1/store/{store}/{name}/rows",
        "Rows of a table as CSV, JSON, Parquet, …: where, columns, sort, by, agg, skip, limit, format",
        false,
    ),
    (
        "get",
        "/api/v1/store/{store}/{name}/content",
        "The bytes of a file, or a range of them",
        false,
    ),
    (
        "post",
        "/api/v1/store/{store}/{name}/upload",
        "Start to write an object: mode is create, replace or append",
        false,
    ),
    (
        "put",
        "/api/v1/upload/{id}/{part}",
        "The next part of an object: rows in Arrow, documents in BSON, or bytes",
        true,
    ),
    (
        "post",
        "/api/v1/upload/{id}/commit",
        "End writing an object, with its metadata",
        true,
    ),
    (
        "delete",
        "/api/v1/upload/{id}/",
        "Write nothing after all",
        false,
    ),
    ("get", "/api/service/{name}/", "Call a service", false),
    ("post", "/api/service/{name}/", "Call a service", true),
    ("put", "/api/service/{name}/", "Call a service", true),
    ("delete", "/api/service/{name}/", "Call a service", false),
    (
        "get",
        "/api/openai/v1/models",
        "The generative models",
        false,
    ),
    (
        "post",
        "/api/openai/v1/chat/completions",
        "Complete a chat",
        true,
    ),
    ("post", "/api/openai/v1/embeddings", "Embed text", true),
    ("get", "/healthz", "Whether the process lives", false),
    ("get", "/readyz", "Whether it can answer", false),
];

/// What rows and files come as.
const MEDIA_TYPES: [&str; 8] = [
    "application/json",
    "text/csv",
    "text/tab-separated-values",
    "application/x-ndjson",
    "application/vnd.apache.parquet",
    "application/vnd.apache.arrow.file",
    "application/octet-stream",
    "application/vnd.om.pieces",
];

/// The API's description, Swagger 2.0.
pub fn swagger() -> Json {
    let mut paths = serde_json::Map::new();
    for (method, path, summary, takes_body) in OPERATIONS {
        let mut parameters: Vec<Value> = path
            .split('{')
            .skip(1)
            .filter_map(|rest| rest.split_once('}'))
            .map(
                |(name, _)| json!({"name": name, "in": "path", "required": true, "type": "string"}),
            )
            .collect();
        if path.contains("/dataset/") && *method == "get" {
            parameters.push(json!({"name": "orient", "in": "query", "type": "string",
                "enum": ["dict", "list", "records", "index", "split"], "default": "dict"}));
        }
        if path.contains("/model/{name}/{action}") {
            for name in ["datax", "datay"] {
                parameters.push(json!({"name": name, "in": "query", "type": "string"}));
            }
        }
        if path.ends_with("/rows") {
            for name in ["where", "columns", "sort", "by", "agg"] {
                parameters.push(json!({"name": name, "in": "query", "type": "string"}));
            }
            for name in ["skip", "limit"] {
                parameters
                    .push(json!({"name": name, "in": "query", "type": "integer", "minimum": 0}));
            }
            parameters.push(json!({"name": "format", "in": "query", "type": "string",
                "enum": ["csv", "tsv", "json", "ndjson", "parquet", "ipc", "npy"], "default": "csv"}));
        }
        if path.ends_with("/upload") {
            parameters.push(json!({"name": "mode", "in": "query", "type": "string",
                "enum": ["create", "replace", "append"], "default": "create"}));
        }
        if *takes_body && *method != "get" {
            parameters.push(json!({"name": "payload", "in": "body", "schema": {"type": "object"}}));
        }
        let mut responses = json!({
            "200": {"description": "Success"},
            "400": {"description": "The call is wrong or failed", "schema": {"$ref": "#/definitions/Error"}},
        });
        if path.starts_with("/api/") && *path != "/api/v1/ping" {
            for (status, description) in [
                ("401", "Credentials are needed, or wrong"),
                ("403", "Not allowed"),
                ("404", "There is no such object"),
                ("409", "It exists already, or has changed meanwhile"),
                ("503", "Try again later"),
            ] {
                responses[status] =
                    json!({"description": description, "schema": {"$ref": "#/definitions/Error"}});
            }
            if *method != "get" {
                responses["202"] =
                    json!({"description": "Submitted: Location has the result's address"});
            }
        }
        if path.contains("/status") || path.contains("/result") {
            responses["400"] = json!({"description": "It failed, or the resource is not named",
                "schema": {"$ref": "#/definitions/Task"}});
            responses["200"]["schema"] = json!({"$ref": "#/definitions/Task"});
        }
        if *method == "delete" && path.contains("/dataset/") {
            responses["404"] = json!({"description": "There is no such data set"});
        }
        let mut operation = json!({
            "summary": summary,
            "operationId": format!("{method} {path}"),
            "parameters": parameters,
            "responses": responses,
        });
        if path.ends_with("/rows") || path.ends_with("/content") {
            operation["produces"] = json!(MEDIA_TYPES);
        }
        if path.ends_with("/log") {
            operation["produces"] = json!(["application/json", "text/event-stream"]);
        }
        if path.ends_with('z') {
            operation["produces"] = json!(["text/plain"]);
        }
        let entry = paths.entry((*path).to_owned()).or_insert_with(|| json!({}));
        entry[*method] = operation;
    }
    json!({
        "swagger": "2.0",
        "basePath": "/",
        "paths": paths,
        "info": {"title": "omega|ml REST API", "version": env!("CARGO_PKG_VERSION")},
        "produces": ["application/json"],
        "consumes": ["application/json"],
        "securityDefinitions": {
            "key": {"type": "apiKey", "name": "Authorization", "in": "header",
                "description": "ApiKey USER:KEY, or Bearer KEY or TOKEN"},
        },
        "definitions": {"Task": {"type": "object", "properties": {"task_id": {"type": "string"},
            "status": {"type": "string"}, "response": {}, "message": {"type": "string"}}}, "Error": {"type": "object", "required": ["message"], "properties": {
            "message": {"type": "string"}, "errors": {"type": "object"}}}},
    })
    .into()
}

/// The page of the API: everything it needs is in it.
pub fn api() -> Reply {
    let example = "curl -X PUT http://HOST/api/v1/model/MODEL/predict \\\n  \
                   -H 'Content-Type: application/json' \\\n  \
                   -d '{\"columns\": [\"x\"], \"data\": [{\"x\": 1}]}'";
    let body = html! {
        main {
            h1 { "omega|ml REST API" }
            p { "The whole description: " a href="/swagger.json" { "swagger.json" } }
            div.wide { table {
                thead { tr { th { "Method" } th { "Path" } th { "What it does" } } }
                tbody {
                    @for (method, path, summary, _) in OPERATIONS {
                        tr {
                            td { code { (method.to_uppercase()) } }
                            td { code { (path) } }
                            td { (summary) }
                        }
                    }
                }
            } }
            h2 { "A prediction" }
            pre { code { (example) } }
            p { "The header " code { "async: true" } " answers at once, with the address of \
                 the result in " code { "Location" } "." }
        }
    };
    document("REST API", None, body)
}

#[cfg(test)]
mod tests {
    use super::super::route::Route;
    use super::*;

    #[test]
    fn every_operation_has_a_route_that_takes_its_method() {
        for (method, path, _, _) in OPERATIONS {
            let path = path
                .replace("{name}", "x")
                .replace("{id}", "x")
                .replace("{store}", "datasets")
                .replace("{part}", "0")
                .replace("{action}", "predict");
            let route = Route::asked(&path, &path);
            assert_ne!(route, Route::Unknown { api: true }, "{path}");
            assert!(
                route.methods().contains(&method.to_uppercase().as_str()),
                "{method} {path}"
            );
        }
    }
}
