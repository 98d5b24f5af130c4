//! Tests of texts, and which patterns mean the same to MongoDB (PCRE) and to Polars (Rust's
//! regex crate). Others are left to Polars.

use super::condition::Condition;
use bson::{Bson, doc};

/// How often a pattern may repeat something: PCRE tries all ways to divide a text.
const REPEATS: usize = 3;

/// The texts that match a pattern, or all others.
pub(super) fn matching(path: &str, pattern: &str, want: bool) -> Condition {
    let path = path.to_owned();
    match want {
        true => Condition::Op(path, "$regex", Bson::from(pattern)),
        false => Condition::all([
            Condition::Op(path.clone(), "$not", doc! { "$regex": pattern }.into()),
            Condition::NotIn(path, vec![Bson::Null]),
        ]),
    }
}

/// Where a text has to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    Anywhere,
    Start,
    End,
}

/// The pattern of texts that have `text` in them.
pub(super) fn literal(text: &str, part: Part) -> Option<String> {
    let escaped = regex::escape(text);
    (!text.contains('\0')).then(|| match part {
        Part::Anywhere => escaped,
        Part::Start => format!("^{escaped}"),
        Part::End => format!("{escaped}\\z"),
    })
}

/// The pattern in words that mean the same on both sides.
pub(super) fn pattern(pattern: &str) -> Option<String> {
    let mut out = String::with_capacity(pattern.len() + 2);
    let mut rest = pattern.chars().peekable();
    let mut repeats = 0;
    // Whether there is one thing before that can be repeated.
    let mut thing = false;
    let mut start = true;
    while let Some(c) = rest.next() {
        let (was, at_start) = (thing, start);
        (thing, start) = (false, false);
        match c {
            '^' if at_start => out.push('^'),
            // PCRE's `$` also stands before a line feed at the end.
            '$' if matches!(rest.peek(), None | Some('|')) => out.push_str("\\z"),
            '|' => {
                out.push('|');
                start = true;
            }
            '*' | '+' | '?' if was => {
                repeats += 1;
                out.push(c);
                if rest.next_if_eq(&'?').is_some() {
                    out.push('?');
                }
            }
            '.' => {
                out.push('.');
                thing = true;
            }
            '[' => {
                out.push_str(&class(&mut rest)?);
                thing = true;
            }
            '\\' => {
                let escaped = rest.next().filter(char::is_ascii_punctuation)?;
                if matches!(escaped, '<' | '>') {
                    return None;
                }
                out.extend(['\\', escaped]);
                thing = true;
            }
            '^' | '$' | '*' | '+' | '?' | '{' | '}' | '(' | ')' | ']' | '\0' => return None,
            c => {
                out.push(c);
                thing = true;
            }
        }
    }
    (repeats <= REPEATS).then_some(out)
}

/// A class of single letters, digits and ranges of them.
fn class(rest: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Option<String> {
    let mut out = String::from("[");
    if rest.next_if_eq(&'^').is_some() {
        out.push('^');
    }
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, ' ' | '_' | ',' | '.' | ':');
    let mut empty = true;
    loop {
        let c = rest.next()?;
        if c == ']' {
            return (!empty).then(|| {
                out.push(']');
                out
            });
        }
        if !plain(c) {
            return None;
        }
        out.push(c);
        empty = false;
        if rest.next_if_eq(&'-').is_some() {
            let end = rest.next()?;
            let ranges = [
                char::is_ascii_digit,
                char::is_ascii_lowercase,
                char::is_ascii_uppercase,
            ] as [fn(&char) -> bool; 3];
            if !(ranges.iter().any(|range| range(&c) && range(&end)) && c <= end) {
                return None;
            }
            out.extend(['-', end]);
        }
    }
}

/// Whether only a text can become this text in a text column: numbers, truth values, dates,
/// object ids, arrays and documents become others.
pub(super) fn is_ordinary(text: &str) -> bool {
    const WORDS: [&str; 7] = ["true", "false", "null", "nan", "inf", "infinity", "none"];
    let id = text.len() == 24 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let word = WORDS.iter().any(|word| text.eq_ignore_ascii_case(word));
    text.starts_with(char::is_alphabetic) && !id && !word
}
