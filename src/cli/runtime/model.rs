//! `om runtime model`: an action of a model.

use super::submit::Submitting;
use crate::cli::Session;
use crate::cli::models::params;
use crate::error::{Context, Error, Result};
use crate::runtime::{Action, Input, ModelCall, TaskCall};
use clap::Args;
use std::io::Read;

/// Train a model, predict with it, score it.
///
/// Actions: fit, partial_fit, predict, predict_proba, transform, fit_transform, score,
/// decision_function, gridsearch. X and Y are names of data sets, perhaps with columns,
/// inline JSON, `*` for what the model was trained on, or - for JSON on standard input.
///
/// On a cluster with OMEGA_BROKER the task is run by a worker, else by this process.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  om runtime model iris-clf fit 'iris[^species]' 'iris[species]'
  om runtime model iris-clf predict '[[5.1, 3.5, 1.4, 0.2]]'
  om runtime model iris-clf predict 'iris[^species]' --result predicted
  om runtime model iris-clf score 'iris[^species]' 'iris[species]' --metric f1
  om runtime model iris-clf gridsearch 'iris[^species]' 'iris[species]' --param 'C=[0.1,1,10]'
  id=$(om runtime model iris-clf fit '*' '*' --async); om runtime result $id")]
pub struct RunModel {
    /// Name of the model
    #[arg(add = crate::cli::stored::models())]
    name: String,
    /// What to do
    #[arg(add = crate::cli::stored::actions())]
    action: String,
    /// The data
    #[arg(value_name = "X", allow_hyphen_values = true, add = crate::cli::stored::datasets())]
    x: Option<String>,
    /// The target
    #[arg(value_name = "Y", allow_hyphen_values = true, add = crate::cli::stored::datasets())]
    y: Option<String>,
    /// Store the answer as this data set (gridsearch: model), replacing what is there
    #[arg(long, value_name = "NAME")]
    result: Option<String>,
    /// Parameter of the estimator (fit), or a list of values to try (gridsearch)
    #[arg(long, value_name = "KEY=VALUE")]
    param: Vec<String>,
    /// How to score; R² or accuracy unless given
    #[arg(long)]
    metric: Option<String>,
    /// Folds of the cross-validation
    #[arg(long, value_name = "NUMBER")]
    folds: Option<usize>,
    #[command(flatten)]
    submitting: Submitting,
}

impl RunModel {
    /// Runs the command.
    pub fn run(self, session: &Session) -> Result<()> {
        let call = ModelCall {
            x: self.x.as_deref().map(input).transpose()?,
            y: self.y.as_deref().map(input).transpose()?,
            result: self.result,
            params: params(&self.param)?,
            metric: self.metric,
            folds: self.folds,
            ..ModelCall::new(&self.name, Action::parse(&self.action)?)
        };
        let om = session.omega()?;
        self.submitting.run(&TaskCall::Model(call), &om, session)
    }
}

fn input(text: &str) -> Result<Input> {
    if text != "-" {
        return Input::parse(text);
    }
    let mut text = String::new();
    std::io::stdin()
        .read_to_string(&mut text)
        .context(|| "cannot read the data")?;
    match Input::parse(&text)? {
        Input::Name(_) => Err(Error::usage("standard input is not JSON")
            .hint("rows look like [[5.1, 3.5], [4.9, 3.0]] or [{\"a\": 1}]")),
        inline => Ok(inline),
    }
}
