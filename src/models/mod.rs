//! Models: estimators under names, pipelines of them, their scores and their stored form.
//! Knows tables, not stores.

pub mod algorithms;
mod estimator;
mod labels;
mod linear;
pub mod matrix;
pub mod metrics;
mod model;
pub mod params;
mod pipeline;
mod preprocess;
pub mod registry;
mod schema;
mod score;
mod search;
mod spec;
pub mod split;
pub mod state;
mod stored;
mod summary;
mod target;

pub use estimator::{Estimator, Role, Target};
pub use labels::Labels;
pub use metrics::metrics;
pub use model::{Data, Model, Training};
pub use params::Params;
pub use registry::{Entry, Param, entries, find};
pub use schema::{Field, Kind, Schema, TargetSchema};
pub use score::default_metric;
pub use search::{GridSearch, SearchOptions, grid_search};
pub use spec::value_of;
pub use split::train_test_split;
pub use stored::FORMAT;
pub use summary::{EstimatorInfo, ParamInfo, estimators};
