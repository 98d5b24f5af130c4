//! The recorded tasks as typed calls, and typed calls as the recorded tasks.
#![allow(clippy::unwrap_used, clippy::panic)]

use super::calls::{Auth, JobCall, Surroundings, TaskCall};
use super::golden_tests::messages;
use super::message::TaskMessage;
use super::numpy::Array;
use super::pickle::{Value, decode, encode};
use super::reply::Reply;
use super::results::{MetadataText, to_frame, to_value};
use super::serial::Serializer;
use super::signature::Kwargs;
use crate::ErrorKind;
use crate::runtime::{Action, Input, ModelCall, Outcome};
use crate::storage::{Key, Metadata};
use serde_json::json;

fn call(task: &str, args: Vec<Value>, kwargs: Kwargs) -> crate::Result<(TaskCall, Surroundings)> {
    TaskCall::of(&TaskMessage::new("id", task, args, kwargs))
}

#[test]
fn recorded_tasks_become_calls_and_come_back() {
    let mut names = Vec::new();
    for (file, _, message) in messages() {
        if !message.headers.contains_key("task") {
            continue;
        }
        let task = TaskMessage::read(&message).unwrap();
        let (call, around) = TaskCall::of(&task).unwrap_or_else(|error| panic!("{file}: {error}"));
        let (name, args, kwargs) = call.arguments(&around).unwrap();
        assert_eq!(name, task.task, "{file}");
        names.push(name.clone());
        if file == "predict_list.0.body.bin" {
            let TaskCall::Model(call) = &call else {
                panic!("{call:?}");
            };
            assert_eq!(call.x, Some(Input::Inline(json!([[1.0], [2.0]]))));
            continue;
        }
        assert_eq!((args, &kwargs), (task.args.clone(), &task.kwargs), "{file}");
        // Made from nothing but the call, the body is the recorded one.
        let mut made = TaskMessage::new(&task.id, &name, task.args.clone(), kwargs);
        made.embed = task.embed.clone();
        assert_eq!(
            made.write(Serializer::Pickle).unwrap().body,
            message.body,
            "{file}"
        );
    }
    names.sort();
    names.dedup();
    assert_eq!(names.len(), 9, "{names:?}");
}

#[test]
fn inline_data_travels_as_python_clients_send_it() {
    let recorded = messages()
        .into_iter()
        .find(|(file, ..)| file == "predict_list.0.body.bin");
    let (_, _, message) = recorded.unwrap();
    let theirs = TaskMessage::read(&message).unwrap();
    let (call, around) = TaskCall::of(&theirs).unwrap();
    let (task, args, kwargs) = call.arguments(&around).unwrap();
    let ours = TaskMessage::new(&theirs.id, &task, args, kwargs)
        .write(Serializer::Pickle)
        .unwrap();
    // All but the 32 random digits of the name.
    let at = message
        .body
        .windows(12)
        .position(|bytes| bytes == b"passthrough/")
        .unwrap()
        + 12;
    let blank = |body: &[u8]| [&body[..at], &body[at + 32..]].concat();
    assert_eq!(blank(&ours.body), blank(&message.body));
}

#[test]
fn every_action_has_a_task() {
    for (name, action) in Action::ALL {
        let model = ModelCall {
            x: Some(Input::Name("X[a,b]".to_owned())),
            y: matches!(
                action,
                Action::Fit
                    | Action::PartialFit
                    | Action::FitTransform
                    | Action::Score
                    | Action::Gridsearch
            )
            .then(|| Input::Name("Y".to_owned())),
            params: match action {
                Action::Gridsearch => vec![("C".to_owned(), json!([1, 2.5]))],
                Action::Fit => vec![("alpha".to_owned(), json!(0.5))],
                _ => Vec::new(),
            },
            result: (!matches!(action, Action::Fit | Action::PartialFit)).then(|| "r".to_owned()),
            ..ModelCall::new("m", *action)
        };
        let around = Surroundings {
            pure_python: true,
            bucket: Some("b".to_owned()),
            experiment: Some(Some("exp".to_owned())),
            logging: Some(Value::from("INFO")),
            auth: Some(Auth {
                user: "u".to_owned(),
                key: "secret".to_owned(),
                qualifier: "q".to_owned(),
            }),
            format: Some("python".to_owned()),
            traceback: true,
        };
        let made = TaskCall::Model(model);
        let (task, args, kwargs) = made.arguments(&around).unwrap();
        assert_eq!(task, format!("omegaml.tasks.omega_{name}"));
        assert_eq!(call(&task, args, kwargs).unwrap(), (made, around));
    }
}

