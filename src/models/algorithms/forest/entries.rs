//! The members of the family: which parameters they take and where they start from.

use super::{Features, Forest, Kind, make};
use crate::error::Result;
use crate::models::algorithms::{SEED, input, param};
use crate::models::estimator::{Estimator, Role};
use crate::models::registry::{Entry, Param};

const DEPTH: Param = param("max_depth", "none", "most splits on the way to a leaf");
const SPLIT: Param = param(
    "min_samples_split",
    "2",
    "fewest rows of a node that is split",
);
const LEAVES: Param = param("min_samples_leaf", "1", "fewest rows of a leaf");
const DECREASE: Param = param(
    "min_impurity_decrease",
    "0",
    "least decrease of impurity, weighted by the node's share of rows",
);
const TREES: Param = param("n_estimators", "100", "number of trees");
const GINI: Param = param("criterion", "gini", "impurity: gini, entropy or log_loss");
const ERROR: Param = param("criterion", "squared_error", "impurity: squared_error");
const WEIGHT: Param = param(
    "class_weight",
    "none",
    "none, or balanced: classes weigh the same",
);
const SAMPLES: Param = param(
    "max_samples",
    "none",
    "rows drawn for a tree: a share (to 1) or a count (above 1); all rows unless given",
);
const FEATURES_ALL: Param = param(
    "max_features",
    "all",
    "columns a node looks at: sqrt, log2, all, a count (2) or a share (0.5)",
);
const FEATURES_SQRT: Param = param("max_features", "sqrt", FEATURES_ALL.doc);
const BOOTSTRAP: Param = param(
    "bootstrap",
    "true",
    "draw each tree's rows with replacement",
);
const NO_BOOTSTRAP: Param = param("bootstrap", "false", BOOTSTRAP.doc);

const CLASSIFIES: &[&str] = &["predict", "predict_proba", "score"];
const REGRESSES: &[&str] = &["predict", "score"];

fn load(bytes: &[u8]) -> Result<Box<dyn Estimator>> {
    input::load(bytes, Forest::sound)
}

macro_rules! entry {
    ($name:literal, $aliases:expr, $role:ident, $summary:literal, $params:expr, $kind:expr) => {
        Entry {
            name: $name,
            aliases: $aliases,
            role: Role::$role,
            summary: $summary,
            params: $params,
            actions: match Role::$role {
                Role::Classifier => CLASSIFIES,
                _ => REGRESSES,
            },
            new: |params| make(params, &$kind),
            load,
        }
    };
}

/// The estimators of this module.
pub(in crate::models::algorithms) const ENTRIES: &[Entry] = &[
    entry!(
        "decision-tree",
        &["DecisionTreeClassifier", "decision-tree-classifier"],
        Classifier,
        "one tree of yes-no questions about single columns",
        &[
            GINI,
            DEPTH,
            SPLIT,
            LEAVES,
            DECREASE,
            FEATURES_ALL,
            WEIGHT,
            SEED
        ],
        Kind {
            classes: true,
            trees: None,
            features: Features::All,
            bootstrap: None,
            random_thresholds: false
        }
    ),
    entry!(
        "decision-tree-regressor",
        &["DecisionTreeRegressor"],
        Regressor,
        "one tree of yes-no questions about single columns",
        &[ERROR, DEPTH, SPLIT, LEAVES, DECREASE, FEATURES_ALL, SEED],
        Kind {
            classes: false,
            trees: None,
            features: Features::All,
            bootstrap: None,
            random_thresholds: false
        }
    ),
    entry!(
        "random-forest",
        &["RandomForestClassifier", "random-forest-classifier"],
        Classifier,
        "the average of trees grown on redrawn rows and random columns",
        &[
            TREES,
            GINI,
            DEPTH,
            SPLIT,
            LEAVES,
            DECREASE,
            FEATURES_SQRT,
            BOOTSTRAP,
            SAMPLES,
            WEIGHT,
            SEED
        ],
        Kind {
            classes: true,
            trees: Some(100),
            features: Features::Sqrt,
            bootstrap: Some(true),
            random_thresholds: false
        }
    ),
    entry!(
        "random-forest-regressor",
        &["RandomForestRegressor"],
        Regressor,
        "the average of trees grown on redrawn rows",
        &[
            TREES,
            ERROR,
            DEPTH,
            SPLIT,
            LEAVES,
            DECREASE,
            FEATURES_ALL,
            BOOTSTRAP,
            SAMPLES,
            SEED
        ],
        Kind {
            classes: false,
            trees: Some(100),
            features: Features::All,
            bootstrap: Some(true),
            random_thresholds: false
        }
    ),
    entry!(
        "extra-trees",
        &["ExtraTreesClassifier", "extra-trees-classifier"],
        Classifier,
        "the average of trees with random thresholds",
        &[
            TREES,
            GINI,
            DEPTH,
            SPLIT,
            LEAVES,
            DECREASE,
            FEATURES_SQRT,
            NO_BOOTSTRAP,
            SAMPLES,
            WEIGHT,
            SEED
        ],
        Kind {
            classes: true,
            trees: Some(100),
            features: Features::Sqrt,
            bootstrap: Some(false),
            random_thresholds: true
        }
    ),
    entry!(
        "extra-trees-regressor",
        &["ExtraTreesRegressor"],
        Regressor,
        "the average of trees with random thresholds",
        &[
            TREES,
            ERROR,
            DEPTH,
            SPLIT,
            LEAVES,
            DECREASE,
            FEATURES_ALL,
            NO_BOOTSTRAP,
            SAMPLES,
            SEED
        ],
        Kind {
            classes: false,
            trees: Some(100),
            features: Features::All,
            bootstrap: Some(false),
            random_thresholds: true
        }
    ),
    entry!(
        "bagging",
        &["BaggingClassifier", "bagging-classifier"],
        Classifier,
        "the average of trees grown on redrawn rows",
        &[
            param("n_estimators", "10", TREES.doc),
            GINI,
            DEPTH,
            SPLIT,
            LEAVES,
            DECREASE,
            FEATURES_ALL,
            BOOTSTRAP,
            SAMPLES,
            WEIGHT,
            SEED
        ],
        Kind {
            classes: true,
            trees: Some(10),
            features: Features::All,
            bootstrap: Some(true),
            random_thresholds: false
        }
    ),
    entry!(
        "bagging-regressor",
        &["BaggingRegressor"],
        Regressor,
        "the average of trees grown on redrawn rows",
        &[
            param("n_estimators", "10", TREES.doc),
            ERROR,
            DEPTH,
            SPLIT,
            LEAVES,
            DECREASE,
            FEATURES_ALL,
            BOOTSTRAP,
            SAMPLES,
            SEED
        ],
        Kind {
            classes: false,
            trees: Some(10),
            features: Features::All,
            bootstrap: Some(true),
            random_thresholds: false
        }
    ),
];
