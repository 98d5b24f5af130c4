//! `om server` itself, and `om runtime serve`, which is the same.

use crate::access::Book;
use crate::broker::{self, Broker};
use crate::cli::Session;
use crate::cli::app::parse_duration;
use crate::cli::runtime::configured;
use crate::config::{Config, Profile};
use crate::error::{Context, Error, Result};
use crate::omega::Omega;
use crate::progress::{Meter, Progress, Silent, Unit};
use crate::runtime::{LEASE, WorkerOptions, WorkerResources, host, work};
use crate::server::auth::{Access, TokenKey};
use crate::server::{App, AppOptions, Limits, Server, TlsFiles, Workers};
use clap::{Args, ValueHint};
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// How it is used.
pub const EXAMPLES: &str = "\
Examples:
  om server
  om server --port 8000 'model/iris/predict' 'job/.*/run'
  om server --warm 'iris-*,prices'
  om server --ip 0.0.0.0 --tls-cert cert.pem --tls-key key.pem
  om server users add eva --grant run
  om server keys create eva";

/// Serve the REST API.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  om runtime serve
  om runtime serve --port 8000
  om runtime serve 'model/iris/predict' 'job/.*/run'")]
pub struct Start {
    /// What is served: expressions on RESOURCE/NAME/ACTION [default: OMEGA_RESTAPI_FILTER]
    #[arg(value_name = "RULE")]
    rules: Vec<String>,
    /// File of rules, one a line; # starts a comment
    #[arg(long = "rules", id = "rules_file", value_name = "FILE", value_hint = ValueHint::FilePath)]
    rules_file: Option<PathBuf>,
    /// Port; 0: any that is free
    #[arg(long, value_name = "NUMBER", default_value_t = 5000)]
    port: u16,
    /// Address to listen at; others than this machine's own need users
    #[arg(
        long,
        visible_alias = "host",
        value_name = "ADDRESS",
        default_value = "127.0.0.1"
    )]
    ip: IpAddr,
    /// Open these models before the first call, such as 'iris-*'
    #[arg(long, value_name = "MODEL", value_delimiter = ',')]
    warm: Vec<String>,
    /// Serve the dashboard too, as is done on this machine's own addresses
    #[arg(long, overrides_with = "no_ui")]
    ui: bool,
    /// Serve the API only
    #[arg(long)]
    no_ui: bool,
    /// Certificate in PEM, with those above it; read again when it changes
    #[arg(long, value_name = "FILE", requires = "tls_key", value_hint = ValueHint::FilePath)]
    tls_cert: Option<PathBuf>,
    /// The certificate's private key in PEM
    #[arg(long, value_name = "FILE", requires = "tls_cert", value_hint = ValueHint::FilePath)]
    tls_key: Option<PathBuf>,
    /// Take bearer tokens (JWT) signed with this key: a public key in PEM, or a secret
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    token_key: Option<PathBuf>,
    /// Want credentials even if there are no users yet
    #[arg(long)]
    require_auth: bool,
    /// Sites whose pages may call the server
    #[arg(long = "cors", value_name = "ORIGIN", value_delimiter = ',')]
    origins: Vec<String>,
    /// Megabytes of a request's body
    #[arg(long, value_name = "MB", default_value_t = 64, hide_short_help = true)]
    max_body: usize,
    /// Requests at the same time
    #[arg(long, value_name = "NUMBER", default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..=4096), hide_short_help = true)]
    max_requests: u16,
    /// Time for an answer
    #[arg(long, value_name = "DURATION", value_parser = parse_duration, default_value = "10m", hide_short_help = true)]
    answer_time: Duration,
    /// Time to finish what runs when it is stopped
    #[arg(long, value_name = "DURATION", value_parser = parse_duration, default_value = "30s", hide_short_help = true)]
    grace: Duration,
}

impl Start {
    /// Runs the command.
    pub fn run(self, session: &Session) -> Result<()> {
        let config = session.config()?;
        let calm = Arc::new(Calm(session.progress()));
        let stop = Arc::new(AtomicBool::new(false));
        let om = Omega::open(config, calm.clone())?;
        let access = self.access(&om)?;
        let open = access.is_open();
        let workers = workers(config, calm)?;
        let tls = self.tls_cert.clone().zip(self.tls_key.clone());
        let tls = tls.map(|(certificate, key)| TlsFiles { certificate, key });
        let limits = Limits {
            body: self.max_body.saturating_mul(1 << 20),
            requests: self.max_requests.into(),
            answer_time: self.answer_time,
            grace: self.grace,
            ..Limits::default()
        };
        let address = SocketAddr::new(self.ip, self.port);
        let options = AppOptions {
            filter: self.filter(config)?,
            access,
            origins: self.origins.clone(),
            log: config.log_dataset(),
            pages: self.ui || (self.ip.is_loopback() && !self.no_ui),
        };
        self.warm(&om, session)?;
        let app = App::new(om.clone(), workers.clone(), options)?;
        let server = Server::bind(address, tls, limits, self.origins)?;
        let own = workers.filter(|workers| !workers.run_all);
        let worker = own.map(|own| self::worker(config, &om, own, stop.clone()));
        // Whoever starts it as a program reads where it is.
        session.output.line(server.url())?;
        let who = if open {
            "everybody on this machine"
        } else {
            "users with a key"
        };
        session.progress.note(&format!(
            "serving {} to {who}; Ctrl-C stops",
            om.storage().location()
        ));
        let served = server.serve(app, &session.progress);
        stop.store(true, Ordering::Release);
        if let Some(worker) = worker.transpose()?
            && worker.join().is_err()
        {
            tracing::error!("the worker of the server has crashed");
        }
        served
    }

