//! The columns of a CSV file: their names, and what is made of each.

use crate::error::{Error, Result};
use crate::frame::columns::unknown_column;
use crate::frame::dtype::pandas_name;
use crate::frame::format::kind::Kind;
use crate::frame::format::read_options::{Dates, Header, ReadOptions};
use polars::prelude::DataType;
use std::collections::{HashMap, HashSet};

/// All columns of a file, in its order.
#[derive(Debug, Clone)]
pub(crate) struct Layout {
    pub columns: Vec<Field>,
}

/// One column of a file.
#[derive(Debug, Clone)]
pub(crate) struct Field {
    pub name: String,
    pub target: Target,
    /// Whether dates are looked for.
    pub dates: bool,
}

/// What is made of a column.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Target {
    /// Nothing.
    Skip,
    /// A column of the narrowest kind that holds all values seen so far.
    Inferred(Kind),
    /// A column of a type that the user wants.
    Given(DataType),
}

/// Whether the first record holds the names.
pub(crate) fn has_header(options: &ReadOptions) -> bool {
    match options.header {
        Header::Infer => options.names.is_empty(),
        Header::Line(_) => true,
        Header::None => false,
    }
}

impl Layout {
    /// The layout of a file whose first record is `first`.
    ///
    /// # Errors
    /// Options that name columns which are not there.
    pub fn new(options: &ReadOptions, first: Vec<String>) -> Result<Layout> {
        let names = if options.names.is_empty() {
            if has_header(options) {
                unique(first)
            } else {
                (0..first.len()).map(|number| number.to_string()).collect()
            }
        } else if options.names.len() == first.len() {
            unique(options.names.clone())
        } else {
            return Err(Error::usage(format!(
                "{} column names are given, the file has {} columns",
                options.names.len(),
                first.len()
            )));
        };
        let known: HashSet<&str> = names.iter().map(String::as_str).collect();
        let check = |name: &String| match known.contains(name.as_str()) {
            true => Ok(()),
            false => Err(unknown_column(name, names.iter().map(String::as_str))),
        };
        options.columns.iter().flatten().try_for_each(check)?;
        options
            .dtypes
            .iter()
            .map(|(name, _)| name)
            .try_for_each(check)?;
        if let Dates::Only(columns) = &options.dates {
            columns.iter().try_for_each(check)?;
        }
        let given: HashMap<&str, &DataType> = options
            .dtypes
            .iter()
            .map(|(name, dtype)| (name.as_str(), dtype))
            .collect();
        for (name, dtype) in &options.dtypes {
            if super::column::Builder::given(name, dtype, 0).is_none() {
                return Err(Error::usage(format!(
                    "column `{name}`: text cannot be read as {}",
                    pandas_name(dtype)
                )));
            }
        }
        let wanted: Option<HashSet<&str>> = options
            .columns
            .as_ref()
            .map(|names| names.iter().map(String::as_str).collect());
        let columns = names
            .iter()
            .map(|name| Field {
                name: name.clone(),
                target: match (&wanted, given.get(name.as_str())) {
                    (Some(wanted), _) if !wanted.contains(name.as_str()) => Target::Skip,
                    (_, Some(dtype)) => Target::Given((*dtype).clone()),
                    (_, None) => Target::Inferred(Kind::Null),
                },
                dates: match &options.dates {
                    Dates::All => true,
                    Dates::None => false,
                    Dates::Only(columns) => columns.contains(name),
                },
            })
            .collect();
        Ok(Layout { columns })
    }

    /// Widens the inferred columns to hold these kinds too; whether that changed one.
    pub fn widen(&mut self, kinds: &[Kind]) -> bool {
        let mut changed = false;
        for (field, kind) in self.columns.iter_mut().zip(kinds) {
            if let Target::Inferred(current) = &mut field.target {
                let joined = current.join(*kind);
                changed |= joined != *current;
                *current = joined;
            }
        }
        changed
    }
}

/// Names as pandas makes them: `Unnamed: 3` for an empty one, `a.1` for a second `a`.
fn unique(names: Vec<String>) -> Vec<String> {
    let mut taken: HashSet<String> = names.iter().cloned().collect();
    let mut counts: HashMap<String, usize> = HashMap::new();
    names
        .into_iter()
        .enumerate()
        .map(|(position, name)| {
            let name = if name.is_empty() {
                format!("Unnamed: {position}")
            } else {
                name
            };
            let count = counts.entry(name.clone()).or_insert(0);
            *count += 1;
            if *count == 1 {
                return name;
            }
            let mut number = *count - 1;
            loop {
                let candidate = format!("{name}.{number}");
                if taken.insert(candidate.clone()) {
                    return candidate;
                }
                number += 1;
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique() {
        let names = |names: &[&str]| unique(names.iter().map(|name| (*name).to_owned()).collect());
        assert_eq!(names(&["a", "a", "b", "a"]), ["a", "a.1", "b", "a.2"]);
        assert_eq!(names(&["a", "a", "a.1"]), ["a", "a.2", "a.1"]);
        assert_eq!(names(&["", "x", ""]), ["Unnamed: 0", "x", "Unnamed: 2"]);
    }
}
