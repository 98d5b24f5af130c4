//! The tree of commands and the options that all of them take.

use super::backends::Backends;
use super::cloud::Cloud;
use super::completion;
use super::config::ConfigArgs;
use super::datasets::Datasets;
use super::doctor::Doctor;
use super::help::HelpArgs;
use super::jobs::Jobs;
use super::models::Models;
use super::objects::Objects;
use super::output::{Color, Format, Wishes};
use super::runtime::Runtime;
use super::scripts::Scripts;
use super::server::ServerArgs;
use super::shell::Shell;
use super::store::StoreCommand;
use clap::{Args, CommandFactory, Parser, Subcommand, ValueHint};
use std::ffi::OsString;
use std::time::Duration;

/// omega|ml in one binary: data sets, models, jobs and scripts under a name
#[derive(Debug, Parser)]
#[command(
    name = "om",
    bin_name = "om",
    version,
    disable_help_subcommand = true,
    disable_help_flag = true,
    subcommand_required = true,
    arg_required_else_help = true,
    // omega|ml accepts any unambiguous start of a long option, and an option twice.
    infer_long_args = true,
    args_override_self = true,
    max_term_width = 100
)]
pub struct Cli {
    /// Options of every command.
    #[command(flatten)]
    pub global: Global,
    /// The command.
    #[command(subcommand)]
    pub command: Command,
}

/// Options that every command takes, anywhere on the line.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Global options")]
pub struct Global {
    /// Format of results: table, wide, json, jsonl, yaml, csv or name
    #[arg(
        short = 'o',
        long = "output",
        value_name = "FORMAT",
        global = true,
        value_enum,
        hide_possible_values = true
    )]
    pub format: Option<Format>,

    /// Same as -o json
    #[arg(long, global = true, conflicts_with = "format")]
    pub json: bool,

    /// No notes, no progress, no questions: answer yes
    #[arg(short, long, visible_alias = "noinput", global = true)]
    pub quiet: bool,

    /// Answer yes to questions
    #[arg(short, long, global = true)]
    pub yes: bool,

    /// Log more: -v what is done, -vv details, -vvv everything
    #[arg(short, long, action = clap::ArgAction::Count, global = true)]
    pub verbose: u8,

    /// Log level: ERROR, WARNING, INFO, DEBUG or TRACE
    #[arg(long, value_name = "LEVEL", global = true, hide_short_help = true)]
    pub loglevel: Option<String>,

    /// Configuration file
    #[arg(long, value_name = "FILE", global = true, hide_short_help = true, value_hint = ValueHint::FilePath)]
    pub config: Option<String>,

    /// Named profile (see: om config profiles)
    #[arg(long, value_name = "NAME", global = true, add = completion::profiles())]
    pub profile: Option<String>,

    /// Bucket
    #[arg(long, value_name = "NAME", global = true)]
    pub bucket: Option<String>,

    /// Directory (or file: URL) of the store
    #[arg(long, value_name = "DIR", global = true, value_hint = ValueHint::DirPath)]
    pub store: Option<String>,

    /// Run tasks in this process
    #[arg(long, global = true, hide_short_help = true)]
    pub local_runtime: bool,

    /// Colour: auto, always or never
    #[arg(
        long,
        value_name = "WHEN",
        global = true,
        value_enum,
        default_value_t,
        hide_short_help = true,
        hide_possible_values = true,
        hide_default_value = true
    )]
    pub color: Color,

    /// No progress bars
    #[arg(long, global = true, hide_short_help = true)]
    pub no_progress: bool,

    /// Give up after this time: 30s, 5m, 1h (exit code 124)
    #[arg(long, value_name = "TIME", global = true, value_parser = parse_duration, hide_short_help = true)]
    pub timeout: Option<Duration>,

    /// Print help
    #[arg(short = 'h', long, global = true, action = clap::ArgAction::HelpShort)]
    pub help: Option<bool>,

    /// Patterns are regular expressions
    #[arg(short = 'E', long = "regexp", global = true, hide = true)]
    pub regexp: bool,
}

