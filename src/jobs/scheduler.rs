//! Finds the jobs whose time has come. Of any number of schedulers exactly one gets each
//! time of each job: it is claimed in the store, under a lease, so that another goes on
//! where one has died. What it gets has a task id that follows from job and time, so that
//! submitting it twice is submitting it once.

use super::schedule::Schedule;
use super::triggers::{Trigger, TriggerState};
use super::{Jobs, RESULTS};
use crate::error::{ErrorKind, Result};
use crate::runtime::uuid;
use crate::storage::Metadata;
use crate::storage::records::{Alteration, Change, Record, Records, When};
use crate::store::Listing;
use bson::doc;
use chrono::{DateTime, TimeDelta, Utc};
use sha2::{Digest, Sha256};
use std::time::Duration;

/// The space of records in which times are claimed.
const SPACE: &str = "schedules";

const CLAIMED: &str = "CLAIMED";
const FIRED: &str = "FIRED";

/// How long a scheduler may take from a claim to the submission.
const LEASE: TimeDelta = TimeDelta::seconds(30);

/// How long it is remembered that a time was claimed: longer than anybody is away.
const REMEMBERED: TimeDelta = TimeDelta::days(30);

/// What is later than this was missed.
const LATE: TimeDelta = TimeDelta::seconds(60);

/// Times that are caught up with, at the most; the newest.
const MOST: usize = 1000;

/// What becomes of times at which no scheduler was there.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Missed {
    /// They are let go.
    Skip,
    /// The job runs once for all of them.
    #[default]
    Once,
    /// It runs for each of them.
    All,
}

/// A time that has come, and is this scheduler's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Due {
    /// The job.
    pub job: String,
    /// Its trigger.
    pub event: String,
    /// When it was due.
    pub due: DateTime<Utc>,
    /// The id of the task that runs it.
    pub task: String,
}

/// One scheduler of a bucket's jobs.
pub struct Scheduler {
    jobs: Jobs,
    records: Box<dyn Records>,
    missed: Missed,
    owner: String,
    next: Option<DateTime<Utc>>,
}

impl Scheduler {
    /// A scheduler of `jobs`; `owner` is what no other is called.
    pub fn new(jobs: &Jobs, missed: Missed, owner: &str) -> Self {
        Scheduler {
            records: jobs.storage().records(SPACE),
            jobs: jobs.clone(),
            missed,
            owner: owner.to_owned(),
            next: None,
        }
    }

    /// The earliest time that was still to come when it was last looked.
    pub fn next(&self) -> Option<DateTime<Utc>> {
        self.next
    }

