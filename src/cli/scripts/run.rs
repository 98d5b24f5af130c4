//! `om scripts run`: in this process.

use crate::cli::Session;
use crate::cli::app::parse_duration;
use crate::error::{Error, ErrorKind, Result};
use crate::scripts::ScriptCall;
use clap::Args;
use serde_json::{Map, Value};
use std::time::Duration;

/// Run a script in this process.
///
/// Prints omega|ml's envelope: the script, its arguments, its result, and how long it took.
/// A script that raises an exception is exit code 6.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  om scripts run helloworld
  om scripts run helloworld 'some text' count=3 | jq .result")]
pub struct Run {
    /// Name of the script
    #[arg(add = crate::cli::stored::objects())]
    name: String,
    /// Arguments, and keyword arguments as NAME=VALUE; values are JSON or text, and after -- may begin with -
    #[arg(value_name = "ARGUMENT", allow_negative_numbers = true)]
    arguments: Vec<String>,
    /// Stop it when it takes longer
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    time_limit: Option<Duration>,
    /// Print its result only
    #[arg(long)]
    result_only: bool,
}

impl Run {
    /// Runs the command.
    pub fn run(self, session: &Session) -> Result<()> {
        let (args, kwargs) = arguments(&self.arguments);
        let call = ScriptCall {
            name: self.name,
            args,
            kwargs,
            limit: self.time_limit,
        };
        let run = session.omega()?.scripts.run(&call, &session.progress)?;
        if run.failed {
            let why = run.envelope.get("result").map(|result| {
                result
                    .as_str()
                    .map_or_else(|| result.to_string(), str::to_owned)
            });
            return Err(Error::new(
                ErrorKind::TaskFailed,
                format!("the script failed: {}", why.unwrap_or_default()),
            ));
        }
        match self.result_only {
            true => session
                .output
                .value(run.envelope.get("result").unwrap_or(&Value::Null)),
            false => session.output.line(&run.envelope),
        }
    }
}

/// Arguments of a script: `name=value` is a keyword argument.
pub fn arguments(texts: &[String]) -> (Vec<Value>, Map<String, Value>) {
    let value = |text: &str| serde_json::from_str(text).unwrap_or_else(|_| Value::from(text));
    let (mut args, mut kwargs) = (Vec::new(), Map::new());
    for text in texts {
        let is_name = |name: &str| {
            let mut letters = name.chars();
            letters
                .next()
                .is_some_and(|c| c.is_alphabetic() || c == '_')
                && letters.all(|c| c.is_alphanumeric() || c == '_')
        };
        match text.split_once('=') {
            Some((name, text)) if is_name(name) => {
                kwargs.insert(name.to_owned(), value(text));
            }
            _ => args.push(value(text)),
        }
    }
    (args, kwargs)
}
