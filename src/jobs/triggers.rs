//! The triggers of a job: when it is to run, and what became of that (spec/runtime.md §9).
//! Beside omega|ml's fields ours have `due`, the instant itself: `run-at` is what a clock of
//! the machine shows then.

use super::schedule::{Schedule, Zone};
use super::{Jobs, document, wall_date};
use crate::error::{Error, ErrorKind, Result};
use crate::storage::{Metadata, Update};
use bson::{Bson, Document, doc};
use chrono::{DateTime, NaiveDateTime, Utc};

/// One trigger.
#[derive(Debug, Clone, PartialEq)]
pub struct Trigger {
    /// What it is called: the time on the clock of its schedule's machine.
    pub event: String,
    /// `scheduled`.
    pub kind: String,
    /// When.
    pub due: Option<DateTime<Utc>>,
    /// How far it is.
    pub status: String,
    /// When it ran.
    pub ran: Option<NaiveDateTime>,
}

/// The states of triggers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TriggerState {
    /// It waits.
    Pending,
    /// Its run goes on.
    Started,
    /// Its run went well.
    Ok,
    /// Its run failed.
    Error,
    /// Nobody was there to run it.
    Missed,
    /// It was called off.
    Cancelled,
}

impl TriggerState {
    /// As it stands in the metadata.
    pub fn word(self) -> &'static str {
        match self {
            TriggerState::Pending => "PENDING",
            TriggerState::Started => "STARTED",
            TriggerState::Ok => "OK",
            TriggerState::Error => "ERROR",
            TriggerState::Missed => "MISSED",
            TriggerState::Cancelled => "CANCELLED",
        }
    }
}

/// Triggers that have ended and are kept, the newest.
const KEPT: usize = 100;

impl Trigger {
    fn read(document: &Document) -> Self {
        let text = |field: &str| document.get_str(field).unwrap_or_default().to_owned();
        let wall = |field: &str| {
            let date = document.get_datetime(field).ok()?;
            DateTime::from_timestamp_millis(date.timestamp_millis()).map(|date| date.naive_utc())
        };
        let due = match wall("due") {
            Some(instant) => Some(instant.and_utc()),
            None => wall("run-at").map(|wall| Zone::Local.instant(wall)),
        };
        Trigger {
            event: text("event"),
            kind: text("event-kind"),
            due,
            status: text("status"),
            ran: wall("ts"),
        }
    }

    /// Whether it waits for its time.
    pub fn is_pending(&self) -> bool {
        self.status == "PENDING" && self.kind == "scheduled"
    }

    /// The triggers of a job.
    pub fn all(metadata: &Metadata) -> Vec<Trigger> {
        documents(metadata).map(Trigger::read).collect()
    }
}

fn documents(metadata: &Metadata) -> impl Iterator<Item = &Document> {
    let triggers = metadata.attributes.get_array("triggers").ok();
    triggers.into_iter().flatten().filter_map(Bson::as_document)
}

fn pending(due: DateTime<Utc>) -> Document {
    let wall = Zone::Local.wall(due);
    doc! {
        "event-kind": "scheduled",
        "event": wall.format("%Y-%m-%dT%H:%M:%S").to_string(),
        "run-at": wall_date(wall),
        "status": TriggerState::Pending.word(),
        "due": bson::DateTime::from_millis(due.timestamp_millis()),
    }
}

impl Jobs {
    /// The schedule of a job, if it has one.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] when what is stored is none.
    pub fn schedule_of(metadata: &Metadata) -> Result<Option<Schedule>> {
        let config = document(&metadata.attributes, "config");
        let Some(text) = config
            .get_str("run-at")
            .ok()
            .filter(|text| !text.is_empty())
        else {
            return Ok(None);
        };
        let stored = Zone::parse(config.get_str("timezone").ok())
            .and_then(|zone| Schedule::parse(text, zone))
            .map_err(|error| {
                Error::invalid("the stored schedule cannot be read")
                    .because(error)
                    .on(metadata.key.to_string())
            })?;
        Ok(Some(stored.0))
    }

