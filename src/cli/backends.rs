//! `om backends`: which programs do what this one cannot.

use super::Session;
use super::output::{Cell, Column, Table};
use crate::error::Result;
use clap::Args;

/// List the backends: programs that run models and tasks, and read data, which om itself
/// cannot.
///
/// They are called om-backend-* on the search path, or named in OMEGA_BACKENDS; one for Python is built in, and runs with
/// OMEGA_PYTHON, the active environment's Python, or python3.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  om backends
  om backends -o json")]
pub struct Backends {
    /// `list`
    #[arg(value_name = "ACTION", value_parser = ["list"], default_value = "list", hide_default_value = true, hide_possible_values = true)]
    action: String,
}

/// Runs the command.
pub fn run(_command: &Backends, session: &Session) -> Result<()> {
    let om = session.omega()?;
    let mut table = Table::new([
        Column::new("NAME"),
        Column::new("KIND"),
        Column::new("ACTIONS"),
        Column::new("PROGRAM"),
    ])
    .when_empty("no backend answers");
    for found in om.objects().backends.announcements(&session.progress) {
        let announcement = match found {
            Ok(announcement) => announcement,
            Err(error) => {
                session
                    .output
                    .warn(format!("a backend does not answer: {error}"));
                continue;
            }
        };
        if !announcement.tasks.is_empty() {
            table.push([
                Cell::from(announcement.name.as_str()),
                Cell::from(serde_json::Value::Null),
                Cell::from(announcement.tasks.join(",")),
                Cell::from(announcement.program.as_str()),
            ]);
        }
        for (kind, actions) in &announcement.kinds {
            table.push([
                Cell::from(announcement.name.as_str()),
                Cell::from(kind.as_str()),
                Cell::from(actions.join(",")),
                Cell::from(announcement.program.as_str()),
            ]);
        }
    }
    session.output.rows(&table)
}
