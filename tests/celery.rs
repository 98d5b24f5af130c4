//! om among Python omega|ml and Celery, all of them real: workers and clients of both on
//! one RabbitMQ and one database, and Celery's own tools.
//!
//! The workers: `rust@om` of om takes tasks of `rust` and `both`, `py@om` of Python omega|ml
//! those of `py` and `both`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "celery/client_om.rs"]
mod client_om;
#[path = "celery/client_python.rs"]
mod client_python;
#[path = "celery/garbage.rs"]
mod garbage;
mod home;
#[path = "celery/jobs.rs"]
mod jobs;
mod rabbit;
mod server;
#[path = "celery/servers.rs"]
mod servers;
#[path = "celery/stack.rs"]
mod stack;
#[path = "celery/steering.rs"]
mod steering;
