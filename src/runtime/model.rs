//! The actions of models (spec/runtime.md §5): load, run on data, store what came out.

use super::objects::RUNS_HERE;
use super::{Input, Objects, Outcome};
use crate::error::{Error, Result};
use crate::models::{self, Model, SearchOptions};
use crate::storage::{Metadata, Update};
use crate::store::{Name, PutOptions};
use bson::{Bson, doc};
use polars::prelude::DataFrame;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What a model does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Learn.
    Fit,
    /// Learn more.
    PartialFit,
    /// Predict.
    Predict,
    /// Probabilities of the classes.
    PredictProba,
    /// Transform a table.
    Transform,
    /// Learn and transform.
    FitTransform,
    /// How good it is.
    Score,
    /// How sure it is.
    DecisionFunction,
    /// Find the best parameters by cross-validation.
    Gridsearch,
}

impl Action {
    /// All actions with their names.
    pub const ALL: &[(&str, Action)] = &[
        ("fit", Action::Fit),
        ("partial_fit", Action::PartialFit),
        ("predict", Action::Predict),
        ("predict_proba", Action::PredictProba),
        ("transform", Action::Transform),
        ("fit_transform", Action::FitTransform),
        ("score", Action::Score),
        ("decision_function", Action::DecisionFunction),
        ("gridsearch", Action::Gridsearch),
    ];

    /// The name.
    pub fn name(self) -> &'static str {
        let mut all = Self::ALL.iter();
        all.find(|(_, action)| *action == self)
            .map_or("", |(name, _)| name)
    }

    /// The action called `name`; `-` and `_` are the same.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Usage`], with the nearest name.
    pub fn parse(name: &str) -> Result<Self> {
        let wanted = name.replace('-', "_");
        match Self::ALL.iter().find(|(name, _)| *name == wanted) {
            Some((_, action)) => Ok(*action),
            None => {
                let names = Self::ALL.iter().map(|(name, _)| *name);
                let error = Error::usage(format!("models have no action `{name}`"));
                Err(match crate::error::nearest(&wanted, names.clone()) {
                    Some(near) => error.hint(format!("did you mean `{near}`?")),
                    None => error.hint(format!("one of {}", names.collect::<Vec<_>>().join(", "))),
                })
            }
        }
    }
}

/// One action of one model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ModelCall {
    /// The model's name.
    pub model: String,
    /// What to do.
    pub action: Action,
    /// The data; none or `*` for what the model was trained on.
    pub x: Option<Input>,
    /// The target.
    pub y: Option<Input>,
    /// Store the answer under this name, in datasets (gridsearch: in models).
    pub result: Option<String>,
    /// Parameters: of the estimator on fit, the grid (lists of values) on gridsearch.
    #[serde(default)]
    pub params: Vec<(String, Value)>,
    /// How to score; R² or accuracy unless given.
    #[serde(default)]
    pub metric: Option<String>,
    /// Folds of the cross-validation.
    #[serde(default)]
    pub folds: Option<usize>,
}

impl ModelCall {
    /// `action` of `model`, on what the model was trained on.
    pub fn new(model: &str, action: Action) -> Self {
        ModelCall {
            model: model.to_owned(),
            action,
            x: None,
            y: None,
            result: None,
            params: Vec::new(),
            metric: None,
            folds: None,
        }
    }

    /// Runs the action on the objects of `om`.
    pub fn run(&self, om: &Objects) -> Result<Outcome> {
        self.run_as(om, &om.models.metadata(&self.model)?)
    }

    /// Runs the action of the model with this metadata.
    pub(super) fn run_as(&self, om: &Objects, metadata: &Metadata) -> Result<Outcome> {
        let object = metadata.key.to_string();
        if metadata.kind != RUNS_HERE {
            return super::external::run(self, om, metadata).map_err(|error| error.on(object));
        }
        self.dispatch(om, metadata)
            .map_err(|error| error.on(object))
    }

