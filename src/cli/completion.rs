//! Completion in the shell: of commands and options by clap, of stored names by listers
//! that the commands bring along. It never asks, never fails loudly, and answers within
//! [`BUDGET`] or not at all.

use super::Session;
use crate::config::{Config, Environment, Locations, Options, Profiles, variables};
use crate::error::Result;
use clap::{Args, ValueEnum};
use clap_complete::engine::{ArgValueCompleter, CompletionCandidate};
use clap_complete::env::{Bash, CompleteEnv, EnvCompleter, Fish, Shells, Zsh};
use std::ffi::{OsStr, OsString};
use std::process::ExitCode;
use std::sync::mpsc;
use std::time::Duration;

/// The variable by which a shell asks.
pub const VARIABLE: &str = "OM_COMPLETE";

/// A lister that takes longer is left behind: who presses Tab does not wait.
pub const BUDGET: Duration = Duration::from_millis(40);

const SHELLS: Shells<'static> = Shells(&[&Bash, &Zsh, &Fish]);

/// Lists names for completion: of a store, or of the columns of an object in it.
pub type Lister = fn(&Config, &str) -> Result<Vec<String>>;

/// Values with an explanation: kinds, estimators.
pub type Catalogue = fn() -> Vec<(String, String)>;

/// Completes the names of stored objects; `lister` gets the start of the name.
pub fn objects(lister: Lister) -> ArgValueCompleter {
    ArgValueCompleter::new(move |current: &OsStr| {
        let Some(current) = current.to_str() else {
            return Vec::new();
        };
        in_time(
            lister,
            current.to_owned(),
            |name| name.starts_with(current),
            "",
        )
    })
}

/// Completes object names, and columns within a projection (`sales[qty,pri`).
pub fn frames(names: Lister, columns: Lister) -> ArgValueCompleter {
    ArgValueCompleter::new(move |current: &OsStr| {
        let Some(current) = current.to_str() else {
            return Vec::new();
        };
        let Some((object, inside)) = current.split_once('[') else {
            return in_time(
                names,
                current.to_owned(),
                |name| name.starts_with(current),
                "",
            );
        };
        let start = inside.rfind([',', '^', ':']).map_or(0, |at| at + 1);
        let (before, partial) = inside.split_at(start);
        let accepted = |name: &str| name.starts_with(partial);
        in_time(
            columns,
            object.to_owned(),
            accepted,
            &format!("{object}[{before}"),
        )
    })
}

/// Completes a comma-separated list of columns of the first stored object that the
/// command line names.
pub fn columns(lister: Lister) -> ArgValueCompleter {
    ArgValueCompleter::new(move |current: &OsStr| {
        let Some(current) = current.to_str() else {
            return Vec::new();
        };
        let (before, partial) = current.split_at(current.rfind(',').map_or(0, |at| at + 1));
        let accepted = |name: &str| name.starts_with(partial);
        let words = words();
        let named = words
            .iter()
            .filter(|word| !word.starts_with('-') && *word != current);
        named
            .filter_map(|word| word.split('[').next())
            .map(|word| in_time(lister, word.to_owned(), accepted, before))
            .find(|candidates| !candidates.is_empty())
            .unwrap_or_default()
    })
}

/// Completes values from a catalogue.
pub fn values(catalogue: Catalogue) -> ArgValueCompleter {
    ArgValueCompleter::new(move |current: &OsStr| {
        let Some(current) = current.to_str() else {
            return Vec::new();
        };
        let matching = catalogue()
            .into_iter()
            .filter(|(value, _)| value.starts_with(current));
        matching
            .map(|(value, about)| CompletionCandidate::new(value).help(Some(about.into())))
            .collect()
    })
}

/// Completes the names of profiles.
pub fn profiles() -> ArgValueCompleter {
    values(|| {
        let locations = Locations::of_machine(&Environment::capture());
        let profiles = locations.and_then(|locations| Profiles::read(&locations.profiles_file()));
        let Ok(profiles) = profiles else {
            return Vec::new();
        };
        profiles
            .names()
            .map(|name| (name.to_owned(), String::new()))
            .collect()
    })
}

/// Completes the names of settings.
pub fn settings() -> ArgValueCompleter {
    values(|| {
        let settings = variables::VARIABLES
            .iter()
            .filter(|variable| variable.group.is_setting());
        settings
            .map(|variable| (variable.name.to_owned(), variable.about.to_owned()))
            .collect()
    })
}

/// Runs the lister in a thread of its own, and leaves it there when it is late.
fn in_time(
    lister: Lister,
    argument: String,
    accepted: impl Fn(&str) -> bool,
    prefix: &str,
) -> Vec<CompletionCandidate> {
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        let names = Config::load(&options(&words())).and_then(|config| lister(&config, &argument));
        let _ = sender.send(names.unwrap_or_default());
    });
    let names = receiver.recv_timeout(BUDGET).unwrap_or_default();
    names
        .into_iter()
        .filter(|name| accepted(name) && !name.chars().any(char::is_control))
        .map(|name| CompletionCandidate::new(format!("{prefix}{name}")))
        .collect()
}

