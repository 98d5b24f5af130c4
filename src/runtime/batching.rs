//! Small predictions of one model that are asked for at the same time are made together:
//! while as many are being made as there are processors, the others wait in line, and who
//! is next makes those of all who wait. Nobody waits for others to come.

use crate::error::{Error, Result};
use polars::prelude::{DataFrame, SchemaRef};
use std::collections::HashMap;
use std::hash::Hash;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Rows of a table that is still small.
const SMALL: usize = 1_000;

/// Rows that are worked on together.
const TOGETHER: usize = 10_000;

/// Lines by what is asked for.
#[derive(Clone)]
pub struct Batching<K> {
    lines: Arc<Mutex<HashMap<K, Line>>>,
    /// How many are made at the same time.
    width: usize,
}

impl<K> Default for Batching<K> {
    fn default() -> Self {
        let width = std::thread::available_parallelism().map_or(1, usize::from);
        Batching {
            lines: Arc::default(),
            width,
        }
    }
}

/// Who works and who waits.
#[derive(Default)]
struct Line {
    working: usize,
    waiting: Vec<Waiting>,
}

struct Waiting {
    frame: DataFrame,
    schema: SchemaRef,
    told: SyncSender<Told>,
}

/// What one who waits is told.
enum Told {
    /// Here is the answer.
    Answer(Result<DataFrame>),
    /// It is your turn, with these.
    Turn(Vec<Waiting>),
}

impl<K: Clone + Eq + Hash> Batching<K> {
    fn lock(&self) -> MutexGuard<'_, HashMap<K, Line>> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The answer of `work`, which answers a row for each row, to `frame`. Equal keys mean
    /// equal work.
    ///
    /// # Errors
    /// What `work` fails with on this table alone.
    pub fn run(
        &self,
        key: &K,
        frame: &DataFrame,
        work: impl Fn(&DataFrame) -> Result<DataFrame>,
    ) -> Result<DataFrame> {
        if frame.height() > SMALL || frame.height() == 0 {
            return work(frame);
        }
        let (told, turn) = sync_channel(1);
        {
            let mut lines = self.lock();
            let line = lines.entry(key.clone()).or_default();
            if line.working < self.width {
                line.working += 1;
                drop(lines);
                let _next = Next {
                    batching: self,
                    key,
                };
                return work(frame);
            }
            line.waiting.push(Waiting {
                frame: frame.clone(),
                schema: frame.schema().clone(),
                told,
            });
        }
        match turn.recv() {
            Ok(Told::Answer(answer)) => answer,
            Ok(Told::Turn(others)) => {
                let _next = Next {
                    batching: self,
                    key,
                };
                together(frame, others, &work)
            }
            // Who was to tell has crashed.
            Err(_) => work(frame),
        }
    }

    /// Hands the turn on.
    fn next(&self, key: &K) {
        let mut lines = self.lock();
        let Some(line) = lines.get_mut(key) else {
            return;
        };
        while !line.waiting.is_empty() {
            let mut rows = 0;
            let first = line.waiting.remove(0);
            let fits = |other: &Waiting| {
                rows += other.frame.height();
                rows <= TOGETHER && other.schema == first.schema
            };
            let (others, later) = std::mem::take(&mut line.waiting)
                .into_iter()
                .partition(fits);
            line.waiting = later;
            match first.told.send(Told::Turn(others)) {
                Ok(()) => return,
                Err(unheard) => {
                    if let Told::Turn(others) = unheard.0 {
                        line.waiting.splice(0..0, others);
                    }
                }
            }
        }
        line.working = line.working.saturating_sub(1);
        if line.working == 0 {
            lines.remove(key);
        }
    }
}

/// Hands the turn on, however the work ends.
struct Next<'a, K: Clone + Eq + Hash> {
    batching: &'a Batching<K>,
    key: &'a K,
}

impl<K: Clone + Eq + Hash> Drop for Next<'_, K> {
    fn drop(&mut self) {
        self.batching.next(self.key);
    }
}

