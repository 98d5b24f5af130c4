//! Writing in parts. Each upload has a thread that holds the writer; parts come numbered, so
//! that one that is sent twice counts once. An upload that nobody goes on with is
//! discarded, as everything is that was not committed.

use super::super::app::Call;
use super::super::reply::Reply;
use super::{document, sent};
use crate::error::{Context, Error, ErrorKind, Result};
use crate::remote::rows::decoded;
use crate::remote::wire;
use crate::runtime::task_id;
use crate::storage::{Key, Metadata, Mode, Storage, Writer};
use bson::{Document, doc};
use polars::prelude::DataFrame;
use std::collections::HashMap;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How long an upload is kept that nobody goes on with.
const IDLE: Duration = Duration::from_secs(600);

/// How long it is told again what came of one.
const TOLD: Duration = Duration::from_secs(60);

/// Uploads at the same time.
const MOST: usize = 64;

/// The uploads that go on.
#[derive(Default)]
pub struct Uploads {
    open: Mutex<HashMap<String, Arc<Upload>>>,
}

/// One upload.
struct Upload {
    /// Who has started it: nobody else goes on with it.
    user: Option<String>,
    used: Mutex<Instant>,
    state: Mutex<State>,
}

struct State {
    work: Option<SyncSender<Work>>,
    /// The number of the next part.
    next: u64,
    /// The digest of the last part.
    last: String,
    /// What came of the commit.
    done: Option<Result<Document>>,
    thread: Option<JoinHandle<()>>,
}

/// What is written, and who waits for it.
struct Work {
    what: What,
    done: SyncSender<Result<Option<Metadata>>>,
}

enum What {
    Rows(DataFrame),
    Documents(Vec<Document>),
    Bytes(Vec<u8>),
    Index(Document),
    Commit(Box<Metadata>),
}

impl Uploads {
    fn lock(&self) -> MutexGuard<'_, HashMap<String, Arc<Upload>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The upload of this id, which is this user's.
    fn find(&self, id: &str, user: Option<&str>) -> Result<Arc<Upload>> {
        let upload = self.lock().get(id).cloned();
        let upload = upload.filter(|upload| upload.user.as_deref() == user);
        let upload = upload.ok_or_else(|| {
            Error::conflict("there is no such upload, or it was discarded")
                .hint("write the object again")
        })?;
        *upload.used() = Instant::now();
        Ok(upload)
    }

    fn sweep(&self) {
        let mut gone = Vec::new();
        self.lock().retain(|_, upload| {
            let limit = if upload.is_open() { IDLE } else { TOLD };
            let kept = upload.used().elapsed() < limit;
            if !kept {
                gone.push(upload.clone());
            }
            kept
        });
        gone.iter().for_each(|upload| upload.discard());
    }
}

impl Drop for Uploads {
    fn drop(&mut self) {
        let all: Vec<_> = self.lock().drain().map(|(_, upload)| upload).collect();
        all.iter().for_each(|upload| upload.discard());
    }
}

impl Upload {
    fn used(&self) -> MutexGuard<'_, Instant> {
        self.used.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether it is still written; one that is busy is.
    fn is_open(&self) -> bool {
        self.state
            .try_lock()
            .map_or(true, |state| state.done.is_none())
    }

    /// Ends the writer, and with it what it has staged.
    fn discard(&self) {
        let mut state = self.state();
        state.work = None;
        if let Some(thread) = state.thread.take() {
            let _ = thread.join();
        }
    }
}

impl State {
    fn run(&self, what: What) -> Result<Option<Metadata>> {
        let over = || Error::conflict("the upload is over").hint("write the object again");
        let (done, outcome) = sync_channel(1);
        let work = self.work.as_ref().ok_or_else(over)?;
        work.send(Work { what, done }).map_err(|_| over())?;
        outcome.recv().map_err(|_| over())?
    }
}

