//! What a consumer's users and its background work share: a state behind a lock, and
//! waiting for it to change.

use super::{Delivery, death};
use crate::error::Result;
use crate::progress::Progress;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How often one who waits looks whether the user wants to stop.
const CHECK: Duration = Duration::from_millis(50);

/// A state that can be waited for, unless the user wants to stop.
pub(super) struct Watched<T> {
    state: Mutex<T>,
    changed: Condvar,
    progress: Arc<dyn Progress>,
}

impl<T> Watched<T> {
    pub fn new(state: T, progress: Arc<dyn Progress>) -> Self {
        Watched {
            state: Mutex::new(state),
            changed: Condvar::new(),
            progress,
        }
    }

    pub fn lock(&self) -> MutexGuard<'_, T> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells those who wait.
    pub fn notify(&self) {
        self.changed.notify_all();
    }

    /// Waits for a change until `deadline`; none for ever. Whether there is time left.
    pub fn wait<'a>(
        &self,
        state: MutexGuard<'a, T>,
        deadline: Option<Instant>,
    ) -> Result<(MutexGuard<'a, T>, bool)> {
        self.progress.check()?;
        let left = deadline.map_or(CHECK, |deadline| {
            deadline.saturating_duration_since(Instant::now())
        });
        if left.is_zero() {
            return Ok((state, false));
        }
        let (state, _) = self
            .changed
            .wait_timeout(state, left.min(CHECK))
            .unwrap_or_else(PoisonError::into_inner);
        Ok((state, true))
    }

    /// The next delivery that `take` finds in the state within `timeout`. What was handed out
    /// `most` times before is given up by `reject`.
    pub fn next_delivery(
        &self,
        timeout: Duration,
        most: Option<u32>,
        take: impl Fn(&mut T) -> Result<Option<Delivery>>,
        reject: impl Fn(Delivery, &str) -> Result<bool>,
    ) -> Result<Option<Delivery>> {
        let deadline = Instant::now().checked_add(timeout);
        let mut state = self.lock();
        loop {
            if let Some(delivery) = take(&mut state)? {
                let before = delivery.deliveries.saturating_sub(1);
                if most.is_none_or(|most| before < most) {
                    return Ok(Some(delivery));
                }
                drop(state);
                reject(delivery, &death::too_often(before))?;
                state = self.lock();
                continue;
            }
            let left;
            (state, left) = self.wait(state, deadline)?;
            if !left {
                return Ok(None);
            }
        }
    }
}
