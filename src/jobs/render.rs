//! A notebook for people at a terminal: text, code and outputs, with colour where there is.

use super::Notebook;
use super::notebook::{Cell, CellKind, joined};
use serde_json::Value;

const BOLD: &str = "1";
const DIM: &str = "2";
const RED: &str = "31";
const BLUE: &str = "34";

/// The notebook as text.
pub fn render(notebook: &Notebook, color: bool) -> String {
    let mut text = String::new();
    let paint = |code: &str, text: &str| match color {
        true => format!("\x1b[{code}m{text}\x1b[0m"),
        false => text.to_owned(),
    };
    for (number, cell) in notebook.cells().enumerate() {
        if number > 0 {
            text.push('\n');
        }
        match cell.kind() {
            CellKind::Code => code(&mut text, &cell, &paint),
            CellKind::Markdown => {
                for line in cell.source().lines() {
                    let line = clean(line);
                    let line = match line.starts_with('#') {
                        true => paint(BOLD, &line),
                        false => line,
                    };
                    push(&mut text, &line);
                }
            }
            CellKind::Raw => cell
                .source()
                .lines()
                .for_each(|line| push(&mut text, &paint(DIM, &clean(line)))),
        }
    }
    text
}

fn push(text: &mut String, line: &str) {
    text.push_str(line);
    text.push('\n');
}

fn code(text: &mut String, cell: &Cell<'_>, paint: &dyn Fn(&str, &str) -> String) {
    let count = cell
        .count()
        .map_or_else(|| " ".to_owned(), |count| count.to_string());
    let prompt = format!("In [{count}]: ");
    let indent = " ".repeat(prompt.len());
    for (number, line) in cell.source().lines().enumerate() {
        let lead = if number == 0 {
            paint(BLUE, &prompt)
        } else {
            indent.clone()
        };
        push(text, &format!("{lead}{}", clean(line)));
    }
    for output in cell.outputs() {
        let kind = output
            .get("output_type")
            .and_then(Value::as_str)
            .unwrap_or_default();
        let field = |name: &str| output.get(name).map(joined).unwrap_or_default();
        match kind {
            "stream" => {
                let error = output.get("name").is_some_and(|name| name == "stderr");
                for line in field("text").lines() {
                    let line = clean(line);
                    push(text, &if error { paint(RED, &line) } else { line });
                }
            }
            "error" => push(
                text,
                &paint(
                    RED,
                    &clean(&format!("{}: {}", field("ename"), field("evalue"))),
                ),
            ),
            _ => {
                let data = output.get("data").and_then(Value::as_object);
                let shown = shown(data);
                let lead = match kind {
                    "execute_result" => paint(BLUE, &format!("Out[{count}]: ")),
                    _ => String::new(),
                };
                for (number, line) in shown.lines().enumerate() {
                    let lead = if number == 0 { lead.as_str() } else { "" };
                    push(text, &format!("{lead}{}", clean(line)));
                }
            }
        }
    }
}

/// What a terminal can show of an output; images by their type and size.
fn shown(data: Option<&serde_json::Map<String, Value>>) -> String {
    let Some(data) = data else {
        return String::new();
    };
    let image = data.iter().find(|(media, _)| media.starts_with("image/"));
    if let Some((media, value)) = image {
        let letters = joined(value).len();
        let bytes = if media == "image/svg+xml" {
            letters
        } else {
            letters / 4 * 3
        };
        return format!(
            "[{media}, {:.1} kB; see om jobs get … --to html]",
            bytes as f64 / 1000.0
        );
    }
    for media in ["text/plain", "text/markdown", "text/html"] {
        if let Some(value) = data.get(media) {
            return joined(value);
        }
    }
    data.keys()
        .next()
        .map_or_else(String::new, |media| format!("[{media}]"))
}

/// Without what could steer the terminal.
fn clean(line: &str) -> String {
    let mut out = String::with_capacity(line.len());
    let mut letters = line.chars().peekable();
    while let Some(letter) = letters.next() {
        if letter == '\x1b' {
            // A sequence ends with its first letter.
            if letters.peek() == Some(&'[') {
                for letter in letters.by_ref() {
                    if letter.is_ascii_alphabetic() {
                        break;
                    }
                }
            }
        } else if letter == '\t' || !letter.is_control() {
            out.push(letter);
        }
    }
    out
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn notebooks_are_readable_and_harmless() {
        let file = serde_json::json!({"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": [
            {"cell_type": "markdown", "id": "a", "metadata": {}, "source": "# Sales\ntext"},
            {"cell_type": "code", "id": "b", "metadata": {}, "execution_count": 3, "source": ["a = 1\n", "a"], "outputs": [
                {"output_type": "stream", "name": "stdout", "text": ["hi \u{1b}[31mred\u{1b}]0;title\u{7}\n"]},
                {"output_type": "execute_result", "execution_count": 3, "metadata": {}, "data": {"text/plain": "1"}},
                {"output_type": "display_data", "metadata": {}, "data": {"image/png": "AAAA", "text/plain": "<Figure>"}},
                {"output_type": "error", "ename": "ValueError", "evalue": "no", "traceback": []},
            ]},
        ]});
        let notebook = Notebook::parse(file.to_string().as_bytes()).unwrap();
        let text = render(&notebook, false);
        let expected = "# Sales\ntext\n\nIn [3]: a = 1\n        a\nhi red]0;title\nOut[3]: 1\n\
            [image/png, 0.0 kB; see om jobs get … --to html]\nValueError: no\n";
        assert_eq!(text, expected);
        assert!(render(&notebook, true).contains("\x1b[1m# Sales\x1b[0m"));
    }
}
