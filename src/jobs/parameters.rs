//! The cell that sets a run's parameters, in the notebook's language, as papermill writes it.

use crate::error::{Error, Result};
use serde_json::Value;

/// Source that sets these parameters.
///
/// # Errors
/// [`crate::ErrorKind::Usage`] for names that are none, and languages whose assignments are
/// not known.
pub fn source(language: &str, parameters: &[(String, Value)]) -> Result<String> {
    let style = style(language)?;
    let mut source = String::from("# Parameters\n");
    for (name, value) in parameters {
        let mut letters = name.chars();
        let starts = letters
            .next()
            .is_some_and(|c| c.is_alphabetic() || c == '_');
        if !starts || !letters.all(|c| c.is_alphanumeric() || c == '_') {
            return Err(Error::usage(format!("`{name}` is no name of a variable")));
        }
        source.push_str(&style.assignment(name, value)?);
        source.push('\n');
    }
    Ok(source)
}

/// Source that sets a variable of ours, whatever its name is in the language.
///
/// # Errors
/// As [`source`].
pub fn assigned(language: &str, variable: &str, value: &Value) -> Result<String> {
    let style = style(language)?;
    match style {
        Style::R => style.assignment(&format!("`{variable}`"), value),
        _ => style.assignment(variable, value),
    }
}

fn style(language: &str) -> Result<Style> {
    Style::of(language).ok_or_else(|| {
        Error::usage(format!(
            "parameters cannot be set in the language `{language}`"
        ))
        .hint("python, r, julia, bash and sh are known; read them from a data set instead")
    })
}

#[derive(Debug, Clone, Copy)]
enum Style {
    Python,
    R,
    Julia,
    Shell,
}

impl Style {
    fn of(language: &str) -> Option<Self> {
        match language.to_lowercase().as_str() {
            "python" => Some(Style::Python),
            "r" => Some(Style::R),
            "julia" => Some(Style::Julia),
            "bash" | "sh" | "shell" | "zsh" => Some(Style::Shell),
            _ => None,
        }
    }

    fn assignment(self, name: &str, value: &Value) -> Result<String> {
        let value = self.literal(value)?;
        Ok(match self {
            Style::Python | Style::R | Style::Julia => format!("{name} = {value}"),
            Style::Shell => format!("{name}={value}"),
        })
    }

    fn literal(self, value: &Value) -> Result<String> {
        let list = |values: &[Value], open: &str, close: &str| {
            let items: Result<Vec<String>> =
                values.iter().map(|value| self.literal(value)).collect();
            items.map(|items| format!("{open}{}{close}", items.join(", ")))
        };
        Ok(match (self, value) {
            (Style::Python, Value::Null) => "None".to_owned(),
            (Style::R, Value::Null) => "NULL".to_owned(),
            (Style::Julia, Value::Null) => "nothing".to_owned(),
            (Style::Shell, Value::Null) => "''".to_owned(),
            (Style::Python, Value::Bool(yes)) => if *yes { "True" } else { "False" }.to_owned(),
            (Style::R, Value::Bool(yes)) => if *yes { "TRUE" } else { "FALSE" }.to_owned(),
            (_, Value::Bool(yes)) => yes.to_string(),
            (_, Value::Number(number)) => number.to_string(),
            (Style::Shell, Value::String(text)) => format!("'{}'", text.replace('\'', "'\\''")),
            // Text in JSON is text in the others, but for `$` in Julia.
            (Style::Julia, Value::String(_)) => value.to_string().replace('$', "\\$"),
            (_, Value::String(_)) => value.to_string(),
            (Style::Python | Style::Julia, Value::Array(values)) => list(values, "[", "]")?,
            (Style::R, Value::Array(values)) => list(values, "list(", ")")?,
            (Style::Python, Value::Object(fields)) => {
                let items: Result<Vec<String>> = fields
                    .iter()
                    .map(|(name, value)| {
                        Ok(format!(
                            "{}: {}",
                            Value::from(name.as_str()),
                            self.literal(value)?
                        ))
                    })
                    .collect();
                format!("{{{}}}", items?.join(", "))
            }
            (Style::R, Value::Object(fields)) => {
                let items: Result<Vec<String>> = fields
                    .iter()
                    .map(|(name, value)| {
                        Ok(format!(
                            "`{}` = {}",
                            name.replace('`', ""),
                            self.literal(value)?
                        ))
                    })
                    .collect();
                format!("list({})", items?.join(", "))
            }
            (Style::Julia, Value::Object(fields)) => {
                let items: Result<Vec<String>> = fields
                    .iter()
                    .map(|(name, value)| {
                        Ok(format!(
                            "{} => {}",
                            self.literal(&name.as_str().into())?,
                            self.literal(value)?
                        ))
                    })
                    .collect();
                format!("Dict({})", items?.join(", "))
            }
            (Style::Shell, Value::Array(_) | Value::Object(_)) => {
                format!("'{}'", value.to_string().replace('\'', "'\\''"))
            }
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn assignments_of_each_language() {
        let parameters = [
            ("alpha".to_owned(), json!(0.1)),
            ("name".to_owned(), json!("it's $x \"y\"\n")),
            ("all".to_owned(), json!([1, true, null, {"k": 2}])),
        ];
        for (language, expected) in [
            (
                "python",
                "# Parameters\nalpha = 0.1\nname = \"it's $x \\\"y\\\"\\n\"\nall = [1, True, None, {\"k\": 2}]\n",
            ),
            (
                "R",
                "# Parameters\nalpha = 0.1\nname = \"it's $x \\\"y\\\"\\n\"\nall = list(1, TRUE, NULL, list(`k` = 2))\n",
            ),
            (
                "julia",
                "# Parameters\nalpha = 0.1\nname = \"it's \\$x \\\"y\\\"\\n\"\nall = [1, true, nothing, Dict(\"k\" => 2)]\n",
            ),
            (
                "bash",
                "# Parameters\nalpha=0.1\nname='it'\\''s $x \"y\"\n'\nall='[1,true,null,{\"k\":2}]'\n",
            ),
        ] {
            assert_eq!(
                source(language, &parameters).unwrap(),
                expected,
                "{language}"
            );
        }
        assert!(source("cobol", &parameters).is_err());
        assert!(source("python", &[("a b".to_owned(), json!(1))]).is_err());
        assert!(source("python", &[("x; import os".to_owned(), json!(1))]).is_err());
    }
}
