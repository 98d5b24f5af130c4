//! How a running task learns that it shall stop: it looks from time to time, as all long
//! work does, and finds the reason here.

use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};

/// Why a task shall stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// It has taken longer than its soft limit.
    SoftLimit,
    /// It was called off.
    Revoked,
    /// Its lease was lost: another worker runs it.
    Lost,
    /// The worker is about to end.
    Shutdown,
}

/// The signal of one task.
#[derive(Debug, Default)]
pub struct Stop {
    reason: AtomicU8,
    abandoned: AtomicBool,
}

impl Stop {
    /// Asks the task to stop; the first reason counts.
    pub fn ask(&self, reason: Reason) {
        let code = match reason {
            Reason::SoftLimit => 1,
            Reason::Revoked => 2,
            Reason::Lost => 3,
            Reason::Shutdown => 4,
        };
        let _ = self
            .reason
            .compare_exchange(0, code, Ordering::AcqRel, Ordering::Acquire);
    }

    /// Why it shall stop, if it shall.
    pub fn reason(&self) -> Option<Reason> {
        match self.reason.load(Ordering::Acquire) {
            1 => Some(Reason::SoftLimit),
            2 => Some(Reason::Revoked),
            3 => Some(Reason::Lost),
            4 => Some(Reason::Shutdown),
            _ => None,
        }
    }

    /// Nobody waits for the task any more: its thread ends with it.
    pub fn abandon(&self) {
        self.abandoned.store(true, Ordering::Release);
    }

    /// Whether nobody waits for the task any more.
    pub fn is_abandoned(&self) -> bool {
        self.abandoned.load(Ordering::Acquire)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_reason_counts() {
        let stop = Stop::default();
        assert!(stop.reason().is_none());
        stop.ask(Reason::Revoked);
        stop.ask(Reason::SoftLimit);
        assert_eq!(stop.reason(), Some(Reason::Revoked));
    }
}
