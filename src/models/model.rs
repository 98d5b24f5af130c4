//! A model: a pipeline with what its training was.

use super::estimator::{Role, Target};
use super::labels::Labels;
use super::matrix;
use super::pipeline::{How, Pipeline};
use super::schema::{Schema, TargetSchema};
use super::target;
use crate::error::{Error, Result};
use ndarray::Array2;
use polars::prelude::{Column, DataFrame};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Parameters of the model itself, beside those of its steps.
const AUTO: &str = "auto";
const CLASSES: &str = "classes";

/// A pipeline of estimators, trained or not.
#[derive(Debug)]
pub struct Model {
    pub(super) spec: String,
    pub(super) given: Vec<(String, Value)>,
    pub(super) auto: bool,
    pub(super) classes: Option<Labels>,
    pub(super) pipeline: Pipeline,
    pub(super) training: Option<Training>,
    pub(super) data: Option<Data>,
    pub(super) scores: Map<String, Value>,
}

/// What the model was trained on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Training {
    /// The columns, in order.
    pub schema: Schema,
    /// The target, if there is one.
    pub target: Option<TargetSchema>,
    /// Number of rows, of all batches.
    pub rows: u64,
    /// The library's version.
    pub library: String,
}

/// The names of the data sets that the model was trained on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Data {
    /// The table, with its projection.
    pub x: String,
    /// The target, with its projection.
    pub y: Option<String>,
}

impl Model {
    /// A model, not trained. `spec` is `step|step(parameter=value,…)|…`; `params` are
    /// parameters of steps (`alpha`, `ridge__alpha`) or of the model: `auto` (insert what
    /// turns text and nulls into numbers; true) and `classes` (all labels that batches of
    /// `partial_fit` may bring).
    pub fn new(spec: &str, params: &[(String, Value)]) -> Result<Self> {
        let mut auto = true;
        let mut classes = None;
        let mut of_steps = Vec::new();
        for (name, value) in params {
            match (name.as_str(), value) {
                (AUTO, Value::Bool(flag)) => auto = *flag,
                (AUTO, _) => {
                    return Err(Error::usage("parameter auto must be true or false"));
                }
                (CLASSES, Value::Null) => classes = None,
                (CLASSES, Value::Array(labels)) => classes = Some(Labels::listed(labels)?),
                (CLASSES, _) => {
                    return Err(Error::usage("parameter classes must be a list of labels"));
                }
                _ => of_steps.push((name.clone(), value.clone())),
            }
        }
        Ok(Model {
            pipeline: Pipeline::new(spec, &of_steps)?,
            spec: spec.trim().to_string(),
            given: params.to_vec(),
            auto,
            classes,
            training: None,
            data: None,
            scores: Map::new(),
        })
    }

    /// The same spec with more parameters, not trained.
    pub fn with_params(&self, params: &[(String, Value)]) -> Result<Self> {
        let mut all = self.given.clone();
        all.extend_from_slice(params);
        Model::new(&self.spec, &all)
    }

    /// The spec.
    pub fn spec(&self) -> &str {
        &self.spec
    }

    /// What sort of answer the last step gives.
    pub fn role(&self) -> Result<Role> {
        Ok(self.pipeline.last()?.entry.role)
    }

    /// Whether the model was trained.
    pub fn is_trained(&self) -> bool {
        self.training.is_some()
    }

    /// What it was trained on.
    pub fn training(&self) -> Result<&Training> {
        self.training.as_ref().ok_or_else(|| {
            Error::conflict("the model is not trained yet")
                .hint("train it: om runtime model <name> fit <X> <Y>")
        })
    }

    /// The names of the data sets that it was trained on.
    pub fn data(&self) -> Option<(&str, Option<&str>)> {
        self.data
            .as_ref()
            .map(|data| (data.x.as_str(), data.y.as_deref()))
    }

    /// Notes the names of the data sets that it was trained on.
    pub fn set_data(&mut self, x: &str, y: Option<&str>) {
        self.data = Some(Data {
            x: x.to_string(),
            y: y.map(str::to_string),
        });
    }

    /// Scores noted with the model, by name.
    pub fn scores(&self) -> &Map<String, Value> {
        &self.scores
    }

    /// Notes a score; training anew forgets it.
    pub fn set_score(&mut self, name: &str, score: f64) {
        self.scores.insert(name.to_string(), score.into());
    }

    /// The class labels of a trained classifier, sorted.
    pub fn labels(&self) -> Option<&Labels> {
        self.training.as_ref()?.target.as_ref()?.labels.as_ref()
    }

    /// Learns from `x` and `y` (as many rows), forgetting what was learned before. After
    /// an error the model is as it was.
    pub fn fit(&mut self, x: &DataFrame, y: Option<&DataFrame>) -> Result<()> {
        self.train(x, y, How::Anew).map(drop)
    }

    /// Learns and transforms in one.
    pub fn fit_transform(&mut self, x: &DataFrame, y: Option<&DataFrame>) -> Result<DataFrame> {
        self.require("fit_transform")?;
        let result = self.train(x, y, How::Transforming)?;
        result.ok_or_else(|| Error::failed("the model gave no table"))
    }

    /// Learns on top of what was learned before. After an error the model must not be used.
    pub fn partial_fit(&mut self, x: &DataFrame, y: Option<&DataFrame>) -> Result<()> {
        self.require("partial_fit")?;
        let Some(training) = &mut self.training else {
            return self.train(x, y, How::OnTop).map(drop);
        };
        check_rows(x, y)?;
        let x = training.schema.align(x)?;
        let target = target::again(training.target.as_ref(), y)?;
        training.rows += x.height() as u64;
        self.pipeline.partial_fit(&x, &target)
    }

