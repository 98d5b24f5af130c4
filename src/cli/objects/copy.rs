//! `om … copy`: of one object, or of all that match a pattern, to another name, bucket or
//! profile.

use super::{metadata_line, store, stored_line};
use crate::cli::Session;
use crate::cli::output::{Cell, Column, Table};
use crate::config::{Config, mask_text};
use crate::error::{Error, ErrorKind, Result};
use crate::omega::Omega;
use crate::progress::{Progress, Unit};
use crate::store::{Copied, CopyOptions, CopyStep, Listing, Store};
use clap::Args;
use serde_json::Value;
use std::collections::HashSet;
use std::time::{Duration, Instant};

/// Copy objects to another name, bucket or profile.
#[derive(Debug, Args)]
#[command(after_help = "\
A pattern copies all objects that match. TARGET, which ends in /, then stands in the place
of what precedes the last / ahead of the pattern's first *.

Copies are read back and compared with what was copied, by count and SHA-256. A pattern or
--to-profile leaves alone what is there already and the same: a copy that was interrupted
goes on when it is run again. What is there and differs is a conflict without --replace.

Examples:
  om datasets copy sales sales-2024
  om datasets copy sales --to-bucket archive --replace
  om datasets copy sales --to-profile prod
  om datasets copy 'raw/*' archive/2024/ --to-profile prod --dry-run
  om models copy '*' --profile prod --to-profile default -o json")]
pub struct Copy {
    /// Name of the object, or a pattern with `*`
    #[arg(value_name = "SOURCE", add = crate::cli::stored::objects())]
    from: String,
    /// Name of the copy, or with a pattern what names begin with; default: as they are
    #[arg(value_name = "TARGET")]
    to: Option<String>,
    /// Profile of the copy
    #[arg(long, value_name = "NAME", add = crate::cli::completion::profiles())]
    to_profile: Option<String>,
    /// Bucket of the copy; default: the same, with --to-profile that of the profile
    #[arg(long, value_name = "BUCKET")]
    to_bucket: Option<String>,
    /// Replace what is stored under the copy's name
    #[arg(long)]
    replace: bool,
    /// Say what would be copied
    #[arg(long)]
    dry_run: bool,
}

impl Copy {
    /// Runs the command on the store called `noun`.
    pub fn run(self, noun: &str, session: &Session) -> Result<()> {
        let om = session.omega()?;
        let source = store(&om, noun)?;
        let other = self.target(&om, session)?;
        let target = store(&other, noun)?;
        if self.to.is_none() && self.to_profile.is_none() && self.to_bucket.is_none() {
            return Err(Error::usage("the copy needs another name or another place")
                .hint("give TARGET, --to-bucket or --to-profile"));
        }
        let pattern = self.from.contains('*');
        let options = CopyOptions {
            replace: self.replace,
            skip_same: pattern || self.to_profile.is_some(),
        };
        if !options.skip_same && !self.dry_run {
            let to = self.to.as_deref().unwrap_or(&self.from);
            let copied = source.copy_with(&self.from, target, to, options)?;
            return metadata_line(session, &copied.metadata);
        }
        let names = self.names(source, noun)?;
        if self.dry_run {
            return plan(source, target, &names, options, session);
        }
        if pattern && self.replace && !self.may_replace(target, &names, noun, session)? {
            session.output.note("nothing copied");
            return Ok(());
        }
        let work = Work {
            source,
            target,
            options,
            session,
        };
        match names.as_slice() {
            [(from, to)] if !pattern => work.one(from, to),
            _ => work.all(&names, noun),
        }
    }

    /// Where the copies go.
    fn target(&self, om: &Omega, session: &Session) -> Result<Omega> {
        let Some(profile) = &self.to_profile else {
            return Ok(match &self.to_bucket {
                Some(bucket) => om.bucket(bucket),
                None => om.clone(),
            });
        };
        // The options that say where objects live speak of the source.
        let options = crate::config::Options {
            profile: Some(profile.clone()),
            bucket: self.to_bucket.clone(),
            store: None,
            ..session.global.options()
        };
        Omega::open(&Config::load(&options)?, session.progress())
    }

    /// The objects to copy, and the names of their copies.
    fn names(&self, source: &Store, noun: &str) -> Result<Vec<(String, String)>> {
        if !self.from.contains('*') {
            let to = self.to.as_ref().unwrap_or(&self.from);
            return Ok(vec![(self.from.clone(), to.clone())]);
        }
        if let Some(to) = self.to.as_deref().filter(|to| !to.ends_with('/')) {
            return Err(
                Error::usage(format!("`{to}` is one name, but a pattern copies many"))
                    .hint(format!("end it with `/` to put them under it: {to}/")),
            );
        }
        let names = source.expand(&self.from)?;
        if names.is_empty() {
            return Err(
                Error::not_found(format!("no {noun} match {}", self.from)).on(self.from.clone())
            );
        }
        let renamed = |name: String| match &self.to {
            Some(prefix) => {
                let to = format!("{prefix}{}", name.get(fixed(&self.from)..).unwrap_or(&name));
                (name, to)
            }
            None => (name.clone(), name),
        };
        Ok(names.into_iter().map(renamed).collect())
    }

    /// Whether what is there may be replaced, if anything is.
    fn may_replace(
        &self,
        target: &Store,
        names: &[(String, String)],
        noun: &str,
        session: &Session,
    ) -> Result<bool> {
        let everything = Listing {
            hidden: true,
            temporary: true,
            ..Listing::default()
        };
        let there: HashSet<String> = target
            .list(&everything)?
            .into_iter()
            .map(|metadata| metadata.key.name)
            .collect();
        let taken = names.iter().filter(|(_, to)| there.contains(to)).count();
        if taken == 0 {
            return Ok(true);
        }
        let place = target.storage().location();
        session.output.confirm(&format!(
            "Replace {taken} {noun} in {place} where they differ?"
        ))
    }
}

