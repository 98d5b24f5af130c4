//! Estimators beyond the linear family and preprocessing, one file each.

use super::registry::Entry;

/// The tables of the modules here, one line each.
pub const ENTRIES: &[&[Entry]] = &[];
