//! Bodies that are made while they are sent: one thread makes, another one hands on and waits
//! for who reads. Who makes may be anybody's thread, also one of an async runtime.

use super::reply::Stream;
use http_body_util::channel::{Channel, Sender};
use hyper::body::Bytes;
use std::io::{self, Write};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::runtime::Handle;

/// Bytes that are sent at a time.
const BLOCK: usize = 256 << 10;

/// Blocks that wait to be handed on, and to be read.
const MADE: usize = 2;
const WAITING: usize = 4;

/// What is handed on.
enum Part {
    Block(Bytes),
    /// The body is complete, or never will be.
    End(io::Result<()>),
}

/// Starts to make a body; who takes nothing of it for `stall` is cut off. `turn` is kept
/// until the body has been sent.
pub fn start(
    stream: Stream,
    stall: Duration,
    turn: impl Send + 'static,
) -> Channel<Bytes, io::Error> {
    let (sender, body) = Channel::new(WAITING);
    let (parts, made) = sync_channel(MADE);
    let handle = Handle::current();
    let by = handle.clone();
    handle.spawn_blocking(move || {
        let _turn = turn;
        hand_on(&made, sender, stall, &by);
    });
    handle.spawn_blocking(move || {
        let outgoing = Outgoing(Arc::new(Mutex::new(Inner {
            parts: parts.clone(),
            block: Vec::new(),
        })));
        let mut ending = Ending {
            parts,
            made: Err(io::Error::other("the answer was given up")),
        };
        ending.made = stream(Box::new(outgoing.clone())).and_then(|()| outgoing.clone().flush());
    });
    body
}

/// Hands on what is made, until its end or that of the reader.
fn hand_on(
    made: &Receiver<Part>,
    mut sender: Sender<Bytes, io::Error>,
    stall: Duration,
    handle: &Handle,
) {
    loop {
        match made.recv() {
            Ok(Part::Block(block)) => {
                let sent = async { tokio::time::timeout(stall, sender.send_data(block)).await };
                if !matches!(handle.block_on(sent), Ok(Ok(()))) {
                    return;
                }
            }
            Ok(Part::End(Ok(()))) => return,
            Ok(Part::End(Err(error))) => {
                tracing::debug!("an answer was cut short: {error}");
                return sender.abort(error);
            }
            Err(_) => return sender.abort(io::Error::other("the answer was given up")),
        }
    }
}

/// Ends a body, by an error unless it is complete: also where its maker has crashed.
struct Ending {
    parts: SyncSender<Part>,
    made: io::Result<()>,
}

impl Drop for Ending {
    fn drop(&mut self) {
        let made = std::mem::replace(&mut self.made, Ok(()));
        // The reader may have gone.
        let _ = self.parts.send(Part::End(made));
    }
}

#[derive(Clone)]
struct Outgoing(Arc<Mutex<Inner>>);

struct Inner {
    parts: SyncSender<Part>,
    block: Vec<u8>,
}

impl Outgoing {
    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn send(&mut self) -> io::Result<()> {
        if self.block.is_empty() {
            return Ok(());
        }
        let block = Bytes::from(std::mem::take(&mut self.block));
        self.parts
            .send(Part::Block(block))
            .map_err(|_| io::ErrorKind::BrokenPipe.into())
    }
}

impl Write for Outgoing {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut inner = self.lock();
        // Blocks of one size: their memory is used again.
        for part in bytes.chunks(BLOCK) {
            if inner.block.len() + part.len() > BLOCK {
                inner.send()?;
            }
            if inner.block.capacity() == 0 {
                inner.block.reserve_exact(BLOCK);
            }
            inner.block.extend_from_slice(part);
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.lock().send()
    }
}
