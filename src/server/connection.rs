//! Connections: HTTP/1.1 with or without TLS, and the bounds that no client gets beyond.

use super::Limits;
use super::app::App;
use super::metrics::Metrics;
use super::quick::Quick;
use super::reply::{Failure, Reply};
use super::request::Request;
use super::route::Route;
use super::stream;
use super::tls::Tls;
use crate::error::{Error, Result};
use crate::runtime::task_id;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::{Body, Bytes, Incoming};
use hyper::header::{HeaderName, HeaderValue};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use std::convert::Infallible;
use std::io;
use std::net::IpAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tower::Layer;
use tower_http::compression::CompressionLayer;
use tower_http::compression::predicate::{DefaultPredicate, Predicate, SizeAbove};
use tower_http::cors::CorsLayer;

/// How long a request waits for its turn.
const TURN: Duration = Duration::from_secs(2);

/// Bodies of the largest size that are in memory together.
const BODIES: usize = 8;

/// Bytes of a head.
const HEAD: usize = 64 << 10;

/// How long a client may take no bytes of an answer that is made while it is sent.
const STALL: Duration = Duration::from_secs(120);

type Response = hyper::Response<UnsyncBoxBody<Bytes, io::Error>>;

/// What all connections share.
pub struct Shared {
    app: Arc<App>,
    tls: Option<Tls>,
    limits: Limits,
    cors: CorsLayer,
    metrics: Metrics,
    quick: Quick,
    requests: Arc<Semaphore>,
    connections: Arc<Semaphore>,
    /// Kilobytes that bodies may take together.
    bodies: Arc<Semaphore>,
    stopping: watch::Sender<bool>,
}

impl Shared {
    /// # Errors
    /// [`crate::ErrorKind::Usage`] for an origin that is none.
    pub fn new(app: App, tls: Option<Tls>, limits: Limits, origins: &[String]) -> Result<Self> {
        let origins = origins
            .iter()
            .map(|origin| {
                origin
                    .parse()
                    .map_err(|_| Error::usage(format!("`{origin}` is no origin")))
            })
            .collect::<Result<Vec<HeaderValue>>>()?;
        let cors = match origins.is_empty() {
            true => CorsLayer::new(),
            false => CorsLayer::new()
                .allow_origin(origins)
                .allow_methods(tower_http::cors::AllowMethods::mirror_request())
                .allow_headers(tower_http::cors::AllowHeaders::mirror_request()),
        };
        Ok(Shared {
            quick: Quick::new(app.predicts_here()),
            app: Arc::new(app),
            tls,
            requests: Arc::new(Semaphore::new(limits.requests)),
            connections: Arc::new(Semaphore::new(limits.connections)),
            bodies: Arc::new(Semaphore::new(
                (limits.body / 1024 + 1).saturating_mul(BODIES),
            )),
            limits,
            cors,
            metrics: Metrics::default(),
            stopping: watch::Sender::new(false),
        })
    }

    /// Lets connections end with what they are doing, at most for `grace`.
    pub async fn stop(&self, grace: Duration) {
        self.stopping.send_replace(true);
        self.app.stop();
        let all = u32::try_from(self.limits.connections).unwrap_or(u32::MAX);
        let ended = self.connections.acquire_many(all);
        if tokio::time::timeout(grace, ended).await.is_err() {
            tracing::warn!("some connections were cut");
        }
    }
}

/// Takes connections for ever.
pub async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    loop {
        let Ok(place) = shared.connections.clone().acquire_owned().await else {
            return;
        };
        let (stream, peer) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                // Out of file descriptors: others have to end first.
                tracing::warn!("cannot take a connection: {error}");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let _ = stream.set_nodelay(true);
        let shared = shared.clone();
        tokio::spawn(async move {
            shared.metrics.connections.inc();
            match &shared.tls {
                None => connection(stream, peer.ip(), &shared).await,
                Some(tls) => {
                    let hello = tls.acceptor().accept(stream);
                    match tokio::time::timeout(shared.limits.head_time, hello).await {
                        Ok(Ok(stream)) => connection(stream, peer.ip(), &shared).await,
                        Ok(Err(error)) => tracing::debug!("no TLS with {peer}: {error}"),
                        Err(_) => tracing::debug!("no TLS with {peer} in time"),
                    }
                }
            }
            shared.metrics.connections.dec();
            drop(place);
        });
    }
}

