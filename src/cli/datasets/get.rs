//! `om datasets get`: an object, or the rows asked for, into a file or standard output.

use super::Selecting;
use super::partial;
use super::target::{Target, commit};
use crate::cli::Session;
use crate::cli::objects::pairs;
use crate::error::{Context, Error, Result};
use crate::frame::Rows;
use crate::frame::format::{Compression, Format, WriteOptions, write};
use crate::store::Stored;
use bson::Bson;
use clap::Args;
use std::io::Write;
use std::path::{Path, PathBuf};

/// Write an object, or the rows asked for, to a file or standard output.
///
/// The format follows from the file's name; standard output gets CSV for tables, JSON for
/// documents, and the bytes as they are for everything else.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  om datasets get flights flights.parquet
  om datasets get flights - --where 'arr_delay >= 60' --columns carrier,arr_delay | head
  om datasets get sales sales.csv --where 'qty__gte=5' --sort -qty --csv sep=';'
  om datasets get settings settings.json")]
pub struct Get {
    /// Name, perhaps with columns: 'sales[qty,price]'
    #[arg(add = crate::cli::stored::datasets())]
    name: String,
    /// File to write, or - for standard output
    #[arg(default_value = "-")]
    path: String,
    /// Format of the output, whatever its name says
    #[arg(long = "format", value_name = "FORMAT", value_parser = ["csv", "tsv", "parquet", "ipc", "feather", "arrow", "json", "ndjson", "jsonl", "npy", "binary"])]
    file_format: Option<String>,
    /// How to write CSV, in the words of pandas' to_csv
    #[arg(long, value_name = "KEY=VALUE")]
    csv: Vec<String>,
    #[command(flatten)]
    selecting: Selecting,
}

impl Get {
    /// Runs the command.
    pub fn run(self, session: &Session) -> Result<()> {
        let om = session.omega()?;
        let query = self.selecting.query()?;
        let path = (self.path != "-").then(|| PathBuf::from(&self.path));
        let format = match self.file_format.as_deref() {
            Some("binary") | None => path
                .as_deref()
                .and_then(Format::of_path)
                .map(|(format, _)| format),
            Some(name) => Some(Format::parse(name)?),
        };
        let as_it_is = match self.file_format.as_deref() {
            Some(name) => name == "binary",
            None => path.is_some() && format.is_none(),
        };
        // What a backend reads as a table is a file, too.
        let mut stored = match as_it_is && query.is_all() && !self.name.contains('[') {
            true => om.datasets.raw(&self.name)?,
            false => om.datasets.query(&self.name, &query)?,
        };
        if !matches!(stored, Stored::Table(_))
            && !query.is_all()
            && !matches!(stored, Stored::Array(_))
        {
            return Err(Error::usage(format!(
                "{} is not a table: it has no rows to select",
                self.name
            )));
        }
        let bytes = match &mut stored {
            Stored::File(blob) => Some(blob),
            Stored::Array(blob) if matches!(format, None | Some(Format::Npy)) => Some(blob),
            _ => None,
        };
        if let (Some(blob), Some(path)) = (bytes, path.as_deref())
            && let Some(identity) = blob.identity()
            && let Some(()) = partial::get(session, blob.as_mut(), &identity, path)?
        {
            return Ok(());
        }
        let out = Target::open(session, path.as_deref(), self.binary(&stored, format))?;
        match stored {
            Stored::Table(table) => {
                self.table(session, table.rows()?, format, path.as_deref(), out)
            }
            Stored::Array(mut blob) if matches!(format, None | Some(Format::Npy)) => {
                out.copy(&mut blob)
            }
            array @ Stored::Array(_) => {
                let frame = crate::frame::run(array.table(&self.name)?, &query)?;
                self.table(session, frame.into(), format, path.as_deref(), out)
            }
            Stored::Values(values) => documents(&values, format, out),
            Stored::File(mut blob) => out.copy(&mut blob),
        }
    }

    fn binary(&self, stored: &Stored, format: Option<Format>) -> bool {
        match stored {
            Stored::Table(_) => format.is_some_and(is_binary),
            Stored::Array(_) => format.is_none_or(is_binary),
            Stored::Values(_) => false,
            Stored::File(_) => true,
        }
    }

    fn table(
        &self,
        session: &Session,
        rows: Rows,
        format: Option<Format>,
        path: Option<&Path>,
        out: Target,
    ) -> Result<()> {
        let format = match (format, path) {
            (Some(format), _) => format,
            (None, None) => Format::Csv,
            (None, Some(path)) => {
                return Err(Error::usage(format!(
                    "{} does not tell a table's format",
                    path.display()
                ))
                .hint("say it: --format csv"));
            }
        };
        let mut options = WriteOptions {
            compression: path.and_then(Compression::of_path),
            ..WriteOptions::default()
        };
        for (key, value) in pairs(&self.csv, "--csv")? {
            options.set(&key, &value)?;
        }
        let Target { writer, file } = out;
        write(rows, format, &options, writer, &session.progress)?;
        commit(file)
    }
}

/// Whether a terminal would suffer.
fn is_binary(format: Format) -> bool {
    matches!(format, Format::Parquet | Format::Ipc | Format::Npy)
}

fn documents(values: &[Bson], format: Option<Format>, out: Target) -> Result<()> {
    let Target { mut writer, file } = out;
    let json = values.iter().map(crate::store::bson_to_value);
    let failed = || "cannot write the documents";
    match format {
        None | Some(Format::Json) => {
            let all: Vec<serde_json::Value> = json.collect();
            serde_json::to_writer_pretty(&mut writer, &all)
                .map_err(std::io::Error::from)
                .context(failed)?;
            writer.write_all(b"\n").context(failed)?;
        }
        Some(Format::Ndjson) => {
            for value in json {
                serde_json::to_writer(&mut writer, &value)
                    .map_err(std::io::Error::from)
                    .context(failed)?;
                writer.write_all(b"\n").context(failed)?;
            }
        }
        Some(_) => {
            return Err(Error::usage("documents are written as json or ndjson")
                .hint("name the file .json, or add --format json"));
        }
    }
    writer.flush().context(failed)?;
    drop(writer);
    commit(file)
}
