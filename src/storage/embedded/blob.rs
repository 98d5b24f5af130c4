//! Reads a blob: any position, no byte before its block is proved.

use super::contents::StoredFile;
use super::database::Database;
use super::layout::Layout;
use super::reading::{OpenFile, corrupt, open};
use crate::error::{Error, Result};
use crate::storage::refusal::ContentKind;
use crate::storage::{Blob, Metadata};
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};

/// What the extension of blob files is.
pub(super) const EXTENSION: &str = "blob";

/// An open blob.
#[derive(Debug)]
pub(super) struct StoredBlob {
    key: String,
    stored: StoredFile,
    file: File,
    position: u64,
    /// The block in `buffer`.
    block: Option<usize>,
    buffer: Vec<u8>,
}

impl StoredBlob {
    pub fn open(database: &Database, layout: &Layout, metadata: &Metadata) -> Result<Self> {
        let key = metadata.key.to_string();
        let opened = open(database, layout, metadata, ContentKind::Blob, |files| {
            0..files.len()
        })?;
        let Some(OpenFile { stored, file }) = opened.into_iter().next() else {
            return Err(Error::corrupt("the object has no file").on(key));
        };
        let length = file.metadata().map(|found| found.len()).unwrap_or_default();
        if length != stored.digests.bytes() {
            return Err(corrupt(&key, &stored.name, "the length"));
        }
        Ok(StoredBlob {
            key,
            stored,
            file,
            position: 0,
            block: None,
            buffer: Vec::new(),
        })
    }
}

impl Read for StoredBlob {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let blocks = self
            .stored
            .digests
            .blocks(self.position..self.position.saturating_add(1));
        if blocks.is_empty() || out.is_empty() {
            return Ok(0);
        }
        let block = blocks.start;
        if self.block != Some(block) {
            self.block = None;
            if !self
                .stored
                .digests
                .read_block(&self.file, block, &mut self.buffer)?
            {
                let error = corrupt(&self.key, &self.stored.name, "a block");
                return Err(io::Error::new(io::ErrorKind::InvalidData, error));
            }
            self.block = Some(block);
        }
        let start = (self.position - self.stored.digests.range(block).start) as usize;
        let length = self.buffer.get(start..).unwrap_or_default().read(out)?;
        self.position += length as u64;
        Ok(length)
    }
}

impl Seek for StoredBlob {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let position = match to {
            SeekFrom::Start(position) => Some(position),
            SeekFrom::End(offset) => self.length().checked_add_signed(offset),
            SeekFrom::Current(offset) => self.position.checked_add_signed(offset),
        };
        match position {
            Some(position) => {
                self.position = position;
                Ok(position)
            }
            None => Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "a position before the start",
            )),
        }
    }
}

impl Blob for StoredBlob {
    fn length(&self) -> u64 {
        self.stored.digests.bytes()
    }
}
