//! Several files as one table, in their order. All have the same columns; a column whose
//! type differs between files gets the type that holds for all, and reading starts over.

use super::{Format, FrameReader, ReadOptions, Source, Step, open};
use crate::error::{Context, Error, Result};
use crate::progress::Progress;
use polars::prelude::{Column, DataFrame, DataType, Schema};
use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::Arc;

/// Opens several files of one format as one table.
///
/// # Errors
/// As [`open`]; [`crate::ErrorKind::Invalid`] when the files have different columns.
pub fn open_all(
    paths: Vec<PathBuf>,
    format: Format,
    options: &ReadOptions,
    progress: Arc<dyn Progress>,
) -> Result<Box<dyn FrameReader>> {
    let mut several = Several {
        paths,
        format,
        options: options.clone(),
        progress,
        file: 0,
        reader: None,
        schema: None,
        unknown: HashSet::new(),
        starts: 0,
    };
    several.open()?;
    Ok(Box::new(several))
}

struct Several {
    paths: Vec<PathBuf>,
    format: Format,
    options: ReadOptions,
    progress: Arc<dyn Progress>,
    /// Which file is being read.
    file: usize,
    reader: Option<Box<dyn FrameReader>>,
    /// What all frames since the last start have.
    schema: Option<Schema>,
    /// The columns that have held nothing but nulls since the last start. Their type is
    /// a guess, which the first value overrules.
    unknown: HashSet<String>,
    /// How often reading has started over; every time some type has become wider.
    starts: usize,
}

impl Several {
    fn open(&mut self) -> Result<()> {
        self.reader = match self.paths.get(self.file) {
            Some(path) => Some(open(
                Source::Path(path.clone()),
                self.format,
                &self.options,
                self.progress.clone(),
            )?),
            None => None,
        };
        Ok(())
    }

    fn start_over(&mut self) -> Result<Step> {
        self.starts += 1;
        self.file = 0;
        self.schema = None;
        self.open()?;
        Ok(Step::Restart)
    }

    /// The frame with the table's columns, in their order; none when types must widen.
    fn fitted(&mut self, frame: DataFrame) -> Result<Option<DataFrame>> {
        let Some(schema) = &self.schema else {
            self.schema = Some(frame.schema().as_ref().clone());
            self.unknown = frame
                .columns()
                .iter()
                .filter(|column| is_unknown(column))
                .map(|column| column.name().to_string())
                .collect();
            return Ok(Some(frame));
        };
        let path = || {
            self.paths
                .get(self.file)
                .map(|path| path.display().to_string())
                .unwrap_or_default()
        };
        if let Some(name) = frame
            .get_column_names()
            .iter()
            .find(|name| !schema.contains(name))
        {
            return Err(
                Error::invalid(format!("column `{name}` is not in the first file")).on(path()),
            );
        }
        let columns = schema
            .iter()
            .map(|(name, dtype)| match frame.column(name) {
                // Nothing but nulls fits any type.
                Ok(column) if column.dtype() != dtype && is_unknown(column) => {
                    Ok(Column::full_null(name.clone(), column.len(), dtype))
                }
                column => column.cloned(),
            })
            .collect::<Result<Vec<Column>, _>>()
            .map_err(|error| {
                Error::invalid("a column of the first file is missing")
                    .because(error)
                    .on(path())
            })?;
        let different: Vec<(String, DataType)> = columns
            .iter()
            .zip(schema.iter_values())
            .filter(|(column, dtype)| column.dtype() != *dtype)
            .map(|(column, dtype)| {
                let known = !self.unknown.contains(column.name().as_str());
                let dtype = if known {
                    wider(column.dtype(), dtype)
                } else {
                    column.dtype().clone()
                };
                (column.name().to_string(), dtype)
            })
            .collect();
        for column in &columns {
            if !is_unknown(column) {
                self.unknown.remove(column.name().as_str());
            }
        }
        if different.is_empty() {
            let height = frame.height();
            return DataFrame::new(height, columns)
                .map(Some)
                .context(|| "cannot join the files");
        }
        let widens = different
            .iter()
            .any(|known| !self.options.dtypes.contains(known));
        if !widens || self.starts > schema.len() {
            let name = different
                .first()
                .map(|(name, _)| name.clone())
                .unwrap_or_default();
            return Err(Error::invalid(format!(
                "column `{name}` has another type than in the first file"
            ))
            .on(path())
            .hint("give its type: --dtypes COLUMN=TYPE"));
        }
        self.options
            .dtypes
            .retain(|(name, _)| different.iter().all(|(other, _)| other != name));
        self.options.dtypes.extend(different);
        Ok(None)
    }
}

