//! Records (`crate::storage::records`) as documents.

use super::{array, number, pairs, required, sub, text, texts, update, update_of};
use crate::error::Result;
use crate::storage::Update;
use crate::storage::records::{Alteration, Change, Record, When};
use bson::{Bson, Document, doc};

/// A record.
pub fn record(record: &Record) -> Document {
    let mut sent = doc! {
        "id": &record.id, "state": &record.state, "owner": &record.owner,
        "created": record.created, "body": &record.body,
    };
    for (field, time) in [("due", record.due), ("expires", record.expires)] {
        if let Some(time) = time {
            sent.insert(field, time);
        }
    }
    sent
}

/// A record as it was sent.
///
/// # Errors
/// [`ErrorKind::Invalid`].
pub fn record_of(sent: &Document) -> Result<Record> {
    Ok(Record {
        id: text(sent, "id")?,
        state: text(sent, "state")?,
        owner: text(sent, "owner")?,
        due: number(sent, "due"),
        created: required(number(sent, "created"), "created")?,
        expires: number(sent, "expires"),
        body: sub(sent, "body")?,
    })
}

/// Records under one field.
pub fn records(all: &[Record]) -> Document {
    let all: Vec<Bson> = all.iter().map(|one| record(one).into()).collect();
    doc! { "records": all }
}

/// Records as they were sent.
///
/// # Errors
/// [`ErrorKind::Invalid`].
pub fn records_of(sent: &Document) -> Result<Vec<Record>> {
    array(sent, "records")?.iter().map(record_of).collect()
}

/// Conditions on records.
pub fn conditions(all: &[When]) -> Vec<Bson> {
    let one = |when: &When| {
        let mut sent = doc! { "states": &when.states };
        if let Some(owner) = &when.owner {
            sent.insert("owner", owner);
        }
        if let Some(by) = when.due_by {
            sent.insert("due_by", by);
        }
        sent.into()
    };
    all.iter().map(one).collect()
}

/// Conditions as they were sent.
///
/// # Errors
/// [`ErrorKind::Invalid`].
pub fn conditions_of(sent: &Document) -> Result<Vec<When>> {
    let one = |sent: &Document| {
        Ok(When {
            states: texts(sent, "states")?,
            owner: text(sent, "owner").ok(),
            due_by: number(sent, "due_by"),
        })
    };
    array(sent, "conditions")?.iter().map(one).collect()
}

/// Changes of records.
pub fn alterations(all: &[Alteration]) -> Document {
    let one = |alteration: &Alteration| -> Bson {
        let change = &alteration.change;
        let mut sent = doc! {
            "id": &alteration.id,
            "conditions": conditions(&alteration.conditions),
            "set": update(&Update { set: change.set.clone(), ..Update::default() }),
        };
        let added = change.add.iter();
        let added: Vec<Bson> = added
            .map(|(path, amount)| doc! { "path": path, "value": amount }.into())
            .collect();
        sent.insert("add", added);
        for (field, value) in [("state", &change.state), ("owner", &change.owner)] {
            if let Some(value) = value {
                sent.insert(field, value);
            }
        }
        for (field, value) in [("due", change.due), ("expires", change.expires)] {
            if let Some(value) = value {
                sent.insert(field, value.map_or(Bson::Null, Bson::Int64));
            }
        }
        sent.into()
    };
    let all: Vec<Bson> = all.iter().map(one).collect();
    doc! { "changes": all }
}

/// Changes of records as they were sent.
///
/// # Errors
/// [`ErrorKind::Invalid`].
pub fn alterations_of(sent: &Document) -> Result<Vec<Alteration>> {
    let time = |sent: &Document, field: &str| sent.contains_key(field).then(|| number(sent, field));
    let one = |sent: &Document| {
        let added = pairs(sent, "add")?.into_iter();
        let added = added.map(|(path, amount)| Ok((path, required(amount.as_i64(), "value")?)));
        Ok(Alteration {
            id: text(sent, "id")?,
            conditions: conditions_of(sent)?,
            change: Change {
                state: text(sent, "state").ok(),
                owner: text(sent, "owner").ok(),
                due: time(sent, "due"),
                expires: time(sent, "expires"),
                set: update_of(&sub(sent, "set")?)?.set,
                add: added.collect::<Result<_>>()?,
            },
        })
    };
    array(sent, "changes")?.iter().map(one).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sent_is_what_is_read() {
        let altered = Alteration {
            id: "1".to_owned(),
            conditions: vec![When {
                due_by: Some(7),
                ..When::states(&["A"])
            }],
            change: Change {
                due: Some(None),
                expires: Some(Some(9)),
                add: vec![("n".to_owned(), -2)],
                set: vec![("x".to_owned(), Bson::Null)],
                ..Change::default()
            },
        };
        let sent = alterations(std::slice::from_ref(&altered));
        assert_eq!(alterations_of(&sent).unwrap(), [altered]);
    }
}
