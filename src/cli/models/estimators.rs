//! `om models estimators`: the documentation of every specification.

use crate::cli::Session;
use crate::cli::output::{Cell, Column, Table};
use crate::error::Result;
use crate::models::{self, Entry};
use clap::Args;
use serde_json::{Value, json};

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
        match self.name {
            Some(name) => one(models::find(&name)?, session),
            None => all(session),
        }
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
    for entry in models::entries() {
        let params: Vec<&str> = entry.params.iter().map(|param| param.name).collect();
        table.push([
            Cell::from(entry.name),
            Cell::from(role(entry)),
            Cell::from(entry.summary),
            Cell::shown(params.clone(), params.join(",")),
            Cell::shown(entry.actions.to_vec(), entry.actions.join(",")),
            Cell::from(entry.aliases.to_vec()),
        ]);
    }
    session.output.rows(&table)
}

fn one(entry: &Entry, session: &Session) -> Result<()> {
    if session.output.is_structured() {
        let params: Vec<Value> = entry
            .params
            .iter()
            .map(|param| json!({ "name": param.name, "default": param.default, "doc": param.doc }))
            .collect();
        return session.output.value(&json!({
            "name": entry.name,
            "aliases": entry.aliases,
            "role": role(entry),
            "summary": entry.summary,
            "actions": entry.actions,
            "params": params,
        }));
    }
    session.output.line(format!("{} ({})", entry.name, role(entry)))?;
    session.output.line(entry.summary)?;
    session.output.line(format!("actions: {}", entry.actions.join(", ")))?;
    if !entry.aliases.is_empty() {
        session.output.line(format!("also: {}", entry.aliases.join(", ")))?;
    }
    if entry.params.is_empty() {
        return Ok(());
    }
    let mut table = Table::new([
        Column::new("PARAMETER"),
        Column::new("DEFAULT"),
        Column::new("MEANING"),
    ]);
    for param in entry.params {
        table.push([param.name, param.default, param.doc]);
    }
    session.output.rows(&table)
}

fn role(entry: &Entry) -> String {
    format!("{:?}", entry.role).to_lowercase()
}
