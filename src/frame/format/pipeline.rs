//! Work on the blocks of a file on all cores: one thread reads and cuts, several work,
//! results come out in order. The channels are bounded, so memory is too.

use crate::error::{Error, Result};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

/// Results of the work on blocks, in the order of the blocks. Dropping it stops the work.
pub(super) struct Pipeline<T> {
    results: Receiver<Result<Receiver<T>>>,
}

impl<T: Send + 'static> Pipeline<T> {
    /// Starts: `blocks` runs on a thread of its own, `work` on as many as there are cores.
    pub fn start<B: Send + 'static>(
        mut blocks: impl Iterator<Item = Result<B>> + Send + 'static,
        work: impl Fn(B) -> T + Send + Sync + 'static,
    ) -> Result<Pipeline<T>> {
        let workers = thread::available_parallelism()
            .map_or(2, usize::from)
            .clamp(1, 16);
        let (send_result, results) = sync_channel::<Result<Receiver<T>>>(workers);
        let (send_job, jobs) = sync_channel::<(B, SyncSender<T>)>(1);
        let jobs = Arc::new(Mutex::new(jobs));
        let work = Arc::new(work);
        for _ in 0..workers {
            let (jobs, work) = (Arc::clone(&jobs), Arc::clone(&work));
            spawn("om-parse", move || {
                loop {
                    // Held while waiting: the others wait for the lock instead.
                    let job = jobs.lock().unwrap_or_else(PoisonError::into_inner).recv();
                    let Ok((block, answer)) = job else { return };
                    // Nobody may want the answer any more.
                    let _ = answer.send(work(block));
                }
            })?;
        }
        spawn("om-read", move || {
            for block in &mut blocks {
                let sent = match block {
                    Ok(block) => {
                        let (answer, result) = sync_channel(1);
                        send_result.send(Ok(result)).is_ok()
                            && send_job.send((block, answer)).is_ok()
                    }
                    Err(error) => send_result.send(Err(error)).is_ok(),
                };
                if !sent {
                    return;
                }
            }
        })?;
        Ok(Pipeline { results })
    }

    /// The next result; none at the end.
    pub fn next(&mut self) -> Option<Result<T>> {
        let result = self.results.recv().ok()?;
        Some(result.and_then(|result| {
            // A worker that panicked has not answered.
            result
                .recv()
                .map_err(|_| Error::failed("a worker thread has died"))
        }))
    }
}

fn spawn(name: &str, body: impl FnOnce() + Send + 'static) -> Result<()> {
    thread::Builder::new()
        .name(name.to_owned())
        .spawn(body)
        .map(|_| ())
        .map_err(|error| Error::failed("cannot start a thread").because(error))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn results_come_in_order() {
        let mut pipeline = Pipeline::start((0..200u64).map(Ok), |number| {
            thread::sleep(Duration::from_micros(number * 7919 % 300));
            number * 2
        })
        .unwrap();
        let got: Vec<u64> = std::iter::from_fn(|| pipeline.next())
            .map(Result::unwrap)
            .collect();
        assert_eq!(got, (0..200).map(|number| number * 2).collect::<Vec<_>>());
    }

    #[test]
    fn an_error_comes_at_its_place() {
        let blocks = [Ok(1), Err(Error::invalid("broken")), Ok(3)].into_iter();
        let mut pipeline = Pipeline::start(blocks, |number| number).unwrap();
        assert_eq!(pipeline.next().unwrap().unwrap(), 1);
        assert_eq!(pipeline.next().unwrap().unwrap_err().message(), "broken");
        assert_eq!(pipeline.next().unwrap().unwrap(), 3);
        assert!(pipeline.next().is_none());
    }

    #[test]
    fn dropping_stops_an_endless_source() {
        let mut pipeline = Pipeline::start((0..).map(Ok), |number: u64| number).unwrap();
        assert_eq!(pipeline.next().unwrap().unwrap(), 0);
        drop(pipeline);
    }
}
