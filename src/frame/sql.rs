//! SQL over frames, with Polars' reader of SQL. Queries only: nothing is created or
//! dropped, and no files are read, so that a statement may come from anybody.

use super::columns::unknown_column;
use super::polars_error::{explained, missing_column};
use super::run::schema;
use crate::error::{Error, Result, nearest};
use polars::prelude::LazyFrame;
use polars::sql::{SQLContext, extract_table_identifiers};
use regex::Regex;

/// Runs one `select` statement over tables.
///
/// # Errors
/// [`crate::ErrorKind::NotFound`] for unknown tables and columns,
/// [`crate::ErrorKind::Usage`] for what is not a valid query.
pub fn sql(tables: Vec<(String, LazyFrame)>, statement: &str) -> Result<LazyFrame> {
    for name in sql_tables(statement)? {
        if tables.iter().any(|(table, _)| *table == name) {
            continue;
        }
        let names: Vec<&str> = tables.iter().map(|(table, _)| table.as_str()).collect();
        let error = Error::not_found(format!("there is no table `{name}`"));
        return Err(match nearest(&name, names.iter().copied()) {
            Some(near) => error.hint(format!("did you mean `{near}`?")),
            None if names.is_empty() => error,
            None => error.hint(format!("tables: {}", names.join(", "))),
        });
    }
    let mut columns: Vec<String> = Vec::new();
    let mut context = SQLContext::new();
    for (name, mut frame) in tables {
        let schema = schema(&mut frame)?;
        columns.extend(schema.iter_names().map(|name| name.to_string()));
        context.register(&name, frame);
    }
    let result = context.execute(statement).and_then(|mut frame| {
        // Names are resolved with the schema only.
        frame.collect_schema()?;
        Ok(frame)
    });
    result.map_err(|error| match missing_column(&error) {
        Some(name) if !columns.contains(&name) => {
            let name = name
                .rsplit_once('.')
                .map_or(name.as_str(), |(_, column)| column);
            unknown_column(name, columns.iter().map(String::as_str))
        }
        _ => explained(&error),
    })
}

/// The tables that a statement reads, in order of appearance.
///
/// # Errors
/// [`crate::ErrorKind::Usage`] when the statement is not a query.
pub fn sql_tables(statement: &str) -> Result<Vec<String>> {
    let first = statement.trim_start_matches(|c: char| c.is_whitespace() || c == '(');
    let first = first
        .split(|c: char| !c.is_alphabetic())
        .next()
        .unwrap_or_default();
    if !["select", "with", "from", "explain"]
        .iter()
        .any(|word| first.eq_ignore_ascii_case(word))
    {
        return Err(
            Error::usage("only queries are allowed").hint("for example: select * from sales")
        );
    }
    if pattern(r"(?i)\bread_\w+\s*\(")?.is_match(statement) {
        return Err(Error::usage("a query cannot read files")
            .hint("store the file first: om datasets put FILE NAME"));
    }
    let tables =
        extract_table_identifiers(statement, true, true).map_err(|error| explained(&error))?;
    // `with name as (…)` names a table of the statement's own.
    let with = pattern(
        r#"(?i)(?:"([^"]+)"|`([^`]+)`|(\w+))\s*(?:\([^()]*\)\s*)?\bas\s*(?:(?:not\s+)?materialized\s*)?\("#,
    )?;
    let own: Vec<&str> = with
        .captures_iter(statement)
        .filter_map(|found| {
            found
                .iter()
                .skip(1)
                .flatten()
                .next()
                .map(|name| name.as_str())
        })
        .collect();
    Ok(tables
        .into_iter()
        .filter(|table| !own.contains(&table.as_str()))
        .collect())
}

fn pattern(text: &str) -> Result<Regex> {
    Regex::new(text).map_err(|error| Error::failed("cannot read the statement").because(error))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;
    use crate::frame::collect;
    use polars::prelude::*;

    fn tables() -> Vec<(String, LazyFrame)> {
        let flights = df!("tailnum" => ["a", "b", "a"], "delay" => [1, 2, 3]).unwrap();
        let planes = df!("tailnum" => ["a", "b"], "seats" => [100, 200]).unwrap();
        vec![
            ("flights".to_owned(), flights.lazy()),
            ("my/planes".to_owned(), planes.lazy()),
        ]
    }

    #[test]
    fn joins_and_groups() {
        let frame = sql(
            tables(),
            "with big as (select * from \"my/planes\" where seats > 150)
             select flights.tailnum, sum(delay) as total from flights join big using (tailnum) group by flights.tailnum",
        );
        let frame = collect(frame.unwrap()).unwrap();
        assert_eq!(frame.height(), 1);
        assert_eq!(
            frame
                .column("total")
                .unwrap()
                .get(0)
                .unwrap()
                .try_extract::<i64>()
                .unwrap(),
            2
        );
    }

    #[test]
    fn names_its_tables() {
        let statement = "with t as (select 1), u(x) AS (select * from t) select * from a join \"b/c\" on 1=1, u";
        assert_eq!(sql_tables(statement).unwrap(), ["a", "b/c"]);
    }

    #[test]
    fn mistakes_are_told() {
        let told = |statement: &str| sql(tables(), statement).err().unwrap();
        let error = told("select * from flihgts");
        assert_eq!(error.kind(), ErrorKind::NotFound);
        assert_eq!(error.hint_text().unwrap(), "did you mean `flights`?");
        for statement in [
            "select dealy from flights",
            "select flights.dealy from flights",
            "select * from flights where dealy > 1",
        ] {
            let error = told(statement);
            assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
            assert!(
                error
                    .hint_text()
                    .unwrap()
                    .starts_with("did you mean `delay`?"),
                "{error:?}"
            );
        }
        for statement in [
            "drop table flights",
            "delete from flights",
            "select * from read_csv('/etc/passwd')",
            "selec 1",
            "select * from",
            "select * from flights; select 1",
            "",
        ] {
            let error = told(statement);
            assert_eq!(error.kind(), ErrorKind::Usage, "{statement}: {error}");
            assert!(!error.to_string().contains('\n'));
        }
    }
}