#[test]
fn other_tasks_come_back() {
    let kwargs = Kwargs(vec![("k".to_owned(), Value::Int(1))]);
    for made in [
        TaskCall::Ping {
            args: vec![Value::Int(1)],
            kwargs: kwargs.clone(),
        },
        TaskCall::Settings,
        TaskCall::Preload,
        TaskCall::ExecuteScripts,
        TaskCall::RunJob(JobCall {
            event: Some("2026-11-24T06:00:00".to_owned()),
            timeout: Some(5.0),
            ..JobCall::new("nb")
        }),
        TaskCall::RunJob(JobCall {
            parameters: kwargs.clone(),
            ..JobCall::new("nb")
        }),
        TaskCall::ScheduleJob {
            name: "nb".to_owned(),
            run_at: None,
        },
        TaskCall::RunScript {
            name: "s".to_owned(),
            args: vec![Value::tuple([Value::None])],
            kwargs: kwargs.clone(),
        },
        TaskCall::Callback {
            name: "s".to_owned(),
            state: "SUCCESS".to_owned(),
            results: vec![Value::from(1.5)],
            kwargs: kwargs.clone(),
        },
        TaskCall::Special {
            action: "complete".to_owned(),
            args: vec!["m".into(), "hello".into()],
            kwargs,
        },
    ] {
        let around = Surroundings::default();
        let (task, args, kwargs) = made.arguments(&around).unwrap();
        assert_eq!(call(&task, args, kwargs).unwrap(), (made, around));
    }
}

#[test]
fn wrong_calls_are_refused() {
    let none = Kwargs::default;
    let refusals = [
        call("omegaml.tasks.omega_fit", vec![], none()),
        call(
            "omegaml.tasks.omega_fit",
            vec!["m".into(), true.into()],
            none(),
        ),
        call(
            "omegaml.tasks.omega_ping",
            vec![],
            Kwargs(vec![("__auth".into(), "u".into())]),
        ),
        call(
            "omegaml.tasks.omega_ping",
            vec![],
            Kwargs(vec![("__bucket".into(), 1.5.into())]),
        ),
    ];
    let kinds: Vec<_> = refusals
        .into_iter()
        .map(|refused| refused.unwrap_err().kind())
        .collect();
    assert_eq!(kinds, [ErrorKind::Invalid; 4]);
    // A backend may know them; where none does, they are not registered.
    for name in [
        "omegaml.tasks.nope",
        "omegaml.tasks.omega_nope",
        "os.system",
    ] {
        let (made, _) = call(name, vec!["ls".into()], none()).unwrap();
        let expected = TaskCall::Other {
            task: name.to_owned(),
            args: vec!["ls".into()],
            kwargs: none(),
        };
        assert_eq!(made, expected);
    }
}

#[test]
fn framework_arguments_do_not_reach_models() {
    let kwargs = Kwargs(vec![
        ("__unknown".to_owned(), Value::Int(1)),
        ("alpha".to_owned(), Value::Int(2)),
    ]);
    let (made, _) = call(
        "omegaml.tasks.omega_fit",
        vec!["m".into(), "X".into()],
        kwargs,
    )
    .unwrap();
    let TaskCall::Model(model) = made else {
        panic!("{made:?}");
    };
    assert_eq!(model.params, [("alpha".to_owned(), json!(2))]);
}

