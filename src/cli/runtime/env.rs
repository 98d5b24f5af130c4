//! `om runtime env`: packages of the Python that workers run.

use crate::cli::Session;
use crate::cli::output::{Cell, Column, Format, Table};
use crate::config::Profile;
use crate::error::{Context, Error, ErrorKind, Result};
use crate::omega::Omega;
use crate::runtime::celery::json::to_value;
use crate::runtime::celery::pickle::Value;
use crate::runtime::celery::signature::Kwargs;
use crate::runtime::control::{PATIENCE, ask};
use crate::runtime::{Outcome, SubmitOptions, TaskCall};
use crate::scripts::{ENVIRONMENT, REQUIREMENTS};
use clap::{Args, Subcommand, ValueHint};
use serde_json::{Value as Json, json};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// Packages of the Python that workers run: which there are, and others.
///
/// Every command runs on a worker of the default label, of each label of --require, or with
/// --every on one worker of each host. Where there are no workers, and with --local, it is
/// about the Python of this machine (OMEGA_PYTHON).
#[derive(Debug, Args)]
pub struct Env {
    #[command(subcommand)]
    command: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// List packages and their versions
    List(List),
    /// Install packages, or bring them up to date
    Install(Change),
    /// Remove packages
    Uninstall(Remove),
    /// Print packages as a requirements file
    Freeze(Freeze),
}

/// Which workers are meant.
#[derive(Debug, Args)]
struct Where {
    /// Workers of these labels
    #[arg(long, value_name = "LABEL", value_delimiter = ',')]
    require: Vec<String>,
    /// One worker of every host
    #[arg(long, conflicts_with_all = ["require", "local"])]
    every: bool,
    /// The Python of this machine
    #[arg(long, conflicts_with = "require")]
    local: bool,
}

/// Where to look.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  om runtime env list
  om runtime env list --every -o json")]
struct List {
    #[command(flatten)]
    place: Where,
}

/// What to install, where.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  om runtime env install 'xgboost>=2' lightgbm
  om runtime env install --file requirements.txt --every
  om runtime env install torch --require gpu")]
struct Change {
    /// Packages, as pip knows them; without any those of the requirements file given last
    #[arg(value_name = "PACKAGE")]
    packages: Vec<String>,
    /// A requirements file, which is stored for the next time
    #[arg(short, long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    file: Option<PathBuf>,
    #[command(flatten)]
    place: Where,
}

/// What to remove, where.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  om runtime env uninstall lightgbm
  om runtime env uninstall lightgbm --require gpu,cpu")]
struct Remove {
    /// Packages
    #[arg(value_name = "PACKAGE", required = true)]
    packages: Vec<String>,
    #[command(flatten)]
    place: Where,
}

/// Where to look.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  om runtime env freeze > requirements.txt
  om runtime env freeze --require gpu")]
struct Freeze {
    #[command(flatten)]
    place: Where,
}

impl Env {
    /// Runs the command.
    pub fn run(self, session: &Session) -> Result<()> {
        let om = session.omega()?;
        match self.command {
            Verb::List(List { place }) => {
                let answers = place.ask(&om, session, "list", &[], Some("json"))?;
                list(&answers, session)
            }
            Verb::Install(change) => {
                if let Some(file) = &change.file {
                    let text = std::fs::read(file)
                        .context(|| format!("cannot read {}", file.display()))?;
                    om.scripts.put_requirements(&text)?;
                } else if change.packages.is_empty() && !om.scripts.exists(REQUIREMENTS)? {
                    return Err(Error::usage("install needs packages, or --file FILE"));
                }
                let answers = change
                    .place
                    .ask(&om, session, "install", &change.packages, None)?;
                said(&answers, session)
            }
            Verb::Uninstall(remove) => {
                let answers =
                    remove
                        .place
                        .ask(&om, session, "uninstall", &remove.packages, None)?;
                said(&answers, session)
            }
            Verb::Freeze(Freeze { place }) => {
                said(&place.ask(&om, session, "freeze", &[], None)?, session)
            }
        }
    }
}

/// What was answered, by label or host.
type Answers = Vec<(String, String)>;

