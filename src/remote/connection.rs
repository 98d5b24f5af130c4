//! Requests and answers.

use super::body::Body;
use super::wire;
use crate::config::{RemoteSettings, Url};
use crate::error::{Context, Error, ErrorKind, Result};
use crate::progress::{self, Progress};
use bson::Document;
use hyper::body::Bytes;
use reqwest::header::{CONTENT_TYPE, HeaderMap, RETRY_AFTER};
use reqwest::{Certificate, Client, Method, Response, StatusCode};
use serde_json::Value;
use std::borrow::Cow;
use std::future::Future;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::runtime::Runtime;

/// How long a connection waits for its next request: shorter than servers let it wait.
const IDLE: Duration = Duration::from_secs(15);

/// How often a request is sent that can be sent again.
const ATTEMPTS: u32 = 5;

/// How long the last words of who stops may take.
const LAST: Duration = Duration::from_secs(1);

/// The pause before the second attempt; it doubles.
const PAUSE: Duration = Duration::from_millis(200);

/// The longest pause, whatever a server asks for.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// Bytes of an answer that is read whole.
const LARGEST: usize = 256 << 20;

/// A connected client and the thread it runs on. Nothing is sent before the first request.
pub struct Server {
    runtime: Runtime,
    client: OnceLock<Client>,
    settings: RemoteSettings,
    progress: Arc<dyn Progress>,
    /// Whether it has ever answered.
    heard: AtomicBool,
    /// Whether what answers has not what our servers have.
    strange: AtomicBool,
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server")
            .field("url", &self.settings.url)
            .finish_non_exhaustive()
    }
}

