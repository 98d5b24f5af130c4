//! The real binary with a store in a home of its own.

#![allow(dead_code, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "../home/mod.rs"]
mod home;

use home::{Home, Run};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// What is looked for in messages, which must not show it.
pub const KEY: &str = "om_sesame_0pen";

/// A home directory with a store; the working directory is `work`.
pub struct Om(Home, Objects);

/// Where objects live.
enum Objects {
    Store,
    Database(String),
    /// The store, behind a server of the real binary.
    Server {
        process: Child,
        url: String,
    },
}

impl Drop for Objects {
    fn drop(&mut self) {
        if let Objects::Server { process, .. } = self {
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

impl Om {
    /// With a store; behind a server where `OM_TEST_REMOTE` is set, for whole suites of
    /// tests of the command line.
    pub fn new() -> Self {
        match std::env::var_os("OM_TEST_REMOTE") {
            Some(_) => Om::behind_a_server(&[]),
            None => Om::here(),
        }
    }

    /// With a store, whatever the environment says.
    pub fn here() -> Self {
        Om(Home::new(), Objects::Store)
    }

    /// With a database instead of a store in the home.
    pub fn on(database: &str) -> Self {
        Om(Home::new(), Objects::Database(database.to_owned()))
    }

    /// With the store behind a server of its own.
    pub fn behind_a_server(args: &[&str]) -> Self {
        let mut om = Om::here();
        let mut process = om
            .command(&[&["server", "--port", "0"], args].concat())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut url = String::new();
        BufReader::new(process.stdout.take().unwrap())
            .read_line(&mut url)
            .unwrap();
        let url = url.trim().to_owned();
        om.1 = Objects::Server { process, url };
        om
    }

    /// Whether its store is behind a server.
    pub fn is_remote(&self) -> bool {
        matches!(self.1, Objects::Server { .. })
    }

    /// Where its server is.
    pub fn url(&self) -> &str {
        match &self.1 {
            Objects::Server { url, .. } => url,
            _ => panic!("there is no server"),
        }
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
            Objects::Database(database) => command.env("OMEGA_MONGO_URL", database),
            Objects::Store => command.env(
                "OMEGA_STORE_URL",
                format!("file://{}", self.store().display()),
            ),
            Objects::Server { url, .. } => command
                .env("OMEGA_RESTAPI_URL", url)
                .env("OMEGA_USERID", "eva")
                .env("OMEGA_APIKEY", KEY),
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
