//! How files are read: the options of `--csv key=value`, named as in pandas' `read_csv`,
//! and `--dtypes col=type`.

use super::encoding::Encoding;
use super::option_values::{boolean, byte, list, number, optional_byte, unknown, unsuitable};
use crate::error::{Error, Result};
use crate::frame::dtype;
use polars::prelude::DataType;

/// Words that mean null, as pandas has them.
const NULLS: [&str; 19] = [
    "", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN",
    "<NA>", "N/A", "NA", "NULL", "NaN", "None", "n/a", "nan", "null",
];

/// How to read a file. The defaults are right for most.
#[derive(Debug, Clone, PartialEq)]
pub struct ReadOptions {
    /// Between fields; by default a comma, or a tab for TSV.
    pub separator: Option<u8>,
    /// Around fields; none: quotes are ordinary characters.
    pub quote: Option<u8>,
    /// Ends a record; by default a newline with or without carriage return.
    pub terminator: Option<u8>,
    /// Where the column names are.
    pub header: Header,
    /// Column names that replace those of the file.
    pub names: Vec<String>,
    /// Lines to leave out at the start.
    pub skip_rows: u64,
    /// Rows to read at the most.
    pub rows: Option<u64>,
    /// Words that mean null.
    pub nulls: Vec<String>,
    /// Words that mean true.
    pub trues: Vec<String>,
    /// Words that mean false.
    pub falses: Vec<String>,
    /// The decimal point.
    pub decimal: u8,
    /// The thousands separator.
    pub thousands: Option<u8>,
    /// Starts a comment that goes to the end of the line.
    pub comment: Option<u8>,
    /// How bytes are characters.
    pub encoding: Encoding,
    /// The columns to read, in the file's order; by default all.
    pub columns: Option<Vec<String>>,
    /// Which columns may be read as dates and timestamps.
    pub dates: Dates,
    /// Types by column, which are not inferred.
    pub dtypes: Vec<(String, DataType)>,
    /// Whether empty lines are left out; otherwise they are rows of nulls.
    pub skip_blank_lines: bool,
    /// Whether blanks after a separator are left out.
    pub skip_initial_space: bool,
    /// What to do about records with too many or too few fields.
    pub bad_lines: BadLines,
}

/// Where the column names are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Header {
    /// In the first line, unless names are given.
    Infer,
    /// In this line, counted from 0; those before it are left out.
    Line(u64),
    /// Nowhere.
    None,
}

/// Which columns may be read as dates and timestamps (ISO 8601).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Dates {
    /// Those whose values all are.
    All,
    /// None; they stay text.
    None,
    /// Of these columns, those whose values all are.
    Only(Vec<String>),
}

/// What to do about a record with the wrong number of fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BadLines {
    /// Fail.
    Error,
    /// Leave it out.
    Skip,
    /// Leave it out and say so.
    Warn,
}

impl Default for ReadOptions {
    fn default() -> Self {
        let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
        ReadOptions {
            separator: None,
            quote: Some(b'"'),
            terminator: None,
            header: Header::Infer,
            names: Vec::new(),
            skip_rows: 0,
            rows: None,
            nulls: words(&NULLS),
            trues: words(&["True", "TRUE", "true"]),
            falses: words(&["False", "FALSE", "false"]),
            decimal: b'.',
            thousands: None,
            comment: None,
            encoding: Encoding::Utf8,
            columns: None,
            dates: Dates::All,
            dtypes: Vec::new(),
            skip_blank_lines: true,
            skip_initial_space: false,
            bad_lines: BadLines::Error,
        }
    }
}

impl ReadOptions {
    /// The keys that [`ReadOptions::set`] takes.
    pub const KEYS: [&'static str; 24] = [
        "sep",
        "delimiter",
        "quotechar",
        "quoting",
        "lineterminator",
        "header",
        "names",
        "skiprows",
        "nrows",
        "na_values",
        "keep_default_na",
        "na_filter",
        "true_values",
        "false_values",
        "decimal",
        "thousands",
        "comment",
        "encoding",
        "usecols",
        "parse_dates",
        "dtype",
        "skip_blank_lines",
        "skipinitialspace",
        "on_bad_lines",
    ];

