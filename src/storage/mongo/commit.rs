//! The step that makes staged content an object's: one change of one metadata document,
//! which names the state that it starts from; and the tidying up after it.

use super::catalog::Entry;
use super::layout::{note, note_end};
use super::unfinished::Content;
use super::writer::{DocumentStage, MongoWriter, Place, RowStage, Staged, fits};
use crate::error::{Error, Result};
use crate::storage::fields::continued;
use crate::storage::refusal::{ContentKind, exists, extends, made_with_other_columns, replaced};
use crate::storage::{Metadata, Mode};
use bson::oid::ObjectId;
use bson::{Bson, Document, doc};

/// The kind whose metadata names its last document.
const PYTHON_DATA: &str = "python.data";

/// How often a commit starts anew because others were faster.
const ATTEMPTS: usize = 1_000;

/// What is staged, where it is, and what the metadata says of it.
struct Payload {
    /// New content of the object; none when its content stays, or is added to.
    collection: Option<String>,
    gridfile: Option<ObjectId>,
    objid: Option<ObjectId>,
    place: Option<Place>,
    /// The columns of rows.
    fields: Option<Vec<crate::frame::bson::Field>>,
    /// The row id after the last of them.
    end: Option<i64>,
    kind: Option<ContentKind>,
    /// What is added to is the object's content, not a new one.
    adds: bool,
}

/// Makes what is staged the content of the object.
pub(super) fn commit(
    writer: &MongoWriter<'_>,
    metadata: Metadata,
    staged: Staged,
) -> Result<Metadata> {
    match staged {
        Staged::Nothing => finish(writer, metadata, nothing()),
        Staged::Rows(stage) => rows(writer, metadata, stage),
        Staged::Documents(stage) => documents(writer, metadata, stage),
        Staged::Blob(upload) => {
            let filename = metadata
                .filename
                .clone()
                .unwrap_or_else(|| writer.key.storage_name("file"));
            let (file, place) = upload.finish(&filename)?;
            let payload = Payload {
                gridfile: Some(file),
                place: Some(place),
                kind: Some(ContentKind::Blob),
                ..nothing()
            };
            finish(writer, metadata, payload)
        }
    }
}

fn nothing() -> Payload {
    Payload {
        collection: None,
        gridfile: None,
        objid: None,
        place: None,
        fields: None,
        end: None,
        kind: None,
        adds: false,
    }
}

/// The object that rows or documents are added to, as it is now.
fn appended_to(writer: &MongoWriter<'_>, added: ContentKind) -> Result<Option<Entry>> {
    if writer.mode != Mode::Append {
        return Ok(None);
    }
    let now = writer.storage.entry(&writer.key)?;
    check_base(writer, now.as_ref())?;
    let Some(now) = now.filter(|now| now.metadata.content.is_some()) else {
        return Ok(None);
    };
    extends(&writer.key, super::content_kind(&now), added)?;
    Ok(Some(now))
}

fn rows(writer: &MongoWriter<'_>, metadata: Metadata, mut stage: RowStage) -> Result<Metadata> {
    for _ in 0..ATTEMPTS {
        let spilled = stage.sent.is_some();
        let to = match spilled {
            true => writer.extended(ContentKind::Rows)?.cloned(),
            false => appended_to(writer, ContentKind::Rows)?,
        };
        if let Some(to) = &to
            && writer
                .base
                .as_ref()
                .is_none_or(|base| base.metadata.content.is_none())
            && !fits(writer.storage, &stage, to)?
        {
            return Err(made_with_other_columns(&writer.key));
        }
        writer.send_rows(&mut stage, to.as_ref())?;
        let Some((sink, place)) = stage.sent.take() else {
            return Err(Error::failed("the rows were not sent"));
        };
        let sent = sink.finish()?;
        if to.is_none() {
            verify_rows(writer, &place, sent.rows)?;
        }
        let payload = Payload {
            collection: to.is_none().then(|| place.name().to_owned()),
            fields: Some(stage.fields.clone()),
            end: Some(sent.end),
            kind: Some(ContentKind::Rows),
            adds: to.is_some(),
            place: Some(place),
            ..nothing()
        };
        match finish(writer, metadata.clone(), payload) {
            // Another writer has made the object while these rows, all of them still in
            // memory, were on their way: they are added to it.
            Err(error)
                if !spilled
                    && to.is_none()
                    && writer.mode == Mode::Append
                    && error.kind() == crate::ErrorKind::Conflict
                    && writer.storage.entry(&writer.key)?.is_some() => {}
            done => return done,
        }
    }
    Err(replaced(&writer.key))
}

