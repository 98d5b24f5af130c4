//! Everything that was recorded between processes of omega|ml decodes, and what we write is
//! what they wrote, byte for byte.
#![allow(clippy::unwrap_used, clippy::panic)]

use super::control::{Answer, Request};
use super::event;
use super::message::TaskMessage;
use super::pickle::Value;
use super::pickle::{decode, encode};
use super::reply::{Reply, State};
use super::serial::Serializer;
use crate::broker::{Message, Properties};
use proptest::prelude::*;
use serde_json::Value as Json;
use std::path::Path;

fn folder() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/amqp")
}

fn recorded() -> Json {
    serde_json::from_slice(&std::fs::read(folder().join("messages.json")).unwrap()).unwrap()
}

/// All recorded messages: capture, exchange, message.
pub(super) fn messages() -> Vec<(String, String, Message)> {
    let recorded = recorded();
    let all = recorded["published"].as_array().unwrap().iter();
    all.map(|entry| {
        let given = &entry["properties"];
        let text = |field: &str| given[field].as_str().map(str::to_owned);
        let message = Message {
            properties: Properties {
                content_type: text("content_type"),
                content_encoding: text("content_encoding"),
                correlation_id: text("correlation_id"),
                reply_to: text("reply_to"),
                delivery_mode: given["delivery_mode"].as_u64().unwrap() as u8,
                priority: given["priority"].as_u64().map(|priority| priority as u8),
                ..Properties::default()
            },
            headers: given["headers"].as_object().unwrap().clone(),
            body: std::fs::read(folder().join(entry["file"].as_str().unwrap())).unwrap(),
        };
        let text = |field: &str| entry[field].as_str().unwrap().to_owned();
        (text("file"), text("exchange"), message)
    })
    .collect()
}

#[test]
fn every_body_comes_back_byte_for_byte() {
    let mut count = 0;
    for (file, _, message) in messages() {
        let value = decode(&message.body).unwrap_or_else(|error| panic!("{file}: {error}"));
        assert_eq!(encode(&value), message.body, "{file}");
        count += 1;
    }
    assert_eq!(count, 78);
}

#[test]
fn task_messages_come_back_with_headers_and_properties() {
    let mut count = 0;
    for (file, _, message) in messages() {
        if !message.headers.contains_key("task") {
            continue;
        }
        let task = TaskMessage::read(&message).unwrap_or_else(|error| panic!("{file}: {error}"));
        let written = task.write(Serializer::Pickle).unwrap();
        assert_eq!(written.headers, message.headers, "{file}");
        let order: Vec<_> = written.headers.keys().collect();
        assert_eq!(order, message.headers.keys().collect::<Vec<_>>(), "{file}");
        assert_eq!(written.properties, message.properties, "{file}");
        assert_eq!(written.body, message.body, "{file}");
        count += 1;
    }
    assert!(count >= 20, "{count} tasks");
}

#[test]
fn tasks_are_the_same_in_json_and_in_protocol_1() {
    for (file, _, message) in messages() {
        if !message.headers.contains_key("task") {
            continue;
        }
        let task = TaskMessage::read(&message).unwrap();
        if let Ok(json) = task.write(Serializer::Json) {
            let back = TaskMessage::read(&json).unwrap();
            assert_eq!(
                json.properties.content_type.as_deref(),
                Some("application/json")
            );
            // Tuples in arguments are lists in JSON; nothing recorded has any.
            assert_eq!(back, task, "{file}");
        } else {
            assert_eq!(file, "predict_list.0.body.bin");
        }
        if task.embed.chain.is_none() {
            let old = protocol_1(&task);
            let back = TaskMessage::read(&old).unwrap();
            assert_eq!((&back.id, &back.task), (&task.id, &task.task));
            assert_eq!((&back.args, &back.kwargs), (&task.args, &task.kwargs));
            assert_eq!(back.time_limit, Some(1230.0));
        }
    }
}

/// The message as clients from before Celery 4 send it: everything in the body.
fn protocol_1(task: &TaskMessage) -> Message {
    let body = Value::dict([
        ("task", task.task.as_str().into()),
        ("id", task.id.as_str().into()),
        ("args", Value::tuple(task.args.iter().cloned())),
        ("kwargs", task.kwargs.to_value()),
        ("retries", Value::Int(0)),
        ("eta", Value::None),
        ("expires", Value::None),
        ("utc", true.into()),
        ("callbacks", Value::None),
        ("errbacks", Value::None),
        (
            "timelimit",
            Value::tuple([Value::Int(1230), Value::Int(1200)]),
        ),
        ("taskset", Value::None),
        ("chord", Value::None),
    ]);
    let mut message = Message::default();
    Serializer::Pickle.mark(&mut message.properties);
    message.body = Serializer::Pickle.write(&body).unwrap();
    message
}

#[test]
fn replies_come_back_with_properties() {
    let mut states = Vec::new();
    for (file, exchange, message) in messages() {
        if !exchange.is_empty() || message.headers.contains_key("task") {
            continue;
        }
        let reply = Reply::read(&message).unwrap_or_else(|error| panic!("{file}: {error}"));
        let written = reply.write(Serializer::Pickle).unwrap();
        assert_eq!(written.properties, message.properties, "{file}");
        assert_eq!(written.headers, message.headers, "{file}");
        assert_eq!(written.body, message.body, "{file}");
        states.push(reply.state);
    }
    for state in [State::Started, State::Success, State::Failure] {
        assert!(states.contains(&state), "{state:?}");
    }
}

