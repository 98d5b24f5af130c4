//! What is a term of a text: how words are found, joined and left out.

use crate::error::{Context, Error, Result};
use crate::models::Params;
use regex::Regex;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Words that say little about an English text, all frequent function words.
const ENGLISH: &str = "a about above after again against all also am an and any are as at be \
    because been before being below between both but by can could did do does doing down during \
    each few for from further had has have having he her here hers herself him himself his how i \
    if in into is it its itself just may me might more most must my myself no nor not now of off \
    on once only or other our ours ourselves out over own same shall she should so some such than \
    that the their theirs them themselves then there these they this those through to too under \
    until up upon very was we were what when where which while who whom whose why will with would \
    you your yours yourself yourselves";

/// What is a term.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Rules {
    pub(super) token_pattern: String,
    pub(super) lowercase: bool,
    pub(super) stop_words: Vec<String>,
    pub(super) ngrams: (usize, usize),
    pub(super) min_df: f64,
    pub(super) max_df: f64,
    pub(super) max_features: Option<usize>,
    pub(super) binary: bool,
}

impl Rules {
    pub(super) fn read(params: &Params) -> Result<Self> {
        let range = params.f64s("ngram_range", &[1.0, 1.0])?;
        let ngrams = match range.as_slice() {
            [n] => (*n, *n),
            [low, high] => (*low, *high),
            _ => (0.0, 0.0),
        };
        let whole = |n: f64| n.fract() == 0.0 && (1.0..=100.0).contains(&n);
        if !whole(ngrams.0) || !whole(ngrams.1) || ngrams.0 > ngrams.1 {
            return Err(Error::usage(
                "parameter ngram_range must be two whole numbers, the smaller first",
            ));
        }
        let mut stop_words: Vec<String> = match params.get("stop_words") {
            None => Vec::new(),
            Some(Value::String(text)) if text == "none" => Vec::new(),
            Some(Value::String(text)) if text == "english" => {
                ENGLISH.split_whitespace().map(str::to_string).collect()
            }
            Some(Value::Array(words)) => {
                let words = words.iter().map(|word| word.as_str().map(str::to_string));
                words.collect::<Option<_>>().ok_or_else(|| {
                    Error::usage("parameter stop_words must be english or a list of words")
                })?
            }
            Some(_) => {
                return Err(Error::usage(
                    "parameter stop_words must be english or a list of words",
                ));
            }
        };
        stop_words.sort();
        let token_pattern = params.text("token_pattern", r"\b\w\w+\b")?;
        Regex::new(&token_pattern)
            .context(|| "parameter token_pattern is not a regular expression")?;
        Ok(Rules {
            token_pattern,
            lowercase: params.bool("lowercase", true)?,
            stop_words,
            ngrams: (ngrams.0 as usize, ngrams.1 as usize),
            min_df: params.non_negative("min_df", 1.0)?,
            max_df: params.positive("max_df", 1.0)?,
            max_features: match params.opt_usize("max_features")? {
                Some(_) => Some(params.count("max_features", 1)?),
                None => None,
            },
            binary: params.bool("binary", false)?,
        })
    }

    /// Calls `each` with the terms of a text, in their order.
    pub(super) fn terms(&self, tokens: &Regex, text: &str, mut each: impl FnMut(&str)) {
        let lower;
        let text = if self.lowercase {
            lower = text.to_lowercase();
            &lower
        } else {
            text
        };
        let told = |word: &str| {
            let found = self.stop_words.binary_search_by(|w| w.as_str().cmp(word));
            found.is_err()
        };
        // Groups cost time, and only patterns that have one need them.
        let mut words: Vec<&str> = if tokens.captures_len() > 1 {
            let found = tokens.captures_iter(text);
            found
                .filter_map(|found| found.get(1))
                .map(|word| word.as_str())
                .collect()
        } else {
            tokens.find_iter(text).map(|word| word.as_str()).collect()
        };
        words.retain(|word| told(word));
        for length in self.ngrams.0..=self.ngrams.1 {
            for gram in words.windows(length) {
                if let [word] = gram {
                    each(word);
                } else {
                    each(&gram.join(" "));
                }
            }
        }
    }
}
