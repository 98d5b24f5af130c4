//! What is sent to read rows, for people: the command that a reading amounts to.

use super::reader::Reading;
use crate::storage::projection::ROW_ID;
use bson::{Bson, Document, doc};

/// The `find` or `aggregate` that a reading begins with.
pub(super) fn command(reading: &Reading) -> Document {
    let count = |rows: u64| Bson::Int64(i64::try_from(rows).unwrap_or(i64::MAX));
    if let Some(stages) = &reading.stages {
        let mut pipeline = Vec::with_capacity(stages.len() + 1);
        if !reading.filter.is_empty() {
            pipeline.push(doc! { "$match": reading.filter.clone() });
        }
        pipeline.extend(stages.iter().cloned());
        return doc! { "aggregate": &reading.collection, "pipeline": pipeline };
    }
    let mut command = doc! {
        "find": &reading.collection,
        "filter": reading.filter.clone(),
    };
    if let Some(projection) = reading.projection() {
        command.insert("projection", projection);
    }
    if !reading.natural {
        command.insert("sort", reading.sort.clone().unwrap_or(doc! { ROW_ID: 1 }));
    }
    if reading.skip > 0 {
        command.insert("skip", count(reading.skip));
    }
    if let Some(limit) = reading.limit {
        command.insert("limit", count(limit));
    }
    command
}
