//! The filter expression language:
//!
//! ```text
//! qty >= 5 and region in ("EU", "US") or not (a is null)
//! ```
//!
//! Columns are bare words or stand in backticks, text stands in single or double quotes
//! (doubled inside), dates are text. Operators: `= == != <> < <= > >=`, `in (…)`,
//! `between … and …`, `like`, `ilike`, `contains`, `contains all (…)`, `starts with`,
//! `ends with`, `matches` or `~`, `is null`, `is <type>`, each with `not`; `and`, `or`,
//! `not`, `&&`, `||`, `!`.

use super::lexer::{Kind, Token, tokens};
use super::{Filter, Op, Test, Value, ValueType};
use crate::error::{Error, Result};

/// Parentheses and nots deeper than this are refused.
const MAX_DEPTH: usize = 64;

/// Words that cannot be a bare column name.
const RESERVED: [&str; 19] = [
    "and",
    "or",
    "not",
    "in",
    "is",
    "null",
    "none",
    "true",
    "false",
    "between",
    "like",
    "ilike",
    "contains",
    "starts",
    "startswith",
    "ends",
    "endswith",
    "matches",
    "with",
];

/// Whether a column name can stand without backticks.
pub(super) fn is_bare(name: &str) -> bool {
    name.starts_with(|c: char| c.is_alphabetic() || c == '_')
        && name
            .chars()
            .all(|c| c.is_alphanumeric() || matches!(c, '_' | '.' | '#'))
        && !RESERVED.contains(&name.to_lowercase().as_str())
}

/// Parses an expression.
pub(super) fn parse(text: &str) -> Result<Filter> {
    let mut parser = Parser {
        tokens: tokens(text)?,
        next: 0,
        depth: 0,
    };
    if parser.tokens.is_empty() {
        return Err(Error::usage("the filter is empty").hint("for example: qty >= 5"));
    }
    let filter = parser.any()?;
    match parser.peek() {
        None => Ok(filter),
        Some(_) => Err(parser.unexpected("'and', 'or' or the end")),
    }
}

struct Parser {
    tokens: Vec<Token>,
    next: usize,
    depth: usize,
}

/// One side of a comparison.
enum Side {
    Column(String),
    Literal(Value),
}

impl Parser {
    fn any(&mut self) -> Result<Filter> {
        let mut parts = vec![self.all()?];
        while self.word("or") || self.symbol("||") || self.symbol("|") {
            parts.push(self.all()?);
        }
        Ok(joined(parts, Filter::Or))
    }

    fn all(&mut self) -> Result<Filter> {
        let mut parts = vec![self.one()?];
        while self.word("and") || self.symbol("&&") || self.symbol("&") {
            parts.push(self.one()?);
        }
        Ok(joined(parts, Filter::And))
    }

