//! omega|ml as a library: data sets, models, jobs and scripts under names, in a
//! directory, in MongoDB or behind a REST API.

pub mod access;
pub mod backends;
pub mod broker;
pub mod cli;
pub mod config;
pub mod error;
pub mod frame;
pub mod jobs;
pub mod models;
mod omega;
pub mod progress;
pub mod remote;
pub mod runtime;
pub mod scripts;
pub mod server;
mod sqlite;
pub mod storage;
pub mod store;

pub use error::{Error, ErrorKind, Result};
pub use omega::Omega;
pub use runtime::Models;
