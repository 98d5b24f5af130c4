//! Python omega|ml in a process of its own, on one database; asked line by line.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use super::server;
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The program called `name` of the Python that tests/servers.sh installs.
pub fn program(name: &str) -> PathBuf {
    server::program(&format!("om-venv/bin/{name}"))
}

/// A command of Python omega|ml on the database at `url`, with a home of its own.
pub fn command(name: &str, url: &str, home: &std::path::Path) -> Command {
    let mut command = Command::new(program(name));
    command
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("HOME", home)
        .env("TMPDIR", home)
        .env("OMEGA_TMP", home)
        .env("LC_ALL", "C.UTF-8")
        .env("OMEGA_MONGO_URL", url)
        .env("OMEGA_BROKER", "memory://")
        .current_dir(home);
    command
}

/// Python in a session of its own, which is this test's until it is dropped. Starting takes
/// seconds: all tests use one process, in turns, each on its own database.
pub struct Python(MutexGuard<'static, Option<Session>>);

struct Session {
    /// Ends when its input does.
    _process: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Session {
    fn start(url: &str) -> Self {
        // It removes the folder when its input ends: nobody tells when all tests are over.
        let home = std::env::temp_dir().join(format!("om-interop-{}", std::process::id()));
        std::fs::create_dir_all(&home).unwrap();
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/interop/session.py");
        let mut process = command("python", url, &home)
            .args(["-u", script])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(match std::env::var_os("OM_TEST_PYTHON_STDERR") {
                Some(_) => Stdio::inherit(),
                None => Stdio::null(),
            })
            .spawn()
            .unwrap();
        Session {
            input: process.stdin.take().unwrap(),
            output: BufReader::new(process.stdout.take().unwrap()),
            _process: process,
        }
    }
}

impl Python {
    /// Python on the database at `url`, as soon as no other test uses it.
    pub fn start(url: &str) -> Self {
        static SESSION: Mutex<Option<Session>> = Mutex::new(None);
        let mut session = SESSION.lock().unwrap_or_else(PoisonError::into_inner);
        session.get_or_insert_with(|| Session::start(url));
        let mut python = Python(session);
        python.ask(&json!({ "database": url })).unwrap();
        python
    }

    fn ask(&mut self, command: &Value) -> Result<Value, String> {
        let session = self.0.as_mut().unwrap();
        writeln!(session.input, "{command}").unwrap();
        session.input.flush().unwrap();
        let mut line = String::new();
        session.output.read_line(&mut line).unwrap();
        assert!(!line.is_empty(), "Python ended at {command}");
        let mut answer: Value = serde_json::from_str(&line).unwrap();
        match answer.get("error").and_then(Value::as_str) {
            Some(error) => Err(error.to_owned()),
            None => Ok(answer["value"].take()),
        }
    }

    /// The value of an expression, or what went wrong.
    pub fn attempt(&mut self, expression: &str) -> Result<Value, String> {
        self.ask(&json!({ "eval": expression }))
    }

    /// The value of an expression.
    pub fn eval(&mut self, expression: &str) -> Value {
        self.attempt(expression)
            .unwrap_or_else(|error| panic!("{expression}\n{error}"))
    }

    /// Runs statements.
    pub fn run(&mut self, statements: &str) {
        self.ask(&json!({ "exec": statements }))
            .unwrap_or_else(|error| panic!("{statements}\n{error}"));
    }

    /// Asserts that a table, or a series, is the expected one.
    pub fn same(&mut self, got: &str, expected: &str, index: bool) {
        let index = if index { "True" } else { "False" };
        let answer = self.eval(&format!("same({got}, {expected}, index={index})"));
        assert_eq!(
            answer.as_str(),
            Some("same"),
            "{got} is not {expected}: {}",
            answer.as_str().unwrap_or_default()
        );
    }
}
