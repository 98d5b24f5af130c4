//! What the server answers: a request becomes a call of the library, its outcome a reply.
//! Knows nothing of sockets. Work blocks; connections call it on threads of their own.

use super::auth::Access;
use super::json::Json;
use super::reply::{Failure, NO_SUCH_URL, Reply};
use super::request::Request;
use super::route::Route;
use super::storage::{self, Plans, Uploads};
use super::{ai, datasets, jobs, logs, models, pages, scripts, services, tasks, ui};
use crate::broker::Broker;
use crate::error::{Error, ErrorKind, Result};
use crate::omega::Omega;
use crate::progress::{Meter, Progress, Silent, Unit};
use crate::runtime::{
    Logs, Outcome, QueueRuntime, Runtime, SubmitOptions, TaskCall, TaskRecord, TaskSelection,
    outcome,
};
use crate::storage::Key;
use regex::Regex;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// The most characters of what a filter is asked about.
const LONGEST_QUESTION: usize = 2048;

/// Where tasks go that this process does not run itself.
#[derive(Clone)]
pub struct Workers {
    /// The broker.
    pub broker: Arc<dyn Broker>,
    /// The label of the workers.
    pub label: String,
    /// Whether they run what is waited for too; else this process does.
    pub run_all: bool,
}

/// The resources over one place of objects.
pub struct App {
    om: Omega,
    workers: Option<Workers>,
    filter: Vec<Regex>,
    access: Access,
    origins: Vec<String>,
    pages: bool,
    log: String,
    uploads: Uploads,
    plans: Plans,
    followers: Arc<()>,
    stopping: Arc<AtomicBool>,
}

/// Readers that follow the log at a time: each takes a place among the requests.
const FOLLOWERS: usize = 16;

/// Interrupts what goes on for long when the server is to stop.
struct Stopping(Arc<AtomicBool>);

impl Progress for Stopping {
    fn meter(&self, label: &str, total: Option<u64>, unit: Unit) -> Box<dyn Meter> {
        Silent.meter(label, total, unit)
    }

    fn note(&self, message: &str) {
        tracing::info!("{message}");
    }

    fn interrupted(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

/// How an [`App`] answers.
pub struct AppOptions {
    /// `OMEGA_RESTAPI_FILTER`.
    pub filter: Option<String>,
    /// How clients prove who they are.
    pub access: Access,
    /// Other sites whose pages may call it.
    pub origins: Vec<String>,
    /// Whether there is a dashboard.
    pub pages: bool,
    /// The data set that workers log into.
    pub log: String,
}

/// One request and what it may work with.
pub struct Call<'a> {
    /// The request.
    pub request: &'a Request,
    /// The bucket that it names, as its user may see it.
    pub om: Omega,
    app: &'a App,
}

/// What became of a task that was handed in.
pub enum Taken {
    /// It is done.
    Done(Outcome),
    /// It is not done yet; its id.
    Submitted(String),
}

impl App {
    /// The resources over `om`; `workers` run what this process does not.
    ///
    /// # Errors
    /// [`ErrorKind::Usage`] for a filter that is no regular expression.
    pub fn new(om: Omega, workers: Option<Workers>, options: AppOptions) -> Result<Self> {
        let filter = options.filter.as_deref();
        let parts = filter.unwrap_or_default().split(';');
        let filter = parts
            .map(str::trim)
            .filter(|part| !part.is_empty())
            .map(|part| {
                Regex::new(&format!("(?s)^(?:{part})")).map_err(|error| {
                    Error::usage("OMEGA_RESTAPI_FILTER is no regular expression").because(error)
                })
            })
            .collect::<Result<_>>()?;
        Ok(App {
            om,
            workers,
            filter,
            access: options.access,
            origins: options.origins,
            pages: options.pages,
            log: options.log,
            uploads: Uploads::default(),
            plans: Plans::default(),
            followers: Arc::new(()),
            stopping: Arc::default(),
        })
    }

    /// Whether predictions wait for nothing but this machine.
    pub fn predicts_here(&self) -> bool {
        let elsewhere = self.workers.as_ref().is_some_and(|workers| workers.run_all);
        self.om.storage().is_here() && !elsewhere
    }

    /// Ends what goes on for long.
    pub fn stop(&self) {
        self.stopping.store(true, Ordering::Release);
    }

    /// The answer to `request`, which is an error's where there is one.
    pub fn answer(&self, request: &Request, route: &Route) -> Reply {
        let head = request.method == "HEAD";
        let method = if head { "GET" } else { request.method.as_str() };
        if !route.methods().contains(&method) {
            let failure = Failure::new(405, "The method is not allowed for the requested URL.");
            return failure
                .to_reply()
                .header("allow", route.methods().join(", "));
        }
        self.respond(request, route, method)
            .unwrap_or_else(|failure| failure.to_reply())
    }