    fn one(&mut self) -> Result<Filter> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(Error::usage(format!(
                "the filter is nested deeper than {MAX_DEPTH}"
            )));
        }
        let filter = if self.word("not") || self.symbol("!") {
            Filter::Not(Box::new(self.one()?))
        } else if self.symbol("(") {
            let inner = self.any()?;
            self.expect(")")?;
            inner
        } else {
            self.test()?
        };
        self.depth -= 1;
        Ok(filter)
    }

    fn test(&mut self) -> Result<Filter> {
        match self.side("a column")? {
            Side::Column(column) => self.condition(column),
            Side::Literal(value) => self.flipped(value),
        }
    }

    /// What follows a column.
    fn condition(&mut self, column: String) -> Result<Filter> {
        if self.word("is") {
            let not = self.word("not");
            let op = self.after_is()?;
            return Ok(tested(column, op, not));
        }
        let not = self.word("not");
        if let Some(op) = self.word_operator()? {
            return Ok(tested(column, op, not));
        }
        if not {
            return Err(self.unexpected("'in', 'between', 'like', 'contains' or 'matches'"));
        }
        if let Some(symbol) = self.comparison() {
            let value = self.literal()?;
            return compare(column, symbol, value);
        }
        if self.symbol("~") {
            let pattern = self.text()?;
            return Ok(tested(column, Op::Regex(pattern), false));
        }
        if self.symbol("!~") {
            let pattern = self.text()?;
            return Ok(tested(column, Op::Regex(pattern), true));
        }
        if self.ends_condition() {
            return Ok(tested(column, Op::Eq(Value::Bool(true)), false));
        }
        Err(self.unexpected("a comparison such as = or in"))
    }

    fn word_operator(&mut self) -> Result<Option<Op>> {
        Ok(Some(if self.word("in") {
            Op::In(self.list()?)
        } else if self.word("between") {
            let low = self.literal()?;
            if !self.word("and") {
                return Err(self.unexpected("'and' of 'between … and …'"));
            }
            let high = self.literal()?;
            if low == Value::Null || high == Value::Null {
                return Err(Error::usage("between needs two values, null has no order"));
            }
            Op::Between(low, high)
        } else if self.word("like") {
            Op::Regex(like_pattern(&self.text()?, "(?s)"))
        } else if self.word("ilike") {
            Op::Regex(like_pattern(&self.text()?, "(?is)"))
        } else if self.word("contains") {
            if self.word("all") {
                Op::All(self.list()?)
            } else {
                Op::Contains(self.text()?)
            }
        } else if self.word("startswith") || self.two_words("starts", "with") {
            Op::StartsWith(self.text()?)
        } else if self.word("endswith") || self.two_words("ends", "with") {
            Op::EndsWith(self.text()?)
        } else if self.word("matches") {
            Op::Regex(self.text()?)
        } else {
            return Ok(None);
        }))
    }

    fn after_is(&mut self) -> Result<Op> {
        if self.word("null") || self.word("none") {
            return Ok(Op::IsNull);
        }
        for (word, value) in [("true", true), ("false", false)] {
            if self.word(word) {
                return Ok(Op::Eq(Value::Bool(value)));
            }
        }
        if let Some(Kind::Word(word)) = self.peek()
            && let Some(of) = ValueType::of_name(word)
        {
            self.next += 1;
            return Ok(Op::IsType(of));
        }
        Err(self.unexpected("null, true, false or a type"))
    }

    /// `5 <= qty`.
    fn flipped(&mut self, value: Value) -> Result<Filter> {
        let Some(symbol) = self.comparison() else {
            // `true` and `false` alone: the empty conjunction and disjunction.
            return match value {
                Value::Bool(true) if self.ends_condition() => Ok(Filter::And(Vec::new())),
                Value::Bool(false) if self.ends_condition() => Ok(Filter::Or(Vec::new())),
                _ => Err(self.unexpected("a comparison such as =").hint(
                    "column names with special characters stand in backticks: `my column` = 5",
                )),
            };
        };
        let symbol = match symbol {
            "<" => ">",
            "<=" => ">=",
            ">" => "<",
            ">=" => "<=",
            same => same,
        };
        match self.side("a column")? {
            Side::Column(column) => compare(column, symbol, value),
            Side::Literal(_) => Err(Error::usage(
                "a filter compares a column with a value; there are two values",
            )
            .hint("column names with special characters stand in backticks: `my column` = 5")),
        }
    }

    fn side(&mut self, expected: &str) -> Result<Side> {
        let side = match self.peek() {
            Some(Kind::Column(name)) => Side::Column(name.clone()),
            Some(Kind::Word(word)) if is_bare(word) => Side::Column(word.clone()),
            Some(kind) => match value_of(kind) {
                Some(value) => Side::Literal(value),
                None => return Err(self.unexpected(expected)),
            },
            None => return Err(self.unexpected(expected)),
        };
        self.next += 1;
        Ok(side)
    }

    fn literal(&mut self) -> Result<Value> {
        match self.side("a value")? {
            Side::Literal(value) => Ok(value),
            Side::Column(name) => Err(Error::usage(format!("`{name}` is not a value"))
                .hint(format!("text needs quotes: \"{name}\""))),
        }
    }

    fn text(&mut self) -> Result<String> {
        match self.literal()? {
            Value::Text(text) => Ok(text),
            _ => Err(
                Error::usage("contains, like, starts with, ends with and matches need text")
                    .hint("text stands in quotes: name contains \"x\""),
            ),
        }
    }

    fn list(&mut self) -> Result<Vec<Value>> {
        let close = if self.symbol("(") {
            ")"
        } else if self.symbol("[") {
            "]"
        } else {
            return Err(self.unexpected("a list such as (1, 2)"));
        };
        let mut values = Vec::new();
        if self.symbol(close) {
            return Ok(values);
        }
        loop {
            values.push(self.literal()?);
            if self.symbol(close) {
                return Ok(values);
            }
            self.expect(",")?;
        }
    }

    fn comparison(&mut self) -> Option<&'static str> {
        ["==", "=", "!=", "<>", "<=", "<", ">=", ">"]
            .into_iter()
            .find(|symbol| self.symbol(symbol))
    }

    fn peek(&self) -> Option<&Kind> {
        self.tokens.get(self.next).map(|token| &token.kind)
    }

    /// Consumes the word if it is next, in any case.
    fn word(&mut self, word: &str) -> bool {
        let found =
            matches!(self.peek(), Some(Kind::Word(next)) if next.eq_ignore_ascii_case(word));
        self.next += usize::from(found);
        found
    }

    fn two_words(&mut self, first: &str, second: &str) -> bool {
        let start = self.next;
        if self.word(first) && self.word(second) {
            return true;
        }
        self.next = start;
        false
    }

    fn symbol(&mut self, symbol: &str) -> bool {
        let found = matches!(self.peek(), Some(Kind::Symbol(next)) if *next == symbol);
        self.next += usize::from(found);
        found
    }

    fn expect(&mut self, symbol: &str) -> Result<()> {
        if self.symbol(symbol) {
            return Ok(());
        }
        Err(self.unexpected(&format!("`{symbol}`")))
    }

    /// Whether a condition can end here.
    fn ends_condition(&self) -> bool {
        match self.peek() {
            None | Some(Kind::Symbol(")" | "&&" | "||" | "&" | "|")) => true,
            Some(Kind::Word(word)) => {
                word.eq_ignore_ascii_case("and") || word.eq_ignore_ascii_case("or")
            }
            Some(_) => false,
        }
    }

    fn unexpected(&self, expected: &str) -> Error {
        let message = match self.tokens.get(self.next) {
            Some(token) => format!(
                "expected {expected} at character {} of the filter, found {}",
                token.at, token.kind
            ),
            None => format!("expected {expected} at the end of the filter"),
        };
        Error::usage(message)
    }
}