/// `-E` in the help of commands that take a pattern; flatten it next to the pattern.
/// It is the global option under the same name, so that it counts anywhere on the line.
#[derive(Debug, Clone, Copy, Args)]
pub struct Regexp {
    /// The pattern is a regular expression
    #[arg(short = 'E', long = "regexp", id = "regexp")]
    pub regexp: bool,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Tables, arrays, documents and files
    #[command(subcommand)]
    Datasets(Datasets),
    /// Make and look at models
    #[command(subcommand)]
    Models(Models),
    /// Notebooks that run as jobs
    #[command(subcommand)]
    Jobs(Jobs),
    /// Packages and programs
    #[command(subcommand)]
    Scripts(Scripts),
    /// Streams of messages
    #[command(subcommand)]
    Streams(Objects),
    /// Train models, predict, run tasks
    #[command(subcommand)]
    Runtime(Runtime),
    /// Serve the REST API and the dashboard, and say who may use them
    Server(Box<ServerArgs>),
    /// Which server to work on, as whom
    #[command(subcommand)]
    Cloud(Cloud),
    /// Python with om connected
    Shell(Shell),
    /// Programs that run models which om itself cannot
    Backends(Backends),
    /// Look after the place where objects live
    #[command(subcommand)]
    Store(StoreCommand),
    /// Check the settings and everything that they name
    Doctor(Doctor),
    /// Show and change settings
    Config(ConfigArgs),
    /// Print a shell's completion script
    Completion(completion::CompletionArgs),
    /// Explain a command or a topic
    Help(HelpArgs),
    /// Print the version
    #[command(after_help = "\
Examples:
  om version
  om version -o json")]
    Version,
}

/// Headings of the root help, each with its commands in order.
pub const GROUPS: &[(&str, &[&str])] = &[
    (
        "Objects",
        &["datasets", "models", "jobs", "scripts", "streams"],
    ),
    ("Work", &["runtime", "server", "cloud", "shell", "backends"]),
    (
        "Set-up",
        &["store", "doctor", "config", "completion", "help", "version"],
    ),
];

impl Global {
    /// What is asked for about output.
    pub fn wishes(&self) -> Wishes {
        Wishes {
            format: if self.json {
                Some(Format::Json)
            } else {
                self.format
            },
            color: self.color,
            quiet: self.quiet,
            yes: self.yes,
        }
    }

    /// The options that are settings.
    pub fn options(&self) -> crate::config::Options {
        crate::config::Options {
            config: self.config.clone(),
            profile: self.profile.clone(),
            bucket: self.bucket.clone(),
            store: self.store.clone(),
            local_runtime: self.local_runtime,
            loglevel: self.loglevel.clone(),
        }
    }
}

/// The whole tree, with the root help in groups.
pub fn command() -> clap::Command {
    let command = Cli::command();
    let template = root_template(&command);
    command.help_template(template)
}

fn root_template(command: &clap::Command) -> String {
    let about = |name: &str| {
        let about = command
            .find_subcommand(name)
            .and_then(clap::Command::get_about);
        about.map(ToString::to_string).unwrap_or_default()
    };
    let names = GROUPS.iter().flat_map(|(_, names)| names.iter());
    let width = names.map(|name| name.len()).max().unwrap_or(0);
    let heading = |text: &str| format!("\u{1b}[1m\u{1b}[4m{text}:\u{1b}[0m\n");
    let mut commands = String::new();
    for (group, names) in GROUPS {
        commands.push_str(&heading(group));
        for name in *names {
            commands.push_str(&format!(
                "  \u{1b}[1m{name:width$}\u{1b}[0m  {}\n",
                about(name)
            ));
        }
        commands.push('\n');
    }
    format!(
        "{{about-with-newline}}\n{{usage-heading}} {{usage}}\n\n{commands}{}{}\n\n\
         More: om help COMMAND; om help environment, exit-codes, filters, formatting\n",
        heading("Global options"),
        options(command).trim_end(),
    )
}

/// All global options. Commands show only those that most users want.
fn options(command: &clap::Command) -> String {
    let mut only_options = clap::Command::new("om")
        .disable_help_flag(true)
        .help_template("{options}");
    for arg in command.get_arguments() {
        only_options = only_options.arg(arg.clone().hide_short_help(false));
    }
    only_options
        .max_term_width(100)
        .render_help()
        .ansi()
        .to_string()
}

/// What the arguments ask about output, read leniently: for the time when they cannot be
/// read otherwise.
pub fn early_wishes(args: &[OsString]) -> Wishes {
    let mut wishes = Wishes::default();
    let mut words = args.iter().skip(1).map(|word| word.to_string_lossy());
    while let Some(word) = words.next() {
        let (name, value) = match word.split_once('=') {
            Some((name, value)) => (name.to_owned(), Some(value.to_owned())),
            None => (word.into_owned(), None),
        };
        match name.as_str() {
            "--" => break,
            "--json" => wishes.format = Some(Format::Json),
            "-q" | "--quiet" | "--noinput" => wishes.quiet = true,
            "-o" | "--output" => {
                let value = value.or_else(|| words.next().map(Into::into));
                wishes.format =
                    value.and_then(|value| clap::ValueEnum::from_str(&value, true).ok());
            }
            "--color" => {
                let value = value.or_else(|| words.next().map(Into::into));
                wishes.color = value
                    .and_then(|value| clap::ValueEnum::from_str(&value, true).ok())
                    .unwrap_or_default();
            }
            "-ojson" => wishes.format = Some(Format::Json),
            "-ojsonl" => wishes.format = Some(Format::Jsonl),
            _ => {}
        }
    }
    wishes
}