/// What is asked.
#[derive(Debug, Clone)]
pub struct Ask<'a> {
    method: Method,
    path: String,
    query: Vec<(Cow<'a, str>, String)>,
    bucket: Option<&'a str>,
    headers: Vec<(&'static str, String)>,
    body: Option<(&'static str, Bytes)>,
    again: bool,
}

impl<'a> Ask<'a> {
    /// Asks for what is at `path`; asked again it is the same.
    pub fn get(path: impl Into<String>) -> Self {
        Self::new(Method::GET, path, true)
    }

    /// Sends something to `path`, once.
    pub fn post(path: impl Into<String>) -> Self {
        Self::new(Method::POST, path, false)
    }

    /// Sends something to `path`; sent again it is the same.
    pub fn put(path: impl Into<String>) -> Self {
        Self::new(Method::PUT, path, true)
    }

    /// Changes what is at `path`, once.
    pub fn patch(path: impl Into<String>) -> Self {
        Self::new(Method::PATCH, path, false)
    }

    /// Removes what is at `path`, once.
    pub fn delete(path: impl Into<String>) -> Self {
        Self::new(Method::DELETE, path, false)
    }

    fn new(method: Method, path: impl Into<String>, again: bool) -> Self {
        Ask {
            method,
            path: path.into(),
            query: Vec::new(),
            bucket: None,
            headers: Vec::new(),
            body: None,
            again,
        }
    }

    /// In a bucket.
    pub fn of(mut self, bucket: &'a str) -> Self {
        self.bucket = Some(bucket);
        self
    }

    /// With these parameters.
    pub fn with(mut self, query: impl IntoIterator<Item = (&'a str, String)>) -> Self {
        let query = query.into_iter();
        self.query
            .extend(query.map(|(name, value)| (name.into(), value)));
        self
    }

    /// With these parameters.
    pub fn named(mut self, query: Vec<(String, String)>) -> Self {
        let query = query.into_iter();
        self.query
            .extend(query.map(|(name, value)| (name.into(), value)));
        self
    }

    /// In a bucket, told as omega|ml's clients do.
    pub fn within(mut self, bucket: &str) -> Self {
        self.headers.push(("bucket", bucket.to_owned()));
        self
    }

    /// With a header.
    pub fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// With a body.
    pub fn body(mut self, media_type: &'static str, body: Vec<u8>) -> Self {
        self.body = Some((media_type, body.into()));
        self
    }

    /// With a document as the body.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] for what BSON cannot hold.
    pub fn document(self, document: &Document) -> Result<Self> {
        Ok(self.body(wire::BSON, wire::bytes(document)?))
    }

    /// With JSON as the body.
    pub fn json(self, value: &Value) -> Self {
        self.body("application/json", value.to_string().into_bytes())
    }

    /// Asked again it is the same, whatever the method.
    pub fn repeatable(mut self) -> Self {
        self.again = true;
        self
    }
}

/// What a server answered, which is no error.
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The body, still to be read.
    pub body: Body,
}

impl Answer {
    /// A header's text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The whole body.
    ///
    /// # Errors
    /// [`ErrorKind::Unreachable`] when it is cut short.
    pub fn bytes(self) -> Result<Vec<u8>> {
        self.body.whole(LARGEST)
    }

    /// The body as a document.
    ///
    /// # Errors
    /// As [`Answer::bytes`]; [`ErrorKind::Invalid`] when it is none.
    pub fn document(self) -> Result<Document> {
        wire::document(&self.bytes()?)
            .map_err(|error| Error::invalid("the server's answer is not understood").because(error))
    }

    /// The body as JSON.
    ///
    /// # Errors
    /// As [`Answer::bytes`]; [`ErrorKind::Invalid`] when it is none.
    pub fn json(self) -> Result<Value> {
        serde_json::from_slice(&self.bytes()?).context(|| "the server's answer is not understood")
    }
}

impl Server {
    /// A client of the server that the settings name.
    ///
    /// # Errors
    /// That no thread can be had.
    pub fn open(settings: RemoteSettings, progress: Arc<dyn Progress>) -> Result<Arc<Self>> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("om-remote")
            .enable_all()
            .build()
            .context(|| "cannot start a thread for the server")?;
        Ok(Arc::new(Server {
            runtime,
            client: OnceLock::new(),
            settings,
            progress,
            heard: AtomicBool::new(false),
            strange: AtomicBool::new(false),
        }))
    }

    /// Where it is, for people.
    pub fn url(&self) -> &Url {
        &self.settings.url
    }

    /// Whether what answers there has turned out to be no server of ours.
    pub fn is_strange(&self) -> bool {
        self.strange.load(Ordering::Relaxed)
    }

    /// What the default bucket is called here.
    pub fn default_bucket(&self) -> &str {
        &self.settings.default_bucket
    }

    /// Who waits.
    pub fn progress(&self) -> &Arc<dyn Progress> {
        &self.progress
    }

    /// Sends a request; the answer is no error.
    ///
    /// # Errors
    /// What the server says, [`ErrorKind::Unreachable`] when it does not.
    pub fn ask(self: &Arc<Self>, ask: &Ask<'_>) -> Result<Answer> {
        let mut pause = PAUSE;
        for attempt in 1.. {
            let outcome = self.once(ask);
            let (error, asked) = match outcome {
                Ok(answer) => return Ok(answer),
                Err(Failed { error, pause }) => (error, pause),
            };
            let lost = asked.is_some() && ask.again && attempt < ATTEMPTS;
            if !lost {
                return Err(error);
            }
            let wait = asked.unwrap_or_default().max(pause).min(LONGEST_PAUSE);
            tracing::debug!("asked again in {wait:?}: {error}");
            self.wait(async { tokio::time::sleep(wait).await })?;
            pause *= 2;
        }
        Err(Error::failed("the server was not asked"))
    }

    /// Sends a request that a moment is left for, whoever wants to stop.
    pub fn last_words(self: &Arc<Self>, ask: &Ask<'_>) {
        let sent = self.request(ask).map(|request| {
            self.runtime
                .block_on(async { tokio::time::timeout(LAST, request.send()).await })
        });
        if !matches!(sent, Ok(Ok(Ok(_)))) {
            tracing::debug!("{} {} was not heard", ask.method, ask.path);
        }
    }

    fn once(self: &Arc<Self>, ask: &Ask<'_>) -> std::result::Result<Answer, Failed> {
        let request = self.request(ask)?;
        tracing::debug!("{} {}{}", ask.method, self.settings.url, ask.path);
        let response = self.wait(request.send())?;
        let response = response.map_err(|error| self.lost(error))?;
        self.heard.store(true, Ordering::Relaxed);
        if response.status().is_success() {
            return Ok(Answer {
                status: response.status().as_u16(),
                headers: response.headers().clone(),
                body: Body::new(self.clone(), response),
            });
        }
        Err(self.refused(ask, response))
    }

    fn request(&self, ask: &Ask<'_>) -> Result<reqwest::RequestBuilder> {
        let client = self.client()?;
        let url = self.address(ask)?;
        let settings = &self.settings;
        let (user, key) = (settings.user.as_str(), settings.key.reveal());
        // A signed token, as omega|ml tells it (spec/rest.md §2).
        let token = user.starts_with("jwt:") || key.matches('.').count() == 2;
        let secret = match token {
            true => format!("Bearer {key}"),
            false => format!("ApiKey {user}:{key}"),
        };
        let mut secret = reqwest::header::HeaderValue::from_str(&secret).map_err(|_| {
            Error::usage("the user id or the API key cannot be sent").on("OMEGA_APIKEY")
        })?;
        secret.set_sensitive(true);
        let mut request = client
            .request(ask.method.clone(), url)
            .header("authorization", secret)
            .header("accept", wire::BSON);
        if let Some(qualifier) = &settings.qualifier {
            request = request.header("qualifier", qualifier);
        }
        for (name, value) in &ask.headers {
            request = request.header(*name, value);
        }
        if let Some((media_type, body)) = &ask.body {
            request = request
                .header(CONTENT_TYPE, *media_type)
                .header(wire::DIGEST, wire::digest(body))
                .body(body.clone());
        }
        Ok(request)
    }

    fn address(&self, ask: &Ask<'_>) -> Result<reqwest::Url> {
        let base = self.settings.url.reveal();
        let bad = || {
            Error::usage("no URL of a server: http://host:port or https://host")
                .on(format!("OMEGA_RESTAPI_URL {}", self.settings.url))
        };
        let there = reqwest::Url::parse(base).map_err(|_| bad())?;
        if !matches!(there.scheme(), "http" | "https") || !there.has_host() {
            return Err(bad());
        }
        let base = base.trim_end_matches('/');
        let mut url = reqwest::Url::parse(&format!("{base}{}", ask.path)).map_err(|_| bad())?;
        // The default bucket may have another name there.
        let bucket = ask.bucket.map(|bucket| match bucket {
            bucket if bucket == self.settings.default_bucket => "default",
            bucket => bucket,
        });
        if !ask.query.is_empty() || bucket.is_some() {
            let query = ask
                .query
                .iter()
                .map(|(name, value)| (name.as_ref(), value.as_str()));
            url.query_pairs_mut()
                .extend_pairs(query)
                .extend_pairs(bucket.map(|bucket| ("bucket", bucket)));
        }
        Ok(url)
    }

    fn client(&self) -> Result<&Client> {
        if let Some(client) = self.client.get() {
            return Ok(client);
        }
        // The first use of TLS in this process decides for all; a second call is no error.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut builder = Client::builder()
            .user_agent(concat!("om/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(self.settings.timeout)
            .tcp_keepalive(Duration::from_secs(30))
            .pool_idle_timeout(IDLE)
            .redirect(reqwest::redirect::Policy::none());
        if let Some(file) = &self.settings.ca_file {
            let on = || format!("CA_CERTS_PATH {}", file.display());
            let text = std::fs::read(file)
                .context(|| "the file of certificates cannot be read")
                .map_err(|error| error.on(on()))?;
            let certificates = Certificate::from_pem_bundle(&text).map_err(|error| {
                Error::usage("no certificates in PEM")
                    .on(on())
                    .because(error)
            })?;
            builder = builder.tls_certs_only(certificates);
        }
        let client = {
            let _context = self.runtime.enter();
            builder
                .build()
                .map_err(|error| Error::failed("cannot make a client").because(error))?
        };
        Ok(self.client.get_or_init(|| client))
    }

    /// Waits for `work`, looking from time to time whether the user wants it to stop.
    pub(super) fn wait<T>(&self, work: impl Future<Output = T>) -> Result<T> {
        progress::wait(self.runtime.handle(), &*self.progress, work)
    }

    /// A request that was not answered.
    pub(super) fn lost(&self, error: reqwest::Error) -> Failed {
        let nobody = error.is_connect();
        let timed_out = error.is_timeout();
        let mut cause: &dyn std::error::Error = &error;
        while let Some(inner) = cause.source() {
            cause = inner;
        }
        let cause = cause.to_string();
        let url = &self.settings.url;
        let message = match (nobody, timed_out) {
            (true, true) => format!("cannot reach {url} within {:?}", self.settings.timeout),
            (true, false) => format!("cannot reach {url}: {cause}"),
            (false, _) => format!("{url} has not answered: {cause}"),
        };
        Failed {
            error: Error::new(ErrorKind::Unreachable, message)
                .hint("is the server running? see: om doctor"),
            // A first attempt that finds nobody is the last.
            pause: (!nobody || self.heard.load(Ordering::Relaxed)).then_some(Duration::ZERO),
        }
    }

    /// An answer that is an error.
    fn refused(self: &Arc<Self>, ask: &Ask<'_>, response: Response) -> Failed {
        let status = response.status();
        let header = |name| response.headers().get(name)?.to_str().ok();
        let again = header(RETRY_AFTER.as_str()).and_then(|text| text.parse().ok());
        let pause = match status {
            StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS => {
                Some(Duration::from_secs(again.unwrap_or(1)))
            }
            StatusCode::BAD_GATEWAY | StatusCode::GATEWAY_TIMEOUT => Some(Duration::ZERO),
            _ => None,
        };
        let media_type = header(CONTENT_TYPE.as_str()).unwrap_or_default().to_owned();
        let body = Body::new(self.clone(), response).whole(1 << 20);
        let error = match (media_type.as_str(), &body) {
            (wire::BSON, Ok(body)) => wire::document(body).ok().map(|sent| wire::error_of(&sent)),
            _ if status == StatusCode::NOT_FOUND && wire::is_extension(&ask.path) => {
                Some(self.stranger())
            }
            (_, Ok(body)) => self.told(status, body),
            (_, Err(_)) => None,
        };
        let error = error.unwrap_or_else(|| {
            Error::new(
                kind_of(status),
                format!("{} answers: {status}", self.settings.url),
            )
        });
        let error = match error.kind() {
            ErrorKind::Unauthorized if status == StatusCode::UNAUTHORIZED => error.hint(
                "the user id and the key are OMEGA_USERID and OMEGA_APIKEY; see: om cloud login",
            ),
            _ => error,
        };
        Failed { error, pause }
    }

    /// What answers has not what our servers have.
    fn stranger(&self) -> Error {
        self.strange.store(true, Ordering::Relaxed);
        Error::failed(format!("{} is no server of om's", self.settings.url)).hint(
            "Python omega|ml's server runs models, jobs and scripts, gives and takes tables, but \
             lists nothing and has no other objects for om: use its database, OMEGA_MONGO_URL",
        )
    }

    /// What a server says as omega|ml does: a JSON object with a message.
    fn told(&self, status: StatusCode, body: &[u8]) -> Option<Error> {
        let value: Value = serde_json::from_slice(body).ok()?;
        let message = value.get("message")?.as_str()?;
        Some(Error::new(kind_of(status), message))
    }
}

/// What a status amounts to.
fn kind_of(status: StatusCode) -> ErrorKind {
    match status.as_u16() {
        401 | 403 => ErrorKind::Unauthorized,
        404 | 410 => ErrorKind::NotFound,
        409 | 412 => ErrorKind::Conflict,
        408 | 504 => ErrorKind::TimedOut,
        400 | 405 | 413 | 415 | 422 => ErrorKind::Invalid,
        429 | 502 | 503 => ErrorKind::Unreachable,
        _ => ErrorKind::Failed,
    }
}

/// Why a request failed, and after which pause it may be sent again.
pub(super) struct Failed {
    pub error: Error,
    pub pause: Option<Duration>,
}

impl From<Error> for Failed {
    fn from(error: Error) -> Self {
        Failed { error, pause: None }
    }
}
