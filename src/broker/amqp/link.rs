//! The supervised connection: made on first use, watched, and made again after a loss with
//! pauses that grow to half a minute and differ between clients. Hides the asynchronous
//! client behind calls that wait.

use super::failure::{explain, unreachable};
use super::tls::Tls;
use crate::broker::Options;
use crate::config::Url;
use crate::error::{Context, Error, Result};
use crate::progress;
use lapin::options::ConfirmSelectOptions;
use lapin::uri::{AMQPScheme, AMQPUri};
use lapin::{AsyncTcpStream, Channel, Connection, ConnectionProperties};
use std::collections::HashSet;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};
use tokio::runtime::{Handle, Runtime};
use tokio::sync::{Notify, watch};

/// The first pause after a loss, and the longest one.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// How many channels are kept for publishing.
const IDLE: usize = 16;

/// How long the end of a connection may take.
const GOODBYE: Duration = Duration::from_secs(1);

/// How often a connection is looked at that says nothing.
const LOOK: Duration = Duration::from_millis(250);

/// The connection of a broker, and the threads it runs on.
pub(super) struct Link {
    pub url: Url,
    pub options: Options,
    uri: AMQPUri,
    tls: Tls,
    runtime: Mutex<Option<Runtime>>,
    state: watch::Sender<State>,
    /// Somebody needs a connection, has found one to be broken, or needs none any more.
    wake: Arc<Notify>,
}

/// Where the connection stands.
#[derive(Default)]
struct State {
    live: Option<Arc<Live>>,
    /// How many attempts have failed.
    failed: u64,
    failure: Option<Error>,
}

/// A connection that stands, as far as one knows.
pub(super) struct Live {
    connection: Connection,
    /// For what need not arrive: confirms are on.
    pub shared: Channel,
    /// Whoever publishes on the shared channel does so with this: the client numbers messages
    /// before it queues their frames, and confirms go by the number.
    pub turn: Mutex<()>,
    /// Channels for what must arrive, one at a time: the client cannot tell whose message it
    /// was that the broker has returned. They are not in use.
    idle: Mutex<Vec<Channel>>,
    /// The exchanges that are known to be there.
    pub offices: Mutex<HashSet<&'static str>>,
}

impl Live {
    pub async fn channel(&self) -> lapin::Result<Channel> {
        self.connection.create_channel().await
    }

    /// A channel for one's own, on which publishing is confirmed.
    pub async fn lend(&self) -> lapin::Result<Channel> {
        let idle = self
            .idle
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .pop();
        match idle.filter(|channel| channel.status().connected()) {
            Some(channel) => Ok(channel),
            None => confirming(&self.connection).await,
        }
    }

    /// Keeps a channel for the next.
    pub fn give_back(&self, channel: Channel) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < IDLE {
            idle.push(channel);
        }
    }

    pub fn stands(&self) -> bool {
        self.connection.status().connected() && self.shared.status().connected()
    }

    /// Waits for the client, but not longer than there is a connection: what is begun while
    /// it is lost may never be answered.
    pub async fn guard<T>(&self, work: impl Future<Output = lapin::Result<T>>) -> lapin::Result<T> {
        tokio::pin!(work);
        let mut lost = false;
        loop {
            match tokio::time::timeout(LOOK, &mut work).await {
                Ok(done) => return done,
                Err(_) if lost => return Err(lapin::ErrorKind::MissingHeartbeatError.into()),
                Err(_) => lost = !self.stands(),
            }
        }
    }
}

async fn confirming(connection: &Connection) -> lapin::Result<Channel> {
    let channel = connection.create_channel().await?;
    let options = ConfirmSelectOptions::default();
    channel.confirm_select(options).await?;
    Ok(channel)
}

impl Link {
    pub fn new(url: Url, uri: AMQPUri, tls: Tls, options: Options) -> Arc<Self> {
        Arc::new(Link {
            url,
            options,
            uri,
            tls,
            runtime: Mutex::default(),
            state: watch::channel(State::default()).0,
            wake: Arc::default(),
        })
    }