/// Works on all tables at once; where that fails, on each alone, since one may be at fault.
fn together(
    own: &DataFrame,
    others: Vec<Waiting>,
    work: &impl Fn(&DataFrame) -> Result<DataFrame>,
) -> Result<DataFrame> {
    if others.is_empty() {
        return work(own);
    }
    match at_once(own, &others, work) {
        Ok((answer, answers)) => {
            for (other, answer) in others.iter().zip(answers) {
                let _ = other.told.send(Told::Answer(Ok(answer)));
            }
            Ok(answer)
        }
        Err(_) => {
            for other in &others {
                let _ = other.told.send(Told::Answer(work(&other.frame)));
            }
            work(own)
        }
    }
}

fn at_once(
    own: &DataFrame,
    others: &[Waiting],
    work: &impl Fn(&DataFrame) -> Result<DataFrame>,
) -> Result<(DataFrame, Vec<DataFrame>)> {
    let mut all = own.clone();
    for other in others {
        all.vstack_mut(&other.frame)
            .map_err(|error| Error::failed("cannot join rows").because(error))?;
    }
    all.rechunk_mut();
    let answered = work(&all)?;
    if answered.height() != all.height() {
        return Err(Error::failed("not a row for each row"));
    }
    let mut start = own.height();
    let answers = others.iter().map(|other| {
        let part = answered.slice(
            i64::try_from(start).unwrap_or(i64::MAX),
            other.frame.height(),
        );
        start += other.frame.height();
        part
    });
    let answers = answers.collect();
    Ok((answered.slice(0, own.height()), answers))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use polars::prelude::{IntoColumn, NamedFrom, Series, df};
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    #[test]
    fn who_waits_is_answered_with_others_and_as_if_alone() {
        let batching = Batching {
            width: 2,
            ..Batching::default()
        };
        let calls = AtomicUsize::new(0);
        let work = |frame: &DataFrame| {
            calls.fetch_add(1, Ordering::SeqCst);
            std::thread::sleep(Duration::from_millis(20));
            let x = frame.column("x").unwrap().i64().unwrap();
            if x.into_no_null_iter().any(|x| x == 13) {
                return Err(Error::invalid("13 is not liked"));
            }
            let doubled: Vec<i64> = x.into_no_null_iter().map(|x| 2 * x).collect();
            let doubled = Series::new("y".into(), doubled).into_column();
            Ok(DataFrame::new(frame.height(), vec![doubled]).unwrap())
        };
        for round in 0..3i64 {
            std::thread::scope(|scope| {
                for n in 0..40i64 {
                    let (batching, work) = (&batching, &work);
                    scope.spawn(move || {
                        let key = n % 2;
                        let x = if round == 2 { n } else { n + 100 };
                        let answer = batching.run(&key, &df!("x" => [x, x + 1000]).unwrap(), work);
                        match x {
                            13 => assert_eq!(answer.unwrap_err().message(), "13 is not liked"),
                            x => assert_eq!(
                                answer.unwrap(),
                                df!("y" => [2 * x, 2 * (x + 1000)]).unwrap()
                            ),
                        }
                    });
                }
            });
        }
        assert!(
            calls.load(Ordering::SeqCst) < 90,
            "nothing was made together"
        );
        assert!(batching.lock().is_empty());
    }

    #[test]
    fn a_crash_is_not_waited_for() {
        let batching = Batching {
            width: 1,
            ..Batching::default()
        };
        let frame = df!("x" => [1i64]).unwrap();
        let crashes = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            let all: Vec<_> = (0..6)
                .map(|_| {
                    scope.spawn(|| {
                        batching.run(&0, &frame, |frame| {
                            std::thread::sleep(Duration::from_millis(10));
                            assert!(
                                crashes.fetch_add(1, Ordering::SeqCst) > 0,
                                "the first crashes"
                            );
                            Ok(frame.clone())
                        })
                    })
                })
                .collect();
            let ended = all
                .into_iter()
                .filter(|_| true)
                .map(|thread| thread.join().is_ok());
            assert!(ended.filter(|ended| *ended).count() >= 5);
        });
    }
}