/// Reads `30`, `30s`, `500ms`, `5m`, `1h`, `1.5h`, `2d`.
pub(super) fn parse_duration(text: &str) -> Result<Duration, String> {
    let text = text.trim();
    let digits = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let scale = match unit.trim() {
        "ms" => 0.001,
        "" | "s" => 1.0,
        "m" | "min" => 60.0,
        "h" => 3600.0,
        "d" => 86_400.0,
        _ => return Err("give a time such as 30s, 5m or 1h".to_owned()),
    };
    let seconds = number
        .parse::<f64>()
        .map_err(|_| "give a time such as 30s, 5m or 1h")?
        * scale;
    match Duration::try_from_secs_f64(seconds) {
        Ok(duration) if !duration.is_zero() => Ok(duration),
        _ => Err("the time must be more than nothing and less than ages".to_owned()),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_tree_is_sound() {
        command().debug_assert();
    }

    #[test]
    fn every_command_stands_under_one_heading() {
        let mut grouped: Vec<&str> = GROUPS
            .iter()
            .flat_map(|(_, names)| names.iter().copied())
            .collect();
        let command = command();
        let mut names: Vec<&str> = command
            .get_subcommands()
            .filter(|sub| !sub.is_hide_set())
            .map(clap::Command::get_name)
            .collect();
        grouped.sort_unstable();
        names.sort_unstable();
        assert_eq!(grouped, names);
    }

    #[test]
    fn regexp_counts_anywhere() {
        #[derive(Debug, Parser)]
        struct Toy {
            #[command(flatten)]
            global: Global,
            #[command(subcommand)]
            action: Action,
        }
        #[derive(Debug, Subcommand)]
        enum Action {
            List {
                pattern: Option<String>,
                #[command(flatten)]
                regexp: Regexp,
            },
        }
        let command = || Toy::command().disable_help_flag(true);
        command().debug_assert();
        let parsed = |line: &str| {
            let matches = command().try_get_matches_from(line.split(' ')).unwrap();
            let toy = <Toy as clap::FromArgMatches>::from_arg_matches(&matches).unwrap();
            let Action::List { pattern, regexp } = toy.action;
            (
                pattern.unwrap_or_default(),
                regexp.regexp,
                toy.global.regexp,
            )
        };
        assert_eq!(parsed("om -E list x"), ("x".to_owned(), true, true));
        assert_eq!(parsed("om list x -E"), ("x".to_owned(), true, true));
        assert_eq!(parsed("om list --regexp x"), ("x".to_owned(), true, true));
        assert_eq!(parsed("om list x"), ("x".to_owned(), false, false));
    }

    /// Every command that does something says what, and shows how.
    #[test]
    fn every_leaf_has_a_purpose_and_examples() {
        fn visit(command: &clap::Command, path: &str, missing: &mut Vec<String>) {
            let path = format!("{path} {}", command.get_name());
            if command.is_hide_set() {
                return;
            }
            if command.get_about().is_none() {
                missing.push(format!("{path}: purpose"));
            }
            if command.has_subcommands() {
                command
                    .get_subcommands()
                    .for_each(|sub| visit(sub, &path, missing));
                return;
            }
            let help = command
                .get_after_help()
                .map(ToString::to_string)
                .unwrap_or_default();
            let examples = help
                .lines()
                .filter(|line| line.trim_start().starts_with("om "))
                .count();
            if !(2..=6).contains(&examples) {
                missing.push(format!("{path}: {examples} examples"));
            }
        }
        let mut missing = Vec::new();
        command()
            .get_subcommands()
            .for_each(|sub| visit(sub, "om", &mut missing));
        assert_eq!(missing, Vec::<String>::new());
    }

    #[test]
    fn durations_are_read() {
        for (text, milliseconds) in [
            ("30", 30_000),
            ("500ms", 500),
            ("5m", 300_000),
            ("1.5h", 5_400_000),
        ] {
            assert_eq!(
                parse_duration(text),
                Ok(Duration::from_millis(milliseconds))
            );
        }
        for text in ["", "0", "-1s", "s", "1w", "1e400h", "..s"] {
            assert!(parse_duration(text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_duration_is_answered(text in "\\PC{0,12}") {
            let _ = parse_duration(&text);
        }
    }
}
