//! Models.

mod estimator;

pub use estimator::{Estimator, Role, Target};
