//! Progress on the terminal: bars on stderr, with rate and remaining time; off a terminal
//! a line every ten seconds. Nothing when quiet.

use super::errors;
use super::output::Output;
use crate::error::{Error, ErrorKind, Result};
use crate::progress::{Meter, Progress, Silent, Unit};
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Time between two lines off a terminal.
const EVERY: Duration = Duration::from_secs(10);

/// Shows progress, and tells the work when to stop.
#[derive(Debug, Clone)]
pub struct TerminalProgress(Arc<State>);

#[derive(Debug)]
struct State {
    output: Output,
    shown: Shown,
    interrupted: AtomicBool,
    started: Instant,
    limit: Option<Duration>,
}

#[derive(Debug)]
enum Shown {
    Bars(MultiProgress),
    Lines,
    Nothing,
}

impl TerminalProgress {
    /// Progress as suits `output`; `wanted` is false with `--no-progress`.
    pub fn new(output: &Output, wanted: bool, limit: Option<Duration>) -> Self {
        let shown = match (wanted && !output.is_quiet(), output.error_screen()) {
            (false, _) => Shown::Nothing,
            (true, screen) if screen.redraws => {
                Shown::Bars(MultiProgress::with_draw_target(ProgressDrawTarget::stderr()))
            }
            (true, screen) if screen.terminal => Shown::Nothing,
            _ => Shown::Lines,
        };
        TerminalProgress(Arc::new(State {
            output: output.clone(),
            shown,
            interrupted: AtomicBool::new(false),
            started: Instant::now(),
            limit,
        }))
    }

    /// The time limit, counted from the start.
    pub fn limit(&self) -> Option<Duration> {
        self.0.limit
    }

    /// What is left of the time limit.
    pub fn time_left(&self) -> Option<Duration> {
        self.0
            .limit
            .map(|limit| limit.saturating_sub(self.0.started.elapsed()))
    }

    /// Asks the work to stop; whether that was asked before.
    pub(super) fn interrupt(&self) -> bool {
        self.0.interrupted.swap(true, Ordering::SeqCst)
    }

    /// Warns on stderr, above the bars.
    pub fn warn(&self, message: &str) {
        match &self.0.shown {
            Shown::Bars(bars) => bars.suspend(|| self.0.output.warn(message)),
            _ => self.0.output.warn(message),
        }
    }

    /// Takes the bars away.
    pub(super) fn clear(&self) {
        if let Shown::Bars(bars) = &self.0.shown {
            let _ = bars.clear();
        }
    }

    /// Ends the process because the time is up.
    pub(super) fn fail_timed_out(&self) -> ! {
        std::process::exit(i32::from(errors::report(&self.0.output, &self.timed_out())))
    }

    fn timed_out(&self) -> Error {
        let limit = self.0.limit.unwrap_or_default();
        Error::new(ErrorKind::TimedOut, format!("not done within {limit:?}"))
            .hint("give it more time with --timeout")
    }
}

impl Progress for TerminalProgress {
    fn meter(&self, label: &str, total: Option<u64>, unit: Unit) -> Box<dyn Meter> {
        match &self.0.shown {
            Shown::Bars(bars) => Box::new(Bar::new(bars, label, total, unit)),
            Shown::Lines => Box::new(Lines {
                output: self.0.output.clone(),
                label: label.to_owned(),
                total,
                unit,
                done: AtomicU64::new(0),
                started: Instant::now(),
                next: AtomicU64::new(EVERY.as_secs()),
            }),
            Shown::Nothing => Box::new(Silent),
        }
    }

    fn note(&self, message: &str) {
        match &self.0.shown {
            Shown::Bars(bars) => bars.suspend(|| self.0.output.note(message)),
            _ => self.0.output.note(message),
        }
    }

    fn interrupted(&self) -> bool {
        self.0.interrupted.load(Ordering::Relaxed) || self.time_left() == Some(Duration::ZERO)
    }

    fn check(&self) -> Result<()> {
        if self.0.interrupted.load(Ordering::Relaxed) {
            return Err(Error::new(ErrorKind::Interrupted, "interrupted"));
        }
        if self.time_left() == Some(Duration::ZERO) {
            return Err(self.timed_out());
        }
        Ok(())
    }
}

/// A bar; it goes when it is dropped.
struct Bar(ProgressBar);

impl Bar {
    fn new(bars: &MultiProgress, label: &str, total: Option<u64>, unit: Unit) -> Self {
        let template = match (unit, total) {
            (Unit::Bytes, Some(_)) => {
                "{msg} {bar:24} {decimal_bytes}/{decimal_total_bytes} {decimal_bytes_per_sec} {eta} left"
            }
            (Unit::Bytes, None) => {
                "{spinner} {msg} {decimal_bytes} {decimal_bytes_per_sec} {elapsed}"
            }
            (Unit::Items, Some(_)) => "{msg} {bar:24} {human_pos}/{human_len} {per_sec} {eta} left",
            (Unit::Items, None) => "{spinner} {msg} {human_pos} {per_sec} {elapsed}",
        };
        let bar = bars.add(match total {
            Some(total) => ProgressBar::new(total),
            None => ProgressBar::new_spinner(),
        });
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        bar.set_message(super::output::escaped(label));
        Bar(bar)
    }
}