/// Starts an upload.
pub fn start(call: &Call<'_>, key: &Key) -> Result<Reply> {
    let uploads = call.uploads();
    uploads.sweep();
    let open = uploads
        .lock()
        .values()
        .filter(|upload| upload.is_open())
        .count();
    if open >= MOST {
        return Err(Error::new(
            ErrorKind::Unreachable,
            "too many objects are being written",
        ));
    }
    let mode = call.request.param("mode").unwrap_or("create");
    let mode =
        wire::mode_of(mode).ok_or_else(|| Error::usage("`mode` is create, replace or append"))?;
    let storage = call.om.storage().clone();
    let (work, tasks) = sync_channel::<Work>(1);
    let (started, current) = sync_channel(1);
    let thread = {
        let key = key.clone();
        std::thread::Builder::new()
            .name("om-upload".to_owned())
            .spawn(move || write(storage.as_ref(), &key, mode, &started, &tasks))
            .context(|| "cannot start a thread for the upload")?
    };
    let failed = || Error::failed("the upload could not be started");
    let current: Option<Metadata> = current.recv().map_err(|_| failed())??;
    let id = task_id();
    let upload = Upload {
        user: call.om.user().map(str::to_owned),
        used: Mutex::new(Instant::now()),
        state: Mutex::new(State {
            work: Some(work),
            next: 0,
            last: String::new(),
            done: None,
            thread: Some(thread),
        }),
    };
    uploads.lock().insert(id.clone(), Arc::new(upload));
    let mut told = doc! { "upload": id };
    if let Some(current) = &current {
        told.insert("current", wire::metadata(current));
    }
    document(call, told)
}

/// A part of an upload, its end, or that it is called off.
pub fn go_on(call: &Call<'_>, id: &str, part: &str) -> Result<Reply> {
    let uploads = call.uploads();
    let upload = uploads.find(id, call.om.user())?;
    match part {
        "" => {
            uploads.lock().remove(id);
            upload.discard();
            document(call, Document::new())
        }
        "index" => {
            let body = sent(call)?;
            let fields = body.get_document("fields");
            let fields = fields.map_err(|_| Error::usage("the field `fields` is missing"))?;
            upload.state().run(What::Index(fields.clone()))?;
            document(call, Document::new())
        }
        "commit" => {
            let metadata = wire::metadata_of(&sent(call)?)?;
            commit(call, &upload, metadata)
        }
        number => {
            let number = number
                .parse()
                .map_err(|_| Error::usage("parts of an upload have numbers"))?;
            take(call, &upload, number)
        }
    }
}

fn commit(call: &Call<'_>, upload: &Upload, metadata: Metadata) -> Result<Reply> {
    let mut state = upload.state();
    if state.done.is_none() {
        let outcome = state.run(What::Commit(Box::new(metadata)));
        let outcome = outcome.and_then(|metadata| {
            let metadata = metadata.ok_or_else(|| Error::failed("nothing was written"))?;
            Ok(wire::metadata(&metadata))
        });
        state.done = Some(outcome);
        state.work = None;
        if let Some(thread) = state.thread.take() {
            let _ = thread.join();
        }
    }
    match &state.done {
        Some(Ok(told)) => document(call, told.clone()),
        Some(Err(error)) => Err(error.again()),
        None => Err(Error::failed("nothing was written")),
    }
}

/// A part, in its turn; that it was taken already is fine.
fn take(call: &Call<'_>, upload: &Upload, number: u64) -> Result<Reply> {
    let body = &call.request.body;
    let digest = wire::digest(body);
    let mut state = upload.state();
    if number.checked_add(1) == Some(state.next) && digest == state.last {
        return document(call, Document::new());
    }
    if number != state.next {
        return Err(Error::conflict(format!(
            "part {} of the upload comes next, not {number}",
            state.next
        )));
    }
    let what = match call.request.header("content-type") {
        Some(wire::ARROW) => What::Rows(decoded(body)?),
        Some(wire::BSON) => What::Documents(wire::documents(body)?),
        _ => What::Bytes(body.clone()),
    };
    state.run(what)?;
    state.next += 1;
    state.last = digest;
    document(call, Document::new())
}

/// Writes what comes until it is committed, or nobody comes any more.
fn write(
    storage: &dyn Storage,
    key: &Key,
    mode: Mode,
    started: &SyncSender<Result<Option<Metadata>>>,
    tasks: &Receiver<Work>,
) {
    let mut writer: Box<dyn Writer + '_> = match storage.write(key, mode) {
        Ok(writer) => writer,
        Err(error) => return drop(started.send(Err(error))),
    };
    if started.send(Ok(writer.current().cloned())).is_err() {
        return;
    }
    while let Ok(Work { what, done }) = tasks.recv_timeout(IDLE) {
        let outcome = match what {
            What::Rows(frame) => writer.rows(frame),
            What::Documents(documents) => documents
                .into_iter()
                .try_for_each(|document| writer.document(document)),
            What::Bytes(bytes) => writer.bytes(&bytes),
            What::Index(fields) => writer.index(&fields),
            What::Commit(metadata) => {
                let _ = done.send(writer.commit(*metadata).map(Some));
                return;
            }
        };
        if done.send(outcome.map(|()| None)).is_err() {
            return;
        }
    }
}
