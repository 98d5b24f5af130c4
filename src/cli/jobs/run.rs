//! `om jobs run`: in this process, for people and for cron.

use crate::cli::Session;
use crate::cli::app::parse_duration;
use crate::cli::models::params;
use crate::cli::objects::metadata_line;
use crate::error::{Error, Result};
use crate::jobs::RunOptions;
use crate::storage::records::{Alteration, Change, Record, Records, When, now};
use clap::Args;
use std::path::PathBuf;
use std::time::Duration;

/// How long another process's run counts as going on when it does not say so.
const LEASE: Duration = Duration::from_secs(60);

/// Run a job in this process, through its Jupyter kernel.
///
/// The notebook with all outputs is kept under results/, also when a cell fails (exit code
/// 6). Under cron use -q, which says nothing unless it fails, and --no-overlap.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  om jobs run report
  om jobs run report -p region=EU -p 'years=[2025, 2026]'
  om jobs run nightly --time-limit 2h --no-overlap -q")]
pub struct Run {
    /// Name of the job
    #[arg(add = crate::cli::stored::objects())]
    name: String,
    /// Set a parameter of the notebook: NAME=VALUE; values are JSON or text
    #[arg(short, long = "param", value_name = "KEY=VALUE")]
    param: Vec<String>,
    /// Stop a cell that runs longer
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    cell_limit: Option<Duration>,
    /// Stop the run when it takes longer
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    time_limit: Option<Duration>,
    /// Directory to run in [default: the current one]
    #[arg(long, value_name = "DIR", value_hint = clap::ValueHint::DirPath)]
    cwd: Option<PathBuf>,
    /// Do nothing while another run of it, started like this, goes on (exit code 5)
    #[arg(long)]
    no_overlap: bool,
}

impl Run {
    /// Runs the command.
    pub fn run(self, session: &Session) -> Result<()> {
        let om = session.omega()?;
        let options = RunOptions {
            parameters: params(&self.param)?,
            cell_limit: self.cell_limit,
            limit: self.time_limit,
            home: self.cwd,
            ..RunOptions::default()
        };
        let metadata = om.jobs.metadata(&self.name)?;
        let lock = match self.no_overlap {
            true => Some(Lock::take(
                om.storage().records("runs"),
                &metadata.key.to_string(),
            )?),
            false => None,
        };
        let done = om.jobs.run(&self.name, &options, &session.progress);
        drop(lock);
        metadata_line(session, &done?.checked()?)
    }
}

/// That a job runs: a record in the store, renewed until it is dropped.
struct Lock {
    stop: std::sync::mpsc::Sender<()>,
    renewing: Option<std::thread::JoinHandle<()>>,
}

impl Lock {
    fn take(records: Box<dyn Records>, job: &str) -> Result<Self> {
        let owner = crate::runtime::task_id();
        let lease = i64::try_from(LEASE.as_millis()).unwrap_or(i64::MAX);
        let mut record = Record::new(job, "RUNNING");
        record.owner.clone_from(&owner);
        record.due = Some(now() + lease);
        let renewed = move |owner: &str| Change {
            owner: Some(owner.to_owned()),
            due: Some(Some(now() + lease)),
            ..Change::default()
        };
        if !records.insert(&[record])?.is_empty() {
            let over = When {
                due_by: Some(now()),
                ..When::default()
            };
            let taken = records.change(&Alteration::all(&[job], &[over], &renewed(&owner)))?;
            if taken.is_empty() {
                return Err(Error::conflict("another run of the job goes on").on(job.to_owned()));
            }
        }
        let (stop, stopped) = std::sync::mpsc::channel();
        let job = job.to_owned();
        let renewing = std::thread::spawn(move || {
            let mine = When {
                owner: Some(owner.clone()),
                ..When::default()
            };
            let timed_out = std::sync::mpsc::RecvTimeoutError::Timeout;
            while stopped.recv_timeout(LEASE / 4) == Err(timed_out) {
                let kept = records.change(&Alteration::all(
                    &[&job],
                    std::slice::from_ref(&mine),
                    &renewed(&owner),
                ));
                if let Err(error) = kept {
                    tracing::warn!("{error}");
                }
            }
            if let Err(error) = records.remove(&[&job]) {
                tracing::warn!("{error}");
            }
        });
        Ok(Lock {
            stop,
            renewing: Some(renewing),
        })
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        let _ = self.stop.send(());
        if let Some(renewing) = self.renewing.take() {
            let _ = renewing.join();
        }
    }
}
