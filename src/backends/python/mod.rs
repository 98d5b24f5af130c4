//! The backend for Python's models. Its source is part of this program; the interpreter is
//! the user's.

use super::pool::Program;
use crate::config::interpreter::Python;

const SOURCE: &str = include_str!("backend.py");

/// The kinds that it runs: omega|ml's, stored as omega|ml stores them.
pub(super) const KINDS: [&str; 5] = [
    "sklearn.joblib",
    "python.model",
    "mlflow.model",
    "keras.h5",
    "tfkeras.h5",
];

/// The backend with this interpreter.
pub(super) fn program(python: &Python, env: &[(String, String)]) -> Program {
    Program {
        args: vec!["-c".into(), SOURCE.into()],
        env: env.to_vec(),
        name: Some(format!("Python ({})", python.program().display())),
        ..Program::new(python.program().to_owned())
    }
}
