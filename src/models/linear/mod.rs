//! Linear models. They work on the columns of a frame in blocks of rows that fit the
//! processor's cache; matrix products do the heavy part.

mod cholesky;
mod design;
mod elastic_net;
mod glm;
mod gram;
mod hyperplane;
mod isotonic;
mod least_squares;
mod linear_regression;
mod logistic;
mod loss;
mod newton;
mod qr;
mod ridge;

use super::registry::Entry;

/// The tables of the modules here, one line each.
pub const ENTRIES: &[&[Entry]] = &[
    linear_regression::ENTRIES,
    ridge::ENTRIES,
    elastic_net::ENTRIES,
    isotonic::ENTRIES,
    logistic::ENTRIES,
    glm::ENTRIES,
];

/// What every regressor here can do.
const ACTIONS: &[&str] = &["predict", "score"];
