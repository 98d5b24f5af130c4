//! The one owner of stdout and stderr: format, width, colour, verbosity, questions.
//! stdout carries results and nothing else. Knows nothing of what the results mean.
//!
//! What a result looks like follows from `-o` and from where stdout leads:
//! - on a terminal, tables are fitted to its width, with a header;
//! - in a pipe or file, tables are rows separated by tabs, with a header; a listing of
//!   objects ([`Table::listing`]) without `-o` is their names, one a line;
//! - `-o json` is one document (a list is an array, an empty one `[]`), `jsonl` one a
//!   line, `yaml`, `csv` (with header) and `name` (the names, one a line) likewise.

mod escape;
mod fit;
mod format;
mod frame;
mod screen;
mod structured;
mod table;

pub use escape::escaped;
pub use format::Format;
pub use screen::{Color, Screen, Terminal};
pub use table::{Align, Cell, Column, Table};

use crate::config::Environment;
use crate::error::{Context, Error, Result};
use polars::prelude::DataFrame;
use serde_json::Value;
use std::fmt::Display;
use std::io::{self, BufWriter, IsTerminal, Write};
use std::sync::{Arc, Mutex, PoisonError};

/// What the user asked for about output.
#[derive(Debug, Clone, Copy, Default)]
pub struct Wishes {
    /// `-o`, `--json`.
    pub format: Option<Format>,
    /// `--color`.
    pub color: Color,
    /// `-q`: no notes, no questions.
    pub quiet: bool,
    /// `-y`: no questions.
    pub yes: bool,
}

/// Writes results, notes and questions.
#[derive(Debug, Clone)]
pub struct Output {
    wishes: Wishes,
    stdout: Stream,
    stderr: Stream,
    questions: bool,
}

/// One of the two streams.
#[derive(Debug, Clone)]
struct Stream {
    sink: Sink,
    screen: Screen,
}

#[derive(Debug, Clone)]
enum Sink {
    Stdout,
    Stderr,
    Memory(Arc<Mutex<Vec<u8>>>),
}

impl Output {
    /// The process's own streams.
    pub fn new(wishes: Wishes, environment: &Environment) -> Self {
        let stdout = Screen::of(&io::stdout(), wishes.color, environment);
        let stderr = Screen::of(&io::stderr(), wishes.color, environment);
        let questions = io::stdin().is_terminal() && stderr.terminal;
        Output {
            wishes,
            stdout: Stream {
                sink: Sink::Stdout,
                screen: stdout,
            },
            stderr: Stream {
                sink: Sink::Stderr,
                screen: stderr,
            },
            questions,
        }
    }

    /// Streams into memory that believe to be `screen`; see [`Output::captured`].
    pub fn in_memory(wishes: Wishes, screen: Screen) -> Self {
        let stream = || Stream {
            sink: Sink::Memory(Arc::default()),
            screen,
        };
        Output {
            wishes,
            stdout: stream(),
            stderr: stream(),
            questions: false,
        }
    }

    /// What was written to stdout and stderr of [`Output::in_memory`].
    pub fn captured(&self) -> (String, String) {
        let text = |stream: &Stream| match &stream.sink {
            Sink::Memory(bytes) => {
                let bytes = bytes.lock().unwrap_or_else(PoisonError::into_inner);
                String::from_utf8_lossy(&bytes).into_owned()
            }
            Sink::Stdout | Sink::Stderr => String::new(),
        };
        (text(&self.stdout), text(&self.stderr))
    }

    /// The format that was asked for, if any.
    pub fn format(&self) -> Option<Format> {
        self.wishes.format
    }

    /// Whether the format is for programs: json, jsonl, yaml, csv, name.
    pub fn is_structured(&self) -> bool {
        self.wishes.format.is_some_and(Format::is_structured)
    }

    /// Whether notes are suppressed.
    pub fn is_quiet(&self) -> bool {
        self.wishes.quiet
    }

    /// What stdout leads to.
    pub fn screen(&self) -> Screen {
        self.stdout.screen
    }

    /// What stderr leads to.
    pub fn error_screen(&self) -> Screen {
        self.stderr.screen
    }

    /// Writes a table.
    pub fn rows(&self, table: &Table) -> Result<()> {
        let terminal = self.stdout.screen.terminal;
        let text = match self.wishes.format {
            Some(format) if format.is_structured() => structured::table(table, format, terminal)?,
            Some(Format::Wide) => self.plain(table, true),
            Some(_) => self.plain(table, false),
            None if !terminal && table.names_in_pipe() => {
                structured::table(table, Format::Name, false)?
            }
            None => self.plain(table, false),
        };
        self.write(&text)?;
        if table.is_empty() && terminal && !self.is_structured() {
            self.note(table.empty_note().unwrap_or("nothing found"));
        }
        Ok(())
    }

