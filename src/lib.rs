//! omega|ml as a library: data sets, models, jobs and scripts under names, in a
//! directory, in MongoDB or behind a REST API.

pub mod cli;
pub mod config;
pub mod error;
pub mod frame;
pub mod models;
pub mod progress;
pub mod storage;

pub use error::{Error, ErrorKind, Result};