#[test]
fn recorded_arrays_are_tables() {
    let (_, _, message) = messages()
        .into_iter()
        .find(|(file, ..)| file == "predict_list.2.body.bin")
        .unwrap();
    let reply = Reply::read(&message).unwrap();
    let frame = to_frame(&reply.result).unwrap().unwrap();
    assert_eq!(frame.shape(), (2, 1));
    // Values that end up in an array again are written as numpy writes them.
    let written = to_value(&Outcome::Table(frame), false).unwrap();
    let array = Array::of(written.as_object().unwrap()).unwrap();
    assert_eq!(array, Array::of(reply.result.as_object().unwrap()).unwrap());
    let mut again = reply.clone();
    again.result = written;
    assert_eq!(again.write(Serializer::Pickle).unwrap().body, message.body);
}

#[test]
fn outcomes_are_what_python_clients_expect() {
    let frame = crate::frame::json::from_rows(&[json!([1.5]), json!([2.5])]).unwrap();
    let list = to_value(&Outcome::Table(frame), true).unwrap();
    assert_eq!(
        list,
        Value::list([Value::list([1.5.into()]), Value::list([2.5.into()])])
    );
    assert_eq!(to_frame(&list).unwrap().unwrap().shape(), (2, 1));
    assert_eq!(
        to_value(&Outcome::Number(0.5), false).unwrap(),
        Value::Float(0.5)
    );
    assert!(to_frame(&Value::from("text")).unwrap().is_none());
}

#[test]
fn metadata_texts_come_back() {
    let text = "<Metadata: Metadata(name=a,b=c),bucket=omegaml,prefix=models/,kind=sklearn.joblib,\
                created=2026-11-23 14:05:40.465000)>";
    let parsed = MetadataText::parse(text).unwrap();
    assert_eq!(
        (parsed.name.as_str(), parsed.kind.as_str()),
        ("a,b=c)", "sklearn.joblib")
    );
    assert_eq!(parsed.to_string(), text);
    let mut metadata = Metadata::new(Key::new("omegaml", "models/", "m"), "om.model");
    metadata.created = bson::DateTime::from_millis(1_795_442_740_465);
    assert_eq!(
        MetadataText::of(&metadata).to_string(),
        "<Metadata: Metadata(name=m,bucket=omegaml,prefix=models/,kind=om.model,\
         created=2026-11-23 14:05:40.465000)>"
    );
    assert!(MetadataText::parse("other").is_none());
}

#[test]
fn strange_replies_are_read_as_text_or_refused() {
    let reply = |pickle: Vec<u8>| {
        let mut message = Reply::success("id", Value::None)
            .write(Serializer::Pickle)
            .unwrap();
        message.body = pickle;
        Reply::read(&message)
    };
    let failed = |result: Value, state: &str| {
        encode(&Value::dict([
            ("status", state.into()),
            ("result", result),
            ("task_id", "id".into()),
        ]))
    };
    let strange = Value::call(
        "my.module",
        "MyError",
        ["a".into(), Value::call("my.module", "Thing", [])],
    );
    let read = reply(failed(strange.clone(), "FAILURE")).unwrap();
    let exception = read.exception().unwrap();
    assert_eq!(
        exception.to_string(),
        "MyError: ('a', '<my.module.Thing object>')"
    );
    // What is written again names no strange class.
    assert!(decode(&read.write(Serializer::Pickle).unwrap().body).is_ok());
    let error = reply(failed(strange, "SUCCESS")).unwrap_err();
    assert!(error.to_string().contains("my.module."), "{error}");
    let system = Value::call("os", "system", ["ls".into()]);
    for state in ["FAILURE", "SUCCESS"] {
        let error = reply(failed(system.clone(), state)).unwrap_err();
        assert_eq!(error.to_string(), "os.system is not allowed in a message");
    }
}
