//! Verifies what is stored: every object's content is there and whole; and finds what no
//! object refers to: writes that have died, files and chunks, collections.

use super::MongoStorage;
use super::blob::StoredBlob;
use super::catalog::Entry;
use crate::error::{ErrorKind, Result};
use crate::progress::{Progress, Unit};
use crate::storage::refusal::ContentKind;
use crate::storage::{CheckReport, Key};
use bson::oid::ObjectId;
use bson::{Bson, DateTime, Document, doc};
use std::collections::BTreeSet;
use std::future::IntoFuture;
use std::io::Read;
use std::time::Duration;

/// How old what nobody refers to must be: other programs' writes may be under way.
const GRACE: Duration = Duration::from_secs(3600);

/// Verifies everything; with `repair` removes what is nobody's.
pub(super) fn check(
    storage: &MongoStorage,
    repair: bool,
    progress: &dyn Progress,
) -> Result<CheckReport> {
    let mut report = CheckReport::default();
    report.leftovers += match repair {
        true => storage.clean_up(|_| true)?,
        false => storage.dead_writes()?,
    };
    let entries = storage.all_entries(doc! {})?;
    let meter = progress.meter("checking", Some(entries.len() as u64), Unit::Items);
    for entry in &entries {
        progress.check()?;
        report.objects += 1;
        match verify(storage, entry) {
            Ok(bytes) => report.bytes += bytes,
            Err(error) if is_damage(error.kind()) => report
                .damaged
                .push((entry.metadata.key.to_string(), error.message().to_owned())),
            Err(error) => return Err(error),
        }
        meter.advance(1);
    }
    drop(meter);
    report.leftovers += orphans(storage, &entries, repair, progress)?;
    report.repaired = repair;
    Ok(report)
}

fn is_damage(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::Corrupt | ErrorKind::Invalid)
}

/// Reads an object to its end; its bytes.
fn verify(storage: &MongoStorage, entry: &Entry) -> Result<u64> {
    let metadata = &entry.metadata;
    let Some(content) = storage.content(&entry.metadata) else {
        return Ok(0);
    };
    match super::content_kind(entry) {
        ContentKind::Blob => {
            let Some(id) = metadata.gridfile else {
                return Ok(0);
            };
            let bucket = storage.files(&metadata.key.bucket);
            let key = metadata.key.to_string();
            let connection = storage.connection()?.clone();
            let mut blob = StoredBlob::open(connection, &bucket, id, &key)?;
            let mut buffer = vec![0; 1 << 20];
            let mut total = 0;
            loop {
                use crate::error::Context;
                storage.options.progress.check()?;
                match blob.read(&mut buffer).context(|| "cannot read its file")? {
                    0 => return Ok(total),
                    read => total += read as u64,
                }
            }
        }
        ContentKind::Rows => {
            let mut reader = storage.all_rows(entry)?;
            while reader.next()?.is_some() {}
            storage.bytes(&content)
        }
        ContentKind::Documents => storage.bytes(&content),
    }
}

/// Files, chunks and collections that no object refers to.
fn orphans(
    storage: &MongoStorage,
    entries: &[Entry],
    repair: bool,
    progress: &dyn Progress,
) -> Result<u64> {
    let connection = storage.connection()?;
    let files: BTreeSet<ObjectId> = entries
        .iter()
        .filter_map(|entry| entry.metadata.gridfile)
        .collect();
    let mut collections: BTreeSet<String> = entries
        .iter()
        .filter_map(|entry| entry.metadata.collection.clone())
        .collect();
    for entry in entries {
        // Where omega|ml keeps content by the object's name alone.
        let key = &entry.metadata.key;
        collections.insert(key.collection());
        for part in ["docs", "chunks"] {
            let name = format!("vecdb_{}_{part}", key.name);
            collections.insert(Key::new(&key.bucket, &key.prefix, &name).collection());
        }
    }
    let before = DateTime::from_millis(
        DateTime::now()
            .timestamp_millis()
            .saturating_sub(i64::try_from(GRACE.as_millis()).unwrap_or(i64::MAX)),
    );
    let names = connection.run(connection.database().list_collection_names().into_future())?;
    let unfinished = storage.unfinished_names()?;
    let uploads = storage.unfinished_files()?;
    let mut found = 0;
    for name in &names {
        progress.check()?;
        if let Some(bucket) = name.strip_suffix(".files") {
            found += orphaned_files(storage, bucket, &files, before, repair)?;
        }
        if let Some(bucket) = name.strip_suffix(".chunks") {
            found += orphaned_chunks(storage, bucket, &uploads, before, repair)?;
        }
        let keyed = name.len() == 40 && name.bytes().all(|byte| byte.is_ascii_hexdigit());
        if keyed
            && !collections.contains(name)
            && !unfinished.contains(name)
            && is_older(storage, name, before)?
        {
            found += 1;
            if repair {
                storage.drop_collection(name)?;
            }
        }
    }
    Ok(found)
}

