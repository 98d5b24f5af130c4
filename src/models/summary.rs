//! What people see of a model and of the estimators there are.

use super::model::Model;
use super::registry::{Entry, Param, entries};
use super::schema::Schema;
use super::stored::FORMAT;
use serde_json::{Map, Value, json};

/// One estimator, as `om models estimators` shows it.
#[derive(Debug, Clone, serde::Serialize)]
pub struct EstimatorInfo {
    /// Its name in specs.
    pub name: &'static str,
    /// `regressor`, `classifier`, `clusterer`, `detector` or `transformer`.
    pub role: super::Role,
    /// One line.
    pub summary: &'static str,
    /// Other names.
    pub aliases: &'static [&'static str],
    /// What it can do; `fit` first.
    pub actions: Vec<&'static str>,
    /// Its parameters.
    pub params: Vec<ParamInfo>,
}

/// One parameter of an estimator.
#[derive(Debug, Clone, serde::Serialize)]
pub struct ParamInfo {
    /// Its name.
    pub name: &'static str,
    /// The default as a user would write it.
    pub default: &'static str,
    /// One line.
    pub doc: &'static str,
}

/// All estimators, in the registry's order.
pub fn estimators() -> Vec<EstimatorInfo> {
    entries().map(info).collect()
}

fn info(entry: &Entry) -> EstimatorInfo {
    EstimatorInfo {
        name: entry.name,
        role: entry.role,
        summary: entry.summary,
        aliases: entry.aliases,
        actions: actions(entry),
        params: entry
            .params
            .iter()
            .map(|Param { name, default, doc }| ParamInfo { name, default, doc })
            .collect(),
    }
}

fn actions(entry: &Entry) -> Vec<&'static str> {
    std::iter::once("fit")
        .chain(entry.actions.iter().copied())
        .collect()
}

impl Model {
    /// The model for people and programs: spec, role, actions, steps with parameters and
    /// what they learned, training schema, classes, scores, versions.
    pub fn summary(&self) -> Value {
        let steps = self.pipeline.steps();
        let last = steps.last().map(|step| step.entry);
        let described = steps.iter().map(|step| {
            let defaults = step.entry.params.iter().map(|param| {
                let given = step.params.get(param.name);
                let value = given.cloned().unwrap_or_else(|| default(param.default));
                (param.name.to_string(), value)
            });
            json!({
                "step": step.id,
                "estimator": step.entry.name,
                "role": step.entry.role,
                "inserted": step.auto,
                "params": defaults.collect::<Map<String, Value>>(),
                "given": step.params,
                "learned": step.estimator.learned(),
            })
        });
        let training = self.training.as_ref();
        let target = training.and_then(|training| training.target.as_ref());
        json!({
            "spec": self.spec,
            "role": last.map(|entry| entry.role),
            "actions": last.map(actions),
            "trained": training.is_some(),
            "auto": self.auto,
            "steps": described.collect::<Vec<Value>>(),
            "columns": training.map(|training| columns(&training.schema)),
            "target": target.map(|target| columns(&target.columns)),
            "classes": target.and_then(|target| target.labels.as_ref()).map(|l| l.json()),
            "rows": training.map(|training| training.rows),
            "data": self.data,
            "scores": self.scores,
            "library": training.map_or(env!("CARGO_PKG_VERSION"), |t| t.library.as_str()),
            "format": FORMAT,
        })
    }
}

/// Name → type.
fn columns(schema: &Schema) -> Map<String, Value> {
    let fields = schema.0.iter();
    fields
        .map(|field| (field.name.clone(), field.dtype.clone().into()))
        .collect()
}

/// A default as JSON where it is one, else as it is written.
fn default(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|_| text.into())
}
