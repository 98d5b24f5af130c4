//! What a process says on stderr, line by line, without waiting for it: what it said before
//! it answered has been read when its answer is.

use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use std::io::Read;
use std::process::ChildStderr;

/// The longest line that is kept.
const LONGEST: usize = 2000;
/// Bytes that are kept of a line that does not end.
const MOST: usize = 1 << 20;

/// The lines of a process.
pub(super) struct Said {
    pipe: Option<ChildStderr>,
    /// The start of a line that has not ended.
    rest: Vec<u8>,
}

impl Said {
    /// Listens to `pipe`.
    pub fn new(pipe: Option<ChildStderr>) -> Self {
        let pipe = pipe.filter(|pipe| {
            let flags = fcntl_getfl(pipe);
            flags.is_ok_and(|flags| fcntl_setfl(pipe, flags | OFlags::NONBLOCK).is_ok())
        });
        Said {
            pipe,
            rest: Vec::new(),
        }
    }

    /// The lines that have been said by now.
    pub fn lines(&mut self) -> Vec<String> {
        let mut lines = Vec::new();
        let mut buffer = [0_u8; 16 << 10];
        while let Some(pipe) = &mut self.pipe {
            match pipe.read(&mut buffer) {
                Ok(0) => {
                    self.pipe = None;
                    self.rest.push(b'\n');
                    self.cut(&mut lines);
                }
                Ok(count) => {
                    self.rest.extend(buffer.iter().take(count));
                    self.cut(&mut lines);
                }
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => break,
                Err(_) => self.pipe = None,
            }
        }
        lines
    }

    /// Takes whole lines off what was read.
    fn cut(&mut self, lines: &mut Vec<String>) {
        let mut start = 0;
        while let Some(end) = memchr::memchr(b'\n', self.rest.get(start..).unwrap_or_default()) {
            let line = self.rest.get(start..start + end).unwrap_or_default();
            let text = String::from_utf8_lossy(line);
            let text: String = text.trim_end().chars().take(LONGEST).collect();
            if !text.is_empty() {
                lines.push(text);
            }
            start += end + 1;
        }
        self.rest.drain(..start);
        self.rest.truncate(MOST);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::process::{Command, Stdio};

    #[test]
    fn lines_are_whole_and_the_last_needs_no_end() {
        let mut child = Command::new("sh")
            .args([
                "-c",
                "printf 'one\\n\\ntwo\\nthr' >&2; sleep 0.2; printf 'ee' >&2",
            ])
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = Said::new(child.stderr.take());
        let mut lines = Vec::new();
        while said.pipe.is_some() {
            lines.extend(said.lines());
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        assert_eq!(lines, ["one", "two", "three"]);
        assert!(child.wait().unwrap().success());
    }
}
