//! `om jobs show`.

use crate::cli::Session;
use crate::error::{Error, Result};
use crate::jobs::render;
use clap::Args;

/// Read a notebook here: text, code, outputs.
///
/// Without --last it is the job itself, with it the notebook of its last run.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  om jobs show report
  om jobs show report --last | less -R")]
pub struct Show {
    /// Name of the job
    #[arg(add = crate::cli::stored::objects())]
    name: String,
    /// The result of its last run
    #[arg(long)]
    last: bool,
}

impl Show {
    /// Runs the command.
    pub fn run(self, session: &Session) -> Result<()> {
        let jobs = session.omega()?.jobs;
        let mut name = self.name;
        if self.last {
            let metadata = jobs.metadata(&name)?;
            let results = metadata.attributes.get_array("job_results").ok();
            let last = results.and_then(|results| results.last()?.as_str().map(str::to_owned));
            name = last.ok_or_else(|| {
                Error::not_found("the job has not run yet")
                    .on(metadata.key.to_string())
                    .hint("run it: om jobs run NAME")
            })?;
        }
        let notebook = jobs.notebook(&name)?;
        if session.output.is_structured() {
            let document = serde_json::from_slice(&notebook.to_bytes());
            let document = document
                .map_err(|error| Error::failed("cannot show the notebook").because(error))?;
            return session.output.value(&document);
        }
        session
            .output
            .text(&render(&notebook, session.output.screen().color))
    }
}
