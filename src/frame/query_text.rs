//! Parts of a query as people type them: `--agg arr_delay=mean,max`, `--sort -qty`,
//! `--columns a:c` and the projection in `name[a,b]` (spec/storage.md §12.3). A name
//! with special characters stands in backticks.

use super::query::{Aggregate, AggregateFunction, Columns, Sort};
use crate::error::{Error, Result, nearest};

impl AggregateFunction {
    /// All functions.
    pub const ALL: [AggregateFunction; 11] = [
        AggregateFunction::Count,
        AggregateFunction::Sum,
        AggregateFunction::Mean,
        AggregateFunction::Min,
        AggregateFunction::Max,
        AggregateFunction::Std,
        AggregateFunction::Var,
        AggregateFunction::Median,
        AggregateFunction::First,
        AggregateFunction::Last,
        AggregateFunction::NUnique,
    ];

    /// The name, as in the result column `<column>_<name>`.
    pub fn name(self) -> &'static str {
        match self {
            AggregateFunction::Count => "count",
            AggregateFunction::Sum => "sum",
            AggregateFunction::Mean => "mean",
            AggregateFunction::Min => "min",
            AggregateFunction::Max => "max",
            AggregateFunction::Std => "std",
            AggregateFunction::Var => "var",
            AggregateFunction::Median => "median",
            AggregateFunction::First => "first",
            AggregateFunction::Last => "last",
            AggregateFunction::NUnique => "nunique",
        }
    }

    /// The function of a name; `avg` and `distinct` are understood too.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Usage`] for other names.
    pub fn parse(name: &str) -> Result<AggregateFunction> {
        let lower = name.trim().to_lowercase();
        let wanted = match lower.as_str() {
            "avg" => "mean",
            "n_unique" | "distinct" => "nunique",
            other => other,
        };
        let names = AggregateFunction::ALL.map(AggregateFunction::name);
        AggregateFunction::ALL
            .into_iter()
            .find(|function| function.name() == wanted)
            .ok_or_else(|| {
                let error = Error::usage(format!("`{}` is not an aggregate function", name.trim()));
                match nearest(wanted, names) {
                    Some(near) => error.hint(format!(
                        "did you mean `{near}`? functions: {}",
                        names.join(", ")
                    )),
                    None => error.hint(format!("functions: {}", names.join(", "))),
                }
            })
    }
}

impl Aggregate {
    /// The name of the result column.
    pub fn result_name(&self) -> String {
        format!("{}_{}", self.column, self.function.name())
    }

    /// Reads `column=function,function`; several columns are parted by `;`.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Usage`] for anything else.
    pub fn parse_list(text: &str) -> Result<Vec<Aggregate>> {
        let mut aggregates = Vec::new();
        for part in split(text, ';')?
            .into_iter()
            .filter(|part| !part.trim().is_empty())
        {
            let (column, functions) = part
                .rsplit_once('=')
                .filter(|(column, functions)| {
                    !column.trim().is_empty() && !functions.trim().is_empty()
                })
                .ok_or_else(|| {
                    Error::usage(format!("`{}` is not an aggregate", part.trim()))
                        .hint("for example: arr_delay=mean,max")
                })?;
            for function in functions.split(',') {
                aggregates.push(Aggregate {
                    column: name(column),
                    function: AggregateFunction::parse(function)?,
                });
            }
        }
        if aggregates.is_empty() {
            return Err(
                Error::usage("there is no aggregate").hint("for example: arr_delay=mean,max")
            );
        }
        Ok(aggregates)
    }
}

impl Sort {
    /// Reads `qty`, `+qty`, `-qty`, `qty desc` or `qty asc`.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Usage`] when there is no column name.
    pub fn parse(text: &str) -> Result<Sort> {
        let text = text.trim();
        let (column, descending) = match text.rsplit_once(char::is_whitespace) {
            Some((column, word)) if word.eq_ignore_ascii_case("desc") => (column, true),
            Some((column, word)) if word.eq_ignore_ascii_case("asc") => (column, false),
            _ => match (text.strip_prefix('-'), text.strip_prefix('+')) {
                (Some(column), _) => (column, true),
                (None, Some(column)) => (column, false),
                (None, None) => (text, false),
            },
        };
        let column = name(column);
        if column.is_empty() {
            return Err(Error::usage(format!("`{text}` names no column to sort by"))
                .hint("for example: -qty for the largest first"));
        }
        Ok(Sort { column, descending })
    }

    /// Reads `region,-qty`, most significant first.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Usage`] where a column name is missing.
    pub fn parse_list(text: &str) -> Result<Vec<Sort>> {
        split(text, ',')?.into_iter().map(Sort::parse).collect()
    }
}

