//! Values as Python prints them: `repr` as such, and Celery's shortened form in the headers
//! and events of a task.

use super::pickle::{Object, Value};
use super::{exception, numpy, passthrough, times};
use std::fmt::Write;

/// Celery shows no more of a task's arguments.
pub const SUMMARY_LENGTH: usize = 1024;
/// Containers in one another that a summary shows.
const SUMMARY_LEVELS: usize = 3;

/// The value as `repr` prints it. Objects whose class is not known print as
/// `<module.name object>`.
pub fn repr(value: &Value) -> String {
    let mut printer = Printer {
        out: String::new(),
        left: usize::MAX,
        levels: usize::MAX,
    };
    printer.value(value, 0);
    printer.out
}

/// The value as Celery prints it in `argsrepr` and `kwargsrepr`: at most some
/// [`SUMMARY_LENGTH`] characters, three levels deep. The secret of `__auth` is not shown.
pub fn summary(value: &Value) -> String {
    let mut printer = Printer {
        out: String::new(),
        left: SUMMARY_LENGTH,
        levels: SUMMARY_LEVELS,
    };
    printer.value(value, 0);
    printer.out
}

struct Printer {
    out: String,
    /// Characters that may still be printed, but for closing brackets.
    left: usize,
    levels: usize,
}

impl Printer {
    fn put(&mut self, text: &str) {
        let length = text.chars().count();
        if length <= self.left {
            self.out.push_str(text);
        } else {
            self.out.extend(text.chars().take(self.left));
            self.out.push_str("...");
        }
        self.left = self.left.saturating_sub(length);
    }

    fn value(&mut self, value: &Value, level: usize) {
        match value {
            Value::None => self.put("None"),
            Value::Bool(true) => self.put("True"),
            Value::Bool(false) => self.put("False"),
            Value::Int(number) => self.put(&number.to_string()),
            Value::Big(number) => self.put(&number.to_string()),
            Value::Float(number) => self.put(&float(*number)),
            Value::Str(text) => self.text(text),
            Value::Bytes(bytes) => self.put(&bytes_text(self.some(bytes))),
            Value::ByteArray(bytes) => {
                let text = format!("bytearray({})", bytes_text(self.some(bytes)));
                self.put(&text);
            }
            Value::List(items) => self.sequence("[", items, "]", level),
            Value::Tuple(items) => {
                let close = if items.len() == 1 { ",)" } else { ")" };
                self.sequence("(", items, close, level);
            }
            Value::Set(items) if items.is_empty() => self.put("set()"),
            Value::Set(items) => self.sequence("{", items, "}", level),
            Value::FrozenSet(items) if items.is_empty() => self.put("frozenset()"),
            Value::FrozenSet(items) => self.sequence("frozenset({", items, "})", level),
            Value::Dict(dict) => {
                let pairs: Vec<_> = dict.iter().collect();
                self.pairs("{", &pairs, "}", level);
            }
            Value::Global(global) => self.put(&format!("<class '{global}'>")),
            Value::Object(object) => self.object(object, level),
        }
    }

