//! `om datasets query`: filter, group and aggregate.

use super::Selecting;
use crate::cli::Session;
use crate::error::Result;
use crate::frame::{Aggregate, Query};
use clap::Args;

/// Filter, group and aggregate a table.
///
/// Aggregates: count, sum, mean, min, max, std, var, median, first, last, nunique. With
/// --by alone the groups are counted.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  om datasets query flights --by carrier --agg arr_delay=mean,max --agg flight=count
  om datasets query flights --by origin,month -w 'arr_delay > 60' --sort -count --limit 5
  om datasets query sales --agg price=sum -o json")]
pub struct Run {
    /// Name, perhaps with columns: 'sales[qty,price]'
    #[arg(add = crate::cli::stored::datasets())]
    name: String,
    /// Columns to group by
    #[arg(long, value_name = "COLUMN", value_delimiter = ',', add = crate::cli::stored::columns())]
    by: Vec<String>,
    /// What to compute of a column
    #[arg(long = "agg", value_name = "COLUMN=FUNCTION,…")]
    aggregates: Vec<String>,
    #[command(flatten)]
    selecting: Selecting,
}

impl Run {
    /// Runs the command.
    pub fn run(self, session: &Session) -> Result<()> {
        let om = session.omega()?;
        let mut aggregates = Vec::new();
        for text in &self.aggregates {
            aggregates.extend(Aggregate::parse_list(text)?);
        }
        let query = Query {
            group_by: self.by,
            aggregates,
            ..self.selecting.query()?
        };
        let frame = om.datasets.collect(&self.name, &query)?;
        session.output.frame(&frame, None)
    }
}
