//! Copies of objects, into another name, bucket or storage. What is copied is streamed,
//! then read back and compared by its fingerprint; the storages do not matter.

use super::fingerprint::{Difference, Fingerprint, Fingerprinter};
use super::versions::{renamed, versions};
use super::{Name, Store, kinds};
use crate::error::{Context, Error, ErrorKind, Result};
use crate::frame::{self, Query, Rows};
use crate::progress::Unit;
use crate::storage::{Key, Metadata, Mode, Stats};
use bson::oid::ObjectId;
use bson::{Bson, Document};
use polars::prelude::DataFrame;
use std::io::Read;
use std::sync::Arc;

/// Bytes of a blob that are read at once.
const BLOCK: usize = 1 << 20;

/// What to do when the copy's name is taken.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CopyOptions {
    /// Replace what is there, with its attributes.
    pub replace: bool,
    /// Leave alone what holds the same content already.
    pub skip_same: bool,
}

/// What [`Store::plan_copy`] says would happen, and [`Store::copy_with`] has done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CopyStep {
    /// A new object is made.
    Make,
    /// What is there is replaced.
    Replace,
    /// What is there holds the same already.
    Skip,
    /// What is there is something else, and is not to be replaced.
    Refuse,
}

/// The outcome of a copy.
#[derive(Debug, Clone)]
pub struct Copied {
    /// The metadata of the copy.
    pub metadata: Metadata,
    /// What was done.
    pub step: CopyStep,
    /// Its size where it is.
    pub stats: Stats,
}

/// A part of an object's content.
enum Piece<'a> {
    Rows(DataFrame),
    Document(Document),
    Bytes(&'a [u8]),
}

/// In which form an object holds its content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Rows,
    Documents,
    Blob,
    Nothing,
}

impl Form {
    fn of(metadata: &Metadata) -> Self {
        if metadata.gridfile.is_some() {
            Form::Blob
        } else if metadata.content.is_none() {
            Form::Nothing
        } else if kinds::backend(&metadata.kind).columns(metadata).is_empty() {
            Form::Documents
        } else {
            Form::Rows
        }
    }
}

impl Store {
    /// Copies an object, attributes included, to `name` in `other`, which may be in
    /// another bucket or another storage.
    ///
    /// # Errors
    /// [`ErrorKind::Conflict`] when the name is taken and `replace` is not set; else as
    /// [`Store::copy_with`].
    pub fn copy(&self, from: &str, other: &Store, to: &str, replace: bool) -> Result<Metadata> {
        let options = CopyOptions {
            replace,
            skip_same: false,
        };
        Ok(self.copy_with(from, other, to, options)?.metadata)
    }

    /// Copies an object and verifies the copy by reading it back: the same number of rows,
    /// documents or bytes, and the same SHA-256 over them. Times finer than a millisecond
    /// may come back in milliseconds, which is noted.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] for the source, [`ErrorKind::Conflict`] when the target is
    /// taken and is to be neither replaced nor skipped, [`ErrorKind::Corrupt`] when the
    /// copy does not hold what was copied.
    pub fn copy_with(
        &self,
        from: &str,
        other: &Store,
        to: &str,
        options: CopyOptions,
    ) -> Result<Copied> {
        let source = self.named(&Name::parse(from)?.object)?;
        let to = self.target(&source, other, to)?;
        let (step, found) = self.step(&source, other, &to, options)?;
        let metadata = match (step, found) {
            (CopyStep::Skip, Some(found)) => {
                if found.attributes != self.copied_attributes(&source, &to) {
                    self.progress.note(&format!(
                        "{} has other attributes; --replace copies them",
                        found.key
                    ));
                }
                found
            }
            (CopyStep::Refuse, Some(found)) if options.skip_same => {
                return Err(differs(&found));
            }
            _ => self.transfer(&source, other, &to, options.replace)?,
        };
        Ok(Copied {
            step,
            stats: other.stats(&metadata)?,
            metadata,
        })
    }

