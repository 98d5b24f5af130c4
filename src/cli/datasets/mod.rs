//! `om datasets`: tables, arrays, documents and files.

mod describe;
mod get;
mod partial;
mod put;
mod query;
mod show;
mod split;
mod sql;
mod target;

pub use target::Target;

use crate::cli::Session;
use crate::cli::objects::{self, Objects};
use crate::error::Result;
use crate::frame::{Columns, Filter, Query, Sort};
use clap::{Args, Subcommand};

/// Work with data sets.
#[derive(Debug, Subcommand)]
pub enum Datasets {
    /// Store a file, files or standard input under a name
    Put(put::Put),
    /// Write an object, or the rows asked for, to a file
    Get(get::Get),
    /// Show the first, last or random rows
    Show(show::Show),
    /// Statistics of every column
    Describe(describe::Describe),
    /// Filter, group and aggregate a table
    Query(query::Run),
    /// Run a SQL select over stored tables
    Sql(sql::Sql),
    /// Divide rows to train on and to test with
    Split(split::Split),
    /// What every store can do.
    #[command(flatten)]
    Objects(Objects),
}

/// Runs a command of `om datasets`.
pub fn run(command: Datasets, session: &Session) -> Result<()> {
    match command {
        Datasets::Put(command) => command.run(session),
        Datasets::Get(command) => command.run(session),
        Datasets::Show(command) => command.run(session),
        Datasets::Describe(command) => command.run(session),
        Datasets::Query(command) => command.run(session),
        Datasets::Sql(command) => command.run(session),
        Datasets::Split(command) => command.run(session),
        Datasets::Objects(command) => objects::run(command, "datasets", session),
    }
}

/// The options that select rows and columns.
#[derive(Debug, Args)]
pub struct Selecting {
    /// Rows to keep: 'qty >= 5 and region in ("EU","US")' or qty__gte=5; all must hold
    #[arg(short = 'w', long = "where", value_name = "FILTER")]
    filters: Vec<String>,
    /// Columns, in this order: a,b or a:c for a range or ^a,b for all but these
    #[arg(long, value_name = "COLUMNS", add = crate::cli::stored::columns())]
    columns: Option<String>,
    /// Columns to sort by; `-column` for largest first
    #[arg(
        long,
        value_name = "COLUMN",
        value_delimiter = ',',
        allow_hyphen_values = true
    )]
    sort: Vec<String>,
    /// Rows at the most
    #[arg(long, value_name = "ROWS")]
    limit: Option<u64>,
    /// Rows to leave out at the start
    #[arg(
        long,
        value_name = "ROWS",
        default_value_t = 0,
        hide_default_value = true
    )]
    skip: u64,
}

impl Selecting {
    /// The query that the options ask for.
    pub fn query(&self) -> Result<Query> {
        let filters = self
            .filters
            .iter()
            .map(|text| Filter::parse(text))
            .collect::<Result<Vec<_>>>()?;
        Ok(Query {
            filter: (!filters.is_empty()).then_some(Filter::And(filters)),
            columns: self
                .columns
                .as_deref()
                .map(Columns::parse)
                .transpose()?
                .unwrap_or_default(),
            sort: self
                .sort
                .iter()
                .map(|text| Sort::parse(text))
                .collect::<Result<_>>()?,
            skip: self.skip,
            limit: self.limit,
            ..Query::default()
        })
    }
}
