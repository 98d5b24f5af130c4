//! Bodies that are made while they are sent, by a thread that waits for who reads.

use super::reply::Stream;
use http_body_util::channel::{Channel, Sender};
use hyper::body::Bytes;
use std::io::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::runtime::Handle;

/// Bytes that are sent at a time.
const BLOCK: usize = 256 << 10;

/// Blocks that wait to be read.
const WAITING: usize = 4;

/// Starts to make a body; who takes nothing of it for `stall` is cut off. `turn` is kept
/// until the body has been made.
pub fn start(
    stream: Stream,
    stall: Duration,
    turn: impl Send + 'static,
) -> Channel<Bytes, io::Error> {
    let (sender, body) = Channel::new(WAITING);
    let handle = Handle::current();
    let outgoing = Outgoing(Arc::new(Mutex::new(Inner {
        sender: Some(sender),
        handle: handle.clone(),
        block: Vec::new(),
        stall,
    })));
    handle.spawn_blocking(move || {
        let _turn = turn;
        let mut ending = Ending {
            outgoing: outgoing.clone(),
            made: Err(io::Error::other("the answer was given up")),
        };
        ending.made = stream(Box::new(outgoing.clone())).and_then(|()| outgoing.clone().flush());
    });
    body
}

/// Ends a body, by an error unless it is complete: also where its maker has crashed.
struct Ending {
    outgoing: Outgoing,
    made: io::Result<()>,
}

impl Drop for Ending {
    fn drop(&mut self) {
        let sender = self.outgoing.lock().sender.take();
        let made = std::mem::replace(&mut self.made, Ok(()));
        if let (Err(error), Some(sender)) = (made, sender) {
            tracing::debug!("an answer was cut short: {error}");
            sender.abort(error);
        }
    }
}

#[derive(Clone)]
struct Outgoing(Arc<Mutex<Inner>>);

struct Inner {
    sender: Option<Sender<Bytes, io::Error>>,
    handle: Handle,
    block: Vec<u8>,
    stall: Duration,
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
        let gone = || io::Error::from(io::ErrorKind::BrokenPipe);
        let sender = self.sender.as_mut().ok_or_else(gone)?;
        let sent = tokio::time::timeout(self.stall, sender.send_data(block));
        match self.handle.block_on(sent) {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(gone()),
        }
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
