//! `om datasets query`: filter, group and aggregate.

use super::Selecting;
use crate::cli::Session;
use crate::cli::output::Output;
use crate::error::{Context, Result};
use crate::frame::{Aggregate, Query};
use crate::store::Explanation;
use bson::Bson;
use clap::Args;
use serde_json::{Value, json};

/// Filter, group and aggregate a table.
///
/// Aggregates: count, sum, mean, min, max, std, var, median, first, last, nunique. With
/// --by alone the groups are counted.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  om datasets query flights --by carrier --agg arr_delay=mean,max --agg flight=count
  om datasets query flights --by origin,month -w 'arr_delay > 60' --sort -count --limit 5
  om datasets query sales --agg price=sum -o json
  om datasets query flights --by carrier --agg arr_delay=mean --explain")]
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
    /// Show how the answer would be made, inside the database and by Polars
    #[arg(long)]
    explain: bool,
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
        if self.explain {
            return explain(&session.output, om.datasets.explain(&self.name, &query)?);
        }
        let frame = om.datasets.collect(&self.name, &query)?;
        session.output.frame(&frame, None)
    }
}

fn explain(output: &Output, explanation: Explanation) -> Result<()> {
    let command = explanation
        .command
        .map(|command| Bson::Document(command).into_relaxed_extjson());
    if output.is_structured() {
        let plan: Vec<&str> = explanation.plan.lines().collect();
        let server = explanation.server.as_deref();
        let server = server.map(|plan| plan.lines().collect::<Vec<_>>());
        return output.value(&json!({ "database": command, "server": server, "polars": plan }));
    }
    let mut text = String::new();
    if let Some(command) = command {
        text.push_str("The database runs, in MongoDB's extended JSON:\n");
        text.push_str(&pretty(&command)?);
        text.push_str("\n\n");
    }
    if let Some(plan) = explanation.server {
        text.push_str("The server runs, from the last line to the first:\n");
        text.push_str(plan.trim_end());
        text.push_str("\n\n");
    }
    text.push_str("Polars runs, from the last line to the first:\n");
    text.push_str(explanation.plan.trim_end());
    output.text(&text)
}

fn pretty(command: &Value) -> Result<String> {
    serde_json::to_string_pretty(command)
        .map_err(std::io::Error::from)
        .context(|| "cannot write the command")
}
