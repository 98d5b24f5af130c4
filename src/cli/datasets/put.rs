//! `om datasets put`: a file, files or standard input into the store.

use crate::cli::Session;
use crate::cli::objects::{metadata_line, pairs, stored_line};
use crate::error::{Context, Error, Result};
use crate::frame::format::{Format, ReadOptions, Source, open, open_all};
use crate::omega::Omega;
use crate::store::{Object, PutMode, PutOptions};
use clap::Args;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

/// Store a file, files or standard input under a name.
///
/// CSV, TSV (also .gz, .zst, .zip), Parquet, Arrow IPC, JSON and NDJSON become a table,
/// .npy an array, anything else a file, or what a backend makes of it. Without --replace, tables and documents are
/// appended to, as omega|ml does.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  om datasets put flights.csv.gz flights --replace
  om datasets put 'part-*.csv' sales --csv sep=';' --dtypes zip=str
  zcat log.ndjson.gz | om datasets put - log --format ndjson
  om datasets put settings.json settings --as document")]
pub struct Put {
    /// Files, patterns such as 'part-*.csv', or - for standard input
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<String>,
    /// Name of the object
    #[arg(required = true)]
    name: String,
    /// Replace what is stored under the name
    #[arg(long, conflicts_with = "append")]
    replace: bool,
    /// Append to the table or documents under the name
    #[arg(long)]
    append: bool,
    /// Format of the input, whatever its name says
    #[arg(long = "format", value_name = "FORMAT", value_parser = ["csv", "tsv", "parquet", "ipc", "feather", "arrow", "json", "ndjson", "jsonl", "npy", "image", "binary"])]
    file_format: Option<String>,
    /// What to store it as
    #[arg(long = "as", value_name = "KIND", value_parser = ["frame", "series", "document", "array", "file"])]
    kind: Option<String>,
    /// Store a file as this kind, which a backend knows; see om backends
    #[arg(long = "kind", value_name = "KIND", conflicts_with_all = ["kind", "file_format"])]
    foreign: Option<String>,
    /// How to read CSV, in the words of pandas' read_csv
    #[arg(long, value_name = "KEY=VALUE")]
    csv: Vec<String>,
    /// Types of columns; the others are inferred
    #[arg(long, value_name = "COLUMN=TYPE,…")]
    dtypes: Vec<String>,
    /// Columns to store, in this order
    #[arg(long, value_name = "COLUMN", value_delimiter = ',')]
    columns: Vec<String>,
    /// Columns to index; `-column` for descending
    #[arg(
        long,
        value_name = "COLUMN",
        value_delimiter = ',',
        allow_hyphen_values = true
    )]
    index: Vec<String>,
    /// Add a column with the time of the put in UTC
    #[arg(long, value_name = "COLUMN", num_args = 0..=1, require_equals = true, default_missing_value = "_created")]
    timestamp: Option<String>,
    /// Attributes to keep with the object; values are JSON or text
    #[arg(long, value_name = "KEY=VALUE")]
    attributes: Vec<String>,
}

/// What an input becomes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Shape {
    Table,
    Series,
    Documents,
    Array,
    File,
}

impl Put {
    /// Runs the command.
    pub fn run(self, session: &Session) -> Result<()> {
        let om = session.omega()?;
        let paths = expand(&self.paths)?;
        if let Some(kind) = self.foreign(&om, &paths) {
            return self.put_foreign(&om, session, &kind, &paths);
        }
        let format = self.format(&paths)?;
        let shape = self.shape(format)?;
        let options = PutOptions {
            mode: match (self.replace, self.append) {
                (true, _) => PutMode::Replace,
                (_, true) => PutMode::Append,
                _ => PutMode::Auto,
            },
            kind: (shape == Shape::Series).then(|| "pandas.serows".to_owned()),
            attributes: attributes(&self.attributes)?,
            index: self.index.clone(),
            timestamp: self.timestamp.clone(),
        };
        let object = self.object(session, shape, format, paths)?;
        let started = std::time::Instant::now();
        let metadata = om.datasets.put(&self.name, object, &options)?;
        let stats = om.datasets.stats(&metadata)?;
        session.output.note(stored_line(
            &om.datasets,
            &metadata,
            stats,
            started.elapsed(),
        ));
        metadata_line(session, &metadata)
    }

