//! Ctrl-C, termination and the time limit: the first asks the work to stop, the second
//! stops the process. Stopping at any instant is safe, since nothing is written by halves.

use super::progress::TerminalProgress;
use crate::progress::Progress;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// How long work may take to notice that its time is up.
const GRACE: Duration = Duration::from_secs(2);

/// Whether a question is open, which Ctrl-C answers by leaving.
static ASKING: AtomicBool = AtomicBool::new(false);

/// Starts to listen. Where that is impossible, Ctrl-C does what it always does.
pub(super) fn listen(progress: &TerminalProgress) {
    let of_signal = progress.clone();
    let _ = ctrlc::set_handler(move || {
        if ASKING.load(Ordering::Relaxed) || of_signal.interrupt() {
            of_signal.clear();
            std::process::exit(130);
        }
        of_signal.note("stopping; press Ctrl-C again to stop at once");
    });
    if let Some(limit) = progress.limit() {
        let of_limit = progress.clone();
        std::thread::spawn(move || {
            std::thread::sleep(limit.saturating_add(GRACE));
            of_limit.clear();
            of_limit.fail_timed_out();
        });
    }
}

/// Runs `question` such that Ctrl-C leaves at once.
pub(super) fn while_asking<T>(question: impl FnOnce() -> T) -> T {
    ASKING.store(true, Ordering::Relaxed);
    let answer = question();
    ASKING.store(false, Ordering::Relaxed);
    answer
}
