//! Where the embedded store is: a directory, written as a path or as a `file:` URL.

use crate::error::{Error, Result};
use std::fmt;
use std::path::{Path, PathBuf};

/// The URL of a store in a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreUrl {
    directory: PathBuf,
}

impl StoreUrl {
    /// The store in this directory; a relative one is taken from the working directory.
    pub fn from_directory(directory: impl AsRef<Path>) -> Self {
        let directory = directory.as_ref();
        StoreUrl {
            directory: std::path::absolute(directory).unwrap_or_else(|_| directory.to_owned()),
        }
    }

    /// Reads `file:///path`, `file:path` or a plain path; percent escapes are for URLs only.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Usage`] for other schemes, other hosts and empty paths.
    pub fn parse(text: &str) -> Result<Self> {
        let path = match text.split_once("://") {
            Some(("file", rest)) => match rest.split_once('/') {
                Some(("" | "localhost", path)) => decode(&format!("/{path}"), text)?,
                _ => {
                    return Err(invalid(text, "a file URL has three slashes"));
                }
            },
            Some((scheme, _)) => {
                return Err(invalid(
                    text,
                    &format!("{scheme}:// is not a store in a directory"),
                ));
            }
            None => match text.strip_prefix("file:") {
                Some(path) => decode(path, text)?,
                None => text.to_owned(),
            },
        };
        if path.is_empty() || path.contains('\0') {
            return Err(invalid(text, "it names no directory"));
        }
        Ok(Self::from_directory(path))
    }

    /// The directory, absolute.
    pub fn directory(&self) -> &Path {
        &self.directory
    }
}

fn invalid(text: &str, why: &str) -> Error {
    let text = super::Url::new(text);
    Error::usage(format!("\"{text}\" is not a store: {why}"))
        .on("OMEGA_STORE_URL")
        .hint("give a directory, as file:///path/to/store or as a path")
}

fn decode(path: &str, whole: &str) -> Result<String> {
    let mut bytes = Vec::with_capacity(path.len());
    let mut rest = path.as_bytes();
    while let [first, tail @ ..] = rest {
        rest = tail;
        if *first != b'%' {
            bytes.push(*first);
            continue;
        }
        let digits = path.get(path.len() - tail.len()..path.len() - tail.len() + 2);
        let byte = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok());
        bytes.push(byte.ok_or_else(|| invalid(whole, "% is not followed by two hex digits"))?);
        rest = tail.get(2..).unwrap_or_default();
    }
    String::from_utf8(bytes).map_err(|_| invalid(whole, "its path is not UTF-8"))
}

impl fmt::Display for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("file://")?;
        for byte in self.directory.to_string_lossy().bytes() {
            match byte {
                b'%' | b'?' | b'#' | b' ' | 0..0x20 | 0x7f.. => write!(f, "%{byte:02X}")?,
                _ => write!(f, "{}", char::from(byte))?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn directories_are_read() {
        for (text, directory) in [
            ("file:///data/store", "/data/store"),
            ("file://localhost/data/store", "/data/store"),
            ("file:///data/my%20store", "/data/my store"),
            ("/data/my%20store", "/data/my%20store"),
            ("file:/data", "/data"),
        ] {
            assert_eq!(
                StoreUrl::parse(text).unwrap().directory(),
                Path::new(directory),
                "{text}"
            );
        }
        let relative = StoreUrl::parse("store").unwrap();
        assert_eq!(
            relative.directory(),
            std::env::current_dir().unwrap().join("store")
        );
    }

    #[test]
    fn other_urls_are_refused() {
        for text in [
            "",
            "file:",
            "mongodb://u:CANARY@db/x",
            "file://host/x",
            "file://",
            "file:///a%zz",
            "a\0b",
        ] {
            let error = StoreUrl::parse(text).unwrap_err();
            assert_eq!(error.kind(), crate::ErrorKind::Usage, "{text}");
            assert!(!error.to_string().contains("CANARY"));
        }
    }

    proptest! {
        #[test]
        fn what_is_shown_is_read_back(name in "[^/\\x00]{1,20}") {
            let url = StoreUrl::from_directory(format!("/base/{name}"));
            prop_assert_eq!(StoreUrl::parse(&url.to_string()).unwrap(), url);
        }

        #[test]
        fn any_text_is_answered(text in "\\PC{0,40}") {
            let _ = StoreUrl::parse(&text);
        }
    }
}