    fn train(
        &mut self,
        x: &DataFrame,
        y: Option<&DataFrame>,
        how: How,
    ) -> Result<Option<DataFrame>> {
        check_rows(x, y)?;
        let known = self.classes.as_ref().filter(|_| how == How::OnTop);
        let (target, target_schema): (Target, _) = target::learn(self.role()?, y, known)?;
        let mut pipeline = self.pipeline.fresh()?;
        let result = pipeline.fit(x, &target, self.auto, how)?;
        self.pipeline = pipeline;
        self.scores.clear();
        self.data = None;
        self.training = Some(Training {
            schema: Schema::of(x),
            target: target_schema,
            rows: x.height() as u64,
            library: env!("CARGO_PKG_VERSION").to_string(),
        });
        Ok(result)
    }

    /// A column named after the target for classifiers (labels as in training) and
    /// regressors (a column for each output), `cluster` for clusterers (-1 is noise),
    /// `label` for detectors (1 ordinary, -1 not).
    pub fn predict(&self, x: &DataFrame) -> Result<DataFrame> {
        let answers = self.raw_predict(x)?;
        let training = self.training()?;
        let names: Vec<&str> = match &training.target {
            Some(target) => target.columns.names().collect(),
            None => Vec::new(),
        };
        let first = answers.column(0);
        let column = match self.role()? {
            Role::Classifier => {
                let Some(labels) = self.labels() else {
                    return Err(Error::corrupt("the stored model has no class labels"));
                };
                let name = names.first().copied().unwrap_or("class");
                labels.column(name, first.iter().map(|class| *class as usize))
            }
            Role::Clusterer => whole("cluster", first.iter()),
            Role::Detector => whole("label", first.iter()),
            Role::Regressor | Role::Transformer => {
                if answers.ncols() == names.len() {
                    return matrix::frame(answers, &names);
                }
                return matrix::frame(answers.clone(), &numbered("prediction", answers.ncols()));
            }
        };
        Ok(column.into_frame())
    }

    /// A column for each class, named by its label.
    pub fn predict_proba(&self, x: &DataFrame) -> Result<DataFrame> {
        let x = self.input("predict_proba", x)?;
        let answers = self.pipeline.last()?.estimator.predict_proba(&x)?;
        let names = match self.labels() {
            Some(labels) if labels.count() == answers.ncols() => labels.names(),
            _ => numbered("cluster", answers.ncols()),
        };
        matrix::frame(answers, &names)
    }

    /// A column `decision` (two classes: above 0 is the second), or one for each class.
    pub fn decision_function(&self, x: &DataFrame) -> Result<DataFrame> {
        let x = self.input("decision_function", x)?;
        let answers = self.pipeline.last()?.estimator.decision_function(&x)?;
        let names = match self.labels() {
            Some(labels) if labels.count() == answers.ncols() => labels.names(),
            _ => numbered("decision", answers.ncols()),
        };
        matrix::frame(answers, &names)
    }

    /// The table transformed by all steps.
    pub fn transform(&self, x: &DataFrame) -> Result<DataFrame> {
        let x = self.input("transform", x)?;
        self.pipeline.last()?.estimator.transform(&x)
    }

    /// What each step learned: step → JSON.
    pub fn learned(&self) -> Value {
        let steps = self.pipeline.steps().iter();
        steps
            .map(|step| (step.id.clone(), step.estimator.learned()))
            .collect::<Map<String, Value>>()
            .into()
    }

    /// What the last step's `predict` gives: class indexes, groups, numbers.
    pub(super) fn raw_predict(&self, x: &DataFrame) -> Result<Array2<f64>> {
        let x = self.input("predict", x)?;
        self.pipeline.last()?.estimator.predict(&x)
    }

    /// The table that the last step gets, if it can do `action`.
    pub(super) fn input(&self, action: &str, x: &DataFrame) -> Result<DataFrame> {
        self.require(action)?;
        let x = self.training()?.schema.align(x)?;
        if x.height() == 0 {
            return Err(Error::invalid("the table has no rows"));
        }
        self.pipeline.before_last(&x)
    }

    fn require(&self, action: &str) -> Result<()> {
        let entry = self.pipeline.last()?.entry;
        if entry.can(action) {
            return Ok(());
        }
        Err(Error::usage(format!("{} has no {action}", entry.name))
            .hint(format!("it has fit, {}", entry.actions.join(", "))))
    }
}

fn check_rows(x: &DataFrame, y: Option<&DataFrame>) -> Result<()> {
    if x.height() == 0 || x.width() == 0 {
        return Err(Error::invalid("the table has no rows or no columns"));
    }
    match y {
        Some(y) if y.height() != x.height() => Err(Error::invalid(format!(
            "the table has {} rows, the target {}",
            x.height(),
            y.height()
        ))),
        _ => Ok(()),
    }
}

fn whole<'a>(name: &str, values: impl Iterator<Item = &'a f64>) -> Column {
    let values: Vec<i64> = values.map(|value| *value as i64).collect();
    Column::new(name.into(), values)
}

/// `name` alone, or `name_0`, `name_1`, ….
fn numbered(name: &str, count: usize) -> Vec<String> {
    match count {
        1 => vec![name.to_string()],
        _ => (0..count).map(|i| format!("{name}_{i}")).collect(),
    }
}
