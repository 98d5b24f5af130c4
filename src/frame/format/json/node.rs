//! JSON values that borrow their text where they can, and the parser that makes them. Our
//! own rather than serde_json's, which reads some floats one digit off and whole numbers
//! beyond 64 bits as floats. As Python writes them, `NaN` and `Infinity` are understood.

use std::borrow::Cow;

/// Lists and objects deeper than this are refused.
const MAX_DEPTH: usize = 128;

/// A JSON value; objects keep the order of their fields.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Node<'a> {
    Null,
    Bool(bool),
    Int(i64),
    /// The digits of a whole number beyond 64 bits.
    Beyond(&'a str),
    Float(f64),
    Text(Cow<'a, str>),
    List(Vec<Node<'a>>),
    Object(Object<'a>),
}

/// Fields in order.
pub(super) type Object<'a> = Vec<(Cow<'a, str>, Node<'a>)>;

impl Node<'_> {
    /// The value as the text of a text column: text as it is, all else as JSON.
    pub fn text(&self) -> Cow<'_, str> {
        match self {
            Node::Text(text) => Cow::Borrowed(text),
            Node::Beyond(digits) => Cow::Borrowed(digits),
            other => Cow::Owned(other.value().to_string()),
        }
    }

    fn value(&self) -> serde_json::Value {
        match self {
            Node::Null => serde_json::Value::Null,
            Node::Bool(value) => (*value).into(),
            Node::Int(value) => (*value).into(),
            Node::Beyond(digits) => (*digits).into(),
            Node::Float(value) => (*value).into(),
            Node::Text(text) => text.as_ref().into(),
            Node::List(items) => items.iter().map(Node::value).collect(),
            Node::Object(fields) => fields
                .iter()
                .map(|(name, value)| (name.to_string(), value.value()))
                .collect(),
        }
    }
}

/// What is wrong, and at which byte.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Broken {
    pub what: &'static str,
    pub at: usize,
}

/// Reads JSON values one after the other.
pub(super) struct Parser<'a> {
    text: &'a str,
    position: usize,
    depth: usize,
}

impl<'a> Parser<'a> {
    pub fn new(text: &'a str) -> Parser<'a> {
        Parser {
            text,
            position: 0,
            depth: 0,
        }
    }

    /// Where the next value starts, in bytes.
    pub fn position(&self) -> usize {
        self.position
    }

    /// The next value; none at the end of the text.
    pub fn next(&mut self) -> Result<Option<Node<'a>>, Broken> {
        match self.skip_blanks() {
            None => Ok(None),
            Some(_) => self.value().map(Some),
        }
    }

