//! The server: omega|ml's REST API (spec/rest.md) over the library, in one process.
//!
//! `connection` speaks HTTP and bounds what clients can take: size, time, number. `app` turns
//! a request into a call of the library; one file a resource. What users may do is the
//! library's business (`crate::access`); who they are is `auth`'s.

mod ai;
mod app;
pub mod auth;
mod connection;
mod datasets;
mod jobs;
mod json;
mod logs;
mod metrics;
mod models;
mod orient;
mod pages;
mod quick;
mod reply;
mod request;
mod route;
mod scripts;
mod services;
mod signature;
mod storage;
mod stream;
mod tasks;
mod tls;
mod ui;

pub use app::{App, AppOptions, Workers};
pub use tls::TlsFiles;

use crate::error::{Context, Error, ErrorKind, Result};
use crate::progress::Progress;
use connection::Shared;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;
use tls::Tls;

/// How often the server looks whether it is to stop.
const LOOK: Duration = Duration::from_millis(50);

/// What the server bounds.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Bytes of a body.
    pub body: usize,
    /// Time for a whole head, and between two requests of a connection.
    pub head_time: Duration,
    /// Time for a whole body.
    pub body_time: Duration,
    /// Time for an answer.
    pub answer_time: Duration,
    /// Requests at the same time.
    pub requests: usize,
    /// Connections at the same time.
    pub connections: usize,
    /// Time to finish what runs when the server is to stop.
    pub grace: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            body: 64 << 20,
            head_time: Duration::from_secs(30),
            body_time: Duration::from_secs(120),
            answer_time: Duration::from_secs(600),
            requests: 64,
            connections: 20_000,
            grace: Duration::from_secs(30),
        }
    }
}

/// A server that listens already.
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
    tls: Option<Tls>,
    limits: Limits,
    origins: Vec<String>,
}

impl Server {
    /// Listens at `address`; `origins` are the sites whose pages may call the server.
    ///
    /// # Errors
    /// [`ErrorKind::Conflict`] when somebody else listens there.
    pub fn bind(
        address: SocketAddr,
        tls: Option<TlsFiles>,
        limits: Limits,
        origins: Vec<String>,
    ) -> Result<Self> {
        let listener = TcpListener::bind(address).map_err(|error| {
            let taken = error.kind() == std::io::ErrorKind::AddrInUse;
            let message = format!("cannot listen at {address}");
            match taken {
                true => Error::new(ErrorKind::Conflict, message)
                    .because(error)
                    .hint("another server is there; choose another port: --port NUMBER"),
                false => Error::failed(message).because(error),
            }
        })?;
        let address = listener.local_addr().context(|| "cannot listen")?;
        Ok(Server {
            listener,
            address,
            tls: tls.map(Tls::open).transpose()?,
            limits,
            origins,
        })
    }

    /// Where it listens.
    pub fn url(&self) -> String {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        format!("{scheme}://{}", self.address)
    }

    /// Serves `app` until `progress` says stop; then it finishes what runs.
    ///
    /// # Errors
    /// That threads or the listener cannot be had.
    pub fn serve(self, app: App, progress: &dyn Progress) -> Result<()> {
        let grace = self.limits.grace;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .max_blocking_threads(self.limits.requests.saturating_add(8))
            .thread_name("om-server")
            .enable_all()
            .build()
            .context(|| "cannot start the server's threads")?;
        self.listener
            .set_nonblocking(true)
            .context(|| "cannot listen")?;
        let shared = Arc::new(Shared::new(app, self.tls, self.limits, &self.origins)?);
        runtime.block_on(async {
            let listener =
                tokio::net::TcpListener::from_std(self.listener).context(|| "cannot listen")?;
            let accepting = tokio::spawn(connection::accept(listener, shared.clone()));
            while !progress.interrupted() && !accepting.is_finished() {
                tokio::time::sleep(LOOK).await;
            }
            accepting.abort();
            shared.stop(grace).await;
            Ok(())
        })?;
        runtime.shutdown_timeout(Duration::from_secs(1));
        Ok(())
    }
}