fn joined(mut parts: Vec<Filter>, join: fn(Vec<Filter>) -> Filter) -> Filter {
    match parts.pop() {
        Some(only) if parts.is_empty() => only,
        Some(last) => {
            parts.push(last);
            join(parts)
        }
        None => join(parts),
    }
}

fn tested(column: String, op: Op, not: bool) -> Filter {
    let filter = Filter::Test(Test { column, op });
    if not { filter.negated() } else { filter }
}

fn compare(column: String, symbol: &str, value: Value) -> Result<Filter> {
    let op = match (symbol, value) {
        ("=" | "==", Value::Null) => Op::IsNull,
        ("!=" | "<>", Value::Null) => return Ok(tested(column, Op::IsNull, true)),
        (_, Value::Null) => {
            return Err(Error::usage("null has no order").hint(format!("use: {column} is null")));
        }
        ("=" | "==", value) => Op::Eq(value),
        ("!=" | "<>", value) => Op::Ne(value),
        ("<", value) => Op::Lt(value),
        ("<=", value) => Op::Le(value),
        (">", value) => Op::Gt(value),
        (_, value) => Op::Ge(value),
    };
    Ok(Filter::Test(Test { column, op }))
}

fn value_of(kind: &Kind) -> Option<Value> {
    Some(match kind {
        Kind::Text(text) => Value::Text(text.clone()),
        Kind::Int(value) => Value::Int(*value),
        Kind::Float(value) => Value::Float(*value),
        Kind::Word(word) => match word.to_lowercase().as_str() {
            "true" => Value::Bool(true),
            "false" => Value::Bool(false),
            "null" | "none" => Value::Null,
            _ => return None,
        },
        Kind::Column(_) | Kind::Symbol(_) => return None,
    })
}

/// SQL's `%` and `_` as a regular expression.
fn like_pattern(like: &str, flags: &str) -> String {
    let mut pattern = format!("{flags}^");
    for letter in like.chars() {
        match letter {
            '%' => pattern.push_str(".*"),
            '_' => pattern.push('.'),
            letter => pattern.push_str(&regex::escape(letter.encode_utf8(&mut [0; 4]))),
        }
    }
    pattern.push('$');
    pattern
}
