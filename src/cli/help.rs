//! `om help`: commands, and topics that belong to no command.

use super::Session;
use super::app;
use crate::config::variables::{Group, VARIABLES};
use crate::error::{Error, ErrorKind, Result, nearest};
use clap::Args;
use clap_complete::engine::{ArgValueCompleter, CompletionCandidate};
use std::ffi::OsStr;

/// `om help`.
#[derive(Debug, Args)]
#[command(after_help = "\
Topics: environment, exit-codes, filters, formatting

Examples:
  om help
  om help config set
  om help environment")]
pub struct HelpArgs {
    /// A command, or a topic
    #[arg(value_name = "COMMAND|TOPIC", add = ArgValueCompleter::new(candidates))]
    path: Vec<String>,
}

/// A topic's name and its text.
type Topic = (&'static str, fn() -> String);

const TOPICS: [Topic; 4] = [
    ("environment", environment),
    ("exit-codes", exit_codes),
    ("filters", || FILTERS.to_owned()),
    ("formatting", || FORMATTING.to_owned()),
];

pub(super) fn run(args: &HelpArgs, session: &Session) -> Result<()> {
    if let [topic] = args.path.as_slice()
        && let Some((_, text)) = TOPICS.iter().find(|(name, _)| name == topic)
    {
        return session.output.text(&text());
    }
    let mut root = app::command();
    root.build();
    let mut command = &mut root;
    for (depth, name) in args.path.iter().enumerate() {
        let mut known: Vec<String> = command
            .get_subcommands()
            .map(|sub| sub.get_name().to_owned())
            .collect();
        command = match command.find_subcommand_mut(name) {
            Some(found) => found,
            None => {
                if depth == 0 {
                    known.extend(TOPICS.iter().map(|(name, _)| (*name).to_owned()));
                }
                let hint = match nearest(name, known.iter().map(String::as_str)) {
                    Some(near) => format!("did you mean `{near}`? see: om help"),
                    None => "see: om help".to_owned(),
                };
                return Err(Error::usage(format!("there is no help for `{name}`")).hint(hint));
            }
        };
    }
    let help = command.render_help();
    session.output.text(&match session.output.screen().color {
        true => help.ansi().to_string(),
        false => help.to_string(),
    })
}

fn candidates(current: &OsStr) -> Vec<CompletionCandidate> {
    let command = app::command();
    let names = command.get_subcommands().map(clap::Command::get_name);
    let names = names.chain(TOPICS.iter().map(|(name, _)| *name));
    let current = current.to_string_lossy();
    names
        .filter(|name| name.starts_with(current.as_ref()))
        .map(CompletionCandidate::new)
        .collect()
}

fn environment() -> String {
    let mut text = "Environment variables. Settings can also stand in config.yml; see: om config show --origin\n".to_owned();
    for group in Group::ALL {
        text.push_str(&format!("\n{}:\n", group.heading()));
        for variable in VARIABLES.iter().filter(|variable| variable.group == group) {
            let default = variable
                .default
                .map(|default| format!(" [default: {default}]"));
            text.push_str(&format!(
                "  {:26}  {}{}\n",
                variable.name,
                variable.about,
                default.unwrap_or_default()
            ));
        }
    }
    text
}

fn exit_codes() -> String {
    const KINDS: [(ErrorKind, &str); 11] = [
        (ErrorKind::Failed, "the operation failed"),
        (
            ErrorKind::Invalid,
            "input or stored data is not what it must be",
        ),
        (
            ErrorKind::Corrupt,
            "stored bytes are not those that were written",
        ),
        (ErrorKind::Usage, "wrong arguments, options or settings"),
        (
            ErrorKind::NotFound,
            "the object, file or task does not exist",
        ),
        (ErrorKind::Unauthorized, "not authenticated, or not allowed"),
        (
            ErrorKind::Conflict,
            "it exists, has changed, or a precondition does not hold",
        ),
        (ErrorKind::TaskFailed, "the task was run and failed"),
        (
            ErrorKind::Unreachable,
            "a server cannot be reached; worth another try",
        ),
        (
            ErrorKind::TimedOut,
            "the time limit has passed; worth another try",
        ),
        (ErrorKind::Interrupted, "interrupted (Ctrl-C)"),
    ];
    let mut text = "Exit codes, and the \"kind\" of JSON errors:\n\n    0                done; also when the reader of the output has gone\n".to_owned();
    for (kind, about) in KINDS {
        text.push_str(&format!(
            "  {:3}  {:12}  {about}\n",
            kind.exit_code(),
            kind.name()
        ));
    }
    text.push_str(
        "\nWith -o json an error is one JSON object on stderr:\n  \
         {\"schema\":\"om/1\",\"error\":{\"code\":3,\"kind\":\"not_found\",\"message\":\"…\",\"object\":\"…\",\"hint\":\"…\",\"retryable\":false}}\n\
         The format of results never changes the exit code.\n",
    );
    text
}

const FORMATTING: &str = "\
Formats of results, chosen by -o (--output):

  table  a table fitted to the terminal; elsewhere rows separated by tabs, with a header
  wide   the same with all columns
  json   one JSON document (--json is the same); a list is an array, an empty one []
  jsonl  one JSON document a line
  yaml   YAML
  csv    CSV with a header
  name   names only, one a line

Without -o, a list of objects in a pipe is their names, one a line, so that
  om datasets list | while read -r name; do …; done
works; on a terminal it is a table.

Results go to stdout. Notes, progress, questions, logs and errors go to stderr.
Colour is used on terminals only; --color, NO_COLOR, CLICOLOR_FORCE and CLICOLOR
decide otherwise, in this order. In tables, control characters are shown as escapes.
";

const FILTERS: &str = "\
Filters choose rows of data sets. There are two forms; all conditions must hold.

Keywords, as in omega|ml: COLUMN__OPERATOR=VALUE
  qty=5  qty__eq=5  qty__ne=5         equal, not equal
  qty__lt=5  lte  gt  gte             less, greater
  qty__between=1,5                    from 1 to 5, both included
  region__in=EU,US  nin               one of, none of
  name__contains=x  startswith  endswith  regex
  price__isnull=true                  null or NaN; false: neither
  price__isdouble=true  isint  isstring  isbool  isdate  isarray  isobject
  a__b__gt=1                          field b of the nested column a

Expressions:
  qty >= 5 and region in (\"EU\", \"US\")
  not (name like \"a%\" or price is null)
  day between \"2013-01-01\" and \"2013-01-31\"
  name starts with \"a\"    name contains \"b\"    name ~ \"^a.*z$\"
  `a column with blanks` = 1          names in backticks, text in quotes

Columns can also be chosen in the name of a data set:
  sales[qty,price]  only these     sales[^price]  all but these     sales[a:c]  from a to c
";