impl Meter for Bar {
    fn advance(&self, amount: u64) {
        self.0.inc(amount);
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

/// A line now and then.
struct Lines {
    output: Output,
    label: String,
    total: Option<u64>,
    unit: Unit,
    done: AtomicU64,
    started: Instant,
    /// Seconds after the start at which the next line is due.
    next: AtomicU64,
}

impl Meter for Lines {
    fn advance(&self, amount: u64) {
        let done = self.done.fetch_add(amount, Ordering::Relaxed) + amount;
        let elapsed = self.started.elapsed();
        let due = self.next.load(Ordering::Relaxed);
        if elapsed.as_secs() < due {
            return;
        }
        let next = elapsed.as_secs() + EVERY.as_secs();
        if self
            .next
            .compare_exchange(due, next, Ordering::Relaxed, Ordering::Relaxed)
            .is_ok()
        {
            self.output
                .note(line(&self.label, done, self.total, self.unit, elapsed));
        }
    }
}

/// `put sales.csv: 120.0 of 480.0 MB (25 %), 12.0 MB/s, 30 s left`
fn line(label: &str, done: u64, total: Option<u64>, unit: Unit, elapsed: Duration) -> String {
    let rate = done as f64 / elapsed.as_secs_f64().max(0.001);
    let (scale, suffix, decimals) = match unit {
        Unit::Bytes => (1e6, " MB", 1),
        Unit::Items => (1.0, "", 0),
    };
    let amount = |count: f64| format!("{:.decimals$}", count / scale);
    let mut text = format!("{label}: {}", amount(done as f64));
    if let Some(total) = total.filter(|total| *total > 0) {
        let percent = 100.0 * done as f64 / total as f64;
        text.push_str(&format!(
            " of {}{suffix} ({percent:.0} %)",
            amount(total as f64)
        ));
    } else {
        text.push_str(suffix);
    }
    text.push_str(&format!(", {}{suffix}/s", amount(rate)));
    if let Some(total) = total.filter(|total| *total > done && rate > 0.0) {
        text.push_str(&format!(", {:.0} s left", (total - done) as f64 / rate));
    }
    text
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::cli::output::{Screen, Wishes};

    fn progress(
        screen: Screen,
        quiet: bool,
        limit: Option<Duration>,
    ) -> (Output, TerminalProgress) {
        let output = Output::in_memory(
            Wishes {
                quiet,
                ..Wishes::default()
            },
            screen,
        );
        let progress = TerminalProgress::new(&output, true, limit);
        (output, progress)
    }

    #[test]
    fn lines_tell_amount_rate_and_remaining_time() {
        let ten = Duration::from_secs(10);
        assert_eq!(
            line("put x", 120_000_000, Some(480_000_000), Unit::Bytes, ten),
            "put x: 120.0 of 480.0 MB (25 %), 12.0 MB/s, 30 s left"
        );
        assert_eq!(line("rows", 50, None, Unit::Items, ten), "rows: 50, 5/s");
        assert_eq!(
            line("rows", 0, Some(0), Unit::Items, Duration::ZERO),
            "rows: 0, 0/s"
        );
    }

    #[test]
    fn quick_work_off_a_terminal_is_silent() {
        let (output, progress) = progress(Screen::NONE, false, None);
        progress.meter("x", Some(10), Unit::Bytes).advance(10);
        assert_eq!(output.captured().1, "");
    }

    #[test]
    fn slow_work_off_a_terminal_says_a_line_unless_quiet() {
        for (quiet, lines) in [(false, 1), (true, 0)] {
            let (output, progress) = progress(Screen::NONE, quiet, None);
            let _ = progress;
            let meter = Lines {
                output: output.clone(),
                label: "x".to_owned(),
                total: None,
                unit: Unit::Items,
                done: AtomicU64::new(0),
                started: Instant::now() - EVERY,
                next: AtomicU64::new(EVERY.as_secs()),
            };
            meter.advance(1);
            meter.advance(1);
            assert_eq!(output.captured().1.lines().count(), lines);
        }
    }

    #[test]
    fn work_learns_that_it_is_interrupted_or_late() {
        let (_, progress) = progress(Screen::NONE, false, None);
        assert!(progress.check().is_ok() && !progress.interrupt() && progress.interrupt());
        assert_eq!(progress.check().unwrap_err().kind(), ErrorKind::Interrupted);
        let (_, progress) = super::tests::progress(Screen::NONE, false, Some(Duration::ZERO));
        assert!(progress.interrupted());
        assert_eq!(progress.check().unwrap_err().kind(), ErrorKind::TimedOut);
    }
}
