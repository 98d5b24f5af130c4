//! `om … list`.

use super::store;
use crate::cli::Session;
use crate::cli::output::{Cell, Column, Table};
use crate::error::Result;
use crate::store::Listing;
use clap::Args;
use serde_json::Value;

/// List objects.
///
/// In a pipe the names are printed, one a line; -o chooses another form.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  om datasets list
  om datasets list 'sales*' -o wide
  om datasets list '^py' -E
  om datasets list -o json | jq '.[].name'")]
pub struct List {
    /// Names to list; `*` stands for any characters
    pattern: Option<String>,
    /// Only objects of this kind
    #[arg(long, add = crate::cli::stored::kind_names())]
    kind: Vec<String>,
    /// Also names that start with `.`
    #[arg(long)]
    hidden: bool,
    /// Also hidden and temporary names
    #[arg(short, long)]
    all: bool,
    /// Print metadata in omega|ml's text form
    #[arg(long)]
    raw: bool,
}

impl List {
    /// Runs the command on the store called `noun`.
    pub fn run(self, noun: &str, session: &Session) -> Result<()> {
        let om = session.omega()?;
        let store = store(&om, noun)?;
        let found = store.list(&Listing {
            pattern: self.pattern,
            regexp: session.global.regexp,
            kinds: self.kind,
            hidden: self.hidden || self.all,
            temporary: self.all,
        })?;
        if self.raw {
            return found
                .iter()
                .try_for_each(|metadata| session.output.line(format!("<Metadata: {metadata}>")));
        }
        let mut table = Table::new([
            Column::new("NAME"),
            Column::new("KIND"),
            Column::new("ROWS").right(),
            Column::new("SIZE").key("bytes").right(),
            Column::new("MODIFIED"),
            Column::new("CREATED").wide(),
            Column::new("BUCKET").wide(),
            Column::new("PREFIX").for_programs(),
        ])
        .listing()
        .when_empty(format!("no {noun} yet"));
        let stats = store.stats_of(&found)?;
        for (metadata, stats) in found.iter().zip(stats) {
            table.push([
                Cell::from(metadata.name()),
                Cell::from(metadata.kind.as_str()),
                stats.count.map_or(Cell::from(Value::Null), Cell::from),
                Cell::bytes(stats.bytes),
                time(metadata.modified),
                time(metadata.created),
                Cell::from(match metadata.key.bucket.as_str() {
                    // By the name that users know.
                    bucket if bucket == om.default_bucket() => "default",
                    bucket => bucket,
                }),
                Cell::from(metadata.key.prefix.as_str()),
            ]);
        }
        session.output.rows(&table)
    }
}

/// Seconds are enough for people; programs get the milliseconds.
fn time(date: bson::DateTime) -> Cell {
    let text = crate::storage::wall_clock_text(date);
    let shown = text.get(..19).unwrap_or(&text).to_owned();
    Cell::shown(text, shown)
}
