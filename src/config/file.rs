//! One configuration file: YAML or JSON, plain or in sections named by a qualifier
//! (spec/cli.md §9). Only keys that start with `OMEGA` are settings.

use crate::error::{Error, ErrorKind, Result};
use serde_json::{Map, Value};
use std::fs::File;
use std::io::Read;
use std::path::Path;

/// Larger files are no configuration.
const LIMIT: u64 = 1 << 20;
/// The YAML reader takes time with the square of the depth.
const DEPTH: i64 = 500;

/// The text of a configuration file.
///
/// # Errors
/// [`ErrorKind::NotFound`] when there is none; [`ErrorKind::Invalid`] for a directory,
/// text that is not UTF-8 and files that are too large.
pub(super) fn read(path: &Path) -> Result<String> {
    let name = || path.display().to_string();
    if path.is_dir() {
        return Err(Error::invalid("is a directory, not a configuration file").on(name()));
    }
    let file = File::open(path).map_err(|error| {
        let kind = match error.kind() {
            std::io::ErrorKind::NotFound => ErrorKind::NotFound,
            _ => ErrorKind::Failed,
        };
        Error::new(kind, "cannot read the configuration file")
            .on(name())
            .because(error)
    })?;
    let mut bytes = Vec::new();
    file.take(LIMIT + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| {
            Error::failed("cannot read the configuration file")
                .on(name())
                .because(error)
        })?;
    if bytes.len() as u64 > LIMIT {
        return Err(Error::invalid("is too large for a configuration file").on(name()));
    }
    String::from_utf8(bytes)
        .map(|text| {
            text.strip_prefix('\u{feff}')
                .map(str::to_owned)
                .unwrap_or(text)
        })
        .map_err(|error| {
            Error::invalid("is not UTF-8 text")
                .on(name())
                .because(error.utf8_error())
        })
}

/// The mapping in `text`; empty text is an empty mapping.
///
/// # Errors
/// [`ErrorKind::Invalid`], with the line, when it is malformed or not a mapping.
pub(super) fn parse(text: &str, path: &Path) -> Result<Map<String, Value>> {
    let invalid = |message: String| {
        Error::invalid(message)
            .on(path.display().to_string())
            .hint("correct the file, or choose another one with --config FILE")
    };
    if text.trim_start().starts_with('{')
        && let Ok(Value::Object(map)) = serde_json::from_str(text)
    {
        return Ok(map);
    }
    if depth(text) > DEPTH {
        return Err(invalid("is nested too deeply".to_owned()));
    }
    let value: serde_yaml_ng::Value = serde_yaml_ng::from_str(text)
        .map_err(|error| invalid(format!("is not valid YAML: {error}")))?;
    match to_json(value) {
        Value::Null => Ok(Map::new()),
        Value::Object(map) => Ok(map),
        _ => Err(invalid("is not a mapping of names to values".to_owned())),
    }
}

/// The most brackets that are open at the same time, those in quotes included.
fn depth(text: &str) -> i64 {
    let mut open = 0;
    let mut most = 0;
    for byte in text.bytes() {
        match byte {
            b'[' | b'{' => open += 1,
            b']' | b'}' => open -= 1,
            _ => continue,
        }
        most = most.max(open);
    }
    most
}

/// The settings in a configuration file's mapping. Where the file has sections, that of
/// `qualifier` counts, else `default`, else the only one.
pub(super) fn settings(
    document: Map<String, Value>,
    qualifier: Option<&str>,
    path: &Path,
) -> Result<Map<String, Value>> {
    let is_section = |value: &Value| {
        value
            .as_object()
            .is_some_and(|map| map.keys().any(|key| key.starts_with("OMEGA")))
    };
    let mut settings = Map::new();
    let mut sections = Map::new();
    for (name, value) in document {
        if name.starts_with("OMEGA") {
            settings.insert(name, value);
        } else if is_section(&value) {
            sections.insert(name, value);
        }
    }
    let qualifier = qualifier.or_else(|| settings.get("OMEGA_QUALIFIER")?.as_str());
    let wanted = qualifier.unwrap_or("default");
    let section = match sections.remove(wanted) {
        Some(section) => section,
        None if sections.is_empty() || !settings.is_empty() => return Ok(settings),
        None if sections.len() == 1 && qualifier.is_none() => sections
            .into_iter()
            .next()
            .map(|(_, section)| section)
            .unwrap_or_default(),
        None => {
            let names: Vec<_> = sections.keys().map(String::as_str).collect();
            return Err(Error::invalid(format!("has no section \"{wanted}\""))
                .on(path.display().to_string())
                .hint(format!(
                    "set OMEGA_QUALIFIER to one of: {}",
                    names.join(", ")
                )));
        }
    };
    if let Value::Object(section) = section {
        settings.extend(
            section
                .into_iter()
                .filter(|(name, _)| name.starts_with("OMEGA")),
        );
    }
    Ok(settings)
}