impl Where {
    /// Runs the script that does it, in every place.
    fn ask(
        &self,
        om: &Omega,
        session: &Session,
        action: &str,
        packages: &[String],
        format: Option<&str>,
    ) -> Result<Answers> {
        om.scripts.provide_environment()?;
        let mut kwargs = Kwargs::default();
        kwargs.push("action", action);
        kwargs.push("package", to_value(&json!(packages)));
        // Packages that are named are meant alone.
        if packages.is_empty() && action == "install" {
            kwargs.push("requirements", REQUIREMENTS);
        }
        if let Some(format) = format {
            kwargs.push("format", format);
        }
        let call = TaskCall::RunScript {
            name: ENVIRONMENT.to_owned(),
            args: Vec::new(),
            kwargs,
        };
        let hosts = match self.every {
            true => hosts(session)?,
            false => BTreeMap::new(),
        };
        let mut labels: Vec<String> = match self.local {
            true => vec!["local".to_owned()],
            false => self.require.clone(),
        };
        labels.extend(hosts.keys().cloned());
        if labels.is_empty() {
            let runtime = session.runtime(om, None)?;
            let answer = runtime.run(&call, &SubmitOptions::default())?;
            return Ok(vec![("default".to_owned(), text(answer)?)]);
        }
        let mut answers = Vec::with_capacity(labels.len());
        for label in labels {
            let queue = hosts
                .get(&label)
                .map(|worker| HostQueue::open(session, &label, worker))
                .transpose()?;
            let options = SubmitOptions {
                label: Some(label.clone()).filter(|label| label != "local"),
                ..SubmitOptions::default()
            };
            let runtime = session.runtime(om, Some(&label))?;
            let answer = runtime.run(&call, &options);
            drop(queue);
            answers.push((
                label.clone(),
                text(answer.map_err(|error| error.on(label))?)?,
            ));
        }
        Ok(answers)
    }
}

/// One worker of each host, by the host.
fn hosts(session: &Session) -> Result<BTreeMap<String, String>> {
    if !matches!(session.config()?.profile(), Profile::Cluster { .. }) {
        return Ok(BTreeMap::new());
    }
    let broker = session.broker()?;
    let none = Kwargs::default();
    let workers = ask(
        broker.as_ref(),
        "ping",
        none,
        None,
        PATIENCE,
        &session.progress,
    )?;
    if workers.is_empty() {
        return Err(Error::new(ErrorKind::Unreachable, "no worker answers")
            .hint("start one: om runtime worker"));
    }
    let named = workers.into_iter().map(|(worker, _)| {
        let host = worker.rsplit('@').next().unwrap_or(&worker).to_owned();
        (host, worker)
    });
    Ok(named.collect())
}

/// A queue that one worker of a host takes tasks from meanwhile.
struct HostQueue<'a> {
    session: &'a Session,
    host: String,
    worker: String,
}

impl<'a> HostQueue<'a> {
    fn open(session: &'a Session, host: &str, worker: &str) -> Result<Self> {
        let queue = HostQueue {
            session,
            host: host.to_owned(),
            worker: worker.to_owned(),
        };
        let answers = queue.tell("add_consumer")?;
        match answers.is_empty() {
            false => Ok(queue),
            true => Err(Error::new(
                ErrorKind::TimedOut,
                format!("{worker} does not answer"),
            )),
        }
    }

    fn tell(&self, order: &str) -> Result<Vec<(String, Value)>> {
        let broker = self.session.broker()?;
        let mut arguments = Kwargs::default();
        arguments.push("queue", self.host.as_str());
        ask(
            broker.as_ref(),
            order,
            arguments,
            Some(vec![self.worker.clone()]),
            PATIENCE * 5,
            &self.session.progress,
        )
    }
}

impl Drop for HostQueue<'_> {
    fn drop(&mut self) {
        if let Err(error) = self.tell("cancel_consumer") {
            tracing::warn!(
                "{} goes on to take tasks of {}: {error}",
                self.worker,
                self.host
            );
        }
    }
}

/// What the script has answered.
fn text(outcome: Outcome) -> Result<String> {
    let Outcome::Value(envelope) = outcome else {
        return Err(Error::failed("the worker's answer is not understood"));
    };
    // A worker of Python's may answer with the text of an envelope.
    let envelope = match &envelope {
        Json::String(text) => serde_json::from_str(text).unwrap_or(envelope),
        _ => envelope,
    };
    match envelope.get("result").unwrap_or(&envelope) {
        Json::String(text) => Ok(text.clone()),
        other => Ok(other.to_string()),
    }
}

fn list(answers: &Answers, session: &Session) -> Result<()> {
    let place = Column::new("WORKERS");
    let several = answers.len() > 1;
    let mut table = Table::new([
        Column::new("PACKAGE").whole(),
        Column::new("VERSION"),
        if several { place } else { place.wide() },
    ])
    .named_by("PACKAGE")
    .listing()
    .when_empty("no packages");
    for (label, text) in answers {
        let packages: Vec<Json> = serde_json::from_str(text)
            .context(|| format!("the answer of {label} is not understood"))?;
        for package in packages {
            let field = |name: &str| Cell::from(package.get(name).cloned().unwrap_or(Json::Null));
            table.push([field("name"), field("version"), Cell::from(label.as_str())]);
        }
    }
    session.output.rows(&table)
}

/// The output of pip, as a comment says of where if there are several.
fn said(answers: &Answers, session: &Session) -> Result<()> {
    if let Some(Format::Json | Format::Jsonl | Format::Yaml) = session.output.format() {
        let all = answers
            .iter()
            .map(|(label, text)| json!({"workers": label, "output": text}));
        return session.output.value(&all.collect());
    }
    for (label, text) in answers {
        if answers.len() > 1 {
            session.output.line(format!("# {label}"))?;
        }
        session.output.line(text)?;
    }
    Ok(())
}
