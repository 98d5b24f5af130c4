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
use crate::storage::schema::align;
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
        }
    }

    /// The object whose content is extended, which must hold this kind of content.
    fn extended(&self, kind: ContentKind) -> Result<Option<&Metadata>> {
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
            Some(content) => extends(&self.key, content.kind, kind).map(|()| Some(current)),
            None => Err(replaced(&self.key)),
        }
    }

    fn stage_rows(&self, frame: DataFrame) -> Result<(Box<RowsWriter>, DataFrame)> {
        let Some(current) = self.extended(ContentKind::Rows)? else {
            let writer = RowsWriter::new(&self.store.layout, frame.schema().clone())?;
            return Ok((Box::new(writer), frame));
        };
        let stored = scan::schema(&self.store.database, &self.store.layout, current)?;
        let frame = align(frame, &stored, ErrorKind::Conflict)?;
        Ok((
            Box::new(RowsWriter::new(&self.store.layout, stored.into())?),
            frame,
        ))
    }
}

impl Writer for EmbeddedWriter<'_> {
    fn current(&self) -> Option<&Metadata> {
        self.current.as_ref()
    }

    fn rows(&mut self, frame: DataFrame) -> Result<()> {
        let result = match &mut self.staged {
            Staged::Rows(writer) => {
                let kind = match self.mode {
                    Mode::Append if self.current.is_some() => ErrorKind::Conflict,
                    _ => ErrorKind::Invalid,
                };
                align(frame, writer.schema(), kind).and_then(|frame| writer.push(frame))
            }
            Staged::Nothing => self.stage_rows(frame).and_then(|(mut writer, frame)| {
                writer.push(frame)?;
                self.staged = Staged::Rows(writer);
                Ok(())
            }),
            _ => Err(mixed(&self.key)),
        };
        result.map_err(|error| error.on(self.key.to_string()))
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
