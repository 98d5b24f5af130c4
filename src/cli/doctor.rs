//! `om doctor`: whether everything that om works with is there, and how it does.

use super::Session;
use super::output::{Cell, Column, Table};
use crate::config::{Config, Profile, StorageSettings};
use crate::error::{Context, Error, ErrorKind, Result};
use crate::progress::Progress;
use crate::runtime::celery::signature::Kwargs;
use crate::runtime::control::{PATIENCE, ask};
use crate::storage::Key;
use clap::Args;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant, SystemTime};

/// Free space below which a store is about to be full.
const LITTLE: u64 = 1 << 30;
/// By how much clocks may differ.
const DRIFT: Duration = Duration::from_secs(5);
/// Answers of which the quickest counts.
const TRIES: u32 = 5;

/// Check the settings and everything that they name.
///
/// Every check is made, whatever becomes of the others. The exit code is that of the first
/// that failed: 7 for a server that cannot be reached.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  om doctor
  om doctor --profile prod
  om doctor -o json")]
pub struct Doctor {}

/// A check and its name; nothing is found by those that the profile does not need.
type Check<'a> = (&'static str, &'a dyn Fn() -> Result<Option<Finding>>);

/// What a check has found.
struct Finding {
    detail: String,
    /// What to do about it, where something is not as it should be.
    advice: Option<String>,
    /// How long one answer takes.
    latency: Option<Duration>,
}

impl Finding {
    fn good(detail: impl Into<String>) -> Self {
        Finding {
            detail: detail.into(),
            advice: None,
            latency: None,
        }
    }

    fn but(mut self, advice: impl Into<String>) -> Self {
        self.advice = Some(advice.into());
        self
    }

    fn in_time(mut self, latency: Duration) -> Self {
        self.latency = Some(latency);
        self
    }
}

impl Doctor {
    /// Runs the command.
    pub fn run(self, session: &Session) -> Result<()> {
        let config = session.config()?;
        let checks: [Check<'_>; 7] = [
            ("settings", &|| settings(config).map(Some)),
            ("storage", &|| storage(session).map(Some)),
            ("disk", &|| disk(config)),
            ("clock", &|| clock(config)),
            ("broker", &|| broker(session, config)),
            ("workers", &|| workers(session, config)),
            ("python", &|| python(config).map(Some)),
        ];
        let mut table = Table::new([
            Column::new("CHECK"),
            Column::new("STATUS"),
            Column::new("MS").right(),
            Column::new("DETAIL").whole(),
            Column::new("ADVICE").whole(),
        ])
        .named_by("CHECK");
        let mut first = None;
        for (name, check) in checks {
            session.progress.check()?;
            let (status, finding) = match check() {
                Ok(None) => continue,
                Ok(Some(finding)) => match finding.advice {
                    None => ("ok", finding),
                    Some(_) => ("warning", finding),
                },
                Err(error) => {
                    let finding = Finding {
                        detail: error.to_string(),
                        advice: error.hint_text().map(str::to_owned),
                        latency: None,
                    };
                    first.get_or_insert((name, error.kind()));
                    ("failed", finding)
                }
            };
            let latency = finding.latency.map(|time| time.as_secs_f64() * 1e3);
            let latency = latency.map(|time| (time * 100.0).round() / 100.0);
            table.push([
                Cell::from(name),
                Cell::from(status),
                Cell::from(serde_json::json!(latency)),
                Cell::from(finding.detail),
                Cell::from(finding.advice.unwrap_or_default()),
            ]);
        }
        session.output.rows(&table)?;
        match first {
            None => Ok(()),
            Some((name, kind)) => Err(Error::new(kind, format!("the check of {name} failed"))),
        }
    }
}

/// Which profile counts and who says so; whether others can read what is secret.
fn settings(config: &Config) -> Result<Finding> {
    let profile = config.profile();
    let origin = config.origin(profile.chosen_by());
    let origin = origin.map_or_else(|| "default".to_owned(), ToString::to_string);
    let detail = format!("{} profile, from {origin}", profile.kind());
    let secret = |path: &&std::path::PathBuf| {
        let open = std::fs::metadata(path).is_ok_and(|file| file.permissions().mode() & 0o077 != 0);
        open && std::fs::read_to_string(path).is_ok_and(|text| holds_secret(&text))
    };
    Ok(match config.files().iter().find(secret) {
        None => Finding::good(detail),
        Some(path) => Finding::good(detail).but(format!(
            "{} holds a password and others can read it: chmod 600 {}",
            path.display(),
            path.display()
        )),
    })
}

/// Whether the text of a configuration file has a key or a password in it.
fn holds_secret(text: &str) -> bool {
    text.lines().any(|line| {
        let line = line.split('#').next().unwrap_or_default();
        let Some((name, value)) = line.split_once(':') else {
            return false;
        };
        let name = name.trim().trim_start_matches("- ");
        let in_url = crate::config::mask_text(value) != value;
        !value.trim().is_empty() && (crate::config::is_secret_name(name) || in_url)
    })
}

/// The quickest of some answers.
fn latency(mut answer: impl FnMut() -> Result<()>) -> Result<Duration> {
    let mut best = Duration::MAX;
    for _ in 0..TRIES {
        let began = Instant::now();
        answer()?;
        best = best.min(began.elapsed());
    }
    Ok(best)
}

fn storage(session: &Session) -> Result<Finding> {
    let om = session.omega()?;
    let key = Key::new(om.bucket_name(), "data/", ".omega/doctor");
    let took = latency(|| om.storage().find(&key).map(drop))?;
    let buckets = om.storage().buckets()?.len();
    let place = om.storage().location();
    Ok(Finding::good(format!("{place}, {buckets} buckets")).in_time(took))
}

