//! `om runtime scheduler`: submits jobs when they are due.

use super::submit::provide_worker;
use crate::cli::Session;
use crate::cli::app::parse_duration;
use crate::error::Result;
use crate::jobs::{Due, Missed, Scheduler, pause};
use crate::progress::Progress;
use crate::runtime::{JobCall, Runtime, SubmitOptions, TaskCall, host};
use chrono::Utc;
use clap::{Args, ValueEnum};
use std::time::{Duration, Instant};

/// How soon a schedule that another program has made is noticed.
const NOTICE: Duration = Duration::from_secs(10);

/// How often it looks whether it is to end.
const TICK: Duration = Duration::from_millis(200);

/// How often old claims are forgotten.
const SWEEP: Duration = Duration::from_secs(3600);

/// Submit jobs to workers when they are due.
///
/// Any number may run at once, also beside Python omega|ml's beat: every time of every job is
/// submitted once. Runs until Ctrl-C or SIGTERM.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  om runtime scheduler
  om runtime scheduler --missed all --require nightly")]
pub struct RunScheduler {
    /// What becomes of times at which no scheduler was there: skip them, run once, run all
    #[arg(long, value_name = "POLICY", value_enum, default_value_t)]
    missed: MissedPolicy,
    /// Submit to workers of this label
    #[arg(long, value_name = "LABEL")]
    require: Option<String>,
    /// End when nothing is due for so long
    #[arg(long, value_name = "DURATION", value_parser = parse_duration, hide_short_help = true)]
    until_idle: Option<Duration>,
}

/// What becomes of missed times.
#[derive(Debug, Clone, Copy, Default, ValueEnum)]
enum MissedPolicy {
    /// They are let go
    Skip,
    /// The job runs once for all of them
    #[default]
    Once,
    /// It runs for each of them
    All,
}

impl RunScheduler {
    /// Runs the command.
    pub fn run(self, session: &Session) -> Result<()> {
        let om = session.omega()?;
        let runtime = session.workers(&om)?;
        let options = SubmitOptions {
            label: self.require,
            ..SubmitOptions::default()
        };
        let missed = match self.missed {
            MissedPolicy::Skip => Missed::Skip,
            MissedPolicy::Once => Missed::Once,
            MissedPolicy::All => Missed::All,
        };
        let owner = format!(
            "{} {} {:08x}",
            host(),
            std::process::id(),
            rand::random::<u32>()
        );
        let mut scheduler = Scheduler::new(&om.jobs, missed, &owner);
        session
            .progress
            .note(&format!("scheduling the jobs of {}", om.bucket_name()));
        let (mut idle, mut swept) = (Instant::now(), None::<Instant>);
        loop {
            match scheduler.claim(Utc::now()) {
                Ok(due) => {
                    for due in due {
                        idle = Instant::now();
                        self::submit(session, runtime.as_ref(), &scheduler, &due, &options);
                    }
                }
                Err(error) => tracing::warn!("{error}"),
            }
            if swept.is_none_or(|swept| swept.elapsed() > SWEEP) {
                swept = Some(Instant::now());
                if let Err(error) = scheduler.sweep() {
                    tracing::warn!("{error}");
                }
            }
            let sleep = Instant::now() + pause(scheduler.next(), Utc::now(), NOTICE);
            while let Some(left) = sleep
                .checked_duration_since(Instant::now())
                .filter(|left| !left.is_zero())
            {
                std::thread::sleep(left.min(TICK));
                if session.progress.interrupted()
                    || self.until_idle.is_some_and(|limit| idle.elapsed() > limit)
                {
                    return Ok(());
                }
            }
            if session.progress.interrupted() {
                return Ok(());
            }
        }
    }
}

/// What cannot be submitted now is claimed again when its lease ends.
fn submit(
    session: &Session,
    runtime: &dyn Runtime,
    scheduler: &Scheduler,
    due: &Due,
    options: &SubmitOptions,
) {
    let call = TaskCall::RunJob(JobCall {
        event: Some(due.event.clone()),
        ..JobCall::new(&due.job)
    });
    let done = runtime
        .submit_as(&due.task, &call, options)
        .and_then(|()| scheduler.fired(due))
        .and_then(|()| provide_worker(session, options));
    match done {
        Ok(()) => session.progress.note(&format!(
            "{} is due ({}): task {}",
            due.job, due.event, due.task
        )),
        Err(error) => tracing::warn!("{} is due, but is not submitted yet: {error}", due.job),
    }
}
