//! Parameters of an estimator as the user gave them, and how an estimator reads them.
//! Names are scikit-learn's; `random_state` is taken as `seed`.

use super::registry::Param;
use crate::error::{Error, Result, nearest};
use serde_json::{Map, Value};

/// Parameter names and values, in the order given.
#[derive(Debug, Clone, Default, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct Params(Map<String, Value>);

impl Params {
    /// No parameters.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets one; a later value replaces the earlier one.
    pub fn set(&mut self, name: &str, value: Value) {
        let name = if name == "random_state" { "seed" } else { name };
        self.0.insert(name.to_string(), value);
    }

    /// The value given, if any; null counts as not given.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.0.get(name).filter(|value| !value.is_null())
    }

    /// Names and values in the order given.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value))
    }

    /// Whether nothing is set.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Refuses names that are not in `known`, parameters of `estimator`.
    pub fn check(&self, estimator: &str, known: &[Param]) -> Result<()> {
        for name in self.0.keys() {
            if !known.iter().any(|param| param.name == name) {
                return Err(unknown(estimator, name, known));
            }
        }
        Ok(())
    }

    /// A finite number.
    pub fn f64(&self, name: &str, default: f64) -> Result<f64> {
        Ok(self.opt_f64(name)?.unwrap_or(default))
    }

    /// A finite number, or none.
    pub fn opt_f64(&self, name: &str) -> Result<Option<f64>> {
        let Some(value) = self.get(name) else {
            return Ok(None);
        };
        number(value)
            .map(Some)
            .ok_or_else(|| wrong(name, "a number", value))
    }

    /// A number ≥ 0.
    pub fn non_negative(&self, name: &str, default: f64) -> Result<f64> {
        let number = self.f64(name, default)?;
        if number < 0.0 {
            return Err(Error::usage(format!(
                "parameter {name} must not be negative"
            )));
        }
        Ok(number)
    }

    /// A number > 0.
    pub fn positive(&self, name: &str, default: f64) -> Result<f64> {
        let number = self.f64(name, default)?;
        if number <= 0.0 {
            return Err(Error::usage(format!("parameter {name} must be above 0")));
        }
        Ok(number)
    }

    /// A number from `low` to `high`, both included.
    pub fn between(&self, name: &str, default: f64, low: f64, high: f64) -> Result<f64> {
        let number = self.f64(name, default)?;
        if !(low..=high).contains(&number) {
            return Err(Error::usage(format!(
                "parameter {name} must be from {low} to {high}"
            )));
        }
        Ok(number)
    }

    /// A whole number ≥ 0.
    pub fn usize(&self, name: &str, default: usize) -> Result<usize> {
        Ok(self.opt_usize(name)?.unwrap_or(default))
    }

    /// A whole number ≥ 0, or none.
    pub fn opt_usize(&self, name: &str) -> Result<Option<usize>> {
        let Some(value) = self.get(name) else {
            return Ok(None);
        };
        number(value)
            .filter(|number| number.fract() == 0.0 && (0.0..=9e15).contains(number))
            .map(|number| Some(number as usize))
            .ok_or_else(|| wrong(name, "a whole number of 0 or more", value))
    }

    /// A whole number ≥ 1.
    pub fn count(&self, name: &str, default: usize) -> Result<usize> {
        let number = self.usize(name, default)?;
        if number == 0 {
            return Err(Error::usage(format!("parameter {name} must be 1 or more")));
        }
        Ok(number)
    }

    /// The seed of random numbers: parameter `seed`, 0 unless given.
    pub fn seed(&self) -> Result<u64> {
        Ok(self.usize("seed", 0)? as u64)
    }

    /// True or false.
    pub fn bool(&self, name: &str, default: bool) -> Result<bool> {
        let Some(value) = self.get(name) else {
            return Ok(default);
        };
        match value {
            Value::Bool(flag) => Ok(*flag),
            Value::Number(number) if number.as_f64() == Some(0.0) => Ok(false),
            Value::Number(number) if number.as_f64() == Some(1.0) => Ok(true),
            Value::String(text) => match text.to_ascii_lowercase().as_str() {
                "true" | "yes" | "on" => Ok(true),
                "false" | "no" | "off" => Ok(false),
                _ => Err(wrong(name, "true or false", value)),
            },
            _ => Err(wrong(name, "true or false", value)),
        }
    }

    /// A text.
    pub fn text(&self, name: &str, default: &str) -> Result<String> {
        Ok(self.opt_text(name)?.unwrap_or_else(|| default.to_string()))
    }

    /// A text, or none.
    pub fn opt_text(&self, name: &str) -> Result<Option<String>> {
        match self.get(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.clone())),
            Some(value) => Err(wrong(name, "a text", value)),
        }
    }

    /// A list of texts, or none; one text counts as a list of its comma-separated parts.
    pub fn texts(&self, name: &str) -> Result<Option<Vec<String>>> {
        match self.get(name) {
            None => Ok(None),
            Some(Value::String(text)) => {
                let parts = text.split(',').map(|part| part.trim().to_string());
                Ok(Some(parts.collect()))
            }
            Some(Value::Array(values)) => values
                .iter()
                .map(|value| match value {
                    Value::String(text) => Ok(text.clone()),
                    _ => Err(wrong(name, "a list of texts", value)),
                })
                .collect::<Result<Vec<_>>>()
                .map(Some),
            Some(value) => Err(wrong(name, "a list of texts", value)),
        }
    }

    /// One of `choices`, which holds `default`.
    pub fn one_of(
        &self,
        name: &str,
        default: &'static str,
        choices: &[&'static str],
    ) -> Result<&'static str> {
        let Some(text) = self.opt_text(name)? else {
            return Ok(default);
        };
        choices
            .iter()
            .copied()
            .find(|choice| *choice == text || choice.replace('_', "-") == text)
            .ok_or_else(|| {
                let error = Error::usage(format!(
                    "parameter {name} cannot be {text:?}; it is one of {}",
                    choices.join(", ")
                ));
                match nearest(&text, choices.iter().copied()) {
                    Some(near) => error.hint(format!("did you mean `{near}`?")),
                    None => error,
                }
            })
    }

    /// A list of finite numbers (`[1,10]`); one number counts as a list of one.
    pub fn f64s(&self, name: &str, default: &[f64]) -> Result<Vec<f64>> {
        match self.get(name) {
            None => Ok(default.to_vec()),
            Some(Value::Array(values)) => values
                .iter()
                .map(|value| number(value).ok_or_else(|| wrong(name, "a list of numbers", value)))
                .collect(),
            Some(value) => number(value)
                .map(|number| vec![number])
                .ok_or_else(|| wrong(name, "a list of numbers", value)),
        }
    }
}