    /// The part of a long value that has a chance to be shown.
    fn some<'a>(&self, bytes: &'a [u8]) -> &'a [u8] {
        bytes.get(..self.left.min(bytes.len())).unwrap_or(bytes)
    }

    fn text(&mut self, text: &str) {
        if text.len() <= self.left {
            return self.put(&quoted(text));
        }
        let shown: String = text.chars().take(self.left).collect();
        let text = if shown.len() < text.len() {
            quoted(&(shown + "..."))
        } else {
            quoted(text)
        };
        self.out.push_str(&text);
        self.left = 0;
    }

    fn sequence(&mut self, open: &str, items: &[Value], close: &str, level: usize) {
        self.bracketed(open, close, level, items.len(), |printer, index| {
            if let Some(item) = items.get(index) {
                printer.value(item, level + 1);
            }
        });
    }

    fn pairs(&mut self, open: &str, pairs: &[&(Value, Value)], close: &str, level: usize) {
        self.bracketed(open, close, level, pairs.len(), |printer, index| {
            let Some((key, value)) = pairs.get(index) else {
                return;
            };
            printer.value(key, level + 1);
            printer.put(": ");
            if printer.levels == SUMMARY_LEVELS && key.as_str() == Some("__auth") {
                printer.put(if value.is_none() { "None" } else { "'***'" });
            } else {
                printer.value(value, level + 1);
            }
        });
    }

    fn bracketed(
        &mut self,
        open: &str,
        close: &str,
        level: usize,
        count: usize,
        mut item: impl FnMut(&mut Self, usize),
    ) {
        self.put(open);
        if level >= self.levels && count > 0 {
            self.put("...");
        } else {
            for index in 0..count {
                if self.left == 0 {
                    self.out.push_str(", ...");
                    break;
                }
                if index > 0 {
                    self.put(", ");
                }
                item(self, index);
            }
        }
        self.out.push_str(close);
        self.left = self.left.saturating_sub(close.len());
    }

    /// The items, or the shape where they won't fit.
    fn array(&mut self, array: &numpy::Array, level: usize) {
        let fits = array.count() <= self.left;
        match fits.then(|| array.to_value()) {
            Some(Ok(value)) => {
                self.put("array(");
                self.value(&value, level);
                self.out.push(')');
            }
            _ => {
                let sizes = array.shape().iter().map(|size| Value::Int(*size as i64));
                let shape = repr(&Value::tuple(sizes));
                self.put(&format!("<numpy.ndarray of shape {shape}>"));
            }
        }
    }

    fn object(&mut self, object: &Object, level: usize) {
        if let Some(name) = passthrough::name(object) {
            return self.text(name);
        }
        if let Some(text) = times::repr(object) {
            return self.put(&text);
        }
        if exception::is_exception(object) {
            self.put(&object.class.name);
            return self.sequence("(", &object.args, ")", level);
        }
        if let Some(array) = numpy::Array::of(object) {
            return self.array(&array, level);
        }
        let class = &*object.class;
        match (class.module.as_str(), class.name.as_str()) {
            ("collections", "Counter") => match object.args.first() {
                Some(Value::Dict(dict)) if !dict.is_empty() => {
                    let pairs: Vec<_> = dict.iter().collect();
                    self.pairs("Counter({", &pairs, "})", level);
                }
                _ => self.put("Counter()"),
            },
            ("collections", "OrderedDict") if object.pairs.is_empty() => self.put("OrderedDict()"),
            ("collections", "OrderedDict") => {
                let pairs: Vec<_> = object.pairs.iter().collect();
                self.pairs("OrderedDict({", &pairs, "})", level);
            }
            ("celery.canvas", "signature") => match object.args.first() {
                Some(dict) => self.value(dict, level),
                None => self.put("<celery.canvas.signature object>"),
            },
            _ => self.put(&format!("<{class} object>")),
        }
    }
}

/// A `float` as Python prints it.
pub fn float(number: f64) -> String {
    if number.is_nan() {
        return "nan".to_owned();
    }
    if number.is_infinite() {
        return if number > 0.0 { "inf" } else { "-inf" }.to_owned();
    }
    let text = format!("{number:e}");
    let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if !(-4..16).contains(&exponent) {
        let sign = if exponent < 0 { '-' } else { '+' };
        return format!("{digits}e{sign}{:02}", exponent.abs());
    }
    let plain = format!("{number}");
    if plain.contains('.') {
        plain
    } else {
        plain + ".0"
    }
}

