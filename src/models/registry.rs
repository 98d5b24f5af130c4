//! Every estimator under its name. A module with estimators has a table; the tables are
//! listed here, one line a module.

use super::algorithms;
use super::estimator::{Estimator, Role};
use super::linear;
use super::params::Params;
use super::preprocess;
use crate::error::{Error, Result, nearest};

/// One estimator: what it is called, what it does, how it is made.
#[derive(Debug)]
pub struct Entry {
    /// The name in specs, kebab-case.
    pub name: &'static str,
    /// Other names, scikit-learn's class name first.
    pub aliases: &'static [&'static str],
    /// What sort of answer it gives.
    pub role: Role,
    /// One line for `om models estimators`.
    pub summary: &'static str,
    /// All parameters.
    pub params: &'static [Param],
    /// What it can do beyond `fit`: `partial_fit`, `predict`, `predict_proba`,
    /// `decision_function`, `transform`, `fit_transform`, `score`.
    pub actions: &'static [&'static str],
    /// Makes one, not fitted.
    pub new: fn(&Params) -> Result<Box<dyn Estimator>>,
    /// Reads back what [`Estimator::save`] wrote.
    pub load: fn(&[u8]) -> Result<Box<dyn Estimator>>,
}

/// One parameter of an estimator.
#[derive(Debug, Clone, Copy)]
pub struct Param {
    /// scikit-learn's name where there is one.
    pub name: &'static str,
    /// The default as the user would write it.
    pub default: &'static str,
    /// One line.
    pub doc: &'static str,
}

impl Entry {
    /// Makes one after refusing parameters that it does not have.
    pub fn make(&self, params: &Params) -> Result<Box<dyn Estimator>> {
        params.check(self.name, self.params)?;
        (self.new)(params)
    }

    /// Whether it can do `action`.
    pub fn can(&self, action: &str) -> bool {
        action == "fit" || self.actions.contains(&action)
    }

    /// Whether `name` means this entry: its name, an alias, or scikit-learn's class with
    /// its module path.
    fn is(&self, name: &str) -> bool {
        let class = name.rsplit('.').next().unwrap_or(name);
        let wanted = if name.starts_with("sklearn.") {
            class
        } else {
            name
        };
        self.name == wanted
            || self.name == wanted.replace('_', "-")
            || self.aliases.contains(&wanted)
    }
}

/// The tables, one line a module.
const TABLES: &[&[&[Entry]]] = &[preprocess::ENTRIES, linear::ENTRIES, algorithms::ENTRIES];

/// All estimators, in the order of the tables.
pub fn entries() -> impl Iterator<Item = &'static Entry> {
    TABLES.iter().copied().flatten().copied().flatten()
}

/// The estimator called `name`.
pub fn find(name: &str) -> Result<&'static Entry> {
    entries().find(|entry| entry.is(name)).ok_or_else(|| {
        let error = Error::usage(format!("no estimator is called {name}"));
        let class = name.rsplit('.').next().unwrap_or(name);
        let known = entries()
            .flat_map(|entry| std::iter::once(entry.name).chain(entry.aliases.iter().copied()));
        match nearest(class, known) {
            Some(near) => error.hint(format!("did you mean `{near}`?")),
            None => error.hint("list them with: om models estimators"),
        }
    })
}
