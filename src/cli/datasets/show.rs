//! `om datasets show`: some rows, fitted to the terminal.

use super::Selecting;
use crate::cli::Session;
use crate::error::Result;
use crate::frame;
use crate::store::Stored;
use clap::Args;

/// Show the first, last or random rows of a table, or the content of a document.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  om datasets show flights
  om datasets show flights --tail -n 5 --columns carrier,arr_delay
  om datasets show flights --sample -w 'arr_delay > 120'")]
pub struct Show {
    /// Name, perhaps with columns: 'sales[qty,price]'
    #[arg(add = crate::cli::stored::datasets())]
    name: String,
    /// Rows to show
    #[arg(short = 'n', long, value_name = "ROWS", default_value_t = 10)]
    rows: u64,
    /// The first rows; the default
    #[arg(long, conflicts_with_all = ["tail", "sample"])]
    head: bool,
    /// The last rows
    #[arg(long, conflicts_with = "sample")]
    tail: bool,
    /// Random rows
    #[arg(long)]
    sample: bool,
    /// Seed of --sample, for the same rows again
    #[arg(long, value_name = "NUMBER", requires = "sample")]
    seed: Option<u64>,
    #[command(flatten)]
    selecting: Selecting,
}

impl Show {
    /// Runs the command.
    pub fn run(self, session: &Session) -> Result<()> {
        let om = session.omega()?;
        let query = self.selecting.query()?;
        let table = match om.datasets.query(&self.name, &query)? {
            Stored::Table(table) => table.rows()?.lazy()?,
            Stored::Values(values) => {
                let values: Vec<_> = values.iter().map(crate::store::bson_to_value).collect();
                return session.output.value(&serde_json::Value::Array(values));
            }
            other => frame::run(other.table(&self.name)?, &query)?,
        };
        let total = if query.filter.is_none() && query.limit.is_none() && query.skip == 0 {
            let metadata = om.datasets.metadata(&self.name)?;
            om.datasets.stats(&metadata)?.count
        } else {
            None
        };
        let count = u32::try_from(self.rows).unwrap_or(u32::MAX);
        let shown = if self.sample {
            frame::sample(table, self.rows, self.seed)?
        } else if self.tail {
            frame::collect(table.tail(count))?
        } else {
            frame::collect(table.limit(count))?
        };
        session.output.frame(&shown, total)
    }
}
