//! Words of text columns as columns of numbers: counts, and counts weighted by how rare
//! a word is (tf-idf). One column out a term; terms in alphabetical order.
//!
//! Own code: linfa numbers terms by hash order, takes document frequencies from the rows
//! being transformed instead of the training rows, and its vectoriser cannot be shared
//! between threads.

use super::{input, param};
use crate::error::{Context, Error, Result};
use crate::models::estimator::{Estimator, Role, Target};
use crate::models::registry::{Entry, Param};
use crate::models::{Params, state};
use polars::prelude::{Column, DataFrame, DataType, StringChunked};
use rayon::prelude::*;
use regex::Regex;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, HashMap};
use std::sync::OnceLock;

/// Words that say little about an English text, all frequent function words.
const ENGLISH: &str = "a about above after again against all also am an and any are as at be \
    because been before being below between both but by can could did do does doing down during \
    each few for from further had has have having he her here hers herself him himself his how i \
    if in into is it its itself just may me might more most must my myself no nor not now of off \
    on once only or other our ours ourselves out over own same shall she should so some such than \
    that the their theirs them themselves then there these they this those through to too under \
    until up upon very was we were what when where which while who whom whose why will with would \
    you your yours yourself yourselves";

/// Most cells of a result: 4 GB.
const MOST_CELLS: usize = 500_000_000;

#[derive(Debug, Serialize, Deserialize)]
struct Vectorizer {
    rules: Rules,
    /// tf-idf; plain counts if none.
    weighting: Option<Weighting>,
    state: Option<Vec<Terms>>,
    #[serde(skip)]
    tokens: OnceLock<Regex>,
}

/// What is a term.
#[derive(Debug, Serialize, Deserialize)]
struct Rules {
    token_pattern: String,
    lowercase: bool,
    stop_words: Vec<String>,
    ngrams: (usize, usize),
    min_df: f64,
    max_df: f64,
    max_features: Option<usize>,
    binary: bool,
}

#[derive(Debug, Serialize, Deserialize)]
struct Weighting {
    norm: Norm,
    use_idf: bool,
    smooth_idf: bool,
    sublinear_tf: bool,
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
enum Norm {
    L1,
    L2,
    None,
}

/// The terms of one column.
#[derive(Debug, Serialize, Deserialize)]
struct Terms {
    column: String,
    /// Sorted.
    names: Vec<String>,
    idf: Vec<f64>,
}

impl Vectorizer {
    fn tokens(&self) -> Result<&Regex> {
        if let Some(tokens) = self.tokens.get() {
            return Ok(tokens);
        }
        let tokens = Regex::new(&self.rules.token_pattern)
            .context(|| "parameter token_pattern is not a regular expression")?;
        Ok(self.tokens.get_or_init(|| tokens))
    }

    /// Calls `each` with the terms of a text, in their order.
    fn terms(&self, tokens: &Regex, text: &str, mut each: impl FnMut(&str)) {
        let lower;
        let text = if self.rules.lowercase {
            lower = text.to_lowercase();
            &lower
        } else {
            text
        };
        let words: Vec<&str> = tokens
            .captures_iter(text)
            .filter_map(|found| found.get(1).or_else(|| found.get(0)))
            .map(|word| word.as_str())
            .filter(|word| {
                self.rules
                    .stop_words
                    .binary_search(&(*word).to_string())
                    .is_err()
            })
            .collect();
        for length in self.rules.ngrams.0..=self.rules.ngrams.1 {
            for gram in words.windows(length) {
                if let [word] = gram {
                    each(word);
                } else {
                    each(&gram.join(" "));
                }
            }
        }
    }

