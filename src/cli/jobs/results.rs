//! `om jobs results`.

use crate::cli::Session;
use crate::cli::output::{Cell, Column, Table};
use crate::error::Result;
use bson::Bson;
use clap::Args;

/// The notebooks that the runs of a job have left, the newest last.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  om jobs results report
  om jobs show \"$(om jobs results report | tail -1)\"")]
pub struct Results {
    /// Name of the job
    #[arg(add = crate::cli::stored::objects())]
    name: String,
}

impl Results {
    /// Runs the command.
    pub fn run(self, session: &Session) -> Result<()> {
        let metadata = session.omega()?.jobs.metadata(&self.name)?;
        let mut table = Table::new([
            Column::new("NAME"),
            Column::new("STATUS"),
            Column::new("MESSAGE"),
        ])
        .named_by("NAME")
        .listing()
        .when_empty("the job has not run yet");
        let runs = metadata.attributes.get_array("job_runs").ok();
        for run in runs.into_iter().flatten().filter_map(Bson::as_document) {
            let text = |field: &str| run.get_str(field).unwrap_or_default().to_owned();
            table.push([
                Cell::from(text("results")),
                Cell::from(text("status")),
                Cell::from(text("message")),
            ]);
        }
        session.output.rows(&table)
    }
}