/// The store's directory, where that is where objects live, or the one that it will be in.
fn directory(config: &Config) -> Option<std::path::PathBuf> {
    let StorageSettings::Directory(url) = config.storage() else {
        return None;
    };
    let path = url.directory();
    path.ancestors()
        .find(|path| path.is_dir())
        .map(Path::to_owned)
}

fn disk(config: &Config) -> Result<Option<Finding>> {
    let Some(path) = directory(config) else {
        return Ok(None);
    };
    let disk = rustix::fs::statvfs(&path)
        .map_err(std::io::Error::from)
        .context(|| format!("cannot look at the disk of {}", path.display()))?;
    let free = disk.f_bavail.saturating_mul(disk.f_frsize);
    let finding = Finding::good(format!("{:.1} GB free", free as f64 / 1e9));
    let writable = tempfile::Builder::new()
        .prefix(".om-doctor-")
        .tempfile_in(&path);
    Ok(Some(match writable {
        Err(error) => {
            return Err(Error::failed("nothing can be written into the store")
                .on(path.display().to_string())
                .because(error));
        }
        Ok(_) if free < LITTLE => {
            finding.but("make room: `om store check --repair` removes what dead writers left")
        }
        Ok(_) => finding,
    }))
}

/// Whether the clock of the disk, which may be another machine's, agrees with ours.
fn clock(config: &Config) -> Result<Option<Finding>> {
    let Some(path) = directory(config) else {
        return Ok(None);
    };
    let Ok(file) = tempfile::Builder::new()
        .prefix(".om-doctor-")
        .tempfile_in(&path)
    else {
        // The check of the disk says so.
        return Ok(None);
    };
    let written = file.as_file().metadata().and_then(|file| file.modified());
    let written = written.context(|| "cannot tell the time of a file")?;
    let now = SystemTime::now();
    let drift = now
        .duration_since(written)
        .or_else(|_| written.duration_since(now))
        .unwrap_or_default();
    let finding = Finding::good(format!("{} ms from that of the disk", drift.as_millis()));
    Ok(Some(match drift > DRIFT {
        true => finding.but("set the clocks: leases and schedules count on them"),
        false => finding,
    }))
}

/// Whether there is a broker to ask.
fn has_broker(config: &Config) -> bool {
    !matches!(
        config.profile(),
        Profile::Cluster { broker: None, .. } | Profile::Remote { .. }
    )
}

fn broker(session: &Session, config: &Config) -> Result<Option<Finding>> {
    if matches!(config.profile(), Profile::Remote { .. }) {
        return Ok(None);
    }
    if !has_broker(config) {
        let none = Finding::good("none: tasks run in this process");
        return Ok(Some(none.but("set OMEGA_BROKER to run tasks on workers")));
    }
    let broker = session.broker()?;
    let label = config.worker_label();
    let depth = match broker.depth(&label) {
        Err(error) if error.kind() == ErrorKind::NotFound => None,
        depth => Some(depth?),
    };
    let took = match depth {
        None => None,
        Some(_) => Some(latency(|| broker.depth(&label).map(drop))?),
    };
    let detail = match depth {
        None => format!("{}, no queue {label} yet", broker.location()),
        Some(depth) => format!(
            "{}, queue {label}: {} waiting, {} consumers",
            broker.location(),
            depth.messages,
            depth.consumers
        ),
    };
    let finding = Finding {
        latency: took,
        ..Finding::good(detail)
    };
    Ok(Some(match depth {
        Some(depth) if depth.messages > 0 && depth.consumers == 0 => {
            finding.but("tasks wait and nobody takes them: om runtime worker")
        }
        _ => finding,
    }))
}

fn workers(session: &Session, config: &Config) -> Result<Option<Finding>> {
    if !has_broker(config) {
        return Ok(None);
    }
    let broker = session.broker()?;
    let began = Instant::now();
    let found = ask(
        broker.as_ref(),
        "ping",
        Kwargs::default(),
        None,
        PATIENCE,
        &session.progress,
    )?;
    let names: Vec<&str> = found.iter().map(|(name, _)| name.as_str()).collect();
    Ok(Some(match (names.is_empty(), config.profile()) {
        (false, _) => Finding::good(names.join(", ")).in_time(began.elapsed()),
        // A worker is started there when there is something to do.
        (true, Profile::Embedded(_)) => Finding::good("none; one is started when a task waits"),
        (true, _) => Finding::good("no worker answers").but("start one: om runtime worker"),
    }))
}

/// The Python that runs what only Python can.
fn python(config: &Config) -> Result<Finding> {
    let python = crate::config::interpreter::Python::new(config.text("OMEGA_PYTHON").as_deref());
    let program = python.program().display().to_string();
    let began = Instant::now();
    let said = Command::new(python.program())
        .arg("--version")
        .stdin(Stdio::null())
        .output();
    let advice = "only for models of scikit-learn, notebooks and scripts of Python: OMEGA_PYTHON";
    Ok(match said {
        Ok(said) if said.status.success() => {
            let version = String::from_utf8_lossy(&said.stdout).trim().to_owned();
            Finding::good(format!("{version}, {program}")).in_time(began.elapsed())
        }
        _ => Finding::good(format!("{program} does not run")).but(advice),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_in_files_are_seen() {
        assert!(holds_secret("OMEGA_APIKEY: abc"));
        assert!(holds_secret(
            "OMEGA_MONGO_URL: mongodb://user:secret@host/db"
        ));
        assert!(!holds_secret("OMEGA_APIKEY:"));
        assert!(!holds_secret("# OMEGA_APIKEY: abc"));
        assert!(!holds_secret("OMEGA_MONGO_URL: mongodb://host/db"));
    }
}
