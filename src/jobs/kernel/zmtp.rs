//! Just enough of ZeroMQ's wire protocol (ZMTP 3.0, <https://rfc.zeromq.org/spec/23/>) to be
//! a kernel's client: DEALER and SUB over TCP and Unix sockets, without a mechanism. Blocking,
//! with a thread for what comes: the crates there are bring a runtime with all features.

use std::io::{self, BufReader, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::thread;

const MORE: u8 = 1;
const LONG: u8 = 2;
const COMMAND: u8 = 4;

/// The largest message that is kept; what a kernel sends is not trusted.
const MOST: u64 = 64 << 20;

/// The most parts of a message that are kept.
const MOST_PARTS: usize = 1000;

/// Where a socket listens.
#[derive(Debug, Clone)]
pub(super) enum Address {
    /// Host and port.
    Tcp(String, u16),
    /// A path.
    Unix(PathBuf),
}

/// What a socket does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// Sends requests and gets answers.
    Dealer,
    /// Gets all that is published.
    Subscriber,
}

enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Stream {
    fn connect(address: &Address) -> io::Result<Self> {
        match address {
            Address::Tcp(host, port) => {
                let stream = TcpStream::connect((host.as_str(), *port))?;
                stream.set_nodelay(true)?;
                Ok(Stream::Tcp(stream))
            }
            Address::Unix(path) => UnixStream::connect(path).map(Stream::Unix),
        }
    }

    fn try_clone(&self) -> io::Result<Self> {
        match self {
            Stream::Tcp(stream) => stream.try_clone().map(Stream::Tcp),
            Stream::Unix(stream) => stream.try_clone().map(Stream::Unix),
        }
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Stream::Tcp(stream) => stream.read(buffer),
            Stream::Unix(stream) => stream.read(buffer),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Stream::Tcp(stream) => stream.write(bytes),
            Stream::Unix(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A connected socket.
pub(super) struct Socket(Stream);

impl Socket {
    /// Connects; every message that comes is handed to `receive` until that says no, without
    /// parts if it is too large to be kept.
    pub fn connect(
        address: &Address,
        role: Role,
        identity: &str,
        mut receive: impl FnMut(Vec<Vec<u8>>) -> bool + Send + 'static,
    ) -> io::Result<Self> {
        let mut stream = Stream::connect(address)?;
        let mut input = BufReader::new(stream.try_clone()?);
        greet(&mut stream, &mut input, role, identity)?;
        if role == Role::Subscriber {
            stream.write_all(&frame(&[1], 0))?;
        }
        thread::Builder::new()
            .name("kernel".to_owned())
            .spawn(move || {
                while let Ok(message) = message(&mut input) {
                    if !receive(message) {
                        break;
                    }
                }
            })?;
        Ok(Socket(stream))
    }

    /// Sends a message of these parts.
    pub fn send(&mut self, parts: &[&[u8]]) -> io::Result<()> {
        let mut bytes = Vec::new();
        for (number, part) in parts.iter().enumerate() {
            let flags = if number + 1 < parts.len() { MORE } else { 0 };
            bytes.extend(frame(part, flags));
        }
        self.0.write_all(&bytes)
    }
}

/// Ends the thread that reads.
impl Drop for Socket {
    fn drop(&mut self) {
        let _ = match &self.0 {
            Stream::Tcp(stream) => stream.shutdown(Shutdown::Both),
            Stream::Unix(stream) => stream.shutdown(Shutdown::Both),
        };
    }
}

fn greet(
    out: &mut impl Write,
    input: &mut impl Read,
    role: Role,
    identity: &str,
) -> io::Result<()> {
    let mut greeting = [0u8; 64];
    let ours: [(usize, &[u8]); 3] = [(0, &[0xff]), (9, &[0x7f, 3, 0]), (12, b"NULL")];
    for (at, bytes) in ours {
        if let Some(slot) = greeting.get_mut(at..at + bytes.len()) {
            slot.copy_from_slice(bytes);
        }
    }
    out.write_all(&greeting)?;
    let mut theirs = [0u8; 64];
    input.read_exact(&mut theirs)?;
    if theirs.first() != Some(&0xff) || theirs.get(10).is_none_or(|version| *version < 3) {
        return Err(io::Error::other("it does not speak ZMTP 3"));
    }
    let name: &[u8] = match role {
        Role::Dealer => b"DEALER",
        Role::Subscriber => b"SUB",
    };
    let mut ready = b"\x05READY".to_vec();
    for (property, value) in [
        (&b"Socket-Type"[..], name),
        (b"Identity", identity.as_bytes()),
    ] {
        ready.push(property.len() as u8);
        ready.extend(property);
        ready.extend((value.len() as u32).to_be_bytes());
        ready.extend(value);
    }
    out.write_all(&frame(&ready, COMMAND))?;
    let (flags, length) = head(input)?;
    let body = body(input, length.min(MOST))?;
    match flags & COMMAND != 0 && body.starts_with(b"\x05READY") {
        true => Ok(()),
        false => Err(io::Error::other("it does not accept the connection")),
    }
}

fn frame(body: &[u8], flags: u8) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(body.len() + 9);
    match u8::try_from(body.len()) {
        Ok(length) => bytes.extend([flags, length]),
        Err(_) => {
            bytes.push(flags | LONG);
            bytes.extend((body.len() as u64).to_be_bytes());
        }
    }
    bytes.extend(body);
    bytes
}

/// Flags and length of the next frame.
fn head(input: &mut impl Read) -> io::Result<(u8, u64)> {
    let mut flags = [0];
    input.read_exact(&mut flags)?;
    let [flags] = flags;
    if flags & LONG != 0 {
        let mut length = [0; 8];
        input.read_exact(&mut length)?;
        return Ok((flags, u64::from_be_bytes(length)));
    }
    let mut length = [0];
    input.read_exact(&mut length)?;
    Ok((flags, u64::from(length[0])))
}

fn body(input: &mut impl Read, length: u64) -> io::Result<Vec<u8>> {
    let mut body = Vec::new();
    let read = input.take(length).read_to_end(&mut body)?;
    match read as u64 == length {
        true => Ok(body),
        false => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}

/// The parts of the next message; none of one that is too large to be kept.
fn message(input: &mut impl Read) -> io::Result<Vec<Vec<u8>>> {
    let mut parts = Vec::new();
    let (mut size, mut count) = (0u64, 0);
    loop {
        let (flags, length) = head(input)?;
        size = size.saturating_add(length);
        count += 1;
        match size > MOST || count > MOST_PARTS {
            true => {
                parts.clear();
                let skipped = io::copy(&mut input.take(length), &mut io::sink())?;
                if skipped < length {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
            }
            false => {
                let body = body(input, length)?;
                if flags & COMMAND == 0 {
                    parts.push(body);
                }
            }
        }
        if flags & (MORE | COMMAND) == 0 {
            return Ok(parts);
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn messages_come_back(parts in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..600), 1..5)) {
            let mut bytes = frame(b"ignored", COMMAND);
            for (number, part) in parts.iter().enumerate() {
                bytes.extend(frame(part, if number + 1 < parts.len() { MORE } else { 0 }));
            }
            prop_assert_eq!(message(&mut bytes.as_slice()).unwrap(), parts);
        }

        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
            let _ = message(&mut bytes.as_slice());
        }
    }

    #[test]
    fn lengths_are_not_believed() {
        let mut bytes = vec![LONG];
        bytes.extend(u64::MAX.to_be_bytes());
        assert!(message(&mut bytes.as_slice()).is_err());
        let mut bytes = vec![LONG];
        bytes.extend((MOST - 1).to_be_bytes());
        assert!(message(&mut bytes.as_slice()).is_err());
        // One that is too large is skipped, and the next is read.
        let mut bytes = frame(&vec![7; MOST as usize], MORE);
        bytes.extend(frame(b"rest", 0));
        bytes.extend(frame(b"next", 0));
        let mut input = bytes.as_slice();
        assert!(message(&mut input).unwrap().is_empty());
        assert_eq!(message(&mut input).unwrap(), [b"next"]);
    }
}