    /// Runs `work` until it is done, or until the user wants it to stop.
    pub fn run<T>(self: &Arc<Self>, work: impl Future<Output = Result<T>>) -> Result<T> {
        let threads = self.threads()?;
        progress::wait(&threads, &*self.options.progress, work)?
    }

    /// The connection's threads, which are started on first use, and with them the
    /// supervision.
    pub fn threads(self: &Arc<Self>) -> Result<Handle> {
        let mut runtime = self.runtime.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(runtime) = &*runtime {
            return Ok(runtime.handle().clone());
        }
        let new = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .thread_name("om-amqp")
            .enable_all()
            .build()
            .context(|| "cannot start threads for the broker")?;
        new.spawn(supervise(Arc::downgrade(self), self.wake.clone()));
        let handle = new.handle().clone();
        *runtime = Some(new);
        Ok(handle)
    }

    /// The connection. A client that has had none makes do with one attempt, and waits for
    /// a lost one no longer than its time limit; others wait, unless they are not let in.
    pub async fn live(&self) -> Result<Arc<Live>> {
        let mut state = self.state.subscribe();
        let started = Instant::now();
        let before = state.borrow().failed;
        self.wake.notify_one();
        loop {
            {
                let state = state.borrow_and_update();
                if let Some(live) = state.live.as_ref().filter(|live| live.stands()) {
                    return Ok(live.clone());
                }
                if let Some(failure) = state.failure.as_ref().filter(|_| state.failed > before) {
                    let first = state.live.is_none();
                    // Waiting does not help against a wrong password.
                    let hopeless = !failure.kind().retryable();
                    let late = started.elapsed() >= self.options.timeout;
                    let give_up = match self.options.endless {
                        true => hopeless && first,
                        false => hopeless || first || late,
                    };
                    if give_up {
                        return Err(failure.again());
                    }
                }
            }
            let _ = tokio::time::timeout(LOOK, state.changed()).await;
        }
    }

    /// The connection, as soon as there is one.
    pub async fn patiently(&self) -> Arc<Live> {
        let mut state = self.state.subscribe();
        loop {
            if let Some(live) = self.present() {
                return live;
            }
            let _ = tokio::time::timeout(LOOK, state.changed()).await;
        }
    }

    /// The connection, if it stands.
    pub fn present(&self) -> Option<Arc<Live>> {
        let state = self.state.borrow();
        state.live.as_ref().filter(|live| live.stands()).cloned()
    }

    /// Has the connection looked at, which may be broken.
    pub fn look(&self) {
        self.wake.notify_one();
    }

    /// One bounded attempt.
    async fn connect(&self) -> Result<Live> {
        let limit = self.options.timeout;
        let socket = Arc::new(Socket::default());
        let made = tokio::time::timeout(limit, self.handshake(socket.clone())).await;
        match made {
            Ok(Ok(live)) => Ok(live),
            Ok(Err(error)) => Err(self
                .tls
                .explain(&error)
                .unwrap_or_else(|| explain(&error, &self.url))),
            Err(_) => {
                // The client goes on waiting for a server that accepts and says nothing.
                socket.close();
                let why = format!("no answer within {} s", limit.as_secs_f32());
                Err(unreachable(&why, &self.url))
            }
        }
    }

    async fn handshake(&self, socket: Arc<Socket>) -> lapin::Result<Live> {
        let (tls, limit) = (self.tls.clone(), self.options.timeout);
        let runtime = lapin::runtime::default_runtime()?;
        let properties = ConnectionProperties::default()
            .with_connection_name(format!("om {}", std::process::id()).into())
            .with_client_property("product".into(), "om".into());
        // Written in place: the types of the client's runtime have no names here.
        let connection = Connection::connector(
            self.uri.clone(),
            runtime,
            async move |uri, runtime| {
                let place = (uri.authority.host.clone(), uri.authority.port);
                let reach = async {
                    let place = resolve(place).await?;
                    let stream = AsyncTcpStream::connect(&runtime, place).await?;
                    if let AsyncTcpStream::Plain(plain) = &stream {
                        let plain = plain.get_ref();
                        plain.set_nodelay(true)?;
                        socket.keep(plain);
                    }
                    match uri.scheme {
                        AMQPScheme::AMQP => Ok(stream),
                        AMQPScheme::AMQPS => {
                            let connector = tls.connector()?;
                            stream.into_rustls(&connector, &uri.authority.host).await
                        }
                    }
                };
                let late = |_| std::io::Error::from(std::io::ErrorKind::TimedOut);
                let reached = tokio::time::timeout(limit, reach).await.map_err(late);
                Ok(reached.and_then(|reached: std::io::Result<_>| reached)?)
            },
            properties,
        )
        .await?;
        let shared = confirming(&connection).await?;
        Ok(Live {
            connection,
            shared,
            turn: Mutex::default(),
            idle: Mutex::default(),
            offices: Mutex::default(),
        })
    }
}

