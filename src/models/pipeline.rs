//! A row of steps of which each feeds the next; the last one answers.

use super::estimator::{Estimator, Target};
use super::matrix;
use super::params::{self, Params};
use super::registry::{Entry, Param, find};
use super::spec;
use crate::error::{Error, Result, nearest};
use polars::prelude::{Column, DataFrame};
use serde_json::{Value, json};

/// Most columns that an encoder inserted by itself makes of one column.
const AUTO_CATEGORIES: usize = 50;

/// One step.
#[derive(Debug)]
pub struct Step {
    /// Its name in the pipeline, unique: the estimator's name, `-2` and so on at repetitions.
    pub id: String,
    /// What it is.
    pub entry: &'static Entry,
    /// Parameters as given.
    pub params: Params,
    /// Whether it was inserted because the table needed it.
    pub auto: bool,
    /// The estimator.
    pub estimator: Box<dyn Estimator>,
}

/// What is done with the last step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum How {
    /// Learn anew.
    Anew,
    /// Learn anew and transform.
    Transforming,
    /// Learn on top.
    OnTop,
}

/// Steps, at least one.
#[derive(Debug)]
pub struct Pipeline {
    steps: Vec<Step>,
}

impl Step {
    fn new(entry: &'static Entry, params: Params, auto: bool) -> Result<Self> {
        Ok(Step {
            id: entry.name.to_string(),
            estimator: entry.make(&params)?,
            entry,
            params,
            auto,
        })
    }
}

impl Pipeline {
    /// The steps of a spec with parameters set on top: `alpha`, or `ridge__alpha` where
    /// several steps have it.
    pub fn new(text: &str, params: &[(String, Value)]) -> Result<Self> {
        let mut planned = Vec::new();
        for step in spec::parse(text)? {
            let entry = find(&step.name)?;
            step.params.check(entry.name, entry.params)?;
            let earlier = planned
                .iter()
                .filter(|(_, e, _): &&(String, &Entry, Params)| e.name == entry.name);
            let id = match earlier.count() {
                0 => entry.name.to_string(),
                n => format!("{}-{}", entry.name, n + 1),
            };
            planned.push((id, entry, step.params));
        }
        for (name, value) in params {
            address(&mut planned, name, value)?;
        }
        if let Some((_, before)) = planned.split_last()
            && let Some((id, _, _)) = before.iter().find(|(_, entry, _)| !entry.can("transform"))
        {
            return Err(Error::usage(format!(
                "{id} does not transform tables, so it can only be the last step"
            )));
        }
        let steps = planned.into_iter().map(|(id, entry, params)| {
            let step = Step::new(entry, params, false)?;
            Ok(Step { id, ..step })
        });
        Ok(Pipeline {
            steps: steps.collect::<Result<Vec<Step>>>()?,
        })
    }

    /// From steps read back.
    pub fn of(steps: Vec<Step>) -> Result<Self> {
        if steps.is_empty() {
            return Err(Error::corrupt("the stored model has no steps"));
        }
        Ok(Pipeline { steps })
    }

    /// The steps in order.
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// The step that answers.
    pub fn last(&self) -> Result<&Step> {
        self.steps
            .last()
            .ok_or_else(|| Error::failed("the model has no steps"))
    }

    /// The same without anything learned and without the steps inserted by themselves.
    pub fn fresh(&self) -> Result<Self> {
        let own = self.steps.iter().filter(|step| !step.auto);
        let steps = own.map(|step| {
            let fresh = Step::new(step.entry, step.params.clone(), false)?;
            Ok(Step {
                id: step.id.clone(),
                ..fresh
            })
        });
        Ok(Pipeline {
            steps: steps.collect::<Result<Vec<Step>>>()?,
        })
    }

    /// Trains all steps; with `auto` those are inserted that turn text and nulls into
    /// numbers where a step needs it. The table for [`How::Transforming`].
    pub fn fit(
        &mut self,
        x: &DataFrame,
        y: &Target,
        auto: bool,
        how: How,
    ) -> Result<Option<DataFrame>> {
        let mut x = x.clone();
        let mut place = 0;
        let mut result = None;
        let mut checked = !auto;
        while place < self.steps.len() {
            let raw = self
                .steps
                .get(place)
                .is_none_or(|step| step.estimator.takes_raw());
            if !checked && !raw {
                checked = true;
                for step in needed(&x)? {
                    self.steps.insert(place, self.unique(step));
                    let step = self.steps.get_mut(place);
                    if let Some(step) = step {
                        x = step.estimator.fit_transform(&x, y)?;
                    }
                    place += 1;
                }
            }
            let last = place + 1 == self.steps.len();
            let Some(step) = self.steps.get_mut(place) else {
                break;
            };
            match (last, how) {
                (false, _) => x = step.estimator.fit_transform(&x, y)?,
                (true, How::Anew) => step.estimator.fit(&x, y)?,
                (true, How::OnTop) => step.estimator.partial_fit(&x, y)?,
                (true, How::Transforming) => result = Some(step.estimator.fit_transform(&x, y)?),
            }
            place += 1;
        }
        Ok(result)
    }

