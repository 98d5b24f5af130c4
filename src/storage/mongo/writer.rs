//! Stages what an object shall hold. Small content waits in memory; larger content goes
//! into a collection, or a file, that no object refers to yet; what is added to an object
//! is registered first, so that readers leave it out. The commit is next door.

use super::MongoStorage;
use super::catalog::Entry;
use super::documents::DocumentBatch;
use super::indexes::Fields;
use super::layout::{fields_of, holds_rows, index_names};
use super::rows::RowSink;
use super::unfinished::{Content, Unfinished};
use super::upload::Upload;
use crate::error::{ErrorKind, Result};
use crate::frame::bson::Field;
use crate::storage::projection::INDEX;
use crate::storage::refusal::{ContentKind, extends, mixed, replaced};
use crate::storage::schema::{align, storable};
use crate::storage::{Key, Metadata, Mode, Writer};
use bson::Document;
use bson::oid::ObjectId;
use polars::prelude::{DataFrame, DataType, Schema};

/// How many bytes of rows wait in memory before they are sent.
const SPILL: usize = 32 << 20;

/// The writer of one object.
pub(super) struct MongoWriter<'a> {
    pub storage: &'a MongoStorage,
    pub key: Key,
    pub mode: Mode,
    pub base: Option<Entry>,
    /// The fields of an index that is asked for.
    pub index: Fields,
    pub staged: Staged,
}

pub(super) enum Staged {
    Nothing,
    Rows(RowStage),
    Documents(DocumentStage),
    Blob(Box<Upload>),
}

/// Rows that wait, and where those that do not have gone.
pub(super) struct RowStage {
    /// The columns that rows are sent with.
    pub schema: Schema,
    /// All columns of the object.
    pub fields: Vec<Field>,
    pub pending: Vec<DataFrame>,
    pub waiting: usize,
    pub sent: Option<(RowSink, Place)>,
}

/// Documents that wait, and where those that do not have gone.
pub(super) struct DocumentStage {
    pub batch: DocumentBatch,
    pub sent: Option<Place>,
}

/// Where content goes, registered until it is an object's. Whoever drops it removes what
/// it has got.
pub(super) struct Place {
    storage: MongoStorage,
    pub content: Content,
    unfinished: Option<Unfinished>,
}

impl Place {
    /// A new collection.
    pub fn collection(storage: &MongoStorage) -> Result<Self> {
        Self::begin(storage, Content::Collection(super::new_collection()))
    }

    /// The collection of an object that is added to.
    pub fn append(storage: &MongoStorage, collection: &str) -> Result<Self> {
        Self::begin(storage, Content::Append(collection.to_owned()))
    }

    /// A new file in a GridFS bucket, for the object `key`.
    pub fn file(storage: &MongoStorage, bucket: &str, key: &Key) -> Result<Self> {
        let content = Content::File(bucket.to_owned(), ObjectId::new());
        let unfinished = Unfinished::upload(storage, &content, key)?;
        Ok(Self::of(storage, content, unfinished))
    }

    /// What an upload of the object `key` that was cut short has left, if there is one.
    pub fn left(storage: &MongoStorage, bucket: &str, key: &Key) -> Result<Option<Self>> {
        let left = Unfinished::adopt(storage, bucket, key)?;
        Ok(left.map(|(unfinished, content)| Self::of(storage, content, unfinished)))
    }

    fn begin(storage: &MongoStorage, content: Content) -> Result<Self> {
        let unfinished = Unfinished::begin(storage, &content)?;
        Ok(Self::of(storage, content, unfinished))
    }

    fn of(storage: &MongoStorage, content: Content, unfinished: Unfinished) -> Self {
        Place {
            storage: storage.clone(),
            content,
            unfinished: Some(unfinished),
        }
    }

    /// The file; nobody's for a collection.
    pub fn file_id(&self) -> ObjectId {
        match &self.content {
            Content::File(_, id) => *id,
            Content::Collection(_) | Content::Append(_) => ObjectId::from_bytes([0; 12]),
        }
    }

    /// Fails when others have taken the write for dead.
    pub fn confirm(&self) -> Result<()> {
        match &self.unfinished {
            Some(unfinished) => unfinished.confirm(),
            None => Ok(()),
        }
    }

    /// What has been written stays, for another try.
    pub fn leave(mut self) {
        if let Some(unfinished) = self.unfinished.take() {
            unfinished.leave();
        }
    }

    /// The collection; empty for a file.
    pub fn name(&self) -> &str {
        match &self.content {
            Content::Collection(name) | Content::Append(name) => name,
            Content::File(..) => "",
        }
    }