/// Whether all rows of a new collection are there.
fn verify_rows(writer: &MongoWriter<'_>, place: &Place, sent: u64) -> Result<()> {
    let stored = writer.storage.count(place.name(), None)?;
    if stored != sent {
        return Err(
            Error::corrupt(format!("the server has {stored} of {sent} rows")).hint("put it again"),
        );
    }
    Ok(())
}

fn documents(
    writer: &MongoWriter<'_>,
    metadata: Metadata,
    mut stage: DocumentStage,
) -> Result<Metadata> {
    let to = match stage.sent.is_some() {
        true => writer.extended(ContentKind::Documents)?.cloned(),
        false => appended_to(writer, ContentKind::Documents)?,
    };
    writer.send_documents(&mut stage, to.as_ref())?;
    let Some(place) = stage.sent.take() else {
        return Err(Error::failed("the documents were not sent"));
    };
    if to.is_none() {
        let stored = writer.storage.count(place.name(), None)?;
        if stored != stage.batch.count() {
            return Err(Error::corrupt(format!(
                "the server has {stored} of {} documents",
                stage.batch.count()
            ))
            .hint("put it again"));
        }
    }
    let payload = Payload {
        collection: to.is_none().then(|| place.name().to_owned()),
        objid: stage.batch.last(),
        kind: Some(ContentKind::Documents),
        adds: to.is_some(),
        place: Some(place),
        ..nothing()
    };
    finish(writer, metadata, payload)
}

/// Whether an append still finds the object that it was prepared for.
fn check_base(writer: &MongoWriter<'_>, present: Option<&Entry>) -> Result<()> {
    let base = writer.base.as_ref().map(|base| &base.metadata);
    match (base, present.map(|present| &present.metadata)) {
        (None, _) => Ok(()),
        (Some(_), None) => Err(replaced(&writer.key)),
        (Some(base), Some(present)) if base.content.is_none() && base.id == present.id => Ok(()),
        (Some(base), Some(present)) if base.id == present.id && base.content == present.content => {
            Ok(())
        }
        (Some(_), Some(_)) => Err(replaced(&writer.key)),
    }
}

/// Swings the metadata to the payload.
fn finish(writer: &MongoWriter<'_>, metadata: Metadata, mut payload: Payload) -> Result<Metadata> {
    let storage = writer.storage;
    for attempt in 0..ATTEMPTS {
        // The swap fails when the object is not what it was; then it is looked at again.
        let present = match (attempt, writer.mode) {
            (0, Mode::Create | Mode::Replace) => writer.base.clone(),
            _ => storage.entry(&writer.key)?,
        };
        match (writer.mode, &present) {
            (Mode::Create, Some(_)) => return Err(exists(&writer.key)),
            (Mode::Append, _) => check_base(writer, present.as_ref())?,
            _ => {}
        }
        let holds = present
            .as_ref()
            .and_then(|present| present.metadata.content.as_ref());
        if writer.mode == Mode::Append && payload.kind.is_some() && !payload.adds && holds.is_some()
        {
            // Made by another writer since this one has looked.
            return Err(replaced(&writer.key));
        }
        if payload.adds && holds.is_none() {
            return Err(replaced(&writer.key));
        }
        let entry = compose(writer, metadata.clone(), present.as_ref(), &payload);
        let old = present
            .as_ref()
            .filter(|present| present.metadata.content != entry.metadata.content)
            .and_then(|present| storage.content(&present.metadata));
        if let (Some(old), Some(place)) = (&old, &payload.place) {
            place.replaces(old)?;
        }
        let swung = match &present {
            None => storage.insert_entry(&entry)?,
            Some(present) => storage.swap_entry(present, &entry)?,
        };
        if !swung {
            continue;
        }
        let place = payload.place.take();
        return tidy(writer, entry, place, payload.adds, old);
    }
    Err(replaced(&writer.key))
}

