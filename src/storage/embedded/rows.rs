//! Writes rows as one Parquet file: frames of any size become row groups of about the
//! same size, so that memory stays bounded and readers can skip. From the second row group
//! on, a thread compresses while the caller makes the next rows.

use super::digest::Digests;
use super::layout::Layout;
use super::staging::{Shared, StagedFile};
use crate::error::{Context, Error, ErrorKind, Result};
use crate::storage::schema::{align, storable};
use polars::io::parquet::write::BatchedWriter;
use polars::prelude::{DataFrame, ParquetWriter, PolarsError, PolarsResult, Schema, SchemaRef};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::JoinHandle;

/// Rows of a row group at the most.
const GROUP_ROWS: usize = 128 * 1024;

/// Bytes of a row group in memory, about.
const GROUP_BYTES: usize = 48 * 1024 * 1024;

/// What the extension of Parquet files is.
pub(super) const EXTENSION: &str = "parquet";

/// Writes the rows of one object.
pub(super) struct RowsWriter {
    schema: SchemaRef,
    file: Shared,
    output: Option<Output>,
    buffer: Vec<DataFrame>,
    /// How full the current row group is, from 0 to 1.
    filled: f64,
    buffered: usize,
    rows: u64,
}

/// A finished Parquet file that is not yet part of an object.
pub(super) struct StagedRows {
    pub file: StagedFile,
    pub digests: Digests,
    pub rows: u64,
    pub schema: SchemaRef,
}

enum Output {
    Here(Box<BatchedWriter<Shared>>),
    Thread(SyncSender<DataFrame>, Compressor),
}

type Compressor = JoinHandle<PolarsResult<BatchedWriter<Shared>>>;

impl RowsWriter {
    /// A writer for frames of this schema.
    pub fn new(layout: &Layout, schema: SchemaRef) -> Result<Self> {
        storable(&schema)?;
        let file = Shared::new(StagedFile::create(layout, EXTENSION)?);
        let writer = ParquetWriter::new(file.clone())
            .batched(&schema)
            .context(|| "these columns cannot be stored")?;
        Ok(RowsWriter {
            schema,
            file,
            output: Some(Output::Here(Box::new(writer))),
            buffer: Vec::new(),
            filled: 0.0,
            buffered: 0,
            rows: 0,
        })
    }

    pub fn schema(&self) -> &Schema {
        &self.schema
    }

    /// Adds rows.
    pub fn push(&mut self, frame: DataFrame) -> Result<()> {
        let mut frame = align(frame, &self.schema, ErrorKind::Invalid)?;
        if frame.height() == 0 {
            return Ok(());
        }
        self.rows += frame.height() as u64;
        let row_bytes = frame.estimated_size() as f64 / frame.height() as f64;
        let share = (1.0 / GROUP_ROWS as f64).max(row_bytes / GROUP_BYTES as f64);
        while frame.height() > 0 {
            let room = ((1.0 - self.filled) / share).ceil().max(1.0) as usize;
            let take = room.min(frame.height()).min(GROUP_ROWS - self.buffered);
            self.buffer.push(frame.slice(0, take));
            self.filled += take as f64 * share;
            self.buffered += take;
            frame = frame.slice(take as i64, frame.height() - take);
            if self.filled >= 1.0 || self.buffered >= GROUP_ROWS {
                let group = self.group()?;
                self.write_in_thread(group)?;
            }
        }
        Ok(())
    }

    /// Writes what is left and the footer, and brings the file to the disk.
    pub fn finish(mut self) -> Result<StagedRows> {
        let group = self.group()?;
        let mut writer = match self.output.take() {
            Some(Output::Here(writer)) => *writer,
            Some(Output::Thread(sender, thread)) => {
                drop(sender);
                self.join(thread)?
            }
            None => return Err(Error::failed("the rows could not be written before")),
        };
        if group.height() > 0 {
            writer
                .write_batch(&group)
                .map_err(|error| self.failed(error))?;
        }
        writer.finish().map_err(|error| self.failed(error))?;
        drop(writer);
        let (schema, rows) = (self.schema.clone(), self.rows);
        let file = self.file.clone();
        drop(self);
        let Some(mut file) = file.into_inner() else {
            return Err(Error::failed("the rows are still being written"));
        };
        let digests = file.finish()?;
        Ok(StagedRows {
            file,
            digests,
            rows,
            schema,
        })
    }

    /// The buffered rows as one frame of one chunk.
    fn group(&mut self) -> Result<DataFrame> {
        let mut frames = std::mem::take(&mut self.buffer).into_iter();
        self.filled = 0.0;
        self.buffered = 0;
        let Some(mut group) = frames.next() else {
            return Ok(DataFrame::empty_with_schema(&self.schema));
        };
        for frame in frames {
            group.vstack_mut_owned(frame).context(cannot_write)?;
        }
        group.rechunk_mut_par();
        Ok(group)
    }

