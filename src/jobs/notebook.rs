//! Notebook documents (nbformat 4), kept whole: what is not known here stays as it is.
//! They are written as Python's nbformat writes them, so that files are equal byte for byte
//! whoever has stored them: keys sorted, indented by one, texts as lists of lines.
//!
//! The nbformat crate reads into types that drop fields it does not know, hence not used.

use crate::error::{Error, Result};
use serde::Serialize;
use serde_json::{Map, Value, json};

/// The marks of a configuration cell (spec/runtime.md §9).
const CONFIGURATION: [&str; 4] = ["# omega-ml", "# schedule", "# run-at", "# cron"];

/// What papermill marks the cell of default parameters with, and ours.
const PARAMETERS: &str = "parameters";
const INJECTED: &str = "injected-parameters";

/// A notebook.
#[derive(Debug, Clone, PartialEq)]
pub struct Notebook(Value);

/// What sort of cell it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CellKind {
    /// Is run.
    Code,
    /// Is read by people.
    Markdown,
    /// Is kept.
    Raw,
}

/// One cell, to be read.
#[derive(Debug, Clone, Copy)]
pub struct Cell<'a>(&'a Map<String, Value>);

impl Notebook {
    /// Reads a notebook file.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Invalid`], saying what is not as it must be.
    pub fn parse(bytes: &[u8]) -> Result<Self> {
        let invalid = |what: String| Error::invalid(format!("this is no notebook: {what}"));
        let document: Value = serde_json::from_slice(bytes)
            .map_err(|error| invalid(format!("it is not JSON ({error})")))?;
        let format = document.get("nbformat").and_then(Value::as_i64);
        match format {
            Some(4) => {}
            Some(other) => {
                return Err(invalid(format!("its format is {other}, not 4"))
                    .hint("convert it: jupyter nbconvert --to notebook --nbformat 4 FILE"));
            }
            None => return Err(invalid("it has no `nbformat`".to_owned())),
        }
        let cells = document.get("cells").and_then(Value::as_array);
        let cells = cells.ok_or_else(|| invalid("it has no list `cells`".to_owned()))?;
        for (number, cell) in cells.iter().enumerate() {
            let kind = cell.get("cell_type").and_then(Value::as_str);
            let known = kind.is_some_and(|kind| ["code", "markdown", "raw"].contains(&kind));
            let source = cell.get("source");
            let texts = |list: &Vec<Value>| list.iter().all(Value::is_string);
            let readable = source
                .is_some_and(|source| source.is_string() || source.as_array().is_some_and(texts));
            if !known || !readable {
                return Err(invalid(format!(
                    "its cell {} has no type or no source",
                    number + 1
                )));
            }
        }
        Ok(Notebook(document))
    }

    /// A notebook of one code cell.
    pub fn of_source(source: &str, kernel: Option<(&str, &str)>) -> Self {
        let mut notebook = Notebook(json!({
            "cells": [], "metadata": {}, "nbformat": 4, "nbformat_minor": 5,
        }));
        if let (Some((name, language)), Some(metadata)) = (kernel, notebook.metadata_mut()) {
            metadata.insert(
                "kernelspec".to_owned(),
                json!({"name": name, "display_name": name, "language": language}),
            );
        }
        notebook.insert(0, code_cell(source, &[]));
        notebook
    }

