//! Steps that turn a table into another before an algorithm sees it. Columns keep
//! their names as far as they stay the same columns.

mod category;
mod imputer;
mod max_abs_scaler;
mod min_max_scaler;
mod normalizer;
mod one_hot;
mod ordinal;
mod polynomial;
mod robust_scaler;
mod scale;
mod standard_scaler;

use super::registry::Entry;

/// The tables of the modules here, one line each.
pub const ENTRIES: &[&[Entry]] = &[
    standard_scaler::ENTRIES,
    min_max_scaler::ENTRIES,
    max_abs_scaler::ENTRIES,
    robust_scaler::ENTRIES,
    normalizer::ENTRIES,
    imputer::ENTRIES,
    one_hot::ENTRIES,
    ordinal::ENTRIES,
    polynomial::ENTRIES,
];

/// What every transformer here can do.
const ACTIONS: &[&str] = &["transform", "fit_transform"];