    /// Sets an option by pandas' name for it. Lists are parted by commas or written
    /// as JSON.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Usage`] for unknown keys and unsuitable values.
    pub fn set(&mut self, key: &str, value: &str) -> Result<()> {
        match key.trim() {
            "sep" | "delimiter" => self.separator = Some(byte(key, value)?),
            "quotechar" => self.quote = optional_byte(key, value)?,
            "quoting" => match value.trim() {
                "3" | "none" | "QUOTE_NONE" => self.quote = None,
                "0" | "1" | "2" => {}
                _ => return Err(unsuitable(key, value, "0 (quotes) or 3 (no quotes)")),
            },
            "lineterminator" => self.terminator = Some(byte(key, value)?),
            "header" => {
                self.header = match value.trim().to_lowercase().as_str() {
                    "infer" | "true" | "yes" => Header::Infer,
                    "none" | "null" | "false" | "no" => Header::None,
                    line => Header::Line(
                        line.parse()
                            .map_err(|_| unsuitable(key, value, "true, none or a line number"))?,
                    ),
                }
            }
            "names" => self.names = list(value),
            "skiprows" => self.skip_rows = number(key, value)?,
            "nrows" => self.rows = Some(number(key, value)?),
            "na_values" => {
                for word in list(value) {
                    if !self.nulls.contains(&word) {
                        self.nulls.push(word);
                    }
                }
            }
            "keep_default_na" => {
                if !boolean(key, value)? {
                    self.nulls.retain(|word| !NULLS.contains(&word.as_str()));
                }
            }
            "na_filter" => {
                if !boolean(key, value)? {
                    self.nulls.clear();
                }
            }
            "true_values" => self.trues.extend(list(value)),
            "false_values" => self.falses.extend(list(value)),
            "decimal" => self.decimal = byte(key, value)?,
            "thousands" => self.thousands = optional_byte(key, value)?,
            "comment" => self.comment = optional_byte(key, value)?,
            "encoding" => self.encoding = Encoding::of_name(value)?,
            "usecols" => self.columns = Some(list(value)),
            "parse_dates" => {
                self.dates = match boolean(key, value) {
                    Ok(true) => Dates::All,
                    Ok(false) => Dates::None,
                    Err(_) => Dates::Only(list(value)),
                }
            }
            "dtype" => self.set_dtypes(value)?,
            "skip_blank_lines" => self.skip_blank_lines = boolean(key, value)?,
            "skipinitialspace" => self.skip_initial_space = boolean(key, value)?,
            "on_bad_lines" => {
                self.bad_lines = match value.trim() {
                    "error" => BadLines::Error,
                    "skip" => BadLines::Skip,
                    "warn" => BadLines::Warn,
                    _ => return Err(unsuitable(key, value, "error, skip or warn")),
                }
            }
            other => return Err(unknown(other, &Self::KEYS)),
        }
        Ok(())
    }

    /// Gives types: `qty=int`, `qty=int,price=float` or `{"qty": "int"}`.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Usage`] for what is not a type.
    pub fn set_dtypes(&mut self, text: &str) -> Result<()> {
        if let Ok(serde_json::Value::Object(types)) = serde_json::from_str(text) {
            for (column, name) in types {
                let name = name.as_str().ok_or_else(|| {
                    Error::usage(format!(
                        "the type of `{column}` must be text, such as \"int\""
                    ))
                })?;
                self.dtypes.push((column, dtype::parse(name)?));
            }
            return Ok(());
        }
        for part in typed_columns(text) {
            let (column, name) = part.rsplit_once(['=', ':']).ok_or_else(|| {
                Error::usage(format!("`{part}` is not a column with a type"))
                    .hint("for example: qty=int,region=category")
            })?;
            self.dtypes
                .push((column.trim().to_owned(), dtype::parse(name)?));
        }
        Ok(())
    }
}

/// Splits `a=int,b=datetime[us, UTC]` at the commas outside brackets.
fn typed_columns(text: &str) -> Vec<&str> {
    let mut depth = 0_i32;
    text.split(|letter| {
        match letter {
            '[' => depth += 1,
            ']' => depth -= 1,
            _ => {}
        }
        letter == ',' && depth <= 0
    })
    .collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(settings: &[(&str, &str)]) -> ReadOptions {
        let mut options = ReadOptions::default();
        for (key, value) in settings {
            options.set(key, value).unwrap();
        }
        options
    }

    #[test]
    fn reads_pandas_names() {
        let options = read(&[
            ("sep", ";"),
            ("decimal", ","),
            ("header", "none"),
            ("names", "a, b"),
        ]);
        assert_eq!(options.separator, Some(b';'));
        assert_eq!(options.header, Header::None);
        assert_eq!(options.names, ["a", "b"]);
        assert_eq!(read(&[("sep", "\\t")]).separator, Some(b'\t'));
        assert_eq!(read(&[("header", "2")]).header, Header::Line(2));
        assert_eq!(
            read(&[("keep_default_na", "false"), ("na_values", "-,?")]).nulls,
            ["-", "?"]
        );
        assert_eq!(
            read(&[("parse_dates", "a,b")]).dates,
            Dates::Only(vec!["a".into(), "b".into()])
        );
        let dtypes = read(&[("dtype", "a=int,b=datetime64[us, UTC],c:f32")]).dtypes;
        assert_eq!(dtypes.len(), 3);
        assert_eq!(dtypes[2], ("c".to_owned(), DataType::Float32));
        assert_eq!(
            read(&[("dtype", r#"{"a": "int8"}"#)]).dtypes[0].1,
            DataType::Int8
        );
    }

    #[test]
    fn tells_of_mistakes() {
        let mut options = ReadOptions::default();
        let error = options.set("seperator", ";").unwrap_err();
        assert!(error.hint_text().unwrap().contains("options: sep"));
        let error = options.set("na_value", "x").unwrap_err();
        assert!(
            error
                .hint_text()
                .unwrap()
                .starts_with("did you mean `na_values`")
        );
        for (key, value) in [
            ("sep", ";;"),
            ("nrows", "many"),
            ("encoding", "klingon"),
            ("dtype", "a"),
            ("dtype", "a=inte"),
        ] {
            assert!(options.set(key, value).is_err(), "{key}");
        }
    }

    proptest! {
        #[test]
        fn setting_never_panics(index in 0..24usize, value in ".{0,12}") {
            let _ = ReadOptions::default().set(ReadOptions::KEYS[index], &value);
            let _ = crate::frame::format::WriteOptions::default().set(ReadOptions::KEYS[index], &value);
        }
    }
}
