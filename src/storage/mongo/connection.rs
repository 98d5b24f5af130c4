//! The connection: made on first use, in one bounded attempt; runs the driver's work to
//! its end or until the user wants it to stop, and says what its errors amount to.

use super::Options;
use super::address::Address;
use crate::config::{Url, mask_text};
use crate::error::{Context, Error, ErrorKind, IntoError, Result};
use crate::progress::{self, Progress};
use crate::storage::crash;
use bson::{Document, RawDocumentBuf};
use mongodb::error::{Error as DriverError, ErrorKind as DriverKind, WriteFailure};
use mongodb::{Client, Collection, Database};
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Runtime;

/// How long interrupted work has to tidy up.
const LAST: Duration = Duration::from_secs(1);

/// Error codes of the server.
pub(super) mod code {
    pub const BAD_VALUE: i32 = 2;
    pub const UNAUTHORIZED: i32 = 13;
    pub const AUTHENTICATION_FAILED: i32 = 18;
    pub const NAMESPACE_NOT_FOUND: i32 = 26;
    pub const CURSOR_NOT_FOUND: i32 = 43;
    pub const NAMESPACE_EXISTS: i32 = 48;
    pub const MAX_TIME_EXPIRED: i32 = 50;
    pub const QUERY_PLAN_KILLED: i32 = 175;
    pub const CURSOR_KILLED: i32 = 237;
    pub const DUPLICATE_KEY: i32 = 11000;
}

/// A connected client and the threads it runs on.
pub(super) struct Connection {
    runtime: Runtime,
    database: Database,
    url: Url,
    progress: Arc<dyn Progress>,
}

impl Connection {
    /// Prepares a client; nothing is sent before the first command.
    pub fn open(address: &Address, options: &Options) -> Result<Self> {
        // The first use of TLS in this process decides for all; a second call is no error.
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .thread_name("om-mongodb")
            .enable_all()
            .build()
            .context(|| "cannot start threads for MongoDB")?;
        let client = runtime.block_on(address.client(options))?;
        let client = {
            let _context = runtime.enter();
            Client::with_options(client).map_err(|error| failure(&error, &options.url))?
        };
        Ok(Connection {
            database: client.database(&address.database),
            runtime,
            url: options.url.clone(),
            progress: options.progress.clone(),
        })
    }

    /// The database.
    pub fn database(&self) -> &Database {
        &self.database
    }

    /// A collection of whole documents.
    pub fn documents(&self, name: &str) -> Collection<Document> {
        self.database.collection(name)
    }

    /// Runs `work` to its end, unless the user interrupts it.
    pub fn run<T>(&self, work: impl Future<Output = Result<T, DriverError>>) -> Result<T> {
        self.attempt(work)?
            .map_err(|error| failure(&error, &self.url))
    }

    /// As [`Connection::run`], for a caller that tells the driver's errors apart.
    pub fn attempt<T>(
        &self,
        work: impl Future<Output = Result<T, DriverError>>,
    ) -> Result<Result<T, DriverError>> {
        crash::point();
        self.wait(work)
    }

    /// What an error of the driver amounts to.
    pub fn explained(&self, error: &DriverError) -> Error {
        failure(error, &self.url)
    }

    /// Waits for `work`, looking from time to time whether the user wants it to stop.
    pub fn wait<T>(&self, work: impl Future<Output = T>) -> Result<T> {
        progress::wait(self.runtime.handle(), &*self.progress, work)
    }

    /// Fails when the user wants the work to stop.
    pub fn check(&self) -> Result<()> {
        self.progress.check()
    }

    /// Whether the user wants the work to stop.
    pub fn interrupted(&self) -> bool {
        self.progress.interrupted()
    }

    /// Says one line to the user.
    pub fn note(&self, message: &str) {
        self.progress.note(message);
    }

    /// Runs `work` to its end even if the user has interrupted what it belongs to; what
    /// takes longer than a moment is given up.
    pub fn last<T>(&self, work: impl Future<Output = Result<T, DriverError>>) -> Result<T> {
        crash::point();
        self.runtime.block_on(async {
            match tokio::time::timeout(LAST, work).await {
                Ok(done) => done.map_err(|error| failure(&error, &self.url)),
                Err(_) => Err(Error::new(ErrorKind::TimedOut, "MongoDB does not answer")),
            }
        })
    }

    /// Runs `work` on the connection's threads.
    pub fn spawn<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> tokio::task::JoinHandle<T> {
        self.runtime.spawn(work)
    }

    /// Makes this thread one from which the driver can start work, as it does when a
    /// cursor is dropped.
    pub fn enter(&self) -> tokio::runtime::EnterGuard<'_> {
        self.runtime.enter()
    }

    /// Runs a command and refuses what its reply says went wrong with single writes.
    pub fn command(&self, command: Document) -> Result<Document> {
        self.run(self.database.run_command(command).into_future())
    }
}

/// The driver must not be dropped by a thread that waits for it.
impl Drop for Connection {
    fn drop(&mut self) {
        tracing::trace!("closing {}", self.url);
    }
}