/// A `str` as Python prints it.
pub fn quoted(text: &str) -> String {
    let quote = if text.contains('\'') && !text.contains('"') {
        '"'
    } else {
        '\''
    };
    let mut out = String::with_capacity(text.len() + 2);
    out.push(quote);
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c == quote => {
                out.push('\\');
                out.push(c);
            }
            c if is_printable(c) => out.push(c),
            c => {
                let code = u32::from(c);
                let _ = if code <= 0xff {
                    write!(out, "\\x{code:02x}")
                } else if code <= 0xffff {
                    write!(out, "\\u{code:04x}")
                } else {
                    write!(out, "\\U{code:08x}")
                };
            }
        }
    }
    out.push(quote);
    out
}

/// Python's `str.isprintable`, but for characters that are not assigned.
fn is_printable(c: char) -> bool {
    let invisible = matches!(u32::from(c),
        0xad | 0x600..=0x605 | 0x61c | 0x6dd | 0x70f | 0x890 | 0x891 | 0x8e2 | 0x180e
        | 0x200b..=0x200f | 0x2028..=0x202e | 0x2060..=0x206f | 0xe000..=0xf8ff | 0xfeff
        | 0xfff9..=0xfffb | 0xe0000..=0xe0fff | 0xf0000..);
    c == ' ' || !(c.is_control() || c.is_whitespace() || invisible)
}

fn bytes_text(bytes: &[u8]) -> String {
    let quote = if bytes.contains(&b'\'') && !bytes.contains(&b'"') {
        '"'
    } else {
        '\''
    };
    let mut out = format!("b{quote}");
    for byte in bytes {
        match byte {
            b'\\' => out.push_str("\\\\"),
            b'\n' => out.push_str("\\n"),
            b'\r' => out.push_str("\\r"),
            b'\t' => out.push_str("\\t"),
            byte if char::from(*byte) == quote => {
                out.push('\\');
                out.push(quote);
            }
            b' '..=b'~' => out.push(char::from(*byte)),
            byte => {
                let _ = write!(out, "\\x{byte:02x}");
            }
        }
    }
    out.push(quote);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_print_as_in_python() {
        let cases = [
            (Value::from("it's"), r#""it's""#),
            (
                Value::from("a'b\"c\n\u{1}é\u{200b}"),
                r#"'a\'b"c\n\x01é\u200b'"#,
            ),
            (Value::from(1.0), "1.0"),
            (Value::from(1e16), "1e+16"),
            (Value::from(123456789012345680.0), "1.2345678901234568e+17"),
            (Value::from(0.0001), "0.0001"),
            (Value::from(0.00001), "1e-05"),
            (Value::from(-0.0), "-0.0"),
            (Value::from(f64::NAN), "nan"),
            (Value::from(f64::NEG_INFINITY), "-inf"),
            (Value::tuple([Value::Int(1)]), "(1,)"),
            (Value::tuple([]), "()"),
            (
                Value::dict([("a", Value::list([Value::None, true.into()]))]),
                "{'a': [None, True]}",
            ),
            (Value::Bytes(b"a'\x00".as_slice().into()), r#"b"a'\x00""#),
            (
                Value::call("builtins", "ValueError", ["x".into()]),
                "ValueError('x')",
            ),
        ];
        for (value, text) in cases {
            assert_eq!(repr(&value), text);
        }
    }

    #[test]
    fn summaries_are_short_and_hide_secrets() {
        let deep = Value::list([Value::list([Value::list([Value::list([Value::Int(1)])])])]);
        assert_eq!(summary(&deep), "[[[[...]]]]");
        let long = Value::list((0..10_000).map(Value::Int));
        let text = summary(&long);
        assert!(text.len() < SUMMARY_LENGTH + 20, "{}", text.len());
        assert!(text.ends_with(", ...]"), "{text}");
        let text = summary(&Value::tuple(["x".repeat(5000).into()]));
        assert!(text.len() < SUMMARY_LENGTH + 20, "{}", text.len());
        let auth = Value::tuple(["user".into(), "key".into(), "omega".into()]);
        let kwargs = Value::dict([("__auth", auth)]);
        assert_eq!(summary(&kwargs), "{'__auth': '***'}");
    }
}
