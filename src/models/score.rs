//! Scores of a model on a table.

use super::estimator::Role;
use super::labels::Labels;
use super::matrix;
use super::metrics::{Confusion, Metric, Score, Signed, find_metric, of_outputs};
use super::model::Model;
use super::target;
use crate::error::{Error, Result};
use ndarray::Array2;
use polars::prelude::DataFrame;

/// The metric of a role unless another is asked for.
pub fn default_metric(role: Role) -> Option<&'static str> {
    match role {
        Role::Regressor => Some("r2"),
        Role::Classifier | Role::Detector => Some("accuracy"),
        Role::Clusterer => Some("silhouette"),
        Role::Transformer => None,
    }
}

/// The metric called `name`, or the default of the role.
pub fn metric_for(role: Role, name: Option<&str>) -> Result<Signed> {
    let name = name.or_else(|| default_metric(role));
    let name = name.ok_or_else(|| Error::usage("a transformer has no score"))?;
    let found = find_metric(name)?;
    let fits = matches!(
        (role, &found.metric.score),
        (Role::Regressor, Score::Values(_))
            | (
                Role::Classifier,
                Score::Labels(_) | Score::Probabilities(_) | Score::Ranking(_)
            )
            | (Role::Detector, Score::Labels(_))
            | (Role::Clusterer, Score::Groups(_) | Score::Partition(_))
    );
    if fits {
        return Ok(found);
    }
    let role = match role {
        Role::Regressor => "a regressor",
        Role::Classifier => "a classifier",
        Role::Clusterer => "a clusterer",
        Role::Detector => "a detector",
        Role::Transformer => "a transformer",
    };
    Err(Error::usage(format!(
        "the metric {} does not score {role}",
        found.metric.name
    )))
}

impl Model {
    /// How well the model predicts `y` from `x`: R² for regressors, accuracy for
    /// classifiers and detectors, silhouette for clusterers, or the metric named.
    pub fn score(&self, x: &DataFrame, y: Option<&DataFrame>, metric: Option<&str>) -> Result<f64> {
        let found = metric_for(self.role()?, metric)?;
        if let Some(y) = y
            && y.height() != x.height()
        {
            return Err(Error::invalid(format!(
                "the table has {} rows, the target {}",
                x.height(),
                y.height()
            )));
        }
        Ok(found.signed(self.measure(x, y, found.metric)?))
    }

    fn measure(&self, x: &DataFrame, y: Option<&DataFrame>, metric: &Metric) -> Result<f64> {
        let truth = || {
            y.ok_or_else(|| {
                Error::usage(format!("the metric {} needs the true values", metric.name))
                    .hint("name them after the table: score <X> <Y>")
            })
        };
        match metric.score {
            Score::Values(score) => {
                let Some(schema) = &self.training()?.target else {
                    return Err(Error::corrupt("the stored model has no target"));
                };
                let truth = target::outputs(schema, truth()?)?;
                of_outputs(score, truth.view(), &self.raw_predict(x)?)
            }
            Score::Labels(score) => {
                let (truth, count) = self.true_classes(truth()?)?;
                let predicted = self.raw_predict(x)?;
                let predicted: Vec<usize> = match self.role()? {
                    // Detectors answer -1 and 1, the classes of their truth.
                    Role::Detector => predicted.iter().map(|v| usize::from(*v > 0.0)).collect(),
                    _ => predicted.iter().map(|v| *v as usize).collect(),
                };
                score(&Confusion::new(&truth, &predicted, count))
            }
            Score::Probabilities(score) => {
                let (truth, _) = self.true_classes(truth()?)?;
                score(&truth, self.probabilities(x)?.view())
            }
            Score::Ranking(score) => {
                let (truth, count) = self.true_classes(truth()?)?;
                if count != 2 {
                    let error = format!("the metric {} needs two classes", metric.name);
                    return Err(Error::usage(error).hint("of more classes use roc_auc_ovr"));
                }
                score(&truth, &self.ranking(x)?)
            }
            Score::Groups(score) => {
                let before = self.input("predict", x)?;
                score(matrix::dense(&before)?.view(), &self.groups(x)?)
            }
            Score::Partition(score) => {
                let column = target::only(truth()?)?;
                let labels = Labels::learn(column)?;
                let truth = labels.classes(column)?.index;
                let groups = self.groups(x)?;
                let mut distinct = groups.clone();
                distinct.sort_unstable();
                distinct.dedup();
                let predicted: Vec<usize> = groups
                    .iter()
                    .map(|group| distinct.binary_search(group).unwrap_or(0))
                    .collect();
                let count = labels.count().max(distinct.len());
                Ok(score(&Confusion::new(&truth, &predicted, count)))
            }
        }
    }

    /// True classes by the model's labels, and how many classes there are in all.
    fn true_classes(&self, y: &DataFrame) -> Result<(Vec<usize>, usize)> {
        let column = target::only(y)?;
        let detector = Labels::Int(vec![-1, 1]);
        let labels = self.labels().unwrap_or(&detector);
        let classes = labels.classes(column)?;
        Ok((classes.index, labels.count() + classes.unknown.len()))
    }

    fn probabilities(&self, x: &DataFrame) -> Result<Array2<f64>> {
        let x = self.input("predict_proba", x)?;
        self.pipeline.last()?.estimator.predict_proba(&x)
    }

    /// How sure the model is of the second class.
    fn ranking(&self, x: &DataFrame) -> Result<Vec<f64>> {
        if self.pipeline.last()?.entry.can("decision_function") {
            let x = self.input("decision_function", x)?;
            let scores = self.pipeline.last()?.estimator.decision_function(&x)?;
            return Ok(scores.column(scores.ncols().saturating_sub(1)).to_vec());
        }
        let scores = self.probabilities(x)?;
        Ok(scores.column(scores.ncols().saturating_sub(1)).to_vec())
    }

    fn groups(&self, x: &DataFrame) -> Result<Vec<i64>> {
        let groups = self.raw_predict(x)?;
        Ok(groups.iter().map(|group| *group as i64).collect())
    }
}