/// All addresses of a host, so that the client can try one after the other.
async fn resolve(place: (String, u16)) -> std::io::Result<Vec<std::net::SocketAddr>> {
    let look = move || std::net::ToSocketAddrs::to_socket_addrs(&place).map(Iterator::collect);
    tokio::task::spawn_blocking(look)
        .await
        .map_err(std::io::Error::other)?
}

/// A handle on the connection's socket, to end a handshake that does not end.
#[derive(Default)]
struct Socket(Mutex<Option<std::net::TcpStream>>);

impl Socket {
    #[cfg(unix)]
    fn keep(&self, stream: &impl std::os::fd::AsFd) {
        let copy = stream.as_fd().try_clone_to_owned().ok();
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = copy.map(Into::into);
    }

    #[cfg(not(unix))]
    fn keep<T>(&self, _stream: &T) {}

    fn close(&self) {
        if let Some(socket) = &*self.0.lock().unwrap_or_else(PoisonError::into_inner) {
            let _ = socket.shutdown(std::net::Shutdown::Both);
        }
    }
}

/// Keeps the connection up, once somebody has wanted it, for as long as the link is there.
async fn supervise(link: Weak<Link>, wake: Arc<Notify>) {
    let mut pause = FIRST_PAUSE;
    loop {
        let Some(link) = link.upgrade() else { return };
        if let Some(live) = link.present() {
            drop(link);
            let _ = tokio::time::timeout(LOOK, wake.notified()).await;
            if live.stands() {
                pause = FIRST_PAUSE;
            } else {
                tracing::info!("the connection to the broker is lost");
                // What is left of it: the channel for publishing may have died alone.
                let _ = tokio::time::timeout(LOOK, live.connection.close(200, "lost".into())).await;
            }
            continue;
        }
        let patient = link.options.endless || link.state.borrow().live.is_some();
        match link.connect().await {
            Ok(live) => {
                tracing::debug!("connected to {}", link.url);
                link.state.send_modify(|state| {
                    state.live = Some(Arc::new(live));
                    state.failure = None;
                });
            }
            Err(error) => {
                // Half of it at random, so that a broker that comes back is not run over.
                let wait = pause.mul_f64(rand::random::<f64>() / 2.0 + 0.5);
                pause = (pause * 2).min(LONGEST_PAUSE);
                match link.options.endless {
                    true => tracing::warn!("{error}; trying again in {:.1} s", wait.as_secs_f32()),
                    false => tracing::debug!("{error}"),
                }
                let endless = link.options.endless;
                link.state.send_modify(|state| {
                    state.failed += 1;
                    state.failure = Some(error);
                });
                drop(link);
                match (endless, patient) {
                    (true, _) => tokio::time::sleep(wait).await,
                    (false, true) => drop(tokio::time::timeout(wait, wake.notified()).await),
                    (false, false) => wake.notified().await,
                }
            }
        }
    }
}

/// Says goodbye, so that the broker need not wait for heartbeats.
impl Drop for Link {
    fn drop(&mut self) {
        self.wake.notify_one();
        let live = self.present();
        let runtime = self
            .runtime
            .get_mut()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(runtime) = runtime {
            if let Some(live) = live
                && Handle::try_current().is_err()
            {
                let close = live.connection.close(200, "done".into());
                let _ = runtime.block_on(async { tokio::time::timeout(GOODBYE, close).await });
            }
            runtime.shutdown_background();
        }
    }
}