    fn plain(&self, table: &Table, wide: bool) -> String {
        match self.stdout.screen.terminal {
            true => fit::table(table, wide, self.stdout.screen),
            false => structured::tab_separated(table, wide),
        }
    }

    /// Writes one object as `name value` lines for people, as an object for programs.
    pub fn record(&self, record: &Value) -> Result<()> {
        if self.is_structured() {
            return self.value(record);
        }
        let table = Table::of_record(record);
        self.write(&match self.stdout.screen.terminal {
            true => fit::record(&table, self.stdout.screen),
            false => structured::tab_separated_body(&table, true),
        })
    }

    /// Writes a JSON value. Without `-o`, a text or number is written bare, and anything
    /// else as JSON, indented on a terminal.
    pub fn value(&self, value: &Value) -> Result<()> {
        let format = self.wishes.format.filter(|format| format.is_structured());
        self.write(&structured::value(
            value,
            format,
            self.stdout.screen.terminal,
        )?)
    }

    /// Writes a frame: as a preview with types fitted to the terminal, as rows elsewhere.
    /// `total` is the number of rows of which the frame shows some.
    pub fn frame(&self, frame: &DataFrame, total: Option<u64>) -> Result<()> {
        if self.stdout.screen.terminal && !self.is_structured() {
            return self.write(&frame::preview(frame, total, self.stdout.screen)?);
        }
        let table = frame::to_table(frame)?;
        self.write(&match self.wishes.format {
            Some(format) if format.is_structured() => {
                structured::table(&table, format, self.stdout.screen.terminal)?
            }
            _ => structured::tab_separated(&table, true),
        })
    }

    /// Writes text as it is, with a newline at its end.
    pub fn text(&self, text: &str) -> Result<()> {
        match text.is_empty() || text.ends_with('\n') {
            true => self.write(text),
            false => self.write(&format!("{text}\n")),
        }
    }

    /// Writes one line of a result. Control characters are escaped.
    pub fn line(&self, line: impl Display) -> Result<()> {
        self.write(&format!("{}\n", escaped(&line.to_string())))
    }

    /// A writer to stdout for large or binary results; buffered, so flush it.
    pub fn raw_stdout(&self) -> Box<dyn Write + Send> {
        Box::new(BufWriter::with_capacity(1 << 16, self.stdout.sink.clone()))
    }

    /// [`Output::raw_stdout`] for bytes that would harm a terminal.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Usage`] when stdout is a terminal.
    pub fn binary_stdout(&self) -> Result<Box<dyn Write + Send>> {
        if self.stdout.screen.terminal {
            return Err(Error::usage("binary data would garble the terminal")
                .hint("give a path instead of -, or send the output into a pipe or file"));
        }
        Ok(self.raw_stdout())
    }

    /// Says a line on stderr, unless quiet. Nobody's failure if stderr is gone.
    pub fn note(&self, message: impl Display) {
        if !self.wishes.quiet {
            self.error_line(&escaped(&message.to_string()));
        }
    }

    /// Warns on stderr, quiet or not.
    pub fn warn(&self, message: impl Display) {
        let label = self.stderr.screen.paint("33;1", "warning:");
        self.error_line(&format!("{label} {}", escaped(&message.to_string())));
    }

    /// Writes a line to stderr that is already escaped.
    pub(crate) fn error_line(&self, line: &str) {
        let _ = self
            .stderr
            .sink
            .clone()
            .write_all(format!("{line}\n").as_bytes());
    }

    /// Asks whether to go on. `-y` and `-q` answer yes.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Usage`] when there is nobody to ask.
    pub fn confirm(&self, question: &str) -> Result<bool> {
        if self.wishes.yes || self.wishes.quiet {
            return Ok(true);
        }
        if !self.questions {
            return Err(
                Error::usage(format!("cannot ask without a terminal: {question}"))
                    .hint("add -y (--yes) to answer yes"),
            );
        }
        let question = format!("{} [y/N] ", escaped(question));
        let asked = self.stderr.sink.clone().write_all(question.as_bytes());
        asked.context(|| "cannot ask")?;
        let mut answer = String::new();
        let read = super::interrupt::while_asking(|| io::stdin().read_line(&mut answer));
        let read = read.context(|| "cannot read the answer")?;
        if read == 0 {
            self.error_line("");
        }
        Ok(matches!(answer.trim().to_lowercase().as_str(), "y" | "yes"))
    }

    fn write(&self, text: &str) -> Result<()> {
        let mut sink = self.stdout.sink.clone();
        sink.write_all(text.as_bytes())
            .and_then(|()| sink.flush())
            .context(|| "cannot write to stdout")
    }
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Sink::Stdout => io::stdout().write(bytes),
            Sink::Stderr => io::stderr().write(bytes),
            Sink::Memory(memory) => {
                memory
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .extend_from_slice(bytes);
                Ok(bytes.len())
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Sink::Stdout => io::stdout().flush(),
            Sink::Stderr => io::stderr().flush(),
            Sink::Memory(_) => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;
