//! Models: estimators under names, pipelines of them, their scores and their stored form.
//! Knows tables, not stores.

pub mod algorithms;
mod estimator;
mod linear;
pub mod matrix;
pub mod params;
mod preprocess;
pub mod registry;
pub mod state;

pub use estimator::{Estimator, Role, Target};
pub use params::Params;
pub use registry::{Entry, Param, entries, find};
