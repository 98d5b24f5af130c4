//! Support vector machines: classes, numbers and outliers, with linear, polynomial and
//! radial kernels; scikit-learn's (libsvm's) formulations, so that results agree.
//!
//! Own solver: linfa-svm holds the kernel of all pairs of rows (twice), cannot be told
//! to stop, and solves nu-SVR without its second constraint, as if epsilon were zero.

mod classifier;
pub(super) mod kernel;
mod one_class;
mod platt;
mod regressor;
mod smo;

use super::param;
use crate::models::registry::Param;

pub(super) use classifier::ENTRIES as CLASSIFIERS;
pub(super) use one_class::ENTRIES as DETECTORS;
pub(super) use regressor::ENTRIES as REGRESSORS;

const C: Param = param(
    "C",
    "1.0",
    "price of errors: the larger, the closer the fit",
);
const KERNEL: Param = param("kernel", "rbf", "linear, poly or rbf");
pub(super) const DEGREE: Param = param("degree", "3", "degree of the poly kernel");
pub(super) const GAMMA: Param = param(
    "gamma",
    "scale",
    "width of poly and rbf: scale (1 / columns / variance), auto (1 / columns) or a number",
);
pub(super) const COEF0: Param = param("coef0", "0.0", "constant of the poly kernel");
const TOL: Param = param("tol", "1e-3", "stop when optimality is violated by less");
const MAX_ITER: Param = param("max_iter", "none", "most iterations of the solver");