    fn learn(&self, column: &Column) -> Result<Terms> {
        let texts = texts(column)?;
        let tokens = self.tokens()?;
        let rows = texts.len() as f64;
        // Rows that have the term, and how often it is there.
        let mut found: HashMap<String, (usize, usize)> = HashMap::new();
        let mut row: HashMap<String, usize> = HashMap::new();
        for text in texts.iter().flatten() {
            self.terms(tokens, text, |term| match row.get_mut(term) {
                Some(count) => *count += 1,
                None => {
                    row.insert(term.to_string(), 1);
                }
            });
            for (term, count) in row.drain() {
                let entry = found.entry(term).or_default();
                entry.0 += 1;
                entry.1 += count;
            }
        }
        let absolute = |df: f64| if df <= 1.0 { df * rows } else { df };
        // 1 as the least means one row, as the most all rows.
        let least = if self.rules.min_df == 1.0 {
            1.0
        } else {
            absolute(self.rules.min_df)
        };
        let most = absolute(self.rules.max_df);
        found.retain(|_, (rows, _)| (least..=most).contains(&(*rows as f64)));
        let mut names: Vec<(String, (usize, usize))> = found.into_iter().collect();
        names.sort();
        if let Some(max) = self.rules.max_features {
            names.sort_by_key(|(_, (_, count))| std::cmp::Reverse(*count));
            names.truncate(max);
            names.sort();
        }
        if names.is_empty() {
            return Err(
                Error::invalid(format!("column {} has no terms", column.name()))
                    .hint("all words are stop words, or min_df and max_df leave none"),
            );
        }
        let idf = names.iter().map(|(_, (df, _))| {
            let extra = match &self.weighting {
                Some(weighting) if weighting.smooth_idf => 1.0,
                _ => 0.0,
            };
            ((rows + extra) / (*df as f64 + extra)).ln() + 1.0
        });
        Ok(Terms {
            column: column.name().to_string(),
            idf: idf.collect(),
            names: names.into_iter().map(|(name, _)| name).collect(),
        })
    }

    /// One row's values by term number.
    fn values(&self, terms: &Terms, tokens: &Regex, text: &str) -> Vec<(usize, f64)> {
        let mut counts: BTreeMap<usize, f64> = BTreeMap::new();
        self.terms(tokens, text, |term| {
            let place = terms.names.binary_search_by(|name| name.as_str().cmp(term));
            if let Ok(place) = place {
                *counts.entry(place).or_default() += 1.0;
            }
        });
        let mut values: Vec<(usize, f64)> = counts.into_iter().collect();
        if self.rules.binary {
            values.iter_mut().for_each(|(_, value)| *value = 1.0);
        }
        let Some(weighting) = &self.weighting else {
            return values;
        };
        for (place, value) in &mut values {
            if weighting.sublinear_tf {
                *value = value.ln() + 1.0;
            }
            if weighting.use_idf {
                *value *= terms.idf.get(*place).copied().unwrap_or(1.0);
            }
        }
        let length = match weighting.norm {
            Norm::None => 1.0,
            Norm::L1 => values.iter().map(|(_, value)| value.abs()).sum(),
            Norm::L2 => values.iter().map(|(_, v)| v * v).sum::<f64>().sqrt(),
        };
        if length > 0.0 {
            values.iter_mut().for_each(|(_, value)| *value /= length);
        }
        values
    }

    fn sound(&self) -> bool {
        let (low, high) = self.rules.ngrams;
        let fits = |terms: &Terms| terms.names.is_sorted() && terms.idf.len() == terms.names.len();
        (1..=high).contains(&low)
            && self
                .state
                .as_ref()
                .is_none_or(|state| state.iter().all(fits))
    }
}

/// The texts of a column; nulls have no words.
fn texts(column: &Column) -> Result<StringChunked> {
    let name = column.name();
    match column.dtype() {
        DataType::String | DataType::Categorical(..) | DataType::Enum(..) => {}
        other => {
            return Err(
                Error::invalid(format!("column {name} is {other}, not text"))
                    .hint(format!("leave it out with the projection [^{name}]")),
            );
        }
    }
    let cast = column
        .cast(&DataType::String)
        .context(|| format!("cannot read column {name} as text"))?;
    let texts = cast
        .str()
        .context(|| format!("cannot read column {name} as text"))?;
    Ok(texts.clone())
}

impl Estimator for Vectorizer {
    fn fit(&mut self, x: &DataFrame, _y: &Target) -> Result<()> {
        if x.width() == 0 {
            return Err(Error::invalid("the table has no columns"));
        }
        input::at_least(x.height(), 1, "a vocabulary")?;
        let terms = x.columns().iter().map(|column| self.learn(column));
        self.state = Some(terms.collect::<Result<_>>()?);
        Ok(())
    }

