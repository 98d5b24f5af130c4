//! Names as users write them: an object's name, perhaps with a projection behind it
//! (`sales[qty,price]`, spec/storage.md §7 and §12.3), and patterns of names (§8).

use crate::error::{Context, Error, Result};
use crate::frame::Columns;
use regex::{Regex, RegexBuilder};
use std::fmt;

/// A name with its projection, as given to get, query and the runtime.
#[derive(Debug, Clone, PartialEq)]
pub struct Name {
    /// The object's name.
    pub object: String,
    /// Which columns.
    pub columns: Columns,
}

/// The most characters a name may have.
const LONGEST: usize = 1024;

impl Name {
    /// Reads `name` or `name[projection]`.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Usage`] when the name is empty or cannot be a name.
    pub fn parse(text: &str) -> Result<Self> {
        let (object, columns) = match text.strip_suffix(']').and_then(|rest| rest.split_once('[')) {
            Some((object, spec)) => (object, Columns::parse(spec)?),
            None => (text, Columns::All),
        };
        check(object, text)?;
        Ok(Name {
            object: object.to_owned(),
            columns,
        })
    }

    /// Reads a name that is to be written to: no projection, no pattern.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Usage`] when it is not a plain name.
    pub fn plain(text: &str) -> Result<String> {
        check(text, text)?;
        if text.ends_with(']') && text.contains('[') {
            return Err(
                Error::usage(format!("`{text}` names columns, not an object"))
                    .hint("write to the name without [...]"),
            );
        }
        if text.contains('*') {
            return Err(Error::usage(format!("`{text}` is a pattern, not a name"))
                .hint("`*` stands for any characters in list and drop; use another name"));
        }
        Ok(text.to_owned())
    }
}

fn check(name: &str, text: &str) -> Result<()> {
    if name.is_empty() {
        return Err(Error::usage(format!("`{text}` names no object")));
    }
    if name.chars().count() > LONGEST {
        return Err(Error::usage(format!(
            "a name has at most {LONGEST} characters"
        )));
    }
    if name.contains('\0') {
        return Err(Error::usage("a name cannot contain a NUL character"));
    }
    Ok(())
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.object)
    }
}

/// A pattern of whole names, `*` for any characters; everything else is literal.
/// (omega|ml leaves other characters to the regular expression engine; `--regexp` does so.)
pub fn glob(pattern: &str) -> Result<Regex> {
    let body: Vec<String> = pattern.split('*').map(regex::escape).collect();
    compile(&format!("^(?s:{})$", body.join(".*")), pattern)
}

/// A regular expression that may match anywhere in a name.
pub fn regexp(pattern: &str) -> Result<Regex> {
    compile(pattern, pattern)
}

fn compile(expression: &str, pattern: &str) -> Result<Regex> {
    RegexBuilder::new(expression)
        .size_limit(1 << 20)
        .build()
        .context(|| format!("`{pattern}` is not a valid pattern"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_projection_is_split_off() {
        let name = Name::parse("sales[qty,price]").unwrap();
        assert_eq!(name.object, "sales");
        assert_eq!(
            name.columns,
            Columns::Only(vec!["qty".into(), "price".into()])
        );
        assert_eq!(
            Name::parse("a/b c'\"$x😀..").unwrap().object,
            "a/b c'\"$x😀.."
        );
        assert_eq!(
            Name::parse("s[^price]").unwrap().columns,
            Columns::Except(vec!["price".into()])
        );
        assert!(Name::parse("[x]").is_err());
        assert!(Name::parse("").is_err());
    }

    #[test]
    fn writing_needs_a_plain_name() {
        assert!(Name::plain("a[b]").is_err());
        assert!(Name::plain("a*").is_err());
        assert!(Name::plain(&"x".repeat(300)).is_ok());
    }

    #[test]
    fn only_the_star_is_special_in_a_glob() {
        let names = glob("df.*").unwrap();
        assert!(names.is_match("df.x") && names.is_match("df."));
        assert!(!names.is_match("dfax") && !names.is_match("xdf.x"));
        assert!(glob("a(b*").unwrap().is_match("a(bc"));
    }

    proptest! {
        #[test]
        fn no_text_panics(text in ".{0,80}") {
            let _ = Name::parse(&text);
            let _ = Name::plain(&text);
            prop_assert!(glob(&text).is_ok());
            let _ = regexp(&text);
        }
    }
}