    /// Learns on top of what was learned. Steps before the last learn too if they can,
    /// else they transform as they did.
    pub fn partial_fit(&mut self, x: &DataFrame, y: &Target) -> Result<()> {
        let mut x = x.clone();
        let Some((last, before)) = self.steps.split_last_mut() else {
            return Ok(());
        };
        for step in before {
            if step.entry.can("partial_fit") {
                step.estimator.partial_fit(&x, y)?;
            }
            x = step.estimator.transform(&x)?;
        }
        last.estimator.partial_fit(&x, y)
    }

    /// The table that the last step gets.
    pub fn before_last(&self, x: &DataFrame) -> Result<DataFrame> {
        let before = self
            .steps
            .split_last()
            .map_or(&[][..], |(_, before)| before);
        before
            .iter()
            .try_fold(x.clone(), |x, step| step.estimator.transform(&x))
    }

    fn unique(&self, mut step: Step) -> Step {
        let taken = |id: &str| self.steps.iter().any(|step| step.id == id);
        let name = step.id.clone();
        let mut number = 2;
        while taken(&step.id) {
            step.id = format!("{name}-{number}");
            number += 1;
        }
        step
    }
}

/// The steps that turn `x` into numbers without holes.
fn needed(x: &DataFrame) -> Result<Vec<Step>> {
    let mut steps = Vec::new();
    if x.columns().iter().any(has_holes) {
        let params = Params::from_iter([("strategy".to_string(), json!("median"))]);
        steps.push(Step::new(find("imputer")?, params, true)?);
    }
    if x.columns()
        .iter()
        .any(|column| matrix::is_text(column.dtype()))
    {
        let params = Params::from_iter([
            ("handle_unknown".to_string(), json!("ignore")),
            ("max_categories".to_string(), json!(AUTO_CATEGORIES)),
        ]);
        steps.push(Step::new(find("one-hot")?, params, true)?);
    }
    Ok(steps)
}

/// Whether there are nulls or NaN in a column that an imputer fills.
fn has_holes(column: &Column) -> bool {
    let dtype = column.dtype();
    if !matrix::is_numeric(dtype) && !matrix::is_text(dtype) {
        return false;
    }
    column.null_count() > 0
        || (dtype.is_float()
            && matrix::nullable(column).is_ok_and(|values| values.iter().any(|v| v.is_nan())))
}

/// Sets the parameter that `name` means.
fn address(
    planned: &mut [(String, &'static Entry, Params)],
    name: &str,
    value: &Value,
) -> Result<()> {
    if let Some((prefix, rest)) = name.split_once("__") {
        let prefix = prefix.replace('_', "-");
        let step = planned.iter_mut().find(|(id, _, _)| *id == prefix);
        let Some((_, entry, params)) = step else {
            let ids: Vec<&str> = planned.iter().map(|(id, _, _)| id.as_str()).collect();
            let error = Error::usage(format!("the model has no step {prefix} ({name})"));
            return Err(match nearest(&prefix, ids.iter().copied()) {
                Some(near) => error.hint(format!("did you mean `{near}`?")),
                None => error.hint(format!("its steps: {}", ids.join(", "))),
            });
        };
        params.set(rest, value.clone());
        return params.check(entry.name, entry.params);
    }
    let plain = if name == "random_state" { "seed" } else { name };
    let has = |entry: &Entry| entry.params.iter().any(|param| param.name == plain);
    let owners: Vec<String> = planned
        .iter()
        .filter(|(_, entry, _)| has(entry))
        .map(|(id, _, _)| id.clone())
        .collect();
    if owners.len() > 1 && plain != "seed" {
        let steps = owners.join(" and ");
        let id = owners.first().map_or("", String::as_str).replace('-', "_");
        return Err(
            Error::usage(format!("parameter {name} could be that of {steps}"))
                .hint(format!("write {id}__{name}")),
        );
    }
    if owners.is_empty() {
        let known: Vec<Param> = planned
            .iter()
            .flat_map(|(_, entry, _)| entry.params.iter().copied())
            .collect();
        let ids: Vec<&str> = planned.iter().map(|(id, _, _)| id.as_str()).collect();
        return Err(params::unknown(&ids.join("|"), name, &known));
    }
    for (_, entry, params) in planned {
        if has(entry) {
            params.set(plain, value.clone());
        }
    }
    Ok(())
}