/// The length of what precedes the last `/` ahead of the first `*`, and the `/`.
fn fixed(pattern: &str) -> usize {
    let literal = pattern.split('*').next().unwrap_or_default();
    literal.rfind('/').map_or(0, |slash| slash + 1)
}

/// Says what would happen.
fn plan(
    source: &Store,
    target: &Store,
    names: &[(String, String)],
    options: CopyOptions,
    session: &Session,
) -> Result<()> {
    let mut table = Table::new([
        Column::new("NAME"),
        Column::new("TARGET"),
        Column::new("STATUS"),
    ]);
    for (from, to) in names {
        let (step, key) = source.plan_copy(from, target, to, options)?;
        let status = match step {
            CopyStep::Make => "copy",
            CopyStep::Replace => "replace",
            CopyStep::Skip => "unchanged",
            CopyStep::Refuse => "conflict",
        };
        table.push([
            Cell::from(from.as_str()),
            key.to_string().into(),
            status.into(),
        ]);
    }
    session.output.rows(&table)
}

/// Copies to be made.
struct Work<'a> {
    source: &'a Store,
    target: &'a Store,
    options: CopyOptions,
    session: &'a Session,
}

impl Work<'_> {
    fn one(&self, from: &str, to: &str) -> Result<()> {
        let mut table = table();
        let started = Instant::now();
        let copied = self.source.copy_with(from, self.target, to, self.options)?;
        self.push(&mut table, from, &copied, started.elapsed());
        self.session.output.rows(&table)
    }

    /// Goes on after an object that cannot be copied, but not without a server.
    fn all(&self, names: &[(String, String)], noun: &str) -> Result<()> {
        let progress = &self.session.progress;
        let meter = progress.meter(noun, Some(names.len() as u64), Unit::Items);
        let mut table = table();
        let mut failures: Vec<ErrorKind> = Vec::new();
        let mut end = Ok(());
        for (from, to) in names {
            let started = Instant::now();
            match self.source.copy_with(from, self.target, to, self.options) {
                Ok(copied) => self.push(&mut table, from, &copied, started.elapsed()),
                Err(error) if ends_all(error.kind()) => {
                    end = Err(error);
                    break;
                }
                Err(error) => {
                    let message = mask_text(&error.to_string());
                    progress.warn(&format!("{from} is not copied: {message}"));
                    failures.push(error.kind());
                    table.push([
                        Cell::from(from.as_str()),
                        "failed".into(),
                        Value::Null.into(),
                        Value::Null.into(),
                        Cell::shown(seconds(started.elapsed()), ""),
                        self.target.key(to).to_string().into(),
                        message.into(),
                    ]);
                }
            }
            meter.advance(1);
        }
        drop(meter);
        self.session.output.rows(&table)?;
        end?;
        let Some(first) = failures.first() else {
            return Ok(());
        };
        let kind = match failures.iter().all(|kind| kind == first) {
            true => *first,
            false => ErrorKind::Failed,
        };
        let message = format!(
            "{} of {} {noun} were not copied",
            failures.len(),
            names.len()
        );
        Err(Error::new(kind, message).hint(match kind {
            ErrorKind::Conflict => "add --replace to replace what is there",
            _ => "run it again to try these again; what is copied is left alone",
        }))
    }

    fn push(&self, table: &mut Table, from: &str, copied: &Copied, elapsed: Duration) {
        let metadata = &copied.metadata;
        let progress = &self.session.progress;
        let status = match copied.step {
            CopyStep::Skip => {
                progress.note(&format!("{from}: unchanged in {}", metadata.key));
                "unchanged"
            }
            _ => {
                let line = stored_line(self.target, metadata, copied.stats, elapsed);
                progress.note(&format!("{from}: copied, {line}"));
                "copied"
            }
        };
        table.push([
            Cell::from(from),
            status.into(),
            copied.stats.count.map_or(Cell::default(), Cell::from),
            Cell::bytes(copied.stats.bytes),
            Cell::shown(seconds(elapsed), format!("{:.1} s", elapsed.as_secs_f64())),
            metadata.key.to_string().into(),
            Value::Null.into(),
        ]);
    }
}

/// Whether the objects that are left would only fail for the same reason.
fn ends_all(kind: ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::Interrupted
            | ErrorKind::TimedOut
            | ErrorKind::Unreachable
            | ErrorKind::Unauthorized
            | ErrorKind::BrokenPipe
    )
}

fn table() -> Table {
    Table::new([
        Column::new("NAME"),
        Column::new("STATUS"),
        Column::new("ROWS").right(),
        Column::new("SIZE").key("bytes").right(),
        Column::new("TIME").key("seconds").right(),
        Column::new("TARGET").wide(),
        Column::new("ERROR").for_programs(),
    ])
}

/// Seconds to the millisecond.
fn seconds(elapsed: Duration) -> f64 {
    (elapsed.as_secs_f64() * 1000.0).round() / 1000.0
}

#[cfg(test)]
mod tests {
    use super::fixed;

    #[test]
    fn names_keep_what_the_pattern_leaves_open() {
        for (pattern, length) in [
            ("*", 0),
            ("raw/*", 4),
            ("raw/a*/b", 4),
            ("a/b/*", 4),
            ("raw*", 0),
        ] {
            assert_eq!(fixed(pattern), length, "{pattern}");
        }
    }
}
