//! The step that makes staged content an object's: one transaction that swings metadata
//! and content together, and the tidying up after it.

use super::contents::{self};
use super::digest::Digests;
use super::documents::DocumentsWriter;
use super::objects;
use super::rows::StagedRows;
use super::staging::StagedFile;
use super::{EmbeddedStorage, compact, scan, sweep};
use crate::error::Result;
use crate::storage::fields::continued;
use crate::storage::refusal::ContentKind;
use crate::storage::refusal::{exists, extends, made_with_other_columns, replaced};
use crate::storage::{Key, Metadata, Mode};
use bson::oid::ObjectId;
use rusqlite::Transaction;

/// The kind whose metadata names its last document.
const PYTHON_DATA: &str = "python.data";

/// What is staged.
pub(super) enum Payload {
    Nothing,
    Rows(StagedRows),
    Documents(DocumentsWriter),
    Blob(StagedFile, Digests),
}

impl Payload {
    fn kind(&self) -> Option<ContentKind> {
        match self {
            Payload::Nothing => None,
            Payload::Rows(_) => Some(ContentKind::Rows),
            Payload::Documents(_) => Some(ContentKind::Documents),
            Payload::Blob(..) => Some(ContentKind::Blob),
        }
    }

    /// The id for a content of its own.
    fn id(&self) -> ObjectId {
        match self {
            Payload::Rows(rows) => rows.file.id(),
            Payload::Blob(file, _) => file.id(),
            Payload::Nothing | Payload::Documents(_) => ObjectId::new(),
        }
    }

    fn keep(&mut self) {
        match self {
            Payload::Rows(rows) => rows.file.keep(),
            Payload::Blob(file, _) => file.keep(),
            Payload::Nothing | Payload::Documents(_) => {}
        }
    }
}

/// What a transaction has done, and what is to be done after it.
struct Done {
    metadata: Metadata,
    unlink: Vec<String>,
    compact: bool,
    sweep: bool,
}

/// Makes `payload` the content of the object under `key`; `base` is the object as it was
/// when the writer started.
pub(super) fn commit(
    store: &EmbeddedStorage,
    key: &Key,
    mode: Mode,
    base: Option<&Metadata>,
    metadata: Metadata,
    mut payload: Payload,
) -> Result<Metadata> {
    if let Payload::Documents(documents) = &payload
        && documents.are_many()
    {
        store.database.settle()?;
    }
    let change = Change {
        store,
        key,
        mode,
        base,
    };
    let mut committing = false;
    let done = store.database.write(|transaction| {
        let done = change.apply(transaction, metadata, &mut payload)?;
        committing = true;
        Ok(done)
    });
    if committing {
        // Also when the commit itself has failed: nobody can tell whether it would come
        // back after a power cut. The sweeper goes by what the database says later.
        payload.keep();
    }
    // Releases the lock on the file: from here on the database protects it.
    drop(payload);
    let done = done?;
    store.unlink(&done.unlink);
    if done.compact
        && let Err(error) = compact::compact(store, &done.metadata)
    {
        tracing::debug!("{key}: parts stay as they are: {error}");
    }
    if done.sweep
        && let Err(error) = sweep::sweep(store, sweep::GRACE, true)
    {
        tracing::debug!("leftovers stay: {error}");
    }
    Ok(done.metadata)
}

struct Change<'a> {
    store: &'a EmbeddedStorage,
    key: &'a Key,
    mode: Mode,
    base: Option<&'a Metadata>,
}

