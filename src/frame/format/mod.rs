//! Files of tabular data: which formats there are, reading them frame by frame and
//! writing them, both in bounded memory. Knows nothing of where frames are stored.

mod columnar;
mod csv;
mod encoding;
mod input;
mod json;
mod kind;
mod option_values;
mod output;
mod pipeline;
mod read_options;
mod restart;
mod several;
mod text;
mod write;
mod write_options;
#[cfg(test)]
mod write_tests;

pub use columnar::scan_parquet;
pub use encoding::Encoding;
pub use input::{Compression, Source};
pub use read_options::{BadLines, Dates, Header, ReadOptions};
pub use several::open_all;
pub use write::write;
pub use write_options::{Quoting, WriteOptions};

use crate::error::{Error, Result, nearest};
use crate::progress::Progress;
use input::Input;
use polars::prelude::DataFrame;
use std::path::Path;
use std::sync::Arc;

/// A file format of tabular data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Format {
    /// Comma separated values.
    Csv,
    /// Tab separated values.
    Tsv,
    /// Apache Parquet.
    Parquet,
    /// Apache Arrow IPC file, also known as Feather 2.
    Ipc,
    /// JSON: an array of records, or an object of columns.
    Json,
    /// One JSON record a line.
    Ndjson,
    /// NumPy's array file.
    Npy,
}

impl Format {
    /// All formats.
    pub const ALL: [Format; 7] = [
        Format::Csv,
        Format::Tsv,
        Format::Parquet,
        Format::Ipc,
        Format::Json,
        Format::Ndjson,
        Format::Npy,
    ];

    /// The name, as `--format` takes it.
    pub fn name(self) -> &'static str {
        match self {
            Format::Csv => "csv",
            Format::Tsv => "tsv",
            Format::Parquet => "parquet",
            Format::Ipc => "ipc",
            Format::Json => "json",
            Format::Ndjson => "ndjson",
            Format::Npy => "npy",
        }
    }

    /// The format of a name; `feather`, `arrow` and `jsonl` are understood too.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Usage`] for other names.
    pub fn parse(name: &str) -> Result<Format> {
        let lower = name.trim().to_lowercase();
        suffix(&lower).ok_or_else(|| {
            let names = Format::ALL.map(Format::name);
            let error = Error::usage(format!("`{name}` is not a format"));
            match nearest(&lower, names) {
                Some(near) => error.hint(format!(
                    "did you mean `{near}`? formats: {}",
                    names.join(", ")
                )),
                None => error.hint(format!("formats: {}", names.join(", "))),
            }
        })
    }

    /// The format and the compression that a path's suffixes name: `flights.csv.gz`.
    /// None where the suffix is not one of a table.
    pub fn of_path(path: &Path) -> Option<(Format, Option<Compression>)> {
        let compression = Compression::of_path(path);
        let stem = path.file_stem().map(Path::new);
        let named = if compression.is_some() { stem? } else { path };
        let format = suffix(&named.extension()?.to_str()?.to_lowercase())?;
        Some((format, compression))
    }
}

fn suffix(name: &str) -> Option<Format> {
    Some(match name {
        "csv" => Format::Csv,
        "tsv" | "tab" => Format::Tsv,
        "parquet" | "pq" => Format::Parquet,
        "ipc" | "arrow" | "feather" => Format::Ipc,
        "json" => Format::Json,
        "ndjson" | "jsonl" => Format::Ndjson,
        "npy" => Format::Npy,
        _ => return None,
    })
}

/// Reads a file frame by frame.
pub trait FrameReader: Send {
    /// The next step. After [`Step::Done`] or an error there is nothing more.
    ///
    /// # Errors
    /// What is wrong with the data, with file, line and column where there are such;
    /// [`crate::ErrorKind::Interrupted`] when the user wants to stop.
    fn next(&mut self) -> Result<Step>;
}

/// What a [`FrameReader`] has come to.
#[derive(Debug)]
pub enum Step {
    /// The next rows. All frames since the start or the last restart have one schema.
    /// There is at least one frame, if only with columns and no rows.
    Frame(DataFrame),
    /// Later rows do not fit the types: all frames so far are void, and reading starts
    /// from the first row with wider types.
    Restart,
    /// No more rows.
    Done,
}

/// Opens a file or stream for reading.
///
/// # Errors
/// [`crate::ErrorKind::NotFound`] for a missing file, [`crate::ErrorKind::Invalid`] where
/// the start of the file is not of this format.
pub fn open(
    source: Source,
    format: Format,
    options: &ReadOptions,
    progress: Arc<dyn Progress>,
) -> Result<Box<dyn FrameReader>> {
    let input = Input::new(source)?;
    Ok(match format {
        Format::Csv => csv::open(input, b',', options, progress)?,
        Format::Tsv => csv::open(input, b'\t', options, progress)?,
        Format::Parquet | Format::Ipc => Box::new(columnar::ColumnarReader::open(
            &input, format, options, progress,
        )?),
        Format::Json => json::open(input, false, options, progress)?,
        Format::Ndjson => json::open(input, true, options, progress)?,
        Format::Npy => Box::new(Once(Some(array(&input, options, &progress)?))),
    })
}

/// A reader of what had to be read at once.
struct Once(Option<DataFrame>);

impl FrameReader for Once {
    fn next(&mut self) -> Result<Step> {
        Ok(self.0.take().map_or(Step::Done, Step::Frame))
    }
}

/// An array as a table.
fn array(input: &Input, options: &ReadOptions, progress: &Arc<dyn Progress>) -> Result<DataFrame> {
    let mut bytes = Vec::new();
    let mut reader = input.bytes("reading", progress)?;
    std::io::Read::read_to_end(&mut reader, &mut bytes).map_err(|error| input.unreadable(error))?;
    let frame = crate::frame::npy::to_frame(&bytes).map_err(|error| error.on(input.name()))?;
    let frame = columnar::adapted(polars::prelude::IntoLazy::lazy(frame), options)?;
    columnar::retyped(crate::frame::collect(frame)?, options)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn formats_of_paths() {
        let of = |path: &str| Format::of_path(Path::new(path));
        assert_eq!(
            of("a/flights.csv.gz"),
            Some((Format::Csv, Some(Compression::Gzip)))
        );
        assert_eq!(of("x.Y.TSV"), Some((Format::Tsv, None)));
        assert_eq!(of("x.feather"), Some((Format::Ipc, None)));
        assert_eq!(
            of("x.jsonl.zst"),
            Some((Format::Ndjson, Some(Compression::Zstd)))
        );
        assert_eq!(of("x.gz"), None);
        assert_eq!(of("photo.png"), None);
        assert_eq!(of("csv"), None);
    }

    #[test]
    fn formats_have_names() {
        for format in Format::ALL {
            assert_eq!(Format::parse(format.name()).unwrap(), format);
        }
        assert!(
            Format::parse("parqet")
                .unwrap_err()
                .hint_text()
                .unwrap()
                .contains("`parquet`")
        );
    }
}