async fn connection<S>(stream: S, peer: IpAddr, shared: &Arc<Shared>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let of = shared.clone();
    let service = tower::service_fn(move |request| {
        let shared = of.clone();
        async move { Ok::<Response, Infallible>(answer(request, peer, shared).await) }
    });
    let worth = DefaultPredicate::new().and(SizeAbove::new(1024));
    let service = CompressionLayer::new().compress_when(worth).layer(service);
    let service = shared.cors.layer(service);
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(shared.limits.head_time)
        .max_buf_size(HEAD)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(service));
    let mut connection = std::pin::pin!(connection);
    let mut stopping = shared.stopping.subscribe();
    let stop = async move { stopping.wait_for(|stopping| *stopping).await.is_ok() };
    let ended = tokio::select! {
        ended = connection.as_mut() => Some(ended),
        _ = stop => None,
    };
    let ended = match ended {
        Some(ended) => ended,
        None => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!("a connection of {peer} ended: {error}");
    }
}

/// The answer to a request, whatever happens.
async fn answer(request: hyper::Request<Incoming>, peer: IpAddr, shared: Arc<Shared>) -> Response {
    let began = Instant::now();
    let (head, body) = request.into_parts();
    let given = head.headers.get("x-request-id").cloned();
    let sane = |id: &HeaderValue| {
        let id = id.as_bytes();
        id.len() <= 128
            && id
                .iter()
                .all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(b))
    };
    let id = given.filter(sane).or_else(|| task_id().try_into().ok());
    let method = head.method.as_str().to_owned();
    let target = match head.uri.path_and_query() {
        Some(target) => target.as_str().to_owned(),
        None => head.uri.path().to_owned(),
    };
    let (route, (mut reply, turn)) = match read(&head, &method, &target, body, peer, &shared).await
    {
        // The room of the body is its own until the answer is made.
        Ok((request, _room)) => {
            let route = Route::asked(&request.path, &request.raw_path);
            let label = route.label();
            shared.metrics.running.inc();
            let reply = run(request, route, &shared).await;
            shared.metrics.running.dec();
            (label, reply)
        }
        Err(failure) => ("none", (failure.to_reply(), None)),
    };
    let took = began.elapsed();
    shared.metrics.answered(route, &method, reply.status, took);
    tracing::info!(
        target: "access",
        peer = %peer,
        method,
        path = %head.uri.path(),
        status = reply.status,
        bytes = reply.body.len(),
        milliseconds = took.as_secs_f64() * 1e3,
        user = reply.user.as_deref().unwrap_or_default(),
        request = id.as_ref().and_then(|id| id.to_str().ok()).unwrap_or_default(),
    );
    if !matches!(method.as_str(), "GET" | "HEAD" | "OPTIONS") {
        tracing::info!(
            target: "audit",
            user = reply.user.as_deref().unwrap_or_default(),
            peer = %peer,
            method,
            path = %head.uri.path(),
            bucket = reply.bucket.as_deref().unwrap_or_default(),
            status = reply.status,
            request = id.as_ref().and_then(|id| id.to_str().ok()).unwrap_or_default(),
        );
    }
    let stream = reply.stream.take().filter(|_| method != "HEAD");
    let mut response = response(reply);
    if let Some(stream) = stream {
        *response.body_mut() = stream::start(stream, STALL, turn).boxed_unsync();
    }
    if let Some(id) = id {
        response.headers_mut().insert("x-request-id", id);
    }
    response
}