    /// Claims the times that have come by `now`. Each is to be submitted and then
    /// [`Scheduler::fired`].
    ///
    /// # Errors
    /// What the store fails with; nothing is lost then.
    pub fn claim(&mut self, now: DateTime<Utc>) -> Result<Vec<Due>> {
        let mut all = self.left_behind(now)?;
        self.next = None;
        let listing = Listing {
            hidden: true,
            ..Listing::default()
        };
        for metadata in self.jobs.list(&listing)? {
            if metadata.name().starts_with(RESULTS) {
                continue;
            }
            let pending = Trigger::all(&metadata)
                .into_iter()
                .find(Trigger::is_pending);
            let Some(due) = pending.and_then(|trigger| trigger.due) else {
                continue;
            };
            if due > now {
                self.next = Some(self.next.map_or(due, |next| next.min(due)));
                continue;
            }
            match self.come(&metadata, due, now) {
                Ok(found) => all.extend(found),
                // One job's trouble is not the others'.
                Err(error) if error.kind() != ErrorKind::Unreachable => {
                    tracing::warn!("{}: {error}", metadata.key);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(all)
    }

    /// The times of one job, the first of which is `due`.
    fn come(
        &mut self,
        metadata: &Metadata,
        due: DateTime<Utc>,
        now: DateTime<Utc>,
    ) -> Result<Vec<Due>> {
        let schedule = Jobs::schedule_of(metadata)?;
        let (times, next) = times(schedule.as_ref(), due, now);
        if let Some(next) = next {
            self.next = Some(self.next.map_or(next, |known| known.min(next)));
        }
        let states = fates(&times, now, self.missed);
        let fired: Vec<DateTime<Utc>> = times
            .iter()
            .zip(&states)
            .filter(|(_, state)| **state == TriggerState::Started)
            .map(|(time, _)| *time)
            .collect();
        let events: Vec<Due> = fired.iter().map(|time| self.due(metadata, *time)).collect();
        // Also who lets all of them go has to be the only one who says so.
        let claims: Vec<Record> = match events.is_empty() {
            true => vec![self.claim_of(&self.due(metadata, due), now, FIRED)],
            false => events
                .iter()
                .map(|event| self.claim_of(event, now, CLAIMED))
                .collect(),
        };
        let taken = self.records.insert(&claims)?;
        let mine: Vec<Due> = events
            .into_iter()
            .filter(|event| !taken.contains(&event.task))
            .collect();
        let all_taken = taken.len() == claims.len();
        if all_taken && !self.is_abandoned(&taken, now)? {
            return Ok(mine);
        }
        let entered: Vec<(DateTime<Utc>, TriggerState)> = times.into_iter().zip(states).collect();
        self.jobs.fired(metadata, &entered, next)?;
        Ok(mine)
    }

    /// Whether who has claimed these died before saying so in the job.
    fn is_abandoned(&self, ids: &[String], now: DateTime<Utc>) -> Result<bool> {
        for id in ids {
            let record = self.records.get(id)?;
            let over = |record: &Record| {
                record.state == FIRED || record.due.is_none_or(|due| due <= now.timestamp_millis())
            };
            if !record.is_none_or(|record| over(&record)) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn due(&self, metadata: &Metadata, due: DateTime<Utc>) -> Due {
        let wall = super::schedule::Zone::Local.wall(due);
        Due {
            job: metadata.name().to_owned(),
            event: wall.format("%Y-%m-%dT%H:%M:%S").to_string(),
            due,
            task: task_id(&format!("{}@{}", metadata.key, due.timestamp_millis())),
        }
    }

    fn claim_of(&self, event: &Due, now: DateTime<Utc>, state: &str) -> Record {
        let mut record = Record::new(&event.task, state);
        record.owner.clone_from(&self.owner);
        record.created = now.timestamp_millis();
        record.due = (state == CLAIMED).then(|| (now + LEASE).timestamp_millis());
        record.expires = Some((now + REMEMBERED).timestamp_millis());
        record.body = doc! {
            "bucket": &self.jobs.key(&event.job).bucket, "job": &event.job, "event": &event.event,
            "due": event.due.timestamp_millis(),
        };
        record
    }

    /// What schedulers have claimed that then died.
    fn left_behind(&self, now: DateTime<Utc>) -> Result<Vec<Due>> {
        let over = When {
            due_by: Some(now.timestamp_millis()),
            ..When::states(&[CLAIMED])
        };
        let bucket = self.jobs.key("").bucket;
        let found = self.records.list(std::slice::from_ref(&over), 10_000)?;
        let found: Vec<Record> = found
            .into_iter()
            .filter(|record| {
                record
                    .body
                    .get_str("bucket")
                    .is_ok_and(|found| found == bucket)
            })
            .collect();
        let ids: Vec<&str> = found.iter().map(|record| record.id.as_str()).collect();
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let change = Change {
            owner: Some(self.owner.clone()),
            due: Some(Some((now + LEASE).timestamp_millis())),
            ..Change::default()
        };
        let mine = self
            .records
            .change(&Alteration::all(&ids, &[over], &change))?;
        Ok(mine
            .iter()
            .filter_map(|record| {
                Some(Due {
                    job: record.body.get_str("job").ok()?.to_owned(),
                    event: record.body.get_str("event").ok()?.to_owned(),
                    due: DateTime::from_timestamp_millis(record.body.get_i64("due").ok()?)?,
                    task: record.id.clone(),
                })
            })
            .collect())
    }

    /// Enters that the task of a claimed time was submitted.
    ///
    /// # Errors
    /// What the store fails with; then another scheduler submits the same task again.
    pub fn fired(&self, due: &Due) -> Result<()> {
        let change = Change {
            state: Some(FIRED.to_owned()),
            due: Some(None),
            ..Change::default()
        };
        let conditions = [When::states(&[CLAIMED])];
        self.records
            .change(&Alteration::all(&[due.task.as_str()], &conditions, &change))?;
        Ok(())
    }

    /// Forgets claims that are old.
    ///
    /// # Errors
    /// What the store fails with.
    pub fn sweep(&self) -> Result<()> {
        self.records.sweep().map(drop)
    }
}

/// The times from `due` to `now`, and the first after that.
fn times(
    schedule: Option<&Schedule>,
    due: DateTime<Utc>,
    now: DateTime<Utc>,
) -> (Vec<DateTime<Utc>>, Option<DateTime<Utc>>) {
    let Some(schedule) = schedule else {
        return (vec![due], None);
    };
    let mut times = std::collections::VecDeque::from([due]);
    for time in schedule.times(due) {
        if time > now {
            return (times.into(), Some(time));
        }
        if times.len() == MOST {
            times.pop_front();
        }
        times.push_back(time);
    }
    (times.into(), None)
}

/// Which of the times are run for, and which were missed.
fn fates(times: &[DateTime<Utc>], now: DateTime<Utc>, missed: Missed) -> Vec<TriggerState> {
    let last = times.len().saturating_sub(1);
    let fate = |(place, time): (usize, &DateTime<Utc>)| {
        let late = now - *time > LATE;
        match missed {
            Missed::All => TriggerState::Started,
            _ if !late => TriggerState::Started,
            Missed::Once if place == last => TriggerState::Started,
            _ => TriggerState::Missed,
        }
    };
    times.iter().enumerate().map(fate).collect()
}

/// A task id that follows from a text: a UUID of version 8.
fn task_id(text: &str) -> String {
    let digest = Sha256::digest(text.as_bytes());
    let mut bytes = [0u8; 16];
    for (byte, found) in bytes.iter_mut().zip(digest) {
        *byte = found;
    }
    uuid(u128::from_be_bytes(bytes), 8)
}

/// How long a scheduler may sleep at `now`: to the next time, but not longer than others
/// may take to notice a new schedule.
pub fn pause(next: Option<DateTime<Utc>>, now: DateTime<Utc>, most: Duration) -> Duration {
    let until = next.map(|next| (next - now).to_std().unwrap_or(Duration::ZERO));
    until.map_or(most, |until| until.min(most))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::Omega;
    use crate::jobs::Notebook;
    use crate::jobs::schedule::Zone;
    use crate::store::PutOptions;
    use rand::Rng;
    use rand::SeedableRng;
    use std::collections::BTreeMap;

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    fn scheduled(om: &Omega, name: &str, cron: &str, after: DateTime<Utc>) {
        om.jobs
            .put_notebook(
                name,
                &Notebook::of_source("1", None),
                &PutOptions::default(),
            )
            .unwrap();
        let schedule = Schedule::crontab(cron, Zone::Named(chrono_tz::UTC)).unwrap();
        om.jobs.schedule(name, &schedule, after).unwrap();
    }

    #[test]
    fn missed_times_follow_the_policy() {
        let home = tempfile::tempdir().unwrap();
        let om = Omega::embedded(home.path()).unwrap();
        let start = at("2026-01-01T00:00:30Z");
        for (missed, expected) in [
            (Missed::Skip, vec![]),
            (Missed::Once, vec!["2026-01-01T05:00:00Z"]),
            (
                Missed::All,
                vec![
                    "2026-01-01T01:00:00Z",
                    "2026-01-01T02:00:00Z",
                    "2026-01-01T03:00:00Z",
                    "2026-01-01T04:00:00Z",
                    "2026-01-01T05:00:00Z",
                ],
            ),
        ] {
            let name = format!("{missed:?}");
            scheduled(&om, &name, "0 * * * *", start);
            let mut scheduler = Scheduler::new(&om.jobs, missed, "one");
            assert_eq!(scheduler.claim(start).unwrap(), []);
            assert_eq!(scheduler.next(), Some(at("2026-01-01T01:00:00Z")));
            let found = scheduler.claim(at("2026-01-01T05:30:00Z")).unwrap();
            let found: Vec<DateTime<Utc>> = found.iter().map(|due| due.due).collect();
            let expected: Vec<DateTime<Utc>> = expected.into_iter().map(at).collect();
            assert_eq!(found, expected, "{missed:?}");
            assert_eq!(scheduler.claim(at("2026-01-01T05:30:01Z")).unwrap(), []);
            assert_eq!(scheduler.next(), Some(at("2026-01-01T06:00:00Z")));
            let states: Vec<String> = Trigger::all(&om.jobs.metadata(&name).unwrap())
                .into_iter()
                .map(|trigger| trigger.status)
                .collect();
            assert_eq!(
                states.iter().filter(|state| *state == "PENDING").count(),
                1,
                "{states:?}"
            );
            om.jobs.drop(&name).unwrap();
        }
    }

    /// Two schedulers that are killed at any moment: every time is run for once.
    #[test]
    fn each_of_a_thousand_times_fires_once() {
        let home = tempfile::tempdir().unwrap();
        let om = Omega::embedded(home.path()).unwrap();
        let start = at("2026-03-01T00:00:00Z");
        scheduled(&om, "job", "* * * * *", start);
        let mut dice = rand::rngs::SmallRng::seed_from_u64(5);
        let mut schedulers: Vec<Scheduler> = (0..2)
            .map(|number| Scheduler::new(&om.jobs, Missed::All, &format!("s{number}")))
            .collect();
        // By task id, as the book of tasks has it.
        let mut submitted: BTreeMap<String, (DateTime<Utc>, u32)> = BTreeMap::new();
        let mut repeated = 0;
        for second in (0..=1000 * 60 + 120).step_by(20) {
            let now = start + TimeDelta::seconds(second);
            for (number, scheduler) in schedulers.iter_mut().enumerate() {
                for due in scheduler.claim(now).unwrap() {
                    // Killed before it submits, or after that and before it says so.
                    if dice.gen_bool(0.2) {
                        *scheduler =
                            Scheduler::new(&om.jobs, Missed::All, &format!("s{number}-{second}"));
                        break;
                    }
                    let entry = submitted.entry(due.task.clone()).or_insert((due.due, 0));
                    entry.1 += 1;
                    repeated += u32::from(entry.1 > 1);
                    if dice.gen_bool(0.2) {
                        *scheduler =
                            Scheduler::new(&om.jobs, Missed::All, &format!("s{number}-{second}+"));
                        break;
                    }
                    scheduler.fired(&due).unwrap();
                }
            }
        }
        let times: Vec<DateTime<Utc>> = {
            let mut times: Vec<_> = submitted.values().map(|(due, _)| *due).collect();
            times.sort();
            times
        };
        let expected: Vec<DateTime<Utc>> = (1..=1000)
            .map(|minute| start + TimeDelta::minutes(minute))
            .collect();
        assert_eq!(times.get(..1000).unwrap_or(&times), expected);
        assert!(
            repeated > 0,
            "the test has not killed anybody at the worst moment"
        );
    }

    #[test]
    fn ids_follow_from_the_time() {
        assert_eq!(task_id("a"), task_id("a"));
        assert_ne!(task_id("a"), task_id("b"));
        assert_eq!(task_id("a").len(), 36);
    }
}
