//! The options of all commands that run tasks, and what they do with a task: run it here or
//! on a worker, wait for it or not.

use crate::cli::Session;
use crate::cli::objects::metadata_line;
use crate::cli::scripts::arguments;
use crate::config::Profile;
use crate::error::{Context, Result};
use crate::omega::Omega;
use crate::runtime::celery::json::to_value;
use crate::runtime::celery::pickle::Value;
use crate::runtime::celery::signature::Kwargs;
use crate::runtime::{Outcome, SubmitOptions, TaskCall};
use clap::Args;
use std::process::{Command, Stdio};
use std::time::Duration;

/// Arguments and keyword arguments of a task, of words such as `3` and `width=100`.
pub(super) fn task_arguments(words: &[String]) -> (Vec<Value>, Kwargs) {
    let (args, named) = arguments(words);
    let mut kwargs = Kwargs::default();
    for (name, value) in &named {
        kwargs.push(name, to_value(value));
    }
    (args.iter().map(to_value).collect(), kwargs)
}

/// How a task is submitted.
#[derive(Debug, Args)]
pub struct Submitting {
    /// Print a task id at once; see `om runtime result`
    #[arg(long = "async")]
    asynchronous: bool,
    /// Run it on a worker that takes tasks of this label; `local`: in this process
    #[arg(long, value_name = "LABEL")]
    require: Option<String>,
    /// Try again so many times if it fails for a passing reason
    #[arg(
        long,
        value_name = "NUMBER",
        default_value_t = 0,
        hide_default_value = true
    )]
    retries: u32,
    /// Not before so long from now
    #[arg(long, value_name = "DURATION", value_parser = crate::cli::app::parse_duration, requires = "asynchronous")]
    countdown: Option<Duration>,
    /// Not after so long from now
    #[arg(long, value_name = "DURATION", value_parser = crate::cli::app::parse_duration)]
    expires: Option<Duration>,
    /// Stop the task when it runs longer
    #[arg(long, value_name = "DURATION", value_parser = crate::cli::app::parse_duration)]
    time_limit: Option<Duration>,
    /// Before tasks of a lower priority
    #[arg(long, value_name = "0-9", default_value_t = 0, hide_default_value = true, value_parser = clap::value_parser!(u8).range(0..=9))]
    priority: u8,
    /// Track it in this experiment
    #[arg(long, value_name = "NAME")]
    experiment: Option<String>,
    #[arg(skip)]
    patience: Option<Duration>,
}

impl Submitting {
    /// On workers, whatever the profile would do, and with an answer within `patience`
    /// unless --timeout says otherwise.
    pub fn on_workers(&mut self, session: &Session, patience: Duration) -> Result<()> {
        if self.require.is_none() {
            self.require = Some(session.config()?.worker_label());
        }
        self.patience = session.global.timeout.is_none().then_some(patience);
        Ok(())
    }

    /// Whether nobody waits for it.
    pub fn is_asynchronous(&self) -> bool {
        self.asynchronous
    }

    /// Whether they run in this process.
    pub fn is_local(&self) -> bool {
        self.require.as_deref() == Some("local")
    }

    /// The same for the library.
    pub fn options(&self) -> SubmitOptions {
        SubmitOptions {
            label: self.require.clone().filter(|label| label != "local"),
            retries: self.retries,
            priority: self.priority,
            countdown: self.countdown,
            expires: self.expires,
            time_limit: self.time_limit,
            experiment: self.experiment.clone(),
            patience: self.patience,
        }
    }

    /// Runs a task and prints its answer, or submits it and prints its id.
    pub fn run(self, call: &TaskCall, om: &Omega, session: &Session) -> Result<()> {
        let options = self.options();
        if self.asynchronous {
            let runtime = session.workers(om)?;
            let id = runtime.submit(call, &options)?;
            provide_worker(session, &options)?;
            return session.output.line(id);
        }
        let runtime = session.runtime(om, self.require.as_deref())?;
        print(session, runtime.run(call, &options)?)
    }
}

/// Prints what a task answered.
pub(super) fn print(session: &Session, outcome: Outcome) -> Result<()> {
    match outcome {
        Outcome::Table(frame) => session.output.frame(&frame, None),
        Outcome::Number(number) => session.output.value(&number.into()),
        Outcome::Metadata(metadata) => metadata_line(session, &metadata),
        Outcome::Value(value) => session.output.value(&value),
    }
}

/// A queue in a directory may have no worker: one is started, which ends when it is idle.
pub(super) fn provide_worker(session: &Session, options: &SubmitOptions) -> Result<()> {
    let config = session.config()?;
    if !matches!(config.profile(), Profile::Embedded(_)) {
        return Ok(());
    }
    let default = config.worker_label();
    let label = options.label.as_deref().unwrap_or(&default);
    if session.broker()?.depth(label)?.consumers > 0 {
        return Ok(());
    }
    let program = std::env::current_exe().context(|| "cannot find the om program")?;
    let mut command = Command::new(program);
    // The same settings: environment and working directory are inherited.
    let global = &session.global;
    for (flag, value) in [
        ("--config", &global.config),
        ("--profile", &global.profile),
        ("--store", &global.store),
    ] {
        if let Some(value) = value {
            command.args([flag, value]);
        }
    }
    command
        .args(["--quiet", "runtime", "worker", "--until-idle", "5s"])
        .args(["--queues", label])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    // A group of its own: Ctrl-C in this terminal is not meant for it.
    std::os::unix::process::CommandExt::process_group(&mut command, 0);
    command
        .spawn()
        .context(|| "cannot start a worker for the task")?;
    Ok(())
}
