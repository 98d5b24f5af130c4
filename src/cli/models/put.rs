//! `om models put`.

use crate::backends::Request;
use crate::cli::Session;
use crate::cli::objects::{metadata_line, pairs};
use crate::error::{Context, Error, Result};
use crate::models::Model;
use crate::runtime::foreign_model;
use crate::store::{PutMode, PutOptions};
use clap::Args;
use serde_json::Value;
use std::path::Path;

/// Make a model from a specification and store it under a name.
///
/// A specification is an estimator's name, or several with `|` between them: a pipeline.
/// `om models estimators` lists them. A file that `om models get` wrote is taken too.
///
/// With Python, a joblib file, a Keras file (.h5) and a directory in MLflow's format are
/// stored as omega|ml stores them, and `package.module.function` is called for a model.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  om models put linear-regression delays
  om models put 'standard-scaler|logistic-regression' iris-clf --param C=0.5
  om models put random-forest clf --param n_estimators=200 --param max_depth=8
  om models put model.joblib sk-clf
  om models put ./mlruns/0/models/m-4f0c/artifacts mlflow-clf
  om models put sklearn.linear_model.LogisticRegression sk-clf")]
pub struct Put {
    /// Specification, or a file
    #[arg(add = crate::cli::stored::estimators())]
    spec: String,
    /// Name of the model
    name: String,
    /// Parameter: NAME=VALUE, or STEP__NAME=VALUE in a pipeline; values are JSON or text
    #[arg(long, value_name = "KEY=VALUE")]
    param: Vec<String>,
    /// Kind of the model, for a backend's
    #[arg(long, value_name = "KIND")]
    kind: Option<String>,
    /// Replace a model of this name, with its attributes
    #[arg(long)]
    replace: bool,
}

impl Put {
    /// The file or directory, as it may be written for Python omega|ml.
    fn path(&self) -> &Path {
        Path::new(self.spec.strip_prefix("mlflow://").unwrap_or(&self.spec))
    }

    /// The kind that was asked for, else that of the file.
    fn kind(&self) -> Option<&str> {
        let end = self.path().extension().and_then(|end| end.to_str());
        match &self.kind {
            Some(kind) => Some(kind),
            None if self.path().join("MLmodel").is_file() => Some("mlflow.model"),
            None if end == Some("h5") => Some("keras.h5"),
            None => None,
        }
    }

    /// Whether a backend has to make it: files of other programs, and functions of Python's.
    fn is_foreign(&self) -> bool {
        let path = self.path();
        if self.kind().is_some() {
            return true;
        }
        if path.is_file() {
            let end = path.extension().and_then(|end| end.to_str());
            return end.is_some_and(|end| ["joblib", "pkl", "pickle"].contains(&end));
        }
        let word = |word: &str| {
            let mut letters = word.chars();
            letters
                .next()
                .is_some_and(|c| c.is_alphabetic() || c == '_')
                && letters.all(|c| c.is_alphanumeric() || c == '_')
        };
        self.spec.contains('.') && self.spec.split('.').all(word)
    }

    fn make(&self, session: &Session, params: Vec<(String, Value)>) -> Result<()> {
        if !params.is_empty() {
            return Err(Error::usage("--param is for om's own estimators")
                .hint("set them in the function that makes the model"));
        }
        let om = session.omega()?.objects();
        let fields = serde_json::json!({ "spec": self.spec, "kind": self.kind() });
        let mut request = Request::new("make", fields);
        let failed = || format!("cannot read {}", self.spec);
        if self.path().is_file() {
            request = request.part("file", std::fs::read(self.path()).context(failed)?);
        } else if self.path().is_dir() {
            // As omega|ml stores directories.
            let mut archive = tar::Builder::new(Vec::new());
            archive
                .append_dir_all("model", self.path())
                .context(failed)?;
            request = request.part("file", archive.into_inner().context(failed)?);
        }
        let made = om.backends.make(self.kind(), request, &session.progress);
        let made = made.map_err(|error| error.on(self.spec.as_str()))?;
        let model = foreign_model(&made, self.kind().unwrap_or_default())?;
        let mode = if self.replace {
            PutMode::Replace
        } else {
            PutMode::Auto
        };
        let metadata = om
            .models
            .put_foreign(&self.name, &model, &bson::Document::new(), mode)?;
        metadata_line(session, &metadata)
    }

    /// Runs the command.
    pub fn run(self, session: &Session) -> Result<()> {
        let params = params(&self.param)?;
        if self.is_foreign() {
            return self.make(session, params);
        }
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
