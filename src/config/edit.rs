//! Changes single settings of a configuration file and leaves everything else in it,
//! comments and unknown keys included, as it is.

use super::file;
use crate::error::{Error, ErrorKind, Result};
use serde_json::{Map, Value};
use std::io::Write;
use std::path::Path;

/// Sets (or, without a value, removes) a setting in the file at `path`, which is made if
/// it is missing. Whether the file had the setting before.
///
/// # Errors
/// [`ErrorKind::Invalid`] when the file is malformed or has sections.
pub fn set(path: &Path, name: &str, value: Option<&Value>) -> Result<bool> {
    let text = match file::read(path) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => String::new(),
        Err(error) => return Err(error),
    };
    let before = file::parse(&text, path)?;
    if !before.is_empty() && !before.keys().any(|key| key.starts_with("OMEGA")) {
        let sectioned = before.values().filter_map(Value::as_object);
        if sectioned
            .flat_map(Map::keys)
            .any(|key| key.starts_with("OMEGA"))
        {
            return Err(Error::invalid("has sections, which om does not edit")
                .on(path.display().to_string())
                .hint("change it in an editor"));
        }
    }
    let had = before.contains_key(name);
    if value.is_none() && !had {
        return Ok(false);
    }
    let mut wanted = before.clone();
    match value {
        Some(value) => wanted.insert(name.to_owned(), value.clone()),
        None => wanted.shift_remove(name),
    };
    let edited = edited(&text, name, value)?;
    // A form that the line edit does not understand is written anew as a whole.
    let text = match file::parse(&edited, path) {
        Ok(after) if sorted(&after) == sorted(&wanted) => edited,
        _ if text.trim_start().starts_with('{') => serde_json::to_string_pretty(&wanted)
            .map_err(|error| Error::failed("cannot write the settings").because(error))?,
        _ => yaml(&Value::Object(wanted))?,
    };
    write(path, &text)?;
    Ok(had)
}

/// The text with the lines of the top-level key `name` replaced by the new value.
fn edited(text: &str, name: &str, value: Option<&Value>) -> Result<String> {
    let replacement = match value {
        Some(Value::String(text)) if is_ambiguous(text) => {
            format!("{name}: {}\n", Value::from(text.as_str()))
        }
        Some(value) => yaml(&Value::Object(Map::from_iter([(
            name.to_owned(),
            value.clone(),
        )])))?,
        None => String::new(),
    };
    let mut result = String::with_capacity(text.len() + replacement.len());
    let mut state = State::Before;
    for line in text.split_inclusive('\n') {
        let starts = line
            .strip_prefix(name)
            .is_some_and(|rest| rest.trim_start().starts_with(':'));
        if matches!(state, State::Before) && starts {
            result.push_str(&replacement);
            state = State::Within;
            continue;
        }
        if matches!(state, State::Within) {
            if line.starts_with([' ', '\t', '-']) {
                continue;
            }
            state = State::After;
        }
        result.push_str(line);
    }
    if matches!(state, State::Before) {
        if !result.is_empty() && !result.ends_with('\n') {
            result.push('\n');
        }
        result.push_str(&replacement);
    }
    Ok(result)
}

/// Text that Python's YAML would read as something else unless it is quoted.
fn is_ambiguous(text: &str) -> bool {
    const WORDS: [&str; 6] = ["y", "n", "yes", "no", "on", "off"];
    WORDS.contains(&text.to_lowercase().as_str())
        || text.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '+' | '-' | '.'))
}

enum State {
    Before,
    Within,
    After,
}

fn sorted(map: &Map<String, Value>) -> std::collections::BTreeMap<&String, &Value> {
    map.iter().collect()
}

fn yaml(value: &Value) -> Result<String> {
    serde_yaml_ng::to_string(value)
        .map_err(|error| Error::failed("cannot write the settings").because(error))
}