    fn dispatch(&self, om: &Objects, metadata: &Metadata) -> Result<Outcome> {
        let x_input = default_input(self.x.as_ref(), metadata, "Xname")?;
        let x_input = x_input.ok_or_else(|| {
            Error::usage("there is no data to work on")
                .hint("name a data set or give rows: '[[1.0, 2.0]]'")
        })?;
        let y_input = match self.action {
            Action::Fit
            | Action::PartialFit
            | Action::FitTransform
            | Action::Gridsearch
            | Action::Score => default_input(self.y.as_ref(), metadata, "Yname")?,
            _ => None,
        };
        let x = x_input.table(&om.datasets)?;
        let y = y_input
            .as_ref()
            .map(|input| input.table(&om.datasets))
            .transpose()?;
        om.progress.check()?;
        let open = || om.models.open_as(&self.model, metadata);
        let ask = |work: fn(&Model, &DataFrame) -> Result<DataFrame>| {
            om.models.ask(&open()?, self.action, &x, work)
        };
        let answer = match self.action {
            Action::Predict => ask(Model::predict)?,
            Action::PredictProba => ask(Model::predict_proba)?,
            Action::DecisionFunction => ask(Model::decision_function)?,
            Action::Transform => open()?.transform(&x)?,
            _ => return self.change(om, &x_input, y_input.as_ref(), &x, y.as_ref()),
        };
        self.answer(om, answer)
    }

    /// What changes the model, or notes something with it.
    fn change(
        &self,
        om: &Objects,
        x_input: &Input,
        y_input: Option<&Input>,
        x: &DataFrame,
        y: Option<&DataFrame>,
    ) -> Result<Outcome> {
        let mut model = om.models.load(&self.model)?;
        match self.action {
            Action::Fit => {
                if !self.params.is_empty() {
                    model = model.with_params(&self.params)?;
                }
                model.fit(x, y)?;
                self.store_model(om, &mut model, x_input, y_input, x, y)
            }
            Action::PartialFit => {
                model.partial_fit(x, y)?;
                self.store_model(om, &mut model, x_input, y_input, x, y)
            }
            Action::FitTransform => {
                let transformed = model.fit_transform(x, y)?;
                self.store_model(om, &mut model, x_input, y_input, x, y)?;
                self.answer(om, transformed)
            }
            Action::Gridsearch => self.gridsearch(om, &model, x_input, y_input, x, y),
            // Whatever is left is no change, and a score the only one of it.
            _ => {
                let score = model.score(x, y, self.metric.as_deref())?;
                self.note_score(om, &model, score, x_input, y_input)?;
                Ok(Outcome::Number(score))
            }
        }
    }

    /// Stores the fitted model and what it was trained on (spec/storage.md §15, `dataset`).
    fn store_model(
        &self,
        om: &Objects,
        model: &mut Model,
        x_input: &Input,
        y_input: Option<&Input>,
        x: &DataFrame,
        y: Option<&DataFrame>,
    ) -> Result<Outcome> {
        let name = Name::parse(&self.model)?.object;
        if let Some(x_name) = x_input.name() {
            model.set_data(x_name, y_input.and_then(Input::name));
        }
        let options = PutOptions {
            attributes: doc! { "dataset": trained_on(x_input, y_input, x, y, self.result.as_deref()) },
            ..PutOptions::default()
        };
        let metadata = om.models.save(&name, model, &options)?;
        Ok(Outcome::Metadata(Box::new(metadata)))
    }

    /// Keeps the latest score by each metric with the model.
    fn note_score(
        &self,
        om: &Objects,
        model: &Model,
        score: f64,
        x_input: &Input,
        y_input: Option<&Input>,
    ) -> Result<()> {
        let metric = match &self.metric {
            Some(metric) => metric.as_str(),
            None => models::default_metric(model.role()?).unwrap_or("score"),
        };
        let entry = doc! {
            "value": score,
            "Xname": text(x_input.name()),
            "Yname": text(y_input.and_then(Input::name)),
            "datetime": crate::storage::local_now(),
        };
        let update = Update {
            set: vec![(format!("attributes.scores.{metric}"), Bson::Document(entry))],
            ..Update::default()
        };
        om.models.update(&self.model, &update)?;
        Ok(())
    }

