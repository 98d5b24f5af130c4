//! Watches over the tasks that run: renews their leases, says that they have been started,
//! and enforces their time limits.

use super::Shared;
use super::ending::{self, Ended};
use super::execute::Failure;
use super::held::Held;
use super::stop::Reason;
use crate::runtime::celery::exception::Exception;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How often it looks.
const TICK: Duration = Duration::from_millis(50);

/// How often records of tasks that ended long ago are removed.
const SWEEP: Duration = Duration::from_secs(3600);

/// How long results are kept for those who share them: omega|ml's `CELERY_RESULT_EXPIRES`.
const KEPT: Duration = Duration::from_secs(3600);

/// Watches until the worker has ended.
pub(super) fn run(shared: &Shared) {
    let mut renewed = Instant::now();
    let mut swept = None;
    while !shared.has_ended() {
        std::thread::sleep(TICK);
        let all = shared.holding.all();
        announce(shared, &all);
        for held in &all {
            enforce(shared, held);
        }
        if renewed.elapsed() >= shared.options.lease / 3 {
            renewed = Instant::now();
            renew(shared, &all);
        }
        if swept.is_none_or(|swept: Instant| swept.elapsed() >= SWEEP) {
            swept = Some(Instant::now());
            if let Err(error) = shared.tasks.sweep() {
                tracing::warn!("the records of old tasks cannot be removed: {error}");
            }
            if let Some(results) = &shared.results
                && let Err(error) = results.sweep(KEPT)
            {
                tracing::warn!("old results cannot be removed: {error}");
            }
        }
    }
}

/// Says of tasks that have run for a while that they do; of others it is said when they end.
fn announce(shared: &Shared, all: &[Arc<Held>]) {
    let letters: Vec<_> = all
        .iter()
        .filter(|held| {
            held.started()
                .is_some_and(|start| start.at.elapsed() >= TICK)
        })
        .flat_map(|held| ending::announcement(shared, held))
        .collect();
    if !letters.is_empty()
        && let Err(error) = shared.broker.publish_all(&letters)
    {
        tracing::debug!("clients cannot be told that their tasks run: {error}");
    }
}

fn enforce(shared: &Shared, held: &Arc<Held>) {
    let Some(start) = held.started() else {
        return;
    };
    let elapsed = start.at.elapsed();
    if held.soft_limit.is_some_and(|limit| elapsed >= limit) {
        held.stop.ask(Reason::SoftLimit);
    }
    if let Some(limit) = held.hard_limit.filter(|limit| elapsed >= *limit)
        && !held.stop.is_abandoned()
    {
        tracing::warn!(
            "task {} is given up: it has not ended in {limit:?}",
            held.message.id
        );
        held.stop.abandon();
        shared.replace_thread();
        let failure = Failure::exception(Exception::time_limit(limit.as_secs_f64()));
        shared.end(Ended {
            held: held.clone(),
            outcome: Err(failure),
        });
    }
}

fn renew(shared: &Shared, all: &[Arc<Held>]) {
    let all: Vec<&Arc<Held>> = all.iter().filter(|held| held.claimed).collect();
    let ids: Vec<&str> = all.iter().map(|held| held.message.id.as_str()).collect();
    if ids.is_empty() {
        return;
    }
    match shared
        .tasks
        .renew(&ids, &shared.claimant, shared.options.lease)
    {
        Ok(ours) => {
            for held in all {
                // It may have ended since.
                let lost = !ours.contains(&held.message.id)
                    && shared.holding.get(&held.message.id).is_some();
                if lost {
                    held.stop.ask(Reason::Lost);
                }
            }
        }
        Err(error) => tracing::warn!("leases cannot be renewed: {error}"),
    }
}