    fn write_in_thread(&mut self, group: DataFrame) -> Result<()> {
        let (sender, thread) = match self.output.take() {
            Some(Output::Thread(sender, thread)) => (sender, thread),
            Some(Output::Here(mut writer)) => {
                let (sender, groups) = sync_channel::<DataFrame>(0);
                let thread = std::thread::Builder::new()
                    .name("om-parquet".to_owned())
                    .spawn(move || {
                        for group in groups {
                            writer.write_batch(&group)?;
                        }
                        Ok(*writer)
                    })
                    .context(|| "cannot start a thread to write rows")?;
                (sender, thread)
            }
            None => return Err(Error::failed("the rows could not be written before")),
        };
        match sender.send(group) {
            Ok(()) => {
                self.output = Some(Output::Thread(sender, thread));
                Ok(())
            }
            // The thread ends early only with an error.
            Err(_) => {
                self.join(thread)?;
                Err(Error::failed(cannot_write()))
            }
        }
    }

    fn join(&self, thread: Compressor) -> Result<BatchedWriter<Shared>> {
        match thread.join() {
            Ok(result) => result.map_err(|error| self.failed(error)),
            Err(_) => Err(Error::failed(cannot_write())),
        }
    }

    /// Says why rows could not be written: most often it is the disk.
    fn failed(&self, error: PolarsError) -> Error {
        let failure = || Err::<(), _>(error).context(cannot_write).err();
        self.file
            .failure()
            .or_else(failure)
            .unwrap_or_else(|| Error::failed(cannot_write()))
    }
}

impl Drop for RowsWriter {
    /// Waits for the thread: it must be through with the file before the file is removed.
    fn drop(&mut self) {
        if let Some(Output::Thread(sender, thread)) = self.output.take() {
            drop(sender);
            let _ = thread.join();
        }
    }
}

fn cannot_write() -> &'static str {
    "cannot write the rows"
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use polars::prelude::*;

    fn written(frames: &[DataFrame]) -> (Vec<usize>, DataFrame) {
        let home = tempfile::tempdir().unwrap();
        let layout = Layout::new(home.path());
        layout.create().unwrap();
        let mut writer = RowsWriter::new(&layout, frames[0].schema().clone()).unwrap();
        for frame in frames {
            writer.push(frame.clone()).unwrap();
        }
        let staged = writer.finish().unwrap();
        let path = layout.file(staged.file.name());
        assert_eq!(
            std::fs::metadata(&path).unwrap().len(),
            staged.digests.bytes()
        );
        let mut reader = ParquetReader::new(std::fs::File::open(&path).unwrap());
        let groups = reader
            .get_metadata()
            .unwrap()
            .row_groups
            .iter()
            .map(|group| group.num_rows())
            .collect();
        let frame = reader.finish().unwrap();
        assert_eq!(frame.height() as u64, staged.rows);
        (groups, frame)
    }

    fn numbers(from: usize, rows: usize) -> DataFrame {
        let values: Vec<i64> = (from..from + rows).map(|value| value as i64).collect();
        df!("n" => values).unwrap()
    }

    #[test]
    fn small_frames_are_gathered_and_large_ones_split() {
        let (groups, frame) = written(&[numbers(0, 10), numbers(10, 20), numbers(30, 0)]);
        assert_eq!(groups, [30]);
        assert!(frame.equals(&numbers(0, 30)));
        let rows = 2 * GROUP_ROWS + 5;
        let (groups, frame) = written(&[numbers(0, 7), numbers(7, rows - 7)]);
        assert_eq!(groups, [GROUP_ROWS, GROUP_ROWS, 5]);
        assert!(frame.equals(&numbers(0, rows)));
    }

    #[test]
    fn wide_rows_make_short_row_groups() {
        let text = "x".repeat(1 << 20);
        let frame = df!("t" => vec![text; 100]).unwrap();
        let (groups, back) = written(&[frame.clone(), frame.clone()]);
        assert!(
            groups.len() >= 4 && groups.iter().all(|rows| *rows <= 50),
            "{groups:?}"
        );
        assert!(back.equals(&frame.vstack(&frame).unwrap()));
    }

    #[test]
    fn nothing_is_left_when_a_writer_is_dropped() {
        let home = tempfile::tempdir().unwrap();
        let layout = Layout::new(home.path());
        layout.create().unwrap();
        for rows in [10, 3 * GROUP_ROWS] {
            let mut writer = RowsWriter::new(&layout, numbers(0, 0).schema().clone()).unwrap();
            writer.push(numbers(0, rows)).unwrap();
            drop(writer);
            assert!(!layout.has_content());
        }
    }
}