    /// Whether the sender is anybody that the server knows.
    ///
    /// # Errors
    /// 401, 403 and 429.
    pub fn admit(&self, request: &Request) -> Result<(), Failure> {
        self.check_origin(request, false)?;
        self.access.of(request, &self.om).map(|_| ())
    }

    fn respond(&self, request: &Request, route: &Route, method: &str) -> Result<Reply, Failure> {
        match route {
            Route::Alive => return Ok(Reply::text("text/plain; charset=utf-8", "ok\n")),
            Route::Ready => return self.ready(),
            Route::Root if self.pages => return Ok(Reply::redirect(302, "/index")),
            Route::Root => return Ok(Reply::redirect(302, "/api/docs")),
            Route::Page(_) if !self.pages => return Ok(Reply::no_such_page()),
            Route::Docs => return Ok(Reply::redirect(302, "/api/doc")),
            Route::Doc => return Ok(pages::api()),
            Route::Swagger => return Ok(Reply::json(&pages::swagger())),
            Route::Unknown { api: true } => return Err(Failure::new(404, NO_SUCH_URL)),
            Route::Unknown { api: false } => return Ok(Reply::no_such_page()),
            Route::AddSlash => return Ok(with_slash(request)),
            Route::Ping => {
                let now = chrono::Local::now().naive_local();
                let now = now.format("%Y-%m-%dT%H:%M:%S%.6f").to_string();
                return Ok(Reply::json(&Json::object([("ping", now.into())])));
            }
            _ => {}
        }
        let is_page = matches!(route, Route::Page(_));
        // Going to a page is no call of it, wherever the link stands.
        self.check_origin(request, is_page && method == "GET")?;
        let rights = self
            .access
            .of(request, &self.om)
            .map_err(|failure| match is_page {
                true => failure.asking_browsers(),
                false => failure,
            })?;
        let om = self.om.as_user(&rights);
        let ours = matches!(
            route,
            Route::Store(_) | Route::Tasks | Route::Task(_) | Route::Log
        );
        let by_query = is_page || ours;
        let om = match request.bucket(by_query) {
            Some(bucket) => om.bucket(&bucket),
            None => om,
        };
        let call = Call {
            request,
            om,
            app: self,
        };
        let mut reply = call
            .answer(route, method)
            .unwrap_or_else(|failure| failure.to_reply());
        reply.user = rights.user().map(str::to_owned);
        reply.bucket = Some(call.om.bucket_name().to_owned());
        Ok(reply)
    }

    /// Whether no page of another site has sent the request: browsers say where it is from.
    /// A server that is open to this machine is asked by one of its names only, so that no
    /// other name can be made to lead here.
    ///
    /// # Errors
    /// 403.
    fn check_origin(&self, request: &Request, visit: bool) -> Result<(), Failure> {
        let host = request.header("host").unwrap_or_default();
        let name = host.rsplit_once(':').map_or(host, |(name, port)| {
            match port.chars().all(|digit| digit.is_ascii_digit()) {
                true => name,
                false => host,
            }
        });
        let local = name.eq_ignore_ascii_case("localhost")
            || name
                .trim_matches(['[', ']'])
                .parse::<IpAddr>()
                .is_ok_and(|address| address.is_loopback());
        if self.access.is_open() && !local && !host.is_empty() {
            return Err(Failure::new(403, "this server answers to localhost only"));
        }
        let own = |origin: &str| {
            let host_of = origin.split_once("://").map(|(_, from)| from);
            host_of == Some(host) || self.origins.iter().any(|known| known == origin)
        };
        let foreign = match request.header("origin") {
            Some(origin) => !own(origin),
            // Even GET runs models here; pictures and links are sent without an origin.
            None => matches!(
                request.header("sec-fetch-site"),
                Some("cross-site" | "same-site")
            ),
        };
        match foreign && !visit {
            true => Err(Failure::new(403, "pages of other sites may not do this")),
            false => Ok(()),
        }
    }

