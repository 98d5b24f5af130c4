//! Python's pickles as plain values: read in protocols 0 to 5, written in protocol 4 byte
//! for byte as CPython does.
//!
//! Nothing is ever imported or called. A class or function stands as [`Global`], what it
//! would have made as [`Object`]; both are inert data, and only the names in
//! `allowed` are let in at all. What a message may cost is bounded by [`Limits`].
//! What the objects mean is the business of the modules that know their shapes.

mod allowed;
mod arena;
mod big;
mod decode;
mod encode;
mod input;
mod machine;
mod memo;
mod opcode;
mod value;

#[cfg(test)]
mod decode_tests;

pub use allowed::is_allowed;
pub use big::BigInt;
pub use decode::{Limits, decode, decode_any};
pub use encode::encode;
pub use value::{Dict, Global, Made, Object, Value};
