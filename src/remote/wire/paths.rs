//! Where things are on a server.

use crate::storage::Key;
use crate::store::PREFIXES;
use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

/// Where the stores are.
pub const STORE: &str = "/api/v1/store";

/// Where uploads go on.
pub const UPLOADS: &str = "/api/v1/upload";

/// Where records are.
pub const RECORDS: &str = "/api/v1/records";

/// The parameter with a name that no path can carry.
pub const NAME: &str = "name";

/// Where tasks are.
pub const TASKS: &str = "/api/v1/task/";

/// Whether only servers of ours have what is at `path`.
pub fn is_extension(path: &str) -> bool {
    path == TASKS
        || [STORE, UPLOADS, RECORDS]
            .iter()
            .any(|known| path.starts_with(known))
}

/// A name in a path as omega|ml has it: its slashes are the path's.
pub fn encoded_path(name: &str) -> String {
    utf8_percent_encode(name, NON_ALPHANUMERIC)
        .to_string()
        .replace("%2F", "/")
}

/// The path of a part of an object: `metadata`, `rows`, `content`, …
pub fn object_path(key: &Key, part: &str) -> String {
    let store = store_path(&key.prefix);
    match key.name.as_str() {
        // In a path they would mean another one, however they are written.
        "." | ".." => format!("{store}/-/{part}?{NAME}={}", key.name),
        name => format!(
            "{store}/{}/{part}",
            utf8_percent_encode(name, NON_ALPHANUMERIC)
        ),
    }
}

/// The path of a store.
pub fn store_path(prefix: &str) -> String {
    let noun = PREFIXES.iter().find(|(_, known)| *known == prefix);
    match noun {
        Some((noun, _)) => format!("{STORE}/{noun}"),
        None => format!("{STORE}/{}", utf8_percent_encode(prefix, NON_ALPHANUMERIC)),
    }
}

/// The prefix that a segment of a path names: a store, or a prefix with its slash.
pub fn prefix_of(segment: &str) -> Option<String> {
    let text = decoded(segment)?;
    let noun = PREFIXES.iter().find(|(noun, _)| *noun == text);
    match noun {
        Some((_, prefix)) => Some((*prefix).to_owned()),
        None => text.ends_with('/').then_some(text),
    }
}

/// The text of a segment of a path.
pub fn decoded(segment: &str) -> Option<String> {
    let text = percent_decode_str(segment).decode_utf8().ok()?;
    Some(text.into_owned())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn paths_carry_any_name() {
        let key = Key::new("b", "data/", "a//b/../ü%2F?");
        let path = object_path(&key, "rows");
        let parts: Vec<&str> = path.split('/').collect();
        assert_eq!(parts[..4], ["", "api", "v1", "store"]);
        assert_eq!(prefix_of(parts[4]).unwrap(), "data/");
        assert_eq!(decoded(parts[5]).unwrap(), key.name);
        assert_eq!(parts[6], "rows");
        assert_eq!(prefix_of("other%2F").unwrap(), "other/");
        assert_eq!(prefix_of("other"), None);
    }
}
