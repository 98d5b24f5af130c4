//! Small documents under ids of their own, beside the objects: what is going on rather
//! than what is stored, such as tasks, leases and schedules. A record has a state and an
//! owner; it is changed on condition that these are still as expected, in one step, so
//! that of many processes exactly one takes it.
//!
//! Unlike objects, records may lose their last moments in a power cut, never in a crash of
//! a process: they are changed thousands of times a second.

use crate::error::Result;
use bson::{Bson, Document};

/// A record. Times are milliseconds since 1970 in UTC.
#[derive(Debug, Clone, PartialEq)]
pub struct Record {
    /// What it is called; unique within its space.
    pub id: String,
    /// A word of the caller's, e.g. `STARTED`.
    pub state: String,
    /// Who works on it; empty when nobody does.
    pub owner: String,
    /// When something is due: the end of a lease, the next run.
    pub due: Option<i64>,
    /// When it was made.
    pub created: i64,
    /// When it may be removed; never if none.
    pub expires: Option<i64>,
    /// Everything else.
    pub body: Document,
}

impl Record {
    /// A record that nobody owns, made now.
    pub fn new(id: &str, state: &str) -> Self {
        Record {
            id: id.to_owned(),
            state: state.to_owned(),
            owner: String::new(),
            due: None,
            created: now(),
            expires: None,
            body: Document::new(),
        }
    }
}

/// What must be so for a record to be changed or listed; everything that is given.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct When {
    /// The state is one of these.
    pub states: Vec<String>,
    /// The owner is this one.
    pub owner: Option<String>,
    /// There is a due time, and it is not later than this.
    pub due_by: Option<i64>,
}

impl When {
    /// Records in one of these states.
    pub fn states(states: &[&str]) -> Self {
        When {
            states: states.iter().map(|state| (*state).to_owned()).collect(),
            ..When::default()
        }
    }

    /// Whether it holds of a record.
    pub fn holds(&self, record: &Record) -> bool {
        (self.states.is_empty() || self.states.contains(&record.state))
            && self
                .owner
                .as_ref()
                .is_none_or(|owner| *owner == record.owner)
            && self
                .due_by
                .is_none_or(|by| record.due.is_some_and(|due| due <= by))
    }
}

/// What becomes of a record; what is not given stays.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Change {
    /// The new state.
    pub state: Option<String>,
    /// The new owner.
    pub owner: Option<String>,
    /// The new due time, or that there is none.
    pub due: Option<Option<i64>>,
    /// The new time of removal, or that there is none.
    pub expires: Option<Option<i64>>,
    /// Fields of the body to set; names without dots.
    pub set: Vec<(String, Bson)>,
    /// Whole numbers of the body to add to; a field that is missing counts from 0.
    pub add: Vec<(String, i64)>,
}

impl Change {
    /// The record as it is after the change.
    pub fn apply(&self, record: &mut Record) {
        if let Some(state) = &self.state {
            record.state.clone_from(state);
        }
        if let Some(owner) = &self.owner {
            record.owner.clone_from(owner);
        }
        if let Some(due) = self.due {
            record.due = due;
        }
        if let Some(expires) = self.expires {
            record.expires = expires;
        }
        for (name, value) in &self.set {
            record.body.insert(name, value.clone());
        }
        for (name, amount) in &self.add {
            let before = match record.body.get(name) {
                Some(Bson::Int64(number)) => *number,
                Some(Bson::Int32(number)) => i64::from(*number),
                _ => 0,
            };
            record.body.insert(name, before.saturating_add(*amount));
        }
    }
}

/// A change of one record.
#[derive(Debug, Clone, PartialEq)]
pub struct Alteration {
    /// The record.
    pub id: String,
    /// One of these must hold, if there are any.
    pub conditions: Vec<When>,
    /// What becomes of it.
    pub change: Change,
}

impl Alteration {
    /// The same change of many records.
    pub fn all(ids: &[&str], conditions: &[When], change: &Change) -> Vec<Self> {
        let one = |id: &&str| Alteration {
            id: (*id).to_owned(),
            conditions: conditions.to_vec(),
            change: change.clone(),
        };
        ids.iter().map(one).collect()
    }
}

/// The records of one space, e.g. `tasks`.
pub trait Records: Send + Sync {
    /// Adds records; answers the ids of those that were there already and stay as they are.
    fn insert(&self, records: &[Record]) -> Result<Vec<String>>;

    /// The record of this id.
    fn get(&self, id: &str) -> Result<Option<Record>>;

    /// Changes records, each in one step if one of its conditions holds; answers those that
    /// were changed, as they are now, in any order. No id may come twice.
    fn change(&self, changes: &[Alteration]) -> Result<Vec<Record>>;

    /// Records of which one of the conditions holds (without conditions all), newest
    /// first, at most `limit`.
    fn list(&self, conditions: &[When], limit: u64) -> Result<Vec<Record>>;

    /// Removes records; how many there were.
    fn remove(&self, ids: &[&str]) -> Result<u64>;

    /// Removes what has expired; how many. A storage may do so of its own accord.
    fn sweep(&self) -> Result<u64>;
}

/// The time, in milliseconds since 1970 in UTC.
pub fn now() -> i64 {
    chrono::Utc::now().timestamp_millis()
}