/// Keys that are not text become text; tags such as `!!python/tuple` are left out.
fn to_json(value: serde_yaml_ng::Value) -> Value {
    use serde_yaml_ng::Value as Yaml;
    match value {
        Yaml::Null => Value::Null,
        Yaml::Bool(value) => Value::Bool(value),
        Yaml::Number(number) => match (number.as_i64(), number.as_u64(), number.as_f64()) {
            (Some(value), ..) => value.into(),
            (_, Some(value), _) => value.into(),
            (.., Some(value)) if value.is_finite() => value.into(),
            _ => number.to_string().into(),
        },
        Yaml::String(text) => Value::String(text),
        Yaml::Sequence(items) => items.into_iter().map(to_json).collect(),
        Yaml::Mapping(map) => Value::Object(
            map.into_iter()
                .map(|(key, value)| {
                    let key = match to_json(key) {
                        Value::String(text) => text,
                        other => other.to_string(),
                    };
                    (key, to_json(value))
                })
                .collect(),
        ),
        Yaml::Tagged(tagged) => to_json(tagged.value),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn parsed(text: &str) -> Result<Map<String, Value>> {
        parse(text, Path::new("config.yml"))
    }

    #[test]
    fn yaml_and_json_are_read() {
        let yaml = "# omega|ml\nOMEGA_BROKER: amqp://u:p@mq//\nOMEGA_CELERY_CONFIG:\n  A: [1, x]\n  2: !!python/tuple [1]\nother: 1\n";
        assert_eq!(
            Value::Object(parsed(yaml).unwrap()),
            json!({"OMEGA_BROKER": "amqp://u:p@mq//", "OMEGA_CELERY_CONFIG": {"A": [1, "x"], "2": [1]}, "other": 1})
        );
        assert_eq!(
            parsed("{\n\t\"OMEGA_TMP\": \"/x\"\n}").unwrap(),
            parsed("OMEGA_TMP: /x").unwrap()
        );
        assert!(parsed("").unwrap().is_empty());
        assert!(parsed("# nothing\n").unwrap().is_empty());
    }

    #[test]
    fn malformed_text_is_reported_with_its_line() {
        for (text, line) in [
            ("A: 1\nB: [1,\nC: 2\n", "line 2"),
            ("A: 1\n B: 2\n", "line 2"),
            ("a: b: c", "line 1"),
        ] {
            let error = parsed(text).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Invalid);
            let text = error.to_string();
            assert!(text.contains("config.yml") && text.contains(line), "{text}");
        }
        for text in ["- a\n", "text", "1"] {
            assert!(
                parsed(text)
                    .unwrap_err()
                    .to_string()
                    .contains("not a mapping"),
                "{text}"
            );
        }
    }

    #[test]
    fn deep_nesting_is_refused() {
        for text in [
            "[".repeat(200_000),
            "- ".repeat(200_000),
            "{a: ".repeat(50_000),
        ] {
            assert!(parsed(&text).is_err());
        }
        let aliases = "a: &a [x,x,x,x,x,x,x,x]\n".to_owned()
            + &(0..12)
                .map(|n| format!("b{n}: &b{n} [*a,*a,*a,*a,*a,*a]\n"))
                .collect::<String>();
        let _ = parsed(&aliases);
    }

    #[test]
    fn the_section_of_the_qualifier_counts() {
        let document = || {
            parsed("a: {OMEGA_USERID: ua}\ndefault: {OMEGA_USERID: ud, x: 1}\nnote: {}\n").unwrap()
        };
        let of = |qualifier| settings(document(), qualifier, Path::new("c.yml"));
        assert_eq!(of(None).unwrap()["OMEGA_USERID"], "ud");
        assert_eq!(of(Some("a")).unwrap()["OMEGA_USERID"], "ua");
        assert_eq!(of(None).unwrap().len(), 1);
        let error = of(Some("b")).unwrap_err();
        assert_eq!(
            error.hint_text(),
            Some("set OMEGA_QUALIFIER to one of: a, default")
        );
        let only = parsed("mine: {OMEGA_USERID: um}").unwrap();
        assert_eq!(
            settings(only, None, Path::new("c.yml")).unwrap()["OMEGA_USERID"],
            "um"
        );
    }

    proptest! {
        #[test]
        fn any_text_is_answered(text in "(\\PC|[\n:\\[\\]{}&*!#'\" -]){0,80}") {
            if let Ok(map) = parsed(&text) {
                let _ = settings(map, Some("default"), Path::new("c.yml"));
            }
        }
    }
}
