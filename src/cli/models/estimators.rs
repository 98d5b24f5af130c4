//! `om models estimators`: the documentation of every specification.

use crate::cli::Session;
use crate::cli::output::{Cell, Column, Table};
use crate::error::{Context, Result};
use crate::models::{self, EstimatorInfo};
use clap::Args;

/// List all estimators, or document one with its parameters.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  om models estimators
  om models estimators random-forest
  om models estimators -o json | jq '.[] | select(.role == \"classifier\") | .name'")]
pub struct Estimators {
    /// Name of an estimator
    #[arg(add = crate::cli::stored::estimators())]
    name: Option<String>,
}

impl Estimators {
    /// Runs the command.
    pub fn run(self, session: &Session) -> Result<()> {
        let Some(name) = self.name else {
            return all(session);
        };
        let found = models::find(&name)?.name;
        models::estimators()
            .iter()
            .filter(|info| info.name == found)
            .try_for_each(|info| one(info, session))
    }
}

fn all(session: &Session) -> Result<()> {
    let mut table = Table::new([
        Column::new("NAME"),
        Column::new("ROLE"),
        Column::new("SUMMARY"),
        Column::new("PARAMETERS").wide(),
        Column::new("ACTIONS").wide(),
        Column::new("ALIASES").for_programs(),
    ])
    .listing();
    for info in models::estimators() {
        let params: Vec<&str> = info.params.iter().map(|param| param.name).collect();
        table.push([
            Cell::from(info.name),
            Cell::from(role(&info)),
            Cell::from(info.summary),
            Cell::shown(params.clone(), params.join(",")),
            Cell::shown(info.actions.clone(), info.actions.join(",")),
            Cell::from(info.aliases.to_vec()),
        ]);
    }
    session.output.rows(&table)
}

fn one(info: &EstimatorInfo, session: &Session) -> Result<()> {
    if session.output.is_structured() {
        let value = serde_json::to_value(info).context(|| "cannot show the estimator")?;
        return session.output.value(&value);
    }
    session
        .output
        .line(format!("{} ({})", info.name, role(info)))?;
    session.output.line(info.summary)?;
    session
        .output
        .line(format!("actions: {}", info.actions.join(", ")))?;
    if !info.aliases.is_empty() {
        session
            .output
            .line(format!("also: {}", info.aliases.join(", ")))?;
    }
    if info.params.is_empty() {
        return Ok(());
    }
    let mut table = Table::new([
        Column::new("PARAMETER"),
        Column::new("DEFAULT"),
        Column::new("MEANING"),
    ]);
    for param in &info.params {
        table.push([param.name, param.default, param.doc]);
    }
    session.output.rows(&table)
}

fn role(info: &EstimatorInfo) -> String {
    format!("{:?}", info.role).to_lowercase()
}
