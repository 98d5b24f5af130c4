//! How files are written: the options of `--csv key=value`, named as in pandas' `to_csv`.

use super::option_values::{boolean, byte, unescaped, unknown, unsuitable};
use crate::error::Result;

/// How to write a file.
#[derive(Debug, Clone, PartialEq)]
pub struct WriteOptions {
    /// Between fields; by default a comma, or a tab for TSV.
    pub separator: Option<u8>,
    /// Whether the column names are written.
    pub header: bool,
    /// What stands for null.
    pub null: String,
    /// Digits after the decimal point; by default as many as are exact.
    pub float_digits: Option<usize>,
    /// Whether floats are always written as `1.5e3`.
    pub scientific: bool,
    /// Around fields.
    pub quote: u8,
    /// Which fields are quoted.
    pub quoting: Quoting,
    /// Whether the decimal point is a comma.
    pub decimal_comma: bool,
    /// Ends a record.
    pub terminator: String,
    /// Whether the file starts with a byte order mark.
    pub bom: bool,
    /// Compression of the file as a whole.
    pub compression: Option<super::Compression>,
}

/// Which CSV fields are quoted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Quoting {
    /// Those that need it.
    Necessary,
    /// All.
    All,
    /// All that are not numbers.
    NonNumeric,
    /// None.
    Never,
}

impl Default for WriteOptions {
    fn default() -> Self {
        WriteOptions {
            separator: None,
            header: true,
            null: String::new(),
            float_digits: None,
            scientific: false,
            quote: b'"',
            quoting: Quoting::Necessary,
            decimal_comma: false,
            terminator: "\n".to_owned(),
            bom: false,
            compression: None,
        }
    }
}

impl WriteOptions {
    /// The keys that [`WriteOptions::set`] takes.
    pub const KEYS: [&'static str; 9] = [
        "sep",
        "header",
        "na_rep",
        "float_format",
        "quotechar",
        "quoting",
        "decimal",
        "lineterminator",
        "encoding",
    ];

    /// Sets an option by pandas' name for it.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Usage`] for unknown keys and unsuitable values.
    pub fn set(&mut self, key: &str, value: &str) -> Result<()> {
        match key.trim() {
            "sep" | "delimiter" => self.separator = Some(byte(key, value)?),
            "header" => self.header = boolean(key, value)?,
            "na_rep" => self.null = value.to_owned(),
            "float_format" => {
                let refused = || unsuitable(key, value, "a format such as %.3f or %.3e");
                let inner = value.trim().strip_prefix("%.").ok_or_else(refused)?;
                let (digits, scientific) = match (inner.strip_suffix('f'), inner.strip_suffix('e'))
                {
                    (Some(digits), _) => (digits, false),
                    (None, Some(digits)) => (digits, true),
                    (None, None) => return Err(refused()),
                };
                self.float_digits = Some(
                    digits
                        .parse()
                        .ok()
                        .filter(|digits| *digits <= 30)
                        .ok_or_else(refused)?,
                );
                self.scientific = scientific;
            }
            "quotechar" => self.quote = byte(key, value)?,
            "quoting" => {
                self.quoting = match value.trim() {
                    "0" | "minimal" | "QUOTE_MINIMAL" => Quoting::Necessary,
                    "1" | "all" | "QUOTE_ALL" => Quoting::All,
                    "2" | "nonnumeric" | "QUOTE_NONNUMERIC" => Quoting::NonNumeric,
                    "3" | "none" | "QUOTE_NONE" => Quoting::Never,
                    _ => return Err(unsuitable(key, value, "minimal, all, nonnumeric or none")),
                }
            }
            "decimal" => {
                self.decimal_comma = match value {
                    "." => false,
                    "," => true,
                    _ => return Err(unsuitable(key, value, "a point or a comma")),
                }
            }
            "lineterminator" => self.terminator = unescaped(value),
            "encoding" => {
                self.bom = match value.to_lowercase().replace('_', "-").as_str() {
                    "utf-8" | "utf8" => false,
                    "utf-8-sig" => true,
                    _ => return Err(unsuitable(key, value, "utf-8 or utf-8-sig")),
                }
            }
            other => return Err(unknown(other, &Self::KEYS)),
        }
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn writes_pandas_names() {
        let mut options = WriteOptions::default();
        for (key, value) in [
            ("sep", "tab"),
            ("float_format", "%.3e"),
            ("na_rep", "NA"),
            ("encoding", "utf-8-sig"),
        ] {
            options.set(key, value).unwrap();
        }
        assert_eq!(
            (options.float_digits, options.scientific, options.bom),
            (Some(3), true, true)
        );
    }

    #[test]
    fn tells_of_mistakes() {
        let mut options = WriteOptions::default();
        assert!(options.set("float_format", "{:.2}").is_err());
        assert!(options.set("index", "false").is_err());
    }
}
