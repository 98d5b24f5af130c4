//! What a command works with: settings, output, progress, time limit.

use super::app::Global;
use super::output::Output;
use super::progress::TerminalProgress;
use super::{interrupt, logging};
use crate::config::{Config, Environment};
use crate::error::{Error, Result};
use std::sync::OnceLock;

/// One run of `om`.
#[derive(Debug)]
pub struct Session {
    /// The global options.
    pub global: Global,
    /// Where results and notes go.
    pub output: Output,
    /// Progress bars, interruption and time limit.
    pub progress: TerminalProgress,
    environment: Environment,
    config: OnceLock<Config>,
}

impl Session {
    /// Starts logging, and listens to Ctrl-C and the time limit.
    pub(super) fn new(global: Global, environment: Environment) -> Result<Self, (Output, Error)> {
        let output = Output::new(global.wishes(), &environment);
        let level = logging::level(&global, environment.get("OMEGA_LOGLEVEL"));
        if let Some(level) = level.map_err(|error| (output.clone(), error))? {
            logging::start(level, output.error_screen());
        }
        let bars = !global.no_progress && !environment.is_on("OM_NO_PROGRESS");
        let progress = TerminalProgress::new(&output, bars, global.timeout);
        interrupt::listen(&progress);
        Ok(Session {
            global,
            output,
            progress,
            environment,
            config: OnceLock::new(),
        })
    }

    /// The settings, read at the first call: commands that need none work without.
    ///
    /// # Errors
    /// As [`Config::load`].
    pub fn config(&self) -> Result<&Config> {
        if let Some(config) = self.config.get() {
            return Ok(config);
        }
        let config = Config::load(&self.global.options())?;
        if let Some(level) = config.text("OMEGA_LOGLEVEL") {
            logging::start(logging::parse(&level)?, self.output.error_screen());
        }
        Ok(self.config.get_or_init(|| config))
    }

    /// The environment as it was at the start.
    pub fn environment(&self) -> &Environment {
        &self.environment
    }
}