/// The words of the command line that is being completed.
pub(super) fn words() -> Vec<String> {
    let args = std::env::args_os().map(|arg| arg.to_string_lossy().into_owned());
    args.skip_while(|arg| arg != "--").skip(2).collect()
}

/// The options among the words that tell where to look.
fn options(words: &[String]) -> Options {
    let mut options = Options::default();
    let mut words = words.iter();
    while let Some(word) = words.next() {
        let (name, value) = match word.split_once('=') {
            Some((name, value)) => (name, Some(value.to_owned())),
            None => (word.as_str(), None),
        };
        let place = match name {
            "--config" => &mut options.config,
            "--profile" => &mut options.profile,
            "--bucket" => &mut options.bucket,
            "--store" => &mut options.store,
            _ => continue,
        };
        *place = value.or_else(|| words.next().cloned());
    }
    options
}

/// Answers a shell. Whatever goes wrong, there is nothing to complete.
pub(super) fn answer(args: Vec<OsString>) -> ExitCode {
    let directory = std::env::current_dir().ok();
    let engine = CompleteEnv::with_factory(super::app::command)
        .var(VARIABLE)
        .bin("om")
        .completer("om")
        .shells(SHELLS);
    let _ = engine.try_complete(args, directory.as_deref());
    ExitCode::SUCCESS
}

/// Shells that can complete.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Shell {
    /// Bash 4.4 and later
    Bash,
    /// Zsh
    Zsh,
    /// Fish
    Fish,
}

impl Shell {
    /// The script that makes the shell ask `om`.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Failed`], which does not happen: it is written to memory.
    pub fn script(self) -> Result<String> {
        let shell: &dyn EnvCompleter = match self {
            Shell::Bash => &Bash,
            Shell::Zsh => &Zsh,
            Shell::Fish => &Fish,
        };
        let mut script = Vec::new();
        let written = shell.write_registration(VARIABLE, "om", "om", "om", &mut script);
        crate::error::Context::context(written, || "cannot write the completion script")?;
        Ok(String::from_utf8_lossy(&script).trim_start().to_owned())
    }
}

/// `om completion`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  om completion bash > ~/.local/share/bash-completion/completions/om
  om completion zsh > \"${fpath[1]}/_om\"
  om completion fish > ~/.config/fish/completions/om.fish

Names of stored objects, columns, kinds, profiles and settings are completed too.")]
pub struct CompletionArgs {
    /// The shell
    shell: Shell,
}

pub(super) fn run(args: &CompletionArgs, session: &Session) -> Result<()> {
    session.output.text(&args.shell.script()?)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn texts(candidates: Vec<CompletionCandidate>) -> Vec<String> {
        candidates
            .iter()
            .map(|candidate| candidate.get_value().to_string_lossy().into_owned())
            .collect()
    }

    fn names(_: &Config, _: &str) -> Result<Vec<String>> {
        Ok(vec![
            "sales".to_owned(),
            "sites".to_owned(),
            "bad\nname".to_owned(),
        ])
    }

    fn columns_of(_: &Config, object: &str) -> Result<Vec<String>> {
        Ok(if object == "sales" {
            vec!["qty".to_owned(), "price".to_owned()]
        } else {
            Vec::new()
        })
    }

    #[test]
    fn names_and_columns_are_completed() {
        let frames = frames(names, columns_of);
        assert_eq!(texts(frames.complete(OsStr::new("s"))), ["sales", "sites"]);
        assert_eq!(texts(frames.complete(OsStr::new("sal"))), ["sales"]);
        assert_eq!(
            texts(frames.complete(OsStr::new("sales[qty,p"))),
            ["sales[qty,price"]
        );
        assert_eq!(
            texts(frames.complete(OsStr::new("sales[^"))),
            ["sales[^qty", "sales[^price"]
        );
        assert_eq!(
            texts(frames.complete(OsStr::new("other["))),
            Vec::<String>::new()
        );
    }

    #[test]
    fn slow_and_failing_listers_complete_nothing() {
        fn slow(_: &Config, _: &str) -> Result<Vec<String>> {
            std::thread::sleep(BUDGET * 5);
            Ok(vec!["sales".to_owned()])
        }
        fn failing(_: &Config, _: &str) -> Result<Vec<String>> {
            Err(crate::Error::failed("no store"))
        }
        let started = std::time::Instant::now();
        assert!(objects(slow).complete(OsStr::new("")).is_empty());
        assert!(started.elapsed() < BUDGET * 3);
        assert!(objects(failing).complete(OsStr::new("")).is_empty());
    }

    #[test]
    fn options_on_the_line_tell_where_to_look() {
        let words = ["datasets", "--bucket=b", "get", "--store", "/s", "x"].map(str::to_owned);
        let options = options(&words);
        assert_eq!(
            (options.bucket.as_deref(), options.store.as_deref()),
            (Some("b"), Some("/s"))
        );
    }
}