    /// The kind of a backend's: the one that is asked for, or that of a file which nothing
    /// else knows.
    fn foreign(&self, om: &Omega, paths: &[PathBuf]) -> Option<String> {
        if self.foreign.is_some() {
            return self.foreign.clone();
        }
        let [path] = paths else { return None };
        let asked = self.kind.is_some() || self.file_format.is_some();
        match asked || Format::of_path(path).is_some() || !path.is_file() {
            true => None,
            false => om.data_kinds().kind_of(path.file_name()?.to_str()?),
        }
    }

    fn put_foreign(
        &self,
        om: &Omega,
        session: &Session,
        kind: &str,
        paths: &[PathBuf],
    ) -> Result<()> {
        let [path] = paths else {
            return Err(Error::usage("only one file is put as such a kind"));
        };
        let shown = path.display().to_string();
        let content = std::fs::read(path).context(|| format!("cannot read {shown}"))?;
        let name = path.file_name().and_then(|name| name.to_str());
        let made = om
            .data_kinds()
            .made(kind, name.unwrap_or_default(), content)
            .map_err(|error| error.on(shown))?;
        let mode = match (self.replace, self.append) {
            (true, _) => PutMode::Replace,
            (_, true) => PutMode::Append,
            _ => PutMode::Auto,
        };
        let attributes = attributes(&self.attributes)?;
        let metadata = om.datasets.put_data(&self.name, &made, &attributes, mode)?;
        metadata_line(session, &metadata)
    }

    fn format(&self, paths: &[PathBuf]) -> Result<Option<Format>> {
        match self.file_format.as_deref() {
            Some("image" | "binary") => Ok(None),
            Some(name) => Format::parse(name).map(Some),
            None => {
                let first = paths
                    .first()
                    .map(PathBuf::as_path)
                    .unwrap_or(Path::new("-"));
                if first == Path::new("-") && self.kind.as_deref() != Some("file") {
                    return Err(
                        Error::usage("standard input has no name to tell its format by").hint(
                            "say it: --format csv, or --as file to store the bytes as they are",
                        ),
                    );
                }
                Ok(Format::of_path(first).map(|(format, _)| format))
            }
        }
    }

    fn shape(&self, format: Option<Format>) -> Result<Shape> {
        let shape = match self.kind.as_deref() {
            Some("series") => Shape::Series,
            Some("document") => Shape::Documents,
            Some("array") => Shape::Array,
            Some("file") => Shape::File,
            Some(_) => Shape::Table,
            None => match format {
                Some(Format::Npy) => Shape::Array,
                Some(_) => Shape::Table,
                None => Shape::File,
            },
        };
        let fits = match shape {
            Shape::Table | Shape::Series => format.is_some(),
            Shape::Documents => matches!(format, Some(Format::Json | Format::Ndjson)),
            Shape::Array => format == Some(Format::Npy),
            Shape::File => true,
        };
        if fits {
            Ok(shape)
        } else {
            Err(Error::usage("this format cannot be stored so")
                .hint("documents are read from json or ndjson, arrays from npy; see --format"))
        }
    }

    fn object(
        &self,
        session: &Session,
        shape: Shape,
        format: Option<Format>,
        paths: Vec<PathBuf>,
    ) -> Result<Object> {
        let read = self.read_options()?;
        let single = || match paths.as_slice() {
            [path] => Ok(path.clone()),
            _ => Err(Error::usage(format!(
                "{} files match, but only tables can be put together",
                paths.len()
            ))),
        };
        match (shape, format) {
            (Shape::Table | Shape::Series, Some(format)) => {
                let progress = session.progress();
                let reader = if paths.len() > 1 {
                    open_all(paths, format, &read, progress)?
                } else {
                    let source = match single()? {
                        path if path == Path::new("-") => {
                            Source::Stream(Box::new(std::io::stdin()))
                        }
                        path => Source::Path(path),
                    };
                    open(source, format, &read, progress)?
                };
                Ok(Object::Frames(reader))
            }
            (Shape::Documents, Some(format)) => {
                Ok(Object::Values(documents(input(&single()?)?, format)?))
            }
            (Shape::Array, _) => Ok(Object::Array(input(&single()?)?)),
            _ => Ok(Object::File(input(&single()?)?)),
        }
    }

