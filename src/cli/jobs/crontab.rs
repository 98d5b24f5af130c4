//! `om jobs crontab`.

use crate::cli::Session;
use crate::error::{Error, Result};
use crate::jobs::Jobs;
use clap::Args;

/// The line for cron that runs a job as it is scheduled.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  om jobs crontab report
  om jobs crontab report >> my.crontab")]
pub struct Crontab {
    /// Name of the job
    #[arg(add = crate::cli::stored::objects())]
    name: String,
}

impl Crontab {
    /// Runs the command.
    pub fn run(self, session: &Session) -> Result<()> {
        let metadata = session.omega()?.jobs.metadata(&self.name)?;
        let Some(schedule) = Jobs::schedule_of(&metadata)? else {
            return Err(Error::not_found("the job is not scheduled")
                .on(metadata.key.to_string())
                .hint("schedule it: om jobs schedule NAME 'daily, at 06:00'"));
        };
        if let Some(zone) = schedule.zone().name() {
            session.output.line(format!("CRON_TZ={zone}"))?;
        }
        let program = std::env::current_exe()
            .map_or_else(|_| "om".to_owned(), |path| path.display().to_string());
        let mut words = vec![quoted(&program)];
        let global = &session.global;
        for (flag, value) in [
            ("--config", &global.config),
            ("--profile", &global.profile),
            ("--store", &global.store),
            ("--bucket", &global.bucket),
        ] {
            if let Some(value) = value {
                words.extend([flag.to_owned(), quoted(value)]);
            }
        }
        words.extend(["-q jobs run --no-overlap".to_owned(), quoted(&self.name)]);
        // Cron reads a percent sign as the end of the line.
        let command = words.join(" ").replace('%', "\\%");
        session
            .output
            .line(format!("{} {command}", schedule.text()))
    }
}

/// A word for the shell.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+:@,".contains(c);
    match !word.is_empty() && word.chars().all(plain) {
        true => word.to_owned(),
        false => format!("'{}'", word.replace('\'', "'\\''")),
    }
}
