//! The real binary with a store in a home of its own.

#![allow(dead_code, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "../home/mod.rs"]
mod home;

use home::{Home, Run};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A home directory with a store; the working directory is `work`.
pub struct Om(Home, Option<String>);

impl Om {
    pub fn new() -> Self {
        Om(Home::new(), None)
    }

    /// With a database instead of a store in the home.
    pub fn on(database: &str) -> Self {
        Om(Home::new(), Some(database.to_owned()))
    }

    pub fn store(&self) -> PathBuf {
        self.0.path("store")
    }

    /// A path in the working directory.
    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path("work").join(name)
    }

    /// Writes a file in the working directory.
    pub fn file(&self, name: &str, content: impl AsRef<[u8]>) -> String {
        let path = self.path(name);
        std::fs::write(&path, content).unwrap();
        path.to_str().unwrap().to_owned()
    }

    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = self.0.om(args);
        match &self.1 {
            Some(database) => command.env("OMEGA_MONGO_URL", database),
            None => command.env(
                "OMEGA_STORE_URL",
                format!("file://{}", self.store().display()),
            ),
        };
        command
    }

    /// Runs om and waits.
    pub fn run(&self, args: &[&str]) -> Run {
        Run::of(self.command(args).output().unwrap())
    }

    /// Runs om with `input` on its standard input.
    pub fn pipe(&self, args: &[&str], input: impl AsRef<[u8]>) -> Run {
        let mut child = self
            .command(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let input = input.as_ref().to_vec();
        let writer = std::thread::spawn(move || {
            let _ = stdin.write_all(&input);
        });
        let output = child.wait_with_output().unwrap();
        writer.join().unwrap();
        Run::of(output)
    }

    /// Runs om, which must succeed; what it printed.
    #[track_caller]
    pub fn ok(&self, args: &[&str]) -> String {
        let run = self.run(args);
        assert_eq!(run.code, 0, "om {args:?}: {}", run.stderr);
        run.stdout
    }

    /// Runs om with `-o json`, which must succeed; the document.
    #[track_caller]
    pub fn json(&self, args: &[&str]) -> serde_json::Value {
        let text = self.ok(&[args, &["-o", "json"]].concat());
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
    }

    /// Runs om, which must fail with `code` and say `what` on stderr.
    #[track_caller]
    pub fn fails(&self, args: &[&str], code: i32, what: &str) {
        failed(&self.run(args), code, what);
    }
}

/// A failure says `what` on stderr and nothing on stdout.
#[track_caller]
pub fn failed(run: &Run, code: i32, what: &str) {
    assert_eq!(
        run.code, code,
        "stderr: {}\nstdout: {}",
        run.stderr, run.stdout
    );
    assert!(
        run.stderr.contains(what),
        "`{what}` is not in: {}",
        run.stderr
    );
    assert!(
        run.stderr.contains("error: "),
        "no error line: {}",
        run.stderr
    );
    assert!(!run.stderr.contains("panicked"), "{}", run.stderr);
    assert_eq!(run.stdout, "", "stdout carries results only");
}

/// A file of the example data.
pub fn data(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("examples/data")
        .join(name);
    path.to_str().unwrap().to_owned()
}
