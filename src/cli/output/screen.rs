//! What a stream leads to: whether it is a terminal, how wide, and whether in colour.

use crate::config::Environment;
use std::io::IsTerminal;

/// Columns of a terminal that does not tell its width.
const USUAL_WIDTH: usize = 80;

/// When to use colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum Color {
    /// On terminals
    #[default]
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

/// A stream's terminal, if it is one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Screen {
    /// Whether it is a terminal.
    pub terminal: bool,
    /// Whether to use colour.
    pub color: bool,
    /// Columns.
    pub width: usize,
    /// Whether lines can be drawn anew, as progress bars do.
    pub redraws: bool,
}

impl Screen {
    /// A pipe or file.
    pub const NONE: Screen = Screen {
        terminal: false,
        color: false,
        width: USUAL_WIDTH,
        redraws: false,
    };

    /// A terminal without colour of this width.
    pub fn of_width(width: usize) -> Self {
        Screen {
            terminal: true,
            color: false,
            width,
            redraws: true,
        }
    }

    /// What `stream` leads to. Colour, strongest first: `--color`, `NO_COLOR`,
    /// `CLICOLOR_FORCE`, `CLICOLOR`, whether it is a terminal that is not dumb.
    pub fn of(stream: &impl Terminal, color: Color, environment: &Environment) -> Self {
        let terminal = stream.is_terminal();
        let dumb = environment.get("TERM") == Some("dumb");
        let columns = environment
            .get("COLUMNS")
            .and_then(|columns| columns.parse().ok());
        let width = terminal
            .then(|| stream.width())
            .flatten()
            .or(columns)
            .unwrap_or(USUAL_WIDTH);
        let color = match color {
            Color::Always => true,
            Color::Never => false,
            Color::Auto if environment.get("NO_COLOR").is_some() => false,
            Color::Auto if environment.is_on("CLICOLOR_FORCE") => true,
            Color::Auto if environment.get("CLICOLOR") == Some("0") => false,
            Color::Auto => terminal && !dumb,
        };
        Screen {
            terminal,
            color,
            width: width.max(20),
            redraws: terminal && !dumb,
        }
    }

    /// `text` in the style of these SGR parameters, where there is colour.
    pub fn paint(self, style: &str, text: &str) -> String {
        match self.color {
            true => format!("\u{1b}[{style}m{text}\u{1b}[0m"),
            false => text.to_owned(),
        }
    }
}

/// A stream that may lead to a terminal.
pub trait Terminal {
    /// Whether it does.
    fn is_terminal(&self) -> bool;
    /// Columns, if the terminal tells.
    fn width(&self) -> Option<usize>;
}

impl Terminal for std::io::Stdout {
    fn is_terminal(&self) -> bool {
        IsTerminal::is_terminal(self)
    }

    fn width(&self) -> Option<usize> {
        columns(terminal_size::terminal_size_of(self))
    }
}

impl Terminal for std::io::Stderr {
    fn is_terminal(&self) -> bool {
        IsTerminal::is_terminal(self)
    }

    fn width(&self) -> Option<usize> {
        columns(terminal_size::terminal_size_of(self))
    }
}

fn columns(size: Option<(terminal_size::Width, terminal_size::Height)>) -> Option<usize> {
    size.map(|(width, _)| usize::from(width.0))
        .filter(|width| *width > 0)
}
