//! A real Jupyter Lab with the jobs as its files, on every profile.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod om;
mod server;
mod web;

use om::Om;
use serde_json::{Value, json};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Stdio};
use std::time::Duration;
use web::{Answer, Web};

struct Lab {
    child: Child,
    web: Web,
}

impl Lab {
    fn start(om: &Om) -> Self {
        let python = server::program("om-venv/bin/jupyter-lab").with_file_name("python");
        let port = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        let mut child = om
            .command(&["shell", "jupyter", "--"])
            .arg(format!("--port={port}"))
            .args([
                "--allow-root",
                "--no-browser",
                "--IdentityProvider.token=sesame",
                "--ServerApp.log_level=ERROR",
            ])
            .env("OMEGA_PYTHON", python)
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            let ended = child.try_wait().unwrap();
            assert!(ended.is_none(), "Jupyter Lab has ended: {ended:?}");
            std::thread::sleep(Duration::from_millis(50));
        }
        let web = Web::at(&format!("http://127.0.0.1:{port}"));
        Lab { child, web }
    }

    fn send(&self, method: &str, path: &str, body: &Value) -> Answer {
        let headers = [
            ("Authorization", "token sesame"),
            ("Content-Type", "application/json"),
        ];
        let body = match body.is_null() {
            true => String::new(),
            false => body.to_string(),
        };
        let target = format!("/api/contents{path}");
        self.web.send(method, &target, &headers, body.as_bytes())
    }

    /// The document of an answer that is one of success.
    #[track_caller]
    fn done(&self, method: &str, path: &str, body: &Value) -> Value {
        let answer = self.send(method, path, body);
        let told = format!("{method} {path}: {answer:?}");
        assert!((200..300).contains(&answer.status), "{told}");
        match answer.body.is_empty() {
            true => Value::Null,
            false => serde_json::from_str(&answer.body).expect(&told),
        }
    }

    fn entries(&self, path: &str) -> Vec<String> {
        let listing = self.done("GET", path, &Value::Null);
        let entry = |entry: &Value| entry["path"].as_str().unwrap().to_owned();
        let mut entries: Vec<String> = listing["content"]
            .as_array()
            .unwrap()
            .iter()
            .map(entry)
            .collect();
        entries.sort();
        entries
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn notebook(source: &str) -> Value {
    json!({
        "cells": [{"cell_type": "code", "id": "a", "metadata": {}, "outputs": [],
                   "execution_count": null, "source": source}],
        "metadata": {}, "nbformat": 4, "nbformat_minor": 5,
    })
}

fn works(om: &Om) {
    let file = om.file("nb.ipynb", notebook("1 + 1").to_string());
    om.ok(&["jobs", "put", &file, "team/report"]);
    om.ok(&["jobs", "put", &file, "daily"]);
    om.ok(&["jobs", "schedule", "daily", "daily, at 06:00", "--yes"]);
    let lab = Lab::start(om);
    assert_eq!(lab.entries(""), ["daily.ipynb", "team"]);
    assert_eq!(lab.entries("/team"), ["team/report.ipynb"]);
    let read = lab.done("GET", "/team/report.ipynb", &Value::Null);
    assert_eq!(read["content"]["cells"][0]["source"], "1 + 1");

    // What is saved is what om has; its schedule stays.
    let saved = json!({"type": "notebook", "format": "json", "content": notebook("2 + 2")});
    lab.done("PUT", "/daily.ipynb", &saved);
    assert_eq!(
        om.ok(&["jobs", "get", "daily", "--to", "script"]).trim(),
        "2 + 2"
    );
    assert!(
        om.ok(&["jobs", "schedule", "daily"])
            .to_lowercase()
            .contains("06:00")
    );
    let kept = lab.done("POST", "/daily.ipynb/checkpoints", &Value::Null);
    assert_eq!(kept["id"], "saved");

    // New ones, copies, other names.
    let made = lab.done("POST", "", &json!({"type": "notebook"}));
    assert_eq!(made["path"], "Untitled.ipynb");
    // A name that looks like an option.
    let copy = lab.done("POST", "", &json!({"copy_from": "daily.ipynb"}));
    let copy = format!("/{}", copy["path"].as_str().unwrap());
    lab.done("PATCH", &copy, &json!({"path": "-q.ipynb"}));
    let read = lab.done("GET", "/-q.ipynb", &Value::Null);
    assert_eq!(read["content"]["cells"][0]["source"], "2 + 2");
    lab.done("DELETE", "/-q.ipynb", &Value::Null);
    lab.done("POST", "/team", &json!({"copy_from": "daily.ipynb"}));
    lab.done(
        "PATCH",
        "/Untitled.ipynb",
        &json!({"path": "team/new.ipynb"}),
    );
    lab.done("PATCH", "/team", &json!({"path": "squad"}));
    assert_eq!(
        lab.entries("/squad"),
        ["squad/daily.ipynb", "squad/new.ipynb", "squad/report.ipynb"]
    );
    lab.done("POST", "", &json!({"type": "directory"}));
    assert_eq!(lab.entries(""), ["Untitled Folder", "daily.ipynb", "squad"]);
    assert!(lab.entries("/Untitled%20Folder").is_empty());
    lab.done("DELETE", "/Untitled%20Folder", &Value::Null);
    lab.done("DELETE", "/squad/new.ipynb", &Value::Null);
    assert_eq!(
        om.ok(&["jobs", "list", "-o", "name"]),
        "daily.ipynb\nsquad/daily.ipynb\nsquad/report.ipynb\n"
    );

    // What cannot be says why.
    for (method, path, body, status, why) in [
        ("GET", "/none.ipynb", Value::Null, 404, "none.ipynb"),
        ("GET", "/none", Value::Null, 404, "does not exist"),
        ("DELETE", "/squad", Value::Null, 400, "not empty"),
        (
            "POST",
            "",
            json!({"type": "file", "ext": ".txt"}),
            400,
            "only notebooks",
        ),
        (
            "PATCH",
            "/daily.ipynb",
            json!({"path": "squad/daily.ipynb"}),
            409,
            "already",
        ),
        (
            "PUT",
            "/bad.ipynb",
            json!({"type": "notebook", "content": {"cells": 1}}),
            400,
            "no notebook",
        ),
    ] {
        let answer = lab.send(method, path, &body);
        assert!(
            answer.status == status && answer.body.contains(why),
            "{method} {path}: {answer:?}"
        );
    }
}

#[test]
fn the_store_in_jupyter_lab() {
    works(&Om::here());
}

#[test]
fn a_database_in_jupyter_lab() {
    works(&Om::on(&server::mongo().database()));
}

#[test]
fn a_server_in_jupyter_lab() {
    works(&Om::behind_a_server(&[]));
}
