//! Stages what an object shall hold. Nothing but the commit, next door, makes it visible.

use super::blob;
use super::commit::{Payload, commit};
use super::contents::load;
use super::documents::DocumentsWriter;
use super::rows::RowsWriter;
use super::staging::StagedFile;
use super::{EmbeddedStorage, scan};
use crate::error::{Error, ErrorKind, Result};
use crate::storage::refusal::ContentKind;
use crate::storage::refusal::{extends, mixed, replaced};
use crate::storage::schema::{align, counted};
use crate::storage::{Key, Metadata, Mode, Writer};
use bson::Document;
use polars::prelude::DataFrame;

/// The writer of one object.
pub(super) struct EmbeddedWriter<'a> {
    store: &'a EmbeddedStorage,
    key: Key,
    mode: Mode,
    current: Option<Metadata>,
    staged: Staged,
    /// The position of the next row.
    next: u64,
}

enum Staged {
    Nothing,
    Rows(Box<RowsWriter>),
    Documents(DocumentsWriter),
    Blob(StagedFile),
}

impl<'a> EmbeddedWriter<'a> {
    pub fn new(
        store: &'a EmbeddedStorage,
        key: &Key,
        mode: Mode,
        current: Option<Metadata>,
    ) -> Self {
        EmbeddedWriter {
            store,
            key: key.clone(),
            mode,
            current,
            staged: Staged::Nothing,
            next: 0,
        }
    }

    /// The object whose content is extended, which must hold this kind of content, and how
    /// many rows or documents it has.
    fn extended(&self, kind: ContentKind) -> Result<Option<(&Metadata, u64)>> {
        let Some(current) = self.current.as_ref().filter(|_| self.mode == Mode::Append) else {
            return Ok(None);
        };
        let Some(id) = &current.content else {
            return Ok(None);
        };
        let content = self
            .store
            .database
            .read(|connection| load(connection, id))?
            .flatten();
        match content {
            Some(content) => {
                extends(&self.key, content.kind, kind).map(|()| Some((current, content.count)))
            }
            None => Err(replaced(&self.key)),
        }
    }

    /// A writer of rows like the stored ones, or like these, and the position of the first.
    fn stage_rows(&self, frame: &DataFrame) -> Result<(Box<RowsWriter>, u64)> {
        let (schema, next) = match self.extended(ContentKind::Rows)? {
            None => (frame.schema().clone(), 0),
            Some((current, rows)) => {
                let stored = scan::schema(&self.store.database, &self.store.layout, current)?;
                (stored.into(), rows)
            }
        };
        Ok((Box::new(RowsWriter::new(&self.store.layout, schema)?), next))
    }

    fn add_rows(&mut self, frame: DataFrame) -> Result<()> {
        if let Staged::Nothing = self.staged {
            let (writer, next) = self.stage_rows(&frame)?;
            self.staged = Staged::Rows(writer);
            self.next = next;
        }
        let Staged::Rows(writer) = &mut self.staged else {
            return Err(mixed(&self.key));
        };
        let kind = match self.mode {
            Mode::Append if self.current.is_some() => ErrorKind::Conflict,
            _ => ErrorKind::Invalid,
        };
        let frame = counted(frame, writer.schema(), self.next)?;
        self.next += frame.height() as u64;
        writer.push(align(frame, writer.schema(), kind)?)
    }
}

impl Writer for EmbeddedWriter<'_> {
    fn current(&self) -> Option<&Metadata> {
        self.current.as_ref()
    }

    fn rows(&mut self, frame: DataFrame) -> Result<()> {
        self.add_rows(frame)
            .map_err(|error| error.on(self.key.to_string()))
    }

    fn document(&mut self, document: Document) -> Result<()> {
        if let Staged::Nothing = self.staged {
            self.extended(ContentKind::Documents)?;
            self.staged = Staged::Documents(DocumentsWriter::new(&self.store.layout));
        }
        match &mut self.staged {
            Staged::Documents(writer) => writer
                .push(document)
                .map_err(|error| error.on(self.key.to_string())),
            _ => Err(mixed(&self.key)),
        }
    }

    fn bytes(&mut self, bytes: &[u8]) -> Result<()> {
        if let Staged::Nothing = self.staged {
            self.extended(ContentKind::Blob)?;
            let file = StagedFile::create(&self.store.layout, blob::EXTENSION)?;
            self.staged = Staged::Blob(file);
        }
        match &mut self.staged {
            Staged::Blob(file) => file
                .append(bytes)
                .map_err(|error| error.on(self.key.to_string())),
            _ => Err(mixed(&self.key)),
        }
    }

    fn commit(self: Box<Self>, metadata: Metadata) -> Result<Metadata> {
        let on_key = |error: Error| error.on(self.key.to_string());
        let payload = match self.staged {
            Staged::Nothing => Payload::Nothing,
            Staged::Rows(writer) => Payload::Rows(writer.finish().map_err(on_key)?),
            Staged::Documents(writer) => Payload::Documents(writer),
            Staged::Blob(mut file) => {
                let digests = file.finish()?;
                Payload::Blob(file, digests)
            }
        };
        commit(
            self.store,
            &self.key,
            self.mode,
            self.current.as_ref(),
            metadata,
            payload,
        )
    }
}