    /// Whether objects can be read, within the time limits of the storage.
    fn ready(&self) -> Result<Reply, Failure> {
        let key = Key::new(self.om.bucket_name(), "data/", ".omega/ready");
        match self.om.storage().find(&key) {
            Ok(_) => Ok(Reply::text("text/plain; charset=utf-8", "ready\n")),
            Err(error) => {
                tracing::error!("not ready: {error}");
                Err(Failure::busy(503, "the storage does not answer", 5))
            }
        }
    }
}

impl Call<'_> {
    /// The answer of the resource that is asked for.
    fn answer(&self, route: &Route, method: &str) -> Result<Reply, Failure> {
        match (route, method) {
            (Route::Model(name), _) => models::metadata(self, name),
            (Route::Action(name, action), _) => models::action(self, name, action),
            (Route::Dataset(name), "PUT") => datasets::put(self, name),
            (Route::Dataset(name), "DELETE") => datasets::delete(self, name),
            (Route::Dataset(name), _) => datasets::get(self, name),
            (Route::Script(name), _) => scripts::run(self, name),
            (Route::Jobs, _) => Err(no_attribute("GenericJobResource", "list")),
            (Route::Job(name), _) => jobs::get(self, name),
            (Route::RunJob(name), _) => jobs::run(self, name),
            (Route::Tasks, method) => Ok(storage::told(
                self,
                match method {
                    "POST" => tasks::hand_in(self),
                    _ => tasks::list(self),
                },
            )),
            (Route::Task(id), method) => Ok(storage::told(
                self,
                match method {
                    "DELETE" => tasks::revoke(self, id),
                    _ => tasks::show(self, id),
                },
            )),
            (Route::TaskStatus(id), _) => tasks::status(self, id),
            (Route::TaskResult(id), _) => tasks::result(self, id),
            (Route::Service(name, action), method) => {
                services::call(self, name, action.as_deref(), method)
            }
            (Route::Ai(name), _) => models::metadata(self, name),
            (Route::AiAction(name, action), _) => ai::action(self, name, action),
            (Route::OpenAi(action), _) => ai::named_in_body(self, action),
            (Route::AiModels, _) => ai::models(self),
            (Route::Store(route), method) => Ok(storage::answer(self, route, method)),
            (Route::Log, _) => Ok(storage::told(self, logs::show(self))),
            (Route::Page(page), method) => Ok(ui::show(self, page, method)),
            _ => Err(Failure::new(404, NO_SUCH_URL)),
        }
    }

    /// Whether the filter lets `action` of `name` through.
    ///
    /// # Errors
    /// 400 if not.
    pub fn permit(&self, resource: &str, name: &str, action: &str) -> Result<(), Failure> {
        let question = format!("{resource}/{name}/{action}/");
        let filter = &self.app.filter;
        let short = question.len() <= LONGEST_QUESTION;
        if short && (filter.is_empty() || filter.iter().any(|part| part.is_match(&question))) {
            return Ok(());
        }
        Err(Failure::new(400, format!("{question} is not available")))
    }

    /// Runs a task and waits: here, or on workers where there are some for it.
    pub fn run(&self, call: &TaskCall) -> Result<Outcome, Failure> {
        let options = SubmitOptions::default();
        let outcome = match self.elsewhere(call)? {
            Some(workers) => workers.run(call, &options),
            None => self.om.local_runtime().run(call, &options),
        };
        Ok(outcome?)
    }

    /// The workers that `call` belongs to, unless it is for this process: what only reads
    /// a model that runs here needs nobody else.
    fn elsewhere(&self, call: &TaskCall) -> Result<Option<QueueRuntime>> {
        let Some(workers) = self.app.workers.as_ref().filter(|workers| workers.run_all) else {
            return Ok(None);
        };
        if let TaskCall::Model(model) = call
            && call.is_pure()
            && self.om.models.runs_here(&model.model)?
        {
            return Ok(None);
        }
        Ok(Some(self.queue(workers)))
    }

    /// Whether this process runs what is waited for.
    pub fn runs_here(&self) -> bool {
        let workers = self.app.workers.as_ref();
        workers.is_none_or(|workers| !workers.run_all)
    }

    /// Says when the server is about to stop.
    pub fn stopping(&self) -> Arc<dyn Progress> {
        Arc::new(Stopping(self.app.stopping.clone()))
    }

    /// A place among those who follow the log.
    ///
    /// # Errors
    /// [`ErrorKind::Unreachable`] when there are too many.
    pub fn follower(&self) -> Result<Arc<()>> {
        // One is the server's own.
        match Arc::strong_count(&self.app.followers) > FOLLOWERS {
            true => Err(Error::new(
                ErrorKind::Unreachable,
                "too many readers follow the log",
            )),
            false => Ok(self.app.followers.clone()),
        }
    }

    /// What is being written.
    pub fn uploads(&self) -> &Uploads {
        &self.app.uploads
    }

    /// What is about to be read.
    pub fn plans(&self) -> &Plans {
        &self.app.plans
    }

    /// What workers have logged in the bucket.
    pub fn logs(&self) -> Logs {
        Logs::open(&self.om.datasets, &self.app.log)
    }