/// The whole request, within the bounds.
async fn read(
    head: &hyper::http::request::Parts,
    method: &str,
    target: &str,
    body: Incoming,
    peer: IpAddr,
    shared: &Shared,
) -> Result<(Request, OwnedSemaphorePermit), Failure> {
    let limits = &shared.limits;
    let too_large = || Failure::new(413, "the body is too large");
    let most = u64::try_from(limits.body).unwrap_or(u64::MAX);
    let size = body.size_hint();
    if size.lower() > most {
        return Err(too_large());
    }
    let size = size.upper().unwrap_or(most).min(most);
    let size = u32::try_from(size.div_ceil(1024)).unwrap_or(u32::MAX);
    let room = shared.bodies.clone().acquire_many_owned(size);
    let Ok(Ok(room)) = tokio::time::timeout(TURN, room).await else {
        return Err(Failure::busy(503, "the server is busy", 1));
    };
    let body = Limited::new(body, limits.body).collect();
    let body = match tokio::time::timeout(limits.body_time, body).await {
        Err(_) => return Err(Failure::new(408, "the body took too long")),
        Ok(Err(error)) if error.is::<LengthLimitError>() => return Err(too_large()),
        Ok(Err(_)) => return Err(Failure::new(400, "the body could not be read")),
        Ok(Ok(body)) => body.to_bytes().to_vec(),
    };
    let mut request = Request::new(method, target, head.headers.clone(), body)?;
    request.peer = Some(peer);
    Ok((request, room))
}

/// Runs a request on a thread of its own, when it is its turn, which lasts until the answer
/// is sent where it is made meanwhile.
async fn run(
    request: Request,
    route: Route,
    shared: &Arc<Shared>,
) -> (Reply, Option<OwnedSemaphorePermit>) {
    // What tells how the server does must not wait for what it does.
    match route {
        Route::Alive => return (shared.app.answer(&request, &route), None),
        Route::Metrics if matches!(request.method.as_str(), "GET" | "HEAD") => {
            let app = shared.app.clone();
            let admitted = tokio::task::spawn_blocking(move || app.admit(&request)).await;
            let reply = match admitted {
                Ok(Ok(())) => Reply::text(
                    "application/openmetrics-text; version=1.0.0; charset=utf-8",
                    shared.metrics.text(),
                ),
                Ok(Err(failure)) => failure.to_reply(),
                Err(_) => Failure::new(500, "Internal Server Error").to_reply(),
            };
            return (reply, None);
        }
        _ => {}
    }
    let busy = || (Failure::busy(503, "the server is busy", 1).to_reply(), None);
    let turn = shared.requests.clone().acquire_owned();
    let Ok(Ok(turn)) = tokio::time::timeout(TURN, turn).await else {
        return busy();
    };
    let app = shared.app.clone();
    let key = shared.quick.key(&request, &route);
    let is_quick = key.as_deref().is_some_and(|key| shared.quick.is(key));
    let work = move || {
        let began = Instant::now();
        let reply = app.answer(&request, &route);
        // The turn ends with the work, however long anybody waits for it.
        (reply, began.elapsed(), turn)
    };
    let answered = match is_quick {
        true => Ok(catch_unwind(AssertUnwindSafe(work)).map_err(|_| "it has panicked".to_owned())),
        false => {
            let work = tokio::task::spawn_blocking(work);
            let work = tokio::time::timeout(shared.limits.answer_time, work).await;
            work.map(|done| done.map_err(|error| error.to_string()))
        }
    };
    match answered {
        Ok(Ok((reply, took, turn))) => {
            if let Some(key) = key {
                shared.quick.took(key, took);
            }
            (reply, Some(turn))
        }
        Ok(Err(error)) => {
            tracing::error!("a request could not be answered: {error}");
            (Failure::new(500, "Internal Server Error").to_reply(), None)
        }
        Err(_) => (
            Failure::busy(504, "the answer took too long", 5).to_reply(),
            None,
        ),
    }
}

fn response(reply: Reply) -> Response {
    let mut response = {
        let body = Full::new(Bytes::from(reply.body)).map_err(|never| match never {});
        hyper::Response::new(body.boxed_unsync())
    };
    *response.status_mut() = hyper::StatusCode::from_u16(reply.status)
        .unwrap_or(hyper::StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    headers.insert("content-type", HeaderValue::from_static(reply.content_type));
    headers.insert(
        "x-content-type-options",
        HeaderValue::from_static("nosniff"),
    );
    for (name, value) in reply.headers {
        // Names can hold what no header may.
        let value = percent_encoding::utf8_percent_encode(&value, percent_encoding::CONTROLS);
        if let Ok(value) = HeaderValue::from_str(&value.to_string()) {
            headers.insert(HeaderName::from_static(name), value);
        }
    }
    response
}
