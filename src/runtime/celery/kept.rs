//! Results as Celery's MongoDB backend keeps them (spec/runtime.md §4): a document a task,
//! which any process may read, any number of times.

use super::exception::Exception;
use super::json;
use super::pickle::Value;
use super::reply::{Reply, State};
use super::serial::Serializer;
use crate::error::{Error, Result};
use bson::spec::BinarySubtype;
use bson::{Binary, Bson, DateTime, Document, doc};
use chrono::Utc;

/// The document of a task that has ended.
///
/// # Errors
/// [`crate::ErrorKind::Invalid`] for a result that JSON cannot hold.
pub fn document(reply: &Reply, by: Serializer) -> Result<Document> {
    let result = match (by, reply.exception()) {
        (Serializer::Json, Some(exception)) => exception.to_json(),
        _ => reply.result.clone(),
    };
    let bytes = by
        .write(&result)
        .map_err(|error| error.on(reply.task_id.as_str()))?;
    let result = match by {
        Serializer::Pickle => Bson::Binary(Binary {
            subtype: BinarySubtype::Generic,
            bytes,
        }),
        Serializer::Json => String::from_utf8_lossy(&bytes).into_owned().into(),
    };
    let children: Vec<Bson> = reply
        .children
        .iter()
        .filter_map(|child| json::plain(child).ok())
        .map(crate::store::value_to_bson)
        .collect();
    let mut document = doc! {
        "_id": &reply.task_id,
        "status": reply.state.name(),
        "result": result,
        "traceback": reply.traceback.clone(),
        "children": children,
        "date_done": DateTime::from_millis(Utc::now().timestamp_millis()),
    };
    if let Some(group) = &reply.group_id {
        document.insert("group_id", group);
    }
    if let Some(parent) = &reply.parent_id {
        document.insert("parent_id", parent);
    }
    Ok(document)
}

/// What a document says of its task.
///
/// # Errors
/// [`crate::ErrorKind::Invalid`] when it is none of Celery's, or its result is not plain.
pub fn read(document: &Document) -> Result<Reply> {
    let malformed = || Error::invalid("a kept result is malformed");
    let text = |field: &str| document.get_str(field).ok().map(str::to_owned);
    let id = text("_id").ok_or_else(malformed)?;
    let state = State::parse(&text("status").ok_or_else(malformed)?);
    let result = match document.get("result") {
        Some(Bson::Binary(pickle)) => Serializer::Pickle.read(&pickle.bytes)?,
        Some(Bson::String(json)) => Serializer::Json.read(json.as_bytes())?,
        _ => Value::None,
    };
    let result = match (&result, state.is_exceptional()) {
        (Value::Dict(_), true) => {
            Exception::from_json(&result).map_or(result, |exception| exception.to_value())
        }
        _ => result,
    };
    Ok(Reply {
        traceback: text("traceback"),
        group_id: text("group_id"),
        parent_id: text("parent_id"),
        ..Reply::of(&id, state, result)
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn results_come_back() {
        let mut answered = Reply::success("a", Value::list([1.into(), "x".into()]));
        answered.group_id = Some("g".to_owned());
        answered.add_child("b");
        let exception = Exception::new("builtins", "ValueError", "no");
        let failed = Reply::failure("c", &exception, "trace");
        for by in [Serializer::Pickle, Serializer::Json] {
            for reply in [&answered, &failed] {
                let kept = document(reply, by).unwrap();
                let back = read(&kept).unwrap();
                assert_eq!(back.result, reply.result, "{by:?}");
                assert_eq!(back.exception(), reply.exception());
                assert_eq!(
                    (&back.state, &back.traceback, &back.group_id),
                    (&reply.state, &reply.traceback, &reply.group_id)
                );
            }
        }
        let names: Vec<String> = document(&answered, Serializer::Pickle)
            .unwrap()
            .keys()
            .cloned()
            .collect();
        assert_eq!(
            names,
            [
                "_id",
                "status",
                "result",
                "traceback",
                "children",
                "date_done",
                "group_id"
            ]
        );
        assert!(read(&doc! { "_id": "a" }).is_err());
        let bad = doc! { "_id": "a", "status": "SUCCESS", "result": Binary { subtype: BinarySubtype::Generic, bytes: vec![1, 2] } };
        assert!(read(&bad).is_err());
    }
}
