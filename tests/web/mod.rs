//! A server of the real binary, and a client that speaks plain HTTP/1.1.

#![allow(dead_code, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use crate::om::Om;
use serde_json::Value;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Stdio};
use std::time::Duration;

pub struct Web {
    child: Option<Child>,
    pub address: String,
}

impl Web {
    /// Starts `om server` on a free port.
    pub fn start(om: &Om, args: &[&str]) -> Self {
        let mut command = om.command(&[&["server", "--port", "0"], args].concat());
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        let address = line
            .trim()
            .split("://")
            .nth(1)
            .expect("an address")
            .to_owned();
        let child = Some(child);
        Web { child, address }
    }

    /// A server that runs already.
    pub fn at(url: &str) -> Self {
        let address = url.trim_start_matches("http://").to_owned();
        Web {
            child: None,
            address,
        }
    }

    pub fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(&self.address).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(120)))
            .unwrap();
        stream
    }

    /// One request on a connection of its own.
    pub fn send(
        &self,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Answer {
        let mut head = format!(
            "{method} {target} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n",
            self.address
        );
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        if !body.is_empty() {
            head.push_str(&format!("Content-Length: {}\r\n", body.len()));
        }
        let mut stream = self.connect();
        stream.write_all(format!("{head}\r\n").as_bytes()).unwrap();
        stream.write_all(body).unwrap();
        Answer::parse(&whole(&mut stream, method == "HEAD"))
    }

    /// Bytes as they are.
    pub fn raw(&self, request: &str) -> Answer {
        let mut stream = self.connect();
        stream.write_all(request.as_bytes()).unwrap();
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).unwrap();
        Answer::parse(&bytes)
    }

    pub fn get(&self, target: &str) -> Answer {
        self.send("GET", target, &[], b"")
    }

    pub fn json(&self, method: &str, target: &str, body: &Value) -> Answer {
        let headers = [("Content-Type", "application/json")];
        self.send(method, target, &headers, body.to_string().as_bytes())
    }

    fn process(&mut self) -> &mut Child {
        self.child.as_mut().expect("a server of our own")
    }

    fn id(&self) -> u32 {
        self.child.as_ref().expect("a server of our own").id()
    }

    /// SIGTERM; the exit code.
    pub fn stop(self) -> i32 {
        self.terminate();
        self.wait()
    }

    /// The exit code, once it has ended.
    pub fn wait(mut self) -> i32 {
        self.process().wait().unwrap().code().unwrap_or(-1)
    }

    pub fn terminate(&self) {
        let id = self.id().to_string();
        std::process::Command::new("kill")
            .args(["-TERM", &id])
            .status()
            .unwrap();
    }

    /// Kilobytes that the server has in memory.
    pub fn memory(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.id())).unwrap();
        let line = status
            .lines()
            .find(|line| line.starts_with("VmRSS"))
            .unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }
}

impl Drop for Web {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

#[derive(Debug, Clone)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: String,
}

/// An answer as it is sent: not everybody closes the connection behind it.
fn whole(stream: &mut TcpStream, no_body: bool) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut buffer = [0; 64 << 10];
    loop {
        if let Some(head) = bytes.windows(4).position(|end| end == b"\r\n\r\n") {
            let text = String::from_utf8_lossy(&bytes[..head]).to_lowercase();
            let mut lines = text.lines();
            let length = lines.find_map(|line| line.strip_prefix("content-length:"));
            let length = length.map(|length| length.trim().parse::<usize>().unwrap());
            if length.is_some_and(|length| no_body || bytes.len() >= head + 4 + length) {
                return bytes;
            }
        }
        match stream.read(&mut buffer).unwrap() {
            0 => return bytes,
            count => bytes.extend_from_slice(&buffer[..count]),
        }
    }
}

/// The chunks of a text, whose line ends are one byte each by now; none where it is no text.
fn joined(mut rest: &str) -> Option<String> {
    let mut whole = String::new();
    while let Some((length, content)) = rest.split_once('\n') {
        let length = usize::from_str_radix(length.trim(), 16).ok()?;
        if length == 0 {
            return Some(whole);
        }
        whole.push_str(content.get(..length)?);
        rest = content.get(length..)?.trim_start_matches('\n');
    }
    panic!("the answer was cut short: {whole}")
}

impl Answer {
    pub fn parse(bytes: &[u8]) -> Self {
        let text = String::from_utf8_lossy(bytes).replace("\r\n", "\n");
        let (head, body) = text.split_once("\n\n").unwrap_or((&text, ""));
        let mut lines = head.lines();
        let status = lines.next().unwrap_or_default();
        let status = status.split(' ').nth(1).and_then(|code| code.parse().ok());
        let headers = lines.filter_map(|line| line.split_once(": "));
        let headers: Vec<(String, String)> = headers
            .map(|(n, v)| (n.to_lowercase(), v.to_owned()))
            .collect();
        let chunked = |(n, v): &(String, String)| n == "transfer-encoding" && v == "chunked";
        Answer {
            status: status.unwrap_or(0),
            body: match headers.iter().any(chunked) {
                true => joined(body).unwrap_or_else(|| body.to_owned()),
                false => body.to_owned(),
            },
            headers,
        }
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    }

    #[track_caller]
    pub fn value(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }
}