    /// The one value of the text.
    pub fn only(mut self) -> Result<Node<'a>, Broken> {
        let value = self.value()?;
        match self.skip_blanks() {
            None => Ok(value),
            Some(_) => Err(self.broken("expected the end")),
        }
    }

    fn value(&mut self) -> Result<Node<'a>, Broken> {
        match self.skip_blanks() {
            Some(b'{') => self.nested(Self::object),
            Some(b'[') => self.nested(Self::list),
            Some(b'"') => self.string().map(Node::Text),
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(_) => self.word(),
            None => Err(self.broken("expected a value")),
        }
    }

    fn nested(
        &mut self,
        read: fn(&mut Self) -> Result<Node<'a>, Broken>,
    ) -> Result<Node<'a>, Broken> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(self.broken("nested too deeply"));
        }
        self.position += 1;
        let value = read(self)?;
        self.depth -= 1;
        Ok(value)
    }

    fn list(&mut self) -> Result<Node<'a>, Broken> {
        let mut items = Vec::new();
        if self.takes(b']') {
            return Ok(Node::List(items));
        }
        loop {
            items.push(self.value()?);
            if self.takes(b']') {
                return Ok(Node::List(items));
            }
            self.expect(b',', "expected , or ]")?;
        }
    }

    fn object(&mut self) -> Result<Node<'a>, Broken> {
        let mut fields = Vec::new();
        if self.takes(b'}') {
            return Ok(Node::Object(fields));
        }
        loop {
            if self.skip_blanks() != Some(b'"') {
                return Err(self.broken("expected a field name in double quotes"));
            }
            let name = self.string()?;
            self.expect(b':', "expected :")?;
            fields.push((name, self.value()?));
            if self.takes(b'}') {
                return Ok(Node::Object(fields));
            }
            self.expect(b',', "expected , or }")?;
        }
    }

    fn string(&mut self) -> Result<Cow<'a, str>, Broken> {
        let start = self.position + 1;
        let mut from = start;
        let mut owned = String::new();
        loop {
            let rest = self.bytes().get(from..).unwrap_or_default();
            let Some(found) = memchr::memchr2(b'"', b'\\', rest) else {
                return Err(self.broken("text without a closing quote"));
            };
            let end = from + found;
            let plain = self.text.get(from..end).unwrap_or_default();
            if let Some(control) = plain.bytes().position(|byte| byte < b' ') {
                self.position = from + control;
                return Err(self.broken("a control character in text must be escaped"));
            }
            if self.bytes().get(end) == Some(&b'"') {
                self.position = end + 1;
                if from == start {
                    return Ok(Cow::Borrowed(plain));
                }
                owned.push_str(plain);
                return Ok(Cow::Owned(owned));
            }
            owned.push_str(plain);
            self.position = end + 1;
            owned.push(self.escape()?);
            from = self.position;
        }
    }

    /// The character of an escape, whose backslash has been passed.
    fn escape(&mut self) -> Result<char, Broken> {
        let byte = self.bytes().get(self.position).copied();
        self.position += 1;
        Ok(match byte {
            Some(b'n') => '\n',
            Some(b't') => '\t',
            Some(b'r') => '\r',
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(byte @ (b'"' | b'\\' | b'/')) => char::from(byte),
            Some(b'u') => {
                let first = self.hex()?;
                let pair = (0xd800..0xdc00).contains(&first)
                    && self.bytes().get(self.position..self.position + 2) == Some(b"\\u");
                let units = if pair {
                    self.position += 2;
                    vec![first, self.hex()?]
                } else {
                    vec![first]
                };
                // Half a pair alone is no character.
                match char::decode_utf16(units)
                    .collect::<Result<Vec<char>, _>>()
                    .as_deref()
                {
                    Ok([character]) => *character,
                    _ => char::REPLACEMENT_CHARACTER,
                }
            }
            _ => return Err(self.broken("unknown escape in text")),
        })
    }

    fn hex(&mut self) -> Result<u16, Broken> {
        let digits = self.text.get(self.position..self.position + 4);
        let value = digits
            .filter(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()))
            .and_then(|digits| u16::from_str_radix(digits, 16).ok());
        match value {
            Some(value) => {
                self.position += 4;
                Ok(value)
            }
            None => Err(self.broken("expected four hexadecimal digits")),
        }
    }

    fn number(&mut self) -> Result<Node<'a>, Broken> {
        let rest = self.bytes().get(self.position..).unwrap_or_default();
        let length = rest
            .iter()
            .position(|byte| !matches!(byte, b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E'))
            .unwrap_or(rest.len());
        let text = self
            .text
            .get(self.position..self.position + length)
            .unwrap_or_default();
        if text == "-" {
            return self.word();
        }
        let whole = text.strip_prefix('-').unwrap_or(text);
        let node = if whole.bytes().all(|byte| byte.is_ascii_digit()) && !whole.is_empty() {
            text.parse().map_or(Node::Beyond(text), Node::Int)
        } else {
            match text.parse::<f64>() {
                Ok(value) if value.is_finite() && !text.ends_with('.') => Node::Float(value),
                Ok(_) => return Err(self.broken("a number out of range")),
                Err(_) => return Err(self.broken("not a number")),
            }
        };
        self.position += length;
        Ok(node)
    }

    fn word(&mut self) -> Result<Node<'a>, Broken> {
        let rest = self.text.get(self.position..).unwrap_or_default();
        let words = [
            ("null", Node::Null),
            ("true", Node::Bool(true)),
            ("false", Node::Bool(false)),
            ("NaN", Node::Null),
            ("Infinity", Node::Float(f64::INFINITY)),
            ("-Infinity", Node::Float(f64::NEG_INFINITY)),
        ];
        for (word, node) in words {
            if rest.starts_with(word) {
                self.position += word.len();
                return Ok(node);
            }
        }
        Err(self.broken("expected a value"))
    }

    /// The next byte that is not blank.
    #[inline]
    fn skip_blanks(&mut self) -> Option<u8> {
        loop {
            let byte = self.bytes().get(self.position).copied();
            match byte {
                Some(b' ' | b'\n' | b'\r' | b'\t') => self.position += 1,
                byte => return byte,
            }
        }
    }

    fn takes(&mut self, byte: u8) -> bool {
        let found = self.skip_blanks() == Some(byte);
        self.position += usize::from(found);
        found
    }

    fn expect(&mut self, byte: u8, what: &'static str) -> Result<(), Broken> {
        match self.takes(byte) {
            true => Ok(()),
            false => Err(self.broken(what)),
        }
    }

    fn bytes(&self) -> &'a [u8] {
        self.text.as_bytes()
    }

    fn broken(&self, what: &'static str) -> Broken {
        Broken {
            what,
            at: self.position,
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    fn parse(text: &str) -> Result<Node<'_>, Broken> {
        Parser::new(text).only()
    }

    #[test]
    fn values() {
        assert_eq!(
            parse(" [1, -2.5e3, \"a\\u00e9\\n\\ud83d\\ude00\", {\"x\": null}] ")
                .unwrap()
                .value(),
            json!([1, -2500.0, "aé\n😀", {"x": null}])
        );
        assert_eq!(
            parse("123456789012345678901234567890"),
            Ok(Node::Beyond("123456789012345678901234567890"))
        );
        assert_eq!(parse("-9223372036854775808"), Ok(Node::Int(i64::MIN)));
        assert_eq!(parse("NaN"), Ok(Node::Null));
        assert_eq!(parse("-Infinity"), Ok(Node::Float(f64::NEG_INFINITY)));
        assert_eq!(parse("\"\\ud83d\"").unwrap().text(), "\u{fffd}");
        assert!(matches!(
            parse("\"plain\""),
            Ok(Node::Text(Cow::Borrowed("plain")))
        ));
    }

    #[test]
    fn broken_values() {
        for text in [
            "",
            "[",
            "[1,]",
            "{\"a\"}",
            "{a: 1}",
            "{\"a\": 1,}",
            "\"a",
            "\"\\x\"",
            "\"\\u12\"",
            "01x",
            "1.",
            "-",
            "+1",
            "1e999",
            "--1",
            "1-2",
            "nul",
            "\"a\nb\"",
            "1 2",
            "]",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
        let deep = "[".repeat(100_000);
        assert_eq!(parse(&deep).unwrap_err().what, "nested too deeply");
    }

    fn value() -> impl Strategy<Value = Value> {
        let flat = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<f64>()
                .prop_filter("finite", |value| value.is_finite())
                .prop_map(Value::from),
            any::<String>().prop_map(Value::from),
        ];
        flat.prop_recursive(4, 16, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::vec((any::<String>(), inner), 0..4)
                    .prop_map(|fields| Value::Object(fields.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn what_serde_writes_reads_back(value in value()) {
            for text in [value.to_string(), serde_json::to_string_pretty(&value).unwrap()] {
                prop_assert_eq!(&parse(&text).unwrap().value(), &value);
            }
        }

        #[test]
        fn never_panics(text in any::<String>(), near in "[\\[\\]{}:,\"a1.\\-\\\\ue nult]{0,30}") {
            let _ = parse(&text);
            let _ = parse(&near);
        }
    }
}
