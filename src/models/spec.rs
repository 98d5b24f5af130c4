//! Specs of models: `step|step(parameter=value,…)|…`.
//!
//! Values are JSON, Python's `True`, `False`, `None`, `'text'` and `(1, 2)`, or bare words.

use super::params::Params;
use crate::error::{Error, Result};
use serde_json::Value;

/// Longer pipelines are refused.
const MAX_STEPS: usize = 64;

/// Longer specs are refused.
const MAX_LENGTH: usize = 64 * 1024;

/// One step of a spec.
#[derive(Debug, Clone, PartialEq)]
pub struct StepSpec {
    /// The estimator as the user called it.
    pub name: String,
    /// Its parameters.
    pub params: Params,
}

/// The steps of a spec, at least one.
pub fn parse(spec: &str) -> Result<Vec<StepSpec>> {
    if spec.len() > MAX_LENGTH {
        return Err(wrong("it is too long"));
    }
    let parts = split(spec, '|')?;
    if parts.len() > MAX_STEPS {
        return Err(wrong(&format!("it has more than {MAX_STEPS} steps")));
    }
    parts.into_iter().map(step).collect()
}

fn step(text: &str) -> Result<StepSpec> {
    let text = text.trim();
    let (name, arguments) = match text.split_once('(') {
        None => (text, None),
        Some((name, rest)) => match rest.strip_suffix(')') {
            Some(arguments) => (name.trim_end(), Some(arguments)),
            None => {
                return Err(wrong(&format!(
                    "a closing parenthesis is missing in {text:?}"
                )));
            }
        },
    };
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    if name.is_empty() {
        return Err(wrong("a step has no name"));
    }
    if !name.chars().all(plain) {
        return Err(wrong(&format!(
            "{name:?} cannot be the name of an estimator"
        )));
    }
    let mut params = Params::new();
    let arguments = arguments.map(str::trim).filter(|text| !text.is_empty());
    for argument in arguments.map_or(Ok(Vec::new()), |text| split(text, ','))? {
        let Some((key, value)) = argument.split_once('=') else {
            return Err(wrong(&format!(
                "{:?} in {name}(…) is not parameter=value",
                argument.trim()
            )));
        };
        let key = key.trim();
        if key.is_empty() || !key.chars().all(plain) {
            return Err(wrong(&format!("{key:?} cannot be the name of a parameter")));
        }
        params.set(key, value_of(value.trim()));
    }
    Ok(StepSpec {
        name: name.to_string(),
        params,
    })
}

/// The value that `text` means; what is nothing else is a text.
pub fn value_of(text: &str) -> Value {
    match text {
        "None" => return Value::Null,
        "True" => return Value::Bool(true),
        "False" => return Value::Bool(false),
        _ => {}
    }
    match serde_json::from_str(text) {
        // serde_json reads floats within one digit; the standard library reads them exactly.
        Ok(Value::Number(number)) if number.is_f64() => {
            let exact = text.parse().ok().and_then(serde_json::Number::from_f64);
            return Value::Number(exact.unwrap_or(number));
        }
        Ok(value) => return value,
        Err(_) => {}
    }
    let inner = |open: char, close: char| {
        text.strip_prefix(open)
            .and_then(|rest| rest.strip_suffix(close))
    };
    if let Some(inner) = inner('\'', '\'') {
        return Value::String(inner.to_string());
    }
    if let Some(list) = inner('(', ')').or_else(|| inner('[', ']'))
        && let Ok(parts) = split(list, ',')
    {
        let parts = parts.into_iter().map(str::trim);
        return parts
            .filter(|part| !part.is_empty())
            .map(value_of)
            .collect();
    }
    Value::String(text.to_string())
}

/// Parts between separators that stand outside brackets and quotes.
fn split(text: &str, separator: char) -> Result<Vec<&str>> {
    let mut parts = Vec::new();
    let mut open: Vec<char> = Vec::new();
    let mut quote = None;
    let mut escaped = false;
    let mut start = 0;
    for (i, c) in text.char_indices() {
        if let Some(end) = quote {
            if escaped {
                escaped = false;
            } else if c == '\\' {
                escaped = true;
            } else if c == end {
                quote = None;
            }
            continue;
        }
        match c {
            '"' | '\'' => quote = Some(c),
            '(' => open.push(')'),
            '[' => open.push(']'),
            '{' => open.push('}'),
            ')' | ']' | '}' if open.pop() != Some(c) => {
                return Err(wrong(&format!("the {c} in {text:?} closes nothing")));
            }
            _ if c == separator && open.is_empty() => {
                parts.push(text.get(start..i).unwrap_or_default());
                start = i + c.len_utf8();
            }
            _ => {}
        }
    }
    if let Some(close) = quote.or(open.pop()) {
        return Err(wrong(&format!("a closing {close} is missing in {text:?}")));
    }
    parts.push(text.get(start..).unwrap_or_default());
    Ok(parts)
}

fn wrong(what: &str) -> Error {
    Error::usage(format!("the spec of the model is wrong: {what}"))
        .hint("write it like standard-scaler|logistic-regression(C=0.5)")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    #[test]
    fn steps_and_their_parameters_are_read() {
        let steps =
            parse(" min-max-scaler(feature_range=(0, 2)) | Lasso(alpha=1e-2,name='a|b,c', f=True)")
                .unwrap();
        assert_eq!(steps.len(), 2);
        assert_eq!(steps[0].params.get("feature_range"), Some(&json!([0, 2])));
        assert_eq!(steps[1].name, "Lasso");
        assert_eq!(steps[1].params.get("alpha"), Some(&json!(1e-2)));
        assert_eq!(steps[1].params.get("name"), Some(&json!("a|b,c")));
        assert_eq!(steps[1].params.get("f"), Some(&json!(true)));
        let steps = parse("one-hot(columns=['a', b],drop=first)").unwrap();
        assert_eq!(steps[0].params.get("columns"), Some(&json!(["a", "b"])));
        assert_eq!(steps[0].params.get("drop"), Some(&json!("first")));
    }

    #[test]
    fn wrong_specs_are_refused() {
        for spec in [
            "", "a||b", "a(", "a(b)", "a(b=1", "a)b", "a(b=[1)", "a b", "a(=1)", "a(x='1)",
        ] {
            assert!(parse(spec).is_err(), "{spec}");
        }
    }

    proptest! {
        #[test]
        fn no_text_breaks_the_parser(text in "[a-c|(),='\"\\[\\]{} \\\\é0-9.-]{0,60}") {
            let _ = parse(&text);
        }

        #[test]
        fn json_values_come_back(number in any::<f64>(), text in "[^\"\\\\[:cntrl:]]{0,12}", flag: bool) {
            prop_assume!(number.is_finite());
            let value = json!({"t": [text, flag, null]});
            let spec = format!("a(p={value},n={number:e})");
            let steps = parse(&spec).unwrap();
            prop_assert_eq!(steps[0].params.get("p"), Some(&value));
            prop_assert_eq!(steps[0].params.f64("n", 0.5).unwrap(), number);
        }
    }
}
