//! Completion in the shell: of commands and options by clap, of stored names by listers
//! that the commands bring along. It never asks, never fails loudly, and answers in time
//! or not at all: within [`BUDGET`], or [`SERVER_BUDGET`] where a server has to be asked.

use super::Session;
use crate::config::{Config, Environment, Locations, Options, Profile, Profiles, variables};
use crate::error::Result;
use clap::{Args, ValueEnum};
use clap_complete::engine::{ArgValueCompleter, CompletionCandidate, complete};
use std::ffi::{OsStr, OsString};
use std::io::Write;
use std::process::ExitCode;
use std::sync::mpsc;
use std::time::{Duration, Instant};

/// The variable by which a shell asks.
pub const VARIABLE: &str = "OM_COMPLETE";

/// A lister that takes longer is left behind: who presses Tab does not wait.
pub const BUDGET: Duration = Duration::from_millis(40);

/// The same where names are on a server; all that one Tab asks for together.
pub const SERVER_BUDGET: Duration = Duration::from_millis(300);

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
            end(),
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
                end(),
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
            end(),
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
        let end = end();
        named
            .filter_map(|word| word.split('[').next())
            .map(|word| in_time(lister, word.to_owned(), accepted, before, end))
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

/// What the thread that looks for names says.
enum Word {
    /// It will take longer, at the most this long.
    Wait(Duration),
    /// What there is.
    Names(Vec<String>),
}

/// The end of all that one Tab may ask for.
fn end() -> Instant {
    Instant::now() + SERVER_BUDGET
}

/// Runs the lister in a thread of its own, and leaves it there when it is late.
fn in_time(
    lister: Lister,
    argument: String,
    accepted: impl Fn(&str) -> bool,
    prefix: &str,
    end: Instant,
) -> Vec<CompletionCandidate> {
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        let Ok(config) = Config::load(&options(&words())) else {
            return;
        };
        if !matches!(config.profile(), Profile::Embedded(_)) {
            let _ = sender.send(Word::Wait(SERVER_BUDGET));
        }
        let names = lister(&config.in_a_hurry(SERVER_BUDGET), &argument);
        let _ = sender.send(Word::Names(names.unwrap_or_default()));
    });
    let started = Instant::now();
    let mut until = end.min(started + BUDGET);
    let names = loop {
        match receiver.recv_timeout(until.saturating_duration_since(Instant::now())) {
            Ok(Word::Wait(time)) => until = end.min(started + time),
            Ok(Word::Names(names)) => break names,
            Err(_) => break Vec::new(),
        }
    };
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

/// Answers a shell: `om -- om WORD… CURRENT` with [`VARIABLE`] set is answered by one
/// candidate a line, with a tab and an explanation behind it if there is one. Whatever
/// goes wrong, there is nothing to complete.
pub(super) fn answer(args: Vec<OsString>) -> ExitCode {
    let words: Vec<OsString> = args
        .into_iter()
        .skip_while(|arg| arg != "--")
        .skip(1)
        .collect();
    let Some(last) = words.len().checked_sub(1) else {
        return ExitCode::SUCCESS;
    };
    let directory = std::env::current_dir().ok();
    let candidates = complete(
        &mut super::app::command(),
        words,
        last,
        directory.as_deref(),
    );
    let lines = lines(candidates.unwrap_or_default());
    let _ = std::io::stdout().write_all(lines.as_bytes());
    ExitCode::SUCCESS
}

/// Options are offered only where nothing else is, or to who typed a dash.
fn lines(candidates: Vec<CompletionCandidate>) -> String {
    let texts: Vec<(String, String)> = candidates
        .iter()
        .filter_map(|candidate| {
            let value = candidate.get_value().to_str()?.to_owned();
            let about = candidate
                .get_help()
                .map(ToString::to_string)
                .unwrap_or_default();
            Some((value, about.lines().next().unwrap_or_default().to_owned()))
        })
        .filter(|(value, _)| !value.chars().any(char::is_control))
        .collect();
    let is_option = |value: &str| value.starts_with('-') && value != "-";
    let values = texts.iter().any(|(value, _)| !is_option(value));
    let mut lines = String::new();
    for (value, about) in texts
        .iter()
        .filter(|(value, _)| !values || !is_option(value))
    {
        lines.push_str(value);
        if !about.is_empty() {
            lines.push('\t');
            lines.push_str(&about.replace('\t', " "));
        }
        lines.push('\n');
    }
    lines
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
    pub fn script(self) -> &'static str {
        match self {
            Shell::Bash => include_str!("shells/om.bash"),
            Shell::Zsh => include_str!("shells/_om"),
            Shell::Fish => include_str!("shells/om.fish"),
        }
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
    session.output.text(args.shell.script())
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