impl Columns {
    /// Reads `a,b` (these), `^a,b` (all but these), `a:c`, `a:`, `:c` (a range, ends
    /// included) or `*` (all).
    ///
    /// # Errors
    /// [`crate::ErrorKind::Usage`] for anything else.
    pub fn parse(text: &str) -> Result<Columns> {
        let text = text.trim();
        if text == "*" || text == ":" {
            return Ok(Columns::All);
        }
        let (text, except) = match text.strip_prefix('^') {
            Some(rest) => (rest, true),
            None => (text, false),
        };
        let ends = split(text, ':')?;
        if let ([from, to], false) = (ends.as_slice(), except) {
            let end = |text: &str| (!text.trim().is_empty()).then(|| name(text));
            if split(from, ',')?.len() > 1 || split(to, ',')?.len() > 1 {
                return Err(Error::usage(format!(
                    "`{text}` mixes a range and a list of columns"
                )));
            }
            return Ok(Columns::Range(end(from), end(to)));
        }
        if ends.len() > 1 {
            return Err(
                Error::usage(format!("`{text}` is not a selection of columns")).hint(
                    "for example: a,b or ^a,b or a:c; names with special characters in backticks",
                ),
            );
        }
        let mut names = Vec::new();
        for part in split(text, ',')? {
            let name = name(part);
            if name.is_empty() {
                return Err(Error::usage(format!("`{text}` has an empty column name")));
            }
            if !names.contains(&name) {
                names.push(name);
            }
        }
        Ok(if except {
            Columns::Except(names)
        } else {
            Columns::Only(names)
        })
    }
}

/// Splits at separators outside backticks; there is at least one part.
fn split(text: &str, separator: char) -> Result<Vec<&str>> {
    let mut parts = Vec::new();
    let (mut start, mut quoted) = (0, false);
    for (index, letter) in text.char_indices() {
        if letter == '`' {
            quoted = !quoted;
        } else if letter == separator && !quoted {
            parts.push(text.get(start..index).unwrap_or_default());
            start = index + letter.len_utf8();
        }
    }
    if quoted {
        return Err(Error::usage(format!(
            "a backtick in `{text}` is not closed"
        )));
    }
    parts.push(text.get(start..).unwrap_or_default());
    Ok(parts)
}

fn name(text: &str) -> String {
    let text = text.trim();
    let inner = text
        .strip_prefix('`')
        .and_then(|text| text.strip_suffix('`'));
    inner.unwrap_or(text).to_owned()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn aggregates() {
        let read = |text: &str| -> Vec<String> {
            Aggregate::parse_list(text)
                .unwrap()
                .iter()
                .map(Aggregate::result_name)
                .collect()
        };
        assert_eq!(
            read("arr_delay=mean,max"),
            ["arr_delay_mean", "arr_delay_max"]
        );
        assert_eq!(read("a=avg; b=distinct"), ["a_mean", "b_nunique"]);
        assert_eq!(read("`a;b`=sum"), ["a;b_sum"]);
        for text in ["", "a", "=mean", "a=", "a=mode", "a=mean,"] {
            assert!(Aggregate::parse_list(text).is_err(), "{text}");
        }
        let error = Aggregate::parse_list("a=meen").unwrap_err();
        assert!(error.hint_text().unwrap().contains("`mean`"));
    }

    #[test]
    fn sorts() {
        let read = |text: &str| {
            let sort = Sort::parse(text).unwrap();
            (sort.column, sort.descending)
        };
        assert_eq!(read("-qty"), ("qty".to_owned(), true));
        assert_eq!(read("qty DESC"), ("qty".to_owned(), true));
        assert_eq!(read("+qty"), ("qty".to_owned(), false));
        assert_eq!(Sort::parse_list("a,-b").unwrap().len(), 2);
        assert!(Sort::parse("-").is_err());
        assert!(Sort::parse_list("a,").is_err());
    }

    #[test]
    fn columns() {
        let names = |names: &[&str]| {
            names
                .iter()
                .map(|name| (*name).to_owned())
                .collect::<Vec<_>>()
        };
        let read = |text: &str| Columns::parse(text).unwrap();
        assert_eq!(read("a,b,a"), Columns::Only(names(&["a", "b"])));
        assert_eq!(read("^price, b"), Columns::Except(names(&["price", "b"])));
        assert_eq!(
            read("a:c"),
            Columns::Range(Some("a".to_owned()), Some("c".to_owned()))
        );
        assert_eq!(read(":c"), Columns::Range(None, Some("c".to_owned())));
        assert_eq!(read("*"), Columns::All);
        assert_eq!(read("`a:b`,`c,d`"), Columns::Only(names(&["a:b", "c,d"])));
        for text in ["", "a,", "^", "a:b:c", "a,b:c", "`a", "^a:b"] {
            assert!(Columns::parse(text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn parsing_never_panics(text in "[a-c`,:;^=*+ \\-é]{0,12}") {
            let _ = Columns::parse(&text);
            let _ = Sort::parse_list(&text);
            let _ = Aggregate::parse_list(&text);
        }
    }
}
