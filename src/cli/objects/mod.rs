//! Commands that work on the objects of any store: one file each.

mod copy;
mod drop;
mod list;
mod metadata;
mod rename;

pub use copy::Copy;
pub use drop::Drop;
pub use list::List;
pub use metadata::ShowMetadata;
pub use rename::Rename;

use crate::cli::Session;
use crate::cli::output::Cell;
use crate::error::{Error, Result};
use crate::omega::Omega;
use crate::storage::{Metadata, Stats};
use crate::store::Store;
use clap::Subcommand;
use std::time::Duration;

/// What every store can do with its objects.
#[derive(Debug, Subcommand)]
pub enum Objects {
    /// List objects
    List(List),
    /// The metadata document, as JSON
    Metadata(ShowMetadata),
    /// Delete objects
    Drop(Drop),
    /// Copy objects
    Copy(Copy),
    /// Give an object another name
    Rename(Rename),
}

/// Runs a command on the store called `noun`.
pub fn run(command: Objects, noun: &str, session: &Session) -> Result<()> {
    match command {
        Objects::List(command) => command.run(noun, session),
        Objects::Metadata(command) => command.run(noun, session),
        Objects::Drop(command) => command.run(noun, session),
        Objects::Copy(command) => command.run(noun, session),
        Objects::Rename(command) => command.run(noun, session),
    }
}

/// The store that the command line calls `noun`.
pub fn store<'a>(om: &'a Omega, noun: &str) -> Result<&'a Store> {
    om.store(noun)
        .ok_or_else(|| Error::usage(format!("there is no store `{noun}`")))
}

/// `key=value` texts of the option `flag`, split.
pub fn pairs(texts: &[String], flag: &str) -> Result<Vec<(String, String)>> {
    texts
        .iter()
        .map(|text| match text.split_once('=') {
            Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
            _ => Err(Error::usage(format!(
                "{flag} takes KEY=VALUE, not `{text}`"
            ))),
        })
        .collect()
}

/// Says which object was written: omega|ml's line, or the document for programs.
pub fn metadata_line(session: &Session, metadata: &Metadata) -> Result<()> {
    if session.output.is_structured() {
        session.output.value(&metadata.to_json())
    } else {
        session.output.line(metadata)
    }
}

/// A number with commas between the thousands.
fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let groups: Vec<&str> = digits
        .as_bytes()
        .rchunks(3)
        .rev()
        .filter_map(|group| std::str::from_utf8(group).ok())
        .collect();
    groups.join(",")
}

/// `336,776 rows × 19 columns in data/flights, 5.2 MB, 0.8 s`, for stderr.
pub fn stored_line(store: &Store, metadata: &Metadata, stats: Stats, elapsed: Duration) -> String {
    let bytes = Cell::bytes(stats.bytes).text();
    let columns = store.columns(metadata).len();
    let what = match stats.count {
        Some(count) if columns > 0 => format!("{} rows × {columns} columns", thousands(count)),
        Some(1) => "1 document".to_owned(),
        Some(count) => format!("{} documents", thousands(count)),
        None => "stored".to_owned(),
    };
    format!(
        "{what} in {}, {}, {:.1} s",
        metadata.key,
        bytes,
        elapsed.as_secs_f64()
    )
}