    fn answer(&self, om: &Objects, frame: DataFrame) -> Result<Outcome> {
        match &self.result {
            Some(name) => {
                let metadata = om.datasets.put_frame(name, frame)?;
                Ok(Outcome::Metadata(Box::new(metadata)))
            }
            None => Ok(Outcome::Table(frame)),
        }
    }

    fn gridsearch(
        &self,
        om: &Objects,
        model: &Model,
        x_input: &Input,
        y_input: Option<&Input>,
        x: &DataFrame,
        y: Option<&DataFrame>,
    ) -> Result<Outcome> {
        let grid: Vec<(String, Vec<Value>)> = self
            .params
            .iter()
            .map(|(name, value)| match value {
                Value::Array(values) => (name.clone(), values.clone()),
                single => (name.clone(), vec![single.clone()]),
            })
            .collect();
        if grid.is_empty() {
            return Err(Error::usage("there is no grid to search")
                .hint("give values to try: --param 'C=[0.1, 1, 10]'"));
        }
        let options = SearchOptions {
            folds: self.folds.unwrap_or(5),
            metric: self.metric.clone(),
            ..SearchOptions::default()
        };
        let search = models::grid_search(model, x, y, &grid, &options, &*om.progress)?;
        let now = chrono::Local::now().naive_local();
        let name = match &self.result {
            Some(name) => name.clone(),
            None => format!("{}.{}.gs", self.model, now.format("%Y-%m-%dT%H:%M:%S%.6f")),
        };
        let options = PutOptions {
            attributes: doc! { "dataset": trained_on(x_input, y_input, x, y, None) },
            ..PutOptions::default()
        };
        om.models.save(&name, &search.best, &options)?;
        let entry = doc! {
            "datetime": crate::storage::local_now(),
            "Xname": text(x_input.name()),
            "Yname": text(y_input.and_then(Input::name)),
            "gsModel": &name,
        };
        let update = Update {
            push: vec![("attributes.gridsearch".to_owned(), Bson::Document(entry))],
            ..Update::default()
        };
        om.models.update(&self.model, &update)?;
        om.progress
            .note(&format!("the best model is stored as models/{name}"));
        Ok(Outcome::Table(search.results))
    }
}

/// The input given, or for none and `*` what the model's metadata remembers.
pub(super) fn default_input(
    given: Option<&Input>,
    metadata: &Metadata,
    field: &str,
) -> Result<Option<Input>> {
    match given {
        Some(input) if input.name() != Some("*") => Ok(Some(input.clone())),
        star => {
            let remembered = metadata
                .attributes
                .get_document("dataset")
                .ok()
                .and_then(|dataset| dataset.get_str(field).ok())
                .map(|name| Input::Name(name.to_owned()));
            match (star, remembered) {
                (Some(_), None) => Err(Error::usage(format!(
                    "{} was not trained on a stored data set, so `*` means nothing",
                    metadata.key
                ))),
                (_, remembered) => Ok(remembered),
            }
        }
    }
}

pub(super) fn trained_on(
    x_input: &Input,
    y_input: Option<&Input>,
    x: &DataFrame,
    y: Option<&DataFrame>,
    result: Option<&str>,
) -> Bson {
    let names = |frame: &DataFrame| {
        Bson::Array(
            frame
                .get_column_names()
                .iter()
                .map(|name| name.as_str().into())
                .collect(),
        )
    };
    Bson::Document(doc! {
        "Xname": text(x_input.name()),
        "Yname": text(y_input.and_then(Input::name)),
        "features": names(x),
        "labels": y.map_or(Bson::Null, names),
        "rName": text(result),
        "kwargs": {},
    })
}

fn text(text: Option<&str>) -> Bson {
    text.map_or(Bson::Null, Bson::from)
}
