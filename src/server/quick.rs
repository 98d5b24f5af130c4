//! Predictions that take less time than handing them to another thread and back: they are
//! made by the thread that has read them. Which these are is learnt from how long the last
//! one took.

use super::request::Request;
use super::route::Route;
use moka::sync::Cache;
use std::time::Duration;

/// What a quick answer takes at most. Meanwhile no other connection of its thread goes on.
const QUICK: Duration = Duration::from_millis(1);

/// The largest body of a request that may be quick.
const BODY: usize = 16 << 10;

/// Models that are remembered.
const MODELS: u64 = 1_000;

/// The actions of models that answer a row for each row.
const ACTIONS: [&str; 4] = ["predict", "predict_proba", "decision_function", "transform"];

/// Whose last answer was quick.
pub struct Quick(Option<Cache<String, ()>>);

impl Quick {
    /// `here`: whether nothing is waited for but this machine.
    pub fn new(here: bool) -> Self {
        Quick(here.then(|| Cache::new(MODELS)))
    }

    /// By what a request is remembered that may be quick: one with a few rows for a model.
    pub fn key(&self, request: &Request, route: &Route) -> Option<String> {
        let Route::Action(model, action) = route else {
            return None;
        };
        let stored = memchr::memmem::find(&request.body, b"datax").is_some()
            || request.query.iter().any(|(name, _)| name == "datax");
        let small = (1..=BODY).contains(&request.body.len());
        let bucket = request.header("bucket").unwrap_or_default();
        (self.0.is_some()
            && small
            && !stored
            && ACTIONS.contains(&action.as_str())
            && !request.is_async())
        .then(|| format!("{bucket} {action} {model}"))
    }

    /// Whether the last answer was quick.
    pub fn is(&self, key: &str) -> bool {
        self.0.as_ref().is_some_and(|known| known.contains_key(key))
    }

    /// Remembers how long an answer took.
    pub fn took(&self, key: String, time: Duration) {
        let Some(known) = &self.0 else { return };
        match (time <= QUICK, known.contains_key(&key)) {
            (true, false) => known.insert(key, ()),
            (false, true) => known.invalidate(&key),
            _ => {}
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use hyper::HeaderMap;

    #[test]
    fn only_a_few_rows_for_a_model_are_quick() {
        let quick = Quick::new(true);
        let key = |target: &str, body: &str| {
            let body = body.as_bytes().to_vec();
            let request = Request::new("PUT", target, HeaderMap::new(), body)
                .ok()
                .unwrap();
            let route = Route::asked(&request.path, &request.raw_path);
            quick.key(&request, &route)
        };
        let rows = r#"{"columns": ["x"], "data": [{"x": 1}]}"#;
        let known = key("/api/v1/model/m/predict", rows).unwrap();
        assert!(!quick.is(&known));
        quick.took(known.clone(), QUICK * 2);
        assert!(!quick.is(&known));
        quick.took(known.clone(), QUICK / 2);
        assert!(quick.is(&known));
        quick.took(known.clone(), QUICK * 2);
        assert!(!quick.is(&known));
        for (target, body) in [
            ("/api/v1/model/m/predict?datax=large", rows),
            ("/api/v1/model/m/predict?async=1", rows),
            ("/api/v1/model/m/predict", r#"{"datax": "large"}"#),
            ("/api/v1/model/m/predict", ""),
            ("/api/v1/model/m/predict", &"x".repeat(BODY + 1)),
            ("/api/v1/model/m/fit", rows),
            ("/api/v1/dataset/m", rows),
        ] {
            assert_eq!(key(target, body), None, "{target} {body}");
        }
        assert!(!Quick::new(false).is(&known));
    }
}
