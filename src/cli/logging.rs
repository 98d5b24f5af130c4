//! Logs to stderr.

use super::app::Global;
use super::output::Screen;
use crate::error::{Error, Result};
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;

/// The level that options or the environment ask for: `-v` before `--loglevel` before
/// `OMEGA_LOGLEVEL`.
pub(super) fn level(global: &Global, variable: Option<&str>) -> Result<Option<LevelFilter>> {
    match (global.verbose, &global.loglevel, variable) {
        (0, Some(level), _) => parse(level).map(Some),
        (0, None, Some(level)) => parse(level).map(Some),
        (0, None, None) => Ok(None),
        (1, ..) => Ok(Some(LevelFilter::INFO)),
        (2, ..) => Ok(Some(LevelFilter::DEBUG)),
        _ => Ok(Some(LevelFilter::TRACE)),
    }
}

/// Reads a level by its name here or in Python.
///
/// # Errors
/// [`crate::ErrorKind::Usage`] for other names.
pub(super) fn parse(level: &str) -> Result<LevelFilter> {
    match level.to_ascii_uppercase().as_str() {
        "OFF" | "NONE" => Ok(LevelFilter::OFF),
        "ERROR" | "CRITICAL" | "FATAL" => Ok(LevelFilter::ERROR),
        "WARNING" | "WARN" => Ok(LevelFilter::WARN),
        "INFO" => Ok(LevelFilter::INFO),
        "DEBUG" => Ok(LevelFilter::DEBUG),
        "TRACE" | "NOTSET" => Ok(LevelFilter::TRACE),
        _ => Err(Error::usage(format!("\"{level}\" is not a log level"))
            .on("OMEGA_LOGLEVEL, --loglevel")
            .hint("give ERROR, WARNING, INFO, DEBUG or TRACE")),
    }
}

/// Prints whole messages that nobody takes, with the results of tasks that are in them.
const TELLTALE: &str = "lapin::returned_messages";

/// Starts logging; only the first call counts.
pub(super) fn start(level: LevelFilter, screen: Screen) {
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(level)
        .with_ansi(screen.color)
        .with_writer(std::io::stderr)
        .finish()
        .with(
            Targets::new()
                .with_default(level)
                .with_target(TELLTALE, LevelFilter::OFF),
        );
    let _ = tracing::subscriber::set_global_default(subscriber);
}