    /// Schedules a job; it is first due after `after`. What waited for its time no longer
    /// does.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`]; [`ErrorKind::Usage`] for times that never come.
    pub fn schedule(
        &self,
        name: &str,
        schedule: &Schedule,
        after: DateTime<Utc>,
    ) -> Result<Metadata> {
        let metadata = self.metadata(name)?;
        let Some(due) = schedule.next(after) else {
            return Err(Error::usage(format!("`{}` never comes", schedule.text()))
                .on(metadata.key.to_string()));
        };
        let mut triggers: Vec<Bson> = documents(&metadata)
            .filter(|trigger| !Trigger::read(trigger).is_pending())
            .map(|trigger| Bson::Document(trigger.clone()))
            .collect();
        triggers.push(Bson::Document(pending(due)));
        let mut update = self.with_triggers(triggers);
        update.set.push((
            "attributes.config.run-at".to_owned(),
            schedule.text().into(),
        ));
        match schedule.zone().name() {
            Some(zone) => update
                .set
                .push(("attributes.config.timezone".to_owned(), zone.into())),
            None => update.unset.push("attributes.config.timezone".to_owned()),
        }
        self.update(&metadata.key.name, &update)
    }

    fn with_triggers(&self, mut triggers: Vec<Bson>) -> Update {
        let over = triggers.len().saturating_sub(KEPT);
        triggers.drain(..over);
        Update {
            set: vec![("attributes.triggers".to_owned(), Bson::Array(triggers))],
            ..Update::default()
        }
    }

    /// Ends the schedule of a job.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`].
    pub fn unschedule(&self, name: &str) -> Result<Metadata> {
        let metadata = self.metadata(name)?;
        let triggers = documents(&metadata).map(|trigger| {
            let mut trigger = trigger.clone();
            if Trigger::read(&trigger).is_pending() {
                trigger.insert("status", TriggerState::Cancelled.word());
            }
            Bson::Document(trigger)
        });
        let mut update = self.with_triggers(triggers.collect());
        for field in ["run-at", "schedule", "cron", "timezone"] {
            update.unset.push(format!("attributes.config.{field}"));
        }
        self.update(&metadata.key.name, &update)
    }

    /// Enters that times have come, with what becomes of each, and which is next.
    pub(super) fn fired(
        &self,
        metadata: &Metadata,
        events: &[(DateTime<Utc>, TriggerState)],
        next: Option<DateTime<Utc>>,
    ) -> Result<Metadata> {
        let mut triggers: Vec<Bson> = documents(metadata)
            .filter(|trigger| !Trigger::read(trigger).is_pending())
            .map(|trigger| Bson::Document(trigger.clone()))
            .collect();
        for (due, state) in events {
            let mut trigger = pending(*due);
            trigger.insert("status", state.word());
            triggers.push(Bson::Document(trigger));
        }
        triggers.extend(next.map(|due| Bson::Document(pending(due))));
        let update = self.with_triggers(triggers);
        self.update(&metadata.key.name, &update)
    }

    /// Enters how the run of a trigger ended; that it is gone is no matter.
    pub(super) fn ended_trigger(
        &self,
        name: &str,
        event: &str,
        well: bool,
        began: NaiveDateTime,
    ) -> Result<()> {
        let metadata = match self.metadata(name) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            found => found?,
        };
        let state = if well {
            TriggerState::Ok
        } else {
            TriggerState::Error
        };
        let mut open = false;
        let triggers = documents(&metadata).map(|trigger| {
            let mut trigger = trigger.clone();
            let waits =
                ["PENDING", "STARTED"].contains(&trigger.get_str("status").unwrap_or_default());
            if waits && trigger.get_str("event").is_ok_and(|found| found == event) {
                open = true;
                trigger.insert("status", state.word());
                trigger.insert("ts", wall_date(began));
            }
            Bson::Document(trigger)
        });
        let update = self.with_triggers(triggers.collect());
        match open {
            true => self.update(name, &update).map(drop),
            false => Ok(()),
        }
    }
}