fn orphaned_files(
    storage: &MongoStorage,
    bucket: &str,
    referred: &BTreeSet<ObjectId>,
    before: DateTime,
    repair: bool,
) -> Result<u64> {
    if !storage.is_files(bucket) {
        return Ok(0);
    }
    let connection = storage.connection()?;
    let files = connection.documents(&format!("{bucket}.files"));
    let old = connection.run(async {
        let mut cursor = files
            .find(doc! { "uploadDate": { "$lt": before } })
            .projection(doc! { "_id": 1 })
            .await?;
        let mut old = Vec::new();
        while cursor.advance().await? {
            old.extend(cursor.deserialize_current()?.get_object_id("_id").ok());
        }
        Ok(old)
    })?;
    let mut found = 0;
    for id in old.into_iter().filter(|id| !referred.contains(id)) {
        found += 1;
        // An object may have been made of it since the list was read.
        if repair && !storage.is_referred_to(doc! { "gridfile": id })? {
            storage.delete_file(bucket, id)?;
        }
    }
    Ok(found)
}

fn orphaned_chunks(
    storage: &MongoStorage,
    bucket: &str,
    uploads: &BTreeSet<ObjectId>,
    before: DateTime,
    repair: bool,
) -> Result<u64> {
    if !storage.is_files(bucket) {
        return Ok(0);
    }
    let connection = storage.connection()?;
    let chunks = connection.documents(&format!("{bucket}.chunks"));
    let files = connection.documents(&format!("{bucket}.files"));
    let ids = |collection: mongodb::Collection<Document>, field: &'static str| {
        connection.run(async move {
            let pipeline = [doc! { "$group": { "_id": format!("${field}") } }];
            let mut cursor = collection.aggregate(pipeline).await?;
            let mut found = Vec::new();
            while cursor.advance().await? {
                found.extend(cursor.deserialize_current()?.get("_id").cloned());
            }
            Ok(found)
        })
    };
    let known: Vec<Bson> = ids(files, "_id")?;
    let mut found = 0;
    for id in ids(chunks.clone(), "files_id")? {
        let underway = id.as_object_id().is_some_and(|id| uploads.contains(&id));
        if underway || known.contains(&id) {
            continue;
        }
        let newest = connection.run(
            chunks
                .find_one(doc! { "files_id": id.clone() })
                .sort(doc! { "n": -1 })
                .projection(doc! { "_id": 1 })
                .into_future(),
        )?;
        let young = newest
            .and_then(|chunk| chunk.get_object_id("_id").ok())
            .is_some_and(|chunk| chunk.timestamp() >= before);
        if young {
            continue;
        }
        found += 1;
        if repair {
            connection.run(chunks.delete_many(doc! { "files_id": id }).into_future())?;
        }
    }
    Ok(found)
}

/// Whether nothing was added to a collection since `before`.
fn is_older(storage: &MongoStorage, name: &str, before: DateTime) -> Result<bool> {
    let connection = storage.connection()?;
    let newest = connection.run(
        connection
            .documents(name)
            .find_one(doc! {})
            .sort(doc! { "_id": -1 })
            .projection(doc! { "_id": 1 })
            .into_future(),
    )?;
    Ok(match newest.map(|document| document.get_object_id("_id")) {
        Some(Ok(id)) => id.timestamp() < before,
        // Empty, or with ids that tell no time.
        Some(Err(_)) => false,
        None => true,
    })
}
