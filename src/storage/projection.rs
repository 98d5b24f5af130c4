//! Which stored columns a query needs, and which of its columns are derived from the
//! position of a row.

use crate::frame::{Columns, Query};
use std::collections::BTreeSet;

/// The default index, as omega|ml stores it (spec/storage.md §9.1).
pub(super) const INDEX: &str = "_idx#0_0";

/// The row id, likewise.
pub(super) const ROW_ID: &str = "_om#rowid";

/// Which columns are read, and which are derived.
pub(super) struct Projection {
    stored: usize,
    /// The stored columns that are read.
    pub read: Vec<String>,
    /// Whether the default index is asked for and derived.
    pub index: bool,
    /// Whether the row id is asked for.
    pub row_id: bool,
}

impl Projection {
    /// What `rest` needs of the columns `stored`; where something is derived, `rest` is
    /// made to name the columns of its result.
    pub fn new(stored: &[String], rest: &mut Query) -> Self {
        let named = named(rest);
        let index = named.contains(INDEX) && !stored.iter().any(|name| name.starts_with("_idx#"));
        let row_id = named.contains(ROW_ID) && !stored.iter().any(|name| name == ROW_ID);
        let mut all = stored.to_vec();
        if index {
            all.insert(0, INDEX.to_owned());
        }
        if row_id {
            all.push(ROW_ID.to_owned());
        }
        if !rest.is_grouped() {
            let there = |names: &[String]| names.iter().all(|name| all.contains(name));
            rest.columns = match &rest.columns {
                // What is derived because a filter names it must not turn up in the result.
                Columns::All if index || row_id => Columns::Only(stored.to_vec()),
                // What is left out may not be read.
                except @ Columns::Except(names) if there(names) => {
                    Columns::Only(except.resolve(stored))
                }
                range @ Columns::Range(from, to)
                    if from.iter().chain(to).all(|name| all.contains(name)) =>
                {
                    Columns::Only(range.resolve(&all))
                }
                other => other.clone(),
            };
        }
        let known: BTreeSet<&str> = all.iter().map(String::as_str).collect();
        let needed: BTreeSet<String> = rest
            .required(&all)
            .iter()
            .map(|name| root(name, &known).to_owned())
            .collect();
        let mut read: Vec<String> = stored
            .iter()
            .filter(|name| needed.contains(*name))
            .cloned()
            .collect();
        if read.is_empty() && !index && !row_id {
            // Without any column there would be no rows to count.
            read.extend(stored.first().cloned());
        }
        Projection {
            stored: stored.len(),
            read,
            index,
            row_id,
        }
    }

    /// Whether all stored columns are read and nothing is derived.
    pub fn is_everything(&self) -> bool {
        self.read.len() == self.stored && !self.index && !self.row_id
    }
}

/// The columns that a query calls by their names.
fn named(query: &Query) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    if let Some(filter) = &query.filter {
        filter.columns(&mut names);
    }
    names.extend(query.sort.iter().map(|sort| sort.column.clone()));
    names.extend(query.group_by.iter().cloned());
    names.extend(
        query
            .aggregates
            .iter()
            .map(|aggregate| aggregate.column.clone()),
    );
    match &query.columns {
        Columns::Only(only) => names.extend(only.iter().cloned()),
        Columns::Range(from, to) => names.extend(from.iter().chain(to).cloned()),
        Columns::All | Columns::Except(_) => {}
    }
    names
}

/// The column that `name` is in; dots descend into nested fields.
fn root<'a>(name: &'a str, known: &BTreeSet<&str>) -> &'a str {
    let mut column = name;
    while !known.contains(column) {
        match column.rsplit_once('.') {
            Some((outer, _)) => column = outer,
            None => return name,
        }
    }
    column
}
