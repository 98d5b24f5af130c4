//! Several files as one table, in their order. All have the same columns; a column whose
//! type differs between files gets the type that holds for all, and reading starts over.

use super::{Format, FrameReader, ReadOptions, Source, Step, open};
use crate::error::{Context, Error, Result};
use crate::progress::Progress;
use polars::prelude::{Column, DataFrame, DataType, Schema, TimeUnit};
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

    /// Starts over with these types, which are wider than before.
    fn start_over(&mut self, types: Vec<(String, DataType)>) -> Result<Step> {
        let widens = types.iter().any(|wide| !self.options.dtypes.contains(wide));
        // Types widen a few times each; more often than that something is amiss.
        let columns = self.schema.as_ref().map_or(0, Schema::len);
        if !widens || self.starts > 4 * columns + self.paths.len() {
            let name = types
                .first()
                .map(|(name, _)| name.as_str())
                .unwrap_or_default();
            return Err(Error::invalid(format!(
                "column `{name}` has another type than in the first file"
            ))
            .on(self.path())
            .hint("give its type: --dtypes COLUMN=TYPE"));
        }
        self.options
            .dtypes
            .retain(|(name, _)| types.iter().all(|(other, _)| other != name));
        self.options.dtypes.extend(types);
        self.starts += 1;
        self.file = 0;
        self.schema = None;
        self.open()?;
        Ok(Step::Restart)
    }

    /// The file that is being read.
    fn path(&self) -> String {
        let path = self.paths.get(self.file);
        path.map(|path| path.display().to_string())
            .unwrap_or_default()
    }

    /// The type that a column of a further file and the table's column have in common.
    fn common(&self, name: &str, dtype: &DataType) -> DataType {
        match self.schema.as_ref().and_then(|schema| schema.get(name)) {
            Some(known) if !self.unknown.contains(name) => wider(dtype, known),
            _ => dtype.clone(),
        }
    }

    /// The types of a file that has started over. Its text columns are read on until
    /// they show a value: without one they may be of any type.
    fn types(reader: &mut Box<dyn FrameReader>) -> Result<Vec<(String, DataType)>> {
        let mut types: Vec<(String, DataType, bool)> = Vec::new();
        loop {
            match reader.next()? {
                Step::Frame(frame) => {
                    if types.is_empty() {
                        let columns = frame.columns().iter();
                        types = columns
                            .map(|column| {
                                (column.name().to_string(), column.dtype().clone(), false)
                            })
                            .collect();
                    }
                    for ((_, dtype, seen), column) in types.iter_mut().zip(frame.columns()) {
                        *seen |= *dtype != DataType::String || !is_unknown(column);
                    }
                }
                Step::Restart => types.clear(),
                Step::Done => break,
            }
            if !types.is_empty() && types.iter().all(|(_, _, seen)| *seen) {
                break;
            }
        }
        Ok(types
            .into_iter()
            .filter(|(_, _, seen)| *seen)
            .map(|(name, dtype, _)| (name, dtype))
            .collect())
    }

    /// The frame with the table's columns, in their order, or the start over with wider
    /// types.
    fn fitted(&mut self, frame: DataFrame) -> Result<Step> {
        let Some(schema) = &self.schema else {
            self.schema = Some(frame.schema().as_ref().clone());
            self.unknown = frame
                .columns()
                .iter()
                .filter(|column| is_unknown(column))
                .map(|column| column.name().to_string())
                .collect();
            return Ok(Step::Frame(frame));
        };
        if let Some(name) = frame
            .get_column_names()
            .iter()
            .find(|name| !schema.contains(name))
        {
            return Err(
                Error::invalid(format!("column `{name}` is not in the first file")).on(self.path()),
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
                    .on(self.path())
            })?;
        let different: Vec<(String, DataType)> = columns
            .iter()
            .zip(schema.iter_values())
            .filter(|(column, dtype)| column.dtype() != *dtype)
            .map(|(column, _)| {
                (
                    column.name().to_string(),
                    self.common(column.name(), column.dtype()),
                )
            })
            .collect();
        if !different.is_empty() {
            return self.start_over(different);
        }
        for column in &columns {
            if !is_unknown(column) {
                self.unknown.remove(column.name().as_str());
            }
        }
        DataFrame::new(frame.height(), columns)
            .map(Step::Frame)
            .context(|| "cannot join the files")
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
        (DataType::Date, stamp @ DataType::Datetime(_, None))
        | (stamp @ DataType::Datetime(_, None), DataType::Date) => stamp.clone(),
        // The finer unit, which only values that need it have.
        (DataType::Datetime(_, zone), DataType::Datetime(_, same)) if zone == same => {
            DataType::Datetime(TimeUnit::Nanoseconds, zone.clone())
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
                Step::Frame(frame) => return self.fitted(frame),
                Step::Done => {
                    self.file += 1;
                    self.open()?;
                }
                Step::Restart if self.file == 0 => {
                    self.schema = None;
                    return Ok(Step::Restart);
                }
                // Frames of other files have gone out already. With the types that this
                // one has come to it will not start over again.
                Step::Restart => {
                    let types = Self::types(reader)?
                        .into_iter()
                        .map(|(name, dtype)| {
                            let common = self.common(&name, &dtype);
                            (name, common)
                        })
                        .collect();
                    return self.start_over(types);
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
    fn a_later_file_that_starts_over_widens_all() {
        let long = format!("a,b,c\n{}2.5,x,7\n", "1,,\n".repeat(50_000));
        let frames = read(&["a,b,c\n1,,\n", &long, "a,b,c\n3,4,\n", "a,b,c\n1.5,y,\n"]).unwrap();
        for frame in &frames {
            assert_eq!(
                frame.dtypes(),
                [DataType::Float64, DataType::String, DataType::Int64]
            );
        }
        assert_eq!(frames.iter().map(DataFrame::height).sum::<usize>(), 50_004);
        // Text and nothing but nulls in the first file, numbers in the second.
        let frames = read(&[&format!("{long}x,,\n"), "a,b,c\n1,,2.5\n"]).unwrap();
        assert_eq!(
            frames[0].dtypes(),
            [DataType::String, DataType::String, DataType::Float64]
        );
    }

    #[test]
    fn dates_and_timestamps_are_timestamps() {
        let frames = read(&["a\n2024-01-01\n", "a\n2024-01-01 10:00\n"]).unwrap();
        assert!(matches!(
            frames[0].dtypes()[..],
            [DataType::Datetime(TimeUnit::Microseconds, None)]
        ));
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