    /// The registered write, for an append.
    pub fn announcing(&self) -> Option<&Unfinished> {
        self.unfinished
            .as_ref()
            .filter(|_| matches!(self.content, Content::Append(_)))
    }

    /// What identifies the write.
    pub fn token(&self) -> Option<ObjectId> {
        self.unfinished.as_ref().map(Unfinished::token)
    }

    /// Names what is going to be removed once the write is committed.
    pub fn replaces(&self, old: &Content) -> Result<()> {
        match &self.unfinished {
            Some(unfinished) => unfinished.replaces(old),
            None => Ok(()),
        }
    }

    /// The content is an object's from now on.
    pub fn keep(mut self) -> Result<()> {
        match self.unfinished.take() {
            Some(unfinished) => unfinished.finish(),
            None => Ok(()),
        }
    }

    fn remove(&mut self) -> Result<()> {
        let Some(unfinished) = self.unfinished.take() else {
            return Ok(());
        };
        match &self.content {
            Content::Collection(name) => self.storage.drop_collection(name)?,
            Content::File(bucket, id) => self.storage.delete_file(bucket, *id)?,
            Content::Append(name) => {
                if let Some(write) = self.storage.append_in_progress(unfinished.token())? {
                    self.storage.remove_added(name, &write)?;
                }
            }
        }
        unfinished.finish()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Err(error) = self.remove() {
            tracing::debug!("a write that was given up stays until the next check: {error}");
        }
    }
}

impl MongoWriter<'_> {
    /// The object that is added to, if it holds something.
    pub fn extended(&self, added: ContentKind) -> Result<Option<&Entry>> {
        let base = self
            .base
            .as_ref()
            .filter(|base| self.mode == Mode::Append && base.metadata.content.is_some());
        if let Some(base) = base {
            extends(&self.key, super::content_kind(base), added)?;
        }
        Ok(base)
    }

    /// Registers an append to the object `entry` and makes sure that it is still there.
    pub fn appending(&self, entry: &Entry) -> Result<Place> {
        let collection = entry.metadata.collection.clone().unwrap_or_default();
        let place = Place::append(self.storage, &collection)
            .map_err(|error| error.on(self.key.to_string()))?;
        match self.storage.entry(&self.key)? {
            Some(now) if now.metadata.content == entry.metadata.content => Ok(place),
            _ => Err(replaced(&self.key)),
        }
    }

    fn begin_rows(&self, frame: &DataFrame) -> Result<RowStage> {
        let (schema, fields) = match self.extended(ContentKind::Rows)? {
            Some(entry) => {
                let fields = self.storage.fields(entry)?;
                let mut schema = super::schema_of(&fields);
                // Numbers without a name go on by themselves.
                let counted = schema.get(INDEX).is_some_and(DataType::is_integer);
                if counted && !frame.schema().contains(INDEX) {
                    schema.shift_remove(INDEX);
                }
                (schema, fields)
            }
            None => {
                let schema = frame.schema().as_ref().clone();
                storable(&schema)?;
                let fields = fields_of(&schema);
                (schema, fields)
            }
        };
        Ok(RowStage {
            schema,
            fields,
            pending: Vec::new(),
            waiting: 0,
            sent: None,
        })
    }

    /// Sends the rows that wait, to where they have to go.
    pub fn send_rows(&self, stage: &mut RowStage, to: Option<&Entry>) -> Result<()> {
        let (sink, place) = match &mut stage.sent {
            Some(sent) => sent,
            None => {
                let connection = self.storage.connection()?.clone();
                let (place, next) = match to {
                    Some(entry) => {
                        let place = self.appending(entry)?;
                        let next = self.storage.next_row(place.name())?;
                        (place, next)
                    }
                    None => {
                        let place = Place::collection(self.storage)?;
                        // Before there are rows: a server may find it hard to index many
                        // at once.
                        connection.index_rows(place.name(), &indexed(&stage.fields))?;
                        (place, 0)
                    }
                };
                self.make_index(&place)?;
                let sent = stage.fields.iter();
                let sent: Vec<Field> = sent
                    .filter(|field| stage.schema.contains(&field.column))
                    .cloned()
                    .collect();
                let sink = RowSink::open(connection, place.name(), &sent, next)?;
                stage.sent.insert((sink, place))
            }
        };
        for frame in &stage.pending {
            self.storage.options.progress.check()?;
            sink.push(frame, place.announcing())?;
        }
        Ok(())
    }

    fn add_rows(&self, stage: &mut RowStage, frame: DataFrame) -> Result<()> {
        let kind = match self.mode {
            Mode::Append if self.base.is_some() => ErrorKind::Conflict,
            _ => ErrorKind::Invalid,
        };
        let frame = align(frame, &stage.schema, kind)?;
        stage.waiting += frame.estimated_size();
        stage.pending.push(frame);
        if stage.sent.is_some() || stage.waiting > SPILL {
            self.send_rows(stage, self.extended(ContentKind::Rows)?)?;
            stage.pending.clear();
            stage.waiting = 0;
        }
        Ok(())
    }

    fn make_index(&self, place: &Place) -> Result<()> {
        if self.index.is_empty() {
            return Ok(());
        }
        let connection = self.storage.connection()?;
        connection.ensure_indexes([(place.name().to_owned(), self.index.clone(), false)])
    }

    /// Sends the documents that wait.
    pub fn send_documents(&self, stage: &mut DocumentStage, to: Option<&Entry>) -> Result<()> {
        let place = match &mut stage.sent {
            Some(place) => place,
            None => {
                let place = match to {
                    Some(entry) => self.appending(entry)?,
                    None => Place::collection(self.storage)?,
                };
                self.make_index(&place)?;
                stage.sent.insert(place)
            }
        };
        let connection = self.storage.connection()?;
        stage
            .batch
            .send(connection, place.name(), place.announcing())
    }
}