/// Whether a column holds nothing but nulls and so tells nothing of its type.
fn is_unknown(column: &Column) -> bool {
    column.null_count() == column.len()
}

/// The type that holds values of both.
fn wider(one: &DataType, other: &DataType) -> DataType {
    match (one, other) {
        (one, other) if one == other => one.clone(),
        (one, other) if one.is_primitive_numeric() && other.is_primitive_numeric() => {
            if one.is_integer() && other.is_integer() {
                DataType::Int64
            } else {
                DataType::Float64
            }
        }
        _ => DataType::String,
    }
}

impl FrameReader for Several {
    fn next(&mut self) -> Result<Step> {
        loop {
            let Some(reader) = &mut self.reader else {
                return Ok(Step::Done);
            };
            match reader.next()? {
                Step::Frame(frame) => {
                    return match self.fitted(frame)? {
                        Some(frame) => Ok(Step::Frame(frame)),
                        None => self.start_over(),
                    };
                }
                Step::Done => {
                    self.file += 1;
                    self.open()?;
                }
                // Frames of this file have gone out already: with its wider types given,
                // it will not restart again.
                Step::Restart => {
                    let Step::Frame(frame) = reader.next()? else {
                        return Ok(Step::Done);
                    };
                    let types = frame
                        .schema()
                        .iter()
                        .map(|(name, dtype)| (name.to_string(), dtype.clone()))
                        .collect::<Vec<_>>();
                    for (name, dtype) in types {
                        if self.options.dtypes.iter().all(|(known, _)| *known != name) {
                            self.options.dtypes.push((name, dtype));
                        }
                    }
                    return self.start_over();
                }
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::progress::Silent;

    fn read(files: &[&str]) -> Result<Vec<DataFrame>> {
        let folder = tempfile::tempdir().unwrap();
        let paths = files
            .iter()
            .enumerate()
            .map(|(number, text)| {
                let path = folder.path().join(format!("{number}.csv"));
                std::fs::write(&path, text).unwrap();
                path
            })
            .collect();
        let mut reader = open_all(
            paths,
            Format::Csv,
            &ReadOptions::default(),
            Arc::new(Silent),
        )?;
        let mut frames = Vec::new();
        loop {
            match reader.next()? {
                Step::Frame(frame) => frames.push(frame),
                Step::Restart => frames.clear(),
                Step::Done => return Ok(frames),
            }
        }
    }

    #[test]
    fn types_hold_for_all_files() {
        let frames = read(&["a,b\n1,x\n", "b,a\ny,2.5\n", "a,b\n3,z\n"]).unwrap();
        assert_eq!(frames.len(), 3);
        for frame in &frames {
            assert_eq!(frame.dtypes(), [DataType::Float64, DataType::String]);
        }
        let frames = read(&["a\n007\n", "a\nx\n"]).unwrap();
        assert_eq!(
            frames[0].column("a").unwrap().get(0).unwrap().get_str(),
            Some("007")
        );
    }

    #[test]
    fn nulls_fit_any_type() {
        for files in [
            ["a,b\n", "a,b\n1,x\n"],
            ["a,b\n1,x\n", "a,b\n"],
            ["a,b\n,x\n", "a,b\n1,\n"],
        ] {
            let frames = read(&files).unwrap();
            for frame in &frames {
                assert_eq!(
                    frame.dtypes(),
                    [DataType::Int64, DataType::String],
                    "{files:?}"
                );
            }
        }
    }

    #[test]
    fn other_columns_are_refused() {
        assert!(
            read(&["a,b\n1,2\n", "a,c\n1,2\n"])
                .unwrap_err()
                .to_string()
                .contains("`c`")
        );
        assert!(read(&["a,b\n1,2\n", "a\n1\n"]).is_err());
    }
}
