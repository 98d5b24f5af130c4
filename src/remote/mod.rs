//! A server of ours as its clients see it: one place that sends requests, says who asks,
//! tries again where that is safe, and turns what comes back into our errors. What is sent
//! is [`wire`]'s; what it means is that of the storage and the runtime above.

mod body;
mod connection;
pub mod pieces;
pub mod rows;
pub mod wire;

pub use body::{Body, Pieces};
pub use connection::{Answer, Ask, Server};