/// Writes a configuration file in one step; a new one is readable by the user only,
/// since it may hold secrets.
pub(super) fn write(path: &Path, text: &str) -> Result<()> {
    // Through a link, the file that it leads to is replaced.
    let path = &std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let failed = |error: std::io::Error| {
        Error::failed("cannot write the configuration file")
            .on(path.display().to_string())
            .because(error)
    };
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    std::fs::create_dir_all(folder).map_err(failed)?;
    let mut temporary = tempfile::NamedTempFile::new_in(folder).map_err(failed)?;
    temporary.write_all(text.as_bytes()).map_err(failed)?;
    if let Ok(metadata) = std::fs::metadata(path) {
        temporary
            .as_file()
            .set_permissions(metadata.permissions())
            .map_err(failed)?;
    }
    temporary.as_file().sync_all().map_err(failed)?;
    temporary
        .persist(path)
        .map_err(|error| failed(error.error))?;
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    #[test]
    fn comments_and_unknown_keys_stay() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deep/config.yml");
        assert!(!set(&path, "OMEGA_TMP", Some(&json!("/x"))).unwrap());
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "OMEGA_TMP: /x\n");
        std::fs::write(
            &path,
            "# ours\nother: 1\nOMEGA_CELERY_CONFIG:\n  A: 1\n  # within\n  B: 2\n# after\nOMEGA_TMP: /x # why\n",
        )
        .unwrap();
        assert!(set(&path, "OMEGA_CELERY_CONFIG", Some(&json!({"C": [1]}))).unwrap());
        assert!(set(&path, "OMEGA_TMP", None).unwrap());
        assert!(!set(&path, "OMEGA_BUCKET", None).unwrap());
        set(&path, "OMEGA_BUCKET", Some(&json!("yes"))).unwrap();
        assert_eq!(
            std::fs::read_to_string(&path).unwrap(),
            "# ours\nother: 1\nOMEGA_CELERY_CONFIG:\n  C:\n  - 1\n# after\nOMEGA_BUCKET: \"yes\"\n"
        );
    }

    #[test]
    fn json_stays_json_and_sections_are_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.yml");
        std::fs::write(&path, "{\"OMEGA_TMP\": \"/x\"}").unwrap();
        set(&path, "OMEGA_BUCKET", Some(&json!("b"))).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(
            serde_json::from_str::<Value>(&text).unwrap(),
            json!({"OMEGA_TMP": "/x", "OMEGA_BUCKET": "b"})
        );
        std::fs::write(&path, "default: {OMEGA_TMP: /x}").unwrap();
        assert_eq!(
            set(&path, "OMEGA_TMP", None).unwrap_err().kind(),
            ErrorKind::Invalid
        );
    }

    #[cfg(unix)]
    #[test]
    fn new_files_are_for_the_user_only() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.yml");
        set(&path, "OMEGA_APIKEY", Some(&json!("k"))).unwrap();
        assert_eq!(
            std::fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o600
        );
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
        set(&path, "OMEGA_APIKEY", Some(&json!("l"))).unwrap();
        assert_eq!(
            std::fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o640
        );
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn what_is_set_is_read_and_the_rest_stays(
            lines in proptest::collection::btree_map("[A-Z]{1,5}", "\\PC{0,10}", 0..5),
            value in "\\PC{1,20}",
        ) {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("config.yml");
            let mut document: Map<String, Value> =
                lines.into_iter().map(|(name, value)| (format!("OMEGA_{name}"), json!(value))).collect();
            std::fs::write(&path, serde_yaml_ng::to_string(&document).unwrap()).unwrap();
            set(&path, "OMEGA_NEW", Some(&json!(value))).unwrap();
            document.insert("OMEGA_NEW".to_owned(), json!(value));
            let read = file::parse(&std::fs::read_to_string(&path).unwrap(), &path).unwrap();
            prop_assert_eq!(sorted(&read), sorted(&document));
        }
    }
}