    /// How tasks travel, where they do.
    pub fn broker(&self) -> Option<&Arc<dyn Broker>> {
        self.app.workers.as_ref().map(|workers| &workers.broker)
    }

    fn queue(&self, workers: &Workers) -> QueueRuntime {
        self.om
            .queue_runtime(workers.broker.clone(), &workers.label)
    }

    /// Submits a task; its id.
    ///
    /// # Errors
    /// 503 where nobody would run it.
    pub fn submit(&self, call: &TaskCall) -> Result<String, Failure> {
        let Some(workers) = &self.app.workers else {
            return Err(no_workers().into());
        };
        Ok(self
            .queue(workers)
            .submit(call, &SubmitOptions::default())?)
    }

    /// Runs a task here if it only reads, else has it run, and waits for it up to `wait`.
    pub fn take_in(
        &self,
        call: &TaskCall,
        id: Option<&str>,
        options: &SubmitOptions,
        wait: Duration,
    ) -> Result<Taken> {
        let at_once = call.is_pure() && *options == SubmitOptions::default() && !wait.is_zero();
        let Some(workers) = &self.app.workers else {
            return match wait.is_zero() {
                true => Err(no_workers()),
                false => Ok(Taken::Done(self.om.local_runtime().run(call, options)?)),
            };
        };
        if at_once && matches!(call, TaskCall::Model(_)) && self.elsewhere(call)?.is_none() {
            return Ok(Taken::Done(self.om.local_runtime().run(call, options)?));
        }
        let queue = self.queue(workers);
        let id = match id {
            Some(id) => queue.submit_as(id, call, options).map(|()| id.to_owned())?,
            None => queue.submit(call, options)?,
        };
        if wait.is_zero() {
            return Ok(Taken::Submitted(id));
        }
        let record = queue.wait(&id, wait)?;
        match record.state.is_final() {
            true => Ok(Taken::Done(outcome(record, &self.om.objects())?)),
            false => Ok(Taken::Submitted(id)),
        }
    }

    /// Tasks, newest first.
    pub fn tasks(&self, selection: &TaskSelection) -> Result<Vec<TaskRecord>> {
        self.om.tasks().list(selection)
    }

    /// A task, once it is finished or `limit` is over.
    pub fn wait(&self, id: &str, limit: Duration) -> Result<TaskRecord> {
        match &self.app.workers {
            Some(workers) => self.queue(workers).wait(id, limit),
            None => self.om.local_runtime().wait(id, limit),
        }
    }

    /// Calls a task off; whether it was not finished.
    pub fn revoke(&self, id: &str) -> Result<bool> {
        match &self.app.workers {
            Some(workers) => self.queue(workers).revoke(id),
            None => self.om.local_runtime().revoke(id),
        }
    }

    /// What became of a task; none if it is not known.
    pub fn task(&self, id: &str) -> Result<Option<crate::runtime::TaskRecord>, Failure> {
        let found = match &self.app.workers {
            Some(workers) => self.queue(workers).task(id),
            None => self.om.local_runtime().task(id),
        };
        match found {
            Ok(record) => Ok(Some(record)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// 202, with the address of the result.
    pub fn accepted(&self, task: &str, body: &Json) -> Reply {
        Reply::json(body)
            .status(202)
            .header("location", format!("/api/v1/task/{task}/result"))
    }
}

fn no_workers() -> Error {
    let message = "there are no workers for asynchronous calls: set OMEGA_BROKER";
    Error::new(ErrorKind::Unreachable, message)
}

/// What omega|ml raises for an action that a resource has not.
pub fn no_attribute(class: &str, attribute: &str) -> Failure {
    Failure::raised(
        "AttributeError",
        &format!("'{class}' object has no attribute '{attribute}'"),
    )
}

/// Where the same request with a slash behind it goes, as werkzeug has it: with the host.
fn with_slash(request: &Request) -> Reply {
    let query: String = match request.query.is_empty() {
        true => String::new(),
        false => {
            let encode = |text: &str| {
                percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC)
                    .to_string()
            };
            let pairs = request.query.iter();
            let pairs = pairs.map(|(name, value)| format!("{}={}", encode(name), encode(value)));
            format!("?{}", pairs.collect::<Vec<_>>().join("&"))
        }
    };
    let host = request.header("host").unwrap_or_default();
    let plain = |letter: char| letter.is_ascii_alphanumeric() || ".:-[]".contains(letter);
    let origin = match !host.is_empty() && host.chars().all(plain) {
        true => format!("http://{host}"),
        false => String::new(),
    };
    Reply::redirect(308, &format!("{origin}{}/{query}", request.raw_path))
}
