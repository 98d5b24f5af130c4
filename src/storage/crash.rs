//! Failure points for crash tests: with `OM_CRASH_AT=n` in the environment the process
//! aborts at the n-th step that a write takes to the disk, or to the server. For tests only; when the
//! variable is unset a point costs one read of a constant.

use crate::config::Environment;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

/// The environment variable that chooses the point, counted from 1 over the process.
pub const VARIABLE: &str = "OM_CRASH_AT";

static PASSED: AtomicU64 = AtomicU64::new(0);

/// Aborts the process if this is the chosen point.
pub(super) fn point() {
    static CHOSEN: OnceLock<Option<u64>> = OnceLock::new();
    let chosen = CHOSEN.get_or_init(|| Environment::capture().get(VARIABLE)?.parse().ok());
    if let Some(chosen) = chosen
        && PASSED.fetch_add(1, Ordering::Relaxed) + 1 == *chosen
    {
        std::process::abort();
    }
}

/// Runs one step between two failure points.
pub(super) fn around<T>(step: impl FnOnce() -> T) -> T {
    point();
    let done = step();
    point();
    done
}