    fn transform(&self, x: &DataFrame) -> Result<DataFrame> {
        let state = input::fitted(&self.state)?;
        if x.width() != state.len() {
            return Err(Error::invalid(format!(
                "the model was trained on {} columns, the table has {}",
                state.len(),
                x.width()
            )));
        }
        let count: usize = state.iter().map(|terms| terms.names.len()).sum();
        if count.saturating_mul(x.height()) > MOST_CELLS {
            return Err(Error::invalid(format!(
                "{} rows of {count} terms are too many to hold",
                x.height()
            ))
            .hint("set max_features or raise min_df"));
        }
        let tokens = self.tokens()?;
        let mut columns = Vec::with_capacity(count);
        for (column, terms) in x.columns().iter().zip(state) {
            let texts = texts(column)?;
            let texts: Vec<&str> = texts.iter().map(Option::unwrap_or_default).collect();
            let values: Vec<Vec<(usize, f64)>> = texts
                .par_iter()
                .map(|text| self.values(terms, tokens, text))
                .collect();
            let mut filled = vec![vec![0.0; texts.len()]; terms.names.len()];
            for (row, values) in values.iter().enumerate() {
                for (place, value) in values {
                    if let Some(cell) = filled.get_mut(*place).and_then(|c| c.get_mut(row)) {
                        *cell = *value;
                    }
                }
            }
            for (name, values) in terms.names.iter().zip(filled) {
                // Terms of several columns may be the same.
                let name = match state.len() {
                    1 => name.clone(),
                    _ => format!("{}_{name}", terms.column),
                };
                columns.push(Column::new(name.into(), values));
            }
        }
        DataFrame::new(x.height(), columns).context(|| "cannot make a table of the terms")
    }

    fn save(&self) -> Result<Vec<u8>> {
        state::save(self)
    }

    fn learned(&self) -> Value {
        let Some(state) = &self.state else {
            return Value::Null;
        };
        let columns: Map<String, Value> = state
            .iter()
            .map(|terms| {
                let mut learned = json!({ "terms": terms.names });
                if self.weighting.as_ref().is_some_and(|w| w.use_idf) {
                    learned["idf"] = json!(terms.idf);
                }
                (terms.column.clone(), learned)
            })
            .collect();
        Value::Object(columns)
    }
}

fn rules(params: &Params) -> Result<Rules> {
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
    Regex::new(&token_pattern).context(|| "parameter token_pattern is not a regular expression")?;
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

fn make(params: &Params, weighting: Option<Weighting>) -> Result<Box<dyn Estimator>> {
    Ok(Box::new(Vectorizer {
        rules: rules(params)?,
        weighting,
        state: None,
        tokens: OnceLock::new(),
    }))
}

fn weighting(params: &Params) -> Result<Weighting> {
    Ok(Weighting {
        norm: match params.one_of("norm", "l2", &["l1", "l2", "none"])? {
            "l1" => Norm::L1,
            "none" => Norm::None,
            _ => Norm::L2,
        },
        use_idf: params.bool("use_idf", true)?,
        smooth_idf: params.bool("smooth_idf", true)?,
        sublinear_tf: params.bool("sublinear_tf", false)?,
    })
}

const NGRAMS: Param = param("ngram_range", "[1,1]", "shortest and longest runs of words");
const LOWERCASE: Param = param("lowercase", "true", "do not tell capital letters apart");
const STOP: Param = param("stop_words", "none", "words left out: english, or a list");
const PATTERN: Param = param("token_pattern", r"\b\w\w+\b", "what a word is");
const MIN_DF: Param = param(
    "min_df",
    "1",
    "fewest rows that have a term: a count, or a share below 1",
);
const MAX_DF: Param = param(
    "max_df",
    "1.0",
    "most rows that have a term: a share to 1, or a count above",
);
const MOST: Param = param(
    "max_features",
    "none",
    "keep this many of the most frequent terms",
);
const BINARY: Param = param(
    "binary",
    "false",
    "1 for a term that is there, however often",
);

/// The estimators of this module.
pub(super) const ENTRIES: &[Entry] = &[
    Entry {
        name: "count-vectorizer",
        aliases: &["CountVectorizer"],
        role: Role::Transformer,
        summary: "text to one column a word, counted",
        params: &[
            NGRAMS, LOWERCASE, STOP, PATTERN, MIN_DF, MAX_DF, MOST, BINARY,
        ],
        actions: &["transform", "fit_transform"],
        new: |params| make(params, None),
        load: |bytes| input::load(bytes, Vectorizer::sound),
    },
    Entry {
        name: "tf-idf",
        aliases: &["TfidfVectorizer", "tfidf"],
        role: Role::Transformer,
        summary: "text to one column a word, counted and weighted by rarity",
        params: &[
            NGRAMS,
            LOWERCASE,
            STOP,
            PATTERN,
            MIN_DF,
            MAX_DF,
            MOST,
            BINARY,
            param("norm", "l2", "length of a row: l1, l2 or none"),
            param("use_idf", "true", "weigh terms by rarity"),
            param("smooth_idf", "true", "as if one more row had every term"),
            param(
                "sublinear_tf",
                "false",
                "1 + ln(count) instead of the count",
            ),
        ],
        actions: &["transform", "fit_transform"],
        new: |params| make(params, Some(weighting(params)?)),
        load: |bytes| input::load(bytes, Vectorizer::sound),
    },
];