    /// The file's bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut document = self.0.clone();
        split_lines(&mut document);
        document.sort_all_objects();
        let mut bytes = Vec::new();
        let formatter = serde_json::ser::PrettyFormatter::with_indent(b" ");
        let mut serializer = serde_json::Serializer::with_formatter(&mut bytes, formatter);
        if let Err(error) = document.serialize(&mut serializer) {
            // Values of serde_json always can be written.
            tracing::error!("a notebook cannot be written: {error}");
        }
        bytes.push(b'\n');
        bytes
    }

    /// The cells, in order.
    pub fn cells(&self) -> impl Iterator<Item = Cell<'_>> {
        let cells = self.0.get("cells").and_then(Value::as_array);
        cells
            .into_iter()
            .flatten()
            .filter_map(Value::as_object)
            .map(Cell)
    }

    /// How many cells there are.
    pub fn len(&self) -> usize {
        self.cells().count()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn cells_mut(&mut self) -> Option<&mut Vec<Value>> {
        self.0.get_mut("cells").and_then(Value::as_array_mut)
    }

    fn metadata_mut(&mut self) -> Option<&mut Map<String, Value>> {
        let document = self.0.as_object_mut()?;
        document
            .entry("metadata")
            .or_insert_with(|| json!({}))
            .as_object_mut()
    }

    /// A text of the notebook's metadata, such as `kernelspec.name`.
    fn about(&self, group: &str, field: &str) -> Option<&str> {
        self.0.get("metadata")?.get(group)?.get(field)?.as_str()
    }

    /// The kernel that it was written for.
    pub fn kernel(&self) -> Option<&str> {
        self.about("kernelspec", "name")
    }

    /// The language of its code: `python` unless it says otherwise.
    pub fn language(&self) -> &str {
        let found = self
            .about("kernelspec", "language")
            .or_else(|| self.about("language_info", "name"));
        found.unwrap_or("python")
    }

    /// What is to be run with in the place of a cell of defaults, or before all others;
    /// what an earlier run has put there is replaced.
    pub fn parametrize(&mut self, source: &str) {
        let tagged = |cell: &Value, tag: &str| {
            let tags = cell.pointer("/metadata/tags").and_then(Value::as_array);
            tags.is_some_and(|tags| tags.iter().any(|found| found == tag))
        };
        let Some(cells) = self.cells_mut() else {
            return;
        };
        cells.retain(|cell| !tagged(cell, INJECTED));
        let defaults = cells.iter().position(|cell| tagged(cell, PARAMETERS));
        let place = defaults.map_or(0, |place| place + 1);
        self.insert(place, code_cell(source, &[INJECTED]));
    }

    /// Puts a cell before all others.
    pub fn begin_with(&mut self, source: &str) {
        self.insert(0, code_cell(source, &[]));
    }

    fn insert(&mut self, place: usize, mut cell: Value) {
        let minor = self
            .0
            .get("nbformat_minor")
            .and_then(Value::as_i64)
            .unwrap_or(0);
        if let (true, Some(cell)) = (minor < 5, cell.as_object_mut()) {
            cell.remove("id");
        }
        if let Some(cells) = self.cells_mut() {
            cells.insert(place.min(cells.len()), cell);
        }
    }

    /// Forgets what an earlier run has left.
    pub fn clear_outputs(&mut self) {
        for cell in self
            .cells_mut()
            .into_iter()
            .flatten()
            .filter_map(Value::as_object_mut)
        {
            if cell.get("cell_type").is_some_and(|kind| kind == "code") {
                cell.insert("outputs".to_owned(), json!([]));
                cell.insert("execution_count".to_owned(), Value::Null);
            }
        }
    }

    /// Sets what a run of the cell has left.
    pub fn set_outputs(&mut self, cell: usize, count: Option<i64>, outputs: Vec<Value>) {
        let cells = self.cells_mut();
        if let Some(cell) = cells
            .and_then(|cells| cells.get_mut(cell))
            .and_then(Value::as_object_mut)
        {
            cell.insert("outputs".to_owned(), Value::Array(outputs));
            cell.insert(
                "execution_count".to_owned(),
                count.map_or(Value::Null, Value::from),
            );
        }
    }

    /// What the kernel says of its language, for those who show the notebook.
    pub fn set_language_info(&mut self, info: Value) {
        if let Some(metadata) = self.metadata_mut() {
            metadata.insert("language_info".to_owned(), info);
        }
    }

    /// The YAML of the last configuration cell, if there is one: its comment signs removed.
    pub fn configuration(&self) -> Option<String> {
        let is_one = |source: &String| {
            CONFIGURATION
                .iter()
                .any(|mark| source.trim_start().starts_with(mark))
        };
        let source = self
            .cells()
            .filter(|cell| cell.kind() != CellKind::Raw)
            .map(|cell| cell.source())
            .filter(is_one)
            .last()?;
        let lines = source.trim_start().lines().map(|line| {
            let bare = line.strip_prefix('#').unwrap_or(line);
            // One blank behind the sign belongs to it.
            bare.strip_prefix(' ').unwrap_or(bare)
        });
        Some(lines.collect::<Vec<_>>().join("\n"))
    }
}

impl Cell<'_> {
    /// Its kind.
    pub fn kind(&self) -> CellKind {
        match self.0.get("cell_type").and_then(Value::as_str) {
            Some("code") => CellKind::Code,
            Some("markdown") => CellKind::Markdown,
            _ => CellKind::Raw,
        }
    }

    /// Its text.
    pub fn source(&self) -> String {
        self.0.get("source").map(joined).unwrap_or_default()
    }

    /// How many code cells its run was the last of.
    pub fn count(&self) -> Option<i64> {
        self.0.get("execution_count").and_then(Value::as_i64)
    }

    /// What its run has left.
    pub fn outputs(&self) -> &[Value] {
        self.0
            .get("outputs")
            .and_then(Value::as_array)
            .map_or(&[], Vec::as_slice)
    }
}