    /// Opens models, and starts the programs that run those which do not run here.
    fn warm(&self, om: &Omega, session: &Session) -> Result<()> {
        let objects = om.objects();
        for pattern in &self.warm {
            for name in om.models.expand(pattern)? {
                if om.models.open(&name)?.is_none() {
                    let kind = om.models.metadata(&name)?.kind;
                    objects.backends.warm(&kind, &session.progress)?;
                }
                tracing::info!("{name} is ready");
            }
        }
        Ok(())
    }

    fn access(&self, om: &Omega) -> Result<Access> {
        let public = !self.ip.is_loopback();
        let wanted = self.require_auth || self.token_key.is_some();
        let nobody = Book::of(om.storage().as_ref()).is_empty()?;
        if public && nobody {
            return Err(Error::usage(format!(
                "{} can be reached by others, and there are no users to tell apart",
                self.ip
            ))
            .hint("add one: om server users add NAME; om server keys create NAME"));
        }
        if nobody && !wanted {
            return Ok(Access::Open);
        }
        let read = |path: &PathBuf| {
            let shown = path.display().to_string();
            let bytes = std::fs::read(path).context(|| format!("cannot read {shown}"))?;
            TokenKey::new(&bytes).map_err(|error| error.on(shown))
        };
        Ok(Access::keys(self.token_key.as_ref().map(read).transpose()?))
    }

    fn filter(&self, config: &Config) -> Result<Option<String>> {
        let mut rules = self.rules.clone();
        if let Some(path) = &self.rules_file {
            let shown = path.display().to_string();
            let text = std::fs::read_to_string(path).context(|| format!("cannot read {shown}"))?;
            let lines = text
                .lines()
                .map(|line| line.split('#').next().unwrap_or_default());
            let lines = lines.map(str::trim).filter(|line| !line.is_empty());
            rules.extend(lines.map(str::to_owned));
        }
        Ok(match rules.is_empty() {
            true => config.text("OMEGA_RESTAPI_FILTER"),
            false => Some(rules.join(";")),
        })
    }
}

/// Who runs asynchronous calls: a cluster's workers, where it has a broker; for a store in a
/// directory this process itself.
fn workers(config: &Config, progress: Arc<dyn Progress>) -> Result<Option<Workers>> {
    let run_all = match config.profile() {
        Profile::Cluster { broker: None, .. } | Profile::Remote { .. } => return Ok(None),
        Profile::Cluster { .. } => !config.local_runtime(),
        _ => false,
    };
    let options = broker::Options {
        progress,
        ..broker::Options::default()
    };
    Ok(Some(Workers {
        broker: Arc::from(broker::open(&config.broker()?, options)?),
        label: config.worker_label(),
        run_all,
    }))
}

/// Starts a worker in this process.
fn worker(
    config: &Config,
    om: &Omega,
    workers: Workers,
    stop: Arc<AtomicBool>,
) -> Result<std::thread::JoinHandle<()>> {
    let options = broker::Options {
        endless: true,
        lease: LEASE,
        ..broker::Options::default()
    };
    let broker: Arc<dyn Broker> = Arc::from(broker::open(&config.broker()?, options)?);
    let options = WorkerOptions {
        name: format!("server-{}@{}", std::process::id(), host()),
        labels: vec![workers.label],
        grace: Duration::from_secs(10),
        ..configured(config)
    };
    let resources = WorkerResources {
        broker,
        tasks: om.tasks(),
        objects: om.objects_of(),
        results: om.results().cloned(),
    };
    let run = move || {
        if let Err(error) = work(resources, options, &Stop(stop), || {}) {
            tracing::error!("asynchronous calls are not run: {error}");
        }
    };
    let thread = std::thread::Builder::new().name("om-worker".to_owned());
    thread.spawn(run).context(|| "cannot start a worker")
}

/// Work of the server is not interrupted, it is finished; and draws nothing on a terminal.
struct Calm(Arc<dyn Progress>);

impl Progress for Calm {
    fn meter(&self, _label: &str, _total: Option<u64>, _unit: Unit) -> Box<dyn Meter> {
        Box::new(Silent)
    }

    fn note(&self, message: &str) {
        self.0.note(message);
    }
}

/// Tells the worker to stop, once the server has.
struct Stop(Arc<AtomicBool>);

impl Progress for Stop {
    fn meter(&self, _label: &str, _total: Option<u64>, _unit: Unit) -> Box<dyn Meter> {
        Box::new(Silent)
    }

    fn note(&self, message: &str) {
        tracing::info!("{message}");
    }

    fn interrupted(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}
