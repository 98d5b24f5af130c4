//! How failures are told: `error:` and `hint:` for people, one JSON object under
//! `-o json`, both on stderr; the exit code follows from the kind alone.

use super::output::{Format, Output, escaped};
use crate::config::mask_text;
use crate::error::{Error, ErrorKind};
use clap::error::{ContextKind, ContextValue, ErrorKind as UsageKind};
use serde_json::json;

/// The version of the JSON that `om` writes about itself.
pub const SCHEMA: &str = "om/1";

/// Tells `error` and returns the exit code.
pub(super) fn report(output: &Output, error: &Error) -> u8 {
    let code = error.kind().exit_code();
    if error.kind() == ErrorKind::BrokenPipe {
        return code;
    }
    if matches!(output.format(), Some(Format::Json | Format::Jsonl)) {
        let document = json!({
            "schema": SCHEMA,
            "error": {
                "code": code,
                "kind": error.kind().name(),
                "message": mask_text(&error.to_string()),
                "object": error.object().map(mask_text),
                "hint": error.hint_text().map(mask_text),
                "retryable": error.kind().retryable(),
            },
        });
        output.error_line(&document.to_string());
        return code;
    }
    let screen = output.error_screen();
    let message = escaped(&mask_text(&error.to_string()));
    output.error_line(&format!("{} {message}", screen.paint("31;1", "error:")));
    if let Some(hint) = error.hint_text() {
        output.error_line(&format!(
            "{} {}",
            screen.paint("36;1", "hint:"),
            escaped(&mask_text(hint))
        ));
    }
    code
}

/// Tells what clap has to tell: help on stdout, wrong usage on stderr.
pub(super) fn report_usage(output: &Output, error: &clap::Error) -> u8 {
    let help = |color: bool| match color {
        true => error.render().ansi().to_string(),
        false => error.render().to_string(),
    };
    match error.kind() {
        UsageKind::DisplayHelp | UsageKind::DisplayVersion => {
            match output.text(&help(output.screen().color)) {
                Ok(()) => 0,
                Err(error) => report(output, &error),
            }
        }
        UsageKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            output.error_line(help(output.error_screen().color).trim_end());
            ErrorKind::Usage.exit_code()
        }
        _ => report(output, &of_usage(error)),
    }
}

/// A usage error of ours, with what clap suggests as the hint.
fn of_usage(error: &clap::Error) -> Error {
    let text = error.render().to_string();
    let first: Vec<&str> = text
        .lines()
        .map(str::trim)
        .take_while(|line| !line.is_empty())
        .collect();
    let message = first.join(" ");
    let message = message.strip_prefix("error: ").unwrap_or(&message);
    let suggestion = [
        ContextKind::SuggestedSubcommand,
        ContextKind::SuggestedArg,
        ContextKind::SuggestedValue,
    ]
    .into_iter()
    .find_map(|kind| match error.get(kind)? {
        ContextValue::String(text) => Some(text.clone()),
        ContextValue::Strings(texts) => texts.first().cloned(),
        _ => None,
    });
    let usage = text
        .lines()
        .find_map(|line| line.trim().strip_prefix("Usage: "));
    // The usage line starts with the command that was understood.
    let words = usage.unwrap_or("om").split(' ');
    let command: Vec<&str> = words
        .take_while(|word| word.starts_with(|c: char| c.is_ascii_lowercase()))
        .collect();
    let help = format!("see: {} --help", command.join(" "));
    let hint = match (suggestion, usage) {
        (Some(suggestion), _) => format!("did you mean `{suggestion}`? {help}"),
        (None, Some(usage)) => format!("usage: {usage}; {help}"),
        (None, None) => help,
    };
    Error::usage(message).hint(hint)
}