/// After the commit: what was replaced goes, and the write comes off the register. None of
/// it can undo the commit; what fails here is left to the next check.
fn tidy(
    writer: &MongoWriter<'_>,
    entry: Entry,
    place: Option<Place>,
    added: bool,
    old: Option<Content>,
) -> Result<Metadata> {
    let storage = writer.storage;
    let tidied = || -> Result<()> {
        if let Some(old) = old {
            storage.remove_content(&old)?;
        }
        if let Some(place) = place {
            let token = place.token();
            place.keep()?;
            if added {
                storage.forget_append(&entry, token)?;
            }
        }
        Ok(())
    };
    if let Err(error) = tidied() {
        tracing::debug!(
            "{}: leftovers stay until the next check: {error}",
            writer.key
        );
    }
    Ok(described(entry))
}

fn described(entry: Entry) -> Metadata {
    let mut metadata = entry.metadata;
    metadata.content = metadata
        .gridfile
        .map(|file| file.to_hex())
        .or_else(|| metadata.collection.clone());
    metadata
}

/// The entry as it is going to be stored.
fn compose(
    writer: &MongoWriter<'_>,
    metadata: Metadata,
    present: Option<&Entry>,
    payload: &Payload,
) -> Entry {
    let append = writer.mode == Mode::Append;
    let now = present.map(|present| &present.metadata);
    let before = now.filter(|now| append || now.id == metadata.id);
    let base = writer.base.as_ref().map(|base| &base.metadata);
    let mut metadata = continued(metadata, &writer.key, base, before, append);
    if let Some(now) = now {
        // The document stays, whatever it describes: its id cannot change in one step.
        metadata.id = now.id;
    }
    let mut own = match present {
        Some(present) if append => present.own.clone(),
        _ => Document::new(),
    };
    if payload.adds || (payload.kind.is_none() && append) {
        metadata.collection = before.and_then(|before| before.collection.clone());
        metadata.gridfile = before.and_then(|before| before.gridfile);
    } else {
        metadata.collection.clone_from(&payload.collection);
        metadata.gridfile = payload.gridfile;
    }
    metadata.filename = None;
    if let Some(fields) = &payload.fields {
        note(&mut own, fields, &metadata.kind_meta);
    }
    if let Some(end) = payload.end {
        note_end(&mut own, end);
    }
    if let Some(token) = payload.place.as_ref().and_then(Place::token)
        && payload.adds
    {
        own.insert("appended", token);
    }
    if metadata.kind == PYTHON_DATA && payload.objid.is_some() {
        metadata.objid = payload.objid;
    }
    metadata.content = metadata
        .gridfile
        .map(|file| file.to_hex())
        .or_else(|| metadata.collection.clone());
    Entry { metadata, own }
}

impl super::MongoStorage {
    /// Takes the mark of a finished append off the metadata.
    fn forget_append(&self, entry: &Entry, token: Option<ObjectId>) -> Result<()> {
        let mut own = entry.own.clone();
        own.remove("appended");
        let unset = match own.is_empty() {
            true => "om",
            false => "om.appended",
        };
        let filter =
            doc! { "_id": entry.metadata.id, "om.appended": token.map_or(Bson::Null, Bson::from) };
        self.update_where(filter, doc! { "$unset": { unset: "" } })
    }
}
