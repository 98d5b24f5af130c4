//! What a table of targets is to a model, by the role of its last step.

use super::estimator::{Role, Target};
use super::labels::Labels;
use super::matrix;
use super::schema::{Schema, TargetSchema};
use crate::error::{Error, Result};
use ndarray::Array2;
use polars::prelude::{Column, DataFrame};

/// Reads the target of a first training; `known` are classes that the user listed.
pub fn learn(
    role: Role,
    y: Option<&DataFrame>,
    known: Option<&Labels>,
) -> Result<(Target, Option<TargetSchema>)> {
    let Some(y) = y else {
        return match role {
            Role::Regressor | Role::Classifier => Err(needed()),
            _ => Ok((Target::None, None)),
        };
    };
    let classes = match role {
        Role::Clusterer | Role::Detector => {
            return Err(Error::usage("this model learns without a target")
                .hint("leave <Y> out; to compare with known groups use score"));
        }
        Role::Classifier => true,
        Role::Regressor => false,
        Role::Transformer => y.columns().iter().any(|c| matrix::is_text(c.dtype())),
    };
    let columns = Schema::of(y);
    if !classes {
        let target = Target::Values(numbers(y)?);
        let labels = None;
        return Ok((target, Some(TargetSchema { columns, labels })));
    }
    let column = only(y)?;
    let labels = match known {
        Some(labels) => labels.clone(),
        None => Labels::learn(column)?,
    };
    let index = classes_of(column, &labels)?;
    let count = labels.count();
    let labels = Some(labels);
    Ok((
        Target::Classes { index, count },
        Some(TargetSchema { columns, labels }),
    ))
}

/// Reads the target of a further training.
pub fn again(schema: Option<&TargetSchema>, y: Option<&DataFrame>) -> Result<Target> {
    match (schema, y) {
        (None, None) => Ok(Target::None),
        (None, Some(_)) => {
            Err(Error::usage("this model was trained without a target").hint("leave <Y> out"))
        }
        (Some(_), None) => Err(needed()),
        (Some(schema), Some(y)) => match &schema.labels {
            None => Ok(Target::Values(outputs(schema, y)?)),
            Some(labels) => Ok(Target::Classes {
                index: classes_of(only(y)?, labels)?,
                count: labels.count(),
            }),
        },
    }
}

/// The numbers of as many outputs as the model has.
pub fn outputs(schema: &TargetSchema, y: &DataFrame) -> Result<Array2<f64>> {
    if y.width() != schema.columns.0.len() {
        return Err(Error::invalid(format!(
            "the target has {} columns, but the model was trained on {}",
            y.width(),
            schema.columns.0.len()
        )));
    }
    numbers(y)
}

/// The only column.
pub fn only(y: &DataFrame) -> Result<&Column> {
    match y.columns() {
        [column] => Ok(column),
        columns => Err(Error::invalid(format!(
            "the target must be one column, not {}",
            columns.len()
        ))
        .hint("choose it with a projection: data[column]")),
    }
}

fn classes_of(column: &Column, labels: &Labels) -> Result<Vec<usize>> {
    let classes = labels.classes(column)?;
    match classes.unknown.as_slice() {
        [] => Ok(classes.index),
        unknown => Err(Error::invalid(format!(
            "the target {} has classes that the model does not know: {}",
            column.name(),
            unknown
                .iter()
                .take(10)
                .cloned()
                .collect::<Vec<_>>()
                .join(", ")
        ))
        .hint("name all classes before the first batch: --param classes='[…]'")),
    }
}

fn numbers(y: &DataFrame) -> Result<Array2<f64>> {
    for column in y.columns() {
        let name = column.name();
        if matrix::is_text(column.dtype()) {
            return Err(
                Error::invalid(format!("the target {name} is text, not numbers"))
                    .hint("train a classifier on text, for example logistic-regression"),
            );
        }
        if !matrix::is_numeric(column.dtype()) {
            let dtype = column.dtype();
            return Err(Error::invalid(format!(
                "the target {name} is {dtype}, not numbers"
            )));
        }
        let values = matrix::nullable(column)?;
        let holes = values.iter().filter(|value| value.is_nan()).count();
        if holes > 0 {
            return Err(
                Error::invalid(format!("the target {name} has {holes} nulls or NaN"))
                    .hint("leave these rows out of both tables"),
            );
        }
    }
    matrix::dense(y)
}

fn needed() -> Error {
    Error::usage("this model learns from a target and none was given")
        .hint("name it after the table: om runtime model <name> fit <X> <Y>")
}