impl Writer for MongoWriter<'_> {
    fn current(&self) -> Option<&Metadata> {
        self.base.as_ref().map(|base| &base.metadata)
    }

    fn rows(&mut self, frame: DataFrame) -> Result<()> {
        let mut stage = match std::mem::replace(&mut self.staged, Staged::Nothing) {
            Staged::Nothing => self
                .begin_rows(&frame)
                .map_err(|error| error.on(self.key.to_string()))?,
            Staged::Rows(stage) => stage,
            other => {
                self.staged = other;
                return Err(mixed(&self.key));
            }
        };
        let done = self.add_rows(&mut stage, frame);
        self.staged = Staged::Rows(stage);
        done.map_err(|error| error.on(self.key.to_string()))
    }

    fn document(&mut self, document: Document) -> Result<()> {
        let mut stage = match std::mem::replace(&mut self.staged, Staged::Nothing) {
            Staged::Nothing => {
                self.extended(ContentKind::Documents)?;
                DocumentStage {
                    batch: DocumentBatch::new(),
                    sent: None,
                }
            }
            Staged::Documents(stage) => stage,
            other => {
                self.staged = other;
                return Err(mixed(&self.key));
            }
        };
        let mut done = stage.batch.push(document);
        if done.is_ok() && stage.batch.is_full() {
            done = self
                .extended(ContentKind::Documents)
                .and_then(|to| self.send_documents(&mut stage, to));
        }
        self.staged = Staged::Documents(stage);
        done.map_err(|error| error.on(self.key.to_string()))
    }

    fn bytes(&mut self, bytes: &[u8]) -> Result<()> {
        if let Staged::Nothing = self.staged {
            self.extended(ContentKind::Blob)?;
            let bucket = self.storage.files(&self.key.bucket);
            let upload = Upload::open(self.storage, &bucket, &self.key)?;
            self.staged = Staged::Blob(Box::new(upload));
        }
        match &mut self.staged {
            Staged::Blob(upload) => upload
                .push(bytes)
                .map_err(|error| error.on(self.key.to_string())),
            _ => Err(mixed(&self.key)),
        }
    }

    fn index(&mut self, fields: &Document) -> Result<()> {
        let fields = fields.iter();
        self.index = fields
            .map(|(field, direction)| (field.clone(), direction.clone()))
            .collect();
        Ok(())
    }

    fn commit(mut self: Box<Self>, metadata: Metadata) -> Result<Metadata> {
        let staged = std::mem::replace(&mut self.staged, Staged::Nothing);
        super::commit::commit(&self, metadata, staged)
            .map_err(|error| error.on(self.key.to_string()))
    }
}

/// The index columns of rows with these fields, for their index.
fn indexed(fields: &[Field]) -> Vec<String> {
    let names = index_names(fields);
    match names.is_empty() {
        true => vec![INDEX.to_owned()],
        false => names,
    }
}

/// Whether rows may be added to what another writer has made meanwhile.
pub(super) fn fits(storage: &MongoStorage, stage: &RowStage, entry: &Entry) -> Result<bool> {
    Ok(holds_rows(entry) && storage.fields(entry)? == stage.fields)
}
