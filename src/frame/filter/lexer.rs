//! Tokens of the filter expression language.

use crate::error::{Error, Result};

/// A token and the character position where it starts, counted from 1.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Token {
    pub kind: Kind,
    pub at: usize,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Kind {
    /// A bare word: a column, an operator word, true, false or null.
    Word(String),
    /// A column in backticks.
    Column(String),
    /// Text in single or double quotes.
    Text(String),
    Int(i64),
    Float(f64),
    /// `==`, `<=`, `(`, `,` …; always one of [`SYMBOLS`].
    Symbol(&'static str),
}

/// Longer ones first.
const SYMBOLS: [&str; 19] = [
    "==", "!=", "<>", "<=", ">=", "&&", "||", "!~", "=", "<", ">", "~", "!", "&", "|", "(", ")",
    "[", "]",
];

impl std::fmt::Display for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Kind::Word(word) => f.write_str(word),
            Kind::Column(name) => write!(f, "`{name}`"),
            Kind::Text(text) => write!(f, "\"{text}\""),
            Kind::Int(value) => write!(f, "{value}"),
            Kind::Float(value) => write!(f, "{value:?}"),
            Kind::Symbol(symbol) => f.write_str(symbol),
        }
    }
}

/// Splits an expression into tokens.
pub(super) fn tokens(text: &str) -> Result<Vec<Token>> {
    let mut tokens = Vec::new();
    let mut rest = text;
    let mut at = 1;
    while let Some(first) = rest.chars().next() {
        let (kind, length) = if first.is_whitespace() {
            (None, first.len_utf8())
        } else {
            let (kind, length) = token(rest, first, at, tokens.last())?;
            (Some(kind), length)
        };
        let (consumed, left) = rest.split_at_checked(length).unwrap_or((rest, ""));
        if let Some(kind) = kind {
            tokens.push(Token { kind, at });
        }
        at += consumed.chars().count();
        rest = left;
    }
    Ok(tokens)
}

fn token(rest: &str, first: char, at: usize, before: Option<&Token>) -> Result<(Kind, usize)> {
    if matches!(first, '\'' | '"' | '`') {
        let (text, length) = quoted(rest, first).ok_or_else(|| {
            Error::usage(format!("the quote {first} at character {at} is not closed"))
        })?;
        return Ok((
            if first == '`' {
                Kind::Column(text)
            } else {
                Kind::Text(text)
            },
            length,
        ));
    }
    if first == ',' {
        return Ok((Kind::Symbol(","), 1));
    }
    let digits_follow = |from: usize| {
        rest.get(from..)
            .is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
    };
    let signed = matches!(first, '-' | '+');
    if first.is_ascii_digit()
        || (first == '.' && digits_follow(1))
        || (signed && (digits_follow(1) || (rest.get(1..2) == Some(".") && digits_follow(2))))
    {
        return number(rest, at);
    }
    if first.is_alphabetic() || first == '_' {
        let length = rest
            .char_indices()
            .find(|(_, c)| !(c.is_alphanumeric() || matches!(c, '_' | '.' | '#')))
            .map_or(rest.len(), |(index, _)| index);
        return Ok((
            Kind::Word(rest.get(..length).unwrap_or_default().to_owned()),
            length,
        ));
    }
    if let Some(symbol) = SYMBOLS.iter().find(|symbol| rest.starts_with(**symbol)) {
        return Ok((Kind::Symbol(symbol), symbol.len()));
    }
    let error = Error::usage(format!(
        "unexpected `{first}` at character {at} of the filter"
    ));
    Err(match (first, before) {
        ('$', _) => error.hint("database operators are not allowed in filters"),
        ('+' | '-' | '*' | '/' | '%', _) => {
            error.hint("a filter compares columns with values; it does not calculate")
        }
        _ => error.hint("column names with special characters stand in backticks: `my column` = 5"),
    })
}

/// The text up to the closing quote, which stands doubled inside, and its length with
/// the quotes. A backslash is a backslash, as regular expressions need it.
fn quoted(rest: &str, quote: char) -> Option<(String, usize)> {
    let mut text = String::new();
    let mut letters = rest.char_indices().skip(1).peekable();
    while let Some((index, letter)) = letters.next() {
        if letter != quote {
            text.push(letter);
        } else if letters.next_if(|(_, next)| *next == quote).is_some() {
            text.push(quote);
        } else {
            return Some((text, index + quote.len_utf8()));
        }
    }
    None
}

fn number(rest: &str, at: usize) -> Result<(Kind, usize)> {
    let mut length = 0;
    let mut before = ' ';
    for letter in rest.chars() {
        let sign = matches!(letter, '+' | '-');
        let part = letter.is_ascii_alphanumeric() || matches!(letter, '.' | '_' | ':');
        if !(part
            || sign && (length == 0 || matches!(before, 'e' | 'E') || before.is_ascii_digit()))
        {
            break;
        }
        length += letter.len_utf8();
        before = letter;
    }
    let text = rest.get(..length).unwrap_or_default();
    if let Ok(value) = text.parse::<i64>() {
        return Ok((Kind::Int(value), length));
    }
    // Rust's own parser also reads words such as "inf"; those start with a letter.
    match text.parse::<f64>() {
        Ok(value) if value.is_finite() => Ok((Kind::Float(value), length)),
        Ok(_) => Err(Error::usage(format!(
            "{text} at character {at} is out of range"
        ))),
        Err(_) => Err(
            Error::usage(format!("`{text}` at character {at} is not a number"))
                .hint(format!("dates and other text need quotes: \"{text}\"")),
        ),
    }
}