    /// What [`Store::copy_with`] would do. Objects are read, nothing is written.
    ///
    /// # Errors
    /// As [`Store::copy_with`], but for conflicts.
    pub fn plan_copy(
        &self,
        from: &str,
        other: &Store,
        to: &str,
        options: CopyOptions,
    ) -> Result<(CopyStep, Key)> {
        let source = self.named(&Name::parse(from)?.object)?;
        let to = self.target(&source, other, to)?;
        Ok((self.step(&source, other, &to, options)?.0, other.key(&to)))
    }

    /// The copy's name, which must not be the source's.
    fn target(&self, source: &Metadata, other: &Store, to: &str) -> Result<String> {
        let to = super::name_like(source, Name::plain(to)?);
        let target = other.key(&to);
        let same_place = Arc::ptr_eq(&self.storage, &other.storage)
            || self.storage.location() == other.storage.location();
        if source.key == target && same_place {
            return Err(Error::usage(format!(
                "{target} cannot be copied onto itself"
            )));
        }
        Ok(to)
    }

    fn step(
        &self,
        source: &Metadata,
        other: &Store,
        to: &str,
        options: CopyOptions,
    ) -> Result<(CopyStep, Option<Metadata>)> {
        let Some(found) = other.storage.find(&other.key(to))? else {
            return Ok((CopyStep::Make, None));
        };
        let same = options.skip_same
            && (!options.replace || found.attributes == self.copied_attributes(source, to))
            && self.holds_the_same(source, other, &found)?;
        let step = match (same, options.replace) {
            (true, _) => CopyStep::Skip,
            (false, true) => CopyStep::Replace,
            (false, false) => CopyStep::Refuse,
        };
        Ok((step, Some(found)))
    }

    /// Whether `found`, in `other`, holds the content of `source`. What can be told
    /// without reading is told first.
    fn holds_the_same(&self, source: &Metadata, other: &Store, found: &Metadata) -> Result<bool> {
        let form = Form::of(source);
        if source.kind != found.kind || form != Form::of(found) {
            return Ok(false);
        }
        let (ours, theirs) = (self.stats(source)?, other.stats(found)?);
        if ours.count != theirs.count || (form == Form::Blob && ours.bytes != theirs.bytes) {
            return Ok(false);
        }
        let ours = self.fingerprint(source, "comparing")?;
        let theirs = other.fingerprint(found, "comparing")?;
        Ok(!matches!(ours.difference(&theirs), Difference::Content(_)))
    }

    /// The attributes that a copy of `source` under the name `to` gets.
    fn copied_attributes(&self, source: &Metadata, to: &str) -> Document {
        renamed(&source.attributes, &versions(source), to)
    }

    /// Copies a model's versions ahead of the model, other objects as they are.
    fn transfer(
        &self,
        source: &Metadata,
        other: &Store,
        to: &str,
        replace: bool,
    ) -> Result<Metadata> {
        if versions(source).is_empty() {
            return self.transfer_one(source, other, to, replace);
        }
        if !replace {
            // Fails while nothing is done, when the name is taken.
            drop(other.storage.write(&other.key(to), Mode::Create)?);
        }
        let copied = self.copy_versions(source, other, to)?;
        let mut versioned = source.clone();
        versioned.attributes = renamed(&source.attributes, &copied, to);
        let copy = self.transfer_one(&versioned, other, to, replace)?;
        other.drop_versions(to, &copied)?;
        Ok(copy)
    }