impl Change<'_> {
    fn apply(
        &self,
        transaction: &Transaction<'_>,
        metadata: Metadata,
        payload: &mut Payload,
    ) -> Result<Done> {
        let found = objects::find(transaction, self.key)?;
        let present = found.as_ref().map(objects::Object::metadata).transpose()?;
        match (self.mode, &present) {
            (Mode::Create, Some(_)) => return Err(exists(self.key)),
            (Mode::Append, present) => self.check_base(present.as_ref(), payload)?,
            _ => {}
        }
        let append = self.mode == Mode::Append;
        let old = present.as_ref().and_then(|present| present.content.clone());
        let content = match (&old, payload.kind()) {
            (Some(old), kind) if append => {
                if let (Some(kind), Some(stored)) = (kind, contents::load(transaction, old)?) {
                    extends(self.key, stored.kind, kind)?;
                }
                Some(old.clone())
            }
            (_, None) => None,
            (_, Some(kind)) => {
                let id = payload.id().to_hex();
                contents::create(transaction, &id, kind)?;
                Some(id)
            }
        };
        let mut objid = None;
        let mut compact = false;
        if let Some(content) = &content {
            match payload {
                Payload::Nothing => {}
                Payload::Rows(rows) => {
                    let file = rows.file.name();
                    contents::add_file(transaction, content, file, rows.rows, &rows.digests)?;
                    compact = append && compact::is_due(transaction, content)?;
                }
                Payload::Blob(file, digests) => {
                    contents::add_file(transaction, content, file.name(), 0, digests)?;
                }
                Payload::Documents(documents) => {
                    documents.insert(transaction, content, self.store.progress.as_ref())?;
                    objid = documents.last();
                }
            }
        }
        let metadata = self.compose(metadata, present.as_ref(), payload, objid);
        let row = found.map(|object| object.row);
        let document = metadata.to_document();
        let metadata = objects::save(transaction, self.key, row, &document, content.as_deref())?;
        let unlink = match old {
            Some(old) if content.as_ref() != Some(&old) => contents::remove(transaction, &old)?,
            _ => Vec::new(),
        };
        let sweep = sweep::is_due(transaction)?;
        Ok(Done {
            metadata,
            unlink,
            compact,
            sweep,
        })
    }

    /// Whether an append still finds the object that it was prepared for.
    fn check_base(&self, present: Option<&Metadata>, payload: &Payload) -> Result<()> {
        match (self.base, present) {
            (None, None) => Ok(()),
            (Some(base), Some(present))
                if base.id == present.id && base.content == present.content =>
            {
                Ok(())
            }
            (Some(base), Some(present)) if base.id != present.id || base.content.is_some() => {
                Err(replaced(self.key))
            }
            (Some(_), None) => Err(replaced(self.key)),
            // Others have made the object, or its first content, meanwhile: theirs comes
            // first, ours is added if it fits as it is.
            (_, Some(present)) => match payload {
                Payload::Rows(rows) if present.content.is_some() => {
                    let store = self.store;
                    let stored = scan::schema(&store.database, &store.layout, present)?;
                    if stored != *rows.schema {
                        return Err(made_with_other_columns(self.key));
                    }
                    Ok(())
                }
                _ => Ok(()),
            },
        }
    }

    /// The metadata as it is going to be stored.
    fn compose(
        &self,
        mut metadata: Metadata,
        present: Option<&Metadata>,
        payload: &Payload,
        objid: Option<ObjectId>,
    ) -> Metadata {
        let append = self.mode == Mode::Append;
        let before = present.filter(|present| append || present.id == metadata.id);
        metadata = continued(metadata, self.key, self.base, before, append);
        match payload {
            Payload::Nothing if append => {
                if let Some(before) = before {
                    metadata.collection.clone_from(&before.collection);
                    metadata.gridfile = before.gridfile;
                }
            }
            Payload::Nothing => metadata.gridfile = None,
            Payload::Blob(file, _) => {
                metadata.collection = None;
                metadata.gridfile = Some(file.id());
            }
            Payload::Rows(_) | Payload::Documents(_) => {
                let kept = before
                    .filter(|_| append)
                    .and_then(|before| before.collection.clone());
                metadata.collection = kept.or_else(|| Some(self.key.collection()));
                metadata.gridfile = None;
            }
        }
        if metadata.kind == PYTHON_DATA && objid.is_some() {
            metadata.objid = objid;
        }
        metadata
    }
}
