//! Estimators beyond the linear family and preprocessing, one file a family. Each file
//! has a table of its estimators; the tables are listed here, one line each.
//!
//! Parameters and defaults are scikit-learn's; seeds are 0 unless given. The same seed
//! gives the same model in every process and on any number of cores. Where linfa has the
//! algorithm, deterministic and safe on degenerate tables, linfa computes it; each file
//! says where it does not and why.

mod adaboost;
mod agglomerative;
mod bayes;
mod cart;
mod dbscan;
mod diffusion_map;
mod forest;
mod ftrl;
mod gaussian_mixture;
mod gradient_boosting;
mod ica;
mod input;
mod kernel_pca;
mod kmeans;
mod knn;
mod linear;
mod neighbours;
mod optics;
mod pca;
mod pls;
mod projection;
mod svm;
mod text;
mod tsne;
mod whitening;

use super::registry::{Entry, Param};

/// The tables of the modules here, one line each.
pub const ENTRIES: &[&[Entry]] = &[
    forest::ENTRIES,
    adaboost::ENTRIES,
    gradient_boosting::ENTRIES,
    bayes::ENTRIES,
    ftrl::ENTRIES,
    knn::ENTRIES,
    kmeans::ENTRIES,
    gaussian_mixture::ENTRIES,
    dbscan::ENTRIES,
    optics::ENTRIES,
    agglomerative::ENTRIES,
    pca::ENTRIES,
    pls::ENTRIES,
    ica::ENTRIES,
    whitening::ENTRIES,
    projection::ENTRIES,
    kernel_pca::ENTRIES,
    diffusion_map::ENTRIES,
    tsne::ENTRIES,
    text::ENTRIES,
    svm::CLASSIFIERS,
    svm::REGRESSORS,
    svm::DETECTORS,
];

const fn param(name: &'static str, default: &'static str, doc: &'static str) -> Param {
    Param { name, default, doc }
}

const SEED: Param = param("seed", "0", "seed of the random numbers");