    fn read_options(&self) -> Result<ReadOptions> {
        let mut read = ReadOptions::default();
        for (key, value) in pairs(&self.csv, "--csv")? {
            read.set(&key, &value)?;
        }
        for types in &self.dtypes {
            read.set_dtypes(types)?;
        }
        if !self.columns.is_empty() {
            read.set("usecols", &self.columns.join(","))?;
        }
        Ok(read)
    }
}

/// The files that the arguments name; a pattern must match something.
fn expand(arguments: &[String]) -> Result<Vec<PathBuf>> {
    let mut paths = Vec::new();
    for argument in arguments {
        let path = PathBuf::from(argument);
        if argument == "-" || path.exists() || !argument.contains(['*', '?', '[']) {
            paths.push(path);
            continue;
        }
        let matches = glob::glob(argument).map_err(|error| {
            Error::usage(format!("`{argument}` is not a valid pattern")).because(error)
        })?;
        let before = paths.len();
        for path in matches {
            paths
                .push(path.map_err(|error| Error::failed("cannot list the files").because(error))?);
        }
        if paths.len() == before {
            return Err(Error::not_found(format!("no file matches {argument}")).on(argument));
        }
    }
    if paths.len() > 1 && paths.iter().any(|path| path == Path::new("-")) {
        return Err(Error::usage(
            "standard input cannot be put together with files",
        ));
    }
    Ok(paths)
}

/// Opens a file or standard input.
fn input(path: &Path) -> Result<Box<dyn Read>> {
    if path == Path::new("-") {
        return Ok(Box::new(std::io::stdin()));
    }
    let object = path.display().to_string();
    if path.is_dir() {
        return Err(Error::usage(format!("{object} is a directory, not a file"))
            .on(object)
            .hint("pack it first: tar czf - DIR | om datasets put - NAME --as file"));
    }
    let file = File::open(path).context(|| format!("cannot read {object}"))?;
    Ok(Box::new(std::io::BufReader::with_capacity(1 << 20, file)))
}

/// The values of a JSON document or of lines of them.
fn documents(mut input: Box<dyn Read>, format: Format) -> Result<Vec<bson::Bson>> {
    let mut text = String::new();
    input
        .read_to_string(&mut text)
        .context(|| "cannot read the documents")?;
    let values: Vec<serde_json::Value> = if format == Format::Ndjson {
        text.lines()
            .enumerate()
            .filter(|(_, line)| !line.trim().is_empty())
            .map(|(number, line)| {
                serde_json::from_str(line)
                    .context(|| format!("line {} is not valid JSON", number + 1))
            })
            .collect::<Result<_>>()?
    } else {
        let value: serde_json::Value =
            serde_json::from_str(&text).context(|| "the input is not valid JSON")?;
        // As omega|ml: a list of lists is one document an element, all else one document.
        match value {
            serde_json::Value::Array(items)
                if items.first().is_some_and(serde_json::Value::is_array) =>
            {
                items
            }
            other => vec![other],
        }
    };
    Ok(values
        .into_iter()
        .map(crate::store::value_to_bson)
        .collect())
}

fn attributes(texts: &[String]) -> Result<bson::Document> {
    let mut document = bson::Document::new();
    for (key, value) in pairs(texts, "--attributes")? {
        if key.starts_with('$') || key.contains('.') {
            return Err(Error::usage(format!("`{key}` cannot be an attribute"))
                .hint("attribute names have no `.` and do not start with `$`"));
        }
        let value = serde_json::from_str(&value).unwrap_or(serde_json::Value::String(value));
        document.insert(key, crate::store::value_to_bson(value));
    }
    Ok(document)
}
