//! `om datasets split`: rows to train on and rows to test with.

use crate::cli::Session;
use crate::cli::objects::metadata_line;
use crate::error::Result;
use crate::models::train_test_split;
use crate::store::{Object, PutMode, PutOptions};
use clap::Args;

/// Divide a table's rows at random into two tables: to train on and to test with.
///
/// The same seed makes the same tables. With --stratify both hold the column's values in
/// proportion.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  om datasets split iris iris-train iris-test --stratify species
  om datasets split sales train test --test-size 0.1 --seed 7 --replace")]
pub struct Split {
    /// Name, perhaps with columns: 'sales[qty,price]'
    #[arg(add = crate::cli::stored::datasets())]
    name: String,
    /// Name of the table to train on
    train: String,
    /// Name of the table to test with
    test: String,
    /// Share of the rows to test with, or their number if it is 1 or more
    #[arg(long, value_name = "SHARE", default_value_t = 0.25)]
    test_size: f64,
    /// Seed of the random choice
    #[arg(long, value_name = "NUMBER", default_value_t = 0)]
    seed: u64,
    /// Column whose values both tables hold in proportion
    #[arg(long, value_name = "COLUMN", add = crate::cli::stored::columns())]
    stratify: Option<String>,
    /// Replace what is stored under the names
    #[arg(long)]
    replace: bool,
}

impl Split {
    /// Runs the command.
    pub fn run(self, session: &Session) -> Result<()> {
        let om = session.omega()?;
        let frame = om
            .datasets
            .collect(&self.name, &crate::frame::Query::default())?;
        let (train, test) =
            train_test_split(&frame, self.test_size, self.seed, self.stratify.as_deref())?;
        let options = PutOptions {
            mode: if self.replace {
                PutMode::Replace
            } else {
                PutMode::Create
            },
            ..PutOptions::default()
        };
        for (name, rows) in [(&self.train, train), (&self.test, test)] {
            let count = rows.height();
            let metadata = om.datasets.put(name, Object::frame(rows), &options)?;
            session
                .output
                .note(format!("{count} rows in {}", metadata.key));
            metadata_line(session, &metadata)?;
        }
        Ok(())
    }
}
