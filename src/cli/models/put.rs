//! `om models put`.

use crate::cli::Session;
use crate::cli::objects::{metadata_line, pairs};
use crate::error::{Context, Error, Result};
use crate::models::Model;
use crate::store::{PutMode, PutOptions};
use clap::Args;
use serde_json::Value;
use std::path::Path;

/// Make a model from a specification and store it under a name.
///
/// A specification is an estimator's name, or several with `|` between them: a pipeline.
/// `om models estimators` lists them. A file that `om models get` wrote is taken too.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  om models put linear-regression delays
  om models put 'standard-scaler|logistic-regression' iris-clf --param C=0.5
  om models put random-forest clf --param n_estimators=200 --param max_depth=8
  om models put ./clf.model clf-copy")]
pub struct Put {
    /// Specification, or a file
    #[arg(add = crate::cli::stored::estimators())]
    spec: String,
    /// Name of the model
    name: String,
    /// Parameter: NAME=VALUE, or STEP__NAME=VALUE in a pipeline; values are JSON or text
    #[arg(long, value_name = "KEY=VALUE")]
    param: Vec<String>,
    /// Replace a model of this name, with its attributes
    #[arg(long)]
    replace: bool,
}

impl Put {
    /// Runs the command.
    pub fn run(self, session: &Session) -> Result<()> {
        let params = params(&self.param)?;
        let model = if Path::new(&self.spec).is_file() {
            if !params.is_empty() {
                return Err(Error::usage(
                    "a stored model has its parameters; --param makes new models",
                ));
            }
            let bytes =
                std::fs::read(&self.spec).context(|| format!("cannot read {}", self.spec))?;
            Model::from_bytes(&bytes).map_err(|error| error.on(&self.spec))?
        } else {
            Model::new(&self.spec, &params)?
        };
        let options = PutOptions {
            mode: if self.replace {
                PutMode::Replace
            } else {
                PutMode::Auto
            },
            ..PutOptions::default()
        };
        let metadata = session.omega()?.models.save(&self.name, &model, &options)?;
        metadata_line(session, &metadata)
    }
}

/// `--param` texts: values are JSON where they can be, text otherwise.
pub fn params(texts: &[String]) -> Result<Vec<(String, Value)>> {
    Ok(pairs(texts, "--param")?
        .into_iter()
        .map(|(key, text)| {
            let value = match text.as_str() {
                // Python's words, which scikit-learn users write.
                "None" => Value::Null,
                "True" => Value::Bool(true),
                "False" => Value::Bool(false),
                _ => serde_json::from_str(&text).unwrap_or(Value::String(text)),
            };
            (key, value)
        })
        .collect())
}