impl FromIterator<(String, Value)> for Params {
    fn from_iter<I: IntoIterator<Item = (String, Value)>>(pairs: I) -> Self {
        let mut params = Params::new();
        for (name, value) in pairs {
            params.set(&name, value);
        }
        params
    }
}

/// The error for a parameter that `estimator` does not have.
pub fn unknown(estimator: &str, name: &str, known: &[Param]) -> Error {
    let names: Vec<&str> = known.iter().map(|param| param.name).collect();
    let error = Error::usage(format!("{estimator} has no parameter {name}"));
    match nearest(name, names.iter().copied()) {
        Some(near) => error.hint(format!("did you mean `{near}`?")),
        None if names.is_empty() => error.hint("it has no parameters"),
        None => error.hint(format!("its parameters: {}", names.join(", "))),
    }
}

/// A number, also from the text that a command line gives.
fn number(value: &Value) -> Option<f64> {
    match value {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    }
    .filter(|number| number.is_finite())
}

fn wrong(name: &str, expected: &str, value: &Value) -> Error {
    Error::usage(format!("parameter {name} must be {expected}, not {value}"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use serde_json::json;

    fn params(value: Value) -> Params {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn numbers_come_from_json_and_from_text() {
        let params = params(json!({"alpha": "0.5", "folds": 3, "half": 1.5, "none": null}));
        assert_eq!(params.f64("alpha", 1.0).unwrap(), 0.5);
        assert_eq!(params.usize("folds", 5).unwrap(), 3);
        assert_eq!(params.usize("none", 7).unwrap(), 7);
        assert!(params.usize("half", 1).is_err());
        assert!(params.bool("half", true).is_err());
    }

    #[test]
    fn unknown_names_and_choices_get_a_suggestion() {
        const KNOWN: &[Param] = &[Param {
            name: "alpha",
            default: "1.0",
            doc: "",
        }];
        let error = params(json!({"alhpa": 1}))
            .check("ridge", KNOWN)
            .unwrap_err();
        assert_eq!(error.hint_text(), Some("did you mean `alpha`?"));
        let error = params(json!({"kernel": "rbff"}))
            .one_of("kernel", "rbf", &["linear", "rbf"])
            .unwrap_err();
        assert_eq!(error.hint_text(), Some("did you mean `rbf`?"));
    }

    #[test]
    fn random_state_is_the_seed() {
        let mut params = Params::new();
        params.set("random_state", json!(42));
        assert_eq!(params.seed().unwrap(), 42);
    }
}