fn code_cell(source: &str, tags: &[&str]) -> Value {
    let metadata = match tags {
        [] => json!({}),
        tags => json!({ "tags": tags }),
    };
    json!({
        "cell_type": "code", "execution_count": null, "metadata": metadata, "outputs": [],
        "id": format!("{:08x}", rand::random::<u32>()), "source": source,
    })
}

/// A text, which files may have as a list of lines.
pub fn joined(text: &Value) -> String {
    match text {
        Value::String(text) => text.clone(),
        Value::Array(lines) => lines.iter().filter_map(Value::as_str).collect(),
        _ => String::new(),
    }
}

/// Texts as lists of lines, where nbformat has them so.
fn split_lines(document: &mut Value) {
    let cells = document.get_mut("cells").and_then(Value::as_array_mut);
    for cell in cells.into_iter().flatten() {
        if let Some(source) = cell.get_mut("source") {
            split(source);
        }
        let outputs = cell.get_mut("outputs").and_then(Value::as_array_mut);
        for output in outputs.into_iter().flatten() {
            if let Some(text) = output.get_mut("text") {
                split(text);
            }
            let data = output.get_mut("data").and_then(Value::as_object_mut);
            for (media, value) in data.into_iter().flatten() {
                if media != "application/json" && !media.ends_with("+json") {
                    split(value);
                }
            }
        }
    }
}

fn split(text: &mut Value) {
    if let Value::String(whole) = text {
        *text = whole.split_inclusive('\n').map(Value::from).collect();
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn files_are_written_as_nbformat_does() {
        let text = "{\n \"cells\": [\n  {\n   \"cell_type\": \"markdown\",\n   \"id\": \"a\",\n   \
            \"metadata\": {},\n   \"source\": [\n    \"# ünï\\n\",\n    \"two\"\n   ]\n  }\n ],\n \
            \"metadata\": {},\n \"nbformat\": 4,\n \"nbformat_minor\": 5\n}\n";
        let notebook = Notebook::parse(text.as_bytes()).unwrap();
        assert_eq!(String::from_utf8(notebook.to_bytes()).unwrap(), text);
        assert_eq!(notebook.cells().next().unwrap().source(), "# ünï\ntwo");
    }

    #[test]
    fn what_is_no_notebook_is_refused() {
        for (text, why) in [
            ("", "not JSON"),
            ("[]", "no `nbformat`"),
            (r#"{"nbformat": 3, "worksheets": []}"#, "format is 3"),
            (r#"{"nbformat": 4}"#, "no list `cells`"),
            (
                r#"{"nbformat": 4, "cells": [{"cell_type": "code"}]}"#,
                "cell 1",
            ),
            (
                r#"{"nbformat": 4, "cells": [{"cell_type": "code", "source": [1]}]}"#,
                "cell 1",
            ),
        ] {
            let error = Notebook::parse(text.as_bytes()).unwrap_err().to_string();
            assert!(error.contains(why), "{text}: {error}");
        }
    }

    #[test]
    fn parameters_follow_their_defaults() {
        let mut notebook = Notebook::of_source("a = 1", None);
        notebook.parametrize("a = 2");
        let sources = |notebook: &Notebook| {
            notebook
                .cells()
                .map(|cell| cell.source())
                .collect::<Vec<_>>()
        };
        assert_eq!(sources(&notebook), ["a = 2", "a = 1"]);
        notebook.parametrize("a = 3");
        assert_eq!(sources(&notebook), ["a = 3", "a = 1"]);
        let cells = notebook.cells_mut().unwrap();
        cells[1]["metadata"] = json!({"tags": ["parameters"]});
        notebook.parametrize("a = 4");
        assert_eq!(sources(&notebook), ["a = 1", "a = 4"]);
    }

    #[test]
    fn the_last_configuration_counts() {
        let mut notebook =
            Notebook::of_source("# omega-ml:\n#    schedule: \"daily, at 06:00\"", None);
        assert_eq!(
            notebook.configuration().unwrap(),
            "omega-ml:\n   schedule: \"daily, at 06:00\""
        );
        notebook.insert(1, code_cell("# run-at: 0 6 * * *", &[]));
        notebook.insert(2, code_cell("# a comment", &[]));
        assert_eq!(notebook.configuration().unwrap(), "run-at: 0 6 * * *");
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            let _ = Notebook::parse(&bytes);
        }

        #[test]
        fn sources_come_back(source in "(.|\n){0,60}") {
            let notebook = Notebook::of_source(&source, Some(("python3", "python")));
            let again = Notebook::parse(&notebook.to_bytes()).unwrap();
            prop_assert_eq!(again.cells().next().unwrap().source(), source);
            prop_assert_eq!(again.to_bytes(), notebook.to_bytes());
        }
    }
}
