//! How the library tells of long work, and how long work learns that it shall stop.
//! The library knows this seam only; bars, colours and signals are the caller's.

use crate::error::{Error, ErrorKind, Result};
use std::future::Future;
use std::time::Duration;
use tokio::runtime::Handle;

/// How often what waits looks whether it shall stop.
const CHECK: Duration = Duration::from_millis(50);

/// What a meter counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Bytes, shown as MB/s.
    Bytes,
    /// Rows, documents, objects, folds.
    Items,
}

/// Shows the progress of long work.
pub trait Progress: Send + Sync {
    /// Starts a meter; `total` in `unit`s, where it is known.
    fn meter(&self, label: &str, total: Option<u64>, unit: Unit) -> Box<dyn Meter>;

    /// Says one line now, such as "waiting for another process".
    fn note(&self, message: &str);

    /// Whether the user wants the work to stop.
    fn interrupted(&self) -> bool {
        false
    }

    /// Fails with [`ErrorKind::Interrupted`] when the user wants the work to stop.
    fn check(&self) -> Result<()> {
        if self.interrupted() {
            return Err(Error::new(ErrorKind::Interrupted, "interrupted"));
        }
        Ok(())
    }
}

/// Waits for `work`, which drivers do on `threads`, until the user wants it to stop.
///
/// # Errors
/// [`ErrorKind::Interrupted`].
pub(crate) fn wait<T>(
    threads: &Handle,
    progress: &dyn Progress,
    work: impl Future<Output = T>,
) -> Result<T> {
    threads.block_on(async {
        tokio::pin!(work);
        loop {
            match tokio::time::timeout(CHECK, &mut work).await {
                Ok(done) => return Ok(done),
                Err(_) => progress.check()?,
            }
        }
    })
}

/// One running meter. Dropping it ends it.
pub trait Meter: Send + Sync {
    /// `amount` more is done.
    fn advance(&self, amount: u64);
}

/// Shows nothing and is never interrupted.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl Progress for Silent {
    fn meter(&self, _label: &str, _total: Option<u64>, _unit: Unit) -> Box<dyn Meter> {
        Box::new(Silent)
    }

    fn note(&self, _message: &str) {}
}

impl Meter for Silent {
    fn advance(&self, _amount: u64) {}
}
