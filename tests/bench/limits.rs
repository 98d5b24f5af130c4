//! What a MongoDB server and its driver can do at most, as limits for tests/bench: the
//! driver alone, without `om`, on documents that are ready-made. Prints seconds and bytes.
//!
//! ```text
//! mongo_limits drain    URL DATABASE COLLECTION            reads a raw-batch cursor to its end
//! mongo_limits insert   URL DATABASE COLLECTION NEW        copies what it has read before
//! mongo_limits upload   URL DATABASE FILE NAME             GridFS, the driver's own stream
//! mongo_limits download URL DATABASE NAME
//! ```
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use bson::{RawDocumentBuf, doc, rawdoc};
use futures_core::Stream;
use futures_util::io::{AsyncReadExt, AsyncWriteExt};
use mongodb::{Client, Database, IndexModel};
use std::io::Read;
use std::pin::Pin;
use std::time::Instant;

/// What `om` sends at a time.
const BATCH: usize = 6 << 20;

/// What `om` asks for at a time; the most is slower.
const REPLY: usize = 4 << 20;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (seconds, bytes) = runtime.block_on(async {
        match arguments.as_slice() {
            ["drain", url, database, collection] => {
                drain(&open(url, database).await, collection, None).await
            }
            ["insert", url, database, collection, new] => {
                insert(&open(url, database).await, collection, new).await
            }
            ["upload", url, database, file, name] => {
                upload(&open(url, database).await, file, name).await
            }
            ["download", url, database, name] => download(&open(url, database).await, name).await,
            _ => panic!("drain, insert, upload or download"),
        }
    });
    println!("{seconds:.4} {bytes}");
}

async fn open(url: &str, database: &str) -> Database {
    Client::with_uri_str(url).await.unwrap().database(database)
}

/// Reads all replies; with `into` keeps their documents.
async fn drain(
    database: &Database,
    collection: &str,
    mut into: Option<&mut Vec<RawDocumentBuf>>,
) -> (f64, usize) {
    let start = Instant::now();
    let collection = database.collection::<RawDocumentBuf>(collection);
    let first = collection.find_one(doc! {}).await.unwrap().unwrap();
    let size = u32::try_from(REPLY / first.as_bytes().len()).unwrap();
    let find = collection.find(doc! {}).batch_size(size);
    let mut cursor = find.batch().await.unwrap();
    let mut bytes = 0;
    let next = |context: &mut std::task::Context<'_>| Pin::new(&mut cursor).poll_next(context);
    let mut next = next;
    while let Some(reply) = std::future::poll_fn(&mut next).await {
        let reply = reply.unwrap();
        let documents = reply.doc_slices().unwrap();
        bytes += documents.as_bytes().len();
        if let Some(into) = &mut into {
            into.extend(documents.into_iter().map(|document| {
                let document = document.unwrap().as_document().unwrap();
                document.to_owned()
            }));
        }
    }
    (start.elapsed().as_secs_f64(), bytes)
}

/// Inserts the documents of a collection into a new one that has the same indexes, a
/// command at a time; the commands are made before the clock starts.
async fn insert(database: &Database, collection: &str, new: &str) -> (f64, usize) {
    let mut documents = Vec::new();
    let (_, bytes) = drain(database, collection, Some(&mut documents)).await;
    let mut commands: Vec<RawDocumentBuf> = Vec::new();
    let (mut batch, mut size) = (bson::RawArrayBuf::new(), 0);
    let command = |batch: bson::RawArrayBuf| rawdoc! { "insert": new, "documents": batch };
    for document in documents {
        size += document.as_bytes().len();
        batch.push(document);
        if size >= BATCH {
            commands.push(command(std::mem::take(&mut batch)));
            size = 0;
        }
    }
    if size > 0 {
        commands.push(command(batch));
    }
    let index = |name: &str| IndexModel::builder().keys(doc! { name: 1 }).build();
    let target = database.collection::<RawDocumentBuf>(new);
    let start = Instant::now();
    target
        .create_indexes([index("_idx#0_0"), index("_om#rowid")])
        .await
        .unwrap();
    for command in commands {
        database.run_raw_command(command).await.unwrap();
    }
    let seconds = start.elapsed().as_secs_f64();
    target.drop().await.unwrap();
    (seconds, bytes)
}

/// The driver's plain stream, fed from a file.
async fn upload(database: &Database, file: &str, name: &str) -> (f64, usize) {
    let mut file = std::fs::File::open(file).unwrap();
    let mut buffer = vec![0; 1 << 20];
    let mut bytes = 0;
    let start = Instant::now();
    let bucket = database.gridfs_bucket(None);
    let mut stream = bucket.open_upload_stream(name).await.unwrap();
    loop {
        let read = file.read(&mut buffer).unwrap();
        if read == 0 {
            break;
        }
        stream.write_all(&buffer[..read]).await.unwrap();
        bytes += read;
    }
    stream.close().await.unwrap();
    (start.elapsed().as_secs_f64(), bytes)
}

/// The driver's plain stream, into nothing.
async fn download(database: &Database, name: &str) -> (f64, usize) {
    let mut buffer = vec![0; 1 << 20];
    let mut bytes = 0;
    let start = Instant::now();
    let bucket = database.gridfs_bucket(None);
    let mut stream = bucket.open_download_stream_by_name(name).await.unwrap();
    loop {
        match stream.read(&mut buffer).await.unwrap() {
            0 => break,
            read => bytes += read,
        }
    }
    (start.elapsed().as_secs_f64(), bytes)
}