    fn transfer_one(
        &self,
        source: &Metadata,
        other: &Store,
        to: &str,
        replace: bool,
    ) -> Result<Metadata> {
        let mode = if replace { Mode::Replace } else { Mode::Create };
        let mut writer = other.storage.write(&other.key(to), mode)?;
        if let Ok(fields) = source.attributes.get_array("indexes") {
            let fields = fields.iter().filter_map(Bson::as_document).cloned();
            writer.index(&fields.flatten().collect())?;
        }
        let mut written = Fingerprinter::default();
        if Form::of(source) == Form::Blob {
            // Without any bytes there would be no blob.
            writer.bytes(&[])?;
        }
        self.read(source, "copying", |piece| {
            written.add(&piece)?;
            match piece {
                Piece::Rows(frame) => writer.rows(frame),
                Piece::Document(document) => writer.document(document),
                Piece::Bytes(bytes) => writer.bytes(bytes),
            }
        })?;
        let mut copy = source.clone();
        copy.key = other.key(to);
        copy.id = ObjectId::new();
        // Files are named by the storage that holds them.
        copy.filename = None;
        let copy = writer.commit(copy)?;
        let read_back = other.fingerprint(&copy, "verifying")?;
        match written.finish().difference(&read_back) {
            Difference::None => {}
            Difference::CoarserTimes(columns) => {
                let columns: Vec<_> = columns.iter().map(|name| format!("`{name}`")).collect();
                self.progress.note(&format!(
                    "{}: times in {} are kept to the millisecond only",
                    copy.key,
                    columns.join(", ")
                ));
            }
            Difference::Content(what) => {
                let message = format!("{} does not hold what was copied: {what}", copy.key);
                return Err(Error::corrupt(message)
                    .on(copy.key.to_string())
                    .hint("unless somebody has just changed it, copy it again with --replace"));
            }
        }
        Ok(copy)
    }

    fn fingerprint(&self, metadata: &Metadata, doing: &str) -> Result<Fingerprint> {
        let mut fingerprint = Fingerprinter::default();
        self.read(metadata, doing, |piece| fingerprint.add(&piece))?;
        Ok(fingerprint.finish())
    }

    /// Hands out the content in order, and shows how far it is.
    fn read(
        &self,
        metadata: &Metadata,
        doing: &str,
        mut each: impl FnMut(Piece<'_>) -> Result<()>,
    ) -> Result<()> {
        let label = format!("{doing} {}", metadata.name());
        let meter = |total, unit| self.progress.meter(&label, total, unit);
        match Form::of(metadata) {
            Form::Nothing => Ok(()),
            Form::Blob => {
                let mut blob = self.storage.blob(metadata)?;
                let meter = meter(Some(blob.length()), Unit::Bytes);
                let mut buffer = vec![0; BLOCK];
                loop {
                    self.progress.check()?;
                    let read = match blob.read(&mut buffer) {
                        Ok(0) => return Ok(()),
                        Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                        other => other.context(|| format!("cannot read {}", metadata.key))?,
                    };
                    each(Piece::Bytes(buffer.get(..read).unwrap_or_default()))?;
                    meter.advance(read as u64);
                }
            }
            Form::Documents => {
                let meter = meter(self.stats(metadata)?.count, Unit::Items);
                for document in self.storage.documents(metadata)? {
                    self.progress.check()?;
                    each(Piece::Document(document?))?;
                    meter.advance(1);
                }
                Ok(())
            }
            Form::Rows => {
                let meter = meter(self.stats(metadata)?.count, Unit::Items);
                let scan = self.storage.scan(metadata, &Query::default())?;
                let rows = match scan.batches {
                    Some(batches) => Rows::Arriving(batches()?),
                    None => frame::run(scan.frame, &scan.rest)?.into(),
                };
                for batch in rows.batches()? {
                    self.progress.check()?;
                    let batch = batch?;
                    let rows = batch.height() as u64;
                    each(Piece::Rows(batch))?;
                    meter.advance(rows);
                }
                Ok(())
            }
        }
    }
}

impl Fingerprinter {
    fn add(&mut self, piece: &Piece<'_>) -> Result<()> {
        match piece {
            Piece::Rows(frame) => self.rows(frame),
            Piece::Document(document) => self.document(document),
            Piece::Bytes(bytes) => {
                self.bytes(bytes);
                Ok(())
            }
        }
    }
}

fn differs(found: &Metadata) -> Error {
    let key = &found.key;
    Error::new(
        ErrorKind::Conflict,
        format!("{key} exists and holds something else"),
    )
    .on(key.to_string())
    .hint("add --replace to replace it, or copy to another name")
}