#[test]
fn failures_read_as_class_and_message() {
    let mut texts = Vec::new();
    for (_, exchange, message) in messages() {
        if exchange.is_empty() && !message.headers.contains_key("task") {
            let reply = Reply::read(&message).unwrap();
            texts.extend(reply.exception().map(|exception| exception.to_string()));
        }
    }
    let known = "RuntimeError: intentional exception caused by exception=True kwarg";
    assert!(texts.contains(&known.to_owned()), "{texts:?}");
    assert!(
        texts
            .iter()
            .any(|text| text.starts_with("ValueError: Expected 2D array"))
    );
}

#[test]
fn control_requests_and_answers_come_back() {
    let mut count = 0;
    for (file, exchange, message) in messages() {
        let written = match exchange.as_str() {
            "celery.pidbox" => {
                let request = Request::read(&message).unwrap();
                let clock = message.headers["clock"].as_u64().unwrap();
                let expires = message.headers["expires"].as_f64();
                assert!(request.is_for("ref@localhost"));
                request.write(Serializer::Pickle, clock, expires).unwrap()
            }
            "reply.celery.pidbox" => {
                let answer = Answer::read(&message).unwrap();
                assert_eq!(answer.node, "ref@localhost");
                answer
                    .write(message.headers["clock"].as_u64().unwrap())
                    .unwrap()
            }
            _ => continue,
        };
        assert_eq!(written.body, message.body, "{file}");
        assert_eq!(written.headers, message.headers, "{file}");
        assert_eq!(written.properties, message.properties, "{file}");
        count += 1;
    }
    assert_eq!(count, 6);
}

#[test]
fn events_come_back() {
    let mut kinds = Vec::new();
    for entry in recorded()["events"].as_array().unwrap() {
        let body = &entry["body"];
        let message = Message {
            properties: Properties::default(),
            headers: serde_json::Map::new(),
            body: body.to_string().into_bytes(),
        };
        let events = event::read(&message).unwrap();
        let sender = events[0].sender.clone();
        let (key, written) = match body {
            Json::Array(_) => event::write_tasks(&sender, &events),
            _ => event::write(&events[0]),
        };
        assert_eq!(key, entry["routing_keys"][0].as_str().unwrap());
        assert_eq!(
            serde_json::from_slice::<Json>(&written.body).unwrap(),
            *body
        );
        assert_eq!(written.body, message.body, "fields keep their order");
        let given = &entry["properties"];
        assert_eq!(Json::Object(written.headers), given["headers"]);
        assert_eq!(
            written.properties.content_type.as_deref(),
            given["content_type"].as_str()
        );
        assert_eq!(
            u64::from(written.properties.delivery_mode),
            given["delivery_mode"]
        );
        kinds.extend(events.into_iter().map(|event| event.kind));
    }
    for kind in [
        "worker-heartbeat",
        "task-received",
        "task-started",
        "task-succeeded",
        "task-failed",
    ] {
        assert!(kinds.iter().any(|known| known == kind), "{kind}");
    }
}

/// What we make from typed values is what the worker made.
#[test]
fn made_events_have_the_recorded_fields() {
    let tasks: Vec<_> = messages()
        .into_iter()
        .filter(|(_, _, message)| message.headers.contains_key("task"))
        .map(|(_, _, message)| TaskMessage::read(&message).unwrap())
        .collect();
    let mut count = 0;
    for entry in recorded()["events"].as_array().unwrap() {
        for body in entry["body"].as_array().into_iter().flatten() {
            let one = Message {
                body: body.to_string().into_bytes(),
                ..Message::default()
            };
            let recorded = event::read(&one).unwrap().remove(0);
            let task = tasks.iter().find(|task| task.id == body["uuid"]);
            let (sender, Some(task)) = (&recorded.sender, task) else {
                continue;
            };
            let made = match recorded.kind.as_str() {
                "task-received" => event::Event::received(sender, task),
                "task-started" => event::Event::started(sender, &task.id),
                _ => continue,
            };
            assert_eq!(made.at(recorded.timestamp, recorded.clock), recorded);
            count += 1;
        }
    }
    assert!(count >= 20, "{count} events");
}

proptest! {
    /// Whatever becomes of a recorded message on its way: an error, never more.
    #[test]
    fn mutated_messages_end_well(
        which in any::<prop::sample::Index>(),
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        as_json in any::<bool>(),
    ) {
        let all = messages();
        let (_, _, mut message) = all[which.index(all.len())].clone();
        if as_json && let Ok(task) = TaskMessage::read(&message)
            && let Ok(json) = task.write(Serializer::Json)
        {
            message = json;
        }
        for (place, byte) in changes {
            let place = place.index(message.body.len());
            message.body[place] = byte;
        }
        if let Ok(value) = decode(&message.body) {
            let _ = super::repr::repr(&value);
            let _ = super::repr::summary(&value);
            let _ = super::json::shown(&value);
            prop_assert_eq!(&decode(&encode(&value)).unwrap(), &value);
        }
        if let Ok(task) = TaskMessage::read(&message) {
            let _ = task.write(Serializer::Pickle).unwrap();
        }
        if let Ok(reply) = Reply::read(&message) {
            let _ = reply.exception().map(|exception| exception.to_string());
            let _ = reply.write(Serializer::Pickle).unwrap();
        }
        let _ = Request::read(&message);
        let _ = Answer::read(&message);
        let _ = event::read(&message);
    }
}
