//! Notebooks in other forms: nbconvert's where it is installed, else Markdown and scripts of
//! our own.

use super::notebook::{CellKind, joined};
use super::{Jobs, Notebook};
use crate::error::{Context, Error, Result};
use serde_json::Value;
use std::io::Write;
use std::process::{Command, Stdio};

/// A form that a notebook can be had in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// The notebook itself.
    Notebook,
    /// A page for a browser, by nbconvert.
    Html,
    /// The code, with the text as comments.
    Script,
    /// Text with code.
    Markdown,
}

/// The notebook in another form.
///
/// # Errors
/// [`crate::ErrorKind::Failed`] when it needs nbconvert, which is not there or fails.
pub fn export(notebook: &Notebook, form: Form, jobs: &Jobs) -> Result<Vec<u8>> {
    match form {
        Form::Notebook => Ok(notebook.to_bytes()),
        Form::Markdown => Ok(markdown(notebook).into_bytes()),
        Form::Script => Ok(script(notebook).into_bytes()),
        Form::Html => html(notebook, jobs),
    }
}

fn html(notebook: &Notebook, jobs: &Jobs) -> Result<Vec<u8>> {
    let program = jobs.python().program();
    let mut child = Command::new(program)
        .args([
            "-m",
            "nbconvert",
            "--to",
            "html",
            "--stdin",
            "--stdout",
            "--log-level",
            "ERROR",
        ])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .context(|| format!("cannot start {}", program.display()))?;
    if let Some(mut input) = child.stdin.take() {
        // That it ends early is told by its exit code.
        let bytes = notebook.to_bytes();
        std::thread::spawn(move || input.write_all(&bytes));
    }
    let done = child.wait_with_output().context(|| "nbconvert is lost")?;
    if done.status.success() {
        return Ok(done.stdout);
    }
    let said = String::from_utf8_lossy(&done.stderr);
    let last = said
        .trim()
        .lines()
        .last()
        .unwrap_or("it says nothing")
        .to_owned();
    Err(
        Error::failed(format!("nbconvert failed: {last}")).hint(format!(
            "install it: {} -m pip install nbconvert; or use --to md, which needs nothing",
            program.display()
        )),
    )
}

fn fence(text: &str) -> String {
    let longest = text.split(|c| c != '`').map(str::len).max().unwrap_or(0);
    "`".repeat(longest.max(2) + 1)
}

fn markdown(notebook: &Notebook) -> String {
    let mut parts: Vec<(Option<&str>, String)> = Vec::new();
    for cell in notebook.cells() {
        match cell.kind() {
            CellKind::Code => {
                parts.push((Some(notebook.language()), cell.source()));
                for output in cell.outputs() {
                    let field = |name: &str| output.get(name).map(joined).unwrap_or_default();
                    let data = output.get("data").and_then(Value::as_object);
                    let of = |media: &str| data.and_then(|data| data.get(media)).map(joined);
                    let image = data.and_then(|data| {
                        let (media, value) = data.iter().find(|(media, _)| {
                            media.starts_with("image/") && *media != "image/svg+xml"
                        })?;
                        Some(format!(
                            "![](data:{media};base64,{})",
                            joined(value).replace('\n', "")
                        ))
                    });
                    match output.get("output_type").and_then(Value::as_str) {
                        Some("stream") => parts.push((Some(""), field("text"))),
                        Some("error") => parts
                            .push((Some(""), format!("{}: {}", field("ename"), field("evalue")))),
                        _ => match (image, of("text/markdown"), of("text/plain")) {
                            (Some(image), ..) => parts.push((None, image)),
                            (_, Some(text), _) => parts.push((None, text)),
                            (.., Some(text)) => parts.push((Some(""), text)),
                            _ => {}
                        },
                    }
                }
            }
            _ => parts.push((None, cell.source())),
        }
    }
    let blocks = parts.iter().map(|(language, text)| {
        let text = text.trim_end_matches('\n');
        match language {
            Some(language) => {
                let fence = fence(text);
                format!("{fence}{language}\n{text}\n{fence}\n")
            }
            None => format!("{text}\n"),
        }
    });
    blocks.collect::<Vec<_>>().join("\n")
}

fn script(notebook: &Notebook) -> String {
    let mut out = String::new();
    for cell in notebook.cells() {
        let source = cell.source();
        match cell.kind() {
            CellKind::Code => out.push_str(source.trim_end_matches('\n')),
            _ => {
                let lines: Vec<String> = source
                    .lines()
                    .map(|line| format!("# {line}").trim_end().to_owned())
                    .collect();
                out.push_str(&lines.join("\n"));
            }
        }
        out.push_str("\n\n");
    }
    let end = out.trim_end().len();
    out.truncate(end);
    out.push('\n');
    out
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn forms_of_our_own() {
        let file = serde_json::json!({"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": [
            {"cell_type": "markdown", "id": "a", "metadata": {}, "source": "# Sales\n\ntext"},
            {"cell_type": "code", "id": "b", "metadata": {}, "execution_count": 1, "source": "print('```')", "outputs": [
                {"output_type": "stream", "name": "stdout", "text": "```\n"},
                {"output_type": "display_data", "metadata": {}, "data": {"image/png": "AAAA\n"}},
            ]},
        ]});
        let notebook = Notebook::parse(file.to_string().as_bytes()).unwrap();
        assert_eq!(
            markdown(&notebook),
            "# Sales\n\ntext\n\n````python\nprint('```')\n````\n\n````\n```\n````\n\n![](data:image/png;base64,AAAA)\n"
        );
        assert_eq!(script(&notebook), "# # Sales\n#\n# text\n\nprint('```')\n");
    }
}
