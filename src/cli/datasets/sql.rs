//! `om datasets sql`: SQL over stored tables.

use crate::cli::Session;
use crate::error::{Context, Error, Result};
use crate::frame;
use clap::Args;
use std::io::Read;

/// Run a SQL select over stored tables, by their names.
///
/// Names with other than word characters stand in double quotes. With --result the
/// answer is stored instead of printed.
#[derive(Debug, Args)]
#[command(after_help = r#"Examples:
  om datasets sql 'select carrier, avg(arr_delay) d from flights group by carrier order by d'
  om datasets sql 'select * from flights join planes using (tailnum) limit 5' -o json
  om datasets sql 'select * from "raw/sales" where qty > 5' --result big-sales
  om datasets sql - < report.sql"#)]
pub struct Sql {
    /// The statement, or - to read it from standard input
    statement: String,
    /// Store the answer under this name, replacing what is there
    #[arg(long, value_name = "NAME")]
    result: Option<String>,
}

impl Sql {
    /// Runs the command.
    pub fn run(self, session: &Session) -> Result<()> {
        let om = session.omega()?;
        let mut statement = self.statement;
        if statement == "-" {
            statement.clear();
            std::io::stdin()
                .read_to_string(&mut statement)
                .context(|| "cannot read the statement")?;
        }
        if statement.trim().is_empty() {
            return Err(Error::usage("there is no statement to run"));
        }
        let answer = om.datasets.sql(&statement)?;
        match &self.result {
            Some(name) => {
                let frame = frame::collect(answer)?;
                let metadata = om.datasets.put_frame(name, frame)?;
                crate::cli::objects::metadata_line(session, &metadata)
            }
            None => session.output.frame(&frame::collect(answer)?, None),
        }
    }
}