/// Inserts the documents of a ready-made command and checks that all were taken.
pub(super) async fn insert(
    database: Database,
    command: RawDocumentBuf,
    count: usize,
) -> Result<(), DriverError> {
    crash::point();
    let reply = database.run_raw_command(command).await?;
    crash::point();
    if let Ok(errors) = reply.get_array("writeErrors")
        && let Some(first) = errors.first().and_then(|error| error.as_document())
    {
        let text = first
            .get_str("errmsg")
            .unwrap_or("the server gave no reason");
        let code = first.get_i32("code").unwrap_or(0);
        let kind = match code {
            code::DUPLICATE_KEY => ErrorKind::Conflict,
            _ => ErrorKind::Failed,
        };
        return Err(DriverError::custom(Refused {
            kind,
            text: text.to_owned(),
        }));
    }
    let taken = reply
        .get("n")
        .and_then(|n| n.as_i64().or_else(|| n.as_i32().map(i64::from)));
    if taken != i64::try_from(count).ok() {
        return Err(DriverError::custom(Refused {
            kind: ErrorKind::Failed,
            text: format!("the server took {taken:?} of {count} documents"),
        }));
    }
    Ok(())
}

/// The server did not take a document.
struct Refused {
    kind: ErrorKind,
    text: String,
}

/// Whether a unique key is taken already.
pub(super) fn is_duplicate(error: &DriverError) -> bool {
    match error.kind.as_ref() {
        DriverKind::Write(WriteFailure::WriteError(error)) => error.code == code::DUPLICATE_KEY,
        DriverKind::Command(error) => error.code == code::DUPLICATE_KEY,
        DriverKind::Custom(_) => error
            .get_custom::<Refused>()
            .is_some_and(|refused| refused.kind == ErrorKind::Conflict),
        _ => false,
    }
}

/// The code of a command that the server refused.
pub(super) fn refusal(error: &DriverError) -> Option<i32> {
    match error.kind.as_ref() {
        DriverKind::Command(error) => Some(error.code),
        _ => None,
    }
}

/// The error as ours: kind, one line, what to do; credentials masked.
pub(super) fn failure(error: &DriverError, url: &Url) -> Error {
    let unreachable = |why: &str| {
        Error::new(
            ErrorKind::Unreachable,
            format!("MongoDB cannot be reached: {}", mask_text(why)),
        )
        .on(url.to_string())
        .hint("is the server up, and OMEGA_MONGO_URL right? see: om config show")
    };
    let unauthorized = |why: &str| {
        Error::new(
            ErrorKind::Unauthorized,
            format!("MongoDB refuses access: {}", mask_text(why)),
        )
        .on(url.to_string())
        .hint("check user and password in OMEGA_MONGO_URL; users are those of the database `admin`")
    };
    match error.kind.as_ref() {
        DriverKind::ServerSelection { message, .. } if message.contains("Authentication") => {
            unauthorized(message)
        }
        DriverKind::ServerSelection { message, .. } => unreachable(reason(message)),
        DriverKind::DnsResolve { message, .. }
        | DriverKind::ConnectionPoolCleared { message, .. } => unreachable(message),
        DriverKind::Io(error) => unreachable(&error.to_string()),
        DriverKind::InvalidTlsConfig { message, .. } => {
            Error::usage(format!("TLS cannot be set up: {message}")).on("CA_CERTS_PATH")
        }
        DriverKind::Authentication { message, .. } => unauthorized(message),
        DriverKind::Command(command) => match command.code {
            code::UNAUTHORIZED | code::AUTHENTICATION_FAILED => unauthorized(&command.message),
            code::MAX_TIME_EXPIRED => Error::new(ErrorKind::TimedOut, command.message.clone()),
            code::CURSOR_NOT_FOUND | code::QUERY_PLAN_KILLED | code::CURSOR_KILLED => {
                Error::conflict("it was replaced or dropped while it was read").hint("run it again")
            }
            _ => Error::failed(format!("MongoDB refused: {}", command.message)),
        },
        DriverKind::Write(WriteFailure::WriteError(write)) => {
            let kind = match write.code {
                code::DUPLICATE_KEY => ErrorKind::Conflict,
                _ => ErrorKind::Failed,
            };
            Error::new(kind, format!("MongoDB refused: {}", write.message))
        }
        DriverKind::Custom(_) => match error.get_custom::<Refused>() {
            Some(refused) => Error::new(refused.kind, format!("MongoDB refused: {}", refused.text)),
            None => Error::failed("MongoDB failed").because(error.clone()),
        },
        other => Error::failed(format!("MongoDB failed: {}", mask_text(&other.to_string()))),
    }
}

/// The driver's account of a server that it could not select, without its description of
/// the whole topology.
fn reason(message: &str) -> &str {
    let cause = message.split("Error: ").nth(1).unwrap_or(message);
    cause.split(" }").next().unwrap_or(cause)
}

impl IntoError for DriverError {}
