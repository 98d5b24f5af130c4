//! The threads that run tasks. Their number can change while they work; one that is stuck
//! is given up and replaced.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// What a thread does after a piece of work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Takes another one.
    Stay,
    /// Ends: it was given up and has a successor.
    Leave,
}

/// Threads that work through a queue.
pub struct Pool<T> {
    shared: Arc<Shared<T>>,
}

struct Shared<T> {
    state: Mutex<State<T>>,
    changed: Condvar,
    work: Box<dyn Fn(T) -> Next + Send + Sync>,
}

struct State<T> {
    waiting: VecDeque<T>,
    /// Threads there shall be, and there are, without those given up.
    wanted: usize,
    threads: usize,
    busy: usize,
    closed: bool,
}

impl<T: Send + 'static> Pool<T> {
    /// `size` threads, at least one, that do `work`.
    pub fn new(size: usize, work: impl Fn(T) -> Next + Send + Sync + 'static) -> Self {
        let pool = Pool {
            shared: Arc::new(Shared {
                state: Mutex::new(State {
                    waiting: VecDeque::new(),
                    wanted: 0,
                    threads: 0,
                    busy: 0,
                    closed: false,
                }),
                changed: Condvar::new(),
                work: Box::new(work),
            }),
        };
        pool.resize(size.max(1));
        pool
    }

    /// Queues a piece of work.
    pub fn submit(&self, work: T) {
        self.shared.state().waiting.push_back(work);
        self.shared.changed.notify_one();
    }

    /// How many threads there shall be.
    pub fn size(&self) -> usize {
        self.shared.state().wanted
    }

    /// Changes the number of threads, to one at least; those too many end when they are idle.
    pub fn resize(&self, size: usize) {
        let mut state = self.shared.state();
        state.wanted = size.max(1);
        while state.threads < state.wanted && !state.closed {
            match self.shared.clone().start() {
                Ok(()) => state.threads += 1,
                Err(error) => {
                    tracing::error!("cannot start a thread: {error}");
                    break;
                }
            }
        }
        drop(state);
        self.shared.changed.notify_all();
    }

    /// A thread is stuck in work that answers [`Next::Leave`] if it ever ends: another
    /// takes its place.
    pub fn replace(&self) {
        let mut state = self.shared.state();
        state.threads = state.threads.saturating_sub(1);
        state.busy = state.busy.saturating_sub(1);
        let wanted = state.wanted;
        drop(state);
        self.resize(wanted);
    }

    /// Pieces of work that wait, and that are being done.
    pub fn load(&self) -> (usize, usize) {
        let state = self.shared.state();
        (state.waiting.len(), state.busy)
    }

    /// Takes back what waits, and lets the threads end.
    pub fn close(&self) -> Vec<T> {
        let mut state = self.shared.state();
        state.closed = true;
        let waiting = state.waiting.drain(..).collect();
        drop(state);
        self.shared.changed.notify_all();
        waiting
    }

    /// Waits until nothing is being done and nothing waits; whether it is so within `timeout`.
    pub fn wait(&self, timeout: Duration) -> bool {
        let end = Instant::now() + timeout;
        let mut state = self.shared.state();
        while state.busy > 0 || !state.waiting.is_empty() {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            state = match self.shared.changed.wait_timeout(state, left) {
                Ok((state, _)) => state,
                Err(poisoned) => poisoned.into_inner().0,
            };
        }
        true
    }
}

impl<T> Shared<T> {
    fn state(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T: Send + 'static> Shared<T> {
    fn start(self: Arc<Self>) -> std::io::Result<()> {
        thread::Builder::new()
            .name("om-task".to_owned())
            .spawn(move || self.run())
            .map(drop)
    }

    fn run(self: Arc<Self>) {
        while let Some(work) = self.take() {
            let next = catch_unwind(AssertUnwindSafe(|| (self.work)(work)));
            if let Ok(Next::Leave) = next {
                return;
            }
            self.state().busy -= 1;
            self.changed.notify_all();
        }
    }

    fn take(&self) -> Option<T> {
        let mut state = self.state();
        loop {
            if state.threads > state.wanted || (state.closed && state.waiting.is_empty()) {
                state.threads -= 1;
                return None;
            }
            if let Some(work) = state.waiting.pop_front() {
                state.busy += 1;
                return Some(work);
            }
            state = self
                .changed
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use super::*;
    use std::sync::mpsc::{Receiver, Sender, channel};

    type Work = Box<dyn FnOnce() -> Next + Send>;

    fn pool(size: usize) -> Pool<Work> {
        Pool::new(size, |work: Work| work())
    }

    /// Work that says that it has begun and goes on until it is told what to do next.
    fn held(began: &Sender<()>) -> (Work, Sender<Next>) {
        let (go, gone): (Sender<Next>, Receiver<Next>) = channel();
        let began = began.clone();
        let work = Box::new(move || {
            began.send(()).unwrap();
            gone.recv().unwrap()
        });
        (work, go)
    }

    const LONG: Duration = Duration::from_secs(20);

    #[test]
    fn grows_and_shrinks_while_it_works() {
        let pool = pool(1);
        let (began, begun) = channel();
        let (first, end_first) = held(&began);
        let (second, end_second) = held(&began);
        pool.submit(first);
        pool.submit(second);
        begun.recv_timeout(LONG).unwrap();
        assert_eq!(pool.load(), (1, 1));
        pool.resize(2);
        begun.recv_timeout(LONG).unwrap();
        assert_eq!(pool.load(), (0, 2));
        pool.resize(1);
        assert!(!pool.wait(Duration::from_millis(10)));
        end_first.send(Next::Stay).unwrap();
        end_second.send(Next::Stay).unwrap();
        assert!(pool.wait(LONG));
        assert_eq!(pool.size(), 1);
    }

    #[test]
    fn a_stuck_thread_is_replaced() {
        let pool = pool(1);
        let (began, begun) = channel();
        let (stuck, end) = held(&began);
        let (next, end_next) = held(&began);
        pool.submit(stuck);
        begun.recv_timeout(LONG).unwrap();
        pool.submit(next);
        pool.replace();
        begun.recv_timeout(LONG).unwrap();
        end.send(Next::Leave).unwrap();
        end_next.send(Next::Stay).unwrap();
        assert!(pool.wait(LONG));
    }

    #[test]
    fn a_panic_ends_the_work_and_nothing_else() {
        let pool = pool(1);
        let (began, begun) = channel();
        pool.submit(Box::new(|| panic!("of a test")));
        let (next, end) = held(&began);
        pool.submit(next);
        begun.recv_timeout(LONG).unwrap();
        end.send(Next::Stay).unwrap();
        assert!(pool.wait(LONG));
    }

    #[test]
    fn what_waits_is_handed_back() {
        let pool = pool(1);
        let (began, begun) = channel();
        let (work, end) = held(&began);
        pool.submit(work);
        begun.recv_timeout(LONG).unwrap();
        pool.submit(Box::new(|| Next::Stay));
        assert_eq!(pool.close().len(), 1);
        end.send(Next::Stay).unwrap();
        assert!(pool.wait(LONG));
    }
}
